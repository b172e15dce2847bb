r"""Letters of the equations over all layers: arrays with one or two layer indices, and sums over layers."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.core.symbol import Str
from sympy.printing.precedence import PRECEDENCE, PRECEDENCE_TRADITIONAL

from ..language.symbols import ell

#: The layers of the left-hand sides, and those that are summed over.
ELL = ell
M, J, K = sp.symbols("m j k", integer=True, positive=True)
#: The labels of the jets of these two layers.
LABELS = {"ell": ELL, "m": M}


class Layered(sp.Expr):
    r"""An entry of an array over layers: ``layered("N_V", ELL + 1, M)`` is :math:`N_V^{(\ell+1,m)}`."""

    is_commutative = True
    is_real = True

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """Behind numbers, hyperparameters, activations and averages, as the entries of tensors."""
        return 6, 0, cls.__name__

    @property
    def name(self) -> str:
        """The name of the array."""
        return str(self.args[0].name)

    @property
    def layers(self) -> tuple[sp.Expr, ...]:
        """The layers."""
        return tuple(self.args[3:])

    def _eval_derivative(self, s: sp.Expr) -> sp.Expr:
        return sp.Integer(self == s)

    def at(self, *layers: Any) -> Layered:
        """The same array at other layers."""
        return Layered(*self.args[:3], *map(sp.sympify, layers))

    def _sympystr(self, printer: Any) -> str:
        return f"{self.name}[{', '.join(map(printer._print, self.layers))}]"

    def _latex(self, printer: Any) -> str:
        head, index = (part.name for part in self.args[1:3])
        subscript = f"_{{{index}}}" if index else ""
        return rf"{head}{subscript}^{{({','.join(map(printer._print, self.layers))})}}"


# In LaTeX an entry has a superscript of its own: its powers take brackets.
PRECEDENCE_TRADITIONAL["Layered"] = PRECEDENCE["Mul"]


def layered(name: str, *layers: Any, head: str = "", index: str = "") -> Layered:
    """An array by name, with its head and index in print: those of ``C_W`` are C and W."""
    if not head:
        head, _, index = name.partition("_")
    return Layered(Str(name), Str(head), Str(index), *map(sp.sympify, layers))


def mixing(above: sp.Expr, below: sp.Expr) -> Layered:
    r""":math:`\mathcal R^{(\ell k)}`: how much of :math:`\xi^{(k)}` a neuron of layer l holds."""
    return layered("mix", above, below, head=r"\mathcal{R}")


def width(layer: sp.Expr) -> Layered:
    """The number of neurons of a layer; of layer 0 that of the features."""
    return layered("n", layer)


def handed_on(term: Layered, layer: sp.Expr) -> sp.Sum:
    r""":math:`\sum_{k\le\ell}(\mathcal R^{(\ell k)})^2\,\mathrm{term}(k)`: the fluctuating part of a kernel, from q."""
    return sp.Sum(mixing(layer, K) ** 2 * term, (K, 1, layer))
