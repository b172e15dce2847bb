"""Checks of arguments that every system takes: names, counts, seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

from .errors import InvalidArgument, WidthwiseError


def check_names(
    argument: str, given: str | Sequence[str], allowed: Sequence[str], why: str = "is not known"
) -> tuple[str, ...]:
    """Names of quantities, each of them once."""
    listed = names_of(argument, given, allowed)
    for name in listed:
        if name not in allowed:
            raise InvalidArgument(f"{argument}={given!r}: {name!r} {why}; allowed: {', '.join(allowed)}")
    return tuple(dict.fromkeys(listed))


def names_of(argument: str, given: Any, allowed: Iterable[str]) -> tuple[Any, ...]:
    """One name, or the names of a sequence, as a tuple."""
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, Iterable):
        raise InvalidArgument(
            f"{argument}={given!r}; allowed: a name, or a sequence of names among {', '.join(allowed)}"
        )
    return tuple(given)


def check_count(
    name: str,
    value: Any,
    least: int,
    most: int | None = None,
    *,
    why: str = "",
    error: type[WidthwiseError] = InvalidArgument,
) -> int:
    """An integer argument within bounds, and ``why`` it has them, if that needs saying."""
    integer = isinstance(value, Integral) and not isinstance(value, bool)  # a truth value passes for an integer
    if not integer or value < least or (most is not None and value > most):
        upper, reason = "" if most is None else f" to {most}", f": {why}" if why else ""
        raise error(f"{name}={value!r}{reason}; allowed: integers from {least}{upper}")
    return int(value)


def check_counts(name: str, value: Any, number: int, least: int, *, of: str, why: str = "") -> tuple[int, ...]:
    """One count for all, or one for each of ``number`` things called ``of``."""
    if isinstance(value, Integral):
        return (check_count(name, value, least, why=why),) * number
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidArgument(f"{name}={value!r}; allowed: an integer from {least}, or one for each of the {of}")
    counts = tuple(check_count(f"{name}[{i}]", count, least, why=why) for i, count in enumerate(value))
    if len(counts) != number:
        raise InvalidArgument(
            f"{name}={list(counts)} has {len(counts)} entries for {number} {of}; allowed: one number, or one for each of the {of}"
        )
    return counts


def check_seed(value: Any) -> int:
    """A seed."""
    return check_count("seed", value, 0)


@contextmanager
def handled(argument: str, value: Any, allowed: str) -> Iterator[None]:
    """Errors that SymPy and mpmath raise about an expression of a user, of many kinds, as one of ours."""
    try:
        yield
    except WidthwiseError:
        raise
    except Exception as error:
        shown = str(value)
        raise InvalidArgument(
            f"{argument}={shown[:80]!r} is more than can be worked with ({type(error).__name__}: {str(error)[:80]}); "
            f"allowed: {allowed}"
        ) from error
