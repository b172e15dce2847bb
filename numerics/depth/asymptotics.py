"""Depth laws with numbers: at a half-stable point the derived laws hold averages at K*, which are integrated here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp

from ...theory.averages.gaussian import Average
from ...theory.depth import asymptotics as theory
from ...theory.depth.depthlaw import DepthLaw, DepthLaws, Point, kernel
from ...theory.language.errors import InvalidArgument, NotAvailable
from ...theory.language.symbols import C_W, C_b
from ...theory.layers.map import LayerMap
from ...theory.networks.architecture import MLP
from .critical import CriticalPoint, Universality, critical_points, function

#: Digits to which averages are integrated and printed.
DIGITS = 12


def asymptotics(
    subject: Any,
    names: str | Iterable[str] | None = None,
    *,
    layer: LayerMap | None = None,
    point: str | None = None,
    orders: int = 3,
) -> DepthLaws:
    r"""The large-depth behaviour of every quantity at criticality, for one input.

    Equation
        .. math:: X^{(\ell)}\simeq c\,\ell^{\,p}\log^j\ell,\qquad X^{(\ell+1)} = a\,X^{(\ell)} + f,
            \qquad a\ \text{and}\ f\ \text{expanded around the fixed point}
    Shapes
        One input, equal hidden widths. ``layer`` is a layer map with further terms, for example ``residual(0.5)``.
    Units
        As the recursions: a tensor multiplies 1/n.
    Valid
        ``subject`` is an activation or an MLP whose hyperparameters are one number for all layers or not given; C_W and C_b, if
        they are given, are critical. ``point`` chooses between fixed points ("K* = 0", "exactly at K* > 0"); by default it is
        the one that kernels run into. Series in K keep ``orders`` beyond the leading one. At a half-stable point the
        coefficients are numbers, and ``definitions`` says how they are made of averages. With skip connections K and Theta are
        exact, fluctuations leading terms, and only those that are known for the whole network (``theory.depth.memory``).
    Errors
        ``InvalidArgument`` for the unspecified activation, hyperparameters by layer, or variances that are not critical;
        ``NotAvailable`` where there is no critical point, or no power law (a kernel that decays like 1/log of the depth, say);
        ``UnknownName``.
    Source
        Derived; the classes are those of Roberts, Yaida & Hanin (arXiv:2106.10165), chapter 5.
    """
    laws = theory.asymptotics(subject, names, layer=layer, point=point, orders=orders)
    return laws if laws.point is not Point.FINITE else _with_numbers(laws, _half_stable(laws.net, layer))


def _half_stable(net: MLP, layer: LayerMap | None) -> CriticalPoint:
    """The half-stable point of the network's variances, or the first one."""
    if layer is not None or net.residual:
        shown = layer.latex() if layer is not None else net.residual
        raise NotAvailable(
            f"layer={shown!r} with activation={net.activation.name!r}: the finite critical K* of a layer map with "
            "further terms is not looked for; allowed: activations whose kernel stays or decays to 0"
        )
    points = [p for p in critical_points(net.activation) if p.universality is Universality.HALF_STABLE]
    if not points:
        other = critical_points(net.activation)[0]
        raise NotAvailable(f"activation={net.activation.name!r} has no half-stable point; allowed: {other}")
    for point in points:
        if all(_close(given, at) for given, at in ((net.C_W, point.C_W), (net.C_b, point.C_b))):
            return point
    raise InvalidArgument(
        f"C_W={net.C_W}, C_b={net.C_b} is not critical: power laws in the depth hold at criticality only; allowed: "
        + ", ".join(f"C_W={p.C_W!r} with C_b={p.C_b!r}" for p in points)
        + ", or None"
    )


def _close(given: Any, critical: float | None) -> bool:
    return given is None or (critical is not None and abs(given - critical) <= theory.CLOSE * max(1.0, critical))


def _with_numbers(laws: DepthLaws, point: CriticalPoint) -> DepthLaws:
    assert point.C_W is not None
    assert point.C_b is not None
    assert point.K is not None
    known: dict[sp.Expr, sp.Expr] = {C_W: _float(point.C_W), C_b: _float(point.C_b), kernel: _float(point.K)}
    nodes = {node for meaning in laws.definitions.values() for node in meaning.atoms(Average)}
    for node in sorted(nodes, key=str):
        known[node] = _float(float(function(laws.net.activation, node)(np.array(point.K))))
    for letter, meaning in laws.definitions.items():
        known[letter] = sp.expand(meaning.xreplace(known))
    return replace(laws, laws=tuple(_put_in(law, known) for law in laws.laws))


def _float(value: float) -> sp.Float:
    return sp.Float(value, DIGITS + 3)


def _put_in(law: DepthLaw, known: Mapping[sp.Expr, sp.Expr]) -> DepthLaw:
    numbers = {name: sp.expand(getattr(law, name).xreplace(known)) for name in ("leading", "series")}
    return replace(law, **numbers, ratio=sp.simplify(law.ratio.xreplace(known)))
