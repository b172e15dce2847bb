r"""The influence of one neuron on the predictions of the network, with all feedback but that of the errors.

Each neuron adds its share :math:`o-\langle o\rangle`, divided by the root of N, to the fluctuation of an average over the N neurons
of its layer. A later average responds: its fluctuation is a sum of shares of the same and of other layers with weights
:math:`w=e+D^\top w`. D is the derivative of averages by averages, through Gram matrices, through the matrices between layers (see
``interfaces``), and through the outer products that training has added. D is never formed: weights are pushed back through the
equations of the neurons, backwards in time, until all of them vanish; as every response is causal, the series ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..training.sites import ERRORS
from ..training.sources import root
from .interfaces import Interface
from .saddle import Saddle

Array = NDArray[np.float64]
#: Weights (rows, x, columns) of averages of products of two vectors, by the names of these; x numbers the results.
Weights = dict[tuple[str, str], Array]

#: Vectors that depend on a layer's activities or gradients, and on which of the two.
MADE_OF = {"phi": "phi", "e": "phi", "g": "g", "d": "g"}
#: Increments of the weights below this fraction are pushed no further.
SMALL = 1e-4
#: Neurons that measure how large weights are.
GAUGE = 64


class Neurons:
    """Independent neurons of one hidden layer at infinite width.

    ``vectors`` (rows, neurons): phi, g; e, q of the interface above; d, y of the interface below; r of the readout.
    """

    def __init__(self, saddle: Saddle, number: int, count: int, rng: np.random.Generator) -> None:
        self.saddle, self.number, self.count = saddle, number, count
        self.above, self.below = saddle.interfaces.get(number), saddle.interfaces.get(number - 1)
        problem, run = saddle.problem, saddle.run
        T, K, P = problem.shape
        layer = run.layers[number - 1]
        n, m = saddle.rows("h", T), saddle.rows("z", T)
        v: dict[str, Array] = {"phi": np.zeros((n, count)), "g": np.zeros((m, count))}
        self.g_by_h, self.g_by_z, self.slope = np.zeros((m, count)), np.zeros((m, count)), np.zeros((n, count))
        bias = layer.bias_scale * rng.standard_normal(count)
        if self.below is None:
            u = np.tile(layer.scales[0] * root(problem.overlaps) @ rng.standard_normal((P, count)), (T, 1))
        else:
            v["y"] = layer.scales[0] * rng.standard_normal((n, count))
            u = self.below.below.L @ v["y"]
        if self.above is None:
            v["r"] = layer.scales[1] * rng.standard_normal((K, count))
            r = np.tile(np.repeat(v["r"], P, axis=0), (T, 1))
        else:
            v["q"] = layer.scales[1] * rng.standard_normal((m, count))
            r = self.above.above.L @ v["q"]
        self._train(v, u + bias, r)
        if self.above is not None:
            v["e"] = self.above.below.to_e @ v["phi"]
        if self.below is not None:
            v["d"] = self.below.above.to_e @ v["g"]
        self.vectors = v

    def _train(self, v: dict[str, Array], u: Array, r: Array) -> None:
        """Fields of all times from the sources."""
        saddle, problem = self.saddle, self.saddle.problem
        T, K, P = problem.shape
        K_h, K_z = saddle.kernels["h", self.number], saddle.kernels["z", self.number]
        for t in range(T):
            a, rows, out = saddle.decay[t], slice(t * P, (t + 1) * P), slice(t * K * P, (t + 1) * K * P)
            # h = a u + K_h g, z = a r + K_z phi, with K of all times up to t
            h = a * u[rows] + K_h[rows, : out.start] @ v["g"][: out.start]
            v["phi"][rows], first, second = problem.phi[self.number - 1](h, 2)
            z = a * r[out] + K_z[out, : rows.stop] @ v["phi"][: rows.stop]
            self.slope[rows] = first
            phi_1, phi_2 = np.tile(first, (K, 1)), np.tile(second, (K, 1))
            v["g"][out] = saddle.run.call("g", phi_1, z)
            self.g_by_h[out] = saddle.run.call("g_varied", phi_1, phi_2, z, 1.0, 0.0)
            self.g_by_z[out] = saddle.run.call("g_varied", phi_1, phi_2, z, 0.0, 1.0)

    def values(self, weights: Weights, count: int | None = None) -> Array:
        """Each neuron's share of weighted averages: (x, neurons)."""
        total: Array | float = 0.0
        for (left, right), w in weights.items():
            rows, x, columns = w.shape
            a, b = self.vectors[left][:rows, :count], self.vectors[right][:columns, :count]
            product = (w.reshape(rows * x, columns) @ b).reshape(rows, x, -1)
            total = total + np.einsum("as,axs->xs", a, product)
        return np.asarray(total)

    def responses(self, weights: Weights, times: int) -> tuple[Array, Array]:
        """The derivatives of each neuron's share by its h and its z, at all times before: (rows, x, neurons)."""
        K_h, K_z = self.saddle.kernels["h", self.number], self.saddle.kernels["z", self.number]
        _, K, P = self.saddle.problem.shape
        n, m = times * P, times * K * P
        x = next(iter(weights.values())).shape[1]
        slopes = self._slopes(weights, x, n, m)
        by_h, by_z = np.zeros((n, x, self.count)), np.zeros((m, x, self.count))
        wide = x * self.count
        for t in reversed(range(times)):
            rows, out = slice(t * P, (t + 1) * P), slice(t * K * P, (t + 1) * K * P)
            # The chain rule backwards in time: g by weights and by later h; z by g; phi by weights and by z from t on; then h.
            by_g = slopes["g"][out] + _times(K_h[rows.stop : n, out].T, by_h[rows.stop :].reshape(-1, wide), x)
            by_z[out] = self.g_by_z[out][:, None] * by_g
            by_phi = slopes["phi"][rows] + _times(K_z[out.start : m, rows].T, by_z[out.start :].reshape(-1, wide), x)
            by_h[rows] = self.slope[rows][:, None] * by_phi
            by_h[rows] += (self.g_by_h[out][:, None] * by_g).reshape(K, P, x, -1).sum(axis=0)
        return by_h, by_z

    def _slopes(self, weights: Weights, x: int, n: int, m: int) -> dict[str, Array]:
        """The derivative of weighted products by phi and g, at fixed innovations y and q."""
        found = {"phi": np.zeros((n, x, self.count)), "g": np.zeros((m, x, self.count))}
        for (left, right), w in weights.items():
            for name, other, matrix in ((left, right, w), (right, left, w.transpose(2, 1, 0))):
                if name not in MADE_OF:
                    continue
                rows, _, columns = matrix.shape
                matrix = matrix.reshape(rows, x * columns)
                if name == "e":
                    assert self.above is not None
                    matrix = self.above.below.to_e[:rows, :rows].T @ matrix
                if name == "d":
                    assert self.below is not None
                    matrix = self.below.above.to_e[:rows, :rows].T @ matrix
                product = matrix.reshape(rows * x, columns) @ self.vectors[other][:columns]
                found[MADE_OF[name]][:rows] += product.reshape(rows, x, -1)
        return found


def _times(matrix: Array, wide: Array, x: int) -> Array:
    return (matrix @ wide).reshape(len(matrix), x, -1)


@dataclass
class Pending:
    """Weights of averages of the layers that have not been pushed back yet, and weights of the errors."""

    times: int
    layers: dict[int, Weights] = field(default_factory=dict)
    errors: Array | float = 0.0

    def add(self, number: int, name: tuple[str, str], weights: Array) -> None:
        """More weight on an average of a layer."""
        own = self.layers.setdefault(number, {})
        own[name] = own[name] + weights if name in own else weights


class Backward:
    """Pushes weights back, by the derivatives at a set of neurons of each layer."""

    def __init__(self, saddle: Saddle, count: int, rng: np.random.Generator) -> None:
        self.saddle = saddle
        self.layers = [Neurons(saddle, i + 1, count, rng) for i in range(saddle.problem.layers)]

    def __call__(self, pending: Pending) -> tuple[dict[int, Weights], Array]:
        """All weights of each layer, and those of the errors (x, K P times)."""
        total = Pending(pending.times)
        L = len(self.layers)
        sizes = dict.fromkeys(range(1, L + 1), 0.0)
        # Down and up through the layers; at each layer all weights gathered there are pushed together.
        sweep = [*range(L, 0, -1), *range(2, L)]
        while pending.layers:
            for number in sweep:
                weights = pending.layers.pop(number, {})
                if not weights:
                    continue
                for name, w in weights.items():
                    total.add(number, name, w)
                size = float(self.layers[number - 1].values(weights, GAUGE).std(axis=1).max())
                sizes[number] = max(sizes[number], size)
                if size > SMALL * max(sizes.values()):
                    self._push(number, weights, pending)
        return total.layers, np.asarray(pending.errors)

    def _push(self, number: int, weights: Weights, into: Pending) -> None:
        """From weights of a layer's averages to weights of the averages in the equations of its neurons."""
        neurons, saddle, times = self.layers[number - 1], self.saddle, into.times
        by_h, by_z = neurons.responses(weights, times)
        n, m = len(by_h), len(by_z)
        v, S = neurons.vectors, neurons.count

        def mean(left: Array, name: str, rows: int) -> Array:
            rest = left.shape[:2]
            return (left.reshape(-1, S) @ v[name][:rows].T / S).reshape(*rest, rows)

        h_g, z_phi = mean(by_h, "g", m), mean(by_z, "phi", n)
        below = saddle.pushed("h", number, h_g)
        above = saddle.pushed("z", number, z_phi)
        # The errors, in the outer products that training has added.
        into.errors = into.errors + below[ERRORS] + above[ERRORS]
        decay = saddle.decay[:times]
        if neurons.below is not None:  # h by Phi in the outer products, and by a u = a L (y + M d) of the matrix below
            known = neurons.below.upto(n, m)
            into.add(number - 1, ("phi", "phi"), below[saddle.problem.sites.overlap("phi")])
            a = np.repeat(decay, n // times)[:, None, None]
            y, d = mean(a * by_h, "y", n), (a * h_g) @ known.above.to_e.T
            gram_e, gram_d, memory = _answers(known, y, d)
            _weigh(into, number - 1, gram_e, gram_d, memory, known)
        if neurons.above is not None:  # z by G in the outer products, and by a r of the transposed matrix above
            known = neurons.above.upto(n, m)
            into.add(number + 1, ("g", "g"), above[saddle.problem.sites.overlap("g")])
            a = np.repeat(decay, m // times)[:, None, None]
            q, e = mean(a * by_z, "q", m), (a * z_phi) @ known.below.to_e.T
            gram_d, gram_e, memory = _answers(known.transposed, q, e)
            _weigh(into, number, gram_e, gram_d, memory.transpose(2, 1, 0), known)


def _answers(known: Interface, innovations: Array, memories: Array) -> tuple[Array, Array, Array]:
    r"""The derivatives of neurons that receive W a, from weights (rows of W a, x, ...) of y and of d.

    The neurons receive :math:`L(y+M_{j<i}d)`. Gives the weights of the Gram matrix of e, which changes the basis by
    :math:`\delta L=L\,\mathrm{low}(\delta\langle ee\rangle)` with half of the diagonal; of the Gram matrix of d; and of M.
    """
    y, d = (_left(known.below.square.T, w) for w in (innovations, memories))
    M = known.M * known.earlier
    remembered = d * (known.earlier & known.real)[:, None, :]
    # L changes with the Gram matrix of e, times W e = y + M d. M is measured in orthonormal e and d, which change with the Gram
    # matrices of both: the two terms with a minus.
    return y + (d - remembered) @ M.T, -_left(M.T, remembered), remembered


def _weigh(into: Pending, below: int, gram_e: Array, gram_d: Array, memory: Array, known: Interface) -> None:
    """Weights of Gram matrices and of M as weights of averages on both sides.

    An entry of M is the average of e q below if the gradient came before the activity, else the average of d y above. On the other
    side the innovation is orthogonal to the vector, because the product with it is known: the average there is subtracted.
    """
    sign = np.where(known.earlier, 1.0, -1.0)[:, None, :]
    into.add(below, ("e", "e"), _low(gram_e) * known.below.new)
    into.add(below, ("e", "q"), sign * memory)
    into.add(below + 1, ("d", "d"), _low(gram_d) * known.above.new)
    into.add(below + 1, ("y", "d"), -sign * memory)


def _left(matrix: Array, weights: Array) -> Array:
    """Matrix times weights, by their rows."""
    rows, x, columns = weights.shape
    return (matrix @ weights.reshape(rows, x * columns)).reshape(len(matrix), x, columns)


def _low(weights: Array) -> Array:
    """The part below the diagonal, and half of the diagonal."""
    n = weights.shape[0]
    return weights * (np.tri(n) - 0.5 * np.eye(n))[:, None, :]
