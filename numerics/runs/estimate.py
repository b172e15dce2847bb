"""A number with its error."""

from __future__ import annotations

from typing import Any, NamedTuple


class Estimate(NamedTuple):
    """A number, or an array of them, and its absolute error."""

    value: Any
    error: Any
