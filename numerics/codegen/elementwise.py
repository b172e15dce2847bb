r"""Expressions over a tile of a matrix as NumPy calls that write into buffers, so that nothing is allocated on the way.

A tile of a kernel matrix is a function of vectors along its rows, of vectors along its columns, and of whole matrices. Each
operation of the expression becomes one ufunc call; a value that depends on rows or columns alone stays a vector, and a matrix after
its last use lends its memory to the next result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import count
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.codegen.cfunctions import expm1

from ...theory.language.errors import NotAvailable
from . import evaluation
from .loading import Module, loaded
from .waves import DampedCosh, DampedSinh, Remainder

Array = NDArray[np.float64]

#: The kind of a value: it depends on nothing, rows, columns, or both. The kind of a result is the bitwise or.
SCALAR, ROW, COLUMN, FULL = 0, 1, 2, 3

#: Functions with a ufunc. The arguments of arcs are correlations, which rounding may push beyond 1.
UFUNCS = {
    sp.sin: "np.sin", sp.cos: "np.cos", sp.exp: "np.exp", sp.sinh: "np.sinh", sp.cosh: "np.cosh", sp.tanh: "np.tanh",
    sp.atan: "np.arctan", sp.log: "np.log", sp.Abs: "np.abs", sp.erf: "special.erf",
    sp.asin: "np.arcsin", sp.acos: "np.arccos", sp.sign: "np.sign", expm1: "np.expm1",
}  # fmt: skip
ARCS = (sp.asin, sp.acos)


class Correlation(sp.Function):
    """A quotient that is a correlation: between -1 and 1, and equal to one of them up to rounding."""

    is_real = True


#: A correlation above this is one: sums of a few dozen products have no more digits.
PARALLEL = 1 - 4e-15


#: Exponents below this size: of a few exponentials no product overflows or loses digits to underflow.
MODEST = 150.0


@dataclass(frozen=True)
class Call:
    """``target = function(*arguments)``, with the kind of the result."""

    target: str
    function: str
    arguments: tuple[str, ...]
    kind: int


@dataclass
class UfuncCalls:
    """The calls for some expressions, in order, each value computed once."""

    kinds: Mapping[sp.Symbol, int]
    calls: list[Call] = field(default_factory=list)
    _known: dict[Any, tuple[str, int]] = field(default_factory=dict)
    _numbers: Any = field(default_factory=count)

    def value(self, expr: sp.Expr) -> tuple[str, int]:
        """The name that holds an expression, and its kind."""
        if expr not in self._known:
            self._known[expr] = self._made(expr)
        return self._known[expr]

    def _made(self, expr: sp.Expr) -> tuple[str, int]:
        if isinstance(expr, sp.Symbol):
            return str(expr), self.kinds.get(expr, SCALAR)
        if not expr.free_symbols:
            return repr(float(expr)), SCALAR
        if isinstance(expr, sp.Add | sp.Mul):
            return self._folded(expr)
        if isinstance(expr, sp.Pow):
            return self._power(*expr.as_base_exp())
        if isinstance(expr, DampedSinh | DampedCosh):
            return self._damped("damped_sinh" if isinstance(expr, DampedSinh) else "damped_cosh", *expr.args)
        if isinstance(expr, Remainder):
            x, first, size = expr.args
            return self.call("remainder", self.value(x), (str(first), SCALAR), self.value(size))
        if expr.func in UFUNCS:
            argument = self.value(expr.args[0])
            if expr.func in ARCS and not isinstance(expr.args[0], Correlation):
                argument = self.call("correlation", argument)
            return self.call(UFUNCS[expr.func], argument)
        if isinstance(expr, Correlation):
            return self.call("correlation", self.value(expr.args[0]))
        raise NotAvailable(f"{expr.func.__name__} has no elementwise rule; allowed: {', '.join(map(str, UFUNCS))}")

    def _damped(self, function: str, x: sp.Expr, y: sp.Expr) -> tuple[str, int]:
        """A hyperbolic function of x times exp(y); what depends on rows or columns alone is a factor of its own."""
        parts: dict[int, list[sp.Expr]] = defaultdict(list)
        for term in sp.Add.make_args(y):
            parts[self.value(term)[1]].append(term)
        return self.call(function, self.value(x), *(self.value(sp.Add(*terms)) for terms in parts.values()))

    def call(self, function: str, *arguments: tuple[str, int]) -> tuple[str, int]:
        """The result of a ufunc."""
        kind = reduce(lambda a, b: a | b[1], arguments, SCALAR)
        key = (function, tuple(name for name, _ in arguments))
        if key not in self._known:
            target = f"v{next(self._numbers)}"
            self.calls.append(Call(target, function, key[1], kind))
            self._known[key] = target, kind
        return self._known[key]

    def _folded(self, expr: sp.Expr) -> tuple[str, int]:
        """A sum or product: first numbers and vectors, which are cheap; then one matrix after the other."""
        add = isinstance(expr, sp.Add)
        plus: list[sp.Expr] = []
        minus: list[sp.Expr] = []
        for part in expr.args if add else _without_sign(expr):
            inverse = part.could_extract_minus_sign() if add else _is_inverse(part)
            (minus if inverse else plus).append((-part if add else 1 / part) if inverse else part)
        do, undo = ("np.add", "np.subtract") if add else ("np.multiply", "np.divide")
        neutral = ("0.0" if add else "1.0", SCALAR)
        found: dict[int, tuple[str, int]] = {}
        last: list[tuple[str, int]] = []  # matrices to be subtracted, or divided by, at the end
        for kind in (SCALAR, ROW, COLUMN, FULL):
            values = [v for v in map(self.value, plus) if v[1] == kind]
            others = [v for v in map(self.value, minus) if v[1] == kind]
            if kind == FULL and not values:
                last = others
            elif values or others:
                start = values[0] if values else neutral
                total = reduce(lambda a, b: self.call(do, a, b), values[1:], start)
                found[kind] = reduce(lambda a, b: self._undone(undo, a, b), others, total)
        if SCALAR in found and len(found) > 1:  # a number joins the smallest array
            number = found.pop(SCALAR)
            least = min(found)
            found[least] = self.call(do, found[least], number)
        ordered = [found[k] for k in sorted(found, reverse=True)] or [neutral]
        total = reduce(lambda a, b: self.call(do, a, b), ordered)
        return reduce(lambda a, b: self._undone(undo, a, b), last, total)

    def _undone(self, undo: str, a: tuple[str, int], b: tuple[str, int]) -> tuple[str, int]:
        # A row or column without variance has no correlation: its inverse counts as zero.
        if undo == "np.divide" and b[1] in (ROW, COLUMN):
            return self.call("np.multiply", a, self.call("inverse", b)) if a[0] != "1.0" else self.call("inverse", b)
        return self.call(undo, a, b)

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> tuple[str, int]:
        if exponent.is_Rational and exponent < 0:
            return self._undone("np.divide", ("1.0", SCALAR), self.value(sp.Pow(base, -exponent)))
        inside = self.value(base)
        if exponent == sp.Rational(1, 2):
            safe = (
                inside
                if base.is_nonnegative or _is_squared_sine(base)
                else self.call("np.maximum", inside, ("0.0", SCALAR))
            )
            return self.call("np.sqrt", safe)
        if exponent.is_Rational and exponent.q == 2:
            return self.call(
                "np.multiply", self.value(sp.sqrt(base)), self.value(base ** (exponent - sp.Rational(1, 2)))
            )
        if exponent == 2:
            return self.call("np.multiply", inside, inside)
        if exponent.is_Integer:
            return self.call("np.multiply", self.value(base ** (exponent - 1)), inside)
        return self.call("np.power", inside, self.value(exponent))


def _without_sign(product: sp.Expr) -> tuple[sp.Expr, ...]:
    """The factors of a product, its sign turned around inside a sum if it has one: 1 - x instead of -(x - 1)."""
    sums = [f for f in product.args if isinstance(f, sp.Add)]
    if product.args[0] is not sp.S.NegativeOne or not sums:
        return tuple(product.args)
    return tuple(-f if f is sums[0] else f for f in product.args[1:])


def _is_squared_sine(base: sp.Expr) -> bool:
    """Whether this is 1 - x^2 of a correlation x, which is clipped, so that it is not negative."""
    found = base.atoms(Correlation)
    return len(found) == 1 and sp.expand(base + next(iter(found)) ** 2) == 1


def _is_inverse(part: sp.Expr) -> bool:
    exponent = part.as_base_exp()[1]
    return bool(part.free_symbols) and isinstance(part, sp.Pow) and exponent.is_Rational and bool(exponent < 0)


@dataclass(frozen=True)
class Tile:
    """Generated code: ``run(vectors and matrices by name, buffers)`` returns the arrays that hold the results."""

    module: Module
    buffers: int  #: how many besides the matrices that come in
    scalars: tuple[str, ...]  #: the numbers that it takes

    @property
    def source(self) -> str:
        """The text."""
        return self.module.source

    @property
    def run(self) -> Callable[..., tuple[Array, ...]]:
        """The function."""
        found: Callable[..., tuple[Array, ...]] = self.module.namespace["tile"]
        return found


def compile_tile(
    expressions: Sequence[sp.Expr], rows: Iterable[sp.Symbol], columns: Iterable[sp.Symbol], full: Sequence[sp.Symbol]
) -> Tile:
    """The code that evaluates expressions on a tile; the matrices in ``full`` are overwritten, other symbols are numbers."""
    rows, columns = list(rows), list(columns)
    kinds = {**dict.fromkeys(rows, ROW), **dict.fromkeys(columns, COLUMN), **dict.fromkeys(full, FULL)}
    program = UfuncCalls(kinds)
    results = [_whole(program, program.value(expr)) for expr in expressions]
    lines, names, buffers = _placed(program.calls, results, [str(s) for s in full])
    scalars = sorted({str(s) for e in expressions for s in e.free_symbols} - {str(s) for s in kinds})
    arguments = [*map(str, (*rows, *columns, *full)), "work", *scalars]
    taken = [f"b{i} = work[{i}]" for i in range(buffers)]
    body = "\n    ".join([*taken, *lines, f"return {', '.join(names)},"])
    imports = [
        "import numpy as np",
        f"from {__name__} import correlation, damped_cosh, damped_sinh, inverse, remainder",
    ]
    imports += ["from scipy import special"] if "special." in body else []
    text = "\n".join([*imports, "", "", f"def tile({', '.join(arguments)}):", f"    {body}", ""])
    return Tile(loaded(text), buffers, tuple(scalars))


def _whole(program: UfuncCalls, value: tuple[str, int]) -> str:
    """A result that fills the tile; a value of rows or columns alone is spread over it."""
    name, kind = value
    if kind == FULL:
        return name
    program.calls.append(Call(f"{name}_spread", "np.add", (name, "0.0"), FULL))
    return f"{name}_spread"


def _placed(calls: Sequence[Call], results: Sequence[str], given: Sequence[str]) -> tuple[list[str], list[str], int]:
    """Each matrix in a buffer, freed after its last use: lines, where the results are, the number of buffers."""
    last = {name: i for i, call in enumerate(calls) for name in call.arguments}
    last |= dict.fromkeys(results, len(calls))
    place = {name: name for name in given}
    free = [name for name in given if name not in last]
    fresh, lines = count(), []
    used = 0
    for i, call in enumerate(calls):
        arguments = [place.get(name, name) for name in call.arguments]
        dying = [place[n] for n in dict.fromkeys(call.arguments) if n in place and last[n] == i]
        if call.kind != FULL:
            lines.append(f"{call.target} = {call.function}({', '.join(arguments)})")
            continue
        free += dying
        if not free:
            free.append(f"b{next(fresh)}")
            used += 1
        # the memory read last is still in the cache
        target = dying[0] if dying else free[-1]
        free.remove(target)
        place[call.target] = target
        lines.append(f"{call.function}({', '.join(arguments)}, out={target})")
    return lines, [place[name] for name in results], used


def correlation(x: Array, out: Array | None = None) -> Array:
    """A correlation, clipped to [-1, 1]; values that differ from an end by rounding are put there."""
    out = x.copy() if out is None else out
    if out is not x:
        np.copyto(out, x)
    if out.size and not max(-out.min(), out.max()) <= PARALLEL:
        np.clip(out, -1.0, 1.0, out=out)
        np.copyto(out, np.sign(out), where=np.abs(out) > PARALLEL)
    return out


def remainder(x: Array, first: int, size: Array, out: Array | None = None) -> Array:
    """An exponential without the first terms of its series where they cancel."""
    found: Array = evaluation.remainder(x, first, size)
    if out is None:
        return found
    np.copyto(out, found)
    return out


def damped_sinh(x: Array, *exponents: Array, out: Array | None = None) -> Array:
    """sinh(x) times the exponentials, where single factors may overflow."""
    return _damped(np.sinh, evaluation.damped_sinh, x, exponents, out)


def damped_cosh(x: Array, *exponents: Array, out: Array | None = None) -> Array:
    """cosh(x) times the exponentials, where single factors may overflow."""
    return _damped(np.cosh, lambda x, plus, minus: (np.exp(plus) + np.exp(minus)) / 2, x, exponents, out)


def _damped(
    function: np.ufunc, careful: Callable[..., Array], x: Array, exponents: tuple[Array, ...], out: Array | None
) -> Array:
    if all(np.size(e) and np.min(e) > -MODEST and np.max(e) < MODEST for e in (x, *exponents)):
        factors = [np.exp(e) for e in exponents]
        return reduce(lambda total, f: np.multiply(total, f, out=out), factors, function(x, out=out))
    y = reduce(np.add, exponents)
    found = careful(x, y + x, y - x)
    if out is None:
        return found
    np.copyto(out, found)
    return out


def inverse(x: Array) -> Array:
    """1/x, and 0 for 0."""
    return np.divide(1.0, x, out=np.zeros_like(x, dtype=np.float64), where=x != 0)
