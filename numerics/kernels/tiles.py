r"""The engine of kernel matrices: sides of inputs, a plan that serves all pairs, and its evaluation tile by tile.

The plan holds the recursions and, for large matrices, the interpolant of their composition (``composed``). It is made once
for all pairs, and is a value: blocks of one matrix may be evaluated in other threads or processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import NotConverged
from ..averages.chebyshev import Interpolant, Range, Sides
from ..runs.progress import Progress
from ..runs.workers import Tick, mapped, single_blas
from . import angles
from .composed import ACCURACY, QUADRATURE, Pairs, agrees, compose, scales
from .pairs import PairMap, Trajectory

Array = NDArray[np.float64]
Tile = tuple[slice, slice]

#: A tile is large enough for threads to work in parallel and small enough for the cache; powers of two would share cache lines.
TILE = (100, 1000)
#: Tiles whose averages are summed pair by pair: all pairs of a tile share the series of single inputs, so that it is larger.
LARGE = (500, 1000)
#: Fewer pairs than this are not worth an interpolant where averages have closed forms, and where they have none.
WORTH_IT = {True: 50_000, False: 10_000}
#: With closed forms, an interpolant pays from this number of maps between layers on (measured for relu, erf and gelu).
FEWEST_CLOSED = 5
#: Fewer pairs than this are left to quadrature.
FEW = 100
#: Cosines above this may be those of equal inputs.
NEARLY = 1 - 1e-12
#: Pairs of the data at which an interpolant is compared with the map itself, with closed forms and without.
CHECKED = {True: 200, False: QUADRATURE}
#: Inputs of each side whose pairs show the range of nearly all cosines.
DRAWN = 64


@dataclass(frozen=True, eq=False)
class InputSide:
    """The inputs along one side of the matrix: unit vectors, |x|^2/n_0, and the recursions of each input alone."""

    inputs: Array
    units: Array
    squares: Array
    alone: Trajectory

    @staticmethod
    def of(X: Array, exact: PairMap) -> InputSide:
        """The side of some inputs."""
        norms = np.linalg.norm(X, axis=1)
        units = np.divide(X, norms[:, None], out=np.zeros_like(X), where=norms[:, None] > 0)
        squares = np.einsum("ai,ai->a", X, X) / X.shape[1]
        with np.errstate(all="ignore"):
            alone = _alone(exact, squares)
        for name, last in zip(exact.names, alone.last, strict=True):
            _check(name, last)
        return InputSide(X, units, squares, alone)

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Whether each input, or its preactivation in some layer, vanishes: such inputs are not part of a plan."""
        return np.any([d == 0 for d in self.alone.deviations] + [self.squares == 0], axis=0)

    def part(self, which: Any) -> InputSide:
        """Some of the inputs."""
        alone = Trajectory(tuple(self.alone.part(which)), tuple(last[which] for last in self.alone.last))
        return InputSide(self.inputs[which], self.units[which], self.squares[which], alone)


def _alone(exact: PairMap, squares: Array) -> Trajectory:
    """The trajectories of single inputs: of many inputs in bulk, if a few of these agree with quadrature."""
    if not exact.closed and len(squares) > FEW and squares.all():
        found = exact.bulk.trajectory(squares)
        some = np.quantile(squares, np.linspace(0, 1, CHECKED[False]), method="nearest")
        both = zip(exact.bulk.trajectory(some).last, exact.trajectory(some).last, strict=True)
        if all((np.abs(v - truth) <= ACCURACY * np.abs(truth)).all() for v, truth in both):
            return found
    return exact.trajectory(squares)


@dataclass(frozen=True, eq=False)
class EvaluationPlan:
    """How all pairs of two sides are evaluated: by the interpolant, and layer by layer where there is none or beyond its range."""

    exact: PairMap  #: the recursions; without closed forms by adaptive quadrature
    layers: PairMap  #: the map for pairs without interpolant: in bulk, if it agrees with the exact one
    composed: Interpolant | None

    @cached_property
    def by_angle(self) -> bool:
        """Whether kernels of nearly parallel inputs are found by the angle between them."""
        return angles.needed(self.exact)

    @staticmethod
    def of(exact: PairMap, left: InputSide, right: InputSide, cosines: Range) -> EvaluationPlan:
        """The plan for inputs that are not silent, with cosines in this range; certified at a sample of pairs."""
        sample, common = _sample(left, right, CHECKED[exact.closed])
        pairs = len(left.squares) * len(right.squares) // (2 if left is right else 1)
        layers = exact
        if not exact.closed and pairs >= FEW:
            few = sample[0][:QUADRATURE], sample[1][:QUADRATURE], sample[2][:QUADRATURE]
            layers = exact.bulk if agrees(exact, few, exact.bulk(*few), relative=False) else exact
        shallow = exact.closed and len(exact.steps) < FEWEST_CLOSED
        if pairs < WORTH_IT[exact.closed] or shallow or cosines.low > cosines.high:
            return EvaluationPlan(exact, layers, None)
        squares = np.concatenate([left.squares, right.squares])
        return EvaluationPlan(exact, layers, compose(exact, squares, cosines, sample, pairs, common))

    def beyond(self, cosines: Range) -> bool:
        """Whether some of these cosines lie beyond the range of the interpolant."""
        within = None if self.composed is None else self.composed.cosines
        return within is not None and (cosines.low < within.low or cosines.high > within.high)

    def sides(self, left: InputSide, right: InputSide) -> tuple[Sides, Sides] | None:
        """The factors of the interpolant for two sides; None without an interpolant."""
        if self.composed is None:
            return None
        columns = self.composed.columns(right.squares, scales(right.alone.last))
        rows = columns if left is right else self.composed.columns(left.squares, scales(left.alone.last))
        return self.composed.sides(rows, columns)


def plan_for(exact: PairMap, left: InputSide, right: InputSide, workers: int | None) -> EvaluationPlan:
    """The plan for two sides, without a matrix to hold the cosines."""
    symmetric = left is right
    left = left.part(~left.silent)
    right = left if symmetric else right.part(~right.silent)
    tiles = list(_tiles((len(left.squares), len(right.squares)), symmetric))
    ranges = mapped(lambda t, tick: _range(_cosines(left, right, t), left, right, t), tiles, workers=workers)
    return EvaluationPlan.of(exact, left, right, _union(ranges))


def evaluated(
    exact: PairMap,
    left: InputSide,
    right: InputSide,
    workers: int | None,
    plan: EvaluationPlan | None = None,
    progress: bool | None = None,
) -> list[Array]:
    """The matrices, one for each name; ``left is right`` makes them symmetric."""
    if left.silent.any() or right.silent.any():
        return _with_silent(exact, left, right, workers, plan)
    shape, symmetric = (len(left.squares), len(right.squares)), left is right
    matrices = [np.empty(shape) for _ in exact.names]
    tiles = list(_tiles(shape, symmetric))

    def prepare(t: Tile, tick: Tick) -> tuple[float, float]:
        block = _cosines(left, right, t)
        found = _range(block, left, right, t)
        matrices[0][t] = block  # the cosines wait in the memory of the kernel
        return found

    with single_blas:
        whole = _union(mapped(prepare, tiles, workers=workers))
        plan = plan or EvaluationPlan.of(exact, left, right, whole)
        sides = plan.sides(left, right)
        beyond = plan.beyond(whole)
        long = sides is None and not exact.closed
        if long:
            tiles = list(_tiles(shape, symmetric, LARGE))

        def evaluate(t: Tile, tick: Tick) -> None:
            _tile(plan, sides, matrices, left, right, t, beyond=beyond)
            tick()

        # Quadrature of every pair takes long: then it is shown how far it is.
        shown = Progress("kernel", len(tiles), progress if long or progress else False, unit="tiles")
        mapped(evaluate, tiles, workers=workers, progress=shown)
    i, j = _equal(left.inputs, right.inputs)
    for matrix, vector in zip(matrices, left.alone.last, strict=True):
        matrix[i, j] = vector[i]
    return matrices


def _with_silent(
    exact: PairMap, left: InputSide, right: InputSide, workers: int | None, plan: EvaluationPlan | None
) -> list[Array]:
    """Rows and columns of inputs whose preactivations vanish, pair by pair: at z = 0 a kink has the slope of its own case."""
    loud = [~left.silent, ~right.silent]
    rest = left.part(loud[0])
    inner = [np.empty((int(loud[0].sum()), int(loud[1].sum()))) for _ in exact.names]
    if inner[0].size:
        inner = evaluated(exact, rest, rest if left is right else right.part(loud[1]), workers, plan)
    i, j = np.nonzero(~np.logical_and.outer(*loud))
    cosines = np.clip(np.einsum("na,na->n", left.units[i], right.units[j]), -1.0, 1.0)
    matrices = []
    for part, values in zip(inner, exact(left.squares[i], right.squares[j], cosines), strict=True):
        matrix = np.empty((len(left.squares), len(right.squares)))
        matrix[np.ix_(*loud)] = part
        matrix[i, j] = values
        matrices.append(matrix)
    return matrices


def _tiles(shape: tuple[int, int], symmetric: bool, size: tuple[int, int] = TILE) -> Iterator[Tile]:
    """Rows and columns of the tiles; those of the upper triangle suffice for a symmetric matrix."""
    for i in range(0, shape[0], size[0]):
        for j in range(i if symmetric else 0, shape[1], size[1]):
            yield slice(i, min(i + size[0], shape[0])), slice(j, min(j + size[1], shape[1]))


def _equal(rows: Array, columns: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pairs of equal inputs, whose kernels are those of one input to the last digit: rows and columns."""
    both = rows if rows is columns else np.vstack([rows, columns])
    whole = np.ascontiguousarray(both + 0.0)  # -0.0 is 0.0
    # Equal rows have equal hashes: mostly all hashes differ, and then all rows do.
    odd = np.random.default_rng(0).integers(1 << 63, size=both.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    if len(np.unique(whole.view(np.uint64) @ odd)) == len(whole):
        itself = np.arange(len(rows) if rows is columns else 0)
        return itself, itself
    _, kind = np.unique(whole.view(np.dtype((np.void, both.shape[1] * both.itemsize))).ravel(), return_inverse=True)
    first, second = kind[: len(rows)], kind[-len(columns) :]
    order = np.argsort(second, kind="stable")
    low, high = (np.searchsorted(second[order], first, side=side) for side in ("left", "right"))
    many = high - low
    i = np.repeat(np.arange(len(rows)), many)
    return i, order[np.arange(len(i)) + np.repeat(high - np.cumsum(many), many)]


def _cosines(left: InputSide, right: InputSide, tile: Tile) -> Array:
    return np.asarray(left.units[tile[0]] @ right.units[tile[1]].T)


def _range(block: Array, left: InputSide, right: InputSide, tile: Tile) -> tuple[float, float]:
    """The range of the cosines of a tile, rounding cut off; pairs of equal inputs, which need no interpolant, are left out."""
    low, high = float(block.min()), float(block.max())
    if high > 1 or low < -1:
        np.clip(block, -1.0, 1.0, out=block)
        low, high = max(low, -1.0), min(high, 1.0)
    if high <= NEARLY:
        return low, high
    i, j = _where(block > NEARLY)
    block = block.copy()
    block[i, j] = np.where(_same(left, right, tile, i, j), np.nan, block[i, j])
    if np.isnan(block).all():
        return np.inf, -np.inf
    return float(np.nanmin(block)), float(np.nanmax(block))


def _where(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns; where there are few, much faster than ``np.nonzero`` of a matrix."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return rows, columns


def _same(left: InputSide, right: InputSide, tile: Tile, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.bool_]:
    return np.asarray((left.inputs[tile[0]][i] == right.inputs[tile[1]][j]).all(axis=1))


def _union(ranges: list[tuple[float, float]]) -> Range:
    low, high = zip(*ranges, strict=True) if ranges else ((np.inf,), (-np.inf,))
    return Range(min(low), max(high))


def _sample(left: InputSide, right: InputSide, count: int) -> tuple[Pairs, Range]:
    """Random pairs of inputs that are not parallel, and the range of nearly all cosines."""
    rng = np.random.default_rng(0)
    i, j = (rng.integers(len(side.squares), size=max(count, DRAWN)) for side in (left, right))
    block = np.clip(left.units[i[:DRAWN]] @ right.units[j[:DRAWN]].T, -1.0, 1.0)
    some = block[block <= NEARLY]
    common = Range(float(some.min(initial=1.0)), float(some.max(initial=-1.0)))
    i, j = i[:count], j[:count]
    cosines = np.clip(np.einsum("na,na->n", left.units[i], right.units[j]), -1.0, 1.0)
    keep = cosines <= NEARLY
    return (left.squares[i[keep]], right.squares[j[keep]], cosines[keep]), common


def _tile(
    plan: EvaluationPlan,
    sides: tuple[Sides, Sides] | None,
    matrices: list[Array],
    left: InputSide,
    right: InputSide,
    tile: Tile,
    *,
    beyond: bool,
) -> None:
    """Evaluate one tile, in place; of a symmetric matrix its mirror image too. ``beyond``: pairs may lie beyond the interpolant."""
    rows, columns = tile
    # Large tiles that cross the diagonal hold pairs whose cosines have not been written, those of the mirror image.
    large = sides is None and not plan.exact.closed
    cosine = (
        np.clip(_cosines(left, right, tile), -1.0, 1.0) if large else matrices[0][rows, columns]
    )  # read before it is written
    # before the memory of the cosines is used again
    lost = angles.lost(cosine, np.ones(len(cosine)), np.ones(cosine.shape[1])) if plan.by_angle else None
    if plan.composed is not None and sides is not None:
        values = list(plan.composed.tile(*sides, cosine, rows, columns))
        if beyond:
            _beyond(plan, values, cosine, left, right, tile)
    else:
        values = _through_layers(plan.layers, left.part(rows), right.part(columns), cosine)
    if lost is not None:
        _nearly_parallel(plan, values, lost, left.part(rows), right.part(columns))
    for name, matrix, value in zip(plan.exact.names, matrices, values, strict=True):
        _check(name, value)
        if left is right:
            _mirror(matrix, value, rows, columns)
        else:
            matrix[rows, columns] = value


def _beyond(
    plan: EvaluationPlan, values: list[Array], cosine: Array, left: InputSide, right: InputSide, tile: Tile
) -> None:
    """The pairs beyond the range of the interpolant, through the layers."""
    assert plan.composed is not None
    within = plan.composed.cosines
    if cosine.max() <= within.high and cosine.min() >= within.low:
        return
    i, j = _where((cosine > within.high) | (cosine < within.low))
    other = ~_same(left, right, tile, i, j)  # kernels of equal inputs are put in at the end
    i, j = i[other], j[other]
    if len(i):
        rows, columns = left.part(tile[0]), right.part(tile[1])
        overlap = cosine[i, j] * np.sqrt(rows.squares[i] * columns.squares[j])
        found = plan.layers.along(rows.alone.part(i), columns.alone.part(j), overlap)
        for value, part in zip(values, found, strict=True):
            value[i, j] = part


def _nearly_parallel(
    plan: EvaluationPlan, values: list[Array], lost: tuple[Any, Any], left: InputSide, right: InputSide
) -> None:
    """Pairs whose angle a covariance has lost, at the first layer or at the last, by the angle."""
    row, column = (np.sqrt(side.alone.last[0]) for side in (left, right))
    i, j = map(np.concatenate, zip(lost, angles.lost(values[0], row, column), strict=True))
    other = ~(left.inputs[i] == right.inputs[j]).all(axis=1)  # kernels of equal inputs are put in at the end
    if other.any():
        i, j = np.unique([i[other], j[other]], axis=1)
        units, squares = (left.units[i], right.units[j]), (left.squares[i], right.squares[j])
        found = angles.along(plan.layers, left.alone.part(i), right.alone.part(j), units, squares)
        for n, part in enumerate(found):
            values[n] = np.array(values[n])  # it may be a view that is not to be written
            values[n][i, j] = part


def _through_layers(exact: PairMap, left: InputSide, right: InputSide, cosine: Array) -> list[Array]:
    """A tile from layer to layer."""
    if not exact.closed:
        i, j = (n.ravel() for n in np.indices(cosine.shape))
        overlap = cosine.ravel() * np.sqrt(left.squares[i] * right.squares[j])
        flat = exact.along(left.alone.part(i), right.alone.part(j), overlap)
        return [np.reshape(value, cosine.shape) for value in flat]
    cosine = cosine * np.sqrt(left.squares)[:, None]
    cosine *= np.sqrt(right.squares)
    values = [np.array(v) for v in exact.first(cosine)]
    buffers = max((s.tile.buffers for s in exact.steps if s.tile), default=0)
    work = [np.empty_like(cosine) for _ in range(buffers)]
    layers = zip(exact.steps, left.alone.deviations, right.alone.deviations, exact.parameters[1:], strict=True)
    fields = []
    with np.errstate(all="ignore"):  # a kernel that is not finite is refused by name
        for step, row, column, given in layers:
            assert step.tile is not None
            if exact.net.residual:  # fields of all layers are kept; else their memory is used again
                fields.append(values)
                values, work = exact.handed_on(fields), [np.empty_like(cosine) for _ in range(buffers)]
            memory = [*values, *work]
            numbers = {p: given[p] for p in step.tile.scalars}
            values = list(step.tile.run(row[:, None], column[None, :], *values, work, **numbers))
            work = [b for b in memory if not any(b is v for v in values)]
    return exact.handed_on([*fields, values])


def _mirror(matrix: Array, value: Array, rows: slice, columns: slice) -> None:
    """Write a tile of the upper triangle and its transpose; where it crosses the diagonal, the upper part counts."""
    if columns.start == rows.start:  # a tile begins on the diagonal, or lies above it
        value, square = value.copy(), np.triu(value[:, : len(value)])
        value[:, : len(value)] = square + np.triu(square, 1).T
    matrix[rows, columns] = value
    matrix[columns, rows] = value.T


def _check(name: str, value: Array) -> None:
    with np.errstate(all="ignore"):  # a sum is finite only if all terms are, and costs less; it may overflow by itself
        finite = np.isfinite(value.sum()) or np.isfinite(value).all()
    if not finite:
        raise NotConverged(
            f"{name} is not finite: the recursion grew beyond double precision; allowed: a smaller C_W, or fewer layers"
        )
