"""The figures of networks at initialisation: levels over depth with their residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ...theory.language.quantities import quantity, symmetries
from ..confrontation.verdict import ROW_FAILED
from ..reports.figures import label, title
from ..reports.sheets import COLOURS, DASHES, FAILED, GREY, MARKERS, Sheet

if TYPE_CHECKING:
    from ..confrontation.report import Report

Index = tuple[int, ...]


#: How far left of its layer the narrowest network is drawn. The others follow in proportion to 1/n: the layer is 1/n = 0.
REACH = 0.4


#: Entries of one layer stand this far apart, theory and simulation alike, so that they do not hide each other.
STEP = 0.08


#: Residuals are drawn up to this many times the farthest line.
CLIP = 2.0


#: A legend in one short line.
COMPACT: dict[str, Any] = {"handlelength": 0.8, "columnspacing": 0.7, "handletextpad": 0.5, "borderpad": 0.1}


def representatives(name: str, samples: int) -> tuple[Index, ...]:
    """A few entries of a tensor that stand for all: equal samples, and two samples in the ways that its symmetries leave."""
    rank = quantity(name).rank
    if samples == 1:
        return ((0,) * rank,)
    patterns: list[Index] = [(0, 0), (0, 1), (1, 1)] if rank == 2 else [(0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 0, 1)]
    return tuple(dict.fromkeys(min(tuple(index[i] for i in p) for p in symmetries(name)) for index in patterns))


def overview(report: Report, names: list[str], sheet: Sheet) -> list[Axes]:
    """The levels of each quantity, at most three in a row, with its residuals below on a figure of our own."""
    pairs = [(axes, None) for axes in sheet.checked(len(names))] if sheet.given else _pairs(len(names), sheet)
    for (upper, lower), name in zip(pairs, names, strict=True):
        _panel(upper, lower, report, name)
    if sheet.given and pairs[0][0].get_legend() is None:
        pairs[0][0].legend(handles=_keys(report), fontsize="small")
    elif not sheet.given and not sheet.small:
        columns = 4 if len(names) > 2 else 2
        sheet.legend(pairs[0][0], handles=_keys(report), loc="outside lower center", ncols=columns)
    return [upper for upper, _ in pairs]


def _pairs(count: int, sheet: Sheet) -> list[tuple[Axes, Axes | None]]:
    """Axes above each other on a new figure, for levels and residuals."""
    columns = 1 if count == 1 else 2 if count in (2, 4) else 3
    rows = -(-count // columns)
    size = (6.4, 4.9) if count == 1 and not sheet.small else (3.7 * columns, 3.2 * rows + (0.0 if sheet.small else 0.5))
    figure = sheet.figure(*size)
    outer, found = figure.add_gridspec(rows, columns), list[tuple[Axes, Axes | None]]()
    for k in range(count):
        inner = outer[divmod(k, columns)].subgridspec(2, 1, height_ratios=[3, 1.2])
        upper = figure.add_subplot(inner[0])
        upper.tick_params(labelbottom=False)
        found.append((upper, figure.add_subplot(inner[1], sharex=upper)))
    return found


def _panel(upper: Axes, lower: Axes | None, report: Report, name: str) -> None:
    """The levels of a quantity and, below, its residuals."""
    entries = _entries(report, name)
    _levels(upper, report, name, entries)
    layers = report.data["layer"].values
    title(upper, report, name)
    upper.set(ylabel=label(report.observable(name)), xlim=(layers[0] - 0.6, layers[-1] + 0.4))
    if lower is not None:
        _residuals(lower, report, name, entries)
        lower.set(ylabel="sigmas")
    lowest = upper if lower is None else lower
    lowest.set(xlabel="layer")
    lowest.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    if len(entries) > 1 or len(report.X) > 1:
        # Four entries, with one that fails, have to leave room for the letter on the left.
        size = 8 if len(entries) <= 3 else 6.5
        upper.legend(loc="lower right", bbox_to_anchor=(1.01, 1.0), ncols=len(entries), fontsize=size, **COMPACT)


def _entries(report: Report, name: str) -> tuple[Index, ...]:
    """The representative entries, and the one that fails worst if one fails."""
    entries = representatives(name, len(report.X))
    failed: Any = report.table[(report.table["quantity"] == name) & (report.table["verdict"] == ROW_FAILED)]
    if len(failed):
        worst = str(failed.loc[failed["p_value"].idxmin(), "entry"])
        entries = tuple(dict.fromkeys((*entries, parse(worst))))
    return entries


def parse(entry: str) -> Index:
    """The indices of an entry as the table writes it."""
    return tuple(map(int, entry.split(",") if "," in entry else entry))


def _levels(axes: Axes, report: Report, name: str, entries: tuple[Index, ...]) -> None:
    data = report.data
    widths = data["width"].values
    places = _places(report, len(entries))
    for entry, layers, colour, marker, dash in zip(entries, places, COLOURS, MARKERS, DASHES, strict=False):
        raw, error = (_at(data, f"{name}_{kind}", entry) for kind in ("measured", "measured_stderr"))
        for k, n in enumerate(widths):
            x = layers - REACH * widths.min() / n
            axes.errorbar(x, raw[k], error[k], fmt=marker, ms=3, color=colour, alpha=0.35, elinewidth=0.7, mew=0)
        axes.plot(layers, _at(data, name, entry), color=colour, ls=dash, lw=1.3)
        value, error = (_at(data, f"{name}_{kind}", entry) for kind in ("extrapolated", "extrapolated_stderr"))
        label = f"[{','.join(map(str, entry))}]"
        axes.errorbar(
            layers,
            value,
            error,
            fmt=marker,
            ms=4.5,
            color=colour,
            mec="white",
            mew=0.5,
            elinewidth=1.3,
            capsize=2,
            label=label,
        )
    axes.margins(y=0.08)


def _residuals(axes: Axes, report: Report, name: str, entries: tuple[Index, ...]) -> None:
    """Residuals in sigmas with the line of each; residuals outside are drawn at the edge, as triangles."""
    axes.axhspan(-1, 1, color=GREY, alpha=0.12, lw=0)
    axes.axhline(0, color=GREY, lw=0.8)
    found, lines = ([_at(report.data, f"{name}_{kind}", entry) for entry in entries] for kind in ("sigmas", "line"))
    limit = max(float(line.max()) for line in lines)
    largest = max(float(np.abs(sigma).max()) for sigma in found)
    edge = min(max(1.25 * limit, 1.15 * largest), CLIP * limit)
    places = _places(report, len(entries))
    for x, sigma, line, colour, marker in zip(places, found, lines, COLOURS, MARKERS, strict=False):
        for sign in (-1, 1):
            axes.plot(x, sign * line, "_", ms=7, mew=1.2, color=FAILED)
        inside = np.abs(sigma) < edge
        axes.plot(x[inside], sigma[inside], marker, ms=4, color=colour, mec="white", mew=0.4)
        for shape, off in (("^", ~inside & (sigma > 0)), ("v", ~inside & (sigma < 0))):
            axes.plot(x[off], np.copysign(0.9 * edge, sigma[off]), shape, ms=6, color=colour, mec=FAILED, mew=1.2)
    axes.set_ylim(-edge, edge)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    axes.grid(axis="y", visible=False)


def _at(data: xr.Dataset, name: str, entry: Index) -> Any:
    """One entry of a tensor: over the layers, and over the widths before them if it has any."""
    values: Any = data[name].values
    return values[(..., *entry)]


def _places(report: Report, entries: int) -> list[Any]:
    """The abscissae of each entry: its layers, shifted a little."""
    return [report.data["layer"].values + STEP * (k - (entries - 1) / 2) for k in range(entries)]


def _keys(report: Report) -> list[Line2D]:
    widths = ", ".join(f"{n:g}" for n in report.data["width"].values)
    plain: dict[str, Any] = {"color": GREY, "ls": ""}
    return [
        Line2D([], [], color=GREY, lw=1.3, label="theory"),
        Line2D([], [], marker="o", ms=4.5, label=r"simulation, $1/n\to0$, ±1 standard error", **plain),
        Line2D([], [], marker="o", ms=3, alpha=0.4, label=f"simulation at n = {widths} (left to right)", **plain),
        Line2D([], [], color=FAILED, ls="", marker="_", ms=7, mew=1.2, label="line beyond which a comparison fails"),
    ]
