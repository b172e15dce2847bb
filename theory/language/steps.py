"""The steps of a derivation, each with its title, the reason for which it is allowed, and the equations that it gives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, overload

import sympy as sp

from ..typesetting import environments
from ..typesetting.environments import Display, layout
from ..typesetting.plain import prose
from . import latex
from .errors import InvalidArgument
from .sources import cited
from .values import Written

#: So many titles are named in one line.
NAMED = 8


@dataclass(frozen=True, repr=False)
class Step(Written):
    """One step: its title, the reason for which it is allowed, and the equations that it gives."""

    title: str
    reason: str  #: with formulas between dollars
    equations: tuple[sp.Eq, ...]
    terms: tuple[sp.Expr, ...] = ()  #: the summands of a single equation in the order of print, if it matters
    of: str = ""  #: the name of what is derived
    sources: tuple[str, ...] = ()  #: keys of ``sources``: the works that it rests on

    @property
    def displays(self) -> list[Display]:
        """The equations for print; labels are made of the title."""
        name = ":".join(part for part in (self.of, re.sub(r"\W+", "-", self.title.lower()).strip("-")) if part)
        several = len(self.equations) > 1
        return [
            latex.display(eq.lhs, self.terms or [eq.rhs], f"{name}:{i}" if several else name)
            for i, eq in enumerate(self.equations, start=1)
        ]

    def latex(
        self, *, width: Any = "article", environment: str | None = None, labels: str | None = None, cite: bool = False
    ) -> str:
        r"""A heading, the reason and the equations.

        With ``labels`` these are numbered, or in an environment with numbers; with ``cite`` there is a ``\cite`` of the sources.
        """
        how = layout(width, environment or ("align*" if labels is None else "align"), labels)
        reason = self.reason.removesuffix(".") + f"{cited(self.sources)}." if cite and self.sources else self.reason
        heading = rf"\paragraph{{{self.title}.}} {reason}"
        return f"{heading}\n{environments.written(self.displays, how)}" if self.equations else heading

    def _repr_markdown_(self) -> str:
        formula = f"\n\n$${environments.aligned(self.displays)}$$" if self.equations else ""
        return f"**{self.title}.** {self.reason}{formula}\n"

    def __str__(self) -> str:
        lines = [f"    {eq.lhs} = {eq.rhs}" for eq in self.equations]
        return "\n".join([f"{self.title}: {prose(self.reason)}", *lines])

    def __repr__(self) -> str:
        count = len(self.equations)
        name = f" of {self.of}" if self.of else ""
        return f"<Step{name}: {self.title}, {count} equation{'s' * (count != 1)}>"


@dataclass(frozen=True, repr=False)
class Steps(Written, Sequence[Step]):
    r"""The steps of a derivation: a sequence that a notebook shows with titles and reasons, and ``print`` writes as text.

    Equation
        Each step holds ``equations``, ``sympy.Eq`` as the engine used them.
    Shapes
        ``steps[0]`` is a step, ``steps[2:]`` are steps again; ``steps["Price"]`` are those of that title. ``.latex(width=,
        environment=, labels=)`` as of ``Equations``.
    Units
        Those of the equations.
    Valid
        A frozen value; pickles.
    Errors
        ``InvalidArgument`` for a title that no step has; ``IndexError`` for a number that none has.
    Source
        The derivation itself; see ``Equations.steps``.
    """

    items: tuple[Step, ...]

    @property
    def titles(self) -> tuple[str, ...]:
        """The titles, one behind the other."""
        return tuple(step.title for step in self.items)

    @overload
    def __getitem__(self, at: int) -> Step: ...
    @overload
    def __getitem__(self, at: slice | str) -> Steps: ...
    def __getitem__(self, at: int | slice | str) -> Step | Steps:
        if isinstance(at, str):
            found = tuple(step for step in self.items if step.title == at)
            if not found:
                allowed = ", ".join(dict.fromkeys(self.titles))
                raise InvalidArgument(f"title={at!r} is that of no step; allowed: {allowed}")
            return Steps(found)
        return Steps(self.items[at]) if isinstance(at, slice) else self.items[at]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.items)

    @property
    def heading(self) -> str:
        """The title of their section."""
        of = list(dict.fromkeys(step.of for step in self.items if step.of))
        return "Derivation" + (f" of {', '.join(of)}" if of else "")

    def latex(
        self, *, width: Any = "article", environment: str | None = None, labels: str | None = None, cite: bool = False
    ) -> str:
        """The derivation, ready to be pasted: for each step a heading, the reason and the equations."""
        asked = {"width": width, "environment": environment, "labels": labels, "cite": cite}
        return "\n\n".join(step.latex(**asked) for step in self.items)

    def _repr_markdown_(self) -> str:
        parts = []
        for name, group in groupby(self.items, key=lambda step: step.of):
            if name and len({step.of for step in self.items}) > 1:
                parts.append(f"#### {name}\n")
            parts += [step._repr_markdown_() for step in group]
        return "\n".join(parts)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.items))

    def __repr__(self) -> str:
        of = list(dict.fromkeys(step.of for step in self.items if step.of))
        named = self.titles if len(self.items) <= NAMED else of
        shown = ", ".join(named if len(named) <= NAMED else (*named[: NAMED - 1], "..."))
        return f"<{len(self.items)} steps{' of ' if named is of else ': '}{shown}>"
