r"""First layers of many features whose weights are not Gaussian: what their fourth cumulants add to kernels of the second layer.

The engine derives it as part of K1 and Theta1, whose coefficient of the fourth cumulant :math:`X/n_0` of the first layer it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.averages.closed_forms import specialize
from ...theory.averages.gaussian import Average
from ...theory.averages.regularity import prepared
from ...theory.initialisation.dependencies import layer_recursion
from ...theory.language import symbols
from ...theory.language.errors import NotAvailable
from ...theory.language.jets import Jet
from ...theory.language.quantities import Entry, Kind, quantity
from ...theory.layers.dense import Bias, Weights
from ...theory.layers.map import LayerMap
from ...theory.networks.activations import Activation
from ..codegen.averages import orders_at
from ..codegen.printing import array_function
from ..quadrature.quadrature import Term, gaussian_averages
from .law import FirstLayer

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

#: The corrections that hold it.
CORRECTIONS = {"K": "K1", "Theta": "Theta1"}
#: Squares of correlations closer to one than this are left to quadrature, which follows lines of parallel inputs.
PARALLEL = 1e-6
#: A layer of independent weights.
LAYER = LayerMap((Bias(), Weights(excess=symbols.kappa_4)))
_HYPERPARAMETERS = ("C_b", "C_W", "lambda_b", "lambda_W")


def correction(
    first: FirstLayer,
    activation: Activation,
    name: str,
    i: Ints,
    j: Ints,
    Theta: Array | None,
    given: Mapping[str, float],
) -> Array:
    """What K or Theta of the second layer gains at pairs of inputs, at first order in the fourth cumulants of the first layer.

    Shapes
        i, j (N,) are the numbers of the inputs, and ``Theta`` (N,) is that of the first layer -> (N,).
    Errors
        ``NotAvailable`` for an average that is not one of two inputs.
    """
    law, c = _law(activation, name), first.coefficients
    K = first.bias**2 + c @ c.T
    fourth = [(first.excess * c ** (4 - k) @ (c**k).T)[i, j] for k in law.cumulants]
    kernels = np.zeros(len(i)) if Theta is None else Theta
    rest = [*fourth, kernels, *(np.full(len(i), given.get(p, 0.0)) for p in _HYPERPARAMETERS)]
    found, open_pairs = np.empty(len(i)), np.ones(len(i), dtype=bool)
    if law.closed is not None:
        open_pairs = K[i, j] ** 2 >= (1 - PARALLEL) * K[i, i] * K[j, j]
        o = ~open_pairs
        found[o] = law.closed(K[i[o], i[o]], K[i[o], j[o]], K[j[o], j[o]], *(v[o] for v in rest))
    i, j, rest = i[open_pairs], j[open_pairs], [v[open_pairs] for v in rest]
    covariance = np.stack([K[i, i], K[i, j], K[j, i], K[j, j]], axis=1).reshape(-1, 2, 2)
    kinks = [float(k) for k in activation.kinks]
    averages, _ = gaussian_averages(_sigma(activation, law.terms), covariance, list(law.terms), kinks=kinks)
    found[open_pairs] = law.function(*averages, *rest)
    return found


def way(activation: Activation, name: str) -> str:
    """How it is computed, which says for how many pairs it can be."""
    return "closed" if _law(activation, name).closed is not None else "kinked" if activation.kinks else "smooth"


@dataclass(frozen=True)
class CumulantLaw:
    """What a kernel gains: as a function of averages and, where all of these have closed forms, of kernels."""

    function: Callable[..., Any]
    closed: Callable[..., Any] | None
    terms: tuple[Term, ...]  #: the averages
    cumulants: tuple[int, ...]  #: the fourth cumulants, by how often the second input occurs


@lru_cache(maxsize=64)
def _law(activation: Activation, name: str) -> CumulantLaw:
    right = layer_recursion(LAYER, quantity(CORRECTIONS[name]), ("1", "2")).right
    kinds = {e: quantity(e.name).kind for e in right.atoms(Entry)}
    gone = {e: 0 for e, kind in kinds.items() if kind not in (Kind.MEAN, Kind.LOCAL) or e.name == "Y4"}
    right = right.xreplace(gone | {symbols.rho: sp.S.One})
    fourth = sorted((e for e in right.atoms(Entry) if quantity(e.name).kind is Kind.LOCAL), key=str)
    letters: dict[sp.Expr, sp.Symbol] = {e: sp.Symbol(f"X{i}") for i, e in enumerate(fourth)}
    letters |= {Entry("Theta", ("1", "2")): sp.Symbol("T")}
    rest = [*letters.values(), *(getattr(symbols, p) for p in _HYPERPARAMETERS)]
    K = {
        Entry("K", pair): sp.Symbol("K_" + "".join(pair), positive=True)
        for pair in (("1", "1"), ("1", "2"), ("2", "2"))
    }
    closed = specialize(right, activation=activation)
    averaged = prepared(right, activation)
    nodes = sorted(averaged.atoms(Average), key=str)
    values = {node: sp.Symbol(f"E{i}") for i, node in enumerate(nodes)}
    return CumulantLaw(
        array_function([*values.values(), *rest], averaged.xreplace(values).xreplace(letters)),
        None if closed.has(Average) else array_function([*K.values(), *rest], closed.xreplace(letters | K)),
        tuple(map(_term, nodes)),
        tuple(e.labels.count("2") for e in fourth),
    )


def _term(node: Average) -> Term:
    sites = [Jet("1"), Jet("2")]
    if not set(node.sites) <= set(sites) or len(node.sites) < 2:
        raise NotAvailable(
            f"the average {node.operator_text()} is not one of two inputs; allowed: two different inputs"
        )
    orders = tuple(tuple(sorted(orders_at(node.body, site))) for site in sites)
    return orders, tuple(node.derivatives.count(site) for site in sites)


def _sigma(activation: Activation, terms: tuple[Term, ...]) -> Callable[[Array, int], list[Array]]:
    functions = _functions(activation, max(k for orders, _ in terms for site in orders for k in site))
    return lambda x, order: [
        np.broadcast_to(np.asarray(f(x), dtype=np.float64), x.shape) for f in functions[: order + 1]
    ]


@lru_cache(maxsize=64)
def _functions(activation: Activation, highest: int) -> list[Callable[[Array], Array]]:
    return [array_function(symbols.z, activation.derivative(k)) for k in range(highest + 1)]
