r"""Literal finite networks, many at a time: drawn weights, forward pass, backpropagation, tangent kernel.

Nothing here knows that a layer is conditionally Gaussian: every number comes from multiplying the drawn matrices.

Layout. Arrays over neurons have axes (input, network, neuron), so that one pass of an elementwise function runs over
contiguous memory, and ``np.matmul`` sees one small matrix for each network with all its columns side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import InvalidNetwork
from ...theory.networks.architecture import MLP
from .derivatives import derivatives
from .ensembles import sampler

Array = NDArray[np.float64]

#: The output width where neither ``output_width`` nor a hidden layer says one, and nothing in theory depends on it.
OUTPUT_WIDTH = 32
#: Memory of one batch: large enough to make the interpreter's share small, small enough for the outer cache.
BATCH_BYTES = 1 << 23
MAX_BATCH = 64


def layer_widths(net: MLP, features: int = OUTPUT_WIDTH) -> tuple[int, ...]:
    """The widths n_1 ... n_L, the output included; ``InvalidNetwork`` when they are not given.

    Those of ``net.all_widths(features)``, but for the only layer of a network whose weights are independent.
    """
    if net.depth is None:
        raise InvalidNetwork("depth=None: only a network of given depth can be drawn; allowed: integers from 1")
    hidden = net.hidden_widths if net.depth > 1 else ()
    if hidden is None:
        raise InvalidNetwork(
            f"width=None: only a network of given width can be drawn; allowed: an integer from 1, or depth-1 = "
            f"{net.depth - 1} of them"
        )
    if hidden or net.output_width or any(kind.crossed != 0 for kind in net.ensembles):
        return net.all_widths(features)[1:]
    return (OUTPUT_WIDTH,)


def batch_size(numbers: int) -> int:
    """How many networks at once, if each of them holds so many numbers."""
    return int(np.clip(BATCH_BYTES // (8 * numbers), 1, MAX_BATCH))


def _skips(net: MLP, by: int) -> list[list[tuple[int, float]]]:
    """For each layer the other ends of the skips that leave it (0) or reach it (1), with gamma; layers count from 0."""
    found: list[list[tuple[int, float]]] = [[] for _ in range(net.depth or 1)]
    for *ends, gamma in net.residual:
        found[ends[by] - 1].append((ends[1 - by] - 1, gamma))
    return found


class LiteralNetworks:
    r"""A batch of networks in memory that is used again for every draw.

    Equation
        .. math::
            z^{(\ell+1)} = b + W\sigma(z^{(\ell)}) + \sum_{k\le\ell}\gamma_{\ell+1,k}\,z^{(k)},\qquad
            \frac{\partial z^{(\ell)}_{i;a}}{\partial z^{(k)}} =
            \sigma'(z^{(k)}_a)\odot W^{(k+1)\top}\frac{\partial z^{(\ell)}_{i;a}}{\partial z^{(k+1)}}
            + \sum_{k<m\le\ell}\gamma_{mk}\frac{\partial z^{(\ell)}_{i;a}}{\partial z^{(m)}},

            H^{(\ell)}_{ij;ab} = \sum_{k\le\ell}\Bigl[\lambda_b^{(k)}+\frac{\lambda_W^{(k)}}{n_{k-1}}
            \sigma^{(k-1)}_a\!\cdot\sigma^{(k-1)}_b\Bigr]
            \frac{\partial z^{(\ell)}_{i;a}}{\partial z^{(k)}}\cdot\frac{\partial z^{(\ell)}_{j;b}}{\partial z^{(k)}}
    Shapes
        X (m, n_0); ``z[l]`` (m, batch, n_l); ``ntk`` (L, batch, s, m, r, m), its axes (layer, network, i, a, u, b).
        The r columns u are the s neurons themselves, H_ij;ab, and with ``probes`` also the m sums over *all* neurons
        sum_j z_j;c H_ij;ab, which cost one backpropagated vector each.
    Units
        W of variance C_W / fan_in, b ~ N(0, C_b); both are held with variance one and their results scaled.
    Valid
        Every layer at least s wide. ``neurons=0`` is for the forward pass alone, without ``rates`` too if nothing takes them.
    Errors
        ``InvalidNetwork``, ``InvalidArgument`` for arguments that are missing; ``NotAvailable`` for weights that cannot be drawn.
    """

    def __init__(
        self, net: MLP, X: Array, batch: int, neurons: int, *, probes: bool = True, rates: bool = True
    ) -> None:
        self.net, self.activations = net, [derivatives(a, 1) for a in net.layer_activations]
        self.widths = n = layer_widths(net, X.shape[1])
        self.fan_in = (X.shape[1], *n[:-1])
        self.C_b, self.C_W = net.per_layer("C_b"), net.per_layer("C_W")
        still = (0.0,) * len(n)
        self.rates = (net.per_layer("lambda_b"), net.per_layer("lambda_W")) if rates else (still, still)
        self.X, self.batch, self.neurons = X, batch, neurons
        self.columns = neurons + (len(X) if probes and neurons else 0)  # r
        L, m = len(n), len(X)
        self.into, self.onward = _skips(net, by=1), _skips(net, by=0)
        self.samplers = [None if ensemble.gaussian else sampler(ensemble) for ensemble in net.ensembles]
        self._allocate_parameters()
        # vectors[k] holds the gradients that backpropagation carries to layer k: one block of (r, m) rows for each layer above it,
        # and in its last m rows z^(k) itself, so that the probes of layer k pass through the same product.
        self.vectors = [np.empty(((L - 1 - k) * self.columns * m + m, batch, n[k])) for k in range(L)]
        self.z = [v[-m:] for v in self.vectors]
        self.slopes = [np.empty((m, batch, w)) for w in n[:-1]]
        self.coefficients = np.empty((L, batch, m, m))
        self.ntk = np.empty((L, batch, neurons, m, self.columns, m))

    def _allocate_parameters(self) -> None:
        self.parameters, self.W, self.b = [], [], []
        for n, f, C_b in zip(self.widths, self.fan_in, self.C_b, strict=True):
            weights, biases = self.batch * n * f, self.batch * n if C_b > 0 else 0
            layer = np.zeros(weights + biases)  # one block, filled by one call if both are normal
            self.parameters.append(layer)
            self.W.append(layer[:weights].reshape(self.batch, n, f))
            self.b.append(layer[weights:].reshape(self.batch, n if C_b > 0 else 0))

    def forward(self, rng: np.random.Generator | None = None) -> None:
        """Fill ``z``, the slopes (times the scale of the weights that they meet on the way back) and the coefficients.

        With ``rng``, draw each layer's parameters anew just before they are used, while they are in the cache.
        """
        m = len(self.X)
        signal: Array = self.X
        for k, z in enumerate(self.z):
            scale = np.sqrt(self.C_W[k] / self.fan_in[k])
            if rng is not None:
                self._draw(k, rng)
            if k == 0:  # the same inputs for all networks: one product
                np.matmul(signal, self.W[0].reshape(-1, self.fan_in[0]).T, out=z.reshape(m, -1))
                gram = signal @ signal.T
            else:
                slope: Array
                signal, slope = self.activations[k - 1](self.z[k - 1])
                np.multiply(slope, scale, out=self.slopes[k - 1])
                per_network = signal.transpose(1, 0, 2)
                np.matmul(per_network, self.W[k].transpose(0, 2, 1), out=z.transpose(1, 0, 2))
                gram = np.matmul(per_network, per_network.transpose(0, 2, 1))
            z *= scale
            if self.C_b[k] > 0:
                z += np.sqrt(self.C_b[k]) * self.b[k]
            for below, gamma in self.into[k]:
                z += gamma * self.z[below]
            self.coefficients[k] = self.rates[0][k] + self.rates[1][k] / self.fan_in[k] * gram

    def _draw(self, k: int, rng: np.random.Generator) -> None:
        draw = self.samplers[k]
        if draw is None:
            rng.standard_normal(out=self.parameters[k])
        else:
            draw(rng, self.W[k])
            rng.standard_normal(out=self.b[k])

    def backward(self) -> None:
        """Fill ``ntk`` for all layers in one sweep from the top; layer k carries the gradients of all above it."""
        L, s = len(self.widths), self.neurons
        for k in range(L - 1, -1, -1):
            z_top = self.z[k][:, :, :s].transpose(1, 2, 0)
            own = self.coefficients[k][:, None, :, None, :]  # (network, 1, a, 1, b)
            self.ntk[k, :, :, :, :s, :] = 0.0
            for i in range(s):  # dz_i/dz_j = 1 for i = j, and the probe of layer k is z itself
                self.ntk[k, :, i, :, i, :] = self.coefficients[k]
            if self.columns > s:
                np.multiply(own, z_top[:, :, None, :, None], out=self.ntk[k, :, :, :, s:, :])
            if k > 0:
                self._descend(k)
                for above, gamma in self.onward[k - 1]:
                    self._hand_down(above, k - 1, gamma)
                self._contract(k - 1)

    def _descend(self, k: int) -> None:
        """Carry the gradients from z^(k) to z^(k-1), and start those of layer k."""
        m, s, r = len(self.X), self.neurons, self.columns
        here, below, W, slope = self.vectors[k], self.vectors[k - 1], self.W[k], self.slopes[k - 1]
        carried = len(here) - m
        start = below[carried : carried + r * m].reshape(r, m, self.batch, -1)
        rows = carried + (m if r > s else 0)
        if rows:
            np.matmul(here[:rows].transpose(1, 0, 2), W, out=below[:rows].transpose(1, 0, 2))
            blocks = below[:carried].reshape(-1, m, self.batch, self.widths[k - 1])
            blocks *= slope
        if r > s:  # the m products z_c W arrived in the first rows of the block that they are to fill
            probes = below[carried:rows].copy()
            np.multiply(probes[:, None], slope, out=start[s:])
        np.multiply(W[:, :s].transpose(1, 0, 2)[:, None], slope, out=start[:s])

    def _hand_down(self, above: int, k: int, gamma: float) -> None:
        """Add to the gradients in layer k, of z^(above) and all higher layers, the part that comes through a skip."""
        m, s, here = len(self.X), self.neurons, self.vectors[k]
        carried = len(self.vectors[above]) - m
        here[:carried] += gamma * self.vectors[above][:carried]
        own = here[carried : carried + self.columns * m].reshape(self.columns, m, self.batch, -1)
        for i in range(s):
            own[i, :, :, i] += gamma
        if self.columns > s:
            own[s:] += gamma * self.z[above][:, None]

    def _contract(self, k: int) -> None:
        """Add the parameters of layer k to the tangent kernels of all layers above it."""
        L, m, s, r = len(self.widths), len(self.X), self.neurons, self.columns
        blocks = self.vectors[k][:-m].reshape(L - 1 - k, r * m, self.batch, -1).transpose(0, 2, 1, 3)
        gram = np.matmul(blocks[:, :, : s * m], blocks.transpose(0, 1, 3, 2))
        weight = np.tile(self.coefficients[k], (1, s, r))
        gram *= weight
        self.ntk[k + 1 :] += gram[::-1].reshape(L - 1 - k, self.batch, s, m, r, m)  # the topmost layer came first
