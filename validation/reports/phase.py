"""Pictures of phase diagrams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ...numerics.depth.critical import (
    CriticalPoint,
    Stability,
)
from ...numerics.depth.phase import Phases, phases
from .figures import COLOURS, GREY, STYLE, Picture

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PhaseDiagram(Phases):
    """The phases of an activation, with a picture."""

    def plot(self) -> Picture:
        """The diagram as a figure."""
        with rc_context(STYLE):
            figure = Picture(figsize=(5.4, 4.6), layout="constrained")
            axes = figure.add_subplot()
            _draw(axes, self)
            return figure


def phase_diagram(
    activation: Any,
    *,
    sigma_w: Sequence[float] | Array | None = None,
    sigma_b: Sequence[float] | Array | None = None,
    start: float = 1.0,
) -> PhaseDiagram:
    r"""The phases of deep networks with this activation.

    Equation
        .. math:: K^*=\sigma_b^2+\sigma_w^2\langle\sigma^2\rangle_{K^*},\qquad \chi_\perp=\sigma_w^2\langle\sigma'^2\rangle_{K^*}
    Shapes
        ``sigma_w``, ``sigma_b``: one-dimensional, at least two values each; by default from near 0 to twice the critical
        sigma_w (or 3), and from 0 to 1.5.
    Units
        Standard deviations, not variances. ``start`` is the kernel of the first layer.
    Valid
        One input at infinite width; of several stable fixed points the one that the kernel runs into from ``start``.
    Errors
        ``InvalidArgument`` for grids that are not increasing or have negative values, or for the unspecified activation.
    Source
        Poole, Lahiri, Raghu, Sohl-Dickstein & Ganguli (arXiv:1606.05340); susceptibilities derived here.
    """
    found = phases(activation, sigma_w=sigma_w, sigma_b=sigma_b, start=start)
    return PhaseDiagram(**{f.name: getattr(found, f.name) for f in fields(found)})


def _draw(axes: Axes, data: PhaseDiagram) -> None:
    finite = data.chi_perp[np.isfinite(data.chi_perp)]
    top = min(max(2.0, float(np.quantile(finite, 0.98)) if len(finite) else 2.0), 4.0)
    norm = TwoSlopeNorm(1.0, 0.0, top)
    mesh = axes.pcolormesh(
        data.sigma_w, data.sigma_b, np.clip(data.chi_perp, 0, top), norm=norm, cmap="RdBu_r", shading="nearest", rasterized=True
    )  # fmt: skip
    axes.figure.colorbar(mesh, ax=axes, label=r"$\chi_\perp$ at the fixed point", extend="max")
    handles: list[Any] = []
    line_w = np.where(data.edge_chi_parallel <= 1 + 1e-9, data.edge_w, np.nan)
    inside = (line_w >= data.sigma_w[0]) & (line_w <= data.sigma_w[-1]) & (data.edge_b <= data.sigma_b[-1])
    if np.any(inside & (data.edge_b > 1e-6)):  # not one point only
        handles += axes.plot(line_w, data.edge_b, color="black", lw=1.6, label=r"edge of chaos, $\chi_\perp=1$")
    for point, colour in zip(data.points, (COLOURS[2], COLOURS[3], *COLOURS), strict=False):
        handles.append(_mark(axes, point, colour))
    if np.any(np.isinf(data.K)):
        axes.set_facecolor("#D8D8D8")
        handles.append(Patch(color="#D8D8D8", label="kernel grows without bound"))
    axes.set(
        xlim=(data.sigma_w[0], data.sigma_w[-1]), ylim=(data.sigma_b[0], data.sigma_b[-1]), title=data.activation,
        xlabel=r"$\sigma_w=\sqrt{C_W}$, standard deviation of weights $\times\sqrt{\mathrm{fan\ in}}$",
        ylabel=r"$\sigma_b=\sqrt{C_b}$, standard deviation of biases",
    )  # fmt: skip
    axes.grid(visible=False)
    _name_phases(axes, data)
    if handles:
        axes.figure.legend(handles=handles, loc="outside lower center", ncols=2)


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


def _name_phases(axes: Axes, data: PhaseDiagram) -> None:
    """The name of each phase at the middle of its region."""
    for phase in ("ordered", "chaotic"):
        rows, columns = np.nonzero(data.phase == phase)
        if len(rows) > 0.03 * data.phase.size:
            at = np.median(data.sigma_w[columns]), np.median(data.sigma_b[rows])
            axes.text(*at, phase, ha="center", va="center", color="black", fontsize=11)
    if np.all(np.isinf(data.K)):
        axes.text(0.5, 0.5, "no fixed point", transform=axes.transAxes, color=GREY, ha="center")
