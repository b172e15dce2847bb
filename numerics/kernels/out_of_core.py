r"""Kernel matrices in blocks, for those that do not fit in memory and for more than one process, as Dask arrays.

One plan serves all blocks: the interpolant is made and certified once, for all inputs, and handed to every block as a value. A
block above the diagonal of a symmetric matrix is evaluated once for the block below it too.
"""

from __future__ import annotations

import operator
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...theory.language.checks import check_count
from ...theory.language.extras import needed
from ...theory.networks.architecture import MLP
from ..runs.workers import threads_for
from .kernels import answer, checked
from .pairs import PairMap
from .second import above
from .tiles import EvaluationPlan, InputSide, evaluated, plan_for

Array = NDArray[np.float64]

#: Rows and columns of a block, unless the inputs have chunks of their own: 32 MB for each kernel.
CHUNKS = 2000


def dask_kernel(
    net: MLP,
    X1: ArrayLike | Any,
    X2: ArrayLike | Any = None,
    get: str | Sequence[str] = ("K", "Theta"),
    *,
    chunks: int | None = None,
    workers: int | None = None,
) -> Any:
    r"""The kernels of ``kernel`` as Dask arrays, whose blocks are evaluated when they are asked for.

    Equation
        As ``kernel``.
    Shapes
        X1: (m_1, n_0), X2: (m_2, n_0), by default X1; NumPy or Dask arrays -> Dask arrays (m_1, m_2) in blocks of ``chunks`` rows
        and columns (default: the largest chunk of rows of a Dask X1, else 2000). ``get`` as in ``kernel``.
    Units
        As ``kernel``. A block takes 8 chunks^2 bytes for each kernel, and three times that while it is made.
    Valid
        To the accuracy of ``kernel``. The inputs are held in memory, and all their angles are gone through once, in this call, by
        ``workers`` threads (default: all cores), to find the range of the interpolant; no kernel is stored. Any scheduler
        evaluates blocks: threads, processes, distributed. With ``X2=None`` the block (j, i) is exactly the transpose of (i, j);
        equal inputs have the kernel of one input to the last digit. ``K.to_zarr``, ``dask.array.to_hdf5`` and
        ``dask.array.store`` write block by block.
    Errors
        Those of ``kernel``; ``NotAvailable`` without Dask; ``InvalidArgument`` for ``chunks``.
    Source
        Derived, see ``kernel``.
    """
    da, graphs, tokenize = _dask()
    exact, rows, columns = checked(net, _in_memory(X1), None if X2 is None else _in_memory(X2), get)
    size, threads = _chunks(chunks, X1), threads_for(workers)
    token = tokenize(pickle.dumps(net), rows, columns, X2 is None, exact.names, size)
    sizes = [_sizes(len(inputs), size) for inputs in (rows, columns)]
    plan: PairMap | EvaluationPlan
    one: Side
    other: Side
    if net.ensembles[0].entry is not None and exact.steps and not net.residual:
        plan, one, other = exact, RawSide(rows), RawSide(columns)
    else:
        left = InputSide.of(rows, exact)
        right = left if X2 is None else InputSide.of(columns, exact)
        plan, one, other = plan_for(exact, left, right, threads), left, right
    pairs = _blocks(token, plan, one, other, sizes, X2 is None)
    found = []
    for n, name in enumerate(exact.names):
        graph = graphs.from_collections(f"{name}-{token}", _matrix(f"{name}-{token}", token, n, sizes, X2 is None), ())
        merged = graphs(
            {**graph.layers, f"pairs-{token}": pairs}, {f"{name}-{token}": {f"pairs-{token}"}, f"pairs-{token}": set()}
        )
        found.append(da.Array(merged, f"{name}-{token}", chunks=tuple(map(tuple, sizes)), dtype=np.float64))
    return answer(get, exact, found)


@dataclass(frozen=True, eq=False)
class RawSide:
    """Inputs above which no interpolant is made: those of a first layer that is not Gaussian."""

    inputs: Array

    def part(self, which: slice) -> RawSide:
        """Some of the inputs."""
        return RawSide(self.inputs[which])


Side = InputSide | RawSide


def _dask() -> tuple[Any, Any, Any]:
    with needed("dask_kernel"):
        import dask.array
        from dask.base import tokenize
        from dask.highlevelgraph import HighLevelGraph
    return dask.array, HighLevelGraph, tokenize


def _in_memory(X: Any) -> Any:
    return X.compute() if hasattr(X, "__dask_graph__") else X


def _chunks(chunks: Any, X: Any) -> int:
    if chunks is None:
        return max(X.chunks[0]) if hasattr(X, "__dask_graph__") and hasattr(X, "chunks") else CHUNKS
    return check_count("chunks", chunks, 1)


def _sizes(count: int, size: int) -> list[int]:
    """The rows of the blocks."""
    return [min(size, count - start) for start in range(0, count, size)]


def _blocks(
    token: str, plan: PairMap | EvaluationPlan, left: Side, right: Side, sizes: list[list[int]], symmetric: bool
) -> dict[Any, Any]:
    """The tasks that evaluate all kernels of a block; those of the upper triangle suffice for symmetric matrices."""
    graph: dict[Any, Any] = {f"plan-{token}": plan}
    for name, side, own in (("left", left, sizes[0]), ("right", right, sizes[1])):
        if name == "right" and symmetric:
            continue
        stops = np.cumsum(own)
        graph |= {
            (f"{name}-{token}", i): side.part(slice(stop - n, stop))
            for i, (n, stop) in enumerate(zip(own, stops, strict=True))
        }
    other = "left" if symmetric else "right"
    for i in range(len(sizes[0])):
        for j in range(i if symmetric else 0, len(sizes[1])):
            same = symmetric and i == j
            graph[f"pairs-{token}", i, j] = (
                _evaluated,
                f"plan-{token}",
                (f"left-{token}", i),
                None if same else (f"{other}-{token}", j),
            )
    return graph


def _evaluated(plan: PairMap | EvaluationPlan, left: Any, right: Any) -> list[Array]:
    """The kernels of a block; without a right side it lies on the diagonal."""
    if isinstance(plan, PairMap):
        return above(plan, plan.net, left.inputs, None if right is None else right.inputs, 1)
    return evaluated(plan.exact, left, left if right is None else right, 1, plan)


def _matrix(name: str, token: str, n: int, sizes: list[list[int]], symmetric: bool) -> dict[Any, Any]:
    """The blocks of one kernel."""
    graph: dict[Any, Any] = {}
    for i in range(len(sizes[0])):
        for j in range(len(sizes[1])):
            if symmetric and j < i:
                graph[name, i, j] = (_transposed, (f"pairs-{token}", j, i), n)
            else:
                graph[name, i, j] = (operator.getitem, (f"pairs-{token}", i, j), n)
    return graph


def _transposed(matrices: list[Array], n: int) -> Array:
    return np.asarray(matrices[n].T)
