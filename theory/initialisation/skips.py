r"""Skip connections of a subject: the layer without them, and their strengths, numbers or symbols."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from ..language.equations import Law, Plain
from ..language.errors import NotAvailable
from ..language.jets import Jet
from ..layers.map import PROBES, LayerMap
from ..networks.architecture import MLP
from .layered import ELL, J, K, layered, mixing


@dataclass(frozen=True)
class Skips:
    """Strengths of skips: one from each layer to the next, or some from layer k to layer l."""

    gamma: sp.Expr | None  #: from each layer to the next
    edges: tuple[tuple[int, int, sp.Expr], ...] = ()  #: (from layer, to layer, strength), where these differ

    @property
    def laws(self) -> tuple[Law, ...]:
        r""":math:`\mathcal R=(1-\gamma)^{-1}`, which is lower triangular."""
        here = mixing(ELL, K)
        if self.gamma is not None:
            return (Plain(here, self.gamma ** (ELL - K)),)
        strength = layered("gamma", ELL, J, head=r"\gamma")
        right = sp.KroneckerDelta(ELL, K) + sp.Sum(strength * mixing(J, K), (J, K, ELL - 1))
        given = (Plain(strength.at(m, k), gamma) for k, m, gamma in self.edges)
        return (Plain(here, right), *given)

    @property
    def value(self) -> float | dict[tuple[int, int], float] | None:
        """The argument ``residual=`` of a network with these skips; None if a strength is a symbol."""
        strengths = [self.gamma] if self.gamma is not None else [gamma for *_, gamma in self.edges]
        if not all(gamma.is_number for gamma in strengths):
            return None
        return float(self.gamma) if self.gamma is not None else {(k, m): float(gamma) for k, m, gamma in self.edges}


def skips_of(net: MLP, layer: LayerMap | None) -> tuple[LayerMap, Skips | None]:
    """The layer without its skips, and these; of the network, or of a layer map in its place."""
    if layer is None:
        edges = tuple((k, m, sp.nsimplify(gamma, rational=True)) for k, m, gamma in net.residual)
        plain = (net.with_(residual=None) if edges else net).layer_map
        return plain, _same(edges, net.depth or 1) if edges else None
    if not layer.skips:
        return layer, None
    terms = tuple(term for term in layer.terms if all(term.own(jet) == 0 for jet in PROBES))
    gamma = sp.cancel(layer.own(Jet("a")) / Jet("a"))
    if gamma.has(Jet):
        raise NotAvailable(
            f"the layer {layer.latex()} hands on {layer.own(Jet('a'))}; allowed: multiples of the preactivation itself"
        )
    return LayerMap(terms), Skips(gamma)


def _same(edges: tuple[tuple[int, int, sp.Expr], ...], depth: int) -> Skips:
    """One strength if it is the same from each layer to the next."""
    values = {gamma for _, _, gamma in edges}
    if len(values) == 1 and [(k, m) for k, m, _ in edges] == [(k, k + 1) for k in range(1, depth)]:
        return Skips(values.pop())
    return Skips(None, edges)
