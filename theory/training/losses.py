r"""Losses of one sample, and the errors :math:`\Delta_k=-\partial\ell/\partial f_k` that drive training."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import partial
from typing import Any

import sympy as sp

from ..language.errors import InvalidArgument, unknown_name
from ..language.pieces import as_cases, breakpoints, first_break
from ..language.symbols import z

#: The functions that the text of a loss may hold.
NAMES = (
    "f",
    "y",
    "exp",
    "log",
    "sqrt",
    "sin",
    "cos",
    "tanh",
    "sinh",
    "cosh",
    "atan",
    "erf",
    "abs",
    "Abs",
    "Max",
    "Min",
    "sign",
    "pi",
    "E",
)
FORMULA = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Call,
    ast.Name,
    ast.Constant,
    ast.operator,
    ast.unaryop,
    ast.expr_context,
)

#: Labels at which the two sides of a kink are compared.
LABELS = tuple(map(sp.Rational, ("-1.3", "-1", "0", "0.7", "1", "2.6")))

#: Prediction and label of one output, in which a loss is written.
f, y = sp.symbols("f y", real=True)
#: The number of outputs, one of them, and its prediction and label: letters of a loss that is no sum over outputs.
outputs_, output = sp.Symbol("K", integer=True, positive=True), sp.Symbol("k", integer=True)
f_k, y_k = (sp.IndexedBase(name, real=True)[output] for name in ("f", "y"))

Vector = tuple[sp.Expr, ...]


@dataclass(frozen=True)
class Loss:
    r"""A loss :math:`\ell(f,y)` of one sample; the loss of a data set is the sum over its samples.

    Equation
        ``one`` is the loss of one output, in f and y. The loss of K outputs is the sum of it over them, or ``several``, in
        sums over k of functions of ``f_k`` and ``y_k``. ``errors`` are :math:`\Delta_k=-\partial\ell/\partial f_k`.
    Shapes
        ``value``: an expression in K symbols each for predictions and labels.
    Units
        Those of the loss.
    Valid
        Once differentiable in the predictions.
    Errors
        ``InvalidArgument`` for a loss without derivative, or with other symbols than f and y.
    Source
        The definition of each loss.
    """

    name: str
    one: sp.Expr
    several: sp.Expr | None = None
    labels: sp.Set = sp.S.Reals  #: beyond which it has no minimum or no meaning

    def __post_init__(self) -> None:
        for name in ("one", "several"):
            held = getattr(self, name)
            if not (isinstance(held, sp.Expr) or (name == "several" and held is None)):
                raise InvalidArgument(f"{name}={held!r} is a {type(held).__name__}; allowed: an expression of SymPy")

    @property
    def separate(self) -> bool:
        """Whether it is a sum over outputs of the same function of each."""
        return self.several is None

    def value(self, outputs: int) -> tuple[sp.Expr, Vector, Vector]:
        """The loss of K outputs as an expression, with its symbols for predictions and labels."""
        if outputs == 1:
            return self.one, (f,), (y,)
        fs, ys = (sp.symbols(f"{n}_1:{outputs + 1}", real=True) for n in ("f", "y"))
        pairs = list(zip(fs, ys, strict=True))
        if self.several is None:
            return sp.Add(*(self.one.subs({f: a, y: b}, simultaneous=True) for a, b in pairs)), fs, ys
        letters = {
            sign.subs(output, k): letter
            for k, pair in enumerate(pairs, start=1)
            for sign, letter in zip((f_k, y_k), pair, strict=True)
        }
        return self.several.subs(outputs_, outputs).doit().xreplace(letters), fs, ys

    def errors(self, outputs: int) -> Vector:
        """The negative derivatives by the predictions."""
        value, predictions, _ = self.value(outputs)
        return tuple(sp.simplify(-sp.diff(value, p)) for p in predictions)

    def __repr__(self) -> str:
        return repr(self.name)


def _over_outputs(expr: sp.Expr) -> sp.Expr:
    """The sum of a function of ``f_k`` and ``y_k`` over the outputs."""
    return sp.Sum(expr, (output, 1, outputs_))


LOSSES = {
    "mse": Loss("mse", (f - y) ** 2 / 2),
    "logistic": Loss("logistic", sp.log(1 + sp.exp(-y * f)), labels=sp.FiniteSet(-1, 1)),
    "exponential": Loss("exponential", sp.exp(-y * f), labels=sp.FiniteSet(-1, 1)),
    "cross_entropy": Loss(
        "cross_entropy",
        sp.log(1 + sp.exp(f)) - y * f,
        sp.log(_over_outputs(sp.exp(f_k))) * _over_outputs(y_k) - _over_outputs(f_k * y_k),
        labels=sp.Interval(0, 1),
    ),
}


def as_loss(given: Any) -> Loss:
    """A loss by name, or from an expression in ``losses.f`` and ``losses.y`` (or symbols of these names)."""
    if isinstance(given, Loss):
        return given
    if isinstance(given, str) and given.isidentifier() and given not in ("f", "y"):
        if given not in LOSSES:
            raise unknown_name("loss", given, LOSSES)
        return LOSSES[given]
    try:
        expr = sp.sympify(_plain(given) if isinstance(given, str) else given)
    except (sp.SympifyError, TypeError, SyntaxError) as error:
        raise InvalidArgument(f"loss={given!r} is no expression ({error}); allowed: {_allowed()}") from None
    if not isinstance(expr, sp.Expr):
        raise InvalidArgument(f"loss={given!r} is a {type(given).__name__}; allowed: {_allowed()}")
    expr = expr.xreplace({s: {"f": f, "y": y}[s.name] for s in expr.free_symbols if s.name in ("f", "y")})
    if not expr.free_symbols <= {f, y} or f not in expr.free_symbols:
        raise InvalidArgument(f"loss={expr} is no function of f (prediction) and y (label); allowed: {_allowed()}")
    if not _smooth(expr):
        raise InvalidArgument(f"loss={expr} has no derivative by f everywhere; allowed: {_allowed()}")
    return Loss(str(expr), expr)


def _plain(text: str) -> str:
    """The text, if it is a formula and nothing else, because SymPy evaluates any text that it reads."""
    try:
        tree = ast.parse(text.replace("^", "**"), mode="eval")
    except SyntaxError as error:
        raise InvalidArgument(f"loss={text!r} is no expression ({error.msg}); allowed: {_allowed()}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in NAMES:
            raise InvalidArgument(
                f"loss={text!r} is no function of f (prediction) and y (label): it holds {node.id!r}; allowed: {', '.join(NAMES)}"
            )
        if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
            raise InvalidArgument(f"loss={text!r} is no expression: it holds {node.value!r}; allowed: {_allowed()}")
        if not isinstance(node, FORMULA) or (isinstance(node, ast.Call) and not isinstance(node.func, ast.Name)):
            raise InvalidArgument(f"loss={text!r} is no expression; allowed: {_allowed()}")
    return text


def _smooth(expr: sp.Expr) -> bool:
    """Whether the loss and its slope are continuous where the cases of the loss meet."""
    for label in LABELS:
        cases = as_cases(expr.subs({y: label, f: z}))
        if sp.diff(cases, z).has(sp.Derivative, sp.DiracDelta, sp.Subs):
            return False
        if first_break(partial(sp.diff, cases, z), breakpoints(cases), highest=2) is not None:
            return False
    return True


def _allowed() -> str:
    return f"{', '.join(LOSSES)}, or an expression in f and y that is differentiable in f"
