r"""Parametrizations: how a program writes the weights, and the C_W, C_b, lambda_W, lambda_b that follow.

A program holds raw parameters r, drawn with a variance v and trained with a learning rate s, and uses m r: (m, v, s) is a row.
For W_ij = m r_ij and b_i = m r_i, and gradient descent dr = -s dL/dr, the chain rule dL/dr = m dL/dW gives

.. math::
    \mathrm{Var}\,W = m^2v = \frac{C_W}{n},\qquad \delta W = m\,\delta r = -m^2s\,\frac{\partial L}{\partial W}
    = -\frac{\lambda_W}{n}\,\frac{\partial L}{\partial W},

n the fan-in, and the same without n for biases. So **C = m^2 v n and lambda = m^2 s n** (n = 1 for biases): this is the one
conversion here, in both directions, and a new parametrization is a new row of (m, v, s).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Real
from typing import Any

import sympy as sp

from ..language import symbols
from ..language.errors import InvalidArgument, InvalidNetwork, unknown_name
from ..language.symbols import gamma_0
from .rounding import TOLERANCE, close, exactly, joined

Given = dict[str, Any]
#: The hidden widths and the output width, as far as they are given.
Shape = tuple[tuple[int, ...] | None, int | None]
Formulas = dict[str, sp.Expr]

#: The numbers that the recursions are written in, and that every parametrization is converted to.
HYPERPARAMETERS = ("C_W", "C_b", "lambda_W", "lambda_b")

#: The fan-in and the fan-out of a layer, and the width that a whole network is scaled by: that of its last hidden layer.
n, n_out, N = sp.symbols("n n_out N", positive=True)
W_std, b_std, learning_rate = sp.symbols("W_std b_std learning_rate", nonnegative=True)

#: In the order in which they are shown, and solved for.
ARGUMENTS = (*HYPERPARAMETERS, "W_std", "b_std", "learning_rate", "gamma_0")
PLACES = ("first", "hidden", "last")


@dataclass(frozen=True)
class Raw:
    """A parameter as a program holds it: the factor it is used with, its variance and its learning rate."""

    multiplier: sp.Expr
    variance: sp.Expr
    rate: sp.Expr

    def converted(self, fan_in: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """C and lambda: see the module."""
        return tuple(sp.powsimp(sp.expand(self.multiplier**2 * f * fan_in)) for f in (self.variance, self.rate))


#: A parameter that is not there.
NONE = Raw(sp.S.Zero, sp.S.Zero, sp.S.Zero)


@dataclass(frozen=True)
class Parametrization:
    r"""A way to write the parameters of a network: rows of weights and biases for its first, hidden and last layers.

    Equation
        :math:`C = m^2vn,\ \lambda = m^2sn` for the row (m, v, s); see the module and :meth:`formulas`.
    Shapes
        ``first``, ``hidden``, ``last`` are pairs (weights, biases) of :class:`Raw`.
    Units
        Expressions in the fan-in ``n``, the fan-out ``n_out``, the width ``N`` of the last hidden layer, and the
        hyperparameters. ``weights`` is the ensemble where ``MLP`` is given none.
    Valid
        Any width. Skip connections have no parameters, and are not scaled.
    Errors
        None.
    Source
        The definition of each parametrization; the conversion follows from it.
    """

    name: str
    first: tuple[Raw, Raw]
    hidden: tuple[Raw, Raw]
    last: tuple[Raw, Raw]
    defaults: tuple[tuple[str, Any], ...] = ()
    meaning: str = ""
    weights: str = "gaussian"
    bias: bool = True

    @property
    def unbiased(self) -> Parametrization:
        """The same without biases: their variance and their rate are zero."""
        first, hidden, last = ((weights, NONE) for weights, _ in (self.first, self.hidden, self.last))
        return replace(self, first=first, hidden=hidden, last=last, bias=False)

    @property
    def hyperparameters(self) -> tuple[str, ...]:
        """The arguments of ``MLP`` that belong to it; the number of features where the first fan-in does not cancel."""
        used = {str(s) for place in PLACES for f in self.formulas(place).values() for s in f.free_symbols}
        features = ("features",) if any(f.has(n) for f in self.formulas("first").values()) else ()
        return (*(name for name in ARGUMENTS if name in used), *features)

    def formulas(self, place: str) -> Formulas:
        """C_W, C_b, lambda_W, lambda_b of a "first", "hidden" or "last" layer."""
        return dict(zip(HYPERPARAMETERS, _formulas(getattr(self, place)), strict=True))

    def __repr__(self) -> str:
        return self.name


@lru_cache(maxsize=256)
def _formulas(rows: tuple[Raw, Raw]) -> tuple[sp.Expr, ...]:
    (C_W, lambda_W), (C_b, lambda_b) = rows[0].converted(n), rows[1].converted(sp.S.One)
    return C_W, C_b, lambda_W, lambda_b


def _alike(name: str, weights: Raw, biases: Raw, /, **more: Any) -> Parametrization:
    layer = (weights, biases)
    return Parametrization(name, layer, layer, layer, **more)


@lru_cache(maxsize=1)
def rows() -> dict[str, Parametrization]:
    """The parametrizations that have a name."""
    one, eta = sp.S.One, learning_rate
    pdlt = _alike(
        "pdlt",
        Raw(one, symbols.C_W / n, symbols.lambda_W / n),
        Raw(one, symbols.C_b, symbols.lambda_b),
        meaning="W ~ N(0, C_W/n), b ~ N(0, C_b), learning rates lambda_W/n and lambda_b",
    )
    rate = (("learning_rate", 1),)
    ntk = _alike(
        "ntk",
        Raw(W_std / sp.sqrt(n), one, eta),
        Raw(b_std, one, eta),
        defaults=rate,
        meaning="W = W_std omega/sqrt(n), b = b_std beta; omega, beta ~ N(0, 1), one learning rate",
    )
    standard = _alike(
        "standard",
        Raw(one, W_std**2 / n, eta),
        Raw(one, b_std**2, eta),
        defaults=rate,
        meaning="W ~ N(0, W_std^2/n), b ~ N(0, b_std^2), one learning rate; b_std=0 starts biases at 0 and trains them",
    )
    # nn.Linear draws weights and biases from U(-n^-1/2, n^-1/2), of variance 1/(3n), n the fan-in of both.
    drawn = Raw(one, 1 / (3 * n), eta)
    pytorch = _alike(
        "pytorch",
        drawn,
        drawn,
        defaults=rate,
        meaning="W and b of variance 1/(3n), as nn.Linear draws them; b normal instead of uniform; one learning rate",
        weights="uniform",
    )
    glorot = _alike(
        "glorot",
        Raw(one, 2 * W_std**2 / (n + n_out), eta),
        Raw(one, sp.S.Zero, eta),
        defaults=(("W_std", 1), *rate),
        meaning="W uniform of variance 2 W_std^2/(n + n_out), W_std the gain; biases start at 0 and are trained, one learning rate",
        weights="uniform",
    )
    # Bordelon & Pehlevan (arXiv:2205.09653): the last preactivations are divided by gamma = gamma_0 sqrt(N), and the learning
    # rate of all raw parameters is eta gamma^2.
    gamma = gamma_0 * sp.sqrt(N)
    body = (Raw(W_std / sp.sqrt(n), one, eta * gamma**2), Raw(b_std, one, eta * gamma**2))
    last = (Raw(W_std / sp.sqrt(n) / gamma, one, eta * gamma**2), Raw(b_std / gamma, one, eta * gamma**2))
    unit = (("W_std", 1), ("b_std", 0), *rate, ("gamma_0", 1))
    field = Parametrization(
        "mean_field", body, body, last, unit, "as ntk, with f = z/(gamma_0 sqrt(N)) and learning rate eta gamma_0^2 N"
    )
    named = {"pdlt": pdlt, "ntk": ntk, "standard": standard, "mean_field": field, "mup": field}
    return named | {"pytorch": pytorch, "glorot": glorot, "xavier": glorot}


def abc(a: Sequence[Any], b: Sequence[Any], c: Any = 0) -> Parametrization:
    r"""The abc-parametrization of Yang and Hu, without biases.

    Equation
        :math:`W^{(\ell)}=N^{-a_\ell}w^{(\ell)},\ w^{(\ell)}_{ij}\sim N(0,W_{std}^2N^{-2b_\ell})`, learning rate
        :math:`\eta N^{-c}`.
    Shapes
        ``a``, ``b``: three exponents each, of the first, the hidden and the last layers; ``c``: one.
    Units
        Pure numbers. The input dimension is not scaled by: C_W of the first layer is n_0 for a_1 + b_1 = 0 and W_std = 1.
    Valid
        At least one hidden layer; N is the width of the last one.
    Errors
        ``InvalidArgument`` for exponents that are no numbers, or not three.
    Source
        Yang & Hu, Feature Learning in Infinite-Width Neural Networks (arXiv:2011.14522); exponents in ``YANG_HU``.
    """
    for name, value in (("a", a), ("b", b)):
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 3:
            raise InvalidArgument(f"{name}={value!r}; allowed: three exponents, of the first, hidden and last layers")
    for value in (*a, *b, c):
        if isinstance(value, bool) or not isinstance(value, Real | sp.Expr) or not sp.sympify(value).is_finite:
            raise InvalidArgument(f"a={a!r}, b={b!r}, c={c!r} holds {value!r}; allowed: finite real exponents")
    exact = lambda v: sp.nsimplify(v, rational=True)  # noqa: E731
    a, b, c = tuple(map(exact, a)), tuple(map(exact, b)), exact(c)
    first, hidden, last = (
        (Raw(N**-x, W_std**2 * N ** (-2 * y), learning_rate * N**-c), NONE) for x, y in zip(a, b, strict=True)
    )
    defaults = (("W_std", 1), ("learning_rate", 1))
    meaning = "W = N^-a w, w ~ N(0, W_std^2 N^-2b), learning rate eta N^-c, no biases"
    return Parametrization(f"abc(a={a}, b={b}, c={c})", first, hidden, last, defaults, meaning, bias=False)


_HALF = sp.Rational(1, 2)
#: The published exponents. SP with c = 0 is unstable in training; MFP is for one hidden layer.
YANG_HU = {
    "SP": abc((0, 0, 0), (0, _HALF, _HALF)),
    "NTP": abc((0, _HALF, _HALF), (0, 0, 0)),
    "MFP": abc((0, 0, 1), (0, 0, 0), -1),
    "muP": abc((-_HALF, 0, _HALF), (_HALF, _HALF, _HALF)),
}


def as_parametrization(parametrization: Any) -> Parametrization:
    """The parametrization that ``parametrization=`` means: a name or a :class:`Parametrization`."""
    if isinstance(parametrization, Parametrization):
        return parametrization
    if not isinstance(parametrization, str):
        raise InvalidArgument(
            f"parametrization={parametrization!r}; allowed: {', '.join(rows())}, or an abc(a, b, c) of Yang and Hu"
        )
    if parametrization.lower() not in rows():
        raise unknown_name("parametrization", parametrization, rows())
    return rows()[parametrization.lower()]


@dataclass(frozen=True)
class Choice:
    """A parametrization and the hyperparameters that a user gave it."""

    row: Parametrization
    given: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """The name of the parametrization."""
        return self.row.name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``MLP`` that make it again; "pdlt" goes without saying."""
        named: Given = (
            {} if self.name == "pdlt" else {"parametrization": self.name if self.name in rows() else self.row}
        )
        named |= {"bias": False} if self.name in rows() and not self.row.bias else {}
        return named | dict(self.given)

    def numbers(self, depth: int | None, shape: Shape) -> dict[str, Any]:
        """C_W, C_b, lambda_W, lambda_b; None where something that they need is not given."""
        layers = self._layers(depth, shape)
        return {name: self._number(name, [layer[name] for layer in layers]) for name in HYPERPARAMETERS}

    def missing(self, name: str, depth: int | None, shape: Shape) -> tuple[str, ...]:
        """The arguments that C_W, ... waits for."""
        return tuple(sorted({str(s) for layer in self._layers(depth, shape) for s in layer[name].free_symbols}))

    @property
    def _values(self) -> dict[str, Any]:
        return dict(self.row.defaults) | dict(self.given)

    def _layers(self, depth: int | None, shape: Shape) -> list[Formulas]:
        values = self._values
        layers = _layers(self.row, depth, shape, values.get("features"))
        return [
            {
                name: _put(f, {k: v[i] if isinstance(v, tuple) else v for k, v in values.items()})
                for name, f in layer.items()
            }
            for i, layer in enumerate(layers)
        ]

    def _number(self, name: str, found: list[sp.Expr]) -> Any:
        """One for all layers, if each of the hyperparameters that it is made of is, and the layers do not differ."""
        if any(f.free_symbols for f in found):
            return None
        used = {str(s) for place in PLACES for s in self.row.formulas(place)[name].free_symbols}
        several = any(isinstance(value, tuple) for key, value in self._values.items() if key in used)
        numbers = tuple(float(f) for f in found)
        return numbers if several or len(set(numbers)) > 1 else numbers[0]


def _layers(row: Parametrization, depth: int | None, shape: Shape, features: Any) -> list[Formulas]:
    """The formulas of the layers 1 ... L with widths put in; a width that is not given has the name of its argument."""
    widths, output = shape
    if depth == 1 and row.first != row.last:
        raise InvalidNetwork(
            f"depth=1: parametrization={row.name!r} is scaled by the last hidden layer; allowed: integers from 2"
        )
    places = PLACES if depth is None else ("first", *["hidden"] * (depth - 2), "last")[:depth]
    width = sp.Symbol("width")
    fan_in = (features or sp.Symbol("features"), *(widths or [width] * (len(places) - 1)))
    top = sp.sympify(fan_in[-1] if len(fan_in) > 1 else width)
    # an output width that is not given is that of the last hidden layer
    fan_out = (*fan_in[1:], output or (fan_in[-1] if len(fan_in) > 1 else sp.Symbol("output_width")))
    return [
        {
            name: f.xreplace({n: sp.sympify(below), n_out: sp.sympify(above), N: top})
            for name, f in row.formulas(place).items()
        }
        for place, below, above in zip(places, fan_in, fan_out, strict=True)
    ]


def _put(formula: sp.Expr, values: Given) -> sp.Expr:
    """The formula with the hyperparameters put in that have a value."""
    return formula.xreplace({s: sp.sympify(values[str(s)]) for s in formula.free_symbols if str(s) in values})


def choose(parametrization: Any, arguments: Given, bias: Any = True) -> Choice:
    """The parametrization with those arguments that are not None; ``InvalidArgument`` for one that it does not have."""
    row = as_parametrization(parametrization)
    if not isinstance(bias, bool):
        raise InvalidArgument(f"bias={bias!r}; allowed: True, or False for layers without biases")
    row = row if bias else row.unbiased
    given = {name: value for name, value in arguments.items() if value is not None}
    for name, value in given.items():
        if name not in row.hyperparameters:
            without = "" if bias else " with bias=False"
            raise InvalidArgument(
                f"{name}={value!r} is no hyperparameter of parametrization={row.name!r}{without}; allowed: "
                f"{', '.join(row.hyperparameters)}"
            )
    return Choice(row, tuple(given.items()))


def solve(
    row: Parametrization, numbers: Mapping[str, Sequence[float]], shape: Shape, settings: Given
) -> dict[str, Any]:
    r"""The hyperparameters with which a parametrization has given C_W, C_b, lambda_W, lambda_b: the way back.

    Equation
        Each of :math:`C_W, C_b, \lambda_W, \lambda_b` is a monomial :math:`c\,s^p` in the hyperparameter s that is not yet
        known: C_W gives W_std, C_b gives b_std, the first rate that is not frozen the learning rate; the others are checked.
    Shapes
        ``numbers``: L values for each name. The result holds one value where all layers agree, L otherwise.
    Units
        Those of ``MLP``. ``settings`` (gamma_0, features) are taken as they are.
    Valid
        Where it can be done: one learning rate moves weights and biases of a layer in every parametrization but "pdlt".
    Errors
        ``InvalidArgument`` that names the number, the layer and what the parametrization would make of it.
    Source
        The inverse of the definition.
    """
    settings = {k: v for k, v in row.defaults if k == "gamma_0"} | settings
    unknown = [name for name in row.hyperparameters if name not in ("gamma_0", "features")]
    found: dict[str, list[Any]] = {name: [] for name in unknown}
    for i, formulas in enumerate(_layers(row, len(numbers["C_W"]), shape, settings.get("features"))):
        layer = {name: exactly(value) for name, value in settings.items()}
        for name, formula in formulas.items():
            layer |= _match(
                f"parametrization={row.name!r}", f"{name} in layer {i + 1}", formula, numbers[name][i], layer
            )
        for name, values in found.items():
            values.append(layer.get(name))
    return {name: joined(values) for name, values in found.items()} | settings


def _match(where: str, what: str, formula: sp.Expr, number: float, layer: Given) -> Formulas:
    """The equation formula = number, solved for the one hyperparameter in it that is not yet known."""
    left, value = _put(formula, layer), exactly(number)
    waiting = sorted({str(s) for s in left.free_symbols} & {"width", "features", "output_width"})
    if waiting:
        raise InvalidArgument(
            f"{', '.join(f'{w}=None' for w in waiting)}: {what} depends on it with {where}; allowed: integers from 1"
        )
    if left.free_symbols:
        (unknown,) = left.free_symbols
        factor, power = left.as_coeff_exponent(unknown)
        return {str(unknown): (value / factor) ** (1 / power)}
    if not close(left, value, TOLERANCE):
        known = ", ".join(f"{k}={float(v):.12g}" for k, v in layer.items()) or "no such parameter"
        raise InvalidArgument(
            f"{what} is {number:.12g}, which {where} cannot make: the other numbers of the layer mean {known}; allowed: "
            f"{float(left):.12g}, or another parametrization"
        )
    return {}
