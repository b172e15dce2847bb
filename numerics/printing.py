"""SymPy expressions as NumPy text."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from sympy.printing.numpy import SciPyPrinter


class NumPyText(SciPyPrinter):
    """NumPy source with the prefix ``np``; roots and arcs clip what rounding pushed out of their domain.

    In the closed forms of Gaussian averages arguments of roots are determinants of covariances and arguments of arcs are
    correlations: they lie in the domain, and equal or parallel inputs put them exactly on its edge.
    """

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        if expr.exp.is_Rational and expr.exp.q == 2 and expr.base.free_symbols:
            root = f"np.sqrt(np.maximum({self._print(expr.base)}, 0.0))"
            power = expr.exp.p
            return root if power == 1 else f"{root}**({power})"
        return str(super()._print_Pow(expr, rational))

    def _arc(self, name: str, expr: sp.Expr) -> str:
        return f"np.{name}(np.clip({self._print(expr.args[0])}, -1.0, 1.0))"

    def _print_asin(self, expr: sp.Expr) -> str:
        return self._arc("arcsin", expr)

    def _print_acos(self, expr: sp.Expr) -> str:
        return self._arc("arccos", expr)

    def _print_Pi(self, expr: sp.Expr) -> str:
        return "np.pi"

    def _print_Exp1(self, expr: sp.Expr) -> str:
        return "np.e"


_PRINTER = NumPyText({"fully_qualified_modules": True})


def numpy_text(expr: sp.Expr) -> str:
    """One expression."""
    return str(_PRINTER.doprint(expr)).replace("numpy.", "np.")


def staged(expressions: Sequence[sp.Expr], prefix: str = "x") -> list[tuple[list[str], str]]:
    """For each expression the lines that it needs beyond those of the ones before it, and its text."""
    shared, reduced = sp.cse(list(expressions), symbols=sp.numbered_symbols(prefix), order="none")
    values = dict(shared)
    done: set[sp.Symbol] = set()
    stages = []
    for expression in reduced:
        needed: set[sp.Symbol] = set()
        todo = [expression]
        while todo:
            new = {s for s in todo.pop().free_symbols if s in values} - needed - done
            needed |= new
            todo += [values[s] for s in new]
        stages.append(([f"{s} = {numpy_text(v)}" for s, v in shared if s in needed], numpy_text(expression)))
        done |= needed
    return stages


def assignments(expressions: Sequence[sp.Expr], prefix: str = "x") -> tuple[list[str], list[str]]:
    """Lines ``x0 = ...`` for common subexpressions, and the text of each expression in terms of them."""
    shared, reduced = sp.cse(list(expressions), symbols=sp.numbered_symbols(prefix), order="none")
    return [f"{symbol} = {numpy_text(value)}" for symbol, value in shared], [numpy_text(e) for e in reduced]
