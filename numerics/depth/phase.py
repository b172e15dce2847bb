"""Phase diagrams: where nearby inputs converge or part, over the standard deviations of weights and biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ...theory.language.errors import InvalidArgument
from ...theory.language.markup import record, short
from ..runs.inputs import numbers_of
from ..runs.values import Value
from .critical import (
    CriticalPoint,
    Responses,
    Universality,
    critical_points,
    responses,
    specified,
)

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


@dataclass(frozen=True, eq=False, repr=False)
class Phases(Value):
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

    @property
    def _shares(self) -> str:
        names, counts = np.unique(self.phase, return_counts=True)
        return ", ".join(
            f"{100 * count / self.phase.size:.0f} % {name}" for name, count in zip(names, counts, strict=True)
        )

    def __repr__(self) -> str:
        grid = f"{len(self.sigma_w)} x {len(self.sigma_b)} points, {len(self.points)} critical"
        return short(f"<{type(self).__name__} of {self.activation}: {grid}; {self._shares}>")

    def _repr_html_(self) -> str:
        ends = {
            n: f"{a[0]:.4g} to {a[-1]:.4g}, {len(a)} points"
            for n, a in (("sigma_w", self.sigma_w), ("sigma_b", self.sigma_b))
        }
        points = {f"critical point {i}": repr(p).strip("<>") for i, p in enumerate(self.points, start=1)}
        return record(
            f"Phases of {self.activation}", ends | {"phases": self._shares} | points, note=".plot() draws them"
        )


def phases(
    activation: Any,
    *,
    sigma_w: Sequence[float] | Array | None = None,
    sigma_b: Sequence[float] | Array | None = None,
    start: float = 1.0,
) -> Phases:
    r"""The phases of deep networks with this activation: the numbers of ``phase_diagram``, whose arguments they have.

    Equation
        .. math:: K^*=\sigma_b^2+\sigma_w^2\langle\sigma^2\rangle_{K^*},\qquad \chi_\perp=\sigma_w^2\langle\sigma'^2\rangle_{K^*}
    """
    subject = specified(activation)
    points = tuple(p for p in critical_points(subject) if p.universality is not Universality.NONE)
    widest = max([2 * np.sqrt(p.C_W) for p in points if p.C_W is not None], default=3.0)
    w = _grid("sigma_w", np.linspace(0.02, widest, RESOLUTION) if sigma_w is None else sigma_w)
    b = _grid("sigma_b", np.linspace(0.0, 1.5, RESOLUTION) if sigma_b is None else sigma_b)
    if isinstance(start, bool) or not isinstance(start, Real) or not 0 < start < KERNELS[-1]:
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
    return Phases(
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
    grid = numbers_of(values)
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
        # A kernel that still grows by a visible fraction in each layer has no fixed point; one that shrinks is on its way to 0.
        growing = step(K) - K > SLOW * np.maximum(K, KERNELS[0])
        return np.where(unbounded | growing, np.inf, np.maximum(K, 0))
