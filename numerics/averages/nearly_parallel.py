r"""Averages of kinked functions at nearly parallel inputs, where Hermite series are long.

.. math:: \langle f(au)\,g(bv)\rangle_\varrho=\int\!du\,\phi(u)\,f(au)\,M(b\varrho u),\qquad M(m)=\langle g(m+wx)\rangle,\quad
    w=b\sqrt{1-\varrho^2}

Between its kinks g is a sum of terms :math:`z^je^{cz}`, so that M is a sum of truncated Gaussian moments. It is smooth on the
scale w, and the outer integral takes Gauss-Legendre panels that end at the kinks of f and become short around those of M.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import special

from ...theory.language.pieces import cut_moments, split
from ...theory.language.symbols import z
from ...theory.networks.activations import Activation
from . import hermite
from .chebyshev import Interpolant, Range, fit
from .hermite import Sigma

Array = NDArray[np.float64]
Site = tuple[int, ...]

#: Nodes of a panel, and panels between -REACH and REACH besides those at kinks.
NODES, UNIFORM, REACH = 16, 6, 9.0
#: Panel edges around a smoothed kink, in units of its width; outside of them the function is smooth to 1e-12.
LAYER = np.array([-7.0, -2.5, 0.0, 2.5, 7.0])
#: Panel edges beside a kink where exponentials decay, in units of their decay.
DECAY = np.array([-40.0, -16.0, -5.0, 5.0, 16.0, 40.0])
#: Pairs that are worked on at a time, by the rule and by tables.
BLOCK, TABLED = 500, 20_000
#: Ends of tables are multiples of this; the most pairs that a table may cost, and the most that it may leave out.
GRAIN, BUDGET, ALLOWED = 0.5, 30_000, 3e-13
#: How well a table agrees with the rule.
CLOSE = 2e-14


@dataclass(frozen=True)
class ExponentialPiece:
    """A function between two points: the sum of coefficient z^j e^(cz)."""

    low: float
    high: float
    terms: tuple[tuple[float, int, float], ...]  #: coefficient, j, c

    def __call__(self, x: Array) -> Array:
        """The values of the sum, at points outside of the piece too."""
        # An exponential that decays inside of its piece may overflow outside, where no value is used.
        return np.asarray(
            sum((k * x**j * np.exp(np.minimum(c * x, 700.0)) for k, j, c in self.terms), np.zeros_like(x))
        )


@lru_cache(maxsize=128)
def pieces(activation: Activation, site: Site) -> tuple[ExponentialPiece, ...] | None:
    """The pieces of a product of derivatives; None if one is no sum of z^j e^(cz), or grows like an exponential."""
    expr = sp.Mul(*(activation.derivative(k) for k in site))
    kinks = list(activation.kinks)
    if not kinks:
        return None
    found = []
    for piece in split(expr, kinks):
        low, high, terms = float(piece.low), float(piece.high), _terms(piece.formula)
        if terms is None or any((high == np.inf and c > 0) or (low == -np.inf and c < 0) for _, _, c in terms):
            return None
        found.append(ExponentialPiece(low, high, terms))
    return tuple(found)


def _terms(expr: sp.Expr) -> tuple[tuple[float, int, float], ...] | None:
    found = []
    for term in sp.Add.make_args(sp.expand(expr, power_exp=False)) if expr != 0 else ():
        number, rest = term.as_independent(z, as_Add=False)
        power, rate = 0, sp.S.Zero
        for factor in sp.Mul.make_args(rest):
            base, exponent = factor.as_base_exp()
            if base == z and exponent.is_Integer and exponent > 0:
                power += int(exponent)
                continue
            inside = factor.args[0] if isinstance(factor, sp.exp) else None
            slope = None if inside is None else sp.diff(inside, z)
            if inside is not None and slope is not None and not slope.has(z):
                rate += slope
                number *= sp.exp(inside.subs(z, 0))
            elif factor != 1:
                return None
        found.append((float(number), power, float(rate)))
    return tuple(found)


def averages(
    activation: Activation,
    orders: Sequence[tuple[Site, Site]],
    a: Array,
    b: Array,
    rho: Array,
    sine: Array | None = None,
) -> list[Array] | None:
    r"""The averages at correlations of modulus near one; None for functions that are no sums of z^j e^(cz) between kinks.

    Shapes
        a, b, rho: (N,), positive deviations and correlations -> one (N,) for each of ``orders``. ``sine`` is the root of
        1 - rho^2, where it is known to more digits.
    Valid
        To some 1e-14 of the root of :math:`\langle f^2\rangle\langle g^2\rangle` from |rho| = 0.5.
    """
    known = {site: pieces(activation, site) for pair in orders for site in pair}
    if any(found is None for found in known.values()):
        return None
    kinks = np.array([float(k) for k in activation.kinks])
    rate = max((abs(c) for found in known.values() for p in found or () for _, _, c in p.terms), default=0.0)
    sine = np.sqrt((1 - rho) * (1 + rho)) if sine is None else sine
    values = [np.empty(len(a)) for _ in orders]
    for start in range(0, len(a), BLOCK):
        part = slice(start, start + BLOCK)
        u, weight = _nodes(kinks, rate, a[part], b[part], rho[part], sine[part])
        # The inner average M at m = b rho u and w = b sqrt(1 - rho^2), then the outer integral over u.
        width = b[part] * sine[part]
        mean = (b[part] * rho[part])[:, None] * u
        first = {f: _values(known[f], a[part, None] * u) for f in {f for f, _ in orders}}
        second = _means(known, {g for _, g in orders}, mean, np.maximum(width, 1e-150)[:, None])
        for total, (f, g) in zip(values, orders, strict=True):
            total[part] = np.einsum("pu,pu,pu->p", weight, first[f], second[g])
    return values


def tabled(
    activation: Activation, orders: Sequence[tuple[Site, Site]], sigma: Sigma, a: Array, b: Array, rho: Array
) -> list[Array] | None:
    """The averages of many pairs with kinks at zero alone, where they are smooth in norms and angle; |rho| from 1/2."""
    if any(activation.kinks) or any(f != g for f, g in orders):
        return None
    ends = np.log([min(a.min(), b.min()) ** 2, max(a.max(), b.max()) ** 2])
    low, high = np.floor(ends[0] / GRAIN) * GRAIN, np.ceil(ends[1] / GRAIN) * GRAIN
    deviations, back = np.unique(np.concatenate([a, b]), return_inverse=True)
    squares = hermite.squares(sigma, [0.0], [f for f, _ in orders], deviations)
    values = [np.empty(len(a)) for _ in orders]
    for sign in (-1, 1):
        table = _table(activation, tuple(orders), float(low), float(high), sign)
        if table is None or squares is None:
            return None
        here = np.flatnonzero(np.sign(rho) == sign)
        for start in range(0, len(here), TABLED):
            some = here[start : start + TABLED]
            for total, square, v in zip(
                values, squares, table.pairs(a[some] ** 2, b[some] ** 2, rho[some]), strict=True
            ):
                total[some] = v * np.sqrt(square[back[some]] * square[back[len(a) + some]])
    return values


@lru_cache(maxsize=64)
def _table(
    activation: Activation, orders: tuple[tuple[Site, Site], ...], low: float, high: float, sign: int
) -> Interpolant | None:
    """The averages relative to the root of <f^2><g^2>, for a^2 between e^low and e^high and |rho| from 1/2."""
    functions = [sp.lambdify(z, activation.derivative(k), "numpy") for k in range(1 + max(f[0] for f, _ in orders))]

    def nodes(s: Array, x: Array) -> list[Array]:
        i, j = np.triu_indices(len(s))
        d = np.sqrt(s)
        a, b, angle = np.repeat(d[i], len(x)), np.repeat(d[j], len(x)), np.tile(x, len(i))
        flat = averages(activation, orders, a, b, np.cos(angle), np.sin(angle))
        squares = hermite.squares(
            lambda u, order: [np.broadcast_to(f(u), u.shape) for f in functions[: order + 1]],
            [0.0],
            [f for f, _ in orders],
            d,
        )
        assert flat is not None
        assert squares is not None
        found = []
        for values, square in zip(flat, squares, strict=True):
            full = np.empty((len(s), len(s), len(x)))
            full[i, j] = full[j, i] = np.reshape(values, (len(i), len(x)))
            found.append(full / np.sqrt(np.multiply.outer(square, square))[:, :, None])
        return found

    cosines = Range(0.5, 1.0) if sign > 0 else Range(-1.0, -0.5)
    found = fit(nodes, Range(low, high), cosines, budget=BUDGET, tail=1e-16, small=0.0)
    if found is None or found.bound > ALLOWED:
        return None
    # The table is compared with the rule itself on a grid between its nodes.
    s, x = np.exp(np.linspace(low, high, 7)), np.linspace(0, np.pi / 3, 13)[1:]
    i, j, k = (n.ravel() for n in np.indices((len(s), len(s), len(x))))
    angle = x if sign > 0 else np.pi - x
    there = nodes(s, angle)
    here = found.pairs(s[i], s[j], np.cos(angle)[k])
    worst = max(float(np.abs(v - truth[i, j, k]).max()) for v, truth in zip(here, there, strict=True))
    return found if worst <= CLOSE else None


def _nodes(kinks: Array, rate: float, a: Array, b: Array, rho: Array, sine: Array) -> tuple[Array, Array]:
    """Nodes and weights of the outer integral, a row for each pair."""
    scale = (b * rho)[:, None]
    width = (sine / np.abs(rho))[:, None]
    # M varies around u = k/(b rho), the kinks of g, over the width w/(b |rho|); f breaks at u = k/a.
    smoothed = [k / scale + width * LAYER for k in kinks]
    if rate > 0:  # exponentials decay from the kinks of f
        smoothed += [k / a[:, None] + DECAY / (rate * (a + b))[:, None] for k in kinks]
    uniform = np.broadcast_to(np.linspace(-REACH, REACH, UNIFORM + 1), (len(a), UNIFORM + 1))
    edges = np.sort(np.clip(np.hstack([uniform, kinks / a[:, None], *smoothed]), -REACH, REACH), axis=1)
    x, w = special.roots_legendre(NODES)[:2]
    half = np.diff(edges, axis=1)[:, :, None] / 2
    u = (edges[:, :-1, None] + half * (1 + x)).reshape(len(a), -1)
    return u, (half * w).reshape(len(a), -1) * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)


def _values(function: Any, x: Array) -> Array:
    inside = np.searchsorted([p.high for p in function[:-1]], x, side="right")
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.choose(inside, [p(x) for p in function]))


def _means(known: dict[Site, Any], sites: set[Site], m: Array, w: Array) -> dict[Site, Array]:
    """<g(m + w x)> of every site; truncated moments are shared."""
    total = {site: np.zeros_like(m) for site in sites}
    wanted: dict[tuple[float, float, float], int] = {}
    for site in sites:
        for p in known[site]:
            for _, j, c in p.terms:
                wanted[p.low, p.high, c] = max(j, wanted.get((p.low, p.high, c), 0))
    cumulative: dict[tuple[float, float], Any] = {}  # neighbours share their ends
    for (low, high, c), highest in wanted.items():
        shifted = m + c * w**2  # e^(cz) moves the mean of the Gaussian, and multiplies by <e^(cz)>
        moments = _moments(_end(cumulative, low, c, shifted, w), _end(cumulative, high, c, shifted, w), highest)
        factor = np.exp(np.minimum(c * m + (c * w) ** 2 / 2, 700.0)) if c else 1.0
        for site in sites:
            for p in known[site]:
                for k, j, rate in p.terms:
                    if (p.low, p.high, rate) == (low, high, c):
                        powers = (special.binom(j, i) * shifted ** (j - i) * w**i * moments[i] for i in range(j + 1))
                        total[site] += k * factor * sum(powers)
    return total


def _end(known: dict[tuple[float, float], Any], end: float, c: float, m: Array, w: Array) -> Any:
    """(x, its tail, its density) for an end of a piece, in units of w from m."""
    if np.isinf(end):
        return end, 0.0, 0.0
    if (end, c) not in known:
        x = (end - m) / w
        known[end, c] = x, special.ndtr(-np.abs(x)), np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return known[end, c]


def _moments(low: Any, high: Any, highest: int) -> list[Any]:
    r"""The integrals of x^j times the density: I_0 = Phi(B) - Phi(A), I_1 = phi(A) - phi(B), by parts the others."""
    (A, tail_A, at_A), (B, tail_B, at_B) = low, high
    # I_0 by tails, each beyond its end on the side turned away from zero. Where both ends lie on one side of zero, I_0 is the
    # difference of their tails, which keeps its digits; else it is 1 minus both.
    both_right, both_left = np.greater(A, 0), np.less(B, 0)

    mass = np.where(both_right, tail_A - tail_B, np.where(both_left, tail_B - tail_A, 1 - tail_A - tail_B))

    def ends(power: int) -> tuple[Any, Any]:
        first, second = (at if power == 0 or np.ndim(x) == 0 else x**power * at for x, at in ((A, at_A), (B, at_B)))
        return first, second

    return cut_moments(mass, ends, highest)
