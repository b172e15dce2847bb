"""Exponentials as sums of them need them: without overflow beside a small factor, and without the terms that cancel.

This module is copied into generated programs: it imports NumPy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Terms of the series of a remainder, to the last digit for arguments up to 5.
SERIES = 30


def damped_sinh(x: Any, y: Any) -> Any:
    """sinh(x) exp(y), where sinh alone may overflow."""
    size = np.abs(x)
    return -0.5 * np.sign(x) * np.exp(size + y) * np.expm1(-2 * size)


def remainder(x: Any, first: int, size: Any) -> Any:
    """exp(x); where ``size`` is below one without the first terms of its series, which cancel in the sum that it is part of."""
    size = getattr(size, "value", size)
    if hasattr(x, "through"):  # with a bound of its error; the derivative of a remainder has one term less left out
        return x.through(lambda v: remainder(v, first, size), remainder(x.value, max(first - 1, 0), size))
    x, size = np.broadcast_arrays(np.asarray(x, dtype=float), size)
    found, small = np.exp(x), size < 1
    if small.any():
        at, total = x[small], np.ones(int(small.sum()))
        for k in range(first + SERIES, first, -1):
            total = 1 + total * at / k
        for k in range(1, first + 1):
            total *= at / k
        found[small] = total
    return found
