"""The figures of any report: its style, measured against predicted numbers, the histogram of sigmas, the inputs as pictures.

Only Matplotlib's objects are used, never the state of pyplot: a report draws the same in a thread, a notebook and a test.
"""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy import stats

from ...theory.language.observables import letter

if TYPE_CHECKING:
    from ..confrontation.report import Report


#: The colours of Okabe and Ito, which the colour-blind can tell apart, each with a marker of its own.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
DASHES = ("-", "--", "-.", ":")
FAILED = "#B00020"
GREY = "#666666"

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "widthwise",
}

#: Up to this many inputs are drawn as pictures, if their side is at least the next number.
MOST_PICTURES, LEAST_SIDE = 10, 4


class Picture(Figure):
    """A figure that a notebook shows, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        return png(self)


def drawable(X: NDArray[np.float64]) -> bool:
    """Whether the inputs are few and square, so that they may be pictures."""
    side = math.isqrt(X.shape[1])
    return side**2 == X.shape[1] and side >= LEAST_SIDE and len(X) <= MOST_PICTURES


def agreement(report: Report, names: list[str]) -> Picture:
    """A panel for each quantity: extrapolated measurements with errors against predictions; they agree on the diagonal."""
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    with rc_context(STYLE):
        figure = Picture(figsize=(3.4 * columns, 3.2 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, name in zip(panels, names, strict=False):
            own = report.table[report.table["quantity"] == name]
            x, y, error, passed = (own[k].to_numpy() for k in ("predicted", "measured", "standard_error", "passed"))
            panel.axline((x[0], x[0]), slope=1, color=GREY, lw=0.8)
            panel.errorbar(x, y, error, fmt="o", ms=4, color=COLOURS[0], capsize=2, lw=1)
            panel.plot(x[~passed], y[~passed], "x", ms=8, color=FAILED)
            panel.set(title=f"${letter(report.observable(name))}$", xlabel="theory", ylabel=r"networks, $1/n\to0$")
        for panel in panels[len(names) :]:
            panel.set_axis_off()
    return figure


def histogram(report: Report) -> Picture:
    """All sigmas against the standard normal density; comparisons without noise are left out."""
    sigma = report.table["sigmas"].to_numpy(dtype=float)
    noisy = sigma[sigma != 0]
    limit = threshold(report)
    edge = math.ceil(limit) + 1.0
    bins = np.linspace(-edge, edge, 4 * int(edge) + 1)
    counts = np.histogram(np.clip(noisy, -edge, edge), bins)[0]
    with rc_context(STYLE):
        figure = Picture(figsize=(7.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        axes.stairs(counts, bins, fill=True, color=COLOURS[0], alpha=0.45, label=f"{len(noisy)} comparisons")
        x = np.linspace(-edge, edge, 400)
        expected = len(noisy) * (bins[1] - bins[0]) * stats.norm.pdf(x)
        axes.plot(x, expected, color="black", lw=1.2, label="standard normal")
        for sign in (-1, 1):
            axes.axvline(
                sign * limit, color=FAILED, ls="--", lw=1, label=f"rejection, ±{limit:.2f}" if sign > 0 else None
            )
        beyond = int((np.abs(noisy) > edge).sum())
        outside = f"; {beyond} beyond ±{edge:g} are in the outermost bins" if beyond else ""
        silent = len(sigma) - len(noisy)
        axes.set_title(
            f"{silent} comparisons without noise are left out{outside}" if silent or beyond else "",
            loc="left",
            color=GREY,
            size=8,
        )
        axes.set(
            xlabel=r"(extrapolated simulation $-$ theory) / standard error", ylabel="comparisons", xlim=(-edge, edge)
        )
        axes.set_ylim(0, 1.12 * max(float(counts.max(initial=0)), float(expected.max()), 1.0))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside right upper")
    return figure


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


def threshold(report: Report) -> float:
    """The rejection threshold in sigmas, for standard errors that are known well (a normal law)."""
    return float(stats.norm.isf(report.verdict.threshold / 2))


# Files


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def uri(figure: Figure, kind: str = "svg") -> str:
    """The figure as a ``data:`` address, to be put into a page."""
    if kind == "png":
        return "data:image/png;base64," + base64.b64encode(png(figure)).decode()
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
