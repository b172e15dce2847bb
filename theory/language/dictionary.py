"""The symbols of the theory by name, with their meanings: ``widthwise.symbols``, and ``symbols`` of derived equations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import sympy as sp

from . import latex
from .errors import unknown_name
from .quantities import TENSORS, Entry, quantity
from .symbols import MEANINGS

#: The name of an entry, a prime for the layer above, and its labels: in the order of the axes, or as they print.
_ENTRY = re.compile(r"(?P<name>[A-Za-z]+\d?)(?P<prime>'?)(?:\[(?P<axes>[^\[\]]+)\]|_(?P<book>.+))?")


class Names(Mapping[str, sp.Expr]):
    r"""Symbols by name: ``names["C_W"]``, or ``names.C_W``; entries of tensors as ``names.K``, ``names["K_12"]``.

    Equation
        A symbol of SymPy for each name: what the equations hold, with its assumptions.
    Shapes
        A mapping. Of ``widthwise.symbols``: the parameters, and each tensor of one input; with labels its entry at these
        samples, ``names["F_1324"]`` as it prints or ``names["F[1,2,3,4]"]`` in the order of array axes, with a prime that of the
        layer that is being computed. Of derived equations: the letters that occur in them.
    Units
        ``meaning(name)`` says what it is, and the power of 1/n that multiplies it.
    Valid
        Prints as a table.
    Errors
        ``UnknownName`` for a name that is none, with those that are allowed.
    """

    def __init__(self, letters: Mapping[str, sp.Expr] | None = None) -> None:
        """The letters of some equations, or all."""
        self._letters = None if letters is None else dict(letters)

    @property
    def _all(self) -> dict[str, sp.Expr]:
        if self._letters is not None:
            return self._letters
        return {**{s.name: s for s in MEANINGS}, **{n: row.entry(("",) * row.rank) for n, row in TENSORS.items()}}

    def __getitem__(self, name: str) -> sp.Expr:
        found = self._all.get(name)
        if found is None and self._letters is None:
            found = _entry(name)
        if found is None:
            raise unknown_name("symbol", name, self._all)
        return found

    def __getattr__(self, name: str) -> sp.Expr:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *(name for name in self._all if name.isidentifier())])

    def meaning(self, name: str) -> str:
        """What a symbol is, in words; empty for letters that equations explain themselves."""
        letter = self[name]
        if isinstance(letter, Entry) and letter.name in TENSORS:
            row = quantity(letter.name)
            power = {0: "", 1: ", times 1/n"}.get(row.order, f", times 1/n^{row.order}")
            return f"{row.meaning}{power}" + (" (of the layer that is computed)" if letter.shift else "")
        return next((text for symbol, text in MEANINGS.items() if symbol == letter), "")

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:{width}}  {self.meaning(name)}".rstrip() for name in self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><td><code>{name}</code></td><td>${latex.tex(letter)}$</td><td>{self.meaning(name)}</td></tr>"
            for name, letter in self.items()
        )
        return f"<table><tr><th>name</th><th>symbol</th><th>meaning</th></tr>{''.join(rows)}</table>"


def _entry(name: str) -> sp.Expr | None:
    """The entry that is called so; None if there is none."""
    match = _ENTRY.fullmatch(name.replace(" ", ""))
    if match is None or match["name"] not in TENSORS:
        return None
    row = quantity(match["name"])
    if match["axes"]:
        labels = match["axes"].split(",")
    else:
        inside = re.sub(r"[(){}]+", "," if "," in (match["book"] or "") else "", match["book"] or "")
        shown = [label for label in inside.split(",") if label] if "," in inside else list(inside)
        places = [int(c) for c in row.print_order if c.isdigit()]
        if len(shown) not in (0, len(places)):
            return None
        labels = [label for _, label in sorted(zip(places, shown, strict=True))] if shown else [""] * row.rank
    return row.entry(tuple(labels), len(match["prime"])) if len(labels) == row.rank else None


#: All symbols.
symbols = Names()
