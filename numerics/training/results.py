"""The arrays of a solution, by the table of observables, and the labels of their axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.training.fields import last
from ...theory.training.observables import MEANS, RESPONSES, TRAINING
from .causal import Run
from .data import Data

Array = NDArray[np.float64]

#: Results at infinite width; first those that networks and resampled solutions have too.
MEASURED = tuple(row.name for row in MEANS)
_RESPONSES = tuple(row.name for row in RESPONSES)
QUANTITIES = (*MEASURED, *_RESPONSES)


def order_parameter(run: Run, name: str, kept: NDArray[np.int64]) -> Array:
    """Predictions or a kernel of a solution, with all its dimensions, at the times that are kept."""
    if name in ("f", "Theta"):
        return np.asarray(getattr(run, name)[kept])
    dims = TRAINING[name].dims
    second = dims.index("time2") - dims.index("time")
    return np.stack([np.take(run.q[name][i][kept], kept, axis=second) for i in layers_of(run, name)])


def layers_of(run: Run, name: str) -> range:
    """The layers at which it is an average: a response belongs to a matrix between two hidden layers."""
    (order,) = (order for order in run.schema.orders if order.name == name)
    return range(int(order.first), int(order.final.subs(last, run.problem.layers)) + 1)


def padded(name: str, value: Array) -> Array:
    """A response with a place for the last layer, which has none, so that all quantities share one axis of layers."""
    if name not in _RESPONSES:
        return value
    return np.concatenate([value, np.full_like(value[:1], np.nan)])


def coordinates(data: Data, times: Array, layers: int, outputs: int) -> dict[str, Any]:
    """Labels of the axes."""
    P = len(data.inputs)
    sets = np.where(np.arange(P) < data.trained, "train", "test")
    found: dict[str, Any] = {"time": times, "time2": times, "layer": np.arange(1, layers + 1)}
    found |= {"sample": np.arange(P), "sample2": np.arange(P), "set": ("sample", sets)}
    return found | ({"output": np.arange(outputs), "output2": np.arange(outputs)} if outputs > 1 else {})
