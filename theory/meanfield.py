r"""The mean-field system of a layer: order parameters, site and observables, and what the fluctuations need of them.

With :math:`q'_A=\mathrm{const}+\frac1n\sum_j f_A(x_j)+o_A(x_i)` and :math:`x_j\sim N(0,q)` independent at infinite width,

.. math::
    F_A(q) = \mathrm{const} + \langle f_A + o_A\rangle_q,\qquad
    J_{Ac} = \frac{\partial F_A}{\partial q_c},\qquad
    H_{Acd} = \frac{\partial^2 F_A}{\partial q_c\,\partial q_d},\qquad
    S_{AB} = \langle g_A\,g_B\rangle^{\rm conn} - \langle o_A\,o_B\rangle^{\rm conn},\quad g = f+o.

S is the covariance born in the layer, for two different neurons: n Cov of (average of f over all neurons + o of the own
neuron). Two averages give <f f>, an average and an own part meet at one neuron and give <f o>, and two own parts belong
to different neurons and give nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement

import sympy as sp

from .gaussian import expectation, price
from .layers import LayerMap, Observable
from .quantities import Pair
from .symbols import Jet


@dataclass(frozen=True)
class MeanFieldSystem:
    """One layer of a network at initialisation, as order parameters, site and observables."""

    layer: LayerMap

    def observable(self, pair: Pair) -> Observable:
        """The site function whose neuron average the pair is."""
        return _observable(self.layer, pair)

    def mean(self, pair: Pair) -> sp.Expr:
        """F_A: the pair at infinite width."""
        o = self.observable(pair)
        return o.constant + expectation(o.total)

    def variables(self, pair: Pair) -> tuple[Pair, ...]:
        """All order parameters that the observable can depend on: the pairs of the jets in it."""
        jets = sorted(self.observable(pair).total.atoms(Jet), key=lambda jet: jet.structure)
        return tuple(combinations_with_replacement(jets, 2))

    def jacobian(self, pair: Pair) -> dict[Pair, sp.Expr]:
        """The entries of J_A that do not vanish."""
        return _jacobian(self.layer, pair)

    def hessian(self, pair: Pair) -> dict[tuple[Pair, Pair], sp.Expr]:
        """The entries of H_A that do not vanish, for unordered pairs of order parameters."""
        return _hessian(self.layer, pair)

    def source(self, first: Pair, second: Pair) -> sp.Expr:
        """S_AB: the covariance that is born in this layer."""
        a, b = self.observable(first), self.observable(second)
        return connected(a.total, b.total) - connected(a.own, b.own)


def connected(f: sp.Expr, g: sp.Expr) -> sp.Expr:
    """The site covariance <f g> - <f><g>."""
    return expectation(f * g) - expectation(f) * expectation(g)


# The recursions of a system ask for the same few observables again and again.


@lru_cache(maxsize=4096)
def _observable(layer: LayerMap, pair: Pair) -> Observable:
    return layer.observable(pair)


@lru_cache(maxsize=4096)
def _jacobian(layer: LayerMap, pair: Pair) -> dict[Pair, sp.Expr]:
    system = MeanFieldSystem(layer)
    total = system.observable(pair).total
    return {c: value for c in system.variables(pair) if (value := price(total, c)) != 0}


@lru_cache(maxsize=4096)
def _hessian(layer: LayerMap, pair: Pair) -> dict[tuple[Pair, Pair], sp.Expr]:
    system = MeanFieldSystem(layer)
    total = system.observable(pair).total
    half = {True: sp.Rational(1, 2), False: sp.Integer(1)}
    return {
        (c, d): value
        for c, d in combinations_with_replacement(system.variables(pair), 2)
        if (value := half[c[0] == c[1]] * price(total, d, derivatives=c)) != 0
    }
