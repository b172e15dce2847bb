"""Predictions of how networks in training scatter at finite width, and of how their means move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from ...theory.language.checks import check_count, check_names, check_seed
from ...theory.language.errors import InvalidArgument, NotAvailable
from ...theory.networks.architecture import kinked
from ...theory.training.dynamics import Dynamics
from ...theory.training.observables import FLUCTUATIONS, TRAINING
from ...theory.training.subject import Training
from ..runs.costs import check_hours
from ..runs.moments import RunningMoments
from ..runs.progress import Progress
from ..runs.results import Result, dataset
from ..runs.store import Store
from ..training.data import loss_derivative, losses_of
from ..training.question import Question, question
from ..training.results import MEASURED, coordinates
from .lazy import is_closed, lazy_fluctuations
from .one_layer import Options
from .plans import planned
from .resampled import DRAW
from .routes import DRAWS, SHIFTS, PreparedRoute

Array = NDArray[np.float64]
#: Results with their standard errors; draws have none.
Values = dict[str, tuple[Array, Array | None]]
CLOSED = frozenset({"f_variance", "f_covariance", "Theta_variance"})
KERNELS = ("Theta", "Phi", "G")
QUANTITIES = ("f", *KERNELS, *SHIFTS)


def fluctuations(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: ArrayLike,
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = ("f", "Theta", "f1", "loss1"),
    centred: bool = True,
    samples: int | None = None,
    directions: int | None = None,
    draws: str | Sequence[str] = (),
    replicas: int = 8,
    seed: int = 0,
    equations: Dynamics | None = None,
    hours: float | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Fluctuations over initialisations and shifts of the mean, to leading order in 1/N.

    Equation
        .. math:: N\,\mathrm{Cov}(q,q)=(1-J)^{-1}S(1-J)^{-\top},\qquad
            E f=f_\infty+\tfrac1Nf_1,\qquad E\mathcal L=\mathcal L_\infty+\tfrac1N\mathcal L_1

        with S the covariance of one neuron's contribution to the averages q, and J the response of the averages to themselves. With
        several hidden layers the averages are the Gram matrices of activities and gradients, and the elements of the matrices
        between layers (``numerics.fluctuations.interfaces``), which stand for A and B.
        The shifts of several hidden layers, and all results where an activation has a kink there, come from networks whose neurons
        are drawn again (``numerics.fluctuations.resampled``). For :math:`\gamma_0=0` the results follow from the tensors A and B of
        ``predict(net, X)`` (``numerics.fluctuations.lazy``).
    Shapes
        As ``predict``, ``times`` too: steps of gradient descent, where the axis is eta x steps. f_variance (time, sample),
        f_covariance (time, sample, time2, sample2), and of ``quantities``: Theta_variance (time, sample, sample2), Phi_variance and
        G_variance (layer, time, sample, sample2) at equal times, f1 (time, sample), loss1 (time); with ``output`` axes if there
        are several. For each of ``draws``, of what ``predict`` gives: <name>_draw (draw, ...), joint draws of
        :math:`\sqrt N(q-q_\infty)` in directions times replicas rows, whose averages of products are N times any covariance,
        between any two quantities and times.
    Units
        ``quantities`` are "f", "Theta", "Phi", "G" (or "f_variance" and so on), "f1", "loss1"; ``draws`` "f", "loss", "Phi", "G",
        "Theta". Everything is multiplied by N: divide by the width. ``centred``: predictions are :math:`f-f(0)`.
    Valid
        Leading order in 1/N. ``replicas`` independent estimates, whose spread is ``<name>_stderr``, each from ``samples`` sites:
        4096 for one hidden layer, 8192 for variances of several and smooth activations. Else 1024, or twice as many as a layer has
        vectors, and ``directions`` pairs of solutions, so that a variance has a relative error of the root of
        2/(directions replicas). The most accurate routes are taken that need, as estimated, some minutes on one core; where none
        does, the cheapest, with 32, 16 or 8 ``directions`` unless they are given. ``hours`` allows more, and sets the limit (one
        hour if it is not given) beyond which nothing is begun. gamma = 0 beyond one output and plain steps: gamma = 1e-5. An
        ensemble of E networks has 1/E of the variance, and the same shift. A shift has a bias of order 1/samples, which its error
        does not show (below 10 % from 512 sites on after logistic training, 30 % with 4096 at the edge of stability): compare two
        values of ``samples``.
    Errors
        Those of ``predict``; ``TooCostly`` for what takes longer than ``hours``; ``NotAvailable`` for centred=False at gamma=0, and
        for any ``equations``: how averages answer to themselves is derived for the derived system alone.
    Source
        Derived; for one hidden layer Bordelon & Pehlevan (arXiv:2304.03408).
    """
    if equations is not None:
        raise NotAvailable(
            "equations=: fluctuations are those of derive(flow), whose responses are worked out for these equations alone; "
            "allowed: None here, and equations= in predict and validate"
        )
    asked = question(flow, X, y, times=times, X_test=X_test)
    return fluctuating(
        asked,
        quantities=quantities,
        centred=centred,
        samples=samples,
        directions=directions,
        draws=draws,
        replicas=replicas,
        seed=seed,
        hours=hours,
        checkpoint=checkpoint,
        progress=progress,
    )


def fluctuating(
    asked: Question,
    *,
    quantities: str | Sequence[str] = ("f", "Theta", "f1", "loss1"),
    centred: bool = True,
    samples: int | None = None,
    directions: int | None = None,
    draws: str | Sequence[str] = (),
    replicas: int = 8,
    seed: int = 0,
    hours: float | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """The answer of the theory to a question, at order 1/N."""
    flow, data = asked.flow, asked.data
    replicas, seed = check_count("replicas", replicas, 2), check_seed(seed)
    check_hours(hours)
    drawn = check_names("draws", draws, MEASURED)
    kernels, wanted = _wanted(quantities, drawn)
    if flow.gamma == 0 and not centred:
        raise NotAvailable(
            "fluctuations: centred=False at gamma=0, where f(0) is infinite; allowed: centred=True, or gamma > 0"
        )
    known = _known(asked) if CLOSED.intersection(wanted) else {}  # shifts and draws have no closed form
    options = Options(
        asked.grids[0].kept, data.trained, centred, kernels, kinked(flow.net), partial(loss_derivative, flow, data),
        losses_of(flow, data), draws=drawn,
    )  # fmt: skip
    pairs = None if directions is None else check_count("directions", directions, 1)
    rest = [name for name in wanted if name not in known]
    plan = planned(asked, rest, samples, options, directions=pairs, replicas=replicas, hours=hours)
    values: Values = {name: (value, np.zeros_like(value)) for name, value in known.items()}
    work = replicas * sum(task.ticks for task in plan.tasks)
    with Progress("fluctuations", work, progress, cost=plan.cost) as bar:
        for task in plan.tasks:
            values |= _estimated(task, replicas, seed, checkpoint, bar)
    closed = tuple(name for name in wanted if name in known)
    taken = {"closed form": closed} if closed else {}
    attrs: dict[str, Any] = {
        "replicas": replicas,
        "seed": seed,
        "samples": max((task.sites for task in plan.tasks), default=0),
        "directions": plan.directions if "resampling" in plan.routes else 0,
        "exact": int(not plan.tasks),
        "routes": ", ".join(f"{route}: {' '.join(names)}" for route, names in (taken | plan.routes).items()),
    }
    return _dataset(asked, {n: values[n] for n in wanted}, attrs)


def _estimated(task: PreparedRoute, replicas: int, seed: int, checkpoint: str | Path | None, bar: Progress) -> Values:
    """Means of independent estimates with their errors; draws of all of them."""
    moments, draws = RunningMoments(), list[dict[str, Array]]()
    store = Store(checkpoint, (*task.key, task.names, seed))
    for number in range(replicas):
        compute = partial(task, [seed, number], bar.advance)
        with threadpool_limits(task.route.threads, user_api="blas"):
            found = store(number, compute)
        draws.append({name: found.pop(name) for name in task.names if name in DRAWS})
        moments.add(found)
    values: Values = {name: (mean, moments.stderr(name)) for name, mean in moments.mean.items()}
    return values | {name: (np.concatenate([some[name] for some in draws]), None) for name in draws[0]}


def _wanted(quantities: str | Sequence[str], draws: str | Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The kernels that are asked for, and all results."""
    asked = (quantities,) if isinstance(quantities, str) else tuple(quantities)
    listed = check_names("quantities", tuple(name.removesuffix("_variance") for name in asked), QUANTITIES)
    if not listed and not draws:
        raise InvalidArgument(
            f"quantities={quantities!r} and no draws: nothing is asked for; allowed: {', '.join(QUANTITIES)}"
        )
    names = {*(n if n in SHIFTS else f"{n}_variance" for n in listed)} | ({"f_covariance"} if "f" in listed else set())
    results = [row.name for row in FLUCTUATIONS if row.name in names] + [name + DRAW for name in draws]
    return tuple(n for n in KERNELS if n in listed), results


def _known(asked: Question) -> dict[str, Array]:
    """The results in closed form."""
    if asked.flow.hidden_layers == 1 or not is_closed(asked.flow):
        return {}
    return asked.extrapolated(lazy_fluctuations(asked.flow, asked.data, asked.grids))


def _dataset(asked: Question, values: Values, attrs: dict[str, Any]) -> xr.Dataset:
    flow = asked.flow
    results, draws = list[Result](), dict[str, Any]()
    for name, (value, error) in values.items():
        if error is None:
            draws |= _draw(name.removesuffix(DRAW), value).variables(flow.outputs == 1)
        else:
            results.append(Result(TRAINING[name], value, error))
    coords = coordinates(asked.data, asked.times, flow.hidden_layers or 1, flow.outputs)
    return dataset(
        flow, results, coords, single=flow.outputs == 1, more=draws, source="theory", step=asked.step, **attrs
    )


def _draw(name: str, value: Array) -> Result:
    """Joint draws of an order parameter's fluctuation, times the root of N."""
    row = TRAINING[name]
    text = f"draw of the root of N times the fluctuation: {row.meaning}"
    return Result(replace(row, name=name + DRAW, meaning=text, dims=("draw", *row.dims), exchanged=False), value)
