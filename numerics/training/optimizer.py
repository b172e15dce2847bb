r"""Linear optimizers: the shares of the initial parameters and of each step in the parameters at time t.

Whatever the gradients are, :math:`\theta(t)=a(t)\,\theta(0)+\eta\sum_{s<t}m(t,s)\,(\text{step at }s)`, because gradient descent
with momentum and decay is a linear recursion driven by them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def kernels(steps: int, rate: float, momentum: float, decay: float) -> tuple[Array, Array]:
    r"""a(t), shape (T,), and m(t, s), shape (T, T).

    Of :math:`v(t)=\beta v(t-1)+G(t)-\kappa\theta(t)`, :math:`\theta(t+1)=\theta(t)+\eta v(t)`.
    """
    theta = np.zeros((steps, 1 + steps))  # parameters as combinations of theta(0) and the steps
    theta[0, 0] = 1.0
    velocity = np.zeros(1 + steps)
    for t in range(steps - 1):
        velocity = momentum * velocity - decay * theta[t]
        velocity[1 + t] += 1.0
        theta[t + 1] = theta[t] + rate * velocity
    return theta[:, 0].copy(), theta[:, 1:] / rate
