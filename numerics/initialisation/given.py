"""Equations given to ``predict`` in the place of the derived ones: whether they fit the network, and the part that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...theory.initialisation.derivation import Recursions
from ...theory.initialisation.residual import CrossLayer
from ...theory.language import symbols
from ...theory.language.checks import check_names
from ...theory.language.errors import InvalidArgument
from ...theory.networks.architecture import MLP
from ..codegen.mixing import mixing as mixing_of
from .skips import mixing

Given = Recursions | CrossLayer


def given_equations(
    net: MLP, features: int, inputs: int, equations: Any, quantities: str | Sequence[str] | None
) -> tuple[Given, tuple[str, ...]]:
    """The equations that the quantities need, and the names of the quantities; ``InvalidArgument`` where they do not fit."""
    kind = CrossLayer if net.residual else Recursions
    if not isinstance(equations, kind) or not equations:
        raise InvalidArgument(
            f"equations={equations!r} is a {type(equations).__name__}; allowed: what derive(net) returns for this network"
        )
    _check_network(net, features, equations)
    if inputs > 1 and equations.single:
        raise InvalidArgument(
            f"equations= are those of one input (samples=1), and X has {inputs}; allowed: derive(net) without samples=1, "
            "with skips derive(net, order=0)"
        )
    names = equations.names if quantities is None else check_names("quantities", quantities, equations.names)
    return equations.closed(names), names


def _check_network(net: MLP, features: int, equations: Given) -> None:
    """An error unless layer maps and activations are the same, and the numbers of each layer equal where both give them."""
    derived, own = equations.subject, net.with_(residual=None)
    if equations.layer != own.layer_map:
        raise InvalidArgument(
            f"equations= are those of {derived}, whose layers are not those of {net}; allowed: derive(net)"
        )
    value = equations.skips.value if isinstance(equations, CrossLayer) else None
    if value is not None and not np.allclose(mixing_of(value, net.depth or 1), mixing(net), rtol=1e-12, atol=0):
        raise InvalidArgument(
            f"equations= were derived with residual={value}, and the network has {net.residual}; allowed: equations of these "
            "skips, or of a symbolic strength"
        )
    if derived.activation.specified and any(a != derived.activation for a in own.distinct_activations):
        raise InvalidArgument(
            f"equations= are those of activation={derived.activation.name!r}, and the network has {net.activation_names}; "
            "allowed: equations of this activation, or of an unspecified one"
        )
    scales = net.scales(features)[1:]
    for symbol, value in derived.known.items():
        name = symbol.name
        if symbol in (symbols.rho, symbols.tau):
            numbers = [scale[name] for scale in scales] if symbol == symbols.rho or not net.layer_map.gaussian else []
        elif symbol == symbols.kappa_4:
            numbers = [float(ensemble.excess) for ensemble in net.ensembles]
        else:
            numbers = list(net.per_layer(name))
        for number in numbers:
            if abs(number - float(value)) > 1e-12 * max(1.0, abs(number)):
                raise InvalidArgument(
                    f"equations= were derived with {name}={float(value):g}, and the network has {name}={number:g}; allowed: "
                    f"equations of this network, or of one without {name}"
                )
