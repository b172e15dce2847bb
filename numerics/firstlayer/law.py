r"""The first layer of a network whose weights are not Gaussian: whether its preactivations are averages over few numbers.

With many features that count alike the preactivations are Gaussian. How far they are from it is not a matter of the width: the
excess kurtosis of one preactivation is :math:`\kappa_4\sum_jx_j^4/(\sum_jx_j^2)^2` without a bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.networks.architecture import MLP
from ...theory.networks.entries import Density, EntryLaw, Values
from .points import COMBINATIONS, LEVELS, WIDER

Array = NDArray[np.float64]

#: The most entries with a density, a bias among them, for smooth and for kinked activations.
DIMENSIONS = {False: 4, True: 3}
#: The most sets of inputs that are gone through.
SETS = 300_000
#: Multiples of a common unit that are looked for, and how close they have to be.
UNITS, WHOLE = 12, 1e-9


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """Coefficients (inputs, features) of the entries in the preactivations, and the deviation of the bias."""

    coefficients: Array
    entry: EntryLaw
    excess: float
    bias: float
    kinked: bool

    def columns(self, samples: tuple[int, ...]) -> Array:
        """The coefficients of those entries that count at some inputs; entries are symmetric, so that signs of columns do not."""
        found = self.coefficients[list(samples)]
        found = found[:, found.any(axis=0)]
        lead = np.take_along_axis(found, (found != 0).argmax(axis=0)[None], axis=0)
        found = found * np.where(lead < 0, -1.0, 1.0) + 0.0
        return found[:, np.lexsort(found)]

    @property
    def everything(self) -> bool:
        """Whether all inputs together are an average over few numbers."""
        return self._few(int(self.coefficients.any(axis=0).sum()), float(np.prod(self.sums)))

    def few(self, together: int) -> bool:
        """Whether as many inputs as occur together in an average are an average over few numbers, whichever they are."""
        m, shown = len(self.coefficients), self.coefficients != 0
        if self.everything:
            return True
        together = min(together, m)
        if together == m or comb(m, together) > SETS:
            return False
        if together == 2:
            counts = shown.astype(float)
            overlap = counts @ counts.T
            both = overlap.diagonal()[:, None] + overlap.diagonal() - overlap
            return bool(self._few(both, np.multiply.outer(self.sums, self.sums))[~np.eye(m, dtype=bool)].all())
        sets = (list(s) for s in combinations(range(m), together))
        return all(self._few(int(shown[s].any(axis=0).sum()), float(np.prod(self.sums[s]))) for s in sets)

    def _few(self, entries: Any, sums: Any) -> Any:
        """Whether so many entries, or sums of them, are few."""
        if isinstance(self.entry, Density):
            return entries + bool(self.bias) <= DIMENSIONS[self.kinked]
        more = WIDER * LEVELS[0][1] / 4 if self.bias else 1.0
        return np.minimum(float(len(self.entry.values)) ** entries, sums) * more <= COMBINATIONS

    @cached_property
    def sums(self) -> Array:
        """For each input how many different sums finitely many values can have: few where features are multiples of a unit."""
        size = np.abs(self.coefficients)
        found = np.full(len(size), np.inf)
        if isinstance(self.entry, Values) and len(self.entry.values) <= 3:
            steps = len(self.entry.values) - 1  # equidistant values
            for a, row in enumerate(size):
                row = row[row > 0]
                for divided in range(1, UNITS + 1):
                    units = row * divided / row.min(initial=np.inf)
                    if (np.abs(units - np.rint(units)) <= WHOLE * np.maximum(1, units)).all():
                        found[a] = 1 + steps * np.rint(units).sum()
                        break
        return found

    @property
    def kurtosis(self) -> Array:
        """The excess kurtosis of the preactivation at each input."""
        squares = (self.coefficients**2).sum(axis=1)
        variance = squares + self.bias**2
        fourth = self.excess * (self.coefficients**4).sum(axis=1)
        return np.divide(fourth, variance**2, out=np.zeros_like(squares), where=variance > 0)


def first_layer(net: MLP, X: Array) -> FirstLayer | None:
    """The first layer at some inputs, if another one follows that sees more of it than a Gaussian."""
    ensemble = net.ensembles[0]
    if ensemble.entry is None or not net.depth or net.depth < 2:
        return None
    scale = np.sqrt(net.per_layer("C_W")[0] / X.shape[1])
    bias = float(np.sqrt(net.per_layer("C_b")[0]))
    kinked = bool(net.layer_activations[0].kinks)
    return FirstLayer(scale * X, ensemble.entry, float(ensemble.excess), bias, kinked)
