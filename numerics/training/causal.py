r"""The equations of training, solved by going through time once.

Nothing has to be iterated. The layers are visited as training itself visits them, forward for h and backward for z; then the order
parameters in the equations of a layer at time t are known when it is visited, because they belong to earlier times or to layers
visited before, and an activity does not respond to gradients of the same time. The sites of every layer are samples that go through
time together, and the order parameters of a new time are averages over them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import NotConverged
from ...theory.training.fields import OrderParameter, last
from ...theory.training.orders import INPUTS, SiteOrder
from ...theory.training.program import initial, optimizer
from .conditioned import Conditioned, Fresh, Innovations, MatrixSide, Neighbour
from .optimizer import kernels
from .sites import ERRORS, IDENTITY, SiteFunctions, Taken
from .sources import Embedding, Rotation, root, standard_normal

Array = NDArray[np.float64]

Tick = Callable[[], None]

#: gamma_0 = 0 is solved as this value: results differ by its square.
LAZY = 1e-5
#: Predictions beyond this have diverged; for gamma_0 = 0 earlier, where its small value would move the kernel.
DIVERGED, LAZY_DIVERGED = 1e6, 0.1 / LAZY


@dataclass(frozen=True)
class Problem:
    """All that a solution depends on except the random numbers."""

    sites: SiteFunctions
    parameters: dict[str, float]
    phi: tuple[Callable[[Array, int], list[Array]], ...]  #: of each hidden layer
    errors: Callable[[Array], Array]  #: f (K, P) -> Delta (K, P), zero for samples that are not trained on
    overlaps: Array  #: x.x'/n_0
    steps: int
    outputs: int
    momentum: float
    decay: float
    samples: int  #: sites of each layer
    exact: bool  #: sites linear in their sources: coefficients instead of samples
    kept: frozenset[int]  #: times at which all order parameters are wanted
    least: float = 1e-8  #: the share of a vector orthogonal to those before that makes a new direction
    followed: int = 0  #: sites whose responses are followed as derivatives; 0: responses by conditioned matrices

    @property
    def layers(self) -> int:
        """L."""
        return len(self.phi)

    @property
    def shape(self) -> tuple[int, int, int]:
        """T, K, P."""
        return self.steps, self.outputs, len(self.overlaps)


@dataclass
class Tangent:
    """The derivatives of a layer's fields by one of its sources, at some of its sites: (time, ..., site, direction)."""

    phi: Array
    g: Array
    dh: Array = field(default_factory=lambda: np.zeros(0))


class MemorySum:
    """The sum of a memory over the past, for a layer's sites and for their responses.

    If the kernel has not changed at earlier times since the last step, as below the first layer and above the last one in plain
    gradient descent, only the term of the newest time is added.
    """

    def __init__(self) -> None:
        self.kernel: Array = np.zeros((0, 0))
        self.sums: dict[str, Array] = {}
        self.grows, self.before = False, 0

    def renew(self, kernel: Array) -> None:
        """The kernel of a new time, (rows, times x indices)."""
        old = self.kernel.shape[1]
        same = self.kernel.shape[0] == len(kernel) and 0 < old <= kernel.shape[1]
        self.grows = same and np.array_equal(kernel[:, :old], self.kernel)
        self.before, self.kernel = old, kernel

    def over(self, key: str, history: Array, indices: int) -> Array:
        """The sum over the history of a vector, (times, indices ..., sites ...), as (rows, sites ...)."""
        rest = history.shape[indices:]
        flat = history.reshape(self.kernel.shape[1], int(np.prod(rest)))
        if self.grows and key in self.sums:
            total = self.sums[key] + self.kernel[:, self.before :] @ flat[self.before :]
        else:
            total = self.kernel @ flat
        self.sums[key] = total
        return np.asarray(total).reshape(len(self.kernel), *rest)


class Layer:
    """The sites of one hidden layer."""

    def __init__(self, problem: Problem, number: int, rng: np.random.Generator) -> None:
        T, K, P = problem.shape
        self.number, self.problem = number, problem
        first, top = number == 1, number == problem.layers
        sizes = (P if first else T * P, 1, K if top else T * K * P)
        S = sum(sizes) if problem.exact else problem.samples
        self.sites, self.sizes = S, sizes
        self.weight = np.full(S, 1.0 if problem.exact else 1.0 / S)
        self.phi, self.g = np.zeros((T, P, S)), np.zeros((T, K, P, S))
        self.h, self.z = np.zeros((P, S)), np.zeros((K, P, S))
        self.start = np.zeros((P, S))
        scale_u, bias = problem.sites.functions["u_source"](**problem.parameters)
        scale_r, _ = problem.sites.functions["r_source"](**problem.parameters)
        self.scales = np.sqrt(scale_u), np.sqrt(scale_r)
        noise = self._noise(P if first else 0, K if top else 0, sizes, rng)
        x, b, w = noise
        self.bias_scale = float(np.sqrt(bias))
        self.bias = self.bias_scale * b
        self.inputs = self.scales[0] * (root(problem.overlaps) @ x) if first else None
        self.readout = self.scales[1] * w if top else None
        self.sums = {name: [MemorySum() for _ in problem.sites.memories[name]] for name in ("h", "z")}
        self.below: Neighbour | None = None
        self.above: Neighbour | None = None
        follows = problem.exact or problem.followed > 0
        self.by_r = self._tangent(T * K * P) if follows and not top else None
        self.by_u = self._tangent(T * P) if follows and not first else None

    def _noise(self, inputs: int, outputs: int, sizes: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, ...]:
        """Standard normal variables of a site that do not change in training: of the first weights, the bias, the readout."""
        if self.problem.exact:
            unit = np.eye(self.sites)
            starts = np.cumsum((0, *sizes))
            return unit[:inputs], unit[starts[1] : starts[2]], unit[starts[2] : starts[2] + outputs]
        return tuple(np.split(standard_normal(self.sites, inputs + 1 + outputs, rng), (inputs, inputs + 1)))

    def _tangent(self, directions: int) -> Tangent:
        T, K, P = self.problem.shape
        S = 1 if self.problem.exact else min(self.problem.followed, self.sites)
        return Tangent(np.zeros((T, P, S, directions)), np.zeros((T, K, P, S, directions)))

    @property
    def tangents(self) -> tuple[tuple[str, Tangent], ...]:
        """The responses of this layer, by their sources, if they are followed."""
        return tuple((n, t) for n, t in (("r", self.by_r), ("u", self.by_u)) if t is not None)


class Run:
    """One solution: the sites of all layers and the order parameters up to the present."""

    def __init__(self, problem: Problem, rng: np.random.Generator) -> None:
        T, K, P = problem.shape
        L = problem.layers
        self.problem = problem
        self.layers = [Layer(problem, i + 1, rng) for i in range(L)]
        for lower, upper in pairwise(self.layers):
            upper.below, lower.above = self._between(lower, upper, rng)
        self.schema = problem.sites.schema
        self.q = {order.name: self._arrays(order) for order in self.schema.orders}
        self.factors = {o.name: float(self.call(f"{o.name}_factor")) for o in self.schema.orders}
        for equation in self.schema.boundaries:
            self._set_boundary(equation.lhs)
        self.f, self.delta = np.zeros((T, K, P)), np.zeros((T, K, P))
        self.Theta = np.zeros((T, K, P, K, P))
        self.a, self.m = kernels(T, problem.parameters["eta"], problem.momentum, problem.decay)
        self.given = {initial().name: self.a, optimizer().name: self.m, ERRORS: self.delta}
        self.Phi, self.G = (self.q[self.schema.overlap(vector).name] for vector in ("phi", "g"))

    def _arrays(self, order: SiteOrder) -> list[Array]:
        """The values of an order parameter, layer by layer from 0 on."""
        shape = order_shape(order, self.problem)
        return [np.zeros(shape) for _ in range(self.schema.top(order, self.problem.layers) + 1)]

    def _set_boundary(self, order: OrderParameter) -> None:
        """The same values at all times."""
        name, (first, _) = f"{order.name}_boundary", order.places
        known = {INPUTS.name: self.problem.overlaps, IDENTITY: np.eye(self.problem.outputs)}
        value = np.asarray(self.call(name, *(known[o.name] for o in self.problem.sites.takes[name])))
        assert order.layer is not None
        layer = int(order.layer.subs(last, self.problem.layers))
        self.q[order.name][layer][:] = np.expand_dims(value, len(first[0])) if value.ndim else value

    def _between(self, lower: Layer, upper: Layer, rng: np.random.Generator) -> tuple[Neighbour, Neighbour]:
        """The fields and memories that the upper layer receives from the lower, and the lower from the upper."""
        problem = self.problem
        if problem.exact:
            ends = sum(lower.sizes[:2])
            first, last = Embedding(upper.sites, upper.sizes[0], 0), Embedding(lower.sites, lower.sizes[2], ends)
            return Fresh(first, upper.scales[0]), Fresh(last, lower.scales[1])
        up, down = Rotation(upper.sites, rng), Rotation(lower.sites, rng)
        if problem.followed:
            return Fresh(up, upper.scales[0]), Fresh(down, lower.scales[1])
        return conditioned(problem, lower, upper, lambda e, _: up(e), lambda d, _: down(d))

    def solve(self, tick: Tick = lambda: None) -> Run:
        """Go through time."""
        most = LAZY_DIVERGED if self.problem.parameters["gamma_0"] == LAZY else DIVERGED
        for t in range(self.problem.steps):
            for layer in self.layers:
                self._forward(layer, t)
            self._predict(t)
            for layer in reversed(self.layers):
                self._backward(layer, t)
            self._tangent_kernel(t)
            tick()
            if not np.abs(self.f[t]).max() <= most:
                raise NotConverged(
                    f"training diverges at step {t}: a prediction is {np.abs(self.f[t]).max():.3g}; allowed: a smaller "
                    "learning_rate or gamma"
                )
        return self

    def call(self, name: str, *arguments: Any, **more: Any) -> Any:
        """A generated function with the parameters of the problem."""
        return self.problem.sites.functions[name](*arguments, **more, **self.problem.parameters)

    def orders(self, name: str, layer: int, t: int, upto: int) -> dict[str, Any]:
        """The rows of time t that a generated function takes, of the times before ``upto`` where it takes a past."""
        return {order.name: self._row(order, layer, t, upto) for order in self.problem.sites.takes[name]}

    def _row(self, taken: Taken, layer: int, t: int, upto: int) -> Any:
        values = self.given[taken.name] if taken.shift is None else self.q[taken.name][layer + taken.shift]
        index: list[int | slice] = []
        for now, indices in taken.places:
            index += [t if now else slice(upto), *[slice(None)] * indices]
        return values[tuple(index)]

    def _renew(self, name: str, layer: Layer, t: int) -> None:
        """The kernels of the memories of h or z at a new time, as matrices."""
        whole = self.call(f"{name}_kernels", **self.orders(f"{name}_kernels", layer.number, t, t + 1))
        rows = 1 if name == "h" else 2
        for kernel, (_, strict), memory in zip(whole, self.problem.sites.memories[name], layer.sums[name], strict=True):
            cut = kernel[(slice(None),) * rows + (slice(t if strict else t + 1),)]
            memory.renew(np.ascontiguousarray(cut).reshape(int(np.prod(cut.shape[:rows])), -1))

    def _remembered(self, name: str, layer: Layer, t: int, whose: Layer | Tangent, key: str) -> list[Array]:
        """The memories of h or z, for the sites of a layer or their responses."""
        found = []
        for (vector, strict), memory in zip(self.problem.sites.memories[name], layer.sums[name], strict=True):
            history = getattr(whose, vector)[: t if strict else t + 1]
            total = memory.over(key, history, {"phi": 2, "g": 3}[vector])
            found.append(total if name == "h" else total.reshape(*self.problem.shape[1:], *total.shape[1:]))
        return found

    def field(self, name: str, source: Array | float, t: int, memories: Sequence[Array | float]) -> Array:
        """A field of a site, h or z, from its source and its memories."""
        own = self.orders(name, 0, t, t)
        named = {f"memory_{i}": memory for i, memory in enumerate(memories)}
        return np.asarray(self.call(name, source, **own, **named))

    def _forward(self, layer: Layer, t: int) -> None:
        _, _, P = self.problem.shape
        u = self._source_u(layer, t)
        self._renew("h", layer, t)
        # h = a u + the memories: the response A, and the outer products that training has added to the weights
        layer.h = self.field("h", u, t, self._remembered("h", layer, t, layer, "sites"))
        layer.phi[t] = self.problem.phi[layer.number - 1](layer.h, 0)[0]
        if t == 0:
            layer.start = layer.phi[0].copy()
        Phi = self.Phi[layer.number]
        row = _gram(layer.weight * layer.phi[t], layer.phi[: t + 1])  # Phi(t, s) = <phi(t) phi(s)>: (P, t + 1, P)
        Phi[t, :, : t + 1] = row
        Phi[: t + 1, :, t] = row.transpose(1, 2, 0)
        # Derivatives along the sites, if they are followed: dphi = phi' dh, whose mean by r is A.
        slope = self._slopes(layer, 1)[1] if layer.tangents else None
        for name, tangent in layer.tangents:
            varied = self._remembered("h", layer, t, tangent, name)
            tangent.dh = self.field("h", _direction(tangent.phi[t], t, P) if name == "u" else 0.0, t, varied)
            assert slope is not None
            tangent.phi[t] = slope[:, :, None] * tangent.dh
            if name == "r":
                self._respond("phi", layer.number, t, tangent.phi[t].mean(axis=1))

    def _source_u(self, layer: Layer, t: int) -> Array:
        if layer.inputs is not None:
            return np.asarray(layer.inputs + layer.bias)
        assert layer.below is not None
        received, response = layer.below.take(self.layers[layer.number - 2].phi[t])
        if response is not None:
            self._respond("phi", layer.number - 1, t, response)
        return np.asarray(received + layer.bias)

    def _predict(self, t: int) -> None:
        top = self.layers[-1]
        # <r phi(h(0))> = 0, as r is independent of u. Without this term the noise of f is that of the change by training alone.
        self.f[t] = self._output(t, top.phi[t] - top.start)
        self.delta[t] = self.problem.errors(self.f[t])

    def _output(self, t: int, activities: Array) -> Array:
        """The initial readout of activities, and the outer products that training has added to the readout."""
        top = self.layers[-1]
        assert top.readout is not None
        readout = (top.weight * top.readout) @ activities.T
        return np.asarray(self.call("f", readout, **self.orders("f", top.number, t, t)))

    def _backward(self, layer: Layer, t: int) -> None:
        _, K, P = self.problem.shape
        r = self._source_r(layer, t)
        self._renew("z", layer, t)
        # z = a r + the memories: the response B, and the outer products
        layer.z = self.field("z", r, t, self._remembered("z", layer, t, layer, "sites"))
        slopes = self.problem.phi[layer.number - 1](layer.h, 1)
        layer.g[t] = self.call("g", slopes[1], layer.z)
        G = self.G[layer.number]
        # G(t, s) = <g(t) g(s)>. No layer lies below the first one: its G at unequal times is needed only if it is kept.
        since = t if layer.number == 1 and t not in self.problem.kept else 0
        weighted = (layer.weight * layer.g[t]).reshape(K * P, -1)
        row = _gram(weighted, layer.g[since : t + 1].reshape(t + 1 - since, K * P, -1))
        row = row.reshape(K, P, t + 1 - since, K, P)
        G[t, :, :, since : t + 1] = row
        G[since : t + 1, :, :, t] = row.transpose(2, 3, 4, 0, 1)
        # Derivatives along the sites, if they are followed: dg = phi'' z dh + phi' dz, whose mean by u is B.
        local = self._slopes(layer, 2) if layer.tangents else []
        for name, tangent in layer.tangents:
            S = tangent.phi.shape[2]
            varied = self._remembered("z", layer, t, tangent, name)
            own = _direction(tangent.g[t].reshape(K * P, S, -1), t, K * P).reshape(K, P, S, -1) if name == "r" else 0.0
            dz = self.field("z", own, t, varied)
            z = layer.z[:, :, :S, None]
            tangent.g[t] = self.call("g_varied", local[1][:, :, None], local[2][:, :, None], z, tangent.dh, dz)
            if name == "u":
                self._respond("g", layer.number, t, tangent.g[t].mean(axis=2))

    def _source_r(self, layer: Layer, t: int) -> Array:
        _, K, P = self.problem.shape
        if layer.readout is not None:
            return np.broadcast_to(layer.readout[:, None, :], (K, P, layer.sites))
        assert layer.above is not None
        received, response = layer.above.take(self.layers[layer.number].g[t])
        if response is not None:
            self._respond("g", layer.number + 1, t, response)
        return received

    def _respond(self, vector: str, number: int, t: int, response: Array) -> None:
        """Write a row of the response of a layer's vector, (rows, vectors); shorter where the present time is not part of it."""
        order = self.schema.response(vector)
        row = self.q[order.name][number - order.shift][t]
        flat = row.reshape(int(np.prod(row.shape[: order.ranks[0]])), -1)
        response = response.reshape(len(flat), -1) * self.factors[order.name]
        flat[:, : response.shape[1]] = response

    def _slopes(self, layer: Layer, order: int) -> list[Array]:
        """The activation and its derivatives at the sites whose responses are followed."""
        _, tangent = layer.tangents[0]
        return self.problem.phi[layer.number - 1](layer.h[:, : tangent.phi.shape[2]], order)

    def _tangent_kernel(self, t: int) -> None:
        # One term for each layer of parameters: G above times Phi below, at equal times.
        for number in range(self.problem.layers + 1):
            self.Theta[t] += self.call("Theta", **self.orders("Theta", number, t, t))


def order_shape(order: SiteOrder, problem: Problem) -> tuple[int, ...]:
    """The axes of an order parameter: of each place its time, its outputs and its sample."""
    T, K, P = problem.shape
    return tuple(n for rank in order.ranks for n in (T, *[K] * (rank - 1), P))


def conditioned(
    problem: Problem,
    lower: Layer,
    upper: Layer,
    up: Innovations,
    down: Innovations,
    chosen: tuple[Collection[int] | None, Collection[int] | None] = (None, None),
) -> tuple[Conditioned, Conditioned]:
    """The matrix between two layers, conditioned on its products: for the upper layer and for the lower one.

    ``chosen``: the vectors of the lower and of the upper layer that give directions, if they are known.
    """
    T, K, P = problem.shape
    below = MatrixSide(T * P, T * K * P, lower.sites, lower.weight, problem.least, chosen[0])
    above = MatrixSide(T * K * P, T * P, upper.sites, upper.weight, problem.least, chosen[1])
    return Conditioned(below, above, up, upper.scales[0]), Conditioned(above, below, down, lower.scales[1])


def _gram(now: Array, upto: Array) -> Array:
    """Inner products over sites: (rows, S) by (times, rows', S) -> (rows, times, rows')."""
    times, rows, S = upto.shape
    return (now @ upto.reshape(times * rows, S).T).reshape(len(now), times, rows)


def _direction(like: Array, t: int, rows: int) -> Array:
    """The derivative of a source by itself: one in the direction (t, row) of each row."""
    out = np.zeros(like.shape)
    out[np.arange(rows), :, t * rows + np.arange(rows)] = 1.0
    return out
