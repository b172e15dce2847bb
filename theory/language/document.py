"""A document that stands for itself: the network, its symbols, numbered equations with labels, and the works that are cited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..typesetting.environments import WIDTHS
from .errors import InvalidArgument
from .sources import bibliography
from .steps import Steps

TITLE = "The theory of a wide network"
#: The most rows of one table.
ROWS = 30
#: The lines of text of an article of 10 pt by its number of columns.
LINES = {1: WIDTHS["article"], 2: WIDTHS["twocolumn"]}


@dataclass(frozen=True)
class Setting:
    """What equations are about: sentences with their equations, and the symbols with what they mean."""

    text: str
    symbols: tuple[tuple[str, str], ...] = ()


@runtime_checkable
class Stated(Protocol):
    """Equations that say what they are about."""

    @property
    def heading(self) -> str:
        """The title of their section."""

    def setting(self, width: float) -> Setting:
        """What they are about, set in lines of a width."""

    def section(self, width: float, labels: str) -> str:
        """The equations, with labels."""


def document(
    *parts: Any, path: str | Path | None = None, columns: int = 1, title: str | None = None, labels: str = "eq:"
) -> str:
    r"""A LaTeX document of equations and derivations, ready to be compiled: written to ``path`` if it is given.

    Equation
        Sections: the network; its symbols, in a table; the parts; the works cited.
    Shapes
        ``parts``: derived equations, and steps of derivations, in the order in which they are to stand. ``columns``: 1 or 2, of an
        article at 10 pt.
    Units
        Those of the equations.
    Valid
        Needs amsmath alone. Labels are ``eq:V``, ``eq:V:price``; those of further equations of the same name ``eq:2:V``.
    Errors
        ``InvalidArgument`` for parts that are neither, for steps alone, and for another number of columns.
    Source
        The works that the equations and steps name (``sources``).
    """
    if columns not in LINES:
        raise InvalidArgument(f"columns={columns!r}; allowed: 1, 2")
    for part in parts:
        if not isinstance(part, Steps | Stated):
            raise InvalidArgument(
                f"part {part!r} is a {type(part).__name__}; allowed: derived equations, or their steps"
            )
    stated = [part for part in parts if isinstance(part, Stated)]
    if not stated:
        raise InvalidArgument(
            f"{len(parts)} parts without equations; allowed: equations, with steps of derivations or without"
        )
    width = LINES[columns]
    settings = [part.setting(width) for part in stated]
    body = "\n\n".join(
        [
            "\\section{The network}\n" + "\n\n".join(dict.fromkeys(setting.text for setting in settings)),
            "\\section{Symbols}\n" + _table(_distinct(row for setting in settings for row in setting.symbols), columns),
            *_sections(parts, width, labels),
        ]
    )
    works = re.findall(r"\\cite\{([^}]*)\}", body)
    text = "\n".join(
        [
            rf"\documentclass[10pt{',twocolumn' if columns == 2 else ''}]{{article}}",
            r"\usepackage{amsmath}",
            r"\allowdisplaybreaks",
            r"\emergencystretch=1em",
            rf"\title{{{title or TITLE}}}",
            r"\author{}",
            r"\date{}",
            r"\begin{document}",
            r"\maketitle",
            body,
            bibliography(key for keys in works for key in keys.split(",")),
            r"\end{document}",
            "",
        ]
    )
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _sections(parts: Sequence[Any], width: float, labels: str) -> Iterator[str]:
    used: set[str] = set()
    for k, part in enumerate(parts, start=1):
        first = labels
        text = _section(part, width, first)
        if used & set(re.findall(r"\\label\{(.*?)\}", text)):
            text = _section(part, width, f"{labels}{k}:")
        used |= set(re.findall(r"\\label\{(.*?)\}", text))
        yield text


def _section(part: Any, width: float, labels: str) -> str:
    if isinstance(part, Steps):
        return f"\\section{{{part.heading}}}\n" + part.latex(width=width, labels=labels, cite=True)
    return f"\\section{{{part.heading}}}\n{part.section(width, labels)}"


def _distinct(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Symbols by their letters; of the same tensor with and without indices the one with."""
    longest: dict[str, str] = {}
    for letter, meaning in rows:
        longest[meaning] = max(longest.get(meaning, ""), letter, key=len)
    return {letter: meaning for meaning, letter in longest.items()}


def _table(symbols: dict[str, str], columns: int) -> str:
    """The symbols and their meanings, as wide as the page."""
    name, place = ("table*", "tp") if columns == 2 else ("table", "!htp")
    rows = [rf"${letter}$ & {meaning} \\" for letter, meaning in symbols.items()]
    head = r"symbol & meaning \\ \hline"
    tables: list[str] = []
    for start in range(0, len(rows), ROWS):
        caption = "The symbols." if not tables else "The symbols, continued."
        label = r"\label{tab:symbols}" if not tables else ""
        tables.append(
            f"\\begin{{{name}}}[{place}]\n\\caption{{{caption}}}{label}\n\\small\n\\renewcommand{{\\arraystretch}}{{1.15}}\n"
            "\\begin{tabular}{@{}lp{0.68\\textwidth}@{}}\n"
            + "\n".join([head, *rows[start : start + ROWS]])
            + f"\n\\end{{tabular}}\n\\end{{{name}}}"
        )
    return "Table~\\ref{tab:symbols} lists the symbols.\n" + "\n".join(tables)
