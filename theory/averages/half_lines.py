r"""Averages over one variable of functions that are sums of :math:`z^je^{bz-cz^2}` between kinks at any places.

On an interval the exponential goes into the Gaussian, whose variance becomes :math:`v=K/(1+2cK)` and whose mean m = b v, with the
factor :math:`\sqrt{v/K}\,e^{b^2v/2}`; the moments of a Gaussian cut off at l and h follow from those before,

.. math::
    M_j = m\,M_{j-1}+(j-1)\,v\,M_{j-2}-v\,\bigl[z^{j-1}p(z)\bigr]_l^h,\qquad
    M_0=\tfrac12\Bigl[\operatorname{erf}\frac{z-m}{\sqrt{2v}}\Bigr]_l^h ,

since :math:`v\,p'=-(z-m)\,p`. Derivatives in front of the average are derivatives by K,
:math:`\langle\partial^2F\rangle=2\,\partial_K\langle F\rangle` (Price), and
:math:`\langle\partial F\rangle=\langle zF\rangle/K` (Stein).
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from ..language.pieces import cut_moments, split
from ..language.symbols import z
from .elementary import NoRule
from .regularity import Factor, without_deltas

#: The variance, as long as derivatives by it are taken.
VARIANCE = sp.Symbol("K", positive=True)


def cut_average(factors: tuple[Factor, ...], K: sp.Expr) -> sp.Expr:
    """The average of a product of functions of one variable, with kinks, by its variance; ``NoRule`` for other functions."""
    parts = without_deltas(factors)
    if parts is None or not any(act.kinks for act, _ in factors):
        raise NoRule
    total = sp.S.Zero
    for constant, times, product in parts:
        value = _average(product, times % 2)
        if times % 2:
            value /= VARIANCE
        for _ in range(times // 2):
            value = 2 * sp.diff(value, VARIANCE)
        total += constant * value
    return _collected(total).xreplace({VARIANCE: K})


def _average(factors: tuple[Factor, ...], power: int) -> sp.Expr:
    """<z^power f>, interval by interval."""
    function = z**power * sp.Mul(*(act.derivative(order) for act, order in factors))
    kinks = sorted({k for act, _ in factors for k in act.kinks}, key=float)
    total = sp.S.Zero
    for piece in split(function, kinks):
        for constant, j, b, c in _terms(piece.formula):
            total += constant * _moment(j, b, c, piece.low, piece.high)
    return total


def _terms(branch: sp.Expr) -> Iterator[tuple[sp.Expr, int, sp.Expr, sp.Expr]]:
    r"""The function as a sum of :math:`a\,z^je^{bz-cz^2}`: (a, j, b, c)."""
    for term in (t for t in sp.Add.make_args(sp.expand(branch)) if t != 0):
        constant, rest = term.as_independent(z, as_Add=False)
        power, exponent = 0, sp.S.Zero
        for factor in sp.Mul.make_args(rest):
            base, n = factor.as_base_exp()
            if isinstance(factor, sp.exp):
                exponent += factor.args[0]
            elif base == z and n.is_Integer and n >= 0:
                power += int(n)
            elif factor != 1:
                raise NoRule
        if not exponent.is_polynomial(z) or sp.degree(exponent, z) > 2:
            raise NoRule
        b, c, shift = exponent.coeff(z, 1), -exponent.coeff(z, 2), exponent.coeff(z, 0)
        if not (b.is_real and c.is_nonnegative):
            raise NoRule
        yield constant * sp.exp(shift), power, b, c


def _moment(j: int, b: sp.Expr, c: sp.Expr, low: sp.Expr, high: sp.Expr) -> sp.Expr:
    v = VARIANCE / (1 + 2 * c * VARIANCE)
    m = b * v

    def cut(power: int, at: sp.Expr) -> sp.Expr:
        """V z^power times the density at an end."""
        if at in (sp.oo, -sp.oo):
            return sp.S.Zero
        return v * at**power * sp.exp(-((at - m) ** 2) / (2 * v)) / sp.sqrt(2 * sp.pi * v)

    side = _tail(b, low, high)
    near, far = (low, high) if side > 0 else (high, low)
    whole = (_beyond(side * (near - m) / sp.sqrt(2 * v)) - _beyond(side * (far - m) / sp.sqrt(2 * v))) / 2
    moments = cut_moments(whole, lambda i: (cut(i, low), cut(i, high)), j, m, v)
    return sp.sqrt(v / VARIANCE) * sp.exp(b**2 * v / 2) * moments[-1]


def _tail(b: sp.Expr, low: sp.Expr, high: sp.Expr) -> int:
    """The tail, +1 or -1, of the Gaussian of mean b v in which an interval lies: there erfc keeps its digits."""
    if low == -sp.oo or high == sp.oo:
        return -1 if low == -sp.oo else 1
    if (b > 0 and low > 0) or (b < 0 and high < 0):
        raise NoRule  # on which side of the mean it lies depends on the variance
    return -1 if b > 0 or (b == 0 and high <= 0) else 1


def _beyond(x: sp.Expr) -> sp.Expr:
    """erfc, and 0 at infinity."""
    return sp.S.Zero if x.has(sp.oo) else sp.erfc(x)


def _collected(expr: sp.Expr) -> sp.Expr:
    """Equal error functions and exponentials together, with simple factors."""
    # powsimp(combine="exp") takes sqrt(2) exp(x) for a power of e with log 2 in the wrong place (SymPy 1.14).
    expr = expr.replace(lambda e: isinstance(e, (sp.erfc, sp.exp)), lambda e: e.func(sp.expand(e.args[0])))
    expr = sp.Add(*map(_one_exponential, sp.Add.make_args(sp.expand(expr, power_exp=False))))
    kinds = sorted(expr.atoms(sp.erfc, sp.exp), key=sp.default_sort_key)
    return sp.collect(expr, kinds, sp.factor_terms) if kinds else expr


def _one_exponential(term: sp.Expr) -> sp.Expr:
    """Products of exponentials as one."""
    factors = sp.Mul.make_args(term)
    exponent = sp.Add(*(f.args[0] for f in factors if isinstance(f, sp.exp)))
    return sp.Mul(*(f for f in factors if not isinstance(f, sp.exp))) * sp.exp(sp.expand(exponent))
