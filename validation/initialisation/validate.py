"""The verb ``validate``: predict, simulate at several widths, extrapolate, compare, judge."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ...numerics.initialisation.given import Given
from ...numerics.initialisation.predict import predict
from ...numerics.runs.inputs import check_inputs
from ...theory.language.checks import check_counts, check_seed
from ...theory.language.errors import ExpansionWarning, InvalidArgument
from ...theory.language.quantities import TENSORS, quantity
from ...theory.networks.architecture import MLP
from ..confrontation.again import alike, arguments
from ..confrontation.compare import compare
from ..confrontation.report import Report
from ..confrontation.verdict import RESOLUTION, check_alpha, check_resolution
from .cumulants import no_estimator
from .estimators import lower_orders, missing
from .simulate import simulate

DEFAULT_WIDTHS = (32, 64, 128)
DEFAULT_ALPHA = 0.01
#: The module with the figures and texts of the report.
PAGE = "widthwise.validation.initialisation.page"


def validate(
    net: MLP,
    X: ArrayLike,
    *,
    widths: Sequence[int | Sequence[int]] | None = None,
    networks: int | Sequence[int] = 10_000,
    seed: int = 0,
    quantities: str | Sequence[str] | None = None,
    alpha: float = DEFAULT_ALPHA,
    resolution: float = RESOLUTION,
    neurons: int | None = None,
    equations: Given | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
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
        at most ``alpha`` in the whole family of comparisons. A quantity with error bars above ``resolution``, relative to its
        predictions, may fail but not pass: it is not tested. ``equations`` puts another system in the place of the derived one:
        a negative control, which ``simulate`` knows nothing of.
    Errors
        Those of ``predict`` and ``simulate``; ``InvalidArgument`` for widths that are too few or out of proportion.
    """
    check_alpha(alpha)
    check_resolution(resolution)
    seed = check_seed(seed)
    inputs = check_inputs(X)
    nets = _family(net, widths)
    counts = check_counts("networks", networks, len(nets), 2, of="widths", why="a standard error needs at least 2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)  # the extrapolation is the remedy for a small width
        order = _order(quantities)
        theory = predict(nets[0], inputs, quantities, order=order, equations=equations)
        wanted = [lower for row in TENSORS.values() if row.name in theory for lower, _ in lower_orders(row)]
        known = equations is None and set(wanted) <= set(theory.data_vars)
        full = theory if known or not wanted else predict(nets[0], inputs, wanted, order=order)
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
            executor=executor,
            progress=progress,
        )
        for i, (n, c) in enumerate(zip(nets, counts, strict=True))
    ]
    if not nets[0].ensembles[0].gaussian:
        simulations = [_at_first_width(s, n, theory, inputs, equations) for s, n in zip(simulations, nets, strict=True)]
    return confront(net, inputs, theory, simulations, alpha=alpha, resolution=resolution, equations=equations)


def confront(
    net: MLP, X: ArrayLike, theory: xr.Dataset, simulations: Sequence[xr.Dataset], *, alpha: float = DEFAULT_ALPHA,
    resolution: float = RESOLUTION, equations: Given | None = None,
) -> Report:  # fmt: skip
    """The report on a theory and simulations at several widths, as ``validate`` makes it."""
    return compare(
        TENSORS.values(), theory, simulations, subject=net, alpha=alpha, resolution=resolution, page=PAGE,
        arrays=_arrays(X, simulations), equations=equations,
        attrs=_attributes(net, theory, simulations) | {"arguments": _arguments(theory, simulations, alpha, resolution)},
    )  # fmt: skip


def _order(quantities: str | Sequence[str] | None) -> int:
    """The power of 1/n up to which the theory is asked for."""
    if quantities is None or not isinstance(quantities, str | Iterable):  # ``predict`` raises the error
        return 1
    names = (quantities,) if isinstance(quantities, str) else tuple(quantities)
    return max([1, *(quantity(name).order for name in names)])


def _measurable(net: MLP, theory: xr.Dataset) -> list[str]:
    """The quantities that are predicted and can be measured: a literal network with kinks has no delta functions in its Hessian."""
    predicted = (row for row in TENSORS.values() if row.name in theory and no_estimator(row) is None)
    return [row.name for row in predicted if not any(missing(row.name, a) for a in net.distinct_activations)]


def _at_first_width(
    simulation: xr.Dataset, net: MLP, theory: xr.Dataset, X: Any, equations: Given | None
) -> xr.Dataset:
    """The measurement less what the theory itself changes with width.

    A first layer that is not Gaussian fluctuates by 1/n_0 and not by 1/n, so that coefficients depend on n_1/n_0, which differs
    from width to width as the number of features does not grow along.
    """
    names = [str(name) for name in theory.data_vars if name in simulation]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        own = predict(net, X, names, equations=equations)
    shifted = {name: simulation[name] - (own[name] - theory[name]).values for name in names}
    for name in names:  # the first layer is proportional to n_0/n_1, its error too
        here, there = own[name].values[0], theory[name].values[0]
        ratio = np.divide(there, here, out=np.ones_like(here), where=here != 0)
        error = simulation[f"{name}_stderr"].copy()
        shifted[name][0], error[0] = simulation[name].values[0] * ratio, error.values[0] * ratio
        shifted[f"{name}_stderr"] = error
    return simulation.assign(shifted)


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
        raise InvalidArgument(
            f"widths={list(widths)!r}: allowed: at least two different widths, from which to extrapolate in 1/n"
        )
    return nets


def _arrays(X: Any, simulations: Sequence[xr.Dataset]) -> dict[str, Any]:
    """The inputs, and the hidden widths of each simulation."""
    hidden = np.array([np.atleast_1d(s.attrs.get("width", [])) for s in simulations], dtype=float)
    return {
        "X": (("input", "feature"), np.asarray(X, dtype=float), {"long_name": "inputs"}),
        "hidden_widths": (("width", "hidden"), hidden, {"long_name": "hidden widths of each simulation"}),
    }


def _attributes(net: MLP, theory: xr.Dataset, simulations: Sequence[xr.Dataset]) -> dict[str, Any]:
    return net.attrs | {
        "version": theory.attrs["version"],
        "source": "theory and networks",
        "neurons": int(simulations[0].attrs["neurons"]),
        "seeds": [int(s.attrs["seed"]) for s in simulations],
        "groups": [int(s.attrs["groups"]) for s in simulations],
        "average_error": float(theory["average_error"].max()),
        **{key: theory.attrs[key] for key in ("left_out",) if key in theory.attrs},
    }


def _arguments(theory: xr.Dataset, simulations: Sequence[xr.Dataset], alpha: float, resolution: float) -> str:
    """Those of ``validate`` that make the report again."""
    runs = [s.attrs for s in simulations]
    return arguments(
        widths=tuple(alike(np.atleast_1d(a.get("width", ()))) if "width" in a else () for a in runs),
        networks=alike([a["networks"] for a in runs]), seed=runs[0]["seed"],
        quantities=tuple(str(name) for name in theory.data_vars if name in simulations[0] and name in TENSORS),
        alpha=alpha, resolution=resolution, neurons=runs[0]["neurons"],
    )  # fmt: skip
