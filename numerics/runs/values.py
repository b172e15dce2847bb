"""Values that hold arrays and tables: they compare by content, like all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import sympy as sp


@singledispatch
def same(first: Any, second: Any) -> bool:
    """Whether two values have equal contents: labelled arrays and tables by their own comparison, records field by field."""
    if type(first) is not type(second):
        return False
    if is_dataclass(first):
        return all(same(getattr(first, f.name), getattr(second, f.name)) for f in fields(first) if f.compare)
    for comparison in ("identical", "equals"):  # of xarray, of pandas
        if hasattr(first, comparison):
            return bool(getattr(first, comparison)(second))
    return bool(first == second)


@same.register
def _(first: sp.Basic, second: Any) -> bool:
    return bool(first == second)


@same.register
def _(first: float, second: Any) -> bool:
    return bool(first == second or (first != first and second != second))  # nan is nan


@same.register
def _(first: np.ndarray, second: Any) -> bool:
    if not isinstance(second, np.ndarray) or first.dtype != second.dtype:
        return False
    return np.array_equal(first, second, equal_nan=first.dtype.kind in "fc")


@same.register(tuple)
@same.register(list)
def _(first: Any, second: Any) -> bool:
    return type(first) is type(second) and len(first) == len(second) and all(map(same, first, second))


@same.register
def _(first: Mapping, second: Any) -> bool:  # type: ignore[type-arg]
    return (
        type(first) is type(second)
        and first.keys() == second.keys()
        and all(same(value, second[key]) for key, value in first.items())
    )


class Value:
    """A record with arrays among its fields; a dataclass that inherits from this says ``eq=False``."""

    def __eq__(self, other: object) -> bool:
        return same(self, other)

    __hash__ = None  # type: ignore[assignment]
