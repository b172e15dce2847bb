r"""The jets of literal networks: derivatives of the preactivations along random directions in the space of parameters.

With :math:`\theta\to\theta+\sum_rs_r\sqrt\lambda\,\epsilon^r`, :math:`\epsilon^r` standard Gaussian for each label r, the jet
:math:`d_Rz=\partial^{|R|}z/\partial s_R` is carried forward through the drawn matrices. Averaged over the directions, products of
jets are the tangent kernel and its descendants, :math:`H_{ij}=E_\epsilon[d_rz_i\,d_rz_j]`; no recursion of the theory is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from math import prod

import numpy as np
from numpy.typing import NDArray
from sympy.utilities.iterables import multiset_partitions

from .derivatives import derivatives
from .networks import LiteralNetworks

Array = NDArray[np.float64]

#: The labels of a jet, in alphabetical order, one letter each: "rs" is d_r d_s, "" the preactivation itself.
Directions = str


def closed(jets: Iterable[Directions]) -> tuple[Directions, ...]:
    """The jets and all that their chain rule needs, the preactivation first and lower derivatives before higher ones."""
    parts = {"".join(part) for jet in jets for k in range(len(jet) + 1) for part in combinations(sorted(jet), k)}
    return tuple(sorted({"", *parts}, key=lambda jet: (len(jet), jet)))


def faa_di_bruno(jet: Directions) -> tuple[tuple[Directions, ...], ...]:
    """The set partitions of the labels: d_R sigma is the sum over them of sigma^(number of blocks) times the blocks' jets."""
    return tuple(tuple("".join(block) for block in blocks) for blocks in multiset_partitions(list(jet)))


class LiteralJets:
    r"""The jets of a batch of networks, layer by layer, along directions that are drawn anew with every call.

    Equation
        .. math::
            d_Rz^{(\ell+1)} = W\,d_R\sigma + \sum_{r\in R}\sqrt{\lambda_W/n_\ell}\;\epsilon^r_W\,d_{R\setminus r}\sigma
            + [R=\{r\}]\sqrt{\lambda_b}\,\epsilon^r_b + \sum_{k\le\ell}\gamma_{\ell+1,k}\,d_Rz^{(k)},\qquad
            d_R\sigma = \sum_\pi\sigma^{(|\pi|)}(z)\prod_{B\in\pi}d_Bz,

        as a parameter is linear in each s_r and takes one direction at most; the last sum is over the set partitions of R.
    Shapes
        ``values[l][R]`` (batch, draws, m, n_l), with one draw for the preactivation, R = "", which has no directions.
        ``weights[l][r]`` (batch, draws, n_l, n_(l-1)) and ``biases[l][r]`` (batch, draws, n_l): the directions.
    Units
        The directions have variance one, whatever the ensemble of the weights is.
    Valid
        After ``forward`` of the networks; where :math:`\sigma^{(k)}` is a function for all k up to the number of labels.
    Errors
        ``InvalidArgument`` for the unspecified activation.
    """

    def __init__(self, networks: LiteralNetworks, jets: Iterable[Directions], draws: int = 1) -> None:
        self.networks, self.draws = networks, draws
        self.jets = closed(jets)
        self.labels = tuple(jet for jet in self.jets if len(jet) == 1)
        self.partitions = {jet: faa_di_bruno(jet) for jet in self.jets if jet}
        order = max(map(len, self.jets))
        self.activations = [derivatives(a, order) for a in networks.net.layer_activations]
        shapes = [(networks.batch, draws, n, f) for n, f in zip(networks.widths, networks.fan_in, strict=True)]
        self.weights = [{r: np.empty(shape) for r in self.labels} for shape in shapes]
        self.biases = [{r: np.empty(shape[:-1]) for r in self.labels} for shape in shapes]
        self.values: list[dict[Directions, Array]] = []

    def forward(self, rng: np.random.Generator | None = None) -> None:
        """Fill ``values`` for the networks as they stand; with ``rng``, along new directions."""
        self.values = []
        signal: Mapping[Directions, Array] = {"": self.networks.X[None, None]}  # the inputs do not move
        for k in range(len(self.networks.widths)):
            if rng is not None:
                for r in self.labels:
                    rng.standard_normal(out=self.weights[k][r])
                    rng.standard_normal(out=self.biases[k][r])
            if k > 0:
                signal = self._activated(k - 1)
            self.values.append({jet: self._jet(k, jet, signal) for jet in self.jets})

    def _jet(self, k: int, jet: Directions, signal: Mapping[Directions, Array]) -> Array:
        """d_R z of layer k from the jets of the signal below; those of the layer's own skips are there already."""
        nets = self.networks
        if not jet:
            return nets.z[k].transpose(1, 0, 2)[:, None]
        total = np.zeros((nets.batch, self.draws, len(nets.X), nets.widths[k]))
        if jet in signal:
            rows = signal[jet].reshape(nets.batch, -1, nets.fan_in[k])
            scale = np.sqrt(nets.C_W[k] / nets.fan_in[k])
            total += scale * np.matmul(rows, nets.W[k].transpose(0, 2, 1)).reshape(total.shape)
        for r in jet:
            if (rest := jet.replace(r, "")) in signal:
                scale = np.sqrt(nets.rates[1][k] / nets.fan_in[k])
                total += scale * np.matmul(signal[rest], self.weights[k][r].swapaxes(-1, -2))
        if jet in self.labels:
            total += np.sqrt(nets.rates[0][k]) * self.biases[k][jet][:, :, None]
        for below, gamma in nets.into[k]:
            total += gamma * self.values[below][jet]
        return total

    def _activated(self, k: int) -> dict[Directions, Array]:
        """The jets of sigma(z) of layer k."""
        z = self.values[k]
        slopes = self.activations[k](z[""])
        signal = {"": slopes[0]}
        for jet, partitions in self.partitions.items():
            signal[jet] = sum((slopes[len(p)] * prod(z[block] for block in p) for p in partitions), np.zeros(()))
        return signal
