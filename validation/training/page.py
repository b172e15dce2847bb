"""Figures and the page of a training report."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from ...theory.language import latex
from ...theory.training.dynamics import dynamics
from ...theory.training.fields import in_order
from ..reports import mathml
from ..reports.figures import uri

if TYPE_CHECKING:
    from .validate import TrainingReport

THEORY, GREY = "#1f4e9c", "#888888"
MOST_SAMPLES = 4


def curves(report: TrainingReport) -> Figure:
    """Loss, predictions and the first tangent kernels against time: lines are theory, points the extrapolated networks."""
    data = report.data
    panels = [n for n in ("loss", "f", "NTK") if n in data]
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
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
            style = {"color": GREY, "lw": 0.8, "ls": (":", "--", "-.")[i % 3], "label": f"N = {w}"}
            axis.plot(data["time"], measured.reshape(len(data["time"]), -1)[:, 0], **style)
        axis.set_xlabel(r"time $\eta\times$ steps")
        axis.set_title(data[name].attrs.get("long_name", name), fontsize=10)
    axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(f"{report.verdict}", fontsize=9)
    return figure


def kernels(report: TrainingReport) -> Figure:
    """Phi at the first and the last time: theory above, the widest networks below."""
    return heat_maps(report.data)


def heat_maps(data: Any, name: str = "Phi") -> Figure:
    """A kernel of every layer at the first and the last time, theory above networks."""
    theory, measured = data[name], data[f"{name}_measured"].isel(width=-1)
    layers = theory["layer"].values
    figure = Figure(figsize=(2.1 * 2 * len(layers), 4.4), layout="constrained")
    axes = figure.subplots(2, 2 * len(layers), squeeze=False)
    for row, (source, label) in enumerate(((theory, "theory"), (measured, f"N = {data['width'].values[-1]}"))):
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


def histogram(report: TrainingReport) -> Figure:
    """All deviations in sigmas beside a standard normal density."""
    sigma = report.table["sigmas"].to_numpy()
    sigma = sigma[np.isfinite(sigma) & (sigma != 0)]
    figure = Figure(figsize=(4.5, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.hist(sigma, bins=40, density=True, color=THEORY, alpha=0.6)
    x = np.linspace(-5, 5, 201)
    axis.plot(x, stats.norm.pdf(x), color="k", lw=1)
    limit = stats.norm.isf(report.verdict.threshold / 2)
    for side in (-limit, limit):
        axis.axvline(side, color=GREY, ls="--")
    axis.set_xlabel("(networks - theory) / standard error")
    return figure


def page(report: TrainingReport) -> str:
    """The page: no network, no script, no fonts; equations are MathML, figures are embedded."""
    found = dynamics(report.flow)
    equations = "".join(
        f"<p>{mathml.math(latex.tex(eq.lhs) + ' = ' + ' + '.join(latex.tex(t) for t in in_order(eq.rhs)))}</p>"
        for eq in [*found.equations.values(), *found.boundaries]
    )
    pictures = [curves(report), histogram(report)] + ([kernels(report)] if "Phi" in report.data else [])
    images = "".join(f'<p><img src="{uri(p)}" style="max-width:100%"></p>' for p in pictures)
    table = report.ranked.head(200).to_html(index=False, border=0, float_format=lambda x: f"{x:.4g}")
    colour = "#1B7F4B" if report.passed else "#B00020"
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Training: theory against networks</title>'
        "<style>body{font:15px sans-serif;max-width:75em;margin:2em auto;padding:0 1em}td,th{padding:2px 8px;text-align:left}"
        "table{font-size:13px}</style>"
        f"<h1>Training: theory against networks</h1><p><code>{html.escape(repr(report.flow))}</code></p>"
        f'<p style="border-left:6px solid {colour};padding:4px 10px"><b>{report.verdict}</b></p>'
        f"{images}<h2>Equations</h2>{equations}<h2>Comparisons, the farthest first</h2>{table}</html>"
    )
