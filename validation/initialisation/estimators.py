r"""Unbiased estimators of the tensors from different-neuron combinations, with standard errors from groups of networks.

A tensor is n times the mean of a product, less the product of two means. The first half of this file reduces a group
of networks to those means, layer by layer; the second turns the group means into an estimate and its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import InvalidArgument, NotAvailable
from ...theory.language.quantities import Quantity, lookup, quantity, symmetries
from ...theory.networks.activations import Activation
from ..literal.derivatives import missing_derivative
from ..literal.descendants import DERIVATIVES
from ..literal.networks import LiteralNetworks

Array = NDArray[np.float64]

#: The quantities that can be estimated, and whether each needs backpropagation.
NEEDS_NTK = {
    "K": False, "Theta": True, "V": False, "D": True, "F": True, "A": True, "B": True,
    "P": True, "Q": True, "R": True, "S": True, "T": True, "U": True, "K1": False, "Theta1": True,
}  # fmt: skip

#: The two means whose product is subtracted from the mean product. The others have none: F and B since E[H_ij] = 0 for
#: i != j, and P to U since each of their pairs of jets holds some direction once and is odd in it.
FACTORS = {"V": ("K", "K"), "D": ("K", "Theta"), "A": ("Theta", "Theta")}

CORRECTIONS = {"K1": "K", "Theta1": "Theta"}


def missing(name: str, activation: Activation) -> str | None:
    """Why a quantity cannot be measured with this activation, as a clause; None if it can.

    A jet along k directions takes the k-th derivative.
    """
    return missing_derivative(
        activation, max(len(directions) for pair in quantity(name).pairs for directions, _ in pair)
    )


@dataclass(frozen=True)
class MeasurementPlan:
    """The quantities to measure: their names, and the means that they are made of."""

    names: tuple[str, ...]

    @cached_property
    def means(self) -> tuple[str, ...]:
        """The mean products of the names and the factors that go with them."""
        wanted = [CORRECTIONS.get(name, name) for name in self.names]
        return tuple(dict.fromkeys([*wanted, *(f for name in wanted for f in FACTORS.get(name, ()))]))

    @property
    def ntk(self) -> bool:
        """Whether any of them takes backpropagation."""
        return any(NEEDS_NTK[name] for name in self.means)

    @property
    def descendants(self) -> tuple[str, ...]:
        """Those that take derivatives of the tangent kernel."""
        return tuple(name for name in self.names if name in DERIVATIVES)

    @property
    def probes(self) -> bool:
        """F alone asks for z^T H with all neurons of z."""
        return "F" in self.names


class Record:
    r"""The means kept of N networks, layer by layer.

    Shapes
        ``zz`` (L, N, m, m): sum_i z_i;a z_i;b over all neurons; ``zzzz`` (L, m m, m m): sum_i z_i;a z_i;b z_i;c z_i;d
        summed over networks too; ``z`` (L, N, s, m) and ``ntk`` (L, N, s, m, r, m): the chosen neurons;
        ``descendants``: (L, m, m, m, m) for each of P ... U, summed over networks.
    """

    def __init__(self, networks: LiteralNetworks, size: int, plan: MeasurementPlan) -> None:
        L, m, s = len(networks.widths), len(networks.X), networks.neurons
        self.plan, self.size, self.filled = plan, size, 0
        self.widths = np.array(networks.widths, dtype=np.float64)
        self.zz = np.empty((L, size, m, m))
        self.zzzz = np.zeros((L, m * m, m * m))
        self.z = np.empty((L, size, s, m))
        self.ntk = np.empty((L, size, *networks.ntk.shape[2:]))
        self.descendants = {name: np.zeros((L, m, m, m, m)) for name in plan.descendants}

    def add(self, networks: LiteralNetworks, descendants: Mapping[str, Array] | None = None) -> None:
        """Take down the batch that has just been evaluated, and its sums of P ... U if they are wanted."""
        batch, s = networks.batch, networks.neurons
        here = slice(self.filled, self.filled + batch)
        self.filled += batch
        for k, z in enumerate(networks.z):
            pairs = z[:, None] * z  # (a, b, network, neuron)
            self.zz[k, here] = pairs.sum(axis=-1).transpose(2, 0, 1)
            if "V" in self.plan.names:
                flat = pairs.reshape(len(z) ** 2, -1)
                self.zzzz[k] += flat @ flat.T
            if self.plan.ntk:
                self.z[k, here] = z[:, :, :s].transpose(1, 2, 0)
        if self.plan.ntk:
            self.ntk[:, here] = networks.ntk
        for name, total in (descendants or {}).items():
            self.descendants[name] += total

    def means(self) -> dict[str, Array]:
        r"""The mean of every product in the plan over these networks and over neurons i != j.

        Shapes
            (L, m, m) for K and Theta, (L, m, m, m, m) for the others, axes in correlator order.
        """
        kept = {name: total / self.size for name, total in self.descendants.items()}
        return {name: kept[name] if name in kept else getattr(self, f"_{name}")() for name in self.plan.means}

    # In each: n all neurons of the layer, s the chosen ones; a sum over i != j is the double sum less that over i = j.

    def _K(self) -> Array:
        return self.zz.mean(axis=1) / self.widths[:, None, None]

    def _Theta(self) -> Array:
        return self._diagonal.mean(axis=(1, 2))

    def _V(self) -> Array:
        n = self.widths[:, None, None]
        total = _mean_product(_flat(self.zz, 2), _flat(self.zz, 2)) - self.zzzz / self.size
        return self._unflat(total / (n * (n - 1)))

    def _D(self) -> Array:
        n = self.widths[:, None, None, None, None]
        others = self.zz[:, :, None] - self.z[..., :, None] * self.z[..., None, :]  # sum over i != j, for each j
        return self._unflat(_mean_product(_flat(others, 2), _flat(self._diagonal, 2))) / (n - 1)

    def _F(self) -> Array:
        # sum_(i != j) z_i;a z_j;b H_ij;cd, i over all neurons from the probe, j over the chosen ones
        n, s = self.widths[:, None, None, None, None], self.z.shape[2]
        probe = self.ntk[:, :, :, :, s:, :]  # (L, N, j, d, a, c)
        own = self.z[:, :, :, None, :, None] * self._diagonal.swapaxes(-1, -2)[:, :, :, :, None, :]
        others = probe - own
        product = self._unflat(_mean_product(self.z, _flat(others, 3)))
        return product.transpose(0, 3, 1, 4, 2) / (n - 1)  # (b, d, a, c) -> (a, b, c, d)

    def _A(self) -> Array:
        s = self.z.shape[2]
        total, each = _flat(self._diagonal.sum(axis=2), 2), _flat(self._diagonal, 2)
        return self._unflat(_mean_product(total, total) - s * _mean_product(each, each)) / (s * (s - 1))

    def _B(self) -> Array:
        s = self.z.shape[2]
        i, j = zip(*combinations(range(s), 2), strict=True)  # i < j: H_ji;ab = H_ij;ba is the tensor's own symmetry
        mixed = _flat(self.ntk.transpose(0, 1, 2, 4, 3, 5)[:, :, i, j], 2)
        return self._unflat(_mean_product(mixed, mixed))

    @cached_property
    def _diagonal(self) -> Array:
        i = np.arange(self.z.shape[2])
        return self.ntk.transpose(0, 1, 2, 4, 3, 5)[:, :, i, i]  # (L, N, i, a, b)

    def _unflat(self, matrices: Array) -> Array:
        m = self.zz.shape[-1]
        return matrices.reshape(-1, m, m, m, m)


def _flat(x: Array, axes: int) -> Array:
    return x.reshape(*x.shape[:-axes], -1)


def _mean_product(x: Array, y: Array) -> Array:
    """Mean over networks, and neurons where there are, of x_A y_B; (L, N, [neurons,] A) -> (L, A, B)."""
    x, y = x.reshape(len(x), -1, x.shape[-1]), y.reshape(len(y), -1, y.shape[-1])
    return x.transpose(0, 2, 1) @ y / x.shape[1]


def estimate(name: str, groups: dict[str, Array], sizes: NDArray[np.int64], prefactor: Array) -> tuple[Array, Array]:
    r"""A quantity and its standard error from the means of G groups.

    Equation
        With :math:`w_g=N_g/N`, bars for :math:`\sum_g w_g`, and p the product whose factors are x and y,

        .. math::
            \hat q = \bar p-\bar x\bar y+\tfrac1{G-1}\sum_g w_g(x_g-\bar x)(y_g-\bar y),\qquad
            \psi_g = p_g-x_g\bar y-\bar xy_g,\qquad
            \mathrm{se}^2=\tfrac1{G-1}\sum_g w_g(\psi_g-\bar\psi)^2 .

        The third term makes :math:`\hat q` unbiased for E[p] - E[x] E[y] whatever the group sizes; se is that of the
        jackknife over groups, to leading order in 1/G.
    Shapes
        groups[name] (G, L, ...), sizes (G,), prefactor (L,) -> two arrays (L, ...)
    Units
        The value and the error are multiplied by the prefactor n_(l-1) for all quantities but K and Theta.
    Valid
        (value - truth) / error follows Student's t with G-1 degrees of freedom as far as the group means are Gaussian; with fewer,
        those of ``tails``, where few networks make up a group.
    """
    w = sizes / sizes.sum()
    value, influence = influences(name, groups, sizes)
    return scaled(name, value, influence, w, np.ones_like(prefactor) if name in ("K", "Theta") else prefactor)


def influences(name: str, groups: dict[str, Array], sizes: NDArray[np.int64]) -> tuple[Array, Array]:
    """The value of a quantity, and the influence of each group on it, without symmetries and prefactor."""
    w, p = sizes / sizes.sum(), groups[name]
    mean = _weighted(w, p)
    if name not in FACTORS:
        return mean, p
    x, y = (groups[factor] for factor in FACTORS[name])
    x_mean, y_mean = _weighted(w, x), _weighted(w, y)
    value = mean - _outer(x_mean, y_mean) + _weighted(w, _outer(x - x_mean, y - y_mean)) / (len(sizes) - 1)
    return value, p - _outer(x, y_mean[None]) - _outer(x_mean[None], y)


def scaled(name: str, value: Array, influence: Array, w: Array, factor: Array) -> tuple[Array, Array]:
    """A quantity with its symmetries, and its standard error from the influence of each group, times a factor for each layer."""
    value, influence = symmetrised(name, value), symmetrised(name, influence)
    deviation = influence - _weighted(w, influence)
    error = np.sqrt(_weighted(w, deviation**2) / (len(w) - 1))
    factor = factor.reshape(-1, *[1] * (value.ndim - 1))
    return factor * value, factor * error


def corrected(row: Quantity, value: Array, error: Array, n: Array, limits: Mapping[str, Any]) -> tuple[Array, Array]:
    r"""The coefficient of a higher power of 1/n: a measurement without the lower powers.

    Equation
        :math:`q^{\{c\}} = n^c\bigl(q(n)-\sum_{j<c}n^{-j}q^{\{j\}}\bigr)`, with the :math:`q^{\{j\}}` from ``limits``. For a row
        that corrects nothing, c = 0, this is q(n).
    Shapes
        value, error and each of ``limits`` (L, m, ...); n (L,)
    Errors
        ``InvalidArgument`` for a lower order that ``limits`` lacks, or holds in another shape.
    """
    n = n.reshape(-1, *[1] * (value.ndim - 1))
    for j, (name, axes) in enumerate(lower_orders(row)):
        value = value - _limit(row, limits, name, value.shape).transpose(0, *(1 + i for i in axes)) / n**j
    return n**row.correction * value, n**row.correction * error


def lower_orders(row: Quantity) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The quantities that a correction is the next order of, lowest first, with the axes in which they stand in the row."""
    labels = tuple(f"{i:02}" for i in range(row.rank))
    found = [lookup(row.at(labels), j) for j in range(row.correction)]
    missing_orders = [j for j, entry in enumerate(found) if entry is None]
    if missing_orders:
        raise NotAvailable(
            f"quantities: {row.name} corrects a quantity of order {missing_orders[0]} that has no row; "
            "allowed: once that row is registered"
        )
    return tuple((e.name, tuple(e.labels.index(label) for label in labels)) for e in found if e is not None)


def _limit(row: Quantity, limits: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    if name not in limits:
        raise InvalidArgument(
            f"limits has no {name!r}, which {row.name} corrects; allowed: limits with it, of shape {shape}"
        )
    value = np.asarray(limits[name], dtype=np.float64)
    if value.shape != shape:
        raise InvalidArgument(f"limits[{name!r}] has shape {value.shape}; allowed: ({', '.join(row.dims)}) = {shape}")
    return value


def symmetrised(name: str, tensor: Array) -> Array:
    """The mean over the permutations of sample axes under which the quantity does not change."""
    group = symmetries(name)
    first = tensor.ndim - len(group[0])
    leading = tuple(range(first))
    return sum((tensor.transpose(*leading, *(first + i for i in p)) for p in group), np.zeros(())) / len(group)


def _weighted(w: Array, x: Array) -> Array:
    return np.tensordot(w, x, axes=1)


def _outer(x: Array, y: Array) -> Array:
    return x[..., :, :, None, None] * y[..., None, None, :, :]
