"""How well a standard error is known that comes from a few samples with long tails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: The excess kurtosis of fewer samples is not estimated.
FEWEST = 4


def degrees_of_freedom(samples: Array) -> float:
    r"""The degrees of freedom of the standard error of a mean.

    Equation
        :math:`\nu=(G-1)\big/\big(1+\tfrac{G-1}{2G}\,\kappa\big)`: the variance of the sample variance,
        :math:`\sigma^4\big(\tfrac2{G-1}+\tfrac\kappa G\big)`, set equal to that of chi-squared, :math:`2\sigma^4/\nu`.
    Shapes
        samples (G, places, ...): the samples of a quantity at all its places and entries.
    Valid
        G - 1 for normal samples, and where many networks make up a sample. The excess kurtosis :math:`\kappa` is the largest over
        places of the unbiased estimates, averaged over the entries of a place: one entry of a few samples hardly tells its own.
        Without this, fifty networks of a product of four fields alarm three times as often as they say.
    Source
        Satterthwaite's matching of variances; Fisher's k-statistics.
    """
    count = len(samples)
    if count < FEWEST or samples.ndim < 2:
        return count - 1.0
    deviation = samples - samples.mean(axis=0)
    flat = deviation.reshape(count, len(samples[0]), -1)
    second = np.mean(flat**2, axis=0)
    noisy = second > 1e-20 * second.max(initial=0.0)
    plain = np.mean(flat**4, axis=0)[noisy] / second[noisy] ** 2 - 3
    excess = np.zeros_like(second)
    excess[noisy] = (count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * plain + 6)
    entries = noisy.sum(axis=1)
    kappa = float(np.max(excess.sum(axis=1) / np.maximum(entries, 1), initial=0.0))
    return (count - 1) / (1 + kappa * (count - 1) / (2 * count))
