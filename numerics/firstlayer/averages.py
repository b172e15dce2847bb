"""Averages over the preactivations of a first layer as they are distributed: the tables that layers of Gaussian ones have too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import combinations
from math import prod

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.averages.regularity import singular
from ...theory.language.errors import NotAvailable
from ...theory.language.symbols import z
from ...theory.networks.activations import Activation
from ...theory.networks.entries import Values
from ..codegen.printing import array_function
from ..quadrature.quadrature import Term
from .law import FirstLayer
from .points import LEVELS, Points, points

Array = NDArray[np.float64]
Tables = dict[str, Array]

#: Two levels of rules that agree so well, relative above one, are not refined.
AGREED = 1e-12
#: Products of functions at several inputs that are held at a time.
BLOCK = 1 << 22


def tables(first: FirstLayer, activation: Activation, terms: Mapping[str, Term]) -> tuple[Tables, float]:
    r"""Tables of :math:`\langle\partial\cdots\prod_i\sigma^{(k_i)}(z_{a_i})\rangle` over index tuples, and their largest error.

    Shapes
        A table of d sites: (m,) * d for m inputs.
    Valid
        Where ``first.few(d)``. Derivatives in front are carried out.
    Errors
        ``NotAvailable`` for derivatives that hold delta functions.
    """
    m, together = len(first.coefficients), max((len(orders) for orders, _ in terms.values()), default=1)
    whole = first.everything or m <= together
    found = {name: np.empty((m,) * len(orders)) for name, (orders, _) in terms.items()}
    known: dict[bytes, tuple[Tables, float]] = {}
    worst = 0.0
    for samples in [tuple(range(m))] if whole else combinations(range(m), together):
        columns = first.columns(samples)
        key = columns.tobytes() + bytes(columns.shape[1])
        if key not in known:
            known[key] = _refined(first, columns, activation, terms)
        values, error = known[key]
        worst = max(worst, error)
        for name, value in values.items():
            found[name][np.ix_(*[samples] * value.ndim)] = value
    return found, worst


def _refined(
    first: FirstLayer, columns: Array, activation: Activation, terms: Mapping[str, Term]
) -> tuple[Tables, float]:
    """The tables at a few inputs; rules are refined until two of them agree."""
    kinks, before, error, last = [float(k) for k in activation.kinks], None, np.inf, np.inf
    for level in range(len(LEVELS)):
        at = points(columns, first.entry, first.bias, kinks, level)
        if at is None:
            break
        now = _on_points(at, activation, terms)
        if isinstance(first.entry, Values) and not first.bias:
            return now, 0.0
        if before is not None:
            pairs, last = zip(now.values(), before.values(), strict=True), error
            error = max((float((np.abs(v - w) / np.maximum(1, np.abs(v))).max()) for v, w in pairs), default=0.0)
        before = now
        if error <= AGREED:
            break
    if before is None:
        raise NotAvailable(
            f"the first layer is an average over {columns.shape[1]} weights that are not Gaussian, which are too many here; "
            "allowed: weights='gaussian' in the first layer, or fewer inputs and features that do not vanish"
        )
    # Rules between breaks gain digits with every level, more than with the one before: change * (change/previous change), safety 3.
    return before, error * min(1.0, 3 * error / last) if 0 < last < np.inf else error


def _on_points(at: Points, activation: Activation, terms: Mapping[str, Term]) -> Tables:
    keys = {key for orders, by in terms.values() for key in zip(orders, by, strict=True)}
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        values = {key: _site(activation, *key)(at.z) for key in keys}
    return {
        name: _table([values[key] for key in zip(orders, by, strict=True)], at.p)
        for name, (orders, by) in terms.items()
    }


def _table(functions: list[Array], p: Array) -> Array:
    """The averages of products of functions (inputs, points), one at each site."""
    half = (len(functions) + 1) // 2
    shape = [len(f) for f in functions]
    rows, columns = prod(shape[:half]), prod(shape[half:])
    total = np.zeros((rows, columns))
    step = max(1, BLOCK // (rows + columns))
    for start in range(0, len(p), step):
        part = slice(start, start + step)
        weights = p[part]
        total += _outer(functions[:half], part, weights) @ _outer(functions[half:], part, np.ones_like(weights)).T
    return total.reshape(shape)


def _outer(functions: list[Array], part: slice, weights: Array) -> Array:
    """Weights times the products of functions, one at each site: (tuples of inputs, points)."""
    found = weights[None]
    for f in functions:
        found = (found[:, None, :] * f[None, :, part]).reshape(-1, len(weights))
    return found


@lru_cache(maxsize=256)
def _site(activation: Activation, orders: tuple[int, ...], by: int) -> Callable[[Array], Array]:
    """A product of derivatives of an activation at one site, differentiated once more as often as is said."""
    body = sp.Mul(*(activation.derivative(k) for k in orders))
    product = Activation(f"{activation.name}{orders}", body, checked=True)
    if by and singular(product, by):
        raise NotAvailable(
            f"the derivative of order {by} of a product of derivatives {orders} of activation={activation.name!r} holds delta "
            "functions, and the first layer has no Gaussian density; allowed: weights='gaussian' in the first layer"
        )
    function = array_function(z, product.derivative(by)) if by else None
    parts = [array_function(z, activation.derivative(k)) for k in sorted(set(orders))]

    def evaluated(x: Array) -> Array:
        if function is not None:
            return np.broadcast_to(np.asarray(function(x), dtype=np.float64), x.shape)
        values = dict(zip(sorted(set(orders)), (np.asarray(f(x), dtype=np.float64) for f in parts), strict=True))
        return np.broadcast_to(prod((values[k] for k in orders), start=np.ones(())), x.shape)

    return evaluated
