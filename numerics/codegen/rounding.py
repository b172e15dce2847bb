"""Closed forms with a bound of their rounding errors: arithmetic of numbers that carry the error that they may have.

This module is copied into generated programs: it imports NumPy alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

#: The rounding of one operation, relative.
EPS = 2.0**-52
#: Operations in which errors of the arguments grow by known factors; of the others they are tried.
ERRORS: dict[str, Callable[..., Any]] = {
    "add": lambda v, x, y, dx, dy: dx + dy,
    "subtract": lambda v, x, y, dx, dy: dx + dy,
    "multiply": lambda v, x, y, dx, dy: np.abs(y) * dx + np.abs(x) * dy,
    "divide": lambda v, x, y, dx, dy: (dx + np.abs(v) * dy) / np.abs(y),
    "power": lambda v, x, y, dx, dy: np.where(x == 0, 0.0, np.abs(y * v / np.where(x == 0, 1.0, x)) * dx),
    "arctan2": lambda v, x, y, dx, dy: (np.abs(y) * dx + np.abs(x) * dy) / (x * x + y * y),
    "maximum": lambda v, x, y, dx, dy: dx + dy,
    "exp": lambda v, x, dx: v * dx,
}


class Rounded(np.lib.mixins.NDArrayOperatorsMixin):
    """Numbers, and how far they may be off."""

    def __init__(self, value: Any, error: Any) -> None:
        """Absolute errors."""
        self.value, self.error = value, error

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any) -> Rounded:
        values = [x.value if isinstance(x, Rounded) else x for x in inputs]
        errors = [x.error if isinstance(x, Rounded) else 0.0 for x in inputs]
        value = ufunc(*values)
        with np.errstate(all="ignore"):
            if ufunc.__name__ in ERRORS:
                return Rounded(value, ERRORS[ufunc.__name__](value, *values, *errors) + EPS * np.abs(value))
            moved = (np.abs(ufunc(values[0] + sign * errors[0]) - value) for sign in (1, -1))
            return Rounded(value, np.fmax(*moved) + 4 * EPS * np.abs(value))

    def clip(self, low: float, high: float, **_: Any) -> Rounded:
        """Within bounds, which rounding may have crossed."""
        return Rounded(np.clip(self.value, low, high), self.error)

    def through(self, function: Callable[[Any], Any], slope: Any) -> Rounded:
        """A function of it that is no ufunc."""
        value = function(self.value)
        return Rounded(value, np.abs(slope) * self.error + 4 * EPS * np.abs(value))


def rounded(formulas: Callable[..., Mapping[str, Any]], *entries: Any) -> tuple[dict[str, Any], float]:
    """Closed forms at the entries K_aa, K_ab, ... of some samples, and their largest error, relative above one.

    The covariance of two samples is rounded itself; that of equal samples is their variance, and what cancels then does so exactly.
    """
    sites = int((2 * len(entries)) ** 0.5)
    at = {pair: i for i, pair in enumerate((i, j) for i in range(sites) for j in range(i, sites))}
    given = []
    for (i, j), number in at.items():
        same = (entries[number] == entries[at[i, i]]) & (entries[number] == entries[at[j, j]])
        given.append(Rounded(entries[number], np.where(same, 0.0, EPS * np.abs(entries[number]))))
    values, worst = {}, 0.0
    for name, found in formulas(*given).items():
        values[name] = found.value if isinstance(found, Rounded) else found
        error, size = (found.error if isinstance(found, Rounded) else 0.0), np.abs(values[name])
        relative = np.where(
            np.isfinite(size), error / np.maximum(1.0, size), 0.0
        )  # what is not finite is refused by itself
        worst = max(worst, float(np.max(relative, initial=0.0)))
    return values, worst
