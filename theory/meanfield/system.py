r"""The mean-field system of a layer: order parameters, site and observables, with the noise and responses of fluctuations.

With :math:`q'_A=\mathrm{const}+\frac1n\sum_j f_A(x_j)+o_A(x_i)` and :math:`x_j\sim N(0,q)` independent given q, the joint
cumulant of pairs :math:`A_1\dots A_r` of r different neurons, given q, is :math:`n^{-(r-1)}\kappa_{A_1\dots A_r}(q)` with

.. math::
    \kappa_A = \mathrm{const}+\langle f_A+o_A\rangle_q,\qquad
    \kappa_{A_1\dots A_r} = \langle f_{A_1}\cdots f_{A_r}\rangle^{\rm conn}
        + \sum_k\langle o_{A_k}\prod_{m\ne k} f_{A_m}\rangle^{\rm conn}.

Averages meet at one neuron below; an average and an own part meet at one neuron; two own parts belong to different
neurons and never meet. Derivatives by the order parameters are Price's theorem. J and H are those of :math:`\kappa_A`, S is
:math:`\kappa_{AB}`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement

import sympy as sp

from ..averages.gaussian import expectation, price
from ..language.jets import Jet
from ..language.quantities import Pair
from ..layers.map import Field, LayerMap, NeuronAverage
from .protocol import MeanField, Structure, connected

Pairs = tuple[Pair, ...]


@dataclass(frozen=True)
class MeanFieldSystem(MeanField[Pair]):
    """One layer of a network at initialisation; the order parameters are the pairs of jets of one neuron of the layer below."""

    layer: LayerMap
    structure = Structure.TRIANGULAR

    def observable(self, pair: Pair) -> NeuronAverage:
        """The site function whose neuron average the pair is."""
        return _observable(self.layer, pair)

    def function(self, order: Pair) -> sp.Expr:
        """What is averaged over the neurons below."""
        return self.observable(order).total

    def constant(self, order: Pair) -> sp.Expr:
        """The bias."""
        return self.observable(order).constant

    def moment(self, function: sp.Expr, by: Pairs = ()) -> sp.Expr:
        """The average over Gaussian jets: their covariances are the order parameters themselves, so that Price's theorem is all."""
        return price(function, *by)

    def answers(self, orders: Pairs, count: int) -> Iterator[Pairs]:
        """Pairs of the jets in the functions, with the directions that are left over."""
        jets = _jets(sp.Add(*(self.function(pair) for pair in orders)))
        odd = _odd(orders)
        # Directions come in twos in every term: a weight takes a direction from both jets of a pair.
        variables = combinations_with_replacement(combinations_with_replacement(jets, 2), count)
        return (by for by in variables if _odd(by) == odd)

    def cumulant(self, orders: Pairs, by: Pairs = ()) -> sp.Expr:
        r""":math:`\kappa_{A_1\dots A_r}(q)`, differentiated by the order parameters ``by``; without the constant for r = 1."""
        return _cumulant(self, orders, by)

    def derivatives(self, orders: Pairs, count: int) -> dict[Pairs, sp.Expr]:
        """The derivatives of a cumulant by ``count`` order parameters, for unordered sets of these; those that do not vanish."""
        return _derivatives(self, orders, count)

    def noise(self, first: Pair, second: Pair) -> sp.Expr:
        """S_AB: the covariance that is born in this layer, with what weights that are not independent share."""
        return self.cumulant((first, second)) + self.crossed(first, second)

    def hessian(self, pair: Pair) -> dict[Pairs, sp.Expr]:
        """The entries of H_A that do not vanish, for unordered pairs of order parameters."""
        return self.derivatives((pair,), 2)

    def crossed(self, first: Pair, second: Pair) -> sp.Expr:
        r"""The part of S by weights that are not independent: :math:`c\,(q_{xu}q_{yv}+q_{xv}q_{yu})`, A = (x, y), B = (u, v)."""
        return crossed(self.layer, first, second, expectation)

    def local(self, jets: Pair) -> sp.Expr:
        """The cumulant of four jets of one neuron that is born of the excess kurtosis of the weights."""
        return local(self.layer, jets, expectation)

    def quartic(self, pair: Pair) -> dict[Pair, sp.Expr]:
        """The fourth derivatives of f_A by jets, for unordered sets of four, averaged; those that do not vanish."""
        total = self.observable(pair).total
        jets = _jets(total)
        found = ((by, expectation(total, by)) for by in combinations_with_replacement(jets, 4))
        return {by: value for by, value in found if value != 0}


def crossed(layer: LayerMap, first: Pair, second: Pair, average: object) -> sp.Expr:
    """The contractions of a matrix's fourth cumulant that pair its rows and its columns differently, summed over neurons."""
    assert callable(average)
    total = sp.Integer(0)
    for field, (x, y, u, v) in _shared(layer, (*first, *second)):
        if field.crossed != 0:
            products = average(x * u) * average(y * v) + average(x * v) * average(y * u)
            total += field.crossed * field.variance**2 * products
    return total


def local(layer: LayerMap, jets: Pair, average: object) -> sp.Expr:
    """Four equal rows and four equal columns: excess kurtosis times the average of the four coefficients."""
    assert callable(average)
    fields = ((f, sp.Mul(*c)) for f, c in _shared(layer, jets) if f.excess != 0)
    return sp.Add(*(f.excess * f.variance**2 * average(product_) for f, product_ in fields))


def _shared(layer: LayerMap, jets: Pair) -> Iterator[tuple[Field, tuple[sp.Expr, ...]]]:
    """The Gaussian or other fields that all of the jets hold, with their coefficients."""
    forms = [layer.expand(jet) for jet in jets]
    for field in forms[0]:
        if field.summed and all(field in form for form in forms):
            yield field, tuple(form[field] for form in forms)


def _jets(expr: sp.Expr) -> list[Jet]:
    return sorted(expr.atoms(Jet), key=lambda jet: jet.structure)


# The recursions of a system ask for the same few observables again and again.


@lru_cache(maxsize=4096)
def _observable(layer: LayerMap, pair: Pair) -> NeuronAverage:
    return layer.observable(pair)


@lru_cache(maxsize=16384)
def _cumulant(system: MeanFieldSystem, pairs: Pairs, by: Pairs) -> sp.Expr:
    if len(pairs) == 1:
        return system.moment(system.function(pairs[0]), by)
    observables = [system.observable(pair) for pair in pairs]
    sites = [o.site for o in observables]
    total = connected(sites, system.moment, by)
    for k, o in enumerate(observables):
        if o.own != 0:
            total += sp.expand(connected((o.own, *sites[:k], *sites[k + 1 :]), system.moment, by))
    return total


@lru_cache(maxsize=4096)
def _derivatives(system: MeanFieldSystem, pairs: Pairs, count: int) -> dict[Pairs, sp.Expr]:
    return MeanField.derivatives(system, pairs, count)


def _odd(pairs: Pairs) -> frozenset[str]:
    """The directions that occur an odd number of times."""
    counts = Counter(d for pair in pairs for jet in pair for d in jet.directions)
    return frozenset(d for d, n in counts.items() if n % 2)
