"""The verb ``validate``: predict, simulate at several widths, extrapolate, compare, judge."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from ...numerics.initialisation.predict import predict
from ...numerics.runs.inputs import check_inputs
from ...theory.language.errors import ExpansionWarning, InvalidArgument
from ...theory.language.quantities import TENSORS, Quantity, quantity, symmetries
from ...theory.networks.architecture import MLP
from ..confrontation.verdict import check_alpha, extrapolate, judge, p_values, sigmas
from .estimators import CORRECTIONS, NEEDS_NTK, missing
from .page import Report
from .simulate import simulate

DEFAULT_WIDTHS = (32, 64, 128)
DEFAULT_ALPHA = 0.01
#: With this many widths two orders are left free instead of one.
ENOUGH_FOR_TWO = 4


def validate(
    net: MLP,
    X: ArrayLike,
    *,
    widths: Sequence[int | Sequence[int]] | None = None,
    networks: int | Sequence[int] = 10_000,
    seed: int = 0,
    quantities: str | Sequence[str] | None = None,
    alpha: float = DEFAULT_ALPHA,
    neurons: int | None = None,
    workers: int | None = None,
    progress: bool | None = None,
) -> Report:
    r"""Confront the derived theory with literal finite networks.

    Equation
        For each unique tensor entry, :math:`n\times` (connected correlator) is measured at several widths n and extrapolated,
        :math:`y(n)=c_0+c_1/n` with c_1 free (and :math:`c_2/n^2` from four widths on);
        :math:`(c_0-\mathrm{theory})/\mathrm{stderr}` is judged in sigmas.
    Shapes
        X: (m, n_0). ``widths``: at least two networks of the same shape, as ints or as sequences of the hidden widths in
        fixed proportion. Default: 1, 2, 4 times the width of ``net``, or 32, 64, 128 if it has none.
    Units
        ``networks`` are drawn at each width (one number, or one for each).
    Valid
        The leading coefficients, up to the order 1/n^2 that the fit leaves out. A true theory is failed with probability
        at most ``alpha`` in the whole family of comparisons.
    Errors
        Those of ``predict`` and ``simulate``; ``InvalidArgument`` for widths that are too few or out of proportion.
    """
    check_alpha(alpha)
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InvalidArgument(f"seed={seed!r}; allowed: integers from 0")
    inputs = check_inputs(X)
    nets = _family(net, widths)
    counts = _counts(networks, len(nets))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)  # the extrapolation is the remedy for a small width
        theory = predict(nets[0], inputs, quantities)
        wanted = [limit for name, limit in CORRECTIONS.items() if name in theory]
        full = theory if set(wanted) <= set(theory.data_vars) else predict(nets[0], inputs, wanted)
    limits = {name: full[name].values for name in wanted}
    names = _measurable(net, theory)
    simulations = [
        simulate(
            n,
            inputs,
            networks=c,
            seed=seed + i,
            quantities=names,
            limits=limits,
            neurons=neurons,
            workers=workers,
            progress=progress,
        )
        for i, (n, c) in enumerate(zip(nets, counts, strict=True))
    ]
    if not nets[0].ensembles[0].gaussian:
        simulations = [_at_first_width(s, n, theory, inputs) for s, n in zip(simulations, nets, strict=True)]
    return compare(net, inputs, theory, simulations, alpha=alpha)


def _measurable(net: MLP, theory: xr.Dataset) -> list[str]:
    """What is predicted and can be measured: a literal network with kinks has no delta functions in its Hessian."""
    predicted = (q.name for q in TENSORS.values() if q.name in theory)
    return [n for n in predicted if n in NEEDS_NTK and not any(missing(n, a) for a in net.distinct_activations)]


def _at_first_width(simulation: xr.Dataset, net: MLP, theory: xr.Dataset, X: Any) -> xr.Dataset:
    """The measurement less what the theory itself changes with width.

    A first layer that is not Gaussian fluctuates by 1/n_0 and not by 1/n, so that coefficients depend on n_1/n_0, which differs
    from width to width as the number of features does not grow along.
    """
    names = [str(name) for name in theory.data_vars if name in simulation]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        own = predict(net, X, names)
    shifted = {name: simulation[name] - (own[name] - theory[name]).values for name in names}
    for name in names:  # the first layer is proportional to n_0/n_1, its error too
        here, there = own[name].values[0], theory[name].values[0]
        ratio = np.divide(there, here, out=np.ones_like(here), where=here != 0)
        error = simulation[f"{name}_stderr"].copy()
        shifted[name][0], error[0] = simulation[name].values[0] * ratio, error.values[0] * ratio
        shifted[f"{name}_stderr"] = error
    return simulation.assign(shifted)


def compare(
    net: MLP, X: ArrayLike, theory: xr.Dataset, simulations: Sequence[xr.Dataset], *, alpha: float = DEFAULT_ALPHA
) -> Report:
    """The report on a theory and simulations at several widths, which ``validate`` makes."""
    widths = np.array([_scale(s) for s in simulations])
    groups = np.array([s.attrs["groups"] for s in simulations], dtype=float)
    tables: list[pd.DataFrame] = []
    arrays: dict[str, Any] = {}
    for row in TENSORS.values():
        if row.name not in theory or row.name not in simulations[0]:
            continue
        name = row.name
        predicted = theory[name].values
        measured = np.stack([s[name].values for s in simulations])
        errors = np.stack([s[f"{name}_stderr"].values for s in simulations])
        flat = (len(simulations), -1)
        # A network of one layer has no width, and nothing to extrapolate.
        powers = (0,) if net.depth == 1 else (0, -1) if len(widths) < ENOUGH_FOR_TWO else (0, -1, -2)
        fit = extrapolate(widths, measured.reshape(flat), errors.reshape(flat), groups=groups, powers=powers)
        sigma = sigmas(predicted.ravel(), fit.value, fit.stderr, scale=_natural_scale(row, theory))
        columns = {
            "measured": fit.value,
            "standard_error": fit.stderr,
            "sigmas": sigma,
            "p_value": p_values(sigma, fit.variances, fit.dof),
        }
        tables.append(_rows(name, predicted, columns))
        arrays |= _arrays(
            name, theory[name], measured, errors, {k: v.reshape(predicted.shape) for k, v in columns.items()}
        )
    table = pd.concat(tables, ignore_index=True)
    verdict = judge(table["p_value"].to_numpy(), alpha)
    table["passed"] = table["p_value"] >= verdict.threshold
    arrays["X"] = (("input", "feature"), np.asarray(X, dtype=float), {"long_name": "inputs"})
    hidden = np.array([np.atleast_1d(s.attrs.get("width", [])) for s in simulations], dtype=float)
    arrays["hidden_widths"] = (("width", "hidden"), hidden, {"long_name": "hidden widths of each simulation"})
    data = xr.Dataset(
        arrays, {"width": widths, "layer": theory["layer"].values}, _attributes(theory, simulations, alpha)
    )
    return Report(table, verdict, data, net, np.asarray(X, dtype=float))


def _natural_scale(row: Quantity, theory: xr.Dataset) -> float:
    """The size of the products of kernels that a cumulant is a difference of: K for z, Theta for d_r z."""
    size = {name: float(np.abs(theory[name]).max()) if name in theory else 0.0 for name in ("K", "Theta")}
    jets = [directions for pair in row.pairs for directions, _ in pair]
    return float(np.prod([np.sqrt(size["Theta" if directions else "K"]) for directions in jets]))


def _family(net: MLP, widths: Sequence[int | Sequence[int]] | None) -> list[MLP]:
    """The networks of different widths and one shape."""
    if widths is None:
        base = net.width
        if base is None:
            widths = DEFAULT_WIDTHS
        else:
            widths = [base * k if isinstance(base, int) else [n * k for n in base] for k in (1, 2, 4)]
    if not isinstance(widths, Sequence | np.ndarray) or isinstance(widths, str):
        raise InvalidArgument(f"widths={widths!r}; allowed: a sequence of at least two widths, e.g. (32, 64, 128)")
    if net.parametrization.name != "pdlt":  # the hyperparameters of the first width, so that 1/n alone varies
        net = net.at_width(widths[0]).to("pdlt")
    nets = [net.at_width(w) for w in widths]
    shapes = [np.array(n.hidden_widths or (1,), dtype=float) for n in nets]
    if any(not np.allclose(s / s[0], shapes[0] / shapes[0][0]) for s in shapes):
        raise InvalidArgument(
            f"widths={list(widths)!r} are not in proportion; allowed: one set of hidden widths times integers"
        )
    if len({s[0] for s in shapes}) < 2 and (net.depth or 1) > 1:
        raise InvalidArgument(f"widths={list(widths)!r}: the extrapolation in 1/n needs at least two different widths")
    return nets


def _counts(networks: int | Sequence[int], number: int) -> list[int]:
    if not isinstance(networks, Integral | Sequence):
        raise InvalidArgument(f"networks={networks!r}; allowed: an integer from 2, or one for each width")
    counts = [int(networks)] * number if isinstance(networks, Integral) else list(networks)
    if len(counts) != number:
        raise InvalidArgument(
            f"networks={counts} has {len(counts)} entries for {number} widths; allowed: one number, or one for each width"
        )
    return counts


def _scale(simulation: xr.Dataset) -> float:
    """The width that stands for the network in the expansion parameter 1/n: that of the first hidden layer."""
    return float(np.atleast_1d(simulation.attrs.get("width", 1))[0])


def _rows(name: str, predicted: Any, columns: Mapping[str, Any]) -> pd.DataFrame:
    """One row for each entry that its symmetries leave different."""
    rank = quantity(name).rank
    keep, layers, entries = [], [], []
    for number, (layer, *index) in enumerate(product(*map(range, predicted.shape))):
        if tuple(index) == min(tuple(index[i] for i in p) for p in symmetries(name)):
            keep.append(number)
            layers.append(layer + 1)
            entries.append("".join(map(str, index)) if predicted.shape[1] <= 10 else ",".join(map(str, index)))
    assert rank == len(index)
    data = {"quantity": name, "layer": layers, "entry": entries, "predicted": predicted.ravel()[keep]}
    return pd.DataFrame(data | {k: v[keep] for k, v in columns.items()})


def _arrays(name: str, theory: xr.DataArray, measured: Any, errors: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    dims = theory.dims
    return {
        name: (dims, theory.values, theory.attrs | {"long_name": f"{name}, predicted"}),
        f"{name}_measured": (("width", *dims), measured, {"long_name": f"{name}, measured at each width"}),
        f"{name}_measured_stderr": (("width", *dims), errors, {"long_name": f"standard error of {name}_measured"}),
        f"{name}_extrapolated": (dims, columns["measured"], {"long_name": f"{name}, extrapolated to 1/n = 0"}),
        f"{name}_extrapolated_stderr": (
            dims,
            columns["standard_error"],
            {"long_name": f"standard error of {name}_extrapolated"},
        ),
        f"{name}_sigmas": (dims, columns["sigmas"], {"long_name": "(extrapolated - predicted) / standard error"}),
    }


def _attributes(theory: xr.Dataset, simulations: Sequence[xr.Dataset], alpha: float) -> dict[str, Any]:
    first = simulations[0].attrs
    kept = {k: v for k, v in first.items() if k not in ("width", "networks", "seed", "groups", "output_width")}
    return kept | {
        "alpha": alpha,
        "networks": [int(s.attrs["networks"]) for s in simulations],
        "seeds": [int(s.attrs["seed"]) for s in simulations],
        "groups": [int(s.attrs["groups"]) for s in simulations],
        "average_error": float(theory["average_error"].max()),
    }
