r"""Literal finite networks, trained by literal gradient descent on their drawn weight matrices.

Nothing here knows a mean-field equation: matrices are drawn, multiplied, differentiated by backpropagation and changed step by
step.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ...numerics.runs.moments import RunningMoments
from ...numerics.runs.progress import Progress
from ...numerics.runs.results import Result, dataset
from ...numerics.runs.store import Store
from ...numerics.runs.workers import Tick, mapped
from ...numerics.training.question import Question, question
from ...numerics.training.results import MEASURED, coordinates
from ...theory.language.checks import check_count, check_names, check_seed
from ...theory.language.errors import InvalidArgument, InvalidNetwork
from ...theory.training.observables import FLUCTUATIONS, TRAINING
from ...theory.training.subject import Training
from ..confrontation.tails import degrees_of_freedom
from ..literal.trained import train

Array = NDArray[np.float64]


def simulate_training(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: ArrayLike,
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = MEASURED,
    networks: int = 16,
    width: int | None = None,
    seed: int = 0,
    centred: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Train literal finite networks, and measure the quantities of ``predict``.

    Equation
        :math:`\Phi^\ell_{\mu\alpha}(t,s)=\frac1N\phi(h_\mu(t))\cdot\phi(h_\alpha(s))`, :math:`G^\ell=\frac1N g\cdot g` with
        :math:`g^\ell=\gamma_0N\,\partial f/\partial h^\ell`, and the tangent kernel
        :math:`\gamma_0^2N\sum_\theta\lambda_\theta\partial f\,\partial f`; the
        mean over networks, with ``<name>_stderr`` beside it; N times the variance of f and Theta as ``f_variance`` and
        ``Theta_variance``.
    Shapes
        Those of ``predict``. ``width`` N of all hidden layers: by default that of the network.
    Units
        Those of ``predict``. ``centred``: predictions are :math:`f-f(0)`, as at infinite width f(0) vanishes.
    Valid
        Any width: the numbers are those of width N, and differ from the limit by terms of order 1/N. Gradient flow is extrapolated
        from two steps, network by network, which are those of ``predict``. ``workers`` threads (default: all cores), or an
        ``executor`` of ``concurrent.futures``: the numbers are the same for any.
    Errors
        Those of ``predict``; ``InvalidNetwork`` without a width; ``InvalidArgument`` for gamma = 0, where f is infinite.
    Source
        The definitions.
    """
    asked = question(flow, X, y, times=times, X_test=X_test)
    return simulated(
        asked,
        quantities=quantities,
        networks=networks,
        width=width,
        seed=seed,
        centred=centred,
        workers=workers,
        executor=executor,
        checkpoint=checkpoint,
        progress=progress,
    )


def simulated(
    asked: Question,
    *,
    quantities: str | Sequence[str] = MEASURED,
    networks: int = 16,
    width: int | None = None,
    seed: int = 0,
    centred: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """The answer of literal networks to a question."""
    flow = asked.flow
    if flow.gamma == 0:
        raise InvalidArgument("gamma=0 is a limit that no finite network has; allowed: a small positive number")
    N = check_count("width", _width(flow) if width is None else width, 1)
    count, seed = check_count("networks", networks, 2), check_seed(seed)
    names = tuple(dict.fromkeys(("f", "loss", *check_names("quantities", quantities, MEASURED, "cannot be measured"))))
    task = Networks(replace(asked, given=None), N, names, seed, centred)  # networks obey no equations
    store = Store(checkpoint, ("simulate", asked.key, names, seed, N, centred))
    bar = Progress("simulate", count * asked.steps, progress)
    results = mapped(task, range(count), workers=workers, executor=executor, progress=bar, store=store)
    return _dataset(asked, names, results, N, {"seed": seed, "centred": int(centred)})


@dataclass(frozen=True)
class Networks:
    """Networks of one width by number: each is drawn and trained in the steps of the question."""

    asked: Question
    N: int
    names: tuple[str, ...]
    seed: int
    centred: bool

    def __call__(self, number: int, tick: Tick) -> dict[str, Array]:
        """The measurements of one network; of gradient flow extrapolated from two trainings of the same network."""
        asked, seed = self.asked, [self.seed, number, self.N]
        each = [train(asked.flow, asked.data, self.N, g, self.names, seed, self.centred, tick) for g in asked.grids]
        return asked.extrapolated(each)


def _width(flow: Training) -> int:
    widths = flow.net.hidden_widths
    if widths is None:
        raise InvalidNetwork("width=None: only a network of given width can be trained; allowed: an integer from 1")
    if len(set(widths)) > 1:
        raise InvalidNetwork(f"width={widths}: training is scaled by one width; allowed: equal hidden widths")
    return widths[0]


def _dataset(
    asked: Question, names: tuple[str, ...], results: list[dict[str, Array]], N: int, given: dict[str, Any]
) -> xr.Dataset:
    flow, moments = asked.flow, RunningMoments()
    for result in results:
        moments.add(result)
    found = [Result(TRAINING[name], moments.mean[name], moments.stderr(name)) for name in names]
    n = len(results)
    for row in FLUCTUATIONS:
        name = row.name.removesuffix("_variance")
        if name != row.name and name in names and row.dims == TRAINING[name].dims:  # the variance of each entry
            squares = N * np.stack([r[name] - moments.mean[name] for r in results]) ** 2 * n / (n - 1)
            error = squares.std(axis=0, ddof=1) / np.sqrt(n)
            found.append(Result(row, squares.mean(axis=0), error, dof=degrees_of_freedom(squares)))
    coords = coordinates(asked.data, asked.times, flow.hidden_layers or 0, flow.outputs)
    return dataset(
        flow,
        found,
        coords,
        single=flow.outputs == 1,
        source="networks",
        networks=n,
        groups=n,
        width=N,
        step=asked.step,
        **given,
    )
