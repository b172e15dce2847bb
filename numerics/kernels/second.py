"""Kernel matrices above a first layer that is not Gaussian: the kernels of the second layer, and from there through the layers.

Kernels of the second layer depend on more of two inputs than their norms and their angle, so that no interpolant serves all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import NotConverged
from ...theory.networks.architecture import MLP
from ..firstlayer.averages import tables
from ..firstlayer.corrected import correction, way
from ..firstlayer.law import FirstLayer, first_layer
from ..firstlayer.warning import CORRECTED, warn_about_kurtosis
from ..runs.workers import mapped
from .pairs import LayerStep, PairMap

Array = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Pairs that are sent through the layers together; fewer than FEW are left to quadrature.
TOGETHER, FEW = 50_000, 100
#: The most pairs that are corrected: by closed forms, by quadrature, by quadrature with kinks.
MOST = {"closed": 5_000_000, "smooth": 20_000, "kinked": 300}
GAUSSIAN = "there are too many pairs to correct, and kernels are those of a Gaussian first layer"


def above(exact: PairMap, net: MLP, X1: Array, X2: Array | None, workers: int | None) -> list[Array]:
    """The matrices of the last layer between all pairs of inputs; equal inputs are one."""
    X, index = np.unique(X1 if X2 is None else np.vstack([X1, X2]), axis=0, return_inverse=True)
    index, m = index.ravel(), len(X1)
    first = first_layer(net, X)
    assert first is not None
    second = SecondLayer.of(exact, first, X, stacklevel=3)
    if X2 is None:
        i, j = np.triu_indices(m)
    else:
        i, j = np.indices((m, len(X2))).reshape(2, -1)
    matrices = []
    for values in second.last(index[i], index[j] if X2 is None else index[j + m], workers):
        matrix = np.empty((m, m if X2 is None else len(X2)))
        matrix[i, j] = values
        if X2 is None:
            matrix[j, i] = values
        matrices.append(matrix)
    return matrices


@dataclass(frozen=True, eq=False)
class SecondLayer:
    """The kernels of the second layer between some inputs, (m, m) each, by the name of the kernel."""

    exact: PairMap
    kernels: list[Array]

    @classmethod
    def of(cls, exact: PairMap, first: FirstLayer, X: Array, stacklevel: int) -> SecondLayer:
        """Exactly where averages are over few numbers; else with the first order of the fourth cumulants, and a warning."""
        step, given = exact.steps[0], exact.parameters[1]
        below = exact.first(X @ X.T / X.shape[1])
        if first.few(2):
            terms = {f"E{i}": (orders, (0, 0)) for i, orders in enumerate(step.orders)}
            found, _ = tables(first, step.activation, terms)
            return cls(exact, step.next([found[name] for name in terms], below, given))
        m = len(X)
        made = _gaussian(exact, below)
        many = m * (m + 1) // 2 > min(MOST[way(step.activation, name)] for name in exact.names)
        warn_about_kurtosis(exact.net, first, GAUSSIAN if many else CORRECTED, stacklevel + 1)
        if not many:
            i, j = np.triu_indices(m)
            Theta = dict(zip(exact.names, below, strict=True)).get("Theta")
            for name, matrix in zip(exact.names, made, strict=True):
                pairs = None if Theta is None else Theta[i, j]
                matrix[i, j] += correction(first, step.activation, name, i, j, pairs, given)
                matrix[j, i] = matrix[i, j]
        return cls(exact, made)

    def last(self, rows: Ints, columns: Ints, workers: int | None) -> list[Array]:
        """The kernels of the last layer between some of the inputs and some others, one vector for each name."""
        alone = [np.diagonal(kernel).copy() for kernel in self.kernels]
        deviations, single = self._alone(alone)
        steps = self._steps(len(rows))

        def through(part: slice, tick: Any) -> list[Array]:
            i, j = rows[part], columns[part]
            values = [kernel[i, j] for kernel in self.kernels]
            with np.errstate(all="ignore"):
                for step, given, d in zip(steps, self.exact.parameters[2:], deviations, strict=True):
                    values = list(step.pairs(d[i], d[j], values, given))
            return values

        parts = [slice(k, k + TOGETHER) for k in range(0, len(rows), TOGETHER)]
        found = [np.concatenate(v) for v in zip(*mapped(through, parts, workers=workers), strict=True)]
        for name, values, own in zip(self.exact.names, found, single, strict=True):
            values[rows == columns] = own[rows[rows == columns]]
            if not np.isfinite(values).all():
                raise NotConverged(
                    f"{name} is not finite: the recursion grew beyond double precision; allowed: a smaller C_W, or fewer layers"
                )
        return found

    def _alone(self, values: list[Array]) -> tuple[list[Array], list[Array]]:
        """Single inputs: their deviations in the layers 2 ... L-1, and their kernels in the last one."""
        state = dict(zip(self.exact.names, values, strict=True))
        deviations = []
        for step, given in zip(self.exact.steps[1:], self.exact.parameters[2:], strict=True):
            deviations.append(np.sqrt(state["K"]))
            state = step.alone(state, given)
        return deviations, [state[name] for name in self.exact.names]

    def _steps(self, pairs: int) -> tuple[LayerStep, ...]:
        """The maps above the second layer, with averages in bulk for many pairs."""
        return (self.exact.bulk if pairs >= FEW else self.exact).steps[1:]


def _gaussian(exact: PairMap, below: list[Array]) -> list[Array]:
    """The kernels of the second layer above a Gaussian first one."""
    m = len(below[0])
    i, j = np.triu_indices(m)
    a = np.sqrt(np.diagonal(below[0]))
    step = exact.bulk.steps[0] if len(i) >= FEW else exact.steps[0]
    values = step.pairs(a[i], a[j], [matrix[i, j] for matrix in below], exact.parameters[1])
    state = dict(zip(exact.names, (np.diagonal(matrix).copy() for matrix in below), strict=True))
    alone = exact.steps[0].alone(state, exact.parameters[1])
    made = []
    for name, value in zip(exact.names, values, strict=True):
        matrix = np.empty((m, m))
        matrix[i, j] = matrix[j, i] = value
        np.fill_diagonal(matrix, alone[name])
        made.append(matrix)
    return made
