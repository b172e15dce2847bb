r"""From series in a decaying kernel to series in the layer number.

The layer number as a function of K is :math:`\ell+\ell_0=\tau(K)=\frac{1}{s|\alpha|}K^{-s}(1+g(K))`. In the variable
:math:`w=(s|\alpha|\,\ell)^{-1/s}` this is :math:`K=w(1+\epsilon)` with

.. math:: 1+\epsilon = \left[\frac{1+s|\alpha|\,\ell_0\,w^s}{1+g(w(1+\epsilon))}\right]^{-1/s},

solved by iteration: each step gains an order. A series in K then becomes a series in w by the substitution that also carries it
from layer to layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy as sp

from ..averages.taylor import ROOT
from ..language.errors import NotAvailable
from ..language.symbols import ell, lambda_b, lambda_W
from .depthlaw import SHIFT, DepthLaw, dimension, kernel
from .origin import ZERO, Origin
from .series import Orbit, Series

#: Orders in 1/ell that are written out: the leading one and the next.
SHOWN = 2


#: Exponent of K or w, power of its logarithm, coefficient.
Term = tuple[sp.Expr, int, sp.Expr]


@dataclass(frozen=True, eq=False)
class Decay:
    """A solved system, and how the coefficients of its ring are written."""

    system: Origin
    rates: Mapping[sp.Symbol, sp.Expr]
    scale: sp.Expr  #: the slope by which the activation was divided

    def check(self) -> Decay:
        """Itself; ``NotAvailable`` if kernels leave the fixed point instead of running into it."""
        if self.speed.is_number and not self.speed > 0:
            raise NotAvailable(
                f"K = 0 is unstable: K' = K + ({-self.speed / self.s}) K**{1 + self.s} + ... grows away from it; "
                "allowed: activations whose kernel runs into K = 0, or point= another critical point"
            )
        return self

    def laws(self) -> dict[str, DepthLaw]:
        """The law of each quantity."""
        return {name: self._law(name) for name in self.system.laws}

    @cached_property
    def s(self) -> sp.Expr:
        """K' = K + alpha K^(1+s)."""
        return self.system.orbit.rate[0]

    @cached_property
    def speed(self) -> sp.Expr:
        """The growth of K^(-s) in each layer: s |alpha|."""
        return self._number(-self.s * self.system.orbit.rate[1])

    @cached_property
    def _constants(self) -> dict[sp.Symbol, sp.Expr]:
        """C_W and lambda_W were multiplied by scale^2 when the activation was divided by it; lambda_b was not."""
        return {
            lambda_W: self.rates.get(lambda_W, lambda_W) * self.scale**2,
            lambda_b: self.rates.get(lambda_b, lambda_b),
            ROOT: sp.sqrt(2 / sp.pi),
        }

    def _number(self, coefficient: Any) -> sp.Expr:
        return sp.factor_terms(sp.expand(sp.sympify(coefficient.as_expr()).subs(self._constants)))

    def _terms(self, series: Series) -> list[Term]:
        """The terms, largest first, without those that vanish for the given rates."""
        ordered = sorted(series.terms.items(), key=lambda item: (item[0][0], -item[0][1]))
        return [(e, j, value) for (e, j), c in ordered if (value := self._number(c)) != 0]

    @cached_property
    def _substitution(self) -> Orbit:
        """K = w (1 + epsilon(w)) in a series in K."""
        tau, one, s = self.system.abel, self.system.ring.one, self.s
        order = min(tau.order + s, SHOWN * s)
        rate = -s * self.system.orbit.rate[1]
        g = Series.of([((e + s, j), rate * c) for (e, j), c in tau.terms.items() if e != -s], order)
        shift = Series.of([((s, 0), rate * self.system.ring(SHIFT))], order)
        epsilon = Series({}, order)
        for _ in range(int(sp.ceiling(order / min(g.lead, s)))):
            inside = Orbit(epsilon, one)(g)
            ratio = Orbit(inside, one).to_power(1 / s) * Orbit(shift, one).to_power(-1 / s)
            epsilon = Series.of([*ratio.terms.items(), ((ZERO, 0), -one)], order)
        return Orbit(epsilon, one)

    def _law(self, name: str) -> DepthLaw:
        in_K = self._terms(self.system.series(name))
        in_w = self._terms(self._substitution(self.system.series(name)))
        return DepthLaw(
            name,
            self._in_depth(in_w[:1], leading=True),
            self._in_depth(in_w),
            self._in_depth(self._ratio(name, in_K[:1]), leading=True),
            sp.Add(*(c * kernel**e * sp.log(kernel) ** j for e, j, c in in_K)),
            False,
            -self._homogeneous(name) / self.s,
            self._steps(name),
        )

    def _homogeneous(self, name: str) -> sp.Expr:
        """The power of K; a change of K itself is a shift of the layer number, dK/dell ~ K^(1+s)."""
        return 1 + self.s if name == "K" else self.system.solved[name].p

    def _ratio(self, name: str, leading: list[Term]) -> list[Term]:
        """The leading term divided by that of Theta^directions K^(the rest)."""
        directions, rest = dimension(name)
        (e_theta, j_theta, theta), *_ = self._terms(self.system.series("Theta"))
        return [
            (e - directions * e_theta - rest, j - directions * j_theta, sp.cancel(c / theta**directions))
            for e, j, c in leading
        ]

    def _in_depth(self, terms: list[Term], *, leading: bool = False) -> sp.Expr:
        """As a function of ell, with w = (speed ell)^(-1/s) and log(speed ell) ~ log(ell)."""
        s, speed = self.s, self.speed
        log = -sp.log(ell if leading else speed * ell) / s
        total = sp.Add(*(sp.powsimp(c * speed ** (-e / s)) * ell ** (-e / s) * log**j for e, j, c in terms))
        return sp.factor(total) if leading else total

    def _steps(self, name: str) -> tuple[str, ...]:
        """The solution in three lines."""
        alpha = self._number(self.system.orbit.rate[1])
        orbit = f"K' = K + ({alpha}) K^{1 + self.s} + ..., so K ~ ({self.speed} ell)^({-1 / self.s})"
        if name == "K":
            return (orbit,)
        solution = self.system.solved[name]
        (e, j, c), *_ = self._terms(solution.forcing) or [(sp.oo, 0, ZERO)]
        lines = [
            orbit,
            f"{name}' = a {name} + f with a = 1 + ({self._number(solution.a_s)}) K^{self.s} + ... and "
            + (f"f = ({c}) K^{e}" + (f" log(K)^{j}" if j else "") + " + ..." if c != 0 else "f = 0"),
            "what the first layers leave behind dies out exponentially"
            if solution.p == sp.oo
            else f"homogeneous solution K^{solution.p}, its amplitude fixed by the first layers"
            + ("; f meets this power (resonance), which gives a logarithm" if solution.resonant else ""),
        ]
        return tuple(lines)
