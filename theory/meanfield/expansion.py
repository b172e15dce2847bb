r"""Orders of 1/n: the law of total cumulance and the Taylor expansion in the fluctuation of the order parameters.

The cumulant of r pairs of different neurons is a sum over set partitions of the pairs. The pairs of a block B meet at
the same neurons below, which gives :math:`n_\ell^{-(|B|-1)}\kappa_B(q)`; the functions :math:`\kappa_B` of the fluctuating q
have a joint cumulant of their own, expanded in the cumulants of q:

.. math::
    \kappa(q'_{A_1},\dots,q'_{A_r}) = \sum_\pi\kappa\bigl(n_\ell^{-(|B|-1)}\kappa_B(q):B\in\pi\bigr),\qquad
    \kappa\bigl(G_1(q),\dots,G_p(q)\bigr) =
        \sum\ \prod_i\frac{G_i^{(m_i)}}{m_i!}\ \prod_{\rm blocks}\kappa(\delta q,\dots,\delta q),

the last sum over numbers :math:`m_i` of derivatives and over all partitions of the :math:`\sum m_i` fluctuations into blocks that
connect the functions. A block of b fluctuations is :math:`n_{\ell-1}^{-(b-1)}` times a tensor of the layer below and its
corrections; :math:`\varrho=n_\ell/n_{\ell-1}` puts all on the same power of :math:`n_\ell`. Two cases that everybody knows:

.. math::
    M'_{AB} = S_{AB} + \varrho\sum_{cd} J_{Ac}\,M_{cd}\,J_{Bd},\qquad
    q^{\{1\}\prime}_A = \varrho\Big[\sum_c J_{Ac}\,q^{\{1\}}_c + \tfrac12\sum_{cd} H_{Acd}\,M_{cd}\Big].

A cumulant vanishes when a direction occurs in it an odd number of times, since the directions are symmetric.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import factorial, prod

import sympy as sp
from sympy.utilities.iterables import multiset_partitions

from ..language.errors import NotAvailable
from ..language.quantities import Entry, Kind, Pair, Quantity, lookup
from ..language.symbols import rho
from ..layers.map import LayerMap
from .system import MeanFieldSystem, Pairs

#: A partition of fluctuations: the members of each block, and the order of its correction.
Blocks = tuple[tuple[tuple[int, ...], int], ...]


@dataclass(frozen=True)
class Recursion:
    """One layer of a tensor entry: the part born in the layer, and the factor of each entry (or product) from below."""

    left: Entry
    born: sp.Expr
    inherited: tuple[tuple[sp.Expr, sp.Expr], ...]

    @property
    def terms(self) -> tuple[sp.Expr, ...]:
        """The summands in the order in which a page would show them."""
        born = (self.born,) if self.born != 0 else ()
        return born + tuple(factor * entry for entry, factor in self.inherited)

    @property
    def right(self) -> sp.Expr:
        """The right-hand side."""
        return sp.Add(*self.terms)

    def map(self, change: object) -> Recursion:
        """The recursion with a function applied to every part."""
        assert callable(change)
        inherited = ((change(entry), change(factor)) for entry, factor in self.inherited)
        kept = tuple((entry, factor) for entry, factor in inherited if 0 not in (entry, factor))
        return Recursion(change(self.left), change(self.born), kept)

    def put(self, right: sp.Expr) -> Recursion:
        """The recursion with another right-hand side, whose parts are not distinguished."""
        return Recursion(self.left, right, ())


def cumulant(pairs: Pairs, correction: int = 0) -> Entry | None:
    """The tensor entry of the layer below that a cumulant is; None when it vanishes."""
    counts = Counter(d for pair in pairs for jet in pair for d in jet.directions)
    if any(n % 2 for n in counts.values()):
        return None
    entry = lookup(pairs, correction)
    if entry is None:
        order = f" at order {correction} beyond the leading one" if correction else ""
        raise NotAvailable(
            f"the recursion needs the cumulant of {pairs}{order}, which is no registered quantity; allowed: quantities whose "
            "recursions need registered ones alone, or a row for this cumulant too"
        )
    return entry


def recursion(system: MeanFieldSystem, quantity: Quantity, labels: tuple[str, ...]) -> Recursion:
    """The recursion of one tensor entry, for samples called ``labels`` (which may coincide)."""
    if (reason := not_derived(system.layer, quantity)) is not None:
        raise NotAvailable(f"{quantity.name}: {reason}")
    pairs = quantity.at(labels)
    left = quantity.entry(labels, shift=1)
    if quantity.kind is Kind.MEAN:
        return Recursion(left, system.mean(*pairs), ())
    if quantity.kind is Kind.LOCAL:
        return Recursion(left, system.local(*pairs), ())
    return _law(system, left, pairs, quantity.order)


def not_derived(layer: LayerMap, quantity: Quantity) -> str | None:
    """Why there is no recursion of a quantity for a layer; None if there is one."""
    if quantity.order > 1 and not layer.gaussian:
        return (
            "the order 1/n^2 is derived for layers of Gaussian weights without skips; allowed: weights='gaussian', "
            "residual=None, or quantities of the first order"
        )
    if quantity.kind in (Kind.CORRECTION, Kind.LOCAL) and layer.skips:
        return "corrections to means are not derived for layers with skips; allowed: residual=None"
    return None


def _law(system: MeanFieldSystem, left: Entry, pairs: Pairs, order: int) -> Recursion:
    """The law of total cumulance at the power ``order`` of 1/n."""
    factors: defaultdict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.Integer(0))
    for partition in multiset_partitions(list(range(len(pairs)))):
        blocks = tuple(tuple(pairs[i] for i in block) for block in partition)
        below = order - sum(len(block) - 1 for block in blocks)
        for entries, factor in _joint(system, blocks, below):
            factors[entries] += rho**below * factor
    if order == 1 and len(pairs) == 2:
        factors[sp.Integer(1)] += system.crossed(*pairs)
    if order == 1 and len(pairs) == 1 and system.layer.excess:
        for jets, factor in _local(system, pairs[0]):
            factors[jets] += rho * factor
    born = factors.pop(sp.Integer(1), sp.Integer(0))
    return Recursion(left, born, tuple((entries, factor) for entries, factor in factors.items() if factor != 0))


def _joint(system: MeanFieldSystem, functions: tuple[Pairs, ...], order: int) -> Iterator[tuple[sp.Expr, sp.Expr]]:
    """The joint cumulant of the site cumulants kappa_B(q), at the given power of 1/n of the layer below."""
    for counts, blocks in _diagrams(len(functions), order):
        choices = [system.derivatives(f, m).items() for f, m in zip(functions, counts, strict=True)]
        for chosen in product(*choices):
            by = [c for derivatives, _ in chosen for c in derivatives]
            entries = sp.Integer(1)
            for members, correction in blocks:
                entry = cumulant(tuple(by[i] for i in members), correction)
                if entry is None:
                    break
                entries *= entry
            else:
                # All labelled partitions of the fluctuations are summed over, so a set of derivatives counts once, in one
                # order: its m! orders against 1/m! leave 1/(multiplicities!).
                repeats = prod(factorial(n) for derivatives, _ in chosen for n in Counter(derivatives).values())
                yield entries, sp.Mul(*(value for _, value in chosen)) / repeats


@lru_cache(maxsize=256)
def _diagrams(functions: int, order: int) -> tuple[tuple[tuple[int, ...], Blocks], ...]:
    """Numbers of derivatives of each function, with the partitions of the fluctuations that connect them at this order."""
    if functions == 1 and order == 0:
        return (((0,), ()),)
    least = 1 if functions > 1 or order > 0 else 0
    found = []
    # A block of b fluctuations and correction k costs b - 1 + k, and at least b/2.
    for counts in product(range(least, 2 * order + 1), repeat=functions):
        if sum(counts) <= 2 * order:
            owner = [i for i, m in enumerate(counts) for _ in range(m)]
            found += [
                (counts, blocks) for blocks in _partitions(sum(counts), order) if _connects(owner, blocks, functions)
            ]
    return tuple(found)


def _partitions(size: int, order: int) -> Iterator[Blocks]:
    """Partitions of fluctuations with corrections that cost exactly ``order``; a single fluctuation has no leading mean."""
    for partition in multiset_partitions(list(range(size))):
        for corrections in product(range(order + 1), repeat=len(partition)):
            cost = sum(len(block) - 1 + k for block, k in zip(partition, corrections, strict=True))
            if cost == order and all(len(block) > 1 or k for block, k in zip(partition, corrections, strict=True)):
                yield tuple((tuple(block), k) for block, k in zip(partition, corrections, strict=True))


def _connects(owner: list[int], blocks: Blocks, functions: int) -> bool:
    """Whether the blocks join all functions."""
    groups = [{i} for i in range(functions)]
    for members, _ in blocks:
        touched = {owner[i] for i in members}
        joined = [g for g in groups if g & touched]
        groups = [g for g in groups if not g & touched] + [set().union(*joined)]
    return len(groups) == 1


def _local(system: MeanFieldSystem, pair: Pair) -> Iterator[tuple[Entry, sp.Expr]]:
    # E f(x_j) for a neuron whose jets have a fourth cumulant X/n of their own: (1/4!) sum <d_x d_y d_u d_v f> X_xyuv over ordered
    # jets, which for an unordered set is 1/(multiplicities!).
    for jets, value in system.quartic(pair).items():
        if (entry := cumulant((jets,))) is not None:
            yield entry, value / prod(factorial(n) for n in Counter(jets).values())
