r"""Fluctuations of a network in training around its infinite-width limit, to leading order in 1/N.

Order parameters are averages over N neurons that obey the same equations, driven by the errors :math:`\Delta(t)`, which these
averages decide. So a finite network is a fluctuation of the averages, :math:`\epsilon/\sqrt N` with the covariance S of one
neuron's contribution, that the errors feed back:
:math:`\delta f=\epsilon/\sqrt N+R\,\delta\Delta,\ \delta\Delta=-\ell''\delta f`, and with :math:`J=-R\,\ell''`

.. math::
    N\,\mathrm{Cov}(f,f)=(1-J)^{-1}S\,(1-J)^{-\top}=\mathrm{Cov}(I,I),\qquad I=(1-J)^{-1}(o-\langle o\rangle),

where o is what one neuron adds to f, and I its *influence* on f with all feedback. The same influences give the fluctuations of
every other average, and, to second order, the shift of the means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .causal import Problem, Run

Array = NDArray[np.float64]

#: Steps of differences in the errors, in units of their size: of smooth sites, and of sites with kinks.
STEP, KINKED_STEP = 1e-3, 5e-2
#: Neurons that the mean response is taken over: its noise is small beside that of variances.
RESPONDING = 1024


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    kept: NDArray[np.int64]  #: steps
    trained: int  #: samples
    centred: bool
    kernels: tuple[str, ...]  #: whose variances are wanted
    smooth: bool  #: the activation: then the shifts of the means too
    curvature: Callable[[Array], tuple[Array, Array | None]]  #: second and third derivative of the loss at f
    tick: Callable[[], None]


@dataclass(frozen=True)
class Sites:
    """Neurons of the hidden layer and what each adds to the averages, (time, ..., site)."""

    f: Array
    phi: Array
    g: Array


class Neurons:
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
        run, (_, K, P) = self.run, self.problem.shape
        row = {
            "A": np.zeros((P, t, K, P)),
            "B": np.zeros((K, P, t, P)),
            "a": run.a[t],
            "m": run.m[t, :t],
            "Delta": ones[:t],
        }
        row |= {"Phi": run.q["Phi"][0][t][:, :t], "G": run.q["G"][2][t][:, :, :t]}
        taken = {n: [row[o] for o, _ in self.problem.sites.takes[f"{n}_kernels"]] for n in "hz"}
        (h,) = run.call("h_kernels", *taken["h"])
        z = run.call("z_kernels", *taken["z"])
        return h, z

    def __call__(self, delta: Array) -> Sites:
        """All neurons; ``delta`` (T, K, P, 1 or S)."""
        run, (T, K, P) = self.run, self.problem.shape
        S = self.u.shape[-1]
        phi, g = np.zeros((T, P, S)), np.zeros((T, K, P, S))
        driven_g, driven_phi = np.zeros((T, K, P, S)), np.zeros((K, T, P, S))
        f = np.zeros((T, K, P, S))
        own = {"a": 1.0}
        for t in range(T):
            own = {"a": run.a[t]} if self.problem.sites.takes["h"] else {}
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
            f[t] = z * phi[t] / self.problem.parameters["gamma_0"]
        return Sites(f - f[0] if self.centred else f, phi, g)


@dataclass(frozen=True)
class Feedback:
    """What the averages make of the errors, and these of the averages."""

    neurons: Neurons
    fewer: Neurons  #: of them, for mean responses
    delta: Array  #: (T, K, P)
    curvature: Array  #: second derivative of the loss, (T, K, P, K)
    skew: Array | None  #: third derivative, if there is one output
    step: float

    @property
    def size(self) -> int:
        """T K P."""
        return int(self.delta.size)

    def pushed(self, f: Array) -> Array:
        """The change of the errors by a change of f, (n, any)."""
        return pushed(self.curvature, f)

    def bias(self) -> Array:
        """What the bias of the output, which is no average over neurons, adds to f by a change of the errors: (n, n)."""
        _, K, P = self.delta.shape
        run = self.neurons.run
        weight = run.problem.parameters["lambda_b"] * run.problem.parameters["eta"] * run.m
        return np.einsum("ts,kc,pq->tkpscq", weight, np.eye(K), np.ones((P, P))).reshape(self.size, self.size)

    def response(self, average: Callable[[Sites], Array], live: NDArray[np.bool_]) -> Array:
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
    neurons = Neurons(run, centred=options.centred)
    fewer = Neurons(run, centred=options.centred, sites=RESPONDING if options.smooth else None)
    curvature, skew = options.curvature(run.f)
    step = (STEP if options.smooth else KINKED_STEP) * max(1e-12, float(np.abs(run.delta).max()))
    feedback = Feedback(neurons, fewer, run.delta, curvature, skew, step)
    sites = neurons(run.delta[..., None])
    S = sites.f.shape[-1]
    kept = options.kept
    n = feedback.size
    live = np.broadcast_to(np.arange(P) < options.trained, (T, K, P)).reshape(-1)
    live = live & (np.arange(n) < (T - 1) * K * P)  # nothing answers to the last errors

    def averages(s: Sites) -> Array:
        parts = [s.f.mean(axis=-1).reshape(-1), *(v.ravel() for v in _kernels(s, kept, problem).values())]
        return np.concatenate(parts)

    whole = feedback.response(averages, live)
    R = whole[:n] + feedback.bias() * live
    J = np.asarray(R @ feedback.pushed(np.eye(n)))
    o = sites.f.reshape(n, S)
    influence = np.linalg.solve(np.eye(n) - J, o - o.mean(axis=1, keepdims=True))
    found = {"f_covariance": kept_times(np.asarray(influence @ influence.T / S).reshape(T, K, P, T, K, P), kept)}
    if problem.parameters["C_b"] and not options.centred:
        found["f_covariance"] = found["f_covariance"] + initial_bias(run, J, kept)
    found["f_variance"] = np.einsum("tkptkp->tkp", found["f_covariance"]).copy()
    found |= _variances(sites, feedback, influence, whole[n:], options, problem)
    if options.smooth:
        found |= _shifts(run, feedback, sites, influence, R, J, kept)
    return found


def kept_times(covariance: Array, kept: NDArray[np.int64]) -> Array:
    """Of a covariance (T, K, P, T, K, P)."""
    return np.asarray(covariance[kept][:, :, :, kept])


def initial_bias(run: Run, J: Array, kept: NDArray[np.int64]) -> Array:
    """The output's own bias at initialisation adds the same number to all predictions of an output."""
    T, K, P = run.problem.shape
    parameters = run.problem.parameters
    push = np.einsum("t,kc,p->tkpc", run.a, np.eye(K), np.ones(P)).reshape(-1, K)
    answer = np.linalg.solve(np.eye(len(J)) - J, push * np.sqrt(parameters["C_b"]) / parameters["gamma_0"])
    return kept_times((answer @ answer.T).reshape(T, K, P, T, K, P), kept)


def _kernels(s: Sites, kept: NDArray[np.int64], problem: Problem) -> dict[str, Array]:
    """Averages at equal times: Phi (time, P, P), G (time, K, P, K, P), and the tangent kernel that they make."""
    S = s.phi.shape[-1]
    phi, g = s.phi[kept], s.g[kept]
    Phi = np.einsum("tpi,tqi->tpq", phi, phi, optimize=True) / S
    G = np.einsum("tkpi,tcqi->tkpcq", g, g, optimize=True) / S
    return {"Phi": Phi, "G": G}


def _variances(
    s: Sites, feedback: Feedback, influence: Array, responses: Array, options: Options, problem: Problem
) -> dict[str, Array]:
    """N Var of Phi and G at equal times, and of the tangent kernel: of one neuron's contribution with all feedback."""
    kept = options.kept
    means = _kernels(s, kept, problem)
    Phi_response, G_response = np.split(responses, [means["Phi"].size])
    w = feedback.pushed(influence)
    S, K = w.shape[1], s.g.shape[1]
    total: dict[str, Array] = {n: np.zeros(m.shape) for n, m in means.items()} | {"NTK": np.zeros(means["G"].shape)}
    rates = problem.parameters["lambda_W"], problem.parameters["lambda_b"]
    below = problem.overlaps * rates[0] + rates[1]
    same = np.eye(K)[:, None, :, None, None]
    for low in range(0, S if options.kernels else 0, 256):
        part = slice(low, low + 256)
        phi, g = s.phi[kept][..., part], s.g[kept][..., part]
        own_phi = np.einsum("tpi,tqi->tpqi", phi, phi) - means["Phi"][..., None]
        own_g = np.einsum("tkpi,tcqi->tkpcqi", g, g) - means["G"][..., None]
        own_phi += (Phi_response @ w[:, part]).reshape(own_phi.shape)
        own_g += (G_response @ w[:, part]).reshape(own_g.shape)
        both = below[:, None, :, None] * own_g + rates[0] * same * own_phi[:, None, :, None, :]
        for name, own in (("Phi", own_phi), ("G", own_g), ("NTK", both)):
            total[name] += (own**2).sum(axis=-1) / S
    layers = {name: total[name] if name == "NTK" else total[name][None] for name in options.kernels}
    return {f"{name}_variance": value for name, value in layers.items()}


def _shifts(
    run: Run, feedback: Feedback, s: Sites, influence: Array, R: Array, J: Array, kept: NDArray[np.int64]
) -> dict[str, Array]:
    r"""N (E f - f) and N (E loss - loss), from the second order of the averages.

    With the change w of the errors that one neuron causes,
    :math:`f_1=(1-J)^{-1}[\langle\partial_wo\rangle+\tfrac12\langle\partial_{w'}^2o\rangle
    -\tfrac12R\,\ell'''\mathrm{Var}f]`: a neuron answers to the errors that it causes itself, and to the squares of those of the
    others.
    """
    shape = feedback.delta.shape
    S = s.f.shape[-1]
    w = feedback.pushed(influence).reshape(*shape, S)
    h = feedback.step / (float(w.std()) or 1.0)
    centre = feedback.delta[..., None]
    own = (feedback.neurons(centre + h * w).f - feedback.neurons(centre - h * w).f) / (2 * h)
    h *= 10  # of second differences
    others = np.roll(w, S // 2 + 1, axis=-1)
    square = (feedback.neurons(centre + h * others).f + feedback.neurons(centre - h * others).f - 2 * s.f) / h**2
    push = (own + square / 2).mean(axis=-1).reshape(-1)
    variance = (influence**2).mean(axis=1)
    if feedback.skew is not None:
        push = push - R @ (feedback.skew.reshape(-1) * variance) / 2
    f1 = np.linalg.solve(np.eye(len(J)) - J, push).reshape(shape)
    T, K, P = shape
    by_output = influence.reshape(T, K, P, S)
    fluctuation = np.einsum("tkpi,tcpi->tkpc", by_output, by_output, optimize=True) / S
    loss1 = -(run.delta * f1).sum(axis=(1, 2)) + (feedback.curvature * fluctuation).sum(axis=(1, 2, 3)) / 2
    return {"f1": f1[kept], "loss1": loss1[kept]}
