"""The derived equations of a report in HTML: for one input and for many, with closed forms, first layers and steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sympy as sp

from ...numerics.initialisation.predict import compiled_system
from ...theory.initialisation.dependencies import closure
from ...theory.initialisation.derivation import Derivation, derive
from ...theory.language import latex
from ...theory.language.quantities import quantity
from ...theory.networks.architecture import MLP
from ..reports import mathml


def shown(net: MLP, names: Sequence[str], single: bool) -> Iterator[dict[str, Any]]:
    """For each quantity its recursion for one input, for many, in closed form, its start, and the steps that lead to it."""
    plain = net.with_(residual=None)
    one, many = derive(plain, samples=1), derive(plain)
    own = one if single else many
    for name in needed(net, names):
        first = own.statement(name).first
        start = rf"{latex.tex(first.lhs)} = {latex.tex(first.rhs)}".replace(r"(\ell)", "(1)")
        yield {
            "name": name,
            "meaning": quantity(name).meaning,
            "one": mathml.equations(one.statement(name).rows),
            "many": mathml.equations(many.statement(name).rows),
            "closed": list(_closed(one.statement(name), plain)),
            "first": mathml.math(start),
            "steps": [
                {
                    "title": s.title,
                    "reason": mathml.prose(s.reason),
                    "equations": mathml.equations(_step_rows(s.equations)),
                }
                for s in own.statement(name).steps
            ],
        }


def needed(net: MLP, names: Sequence[str]) -> tuple[str, ...]:
    """The quantities and all that their recursions need, in an order in which they can be computed.

    With skips the means alone have a recursion from layer to layer.
    """
    return ("K", "Theta") if net.residual else closure(net.layer_map, tuple(names))


def remark(net: MLP) -> str:
    """What has to be said before the equations."""
    if not net.residual:
        return ""
    skips = ", ".join(f"{gamma:g} from layer {below} to {above}" for below, above, gamma in net.residual)
    return (
        f"This network has skip connections ({skips}). The equations are those of the part b + Wσ(z) of a layer, to which a skip "
        "of strength γ adds γ times the layer that it comes from. Fluctuations have no recursion from layer to layer "
        "here: they come from the covariances of all layers at once."
    )


def code(net: MLP, names: Sequence[str], single: bool) -> str:
    """The generated module of the map to each layer; one text for each activation."""
    layer, wanted = net.with_(residual=None).layer_map, needed(net, names)
    return "\n\n".join(compiled_system(a, layer, single, wanted).source for a in net.distinct_activations)


def _closed(derivation: Derivation, net: MLP) -> Iterator[tuple[str, str]]:
    """The closed form for each activation of the network that has one."""
    for activation in net.distinct_activations:
        closed = derivation.specialize(activation)
        if closed.printed != derivation.printed:
            yield activation.name, mathml.equations(closed.rows)


def _step_rows(found: tuple[sp.Eq, ...]) -> list[str]:
    return [row for eq in found for row in latex.equation_lines(eq.lhs, sp.Add.make_args(eq.rhs))]
