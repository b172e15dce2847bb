"""One observable, confronted: its theory, its measurements and the fit, with the rows and arrays that a report takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...theory.language.observables import Observable
from .fits import Extrapolation, extrapolate, lines, p_values, sigmas
from .verdict import error_bar

Array = NDArray[np.float64]

#: With this many widths two orders are left free instead of one.
ENOUGH_FOR_TWO = 4
#: Axes that count samples and outputs; their indices make up the entry of a row, all other axes have a column of their own.
COUNTED = ("sample", "output")


@dataclass(frozen=True, eq=False)
class Confronted:
    """The numbers of one observable; arrays are raveled, but for ``measured`` and ``errors``, (width, ...)."""

    row: Observable
    predicted: xr.DataArray
    noise: xr.DataArray | None  #: the standard error of the theory, where it has one
    replicas: int  #: the independent values behind it
    measured: Array
    errors: Array
    fit: Extrapolation
    scale: float  #: the size of what the observable is a difference of

    @classmethod
    def of(cls, row: Observable, theory: xr.Dataset, simulations: Sequence[xr.Dataset], scale: float) -> Self:
        """The observable of a theory and of simulations at several widths."""
        noise = theory.get(f"{row.name}_stderr")
        replicas = 0 if noise is None else int(theory.attrs["replicas"])
        return cls(row, theory[row.name], noise, replicas, *_measured(row, theory, simulations), scale)

    @cached_property
    def variances(self) -> Array:
        """Those that add up to the variance of the deviation: of each width, and of the theory, (samples, entries)."""
        own = self.fit.variances
        return own if self.noise is None else np.vstack([own, self.noise.values.ravel() ** 2])

    @property
    def dof(self) -> list[float]:
        """The degrees of freedom of these."""
        return [*self.fit.dof, *([] if self.noise is None else [max(1, self.replicas - 1)])]

    @property
    def stderr(self) -> Array:
        """The standard error of the deviation."""
        return self.fit.stderr if self.noise is None else np.hypot(self.fit.stderr, self.noise.values.ravel())

    @cached_property
    def sigma(self) -> Array:
        """The deviation in standard errors."""
        return sigmas(self.predicted.values.ravel(), self.fit.value, self.stderr, scale=self.scale)

    @cached_property
    def p(self) -> Array:
        """Its p-value."""
        return p_values(self.sigma, self.variances, self.dof)

    @cached_property
    def unique(self) -> NDArray[np.bool_]:
        """The entries that symmetry leaves different."""
        return unique(self.row, self.predicted)

    @property
    def error_bar(self) -> float:
        """How large its error bars are, relative to its predictions."""
        kept = (x[self.unique] for x in (self.predicted.values.ravel(), self.stderr, self.p))
        return error_bar(*kept, scale=self.scale)

    def lines(self, threshold: float) -> Array:
        """The size of the deviation at which each entry fails, in standard errors."""
        return lines(threshold, self.variances, self.dof)

    def table(self) -> pd.DataFrame:
        """A line for each entry that symmetry leaves different: its place, prediction and measurement."""
        keep, predicted = self.unique, self.predicted
        places = np.indices(predicted.shape).reshape(predicted.ndim, -1)[:, keep]
        index = dict(zip(map(str, predicted.dims), places, strict=True))
        counted = [d for d in index if d.rstrip("2345678") in COUNTED]
        data: dict[str, Any] = {"quantity": self.row.name}
        data |= {
            d: predicted[d].values[i] if d in predicted.coords else i for d, i in index.items() if d not in counted
        }
        short = all(predicted.sizes[d] <= 10 for d in counted)
        numbers = zip(*(index[d] for d in counted), strict=True) if counted else [()] * int(keep.sum())
        data["entry"] = [("" if short else ",").join(map(str, some)) for some in numbers]
        columns = {
            "predicted": predicted.values.ravel(), "measured": self.fit.value, "standard_error": self.stderr,
            "sigmas": self.sigma, "p_value": self.p,
        }  # fmt: skip
        return pd.DataFrame(data | {k: v[keep] for k, v in columns.items()})

    def arrays(self, line: Array) -> dict[str, Any]:
        """The arrays of the report's dataset; ``line`` is that of each entry."""
        name, dims, shape = self.row.name, tuple(map(str, self.predicted.dims)), self.predicted.shape
        described = self.predicted.attrs | {"long_name": f"{name}, predicted", "error_bar": self.error_bar}
        found: dict[str, Any] = {name: (dims, self.predicted.values, described)}
        if self.noise is not None:
            found[f"{name}_stderr"] = (dims, self.noise.values, {"long_name": f"standard error of {name}"})
        of, per_width = f"{name}_extrapolated", ("width", *dims)
        return found | {
            f"{name}_measured": (per_width, self.measured, {"long_name": f"{name}, measured at each width"}),
            f"{name}_measured_stderr": (per_width, self.errors, {"long_name": f"standard error of {name}_measured"}),
            of: (dims, self.fit.value.reshape(shape), {"long_name": f"{name}, extrapolated to 1/n = 0"}),
            f"{of}_stderr": (dims, self.fit.stderr.reshape(shape), {"long_name": f"standard error of {of}"}),
            f"{name}_sigmas": (
                dims,
                self.sigma.reshape(shape),
                {"long_name": "(extrapolated - predicted) / standard error"},
            ),
            f"{name}_line": (
                dims,
                line.reshape(shape),
                {"long_name": f"size of {name}_sigmas at which the comparison fails"},
            ),
        }


def widths_of(simulations: Sequence[xr.Dataset]) -> Array:
    """The width that stands for a system in the expansion parameter 1/n: that of the first hidden layer."""
    return np.array([float(np.atleast_1d(s.attrs.get("width", 1))[0]) for s in simulations])


def _measured(
    row: Observable, theory: xr.Dataset, simulations: Sequence[xr.Dataset]
) -> tuple[Array, Array, Extrapolation]:
    """An observable at each width with its errors, (width, ...), and the fit in 1/n."""
    widths, name = widths_of(simulations), row.slope_of or row.name
    groups = np.array([1 + s[f"{name}_stderr"].attrs.get("dof", s.attrs["groups"] - 1) for s in simulations])
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
