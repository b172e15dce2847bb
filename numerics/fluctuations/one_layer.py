r"""Fluctuations of a network in training around its infinite-width limit, to leading order in 1/N.

Order parameters are averages over N neurons. All neurons obey the same equations, driven by the errors :math:`\Delta(t)`, and the
errors are a function of the averages. In a finite network the averages fluctuate by :math:`\epsilon/\sqrt N`, with the covariance S
of one neuron's contribution, and the errors feed this back:
:math:`\delta f=\epsilon/\sqrt N+R\,\delta\Delta,\ \delta\Delta=-\ell''\delta f`, and with :math:`J=-R\,\ell''`

.. math::
    N\,\mathrm{Cov}(f,f)=(1-J)^{-1}S\,(1-J)^{-\top}=\mathrm{Cov}(I,I),\qquad I=(1-J)^{-1}(o-\langle o\rangle),

where o is the contribution of one neuron to f, and I its *influence* on f with all feedback. The same influences give the
fluctuations of every other average, and, to second order, the shift of the means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...theory.training.observables import TRAINING
from ..training.causal import Problem, Run
from ..training.problem import seconds as solve_seconds
from ..training.sites import ERRORS

Array = NDArray[np.float64]

#: Steps of differences in the errors, in units of their size: of smooth sites, and of sites with kinks.
STEP, KINKED_STEP = 1e-3, 5e-2
#: Neurons that the mean response is averaged over: its noise is small beside that of variances.
RESPONDING = 1024
#: Seconds on one core of a laptop: of a step of a solution, of its products by the cube of times and samples, and of one product
#: for each neuron (measured for P = 3 and 6, T = 10 and 20: within a factor of 1.5).
CALL_SECONDS, RESPONSE_SECONDS, PRODUCT_SECONDS = 4e-4, 2.5e-6, 3e-10


@dataclass(frozen=True)
class Options:
    """The results that are wanted."""

    kept: NDArray[np.int64]  #: steps at which results are wanted
    trained: int  #: samples that are trained on
    centred: bool
    kernels: tuple[str, ...]  #: those whose variances are wanted
    kinked: bool  #: whether an activation has kinks
    derivative: Callable[[int], Callable[[Array], Array]]  #: order -> this derivative of the loss as a function of f
    losses: Callable[[Array], Array]  #: predictions at all times -> losses
    shifts: bool = False  #: whether shifts of the means are wanted
    directions: int = 0  #: the number of half-samples of resampling
    draws: tuple[str, ...] = ()  #: the order parameters whose draws are wanted
    tick: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class NeuronShares:
    """The share of each neuron of the hidden layer in averages, (time, ..., site): f, and phi, g whose products are averaged."""

    f: Array
    phi: Array
    g: Array


class DrivenNeurons:
    """The neurons of a network with one hidden layer, as functions of the errors, which may differ from neuron to neuron."""

    def __init__(self, run: Run, *, centred: bool, sites: int | None = None) -> None:
        self.run, self.problem, self.layer, self.centred = run, run.problem, run.layers[0], centred
        T, K, P = self.problem.shape
        ones = np.ones((T, K, P))
        self.kernels = [self._kernels(t, ones) for t in range(T)]
        assert self.layer.inputs is not None
        assert self.layer.readout is not None
        self.u, self.r = (self.layer.inputs + self.layer.bias)[:, :sites], self.layer.readout[:, :sites]

    def _kernels(self, t: int, ones: Array) -> tuple[Array, list[Array]]:
        """The kernels of the memories of h and z at time t, for errors of one."""
        run = self.run
        taken = {n: run.orders(f"{n}_kernels", 1, t, t) | {ERRORS: ones[:t]} for n in "hz"}
        (h,) = run.call("h_kernels", **taken["h"])
        z = run.call("z_kernels", **taken["z"])
        return h, z

    def __call__(self, delta: Array) -> NeuronShares:
        """The contributions of all neurons, driven by errors ``delta`` (T, K, P, 1 or S)."""
        run, (T, K, P) = self.run, self.problem.shape
        S = self.u.shape[-1]
        phi, g = np.zeros((T, P, S)), np.zeros((T, K, P, S))
        driven_g, driven_phi = np.zeros((T, K, P, S)), np.zeros((K, T, P, S))
        f = np.zeros((T, K, P, S))
        for t in range(T):
            own = run.orders("h", 1, t, t)
            kernel, kernels = self.kernels[t]
            memory = kernel.reshape(P, -1) @ driven_g[:t].reshape(t * K * P, S)
            h = run.call("h", self.u, memory_0=memory, **own)
            phi[t], slope = self.problem.phi[0](h, 1)
            memories = {
                f"memory_{i}": np.stack([c[k].reshape(P, -1) @ driven_phi[k, :t].reshape(t * P, S) for k in range(K)])
                for i, c in enumerate(kernels)
            }
            z = run.call("z", np.broadcast_to(self.r[:, None], (K, P, S)), **memories, **own)
            g[t] = run.call("g", slope, z)
            driven_g[t] = g[t] * delta[t]
            driven_phi[:, t] = phi[t] * delta[t]
            f[t] = run.call("share", phi[t], z)
        return NeuronShares(f - f[0] if self.centred else f, phi, g)

    def tangent_kernel(self, Phi: Array, G: Array) -> Array:
        """The change of the tangent kernel, summed over both layers of weights, by changes of Phi and G, (time, ..., any)."""
        (_, K, P), x = self.problem.shape, Phi.shape[-1]
        by_phi, by_g = np.moveaxis(Phi, -1, 1).reshape(-1, P, P), np.moveaxis(G, -1, 1).reshape(-1, K, P, K, P)
        sites, output = self.problem.sites, np.einsum("kc,pq->kpcq", np.eye(K), np.ones((P, P)))

        def layer(Phi: Array, G: Array) -> Array:
            return np.asarray(self.run.call("Theta", **{sites.overlap("phi"): Phi, sites.overlap("g"): G}))

        # Theta = (lambda_W x.x'/n_0 + lambda_b) G + lambda_W Phi + lambda_b: the coefficients of G and of Phi
        below = layer(self.problem.overlaps, np.ones((K, P, K, P)))
        above = layer(np.ones((P, P)), output) - layer(np.zeros((P, P)), output)
        found = below * by_g + above * by_phi[:, None, :, None, :]
        return np.moveaxis(found.reshape(-1, x, K, P, K, P), 1, -1)


@dataclass(frozen=True)
class Feedback:
    """The responses R of averages to errors, and of errors to predictions."""

    neurons: DrivenNeurons
    fewer: DrivenNeurons  #: a part of them, for mean responses
    delta: Array  #: (T, K, P)
    curvature: Array  #: second derivative of the loss, (T, K, P, K)
    step: float

    @property
    def size(self) -> int:
        """T K P."""
        return int(self.delta.size)

    def pushed(self, f: Array) -> Array:
        """The change of the errors by a change of f, (n, any)."""
        return pushed(self.curvature, f)

    def added(self) -> Array:
        """The derivative by the errors, (n, n), of the part of f that is no average over neurons: of the output's trained bias."""
        T, K, P = self.delta.shape
        run, size = self.neurons.run, K * P
        found, Phi = np.zeros((T, size, T, size)), run.problem.sites.overlap("phi")
        for t in range(1, T):
            # Phi = 0, as the trained weights of the readout are in the average over neurons
            taken = run.orders("f", run.problem.layers, t, t)
            taken[Phi] = np.zeros_like(taken[Phi])
            push = run.call("f_push", np.eye(size).reshape(K, P, size), **taken)[ERRORS]
            found[t, :, :t] = np.asarray(push).reshape(size, t, size)
        return found.reshape(self.size, self.size)

    def response(self, average: Callable[[NeuronShares], Array], live: NDArray[np.bool_]) -> Array:
        """The derivative of averages by the errors of the samples that are trained on: (averages, n)."""
        columns: list[Array | None] = []
        for i in range(self.size):
            if not live[i]:
                columns.append(None)
                continue
            both = []
            for sign in (1, -1):
                delta = self.delta.copy().reshape(-1)
                delta[i] += sign * self.step
                both.append(average(self.fewer(delta.reshape(*self.delta.shape, 1))))
            columns.append((both[0] - both[1]) / (2 * self.step))
        height = len(average(self.fewer(self.delta[..., None])))
        return np.stack([np.zeros(height) if c is None else c for c in columns], axis=1)


def pushed(curvature: Array, f: Array) -> Array:
    """The change of the errors by a change of f, (n, any), with the second derivative of the loss (T, K, P, K)."""
    T, K, P, _ = curvature.shape
    return np.asarray(-np.einsum("tkpc,tcpi->tkpi", curvature, f.reshape(T, K, P, -1)).reshape(T * K * P, -1))


def fluctuate(problem: Problem, rng: np.random.Generator, options: Options) -> dict[str, Array]:
    """One independent estimate of all fluctuations of a network with one hidden layer, at the times that are kept."""
    run = Run(problem, rng).solve(options.tick)
    T, K, P = problem.shape
    neurons = DrivenNeurons(run, centred=options.centred)
    fewer = DrivenNeurons(run, centred=options.centred, sites=None if options.kinked else RESPONDING)
    step = (KINKED_STEP if options.kinked else STEP) * max(1e-12, float(np.abs(run.delta).max()))
    feedback = Feedback(neurons, fewer, run.delta, options.derivative(2)(run.f), step)
    sites = neurons(run.delta[..., None])
    S = sites.f.shape[-1]
    kept = options.kept
    n = feedback.size
    live = np.broadcast_to(np.arange(P) < options.trained, (T, K, P)).reshape(-1)
    live = live & (np.arange(n) < (T - 1) * K * P)  # no later time responds to the last errors

    def averages(s: NeuronShares) -> Array:
        parts = [s.f.mean(axis=-1).reshape(-1), *(v.ravel() for v in _kernels(s, kept, problem).values())]
        return np.concatenate(parts)

    whole = feedback.response(averages, live)
    # R and J = -R l'' of f; I = (1 - J)^-1 (o - <o>), and the covariance of I
    R = whole[:n] + feedback.added() * live
    J = np.asarray(R @ feedback.pushed(np.eye(n)))
    o = sites.f.reshape(n, S)
    influence = np.linalg.solve(np.eye(n) - J, o - o.mean(axis=1, keepdims=True))
    bias = bias_influence(run, J, options)
    joint = (influence @ influence.T / S + bias @ bias.T).reshape(T, K, P, T, K, P)
    found = {"f_covariance": kept_times(joint, kept)}
    found["f_variance"] = np.einsum("tkptkp->tkp", found["f_covariance"]).copy()
    found |= _variances(sites, feedback, (influence, bias), whole[n:], options, problem)
    if options.shifts:
        found |= _shifts(run, feedback, sites, (influence, bias), R, J, rng, options)
    return found


def seconds(problem: Problem, options: Options) -> float:
    """The time of one estimate: a pair of solutions for the error of each sample at each time, and their products."""
    T, K, P = problem.shape
    n = T * K * P
    pairs = CALL_SECONDS * n * T + RESPONSE_SECONDS * n**3 * (problem.samples / RESPONDING if options.kinked else 1.0)
    rows = len(options.kept) * P**2 * (1 + K**2) if options.kernels else 0
    return solve_seconds(problem) + pairs + PRODUCT_SECONDS * rows * n * problem.samples


def kept_times(covariance: Array, kept: NDArray[np.int64]) -> Array:
    """The covariance (T, K, P, T, K, P) at the times that are kept."""
    return np.asarray(covariance[kept][:, :, :, kept])


def bias_influence(run: Run, J: Array, options: Options) -> Array:
    """The change of f, with all feedback, by one standard deviation of the output's own initial bias, for each output: (n, K).

    The bias adds the same number to all predictions of an output, and decays with weight decay.
    """
    _, K, P = run.problem.shape
    parameters = run.problem.parameters
    lasts = run.a - 1.0 if options.centred else run.a
    push = np.einsum("t,kc,p->tkpc", lasts, np.eye(K), np.ones(P)).reshape(-1, K)
    return np.linalg.solve(np.eye(len(J)) - J, push * np.sqrt(parameters["C_b"]) / parameters["gamma_0"])


def _kernels(s: NeuronShares, kept: NDArray[np.int64], problem: Problem) -> dict[str, Array]:
    """Averages at equal times: Phi (time, P, P) and G (time, K, P, K, P)."""
    S = s.phi.shape[-1]
    phi, g = s.phi[kept], s.g[kept]
    Phi = np.einsum("tpi,tqi->tpq", phi, phi, optimize=True) / S
    G = np.einsum("tkpi,tcqi->tkpcq", g, g, optimize=True) / S
    return {"Phi": Phi, "G": G}


def _variances(
    s: NeuronShares,
    feedback: Feedback,
    influences: tuple[Array, Array],
    responses: Array,
    options: Options,
    problem: Problem,
) -> dict[str, Array]:
    """N Var of Phi and G at equal times and of the tangent kernel: the variance of one neuron's contribution with all feedback."""
    kept = options.kept
    means = _kernels(s, kept, problem)
    w, w_bias = (feedback.pushed(x) for x in influences)
    S = w.shape[1]
    total: dict[str, Array | float] = dict.fromkeys((*means, "Theta"), 0.0)

    def add(own: dict[str, Array], w: Array, weight: float) -> None:
        """Add the squares of contributions to Phi and G (..., neurons), those by way of the errors w included."""
        parts = np.split(responses @ w, [means["Phi"].size])
        own = {n: own[n] + part.reshape(*means[n].shape, -1) for n, part in zip(means, parts, strict=True)}
        own["Theta"] = feedback.neurons.tangent_kernel(own["Phi"], own["G"])
        for name, value in own.items():
            total[name] = total[name] + weight * (value**2).sum(axis=-1)

    for low in range(0, S if options.kernels else 0, 256):
        part = slice(low, low + 256)
        phi, g = s.phi[kept][..., part], s.g[kept][..., part]
        own_phi = np.einsum("tpi,tqi->tpqi", phi, phi) - means["Phi"][..., None]
        own_g = np.einsum("tkpi,tcqi->tkpcqi", g, g) - means["G"][..., None]
        add({"Phi": own_phi, "G": own_g}, w[:, part], 1 / S)
    if options.kernels:
        add({n: np.zeros(1) for n in means}, w_bias, 1.0)
    layers = {
        n: np.asarray(total[n])[None] if "layer" in TRAINING[n].dims else np.asarray(total[n]) for n in options.kernels
    }
    return {f"{name}_variance": value for name, value in layers.items()}


def _shifts(
    run: Run,
    feedback: Feedback,
    s: NeuronShares,
    influences: tuple[Array, Array],
    R: Array,
    J: Array,
    rng: np.random.Generator,
    options: Options,
) -> dict[str, Array]:
    r"""N (E f - f) and N (E loss - loss), from the second order of the averages.

    With the change w of the errors that one neuron causes,
    :math:`f_1=(1-J)^{-1}[\langle\partial_wo\rangle+\tfrac12\langle\partial_{w'}^2o\rangle
    -\tfrac12R\,\ell'''\mathrm{Var}f]`: a neuron responds to the errors that it causes itself, and in second order to the errors
    w' that another neuron, or the output's bias, causes.
    """
    shape = feedback.delta.shape
    S = s.f.shape[-1]
    influence, bias = influences
    w = feedback.pushed(influence).reshape(*shape, S)
    h = feedback.step / (float(w.std()) or 1.0)
    centre = feedback.delta[..., None]
    # <d_w o>
    own = (feedback.neurons(centre + h * w).f - feedback.neurons(centre - h * w).f) / (2 * h)
    h *= 10  # of second differences
    others = w[..., rng.permutation(S)]  # no shift: the sites are quasi-random, and neighbours depend on each other
    # <d_w'^2 o>, of the other neurons and of the bias
    square = (feedback.neurons(centre + h * others).f + feedback.neurons(centre - h * others).f - 2 * s.f) / h**2
    for column in feedback.pushed(bias).T if bias.any() else ():
        both = [feedback.neurons(centre + sign * h * column.reshape(*shape, 1)).f for sign in (1, -1)]
        square = square + (both[0] + both[1] - 2 * s.f) / h**2
    push = (own + square / 2).mean(axis=-1).reshape(-1)
    # -R l''' Var f / 2
    T, K, P = shape
    by_output = np.concatenate([influence / np.sqrt(S), bias], axis=1).reshape(T, K, P, -1)
    fluctuation = np.einsum("tkpi,tcpi->tkpc", by_output, by_output, optimize=True)
    push = push - R @ np.einsum("tkpcd,tcpd->tkp", options.derivative(3)(run.f), fluctuation).reshape(-1) / 2
    f1 = np.linalg.solve(np.eye(len(J)) - J, push).reshape(shape)
    # By l' = -Delta and l'': N (E loss - loss) = -Delta f_1 + l'' Var f / 2
    loss1 = -(run.delta * f1).sum(axis=(1, 2)) + (feedback.curvature * fluctuation).sum(axis=(1, 2, 3)) / 2
    return {"f1": f1[options.kept], "loss1": loss1[options.kept]}
