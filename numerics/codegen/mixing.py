"""The linear map that skips make of a neuron: with NumPy alone, so that generated code holds the same text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mixing(residual: Any, depth: int) -> NDArray[Any]:
    """(1 - gamma)^-1 of one gamma, of one for each of the layers 2 ... depth, or of {(k, l): gamma}; shape (depth, depth)."""
    gamma = np.zeros((depth, depth))
    if isinstance(residual, dict):
        for (below, above), strength in residual.items():
            if not 1 <= below < above <= depth:
                raise ValueError(
                    f"residual={residual}: a skip from layer {below} to {above}; allowed: from a layer to a higher one, among the "
                    f"layers 1 ... {depth}"
                )
            gamma[above - 1, below - 1] = strength
    else:
        gamma[np.arange(1, depth), np.arange(depth - 1)] = residual
    return np.linalg.inv(np.eye(depth) - gamma)
