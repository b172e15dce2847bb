r"""Fluctuations of networks with several hidden layers in training, to leading order in 1/N.

With the influence I of a neuron (``influences``) and the feedback of the errors, :math:`\delta\Delta=-\ell''\delta f`,

.. math::
    N\,\mathrm{Cov}(q,q')=\sum_\ell\langle I^\ell_qI^\ell_{q'}\rangle-\langle I^\ell_q\rangle\langle I^\ell_{q'}\rangle,

one term for each layer, as their neurons are independent at infinite width. Two sets of neurons push weights back, a third one
measures their product, so that the noise of the weights has no square in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .causal import Problem, Run
from .fluctuations import Options, initial_bias, kept_times, pushed
from .influences import Backward, Neurons, Pending
from .saddle import Saddle

Array = NDArray[np.float64]

#: What is weighed in one go, at most.
TOGETHER = 64
#: Neurons that measure influences, for each that pushes weights back.
MEASURING = 8


@dataclass
class Shares:
    """Of one set of weights: each neuron's share of all quantities (x, neurons) by layer, and how these answer to the errors."""

    values: list[Array]
    answers: Array

    def influences(self, layer: int, feedback: Array, f: int) -> Array:
        """With the feedback of the errors; the first f rows are the predictions'."""
        own = self.values[layer] - self.values[layer].mean(axis=1, keepdims=True)
        predictions = np.linalg.solve(np.eye(f) + self.answers[:f] @ feedback, own[:f])
        return np.concatenate([predictions, own[f:] - self.answers[f:] @ (feedback @ predictions)])


def fluctuate_deep(problem: Problem, rng: np.random.Generator, options: Options) -> dict[str, Array]:
    """One independent estimate of the fluctuations, at the times that are kept."""
    run = Run(replace(problem, kept=frozenset(range(problem.steps))), rng).solve(options.tick)
    saddle = Saddle(run)
    shape, L = problem.shape, problem.layers
    size = int(np.prod(shape))
    curvature, _ = options.curvature(run.f)
    feedback = -pushed(curvature, np.eye(size))
    count = problem.samples // MEASURING
    backward = [Backward(saddle, count, rng) for _ in range(2)]
    measuring = [Neurons(saddle, i + 1, problem.samples, rng) for i in range(L)]
    one, other = (_shares(saddle, weigh, measuring, options) for weigh in backward)
    f_covariance, squares = np.zeros((size, size)), np.zeros(len(one.answers))
    for layer in range(L):
        a, b = (shares.influences(layer, feedback, size) for shares in (one, other))
        product = a[:size] @ b[:size].T / a.shape[1]
        f_covariance += (product + product.T) / 2
        squares += (a * b).mean(axis=1)
    covariance = kept_times(f_covariance.reshape(*shape, *shape), options.kept)
    if problem.parameters["C_b"] and not options.centred:
        J = -(one.answers[:size] + other.answers[:size]) @ feedback / 2
        covariance = covariance + initial_bias(run, J, options.kept)
    found = {"f_covariance": covariance, "f_variance": np.einsum("tkptkp->tkp", covariance).copy()}
    return found | _by_name(squares[size:], saddle, options)


def memory(problem: Problem) -> float:
    """Bytes of one estimate beside those of the solution: neurons with their vectors, and weights with what answers to them."""
    T, K, P = problem.shape
    n, L = T * P * (1 + K), problem.layers
    x = max(TOGETHER, K * P)
    pushing = problem.samples // MEASURING
    neurons = 6 * n * (problem.samples + 2 * pushing) * L
    return 8.0 * (neurons + 4 * x * n * pushing + 12 * L * x * n * n + T * K * P * problem.samples * L)


def ticks(problem: Problem, times: int, kernels: tuple[str, ...]) -> int:
    """How many steps one estimate reports."""
    T, K, P = problem.shape
    chunks = {name: -(-len(_pairs(P if name == "Phi" else K * P)) // TOGETHER) for name in kernels}
    layers = {name: 1 if name == "NTK" else problem.layers for name in kernels}
    return T + 2 * (T + times * sum(chunks[name] * layers[name] for name in kernels))


def _shares(saddle: Saddle, backward: Backward, measuring: list[Neurons], options: Options) -> Shares:
    """Weights of everything that is asked for, one time after the other."""
    T, K, P = saddle.problem.shape
    starts = [_prediction(saddle, t, options.centred) for t in range(T)]
    starts += [start for name in options.kernels for t in options.kept for start in _kernels(saddle, name, int(t))]
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
    readout = np.zeros((K, K, P, t + 1, P))
    k, p = np.arange(K)[:, None], np.arange(P)
    readout[k, k, p, t, p] += factor
    if centred:
        readout[k, k, p, 0, p] -= saddle.prediction(0)[0]
    phi = np.zeros((n, x, n))
    phi[t * P :, :, : t * P] = found["Phi"]
    errors = np.zeros((x, (t + 1) * x))
    errors[:, : t * x] = found["Delta"]
    weights = {("r", "phi"): readout.reshape(K, x, n), ("phi", "phi"): phi}
    return Pending(t + 1, {saddle.problem.layers: weights}, errors)


def _kernels(saddle: Saddle, name: str, t: int) -> Iterator[Pending]:
    """A kernel of equal times: Phi and G layer by layer, the tangent kernel as a whole; one entry of two that are equal."""
    _, K, P = saddle.problem.shape
    pairs = _pairs(P if name == "Phi" else K * P)
    for number in _layers(saddle, name):
        for some in np.array_split(pairs, -(-len(pairs) // TOGETHER)):
            start = Pending(t + 1)
            entries = np.zeros((pairs.max() + 1, len(some), pairs.max() + 1))
            entries[some[:, 0], np.arange(len(some)), some[:, 1]] = 1.0
            if name == "NTK":
                _tangent_kernel(saddle, t, entries, start)
            else:
                _at(start, name, number, entries)
            yield start


def _tangent_kernel(saddle: Saddle, t: int, entries: Array, start: Pending) -> None:
    _, K, P = saddle.problem.shape
    run, L = saddle.run, saddle.problem.layers
    push = entries.reshape(K, P, -1, K, P)
    for number in range(L + 1):
        G, Phi = run.q["G"][number + 1][t, :, :, t], run.q["Phi"][number][t, :, t]
        found = run.call("NTK_push", push, G=G, Phi=Phi)
        if number < L:
            _at(start, "G", number + 1, found["G"].reshape(K * P, -1, K * P))
        if number:
            _at(start, "Phi", number, found["Phi"])


def _at(start: Pending, name: str, number: int, entries: Array) -> None:
    """Weights of the last time."""
    rows, x, _ = entries.shape
    n = rows * start.times
    weights = np.zeros((n, x, n))
    weights[n - rows :, :, n - rows :] = entries
    vector = "phi" if name == "Phi" else "g"
    start.add(number, (vector, vector), weights)


def _pairs(size: int) -> NDArray[np.int64]:
    return np.array(np.triu_indices(size)).T


def _layers(saddle: Saddle, name: str) -> range:
    return range(1) if name == "NTK" else range(1, saddle.problem.layers + 1)


def _by_name(squares: Array, saddle: Saddle, options: Options) -> dict[str, Array]:
    """Variances of kernels as arrays, in the order in which they were weighed."""
    _, K, P = saddle.problem.shape
    found = {}
    for name in options.kernels:
        size, times, layers = P if name == "Phi" else K * P, len(options.kept), len(_layers(saddle, name))
        i, j = _pairs(size).T
        own, squares = np.split(squares, [times * layers * len(i)])
        whole = np.zeros((times, layers, size, size))
        whole[..., i, j] = whole[..., j, i] = own.reshape(times, layers, len(i))
        whole = whole.reshape(times, layers, *((P, P) if name == "Phi" else (K, P, K, P)))
        found[f"{name}_variance"] = whole[:, 0] if name == "NTK" else np.moveaxis(whole, 1, 0)
    return found
