"""One exception class per kind of mistake; each message names the argument, the value and what would be allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class WidthwiseError(ValueError):
    """Base of all errors that a wrong argument raises."""


class InvalidNetwork(WidthwiseError):
    """A network that cannot exist: wrong depth, width, variance or learning rate."""


class InvalidInput(WidthwiseError):
    """Inputs ``X`` of the wrong shape, or with entries that are not finite."""


class InvalidArgument(WidthwiseError):
    """Any other argument outside what is allowed."""


class TooCostly(InvalidArgument):
    """Work that does not fit into the memory that is free, or takes longer than is allowed."""


class InvalidCall(InvalidArgument, TypeError):
    """Keywords that a generated function does not take, or that it needs and did not get."""


class MissingTensor(InvalidArgument, KeyError):
    """A state of a layer without a tensor that the equations need."""

    __str__ = ValueError.__str__  # that of KeyError quotes the message


class UnknownName(WidthwiseError, KeyError):
    """A name that is not registered; the message suggests the nearest ones."""

    __str__ = ValueError.__str__  # that of KeyError quotes the message


class NotIntegrable(WidthwiseError):
    """A function whose Gaussian average does not exist."""


class NotAvailable(WidthwiseError):
    """A result that exists in theory but that this version does not hold."""


class NotConverged(WidthwiseError):
    """A numerical method that did not reach its tolerance."""


class ExpansionWarning(UserWarning):
    """The next order in 1/width is not small."""


class StabilityWarning(UserWarning):
    """A learning rate beyond the stability of the lazy limit: training may diverge, or settle where the kernel is smaller."""


class AccuracyWarning(UserWarning):
    """A Gaussian average whose estimated error is above the tolerance."""


def unknown_name(kind: str, name: Any, allowed: Iterable[str]) -> UnknownName:
    """The error for ``name``, with the nearest allowed names first."""
    options = sorted(allowed)
    near = difflib.get_close_matches(str(name).lower(), {o.lower(): o for o in options}, n=2, cutoff=0.5)
    by_lower = {o.lower(): o for o in options}
    hint = f"; did you mean {' or '.join(repr(by_lower[n]) for n in near)}?" if near else ""
    return UnknownName(f"{kind}={name!r} is not known{hint or '.'} Allowed: {', '.join(options)}.")
