"""Tensors in the first layer, where inputs take the place of neurons."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from ..language.equations import equal
from ..language.jets import Jet, Overlap, Sigma
from ..language.quantities import Entry, Kind, Quantity
from ..layers.map import LayerMap
from ..meanfield.system import crossed, local


def first_of(layer: LayerMap, row: Quantity, labels: tuple[str, ...], known: Mapping[sp.Symbol, sp.Expr]) -> sp.Eq:
    """The first layer: its neurons below are the inputs, which have no jets and do not fluctuate; only the weights do."""
    left = Entry(row.name, row.entry(labels).labels, 0)
    pairs = row.at(labels)
    right = sp.Integer(0)
    if row.kind is Kind.MEAN:
        observable = layer.observable(pairs[0])
        right = observable.constant + input_average(observable.site)
    elif row.kind is Kind.COVARIANCE:
        right = crossed(layer, pairs[0], pairs[1], input_average)
    elif row.kind is Kind.LOCAL:
        right = local(layer, pairs[0], input_average)
    return equal(left, right.xreplace(dict(known)))


def input_average(site: sp.Expr) -> sp.Expr:
    r""":math:`\frac1{n_0}\sum_k f(x_k)`: the identity replaces the activation, and inputs have no jets."""
    site = site.xreplace({jet: sp.Integer(0) for jet in site.atoms(Jet) if jet.directions})
    sigmas = sorted(site.atoms(Sigma), key=str)
    if not sigmas:
        return sp.Integer(0)
    terms = []
    for powers, coefficient in sp.Poly(site, *sigmas).terms():
        labels = (s.args[0].sample for s, k in zip(sigmas, powers, strict=True) for _ in range(k))
        # the slope of the identity is 1, and its higher derivatives vanish
        factor = coefficient if all(s.order == 0 for s, k in zip(sigmas, powers, strict=True) if k) else sp.Integer(0)
        terms.append(factor * Overlap(tuple(labels)))
    return sp.Add(*terms)
