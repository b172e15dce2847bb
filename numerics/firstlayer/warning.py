"""The warning about a first layer that is neither Gaussian nor an average over few numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ...theory.language.errors import ExpansionWarning
from ...theory.networks.architecture import MLP
from .law import FirstLayer

#: The largest excess kurtosis of a preactivation that passes without a warning: kernels are then right to a few of its squares.
KURTOSIS_LIMIT = 0.02
#: What numbers hold of it.
WITH_SKIPS = "networks with residual= take it for Gaussian"
CORRECTED = "K and Theta hold its first order, other tensors are those of a Gaussian first layer"


def warn_about_kurtosis(net: MLP, first: FirstLayer, holds: str, stacklevel: int) -> None:
    """Warn with the excess kurtosis, which is the number that has to be small, whatever the widths."""
    largest = float(abs(first.kurtosis).max())
    if largest > KURTOSIS_LIMIT:
        warnings.warn(
            f"weights={net.ensembles[0]} in a first layer of {first.coefficients.shape[1]} features: its preactivations have the "
            f"excess kurtosis {largest:.2g}, that is kappa_4 sum x^4/(sum x^2)^2 (limit {KURTOSIS_LIMIT}), and are sums over too "
            f"many weights to be averaged as they are; {holds}. Wider layers do not mend this; use inputs of which more features "
            "count, weights='gaussian' in the first layer, or simulate it",
            ExpansionWarning,
            stacklevel=stacklevel + 1,
        )


def warn_about_cumulants(excess: float, X: Any, stacklevel: int) -> None:
    """Warn where generated code, which knows the first layer by its cumulants, is given inputs of few features."""
    try:
        squares = np.asarray(X, dtype=np.float64) ** 2
    except (TypeError, ValueError):  # the code says what is wrong with them
        return
    total = squares.sum(axis=-1)
    kurtosis = np.divide((squares**2).sum(axis=-1), total**2, out=np.zeros_like(total), where=total > 0)
    largest = float(np.max(np.abs(excess * kurtosis), initial=0.0))
    if largest > KURTOSIS_LIMIT:
        warnings.warn(
            f"kappa_4={excess:g}: preactivations of the first layer have the excess kurtosis {largest:.2g}, that is "
            f"kappa_4 sum x^4/(sum x^2)^2 (limit {KURTOSIS_LIMIT}), and the code counts them as Gaussian with a correction of "
            "first order in K1 and Theta1; predict and kernel average over them as they are where few features count",
            ExpansionWarning,
            stacklevel=stacklevel + 1,
        )
