"""What is predicted and measured of training: names, meanings and axes of the arrays, and arguments that all calls share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .causal import Run
from .data import Data

Array = NDArray[np.float64]

QUANTITIES = ("f", "loss", "Phi", "G", "NTK", "A", "B")
MEANING = {
    "f": "prediction", "loss": "loss, summed over samples", "Phi": "overlap of activities", "G": "overlap of gradients",
    "NTK": "tangent kernel at equal times", "A": "response of activities to r, over gamma_0",
    "B": "response of gradients of the layer above to u, over gamma_0",
}  # fmt: skip

#: Those that networks and resampled solutions have too.
MEASURED = QUANTITIES[:5]

#: The dimensions of a quantity, in the order of the arrays.
DIMS = {
    "f": ("time", "output", "sample"),
    "loss": ("time",),
    "NTK": ("time", "output", "sample", "output2", "sample2"),
    "Phi": ("layer", "time", "sample", "time2", "sample2"),
    "G": ("layer", "time", "output", "sample", "time2", "output2", "sample2"),
    "A": ("layer", "time", "sample", "time2", "output2", "sample2"),
    "B": ("layer", "time", "output", "sample", "time2", "sample2"),
}


def order_parameter(run: Run, name: str, kept: NDArray[np.int64]) -> Array:
    """Predictions or a kernel of a solution, with all its dimensions, at the times that are kept."""
    if name in ("f", "NTK"):
        return np.asarray({"f": run.f, "NTK": run.ntk}[name][kept])
    second = DIMS[name].index("time2") - DIMS[name].index("time")
    return np.stack([np.take(run.q[name][i][kept], kept, axis=second) for i in layers_of(run, name)])


def layers_of(run: Run, name: str) -> range:
    """Those that have the quantity: responses are of matrices between hidden layers."""
    return range(1, run.problem.layers + (name not in ("A", "B")))


def variable(
    full: tuple[str, ...], value: Array, outputs: int, text: str
) -> tuple[tuple[str, ...], Array, dict[str, str]]:
    """An array with all its dimensions for a dataset, without the axes of a single output."""
    if outputs == 1:
        value = value.squeeze(axis=tuple(i for i, d in enumerate(full) if d.startswith("output")))
        full = tuple(d for d in full if not d.startswith("output"))
    return full, value, {"long_name": text}


def coordinates(data: Data, times: Array, layers: int, outputs: int) -> dict[str, Any]:
    """Labels of the axes."""
    P = len(data.inputs)
    sets = np.where(np.arange(P) < data.trained, "train", "test")
    found: dict[str, Any] = {"time": times, "time2": times, "layer": np.arange(1, layers + 1)}
    found |= {"sample": np.arange(P), "sample2": np.arange(P), "set": ("sample", sets)}
    return found | ({"output": np.arange(outputs), "output2": np.arange(outputs)} if outputs > 1 else {})
