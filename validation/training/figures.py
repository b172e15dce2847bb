"""The figures of networks in training: loss, predictions and kernels against time, theory beside networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..reports.figures import label, title
from ..reports.sheets import COLOURS, DASHES, GREY, MARKERS, Sheet

if TYPE_CHECKING:
    from ..confrontation.report import Report

#: Entries of a quantity that are drawn.
MOST_ENTRIES = 4
#: The axes of the two places of a kernel.
FIRST, SECOND = ("output", "sample"), ("output2", "sample2")
#: The width of a network in training.
WIDTH = "N"


def curves(report: Report, names: list[str], sheet: Sheet) -> list[Axes]:
    """Quantities against time, the first entries of each: lines are theory, points the extrapolated networks."""
    panels = sheet.panels(len(names), size=(3.7, 3.0) if sheet.small or len(names) > 1 else (6.4, 4.4))
    for axes, name in zip(panels, names, strict=True):
        _curves(axes, report, name)
    return panels


def _curves(axes: Axes, report: Report, name: str) -> None:
    """One quantity against time."""
    data, row = report.data, report.observable(name)
    time, theory = data["time"].values, at_equal_times(data[name])
    found, error, raw = (
        at_equal_times(data[f"{name}_{kind}"]) for kind in ("extrapolated", "extrapolated_stderr", "measured")
    )
    chosen = representatives(list(theory))
    for entry, colour, marker, dash in zip(chosen, COLOURS, MARKERS, DASHES, strict=False):
        style: dict[str, Any] = {"color": colour, "lw": 1.3}
        axes.plot(time, theory[entry], ls=dash, **style)
        axes.errorbar(
            time, found[entry], error[entry], fmt=marker, ms=3.5, capsize=2, label=entry or "networks", **style
        )
    for i, (width, measured) in enumerate(zip(data["width"].values, raw[chosen[0]], strict=True)):
        axes.plot(
            time, measured, color=GREY, lw=0.8, ls=(":", "--", "-.")[i % 3], label=f"{chosen[0]} N = {width:g}".strip()
        )
    axes.set(xlabel=r"time, learning rate $\times$ steps", ylabel=label(row, WIDTH))
    title(axes, report, name)
    axes.legend(fontsize=6.5)


def at_equal_times(array: xr.DataArray) -> dict[str, Any]:
    """The entries of an array by their names, each (..., time); of two times those that are equal, of two places one order."""
    if "time2" in array.dims:
        same = xr.DataArray(np.arange(array.sizes["time"]), dims="time")
        array = array.isel(time=same, time2=same)
    counted = [str(d) for d in array.dims if d not in ("time", "width")]
    front = [d for d in ("width", "time") if d in array.dims]
    values = array.transpose(*counted, *front).values
    found = {}
    for index in np.ndindex(values.shape[: len(counted)]):
        place = dict(zip(counted, index, strict=True))
        first, second = ([i for d, i in place.items() if d in dims] for dims in (FIRST, SECOND))
        if not second or second >= first:
            layer = f"layer {array['layer'].values[place['layer']]} " if "layer" in place else ""
            found[layer + (f"[{','.join(map(str, first + second))}]" if first else "")] = values[index]
    return found


def representatives(entries: list[str]) -> list[str]:
    """The first few of the entries, of the first layer and of the last."""
    layers = list(dict.fromkeys(entry.rpartition(" ")[0] for entry in entries))
    ends = dict.fromkeys((layers[0], layers[-1]))
    own = {end: [entry for entry in entries if entry.rpartition(" ")[0] == end] for end in ends}
    return [entry for end in ends for entry in own[end][: MOST_ENTRIES // len(ends)]]


def kernels(report: Report, sheet: Sheet) -> list[Axes]:
    """Phi at the first and the last time: theory above, the widest networks below."""
    return heat_maps(report.data, "Phi", sheet)


def heat_maps(data: xr.Dataset, name: str, sheet: Sheet) -> list[Axes]:
    """A kernel of every layer at the first and the last time, theory above networks, on one scale of colours for each layer."""
    theory, measured = data[name], data[f"{name}_measured"].isel(width=-1)
    layers = theory["layer"].values
    panels = np.array(sheet.panels(4 * len(layers), size=(1.9, 2.1), columns=2 * len(layers)), dtype=object)
    axes = panels.reshape(2, 2 * len(layers))
    for row, (source, kind) in enumerate(((theory, "theory"), (measured, f"N = {data['width'].values[-1]:g}"))):
        for i, layer in enumerate(layers):
            scale = max(float(np.abs(theory.isel(layer=i, time=t, time2=t)).max()) for t in (0, -1))
            for t, when in ((0, "start"), (-1, "end")):
                axis = axes[row, 2 * i - t]
                value = source.isel(layer=i, time=t, time2=t).values
                image = axis.imshow(value, vmin=-scale, vmax=scale, cmap="RdBu_r")
                axis.set(xlabel="sample", ylabel=f"{kind}, sample" if t == 0 and i == 0 else "sample")
                axis.set_title(f"layer {layer}, {when}", fontsize=8)
                axis.grid(visible=False)
                for one in (axis.xaxis, axis.yaxis):
                    one.set_major_locator(MaxNLocator(integer=True, nbins=4))
            axes[row, 2 * i + 1].figure.colorbar(image, ax=axes[row, 2 * i + 1], shrink=0.7)
    return list(panels)
