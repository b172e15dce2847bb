r"""Kernel matrices of infinitely wide networks for thousands of inputs, tile by tile.

The map of a pair of inputs through all layers depends on two norms and an angle (``pairs``). For a matrix of any size one
interpolant of the composed map serves all pairs (``composed``), at a cost that does not grow with depth. Where there is none,
every tile goes through the layers itself, in memory that fits the cache, with closed forms or else by quadrature.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.progress import track
from threadpoolctl import threadpool_limits

from ..theory.architecture import MLP
from ..theory.errors import InvalidArgument, InvalidInput, NotAvailable, NotConverged
from .chebyshev import Interpolant, Range, Sides
from .composed import compose
from .inputs import check_inputs
from .pairs import PairMap, Trajectory, pair_map

Array = NDArray[np.float64]

#: What ``get`` may name, and the quantities behind it.
QUANTITIES = {"nngp": "K", "ntk": "Theta"}
#: Large enough for threads to work beside each other, small enough for the cache; no power of two, which would share cache lines.
TILE = (100, 1000)
#: Fewer pairs than this are not worth an interpolant where averages have closed forms, and where they have none.
WORTH_IT = {True: 100_000, False: 3_000}
#: Maps from layer to layer from which on it pays where averages have a closed form (measured for relu, erf and gelu).
FEWEST_CLOSED = 5
#: Cosines above this may be those of equal inputs.
NEARLY = 1 - 1e-12
#: Pairs of the data at which an interpolant is compared with the map itself; quadrature takes longer.
CHECKED = {True: 100, False: 40}


class Kernels(NamedTuple):
    """The kernels of the last layer."""

    nngp: Array
    ntk: Array


def kernel(
    net: MLP,
    X1: ArrayLike,
    X2: ArrayLike | None = None,
    get: str | Sequence[str] = ("nngp", "ntk"),
    *,
    workers: int | None = None,
) -> Any:
    r"""The kernels of the last layer of an infinitely wide network between all pairs of inputs.

    Equation
        .. math:: K^{(\ell+1)}_{12}=C_b+C_W\langle\sigma_1\sigma_2\rangle_{K^{(\ell)}},\qquad
            \Theta^{(\ell+1)}_{12}=\lambda_b+\lambda_W\langle\sigma_1\sigma_2\rangle
            +C_W\langle\sigma'_1\sigma'_2\rangle\,\Theta^{(\ell)}_{12}
    Shapes
        X1: (m_1, n_0), X2: (m_2, n_0), by default X1 -> (m_1, m_2). ``get``: "nngp" (K), "ntk" (Theta), or both: then a
        named tuple.
    Units
        K is the covariance of a neuron's preactivation, Theta has the learning rates lambda_b and lambda_W/n of ``net``: gradient
        flow on the loss 1/2 sum (f - y)^2 is df/dt = -Theta (f - y).
    Valid
        Infinite width. Relative accuracy 1e-12, compared with the recursions themselves at pairs of the data; equal inputs to
        the last digit. With kinked activations the digits of Theta at nearly parallel inputs are those of the angle. With
        ``X2=None`` the matrix is exactly symmetric, and each triangle is computed once. ``workers`` threads share the work
        (default: all cores); the numbers do not depend on how many.
    Errors
        ``InvalidInput`` for inputs; ``InvalidArgument`` for ``get`` or ``workers``; ``InvalidNetwork`` for hyperparameters that are
        not given; ``NotAvailable`` for networks with skips; ``NotConverged`` where a kernel is not finite.
    Source
        Derived, see ``derive(net, "K")`` and ``derive(net, "Theta")``.
    """
    names = _wanted(get)
    if not isinstance(net, MLP):
        raise InvalidArgument(f"net={net!r} is a {type(net).__name__}; allowed: an MLP")
    rows = check_inputs(X1)
    columns = rows if X2 is None else check_inputs(X2)
    if rows.shape[1] != columns.shape[1]:
        raise InvalidInput(f"X2 has {columns.shape[1]} features and X1 has {rows.shape[1]}; allowed: equal numbers")
    if net.residual:
        raise NotAvailable(f"residual={net.residual}: kernel matrices of networks with skips; allowed: predict")
    exact = pair_map(net, rows.shape[1], ("K", "Theta") if "Theta" in names else ("K",))
    left = Side.of(rows, exact)
    right = left if X2 is None else Side.of(columns, exact)
    matrices = _evaluated(exact, left, right, _threads(workers))
    found = dict(zip(exact.names, matrices, strict=True))
    if isinstance(get, str):
        return found[names[0]]
    return Kernels(**{q: found[n] for q, n in QUANTITIES.items()}) if len(names) == 2 else (found[names[0]],)


def _wanted(get: Any) -> tuple[str, ...]:
    listed = (get,) if isinstance(get, str) else tuple(get) if isinstance(get, Sequence) else ()
    if not listed or len(set(listed)) < len(listed) or any(name not in QUANTITIES for name in listed):
        raise InvalidArgument(f"get={get!r}; allowed: 'nngp', 'ntk', or both: ('nngp', 'ntk')")
    return tuple(QUANTITIES[name] for name in listed)


def _threads(workers: int | None) -> int:
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, Integral) or workers < 1:
        raise InvalidArgument(f"workers={workers!r}; allowed: integers from 1")
    return int(workers)


@dataclass(frozen=True, eq=False)
class Side:
    """The inputs along one side of the matrix: unit vectors, |x|^2/n_0, and what becomes of each input alone."""

    inputs: Array
    units: Array
    squares: Array
    alone: Trajectory

    @staticmethod
    def of(X: Array, exact: PairMap) -> Side:
        """The side of some inputs."""
        norms = np.linalg.norm(X, axis=1)
        units = np.divide(X, norms[:, None], out=np.zeros_like(X), where=norms[:, None] > 0)
        squares = np.einsum("ai,ai->a", X, X) / X.shape[1]
        with np.errstate(all="ignore"):
            alone = exact.trajectory(squares)
        for name, last in zip(exact.names, alone.last, strict=True):
            _check(name, last)
        return Side(X, units, squares, alone)

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Which inputs have preactivations that vanish in some layer."""
        return np.any([d == 0 for d in self.alone.deviations] or [np.zeros(len(self.squares), bool)], axis=0)

    def part(self, which: NDArray[np.bool_]) -> Side:
        """Some of the inputs."""
        alone = Trajectory(tuple(self.alone.part(which)), tuple(last[which] for last in self.alone.last))
        return Side(self.inputs[which], self.units[which], self.squares[which], alone)


def _evaluated(exact: PairMap, left: Side, right: Side, threads: int) -> list[Array]:
    """The matrices, one for each name."""
    if left.silent.any() or right.silent.any():
        return _with_silent(exact, left, right, threads)
    shape, symmetric = (len(left.squares), len(right.squares)), left is right
    matrices = [np.empty(shape) for _ in exact.names]
    tiles = list(_tiles(shape, symmetric))
    equal = list(_equal(left.inputs, right.inputs))
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        cosines = matrices[0]  # they wait where the kernel will be
        ranges = list(pool.map(lambda t: _cosines(cosines, left, right, t), tiles))
        composed = _composed(exact, left, right, ranges, cosines)
        sides = None if composed is None else (composed.left(left.squares), composed.right(right.squares))
        done = pool.map(lambda t: _tile(exact, composed, sides, matrices, left, right, t), tiles)
        # Quadrature of every pair takes long: a terminal then shows how far it is.
        long = composed is None and not exact.closed and sys.stderr.isatty()
        list(track(done, "kernel", len(tiles), console=Console(stderr=True)) if long else done)
    for i, j in equal:
        for matrix, vector in zip(matrices, left.alone.last, strict=True):
            matrix[i, j] = vector[i]
    return matrices


def _with_silent(exact: PairMap, left: Side, right: Side, threads: int) -> list[Array]:
    """Rows and columns of inputs whose preactivations vanish, pair by pair: a kink has the slope of its case there."""
    loud = [~left.silent, ~right.silent]
    rest = left.part(loud[0])
    inner = _evaluated(exact, rest, rest if left is right else right.part(loud[1]), threads)
    i, j = np.nonzero(~np.logical_and.outer(*loud))
    cosines = np.clip(np.einsum("na,na->n", left.units[i], right.units[j]), -1.0, 1.0)
    matrices = []
    for part, values in zip(inner, exact(left.squares[i], right.squares[j], cosines), strict=True):
        matrix = np.empty((len(left.squares), len(right.squares)))
        matrix[np.ix_(*loud)] = part
        matrix[i, j] = values
        matrices.append(matrix)
    return matrices


def _tiles(shape: tuple[int, int], symmetric: bool) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the tiles; those of the upper triangle suffice for a symmetric matrix."""
    for i in range(0, shape[0], TILE[0]):
        for j in range(i if symmetric else 0, shape[1], TILE[1]):
            yield slice(i, min(i + TILE[0], shape[0])), slice(j, min(j + TILE[1], shape[1]))


def _equal(rows: Array, columns: Array) -> Iterator[tuple[int, int]]:
    """The pairs of equal inputs, whose kernels are those of one input to the last digit."""
    places: dict[bytes, list[int]] = {}
    for j, column in enumerate(columns + 0.0):  # -0.0 and 0.0 are equal
        places.setdefault(column.tobytes(), []).append(j)
    for i, row in enumerate(rows + 0.0):
        for j in places.get(row.tobytes(), ()):
            yield i, j


def _cosines(out: Array, left: Side, right: Side, tile: tuple[slice, slice]) -> tuple[float, float]:
    """Write the cosines of a tile; their range, without pairs of equal inputs, of which no interpolant is asked."""
    rows, columns = tile
    block = np.clip(left.units[rows] @ right.units[columns].T, -1.0, 1.0)
    out[rows, columns] = block
    i, j = np.nonzero(block > NEARLY)
    equal = (left.inputs[rows][i] == right.inputs[columns][j]).all(axis=1)
    block[i[equal], j[equal]] = 0.0
    return float(block.min()), float(block.max())


def _composed(
    exact: PairMap, left: Side, right: Side, ranges: list[tuple[float, float]], cosines: Array
) -> Interpolant | None:
    """The interpolant, if it is worth its while and there is one."""
    if cosines.size < WORTH_IT[exact.closed] or (exact.closed and len(exact.steps) < FEWEST_CLOSED):
        return None
    rng = np.random.default_rng(0)
    i = rng.integers(len(left.squares), size=CHECKED[exact.closed])
    j = rng.integers(len(right.squares), size=CHECKED[exact.closed])
    if left is right:
        i, j = np.minimum(i, j), np.maximum(i, j)
    keep = cosines[i, j] <= NEARLY
    sample = left.squares[i[keep]], right.squares[j[keep]], cosines[i[keep], j[keep]]
    low, high = zip(*ranges, strict=True)
    squares = np.concatenate([left.squares, right.squares])
    return compose(exact, squares, Range(min(low), max(high)), sample)


def _tile(
    exact: PairMap,
    composed: Interpolant | None,
    sides: tuple[Sides, Sides] | None,
    matrices: list[Array],
    left: Side,
    right: Side,
    tile: tuple[slice, slice],
) -> None:
    """Evaluate one tile, in place; of a symmetric matrix its mirror image too."""
    rows, columns = tile
    cosine = np.array(matrices[0][rows, columns])
    if composed is not None and sides is not None:
        values = [np.empty_like(cosine) for _ in matrices]
        # Equal inputs lie outside of the range: far out a polynomial overflows. Their kernels are put in at the end.
        np.clip(cosine, composed.cosines.low, composed.cosines.high, out=cosine)
        composed.tile(*sides, cosine, rows, columns, values)
    else:
        values = _through_layers(exact, left, right, rows, columns, cosine)
    for name, matrix, value in zip(exact.names, matrices, values, strict=True):
        _check(name, value)
        if left is right:
            _mirror(matrix, value, rows, columns)
        else:
            matrix[rows, columns] = value


def _through_layers(exact: PairMap, left: Side, right: Side, rows: slice, columns: slice, cosine: Array) -> list[Array]:
    """A tile from layer to layer."""
    if not exact.closed:
        i, j = np.indices(cosine.shape)
        flat = exact(left.squares[rows][i.ravel()], right.squares[columns][j.ravel()], cosine.ravel())
        return [value.reshape(cosine.shape) for value in flat]
    cosine *= np.sqrt(left.squares[rows])[:, None]
    cosine *= np.sqrt(right.squares[columns])
    values = [np.array(v) for v in exact.first(cosine)]
    work = [np.empty_like(cosine) for _ in range(max((s.tile.buffers for s in exact.steps if s.tile), default=0))]
    layers = zip(exact.steps, left.alone.part(rows), right.alone.part(columns), exact.parameters[1:], strict=True)
    with np.errstate(all="ignore"):  # what is not finite is told by name
        for step, row, column, given in layers:
            assert step.tile is not None
            memory = [*values, *work]
            numbers = {p: given[p] for p in step.tile.scalars}
            values = list(step.tile.run(row[:, None], column[None, :], *values, work, **numbers))
            work = [b for b in memory if not any(b is v for v in values)]
    return values


def _mirror(matrix: Array, value: Array, rows: slice, columns: slice) -> None:
    """Write a tile of the upper triangle and its transpose; where it crosses the diagonal, the upper part counts."""
    if columns.start >= rows.stop:
        matrix[rows, columns] = value
        matrix[columns, rows] = value.T
        return
    i, j = np.ogrid[rows, columns]
    upper = np.broadcast_to(i <= j, value.shape)
    np.copyto(matrix[rows, columns], value, where=upper)
    np.copyto(matrix[columns, rows], value.T, where=upper.T)


def _check(name: str, value: Array) -> None:
    if not np.isfinite(value).all():
        raise NotConverged(
            f"{name} is not finite: the recursion grew beyond double precision; use a smaller C_W, or fewer layers"
        )
