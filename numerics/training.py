"""Predictions for a network in training: the derived equations, solved for data."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..theory.dynamics import Dynamics, dynamics, is_linear
from ..theory.errors import ExpansionWarning, InvalidArgument, InvalidInput, InvalidNetwork, NotAvailable, NotConverged
from ..theory.symbols import z
from ..theory.training import Training
from .causal import Problem, Run
from .inputs import check_inputs
from .predict import predict as predict_at_initialisation
from .replicas import Moments, Progress, stored
from .sites import activation_function, generate

Array = NDArray[np.float64]

#: gamma_0 = 0 is solved as this: results differ by its square.
LAZY = 1e-5
#: Steps of gradient flow are this fraction of the fastest time, 1/(largest eigenvalue of the tangent kernel).
FRACTION = 0.1
#: What the responses of sites may take, in bytes, and how many sites follow them at most and at least.
TANGENT_BYTES, MOST_TANGENTS, FEWEST_TANGENTS = 1 << 31, 128, 16
#: How far two steps of gradient flow may be apart, beside the largest prediction; how often the step is halved for it; the
#: sites of the trial that decides.
APART, HALVINGS, TRIAL = 0.02, 6, 256
#: Predictions beyond this have diverged.
DIVERGED = 1e6
QUANTITIES = ("f", "loss", "Phi", "G", "NTK", "A", "B")
MEANING = {
    "f": "prediction", "loss": "loss, summed over samples", "Phi": "overlap of activities", "G": "overlap of gradients",
    "NTK": "tangent kernel at equal times", "A": "response of activities to r, over gamma_0",
    "B": "response of gradients of the layer above to u, over gamma_0",
}  # fmt: skip


@dataclass(frozen=True)
class Data:
    """Samples: those that are trained on come first."""

    inputs: Array
    labels: Array  #: (K, P), of those that are trained on
    trained: int

    @property
    def overlaps(self) -> Array:
        """x.x'/n_0."""
        return np.asarray(self.inputs @ self.inputs.T / self.inputs.shape[1])


@dataclass(frozen=True)
class Grid:
    """The steps that are taken, and those that are kept."""

    steps: int
    kept: NDArray[np.int64]
    rate: float

    def finer(self) -> Grid:
        """Half the step."""
        return Grid(2 * self.steps - 1, 2 * self.kept, self.rate / 2)


def predict_training(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: int | float | Sequence[float],
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = QUANTITIES[:5],
    samples: int = 4096,
    responses: int | None = None,
    replicas: int = 8,
    seed: int = 0,
    equations: Dynamics | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Predictions, losses and kernels of training at infinite width, from the derived equations.

    Equation
        The system of ``derive(flow)``: :math:`f_\mu(t)`, :math:`\mathcal L(t)`, :math:`\Phi^\ell_{\mu\alpha}(t,s)`,
        :math:`G^\ell_{\mu\alpha}(t,s)`,
        :math:`K^{\mathrm{NTK}}_{\mu\alpha}(t)`, and on request the responses A, B.
    Shapes
        X (P, n_0); y (P,), or (P, K) for K outputs; X_test (any, n_0): samples that are predicted and not trained on, which follow
        those of X. ``times``: for gradient descent the number of *steps*, or increasing steps to keep (the axis of the result is
        steps times the learning rate); for gradient flow the last time, or increasing times.
        f (time, sample), Phi and G (layer, time, sample, time2, sample2), NTK (time, sample, sample2), with
        ``output`` axes in front of ``sample`` if there are several; layers 1 ... L.
    Units
        Time is steps times the learning rate. The loss is a sum over the samples of X.
    Valid
        Infinite width. Linear networks: to rounding (``attrs["exact"]``). Others: averages over ``samples`` sites (rounded up to
        a power of two) of each layer in
        ``replicas`` independent solutions, whose spread is ``<name>_stderr``; Student's t with replicas - 1 degrees of freedom. A
        replica has a bias of order 1/samples. ``responses`` of the sites follow how they answer to their sources (by default up
        to 128,
        as memory allows): where there are several hidden layers this takes most of the time, and much of the noise is theirs.
        Gradient flow is extrapolated from two steps, whose difference is
        ``<name>_step_error``.
        gamma = 0 is solved as gamma = 1e-5.
    Errors
        ``InvalidInput`` for X and y; ``InvalidArgument`` for times, step sizes beyond stability, memory that is not there;
        ``NotAvailable`` for several hidden layers whose activation's slope jumps; ``NotConverged`` with the losses if training
        diverges.
    Source
        Derived; Bordelon & Pehlevan (arXiv:2205.09653).
    """
    data = check_data(flow, X, y, X_test)
    names = _names(quantities)
    grid = check_times(flow, data, times)
    for name in {"A", "B"} & set(names):
        if flow.hidden_layers == 1:
            raise InvalidArgument(
                f"quantities={quantities!r}: one hidden layer has no {name}; allowed: {', '.join(QUANTITIES[:5])}"
            )
    found = equations or dynamics(flow)
    replicas = check_count("replicas", replicas, 2)
    samples = 1 << (check_count("samples", samples, data.overlaps.shape[0] + flow.outputs + 1) - 1).bit_length()
    if responses is not None:
        check_count("responses", responses, 1)
    problem = problem_of(flow, found, data, grid, samples, responses)
    solve = partial(_solve, problem=problem, data=data, flow=flow)
    grids = (grid, grid.finer()) if flow.continuous else (grid,)
    _check_memory([problem_of(flow, found, data, g, samples, responses) for g in grids])
    runs = 1 if problem.exact else replicas
    if flow.continuous:
        grid = refined(flow, data, grid, found)
        grids = (grid, grid.finer())
        problem = problem_of(flow, found, data, grid, samples, responses)
        solve = partial(_solve, problem=problem, data=data, flow=flow)
        _check_memory([problem_of(flow, found, data, grids[1], samples, responses)])
    moments = Moments()
    with Progress("predict", runs * sum(g.steps for g in grids), progress) as bar:
        for number in range(runs):
            given = f"{data.inputs.tobytes()!r} {data.labels.tobytes()!r} {grid}"
            key = (
                f"predict {flow!r} {names} {seed} {number} {samples} {problem.tangents} {problem.sites.source} {given}"
            )
            compute = partial(
                _replica, solve, grids, names, check_seed(seed), number, losses_of(flow, data), bar.advance
            )
            moments.add(stored(checkpoint, key, compute))
    return _dataset(flow, data, grid, names, moments, problem)


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


def losses_of(flow: Training, data: Data) -> Callable[[Array], Array]:
    """F (T, K, P) -> the losses (T,)."""
    loss = loss_function(flow)
    return lambda f: np.array([loss(x[:, : data.trained], data.labels) for x in f])


def refined(flow: Training, data: Data, grid: Grid, found: Dynamics) -> Grid:
    """Steps of gradient flow so small that halving them changes little, and losses fall: the kernel grows in training."""
    losses, seen = losses_of(flow, data), "it diverges"
    samples = 1 << (max(TRIAL, len(data.inputs) + flow.outputs + 1) - 1).bit_length()

    def trial(g: Grid) -> Array | None:
        every = Grid(g.steps, np.arange(g.steps), g.rate)
        problem = problem_of(flow, found, data, every, samples, 32)
        _check_memory([problem])
        try:
            with np.errstate(all="ignore"):
                rng = np.random.default_rng(0)
                return _solve(
                    problem=problem, data=data, flow=flow, grid=every, names=("f",), rng=rng, tick=lambda: None
                )["f"]
        except NotConverged:
            return None

    coarse = trial(grid)
    for _ in range(HALVINGS):
        fine = trial(grid.finer())
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


def _solve(
    *,
    problem: Problem,
    data: Data,
    flow: Training,
    grid: Grid,
    names: tuple[str, ...],
    rng: np.random.Generator,
    tick: Callable[[], None],
) -> dict[str, Array]:
    """What is asked for of one solution, at the times that are kept."""
    parameters = problem.parameters | {"eta": grid.rate}
    kept = frozenset(map(int, grid.kept))
    run = Run(replace(problem, steps=grid.steps, parameters=parameters, kept=kept), rng)
    losses = loss_function(flow)
    history: list[float] = []

    def check() -> None:
        history.append(float(losses(run.f[len(history)][:, : data.trained], data.labels)))
        if not np.isfinite(history[-1]) or np.abs(run.f[len(history) - 1]).max() > DIVERGED:
            raise NotConverged(
                f"training diverges at step {len(history) - 1}: the losses were {', '.join(f'{x:.3g}' for x in history[-8:])}; "
                f"allowed: a smaller learning_rate (it is {grid.rate:.3g}) or gamma"
            )
        tick()

    run.solve(check)
    k, L = grid.kept, problem.layers
    layers = {"Phi": range(1, L + 1), "G": range(1, L + 1), "A": range(1, L), "B": range(1, L)}
    found: dict[str, Array] = {"f": run.f[k], "loss": np.array(history)[k], "NTK": run.ntk[k]}
    for name, numbers in layers.items():
        if name in names and len(numbers):
            second = 2 if name in ("Phi", "A") else 3
            found[name] = np.stack([np.take(run.q[name][i][k], k, axis=second) for i in numbers])
    return {name: found[name] for name in names if name in found}


def problem_of(
    flow: Training, found: Dynamics, data: Data, grid: Grid, samples: int, responses: int | None = None
) -> Problem:
    """What the solver takes."""
    net, L = flow.net, flow.hidden_layers
    assert L is not None
    linear = is_linear(found)
    if L > 1 and not linear:
        for act in net.layer_activations:
            _check_smooth(act, L)
    numbers = {name: net.per_layer(name)[0] for name in ("C_W", "C_b", "lambda_W", "lambda_b")}
    return Problem(
        sites=generate(found),
        parameters=numbers | {"gamma_0": flow.gamma or LAZY, "eta": grid.rate},
        phi=tuple(activation_function(a) for a in net.layer_activations),
        errors=error_function(flow, data),
        overlaps=data.overlaps,
        steps=grid.steps,
        outputs=flow.outputs,
        momentum=flow.momentum,
        decay=flow.weight_decay,
        samples=samples,
        tangents=1 if linear else responses or _tangents(L, grid.steps, flow.outputs, len(data.inputs)),
        exact=linear,
        kept=frozenset(map(int, grid.kept)),
    )


def _check_smooth(act: Any, layers: int) -> None:
    slope = act.derivative(1)
    for kink in act.kinks:
        low, high = (float(slope.subs(z, kink + side * sp.Rational(1, 10**9))) for side in (-1, 1))
        if abs(high - low) > 1e-6:
            raise NotAvailable(
                f"activation={act.name!r}: its slope jumps at {kink}, and the responses of {layers} hidden layers hold its second "
                "derivative; allowed: one hidden layer (depth=2), or a smooth activation such as 'gelu', 'softplus', 'tanh'"
            )


def _tangent_bytes(layers: int, steps: int, outputs: int, samples: int) -> int:
    """Of the responses of one site: fields by directions, for each layer and source."""
    fields, by_r, by_u = steps * samples * (1 + outputs), steps * samples * outputs, steps * samples
    return 8 * fields * (layers - 1) * (by_r + by_u)


def _tangents(layers: int, steps: int, outputs: int, samples: int) -> int:
    """How many sites of a replica follow their responses."""
    each = max(_tangent_bytes(layers, steps, outputs, samples), 1)
    return int(np.clip(TANGENT_BYTES // each, FEWEST_TANGENTS, MOST_TANGENTS))


def _check_memory(problems: Sequence[Problem]) -> None:
    """Say what a solution takes before it is taken."""
    p = max(problems, key=lambda p: p.steps)
    (T, K, P), L = p.shape, p.layers
    sites = (T * P * (1 + K) + 1) if p.exact else p.samples
    orders = 8 * (T * P) ** 2 * ((L + 1) * (1 + 2 * K) + (L + 2) * K**2)
    fields = 8 * L * T * P * (1 + K) * sites
    tangents = _tangent_bytes(L, T, K, P) * p.tangents
    total, available = orders + fields + tangents, _available()
    if total > available:
        gib = 1 << 30
        raise InvalidArgument(
            f"times={T} steps with P={P} samples: a solution takes {total / gib:.1f} GiB (kernels {orders / gib:.1f}, sites "
            f"{fields / gib:.1f}, responses {tangents / gib:.1f}), and {available / gib:.1f} are free; allowed: fewer steps, "
            "samples= or data"
        )


def _available() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")


def error_function(flow: Training, data: Data) -> Callable[[Array], Array]:
    """F (K, P) -> Delta (K, P); zero for samples that are not trained on."""
    exprs = flow.loss.errors(flow.outputs)
    _, fs, ys = flow.loss.value(flow.outputs)
    functions = [sp.lambdify([*fs, *ys], e, "numpy") for e in exprs]

    def errors(f: Array) -> Array:
        out = np.zeros_like(f)
        arguments = [*f[:, : data.trained], *data.labels]
        with np.errstate(over="ignore", invalid="ignore"):
            for k, function in enumerate(functions):
                out[k, : data.trained] = function(*arguments)
        return out

    return errors


def loss_function(flow: Training) -> Callable[[Array, Array], Array]:
    """F (K, P), y (K, P) -> the loss, summed over samples."""
    expr, fs, ys = flow.loss.value(flow.outputs)
    function = sp.lambdify([*fs, *ys], expr, "numpy")

    def loss(f: Array, labels: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.sum(function(*f, *labels), axis=-1))

    return loss


def check_data(flow: Training, X: ArrayLike, y: ArrayLike, X_test: ArrayLike | None = None) -> Data:
    """The samples and labels as arrays of the right shapes."""
    if not isinstance(flow, Training):
        raise InvalidArgument(f"flow={flow!r} is a {type(flow).__name__}; allowed: a Training")
    if flow.net.depth is None:
        raise InvalidNetwork("depth=None: only a network of given depth can be trained; allowed: integers from 2")
    if not all(a.specified for a in flow.net.distinct_activations):
        raise InvalidArgument("activation='sigma' is unspecified: numbers need a concrete one, e.g. MLP('tanh')")
    inputs = check_inputs(X)
    try:
        labels = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"y={y!r} holds no numbers; allowed: shape ({len(inputs)},) of real numbers") from None
    K = flow.outputs
    allowed = [(len(inputs),), (len(inputs), 1)] if K == 1 else [(len(inputs), K)]
    if labels.shape not in allowed:
        raise InvalidInput(
            f"y has shape {labels.shape} for {len(inputs)} samples and outputs={K}; allowed: {' or '.join(map(str, allowed))}"
        )
    if not np.isfinite(labels).all():
        raise InvalidInput("y holds entries that are not finite; allowed: finite real numbers")
    labels = np.ascontiguousarray(labels.reshape(len(inputs), K).T)
    start = float(loss_function(flow)(np.zeros_like(labels), labels))
    if not np.isfinite(start):
        raise InvalidArgument(f"loss={flow.loss} is {start} at f = 0, where training starts; allowed: a finite loss")
    if X_test is None:
        return Data(inputs, labels, len(inputs))
    test = check_inputs(X_test)
    if test.shape[1] != inputs.shape[1]:
        raise InvalidInput(f"X_test has {test.shape[1]} features, and X has {inputs.shape[1]}; allowed: as many")
    return Data(np.vstack([inputs, test]), labels, len(inputs))


def check_times(flow: Training, data: Data, times: Any) -> Grid:
    """The steps; for gradient flow so small that a step is a tenth of the fastest time."""
    values = np.atleast_1d(np.asarray(times, dtype=np.float64))
    last_only = np.ndim(times) == 0
    if (
        values.ndim != 1
        or not values.size
        or not np.isfinite(values).all()
        or values[0] < 0
        or (np.diff(values) <= 0).any()
    ):
        raise InvalidArgument(f"times={times!r}; allowed: increasing numbers from 0, or the last one")
    curvature = _curvature(flow, data)
    if flow.learning_rate is not None:
        steps = np.round(values).astype(np.int64)
        if not np.array_equal(steps, values):
            raise InvalidArgument(f"times={times!r} with learning_rate: these are steps; allowed: increasing integers")
        bound = 2 * (1 + flow.momentum) / curvature if curvature > 0 else np.inf
        if flow.learning_rate > bound:
            raise InvalidArgument(
                f"learning_rate={flow.learning_rate:g} is beyond stability: the largest eigenvalue of the tangent kernel at "
                f"initialisation, times the loss's curvature, is {curvature:.4g}; allowed: below {bound:.4g}"
            )
        kept = np.arange(steps[0] + 1) if last_only else steps
        return Grid(int(kept[-1]) + 1, kept, flow.learning_rate)
    if last_only and values[0] == 0:
        return Grid(1, np.array([0]), 1.0)
    wanted = np.linspace(0, values[0], 41) if last_only else values
    gaps = np.diff(np.concatenate([[0.0], wanted]))
    gap = float(gaps[gaps > 0].min(initial=wanted[-1] or 1.0))
    fastest = FRACTION / curvature if curvature > 0 else gap
    unit = _common_step(wanted, gap)
    rate = unit / max(1, int(np.ceil(unit / fastest)))
    kept = np.round(wanted / rate).astype(np.int64)
    return Grid(int(kept[-1]) + 1, kept, rate)


def _common_step(times: Array, gap: float) -> float:
    """A step of which all times are multiples."""
    for parts in range(1, 65):
        step = gap / parts
        if np.allclose(times / step, np.round(times / step), atol=1e-6):
            return step
    raise InvalidArgument(
        f"times={times!r} are no multiples of one step; allowed: times on a grid, e.g. numpy.linspace(0, 5, 21)"
    )


def _curvature(flow: Training, data: Data) -> float:
    """The largest eigenvalue of the tangent kernel of the training samples, times the loss's curvature at f = 0."""
    expr, fs, ys = flow.loss.value(flow.outputs)
    second = [sp.diff(expr, a, 2) for a in fs]
    values = [sp.lambdify([*fs, *ys], e, "numpy")(*np.zeros_like(data.labels), *data.labels) for e in second]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        theta = predict_at_initialisation(flow.net, data.inputs[: data.trained], ("K", "Theta")).Theta.values[-1]
    return float(np.linalg.eigvalsh(theta).max() * max(float(np.max(v)) for v in values))


def _names(quantities: str | Sequence[str]) -> tuple[str, ...]:
    listed = (quantities,) if isinstance(quantities, str) else tuple(quantities)
    for name in listed:
        if name not in QUANTITIES:
            raise InvalidArgument(f"quantities={quantities!r}: {name!r} is not known; allowed: {', '.join(QUANTITIES)}")
    return tuple(dict.fromkeys(("f", "loss", *listed)))


def check_count(name: str, value: Any, least: int) -> int:
    """An integer argument."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise InvalidArgument(f"{name}={value!r}; allowed: integers from {least}")
    return int(value)


def check_seed(value: Any) -> int:
    """A seed."""
    return check_count("seed", value, 0)


#: The dimensions of a quantity, in the order of the arrays.
DIMS = {
    "f": ("time", "output", "sample"),
    "loss": ("time",),
    "NTK": ("time", "output", "sample", "output2", "sample2"),
    "Phi": ("layer", "time", "sample", "time2", "sample2"),
    "G": ("layer", "time", "output", "sample", "time2", "output2", "sample2"),
    "A": ("layer", "time", "sample", "time2", "output2", "sample2"),
    "B": ("layer", "time", "output", "sample", "time2", "sample2"),
}


def variable(
    full: tuple[str, ...], value: Array, outputs: int, text: str
) -> tuple[tuple[str, ...], Array, dict[str, str]]:
    """An array with all its dimensions for a dataset, without the axes of a single output."""
    if outputs == 1:
        value = value.squeeze(axis=tuple(i for i, d in enumerate(full) if d.startswith("output")))
        full = tuple(d for d in full if not d.startswith("output"))
    return full, value, {"long_name": text}


def coordinates(data: Data, times: Array, layers: int, outputs: int) -> dict[str, Any]:
    """Labels of the axes."""
    P = len(data.inputs)
    sets = np.where(np.arange(P) < data.trained, "train", "test")
    found: dict[str, Any] = {"time": times, "time2": times, "layer": np.arange(1, layers + 1)}
    found |= {"sample": np.arange(P), "sample2": np.arange(P), "set": ("sample", sets)}
    return found | ({"output": np.arange(outputs), "output2": np.arange(outputs)} if outputs > 1 else {})


def _dataset(
    flow: Training, data: Data, grid: Grid, names: tuple[str, ...], moments: Moments, problem: Problem
) -> xr.Dataset:
    variables: dict[str, Any] = {}
    for name in (n for n in names if n in moments.mean):
        short = {"A", "B"} & {name}
        variables[name] = variable(DIMS[name], moments.mean[name], flow.outputs, MEANING[name])
        variables[f"{name}_stderr"] = variable(
            DIMS[name], moments.stderr(name), flow.outputs, f"standard error of {name}"
        )
        if flow.continuous:
            error = moments.mean[f"{name}_step_error"]
            text = f"difference between two steps of {name}"
            variables[f"{name}_step_error"] = variable(DIMS[name], error, flow.outputs, text)
        if short:  # the last layer has none: pad, so that all share one axis
            for key in [k for k in variables if k.partition("_")[0] == name]:
                dims, value, attrs = variables[key]
                variables[key] = (dims, np.concatenate([value, np.full_like(value[:1], np.nan)]), attrs)
    times: Array = np.asarray(grid.kept * grid.rate)
    coords = coordinates(data, times, problem.layers, flow.outputs)
    used = {d for v in variables.values() for d in v[0]} | {"set"}
    attrs = {
        "flow": repr(flow), "exact": int(problem.exact), "replicas": moments.count, "samples": problem.samples,
        "responses": problem.tangents, "step": grid.rate, "gamma": flow.gamma,
    }  # fmt: skip
    return xr.Dataset(variables, {k: v for k, v in coords.items() if k in used}, attrs)
