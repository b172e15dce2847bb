r"""The slow estimator of any row of the table of quantities: jets of literal networks along random directions, multiplied out.

Nothing here knows a quantity by name: a row says which jets meet at which neuron, and ``cumulants`` which means of their products
it is made of. Where a fast estimator exists too, this one is its twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import perm

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import InvalidArgument
from ...theory.language.quantities import Quantity
from ...theory.networks.architecture import MLP
from ..literal.jets import LiteralJets, closed
from ..literal.networks import LiteralNetworks, batch_size, layer_widths
from .cumulants import Pattern, estimate, sum_over_different, terms
from .estimators import scaled

Array = NDArray[np.float64]

#: Draws of the directions for each network: with four, the weights are a fifth of all random numbers instead of a half.
DRAWS = 4


@dataclass(frozen=True)
class Rows:
    """The quantities that are measured with jets, and the means of products that they share."""

    rows: tuple[Quantity, ...]

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """The means that their cumulants are made of, each once."""
        every = (mean.pattern for row in self.rows for term in terms(row) for mean in term.means)
        return tuple(dict.fromkeys(every))

    @property
    def jets(self) -> tuple[str, ...]:
        """The directions of all jets that occur, and of those that their chain rule needs."""
        return closed(jet for pattern in self.patterns for product in pattern for jet in product)

    def numbers(self, inputs: int) -> int:
        """How many numbers the means of a layer are."""
        return sum(inputs ** len(sum(pattern, ())) for pattern in self.patterns)

    def check(self, widths: tuple[int, ...], networks: int) -> None:
        """``InvalidArgument`` for layers with fewer neurons, or fewer networks, than a cumulant keeps apart."""
        for row in self.rows:
            if (least := max(len(mean.pattern) for term in terms(row) for mean in term.means)) > min(widths):
                raise InvalidArgument(
                    f"a layer has {min(widths)} neurons (widths {list(widths)}), but {row.name} compares {least} different "
                    f"neurons of a layer; allowed: widths, output_width included, from {least}"
                )
            if (least := max(len(term.means) for term in terms(row))) > networks:
                raise InvalidArgument(
                    f"networks={networks}: {row.name} is made of products of {least} means over different networks; "
                    f"allowed: integers from {least}"
                )


@dataclass(frozen=True)
class JetTask:
    """The means over a group of networks with a random stream of its own: called with the number of the group."""

    net: MLP
    X: Array
    rows: Rows
    seeds: tuple[np.random.SeedSequence, ...]
    sizes: tuple[int, ...]

    def __call__(self, group: int, tick: Callable[[int], object]) -> dict[Pattern, Array]:
        """The means of all patterns, (L, m, ...) each; ``tick`` counts every batch."""
        seed, size = self.seeds[group], self.sizes[group]
        # a child of the group's stream, so that measurements of other kinds in this group are of other networks
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, 0))))
        sums: dict[Pattern, Array] = {}
        left, jets = size, None
        while left:
            if jets is None or left < jets.networks.batch:
                jets = self._jets(min(left, self.batch))
            jets.networks.forward(rng)
            jets.forward(rng)
            for pattern in self.rows.patterns:
                sums[pattern] = sums.get(pattern, 0.0) + means(jets, pattern)
            left -= jets.networks.batch
            tick(jets.networks.batch)
        return {pattern: total / size for pattern, total in sums.items()}

    def _jets(self, batch: int) -> LiteralJets:
        networks = LiteralNetworks(self.net, self.X, batch, 0)
        jets = self.rows.jets
        return LiteralJets(networks, jets, DRAWS if len(jets) > 1 else 1)

    @property
    def batch(self) -> int:
        """How many networks at once: their weights, directions and jets, and the products of the widest layer."""
        (m, features), jets = self.X.shape, self.rows.jets
        widths = layer_widths(self.net, features)
        labels = sum(len(jet) == 1 for jet in jets)
        weights = sum(n * f for n, f in zip(widths, (features, *widths), strict=False)) * (1 + DRAWS * labels)
        carried = 2 * DRAWS * len(jets) * m * sum(widths)
        products = DRAWS * max(widths) * max(m ** max(len(sum(p[:-1], ())), len(p[-1])) for p in self.rows.patterns)
        return batch_size(weights + carried + products)


def means(jets: LiteralJets, pattern: Pattern) -> Array:
    r"""The mean of a product of jets over different neurons and over directions, summed over the networks.

    Equation
        .. math::
            \sum_{\rm networks}\frac{(n-r)!}{n!}\sum_{i_1\ne\dots\ne i_r}
            \bigl\langle\prod_k\prod_{R\in k}d_Rz_{i_k}\bigr\rangle_\epsilon .
    Shapes
        (L, m, ...), one axis for each jet in the order of the pattern.
    """
    found = []
    draws = jets.draws if any(jet for product in pattern for jet in product) else 1
    for n, values in zip(jets.networks.widths, jets.values, strict=True):
        products = [_product([values[jet] for jet in product], draws) for product in pattern]
        total = sum_over_different(products, kept=False) / (draws * perm(n, len(pattern)))
        found.append(total.reshape([len(jets.networks.X)] * len(sum(pattern, ()))))
    return np.stack(found)


def _product(factors: list[Array], draws: int) -> Array:
    """All samples of one jet with all of the others of the same neuron: (batch, draws, m, n) -> (batch draws, n, m^k)."""
    product = factors[0]
    for factor in factors[1:]:
        product = product[:, :, :, None] * factor[:, :, None]
        product = product.reshape(*product.shape[:2], -1, product.shape[-1])
    batch, _, size, n = product.shape
    return np.broadcast_to(product, (batch, draws, size, n)).reshape(-1, size, n).transpose(0, 2, 1)


def measured(
    row: Quantity, groups: dict[Pattern, Array], sizes: NDArray[np.int64], prefactor: Array
) -> tuple[Array, Array]:
    r"""A quantity and its standard error from the means of G groups, as ``estimators.estimate`` makes them.

    Shapes
        groups[pattern] (G, L, m, ...), sizes (G,), prefactor (L,) -> two arrays (L, m, ...)
    Units
        Multiplied by the prefactor n_(l-1) to the power of 1/n at which the cumulant starts.
    Valid
        Unbiased; (value - truth) / error follows Student's t with G-1 degrees of freedom as far as the group means are Gaussian.
        Products of six jets have long tails: at width 8 the mean square score of V6 is 1.6 times Student's for 512 networks, and
        1.15 times for 4096; that of cumulants of two pairs, D6 and F6 is Student's.
    """
    weights = sizes / sizes.sum()
    value, influence = influences(row, groups, sizes)
    return scaled(row.name, value, influence, weights, prefactor ** (row.order - row.correction))


def influences(row: Quantity, groups: dict[Pattern, Array], sizes: NDArray[np.int64]) -> tuple[Array, Array]:
    """The value of a quantity, and the influence of each group on it, without symmetries and prefactor."""
    return estimate(row, groups, sizes / sizes.sum())
