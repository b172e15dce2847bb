"""Checks of arguments that every system takes: names, counts, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from .errors import InvalidArgument


def check_names(
    argument: str, given: str | Sequence[str], allowed: Sequence[str], why: str = "is not known"
) -> tuple[str, ...]:
    """Names of quantities, each of them once."""
    listed = (given,) if isinstance(given, str) else tuple(given)
    for name in listed:
        if name not in allowed:
            raise InvalidArgument(f"{argument}={given!r}: {name!r} {why}; allowed: {', '.join(allowed)}")
    return tuple(dict.fromkeys(listed))


def check_count(name: str, value: Any, least: int, most: int | None = None, *, why: str = "") -> int:
    """An integer argument within bounds, and ``why`` it has them, if that needs saying."""
    integer = isinstance(value, Integral) and not isinstance(value, bool)  # a truth value passes for an integer
    if not integer or value < least or (most is not None and value > most):
        upper, reason = "" if most is None else f" to {most}", f": {why}" if why else ""
        raise InvalidArgument(f"{name}={value!r}{reason}; allowed: integers from {least}{upper}")
    return int(value)


def check_seed(value: Any) -> int:
    """A seed."""
    return check_count("seed", value, 0)
