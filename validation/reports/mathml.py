r"""Equations for a browser: the LaTeX that the engine prints, as MathML.

Browsers set MathML themselves, so that a report needs no script and no font from elsewhere.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from latex2mathml.converter import convert_to_element
from markupsafe import Markup, escape

PRIMES = re.compile("'+")
#: latex2mathml sets the letters of \\mathrm one by one, and a single one in italics.
UPRIGHT = re.compile(r"\\mathrm\{([A-Za-z]+)\}")
PRIME, INFINITY = "\N{PRIME}", "\N{INFINITY}"
#: Letters that lean into a superscript; browsers do not make way for them.
LEANING = "VWTY"
#: Delimiters of a size of their own, which latex2mathml leaves as commands.
DELIMITERS = {
    r"\langle": "\N{MATHEMATICAL LEFT ANGLE BRACKET}",
    r"\rangle": "\N{MATHEMATICAL RIGHT ANGLE BRACKET}",
    r"\{": "{",
    r"\}": "}",
}
CAPITAL_GREEK = re.compile("[Α-Ω]")


def math(latex: str, *, display: bool = True) -> Markup:
    """One formula, without the ``&`` of an alignment, in display style or in that of a line of text."""
    if not latex.strip():
        return Markup("")
    # a_b'' is two nested superscripts to latex2mathml, and drawn at two heights.
    source = PRIMES.sub(lambda m: "^{" + r"\prime" * len(m[0]) + "}", UPRIGHT.sub(r"\\operatorname{\1}", latex))
    tree: Any = convert_to_element(source, display="block" if display else "inline")
    for element in tree.iter():
        text = html.unescape(element.text or "")  # latex2mathml writes its letters as references
        element.text = DELIMITERS.get(text, text)
    for element in list(tree.iter()):
        _improve(element, display)
    # The name space would look like a link, and a browser does not need it.
    tree.attrib = {"displaystyle": "true"} if display else {}
    return Markup(tostring(tree, encoding="unicode"))


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
    return Markup("").join(math(part, display=False) if i % 2 else escape(part) for i, part in enumerate(parts))


def _improve(element: Element, display: bool) -> None:
    """Set one element as LaTeX would: primes, limits, fences, names of functions and capital Greek letters."""
    text, children = element.text or "", list(element)
    if element.tag in ("msup", "msubsup") and _letters(children[-1]).strip(PRIME) == "" and _letters(children[-1]):
        _lower_primes(element)
    elif element.tag in ("msup", "msubsup") and children[0].text in [*LEANING]:
        children[-1].insert(0, Element("mspace", width="0.25em"))
    elif element.tag == "msub" and display and children[0].text == "lim":
        element.tag = "munder"
    elif element.tag == "mo" and element.get("fence") == "true":
        element.attrib.update(lspace="0", rspace="0")
    elif element.tag == "mo" and (text == INFINITY or (text.isalpha() and text != "lim")):
        element.tag = "mi"
        element.attrib = {"mathvariant": "normal"} if len(text) == 1 else {}
    elif element.tag == "mi" and CAPITAL_GREEK.fullmatch(text):
        element.set("mathvariant", "normal")


def _letters(element: Element) -> str:
    return "".join(element.itertext())


def _lower_primes(element: Element) -> None:
    """A prime is raised by itself in some fonts and not in others: set it beside its letter, and the index behind both."""
    base, *index, primes = list(element)
    row = Element("mrow")
    row.append(base)
    SubElement(row, "mi").text = _letters(primes)
    element[:] = [row, *index]
    element.tag = "msub" if index else "mrow"
