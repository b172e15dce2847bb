"""Critical variances of a whole network: one number for all layers, or one for each where activations or skips differ."""

from __future__ import annotations

from ...theory.depth.asymptotics import closed_system, critical_weight
from ...theory.initialisation.layer_maps import residual as layer_with
from ...theory.language.errors import InvalidNetwork
from ...theory.layers.skip import Skips
from ...theory.networks.activations import Activation
from ...theory.networks.architecture import MLP
from .critical import CriticalPoint, Universality, critical

Variances = float | tuple[float, ...]


def critical_variances(
    activations: tuple[Activation, ...], activation: Activation, depth: int | None, skips: Skips
) -> tuple[Variances, float]:
    r"""C_W and C_b at which kernels neither grow nor decay.

    Equation
        :math:`\chi_\parallel=\chi_\perp=1` in each layer from the second on, skips included; the first layer, below which
        there is no activation and no skip, has the weights of ``critical``.
    Shapes
        C_W: one number, or one for each layer where activations or skips differ.
    Valid
        Activations of a layer each, and skips, where all points are scale-invariant or at K* = 0: others have kernels of their own.
    Errors
        ``InvalidNetwork`` where there is no critical point, or none for all layers together.
    """
    several = dict.fromkeys(activations or (activation,))
    points = {a: _point(a) for a in several}
    half = [p for p in points.values() if p.universality is Universality.HALF_STABLE]
    if half and (len(several) > 1 or skips):
        raise InvalidNetwork(
            f"C_W='critical' with activations {[a.name for a in several]} and residual={skips or None}: {half[0]}; allowed: one "
            "activation without skips, or activations whose critical points have C_b = 0"
        )
    first = next(iter(points.values()))
    assert first.C_W is not None
    assert first.C_b is not None
    if not skips and len(several) == 1:
        return first.C_W, first.C_b
    return (first.C_W, *_by_layer(activations, points, depth or 1, skips)), 0.0


def _point(activation: Activation) -> CriticalPoint:
    if not activation.specified:
        raise InvalidNetwork(
            "C_W='critical' with an unspecified activation; allowed: a concrete activation, or numbers"
        )
    point = critical(activation)
    if point.C_W is None:
        raise InvalidNetwork(f"C_W='critical': {point}; allowed: numbers from 0")
    return point


def _by_layer(
    activations: tuple[Activation, ...], points: dict[Activation, CriticalPoint], depth: int, skips: Skips
) -> list[float]:
    """The weights of the layers 2 ... L."""
    strengths = {high: gamma for low, high, gamma in skips if high == low + 1}
    if len(strengths) < len(skips) or any(not isinstance(gamma, float) for gamma in strengths.values()):
        raise InvalidNetwork(f"C_W='critical' with residual={skips}; allowed: numbers, from each layer to the next")
    found = []
    for number, activation in enumerate(activations, start=2):
        weight = points[activation].C_W
        if number in strengths:
            net = MLP(activation)
            weight = float(critical_weight(net, closed_system(net, (), layer=layer_with(strengths[number]))))
        assert weight is not None
        found.append(weight)
    return found
