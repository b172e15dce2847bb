r"""Cumulants of products of jets at different neurons: which means a row of the table is made of, and unbiased estimates.

A cumulant is a sum of products of means. Each mean is taken over different neurons of one network, and the means of a product
over different groups of networks, so that nothing is counted with itself. Both are one sum, over different indices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from math import factorial, prod

import numpy as np
from numpy.typing import NDArray
from sympy.utilities.iterables import multiset_partitions

from ...theory.language.quantities import PairPattern, Quantity

Array = NDArray[np.float64]

#: The directions of each jet in a product, for each neuron of a mean: (("", ""), ("r", "r")) is E[z_i z_i d_r z_j d_r z_j].
Pattern = tuple[tuple[str, ...], ...]

#: The number of jets of one neuron that have a joint cumulant beyond those of pairs.
LOCAL_JETS = 4


@dataclass(frozen=True)
class Mean:
    """A mean of products of jets at different neurons, and on which axes of the tensor its samples are."""

    pattern: Pattern
    axes: tuple[int, ...]


@dataclass(frozen=True)
class MeanProduct:
    """A product of means, with its coefficient in a cumulant."""

    coefficient: int
    means: tuple[Mean, ...]


@lru_cache(maxsize=64)
def partitions(count: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """The set partitions of 0 ... count-1."""
    return tuple(tuple(map(tuple, blocks)) for blocks in multiset_partitions(list(range(count))))


def no_estimator(row: Quantity) -> str | None:
    """Why no cumulant of jets at different neurons is this quantity, as a clause; None if one is."""
    sizes = sorted({len(pair) for pair in row.pairs})
    if sizes != [2] and (sizes != [LOCAL_JETS] or len(row.pairs) > 1):
        return f"its neurons have {sizes} jets each; allowed: two at each neuron, or {LOCAL_JETS} at a single one"
    return None


@lru_cache(maxsize=256)
def terms(row: Quantity) -> tuple[MeanProduct, ...]:
    r"""A quantity as a sum of products of means.

    Equation
        For pairs :math:`p_k` of jets, each at a neuron of its own, the joint cumulant

        .. math:: \kappa(p_1,\dots,p_r) = \sum_\pi(-1)^{|\pi|-1}(|\pi|-1)!\prod_{B\in\pi}E\Bigl[\prod_{k\in B}p_k\Bigr];

        for four jets of one neuron, their cumulant less those of two pairs at two neurons, in which products of two means cancel:

        .. math:: E[x_1x_2x_3x_4]_{i} - \sum_{(ab)(cd)}E[(x_ax_b)_i(x_cx_d)_j].
    Valid
        The signs of a neuron's jets, and those of a direction, are symmetric: means in which a direction occurs an odd number of
        times vanish, and are left out.
    """
    if len(row.pairs[0]) > 2:
        (jets,) = row.pairs
        pairings = [p for p in partitions(LOCAL_JETS) if all(len(block) == 2 for block in p)]
        pairs = [tuple(tuple(jets[i] for i in block) for block in p) for p in pairings]
        return MeanProduct(1, (_mean((jets,)),)), *(MeanProduct(-1, (_mean(p),)) for p in pairs if _even(p))
    found = []
    for partition in partitions(len(row.pairs)):
        blocks = [tuple(row.pairs[i] for i in block) for block in partition]
        if all(_even(block) for block in blocks):
            found.append(MeanProduct(_moebius(len(blocks)), tuple(_mean(block) for block in blocks)))
    return tuple(found)


def _even(products: Sequence[PairPattern]) -> bool:
    counts = Counter(d for product in products for directions, _ in product for d in directions)
    return all(n % 2 == 0 for n in counts.values())


def _mean(products: Sequence[PairPattern]) -> Mean:
    """The names of directions are bound in each mean: they are called r, s, t ... in the order in which they come."""
    names = dict.fromkeys(d for product in products for directions, _ in product for d in directions)
    letter = dict(zip(names, "rstuvwxyz", strict=False))
    pattern = tuple(tuple("".join(sorted(letter[d] for d in r)) for r, _ in product) for product in products)
    return Mean(pattern, tuple(axis for product in products for _, axis in product))


def _moebius(blocks: int) -> int:
    """(-1)^(b-1) (b-1)!, by which products over partitions into b blocks enter cumulants, and sums over different indices."""
    return int((-1) ** (blocks - 1)) * factorial(blocks - 1)


def sum_over_different(arrays: Sequence[Array], *, kept: bool) -> Array:
    r"""The sum over different indices of a product, from sums over one index at a time.

    Equation
        .. math::
            \sum_{i_1\ne\dots\ne i_r}\prod_kx_k[i_k] =
            \sum_\pi\prod_{B\in\pi}(-1)^{|B|-1}(|B|-1)!\sum_i\prod_{k\in B}x_k[i].
    Shapes
        arrays[k]: (batch, index, A_k) -> (batch, A_1, ..., A_r), or without ``kept`` the sum over the batch, (A_1, ..., A_r).
    """
    sizes = [x.shape[-1] for x in arrays]
    total: Array = np.zeros(())
    for partition in partitions(len(arrays)):
        sums = [_summed([arrays[k] for k in block]) for block in partition]  # (batch, product of A_k) each
        joined = _summed([s[:, None] if kept else s[None] for s in sums])
        order = [k for block in partition for k in block]
        ordered = joined.reshape(-1, *(sizes[k] for k in order)).transpose(
            0, *(1 + order.index(k) for k in range(len(order)))
        )
        total = total + prod(_moebius(len(block)) for block in partition) * ordered
    return total if kept else total[0]


def _summed(arrays: Sequence[Array]) -> Array:
    """sum_i prod_k x_k[i], all entries of x_1 with all of x_2 and so on: (batch, index, A_k) -> (batch, product of all A_k)."""
    if len(arrays) == 1:
        return arrays[0].sum(axis=1)
    left = reduce(_outer, arrays[:-1])
    return np.matmul(left.transpose(0, 2, 1), arrays[-1]).reshape(len(left), -1)


def _outer(x: Array, y: Array) -> Array:
    product = x[..., :, None] * y[..., None, :]
    return product.reshape(*product.shape[:-2], -1)


def estimate(row: Quantity, means: Mapping[Pattern, Array], weights: Array) -> tuple[Array, Array]:
    r"""A cumulant, without bias, and the influence of each group on it.

    Equation
        For every product of p means, over different groups g of weights :math:`w_g`,

        .. math::
            \frac{\sum_{g_1\ne\dots\ne g_p}\prod_kw_{g_k}x_k[g_k]}{\sum_{g_1\ne\dots\ne g_p}\prod_kw_{g_k}},\qquad
            \psi_g = \sum_kx_k[g]\prod_{l\ne k}\bar x_l .
    Shapes
        means[pattern] (G, L, m, ...), weights (G,), their sum one -> (L, m, ...) and (G, L, m, ...), axes in the row's order.
    Valid
        Unbiased for any sizes of groups, as different groups are independent; G at least the number of pairs of the row.
    """
    value = influence = np.zeros(())
    for term in terms(row):
        factors = [means[mean.pattern] for mean in term.means]
        groups, layers, m = factors[0].shape[:3]
        axes = np.argsort([axis for mean in term.means for axis in mean.axes])
        flat = [x.reshape(groups, layers, -1) for x in factors]
        average = [np.tensordot(weights, x, axes=1)[None] for x in flat]

        weighed = [weights[None, :, None] * x.swapaxes(0, 1) for x in flat]
        count = sum_over_different([weights[None, :, None]] * len(flat), kept=False).item()
        product = sum_over_different(weighed, kept=True).reshape(layers, *[m] * len(axes)) / count
        value = value + term.coefficient * product.transpose(0, *(1 + axes))
        for k in range(len(flat)):
            one = reduce(_outer, [x if i == k else average[i] for i, x in enumerate(flat)])
            one = one.reshape(groups, layers, *[m] * len(axes)).transpose(0, 1, *(2 + axes))
            influence = influence + term.coefficient * one
    return value, influence
