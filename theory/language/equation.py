"""An equation as it is written, whose letters are substituted for by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..typesetting import environments
from ..typesetting.environments import Display, layout
from . import latex
from .errors import InvalidArgument, unknown_name
from .jets import Jet
from .symbols import Atom, Variable


class Equation(sp.Eq):
    """An equation of SymPy that stays as it is written; ``subs`` and ``diff`` take the names of its letters too.

    Errors
        ``UnknownName`` from ``subs`` and ``diff`` for a letter that does not occur.
    """

    def __new__(cls, lhs: Any, rhs: Any, **options: Any) -> Equation:
        """Never evaluated to true or false."""
        found: Equation = sp.core.relational.Relational.__new__(cls, sp.sympify(lhs), sp.sympify(rhs))
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, sp.Eq) and self.args == other.args

    def __hash__(self) -> int:
        return hash(("Equality", *self.args))

    def subs(self, *arguments: Any, **options: Any) -> Equation:
        """The equation with letters replaced: ``subs("C_W", 2)``, ``subs({"K": 1, C_b: 0})``."""
        pairs = resolved(pairs_of(*arguments), letters(self.lhs, self.rhs))
        return Equation(*(side.subs(pairs, **options) for side in self.args))

    def diff(self, *by: Any) -> sp.Expr:
        """The right-hand side differentiated by letters, which may be given by name: ``diff("K")``, ``diff("K", 2)``."""
        known = letters(self.lhs, self.rhs)
        return sp.diff(self.rhs, *(b if isinstance(b, int | sp.Integer) else _letter(b, known) for b in by))

    @property
    def display(self) -> Display:
        """The equation for print."""
        return latex.display(self.lhs, [self.rhs], slug(self.lhs))

    def latex(self, *, width: Any = "article", environment: str = "align", labels: str | None = None) -> str:
        """The equation in an environment of amsmath, broken to a width; see ``Equations.latex``."""
        return environments.written([self.display], layout(width, environment, labels))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {environments.aligned([self.display])}$"


@dataclass(frozen=True)
class Substituted:
    """An expression with letters replaced."""

    pairs: tuple[tuple[sp.Expr, sp.Expr], ...]

    def __call__(self, expr: sp.Expr) -> sp.Expr:
        """The expression, changed."""
        return expr.subs(self.pairs)


def slug(left: sp.Expr) -> str:
    """A left-hand side as a part of a label: the name of a tensor, or what it looks like."""
    return re.sub(r"\W+", "-", str(getattr(left, "name", left))).strip("-")


def letters(*expressions: sp.Expr) -> dict[str, sp.Expr]:
    """The letters that an expression depends on, by name: symbols, parameters, entries of tensors."""
    found: set[sp.Expr] = set()
    for expr in expressions:
        found |= {s for s in expr.free_symbols | _outside(expr) if not isinstance(s, Jet)}
    return {str(letter): letter for letter in sorted(found, key=str)}


def _outside(expr: sp.Expr) -> set[sp.Expr]:
    """The letters of training, which SymPy does not count as symbols."""
    return {atom for atom in expr.atoms(Atom) if not isinstance(atom, Variable)}


def pairs_of(*arguments: Any) -> list[tuple[Any, Any]]:
    """What ``subs`` is given, as pairs: old and new, a mapping, or pairs."""
    if len(arguments) == 2:
        return [(arguments[0], arguments[1])]
    if len(arguments) == 1 and isinstance(arguments[0], Mapping):
        return list(arguments[0].items())
    if len(arguments) == 1 and isinstance(arguments[0], Iterable) and not isinstance(arguments[0], str):
        pairs = [tuple(pair) for pair in arguments[0] if isinstance(pair, Iterable)]
        if all(len(pair) == 2 for pair in pairs) and len(pairs) == len(list(arguments[0])):
            return [(old, new) for old, new in pairs]
    raise InvalidArgument(f"subs{arguments}; allowed: old and new, a mapping of old to new, or pairs of old and new")


def resolved(pairs: Iterable[tuple[Any, Any]], known: Mapping[str, sp.Expr]) -> list[tuple[sp.Expr, sp.Expr]]:
    """The same pairs with letters in the place of their names; ``UnknownName`` for a letter that does not occur."""
    return [(_letter(old, known), sp.sympify(new, locals=dict(known))) for old, new in pairs]


def _letter(old: Any, known: Mapping[str, sp.Expr]) -> sp.Expr:
    if isinstance(old, str | sp.Symbol | Atom):
        name = str(old).replace(" ", "")
        found = known.get(name) or next((v for k, v in known.items() if k.replace(" ", "") == name), None)
        if found is None or (isinstance(old, Atom) and found != old):
            raise unknown_name("symbol", str(old), known)
        return found
    return sp.sympify(old)
