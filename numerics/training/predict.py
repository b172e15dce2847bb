"""Predictions for a network in training: the derived equations, solved for data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from ...theory.language.checks import check_count, check_names, check_seed
from ...theory.language.errors import InvalidArgument
from ...theory.networks.architecture import smooth
from ...theory.training.dynamics import Dynamics, dynamics
from ...theory.training.observables import TRAINING
from ...theory.training.subject import Training
from ..runs.moments import Moments
from ..runs.progress import Progress
from ..runs.results import Result, dataset
from ..runs.store import stored
from .causal import Problem
from .data import Data, check_data, losses_of
from .problem import check_memory, following, problem_of
from .results import MEASURED, QUANTITIES, coordinates, padded
from .solve import _solve, grids_of, power_of_two
from .times import Grid, check_times

Array = NDArray[np.float64]

#: Of linear algebra: products here are small, and threads of two libraries wait for each other.
THREADS = 1


def predict_training(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: int | float | Sequence[float],
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = MEASURED,
    samples: int = 4096,
    replicas: int = 8,
    seed: int = 0,
    equations: Dynamics | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Predictions, losses and kernels of training at infinite width, from the derived equations.

    Equation
        The system of ``derive(flow)``: :math:`f_\mu(t)`, :math:`\mathcal L(t)`, :math:`\Phi^\ell_{\mu\alpha}(t,s)`,
        :math:`G^\ell_{\mu\alpha}(t,s)`, :math:`K^{\mathrm{NTK}}_{\mu\alpha}(t)`, and on request the responses A, B.
    Shapes
        X (P, n_0); y (P,), or (P, K) for K outputs; X_test (any, n_0): samples that are predicted and not trained on, which
        follow those of X. ``times``: for gradient descent the number of *steps*, or increasing steps to keep (the axis of the
        result is steps times the learning rate); for gradient flow the last time, or increasing times. f (time, sample), Phi and
        G (layer, time, sample, time2, sample2), NTK (time, sample, sample2), with ``output`` axes in front of ``sample`` if there
        are several; layers 1 ... L.
    Units
        Time is steps times the learning rate. The loss is a sum over the samples of X.
    Valid
        Infinite width. Linear networks: to rounding (``attrs["exact"]``). Others: averages over ``samples`` sites (rounded up to
        a power of two) of each layer in ``replicas`` independent solutions, whose spread is ``<name>_stderr``; Student's t with
        replicas - 1 degrees of freedom. A replica has a bias of order 1/samples, as a network of that width has. Gradient flow is
        extrapolated from two steps, whose difference is ``<name>_step_error``. gamma = 0 is solved as gamma = 1e-5.
    Errors
        ``InvalidInput`` for X and y; ``InvalidArgument`` for times, step sizes beyond stability, memory that is not there;
        ``NotConverged`` with the losses if training diverges.
    Source
        Derived; Bordelon & Pehlevan (arXiv:2205.09653).
    """
    data = check_data(flow, X, y, X_test)
    names = tuple(dict.fromkeys(("f", "loss", *check_names("quantities", quantities, QUANTITIES))))
    grid = check_times(flow, data, times)
    for name in {"A", "B"} & set(names):
        if flow.hidden_layers == 1:
            raise InvalidArgument(
                f"quantities={quantities!r}: one hidden layer has no {name}; allowed: {', '.join(MEASURED)}"
            )
    found = equations or dynamics(flow)
    replicas, seed = check_count("replicas", replicas, 2), check_seed(seed)
    samples = power_of_two("samples", samples, data, flow)
    grids = grids_of(flow, data, grid, found)
    problems = [problem_of(flow, found, data, g, samples) for g in grids]
    if {"A", "B"} & set(names) and smooth(flow.net):
        problems = [following(p) for p in problems]
    problem = problems[-1]
    gib = check_memory(problem)
    solve = partial(_solve, problem=problem, data=data, flow=flow)
    runs, moments = 1 if problem.exact else replicas, Moments()
    work = runs * sum(g.steps for g in grids)
    with Progress(f"predict, {gib:.2g} GiB", work, progress) as bar, threadpool_limits(THREADS, user_api="blas"):
        for number in range(runs):
            key = ("predict", flow, data, grids, names, seed, number, samples, problem.followed, problem.sites.source)
            compute = partial(_replica, solve, grids, names, seed, number, losses_of(flow, data), bar.advance)
            moments.add(stored(checkpoint, key, compute))
    return _dataset(flow, data, grids[0], names, moments, problem, seed)


def _replica(
    solve: Callable[..., dict[str, Array]],
    grids: Sequence[Grid],
    names: tuple[str, ...],
    seed: int,
    number: int,
    losses: Callable[[Array], Array],
    tick: Callable[[], None],
) -> dict[str, Array]:
    """One independent solution; for gradient flow of two steps with the same random numbers, extrapolated."""
    results = [solve(grid=g, names=names, rng=np.random.default_rng([seed, number]), tick=tick) for g in grids]
    if len(results) == 1:
        return results[0]
    coarse, fine = results
    values = {name: 2 * fine[name] - coarse[name] for name in fine}
    values["loss"] = losses(values["f"])  # of the extrapolated predictions: an extrapolated loss may be negative
    return values | {f"{name}_step_error": np.abs(fine[name] - coarse[name]) for name in fine}


def _dataset(
    flow: Training, data: Data, grid: Grid, names: tuple[str, ...], moments: Moments, problem: Problem, seed: int
) -> xr.Dataset:
    results = []
    for name in (n for n in names if n in moments.mean):
        step = padded(name, moments.mean[f"{name}_step_error"]) if flow.continuous else None
        results.append(
            Result(TRAINING[name], padded(name, moments.mean[name]), padded(name, moments.stderr(name)), step)
        )
    coords = coordinates(data, np.asarray(grid.kept * grid.rate), problem.layers, flow.outputs)
    return dataset(
        flow, results, coords, single=flow.outputs == 1, source="theory", exact=int(problem.exact), replicas=moments.count,
        samples=problem.samples, seed=seed, step=grid.rate,
    )  # fmt: skip
