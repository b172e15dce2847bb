r"""Equations for a browser: the LaTeX that the engine prints, as MathML.

Browsers set MathML themselves, so that a report needs no script and no font from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from latex2mathml.converter import convert
from markupsafe import Markup, escape

PRIMES = re.compile("'+")
OPENING = re.compile(r"<math [^>]*>")
#: latex2mathml sets each letter of a name by itself, and names of functions as operators.
LETTERS = re.compile(r'<mrow>((?:<mi mathvariant="normal">[a-zA-Z]</mi>){2,})</mrow>')
FUNCTION = re.compile(r"<mo>(?!lim|max|min)([a-zA-Z]{2,})</mo>")


def math(latex: str) -> Markup:
    """One formula, without the ``&`` of an alignment, in display style."""
    if not latex.strip():
        return Markup("")
    # a_b'' is two nested superscripts to latex2mathml, and drawn at two heights.
    source = PRIMES.sub(lambda m: "^{" + r"\prime" * len(m[0]) + "}", latex)
    body = LETTERS.sub(lambda m: f"<mi>{re.sub('<[^>]*>', '', m[1])}</mi>", convert(source, display="block"))
    body = FUNCTION.sub(r"<mi>\1</mi>", body)
    # The name space would look like a link, and a browser does not need it.
    return Markup(OPENING.sub('<math displaystyle="true">', body, count=1))


def equations(rows: Iterable[str]) -> Markup:
    r"""Rows ``left &= right`` and ``&\quad + more`` of an alignment, as a grid of two columns."""
    cells = []
    for row in rows:
        left, _, right = row.partition("&")
        cells.append(Markup("<span>{}</span><span>{}</span>").format(math(left), math(right)))
    return Markup('<div class="equations">{}</div>').format(Markup("\n").join(cells))


def prose(text: str) -> Markup:
    """Text with formulas between dollars."""
    parts = text.split("$")
    return Markup("").join(
        math(part).replace(' displaystyle="true"', "") if i % 2 else escape(part) for i, part in enumerate(parts)
    )
