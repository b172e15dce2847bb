r"""The pieces of a function of z: where it changes its formula, which formula holds where, and which derivative breaks there.

A derivative *breaks* at a point where its limits from the two sides differ or are infinite. The derivative after it holds a delta
function, or no function at all. This is the one place that decides it: the limits are those of the formulas on the two sides, and
not of values nearby, so that neither a small change of slope nor a jump in a high derivative is missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import mpmath
import sympy as sp

from .errors import NotAvailable
from .symbols import z

#: Functions that are written as cases, so that kinks and jumps can be read off.
CASES = (sp.Max, sp.Min, sp.Abs, sp.sign, sp.Heaviside)
#: Limits that differ by less, relative to their size, differ by the rounding of coefficients that are floats.
ROUNDING = 1e-12
#: How many derivatives are looked at, the function itself counted.
HIGHEST = 8
#: How far from a point the size of a function that has no limit there is looked at.
NEAR = sp.Rational(1, 10**10)
#: The most places at which a formula changes that no algebra finds, and their digits.
MOST, DIGITS = 32, 40
#: The power with which a function grows is read off at 10^-FAR_IN and its square from a point.
FAR_IN = 40


@dataclass(frozen=True)
class Piece:
    """A formula between two points."""

    low: sp.Expr
    high: sp.Expr
    formula: sp.Expr


@dataclass(frozen=True)
class Break:
    """The lowest derivative that breaks: its order, where, and its limits from the left and from the right."""

    order: int
    at: sp.Expr
    left: sp.Expr
    right: sp.Expr

    @property
    def finite(self) -> bool:
        """Whether it jumps, and is not infinite."""
        return bool(self.left.is_finite and self.right.is_finite)


def as_cases(expr: sp.Expr) -> sp.Expr:
    """The expression with Max, Min, Abs, sign and Heaviside written as cases."""
    return sp.piecewise_fold(expr.rewrite(sp.Piecewise)) if expr.has(*CASES) else expr


@lru_cache(maxsize=1024)
def breakpoints(cases: sp.Expr) -> tuple[sp.Expr, ...]:
    """The points at which an expression changes its formula, in order; it may be smooth there after all."""
    points: set[sp.Expr] = set()
    for piecewise in cases.atoms(sp.Piecewise):
        for _, condition in piecewise.args:
            for relation in condition.atoms(sp.core.relational.Relational):
                points |= _zeros(relation.lhs - relation.rhs)
    return tuple(sorted(points, key=float))


def _zeros(expr: sp.Expr) -> set[sp.Expr]:
    """The real zeros of an expression in z: exact ones where algebra finds them, others with many digits."""
    if expr.is_polynomial(z) and all(c.is_Rational for c in sp.Poly(expr, z).all_coeffs()):
        return set(sp.real_roots(sp.Poly(expr, z))) if expr.has(z) else set()
    try:
        exact = {p for p in sp.solve(expr, z) if p.is_real}
    except NotImplementedError:  # SymPy solves no equation of this kind
        exact = set()
    seen = _crossings(expr)
    if len(seen) > MOST:
        raise NotAvailable(
            f"a function changes its formula where {expr} changes its sign, at {len(seen)} places or more; allowed: up to {MOST}"
        )
    return exact | {x for x in seen if all(abs(x - p.evalf(DIGITS)) > ROUNDING * (1 + abs(x)) for p in exact)}


def _crossings(expr: sp.Expr) -> list[sp.Expr]:
    """The places at which an expression changes its sign, as far as a grid shows."""
    value = sp.lambdify(z, expr, "math")
    near = [(k + 0.29) / 64 for k in range(64**2)]  # an odd place: zeros at round numbers lie between the nodes
    far = [64.29 * 1.003**k for k in range(3200)]
    grid = [-x for x in (*reversed(far), *reversed(near))] + near + far
    signs: list[tuple[float, bool]] = []
    for x in grid:
        try:
            y = value(x)
        except (ValueError, ZeroDivisionError, OverflowError):
            continue
        if isinstance(y, int | float) and y == y and y != 0:
            signs.append((x, y > 0))
    found = [(a, b) for (a, s), (b, t) in pairwise(signs) if s != t]
    if len(found) > MOST:
        return [sp.Float(a) for a, _ in found]
    with mpmath.workdps(DIGITS + 10):
        exact = sp.lambdify(z, expr, "mpmath")
        roots = [mpmath.findroot(exact, ab, solver="anderson", verify=False, maxsteps=200) for ab in found]
        return [_exact(expr, sp.Float(mpmath.nstr(r, DIGITS), DIGITS)) for r in roots]


def _exact(expr: sp.Expr, root: sp.Expr) -> sp.Expr:
    """The fraction that a zero is, if it is a short one."""
    short = sp.nsimplify(root, rational=True, tolerance=sp.Rational(1, 10 ** (DIGITS // 2)))
    return short if short.q < 10**6 and expr.subs(z, short).is_zero else root


def branch(cases: sp.Expr, at: sp.Expr) -> sp.Expr:
    """The formula that holds at a point: each choice between cases is made there."""

    def chosen(piecewise: sp.Piecewise) -> sp.Expr:
        return next(value for value, condition in piecewise.args if condition.subs(z, at) == sp.true)

    return cases.replace(lambda e: isinstance(e, sp.Piecewise), chosen)


def split(cases: sp.Expr, points: Iterable[sp.Expr]) -> tuple[Piece, ...]:
    """The formulas between points, from minus to plus infinity; they must be those at which the formula changes, or more."""
    ends = [-sp.oo, *points, sp.oo]
    return tuple(Piece(low, high, branch(cases, _inside(low, high))) for low, high in pairwise(ends))


def merged(cases: sp.Expr) -> sp.Expr:
    """The one formula that holds on both sides of every point, if there is one; else the expression as it is."""
    if not isinstance(cases, sp.Piecewise):
        return cases
    formulas = {piece.formula for piece in split(cases, breakpoints(cases))}
    return formulas.pop() if len(formulas) == 1 else cases


def _inside(low: sp.Expr, high: sp.Expr) -> sp.Expr:
    """A point of an interval."""
    if low == -sp.oo:
        return sp.S.Zero if high == sp.oo else high - 1
    return low + 1 if high == sp.oo else (low + high) / 2


def sides(cases: sp.Expr, at: sp.Expr, points: Iterable[sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    """The formulas on the left and on the right of a point, given all points at which the formula changes."""
    others = sorted((p for p in {*points} if p != at), key=float)
    low = max((p for p in others if p < at), key=float, default=-sp.oo)
    high = min((p for p in others if p > at), key=float, default=sp.oo)
    return branch(cases, _inside(low, at)), branch(cases, _inside(at, high))


def limits(cases: sp.Expr, at: sp.Expr, points: Iterable[sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    """The limits at a point from the left and from the right, which may be infinite."""
    left, right = sides(cases, at, points)
    return _limit(left, at, "-"), _limit(right, at, "+")


def _limit(formula: sp.Expr, at: sp.Expr, side: str) -> sp.Expr:
    value = formula.subs(z, at)
    if value.is_finite and value.is_real:
        return value
    value = sp.limit(formula, z, at, side)
    if value.has(sp.nan, sp.zoo) or not value.is_extended_real:  # an oscillation, or more than SymPy knows
        return formula.subs(z, at + (NEAR if side == "+" else -NEAR))
    return value


@lru_cache(maxsize=1024)
def growth(cases: sp.Expr, at: sp.Expr, points: tuple[sp.Expr, ...]) -> tuple[float, float]:
    """The powers of the distance with which a function grows to the left and to the right of a point; 0 where it is finite."""
    left, right = sides(cases, at, points)
    return _growth(left, at, -1), _growth(right, at, 1)


def _growth(formula: sp.Expr, at: sp.Expr, sign: int) -> float:
    value = formula.subs(z, at)
    if value.is_finite and value.is_real:
        return 0.0
    with mpmath.workdps(2 * FAR_IN + DIGITS):
        f = sp.lambdify(z, formula, "mpmath")
        place = mpmath.mpmathify(sp.sympify(at).evalf(2 * FAR_IN + DIGITS))
        sizes = [mpmath.log(abs(f(place + sign * mpmath.mpf(10) ** -k)) or 1) for k in (FAR_IN, 2 * FAR_IN)]
        return min(0.0, float((sizes[0] - sizes[1]) / (FAR_IN * mpmath.log(10))))


def height(left: sp.Expr, right: sp.Expr) -> sp.Expr:
    """Right minus left of two finite limits, exactly; zero where they differ by rounding."""
    return sp.simplify(right - left) if differ(left, right) else sp.S.Zero


def differ(left: sp.Expr, right: sp.Expr) -> bool:
    """Whether two limits are different, or infinite."""
    if not (left.is_finite and right.is_finite):
        return True
    low, high = left.evalf(30), right.evalf(30)
    return bool(abs(high - low) > ROUNDING * (1 + abs(low)))


def first_break(
    derivative: Callable[[int], sp.Expr], points: tuple[sp.Expr, ...], *, highest: int = HIGHEST
) -> Break | None:
    """The lowest derivative of a function that breaks at one of the points at which its formula changes.

    None if none of the first ``highest`` does, the function itself counted.
    """
    for order in range(highest):
        for at in points:
            left, right = limits(derivative(order), at, points)
            if differ(left, right):
                return Break(order, at, left, right)
    return None


def cut_moments(
    mass: Any, ends: Callable[[int], tuple[Any, Any]], highest: int, mean: Any = 0, variance: Any = 1
) -> list[Any]:
    r"""The integrals of :math:`z^jp(z)`, j = 0 ... ``highest``, over an interval from l to h, p a Gaussian density.

    .. math:: M_j = m\,M_{j-1}+(j-1)\,v\,M_{j-2}-\bigl[v\,z^{j-1}p(z)\bigr]_l^h,

    since :math:`v\,p'=-(z-m)\,p`. ``mass`` is :math:`M_0`; ``ends(i)`` are :math:`v\,z^ip(z)` at l and at h. Expressions,
    numbers or arrays; p need not be normalised.
    """
    moments = [mass]
    for j in range(1, highest + 1):
        low, high = ends(j - 1)
        inherited = (j - 1) * variance * moments[j - 2] + low if j > 1 else low
        moments.append(inherited - high if mean == 0 else inherited - high + mean * moments[j - 1])
    return moments
