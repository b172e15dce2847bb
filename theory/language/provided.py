"""What upper floors provide to lower ones: functions by name, loaded when they are first asked for.

Floors import in one direction. The front door, which knows all of them, says here where a function is.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_places: dict[str, str] = {}


def provide(name: str, place: str) -> None:
    """Say where a function is, as "module:function"."""
    _places[name] = place


def provided(name: str) -> Any:
    """The function."""
    if name not in _places:
        from .errors import NotAvailable  # not at the top: this module is a part of ``import widthwise``

        raise NotAvailable(f"{name} is provided by no floor; allowed: {', '.join(sorted(_places)) or 'nothing yet'}")
    module, _, function = _places[name].partition(":")
    return getattr(import_module(module), function)
