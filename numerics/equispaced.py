r"""Averages of smooth functions at many variances and correlations at once, by an equispaced rule.

.. math:: \langle f(au)\,g(bv)\rangle_\varrho = \sum_{ij} f(au_i)\,P_\varrho(u_i,v_j)\,g(bv_j)

with the Gaussian density P on a grid: for one correlation all a and b are one product of matrices. The rule converges exponentially
once the step resolves the density, which is :math:`\sqrt{1-\varrho^2}` wide, and the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Beyond this many standard deviations the density is below rounding.
REACH = 8.8
#: Steps relative to the width of the density, and to the scale on which f(au) varies (a pole at i pi/2 for tanh).
STEP, SMOOTH = 0.7, 0.24
#: The largest grid along one side.
MOST = 2500


def averages_on_grid(
    sigma: Callable[[Array, int], Sequence[Array]],
    deviations: Array,
    correlations: Array,
    orders: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
) -> list[Array]:
    """Averages of products of sigma's derivatives at two sites for all deviations a, b: arrays (p, p, d), NaN if out of reach."""
    highest = max(k for pair in orders for site in pair for k in site)
    found = [np.full((len(deviations), len(deviations), len(correlations)), np.nan) for _ in orders]
    for n, rho in enumerate(correlations):
        width = np.sqrt(1 - rho**2)
        step = min(STEP * width, SMOOTH / max(1.0, deviations.max()))
        half = int(np.ceil(REACH / step))
        if half > MOST:
            return found
        u = step * np.arange(-half, half + 1)
        P = np.exp(-((u[:, None] - rho * u) ** 2 / width**2 + u**2) / 2) * (step**2 / (2 * np.pi * width))
        values = sigma(deviations[:, None] * u, highest)
        for total, (first, second) in zip(found, orders, strict=True):
            left, right = (np.prod([values[k] for k in site], axis=0) for site in (first, second))
            total[:, :, n] = left @ P @ right.T
    return found
