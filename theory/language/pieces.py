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

import sympy as sp

from .symbols import z

#: Functions that are written as cases, so that kinks and jumps can be read off.
CASES = (sp.Max, sp.Min, sp.Abs, sp.sign, sp.Heaviside)
#: Limits that differ by less, relative to their size, differ by the rounding of coefficients that are floats.
ROUNDING = 1e-12
#: How many derivatives are looked at, the function itself counted.
HIGHEST = 8
#: How far from a point the size of a function that has no limit there is looked at.
NEAR = sp.Rational(1, 10**10)


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
                points.update(sp.solve(relation.lhs - relation.rhs, z))
    return tuple(sorted((p for p in points if p.is_real), key=float))


def branch(cases: sp.Expr, at: sp.Expr) -> sp.Expr:
    """The formula that holds at a point: each choice between cases is made there."""

    def chosen(piecewise: sp.Piecewise) -> sp.Expr:
        return next(value for value, condition in piecewise.args if condition.subs(z, at) == sp.true)

    return cases.replace(lambda e: isinstance(e, sp.Piecewise), chosen)


def split(cases: sp.Expr, points: Iterable[sp.Expr]) -> tuple[Piece, ...]:
    """The formulas between points, from minus to plus infinity; they must be those at which the formula changes, or more."""
    ends = [-sp.oo, *points, sp.oo]
    return tuple(Piece(low, high, branch(cases, _inside(low, high))) for low, high in pairwise(ends))


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
