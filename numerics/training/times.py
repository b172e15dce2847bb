"""Steps of training: the steps that are taken, and those whose results are kept."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.language.errors import InvalidArgument, StabilityWarning
from ...theory.training.subject import Training
from ..kernels.kernels import kernel
from ..runs.inputs import numbers_of
from .data import Data

Array = NDArray[np.float64]

#: Steps of gradient flow are this fraction of the fastest time, 1/(largest eigenvalue of the tangent kernel).
FRACTION = 0.1
#: More than the relative error of the curvature.
ROUNDING = 1e-9


@dataclass(frozen=True)
class TimeGrid:
    """The number of steps, the steps whose results are kept, and the learning rate."""

    steps: int
    kept: NDArray[np.int64]
    rate: float

    @property
    def times(self) -> Array:
        """The times that are kept: steps times the rate."""
        return np.asarray(self.kept * self.rate)

    def finer(self) -> TimeGrid:
        """Half the step."""
        return TimeGrid(2 * self.steps - 1, 2 * self.kept, self.rate / 2)


def check_times(flow: Training, data: Data, times: Any) -> TimeGrid:
    """The steps; for gradient flow so small that a step is a tenth of the fastest time.

    Warns (``StabilityWarning``) of a learning rate at which the lazy limit is unstable.
    """
    values = np.atleast_1d(numbers_of(times))
    last_only = np.ndim(times) == 0
    if (
        values.ndim != 1
        or not values.size
        or not np.isfinite(values).all()
        or values[0] < 0
        or (np.diff(values) <= 0).any()
    ):
        raise InvalidArgument(f"times={times!r}; allowed: increasing numbers from 0, or the last one")
    curvature = _curvature(flow, data)
    if flow.learning_rate is not None:
        steps = np.round(values).astype(np.int64)
        if not np.array_equal(steps, values):
            raise InvalidArgument(f"times={times!r} with learning_rate: these are steps; allowed: increasing integers")
        bound = 2 * (1 + flow.momentum) / curvature if curvature > 0 else np.inf
        if flow.learning_rate > bound:
            # Not an error: the kernel moves, and training may settle where it is smaller (catapult, arXiv:2003.02218).
            warnings.warn(
                f"learning_rate={flow.learning_rate:g} is beyond the stability of the lazy limit, {bound:.4g}: the largest "
                f"eigenvalue of the tangent kernel at initialisation, times the loss's curvature, is {curvature:.4g}. Predictions "
                "grow at first; they settle if the kernel becomes smaller, and diverge if not",
                StabilityWarning,
                stacklevel=4,
            )
        kept = np.arange(steps[0] + 1) if last_only else steps
        return TimeGrid(int(kept[-1]) + 1, kept, flow.learning_rate)
    if last_only and values[0] == 0:
        return TimeGrid(1, np.array([0]), 1.0)
    wanted = np.linspace(0, values[0], 41) if last_only else values
    gaps = np.diff(np.concatenate([[0.0], wanted]))
    gap = float(gaps[gaps > 0].min(initial=wanted[-1] or 1.0))
    fastest = FRACTION / curvature if curvature > 0 else gap
    unit = _common_step(wanted, gap)
    # Where whole parts of the unit are the fastest steps, the last digit of the curvature must not decide: it is rounding.
    rate = unit / max(1, int(np.ceil(unit / fastest * (1 - ROUNDING))))
    kept = np.round(wanted / rate).astype(np.int64)
    return TimeGrid(int(kept[-1]) + 1, kept, rate)


def _common_step(times: Array, gap: float) -> float:
    """A step of which all times are multiples."""
    for parts in range(1, 65):
        step = gap / parts
        if np.allclose(times / step, np.round(times / step), atol=1e-6):
            return step
    raise InvalidArgument(
        f"times={times!r} are no multiples of one step; allowed: times on a grid, e.g. numpy.linspace(0, 5, 21)"
    )


def _curvature(flow: Training, data: Data) -> float:
    """The largest eigenvalue of the tangent kernel of the training samples, times the loss's curvature at f = 0."""
    _, fs, ys = flow.loss.value(flow.outputs)
    second = [flow.loss.derivative(flow.outputs, k, k) for k in range(flow.outputs)]
    with np.errstate(all="ignore"):  # both formulas of a choice are evaluated
        values = [sp.lambdify([*fs, *ys], e, "numpy")(*np.zeros_like(data.labels), *data.labels) for e in second]
    steepest = max(float(np.max(v)) for v in values)
    if not np.isfinite(steepest):
        raise InvalidArgument(
            f"loss={flow.loss} has the second derivative {steepest} at f = 0, where training starts, so that no step is small "
            "enough; allowed: labels at which it is finite"
        )
    theta = kernel(flow.net, data.inputs[: data.trained], get="Theta")
    return float(np.linalg.eigvalsh(theta)[-1] * steepest)
