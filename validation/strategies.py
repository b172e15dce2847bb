r"""Hypothesis strategies for networks and inputs: the objects that the laws of the theory are stated for.

They draw the awkward cases on purpose (parallel, repeated and zero inputs, frozen layers, kinks away from the origin),
and keep to sizes at which a prediction takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import NDArray

from ..theory.language.errors import InvalidArgument
from ..theory.language.symbols import z
from ..theory.networks.activations import ACTIVATIONS, Activation, activation
from ..theory.networks.architecture import MLP

Array = NDArray[np.float64]

#: The kinds of a row of the inputs.
KINDS = ("generic", "parallel", "repeated", "zero")

#: Far out, where a function that grows faster than |z| shows it.
_FAR = 1000

# The summands of the random activations. Each grows at most like |z|, so that deep networks stay finite.
_SMOOTH = (sp.tanh(z), sp.sin(z), sp.erf(z), z, sp.exp(-(z**2) / 2))
_KINKED = (sp.Max(z, 0), sp.Abs(z), sp.Max(sp.Min(z, 1), -1))
_COEFFICIENTS = (sp.Integer(1), sp.Integer(-1), sp.Rational(1, 2), sp.Rational(-1, 2))
_SCALES = (sp.Integer(1), sp.Rational(1, 2), sp.Rational(3, 2))


def activations(smooth: bool | None = None, *, random: bool = True) -> SearchStrategy[Activation]:
    r"""Activations: the registered ones, and random sums of a few elementary functions.

    Equation
        .. math:: \sigma(z) = \sum_{k\le3} c_k\,f_k(s_k z),\qquad |\sigma(z)| \le c\,(1+|z|).
    Valid
        ``smooth=True`` draws those without kinks, ``False`` those with kinks, None both. ``random=False`` keeps to the
        registered ones. Those that grow faster than :math:`|z|` (exp, cubic, ...) are left out: the tensors of a deep
        network with them leave double precision for harmless hyperparameters.
    """
    known = st.sampled_from([a for a in ACTIVATIONS if _tame(a) and smooth in (None, a.smooth)])
    # |z| - 2 max(z, 0) is smooth after all.
    return known | _sums(smooth).filter(lambda a: smooth in (None, a.smooth)) if random else known


@lru_cache(maxsize=1024)
def _tame(a: Activation) -> bool:
    return all(abs(a.expr.subs(z, x).evalf()) <= 10 * _FAR for x in (_FAR, -_FAR)) if a.expr is not None else False


@st.composite
def _sums(draw: DrawFn, smooth: bool | None) -> Activation:
    parts = _SMOOTH if smooth else _SMOOTH + _KINKED
    chosen = draw(st.lists(st.sampled_from(parts), min_size=1, max_size=3, unique=True))
    if smooth is False and not set(chosen) & set(_KINKED):
        chosen[-1] = draw(st.sampled_from(_KINKED))
    scaled = [f.subs(z, draw(st.sampled_from(_SCALES)) * z) for f in chosen]
    expr = sp.Add(*(draw(st.sampled_from(_COEFFICIENTS)) * f for f in scaled))
    # |z| + z - 2 max(z, 0) and the like: an expression that cancels is no activation.
    return activation(expr if expr.has(z) and sp.simplify(expr.rewrite(sp.Piecewise)).has(z) else chosen[-1])


def hyperparameters(depth: int) -> SearchStrategy[dict[str, float | tuple[float, ...]]]:
    r"""The keyword arguments C_W, C_b, lambda_W, lambda_b of ``MLP``, each one number or one for each layer.

    Shapes
        Each value is a float or a tuple of ``depth`` floats.
    Units
        Variances and rates of order one: C_W in [1/4, 2], C_b in [0, 1], the rates in [0, 2].
    Valid
        C_b and the rates are 0 in a good part of the draws: no bias, frozen layers.
    Errors
        ``InvalidArgument`` for a depth below 1.
    """
    if depth < 1:
        raise InvalidArgument(f"depth={depth!r} is the number of layers; allowed: integers from 1")
    rates = st.just(0.0) | st.floats(0.125, 2.0)
    C_W, C_b = st.floats(0.25, 2.0), st.just(0.0) | st.floats(0.0625, 1.0)
    ranges = {"C_W": C_W, "C_b": C_b, "lambda_W": rates, "lambda_b": rates}
    return st.fixed_dictionaries({name: value | st.tuples(*[value] * depth) for name, value in ranges.items()})


def inputs(m: int | None = None, kinds: Sequence[str] = KINDS, *, n_0: int | None = None) -> SearchStrategy[Array]:
    r"""Inputs X, whose rows are of the given kinds.

    Equation
        "generic": linearly independent of the other generic rows as far as n_0 allows; "parallel": :math:`s\,x_b` for
        another row, :math:`s` of either sign; "repeated": :math:`x_b` itself; "zero": 0.
    Shapes
        (m, n_0); by default m is 1 ... 3 and n_0 is 1 ... 4.
    Units
        Entries of order one.
    Valid
        A row that should follow another one where there is none yet is generic.
    Errors
        ``InvalidArgument`` for an unknown kind, or none.
    """
    if not kinds or set(kinds) - set(KINDS):
        raise InvalidArgument(f"kinds={tuple(kinds)} must be some of: {', '.join(KINDS)}")
    return _inputs(m, tuple(kinds), n_0)


@st.composite
def _inputs(draw: DrawFn, m: int | None, kinds: tuple[str, ...], n_0: int | None) -> Array:
    rows = draw(st.integers(1, 3)) if m is None else m
    columns = draw(st.integers(1, 4)) if n_0 is None else n_0
    X = np.zeros((rows, columns))
    generic = 0
    for a in range(rows):
        kind = draw(st.sampled_from(kinds))
        if kind == "generic" or (kind != "zero" and not X[:a].any()):
            X[a] = draw(_generic(generic, columns))
            generic += 1
        elif kind != "zero":
            b = draw(st.sampled_from(np.flatnonzero(X[:a].any(axis=1)).tolist()))
            X[a] = X[b] if kind == "repeated" else draw(_factors) * X[b]
    return X


#: Factors between parallel inputs.
_factors = st.floats(0.25, 3.0) | st.floats(-3.0, -0.25)


@st.composite
def _generic(draw: DrawFn, number: int, columns: int) -> Array:
    # Row k of a triangular matrix with a diagonal away from zero: independent of the rows before it for any draw. The
    # theory sees overlaps only, and every Gram matrix is that of a triangular matrix.
    last = min(number, columns - 1)
    row = np.zeros(columns)
    row[:last] = draw(st.lists(st.floats(-2.0, 2.0), min_size=last, max_size=last))
    row[last] = draw(st.floats(0.5, 2.0))
    return row


@st.composite
def networks(
    draw: DrawFn,
    *,
    activation: SearchStrategy[Any] | None = None,
    depth: SearchStrategy[int] | None = None,
    width: SearchStrategy[Any] | None = None,
    fixed: dict[str, Any] | None = None,
) -> MLP:
    r"""Networks with all that ``predict`` needs; ``simulate`` needs a strategy for the ``width`` as well.

    Shapes
        By default the activation is any of :func:`activations`, depth is 1 ... 3, and the width is not given, one
        number, or one number for each hidden layer (16 ... 128).
    Units
        As in :func:`hyperparameters`.
    Valid
        ``fixed`` holds arguments of ``MLP`` that take the place of drawn ones: ``networks(fixed={"C_b": 0})``.
    """
    layers = draw(st.integers(1, 3) if depth is None else depth)
    sizes = st.integers(16, 128)
    any_width = st.none() | sizes | st.tuples(*[sizes] * (layers - 1))
    arguments = {"depth": layers, "width": draw(any_width if width is None else width)}
    arguments |= draw(hyperparameters(layers)) | (fixed or {})
    return MLP(draw(activations() if activation is None else activation), **arguments)
