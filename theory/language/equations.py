"""The derived equations of a subject by name: one mapping for every subject, with steps, print and other right-hand sides.

Code is generated from the law as it is derived; print shows the same law with some values put in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any, Protocol, Self

import sympy as sp

from ..typesetting import environments
from ..typesetting.environments import Display, layout
from . import latex
from .checks import names_of
from .dictionary import Names
from .document import Setting, document
from .equation import Equation, Substituted, letters, pairs_of, resolved
from .errors import InvalidArgument, NotAvailable, unknown_name
from .steps import NAMED, Steps
from .symbols import escaped
from .values import Written

Change = Callable[[sp.Expr], sp.Expr]


def equal(left: sp.Expr, right: sp.Expr) -> Equation:
    """An equation that stays as it is written."""
    return Equation(left, right)


def mapped(equation: sp.Eq, change: Change) -> sp.Eq:
    """An equation with both sides changed."""
    return equal(change(equation.lhs), change(equation.rhs))


class Law(Protocol):
    """A left-hand side, and a right-hand side whose summands have an order of print."""

    @property
    def left(self) -> sp.Expr:
        """The letter that the law gives."""

    @property
    def right(self) -> sp.Expr:
        """The right-hand side."""

    @property
    def terms(self) -> Sequence[sp.Expr]:
        """The summands in the order in which a page would show them."""

    def map(self, change: Any) -> Law:
        """The law with a function applied to every part."""

    def put(self, right: sp.Expr) -> Law:
        """The law with another right-hand side."""


@dataclass(frozen=True)
class Plain:
    """A law that is an equation and nothing more."""

    left: sp.Expr
    right: sp.Expr
    order: Callable[[sp.Expr], Sequence[sp.Expr]] = sp.Add.make_args  #: the summands in the order of print

    @property
    def terms(self) -> Sequence[sp.Expr]:
        """The summands in the order in which a page would show them."""
        return self.order(self.right)

    def map(self, change: Change) -> Plain:
        """The law with a function applied to both sides."""
        return replace(self, left=change(self.left), right=change(self.right))

    def put(self, right: sp.Expr) -> Plain:
        """The law with another right-hand side."""
        return replace(self, right=right)


@dataclass(frozen=True, kw_only=True, repr=False)
class Statement(Written):
    """One equation of a subject."""

    name: str
    law: Law  #: as derived; code is generated from this
    shown: tuple[Change, ...] = ()  #: values put in, and operations carried out, for print

    @cached_property
    def printed(self) -> Law:
        """The law as it is printed."""
        law = self.law
        for change in self.shown:
            law = law.map(change)
        return law

    @property
    def equation(self) -> sp.Eq:
        """The law as it is printed, as an equation."""
        return equal(self.printed.left, self.printed.right)

    @property
    def display(self) -> Display:
        """The equation for print."""
        return latex.display(self.printed.left, self.printed.terms, self.name)

    @property
    def rows(self) -> list[str]:
        """The rows of an alignment as wide as a page."""
        return page_rows([self.display])

    def latex(self, *, width: Any = "article", environment: str = "align", labels: str | None = None) -> str:
        """The equation in an environment of amsmath, as ``Equations.latex``."""
        return environments.written([self.display], layout(width, environment, labels))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {environments.aligned([self.display])}$"

    @property
    def needs(self) -> frozenset[str]:
        """The names of the letters on the right-hand side."""
        letters = (getattr(atom, "name", None) for atom in self.law.right.atoms())
        return frozenset(name for name in letters if isinstance(name, str))

    def with_right(self, right: Any) -> Self:
        """The statement with another right-hand side."""
        right = sp.sympify(right)
        same = right in (self.law.right, self.printed.right)
        return self if same else replace(self, law=self.law.put(right))

    @property
    def letters(self) -> dict[str, sp.Expr]:
        """The letters of the equation, by name."""
        return letters(self.law.left, self.law.right, self.printed.left, self.printed.right)

    def put_in(self, change: Change) -> Self:
        """The statement with letters replaced, in the law itself."""
        return replace(self, law=self.law.map(change))

    @property
    def general(self) -> Self:
        """The statement as derived, without what is put in for print."""
        return replace(self, shown=())

    def __str__(self) -> str:
        return written(self.printed.left, self.printed.terms)

    def __repr__(self) -> str:
        count = len(self.printed.terms)
        return f"<{type(self).__name__} of {self.name}: {self.printed.left} = {count} term{'s' * (count != 1)}>"


@dataclass(frozen=True, repr=False)
class Equations(Written, Mapping[str, sp.Eq]):
    r"""The derived equations of a subject, by name, in an order in which each can be computed.

    Equation
        ``equations["K"]`` is a ``sympy.Eq``, as printed: with the numbers of the subject. ``equations.system["K"]`` is as derived,
        with every symbol; code is generated from this, and ``with_`` puts another right-hand side in its place.
    Shapes
        ``.depends_on``: name → the names on its right-hand side. ``.restrict(names)``: some of the equations, as a mapping of the
        same kind; ``.equation``: that of a mapping of one.
    Units
        Those of the subject.
    Valid
        A frozen value: equal if subject and equations are; pickles.
    Errors
        ``UnknownName`` for a name that is not among the equations; ``InvalidArgument`` for ``.equation`` of several.
    Source
        Derived; ``.steps`` shows how.
    """

    subject: Any
    statements: tuple[Statement, ...]

    @property
    def visible(self) -> tuple[Statement, ...]:
        """The equations of the mapping; there may be more behind them, which they need."""
        return self.statements

    def statement(self, name: str) -> Statement:
        """The equation of that name with the law behind it."""
        for statement in self.visible:
            if statement.name == name:
                return statement
        raise unknown_name("name", name, self)

    def __getitem__(self, name: str) -> sp.Eq:
        return self.statement(name).equation

    def __contains__(self, name: object) -> bool:
        return any(statement.name == name for statement in self.visible)

    def __iter__(self) -> Iterator[str]:
        return (statement.name for statement in self.visible)

    def __len__(self) -> int:
        return len(self.visible)

    @cached_property
    def system(self) -> dict[str, sp.Eq]:
        """The equations as derived; code is generated from these."""
        return {s.name: equal(s.law.left, s.law.right) for s in self.visible}

    @property
    def equation(self) -> sp.Eq:
        """The equation of a mapping of one."""
        return self.one.equation

    @property
    def one(self) -> Statement:
        """The statement of a mapping of one."""
        if len(self) != 1:
            raise InvalidArgument(
                f"the equations are {len(self)}: {', '.join(self)}; allowed: one of them, as in equations.restrict({min(self)!r})"
            )
        return self.visible[0]

    @property
    def steps(self) -> Steps:
        """The derivation, so that a reader can follow it on paper."""
        raise NotImplementedError

    @property
    def further(self) -> tuple[Law, ...]:
        """Laws that follow the named ones in print, such as values at a boundary."""
        return ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """Lines of print behind the equations."""
        return ()

    @property
    def depends_on(self) -> dict[str, tuple[str, ...]]:
        """For each name the names of the equations whose left-hand sides are on its right."""
        needs = {s.name: s.needs for s in self.visible}
        return {name: tuple(other for other in self if other in needs[name]) for name in self}

    def restrict(self, names: str | Iterable[str]) -> Self:
        """Only some of the equations, in the same order."""
        kept = {self.statement(name).name for name in names_of("names", names, self)}
        return replace(self, statements=tuple(s for s in self.statements if s.name in kept))

    def with_(self, **changes: Any) -> Self:
        """The equations with other right-hand sides, which are then solved.

        >>> equations.with_(z=equations.system["z"].rhs.subs(...))
        """
        for name in changes:
            if name not in self:
                raise InvalidArgument(f"{name}= is no equation of the system; allowed: {', '.join(self)}")
            if isinstance(changes[name], bool) or not isinstance(changes[name], Real | sp.Expr):
                raise InvalidArgument(f"{name}={changes[name]!r}; allowed: an expression of SymPy, or a number")
        statements = (s.with_right(changes[s.name]) if s.name in changes else s for s in self.statements)
        return replace(self, statements=tuple(statements))

    @property
    def general(self) -> Self:
        """The equations as they are derived, with averages of any activation where closed forms are printed."""
        return replace(self, statements=tuple(s.general for s in self.statements))

    @property
    def symbols(self) -> Names:
        """The letters of the equations by name, with their meaning: ``equations.symbols["C_W"]``, ``equations.symbols.K``."""
        return Names({name: letter for s in self.visible for name, letter in s.letters.items()})

    def subs(self, *arguments: Any) -> Self:
        """The equations with letters replaced, by name or as symbols: ``subs("C_W", 2)``, ``subs({"C_b": 0, "K": 1})``.

        As everywhere, what is printed is what code is generated from. ``UnknownName`` for a letter that does not occur.
        """
        change = Substituted(tuple(resolved(pairs_of(*arguments), self.symbols)))
        return replace(self, statements=tuple(s.put_in(change) for s in self.statements))

    def in_notation(self, notation: str) -> Self:
        """The same in another notation; ``NotAvailable`` where there is none."""
        raise NotAvailable(f"notation={notation!r} of {type(self).__name__}; allowed: None")

    def text(self, *, notation: str | None = None) -> str:
        """What ``str`` gives; with ``notation="chi"`` in susceptibilities, with their definitions."""
        return str(self if notation is None else self.in_notation(notation))

    def latex(
        self,
        *,
        steps: bool = False,
        width: Any = "article",
        environment: str | None = None,
        labels: str | None = None,
        notation: str | None = None,
    ) -> str:
        r"""All equations in an environment of amsmath, or with ``steps=True`` the whole derivation, ready to be pasted.

        Equation
            Sums are broken between their terms, products between their factors, and brackets and fractions that no line can
            hold inside of them.
        Shapes
            ``width``: points of a 10 pt font, or "article" (345), "twocolumn" (229), "slide" (270), "notebook" (460), "page"
            (469). ``environment``: "align", "multline", "split", with a star for no numbers, or "aligned". ``labels="eq:"``:
            the equation of V is ``eq:V``. ``notation="chi"``: in susceptibilities, with their definitions.
        Units
            A class of 12 pt with lines of 390 pt takes ``width=325``.
        Valid
            Computer Modern; other fonts of the same size need some air.
        Errors
            ``InvalidArgument`` for a width, an environment, a prefix or a notation that is none of these; ``NotAvailable`` for a
            notation of equations that have none, as those of several samples.
        Source
            The metrics of the font.
        """
        if notation is not None:
            found = self.in_notation(notation)
            return found.latex(steps=steps, width=width, environment=environment, labels=labels)
        if steps:
            return Steps(tuple(self.steps)).latex(width=width, environment=environment, labels=labels)
        return environments.written(self.displays, layout(width, environment or "align", labels))

    @property
    def displays(self) -> list[Display]:
        """The equations for print, with what follows them."""
        further = (
            latex.display(law.left, law.terms, re.sub(r"\W+", "-", str(law.left)).strip("-")) for law in self.further
        )
        return [*(statement.display for statement in self.visible), *further]

    @property
    def rows(self) -> list[str]:
        """The rows of an alignment as wide as a page."""
        return page_rows(self.displays)

    @property
    def heading(self) -> str:
        """The title of their section in a document."""
        return "Equations"

    def setting(self, width: float) -> Setting:
        """What they are about, as a document states it in lines of a width."""
        return Setting(rf"The subject is \texttt{{{escaped(repr(self.subject))}}}.")

    def section(self, width: float, labels: str) -> str:
        """Their section in a document."""
        return self.latex(width=width, labels=labels)

    def document(self, path: str | Path | None = None, *, steps: bool = True, columns: int = 1) -> str:
        """A LaTeX document of the equations and, with ``steps``, of their derivation, as ``widthwise.document``."""
        return document(self, *([self.steps] if steps else []), path=path, columns=columns)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {environments.aligned(self.displays)}$"

    def __str__(self) -> str:
        further = (written(law.left, law.terms) for law in self.further)
        return "\n".join([*map(str, self.visible), *further, *self.remarks])

    def __repr__(self) -> str:
        names = [*self] if len(self) <= NAMED else [*[*self][: NAMED - 1], "..."]
        count = f"{len(self)} equation{'s' * (len(self) != 1)}"
        return f"<{type(self).__name__} of {self.subject!r}: {count}, {', '.join(names)}>"


def page_rows(displays: Sequence[Display]) -> list[str]:
    """The rows of one alignment as wide as a page."""
    return [row for block in environments.rows(displays, environments.WIDTHS["page"]) for row in block]


def written(left: sp.Expr, terms: Sequence[sp.Expr]) -> str:
    """An equation as text, one summand a line."""
    return f"{left} = " + ("\n    + ".join(map(str, terms)) or "0")
