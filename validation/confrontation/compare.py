r"""The comparison of a theory with measurements at several widths, for any system: extrapolated in 1/n, judged in sigmas.

A system supplies its observables (axes, symmetries, slopes) and datasets with the same names and axes from theory and from literal
networks; nothing here knows of layers or of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...theory.language.observables import Observable
from .report import PLAIN, Report
from .verdict import Extrapolation, extrapolate, judge, p_values, sigmas

Array = NDArray[np.float64]

#: With this many widths two orders are left free instead of one.
ENOUGH_FOR_TWO = 4
#: Axes that count samples and outputs; their indices make up the entry of a row, all other axes have a column of their own.
COUNTED = ("sample", "output")


def compare(
    observables: Iterable[Observable],
    theory: xr.Dataset,
    simulations: Sequence[xr.Dataset],
    *,
    subject: Any,
    alpha: float,
    page: str = PLAIN,
    arrays: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> Report:
    r"""The report on a theory and simulations at several widths.

    Equation
        :math:`y(n)=c_0+c_1/n` (and :math:`c_2/n^2` from four widths on) is fitted to each entry, and
        :math:`(c_0-\mathrm{theory})/\mathrm{stderr}` judged. An observable that is a slope is confronted with :math:`c_1` of the
        mean that it belongs to, with :math:`c_2/n^2` left free and the theory of the mean as the measurement at infinite width.
    Shapes
        ``theory`` and each simulation hold a variable for each observable, with its axes; simulations ``<name>_stderr`` beside it,
        and ``width``, ``networks``, ``groups`` in their attributes. Observables that one side lacks are not compared.
    Units
        The standard error is that of the fit, and of the theory where it has one (``<name>_stderr``, with
        ``theory.attrs["replicas"]`` independent values behind it).
    Valid
        A true theory fails with probability at most ``alpha`` in the whole family of comparisons.
    Errors
        ``InvalidArgument`` for widths too few for the fit.
    """
    rows = [r for r in observables if r.name in theory and (r.slope_of or r.name) in simulations[0]]
    largest = {str(name): float(np.abs(theory[name]).max()) for name in theory.data_vars}
    tables, found = list[pd.DataFrame](), dict[str, Any]()
    for row in rows:
        predicted, noise = theory[row.name], theory.get(f"{row.name}_stderr")
        measured, errors, fit = _measured(row, theory, simulations)
        variances, dof = fit.variances, list(fit.dof)
        if noise is not None:
            variances = np.vstack([variances, noise.values.ravel() ** 2])
            dof.append(max(1, int(theory.attrs["replicas"]) - 1))
        stderr = fit.stderr if noise is None else np.hypot(fit.stderr, noise.values.ravel())
        sigma = sigmas(predicted.values.ravel(), fit.value, stderr, scale=row.scale(largest))
        columns = {"measured": fit.value, "standard_error": stderr, "sigmas": sigma}
        columns["p_value"] = p_values(sigma, variances, dof)
        tables.append(_rows(row, predicted, columns))
        found |= _arrays(row.name, predicted, noise, measured, errors, fit, sigma)
    table = _together(tables)
    verdict = judge(table["p_value"].to_numpy(), alpha)
    table["passed"] = table["p_value"] >= verdict.threshold
    used = {dim for value in found.values() for dim in value[0]}
    coords = {"width": _widths(simulations)} | {
        str(n): c.variable for n, c in theory.coords.items() if _labels(c, used)
    }
    counts = {"networks": [int(s.attrs["networks"]) for s in simulations]}
    data = xr.Dataset(found | dict(arrays or {}), coords, {"alpha": alpha} | counts | dict(attrs or {}))
    return Report(table, verdict, data, subject, tuple(rows), page)


def _widths(simulations: Sequence[xr.Dataset]) -> Array:
    """The width that stands for a system in the expansion parameter 1/n: that of the first hidden layer."""
    return np.array([float(np.atleast_1d(s.attrs.get("width", 1))[0]) for s in simulations])


def _measured(
    row: Observable, theory: xr.Dataset, simulations: Sequence[xr.Dataset]
) -> tuple[Array, Array, Extrapolation]:
    """An observable at each width with its errors, (width, ...), and the fit in 1/n."""
    widths, name = _widths(simulations), row.slope_of or row.name
    groups = np.array([s.attrs["groups"] for s in simulations], dtype=float)
    y, errors = (np.stack([s[key].values for s in simulations]) for key in (name, f"{name}_stderr"))
    flat = [x.reshape(len(widths), -1) for x in (y, errors)]
    if row.slope_of is None:
        # One width alone, of networks without hidden layers, has nothing to extrapolate.
        free = 1 if len(set(widths.tolist())) == 1 else 2 if len(widths) < ENOUGH_FOR_TWO else 3
        return y, errors, extrapolate(widths, *flat, groups=groups, powers=(0, -1, -2)[:free])
    limit = [theory[key].values for key in (name, f"{name}_stderr")]
    flat = [np.vstack([x, at.reshape(1, -1)]) for x, at in zip(flat, limit, strict=True)]
    all_widths, groups = np.append(widths, np.inf), np.append(groups, max(2, theory.attrs["replicas"]))
    fit = extrapolate(all_widths, *flat, groups=groups, powers=(0, -1, -2), power=-1)
    scale = widths.reshape(-1, *[1] * limit[0].ndim)
    return scale * (y - limit[0]), scale * errors, fit


def unique(row: Observable, array: xr.DataArray) -> NDArray[np.bool_]:
    """Which entries of an array, raveled, its symmetries leave different: the first of each class."""
    present = [row.dims.index(str(d)) for d in array.dims]
    place = {axis: i for i, axis in enumerate(present)}
    index = np.indices(array.shape).reshape(array.ndim, -1)
    keep, own = np.ones(array.size, dtype=bool), np.arange(array.size)
    for permutation in row.symmetries:
        moved = [place[permutation[axis]] for axis in present]
        keep &= own <= np.ravel_multi_index(tuple(index[moved]), array.shape)
    return keep


def _rows(row: Observable, predicted: xr.DataArray, columns: Mapping[str, Array]) -> pd.DataFrame:
    """A line for each entry that symmetry leaves different: its place, prediction and measurement."""
    keep = unique(row, predicted)
    index = dict(
        zip(map(str, predicted.dims), np.indices(predicted.shape).reshape(predicted.ndim, -1)[:, keep], strict=True)
    )
    counted = [d for d in index if d.rstrip("2345678") in COUNTED]
    data: dict[str, Any] = {"quantity": row.name}
    data |= {d: predicted[d].values[i] if d in predicted.coords else i for d, i in index.items() if d not in counted}
    short = all(predicted.sizes[d] <= 10 for d in counted)
    numbers = zip(*(index[d] for d in counted), strict=True) if counted else [()] * int(keep.sum())
    data["entry"] = [("" if short else ",").join(map(str, some)) for some in numbers]
    data["predicted"] = predicted.values.ravel()[keep]
    return pd.DataFrame(data | {k: v[keep] for k, v in columns.items()})


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table, the columns of axes in front; where a quantity has no such axis its cell is empty."""
    longest = sorted(tables, key=lambda t: len(t.columns), reverse=True)
    order = dict.fromkeys(column for t in longest for column in t.columns)
    whole = {c for t in tables for c in t.columns if pd.api.types.is_integer_dtype(t[c])}
    table = pd.concat(tables, ignore_index=True)[list(order)]
    gaps = [c for c in whole if table[c].isna().any()]
    return table.astype(dict.fromkeys(gaps, "Int64"))


def _arrays(
    name: str,
    predicted: xr.DataArray,
    noise: xr.DataArray | None,
    measured: Array,
    errors: Array,
    fit: Extrapolation,
    sigma: Array,
) -> dict[str, Any]:
    dims, shape = tuple(map(str, predicted.dims)), predicted.shape
    found: dict[str, Any] = {name: (dims, predicted.values, predicted.attrs | {"long_name": f"{name}, predicted"})}
    if noise is not None:
        found[f"{name}_stderr"] = (dims, noise.values, {"long_name": f"standard error of {name}"})
    of = f"{name}_extrapolated"
    return found | {
        f"{name}_measured": (("width", *dims), measured, {"long_name": f"{name}, measured at each width"}),
        f"{name}_measured_stderr": (("width", *dims), errors, {"long_name": f"standard error of {name}_measured"}),
        of: (dims, fit.value.reshape(shape), {"long_name": f"{name}, extrapolated to 1/n = 0"}),
        f"{of}_stderr": (dims, fit.stderr.reshape(shape), {"long_name": f"standard error of {of}"}),
        f"{name}_sigmas": (dims, sigma.reshape(shape), {"long_name": "(extrapolated - predicted) / standard error"}),
    }


def _labels(coordinate: xr.DataArray, used: set[str]) -> bool:
    """Whether a coordinate says more than that its axis counts."""
    counts = coordinate.dtype.kind in "iu" and np.array_equal(coordinate.values, np.arange(coordinate.size))
    return set(map(str, coordinate.dims)) <= used and not counts
