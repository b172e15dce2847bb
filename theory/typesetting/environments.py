r"""Lines of equations in the environments of amsmath, no wider than the page that they are for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..language.errors import InvalidArgument
from . import metrics
from .breaking import lines
from .reading import read

#: The widths of a line of text, in points of a font of 10 pt.
WIDTHS = {"article": 345.0, "twocolumn": 229.0, "slide": 270.0, "notebook": 460.0, "page": 469.0}
NARROWEST = 120.0
#: The environments of amsmath; those with a star, and ``aligned``, have no numbers.
ENVIRONMENTS = ("align", "align*", "multline", "multline*", "split", "split*", "aligned")
#: The room that the number of an equation takes, and what is left free at the end of a line.
NUMBER, FREE = 28.0, 2.0
#: Left-hand sides wider than the first share of a line have no column of their own; wider than the second they are broken too.
HEAD, BROKEN = 0.34, 0.7
#: So many times as many lines as without it a column of left-hand sides may cost.
FEW = 1.25
EQUALS = metrics.RELATIONS["="] + 2 * metrics.THICK


@dataclass(frozen=True)
class Layout:
    r"""How equations are set: the width of a line, the environment, and how the labels begin.

    Equation
        None.
    Shapes
        ``width``: points of a 10 pt font, or a word: "article" (345 pt), "twocolumn" (229), "slide" (270), "notebook" (460),
        "page" (469). ``environment``: "align", "multline", "split" (one ``equation`` each), these with a star for no numbers, or
        "aligned", for inside of a formula. ``labels="eq:"`` labels the equation of V as ``eq:V``; None sets no labels.
    Units
        Points; a class of 12 pt with lines of 390 pt takes 325.
    Valid
        Widths from 120; sign by sign as Computer Modern has them, so that other fonts need some air.
    Errors
        ``InvalidArgument`` for a width, environment or prefix that is none of these.
    Source
        The metrics of Computer Modern (``metrics``).
    """

    width: float
    environment: str
    labels: str | None = None

    @property
    def starred(self) -> bool:
        """Whether equations have no numbers."""
        return self.environment.endswith("*") or self.environment == "aligned"

    @property
    def room(self) -> float:
        """The width that a line may fill."""
        return self.width - FREE - (0.0 if self.starred else NUMBER)


def layout(width: Any = "article", environment: Any = "align", labels: Any = None) -> Layout:
    """A layout from the arguments of a call, checked."""
    if isinstance(width, str) and width in WIDTHS:
        points = WIDTHS[width]
    elif isinstance(width, Real) and not isinstance(width, bool) and NARROWEST <= float(width) < 1e6:
        points = float(width)
    else:
        raise InvalidArgument(f"width={width!r}; allowed: points from {NARROWEST:g}, or one of {', '.join(WIDTHS)}")
    if environment not in ENVIRONMENTS:
        raise InvalidArgument(f"environment={environment!r}; allowed: {', '.join(ENVIRONMENTS)}")
    if labels is not None and (not isinstance(labels, str) or set(labels) & set("{}\\%#$&~^ ")):
        raise InvalidArgument(f"labels={labels!r}; allowed: None, or how labels begin, such as 'eq:'")
    found = Layout(points, environment, labels)
    if labels is not None and found.starred:
        numbered = ", ".join(e for e in ENVIRONMENTS if not Layout(points, e).starred)
        raise InvalidArgument(f"labels={labels!r} in {environment}, which has no numbers; allowed: {numbered}")
    return found


@dataclass(frozen=True)
class Display:
    """An equation for print: its two sides as LaTeX, and what its label says."""

    left: str
    right: str
    name: str = ""
    relation: str = "="

    @property
    def whole(self) -> str:
        """Both sides."""
        return f"{self.left} {self.relation} {self.right}"


def rows(displays: Sequence[Display], width: float) -> list[list[str]]:
    r"""For each equation its rows ``left &= right`` and ``&\quad + more`` in one alignment no wider than ``width``.

    Where the column of the left-hand sides would cost lines, all equations begin at the margin: ``&left = right``.
    """
    heads = [read(d.left).width() for d in displays]
    margin = [_at_margin(d, head, width) for d, head in zip(displays, heads, strict=True)]
    column = max(heads, default=0.0)
    if column > HEAD * width:
        return margin
    aligned = [_block(f"{d.left} &{d.relation}", lines(d.right, EQUALS, width - column)) for d in displays]
    return aligned if sum(map(len, aligned)) <= FEW * sum(map(len, margin)) else margin


def _at_margin(display: Display, head: float, width: float) -> list[str]:
    if head > BROKEN * width:
        return _block("&", lines(display.whole, 0.0, width))
    return _block(f"&{display.left} {display.relation}", lines(display.right, head + EQUALS, width))


def _block(start: str, found: list[str]) -> list[str]:
    first, *more = found
    return [f"{start} {first}", *(rf"&\quad {line}" for line in more)]


def written(displays: Sequence[Display], how: Layout) -> str:
    """The equations in their environment, or in one each."""
    kind = how.environment.removesuffix("*")
    if kind in ("align", "aligned"):
        found = rows(displays, how.room)
        if how.starred:
            return _environment(how.environment, [row for block in found for row in block])
        marked = (_numbered(block, _label(d, how)) for d, block in zip(displays, found, strict=True))
        return _environment(how.environment, [row for block in marked for row in block])
    one = _multline if kind == "multline" else _split
    return "\n".join(one(d, how) for d in displays)


def _label(display: Display, how: Layout) -> str:
    return rf"\label{{{how.labels}{display.name}}}" if how.labels is not None and display.name else ""


def _numbered(block: list[str], label: str) -> list[str]:
    """One number for each equation, at its end."""
    return [*(rf"{row} \nonumber" for row in block[:-1]), f"{block[-1]} {label}".strip()]


def _environment(name: str, found: Iterable[str], label: str = "") -> str:
    return f"\\begin{{{name}}}{label}\n" + join(found) + f"\n\\end{{{name}}}"


def _split(display: Display, how: Layout) -> str:
    """An equation of its own, aligned inside."""
    star = "*" if how.starred else ""
    (found,) = rows([display], how.room)
    return (
        f"\\begin{{equation{star}}}{_label(display, how)}\n"
        + _environment("split", found)
        + f"\n\\end{{equation{star}}}"
    )


def _multline(display: Display, how: Layout) -> str:
    """The first line at the left margin, the last one at the right; a single line is an equation."""
    found = lines(display.whole, 0.0, how.room - 2 * metrics.SPACES[r"\quad"])
    name = ("multline" if len(found) > 1 else "equation") + "*" * how.starred
    return _environment(name, found, _label(display, how))


def join(found: Iterable[str]) -> str:
    """Rows of an alignment."""
    return " \\\\\n".join(found)


def aligned(displays: Sequence[Display]) -> str:
    """The equations inside of a formula, for a notebook, which sets them in its own colours."""
    return written(displays, layout("notebook", "aligned"))
