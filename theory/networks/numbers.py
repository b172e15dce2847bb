"""The numbers of a network as they are given: checked, and expressions kept exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import sympy as sp

from ..language.checks import check_count
from ..language.errors import InvalidNetwork

Value = float | tuple[float, ...] | None

#: The meaning of the numbers of a network; each is one number, or one for each layer.
_MEANING = {
    "C_W": "a variance",
    "C_b": "a variance",
    "W_std": "a standard deviation",
    "b_std": "a standard deviation",
    "gamma_0": "a strength of feature learning",
}


def positive_integer(name: str, value: Any) -> int:
    """A number of neurons, layers or features."""
    return check_count(name, value, 1, error=InvalidNetwork)


def as_widths(width: Any, depth: int | None) -> int | tuple[int, ...] | None:
    """The hidden widths: one for all layers, or one for each."""
    if width is None or isinstance(width, Integral):
        return None if width is None else positive_integer("width", width)
    if isinstance(width, str) or not isinstance(width, Iterable):
        raise InvalidNetwork(f"width={width!r}; allowed: one positive integer, or a sequence of depth-1 of them")
    widths = tuple(positive_integer(f"width[{i}]", w) for i, w in enumerate(width))
    if depth is None:
        raise InvalidNetwork(
            f"width={widths} is a sequence, which needs depth= as well; allowed: depth={len(widths) + 1}"
        )
    if len(widths) != depth - 1:
        raise InvalidNetwork(
            f"width={widths} has {len(widths)} entries, but depth={depth} has {depth - 1} hidden layers; allowed: "
            "one number, or one for each of these"
        )
    return widths


def nonnegative(name: str, value: Any, depth: int | None) -> Value:
    """A hyperparameter: one number for all layers, or one for each."""
    if value is None:
        return None
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, Real | sp.Expr) and not isinstance(value, bool):
        return one_number(name, value)
    if isinstance(value, str | bool) or not isinstance(value, Iterable):
        raise InvalidNetwork(f"{name}={value!r}; allowed: a real number from 0, or a sequence of one for each layer")
    values = tuple(one_number(f"{name}[{i}]", v) for i, v in enumerate(value))
    if depth is None or len(values) != depth:
        raise InvalidNetwork(
            f"{name}={values} has {len(values)} entries, but depth={depth}; allowed: one number, or one for each layer 1...L"
        )
    return values


def one_number(name: str, value: Any) -> Any:
    """The number; an expression stays exact, so that W_std = sqrt(2) means C_W = 2."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number < 0:
        kind = _MEANING.get(name.partition("[")[0], "a learning rate")
        raise InvalidNetwork(f"{name}={value!r} is {kind}; allowed: finite real numbers from 0")
    return value if isinstance(value, sp.Expr) else number


def settings_given(gamma_0: Any, features: Any) -> dict[str, Any]:
    """Those of the hyperparameters without layers that are given."""
    found: dict[str, Any] = {} if features is None else {"features": positive_integer("features", features)}
    if gamma_0 is not None:
        if (
            isinstance(gamma_0, bool)
            or not isinstance(gamma_0, Real | sp.Expr)
            or not one_number("gamma_0", gamma_0) > 0
        ):
            raise InvalidNetwork(f"gamma_0={gamma_0!r}; allowed: one finite real number above 0")
        found["gamma_0"] = one_number("gamma_0", gamma_0)
    return found
