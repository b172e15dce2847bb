"""What is put into recursions for print: the closed forms of an activation, and derivatives carried out under averages."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from ..averages.closed_forms import specialize
from ..averages.gaussian import Average
from ..averages.regularity import prepared
from ..language import latex
from ..networks.activations import Activation

#: The most operations of a closed form that is printed without being asked for: about a line.
READABLE = 30


@dataclass(frozen=True)
class Specialized:
    """An expression for an activation: closed forms up to a length, and averages of this activation in the place of others."""

    activation: Activation
    longest: int | None = None

    @property
    def told(self) -> str:
        """What it puts in, in words."""
        return rf"averages of $\sigma(z)={latex.tex(self.activation.expr)}$ in closed form, where they have one that is short"

    def __call__(self, expr: sp.Expr) -> sp.Expr:
        """The expression, changed; ``NotAvailable`` where an average does not exist."""
        if self.activation.kinks:
            expr = prepared(expr, self.activation)
        closed = specialize(expr, self.activation, self.longest)
        return closed.xreplace({node: node.of(self.activation) for node in closed.atoms(Average)})


def explicit(expr: sp.Expr) -> sp.Expr:
    """The derivatives of Price's theorem carried out under the averages."""
    return expr.xreplace({node: node.explicit() for node in expr.atoms(Average)})
