"""One solution of the equations of training, and the steps of gradient flow that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...theory.language.checks import check_count
from ...theory.language.errors import NotConverged
from ...theory.training.dynamics import Dynamics
from ...theory.training.subject import Training
from .causal import DIVERGED, LAZY_DIVERGED, Problem, Run
from .data import Data, loss_function, losses_of
from .problem import check_memory, problem_of
from .results import order_parameter
from .times import TimeGrid

Array = NDArray[np.float64]

#: The largest difference between solutions with two steps of gradient flow, relative to the largest prediction; the most times
#: that the step is halved to reach it; the sites of the trial that decides.
APART, HALVINGS, TRIAL = 0.02, 6, 256


def power_of_two(name: str, count: int, data: Data, flow: Training) -> int:
    """A number of sites, rounded up to a power of two; more than the fields that do not change in training."""
    return 1 << (check_count(name, count, len(data.inputs) + flow.outputs + 1) - 1).bit_length()


def refined(flow: Training, data: Data, grid: TimeGrid, found: Dynamics) -> TimeGrid:
    """Steps of gradient flow so small that halving them changes little, and losses fall: the kernel grows in training."""
    losses, seen = losses_of(flow, data), "it diverges"
    coarse = _trial(flow, data, grid, found)
    for _ in range(HALVINGS):
        fine = _trial(flow, data, grid.finer(), found)
        if coarse is not None and fine is not None:
            apart = float(np.abs(fine[::2] - coarse).max() / max(float(np.abs(fine).max()), 1e-300))
            falls = flow.weight_decay > 0 or bool((np.diff(losses(fine)) <= 1e-9 * losses(fine[:1])).all())
            if apart <= APART and falls:
                return grid
            seen = f"two steps differ by {apart:.1%}" + ("" if falls else " and the loss rises")
        grid, coarse = grid.finer(), fine
    raise NotConverged(
        f"gradient flow is too stiff for steps of {grid.rate:.3g}: {seen}; allowed: smaller gamma or labels, or gradient "
        "descent with learning_rate="
    )


def _trial(flow: Training, data: Data, grid: TimeGrid, found: Dynamics) -> Array | None:
    """Predictions at all steps from a few sites; none if they diverge."""
    every = TimeGrid(grid.steps, np.arange(grid.steps), grid.rate)
    problem = problem_of(
        flow, found, data, every, power_of_two("samples", max(TRIAL, len(data.inputs) + 20), data, flow)
    )
    check_memory(problem)
    rng = np.random.default_rng(0)
    try:
        with np.errstate(all="ignore"):
            solved = solve(problem=problem, data=data, flow=flow, grid=every, names=("f",), rng=rng, tick=lambda: None)
    except NotConverged:
        return None
    return solved["f"]


def check_divergence(
    f: Array, losses: Sequence[float], rate: float, *, lazy: bool = False, who: str = "training"
) -> None:
    """``NotConverged`` with the step and the last losses if predictions have left all bounds."""
    if np.isfinite(losses[-1]) and np.abs(f).max() <= (LAZY_DIVERGED if lazy else DIVERGED):
        return
    raise NotConverged(
        f"{who} diverges at step {len(losses) - 1}: the losses were {', '.join(f'{x:.3g}' for x in losses[-8:])}; "
        f"allowed: a smaller learning_rate (it is {rate:.3g}) or gamma"
    )


def solve(
    *,
    problem: Problem,
    data: Data,
    flow: Training,
    grid: TimeGrid,
    names: tuple[str, ...],
    rng: np.random.Generator,
    tick: Callable[[], None],
) -> dict[str, Array]:
    """The wanted results of one solution, at the times that are kept."""
    parameters = problem.parameters | {"eta": grid.rate}
    kept = frozenset(map(int, grid.kept))
    run = Run(replace(problem, steps=grid.steps, parameters=parameters, kept=kept), rng)
    losses = loss_function(flow)
    history: list[float] = []

    def check() -> None:
        history.append(float(losses(run.f[len(history)][:, : data.trained], data.labels)))
        check_divergence(run.f[len(history) - 1], history, grid.rate, lazy=flow.gamma == 0)
        tick()

    with np.errstate(all="ignore"):  # what diverges is told by ``check``, at the step where it does
        run.solve(check)
    found = {name: order_parameter(run, name, grid.kept) for name in names if name != "loss"}
    return found | {"loss": np.array(history)[grid.kept]}
