"""Checking the inputs ``X`` once, where they enter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import InvalidInput


def numbers_of(value: Any) -> NDArray[np.float64]:
    """What NumPy reads as real numbers; NaN for anything else, which the check of the numbers then refuses."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array([np.nan])


def check_inputs(X: Any) -> NDArray[np.float64]:
    r"""The inputs as a finite float array.

    Equation
        :math:`X_{a j} = x_{j;a}`, one row for each input.
    Shapes
        (m, n_0), both at least 1.
    Units
        None: they are pure numbers.
    Valid
        Values that NumPy turns into real numbers: nested lists, arrays, data frames.
    Errors
        ``InvalidInput`` with the shape or the entry at fault.
    """
    try:
        raw = np.asarray(X)
    except ValueError as error:  # rows of different lengths
        raise InvalidInput(
            f"X={_short(X)} is not rectangular; allowed: shape (m, n_0), one row for each input"
        ) from error
    if raw.dtype.kind not in "biuf":
        raise InvalidInput(f"X={_short(X)} has dtype {raw.dtype}; allowed: real numbers, shape (m, n_0)")
    if raw.ndim == 1:
        raise InvalidInput(
            f"X has shape {raw.shape}; allowed: (m, n_0), one row for each input. For one input pass X[None, :]"
        )
    if raw.ndim != 2 or 0 in raw.shape:
        raise InvalidInput(f"X has shape {raw.shape}; allowed: (m, n_0) with m >= 1 inputs of n_0 >= 1 features")
    inputs = np.ascontiguousarray(raw, dtype=np.float64)
    finite = np.isfinite(inputs)
    if not finite.all():
        a, j = np.argwhere(~finite)[0]
        raise InvalidInput(f"X[{a}, {j}]={inputs[a, j]} is not finite; allowed: finite real numbers")
    return inputs


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
