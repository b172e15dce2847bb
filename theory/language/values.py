"""Values: names for their contents, in every process and version; and records of formulas that are copied as written."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import singledispatch
from typing import Any

import sympy as sp

from .errors import InvalidArgument


def fingerprint(*parts: Any) -> str:
    """A name for a content.

    Equation
        SHA-256 of the contents: expressions by their structure, records by their fields, subjects by a ``fingerprint`` of their
        own if they have one; floors above register their own kinds of values, such as arrays.
    Shapes
        Any values; sequences and mappings of them.
    Units
        24 hexadecimal digits.
    Valid
        Equal contents have equal names in every process.
    Errors
        ``InvalidArgument`` for a value without content of its own, such as an open file.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{type(part).__name__}:{content(part)};".encode())
    return digest.hexdigest()[:24]


def of_fields(record: Any) -> str:
    """The fingerprint of a record by the fields that it is compared by."""
    return fingerprint(*((f.name, getattr(record, f.name)) for f in fields(record) if f.compare))


@singledispatch
def content(part: Any) -> str:
    """The content of a value, as text; a new kind of value is registered here."""
    own = getattr(part, "fingerprint", None)
    if isinstance(own, str):
        return own
    if is_dataclass(part) and not isinstance(part, type):
        return of_fields(part)
    shown: Any = type(part).__repr__
    if shown is object.__repr__:  # an address, and another one in each process
        raise InvalidArgument(
            f"{part!r} is a {type(part).__name__}, which has no content to be known by; allowed: numbers, text, arrays, "
            "expressions, frozen records, and subjects with a fingerprint"
        )
    return repr(part)


@content.register
def _(part: sp.Basic) -> str:
    return str(sp.srepr(part))


@content.register(tuple)
@content.register(list)
def _(part: Any) -> str:
    return fingerprint(*part)


@content.register(set)
@content.register(frozenset)
def _(part: Any) -> str:
    return fingerprint(*sorted(map(fingerprint, part)))


@content.register(Mapping)
def _(part: Mapping[Any, Any]) -> str:
    return fingerprint(*part.items())


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
