"""Equations given to ``predict`` in the place of the derived ones: whether they fit the network, and the part that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...theory.initialisation.derivation import Recursions
from ...theory.language import symbols
from ...theory.language.checks import check_names
from ...theory.language.errors import InvalidArgument
from ...theory.networks.architecture import MLP


def given_equations(net: MLP, features: int, inputs: int, equations: Any, quantities: Any) -> tuple[Recursions, Any]:
    """The equations that the quantities need, and the names of the quantities; ``InvalidArgument`` where they do not fit."""
    if not isinstance(equations, Recursions) or not equations:
        raise InvalidArgument(
            f"equations={equations!r} is a {type(equations).__name__}; allowed: what derive(net) returns for this network"
        )
    _check_network(net, features, equations)
    if inputs > 1 and not any(label for d in equations.statements for label in d.labels):
        raise InvalidArgument(
            f"equations= are those of one input (samples=1), and X has {inputs}; allowed: derive(net) without samples=1"
        )
    names = tuple(equations) if quantities is None else check_names("quantities", quantities, tuple(equations))
    return equations.restrict(_closed(equations, names)), names


def _check_network(net: MLP, features: int, equations: Recursions) -> None:
    """One and the same layer map and activation, and no number that is another in any layer."""
    derived, own = equations.subject, net.with_(residual=None)
    if any(d.layer != own.layer_map for d in equations.statements):
        raise InvalidArgument(f"equations= are those of {derived}, whose layers are others than those of {net}")
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


def _closed(equations: Recursions, names: Sequence[str]) -> set[str]:
    """The names and all that their equations need."""
    needed, todo = set[str](), set(names)
    while todo:
        name = todo.pop()
        needed.add(name)
        needs = equations.statement(name).needs
        if missing := needs - set(equations):
            raise InvalidArgument(
                f"equations= hold {name}, which needs {min(missing)}, and not {min(missing)}; allowed: closed systems, such as "
                "derive(net)"
            )
        todo |= needs - needed
    return needed
