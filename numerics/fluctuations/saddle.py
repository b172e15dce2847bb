r"""The solution at infinite width: the saddle point around which order parameters fluctuate.

The memories of all times are matrices, :math:`h=a\,u+K_hg,\ z=a\,r+K_z\phi`; their derivatives by order parameters act transposed,
on weights. Both come from the generated functions. Activities have rows (time, sample), gradients (time, output, sample).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..training.causal import Run
from ..training.sites import ERRORS
from .interfaces import Interface, interface

Array = NDArray[np.float64]


class Saddle:
    """Kernels, interfaces and boundary values of a solution."""

    def __init__(self, run: Run) -> None:
        self.run, self.problem = run, run.problem
        self.interfaces: dict[int, Interface] = {i: interface(run, i) for i in range(1, self.problem.layers)}
        numbers = range(1, self.problem.layers + 1)
        self.kernels = {(name, i): self._kernel(name, i) for name in "hz" for i in numbers}

    def rows(self, name: str, times: int) -> int:
        """The number of components of an activity (h) or a gradient (z) up to a time."""
        _, K, P = self.problem.shape
        return times * P * (1 if name == "h" else K)

    def factors(self, name: str, t: int) -> tuple[float, list[float]]:
        """The coefficients of the source and of the memories in the equation of a field, which is linear in them."""
        count = len(self.problem.sites.memories[name])
        unit = np.eye(count + 1)
        found = [float(self.run.field(name, row[0], t, list(row[1:]))) for row in unit]
        return found[0], found[1:]

    @cached_property
    def decay(self) -> Array:
        """The coefficient a(t) of the sources."""
        return np.array([self.factors("h", t)[0] for t in range(self.problem.steps)])

    def _past(self, name: str, t: int) -> list[int]:
        """The number of columns of each memory: up to time t, or strictly before it."""
        other = "z" if name == "h" else "h"
        return [self.rows(other, t if strict else t + 1) for _, strict in self.problem.sites.memories[name]]

    def _kernel(self, name: str, number: int) -> Array:
        T = self.problem.steps
        rows, columns = self.rows(name, 1), self.rows("z" if name == "h" else "h", T)
        total = np.zeros((T * rows, columns))
        for t in range(T):
            whole = self.run.call(f"{name}_kernels", **self.run.orders(f"{name}_kernels", number, t, t + 1))
            _, factors = self.factors(name, t)
            for kernel, factor, past in zip(whole, factors, self._past(name, t), strict=True):
                total[t * rows : (t + 1) * rows, :past] += factor * kernel.reshape(rows, -1)[:, :past]
        return total

    def pushed(self, name: str, number: int, weights: Array) -> dict[str, Array]:
        """From weights (rows, x, columns) of a layer's kernel to those of Phi below or G above and of errors (x, columns)."""
        _, K, P = self.problem.shape
        rows, columns = self.rows(name, 1), self.rows("z" if name == "h" else "h", 1)
        x, times = weights.shape[1], len(weights) // rows
        size = P if name == "h" else K * P
        order = self.problem.sites.overlap("phi" if name == "h" else "g")
        found = {order: np.zeros((times * size, x, times * size)), ERRORS: np.zeros((x, times * K * P))}
        lead, ends = ((P,), (K, P)) if name == "h" else ((K, P), (P,))
        for t in range(times):
            _, factors = self.factors(name, t)
            here = weights[t * rows : (t + 1) * rows, :, : (t + 1) * columns]
            # One term for each memory: its factor times the weights, which vanish beyond its past.
            pushes = []
            for factor, past in zip(factors, self._past(name, t), strict=True):
                push = factor * here
                push[:, :, past:] = 0.0
                pushes.append(push.reshape(*lead, x, t + 1, *ends))
            taken = self.run.orders(f"{name}_kernels", number, t, t + 1)
            for key, value in self.run.call(f"{name}_kernels_push", *pushes, **taken).items():
                if key == ERRORS:
                    found[key][:, : (t + 1) * K * P] += value.reshape(x, -1)
                else:
                    found[key][t * size : (t + 1) * size, :, : (t + 1) * size] += value.reshape(size, x, -1)
        return found

    def prediction(self, t: int) -> tuple[float, dict[str, Array]]:
        """Of the x = K P predictions at time t: the factor of the readout's average, weights of Phi (P, x, n), of errors (x, m)."""
        _, K, P = self.problem.shape
        x = K * P
        taken = self.run.orders("f", self.problem.layers, t, t)
        # f is linear in the average <r phi>: its coefficient by a difference
        nothing = np.zeros((K, P))
        constant = self.run.call("f", nothing, **taken)
        factor = float((self.run.call("f", nothing + 1.0, **taken) - constant).mean())
        sizes = {self.problem.sites.overlap("phi"): (P, x, t * P), ERRORS: (x, t * K * P)}
        if not t:
            return factor, {name: np.zeros(shape) for name, shape in sizes.items()}
        push = np.eye(x).reshape(K, P, x)
        found = self.run.call("f_push", push, **taken)
        return factor, {name: np.asarray(found[name]).reshape(sizes[name]) for name in sizes}
