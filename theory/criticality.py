r"""Susceptibilities of one input, from the Jacobian of the layer map, and what a Taylor expansion at K = 0 says of criticality."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from .activations import Activation
from .layers import LayerMap
from .meanfield import MeanFieldSystem
from .symbols import Jet, z

_Z = Jet("")
_DZ = Jet("", "r")


@dataclass(frozen=True)
class Susceptibilities:
    r"""The responses of one input's kernel and tangent kernel to the layer below.

    Equation
        :math:`\chi_\parallel=\partial K'/\partial K` and :math:`\chi_\perp=\partial\Theta'/\partial\Theta`; criticality is
        :math:`\chi_\parallel(K^*)=\chi_\perp(K^*)=1` at a fixed point :math:`K^*=F(K^*)`.
    """

    parallel: sp.Expr
    perpendicular: sp.Expr
    kernel: sp.Expr


def susceptibilities(layer: LayerMap) -> Susceptibilities:
    """The susceptibilities of a layer map, derived."""
    system = MeanFieldSystem(layer)
    return Susceptibilities(
        system.jacobian((_Z, _Z))[_Z, _Z], system.jacobian((_DZ, _DZ))[_DZ, _DZ], system.mean((_Z, _Z))
    )


def origin(activation: Activation) -> tuple[sp.Expr, sp.Expr | None] | None:
    r""":math:`(C_W, a_1)` of a fixed point at K* = 0, where :math:`\chi_\parallel = 1 + 2a_1K+O(K^2)`; None if there is none.

    At K = 0 the average of g is g(0), and :math:`\langle g\rangle_K = g(0) + g''(0)K/2 + O(K^2)`: the heat equation. A
    critical point needs sigma(0) = 0 (else K = 0 is no fixed point with C_b = 0) and a slope there, the same on both
    sides. a_1 is None when a higher derivative jumps at 0, where the expansion is in sqrt(K).
    """
    s0 = activation.derivative(0).subs(z, 0)
    left, right = (sp.limit(activation.derivative(1), z, 0, side) for side in "-+")
    if s0 != 0 or left != right or right == 0:
        return None
    critical = sp.nsimplify(1 / right**2)
    if any(kink == 0 for kink in activation.kinks):
        return critical, None
    squared = sp.diff(activation.derivative(0) ** 2, z, 2) / 2
    return critical, sp.simplify(critical * sp.diff(squared, z, 2).subs(z, 0) / 4)
