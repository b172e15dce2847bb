"""The tensors of the second layer above a first one that is not Gaussian, by the code of what is left of the recursions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.averages.gaussian import Average
from ...theory.averages.regularity import prepared
from ...theory.initialisation.derivation import Recursions
from ...theory.initialisation.first import above_independent_neurons
from ...theory.language.quantities import Kind, quantity
from ...theory.networks.architecture import MLP
from ..codegen.averages import table
from ..codegen.functions import PARAMETERS
from ..codegen.modules import Compiled, compile
from ..codegen.targets import TARGETS
from ..quadrature.quadrature import Term
from .averages import tables
from .corrected import correction
from .law import FirstLayer
from .warning import CORRECTED, warn_about_kurtosis

Array = NDArray[np.float64]


def second_layer(
    net: MLP, equations: Recursions, first: FirstLayer, state: Mapping[str, Array], given: Mapping[str, float]
) -> dict[str, Array]:
    """The tensors of the second layer, from those of the first.

    Where the averages are over few numbers, exactly. Else by the recursions of a Gaussian layer, with the first order of the fourth
    cumulants in K and Theta instead of in K1 and Theta1.
    """
    code, terms, parameters = _reduced(equations)
    together = max((len(orders) for orders, _ in terms.values()), default=1)
    if not first.few(together):
        warn_about_kurtosis(net, first, CORRECTED, stacklevel=6)
        return _corrected(equations, first, state, given)
    E, error = tables(first, equations.subject.activation, terms)
    m = len(first.coefficients)
    found = {}
    for statement in equations.statements:
        name, rank = statement.name, 1 if equations.single else statement.quantity.rank
        wanted = {p: given[p] for p in parameters[name]}
        value = code.namespace[f"{name}_next"](state, E, **wanted)
        found[name] = np.broadcast_to(value, (m,) * rank).copy()
    return found | {"average_error": np.asarray(error)}


def _corrected(
    equations: Recursions, first: FirstLayer, state: Mapping[str, Array], given: Mapping[str, float]
) -> dict[str, Array]:
    local = {n for n in equations if quantity(n).kind is Kind.LOCAL}
    code = compile(equations)
    found = code({n: 0.0 * v if n in local else v for n, v in state.items()}, **code.arguments("step", given))
    i, j = np.indices((len(first.coefficients),) * 2).reshape(2, -1)
    if equations.single:  # each input alone
        i, j = i[i == j], j[i == j]
    Theta = state["Theta"].ravel() if "Theta" in state else None
    for name in {"K", "Theta"} & set(equations):
        change = correction(first, equations.subject.activation, name, i, j, Theta, given)
        found[name] = found[name] + change.reshape(found[name].shape)
    return found


@lru_cache(maxsize=64)
def _reduced(equations: Recursions) -> tuple[Compiled, dict[str, Term], dict[str, tuple[str, ...]]]:
    """The code, the orders of its averages, and the hyperparameters of each function."""
    reduced = above_independent_neurons(equations)
    activation, numpy = equations.subject.activation, TARGETS["numpy"]
    laws = {s.name: prepared(s.law.right, activation) for s in reduced.statements}
    found = (table(n, activation, numpy.most_sites, numpy.name) for law in laws.values() for n in law.atoms(Average))
    terms = {t.name: (t.orders, t.derivatives) for t in found}
    letters = {name: {s.name for s in law.atoms(sp.Symbol)} for name, law in laws.items()}
    return compile(reduced), terms, {name: tuple(p for p in PARAMETERS if p in used) for name, used in letters.items()}
