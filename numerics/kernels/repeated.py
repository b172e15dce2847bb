r"""Kernels of a few inputs for many hyperparameters, as the fit of a Gaussian process asks for them.

Averages over an activation do not depend on hyperparameters: :math:`\langle\sigma_1\sigma_2\rangle` is a function of two deviations
and a correlation. The coefficients of its series are kept as tables in the deviation (``averages.hermite``). They are compared with
quadrature once for each pair of their windows, and serve every network with this activation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...theory.networks.architecture import MLP
from ..averages.hermite import WINDOW, windows
from .kernels import answer, checked, diagonal, kernel
from .pairs import LayerStep, PairMap, Trajectory
from .tiles import WORTH_IT, EvaluationPlan, InputSide, evaluated

Array = NDArray[np.float64]

#: Random pairs in two windows at which tables are compared with quadrature, and how well they have to agree, relative to the scale.
POINTS, AGREE = 8, 2e-13
#: Larger correlations are left to the rules for nearly parallel inputs, tables or not.
PARALLEL = 0.999


def repeated(net: MLP, X: ArrayLike, Y: ArrayLike | None, get: str) -> Array:
    """The kernel matrix that ``kernel`` gives, by tables where they hold; else, and for many inputs, by ``kernel``."""
    exact, rows, columns = checked(net, X, Y, get)
    few = len(rows) * len(columns) < 2 * WORTH_IT[exact.closed]
    if few and not exact.closed and net.ensembles[0].entry is None:  # of a first layer that is Gaussian
        fast = exact.tabled
        left = InputSide.of(rows, fast)
        right = left if Y is None else InputSide.of(columns, fast)
        if certified(fast, (left.alone, right.alone)):
            found: Any = answer(get, fast, evaluated(fast, left, right, 1, EvaluationPlan(fast, fast, None)))
            return np.asarray(found)
    return np.asarray(kernel(net, X, Y, get))


def alone(net: MLP, X: Array, get: str) -> Array:
    """The kernels of single inputs, as ``diagonal`` gives them."""
    exact, rows, _ = checked(net, X, None, get)
    if not exact.closed and net.ensembles[0].entry is None:
        found = exact.tabled.trajectory(np.einsum("ai,ai->a", rows, rows) / rows.shape[1])
        if certified(exact.tabled, (found,)):
            return found.last[exact.names.index(get)]
    return diagonal(net, X, get)


def certified(fast: PairMap, sides: Iterable[Trajectory]) -> bool:
    """Whether tables agree with quadrature wherever the deviations of some inputs lie, in all layers."""
    for step, *deviations in zip(fast.steps, *(side.deviations for side in sides), strict=True):
        every = np.concatenate(deviations)
        found = np.unique(windows(every[every > 0])).tolist()
        if not all(_agrees(step, first, second) for first in found for second in found if first <= second):
            return False
    return True


@lru_cache(maxsize=1024)
def _agrees(fast: LayerStep, first: int, second: int) -> bool:
    """Whether the averages of a step by tables are those by quadrature at random pairs in two windows of deviations."""
    rng, exact = np.random.default_rng(0), replace(fast, in_bulk=False, tabled=False)
    a, b = (WINDOW ** (number + rng.uniform(size=POINTS)) for number in (first, second))
    both = np.concatenate([a, b])
    found, single = fast.squares(both), np.asarray(exact.averages(both, both, both**2))
    if found is None or not (np.abs(found - single) <= AGREE * np.abs(single)).all():
        return False
    scale = np.sqrt(np.abs(single[:, :POINTS] * single[:, POINTS:]))  # by Cauchy and Schwarz
    K = rng.uniform(-PARALLEL, PARALLEL, size=POINTS) * a * b
    pairs = (np.asarray(step.averages(a, b, K)) for step in (fast, exact))
    return bool((np.abs(next(pairs) - next(pairs)) <= AGREE * scale).all())
