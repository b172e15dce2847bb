"""Sentences with formulas between dollars, for a terminal: the mathematics without its markup, read as ``reading`` reads it."""

from __future__ import annotations

import re

from .boxes import Box, Boxes, Fence, Fraction, MathClass, Root, Scripts, Styled
from .reading import read

#: Signs that a terminal writes in letters; others are the names of their commands.
SIGNS = {
    r"\langle": "<", r"\rangle": ">", r"\to": "->", r"\le": "<=", r"\ge": ">=", r"\partial": "d", r"\infty": "oo", r"\ell": "l",
    r"\cdot": "*", r"\times": "*", r"\dots": "...", r"\epsilon": "eps", r"\{": "{", r"\}": "}", r"\top": "T", r"\int": "integral",
}  # fmt: skip
NAMED = re.compile(r"\\[A-Za-z]+\s*\{(.*)\}$", flags=re.S)


def prose(text: str) -> str:
    """A sentence."""
    parts = text.split("$")
    return "".join(formula(part) if i % 2 else part for i, part in enumerate(parts))


def formula(text: str) -> str:
    """A formula."""
    return re.sub(" +", " ", _row(read(text))).strip()


def _row(row: Boxes) -> str:
    """The boxes, with a space between names that would run together; single letters side by side are a product or an index."""
    done, before = "", ""
    for box in row.boxes:
        text = _box(box)
        if done[-1:].isalnum() and text[:1].isalnum() and max(len(before), len(text)) > 1:
            done += " "
        done, before = done + text, text
    return done


def _box(box: Box) -> str:
    if isinstance(box, Scripts):
        base, *primes = _box(box.base), *(["'"] * box.text.removeprefix(box.base.text).partition("^")[0].count("'"))
        low = "" if box.low is None else "_" + _bound(box.low)
        high = "" if box.high is None else _high(box)
        return base.strip() + "".join(primes) + low + high
    if isinstance(box, Fraction):
        return f"{_bound(box.top)}/{_bound(box.bottom)}"
    if isinstance(box, Fence):
        return _sign(box.opening) + _row(box.inside) + _sign(box.closing)
    if isinstance(box, Root):
        return f"sqrt({_row(box.inside)})"
    if isinstance(box, Styled):
        return _row(box.inside)
    if box.kind is MathClass.SPACE:
        return " " if box.natural > 0 else ""
    text = _sign(box.text.strip())
    return f" {text} " if box.kind in (MathClass.BINARY, MathClass.RELATION) else text


def _high(box: Scripts) -> str:
    assert box.high is not None
    held = Boxes(tuple(b for b in box.high.boxes if b.text != "'"))
    return f"^{_bound(held)}" if held.boxes else ""


def _bound(row: Boxes) -> str:
    """A row that has to be told from what stands beside it."""
    text = _row(row).strip()
    return text if text.isalnum() or re.fullmatch(r"\(.*\)|\{.*\}", text) else f"({text})"


def _sign(text: str) -> str:
    if text in SIGNS:
        return SIGNS[text]
    named = NAMED.match(text)
    return named[1] if named else text.removeprefix("\\")
