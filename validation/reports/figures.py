"""The figures of any report: measured against predicted numbers, all deviations, the histogram of sigmas, the inputs as pictures.

Each is drawn on a ``Sheet``: on Axes that the caller gives, on a figure of pyplot, which ``plt.show()`` shows, or on one that
pyplot does not know, for pages and files.
"""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy import stats

from ...theory.language.observables import Observable, letter
from ..confrontation.verdict import ROW_FAILED
from .sheets import COLOURS, FAILED, GREY, INK, STYLE, Picture, Sheet, png

if TYPE_CHECKING:
    from ..confrontation.report import Report


#: Up to this many inputs are drawn as pictures, if their side is at least the next number.
MOST_PICTURES, LEAST_SIDE = 10, 4
#: Deviations are drawn up to so many times their line.
OUTSIDE = 2.0


def drawable(X: NDArray[np.float64]) -> bool:
    """Whether the inputs are few and square, so that they may be pictures."""
    side = math.isqrt(X.shape[1])
    return side**2 == X.shape[1] and side >= LEAST_SIDE and len(X) <= MOST_PICTURES


def label(row: Observable, width: str = "n") -> str:
    """The letter of an observable, and how a system of finite width has it."""
    own = letter(row)
    power = "" if row.order == 1 else f"^{row.order}"
    return f"${own}$" if row.order == 0 else f"${own}$  (as ${own}/{width}{power}$ in a network)"


def title(axes: Axes, report: Report, name: str) -> None:
    """The letter of a quantity above its panel, and a note inside if it was not tested."""
    axes.set_title(f"${letter(report.observable(name))}$", loc="left", size=13)
    if name in report.verdict.coarse:
        bar = report.resolution[name]
        size = f"error bar {100 * bar:.2g} %" if math.isfinite(bar) else "predicted to be zero"
        axes.text(0.03, 0.04, f"not tested: {size}", transform=axes.transAxes, color=FAILED, fontsize=8)


def agreement(report: Report, names: list[str], sheet: Sheet) -> list[Axes]:
    """A panel for each quantity: extrapolated measurements with errors against predictions; they agree on the diagonal."""
    panels = sheet.panels(len(names), size=(3.4, 3.2))
    for panel, name in zip(panels, names, strict=True):
        own = report.table[report.table["quantity"] == name]
        x, y, error = (own[k].to_numpy() for k in ("predicted", "measured", "standard_error"))
        failed = (own["verdict"] == ROW_FAILED).to_numpy()
        panel.axline((x[0], x[0]), slope=1, color=GREY, lw=0.8, label="theory")
        panel.errorbar(x, y, error, fmt="o", ms=4, color=COLOURS[0], capsize=2, lw=1, label="±1 standard error")
        if failed.any():
            panel.plot(x[failed], y[failed], "x", ms=8, color=FAILED, label="failed")
        panel.set(xlabel="theory", ylabel=rf"networks, $1/n\to0$: {label(report.observable(name))}")
        title(panel, report, name)
    panels[0].legend()
    return panels


def deviations(report: Report, sheet: Sheet) -> list[Axes]:
    """All deviations by quantity, each divided by its own line: beyond 1 a comparison fails."""
    (axes,) = sheet.panels(1, size=(7.4, 3.6))
    axes.axhspan(-1, 1, color=GREY, alpha=0.12, lw=0)
    for sign in (-1, 1):
        axes.axhline(sign, color=FAILED, ls="--", lw=1, label="line of each comparison" if sign > 0 else None)
    seen = set[str]()
    for place, name in enumerate(report.quantities):
        own = report.table[(report.table["quantity"] == name) & (report.table["p_value"] < 1)]
        ratio = np.clip((own["sigmas"] / own["line"]).to_numpy(dtype=float), -OUTSIDE, OUTSIDE)
        x = place + np.linspace(-0.3, 0.3, len(ratio)) if len(ratio) > 1 else np.full(len(ratio), float(place))
        kind = "not tested" if name in report.verdict.coarse else "tested"
        face = "none" if kind == "not tested" else COLOURS[0]
        axes.plot(x, ratio, "o", ms=3, color=COLOURS[0], mfc=face, label=None if kind in seen else kind)
        seen.add(kind)
    names = [f"${letter(report.observable(name))}$" for name in report.quantities]
    axes.set_xticks(range(len(names)), names)
    axes.set(xlabel="quantity", ylabel="deviation / its line", ylim=(-1.08 * OUTSIDE, 1.08 * OUTSIDE))
    axes.grid(axis="x", visible=False)
    sheet.legend(axes)
    return [axes]


def histogram(report: Report, sheet: Sheet) -> list[Axes]:
    """All deviations against the standard normal density; comparisons without noise are left out.

    A deviation stands where a normal law has its p-value, so that one line is that of all comparisons, few networks or many.
    """
    noisy = report.table[report.table["p_value"] < 1]
    p, sigma = (noisy[k].to_numpy(dtype=float) for k in ("p_value", "sigmas"))
    z = np.copysign(stats.norm.isf(p / 2), sigma)
    limit = report.verdict.limit
    edge = math.ceil(limit) + 1.0
    bins = np.linspace(-edge, edge, 4 * int(edge) + 1)
    counts = np.histogram(np.clip(z, -edge, edge), bins)[0]
    x = np.linspace(-edge, edge, 400)
    expected = len(z) * (bins[1] - bins[0]) * stats.norm.pdf(x)
    (axes,) = sheet.panels(1, size=(7.4, 3.6))
    axes.stairs(counts, bins, fill=True, color=COLOURS[0], alpha=0.45, label=f"{len(z)} comparisons")
    axes.plot(x, expected, color=INK, lw=1.2, label="standard normal")
    for sign in (-1, 1):
        axes.axvline(sign * limit, color=FAILED, ls="--", lw=1, label=f"rejection, ±{limit:.2f}" if sign > 0 else None)
    axes.set_title(
        _left_out(len(report.table) - len(z), int((np.abs(z) > edge).sum()), edge), loc="left", color=GREY, size=8
    )
    axes.set(xlabel="deviation, in sigmas of a normal law with its p-value", ylabel="comparisons", xlim=(-edge, edge))
    axes.set_ylim(0, 1.12 * max(float(counts.max(initial=0)), float(expected.max(initial=0)), 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    sheet.legend(axes)
    return [axes]


def _left_out(silent: int, beyond: int, edge: float) -> str:
    """What the histogram does not show as it is."""
    words = [f"{silent} without noise are left out"] if silent else []
    words += [f"{beyond} beyond ±{edge:g} are in the outermost bins"] if beyond else []
    return "; ".join(words)


def pictures(X: NDArray[np.float64]) -> Picture:
    """The inputs as square pictures on one grey scale."""
    side = math.isqrt(X.shape[1])
    with rc_context(STYLE):
        figure = Picture(figsize=(1.0 * len(X) + 0.2, 1.3), layout="constrained")
        axes = np.atleast_1d(np.asarray(figure.subplots(1, len(X))))
        for i, (ax, x) in enumerate(zip(axes, X, strict=True)):
            ax.imshow(x.reshape(side, side), cmap="gray_r", vmin=X.min(), vmax=X.max(), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.set_title(f"input {i}", size=8)
            ax.spines[:].set(visible=True, color="#BBBBBB")
    return figure


#: The figures of any report by name.
DRAWINGS: dict[str, Any] = {"sigmas": histogram, "deviations": deviations}


def uri(figure: Figure, kind: str = "svg") -> str:
    """The figure as a ``data:`` address, to be put into a page."""
    if kind == "png":
        return "data:image/png;base64," + base64.b64encode(png(figure)).decode()
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
