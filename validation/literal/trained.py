"""Literal finite networks, trained by literal gradient descent on their drawn weight matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...numerics.training.data import Data, error_function, loss_function
from ...numerics.training.solve import check_divergence
from ...numerics.training.times import TimeGrid
from ...theory.training.subject import Training
from .derivatives import derivatives

Array = NDArray[np.float64]


@dataclass
class Parameters:
    """Weights W^0 ... W^L (n_out, n_in) and biases, as a program would hold them."""

    W: list[Array]
    b: list[Array]


class TrainedNetwork:
    r"""One network in training.

    Equation
        .. math::
            z^{(1)}=W^{(0)}x+b,\quad z^{(\ell+1)}=W^{(\ell)}\phi(z^{(\ell)})+b,\quad f=\frac{z^{(L+1)}}{\gamma_0\sqrt N},\qquad
            \theta\leftarrow(1-\eta\kappa)\theta+\eta v,\quad v\leftarrow\beta v-\gamma_0^2N\lambda_\theta\nabla_\theta\mathcal L.
    Shapes
        ``h[l]``, ``phi[l]`` (P, N); ``back[l]`` (K, P, N) is the gradient of f by h.
    Units
        Weights of variance C_W/fan-in and rate lambda_W/fan-in; biases C_b and lambda_b.
    Valid
        Any width N. ``centred``: predictions are f - f(0).
    Errors
        None.
    """

    def __init__(self, flow: Training, data: Data, N: int, rng: np.random.Generator, *, centred: bool) -> None:
        self.flow, self.data, self.N = flow, data, N
        self.gamma = flow.gamma
        net, L = flow.net, flow.hidden_layers
        assert L is not None
        self.layers = L
        self.activations = [derivatives(a, 1) for a in net.layer_activations]
        self.fan_in = [data.inputs.shape[1], *[N] * L]
        self.C_W, self.C_b = net.per_layer("C_W"), net.per_layer("C_b")
        self.rate_W, self.rate_b = net.per_layer("lambda_W"), net.per_layer("lambda_b")
        out = [*[N] * L, flow.outputs]
        self.theta = Parameters(
            [rng.standard_normal((m, n)) * np.sqrt(C / n) for m, n, C in zip(out, self.fan_in, self.C_W, strict=True)],
            [rng.standard_normal(m) * np.sqrt(C) for m, C in zip(out, self.C_b, strict=True)],
        )
        self.velocity: Parameters | None = None
        self.f: Array = np.zeros(0)
        self.offset: Array = np.zeros((flow.outputs, len(data.inputs)))
        self.errors = error_function(flow, data)
        self.forward()
        if centred:
            self.offset = self.f.copy()
            self.f = self.f - self.offset

    def forward(self) -> None:
        """Activations, predictions and their gradients."""
        signal = self.data.inputs
        self.phi, slopes = [signal], []
        for number in range(self.layers):
            h = signal @ self.theta.W[number].T + self.theta.b[number]
            signal, slope = self.activations[number](h)
            self.phi.append(signal)
            slopes.append(slope)
        scale = 1 / (self.gamma * np.sqrt(self.N))
        self.f = scale * (signal @ self.theta.W[-1].T + self.theta.b[-1]).T - self.offset
        P, K = len(signal), self.flow.outputs
        back = np.broadcast_to(scale * np.eye(K)[:, None, :], (K, P, K))
        self.back: list[Array] = [back]
        for number in reversed(range(self.layers)):
            back = (back @ self.theta.W[number + 1]) * slopes[number]
            self.back.insert(0, back)

    def step(self, rate: float) -> None:
        """One step of gradient descent."""
        delta, scale = self.errors(self.f), self.gamma**2 * self.N
        weights, biases = [], []
        for number, back in enumerate(self.back):
            signal = np.einsum("kp,kpi->pi", delta, back)  # minus the gradient of the loss by h
            weights.append(scale * self.rate_W[number] / self.fan_in[number] * (signal.T @ self.phi[number]))
            biases.append(scale * self.rate_b[number] * signal.sum(axis=0))
        decay, momentum = self.flow.weight_decay, self.flow.momentum
        if self.velocity is None:
            self.velocity = Parameters([np.zeros_like(w) for w in weights], [np.zeros_like(b) for b in biases])
        for theta, velocity, push in (
            (self.theta.W, self.velocity.W, weights),
            (self.theta.b, self.velocity.b, biases),
        ):
            for x, v, p in zip(theta, velocity, push, strict=True):
                v *= momentum
                v += p - decay * x
                x += rate * v
        self.forward()

    @property
    def gradients(self) -> list[Array]:
        r""":math:`g^\ell=\gamma_0N\,\partial f/\partial h^\ell` of the hidden layers."""
        return [self.gamma * self.N * b for b in self.back[:-1]]

    def tangent_kernel(self) -> Array:
        r""":math:`\gamma_0^2N\sum_\theta\lambda_\theta\,\partial_\theta f_{k\mu}\,\partial_\theta f_{k'\alpha}`: (K, P, K, P)."""
        total = np.zeros((*self.f.shape, *self.f.shape))
        for number, back in enumerate(self.back):
            sent = self.phi[number] @ self.phi[number].T
            met = np.einsum("kpi,cqi->kpcq", back, back)
            rates = self.rate_W[number] / self.fan_in[number] * sent + self.rate_b[number]
            total += self.gamma**2 * self.N * rates[None, :, None, :] * met
        return total


def train(
    flow: Training,
    data: Data,
    N: int,
    grid: TimeGrid,
    names: Sequence[str],
    seed: Any,
    centred: bool,
    tick: Callable[[], None],
) -> dict[str, Array]:
    """One network from its draw to the last time: the wanted results, at the times that are kept."""
    net = TrainedNetwork(flow, data, N, np.random.default_rng(seed), centred=centred)
    losses, kept = loss_function(flow), set(map(int, grid.kept))
    f, loss, ntk, phi, g = (list[Array]() for _ in range(5))
    history = list[float]()
    for t in range(grid.steps):
        if t:
            with np.errstate(all="ignore"):  # what diverges is told below
                net.step(grid.rate)
        history.append(float(losses(net.f[:, : data.trained], data.labels)))
        check_divergence(net.f, history, grid.rate, who=f"a network of width {N}")
        tick()
        if t not in kept:
            continue
        f.append(net.f)
        loss.append(np.asarray(history[-1]))
        if "Theta" in names:
            ntk.append(net.tangent_kernel())
        if "Phi" in names:
            phi.append(np.stack(net.phi[1:]))
        if "G" in names:
            g.append(np.stack(net.gradients))
    found = {"f": np.stack(f), "loss": np.stack(loss)}
    if ntk:
        found["Theta"] = np.stack(ntk)
    if phi:
        a = np.stack(phi, axis=1)  # (layer, time, P, N)
        found["Phi"] = np.einsum("ltpi,lsqi->ltpsq", a, a, optimize=True) / N
    if g:
        a = np.stack(g, axis=1)  # (layer, time, K, P, N)
        found["G"] = np.einsum("ltkpi,lscqi->ltkpscq", a, a, optimize=True) / N
    return found
