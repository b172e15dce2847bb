r"""LaTeX's formulas as boxes: what stands in a row, in a fraction, between brackets, and how wide it is when it is set.

The text that the printer gives is read back into a tree, so that whatever a class prints, or a reader of the theory writes by hand,
can be measured and broken by one set of rules (``breaking``). A box keeps its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache

from . import metrics


class MathClass(StrEnum):
    """What TeX calls the class of an atom, which says how far it stands from its neighbours."""

    LETTER = "letter"
    OPERATOR = "operator"
    BINARY = "binary"
    FACTOR = "factor"  #: binary as well, between factors
    RELATION = "relation"
    OPEN = "open"
    CLOSE = "close"
    COMMA = "comma"
    INNER = "inner"
    SPACE = "space"


@dataclass(frozen=True)
class Box:
    """A sign, or signs that stay together; ``level`` is its height, from a letter (0) to a fraction with indices (4)."""

    text: str
    kind: MathClass = MathClass.LETTER
    natural: float = 0.0  #: its width at 10 pt
    level: int = 0

    def width(self, style: int = 0) -> float:
        """The width in a style: 0 display, 1 text, 2 script, 3 scripts of scripts."""
        return self.natural * metrics.SCALE[style]


@dataclass(frozen=True)
class Boxes:
    """Boxes beside each other."""

    boxes: tuple[Box, ...]

    @cached_property
    def text(self) -> str:
        """Its LaTeX."""
        return joined(box.text for box in self.boxes)

    @cached_property
    def level(self) -> int:
        """The height of its highest box."""
        return max((box.level for box in self.boxes), default=0)

    def width(self, style: int = 0) -> float:
        """The widths of the boxes and of the spaces between them."""
        return _row_width(self, style)


@lru_cache(maxsize=1 << 14)
def _row_width(row: Boxes, style: int) -> float:
    total, last = 0.0, None
    for box in row.boxes:
        total += box.width(style)
        if box.kind is not MathClass.SPACE:
            total += spacing(last, box.kind, style)
            last = box.kind
    return total


def joined(texts: Iterable[str]) -> str:
    r"""Texts beside each other: a command of letters is kept from the letter behind it."""
    done = ""
    for text in texts:
        if text and text[0].isalpha() and _ends_in_command(done):
            done += " "
        done += text
    return done


def _ends_in_command(text: str) -> bool:
    name = text.rpartition("\\")[2]
    return "\\" in text and name.isalpha()


@dataclass(frozen=True)
class Scripts(Box):
    """A box with an index, an exponent, or limits below and above."""

    base: Box = field(default_factory=lambda: Box(""))
    low: Boxes | None = None
    high: Boxes | None = None

    @property
    def limits(self) -> bool:
        """Whether the scripts stand below and above in a display."""
        return self.base.kind is MathClass.OPERATOR and self.base.text not in metrics.INTEGRAL

    def width(self, style: int = 0) -> float:
        """Base and scripts beside, or below and above, each other."""
        smaller = 2 if style < 2 else 3
        inside = max(row.width(smaller) for row in (self.low, self.high) if row is not None)
        if self.limits and style == 0:
            return max(self.base.width(style), inside)
        return self.base.width(style) + inside + 0.5


@dataclass(frozen=True)
class Fraction(Box):
    """A fraction; a small one is that of a text, also in a display."""

    top: Boxes = Boxes(())
    bottom: Boxes = Boxes(())
    small: bool = False

    def width(self, style: int = 0) -> float:
        """The wider of its two rows."""
        inside = min(3, max(style, 1 if self.small else 0) + 1)
        return max(self.top.width(inside), self.bottom.width(inside)) + 2.4


@dataclass(frozen=True)
class Fence(Box):
    r"""Something between brackets; ``opening`` and ``closing`` are the delimiters without ``\left`` and ``\bigl``."""

    opening: str = "("
    closing: str = ")"
    inside: Boxes = Boxes(())

    @property
    def size(self) -> int:
        """The size of delimiters of their own, which are never those of a letter."""
        return min(max(1, self.level), 4)

    def delimiters(self) -> tuple[str, str]:
        """The two delimiters in a size of their own, which a line break may stand between."""
        if (self.opening, self.closing) == (".", "."):
            return "", ""
        size = metrics.SIZES[self.size]
        return joined((f"{size}l", self.opening)), joined((f"{size}r", self.closing))

    def width(self, style: int = 0) -> float:
        """The delimiters and what they hold."""
        ends = sum(metrics.DELIMITERS.get(d, (5.0,) * 5)[min(self.level, 4)] for d in (self.opening, self.closing))
        return ends + self.inside.width(style)


@dataclass(frozen=True)
class Root(Box):
    """A square root, or one of another index."""

    inside: Boxes = Boxes(())
    index: Boxes | None = None

    def width(self, style: int = 0) -> float:
        """The sign and what is below it."""
        return 10.0 + self.inside.width(style) + (self.index.width(3) if self.index else 0.0)


@dataclass(frozen=True)
class Styled(Box):
    """A row as one box, such as an accented letter or a group."""

    inside: Boxes = Boxes(())

    def width(self, style: int = 0) -> float:
        """That of the row."""
        return self.inside.width(style)


@dataclass(frozen=True)
class Cells(Box):
    """The lines of cases or of a matrix, each with its cells."""

    lines: tuple[tuple[Boxes, ...], ...] = ()

    def width(self, style: int = 0) -> float:
        """The widest cell of each column, with the spaces between columns and the brackets."""
        columns = max(map(len, self.lines))
        cells = (max((line[k].width(1) for line in self.lines if k < len(line)), default=0.0) for k in range(columns))
        return sum(cells) + 10.0 * columns + 12.0


#: The spaces between two kinds: TeX's table.
_NO_SPACE_BEFORE = (MathClass.CLOSE, MathClass.COMMA)


def spacing(left: MathClass | None, right: MathClass, style: int) -> float:
    """The space that TeX puts between two neighbours."""
    space = 0.0
    if left is None or left is MathClass.OPEN:
        space = 0.0
    elif MathClass.BINARY in (left, right) or MathClass.FACTOR in (left, right):
        space = metrics.MEDIUM if style < 2 else 0.0
    elif MathClass.RELATION in (left, right):
        space = metrics.THICK if style < 2 and left is not right and right not in _NO_SPACE_BEFORE else 0.0
    elif left is MathClass.COMMA:
        space = metrics.THIN if style < 2 else 0.0
    elif right in _NO_SPACE_BEFORE or right is MathClass.OPEN:
        space = metrics.THIN if left is MathClass.INNER and right is not MathClass.CLOSE and style < 2 else 0.0
    elif MathClass.OPERATOR in (left, right):
        space = metrics.THIN
    elif MathClass.INNER in (left, right):
        space = metrics.THIN if style < 2 else 0.0
    return space * metrics.SCALE[style]


#: Behind these a sign is that of a number.
_NO_LEFT = (
    *(None, MathClass.BINARY, MathClass.FACTOR),
    *(MathClass.RELATION, MathClass.OPEN, MathClass.COMMA),
)


def unary(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes with each sign that has nothing on its left as a letter: TeX sets no space around it."""
    done: list[Box] = []
    before: MathClass | None = None
    for box in boxes:
        if box.kind is MathClass.BINARY and before in _NO_LEFT:
            box = Box(box.text, MathClass.LETTER, box.natural, box.level)
        done.append(box)
        before = before if box.kind is MathClass.SPACE else box.kind
    return tuple(done)
