"""Numbers for networks with skips: the generated code of the equations over all layers, run for the numbers of a network."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.initialisation.residual import CrossLayer, cross_layer
from ...theory.initialisation.skips import Skips
from ...theory.layers.map import LayerMap
from ...theory.networks.activations import Activation
from ...theory.networks.architecture import HYPERPARAMETERS, MLP
from ..codegen.modules import Compiled, compile
from .finite import check_finite
from .skips import check

Array = NDArray[np.float64]


def iterate_all(
    net: MLP, X: Array, names: tuple[str, ...], equations: CrossLayer | None = None
) -> list[dict[str, Array]]:
    """The tensors of the layers 1 ... depth, by the generated ``recursion`` over all layers."""
    check(net, len(X), names)
    activations = net.layer_activations or (net.activation,)

    def code(activation: Activation) -> Compiled:
        if equations is not None:
            return compile(equations.of(activation))
        return compiled_layers(activation, net.with_(residual=None).layer_map, len(X) == 1, names)

    one = code(activations[0])
    steps = [_checked(code(activation), layer) for layer, activation in enumerate(net.layer_activations, start=2)]
    wanted = one.parameters["recursion"]
    given: dict[str, Any] = {name: net.per_layer(name) for name in HYPERPARAMETERS if name in wanted}
    for name in ("tau", "kappa_4"):
        given[name] = [scale[name] for scale in net.scales(X.shape[1])]
    given["residual"] = {(k, m): gamma for k, m, gamma in net.residual}
    widths = net.all_widths(X.shape[1])[: net.depth]
    found = one.recursion(X, net.depth or 1, n=widths, steps=steps, **one.arguments("recursion", given))
    layers = [{name: value[i] for name, value in found.items()} for i in range(net.depth or 1)]
    for number, layer in enumerate(layers, start=1):
        check_finite(layer, number)
    return layers


@lru_cache(maxsize=64)
def compiled_layers(activation: Activation, layer: LayerMap, single: bool, names: tuple[str, ...]) -> Compiled:
    """The code for an activation; strengths and hyperparameters are its arguments, so that one text serves all networks."""
    skips = Skips(sp.Symbol("gamma", real=True))
    return compile(cross_layer(MLP(activation), layer, skips, names, 1 if single else None))


def _checked(code: Compiled, number: int) -> Callable[..., dict[str, Array]]:
    """The step to a layer; ``NotConverged`` before anything is computed from numbers that are not finite."""

    def step(state: dict[str, Array], **given: float) -> dict[str, Array]:
        found = code(state, **code.arguments("step", given))
        check_finite({name.removeprefix("q_"): value for name, value in found.items()}, number)
        return found

    return step
