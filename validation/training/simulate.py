r"""Literal finite networks, trained by literal gradient descent on their drawn weight matrices.

Nothing here knows a mean-field equation: matrices are drawn, multiplied, differentiated by backpropagation and changed step by
step.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from ...numerics.runs.moments import Moments
from ...numerics.runs.progress import Progress
from ...numerics.runs.results import Result, dataset
from ...numerics.runs.store import stored
from ...numerics.training.data import Data, check_data
from ...numerics.training.results import MEASURED, coordinates
from ...numerics.training.times import Grid, check_times
from ...theory.language.checks import check_count, check_names
from ...theory.language.errors import InvalidArgument, InvalidNetwork
from ...theory.training.observables import FLUCTUATIONS, TRAINING
from ...theory.training.subject import Training
from ..literal.trained import train

Array = NDArray[np.float64]


def simulate_training(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: Any,
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = MEASURED,
    networks: int = 16,
    width: int | None = None,
    seed: int = 0,
    centred: bool = True,
    workers: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Train literal finite networks, and measure what ``predict`` predicts.

    Equation
        :math:`\Phi^\ell_{\mu\alpha}(t,s)=\frac1N\phi(h_\mu(t))\cdot\phi(h_\alpha(s))`, :math:`G^\ell=\frac1N g\cdot g` with
        :math:`g^\ell=\gamma_0N\,\partial f/\partial h^\ell`, and the tangent kernel
        :math:`\gamma_0^2N\sum_\theta\lambda_\theta\partial f\,\partial f`; the
        mean over networks, with ``<name>_stderr`` beside it; N times the variance of f and NTK as ``f_variance``, ``NTK_variance``.
    Shapes
        Those of ``predict``. ``width`` N of all hidden layers: by default that of the network.
    Units
        Those of ``predict``. ``centred``: predictions are :math:`f-f(0)`, as at infinite width f(0) vanishes.
    Valid
        Any width: the numbers are those of width N, and differ from the limit by terms of order 1/N. Gradient flow is extrapolated
        from two steps, network by network.
    Errors
        Those of ``predict``; ``InvalidNetwork`` without a width; ``InvalidArgument`` for gamma = 0, where f is infinite.
    Source
        The definitions.
    """
    data = check_data(flow, X, y, X_test)
    grid = check_times(flow, data, times)
    if flow.gamma == 0:
        raise InvalidArgument("gamma=0 is a limit that no finite network has; allowed: a small positive number")
    N = check_count("width", _width(flow) if width is None else width, 1)
    count = check_count("networks", networks, 2)
    names = tuple(dict.fromkeys(("f", "loss", *check_names("quantities", quantities, MEASURED, "cannot be measured"))))
    grids = (grid, grid.finer()) if flow.continuous else (grid,)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = cores if workers is None else check_count("workers", workers, 1)
    check_count("seed", seed, 0)
    stop = threading.Event()
    moments: dict[int, dict[str, Array]] = {}
    with Progress("simulate", count * sum(g.steps for g in grids), progress) as bar:

        def tick() -> None:
            if stop.is_set():
                raise InterruptedError
            bar.advance()

        def one(number: int) -> dict[str, Array]:
            key = ("simulate", flow, data, grids, names, seed, number, N, centred)

            def compute() -> dict[str, Array]:
                found = [train(flow, data, N, g, names, [seed, number, N], centred, tick) for g in grids]
                return found[0] if len(found) == 1 else {n: 2 * found[1][n] - found[0][n] for n in found[0]}

            return stored(checkpoint, key, compute)

        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(one, number) for number in range(count)]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                for future in futures:
                    if future.done():
                        future.result()
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        moments = {number: future.result() for number, future in enumerate(futures)}
    return _dataset(flow, data, grid, names, [moments[i] for i in range(count)], N, seed)


def _width(flow: Training) -> int:
    widths = flow.net.hidden_widths
    if widths is None:
        raise InvalidNetwork("width=None: only a network of given width can be trained; allowed: an integer from 1")
    if len(set(widths)) > 1:
        raise InvalidNetwork(f"width={widths}: training is scaled by one width; allowed: equal hidden widths")
    return widths[0]


def _dataset(
    flow: Training, data: Data, grid: Grid, names: tuple[str, ...], results: list[dict[str, Array]], N: int, seed: int
) -> xr.Dataset:
    moments = Moments()
    for result in results:
        moments.add(result)
    found = [Result(TRAINING[name], moments.mean[name], moments.stderr(name)) for name in names]
    n = len(results)
    for row in FLUCTUATIONS:
        name = row.name.removesuffix("_variance")
        if name != row.name and name in names and row.dims == TRAINING[name].dims:  # the variance of each entry
            squares = N * np.stack([r[name] - moments.mean[name] for r in results]) ** 2 * n / (n - 1)
            found.append(Result(row, squares.mean(axis=0), squares.std(axis=0, ddof=1) / np.sqrt(n)))
    coords = coordinates(data, np.asarray(grid.kept * grid.rate), flow.hidden_layers or 0, flow.outputs)
    return dataset(
        flow,
        found,
        coords,
        single=flow.outputs == 1,
        source="networks",
        networks=n,
        groups=n,
        seed=seed,
        width=N,
        step=grid.rate,
    )
