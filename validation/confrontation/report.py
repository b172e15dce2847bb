"""The report of a confrontation, for any system: a table of comparisons, a verdict, the arrays behind them, pages and files."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...numerics.runs.values import Value
from ...theory.language.errors import unknown_name
from ...theory.language.observables import Observable
from .verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Rows of the table that a notebook shows; the others are in ``table``.
SHOWN = 20
#: The page of a system that has none of its own.
PLAIN = "widthwise.validation.reports.page"


@dataclass(frozen=True, eq=False)
class Report(Value):
    r"""The result of ``validate``.

    Equation
        :math:`\sigma=(\mathrm{extrapolated}-\mathrm{predicted})/\mathrm{error}` for each comparison; it passes if the smallest
        p-value of m comparisons is above :math:`\alpha/m`.
    Shapes
        table: one row for each comparison, with a column for each axis that is no sample or output, and ``entry``: their indices
        from 0, in the order of the array's axes. data: ``K`` and so on as predicted, ``K_measured`` (width, ...),
        ``K_extrapolated``, each with its ``_stderr``; ``K_sigmas``.
    Units
        Those of ``predict``.
    Valid
        As ``verdict`` says: the false-alarm rate is that of the whole family of comparisons.
    """

    table: pd.DataFrame
    verdict: Verdict
    data: xr.Dataset
    subject: Any  #: the subject that was validated
    observables: tuple[Observable, ...]  #: those that were compared
    page: str = (
        PLAIN  #: the module with the figures, texts and equations that the system supplies, loaded when it is used
    )

    @property
    def passed(self) -> bool:
        """Whether theory and simulation agree within the stated false-alarm rate."""
        return self.verdict.passed

    @property
    def quantities(self) -> tuple[str, ...]:
        """The quantities compared."""
        return tuple(row.name for row in self.observables if row.name in self.data)

    def observable(self, name: str) -> Observable:
        """The row of a quantity that was compared."""
        for row in self.observables:
            if row.name == name:
                return row
        raise unknown_name("quantity", name, self.quantities)

    @property
    def X(self) -> NDArray[np.float64]:
        """The inputs."""
        return np.asarray(self.data["X"].values)

    @property
    def axes(self) -> tuple[str, ...]:
        """The columns of the table that say where an entry lies, but for its indices."""
        columns = list(self.table.columns)
        return tuple(columns[columns.index("quantity") + 1 : columns.index("entry")])

    @property
    def ranked(self) -> pd.DataFrame:
        """The table with failures first, then by the size of the deviation."""
        key = self.table["sigmas"].abs().rename("size")
        order = pd.concat([self.table["passed"], key], axis=1).sort_values(
            ["passed", "size"], ascending=[True, False], kind="stable"
        )
        return self.table.loc[order.index]

    @property
    def resolution(self) -> pd.Series[float]:
        """How small the error bars are: root mean squares of standard errors over those of predictions, for each quantity."""
        squares = self.table[["standard_error", "predicted"]] ** 2
        means = squares.groupby(self.table["quantity"], sort=False).mean()
        return (
            (means["standard_error"] / means["predicted"].where(means["predicted"] > 0)).pow(0.5).rename("resolution")
        )

    def plot(self, name: str | None = None) -> Figure:
        """The figure of the system for all quantities or one of them; ``"sigmas"``: the histogram of all deviations.

        Errors
            ``UnknownName`` for a name that was not validated.
        """
        module = import_module(self.page)
        drawings: dict[str, Any] = module.DRAWINGS
        if name is not None and name not in drawings and name not in self.quantities:
            raise unknown_name("plot of", name, [*self.quantities, *drawings])
        figure: Figure = drawings[name](self) if name in drawings else module.figure(self, name)
        return figure

    def to_netcdf(self, path: str | Path) -> Path:
        """All arrays."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.data.to_netcdf(path, engine="h5netcdf")
        return path

    def to_html(self, path: str | Path) -> Path:
        """One self-contained page: verdict, figures, derived equations, table and generated code.

        Valid
            The page needs no network, no script and no fonts; equations are MathML, figures are embedded.
        """
        from ..reports.page import render

        return _write(path, render(self))

    def to_latex(self, path: str | Path | None = None) -> str:
        r"""A table for a paper: one row for each quantity and layer (or time), with its worst entry beside it.

        Units
            1.234(5) is 1.234 with a standard error of 0.005. For several inputs, the entry of equal samples 0 is shown.
        Valid
            Needs the LaTeX package booktabs, and longtable if there are more than 42 rows.
        """
        from ..reports.paper import table

        text = table(self)
        if path is not None:
            _write(path, text)
        return text

    @property
    def _error_bars(self) -> str:
        shown = ", ".join(f"{name} {100 * value:.2g} %" for name, value in self.resolution.dropna().items())
        return f"error bars, relative to the predictions: {shown}"

    def __str__(self) -> str:
        return f"{self.verdict}\n{self._error_bars}\n{self.ranked.head(5).to_string(index=False)}"

    def _repr_html_(self) -> str:
        colour = "#1B7F4B" if self.passed else "#B00020"
        more = len(self.table) - SHOWN
        note = f"<p>{more} more rows, with smaller deviations, are in <code>.table</code>.</p>" if more > 0 else ""
        table = self.ranked.head(SHOWN).to_html(index=False, border=0, float_format=lambda x: f"{x:.4g}")
        style = f"border-left:6px solid {colour};padding:4px 10px"
        return f'<p style="{style}"><b>{self.verdict}</b><br>{self._error_bars}</p>{table}{note}'


def _write(path: str | Path, text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
