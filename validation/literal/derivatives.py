r"""The derivatives of an activation as one NumPy function, and which of them are functions at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...numerics.codegen.printing import array_function
from ...theory.language.symbols import z as argument
from ...theory.networks.activations import Activation
from ...theory.networks.admissible import KINK_STEP

Array = NDArray[np.float64]
Derivatives = Callable[[Array], tuple[Array, ...]]

#: How large a jump, relative to one plus the value, and how large a derivative next to a kink is taken for real.
JUMP, UNBOUNDED = 1e-4, 1e4


@lru_cache(maxsize=256)
def derivatives(activation: Activation, order: int) -> Derivatives:
    r"""One NumPy function for :math:`\sigma,\sigma',\dots,\sigma^{(k)}`, which share their common subexpressions.

    Equation
        :math:`x\mapsto(\sigma(x),\dots,\sigma^{(k)}(x))`, k = ``order``; at a kink what SymPy's Piecewise gives (ReLU: slope 0).
    Shapes
        Any; all results have the shape of the argument.
    Valid
        Between the kinks; see :func:`missing_derivative` for what is lost there.
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
    for k in range(1, order + 1):
        for kink in activation.kinks:
            (left, right), sides = (
                [float(activation(kink + h, q).evalf(30)) for h in (-KINK_STEP, KINK_STEP)] for q in (k - 1, k)
            )
            if not abs(right - left) <= JUMP * (1 + min(abs(left), abs(right))):
                return f"{_name(k)} is not a function: {_name(k - 1)} jumps from {left:.6g} to {right:.6g} at z={kink}"
            if not max(map(abs, sides)) <= UNBOUNDED * (1 + abs(left)):
                return f"{_name(k)} is not bounded at z={kink}"
    return None


def _name(order: int) -> str:
    return "sigma" + "'" * order
