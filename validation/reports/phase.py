"""Phase diagrams: where nearby inputs converge or part, over the standard deviations of weights and biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ...numerics.depth.critical import (
    CriticalPoint,
    Responses,
    Stability,
    Universality,
    critical_points,
    responses,
    specified,
)
from ...theory.language.errors import InvalidArgument
from .figures import COLOURS, GREY, STYLE, Picture

Array = NDArray[np.float64]

#: Kernels at which the susceptibilities are tabulated. Above the last one a kernel counts as growing without bound.
KERNELS = np.geomspace(1e-6, 1e3, 361)
#: Kernels along the edge of chaos.
EDGE = 3001
#: Layers that are iterated before Newton's method takes over, and steps of that.
LAYERS, STEPS = 400, 30
#: A kernel that grows by more than this fraction in a layer, after all of them, has not found a fixed point.
SLOW = 1e-6
#: Points along each side.
RESOLUTION = 121


@dataclass(frozen=True)
class PhaseDiagram:
    r"""The fixed point K* of one input and its susceptibilities over a grid, and the edge of chaos.

    Equation
        :math:`K^*=C_b+C_W\langle\sigma^2\rangle_{K^*}`; *ordered* where :math:`\chi_\perp(K^*)<1`, *chaotic* where it is above 1.
        The edge is :math:`C_W=1/\langle\sigma'^2\rangle_K,\ C_b=K-C_W\langle\sigma^2\rangle_K\ge0` for every K.
    Shapes
        ``K``, ``chi_parallel``, ``chi_perp``: (len(sigma_b), len(sigma_w)); K is inf, and the others are nan, where the kernel
        grows without bound. ``edge_*``: one dimension, along K.
    Units
        ``sigma_w``, ``sigma_b`` are standard deviations: :math:`C_W=\sigma_w^2`, :math:`C_b=\sigma_b^2`.
    """

    activation: str
    sigma_w: Array
    sigma_b: Array
    K: Array
    chi_parallel: Array
    chi_perp: Array
    edge_w: Array
    edge_b: Array
    edge_chi_parallel: Array  #: the edge is a boundary of phases where this is at most 1, so that kernels run into it
    points: tuple[CriticalPoint, ...]

    @property
    def phase(self) -> NDArray[np.str_]:
        """Ordered, chaotic or unbounded, at each point of the grid."""
        bounded = np.where(self.chi_perp > 1, "chaotic", "ordered")
        return np.where(np.isfinite(self.K), bounded, "unbounded")

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
    subject = specified(activation)
    points = tuple(p for p in critical_points(subject) if p.universality is not Universality.NONE)
    widest = max([2 * np.sqrt(p.C_W) for p in points if p.C_W is not None], default=3.0)
    w = _grid("sigma_w", np.linspace(0.02, widest, RESOLUTION) if sigma_w is None else sigma_w)
    b = _grid("sigma_b", np.linspace(0.0, 1.5, RESOLUTION) if sigma_b is None else sigma_b)
    if not 0 < start < KERNELS[-1]:
        raise InvalidArgument(f"start={start!r} is a kernel; allowed: numbers above 0 and below {KERNELS[-1]:g}")
    table = _Table.of(responses(subject))
    C_b, C_W = np.meshgrid(b**2, w**2, indexing="ij")
    K = table.fixed_points(C_W, C_b, start)
    known = np.where(np.isfinite(K), K, 1.0)
    blank = np.where(np.isfinite(K), 1.0, np.nan)
    along = np.geomspace(KERNELS[0], KERNELS[-1], EDGE)
    edge_W = 1 / table.perpendicular(np.log(along))
    edge_B = along - edge_W * np.exp(table.log_kernel(np.log(along)))
    # At K = 0, or for any K, the bias of the edge is zero up to rounding.
    allowed = (edge_W > 0) & (edge_B >= -1e-9 * along)
    return PhaseDiagram(
        subject.name,
        w,
        b,
        K,
        C_W * table.parallel(_log(known)) * blank,
        C_W * table.perpendicular(_log(known)) * blank,
        np.sqrt(edge_W[allowed]),
        np.sqrt(np.where(edge_B > 1e-9 * along, edge_B, 0.0)[allowed]),
        (edge_W * table.parallel(np.log(along)))[allowed],
        points,
    )


def _grid(name: str, values: Any) -> Array:
    grid = np.asarray(values, dtype=float)
    if grid.ndim != 1 or len(grid) < 2 or not np.all(np.isfinite(grid)) or grid[0] < 0 or np.any(np.diff(grid) <= 0):
        raise InvalidArgument(
            f"{name} has shape {grid.shape} and starts {np.ravel(grid)[:3].tolist()}; allowed: at least two increasing finite "
            "standard deviations from 0"
        )
    return grid


def _log(K: Array) -> Array:
    return np.asarray(np.log(np.clip(K, KERNELS[0], KERNELS[-1])))


@dataclass(frozen=True)
class _Table:
    """The susceptibilities with C_W = 1 as splines in log K."""

    log_kernel: CubicSpline
    parallel: CubicSpline
    perpendicular: CubicSpline

    @classmethod
    def of(cls, exact: Responses) -> _Table:
        x = np.log(KERNELS)
        values = np.log(exact.kernel(KERNELS)), exact.parallel(KERNELS), exact.perpendicular(KERNELS)
        return cls(*(CubicSpline(x, y) for y in values))

    def fixed_points(self, C_W: Array, C_b: Array, start: float) -> Array:
        """The kernel after many layers, then Newton's method where it helps; inf where it leaves the table upwards."""
        step = lambda K: C_b + C_W * np.exp(self.log_kernel(_log(K)))  # noqa: E731
        K = np.full(C_W.shape, start)
        for _ in range(LAYERS):
            K = step(K)
        unbounded = KERNELS[-1] <= K
        K = np.where(unbounded, 1.0, K)
        for _ in range(STEPS):
            residual = step(K) - K
            with np.errstate(divide="ignore", invalid="ignore"):
                better = K - residual / (C_W * self.parallel(_log(K)) - 1)
            usable = np.isfinite(better) & (better > K / 2) & (better < 2 * K)
            K = np.where(usable, better, K + residual)
        # What still grows by a visible fraction in each layer has no fixed point; what shrinks is on its way to 0.
        growing = step(K) - K > SLOW * np.maximum(K, KERNELS[0])
        return np.where(unbounded | growing, np.inf, np.maximum(K, 0))


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
