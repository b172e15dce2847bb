"""The page of a report, for any system: one template with blocks that a system fills, and the plain page of a system without any.

A system's module of this kind has ``TEMPLATE`` (a template that extends the common one, by its path on this floor), ``DRAWINGS``
(figures by name), ``draw(report, names, sheet)`` (a panel for each of some quantities) and ``context(report)``: the names that its
template takes beyond those of ``common``.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from matplotlib.axes import Axes

from ...numerics.runs.version import version
from ...theory.language.observables import letter
from ..confrontation.tables import written
from ..confrontation.verdict import ROW_COARSE, ROW_FAILED, ROW_PASSED
from . import figures, mathml
from .sheets import Sheet, drawn

if TYPE_CHECKING:
    from ..confrontation.report import Report

TEMPLATE = "reports/report.html.jinja"
DRAWINGS: Mapping[str, Any] = figures.DRAWINGS


def draw(report: Report, names: list[str], sheet: Sheet) -> list[Axes]:
    """Measured against predicted numbers."""
    return figures.agreement(report, names, sheet)


def context(report: Report) -> dict[str, Any]:
    """The settings of the comparison, from the attributes of the data."""
    return {"title": f"Theory against simulation: {type(report.subject).__name__}", "setup": dict(attributes(report))}


def render(report: Report) -> str:
    """The page as HTML."""
    module = import_module(report.page)
    return _environment().get_template(module.TEMPLATE).render(common(report) | module.context(report))


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    # StrictUndefined: a name that the page does not get is an error, never a gap in a report.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def common(report: Report) -> dict[str, Any]:
    """The parts of every page: verdict, figures, a line for each quantity, the table, versions."""
    X = report.X if "X" in report.data else np.zeros((0, 0))
    packages = ("widthwise", "sympy", "numpy", "scipy")
    return {
        "report": report,
        "pictures": figures.uri(figures.pictures(X), "png") if len(X) and figures.drawable(X) else None,
        "inputs": [", ".join(f"{x:.4g}" for x in row) for row in X] if 0 < X.size <= 64 else [],
        "panels": [(name, _panel(report, name)) for name in report.quantities],
        "histogram": figures.uri(report.figure("sigmas")),
        "summary": [_summary(report, name) for name in report.quantities],
        "advice": [str(a) for a in report.advice],
        "columns": list(written(report.table.head(0)).columns),
        "text_columns": ("quantity", "entry", "verdict"),
        "rows": written(report.ranked).to_dict("records"),
        "again": report.again,
        "versions": {"Python": platform.python_version()} | {p: version(p) for p in packages},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def attributes(report: Report) -> Iterator[tuple[str, Any]]:
    """The attributes of the data as pairs of a label and its text."""
    for name, value in report.data.attrs.items():
        yield str(name).replace("_", " "), ", ".join(map(str, np.atleast_1d(value)))


def _panel(report: Report, name: str) -> str:
    """The small figure of a quantity, as an address."""
    return figures.uri(drawn(report.drawing(name), small=True))


def _summary(report: Report, name: str) -> dict[str, Any]:
    """One line for each quantity: how many comparisons, how sharp, how far off."""
    rows, row = report.table[report.table["quantity"] == name], report.observable(name)
    bar, failures = report.resolution[name], int((rows["verdict"] == ROW_FAILED).sum())
    return {
        "name": name,
        "symbol": mathml.math(letter(row)),
        "meaning": row.meaning,
        "comparisons": int((rows["p_value"] < 1).sum()),  # as the verdict counts: equal numbers without noise are none
        "error_bar": f"{100 * bar:.2g} %" if math.isfinite(bar) else "predicted to be zero",
        "worst": f"{float(rows['sigmas'].abs().max()):.2f}",
        "failures": failures,
        "verdict": ROW_FAILED if failures else ROW_COARSE if name in report.verdict.coarse else ROW_PASSED,
    }
