"""Predictions of how networks in training scatter at finite width, and of how their means move."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..theory.dynamics import dynamics
from ..theory.errors import ExpansionWarning, NotAvailable
from ..theory.training import Training
from .fluctuations import Options, fluctuate
from .predict import predict as predict_at_initialisation
from .replicas import Moments, Progress, stored
from .training import (
    Data,
    Grid,
    check_count,
    check_data,
    check_seed,
    check_times,
    coordinates,
    error_function,
    problem_of,
    refined,
    variable,
)

Array = NDArray[np.float64]
MEANING = {
    "f_variance": ("f", "N times the variance of the predictions over initialisations"),
    "f_covariance": ("f_covariance", "N times the covariance of the predictions over initialisations"),
    "Phi_variance": ("Phi_equal", "N times the variance of the overlap of activities at equal times"),
    "G_variance": ("NTK", "N times the variance of the overlap of gradients at equal times"),
    "NTK_variance": ("NTK", "N times the variance of the tangent kernel"),
    "f1": ("f", "N times the shift of the mean prediction"),
    "loss1": ("loss", "N times the shift of the mean loss"),
}


def fluctuations(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: Any,
    X_test: ArrayLike | None = None,
    centred: bool = True,
    samples: int = 4096,
    replicas: int = 8,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Fluctuations over initialisations and shifts of the mean, to leading order in 1/N.

    Equation
        .. math:: N\,\mathrm{Cov}(q,q)=(1-J)^{-1}S(1-J)^{-\top},\qquad E f=f_\infty+\tfrac1Nf_1,\qquad E\mathcal L=\mathcal
        L_\infty+\tfrac1N\mathcal L_1

        with S the covariance of one neuron's contribution to the averages q, and J how the averages answer to themselves.
        For :math:`\gamma_0=0` and any depth: :math:`\delta f(t+1)=(1-\eta K\ell'')\delta f(t)+\eta\,\delta K\,\Delta(t)` with
        :math:`N\,\mathrm{Cov}(K_{\mu\alpha},K_{\nu\beta})=A_{\mu\alpha\nu\beta}+B_{\mu\alpha\nu\beta}+B_{\mu\alpha\beta\nu}`
        of ``predict(net, X)``.
    Shapes
        As ``predict``. f_variance (time, sample), f_covariance (time, sample, time2, sample2), Phi_variance, G_variance,
        NTK_variance
        (time, sample, sample2) at equal times, f1 (time, sample), loss1 (time); with ``output`` axes if there are several.
    Units
        Everything is multiplied by N: divide by the width. ``centred``: predictions are :math:`f-f(0)`.
    Valid
        Leading order in 1/N; one hidden layer at any :math:`\gamma_0`, any depth at :math:`\gamma_0=0` (f_variance and
        f_covariance, one
        output, centred). Shifts need a smooth activation. An ensemble of E networks has 1/E of the variance, and the same shift.
    Errors
        Those of ``predict``; ``NotAvailable`` for several hidden layers with :math:`\gamma_0>0`.
    Source
        Derived; Bordelon & Pehlevan (arXiv:2304.03408).
    """
    data = check_data(flow, X, y, X_test)
    grid = check_times(flow, data, times)
    replicas = check_count("replicas", replicas, 2)
    depth = flow.hidden_layers or 1
    if depth > 1:
        return _lazy(flow, data, grid, centred)
    if flow.gamma == 0 and not centred:
        raise NotAvailable(
            "fluctuations: centred=False at gamma=0, where f(0) is infinite; allowed: centred=True, or gamma > 0"
        )
    if flow.continuous:
        grid = refined(flow, data, grid, dynamics(flow))
    kinked = any(a.kinks for a in flow.net.layer_activations)
    samples = 1 << (check_count("samples", samples, len(data.inputs) + flow.outputs + 1) - 1).bit_length()
    grids = (grid, grid.finer()) if flow.continuous else (grid,)
    moments = Moments()
    with Progress("fluctuations", replicas * sum(g.steps for g in grids), progress) as bar:
        for number in range(replicas):

            def compute(number: int = number) -> dict[str, Array]:
                found = []
                for g in grids:
                    options = Options(
                        kept=g.kept,
                        trained=data.trained,
                        centred=centred,
                        smooth=not kinked,
                        curvature=curvature_function(flow, data),
                        tick=bar.advance,
                    )
                    problem = replace(problem_of(flow, dynamics(flow), data, g, samples), exact=False)
                    found.append(fluctuate(problem, np.random.default_rng([check_seed(seed), number]), options))
                return found[0] if len(found) == 1 else {n: 2 * found[1][n] - found[0][n] for n in found[0]}

            given = f"{data.inputs.tobytes()!r} {data.labels.tobytes()!r} {grid} {centred}"
            moments.add(stored(checkpoint, f"fluctuations {flow!r} {seed} {number} {samples} {given}", compute))
    values = {n: (moments.mean[n], moments.stderr(n)) for n in MEANING if n in moments.mean}
    return _dataset(flow, data, grid, values, {"replicas": replicas, "samples": samples, "exact": 0})


def curvature_function(flow: Training, data: Data) -> Callable[[Array], tuple[Array, Array | None]]:
    """F (T, K, P) -> the second derivative of the loss (T, K, P, K), and for one output the third (T, K, P)."""
    expr, fs, ys = flow.loss.value(flow.outputs)
    second = [[sp.lambdify([*fs, *ys], sp.diff(expr, a, b), "numpy") for b in fs] for a in fs]
    third = sp.lambdify([*fs, *ys], sp.diff(expr, fs[0], 3), "numpy") if len(fs) == 1 else None
    n = data.trained

    def curvature(f: Array) -> tuple[Array, Array | None]:
        arguments = [*f.transpose(1, 0, 2)[:, :, :n], *data.labels]
        out = np.zeros((*f.shape, f.shape[1]))
        for k, row in enumerate(second):
            for c, function in enumerate(row):
                out[:, k, :n, c] = function(*arguments)
        if third is None:
            return out, None
        skew = np.zeros_like(f)
        skew[:, 0, :n] = third(*arguments)
        return out, skew

    return curvature


def _lazy(flow: Training, data: Data, grid: Grid, centred: bool) -> xr.Dataset:
    """The closed form at gamma = 0: the tangent kernel stays, and differs from network to network."""
    reasons = {
        f"gamma={flow.gamma:g} with {flow.hidden_layers} hidden layers": flow.gamma != 0,
        "centred=False at gamma=0, where f(0) is infinite": not centred,
        f"outputs={flow.outputs}": flow.outputs > 1,
        "momentum or weight_decay": bool(flow.momentum or flow.weight_decay),
    }
    for reason, holds in reasons.items():
        if holds:
            raise NotAvailable(
                f"fluctuations: {reason}; allowed: one hidden layer (depth=2), or gamma=0 with one output and plain steps"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        found = predict_at_initialisation(flow.net, data.inputs, ("K", "Theta", "A", "B"))
    K, A, B = (found[name].values[-1] for name in ("Theta", "A", "B"))
    kappa = A + B + B.transpose(0, 1, 3, 2)  # (mu, alpha, nu, beta), of one output neuron
    grids = (grid, grid.finer()) if flow.continuous else (grid,)
    results = [_lazy_covariance(flow, data, g, K, kappa) for g in grids]
    covariance = results[0] if len(results) == 1 else 2 * results[1] - results[0]
    values = {"f_covariance": covariance[:, None, :, :, None], "f_variance": np.einsum("tptp->tp", covariance)[:, None]}
    return _dataset(flow, data, grid, {n: (v, np.zeros_like(v)) for n, v in values.items()}, {"exact": 1})


def _lazy_covariance(flow: Training, data: Data, grid: Grid, K: Array, kappa: Array) -> Array:
    P = len(data.inputs)
    errors, curvature = error_function(flow, data), curvature_function(flow, data)
    f, J = np.zeros(P), np.zeros((P, P * P))
    kept = []
    for t in range(grid.steps):
        if t in set(map(int, grid.kept)):
            kept.append(J)
        delta, second = errors(f[None])[0], curvature(f[None, None])[0].reshape(P)
        # delta f_mu has the memory of every entry (mu', alpha') of delta K
        push = np.einsum("mn,a->mna", np.eye(P), delta).reshape(P, P * P)
        J = J - grid.rate * K @ (second[:, None] * J) + grid.rate * push
        f = f + grid.rate * K @ delta
    joint = np.stack(kept)
    return np.asarray(np.einsum("tmx,xy,sny->tmsn", joint, kappa.reshape(P * P, P * P), joint, optimize=True))


_FULL = {
    "f": ("time", "output", "sample"),
    "f_covariance": ("time", "output", "sample", "time2", "output2", "sample2"),
    "Phi_equal": ("time", "sample", "sample2"),
    "NTK": ("time", "output", "sample", "output2", "sample2"),
    "loss": ("time",),
}


def _dataset(
    flow: Training, data: Data, grid: Grid, values: dict[str, tuple[Array, Array]], attrs: dict[str, Any]
) -> xr.Dataset:
    variables: dict[str, Any] = {}
    for name, (value, error) in values.items():
        like, text = MEANING[name]
        for key, array, meaning in ((name, value, text), (f"{name}_stderr", error, f"standard error of {name}")):
            variables[key] = variable(_FULL[like], array, flow.outputs, meaning)
    coords = coordinates(data, np.asarray(grid.kept * grid.rate), flow.hidden_layers or 1, flow.outputs)
    used = {d for v in variables.values() for d in v[0]} | {"set"}
    attrs = {"flow": repr(flow), "step": grid.rate, "gamma": flow.gamma} | attrs
    return xr.Dataset(variables, {k: v for k, v in coords.items() if k in used}, attrs)
