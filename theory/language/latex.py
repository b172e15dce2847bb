r"""From equations to LaTeX: the symbol names of the book, and equations as ``typesetting`` takes them."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp
from sympy.printing.latex import LatexPrinter

from ..typesetting.environments import Display
from .quantities import Entry
from .symbols import SYMBOL_NAMES


class Printer(LatexPrinter):
    """SymPy's printer, with fractions in front and powers of letters that carry a layer superscript in brackets.

    Its commands are those of LaTeX and amsmath.
    """

    def _print_Identity(self, expr: sp.Expr) -> str:
        return "I"

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


def display(left: sp.Expr, terms: Iterable[sp.Expr], name: str = "") -> Display:
    """An equation by its left-hand side and the summands of its right-hand side."""
    return Display(tex(left), signed(terms), name)


def signed(terms: Iterable[sp.Expr]) -> str:
    """Summands with their signs; sums among them are opened, with what is positive in front: <fg> - <f><g>."""
    opened = [
        t for term in terms for t in sorted(sp.Add.make_args(term), key=lambda t: bool(t.could_extract_minus_sign()))
    ]
    rows = []
    for i, term in enumerate(opened):
        text = tex(term)
        negative = text.startswith("-")
        sign = "-" if negative else ("+" if i else "")
        rows.append(f"{sign} {text.removeprefix('-').strip()}".strip())
    return " ".join(rows) or "0"
