r"""The joint distribution of a first layer's preactivations at some inputs, as points with weights.

.. math:: z_a=\sum_jc_{aj}w_j+\sqrt{C_b}\,\beta,\qquad \langle F(z)\rangle=\sum_sp_s\,F(z_s)

Entries of finitely many values: their combinations, one after the other, equal sums joined. Entries with a density: nested rules of
Gauss and Legendre, which end wherever an activation changes its formula: on the innermost axis at the planes :math:`z_a=` kink
themselves, on the next at the lines in which two of these planes meet, or one of them a face of the box, and so on outward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.special import roots_legendre

from ...theory.language.symbols import z
from ...theory.networks.entries import Density, EntryLaw, Values

Array = NDArray[np.float64]

#: The most points: combinations of finitely many values, and nodes of nested rules.
COMBINATIONS, NODES = 1 << 17, 1 << 21
#: Panels on each axis and nodes on each panel, from coarse to fine.
LEVELS = ((1, 12), (1, 16), *((2**k, 16) for k in range(1, 12)))
#: Standard deviations of a bias that are integrated, and panels there for one panel of a bounded entry.
REACH, WIDER = 9.0, 6
#: Sums that differ by less, relative to the largest, are one number.
EQUAL = 1e-13


@dataclass(frozen=True, eq=False)
class Points:
    """Preactivations (inputs, points) and their weights (points,)."""

    z: Array
    p: Array


@dataclass(frozen=True)
class WeightAxis:
    """A random number that is integrated: its range, its density, panels for one panel of others, and whether it ends abruptly."""

    low: float
    high: float
    density: Callable[[Array], Array]
    panels: int
    faces: bool


#: The bias of a neuron, in standard deviations.
BIAS = WeightAxis(-REACH, REACH, lambda x: np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), WIDER, False)


def points(columns: Array, entry: EntryLaw, bias: float, kinks: Sequence[float], level: int) -> Points | None:
    """The points for the coefficients (inputs, entries), at a level of ``LEVELS``; None if there are too many.

    ``kinks`` are those of the functions that are averaged.
    """
    if isinstance(entry, Density):
        axes = [_axis(entry)] * columns.shape[1]
        if bias:
            columns, axes = np.hstack([columns, np.full((len(columns), 1), bias)]), [*axes, BIAS]
        return _nested(columns, axes, kinks, level)
    found = _combined(columns, entry)
    if found is None or not bias:
        return None if found is None else _on_kinks(found, kinks)
    breaks = (np.array(kinks)[:, None, None] - found.z).reshape(-1, len(found.p)).T / bias
    split = _split(breaks, BIAS, level, len(found.p))
    if split is None:
        return None
    rows, nodes, weights = split
    return Points(found.z[:, rows] + bias * nodes, found.p[rows] * weights)


@lru_cache(maxsize=16)
def _axis(entry: Density) -> WeightAxis:
    end, density = float(entry.end), sp.lambdify(z, entry.expr, "numpy")
    return WeightAxis(-end, end, lambda x: np.broadcast_to(density(x), x.shape), 1, True)


def _combined(columns: Array, entry: Values) -> Points | None:
    """The sums of all combinations of values."""
    values, chances = (np.array([float(v) for v in given]) for given in (entry.values, entry.probabilities))
    sums: Array
    p: Array
    sums, p = np.zeros((len(columns), 1)), np.ones(1)
    grid = EQUAL * max(1e-300, float(np.abs(columns).sum(axis=1).max(initial=0.0)))
    for column in columns.T:
        sums = (sums[:, :, None] + np.multiply.outer(column, values)[:, None, :]).reshape(len(columns), -1)
        p = np.multiply.outer(p, chances).ravel()
        _, first, back = np.unique(np.rint(sums / grid), axis=1, return_index=True, return_inverse=True)
        sums, p = sums[:, first], np.asarray(np.bincount(back.ravel(), p), dtype=np.float64)
        if len(p) > COMBINATIONS:
            return None
    return Points(sums, p)


def _on_kinks(found: Points, kinks: Sequence[float]) -> Points:
    """Sums that are a kink but for rounding are on it."""
    z, scale = found.z.copy(), float(np.abs(found.z).max(initial=0.0))
    for kink in kinks:
        z[np.abs(z - kink) <= EQUAL * (abs(kink) + scale)] = kink
    return Points(z, found.p)


def _nested(columns: Array, axes: Sequence[WeightAxis], kinks: Sequence[float], level: int) -> Points | None:
    """Rules within rules, the last axis innermost."""
    planes = [(np.repeat(columns, len(kinks), axis=0), np.tile(np.asarray(kinks, dtype=float), len(columns)))]
    for i in range(len(axes) - 1, 0, -1):
        planes.append(_projected(*planes[-1], i, axes[i]))
    at, p = np.zeros((1, 0)), np.ones(1)
    for i, (axis, (normals, offsets)) in enumerate(zip(axes, reversed(planes), strict=True)):
        own = normals[:, i] != 0
        breaks = (offsets[own] - at @ normals[own, :i].T) / normals[own, i]
        split = _split(breaks, axis, level, len(at))
        if split is None:
            return None
        rows, nodes, weights = split
        at, p = np.column_stack([at[rows], nodes]), p[rows] * weights
    return Points(columns @ at.T, p)


def _projected(normals: Array, offsets: Array, i: int, axis: WeightAxis) -> tuple[Array, Array]:
    """The planes, in the axes before i, on which integrals along axis i may break: where two planes meet, or one meets a face."""
    along = normals[:, i] != 0
    rest, shifts = [normals[~along, :i]], [offsets[~along]]
    normal, offset = normals[along] / normals[along, i, None], offsets[along] / normals[along, i]
    first, second = np.triu_indices(len(normal), 1)
    rest.append(normal[first, :i] - normal[second, :i])
    shifts.append(offset[first] - offset[second])
    for end in (axis.low, axis.high) if axis.faces else ():
        rest.append(normal[:, :i])
        shifts.append(offset - end)
    found = np.column_stack([np.vstack(rest), np.concatenate(shifts)])
    size = np.abs(found[:, :-1]).max(axis=1, initial=0.0)
    found = found[size > EQUAL] / size[size > EQUAL, None]
    lead = np.take_along_axis(found, (found != 0).argmax(axis=1)[:, None], axis=1)
    found *= np.where(lead < 0, -1.0, 1.0)
    _, kept = np.unique(np.rint(found / EQUAL), axis=0, return_index=True)
    return found[kept, :-1], found[kept, -1]


def _split(breaks: Array, axis: WeightAxis, level: int, count: int) -> tuple[NDArray[np.intp], Array, Array] | None:
    """Nodes and weights on an axis for each of the points outside, between breaks of its own: rows, nodes, weights."""
    panels, order = LEVELS[level]
    even = np.linspace(axis.low, axis.high, panels * axis.panels + 1)
    edges = np.hstack([np.broadcast_to(even, (count, len(even))), np.clip(breaks, axis.low, axis.high)])
    edges.sort(axis=1)
    low, half = edges[:, :-1], np.diff(edges, axis=1) / 2
    rows, which = np.nonzero(half > EQUAL * (axis.high - axis.low))
    if len(rows) * order > NODES:
        return None
    x, w = _legendre(order)
    low, half = low[rows, which, None], half[rows, which, None]
    nodes = low + half * (1 + x)
    return np.repeat(rows, order), nodes.ravel(), (half * w * axis.density(nodes)).ravel()


@lru_cache(maxsize=4)
def _legendre(order: int) -> tuple[Array, Array]:
    x, w = roots_legendre(order)
    return x, w
