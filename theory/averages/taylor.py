r"""Gaussian averages near K = 0: the heat equation, for functions that are smooth there and for functions with a kink.

With the one-sided Taylor coefficients :math:`f_n^\pm` of f at 0 and :math:`q=\sqrt{2/\pi}`, the half-Gaussian moments give

.. math::
    \langle f\rangle_K = \sum_n \frac{f_n^+ + (-1)^n f_n^-}{2}\,(n-1)!!\,\frac{q^{[n\ \rm odd]}}{n!}\,K^{n/2}.

For a smooth f the odd powers cancel and :math:`e^{(K/2)\partial_z^2}f(0)` remains. The series is asymptotic: the values of f far
from 0 contribute beyond all orders. Two derivatives in front of a body are :math:`2\,d/dK`, one is Stein's
:math:`\langle\partial_z f\rangle=\langle zf\rangle/K`, so a kinked body is never differentiated by z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import sympy as sp
from sympy.polys.domains import EX

from ..language.errors import NotAvailable
from ..language.jets import Sigma
from ..language.pieces import branch, sides
from ..language.symbols import z
from ..networks.activations import Activation
from .gaussian import Average

#: The letter for sqrt(2/pi), which odd half-Gaussian moments hold. pi is transcendental, so a letter loses no cancellation.
ROOT = sp.Symbol("q", positive=True)

Numbers = tuple[sp.Expr, ...]


@dataclass(frozen=True)
class Taylor:
    r"""The derivatives of an activation at 0 from the right and from the left, as many as are asked for."""

    right: Callable[[int], Numbers]
    left: Callable[[int], Numbers]

    def sides(self, count: int) -> tuple[Numbers, Numbers]:
        """The derivatives of order 0 ... count - 1."""
        return self.right(count), self.left(count)

    @cached_property
    def scale(self) -> sp.Expr:
        """A slope by which sigma can be divided, so that erf is as rational as tanh: one that is not zero, or 1."""
        return next((side[1] for side in self.sides(2) if side[1] != 0), sp.Integer(1))

    def scaled(self) -> Taylor:
        """The expansion of sigma/scale. The recursions do not change when C_W and lambda_W are multiplied by scale^2."""
        divide = lambda side: lambda count: tuple(sp.cancel(c / self.scale) for c in side(count))  # noqa: E731
        return Taylor(divide(self.right), divide(self.left))


def taylor(activation: Activation) -> Taylor:
    """The Taylor data of a concrete activation; ``InvalidArgument`` for the unspecified one."""
    sides = (1, -1) if activation.concrete().kinks else (1, 1)
    return Taylor(*(lambda count, s=side: _derivatives(activation, s, _rounded(count))[:count] for side in sides))


def _rounded(count: int) -> int:
    """Numbers of derivatives that are asked for one after the other share one series."""
    return -(-count // 8) * 8


@lru_cache(maxsize=256)
def _derivatives(activation: Activation, side: int, count: int) -> Numbers:
    left, right = sides(activation.pieces, sp.S.Zero, activation.kinks)
    branch = right if side > 0 else left
    # series() skips zero coefficients at the end, so that it may return more than it is asked for, and never less.
    polynomial = sp.series(branch, z, 0, count).removeO() if not branch.is_polynomial(z) else branch
    if polynomial.has(sp.Order) or not sp.expand(polynomial).is_polynomial(z):
        raise NotAvailable(
            f"activation={activation.name!r} has no Taylor expansion at z = 0{'+-'[side < 0]}; allowed: activations with "
            "derivatives of all orders on each side of 0"
        )
    polynomial = sp.expand(polynomial)
    return tuple(sp.factorial(k) * polynomial.coeff(z, k) for k in range(count))


def at_origin(node: Average, order: sp.Rational) -> Iterator[sp.Expr]:
    """The terms of an average of one sample, in powers of its small variance below ``order``; of a concrete activation."""
    assert node.activation is not None
    (variance,) = node.covariance.values()
    found = MomentSeries(taylor(node.activation), EX)(node.general, sp.Rational(order))
    for exponent, coefficient in sorted(found.items()):
        yield sp.simplify(EX.to_sympy(coefficient).subs(ROOT, sp.sqrt(2 / sp.pi))) * variance**exponent


def at_infinity(node: Average) -> sp.Expr:
    """The limit of an average of one sample as its variance grows: the mean of the limits of the function at both ends."""
    act = node.activation
    assert act is not None
    ends = [0] if node.derivatives else [_end(node.body, act, end) for end in (sp.oo, -sp.oo)]
    mean = sp.Add(*ends) / 2
    if not mean.is_finite or mean == 0:
        raise NotAvailable(
            f"{node} at an infinite variance, where it is {mean} or not known; allowed: functions with finite limits at both "
            "ends that do not cancel"
        )
    return mean


def _end(body: sp.Expr, act: Activation, end: sp.Expr) -> sp.Expr:
    """The limit of a product of derivatives of an activation."""
    beyond = sp.sign(end) * (1 + max((abs(kink) for kink in act.kinks), default=sp.S.Zero))
    factors = (
        sp.limit(branch(act.derivative(base.order), beyond), z, end) ** power
        for base, power in body.as_powers_dict().items()
    )
    return sp.Mul(*factors)


class MomentSeries:
    r"""Averages of one input as power series in K, their coefficients in a ``domain`` that holds :data:`ROOT`."""

    def __init__(self, data: Taylor, domain: Any) -> None:
        """Nothing is computed yet."""
        self.data, self.domain = data, domain
        self._found: dict[tuple[Average, sp.Rational], dict[sp.Rational, Any]] = {}

    def __call__(self, node: Average, order: sp.Rational) -> dict[sp.Rational, Any]:
        """The coefficients of the powers of K below ``order``; the powers are halves of integers."""
        if (node, order) not in self._found:
            self._found[node, order] = self._series(node, order)
        return self._found[node, order]

    def _series(self, node: Average, order: sp.Rational) -> dict[sp.Rational, Any]:
        pairs, odd = divmod(len(node.derivatives), 2)
        # z^n of the body gives K^(n/2), or with Stein's z in front and 1/K behind K^((n+1)/2 - 1); each pair lowers by one.
        degree = int(sp.ceiling(2 * (order + pairs) + odd))
        highest = max((factor.order for factor in node.body.atoms(Sigma)), default=0)
        sides = self.data.sides(degree + highest + 1)
        right, left = (self._polynomial(node.body, side, degree) for side in sides)
        series: dict[sp.Rational, Any] = {}
        for n, (r, s) in enumerate(zip(right, left, strict=True)):
            m = n + odd
            both = r + s if m % 2 == 0 else r - s
            if both:
                half = sp.factorial2(m - 1) / 2 * (ROOT if m % 2 else 1)
                series[sp.Rational(m, 2) - odd] = self.domain.from_sympy(half) * both
        for _ in range(pairs):
            series = {e - 1: 2 * self.domain.from_sympy(e) * c for e, c in series.items() if e != 0}
        return {e: c for e, c in series.items() if e < order}

    def _polynomial(self, body: sp.Expr, derivatives: Numbers, degree: int) -> list[Any]:
        """The coefficients of z^0 ... z^degree on one side."""
        total = [self.domain.one] + [self.domain.zero] * degree
        for base, power in body.as_powers_dict().items():
            if not isinstance(base, Sigma) or not (power.is_Integer and power > 0):
                raise NotAvailable(
                    f"the average {body} holds {base}**{power}; allowed: derivatives of sigma at one input"
                )
            factor = [self.domain.from_sympy(derivatives[base.order + n] / sp.factorial(n)) for n in range(degree + 1)]
            for _ in range(int(power)):
                total = [
                    sum((total[i] * factor[n - i] for i in range(n + 1)), self.domain.zero) for n in range(degree + 1)
                ]
        return total
