r"""The layer map and its action on jets.

A layer is a sum of terms, :math:`z'_i = b_i + \sum_j W_{ij}\sigma(z_j) + \dots`. Each term says how its parameters move along
the random directions, :math:`p\to p+\sum_r s_r\sqrt{\lambda}\,\epsilon^r`; the Leibniz rule does the rest. So the jets of a
layer are linear in independent Gaussian *fields* (the parameters and their directions), and the covariance of two jets
given the layer below is

.. math:: q'_A = \mathrm{const}_A + \frac1n\sum_j f_A(x_j) + o_A(x_i),

where :math:`f_A` sums over the neurons below and :math:`o_A` is the product of what the neuron hands on to itself (a skip
connection; zero otherwise).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol

import sympy as sp

from . import symbols
from .quantities import Pair
from .symbols import Jet, Sigma

Directions = tuple[str, ...]


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
class Observable:
    r""":math:`q'_A=\mathrm{constant}+\frac1n\sum_j\mathrm{site}(x_j)+\mathrm{own}(x_i)` for a pair A of jets."""

    pair: Pair
    constant: sp.Expr
    site: sp.Expr
    own: sp.Expr

    @property
    def total(self) -> sp.Expr:
        """What is averaged over the site at infinite width."""
        return self.site + self.own


class Term(Protocol):
    """A term of the layer map."""

    def fields(self, jet: Jet) -> Iterator[tuple[Field, sp.Expr]]:
        """The Gaussian fields in this jet, with their coefficients on the site below."""

    def own(self, jet: Jet) -> sp.Expr:
        """What this jet takes over from the same neuron below."""

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


@dataclass(frozen=True)
class Bias:
    """b_i, with variance C_b and learning rate lambda_b."""

    variance: sp.Expr = symbols.C_b
    rate: sp.Expr = symbols.lambda_b

    def fields(self, jet: Jet) -> Iterator[tuple[Field, sp.Expr]]:
        """The bias itself, or its direction; higher derivatives vanish."""
        if len(jet.directions) <= 1:
            yield Field("b", jet.directions, self.rate if jet.directions else self.variance, False), sp.Integer(1)

    def own(self, jet: Jet) -> sp.Expr:
        """Nothing."""
        return sp.Integer(0)

    def latex(self) -> str:
        """The bias."""
        return "b_i"


@dataclass(frozen=True)
class Weights:
    r""":math:`\sum_j W_{ij}\,g(z_j)`, with variance C_W/n and learning rate lambda_W/n; g is the activation by default."""

    variance: sp.Expr = symbols.C_W
    rate: sp.Expr = symbols.lambda_W
    order: int = 0  #: which derivative of sigma is multiplied
    name: str = "W"
    crossed: sp.Expr = sp.S.Zero
    excess: sp.Expr = sp.S.Zero

    def fields(self, jet: Jet) -> Iterator[tuple[Field, sp.Expr]]:
        """W d_R g + sum over r in R of (direction of W along r) d_(R without r) g."""
        for on_weight, on_function in splits(jet.directions):
            coefficient = along_all(Sigma(Jet(jet.sample), self.order), on_function)
            if on_weight:  # the random directions are Gaussian whatever the weights are
                yield Field(self.name, on_weight, self.rate, True), coefficient
            else:
                yield Field(self.name, (), self.variance, True, self.crossed, self.excess), coefficient

    def own(self, jet: Jet) -> sp.Expr:
        """Nothing."""
        return sp.Integer(0)

    def latex(self) -> str:
        """The weighted sum."""
        return rf"\sum_j {self.name}_{{ij}}\,\sigma{chr(39) * self.order}(z_{{j}})"


@dataclass(frozen=True)
class Skip:
    r""":math:`\gamma z_i`: a residual connection from the same neuron below."""

    gamma: sp.Expr = field(default_factory=lambda: sp.Symbol("gamma", real=True))

    def fields(self, jet: Jet) -> Iterator[tuple[Field, sp.Expr]]:
        """No parameters."""
        yield from ()

    def own(self, jet: Jet) -> sp.Expr:
        """Gamma times the same jet."""
        return self.gamma * jet

    def latex(self) -> str:
        """The skip."""
        return sp.latex(self.gamma) + r"\,z_i"


@dataclass(frozen=True)
class LayerMap:
    """The map from one layer to the next: the sum of its terms."""

    terms: tuple[Term, ...]

    def expand(self, jet: Jet) -> dict[Field, sp.Expr]:
        """The jet as a linear form in the Gaussian fields of the layer."""
        form: dict[Field, sp.Expr] = {}
        for term in self.terms:
            for gaussian, coefficient in term.fields(jet):
                form[gaussian] = form.get(gaussian, sp.Integer(0)) + coefficient
        return form

    @property
    def gaussian(self) -> bool:
        """Whether the layer is exactly Gaussian given the one below: no skip, no other weight ensemble."""
        return all(
            isinstance(term, Bias) or (isinstance(term, Weights) and term.crossed == 0 and term.excess == 0)
            for term in self.terms
        )

    @property
    def skips(self) -> bool:
        """Whether neurons hand on to themselves."""
        return any(isinstance(term, Skip) for term in self.terms)

    @property
    def excess(self) -> bool:
        """Whether entries of the weights have a fourth cumulant of their own."""
        return any(isinstance(term, Weights) and term.excess != 0 for term in self.terms)

    def own(self, jet: Jet) -> sp.Expr:
        """The part of the jet that is handed on by the same neuron."""
        return sp.Add(*(term.own(jet) for term in self.terms))

    def observable(self, pair: Pair) -> Observable:
        """The covariance of two jets of one neuron, given the layer below."""
        first, second = (self.expand(jet) for jet in pair)
        shared = [(g, g.variance * first[g] * second[g]) for g in first if g in second]
        return Observable(
            pair,
            sp.Add(*(c for g, c in shared if not g.summed)),
            sp.expand(sp.Add(*(c for g, c in shared if g.summed))),
            sp.expand(self.own(pair[0]) * self.own(pair[1])),
        )

    def latex(self) -> str:
        """The map, for the neuron i."""
        return "z'_i = " + " + ".join(t.latex() for t in self.terms)
