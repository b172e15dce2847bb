"""SymPy expressions as text: for NumPy, and for jax.numpy and torch in the names that both have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import sympy as sp
from sympy.codegen.cfunctions import expm1
from sympy.codegen.numpy_nodes import logaddexp
from sympy.printing.numpy import SciPyPrinter
from sympy.printing.pycode import PythonCodePrinter

from ...theory.language.errors import NotAvailable
from .grouping import Difference
from .near_zero import near_zero
from .waves import DampedSinh, Remainder

#: A correlation that lies between -1 and 1, to the last digit.
CORRELATION = sp.Symbol("correlation", real=True)


def _sine(base: sp.Expr) -> str | None:
    """The root of 1 - x^2 of a correlation, which is not negative."""
    if base.free_symbols != {CORRELATION} or sp.expand(base + CORRELATION**2) != 1:
        return None
    return f"np.sqrt((1 - {CORRELATION})*(1 + {CORRELATION}))"


class NumPyText(SciPyPrinter):
    """NumPy source with the prefix ``np``; arguments that rounding pushed out of the domain of roots and arcs are clipped.

    In the closed forms of Gaussian averages arguments of roots are determinants of covariances and arguments of arcs are
    correlations: they lie in the domain, and equal or parallel inputs put them exactly on its edge.
    """

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        if expr.exp.is_Rational and expr.exp.q == 2 and expr.base.free_symbols:
            root = _sine(expr.base) or f"np.sqrt(np.maximum({self._print(expr.base)}, 0.0))"
            power = expr.exp.p
            return root if power == 1 else f"{root}**({power})"
        return str(super()._print_Pow(expr, rational))

    def _arc(self, name: str, expr: sp.Expr) -> str:
        argument = self._print(expr.args[0])
        return f"np.{name}({argument})" if expr.args[0] == CORRELATION else f"np.{name}(np.clip({argument}, -1.0, 1.0))"

    def _print_asin(self, expr: sp.Expr) -> str:
        return self._arc("arcsin", expr)

    def _print_acos(self, expr: sp.Expr) -> str:
        return self._arc("arccos", expr)

    def _print_Difference(self, expr: sp.Expr) -> str:
        return f"({' - '.join(map(self._print, expr.args))})"

    def _print_DampedSinh(self, expr: sp.Expr) -> str:
        return f"damped_sinh({', '.join(map(self._print, expr.args))})"

    def _print_Remainder(self, expr: sp.Expr) -> str:
        return f"remainder({', '.join(map(self._print, expr.args))})"

    def _print_Pi(self, expr: sp.Expr) -> str:
        return "np.pi"

    def _print_Exp1(self, expr: sp.Expr) -> str:
        return "np.e"


class DifferentiableText(PythonCodePrinter):
    """Source for jax.numpy and torch alike, with the prefix ``xp``, numbers by ``math``.

    ``root``, ``arcsin``, ``arccos`` and ``where`` are functions of the generated text, with slopes that are finite on the edge
    of the domain. (SymPy's own printers for the two libraries print ``math.erf`` of an array and ``torch.sqrt(2)``, which raise,
    and roots and arcs whose slopes on the edge are NaN.)
    """

    names = {
        sp.sin: "xp.sin", sp.cos: "xp.cos", sp.exp: "xp.exp", sp.log: "xp.log", sp.sinh: "xp.sinh", sp.cosh: "xp.cosh",
        sp.tanh: "xp.tanh", sp.atan: "xp.arctan", sp.atan2: "xp.arctan2", sp.asinh: "xp.arcsinh", sp.acosh: "xp.arccosh",
        sp.atanh: "xp.arctanh",
        sp.Abs: "xp.abs", sp.sign: "xp.sign", sp.asin: "arcsin", sp.acos: "arccos",
        sp.erf: "erf", sp.erfc: "erfc", logaddexp: "xp.logaddexp", expm1: "xp.expm1",
        DampedSinh: "damped_sinh", Remainder: "remainder",
    }  # fmt: skip

    def _print(self, expr: Any, **kwargs: Any) -> str:
        if (
            isinstance(expr, sp.Function | sp.exp)
            and expr.free_symbols
            and not isinstance(expr, sp.Piecewise | Difference)
        ):
            if expr.func not in self.names:
                raise NotAvailable(
                    f"{expr.func.__name__} has no text for target='jax' and 'torch'; allowed there: "
                    f"{', '.join(sorted(f.__name__ for f in self.names))}, powers and Piecewise; or target='numpy'"
                )
            return f"{self.names[expr.func]}({', '.join(map(self._print, expr.args))})"
        return str(super()._print(expr, **kwargs))

    def _print_Difference(self, expr: sp.Expr) -> str:
        return f"({' - '.join(map(self._print, expr.args))})"

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        if expr.exp.is_Rational and expr.exp.q == 2 and expr.base.free_symbols:
            root = f"root({self._print(expr.base)})"
            return root if expr.exp.p == 1 else f"{root}**({expr.exp.p})"
        return str(super()._print_Pow(expr, rational))

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        *cases, (last, otherwise) = expr.args
        if otherwise is not sp.true:
            cases, last = [*expr.args], sp.nan
        text = self._print(last)
        for value, condition in reversed(cases):
            text = f"where({self._print(condition)}, {self._print(value)}, {text})"
        return text

    def _print_And(self, expr: sp.And) -> str:
        return " & ".join(f"({self._print(part)})" for part in expr.args)

    def _print_Or(self, expr: sp.Or) -> str:
        return " | ".join(f"({self._print(part)})" for part in expr.args)

    def _print_Not(self, expr: sp.Not) -> str:
        return f"~({self._print(expr.args[0])})"

    def _print_Integer(self, expr: sp.Integer) -> str:
        return str(expr.p)


#: One expression as text.
Text = Callable[[sp.Expr], str]
_PRINTER = NumPyText({"fully_qualified_modules": True})
_DIFFERENTIABLE = DifferentiableText({"fully_qualified_modules": True})


def stable(expr: sp.Expr) -> sp.Expr:
    """A function as libraries evaluate it: logarithms of sums of exponentials by logaddexp; near z = 0 without cancellation."""
    expr = near_zero(expr)
    return expr.replace(lambda e: isinstance(e, sp.log), lambda e: _log_sum(e) or e) if expr.has(sp.log) else expr


def _log_sum(expr: sp.log) -> sp.Expr | None:
    """The logarithm of a sum of exponentials with positive factors; None for others."""
    inside = expr.args[0]
    if isinstance(inside / 2, sp.cosh):
        half = (inside / 2).args[0]
        return logaddexp(half, -half)
    if not (isinstance(inside, sp.Add) and inside.has(sp.exp)):
        return None
    terms = []
    for term in inside.args:
        factor, power = term.as_independent(*inside.free_symbols, as_Add=False)
        if factor.is_positive is not True or not (power == 1 or isinstance(power, sp.exp)):
            return None
        terms.append(sp.log(factor) + (power.args[0] if power != 1 else 0))
    return reduce(logaddexp, terms)


def array_function(arguments: Any, expressions: Any) -> Callable[..., Any]:
    """An expression, or several with common subexpressions, as a function of arrays."""
    several = isinstance(expressions, list | tuple)
    written = [stable(e) for e in expressions] if several else stable(expressions)
    return sp.lambdify(arguments, written, modules=["scipy", "numpy"], cse=True)


def numpy_text(expr: sp.Expr) -> str:
    """One expression for NumPy."""
    return str(_PRINTER.doprint(expr)).replace("numpy.", "np.")


def differentiable_text(expr: sp.Expr) -> str:
    """One expression for jax.numpy and torch."""
    return str(_DIFFERENTIABLE.doprint(expr))


def staged(expressions: Sequence[sp.Expr], text: Text, prefix: str = "x") -> list[tuple[list[str], str]]:
    """For each expression the lines that it needs and earlier expressions do not, and its text."""
    shared, reduced = sp.cse(list(map(stable, expressions)), symbols=sp.numbered_symbols(prefix), order="none")
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
        stages.append(([f"{s} = {text(v)}" for s, v in shared if s in needed], text(expression)))
        done |= needed
    return stages


def assignments(expressions: Sequence[sp.Expr], text: Text, prefix: str = "x") -> tuple[list[str], list[str]]:
    """Lines ``x0 = ...`` for common subexpressions, and the text of each expression in terms of them."""
    shared, reduced = sp.cse(list(expressions), symbols=sp.numbered_symbols(prefix), order="none")
    return [f"{symbol} = {text(value)}" for symbol, value in shared], [text(e) for e in reduced]
