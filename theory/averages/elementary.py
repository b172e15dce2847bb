r"""A function of one z as a sum of elementary functions, whose means ``rules`` knows.

A term is :math:`z^ne^{-qz^2/2+jz}` times *steps* :math:`s_w`, where :math:`s_0` is the sign function and
:math:`s_w(z)=\mathrm{erf}(z/\sqrt{2w})` the sign of z plus a noise of variance w. For :math:`q=\infty` a term is a delta function,
and n = 0, -1, -2, ... says that it is :math:`\delta(z),\delta'(z),\delta''(z),\dots`: multiplication by z lowers the derivative.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from math import comb

import sympy as sp

from ..language.pieces import height, limits, sides
from ..language.symbols import z
from ..networks.activations import Activation

#: (n, q, j, widths of the steps) of one sample
Key = tuple[int, sp.Expr, sp.Expr, tuple[sp.Expr, ...]]
#: a function of one z as a sum: coefficient of each key
Terms = dict[Key, sp.Expr]

ONE: Key = (0, sp.S.Zero, sp.S.Zero, ())
_OSCILLATING = (sp.sin, sp.cos, sp.sinh, sp.cosh)


class NoRule(Exception):
    """No row of the table applies: a signal between rules, which ``closed_form`` catches."""


def multiply(left: Terms, right: Terms) -> Terms:
    """The product of two functions of the same z."""
    result: Terms = defaultdict(lambda: sp.S.Zero)
    for first, c in left.items():
        for second, d in right.items():
            for key, factor in _product(first, second):
                result[key] += c * d * factor
    return dict(result)


def _product(first: Key, second: Key) -> list[tuple[Key, sp.Expr]]:
    if sp.oo in (first[1], second[1]):
        return _sifted(*((first, second) if first[1] == sp.oo else (second, first)))
    (n, q, j, steps), (m, p, i, more) = first, second
    together = sorted((*steps, *more), key=float)
    signs = together.count(sp.S.Zero)  # the square of a sign is 1
    return [((n + m, q + p, j + i, tuple(together[signs - signs % 2 :])), sp.S.One)]


def _sifted(delta: Key, other: Key) -> list[tuple[Key, sp.Expr]]:
    """f(z) delta^(m)(z) = sum_k (-1)^k C(m, k) f^(k)(0) delta^(m-k)(z)."""
    (n, q, j, steps), m = other, -delta[0]
    if q == sp.oo or (sp.S.Zero in steps and n <= m):
        raise NoRule  # delta squared is infinite; delta times a power of a sign depends on how both are smoothed
    if n > m:
        return []
    f = z**n * sp.exp(-q * z**2 / 2 + j * z) * sp.Mul(*(sp.erf(z / sp.sqrt(2 * w)) for w in steps))
    values = ((k, sp.diff(f, z, k).subs(z, 0)) for k in range(m + 1))
    return [((k - m, *delta[1:]), (-1) ** k * comb(m, k) * value) for k, value in values if value != 0]


def differentiate(terms: Terms) -> Terms:
    """The derivative, in the sense of distributions."""
    result: Terms = defaultdict(lambda: sp.S.Zero)
    for (n, q, j, steps), c in terms.items():
        if q == sp.oo:
            result[n - 1, q, j, steps] += c
            continue
        for power, factor in ((n - 1, sp.Integer(n)), (n + 1, -q), (n, j)):
            if factor != 0:
                result[power, q, j, steps] += c * factor
        for k, w in enumerate(steps):  # 2 exp(-z^2/2w) / sqrt(2 pi w)
            rest = (n, q, j, steps[:k] + steps[k + 1 :])
            peak = (0, 1 / w if w != 0 else sp.oo, sp.S.Zero, ())
            height = 2 / sp.sqrt(2 * sp.pi * w) if w != 0 else sp.Integer(2)
            for key, factor in _product(peak, rest):
                result[key] += c * height * factor
    return {key: c for key, c in result.items() if c != 0}


@lru_cache(maxsize=1024)
def read(activation: Activation, order: int) -> Terms:
    """The order-th derivative of the activation, in the sense of distributions, as a sum of elementary functions of z."""
    if activation.smooth:
        if order:
            read(activation, 0)  # if the activation is no sum of elementary functions, neither is its derivative
        return _elementary(activation.derivative(order))
    if activation.kinks != (0,):
        raise NoRule
    # f = f_+ theta(z) + f_- theta(-z) = (f_+ + f_-)/2 + sign(z) (f_+ - f_-)/2
    minus, plus = sides(activation.derivative(order), sp.S.Zero, activation.kinks)
    even = _elementary(sp.expand(plus + minus) / 2)
    odd = _elementary(sp.expand(plus - minus) / 2)
    terms = {**even, **{(n, q, j, (*steps, sp.S.Zero)): c for (n, q, j, steps), c in odd.items()}}
    # Each derivative that jumps leaves a delta function in the next one.
    for below in range(order):
        step = height(*limits(activation.derivative(below), sp.S.Zero, activation.kinks))
        if step != 0:
            terms[below + 1 - order, sp.oo, sp.S.Zero, ()] = step
    return terms


def _elementary(expr: sp.Expr) -> Terms:
    result: Terms = defaultdict(lambda: sp.S.Zero)
    if expr == 0:
        return {}
    expr = expr.rewrite(sp.erfc, sp.erf).rewrite(_OSCILLATING, sp.exp)
    for term in sp.Add.make_args(sp.expand(expr)):
        constant, function = term.as_independent(z, as_Add=False)
        n, _, _, steps = ONE
        exponent = sp.S.Zero
        for factor in sp.Mul.make_args(function):
            base, power = factor.as_base_exp()
            if base == z and power.is_Integer and power > 0:
                n += int(power)
            elif isinstance(factor, sp.exp):
                exponent += factor.args[0]
            elif isinstance(base, sp.erf) and power.is_Integer and power > 0:
                c = sp.expand(base.args[0] / z)
                if c.has(z):  # a step away from zero
                    raise NoRule
                constant *= sp.sign(c) ** power
                steps = (*steps, *[1 / (2 * c**2)] * int(power))
            elif function != 1:
                raise NoRule
        q, j, shift = _quadratic(exponent)
        result[n, q, j, tuple(sorted(steps, key=float))] += constant * sp.exp(shift)
    return {key: c for key, c in result.items() if c != 0}


def _quadratic(exponent: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """(q, j, c) of -q z^2/2 + j z + c; a growing Gaussian has no mean for large K."""
    if not exponent.is_polynomial(z) or sp.degree(exponent, z) > 2:
        raise NoRule
    c, j, square = (sp.expand(exponent).coeff(z, k) for k in range(3))
    if not (square.is_real and square <= 0):
        raise NoRule
    return -2 * square, j, c
