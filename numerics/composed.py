r"""The composed map of all layers as one interpolant in two norms and a cosine, at a cost that does not grow with depth.

The degrees are raised until the tails of the series vanish, and the interpolant is compared with the recursions themselves at
pairs of the data. Where that fails there is no interpolant, and the caller does without.

Where averages have no closed form, the map at the nodes is made of interpolated averages: the average itself is a function of two
variances and a correlation, the same in all layers with one activation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .chebyshev import ACCURACY, Interpolant, Range, fit
from .equispaced import averages_on_grid
from .pairs import PairMap, Step

Array = NDArray[np.float64]


def compose(exact: PairMap, squares: Array, cosines: Range, sample: tuple[Array, Array, Array]) -> Interpolant | None:
    """The interpolant for inputs with these |x|^2/n_0 and cosines, checked at a sample of pairs; None if there is none."""
    ends = np.array([squares.min(), squares.max()])
    tabled = exact if exact.closed else _with_tables(exact, ends) or exact
    low, high = np.log(ends)
    found = fit(lambda s, c: _on_nodes(tabled, s, c), Range(float(low), float(high)), cosines)
    return found if found is not None and _agrees(found, sample, exact(*sample)) else None


def _on_nodes(exact: PairMap, s: Array, c: Array) -> list[Array]:
    """The kernels at all nodes, (p, p, d); they are symmetric in the norms."""
    i, j = np.triu_indices(len(s))
    values = []
    for flat in exact(np.repeat(s[i], len(c)), np.repeat(s[j], len(c)), np.tile(c, len(i))):
        full = np.empty((len(s), len(s), len(c)))
        full[i, j] = full[j, i] = np.reshape(flat, (len(i), len(c)))
        values.append(full)
    return values


def _with_tables(exact: PairMap, ends: Array) -> PairMap | None:
    """The map with interpolated averages, for inputs between two norms; None if an activation has no table."""
    # Between the ends the kernel of a layer is taken to be between those of more inputs than two, with a margin.
    spread = np.geomspace(ends[0], ends[1], 9) if ends[1] > ends[0] else ends[:1]
    deviations = exact.trajectory(spread).deviations
    tables: dict[Step, Interpolant | None] = {}
    for step in dict.fromkeys(exact.steps):
        if step.tile is None:
            mine = np.concatenate([d for s, d in zip(exact.steps, deviations, strict=True) if s == step])
            tables[step] = _table(step, np.log(mine.min() ** 2) - 1e-3, np.log(mine.max() ** 2) + 1e-3)
    if any(table is None for table in tables.values()):
        return None
    return replace(exact, steps=tuple(_tabled(step, tables.get(step)) for step in exact.steps))


def _tabled(step: Step, table: Interpolant | None) -> Step:
    return step if table is None else replace(step, table=table.pairs)


def _table(step: Step, low: float, high: float) -> Interpolant | None:
    """The averages of a layer as functions of two variances, between e^low and e^high, and a correlation."""
    if step.activation.kinks:
        return None  # an equispaced rule asks for smooth functions
    return fit(
        lambda s, c: averages_on_grid(step.sigma, np.sqrt(s), c, step.orders), Range(low, high), Range(-1.0, 1.0)
    )


def _agrees(found: Interpolant, sample: tuple[Array, Array, Array], reference: list[Array]) -> bool:
    values = found.pairs(*sample)
    scales = [np.maximum(np.abs(truth), 1e-3 * np.abs(truth).max(initial=0.0)) for truth in reference]
    return all(
        bool((np.abs(v - truth) <= ACCURACY * scale).all())
        for v, truth, scale in zip(values, reference, scales, strict=True)
    )
