"""Small pieces of HTML for notebooks: they take colours and fonts from the page, so that they are read on light and dark alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

#: Middle tones that stand out from white and from black.
GOOD, BAD, OPEN = "#2e9e66", "#e0455e", "#c98a1b"
CELL = "padding:.15em .8em .15em 0"


class Safe(str):
    """Text that is HTML already."""

    __slots__ = ()


def safe(value: Any) -> Safe:
    """A value as HTML: text with its signs escaped."""
    return value if isinstance(value, Safe) else Safe(escape(str(value)))


def record(title: Any, entries: Mapping[str, Any], *, note: Any = "") -> Safe:
    """A heading and a table of names and values; empty values are left out."""
    left = f"text-align:left;{CELL}"
    rows = "".join(
        f'<tr><td style="opacity:.75;{left}">{safe(name)}</td><td style="{left}">{safe(value)}</td></tr>'
        for name, value in entries.items()
        if value is not None and value != ""
    )
    below = f'<p style="margin:.3em 0">{safe(note)}</p>' if note else ""
    return Safe(f'<div><p style="margin:.3em 0"><b>{safe(title)}</b></p><table>{rows}</table>{below}</div>')


def grid(head: Sequence[Any], rows: Iterable[Sequence[Any]], *, text: int = 1) -> Safe:
    """A table with a head; the first ``text`` columns are text, the others numbers."""
    align = lambda i: "left" if i < text else "right"  # noqa: E731
    line = lambda cells, tag: "".join(  # noqa: E731
        f'<{tag} style="text-align:{align(i)};{CELL}">{safe(cell)}</{tag}>' for i, cell in enumerate(cells)
    )
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    parts = f"<thead><tr>{line(head, 'th')}</tr></thead><tbody>{body}</tbody>"
    return Safe(f'<table style="font-variant-numeric:tabular-nums">{parts}</table>')


def banner(text: Any, colour: str, *more: Any) -> Safe:
    """A sentence with a bar of a colour beside it, and further paragraphs."""
    rest = "".join(f"<br>{safe(part)}" for part in more if part)
    return Safe(
        f'<p style="border-left:5px solid {colour};padding:.2em .8em;margin:.4em 0"><b>{safe(text)}</b>{rest}</p>'
    )


def short(text: str, width: int = 120) -> str:
    """One line of at most so many letters; what is left out is in the middle."""
    line = " ".join(text.split())
    if len(line) <= width:
        return line
    head = (width - 5) * 2 // 3
    return f"{line[:head]} ... {line[len(line) - (width - 5 - head) :]}"
