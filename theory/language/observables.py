r"""Observables: the numbers that a system predicts and that its literal twin measures, one row each, in a table that checks itself.

The axes of datasets, the names of ``simulate``, the entries that a comparison counts, the letters of a report and the units in
``attrs`` all come from the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .errors import InvalidArgument, unknown_name

Permutation = tuple[int, ...]


class Observable(Protocol):
    """A row: the name of a number, its letters, its meaning, and its axes."""

    @property
    def name(self) -> str:
        """The name of its variable in a dataset."""

    @property
    def latex(self) -> str:
        """Its letter; LAYER stands where a layer's superscript goes, if not directly behind the letter."""

    @property
    def meaning(self) -> str:
        """A sentence without a full stop."""

    @property
    def dims(self) -> tuple[str, ...]:
        """The axes of its array, in order."""

    @property
    def order(self) -> int:
        """The power of 1/width that multiplies it in the observables of a finite system."""

    @property
    def slope_of(self) -> str | None:
        """The observable whose coefficient of 1/width it is, where it is measured as a slope; None if it is measured itself."""

    @property
    def symmetries(self) -> tuple[Permutation, ...]:
        """The permutations of its axes that leave it unchanged, the identity among them."""

    def scale(self, largest: Mapping[str, float]) -> float:
        """The size of the numbers that it is a difference of, from the largest entries of others; zero if it is none."""


Row = TypeVar("Row", bound=Observable)


class Table(Mapping[str, Row]):
    """The observables of one system by name, in the order in which they are shown."""

    def __init__(self, noun: str, rows: Iterable[Row] = ()) -> None:
        self.noun = noun
        self._rows: dict[str, Row] = {}
        #: Counts changes, so that a cache can tell that it is out of date.
        self.version = 0
        self.register(*rows)

    def __getitem__(self, name: str) -> Row:
        if not isinstance(name, str):
            kind = type(name).__name__
            raise InvalidArgument(f"{self.noun}={name!r} is a {kind}; allowed: one of {', '.join(self._rows)}")
        if name not in self._rows:
            raise unknown_name(self.noun, name, self._rows)
        return self._rows[name]

    # A table is one thing that changes, and no value: caches tell it from others by identity.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def get(self, name: str, default: Any = None) -> Any:
        """The row, or the default if there is none."""
        return self._rows.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def register(self, *rows: Row) -> None:
        """Add rows, each checked; at any time, before or after a lookup.

        Errors
            ``InvalidArgument`` for a name that is no identifier or that another row has, for a row without letter or meaning, and
            for symmetries that are no group of permutations of its axes.
        """
        for row in rows:
            if not hasattr(row, "name") or not hasattr(row, "dims"):
                raise InvalidArgument(
                    f"row={row!r} is a {type(row).__name__}; allowed: rows of the table, with name and axes"
                )
            self._check(row)
            self._rows[row.name] = row
            self.version += 1

    def remove(self, name: str) -> None:
        """Take a row away."""
        del self._rows[self[name].name]
        self.version += 1

    def _check(self, row: Row) -> None:
        where = f"{self.noun} {row.name!r}"
        if not (isinstance(row.name, str) and row.name.isidentifier()) or row.name.endswith("_stderr"):
            raise InvalidArgument(f"{where}: no name for a variable of a dataset; allowed: identifiers such as 'V6'")
        if self._rows.get(row.name, row) != row:
            raise InvalidArgument(f"{where} is there already, as {self._rows[row.name].meaning}; allowed: another name")
        if not (row.latex and row.meaning):
            raise InvalidArgument(
                f"{where}: latex={row.latex!r}, meaning={row.meaning!r}; allowed: a letter and a sentence"
            )
        others = (r for r in self.values() if r.name != row.name and len(r.dims) == len(row.dims))
        same = next((r.name for r in others if r.latex == row.latex), None)
        if same is not None:  # with as many indices: in print the two could not be told apart
            raise InvalidArgument(f"{where}: latex={row.latex!r} is the letter of {same}; allowed: a letter of its own")
        if len(set(row.dims)) < len(row.dims):
            raise InvalidArgument(f"{where}: dims={row.dims} repeat; allowed: different names of axes")
        self._check_symmetries(row)

    def _check_symmetries(self, row: Row) -> None:
        where = f"{self.noun} {row.name!r}"
        group = set(row.symmetries)
        identity = tuple(range(len(row.dims)))
        closed = all(tuple(p[i] for i in q) in group for p in group for q in group)
        if identity not in group or not all(sorted(p) == list(identity) for p in group) or not closed:
            raise InvalidArgument(
                f"{where}: symmetries={row.symmetries}; allowed: a group of permutations of {len(identity)} axes"
            )


@dataclass(frozen=True)
class Named:
    """A row whose axes and symmetries are given: an observable of a system whose averages have no algebra of their own.

    ``exchanged``: the array stays as it is when its two places change roles, ``sample`` with ``sample2``, ``time`` with ``time2``.
    """

    name: str
    latex: str
    meaning: str
    dims: tuple[str, ...]
    order: int = 0
    slope_of: str | None = None
    exchanged: bool = True

    @property
    def symmetries(self) -> tuple[Permutation, ...]:
        """The exchange of the two places, where it is one."""
        return exchanges(self.dims)[: 2 if self.exchanged else 1]

    def scale(self, largest: Mapping[str, float]) -> float:
        """Zero: it is no difference."""
        return 0.0


def letter(row: Observable) -> str:
    """The letter of an observable alone, as LaTeX."""
    return row.latex.replace("LAYER", "")


def exchanges(dims: tuple[str, ...]) -> tuple[Permutation, ...]:
    """The symmetry of an array under exchange of its two places: of ``sample`` with ``sample2``, ``time`` with ``time2``."""
    identity = tuple(range(len(dims)))
    partner = {d: d.removesuffix("2") if d.endswith("2") else f"{d}2" for d in dims}
    swapped = tuple(dims.index(partner[d]) if partner[d] in dims else i for i, d in enumerate(dims))
    return (identity,) if swapped == identity else (identity, swapped)
