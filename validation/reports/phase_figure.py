"""Pictures of phase diagrams."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Patch

from ...numerics.depth.critical import CriticalPoint, Stability
from ...numerics.depth.phase import Phases
from .sheets import COLOURS, GREY, Sheet

#: Where kernels grow without bound.
UNBOUNDED = "#D8D8D8"


def draw(data: Phases, sheet: Sheet) -> list[Axes]:
    """chi_perp over the grid, with the edge of chaos and the critical points."""
    (axes,) = sheet.panels(1, size=(5.4, 4.6))
    _field(axes, data)
    handles = [*_edge(axes, data), *_points(axes, data)]
    if np.any(np.isinf(data.K)):
        axes.set_facecolor(UNBOUNDED)
        handles.append(Patch(color=UNBOUNDED, label="kernel grows without bound"))
    axes.set(
        xlim=(data.sigma_w[0], data.sigma_w[-1]), ylim=(data.sigma_b[0], data.sigma_b[-1]), title=data.activation,
        xlabel=r"$\sigma_w=\sqrt{C_W}$, standard deviation of weights $\times\sqrt{\mathrm{fan\ in}}$",
        ylabel=r"$\sigma_b=\sqrt{C_b}$, standard deviation of biases",
    )  # fmt: skip
    axes.grid(visible=False)
    _name_phases(axes, data)
    if handles and sheet.given:
        axes.legend(handles=handles, loc="upper right")
    elif handles:
        sheet.legend(axes, handles=handles, loc="outside lower center", ncols=2)
    return [axes]


def _field(axes: Axes, data: Phases) -> None:
    finite = data.chi_perp[np.isfinite(data.chi_perp)]
    top = min(max(2.0, float(np.quantile(finite, 0.98)) if len(finite) else 2.0), 4.0)
    norm = TwoSlopeNorm(1.0, 0.0, top)
    mesh = axes.pcolormesh(
        data.sigma_w, data.sigma_b, np.clip(data.chi_perp, 0, top), norm=norm, cmap="RdBu_r", shading="nearest", rasterized=True
    )  # fmt: skip
    axes.figure.colorbar(mesh, ax=axes, label=r"$\chi_\perp$ at the fixed point", extend="max")


def _edge(axes: Axes, data: Phases) -> list[Any]:
    """The part of the edge that is a boundary of phases."""
    line_w = np.where(data.edge_chi_parallel <= 1 + 1e-9, data.edge_w, np.nan)
    inside = (line_w >= data.sigma_w[0]) & (line_w <= data.sigma_w[-1]) & (data.edge_b <= data.sigma_b[-1])
    if not np.any(inside & (data.edge_b > 1e-6)):  # one point only
        return []
    return list(axes.plot(line_w, data.edge_b, color="black", lw=1.6, label=r"edge of chaos, $\chi_\perp=1$"))


def _points(axes: Axes, data: Phases) -> list[Any]:
    colours = (COLOURS[2], COLOURS[3], *COLOURS)
    return [_mark(axes, point, colour) for point, colour in zip(data.points, colours, strict=False)]


def _mark(axes: Axes, point: CriticalPoint, colour: str) -> Any:
    assert point.C_W is not None
    assert point.C_b is not None
    where = "any K" if point.K is None else rf"$K^*={point.K:.4g}$"
    face = "white" if point.stability is Stability.UNSTABLE else colour
    name = f"critical point, {where}" + (", unstable" if point.stability is Stability.UNSTABLE else "")
    (handle,) = axes.plot(
        np.sqrt(point.C_W), np.sqrt(point.C_b), "o", ms=8, mfc=face, mec="black", clip_on=False, zorder=5, ls="none", label=name
    )  # fmt: skip
    return handle


def _name_phases(axes: Axes, data: Phases) -> None:
    """The name of each phase at the middle of its region."""
    for phase in ("ordered", "chaotic"):
        rows, columns = np.nonzero(data.phase == phase)
        if len(rows) > 0.03 * data.phase.size:
            at = np.median(data.sigma_w[columns]), np.median(data.sigma_b[rows])
            axes.text(*at, phase, ha="center", va="center", color="black", fontsize=11)
    if np.all(np.isinf(data.K)):
        axes.text(0.5, 0.5, "no fixed point", transform=axes.transAxes, color=GREY, ha="center")
