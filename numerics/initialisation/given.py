"""Equations given to ``predict`` in the place of the derived ones: whether they fit the network, and the part that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp

from ...theory.initialisation.derivation import Recursions
from ...theory.initialisation.residual import CrossLayer
from ...theory.language import symbols
from ...theory.language.checks import check_names
from ...theory.language.errors import InvalidArgument
from ...theory.networks.architecture import MLP
from ..codegen.functions import PARAMETERS
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
    why = "is not among the equations that are given"
    names = equations.names if quantities is None else check_names("quantities", quantities, equations.names, why)
    found = equations.closed(
        (*names, *("K",) * ("K" in equations))
    )  # averages are those of K, whatever the equations hold
    _check_symbols(found)
    return found, names


def _check_symbols(equations: Given) -> None:
    """An error for letters that stand for nothing: what has no number is no part of an equation that is computed."""
    known = {getattr(symbols, name) for name in PARAMETERS}
    for statement in equations.statements:
        right = statement.law.right if isinstance(equations, Recursions) else sp.S.Zero
        if stray := right.atoms(sp.Symbol) - known:
            letter = min(map(str, stray))
            raise InvalidArgument(
                f"equations= hold {letter} in that of {statement.name}, which is no number of the network; allowed: "
                f"{', '.join(PARAMETERS)}, entries of tensors such as derive(net).system['K'].lhs, and averages"
            )


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
