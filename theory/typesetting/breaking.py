r"""Formulas broken into lines that are no wider than a page, at the places where a person would break them.

A formula is a sum of terms, a term a product of factors, and a factor may hold a sum between brackets. Lines are filled with whole
terms. A term that no line can hold is broken between its factors, and goes on with a sign of multiplication; a factor that no line
can hold is opened: a sum between brackets is broken as the whole is, with brackets whose size does not ask for both in one line; a
fraction becomes a prefactor, a root or a long exponent a power or ``exp`` of brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import metrics
from .boxes import Box, Boxes, Fence, Fraction, MathClass, Root, Scripts, joined
from .reading import read, sign

#: A line goes on with a term or factor that is broken if more of it than this is free; else it begins on a line of its own.
WORTH = 0.4
#: How far the lines inside of brackets are moved in, in points, and how many times at most.
INDENT, DEEPEST = 10.0, 3
#: Denominators above this share of a line are no prefactors.
PREFACTOR = 0.5
TIMES = sign(r"\times")
#: The width of a sign that begins a line, with the space behind it.
LEADING = TIMES.natural + 2 * metrics.MEDIUM


@dataclass(frozen=True)
class Summand:
    """A summand with the sign or relation in front of it."""

    sign: Box | None
    boxes: tuple[Box, ...]

    @property
    def row(self) -> Boxes:
        """Sign and summand."""
        return Boxes((self.sign, *self.boxes) if self.sign else self.boxes)


def terms(row: Boxes) -> list[Summand]:
    """The summands of a row; a relation or a comma begins one too."""
    found: list[Summand] = []
    sign: Box | None = None
    held: list[Box] = []
    for box in row.boxes:
        if box.kind in (MathClass.BINARY, MathClass.RELATION):
            if held or sign:
                found.append(Summand(sign, tuple(held)))
            sign, held = box, []
        elif not held and sign is None and box.text.strip() in ("+", "-"):  # that of a number
            sign = box
        elif held and held[-1].kind is MathClass.COMMA and box.kind is not MathClass.SPACE:
            found.append(Summand(sign, tuple(held)))
            sign, held = None, [box]
        else:
            held.append(box)
    return [*found, Summand(sign, tuple(held))]


def factors(boxes: Sequence[Box]) -> Iterator[tuple[Box, ...]]:
    """The factors of a term: what stands between thin spaces and signs of multiplication, a function with its argument."""
    held: list[Box] = []
    for box in boxes:
        between = (box.kind is MathClass.SPACE and box.natural > 0) or box.kind is MathClass.FACTOR
        if between and held and held[-1].kind is not MathClass.OPERATOR:
            yield tuple(held)
            held = []
        elif not between:
            held.append(box)
    if held:
        yield tuple(held)


def lines(text: str, first: float, width: float) -> list[str]:
    r"""The lines of a formula; ``first`` is the width of what already stands on the first one.

    Each line behind the first has to be moved in by ``\quad``.
    """
    writer = _Lines(width, first)
    writer.sum(terms(read(text)), 0, 0.0)
    return writer.finished


class _Lines:
    """The lines that are written, and how much of the last one is used."""

    def __init__(self, width: float, used: float) -> None:
        self.width, self.used = width, used
        self.lines: list[list[str]] = [[]]
        self.deepest = DEEPEST if width > 20 * INDENT else DEEPEST - 1

    @property
    def finished(self) -> list[str]:
        return [re.sub(" {2,}", " ", joined(line)).strip() for line in self.lines]

    def indent(self, depth: int) -> float:
        return INDENT * (1 + min(depth, self.deepest))

    def fits(self, width: float) -> bool:
        return self.used + width <= self.width

    @property
    def fresh(self) -> bool:
        """Whether nothing stands on the line."""
        return not [text for text in self.lines[-1] if text.strip() != r"\quad"]

    def line(self, depth: int) -> None:
        """Begin a line, unless this one is as empty as the next would be."""
        if self.fresh and len(self.lines) == 1 and self.used <= self.indent(depth) + 2 * metrics.THICK:
            return
        if self.fresh and len(self.lines) > 1:
            self.lines.pop()
        self.lines.append([r"\quad "] * min(depth, self.deepest))
        self.used = self.indent(depth)

    def put(self, text: str, width: float) -> None:
        self.lines[-1].append(text)
        self.used += width

    def sum(self, found: Sequence[Summand], depth: int, tail: float) -> None:
        """Summands; ``tail`` is the width of what has to stand behind the last one on its line."""
        whole = True
        for i, term in enumerate(found):
            end = tail if i + 1 == len(found) else 0.0
            row = term.row
            width = row.width() + (2 * metrics.MEDIUM if term.sign else 0.0)
            if not whole:  # so that a term that was broken is seen to end
                self.line(depth)
            whole = True
            if self.fits(width + end):
                self.put(f" {row.text}", width)
            elif width + end <= self.width - self.indent(depth):
                self.line(depth)
                self.put(row.text, width)
            else:
                if term.sign or self.width - self.used < WORTH * self.width:
                    self.line(depth)
                self.broken(term, depth, end)
                whole = False

    def broken(self, term: Summand, depth: int, tail: float) -> None:
        """A summand that is wider than a line."""
        if term.sign:
            self.put(f" {term.sign.text.strip()} ", term.sign.natural + 2 * metrics.MEDIUM)
        self.product([list(f) for f in factors(term.boxes)], depth + 1, tail)

    def product(self, found: list[list[Box]], depth: int, tail: float, last: Box | None = None) -> None:
        """Factors, one behind the other; those that are too wide are opened."""
        while found:
            factor = Boxes(tuple(found.pop(0)))
            end = 0.0 if found else tail
            apart = metrics.THIN if last is not None and not self.fresh else 0.0
            width = factor.width() + 2 * metrics.THIN
            times = TIMES if _multiplies(last) else None
            if self.fits(width + end + apart):
                self.put((r"\," if apart else "") + factor.text, width + apart)
            elif width + LEADING + end <= self.width - self.indent(depth):
                self.line(depth)
                if times and last is not None:
                    self.put(rf"{times.text} ", LEADING)
                self.put(factor.text, width)
            else:
                rewritten = _rewritten(factor, PREFACTOR * self.width)
                if rewritten is not None:
                    found[:0] = rewritten
                    continue
                self.opened(factor, depth, end, apart, times if last is not None else None)
            last = factor.boxes[-1]

    def whole(self, row: Boxes) -> bool:
        """Whether a row is a single box that is nothing to break."""
        return len(row.boxes) == 1 and not _bracketed(row.boxes[0]) and _rewritten(row, PREFACTOR * self.width) is None

    def opened(self, factor: Boxes, depth: int, tail: float, apart: float, times: Box | None) -> None:
        """A factor that is wider than a line: its boxes, of which brackets are broken inside."""
        if self.width - self.used < WORTH * self.width and not self.fresh:
            self.line(depth)
            if times:
                self.put(f"{times.text} ", LEADING)
        elif apart:
            self.put(r"\,", apart)
        for i, box in enumerate(factor.boxes):
            end = tail if i + 1 == len(factor.boxes) else 0.0
            fence = box.base if isinstance(box, Scripts) else box
            if i and not self.fits(box.width() + end) and _bracketed(factor.boxes[i - 1]) and _bracketed(box):
                self.line(depth)  # a product of matrices, which takes no sign
            single = isinstance(fence, Fence) and self.whole(fence.inside)
            if single and not self.fresh and not self.fits(box.width() + end):
                self.line(depth)
            if isinstance(fence, Fence) and not single and not self.fits(box.width() + end):
                left, right = fence.delimiters()
                scripts = _scripts(box) if isinstance(box, Scripts) else ""
                opens, closes = (
                    metrics.DELIMITERS.get(d, (5.0,) * 5)[fence.size] for d in (fence.opening, fence.closing)
                )
                closing = box.width() - fence.width() + closes + metrics.THIN
                self.put(left, opens + metrics.THIN)
                self.sum(terms(fence.inside), depth, closing + end)
                self.put(f"{right}{scripts}", closing)
            else:
                self.put(box.text, box.width() + metrics.THIN)


def _bracketed(box: Box) -> bool:
    """Whether a box is something in brackets, with scripts or without."""
    return isinstance(box.base if isinstance(box, Scripts) else box, Fence)


def _scripts(box: Scripts) -> str:
    """The scripts alone."""
    return box.text.removeprefix(box.base.text)


def _multiplies(last: Box | None) -> bool:
    """Whether a product that is broken behind this box needs a sign: behind a sum or an integral none is put."""
    inner = last.base if isinstance(last, Scripts) else last
    return inner is not None and inner.kind not in (MathClass.OPERATOR, MathClass.COMMA, MathClass.RELATION)


def _rewritten(factor: Boxes, narrow: float) -> list[list[Box]] | None:
    """The factor by others that can be broken; None if it cannot be written otherwise."""
    boxes = [box for box in factor.boxes if box.kind is not MathClass.SPACE]
    if len(boxes) != 1:
        return None
    (box,) = boxes
    if isinstance(box, Fraction):
        return _prefactor(box, narrow)
    if isinstance(box, Root):
        power = joined(("1/", box.index.text)) if box.index else "1/2"
        return [[_power(_fenced(box.inside), power)]]
    if isinstance(box, Scripts) and box.base.text.strip() == "e" and box.high is not None and box.low is None:
        return [[sign(r"\exp"), _fenced(box.high)]]
    if isinstance(box, Scripts) and isinstance(box.base, Fraction) and box.high is not None:
        return [[_power(_fenced(Boxes((box.base,))), box.high.text)]]
    return None


def _prefactor(box: Fraction, narrow: float) -> list[list[Box]] | None:
    """A fraction as one over its denominator, or an inverse power of it, times its numerator."""
    above = terms(box.top)
    if box.top.text.strip() == "1":
        return None if box.bottom.width() <= narrow else [[_power(_fenced(box.bottom), "-1")]]
    single = len(above) == 1 and above[0].sign is None
    top = [list(f) for f in factors(above[0].boxes)] if single else [[_fenced(box.top)]]
    if box.bottom.width() > narrow:
        below = [held for held in box.bottom.boxes if held.kind is not MathClass.SPACE]
        if len(below) == 1 and isinstance(below[0], Root) and below[0].index is None:
            return [*top, [_power(_fenced(below[0].inside), "-1/2")]]
        return [*top, [_power(_fenced(box.bottom), "-1")]]
    return [[*read(rf"\frac{{1}}{{{box.bottom.text}}}").boxes], *top]


def _fenced(row: Boxes) -> Fence:
    text = joined((r"\left(", row.text, r"\right)"))
    return Fence(text, MathClass.INNER, level=row.level, inside=row)


def _power(base: Fence, power: str) -> Box:
    return Scripts(f"{base.text}^{{{power}}}", base.kind, level=base.level, base=base, high=read(power))
