"""What all reports of a validation have in common: a table of comparisons, a verdict, and arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

from .verdict import Verdict

#: Rows of the table that a notebook shows; the others are in ``table``.
SHOWN = 20


@dataclass(frozen=True)
class Judged:
    """Comparisons, one row of ``table`` each, their verdict, and all arrays behind them."""

    table: pd.DataFrame
    verdict: Verdict
    data: xr.Dataset

    @property
    def passed(self) -> bool:
        """Whether theory and simulation agree within the stated false-alarm rate."""
        return self.verdict.passed

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

    @property
    def _error_bars(self) -> str:
        shown = ", ".join(f"{name} {100 * value:.2g} %" for name, value in self.resolution.dropna().items())
        return f"error bars, relative to the predictions: {shown}"

    def to_netcdf(self, path: str | Path) -> Path:
        """All arrays."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.data.to_netcdf(path, engine="h5netcdf")
        return path

    def __str__(self) -> str:
        return f"{self.verdict}\n{self._error_bars}\n{self.ranked.head(5).to_string(index=False)}"

    def _repr_html_(self) -> str:
        colour = "#1B7F4B" if self.passed else "#B00020"
        more = len(self.table) - SHOWN
        note = f"<p>{more} more rows, with smaller deviations, are in <code>.table</code>.</p>" if more > 0 else ""
        table = self.ranked.head(SHOWN).to_html(index=False, border=0, float_format=lambda x: f"{x:.4g}")
        style = f"border-left:6px solid {colour};padding:4px 10px"
        return f'<p style="{style}"><b>{self.verdict}</b><br>{self._error_bars}</p>{table}{note}'
