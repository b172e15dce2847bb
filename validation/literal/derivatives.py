r"""The derivatives of an activation as one NumPy function, and which of them are functions at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...numerics.codegen.printing import array_function
from ...theory.language.pieces import NEAR, Break
from ...theory.language.symbols import z as argument
from ...theory.networks.activations import Activation

Array = NDArray[np.float64]
Derivatives = Callable[[Array], tuple[Array, ...]]

#: How large a derivative next to a kink is too large.
UNBOUNDED = 1e4


@lru_cache(maxsize=256)
def derivatives(activation: Activation, order: int) -> Derivatives:
    r"""One NumPy function for :math:`\sigma,\sigma',\dots,\sigma^{(k)}`, which share their common subexpressions.

    Equation
        :math:`x\mapsto(\sigma(x),\dots,\sigma^{(k)}(x))`, k = ``order``; at a kink the value of SymPy's Piecewise (ReLU: slope 0).
    Shapes
        Any; all results have the shape of the argument.
    Valid
        Between the kinks; see :func:`missing_derivative` for delta functions there.
    Errors
        ``InvalidArgument`` for the unspecified activation.
    """
    expressions = [activation.derivative(k) for k in range(order + 1)]
    generated = array_function(argument, expressions)

    def evaluate(x: Array) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):  # NumPy evaluates all branches of a Piecewise, also those it does not select
            results = generated(x)
        return tuple(full(y, x.shape) for y in results)

    def full(y: Array, shape: tuple[int, ...]) -> Array:  # the slope of a linear function comes as one number
        return y if np.shape(y) == shape else np.broadcast_to(np.float64(y), shape)

    return evaluate


@lru_cache(maxsize=256)
def missing_derivative(activation: Activation, order: int) -> str | None:
    r"""Why one of the first ``order`` derivatives is not a function, as a clause; None if all are.

    Equation
        A jump of :math:`\sigma^{(k-1)}` at a kink leaves a delta function in :math:`\sigma^{(k)}`.
    Valid
        For all that pass ``Activation``'s own checks.
    """
    found = activation.broken
    if found is None or order < found.order or not order:
        return None
    if found.order and not found.finite and _large(activation, found):
        return f"{_name(found.order)} is not bounded at z={found.at}"
    if order == found.order:
        return None
    below, (left, right) = found.order, (float(found.left), float(found.right))
    return f"{_name(below + 1)} is not a function: {_name(below)} jumps from {left:.6g} to {right:.6g} at z={found.at}"


def _large(activation: Activation, found: Break) -> bool:
    """Whether an infinite derivative is so large near the kink that its square has no average."""
    beside = (activation(found.at + h, found.order).evalf(30) for h in (-NEAR, NEAR))
    return max(abs(float(value)) for value in beside) > UNBOUNDED


def _name(order: int) -> str:
    return "sigma" + "'" * order
