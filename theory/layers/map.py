r"""The layer map and its action on jets.

A layer is a sum of terms, :math:`z'_i = b_i + \sum_j W_{ij}\sigma(z_j) + \dots`. Each term says how its parameters move along
the random directions, :math:`p\to p+\sum_r s_r\sqrt{\lambda}\,\epsilon^r`; the Leibniz rule does the rest. So the jets of a
layer are linear in independent Gaussian *fields* (the parameters and their directions), and the covariance of two jets
given the layer below is

.. math:: q'_A = \mathrm{const}_A + \frac1n\sum_j f_A(x_j) + o_A(x_i),

where :math:`f_A` sums over the neurons below and :math:`o_A` is the product of values that the neuron hands on to itself (a skip
connection; zero otherwise).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Protocol

import sympy as sp

from ..language.jets import Jet
from ..language.markup import record, short
from ..language.quantities import Pair

Directions = tuple[str, ...]


#: A preactivation and its first derivative: the jets in which every parameter of a layer occurs.
PROBES = (Jet("a"), Jet("a", "r"))


@dataclass(frozen=True)
class Field:
    """An independent Gaussian of the layer: a parameter (``direction`` empty) or its random direction."""

    parameter: str
    direction: Directions
    variance: sp.Expr
    summed: bool  #: one for each neuron below, with variance / n, so that products average over neurons
    crossed: sp.Expr = sp.S.Zero  #: of crossed contractions in the fourth cumulant of the matrix (``ensembles``)
    excess: sp.Expr = sp.S.Zero  #: excess kurtosis of an independent entry


@dataclass(frozen=True)
class NeuronAverage:
    r""":math:`q'_A=\mathrm{constant}+\frac1n\sum_j\mathrm{site}(x_j)+\mathrm{own}(x_i)` for a pair A of jets."""

    pair: Pair
    constant: sp.Expr
    site: sp.Expr
    own: sp.Expr

    @property
    def total(self) -> sp.Expr:
        """The function that is averaged over the site at infinite width."""
        return self.site + self.own


class Term(Protocol):
    """A term of the layer map."""

    def fields(self, jet: Jet) -> Iterator[tuple[Field, sp.Expr]]:
        """The Gaussian fields in this jet, with their coefficients on the site below."""

    def own(self, jet: Jet) -> sp.Expr:
        """The part of this jet that comes from the same neuron in the layer below."""

    def latex(self) -> str:
        """The term, for the neuron i."""


def along(expr: sp.Expr, direction: str) -> sp.Expr:
    """d_r of an expression in jets: the chain rule."""
    return sp.Add(*(sp.diff(expr, jet) * jet.along(direction) for jet in expr.atoms(Jet)))


def along_all(expr: sp.Expr, directions: Directions) -> sp.Expr:
    """d_R of an expression in jets."""
    for direction in directions:
        expr = along(expr, direction)
    return sp.expand(expr)


def splits(directions: Directions) -> Iterator[tuple[Directions, Directions]]:
    """The Leibniz rule for parameter x function: a parameter is linear in each s_r, so it takes one direction at most."""
    for k in (0, 1):
        for on_parameter in combinations(directions, k):
            yield on_parameter, tuple(d for d in directions if d not in on_parameter)


@dataclass(frozen=True, repr=False)
class LayerMap:
    """The map from one layer to the next: the sum of its terms."""

    terms: tuple[Term, ...]

    def __repr__(self) -> str:
        return short(f"<LayerMap of {len(self.terms)} terms: {', '.join(type(term).__name__ for term in self.terms)}>")

    def _repr_html_(self) -> str:
        return record("Map from one layer to the next", {type(term).__name__: term for term in self.terms})

    def expand(self, jet: Jet) -> dict[Field, sp.Expr]:
        """The jet as a linear form in the Gaussian fields of the layer."""
        form: dict[Field, sp.Expr] = {}
        for term in self.terms:
            for gaussian, coefficient in term.fields(jet):
                form[gaussian] = form.get(gaussian, sp.Integer(0)) + coefficient
        return form

    # Properties of a layer follow from those of its terms, so that a term of a user's own needs no row here.

    @property
    def gaussian(self) -> bool:
        """Whether the layer is exactly Gaussian given the one below: no neuron hands on to itself, no other weight ensemble."""
        return not self.skips and all(g.crossed == 0 and g.excess == 0 for g in _fields(self))

    @property
    def skips(self) -> bool:
        """Whether neurons hand on to themselves."""
        return any(self.own(jet) != 0 for jet in PROBES)

    @property
    def excess(self) -> bool:
        """Whether entries of the weights have a fourth cumulant of their own."""
        return any(g.excess != 0 for g in _fields(self))

    def own(self, jet: Jet) -> sp.Expr:
        """The part of the jet that is handed on by the same neuron."""
        return sp.Add(*(term.own(jet) for term in self.terms))

    def observable(self, pair: Pair) -> NeuronAverage:
        """The covariance of two jets of one neuron, given the layer below."""
        first, second = (self.expand(jet) for jet in pair)
        shared = [(g, g.variance * first[g] * second[g]) for g in first if g in second]
        return NeuronAverage(
            pair,
            sp.Add(*(c for g, c in shared if not g.summed)),
            sp.expand(sp.Add(*(c for g, c in shared if g.summed))),
            sp.expand(self.own(pair[0]) * self.own(pair[1])),
        )

    def latex(self) -> str:
        """The map, for the neuron i."""
        return "z'_i = " + " + ".join(t.latex() for t in self.terms)


@lru_cache(maxsize=256)
def _fields(layer: LayerMap) -> frozenset[Field]:
    """All fields of a preactivation and of its first derivative."""
    return frozenset(gaussian for jet in PROBES for gaussian in layer.expand(jet))
