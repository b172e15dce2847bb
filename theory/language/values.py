"""The content of a value as text: equal values have one name, in every process and in every version of the package."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import singledispatch
from typing import Any

import sympy as sp


@singledispatch
def content(value: Any) -> str:
    """What a value holds: a record by its class and the fields that it is compared by, anything else by its ``repr``."""
    if not is_dataclass(value):
        return repr(value)
    held = ", ".join(f"{f.name}={content(getattr(value, f.name))}" for f in fields(value) if f.compare)
    return f"{type(value).__name__}({held})"


@content.register
def _(value: sp.Basic) -> str:
    return str(sp.srepr(value))


@content.register
def _(value: float) -> str:
    return float.__repr__(value)  # a float of NumPy is the same number


@content.register(tuple)
@content.register(list)
def _(value: Any) -> str:
    return f"({', '.join(map(content, value))})"


@content.register
def _(value: Mapping) -> str:  # type: ignore[type-arg]
    return f"{{{', '.join(sorted(f'{content(k)}: {content(v)}' for k, v in value.items()))}}}"


class Written:
    """A record of formulas, whose copies hold them as they are written: SymPy evaluates what it reads from a pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        held = io.BytesIO()
        _Pickler(held).dump({f.name: getattr(self, f.name) for f in fields(self)})  # type: ignore[arg-type]
        return _loaded, (type(self), held.getvalue())


def _loaded(kind: type, held: bytes) -> Any:
    return kind(**pickle.loads(held))


class _Pickler(pickle.Pickler):
    """Sums, products, powers and equations by their arguments, which are not evaluated when they are put together again."""

    def reducer_override(self, held: Any) -> Any:
        if isinstance(held, sp.Add | sp.Mul | sp.Pow | sp.core.relational.Relational):
            return _unevaluated, (type(held), held.args)
        return NotImplemented


def _unevaluated(kind: type, arguments: tuple[sp.Basic, ...]) -> sp.Basic:
    return kind(*arguments, evaluate=False)


def fingerprint(value: Any) -> str:
    """A short name for the content of a value."""
    return hashlib.sha256(content(value).encode()).hexdigest()[:24]
