"""Sums of exponentials: coefficients by exponent, and the functions as which they are evaluated."""

from __future__ import annotations

from collections import defaultdict

import sympy as sp

from ...theory.averages.rules import Covariance
from ...theory.language.quantities import Entry

WAVES = (sp.exp, sp.sinh, sp.cosh)
#: Coefficients by exponent.
Waves = dict[sp.Expr, sp.Expr]
#: An entry of K, or of S.
Letter = Entry | Covariance


class DampedSinh(sp.Function):
    """sinh(x) exp(y), as the generated ``damped_sinh`` evaluates it; of three arguments x, y + x and y - x."""

    is_real = True


class DampedCosh(sp.Function):
    """cosh(x) exp(y), where cosh alone may overflow."""

    is_real = True


class Remainder(sp.Function):
    """exp(x) without the first terms of its series where ``size`` is below one, as the generated ``remainder`` evaluates it."""

    is_real = True


def collected(expr: sp.Expr) -> Waves:
    """The coefficients of all exponentials; products with hyperbolic functions are multiplied out, nothing else is."""
    total: Waves = defaultdict(lambda: sp.S.Zero)
    for coefficient, exponents in _terms(expr):
        total[_exponent(exponents)] += coefficient
    return {exponent: c for exponent, c in total.items() if c != 0}


def _terms(expr: sp.Expr) -> list[tuple[sp.Expr, tuple[sp.Expr, ...]]]:
    if not expr.has(*WAVES):
        return [(expr, ())]
    if expr.is_Add:
        return [term for part in expr.args for term in _terms(part)]
    if isinstance(expr, sp.exp):
        return [(sp.S.One, (expr.args[0],))]
    if isinstance(expr, sp.sinh | sp.cosh):
        (x,) = expr.args
        return [(sp.S.Half, (x,)), (sp.S.Half * (1 if isinstance(expr, sp.cosh) else -1), (-x,))]
    factors = sp.Mul.make_args(expr)
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        factors = (expr.base,) * int(expr.exp)
    if factors == (expr,):  # inside of a function
        return [(expr, ())]
    plain, waves = sp.Mul(*(f for f in factors if not f.has(*WAVES))), [f for f in factors if f.has(*WAVES)]
    total = [(plain, ())]
    for factor in waves:
        total = [(c * d, (*x, *y)) for c, x in total for d, y in _terms(factor)]
    return total


def _exponent(parts: tuple[sp.Expr, ...]) -> sp.Expr:
    """The sum of exponents, those of one denominator over it."""
    over: dict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.S.Zero)
    for part in parts:
        for term in sp.Add.make_args(part):
            factors = sp.Mul.make_args(term)
            below = [f for f in factors if f.is_Pow and f.exp.is_negative]
            over[sp.Mul(*(1 / f for f in below))] += sp.Mul(*(f for f in factors if f not in below))
    return sp.Add(*(sp.expand(n) / d for d, n in over.items()))


def summed(waves: Waves) -> sp.Expr:
    """The plain sum, opposite exponentials together as sinh and cosh."""
    left, terms = dict(waves), []
    for exponent in sorted(waves, key=sp.default_sort_key):
        if exponent not in left:
            continue
        c = left.pop(exponent)
        even, odd = _halves(exponent)
        mirrored = _exponent((even, -odd)) if odd != 0 else exponent
        sign = -1 if odd.could_extract_minus_sign() else 1
        if odd != 0 and left.get(mirrored) in (c, -c):
            even_in_x = left.pop(mirrored) == c
            terms.append(2 * c * (DampedCosh(sign * odd, even) if even_in_x else sign * DampedSinh(sign * odd, even)))
        else:
            terms.append(c * sp.exp(exponent))
    return sp.Add(*terms)


def _halves(exponent: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The parts of an exponent of two samples even and odd in the entry of both."""
    crossed = [e for e in exponent.atoms(Entry) if len(set(e.labels)) == 2]
    if len(crossed) != 1:
        return exponent, sp.S.Zero
    mirrored = _exponent((exponent.xreplace({crossed[0]: -crossed[0]}),))
    even, odd = (_exponent((exponent / 2, sign * mirrored / 2)) for sign in (1, -1))
    return even, odd
