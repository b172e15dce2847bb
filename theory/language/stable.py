r"""Functions written so that their evaluation neither overflows nor divides infinity by infinity where they are finite.

A quotient of sums of exponentials, such as :math:`1/(1+e^{-z})`, is infinity over infinity far out. It is a rational function of
:math:`t=e^h`, and with :math:`t=(1+T)/(1-T)` one of :math:`T=\tanh(h/2)`, which stays between -1 and 1. What grows is split off
first, by long division of the Laurent polynomial. The logarithm of a sum is
:math:`\log(ae^u+be^v)=\tfrac{u+v+\log ab}2+\log\bigl(2\cosh\tfrac{u-v+\log a/b}2\bigr)`, and the last term is printed as the
function ``logaddexp``. A root minus its value at zero, :math:`\sqrt P-c`, is :math:`(P-c^2)/(\sqrt P+c)`.

Each new form is compared with the old one in many digits; where they differ nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, reduce
from math import gcd, lcm
from typing import Any

import mpmath
import sympy as sp

HYPERBOLIC = (sp.sinh, sp.cosh, sp.tanh, sp.sech, sp.csch, sp.coth)
#: The highest power of t that is worked with.
MOST = 24
#: The points at which old and new form are compared, and how well they must agree.
PLACES, AGREED = ("-7.3", "-2.1", "-0.37", "0.0113", "0.83", "1.9", "6.7"), 1e-25
#: Digits of the comparison.
DIGITS = 40

#: Powers of t with their coefficients.
Laurent = dict[int, sp.Expr]


@lru_cache(maxsize=2048)
def stable(expr: sp.Expr) -> sp.Expr:
    """The expression in a form that can be evaluated wherever it is finite, as far as a rule is known; else as it is."""
    if isinstance(expr, sp.Piecewise):
        return sp.Piecewise(*((stable(value), condition) for value, condition in expr.args))
    if expr.has(sp.Piecewise) or not (expr.has(sp.exp, *HYPERBOLIC) or _roots(expr)):
        return expr
    if not expr.free_symbols:
        return expr
    exact = expr.xreplace({number: sp.Rational(str(number)) for number in expr.atoms(sp.Float)})  # 1.5 is 3/2
    new = _visited(exact)
    return new if new != exact and same(exact, new) else expr


def same(first: sp.Expr, second: sp.Expr) -> bool:
    """Whether two expressions agree at some points, in many digits."""
    letters = sorted(first.free_symbols | second.free_symbols, key=str)
    one, other = (sp.lambdify(letters, e, "mpmath") for e in (first, second))
    compared = 0
    with mpmath.workdps(DIGITS):
        for i in range(len(PLACES)):
            at = [mpmath.mpf(PLACES[(i + 3 * k) % len(PLACES)]) for k in range(len(letters))]
            try:
                a, b = one(*at), other(*at)
            except (ValueError, ZeroDivisionError, OverflowError, TypeError):
                continue
            if not abs(a - b) <= AGREED * (1 + abs(a)):
                return False
            compared += 1
    return compared > len(PLACES) // 2


def _roots(expr: sp.Expr) -> bool:
    return any(p.exp == sp.S.Half for p in expr.atoms(sp.Pow))


def _visited(expr: sp.Expr) -> sp.Expr:
    """The rules, from the inside out: logarithms, functions of logarithms, quotients, differences of roots."""
    if not expr.args or not expr.free_symbols:
        return expr
    if isinstance(expr, sp.log):
        return _logarithm(expr.args[0])
    if isinstance(expr, HYPERBOLIC) and expr.has(sp.log):
        plain = expr.rewrite(sp.exp)  # tanh(log u) = (u^2 - 1)/(u^2 + 1)
        if not plain.has(sp.log):
            return _visited(plain)
    leaves = _leaves(expr)
    if leaves == [expr]:
        expr = expr.func(*map(_visited, expr.args))
        return _quotient(expr) if isinstance(expr, (sp.sech, sp.csch, sp.coth)) else expr
    inner = {leaf: _visited(leaf) for leaf in leaves}
    expr = expr.xreplace({old: new for old, new in inner.items() if old != new})
    return _conjugated(_quotient(expr))


def _leaves(expr: sp.Expr) -> list[sp.Expr]:
    """The functions and symbols of which an expression is sums, products and powers."""
    if isinstance(expr, sp.Add | sp.Mul) or (isinstance(expr, sp.Pow) and not expr.exp.free_symbols):
        inside = expr.args if not isinstance(expr, sp.Pow) else expr.args[:1]
        return list(dict.fromkeys(leaf for a in inside for leaf in _leaves(a)))
    return [expr] if expr.free_symbols else []


# ---------------------------------------------------------------------------------------------------------- quotients


def _exponents(leaves: list[sp.Expr]) -> list[sp.Expr]:
    """The exponents of exponentials and hyperbolic functions, without constants and up to their signs."""
    found = [leaf.args[0] for leaf in leaves if isinstance(leaf, (sp.exp, *HYPERBOLIC))]
    return [sp.expand(e).as_independent(*e.free_symbols, as_Add=True)[1] for e in found]


def _unit(exponents: list[sp.Expr]) -> sp.Expr | None:
    """The largest h of which all exponents are integer multiples; None if there is none."""
    first = exponents[0]
    ratios = [sp.cancel(e / first) for e in exponents]
    if not all(r.is_Rational and r != 0 for r in ratios):
        return None
    common = reduce(lcm, (int(r.q) for r in ratios))
    step = reduce(gcd, (abs(int(r * common)) for r in ratios))
    unit = first * sp.Rational(step, common)
    return -unit if unit.could_extract_minus_sign() else unit


def _in_powers(
    expr: sp.Expr, leaves: list[sp.Expr], h: sp.Expr, t: sp.Symbol, masks: Mapping[sp.Expr, sp.Expr]
) -> sp.Expr:
    """The expression with exponentials as powers of t, and masks for its other functions."""

    def power(exponent: sp.Expr) -> sp.Expr:
        constant, rest = sp.expand(exponent).as_independent(*h.free_symbols, as_Add=True)
        return sp.exp(constant) * t ** sp.cancel(rest / h)

    def written(leaf: sp.Expr) -> sp.Expr:
        if isinstance(leaf, sp.exp):
            return power(leaf.args[0])
        up = power(leaf.args[0])
        sinh, cosh = (up - 1 / up) / 2, (up + 1 / up) / 2
        forms = {
            sp.sinh: sinh,
            sp.cosh: cosh,
            sp.tanh: sinh / cosh,
            sp.coth: cosh / sinh,
            sp.sech: 1 / cosh,
            sp.csch: 1 / sinh,
        }
        return forms[leaf.func]

    return expr.xreplace({leaf: masks[leaf] if leaf in masks else written(leaf) for leaf in leaves})


def _needs(expr: sp.Expr) -> bool:
    """Whether exponentials stand in a denominator, or hyperbolic functions beside exponentials in a product."""
    kinds = (sp.exp, sp.sinh, sp.cosh, sp.sech, sp.csch, sp.coth)
    if any(p.base.has(*kinds) and p.exp.is_negative and not isinstance(p, sp.exp) for p in expr.atoms(sp.Pow)):
        return True
    if expr.has(sp.sech, sp.csch, sp.coth):
        return True
    factors = ([f.as_base_exp()[0] if not isinstance(f, sp.exp) else f for f in p.args] for p in expr.atoms(sp.Mul))
    return any(sum(f.has(sp.exp, sp.sinh, sp.cosh) for f in product) > 1 for product in factors)


def _quotient(expr: sp.Expr) -> sp.Expr:
    """A rational function of exponentials by tanh."""
    leaves = _leaves(expr)
    exponents = _exponents(leaves)
    if not exponents or not _needs(expr):
        return expr
    h = _unit(exponents)
    if h is None:
        return _one_exponential(expr)
    t = sp.Dummy("t", positive=True)
    masks = {leaf: sp.Dummy(real=True) for leaf in leaves if not isinstance(leaf, (sp.exp, *HYPERBOLIC))}
    inside = _in_powers(expr, leaves, h, t, masks)
    back = {mask: leaf for leaf, mask in masks.items()}
    parts = _divided(inside, t)
    if parts is None:
        return expr
    grown, step, numerator, denominator = parts
    total = sp.Add(*(c * sp.exp(k * h) for k, c in grown.items()))
    if numerator:
        total += _by_tanh(numerator, denominator, step * h / 2)
    return total.xreplace(back)


def _divided(expr: sp.Expr, t: sp.Symbol) -> tuple[Laurent, int, Laurent, Laurent] | None:
    """A rational function of t: powers that grow, and numerator and denominator in powers of t^step of what stays finite.

    None for no rational function, and for powers that are too high.
    """
    if not expr.is_rational_function(t):
        return None
    top, bottom = sp.fraction(sp.cancel(sp.together(expr)))
    if not (top.is_polynomial(t) and bottom.is_polynomial(t)):
        return None
    N, D = _coefficients(top, t), _coefficients(bottom, t)
    if max([*N, *D]) > MOST:
        return None
    low = min(D)
    N, D = {k - low: c for k, c in N.items()}, {k - low: c for k, c in D.items()}
    grown: Laurent = {}
    high, last = max(D), D[max(D)]
    while N and min(N) < 0:
        k = min(N)
        _subtract(N, D, k, grown.setdefault(k, sp.cancel(N[k] / D[0])))
    while N and (max(N) > high or high == 0):
        k = max(N) - high
        _subtract(N, D, k, grown.setdefault(k, sp.cancel(N[max(N)] / last)))
    step = reduce(gcd, [*N, *D], 0) or 1
    return grown, step, {k // step: c for k, c in N.items()}, {k // step: c for k, c in D.items()}


def _coefficients(polynomial: sp.Expr, t: sp.Symbol) -> Laurent:
    return {int(k): c for (k,), c in sp.Poly(polynomial, t).terms()}


def _subtract(N: Laurent, D: Laurent, shift: int, factor: sp.Expr) -> None:
    """N - factor t^shift D, in place."""
    for k, c in D.items():
        left = sp.cancel(N.get(k + shift, sp.S.Zero) - factor * c)
        if left == 0:
            N.pop(k + shift, None)
        else:
            N[k + shift] = left


def _by_tanh(numerator: Laurent, denominator: Laurent, half: sp.Expr) -> sp.Expr:
    """A quotient of polynomials in t, finite for t = 0 and infinity, as one of T: t = (1 + T)/(1 - T)."""
    T, degree = sp.Dummy("T", real=True), max(denominator)

    def form(p: Laurent) -> sp.Expr:
        return sp.Add(*(c * (1 + T) ** k * (1 - T) ** (degree - k) for k, c in p.items()))

    return sp.factor(sp.cancel(form(numerator) / form(denominator))).xreplace({T: sp.tanh(half)})


def _one_exponential(expr: sp.Expr) -> sp.Expr:
    """Hyperbolic functions beside exponentials as exponentials, each product with one exponent."""
    if any(
        p.exp.is_negative and p.base.has(sp.exp, *HYPERBOLIC) for p in expr.atoms(sp.Pow) if not isinstance(p, sp.exp)
    ):
        return expr
    total = []
    for term in sp.Add.make_args(sp.expand(expr.rewrite((sp.sinh, sp.cosh), sp.exp), power_exp=False)):
        powers = [f for f in sp.Mul.make_args(term) if isinstance(f, sp.exp)]
        others = [f for f in sp.Mul.make_args(term) if not isinstance(f, sp.exp)]
        total.append(sp.Mul(*others, sp.exp(sp.expand(sp.Add(*(f.args[0] for f in powers))))))
    return sp.Add(*total)


# --------------------------------------------------------------------------------------------------------- logarithms


def _logarithm(inside: sp.Expr) -> sp.Expr:
    """The logarithm of a positive expression."""
    leaves = _leaves(inside)
    exponents = _exponents(leaves)
    plain = sp.log(_visited(inside))
    if not exponents or any(not isinstance(leaf, (sp.exp, *HYPERBOLIC)) for leaf in leaves):
        return _two(inside) or plain
    h = _unit(exponents)
    if h is None:
        return _two(inside) or plain
    t = sp.Dummy("t", positive=True)
    whole = _in_powers(inside, leaves, h, t, {})
    if not whole.is_rational_function(t):
        return plain
    total: sp.Expr = sp.S.Zero
    for part, sign in zip(sp.fraction(sp.cancel(sp.together(whole))), (1, -1), strict=True):
        if not part.is_polynomial(t) or sp.degree(part, t) > MOST:
            return plain
        constant, factors = sp.factor_list(part, t)
        if constant.is_positive is not True:
            return plain
        total += sign * sp.log(constant)
        for factor, multiplicity in factors:
            found = _of_terms([(c, k * h) for k, c in _coefficients(factor, t).items()])
            if found is None:
                return plain
            total += sign * multiplicity * found
    return total


def _two(inside: sp.Expr) -> sp.Expr | None:
    """The logarithm of a sum of two exponentials, or of 1 and one."""
    terms = []
    for term in sp.Add.make_args(inside):
        constant, rest = term.as_independent(*inside.free_symbols, as_Add=False)
        if not isinstance(rest, sp.exp) and rest != 1:
            return None
        terms.append((constant, rest.args[0] if rest != 1 else sp.S.Zero))
    return _of_terms(terms)


def _of_terms(terms: list[tuple[sp.Expr, sp.Expr]]) -> sp.Expr | None:
    """log(sum_k c_k exp(g_k)) with positive c_k; None for others."""
    if any(c.is_positive is not True for c, _ in terms):
        return None
    if len(terms) == 1:
        ((c, g),) = terms
        return sp.log(c) + g
    if len(terms) > 2:
        return sp.log(sp.Add(*(c * sp.exp(g) for c, g in terms)))
    u, v = (g + sp.log(c) for c, g in sorted(terms, key=lambda term: sp.default_sort_key(term[1]), reverse=True))
    half = (u - v) / 2
    half = -half if half.could_extract_minus_sign() else half
    return sp.expand((u + v) / 2) + sp.log(2 * sp.cosh(half))


# -------------------------------------------------------------------------------------------------------------- roots


def _conjugated(expr: sp.Expr) -> sp.Expr:
    """A root minus a number that it has somewhere: the difference of squares over the sum."""

    def change(total: sp.Add) -> sp.Expr:
        constant, rest = total.as_independent(*total.free_symbols, as_Add=True)
        factor, root = rest.as_independent(*total.free_symbols, as_Add=False)
        if not (isinstance(root, sp.Pow) and root.exp == sp.S.Half and constant.is_real and factor.is_real):
            return total
        if constant == 0 or constant * factor > 0:
            return total
        squares = sp.expand(factor**2 * root.base - constant**2)
        if squares.subs(dict.fromkeys(total.free_symbols, 0)) != 0:
            return total
        return squares / (rest - constant)

    is_sum: Callable[[Any], bool] = lambda e: isinstance(e, sp.Add) and bool(e.free_symbols)  # noqa: E731
    return expr.replace(is_sum, change) if _roots(expr) else expr
