r"""The dNTK and the ddNTKs of literal networks, by exact differentiation along the gradients themselves.

With :math:`\delta_{ia}=\partial z_{ia}/\partial z^{(k)}`, the direction u = (j, c), which is lambda times the gradient of
z_jc, changes :math:`W^{(k)}` by :math:`\lambda\,\delta_{jc}\otimes\sigma_c` and :math:`b^{(k)}` by :math:`\lambda_b\delta_{jc}`,
where :math:`\lambda=\lambda_W^{(k)}/n_{k-1}` and :math:`\sigma=\sigma^{(k-1)}`. What it changes in turn is carried along:

    zeta_u;a = d_u z_a           :math:`\zeta_{u;a}=(\lambda_b+\lambda\,\sigma_c\!\cdot\sigma_a)\,\delta_u+W\dot\sigma_{u;a}`
    sigma-dot_u;a = d_u sigma_a  :math:`\dot\sigma_{u;a}=\sigma'_a\zeta_{u;a}`
    pi_ia = dz_ia/dsigma         :math:`\pi_{ia}=W^\top\delta_{ia}`
    pi-dot_ia|u = d_u pi_ia      :math:`\dot\pi_{ia|u}=W^\top\dot\delta_{ia|u}+\lambda(\delta_{ia}\!\cdot\delta_u)\,\sigma_c`
    delta-dot_ia|u               :math:`\dot\delta_{ia|u}=\sigma''_a\zeta_{u;a}\pi_{ia}+\sigma'_a\dot\pi_{ia|u}` (one layer below)

and skips add :math:`\gamma\zeta_{u;a}` of the layer that they leave to zeta, and :math:`\gamma\dot\delta_{ia|u}` of the layer that
they reach to delta-dot, as they do to z and delta. z_ia is the stationary value of
:math:`z_{ia}+\sum_k\delta^{(k)}\cdot(W\sigma+b+\sum_j\gamma_{kj}z^{(j)}-z^{(k)})` over all z and delta. Hence its
second derivatives need the first variations of z alone, and its third those of z and of delta (the 2n+1 rule):

    D2 z_ia (u,v)    :math:`\sum_k\pi\cdot\sigma''\zeta_u\zeta_v+\lambda\sum(\delta\cdot\delta_u)(\sigma_u\cdot\dot\sigma_v)`
    D3 z_ia (u,v,w)  :math:`\sum_k\pi\cdot\sigma'''\zeta_u\zeta_v\zeta_w+\sum\dot\pi_u\cdot\sigma''\zeta_v\zeta_w
    +\lambda\sum(\dot\delta_u\cdot\delta_v)(\sigma_v\cdot\dot\sigma_w)`

where the inner sums run over the different ways to place the directions. Two Hessian-vector products 1 = ia|u and
2 = jb|v, each :math:`\dot\delta\otimes\sigma+\delta\otimes\dot\sigma` in the weights of a layer, multiply to

    :math:`\sum_k(\lambda_b+\lambda\,\sigma_a\!\cdot\sigma_b)\,\dot\delta_1\!\cdot\dot\delta_2
    +\lambda[(\dot\delta_1\!\cdot\delta_2)(\sigma_a\!\cdot\dot\sigma_2)+(\delta_1\!\cdot\dot\delta_2)(\dot\sigma_1\!\cdot\sigma_b)
    +(\delta_1\!\cdot\delta_2)(\dot\sigma_1\!\cdot\dot\sigma_2)]`.

Products of two dot products are the table ``BRACKETS``; each of the other terms is a method.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...theory.networks.architecture import MLP
from .derivatives import derivatives
from .networks import LiteralNetworks

Array = NDArray[np.float64]

#: The highest derivative of the activation that each takes.
DERIVATIVES = {"P": 2, "Q": 2, "R": 3, "S": 2, "T": 2, "U": 2}

#: The products of two Hessian-vector products.
SQUARES = ("S", "T", "U")

#: The products of two dot products: operands, their axes, and the permutation of (a, b, c, d) that gives the partner of
#: the term. Axis g is the network; all sums run over i != j, and where only one neuron is left the other has been summed:
#:   D_iajb = delta_ia . delta_jb           E_jab = sum_i delta_ia . delta_ib             F_jabd = sum_i delta_ia . delta_jb z_id
#:   Y_jcab = sigma-dot_jc;a . sigma_b      Z_jcakdb = sigma-dot_jc;a . sigma-dot_kd;b
#:   1_jabc = sum_i delta-dot_ia|ib . delta_jc    2_jabc = sum_i delta-dot_ia|jc . delta_ib
#:   3_iabc = sum_j delta-dot_ia|jb . delta_jc
BRACKETS = {
    "P": (("FY", "jabdg,jcabg", (0, 2, 1, 3)),),
    "Q": (("EYz", "jabg,jcabg,jdg", None), ("FY", "icadg,ibacg", None)),
    "R": (
        ("1Y", "jabcg,jdacg", (0, 1, 3, 2)),
        ("2Y", "jabcg,jdabg", (0, 1, 3, 2)),
        ("3Y", "iacdg,ibadg", (0, 1, 3, 2)),
    ),
    "S": (("2Y", "jabcg,jdbag", (1, 0, 3, 2)), ("EZ", "jabg,jcajdbg", None)),
    "T": (("1Y", "jacbg,jdbag", (1, 0, 3, 2)), ("DZ", "iajbg,icajdbg", None)),
    "U": (("3Y", "iacbg,idbag", (1, 0, 3, 2)), ("DZ", "iajbg,jcaidbg", None)),
}


#: The number of short-lived arrays in memory, beside those of delta-dot.
SCRATCH = 3


def turns(net: MLP) -> int:
    """How many arrays take turns to hold delta-dot: each stays until the longest skip, or the weights, have passed it on."""
    return 1 + max((high - low for low, high, _ in net.residual), default=1)


def doubles(net: MLP, widths: tuple[int, ...], inputs: int, neurons: int) -> int:
    """Numbers that :class:`Descendants` holds for each network, to choose the size of a batch by."""
    hidden, directions = widths[:-1], neurons * inputs
    scaled, signals = sum(a * b for a, b in pairwise(widths)), directions * inputs * sum(hidden)
    arrays = SCRATCH + turns(net)
    return scaled + 2 * signals + arrays * directions * max(directions, inputs**2) * max(hidden, default=0)


class Descendants:
    r"""P, Q, R, S, T and U of a batch of networks, layer by layer, in memory that is used again.

    Equation
        With :math:`i\ne j`, the mean over the ordered pairs of the chosen neurons of

        .. math::
            P_{abcd}:\ \widehat{dH}_{ijj;abc}\,z_{i;d},\quad Q_{abcd}:\ \widehat{dH}_{iij;abc}\,z_{j;d},\quad
            R_{abcd}:\ \widehat{dd_IH}_{iijj;abcd},\quad
            S,T,U_{abcd}:\ \widehat{dd_{II}H}_{iijj},\ \widehat{dd_{II}H}_{ijij},\ \widehat{dd_{II}H}_{ijji;abcd}.
    Shapes
        :meth:`sums` (L, m, m, m, m) for each name, summed over the networks of the batch. Inside, arrays over neurons
        have axes (j, c, i, a, network, neuron), or some of them: the direction and what it differentiates.
    Units
        Those of the products; the factor n_(l-1) of the tensors is left to the estimator.
    Valid
        After ``forward`` and ``backward`` of the networks, at two chosen neurons or more.
    """

    def __init__(self, networks: LiteralNetworks, names: Iterable[str]) -> None:
        self.networks, self.names = networks, tuple(names)
        self.m, self.s, self.batch = len(networks.X), networks.neurons, networks.batch
        order = max(DERIVATIVES[name] for name in self.names)
        self.derivatives = [derivatives(a, order) for a in networks.net.layer_activations]
        self.squares = [name for name in SQUARES if name in self.names]
        self.pairs = 1.0 - np.eye(self.s)
        hidden, direction = networks.widths[:-1], (self.s, self.m)
        self.zeta, self.sigma_dot = ([np.empty((*direction, self.m, self.batch, n)) for n in hidden] for _ in range(2))
        self.W = [networks.W[0], *map(np.empty_like, networks.W[1:])]  # scaled; of the first the gradients need none
        self.tangents = bool(self.squares) or "R" in self.names
        self.turns = turns(networks.net)
        # Fresh memory costs as much as the arithmetic.
        largest = self.s * self.m * max(self.s * self.m, self.m**2) * self.batch * max(hidden, default=0)
        self.memory = [np.empty(largest) for _ in range(SCRATCH + self.turns)]

    def sums(self) -> dict[str, Array]:
        """The sums over the networks that are in memory."""
        nets = self.networks
        self.jets = [sigma(z) for sigma, z in zip(self.derivatives, nets.z[:-1], strict=True)]
        self.rates = np.array(nets.rates[1]) / nets.fan_in
        for k in range(1, len(self.W)):
            np.multiply(np.sqrt(nets.C_W[k] / nets.fan_in[k]), nets.W[k], out=self.W[k])
        self.total = {name: np.zeros((len(self.W), *[self.m] * 4)) for name in self.names}
        for top in range(1, len(self.W)):  # the first layer is linear in its parameters
            self._signals(top)
            self._gradients(top)
        return {name: total / self.pairs.sum() for name, total in self.total.items()}

    def _delta(self, top: int, k: int) -> Array:
        """The gradients of the chosen neurons of layer ``top`` in layer k < top, (i, a, network, neuron)."""
        nets = self.networks
        blocks = nets.vectors[k][: -self.m].reshape(-1, nets.columns, self.m, self.batch, nets.widths[k])
        return blocks[len(self.W) - 1 - top, : self.s]

    def _signals(self, top: int) -> None:
        """From the bottom up: the changes of the signals by the directions of layer ``top``."""
        for k in range(top):
            zeta, own = self.zeta[k], self._room(0, k, self.s, self.m, self.m)
            coefficients = self.networks.coefficients[k].transpose(1, 2, 0)[..., None]
            np.multiply(coefficients, self._delta(top, k)[:, :, None], out=own if k > 0 else zeta)
            if k > 0:
                _per_network(self.sigma_dot[k - 1], self.W[k].transpose(0, 2, 1), zeta)
                zeta += own
            for below, gamma in self.networks.into[k]:
                zeta += gamma * self.zeta[below]
            np.multiply(self.jets[k][1], zeta, out=self.sigma_dot[k])

    def _gradients(self, top: int) -> None:
        """From the top down: the changes of the gradients, and the contribution of each layer."""
        z = self.networks.z[top][:, :, : self.s].transpose(2, 0, 1)  # (i, d, network)
        delta: Array | None = None  # those of layer ``top`` itself are unit vectors, which do not change
        delta_dot: Array | None = None
        kept: dict[int, Array] = {}  # delta-dot of the layers passed
        for k in range(top, 0, -1):
            below, zeta, (sigma, first, second, *rest) = self._delta(top, k - 1), self.zeta[k - 1], self.jets[k - 1]
            if delta is None:
                pi = np.broadcast_to(self.W[k][:, : self.s].transpose(1, 0, 2)[:, None], below.shape)
            else:
                pi = _per_network(delta, self.W[k])
            D = self._brackets(top, k, delta, delta_dot, z)
            bend = second * pi
            self._second(top, k - 1, bend, z)
            if self.tangents:
                pi_dot = self._pull_back(k, D, sigma, delta_dot)
                if "R" in self.names:
                    self._third(top, k - 1, rest[0] * pi, pi_dot)
                pi_dot *= first
                pi_dot += np.multiply(bend, zeta[:, :, None], out=self._room(0, k - 1, *pi_dot.shape[:4]))
                for above, gamma in self.networks.onward[k - 1]:
                    if above < top:
                        pi_dot += gamma * kept[above]
                delta_dot = kept[k - 1] = pi_dot
                self._squares(top, k - 1, delta_dot)
            delta = below

    def _room(self, number: int, k: int, *axes: int) -> Array:
        """Memory for an array of those axes, network and neuron of layer k."""
        shape = (*axes, self.batch, self.networks.widths[k])
        return self.memory[number][: math.prod(shape)].reshape(shape)

    def _pull_back(self, k: int, D: Array, sigma: Array, delta_dot: Array | None) -> Array:
        """pi-dot of the weights of layer k."""
        numbers = SCRATCH + k % self.turns, 0
        pi_dot, own = (self._room(number, k - 1, self.s, self.m, self.s, self.m) for number in numbers)
        weight = self.rates[k] * D.transpose(2, 3, 0, 1, 4)[..., None]  # (j, c, i, a, network, 1)
        np.multiply(weight, sigma[:, None, None], out=pi_dot if delta_dot is None else own)
        if delta_dot is not None:
            _per_network(delta_dot, self.W[k], pi_dot)
            pi_dot += own
        return pi_dot

    def _brackets(self, top: int, k: int, delta: Array | None, delta_dot: Array | None, z: Array) -> Array:
        """The terms of two dot products in the weights of layer k; returns delta . delta, (i, a, j, b, network)."""
        m, s, pairs, sigma_dot = self.m, self.s, self.pairs, self.sigma_dot[k - 1]
        dots = {"z": z, "Y": _dots(sigma_dot, self.jets[k - 1][0])}
        if self.squares:
            dots["Z"] = _dots(sigma_dot, sigma_dot)
        if delta is None:
            D = np.broadcast_to(np.eye(s)[:, None, :, None, None], (s, m, s, m, self.batch))
        else:
            D = _dots(delta, delta)
            dots |= {"D": D * pairs[:, None, :, None, None], "F": np.einsum("iajbg,idg,ij->jabdg", D, z, pairs)}
        dots["E"] = np.einsum("iaibg,ij->jabg", D, pairs)
        if delta is not None and delta_dot is not None:
            X = _dots(delta_dot, delta)
            dots["1"] = np.einsum("ibiajcg,ij->jabcg", X, pairs)
            dots["2"] = np.einsum("jciaibg,ij->jabcg", X, pairs)
            dots["3"] = np.einsum("jbiajcg,ij->iabcg", X, pairs)
        for name in self.names:
            for operands, subscripts, partner in BRACKETS[name]:
                if all(o in dots for o in operands):
                    term = self.rates[k] * np.einsum(f"{subscripts}->abcd", *(dots[o] for o in operands))
                    self.total[name][top] += term if partner is None else term + term.transpose(partner)
        return D

    # The others

    def _second(self, top: int, k: int, bend: Array, z: Array) -> None:
        """The terms pi . sigma'' zeta_u zeta_v of P and Q; ``bend`` = sigma'' pi."""
        zeta, (left, right) = self.zeta[k], self._sides(k)
        z_sample = z[:, :, None, :, None]  # (i, d, 1, network, 1)
        if "P" in self.names:
            np.multiply(bend[:, None], z_sample, out=left)  # (i, d, a)
            np.multiply(zeta[:, :, None], zeta[:, None], out=right)  # (j, b, c, a)
            self.total["P"][top] += np.einsum("aidjbc,ij->abcd", _contract(left, right), self.pairs)
        if "Q" in self.names:
            np.multiply(bend[:, None], zeta, out=left)  # (i, b, a)
            np.multiply(z_sample[:, None], zeta[:, :, None], out=right)  # (j, c, d, a)
            self.total["Q"][top] += np.einsum("aibjcd,ij->abcd", _contract(left, right), self.pairs)

    def _third(self, top: int, k: int, third_pi: Array, pi_dot: Array) -> None:
        """The terms pi . sigma''' zeta_u zeta_v zeta_w and pi-dot_u . sigma'' zeta_v zeta_w of R."""
        total, zeta, second = self.total["R"][top], self.zeta[k], self.jets[k][2]
        left, right = self._sides(k)
        # u on the neuron i that is differentiated
        own = np.einsum("ibiagn->ibagn", pi_dot)
        np.multiply(third_pi[:, None], zeta, out=left)  # (i, b, a)
        left += own * second
        np.multiply(zeta[:, :, None], zeta[:, None], out=right)  # (j, c, d, a)
        total += np.einsum("aibjcd,ij->abcd", _contract(left, right), self.pairs)
        # u on the other neuron j: sum over i != j first
        left = np.einsum("jciagn,ibagn->jcbagn", pi_dot, zeta, out=right)
        left -= np.multiply(own[:, :, None], zeta[:, None], out=self._room(2, k, *left.shape[:4]))
        term = np.einsum("ajcbjd->abcd", _contract(left, second * zeta))
        total += term + term.transpose(0, 1, 3, 2)

    def _sides(self, k: int) -> tuple[Array, Array]:
        """Room for vectors (neuron, sample, a) and (neuron, sample, sample, a)."""
        return self._room(0, k, self.s, self.m, self.m), self._room(1, k, self.s, self.m, self.m, self.m)

    def _squares(self, top: int, k: int, delta_dot: Array) -> None:
        """(lambda_b + lambda sigma.sigma) delta-dot . delta-dot of S, T and U in the weights of layer k."""
        coefficients = self.networks.coefficients[k]
        for a in range(self.m):
            for b in range(a, self.m):
                left = self._room(0, k, self.s, self.m, self.s)
                np.multiply(coefficients[:, a, b, None], delta_dot[:, :, :, a], out=left)
                left, right = (x.reshape(self.s, self.m, self.s, -1) for x in (left, delta_dot[:, :, :, b]))
                for name in self.squares:
                    term = _SQUARES[name](left, right, self.pairs)
                    self.total[name][top, a, b] += term
                    if a < b:
                        self.total[name][top, b, a] += term.T


# Sums over i != j of delta-dot . delta-dot; axes of both (j, c, i, x), x all networks and neurons.


def _square_S(left: Array, right: Array, pairs: Array) -> Array:  # ia|jc with ib|jd
    return np.einsum("jicd,ij->cd", np.matmul(left.transpose(0, 2, 1, 3), right.transpose(0, 2, 3, 1)), pairs)


def _square_T(left: Array, right: Array, pairs: Array) -> Array:  # ia|ic with jb|jd
    one, two = (np.einsum("icix->icx", x) for x in (left, right))
    return one.sum(axis=0) @ two.sum(axis=0).T - np.matmul(one, two.transpose(0, 2, 1)).sum(axis=0)


def _square_U(left: Array, right: Array, pairs: Array) -> Array:  # ia|jc with jb|id
    return np.einsum("jicd,ij->cd", np.matmul(left.transpose(0, 2, 1, 3), right.transpose(2, 0, 3, 1)), pairs)


_SQUARES = {"S": _square_S, "T": _square_T, "U": _square_U}


def _rows(x: Array) -> Array:
    """(network, all rows, neuron), a view."""
    return x.reshape(-1, *x.shape[-2:]).transpose(1, 0, 2)


def _per_network(x: Array, matrices: Array, out: Array | None = None) -> Array:
    """Every row of x times the matrix of its network."""
    if out is None:
        out = np.empty((*x.shape[:-1], matrices.shape[-1]))
    np.matmul(_rows(x), matrices, out=_rows(out))
    return out


def _dots(x: Array, y: Array) -> Array:
    """Dot products over neurons, (axes of x, axes of y, network): the small arrays have the network last."""
    product = np.ascontiguousarray(np.moveaxis(np.matmul(_rows(x), _rows(y).transpose(0, 2, 1)), 0, -1))
    return product.reshape(*x.shape[:-2], *y.shape[:-2], -1)


def _contract(x: Array, y: Array) -> Array:
    """(a, rows of x, rows of y), a the axis before network and neuron: dot products over both."""
    m, size = x.shape[-3], x.shape[-2] * x.shape[-1]
    left, right = x.reshape(-1, m, size).transpose(1, 0, 2), y.reshape(-1, m, size).transpose(1, 2, 0)
    return np.matmul(left, right).reshape(m, *x.shape[:-3], *y.shape[:-3])
