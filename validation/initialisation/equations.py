"""The derived equations of a report in HTML: for one input and for many, with closed forms, first layers and steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...numerics.codegen.modules import compile
from ...numerics.initialisation.given import Given
from ...numerics.initialisation.predict import compiled_system
from ...numerics.initialisation.residual import compiled_layers
from ...theory.initialisation.dependencies import closure
from ...theory.initialisation.derivation import Derivation, recursions
from ...theory.initialisation.derive import derive
from ...theory.language import latex
from ...theory.language.equations import page_rows
from ...theory.language.quantities import quantity
from ...theory.language.steps import Step
from ...theory.networks.architecture import MLP
from ..reports import mathml


def shown(net: MLP, names: Sequence[str], single: bool, given: Given | None = None) -> Iterator[dict[str, Any]]:
    """For each quantity its recursion for one input, for many, in closed form, its start, and the steps that lead to it.

    Those that were ``given`` instead are shown as they are, with the derived ones beside those that differ.
    """
    if given is not None:
        yield from _given(net, names, given)
        return
    if net.residual:
        yield from _over_layers(net, names, single)
        return
    one, many = recursions(net, samples=1).general, recursions(net).general
    own = one if single else many
    concrete = recursions(net, samples=1 if single else None)
    for name in needed(net, names):
        yield {
            "name": name,
            "meaning": quantity(name).meaning,
            "one": mathml.equations(one.statement(name).rows),
            "many": mathml.equations(many.statement(name).rows),
            "closed": list(_closed(one.statement(name), net)),
            "first": _start(own.statement(name)),
            "derived": "",
            "steps": _steps(concrete.statement(name).steps),
        }


def _given(net: MLP, names: Sequence[str], given: Given) -> Iterator[dict[str, Any]]:
    """Equations in the place of the derived ones: no steps lead to them."""
    single, part = given.single, given.closed(tuple(names))
    if net.residual:
        derived = derive(net) if single else derive(net, order=0)
    else:
        derived = derive(net, samples=1 if single else None, order=max(quantity(name).order for name in part.names))
    for name in part.names:
        rows = mathml.equations(given.restrict(name).rows)
        differs = name in derived and derived.system[name] != given.system[name]
        other = mathml.equations(derived.restrict(name).rows) if differs else ""
        start = _start(given.statement(name))
        yield {
            "name": name, "meaning": quantity(name).meaning, "one": rows if single else "", "many": "" if single else rows,
            "closed": [], "first": start, "steps": [], "derived": other,
        }  # fmt: skip


def _start(statement: Any) -> Any:
    """The value in the first layer, where a statement has one of its own."""
    first = getattr(statement, "first", None)
    if first is None:
        return ""
    return mathml.math(rf"{latex.tex(first.lhs)} = {latex.tex(first.rhs)}".replace(r"(\ell)", "(1)"))


def _over_layers(net: MLP, names: Sequence[str], single: bool) -> Iterator[dict[str, Any]]:
    """For each quantity of a network with skips the equations over all layers that it needs, and their steps."""
    many = derive(net, order=0)
    system = derive(net) if single else many
    for name in names:
        part = system.closed((name,)).general
        yield {
            "name": name,
            "meaning": quantity(name).meaning,
            "one": mathml.equations(part.rows) if single else "",
            "many": mathml.equations(many.closed((name,)).general.rows) if name in many else "",
            "closed": [],
            "first": "",
            "derived": "",
            "steps": _steps(part.steps),
        }


def _steps(found: Sequence[Step]) -> list[dict[str, Any]]:
    """Steps as the template shows them."""
    return [
        {"title": s.title, "reason": mathml.prose(s.reason), "equations": mathml.equations(page_rows(s.displays))}
        for s in found
    ]


def needed(net: MLP, names: Sequence[str]) -> tuple[str, ...]:
    """The quantities and all that their recursions need, in an order in which they can be computed."""
    return closure(net.layer_map, tuple(names))


def remark(net: MLP) -> str:
    """The statements in front of the equations."""
    if not net.residual:
        return ""
    skips = ", ".join(f"{gamma:g} from layer {below} to {above}" for below, above, gamma in net.residual)
    return (
        f"This network has skip connections ({skips}). Its neurons remember all layers below, so that the equations are those of "
        "all layers at once: ℓ and m are layers, n with the number of a layer in brackets its width."
    )


def code(net: MLP, names: Sequence[str], single: bool, given: Given | None = None) -> str:
    """The generated module of the map to each layer, or of all layers; one text for each activation."""
    if given is not None:
        part = given.closed(tuple(names))
        return "\n\n".join(compile(part.of(a)).source for a in net.distinct_activations)
    layer = net.with_(residual=None).layer_map
    if net.residual:
        return "\n\n".join(compiled_layers(a, layer, single, tuple(names)).source for a in net.distinct_activations)
    wanted = needed(net, names)
    return "\n\n".join(compiled_system(a, layer, single, wanted).source for a in net.distinct_activations)


def _closed(derivation: Derivation, net: MLP) -> Iterator[tuple[str, str]]:
    """The closed form for each activation of the network that has one."""
    for activation in net.distinct_activations:
        closed = derivation.specialize(activation)
        if closed.printed != derivation.printed:
            yield activation.name, mathml.equations(closed.rows)
