r"""Susceptibilities of one input, from the Jacobian of the layer map, and the critical points that can be found with symbols."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from ..averages.closed_forms import specialize
from ..averages.gaussian import Average
from ..averages.taylor import ROOT, taylor
from ..initialisation.derivation import recursions
from ..language.errors import NotAvailable
from ..language.jets import Jet
from ..language.quantities import Entry
from ..language.symbols import C_W, C_b
from ..layers.map import LayerMap
from ..meanfield.system import MeanFieldSystem
from ..networks.activations import Activation
from ..networks.architecture import MLP
from .origin import Origin
from .series import Series

_Z = Jet("")
_DZ = Jet("", "r")
_K, _THETA = (_Z, _Z), (_DZ, _DZ)
#: Orders of K in which a fixed point at 0 shows its stability.
ORDER = sp.Integer(5)


@dataclass(frozen=True)
class Susceptibilities:
    r"""The responses of one input's kernel and tangent kernel to the layer below.

    Equation
        :math:`\chi_\parallel=\partial K'/\partial K`, :math:`\chi_\perp=\partial\Theta'/\partial\Theta` and
        :math:`h=\tfrac12\,\partial\chi_\perp/\partial K`; ``bend`` is :math:`\partial\chi_\parallel/\partial K`. Criticality is
        :math:`\chi_\parallel(K^*)=\chi_\perp(K^*)=1` at a fixed point :math:`K^*=F(K^*)`.
    """

    parallel: sp.Expr
    perpendicular: sp.Expr
    kernel: sp.Expr
    h: sp.Expr
    bend: sp.Expr


def susceptibilities(layer: LayerMap) -> Susceptibilities:
    """The susceptibilities of a layer map, derived."""
    system = MeanFieldSystem(layer)
    zero = sp.Integer(0)
    return Susceptibilities(
        system.response(_K)[_K],
        system.response(_THETA)[_THETA],
        system.mean(_K),
        system.hessian(_THETA).get((_K, _THETA), zero) / 2,
        system.hessian(_K).get((_K, _K), zero),
    )


@dataclass(frozen=True)
class OriginPoint:
    r"""A critical point at K* = 0: :math:`\chi_\parallel=1+p K^s+\dots` and :math:`\chi_\perp=1+b K^s+\dots`.

    For activations that are smooth at 0 (or smooth enough) s = 1, :math:`p=2a_1` and :math:`b=b_1`.
    """

    C_W: sp.Expr
    s: sp.Expr | None  #: None where chi_parallel is 1 to all orders
    parallel: sp.Expr
    perpendicular: sp.Expr
    h: sp.Expr | None  #: None where it diverges

    @property
    def stable(self) -> bool | None:
        """Whether kernels just above 0 shrink; None where no order of the expansion tells."""
        return None if self.s is None else bool(self.parallel < 0)

    @property
    def a_1(self) -> sp.Expr | None:
        """The coefficient of :math:`2K` in chi_parallel - 1; None where the expansion is not in powers of K."""
        return self.parallel / 2 if self.s == 1 else None

    @property
    def b_1(self) -> sp.Expr | None:
        """The coefficient of K in chi_perp - 1; None where the expansion is not in powers of K."""
        return self.perpendicular if self.s == 1 else None


@lru_cache(maxsize=64)
def origin(activation: Activation) -> OriginPoint | None:
    r"""The critical point at K* = 0, from the susceptibilities expanded in K; None if there is none.

    With C_b = 0 the kernel K = 0 is fixed if sigma(0) = 0; there is a critical C_W if sigma has a slope there, on one side at
    least: :math:`\chi_\parallel(0)=\chi_\perp(0)=C_W(\sigma_1^{+\,2}+\sigma_1^{-\,2})/2`.
    """
    net = MLP(activation, width=1)
    laws = {d.name: d for d in recursions(net, order=0, samples=1).statements}
    try:
        data = taylor(activation)
        if any(side[0] != 0 for side in data.sides(1)):
            return None
        system = Origin(laws, data.scaled(), ORDER)
        weight = _number(system.critical_weight) / data.scale**2
    except NotAvailable:
        return None
    unit = susceptibilities(net.layer_map)
    parallel, perpendicular, h = (system.evaluate(e) for e in (unit.parallel, unit.perpendicular, unit.h))
    s = min((e for e, _ in parallel.terms if e > 0), default=None)
    bounded = all(e >= 0 for e, _ in h.terms)
    return OriginPoint(
        sp.simplify(weight),
        s,
        _coefficient(parallel, s),
        _coefficient(perpendicular, s),
        _coefficient(h, sp.S.Zero) if bounded else None,
    )


def _coefficient(series: Series, e: sp.Expr | None) -> sp.Expr:
    return _number(series.terms[e, 0]) if (e, 0) in series.terms else sp.S.Zero


def _number(element: object) -> sp.Expr:
    return sp.simplify(element.as_expr().subs(ROOT, sp.sqrt(2 / sp.pi)))  # type: ignore[attr-defined]


def runs_into_origin(activation: Activation) -> bool:
    """Whether K* = 0 is critical and kernels above it do not leave it, as far as its expansion tells."""
    point = origin(activation)
    return point is not None and point.stable is not False


def exact_half_stable(activation: Activation, near: float) -> tuple[sp.Expr, sp.Expr, sp.Expr] | None:
    r""":math:`(C_W, C_b, K^*)` in closed form, if averages have one and :math:`\langle\sigma\sigma''\rangle_K=0` can be solved.

    ``near`` is a number close to the root that is meant.
    """
    unit = susceptibilities(MLP(activation).layer_map)
    K = sp.Symbol("K", positive=True)
    parallel, perpendicular, square = (
        specialize(e.subs({C_W: 1, C_b: 0}), activation).xreplace({Entry("K", ("", "")): K})
        for e in (unit.parallel, unit.perpendicular, unit.kernel)
    )
    if any(e.has(Average) for e in (parallel, perpendicular, square)):
        return None
    # Arcsines and the like are the same in both susceptibilities, and cancel; the difference is algebraic.
    numerator = sp.numer(sp.together(sp.expand(parallel - perpendicular)))
    if not numerator.is_algebraic_expr(K):
        return None
    root = next((r for r in sp.solve(numerator, K) if abs(complex(r) - near) < 1e-8 * near), None)
    if root is None:
        return None
    weight = sp.simplify(1 / perpendicular.subs(K, root))
    return weight, sp.simplify(root - weight * square.subs(K, root)), root
