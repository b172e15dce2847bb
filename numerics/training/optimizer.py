"""Linear optimizers: the shares of the initial parameters and of each step at time t, from the derived recursion."""

from __future__ import annotations

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.training.fields import eta
from ...theory.training.optimizer import beta, kappa, update

Array = NDArray[np.float64]


def kernels(steps: int, rate: float, momentum: float, decay: float) -> tuple[Array, Array]:
    """a(t), shape (T,), and m(t, s), shape (T, T)."""
    law, numbers = update(), {eta: rate, beta: momentum, kappa: decay}
    keep, back, take = (float(sp.sympify(x).subs(numbers)) for x in (law.keep, law.back, law.take))
    theta = np.zeros((steps, 1 + steps))  # parameters as combinations of theta(0) and the pushes
    theta[0, 0] = 1.0
    for t in range(steps - 1):
        theta[t + 1] = keep * theta[t] + back * theta[max(t - 1, 0)]
        theta[t + 1, 1 + t] += take
    return theta[:, 0].copy(), theta[:, 1:] / rate
