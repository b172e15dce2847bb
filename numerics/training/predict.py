"""Predictions for a network in training: the derived equations, solved for data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from ...theory.language.checks import check_count, check_names, check_seed
from ...theory.language.errors import InvalidArgument
from ...theory.networks.architecture import smooth
from ...theory.training.dynamics import Dynamics
from ...theory.training.observables import RESPONSES, TRAINING
from ...theory.training.subject import Training
from ..runs.costs import Cost, check_hours
from ..runs.moments import RunningMoments
from ..runs.progress import Progress
from ..runs.results import Result, dataset
from ..runs.store import Store
from .causal import Problem
from .problem import check_memory, following, problem_of, seconds
from .question import Question, question
from .results import MEASURED, QUANTITIES, coordinates, padded
from .solve import power_of_two, solve

Array = NDArray[np.float64]

#: Threads of linear algebra: products here are small, and threads of two libraries wait for each other.
THREADS = 1
#: The share of the sites, and of the replicas, whose means show how results depend on the number of sites.
FEWER, PILOTS = 8, 2


def predict_training(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: ArrayLike,
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = MEASURED,
    samples: int = 4096,
    replicas: int = 8,
    seed: int = 0,
    equations: Dynamics | None = None,
    hours: float | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Predictions, losses and kernels of training at infinite width, from the derived equations.

    Equation
        The system of ``derive(flow)``: :math:`f_\mu(t)`, :math:`\mathcal L(t)`, :math:`\Phi^\ell_{\mu\alpha}(t,s)`,
        :math:`G^\ell_{\mu\alpha}(t,s)`, :math:`\Theta_{\mu\alpha}(t)`, and on request the responses A, B.
    Shapes
        X (P, n_0); y (P,), or (P, K) for K outputs; X_test (any, n_0): samples that are predicted and not trained on, which
        follow those of X. ``times``: for gradient descent the number of *steps*, or increasing steps to keep (the axis of the
        result is steps times the learning rate); for gradient flow the last time, or increasing times. f (time, sample), Phi and
        G (layer, time, sample, time2, sample2), Theta (time, sample, sample2), with ``output`` axes in front of ``sample`` if there
        are several; layers 1 ... L.
    Units
        Time is steps times the learning rate. The loss is a sum over the samples of X.
    Valid
        Infinite width. Linear networks: to rounding (``attrs["exact"]``). Others: averages over ``samples`` sites (rounded up to
        a power of two) of each layer in ``replicas`` independent solutions. ``<name>_stderr`` is the root of two squares: of their
        spread, Student's t with replicas - 1 degrees of freedom; and of their bias of order 1/samples, as a network of that width
        has, estimated from half as many solutions with an eighth of the sites. Gradient flow is
        extrapolated from two steps, whose difference is ``<name>_step_error``. gamma = 0 is solved as gamma = 1e-5.
    Errors
        ``InvalidInput`` for X and y; ``InvalidArgument`` for times; ``TooCostly`` for memory that is not there, or more than
        ``hours`` on one core (by default one); ``NotConverged`` with the losses if training diverges. Warns
        (``StabilityWarning``) of a learning rate at which the lazy limit is unstable.
    Source
        Derived; Bordelon & Pehlevan (arXiv:2205.09653).
    """
    asked = question(flow, X, y, times=times, X_test=X_test, equations=equations)
    return predicted(
        asked,
        quantities=quantities,
        samples=samples,
        replicas=replicas,
        seed=seed,
        hours=hours,
        checkpoint=checkpoint,
        progress=progress,
    )


def predicted(
    asked: Question,
    *,
    quantities: str | Sequence[str] = MEASURED,
    samples: int = 4096,
    replicas: int = 8,
    seed: int = 0,
    hours: float | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """The answer of the theory to a question."""
    flow, data, grids = asked.flow, asked.data, asked.grids
    names = tuple(dict.fromkeys(("f", "loss", *check_names("quantities", quantities, QUANTITIES))))
    responses = {row.name for row in RESPONSES} & set(names)
    for name in responses:
        if flow.hidden_layers == 1:
            raise InvalidArgument(
                f"quantities={quantities!r}: one hidden layer has no {name}; allowed: {', '.join(MEASURED)}"
            )
    replicas, seed = check_count("replicas", replicas, 2), check_seed(seed)
    samples = power_of_two("samples", samples, data, flow)
    problem = problem_of(flow, asked.equations, data, grids[-1], samples)
    if responses and smooth(flow.net):
        problem = following(problem)
    runs = [(problem, 1 if problem.exact else replicas), *_pilots(asked, problem, replicas)]
    time = sum(count * seconds(replace(p, steps=grid.steps)) for p, count in runs for grid in grids)
    cost = Cost(time, check_memory(problem))
    cost.check("predict", hours=check_hours(hours), allowed="fewer steps, inputs, replicas= or samples=")
    found = []
    with (
        Progress("predict", asked.steps * sum(count for _, count in runs), progress, cost=cost) as bar,
        threadpool_limits(THREADS, user_api="blas"),
    ):
        for p, count in runs:
            store, moments = _store(checkpoint, asked, names, p, seed), RunningMoments()
            for number in range(count):
                moments.add(store(number, partial(_replica, asked, p, names, [seed, number], bar.advance)))
            found.append(moments)
    return _dataset(asked, names, found, problem, seed)


def _pilots(asked: Question, problem: Problem, replicas: int) -> list[tuple[Problem, int]]:
    """A few solutions with fewer sites, whose means differ by the bias of order 1/sites; none where so few sites are not enough."""
    sites = problem.samples // FEWER
    if problem.exact or sites <= len(asked.data.inputs) + asked.flow.outputs + 1:
        return []
    return [(replace(problem, samples=sites), max(2, replicas // PILOTS))]


def _store(
    checkpoint: str | Path | None, asked: Question, names: tuple[str, ...], problem: Problem, seed: int
) -> Store:
    p = problem
    return Store(checkpoint, ("predict", asked.key, names, seed, p.samples, p.followed, p.sites.source))


def _error(name: str, found: Sequence[RunningMoments]) -> Array:
    """The standard error, and the bias of finitely many sites as far as a few solutions with fewer sites show it."""
    main, *pilots = found
    bias = [(pilot.mean[name] - main.mean[name]) / (FEWER - 1) for pilot in pilots]
    return np.asarray(np.sqrt(sum((b**2 for b in bias), main.stderr(name) ** 2)))


def _replica(
    asked: Question, problem: Problem, names: tuple[str, ...], seed: Sequence[int], tick: Callable[[], None]
) -> dict[str, Array]:
    """One independent solution; for gradient flow of two steps with the same random numbers, extrapolated."""
    each = partial(solve, problem=problem, data=asked.data, flow=asked.flow, names=names, tick=tick)
    answers = [each(grid=grid, rng=np.random.default_rng(seed)) for grid in asked.grids]
    found = asked.extrapolated(answers)
    if not asked.flow.continuous:
        return found
    coarse, fine = answers
    return found | {f"{name}_step_error": np.abs(fine[name] - coarse[name]) for name in fine}


def _dataset(
    asked: Question, names: tuple[str, ...], found: Sequence[RunningMoments], problem: Problem, seed: int
) -> xr.Dataset:
    flow, results, moments = asked.flow, [], found[0]
    for name in (n for n in names if n in moments.mean):
        step = padded(name, moments.mean[f"{name}_step_error"]) if flow.continuous else None
        results.append(
            Result(TRAINING[name], padded(name, moments.mean[name]), padded(name, _error(name, found)), step)
        )
    coords = coordinates(asked.data, asked.times, problem.layers, flow.outputs)
    given: dict[str, Any] = {} if asked.given is None else {"equations": "given in the place of the derived ones"}
    return dataset(
        flow, results, coords, single=flow.outputs == 1, source="theory", exact=int(problem.exact), replicas=moments.count,
        samples=problem.samples, seed=seed, step=asked.step, **given,
    )  # fmt: skip
