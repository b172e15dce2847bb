"""The figures of networks in training: loss, predictions and kernels against time, theory beside networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...theory.language.observables import letter
from ..reports.figures import COLOURS, GREY, Picture

if TYPE_CHECKING:
    from ..confrontation.report import Report

THEORY = COLOURS[0]
MOST_SAMPLES = 4


def curves(report: Report, names: Sequence[str]) -> Picture:
    """Quantities against time, the first entries of each: lines are theory, points the extrapolated networks."""
    data = report.data
    panels = [n for n in names if "layer" not in data[n].dims and "time2" not in data[n].dims] or list(names)
    figure = Picture(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, name in zip(axes, panels, strict=True):
        values, found, error = (
            data[k].values.reshape(len(data["time"]), -1)
            for k in (name, f"{name}_extrapolated", f"{name}_extrapolated_stderr")
        )
        chosen = range(min(values.shape[1], MOST_SAMPLES))
        for k in chosen:
            colour = f"C{k}" if len(chosen) > 1 else THEORY
            axis.plot(data["time"], values[:, k], color=colour, lw=1.5)
            axis.errorbar(data["time"], found[:, k], error[:, k], fmt="o", ms=3, color=colour, lw=1, capsize=2)
        for i, (w, measured) in enumerate(zip(data["width"].values, data[f"{name}_measured"].values, strict=True)):
            style = {"color": GREY, "lw": 0.8, "ls": (":", "--", "-.")[i % 3], "label": f"N = {w:g}"}
            axis.plot(data["time"], measured.reshape(len(data["time"]), -1)[:, 0], **style)
        axis.set_xlabel(r"time $\eta\times$ steps")
        axis.set_title(report.observable(name).meaning, fontsize=10)
        axis.set_ylabel(f"${letter(report.observable(name))}$")
    axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(f"{report.verdict}", fontsize=9)
    return figure


def kernels(report: Report) -> Picture:
    """Phi at the first and the last time: theory above, the widest networks below."""
    return heat_maps(report.data)


def heat_maps(data: Any, name: str = "Phi") -> Picture:
    """A kernel of every layer at the first and the last time, theory above networks."""
    theory, measured = data[name], data[f"{name}_measured"].isel(width=-1)
    layers = theory["layer"].values
    figure = Picture(figsize=(2.1 * 2 * len(layers), 4.4), layout="constrained")
    axes = figure.subplots(2, 2 * len(layers), squeeze=False)
    for row, (source, label) in enumerate(((theory, "theory"), (measured, f"N = {data['width'].values[-1]:g}"))):
        for i, layer in enumerate(layers):
            both = [source.isel(layer=i, time=t, time2=t).values for t in (0, -1)]
            scale = max(np.abs(theory.isel(layer=i, time=t, time2=t)).max() for t in (0, -1))
            for t, value in enumerate(both):
                axis = axes[row, 2 * i + t]
                image = axis.imshow(value, vmin=-scale, vmax=scale, cmap="RdBu_r")
                axis.set_xticks([])
                axis.set_yticks([])
                axis.set_title(f"layer {layer}, " + ("start" if t == 0 else "end"), fontsize=8)
            figure.colorbar(image, ax=axes[row, 2 * i + 1], shrink=0.7)
        axes[row, 0].set_ylabel(label)
    return figure
