r"""Averages of derivatives as averages: the derivatives go over to the density, whose derivatives are polynomials times itself."""

from __future__ import annotations

from typing import Any

import sympy as sp

from ...theory.averages.integrands import Integrand
from ...theory.averages.reading import read_integrand
from ...theory.language.reading import read_number


def without_derivatives(known: Integrand, K: Any, in_front: tuple[int, ...] = ()) -> Integrand:
    r"""An integrand without delta functions that has the same average at this covariance, which has an inverse.

    .. math:: \langle\partial^mF\rangle=\langle F\,H_m\rangle,\qquad H_m=(-1)^{|m|}\,p^{-1}\,\partial^mp,\quad p=e^{-z^TK^{-1}z/2}

    ``in_front`` are further derivatives in front of the whole, by each variable.
    """
    regular = known.regular()
    assert regular is not None
    z = sp.Matrix([sp.Symbol(label, real=True) for label in known.labels])
    inverse = sp.Matrix([[_exact(x) for x in row] for row in K]).inv()
    exponent = -(z.T * inverse * z)[0] / 2
    total = sp.S.Zero
    for product, by in regular:
        weight = sp.S.One
        for x, times, more in zip(z, by, in_front or (0,) * len(z), strict=True):
            for _ in range(times + more):  # p w -> -p (w' + exponent' w)
                weight = sp.expand(-sp.diff(weight, x) - sp.diff(exponent, x) * weight)
        factors = (act(sp.Symbol(label, real=True), order) for label, (act, order) in product.factors)
        total += product.constant * sp.Mul(*factors) * weight
    return read_integrand(total)


def _exact(number: Any) -> sp.Rational:
    """The exact value: of a number its binary fraction, of a text the fraction that is written."""
    if isinstance(number, str):
        return read_number("covariance", number)
    return sp.Rational(number if isinstance(number, int | float) else sp.sympify(number))
