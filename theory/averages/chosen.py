"""The activation in an average, as a SymPy object."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import sympy as sp

from ..networks.activations import Activation


class Chosen(sp.Atom):
    """The activation that sigma stands for in an average."""

    activation: Activation
    structure: tuple[str, str]

    def __new__(cls, activation: Activation) -> Chosen:
        """Known by its name and expression, which SymPy can sort."""
        obj: Chosen = super().__new__(cls)
        obj.activation, obj.structure = activation, (activation.name, _spelled(activation))
        return obj

    def _hashable_content(self) -> tuple[Any, ...]:
        return self.structure

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.activation,)

    def sort_key(self, order: Any = None) -> Any:
        """By name and expression."""
        return self.class_key(), (1, self.structure), sp.S.One.sort_key(), sp.S.One

    def _sympystr(self, printer: Any) -> str:
        return str(self.activation.name)

    def _sympyrepr(self, printer: Any) -> str:
        return f"Chosen{self.structure}"


@lru_cache(maxsize=256)
def _spelled(activation: Activation) -> str:
    return str(sp.srepr(activation.expr))
