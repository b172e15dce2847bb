r"""Losses of one sample, and the errors :math:`\Delta_k=-\partial\ell/\partial f_k` that drive training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import sympy as sp

from ..language.checks import handled
from ..language.errors import InvalidArgument, unknown_name
from ..language.pieces import CASES, as_cases, breakpoints, first_break
from ..language.reading import Language
from ..language.symbols import z
from ..networks.activations import NAMES, named

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
        Once differentiable in the predictions. Higher derivatives are those between the kinks, where they jump.
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

    @property
    def kinked(self) -> bool:
        """Whether a derivative may jump."""
        return self.one.has(sp.Piecewise, *CASES)

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

    def derivative(self, outputs: int, *by: int) -> sp.Expr:
        """The derivative by the predictions of these numbers, from 0, between the kinks."""
        if self.separate and len(set(by)) > 1:
            return sp.S.Zero
        value, predictions, labels = self.value(1 if self.separate else outputs)
        if not self.separate or outputs == 1:
            return sp.diff(between_kinks(value), *(predictions[k] for k in by))
        _, fs, ys = self.value(outputs)
        one = sp.diff(between_kinks(value), *predictions * len(by))
        return one.subs({predictions[0]: fs[by[0]], labels[0]: ys[by[0]]}, simultaneous=True)

    def errors(self, outputs: int) -> Vector:
        """The negative derivatives by the predictions."""
        return tuple(_tidy(-self.derivative(outputs, k)) for k in range(outputs))

    def __repr__(self) -> str:
        return repr(self.name)


def between_kinks(expr: sp.Expr) -> sp.Expr:
    """The loss with Max, Min, Abs and sign written as cases, whose derivatives hold no delta functions."""
    return expr.rewrite(sp.Piecewise) if expr.has(*CASES) else expr


def _tidy(expr: sp.Expr) -> sp.Expr:
    """A simpler form; of cases one choice between formulas."""
    return sp.piecewise_fold(expr) if expr.has(sp.Piecewise) else sp.simplify(expr)


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
    expr = TEXT.read(given) if isinstance(given, str) else given
    if not isinstance(expr, sp.Expr):
        raise InvalidArgument(f"loss={given!r} is a {type(given).__name__}; allowed: {_allowed()}")
    expr = expr.xreplace({s: {"f": f, "y": y}[s.name] for s in expr.free_symbols if s.name in ("f", "y")})
    if not expr.free_symbols <= {f, y} or f not in expr.free_symbols:
        raise InvalidArgument(f"loss={expr} is no function of f (prediction) and y (label); allowed: {_allowed()}")
    with handled("loss", expr, _allowed()):
        smooth = _smooth(expr)
    if not smooth:
        raise InvalidArgument(f"loss={expr} has no derivative by f everywhere; allowed: {_allowed()}")
    return Loss(str(expr), expr)


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


#: The text of a loss.
TEXT = Language("loss", _allowed(), ("f", "y"), named, NAMES)
