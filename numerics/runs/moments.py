"""The mean and spread of independent solutions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class RunningMoments:
    """Running means and squares (Welford)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, Array] = {}
        self._squares: dict[str, Array] = {}

    def add(self, values: dict[str, Array]) -> None:
        """One more solution."""
        self.count += 1
        for name, value in values.items():
            if self.count == 1:
                self.mean[name], self._squares[name] = value.copy(), np.zeros_like(value)
            else:
                off = value - self.mean[name]
                self.mean[name] += off / self.count
                self._squares[name] += off * (value - self.mean[name])

    def stderr(self, name: str) -> Array:
        """The standard error of the mean; zero for a single solution, which has no randomness."""
        if self.count < 2:
            return np.zeros_like(self.mean[name])
        return np.asarray(np.sqrt(self._squares[name] / (self.count * (self.count - 1))))
