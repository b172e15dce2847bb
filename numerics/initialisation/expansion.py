r"""The warning about a width for which the expansion in 1/n is not to be trusted.

Next to a kernel stands its fluctuation, :math:`V/(nK^2)`, and its correction, :math:`K^{\{1\}}/(nK)`; next to the tangent kernel
:math:`A/(n\Theta^2)`, :math:`B/(n\Theta^2)` and :math:`\Theta^{\{1\}}/(n\Theta)`. One of them may vanish for a symmetry (K1 for
activations of one kink at zero, V of orthogonal linear layers), so that the largest one is what counts; and they count whatever
was asked for, each for single inputs: by Cauchy and Schwarz entries of several inputs are no larger.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...theory.language.errors import ExpansionWarning
from ...theory.language.quantities import TENSORS, Quantity, quantity
from ...theory.networks.architecture import MLP

Array = NDArray[np.float64]
#: The values of a quantity in all layers at each input alone, (layers, inputs).
Alone = Callable[[tuple[str, ...]], Mapping[str, Array]]

#: The largest next order, relative to the leading one, that passes without a warning.
EXPANSION_LIMIT = 0.5
#: What is compared with the product of kernels, by the kernel whose expansion it tells of.
MEASURES = {"K": ("V", "K1"), "Theta": ("A", "B", "Theta1")}


@dataclass(frozen=True)
class Size:
    """How large a tensor is at a width, relative to the product of kernels that it stands beside."""

    row: Quantity
    layer: int
    width: int
    value: float

    @property
    def quotient(self) -> str:
        """How it is written."""
        kernels = [pair_kernel(pair) for pair in self.row.pairs]
        below = kernels[0] if len(kernels) == 1 else f"{kernels[0]}^2"
        return f"{self.row.name}/(n {below})"


def pair_kernel(pair: Iterable[tuple[str, int]]) -> str:
    """The kernel that a pair of jets has for its mean."""
    return "Theta" if any(directions for directions, _ in pair) else "K"


def sizes(values: Mapping[str, Array], widths: tuple[int, ...]) -> list[Size]:
    """The relative sizes in the layers above hidden ones, the largest over the inputs."""
    found = []
    for kernel, names in MEASURES.items():
        for name in names:
            if name not in values or kernel not in values:
                continue
            row = quantity(name)
            scale = np.abs(values[kernel]) ** len(row.pairs)
            quotient = np.divide(np.abs(values[name]), scale, out=np.zeros_like(scale), where=scale > 0)
            found += [Size(row, i + 1, n, float(quotient[i].max()) / n) for i, n in enumerate(widths, start=1)]
    return found


def warn_about_expansion(
    net: MLP, dataset: xr.Dataset, exists: Callable[[str], bool], alone: Alone, stacklevel: int
) -> None:
    """Warn with the largest of all sizes if a width is too small; ``exists`` tells which quantities the network has."""
    widths = net.hidden_widths
    if not widths:
        return
    wanted = wanted_for(tuple(n for n in map(str, dataset.data_vars) if n in TENSORS), exists)
    values = {name: diagonal(dataset[name].values) for name in wanted if name in dataset}
    if len(values) < len(wanted):
        values = dict(alone(wanted))
    found = [size for size in sizes(values, widths) if size.value > EXPANSION_LIMIT]
    if not found:
        return
    worst = max(found, key=lambda size: size.value)
    first = min(size.layer for size in found)
    warnings.warn(
        f"width={worst.width} is small for this depth: {worst.quotient} is {worst.value:.3g} in layer {worst.layer} (limit "
        f"{EXPANSION_LIMIT}, passed from layer {first} on). There the next order in 1/width is not small beside the leading "
        "one, and the expansion is not to be trusted; use a wider or shallower network, or simulate it",
        ExpansionWarning,
        stacklevel=stacklevel + 1,
    )


def wanted_for(asked: tuple[str, ...], exists: Callable[[str], bool]) -> tuple[str, ...]:
    """What the warning compares: of the tangent kernel only if something was asked that has jets along directions."""
    rates = any(pair_kernel(pair) == "Theta" for name in asked for pair in quantity(name).pairs)
    kernels = ("K", "Theta") if rates else ("K",)
    return tuple(n for kernel in kernels for n in (kernel, *MEASURES[kernel]) if exists(n))


def diagonal(values: Array) -> Array:
    """The entries of single inputs, (layers, inputs)."""
    letters = "a" * (values.ndim - 1)
    return np.einsum(f"l{letters}->la", values)
