"""Predictions of how networks in training scatter at finite width, and of how their means move."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..theory.dynamics import dynamics
from ..theory.errors import ExpansionWarning, InvalidArgument, NotAvailable
from ..theory.training import Training
from . import deep_fluctuations
from .deep_fluctuations import fluctuate_deep
from .fluctuations import Options, fluctuate
from .labels import check_count, check_seed, coordinates, variable
from .predict import predict as predict_at_initialisation
from .problems import check_memory, following, problem_of, smooth
from .replicas import Moments, Progress, stored
from .samples import Data, check_data, curvature_function, error_function
from .stepping import Grid, check_times
from .training import grids_of, power_of_two

Array = NDArray[np.float64]
QUANTITIES = ("f", "NTK", "Phi", "G")
#: Sites of a replica with one hidden layer, and with several, where directions of small size are sampled too.
SITES, DEEP_SITES = 4096, 16384
MEANING = {
    "f_variance": ("f", "N times the variance of the predictions over initialisations"),
    "f_covariance": ("f_covariance", "N times the covariance of the predictions over initialisations"),
    "Phi_variance": ("Phi", "N times the variance of the overlap of activities at equal times"),
    "G_variance": ("G", "N times the variance of the overlap of gradients at equal times"),
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
    quantities: str | Sequence[str] = ("f", "NTK"),
    centred: bool = True,
    samples: int | None = None,
    replicas: int = 8,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    r"""Fluctuations over initialisations and shifts of the mean, to leading order in 1/N.

    Equation
        .. math:: N\,\mathrm{Cov}(q,q)=(1-J)^{-1}S(1-J)^{-\top},\qquad
            E f=f_\infty+\tfrac1Nf_1,\qquad E\mathcal L=\mathcal L_\infty+\tfrac1N\mathcal L_1

        with S the covariance of one neuron's contribution to the averages q, and J how the averages answer to themselves. Several
        hidden layers: averages are the Gram matrices of activities and gradients, and what the matrices between layers remember
        (``numerics.interfaces``), which holds A and B.
        For :math:`\gamma_0=0` and any depth: :math:`\delta f(t+1)=(1-\eta K\ell'')\delta f(t)+\eta\,\delta K\,\Delta(t)` with
        :math:`N\,\mathrm{Cov}(K_{\mu\alpha},K_{\nu\beta})=A_{\mu\alpha\nu\beta}+B_{\mu\alpha\nu\beta}+B_{\mu\alpha\beta\nu}`
        of ``predict(net, X)``.
    Shapes
        As ``predict``. f_variance (time, sample), f_covariance (time, sample, time2, sample2), and as asked for NTK_variance (time,
        sample, sample2), Phi_variance and G_variance (layer, time, sample, sample2) at equal times, f1 (time, sample), loss1
        (time); with ``output`` axes if there are several.
    Units
        Everything is multiplied by N: divide by the width. ``centred``: predictions are :math:`f-f(0)`.
    Valid
        Leading order in 1/N. One hidden layer: any :math:`\gamma_0`, kinks too; f1 and loss1 for smooth activations. Several: any
        :math:`\gamma_0>0` and smooth activations, without f1 and loss1; :math:`\gamma_0=0`: f_variance and f_covariance of
        one output, centred. ``samples`` sites (4096, or 16384 with several hidden layers) in ``replicas`` independent solutions,
        whose spread is ``<name>_stderr``. An ensemble of E networks has 1/E of the variance, and the same shift.
    Errors
        Those of ``predict``; ``NotAvailable`` for what is not valid.
    Source
        Derived; for one hidden layer Bordelon & Pehlevan (arXiv:2304.03408).
    """
    data = check_data(flow, X, y, X_test)
    grid = check_times(flow, data, times)
    replicas, seed = check_count("replicas", replicas, 2), check_seed(seed)
    kernels = _kernels(quantities)
    deep = flow.hidden_layers != 1
    if flow.gamma == 0 and not centred:
        raise NotAvailable(
            "fluctuations: centred=False at gamma=0, where f(0) is infinite; allowed: centred=True, or gamma > 0"
        )
    if deep and flow.gamma == 0:
        return _lazy(flow, data, grid)
    if deep and not smooth(flow.net):
        raise NotAvailable(
            f"fluctuations: {flow.net!r}: the slope of an activation jumps, and what neurons of several hidden layers answer to "
            "holds its second derivative; allowed: one hidden layer (depth=2), or smooth activations such as 'gelu'"
        )
    sites = power_of_two("samples", (DEEP_SITES if deep else SITES) if samples is None else samples, data, flow)
    found = dynamics(flow)
    grids = grids_of(flow, data, grid, found)
    problems = [replace(problem_of(flow, found, data, g, sites), exact=False) for g in grids]
    if deep:  # variations leave the span of the fields, in which alone regressions are responses
        problems = [following(p) for p in problems]
    check_memory(problems[-1], deep_fluctuations.memory(problems[-1]) if deep else 0.0)
    no_kinks = not any(a.kinks for a in flow.net.layer_activations)
    curvature = curvature_function(flow, data)
    ticks = [deep_fluctuations.ticks(p, len(grid.kept), kernels) if deep else p.steps for p in problems]
    moments = Moments()
    with Progress("fluctuations", replicas * sum(ticks), progress) as bar:
        for number in range(replicas):

            def compute(number: int = number) -> dict[str, Array]:
                results = []
                for g, problem in zip(grids, problems, strict=True):
                    options = Options(g.kept, data.trained, centred, kernels, no_kinks, curvature, bar.advance)
                    estimate = fluctuate_deep if deep else fluctuate
                    results.append(estimate(problem, np.random.default_rng([seed, number]), options))
                return _extrapolated(results)

            key = ("fluctuations", flow, data, grids, kernels, centred, seed, number, sites, problems[0].sites.source)
            moments.add(stored(checkpoint, key, compute))
    values = {n: (moments.mean[n], moments.stderr(n)) for n in MEANING if n in moments.mean}
    return _dataset(flow, data, grids[0], values, {"replicas": replicas, "samples": sites, "exact": 0})


def _kernels(quantities: str | Sequence[str]) -> tuple[str, ...]:
    """The kernels that are asked for beside the predictions."""
    listed = (quantities,) if isinstance(quantities, str) else tuple(quantities)
    for name in listed:
        if name not in QUANTITIES:
            raise InvalidArgument(f"quantities={quantities!r}: {name!r} is not known; allowed: {', '.join(QUANTITIES)}")
    return tuple(name for name in QUANTITIES[1:] if name in listed)


def _extrapolated(results: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Of gradient flow: the second result has half the step."""
    if len(results) == 1:
        return results[0]
    coarse, fine = results
    return {name: 2 * fine[name] - coarse[name] for name in fine}


def _lazy(flow: Training, data: Data, grid: Grid) -> xr.Dataset:
    """The closed form at gamma = 0: the tangent kernel stays, and differs from network to network."""
    reasons = {
        f"outputs={flow.outputs}": flow.outputs > 1,
        "momentum or weight_decay": bool(flow.momentum or flow.weight_decay),
    }
    for reason, holds in reasons.items():
        if holds:
            raise NotAvailable(
                f"fluctuations: {reason} at gamma=0 with several hidden layers; allowed: one output and plain steps, or gamma > 0"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        found = predict_at_initialisation(flow.net, data.inputs, ("K", "Theta", "A", "B"))
    K, A, B = (found[name].values[-1] for name in ("Theta", "A", "B"))
    kappa = A + B + B.transpose(0, 1, 3, 2)  # (mu, alpha, nu, beta), of one output neuron
    grids = (grid, grid.finer()) if flow.continuous else (grid,)
    covariance = _extrapolated([{"f": _lazy_covariance(flow, data, g, K, kappa)} for g in grids])["f"]
    values = {"f_covariance": covariance[:, None, :, :, None], "f_variance": np.einsum("tptp->tp", covariance)[:, None]}
    return _dataset(flow, data, grid, {n: (v, np.zeros_like(v)) for n, v in values.items()}, {"exact": 1})


def _lazy_covariance(flow: Training, data: Data, grid: Grid, K: Array, kappa: Array) -> Array:
    P = len(data.inputs)
    errors, curvature = error_function(flow, data), curvature_function(flow, data)
    f, J = np.zeros(P), np.zeros((P, P * P))
    kept, wanted = [], set(map(int, grid.kept))
    for t in range(grid.steps):
        if t in wanted:
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
    "Phi": ("layer", "time", "sample", "sample2"),
    "G": ("layer", "time", "output", "sample", "output2", "sample2"),
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
