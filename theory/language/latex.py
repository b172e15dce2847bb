r"""From equations to LaTeX: symbol names of the book, and long sums broken into the lines of an ``align``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import sympy as sp
from sympy.printing.latex import LatexPrinter

from .quantities import Entry
from .symbols import SYMBOL_NAMES

#: About as many letters as fit a line of a one-column paper.
LINE = 88


class Printer(LatexPrinter):
    """SymPy's printer, with fractions in front and powers of letters that carry a layer superscript in brackets."""

    def _print_Pow(self, expr: sp.Pow) -> str:
        if isinstance(expr.base, Entry) and expr.exp.is_Integer and expr.exp > 0:
            return rf"\bigl({self._print(expr.base)}\bigr)^{{{expr.exp}}}"
        return str(super()._print_Pow(expr))

    def _print_Mul(self, expr: sp.Mul) -> str:
        coefficient, rest = expr.as_coeff_Mul()
        if coefficient.is_Rational and not coefficient.is_Integer and sp.fraction(rest)[1] == 1:
            sign = "- " if coefficient < 0 else ""
            inside = self._print(rest)
            if isinstance(rest, sp.Add):
                inside = rf"\left({inside}\right)"
            return rf"{sign}\tfrac{{{abs(coefficient.p)}}}{{{coefficient.q}}}\,{inside}"
        return str(super()._print_Mul(expr))


_PRINTER = Printer({"symbol_names": SYMBOL_NAMES, "mul_symbol": r"\,", "inv_trig_style": "full"})


def tex(expr: sp.Expr) -> str:
    """One expression."""
    return str(_PRINTER.doprint(expr))


def visible(text: str) -> int:
    """Roughly how many letters wide LaTeX text is when set."""
    text = re.sub(r"\\(left|right|bigl|bigr|[,;!]|mathrm|tfrac|frac|quad)", "", text)
    text = re.sub(r"\\[a-zA-Z]+", "x", text)
    return len(re.sub(r"[{}^_\s]", "", text))


def signed(terms: Iterable[sp.Expr]) -> list[str]:
    """Each summand with its sign in front; sums among them are opened."""
    # Within one sum, positive terms stand before negative ones: <fg> - <f><g>.
    opened = [
        t for term in terms for t in sorted(sp.Add.make_args(term), key=lambda t: bool(t.could_extract_minus_sign()))
    ]
    rows = []
    for i, term in enumerate(opened):
        text = tex(term)
        negative = text.startswith("-")
        sign = "-" if negative else ("+" if i else "")
        rows.append(f"{sign} {text.removeprefix('-').strip()}".strip())
    return rows or ["0"]


def pack(pieces: Sequence[str], first: int) -> list[str]:
    """Join signed summands into lines; ``first`` letters are already on the first one."""
    lines, used = [""], first
    for piece in pieces:
        width = visible(piece)
        if lines[-1] and used + width > LINE:
            lines.append("")
            used = 4
        lines[-1] = f"{lines[-1]} {piece}".strip()
        used += width
    return lines


def equation_lines(left: sp.Expr, terms: Sequence[sp.Expr]) -> list[str]:
    r"""The rows ``left &= ...``, ``&\quad + ...`` of one equation."""
    head = tex(left)
    rows = pack(signed(terms), visible(head) + 2)
    return [f"{head} &= {rows[0]}", *(rf"&\quad {row}" for row in rows[1:])]


def join(rows: Iterable[str]) -> str:
    """Rows of an alignment."""
    return " \\\\\n".join(rows)


def align(rows: Iterable[str]) -> str:
    """An ``align`` with one number for each equation."""
    rows = list(rows)
    # A row that does not start an equation goes on with the one before it, which then carries no number.
    marked = [
        r + (r" \nonumber" if i + 1 < len(rows) and rows[i + 1].startswith("&") else "") for i, r in enumerate(rows)
    ]
    return "\\begin{align}\n" + join(marked) + "\n\\end{align}"


def aligned(rows: Iterable[str]) -> str:
    """The same for a notebook."""
    return "$\\displaystyle \\begin{aligned}\n" + join(rows) + "\n\\end{aligned}$"
