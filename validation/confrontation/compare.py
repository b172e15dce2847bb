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

from ...theory.language.observables import Observable
from .confronted import Confronted, widths_of
from .report import PLAIN, Report
from .verdict import RESOLUTION, check_resolution, judge


def compare(
    observables: Iterable[Observable],
    theory: xr.Dataset,
    simulations: Sequence[xr.Dataset],
    *,
    subject: Any,
    alpha: float,
    resolution: float = RESOLUTION,
    page: str = PLAIN,
    arrays: Mapping[str, Any] | None = None,
    attrs: Mapping[str, Any] | None = None,
    equations: Any = None,
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
        A true theory fails with probability at most ``alpha`` in the whole family of comparisons. Quantities with error bars above
        ``resolution``, relative to their predictions, are not tested, and the verdict says so.
    Errors
        ``InvalidArgument`` for widths too few for the fit.
    """
    resolution = check_resolution(resolution)
    rows = [r for r in observables if r.name in theory and (r.slope_of or r.name) in simulations[0]]
    largest = {str(name): float(np.abs(theory[name]).max()) for name in theory.data_vars}
    found = [Confronted.of(row, theory, simulations, row.scale(largest)) for row in rows]
    coarse = tuple(c.row.name for c in found if c.error_bar > resolution)
    table = _together([c.table() for c in found])
    failing = judge(table["p_value"], alpha).threshold > table["p_value"]
    coarse = tuple(name for name in coarse if name not in set(table["quantity"][failing]))  # what fails is tested
    tested = ~table["quantity"].isin(coarse)
    verdict = judge(table["p_value"], alpha, tested=tested, coarse=coarse, resolution=resolution)
    limits = [c.lines(verdict.threshold) for c in found]
    own = np.concatenate([line[c.unique] for c, line in zip(found, limits, strict=True)])
    table.insert(list(table.columns).index("p_value"), "line", own)
    table["passed"] = table["p_value"] >= verdict.threshold
    table["verdict"] = verdict.words(table["p_value"], tested)
    held = dict(arrays or {})
    for c, line in zip(found, limits, strict=True):
        held = c.arrays(line) | held
    counts = {"alpha": alpha, "resolution": resolution, "networks": [int(s.attrs["networks"]) for s in simulations]}
    data = xr.Dataset(held, _coordinates(theory, simulations, held), counts | dict(attrs or {}))
    return Report(table, verdict, data, subject, tuple(rows), page, equations)


def _coordinates(theory: xr.Dataset, simulations: Sequence[xr.Dataset], held: Mapping[str, Any]) -> dict[str, Any]:
    """The widths, and the labels of the theory's axes that are used and say more than that they count."""
    used = {dim for value in held.values() for dim in value[0]}
    own = {str(name): c.variable for name, c in theory.coords.items() if _labels(c, used)}
    return {"width": widths_of(simulations)} | own


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table, the columns of axes in front; where a quantity has no such axis its cell is empty."""
    longest = sorted(tables, key=lambda t: len(t.columns), reverse=True)
    order = dict.fromkeys(column for t in longest for column in t.columns)
    whole = {c for t in tables for c in t.columns if pd.api.types.is_integer_dtype(t[c])}
    table = pd.concat(tables, ignore_index=True)[list(order)]
    gaps = [c for c in whole if table[c].isna().any()]
    return table.astype(dict.fromkeys(gaps, "Int64"))


def _labels(coordinate: xr.DataArray, used: set[str]) -> bool:
    """Whether a coordinate says more than that its axis counts."""
    counts = coordinate.dtype.kind in "iu" and np.array_equal(coordinate.values, np.arange(coordinate.size))
    return set(map(str, coordinate.dims)) <= used and not counts
