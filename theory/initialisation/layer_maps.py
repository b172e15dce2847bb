"""Layer maps by name."""

from __future__ import annotations

from numbers import Real
from typing import Any

import sympy as sp

from ..language.errors import InvalidArgument
from ..layers.map import LayerMap
from ..layers.skip import Skip
from ..networks.architecture import MLP


def residual(gamma: Any = None, *, weights: Any = "gaussian") -> LayerMap:
    r"""The layer map :math:`z' = b + W\sigma(z) + \gamma z`; gamma stays a symbol if it is not given.

    Equation
        :math:`z^{(\ell+1)}_i=b^{(\ell+1)}_i+\sum_jW^{(\ell+1)}_{ij}\,\sigma(z^{(\ell)}_j)+\gamma\,z^{(\ell)}_i`
    Units
        gamma is a pure number.
    Valid
        Equal widths. The critical C_W is proportional to :math:`1-\gamma^2`.
    Errors
        ``InvalidArgument`` for a gamma of modulus 1 or more; as ``MLP`` for ``weights``.
    """
    terms = MLP(weights=weights).layer_map.terms
    if gamma is None:
        return LayerMap((*terms, Skip()))
    if isinstance(gamma, bool) or not isinstance(gamma, Real | sp.Expr):  # SymPy would run a text
        raise InvalidArgument(f"gamma={gamma!r}; allowed: numbers between -1 and 1, or None for a symbol")
    value = sp.nsimplify(gamma, rational=True)
    if not (value.is_number and value.is_finite and value.is_real and -1 < value < 1):
        raise InvalidArgument(f"gamma={gamma!r}; allowed: numbers between -1 and 1, or None for a symbol")
    return LayerMap((*terms, Skip(value)))


def strength(layer: LayerMap) -> sp.Expr:
    """The gamma of a layer map."""
    return sp.Add(*(term.gamma for term in layer.terms if isinstance(term, Skip)))
