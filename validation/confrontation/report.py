"""The report of a confrontation, for any system: a table of comparisons, a verdict, the arrays behind them, pages and files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...numerics.runs.values import Value
from ...theory.language import markup
from ...theory.language.errors import unknown_name
from ...theory.language.extras import needed, require
from ...theory.language.observables import Observable
from .advice import Advice, advice
from .again import again
from .tables import written
from .verdict import FAILED, NOT_TESTED, PASSED, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..reports.sheets import Drawing

#: Rows of the table that a notebook shows; the others are in ``table``.
SHOWN = 20
#: Rows that text shows.
WORST = 5
#: The page of a system that has none of its own.
PLAIN = "widthwise.validation.reports.page"


@dataclass(frozen=True, eq=False, repr=False)
class Report(Value):
    r"""The result of ``validate``.

    Equation
        :math:`\sigma=(\mathrm{extrapolated}-\mathrm{predicted})/\mathrm{error}` for each comparison; it fails where its size is
        above ``line``, which is where its p-value is below :math:`\alpha/m` of m comparisons. Rows of quantities with error bars
        above ``data.attrs["resolution"]`` that do not fail are not tested. ``passed``: within the line; ``verdict``: whether that
        says something.
    Shapes
        table: one row for each comparison, with a column for each axis that is no sample or output, and ``entry``: their indices
        from 0, in the order of the array's axes. data: ``K`` and so on as predicted, ``K_measured`` (width, ...),
        ``K_extrapolated``, each with its ``_stderr``; ``K_sigmas`` and their ``K_line``; ``K.attrs["error_bar"]``.
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
    equations: Any = None  #: those that were given in the place of the derived ones

    @property
    def passed(self) -> bool:
        """Whether something was tested and theory and simulation agree there, within the stated false-alarm rate.

        It speaks of the quantities whose error bars are small enough, not of those in ``verdict.coarse``.
        """
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
        """The table by p-value: failures first, then what comes nearest to its line."""
        p, size = self.table["p_value"], -self.table["sigmas"].abs().rename("size")
        order = pd.concat([p, size], axis=1).sort_values(["p_value", "size"], kind="stable")
        return self.table.loc[order.index]

    @property
    def resolution(self) -> pd.Series[float]:
        """How small the error bars of each quantity are: root mean squares of standard errors over those of predictions.

        Of ``data[name].attrs["error_bar"]``, the one definition (``verdict.error_bar``) of text, pages, figures and files.
        """
        bars = {name: float(self.data[name].attrs["error_bar"]) for name in self.quantities}
        return pd.Series(bars, dtype=float, name="resolution")

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What to do next: how to tell chance from error after a failure, and what makes error bars small enough for a test."""
        return advice(self)

    @property
    def again(self) -> str:
        """Python that makes the report again: the call with all arguments, and the data."""
        return again(self)

    def plot(self, name: str | None = None, *, ax: Any = None) -> Any:
        """All quantities or one of them, as the system draws them, or ``"deviations"`` and their histogram ``"sigmas"``.

        Shapes
            Returns the Axes, one for each quantity, as pandas does: a single one or an array of them. ``ax``: Axes to draw on, as
            many as there would be; on one for several quantities ``"deviations"`` is drawn. Without it a new figure of pyplot,
            which ``plt.show()`` shows; ``.figure`` of the Axes is that figure.
        Errors
            ``UnknownName`` for a name that was not validated; ``InvalidArgument`` for a wrong number of Axes.
        """
        with needed("a figure of a report"):
            from ..reports.sheets import plotted

        if name is None and ax is not None and np.size(ax) == 1 and len(self.quantities) > 1:
            name = "deviations"
        return plotted(self.drawing(name), ax)

    def figure(self, name: str | None = None) -> Figure:
        """What ``plot`` draws, as a figure of its own that pyplot does not know: for files, threads and loops."""
        with needed("a figure of a report"):
            from ..reports.sheets import drawn

        return drawn(self.drawing(name))

    def drawing(self, name: str | None) -> Drawing:
        """How all quantities, one of them or a figure with a name is drawn."""
        with needed("a figure of a report"):
            module = import_module(self.page)
        drawings: dict[str, Any] = module.DRAWINGS
        if name is not None and name not in drawings and name not in self.quantities:
            raise unknown_name("plot of", name, [*self.quantities, *drawings])
        if name in drawings:
            return partial(drawings[name], self)
        return partial(module.draw, self, [name] if name else list(self.quantities))

    def to_netcdf(self, path: str | Path) -> Path:
        """All arrays."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        require("h5netcdf", "a netCDF file")
        self.data.to_netcdf(path, engine="h5netcdf")
        return path

    def to_html(self, path: str | Path) -> Path:
        """One self-contained page: verdict, figures, derived equations, table and generated code.

        Valid
            The page needs no network, no script and no fonts; equations are MathML, figures are embedded.
        """
        with needed("the page of a report"):
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
        shown = ", ".join(f"{name} {100 * value:.2g} %" for name, value in self.resolution.items() if value > 0)
        return f"error bars, relative to the predictions: {shown}" if shown else "no quantity has noise"

    def text(self, *, command: bool = False) -> str:
        """The verdict, the error bars, what to do next and the worst rows; ``command``: arguments as on the command line."""
        worst = written(self.ranked.head(WORST)).to_string(index=False)
        return "\n".join(
            [str(self.verdict), self._error_bars, *(a.written(command=command) for a in self.advice), worst]
        )

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        v = self.verdict
        counts = f"{v.tested} of {v.comparisons} comparisons tested, {v.failures} failed"
        return markup.short(f"<Report: {v.word}, {counts}; {self.subject!r}>")

    def _repr_html_(self) -> str:
        more = len(self.table) - SHOWN
        note = f"<p>{more} more rows, with smaller deviations, are in <code>.table</code>.</p>" if more > 0 else ""
        colour = {PASSED: markup.GOOD, FAILED: markup.BAD, NOT_TESTED: markup.OPEN}[self.verdict.word]
        rows = written(self.ranked.head(SHOWN))
        table = markup.grid(list(rows.columns), rows.itertuples(index=False))
        return markup.banner(self.verdict, colour, self._error_bars, *self.advice) + table + note


def _write(path: str | Path, text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
