r"""Fluctuations of networks with several hidden layers in training, to leading order in 1/N.

With the influence I of a neuron (``influences``) and the feedback of the errors, :math:`\delta\Delta=-\ell''\delta f`,

.. math::
    N\,\mathrm{Cov}(q,q')=\sum_\ell\langle I^\ell_qI^\ell_{q'}\rangle-\langle I^\ell_q\rangle\langle I^\ell_{q'}\rangle,

one term for each layer, as their neurons are independent at infinite width. Two sets of neurons push weights back, a third one
measures their product, so that the noise of the weights has no square in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..training.causal import Problem, Run
from ..training.problem import seconds as solve_seconds
from ..training.sites import ERRORS
from .influences import Backward, Neurons, Pending
from .one_layer import Options, bias_influence, kept_times, pushed
from .saddle import Saddle

Array = NDArray[np.float64]

#: The most results that share one pass of weights.
TOGETHER = 64
#: Neurons that measure influences, for each that pushes weights back.
MEASURING = 8
#: Sites by default; pushes that the weights of a time need, for each layer but the first; and seconds on one core of a laptop, of
#: each earlier time, and of a weight (measured for two and three layers, P = 2 ... 6, T = 8 ... 16: within a factor of 1.5).
SITES, PUSHES, TIME_SECONDS, WEIGHT_SECONDS = 8192, 8, 2.6e-3, 9.4e-6


@dataclass
class Shares:
    """By one set of weights: each neuron's share of all quantities (x, neurons) by layer, and their derivatives by errors."""

    values: list[Array]
    answers: Array

    def influences(self, layer: int, feedback: Array) -> Array:
        """The influences: shares with the feedback of the errors; the first rows are those of predictions."""
        own, f = self.values[layer] - self.values[layer].mean(axis=1, keepdims=True), len(feedback)
        # delta f = o - D_f (l'' delta f), with D_f the derivative by errors; then the other quantities by delta f
        predictions = np.linalg.solve(np.eye(f) + self.answers[:f] @ feedback, own[:f])
        return np.concatenate([predictions, own[f:] - self.answers[f:] @ (feedback @ predictions)])

    def bias(self, run: Run, feedback: Array, options: Options) -> Array:
        """The influence of the output's bias."""
        f = len(feedback)
        predictions = bias_influence(run, -self.answers[:f] @ feedback, options)
        return np.concatenate([predictions, -self.answers[f:] @ (feedback @ predictions)])


def fluctuate_deep(problem: Problem, rng: np.random.Generator, options: Options) -> dict[str, Array]:
    """One independent estimate of the fluctuations, at the times that are kept."""
    run = Run(replace(problem, kept=frozenset(range(problem.steps))), rng).solve(options.tick)
    saddle = Saddle(run)
    shape, L = problem.shape, problem.layers
    size = int(np.prod(shape))
    feedback = -pushed(options.derivative(2)(run.f), np.eye(size))
    count = problem.samples // MEASURING
    backward = [Backward(saddle, count, rng) for _ in range(2)]
    measuring = [Neurons(saddle, i + 1, problem.samples, rng) for i in range(L)]
    # Two independent sets of weights: the noise of their product has mean zero.
    one, other = (_shares(saddle, weigh, measuring, options) for weigh in backward)
    f_covariance, squares = np.zeros((size, size)), np.zeros(len(one.answers))
    independent = [
        [shares.influences(i, feedback) / np.sqrt(problem.samples) for shares in (one, other)] for i in range(L)
    ]
    for a, b in (*independent, [shares.bias(run, feedback, options) for shares in (one, other)]):
        product = a[:size] @ b[:size].T
        f_covariance += (product + product.T) / 2
        squares += (a * b).sum(axis=1)
    covariance = kept_times(f_covariance.reshape(*shape, *shape), options.kept)
    found = {"f_covariance": covariance, "f_variance": np.einsum("tkptkp->tkp", covariance).copy()}
    rest = squares[size:]
    for name in options.kernels:
        found[f"{name}_variance"], rest = KERNELS[name].whole(rest, problem, len(options.kept))
    return found


def memory(problem: Problem, options: Options) -> float:
    """Bytes of one estimate beside those of the solution: neurons with their vectors, and weights with derivatives."""
    T, K, P = problem.shape
    n, L = T * P * (1 + K), problem.layers
    x = max(TOGETHER, K * P)
    pushing = problem.samples // MEASURING
    neurons = 6 * n * (problem.samples + 2 * pushing) * L
    return 8.0 * (neurons + 4 * x * n * pushing + 12 * L * x * n * n + T * K * P * problem.samples * L)


def seconds(problem: Problem, options: Options) -> float:
    """The time of one estimate: so many pushes of weights for the quantities of a time, each through all earlier times."""
    T, K, P = problem.shape
    share = problem.samples / SITES * ((1 + K) / 2) ** 2

    def pushes(t: int, x: int) -> float:
        return TIME_SECONDS * (t + 1) + WEIGHT_SECONDS * share * x * ((t + 1) * P) ** 2

    total = sum(pushes(t, K * P) for t in range(T))
    for name in options.kernels:
        layers, chunks = len(KERNELS[name].layers(problem)), KERNELS[name].chunks(problem)
        total += layers * sum(pushes(int(t), len(some)) for t in options.kept for some in chunks)
    return solve_seconds(problem) + PUSHES * (problem.layers - 0.6) * total


def ticks(problem: Problem, options: Options) -> int:
    """How many steps one estimate reports."""
    chunks = sum(len(KERNELS[name].chunks(problem)) * len(KERNELS[name].layers(problem)) for name in options.kernels)
    return problem.steps + 2 * (problem.steps + len(options.kept) * chunks)


def _shares(saddle: Saddle, backward: Backward, measuring: list[Neurons], options: Options) -> Shares:
    """The shares of all wanted quantities: their weights are pushed back one time after the other."""
    T, K, P = saddle.problem.shape
    starts = [_prediction(saddle, t, options.centred) for t in range(T)]
    starts += [
        start for name in options.kernels for t in options.kept for start in KERNELS[name].starts(saddle, int(t))
    ]
    values: list[list[Array]] = [[] for _ in measuring]
    answers = []
    for start in starts:
        (x,) = {w.shape[1] for weights in start.layers.values() for w in weights.values()}
        weights, errors = backward(start)
        padded = np.zeros((x, T * K * P))
        padded[:, : errors.shape[1]] = errors
        answers.append(padded)
        for neurons, into in zip(measuring, values, strict=True):
            own = weights.get(neurons.number)
            into.append(neurons.values(own) if own else np.zeros((x, neurons.count)))
        options.tick()
    return Shares([np.concatenate(v) for v in values], np.concatenate(answers))


def _prediction(saddle: Saddle, t: int, centred: bool) -> Pending:
    """The predictions of all outputs and samples at a time."""
    _, K, P = saddle.problem.shape
    x, n = K * P, (t + 1) * P
    factor, found = saddle.prediction(t)
    # f = the average <r phi(t)>, and the outer products that training added to the readout: Phi(t, s) times errors
    readout = np.zeros((K, K, P, t + 1, P))
    k, p = np.arange(K)[:, None], np.arange(P)
    readout[k, k, p, t, p] += factor
    if centred:
        readout[k, k, p, 0, p] -= saddle.prediction(0)[0]  # f - f(0)
    phi = np.zeros((n, x, n))
    phi[t * P :, :, : t * P] = found[saddle.problem.sites.overlap("phi")]
    errors = np.zeros((x, (t + 1) * x))
    errors[:, : t * x] = found[ERRORS]
    weights = {("r", "phi"): readout.reshape(K, x, n), ("phi", "phi"): phi}
    return Pending(t + 1, {saddle.problem.layers: weights}, errors)


@dataclass(frozen=True)
class Kernel:
    """A kernel at equal times whose variance may be wanted; of two equal entries one is weighed."""

    by_output: bool  #: rows (output, sample) instead of samples
    by_layer: bool  #: whether each layer has one
    weigh: Callable[[Saddle, int, int, Array, Pending], None]  #: (saddle, t, layer, entries (rows, x, rows), into)

    def rows(self, problem: Problem) -> tuple[int, ...]:
        """The shape of the rows of the kernel as a matrix."""
        _, K, P = problem.shape
        return (K, P) if self.by_output else (P,)

    def layers(self, problem: Problem) -> range:
        """The layers that have one; one place for a kernel of the whole network."""
        return range(1, problem.layers + 1) if self.by_layer else range(1)

    def pairs(self, problem: Problem) -> NDArray[np.int64]:
        """Different entries."""
        return np.array(np.triu_indices(int(np.prod(self.rows(problem))))).T

    def chunks(self, problem: Problem) -> list[NDArray[np.int64]]:
        """Entries that are weighed together."""
        pairs = self.pairs(problem)
        return np.array_split(pairs, -(-len(pairs) // TOGETHER))

    def starts(self, saddle: Saddle, t: int) -> Iterator[Pending]:
        """Weights of all entries at a time, layer by layer."""
        size = int(np.prod(self.rows(saddle.problem)))
        for number in self.layers(saddle.problem):
            for some in self.chunks(saddle.problem):
                start = Pending(t + 1)
                entries = np.zeros((size, len(some), size))
                entries[some[:, 0], np.arange(len(some)), some[:, 1]] = 1.0
                self.weigh(saddle, t, number, entries, start)
                yield start

    def whole(self, squares: Array, problem: Problem, times: int) -> tuple[Array, Array]:
        """Variances of all entries, (layer, time, ...) if it has layers, from those at the head of a list; and the rest of it."""
        i, j = self.pairs(problem).T
        rows, layers = self.rows(problem), len(self.layers(problem))
        own, rest = np.split(squares, [times * layers * len(i)])
        found = np.zeros((times, layers, int(np.prod(rows)), int(np.prod(rows))))
        found[..., i, j] = found[..., j, i] = own.reshape(times, layers, len(i))
        found = np.moveaxis(found.reshape(times, layers, *rows, *rows), 1, 0)
        return (found if self.by_layer else found[0]), rest


def _tangent_kernel(saddle: Saddle, t: int, _: int, entries: Array, start: Pending) -> None:
    _, K, P = saddle.problem.shape
    run, L = saddle.run, saddle.problem.layers
    push = entries.reshape(K, P, -1, K, P)
    phi, g = (saddle.problem.sites.overlap(vector) for vector in ("phi", "g"))
    for number in range(L + 1):
        found = run.call("Theta_push", push, **run.orders("Theta", number, t, t))
        if number < L:
            _weigh(start, number + 1, "g", found[g].reshape(K * P, -1, K * P))
        if number:
            _weigh(start, number, "phi", found[phi])


def _weigh(start: Pending, number: int, vector: str, entries: Array) -> None:
    """Weights of a layer's inner products at the last time."""
    rows, x, _ = entries.shape
    n = rows * start.times
    weights = np.zeros((n, x, n))
    weights[n - rows :, :, n - rows :] = entries
    start.add(number, (vector, vector), weights)


KERNELS = {
    "Theta": Kernel(by_output=True, by_layer=False, weigh=_tangent_kernel),
    "Phi": Kernel(by_output=False, by_layer=True, weigh=lambda s, t, i, e, start: _weigh(start, i, "phi", e)),
    "G": Kernel(by_output=True, by_layer=True, weigh=lambda s, t, i, e, start: _weigh(start, i, "g", e)),
}
