r"""LaTeX's mathematics read into boxes: signs, scripts, fractions, roots, brackets, groups, tables.

What a reader does not know is a sign of the width of its letters: nothing is refused, and nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from . import metrics
from .boxes import Box, Boxes, Cells, Fence, Fraction, MathClass, Root, Scripts, Styled, unary

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|[^\\]", flags=re.S)
#: Commands whose group is set in upright letters, and those that leave their group as it is.
UPRIGHT = (
    *(r"\mathrm", r"\operatorname", r"\text", r"\mbox", r"\textrm"),
    *(r"\mathbf", r"\mathbb", r"\mathcal", r"\mathsf", r"\texttt"),
)
#: Of these the letters are wider than upright ones.
WIDE = {r"\mathcal": 1.2, r"\mathbb": 1.1, r"\mathbf": 1.2, r"\texttt": 1.2}
ACCENTS = (
    r"\dot",
    r"\ddot",
    r"\dddot",
    r"\hat",
    r"\bar",
    r"\tilde",
    r"\overline",
    r"\vec",
    r"\boldsymbol",
    r"\underline",
)
FRACTIONS = {r"\frac": False, r"\tfrac": True, r"\dfrac": False}
#: Commands in front of a delimiter that give it a size, without their end in l, r or m.
BIG = re.compile(r"\\([bB]igg?)([lrm]?)$")
OPENING = {
    **{"(": ")", "[": "]", r"\{": r"\}", r"\langle": r"\rangle"},
    **{r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", r"\lbrace": r"\rbrace"},
}
CLOSING = frozenset(OPENING.values())
HEIGHT = {r"\big": 1, r"\Big": 2, r"\bigg": 3, r"\Bigg": 4}


@lru_cache(maxsize=512)
def read(text: str) -> Boxes:
    """The boxes of a formula."""
    return _Reader(TOKEN.findall(text)).row(lambda token: False)


class _Reader:
    """The tokens and how far they have been read; each box holds the text that it was read from."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self) -> str:
        """The next token that is no white space, which means nothing but the end of a command's name."""
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        """The next token, behind which reading goes on."""
        token = self.peek()
        self.at += 1
        return token

    def text(self, start: int) -> str:
        """What has been read since a token, with the white space behind it."""
        self.peek()
        return "".join(self.tokens[start : self.at])

    def row(self, ends: Callable[[str], bool]) -> Boxes:
        """Boxes up to a token that ends the row, which is not taken."""
        boxes: list[Box] = []
        while self.peek() and not ends(self.peek()):
            start = self.at
            boxes += self.scripted(self.boxes(), start)
        return Boxes(unary(boxes))

    def group(self) -> Boxes:
        """The row in braces, or a single box."""
        if self.peek() != "{":
            return Boxes(self.boxes())
        self.take()
        found = self.row(lambda token: token == "}")
        self.take()
        return found

    def raw(self) -> str:
        """The text in braces, as it is; a single sign needs none."""
        if self.take() != "{":
            return self.tokens[self.at - 1]
        start, depth = self.at, 1
        while self.at < len(self.tokens) and depth:
            depth += {"{": 1, "}": -1}.get(self.take(), 0)
        return "".join(self.tokens[start : self.at - 1])

    def scripted(self, found: tuple[Box, ...], start: int) -> tuple[Box, ...]:
        """The scripts behind a box, put on it."""
        low = high = None
        primes: list[Box] = []
        while self.peek() in ("^", "_", "'"):
            token = self.take()
            if token == "'":
                primes.append(Box("'", natural=metrics.ITALIC["'"]))
            elif token == "^":
                high = self.group()
            else:
                low = self.group()
        if low is high is None and not primes:
            return found
        (base,) = found
        high = Boxes((*primes, *high.boxes)) if high else Boxes(tuple(primes)) if primes else None
        level = 4 if base.kind is MathClass.OPERATOR else max(1, min(4, base.level + isinstance(base, Fence)))
        return (Scripts(self.text(start), base.kind, level=level, base=base, low=low, high=high),)

    def boxes(self) -> tuple[Box, ...]:
        """The next box; a group without scripts is its boxes."""
        self.peek()
        start = self.at
        if self.take() == "{":
            inside = self.row(lambda t: t == "}")
            self.take()
            scripts = self.peek() in ("^", "_", "'")
            if not scripts and inside.boxes:
                return inside.boxes
            return (Styled(self.text(start), level=inside.level, inside=inside),)
        box = self.box(self.tokens[self.at - 1])
        return (replace(box, text=self.text(start)),)

    def box(self, token: str) -> Box:
        """Brackets, a table, a fraction, a root, a styled group, or a sign; without its text."""
        if token == r"\left":
            return self.left()
        if token == r"\begin":
            return self.table()
        if size := BIG.match(token):
            return self.sized(size)
        if token in OPENING:
            return self.bracket(token)
        if token in FRACTIONS:
            small = FRACTIONS[token]
            return Fraction("", level=1 if small else 3, top=self.group(), bottom=self.group(), small=small)
        if token == r"\sqrt":
            return self.root()
        if token == r"\substack":  # the lines below a sum
            return Styled("", inside=max(map(read, self.raw().split(r"\\")), key=lambda row: row.width()))
        if token in UPRIGHT:
            return _upright(token, self.raw())
        if token in ACCENTS:
            inside = self.group()
            return Styled("", level=max(1, inside.level), inside=inside)
        return sign(token)

    def root(self) -> Box:
        """A root, with its index if it has one."""
        index = None
        if self.peek() == "[":
            self.take()
            index = self.row(lambda t: t == "]")
            self.take()
        inside = self.group()
        return Root("", level=max(1, inside.level), inside=inside, index=index)

    def left(self) -> Box:
        r"""What stands between ``\left`` and ``\right``."""
        opening = self.take()
        inside = self.row(lambda t: t == r"\right")
        self.take()
        closing = self.take()
        return Fence("", MathClass.INNER, level=inside.level, opening=opening, closing=closing, inside=inside)

    def sized(self, size: re.Match[str]) -> Box:
        r"""What stands between ``\bigl(`` and ``\bigr)``; one of them alone is a sign."""
        delimiter, level = self.take(), HEIGHT[f"\\{size[1]}"]
        if size[2] != "l":
            kind = MathClass.CLOSE if size[2] == "r" else MathClass.LETTER
            return Box("", kind, metrics.DELIMITERS.get(delimiter, (5.0,) * 5)[level], level)
        inside = self.row(lambda t: t == f"\\{size[1]}r")
        self.take()
        return Fence("", level=level, opening=delimiter, closing=self.take(), inside=inside)

    def bracket(self, opening: str) -> Box:
        """What stands between plain brackets; a bracket that nothing closes is a sign."""
        start, inside = self.at, self.row(lambda t: t in CLOSING or t in ("}", r"\right", "&", r"\\", r"\end"))
        if self.peek() not in CLOSING:
            self.at = start
            return Box("", MathClass.OPEN, metrics.DELIMITERS[opening][0])
        return Fence("", level=inside.level, opening=opening, closing=self.take(), inside=inside)

    def table(self) -> Box:
        """The lines between ``begin`` and ``end``."""
        if self.raw() == "array":
            self.raw()
        lines: list[tuple[Boxes, ...]] = [()]
        while self.peek() not in ("", r"\end"):
            lines[-1] = (*lines[-1], self.row(lambda t: t in ("&", r"\\", r"\end")))
            if self.peek() in ("&", r"\\") and self.take() == r"\\":
                lines.append(())
        self.take()
        self.raw()
        return Cells("", MathClass.INNER, level=4, lines=tuple(line for line in lines if line))


def _upright(token: str, inside: str) -> Box:
    widths = metrics.UPRIGHT | metrics.LETTERS
    natural = sum(widths.get(c, metrics.ITALIC.get(c, 5.0)) for c in inside) * WIDE.get(token, 1.0)
    return Box("", MathClass.OPERATOR if token == r"\operatorname" else MathClass.LETTER, natural)


def sign(token: str) -> Box:
    """A sign by its command or letter."""
    if token in metrics.SPACES:
        return Box(token, MathClass.SPACE, metrics.SPACES[token])
    for kind, table in (
        (MathClass.BINARY, metrics.BINARY),
        (MathClass.FACTOR, metrics.FACTORS),
        (MathClass.RELATION, metrics.RELATIONS),
        (MathClass.LETTER, metrics.ITALIC),
        (MathClass.LETTER, metrics.LETTERS),
    ):
        if token in table:
            return Box(token, kind, table[token])
    if token in (",", ";"):
        return Box(token, MathClass.COMMA, 2.78)
    if token in metrics.LARGE or token in metrics.INTEGRAL:
        return Box(token, MathClass.OPERATOR, (metrics.LARGE | metrics.INTEGRAL)[token], 3)
    if token[1:] in metrics.FUNCTIONS:
        return Box(token, MathClass.OPERATOR, sum(metrics.UPRIGHT[c] for c in token[1:]))
    if token in CLOSING:
        return Box(token, MathClass.CLOSE, metrics.DELIMITERS[token][0])
    return Box(token, MathClass.LETTER, 6.0 * max(1, len(token) - 1))
