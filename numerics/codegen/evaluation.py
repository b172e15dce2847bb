"""Functions that closed forms call: exponentials without overflow and without terms that cancel, Gaussians times exp(-q z^2/2).

This module is copied into generated programs: it imports NumPy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Terms of the series of a remainder, to the last digit for arguments up to 5.
SERIES = 30


def damped_sinh(x: Any, plus: Any, minus: Any) -> Any:
    """sinh(x) exp(y), where sinh alone may overflow, from the exponents y + x and y - x."""
    larger = np.where(getattr(x, "value", x) > 0, 1.0, 0.0)
    top = larger * plus + (1 - larger) * minus
    return -0.5 * np.sign(x) * np.exp(top) * np.expm1(-2 * np.abs(x))


def remainder(x: Any, first: int, size: Any) -> Any:
    """exp(x); where ``size`` is below one without the first terms of its series, which cancel in the sum that it is part of."""
    size = getattr(size, "value", size)
    if hasattr(x, "through"):  # with a bound of its error; the derivative of a remainder has one term less left out
        return x.through(lambda v: remainder(v, first, size), remainder(x.value, max(first - 1, 0), size))
    x, size = np.broadcast_arrays(np.asarray(x, dtype=float), size)
    found, small = np.array(np.exp(x)), size < 1
    if small.any():
        at, total = x[small], np.ones(int(small.sum()))
        for k in range(first + SERIES, first, -1):
            total = 1 + total * at / k
        for k in range(1, first + 1):
            total *= at / k
        found[small] = total
    return found


def conditioned(curvatures: Any, *entries: Any) -> tuple[Any, ...]:
    """The entries S_aa, S_ab, ... of S = K (1 + QK)^-1, and det(1 + QK).

    By one curvature after the other, S_jk loses q S_ji S_ik / (1 + q S_ii): minors of large K would cancel.
    """
    sites = range(len(curvatures))
    S = dict(zip([(i, j) for i in sites for j in sites if i <= j], entries, strict=True))
    determinant = 1.0
    for i, q in enumerate(curvatures):
        if q:
            pivot, row = 1 + q * S[i, i], [S[min(i, j), max(i, j)] for j in sites]
            S = {(j, k): x / pivot if i in (j, k) else x - row[j] * row[k] * q / pivot for (j, k), x in S.items()}
            determinant = determinant * pivot
    return (*S.values(), determinant)
