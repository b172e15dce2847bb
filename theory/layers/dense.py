"""The dense layer: a bias, and a sum over the neurons below with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from ..language import symbols
from ..language.jets import Jet, Sigma
from .map import Field, along_all, splits


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
