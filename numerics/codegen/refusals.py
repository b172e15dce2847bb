"""Errors of generated code and of its quadrature, which stand on their own, as errors of the package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...theory.language.errors import InvalidInput, NotIntegrable, WidthwiseError

#: A function that is finite where it is needed, and whose text is not.
HINT = (
    " (a function may overflow on the way to a finite value, and can be written so that it does not: tanh(x) for "
    "(exp(x)-exp(-x))/(exp(x)+exp(-x)))"
)


def infinite(problem: ValueError) -> NotIntegrable | None:
    """The error for an activation that is not finite where an average needs it; None for other problems."""
    text = str(problem)
    if not ("sigma^" in text or "overflows" in text):
        return None
    return NotIntegrable(text + HINT * (" is nan " in text))


@contextmanager
def refused() -> Iterator[None]:
    """A bare ``ValueError`` of a text without our classes as the error that it is."""
    try:
        yield
    except WidthwiseError:
        raise
    except ValueError as problem:
        raise infinite(problem) or InvalidInput(str(problem)) from None
