"""Which quantities need which: the closed system up to an order in 1/n, in an order in which each can be computed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from graphlib import TopologicalSorter

from ..averages.gaussian import Average
from ..language.errors import InvalidArgument, NotAvailable
from ..language.quantities import TENSORS, Entry, Kind, Quantity, quantity
from ..layers.map import LayerMap
from ..meanfield.expansion import Recursion, not_derived, recursion
from ..meanfield.system import MeanFieldSystem


@lru_cache(maxsize=1024)
def layer_recursion(layer: LayerMap, row: Quantity, labels: tuple[str, ...]) -> Recursion:
    """The recursion of a quantity under a layer map, for samples called ``labels``."""
    return recursion(MeanFieldSystem(layer), row, labels)


def check_order(order: int) -> int:
    """The power of 1/n up to which a system is asked for."""
    if isinstance(order, bool) or order not in (0, 1, 2, 3):
        raise InvalidArgument(
            f"order={order!r}; allowed: 0 (K, Theta), 1 (the leading fluctuations), 2 (the next order in 1/n), 3 (V8)"
        )
    return order


def check_asked(name: str | Iterable[str] | None, order: int | None) -> tuple[str, ...] | None:
    """The names that are asked for, each once; None for all up to the order. An order that is given has to reach them."""
    if order is not None:
        check_order(order)
    if name is None:
        return None
    if not isinstance(name, str | Iterable):
        raise InvalidArgument(f"name={name!r}; allowed: a name, several names, or None for all")
    names = tuple(dict.fromkeys((name,) if isinstance(name, str) else name))
    if not names:
        raise InvalidArgument(f"name={name!r} is empty; allowed: names of quantities, or None for all")
    for row in map(quantity, names):
        if order is not None and row.order > order:
            raise InvalidArgument(
                f"order={order} with {row.name}, which is of order {row.order} in 1/n; allowed: order=None, or {row.order}"
            )
    return names


def names_of_order(layer: LayerMap, order: int) -> tuple[str, ...]:
    """The names of the closed system up to an order in 1/n; ``NotAvailable`` where nothing of that order is derived."""
    names = dependency_order(layer, check_order(order))
    if not any(quantity(name).order == order for name in names):
        row = next(row for row in TENSORS.values() if row.order == order)
        raise NotAvailable(f"order={order}: {not_derived(layer, row)}")
    return names


def dependency_order(layer: LayerMap, order: int = 1) -> tuple[str, ...]:
    """The names of the closed system up to an order in 1/n, each after those of the layer below that it needs."""
    return _dependency_order(layer, order, TENSORS.version)


@lru_cache(maxsize=64)
def _dependency_order(layer: LayerMap, order: int, version: int) -> tuple[str, ...]:
    graph = {}
    for row in TENSORS.values():
        if row.order <= order and (layer.excess or row.kind is not Kind.LOCAL) and not_derived(layer, row) is None:
            with suppress(NotAvailable):  # of a row that needs a cumulant without a name there is no recursion
                graph[row.name] = (_needs(layer, row) | {"K"}) - {row.name}
    while open_ends := {name for name, needed in graph.items() if not needed <= graph.keys()}:
        graph = {name: needed for name, needed in graph.items() if name not in open_ends}
    return tuple(TopologicalSorter(graph).static_order())


@lru_cache(maxsize=256)
def closure(layer: LayerMap, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names and all that their recursions need, each after those of the layer below that it needs."""
    needed, todo = set[str](), set(names)
    while todo:
        row = quantity(todo.pop())
        needed.add(row.name)
        todo |= _needs(layer, row) - needed
    order = max(quantity(name).order for name in needed)
    return tuple(name for name in dependency_order(layer, order) if name in needed)


def _needs(layer: LayerMap, row: Quantity) -> set[str]:
    """The quantities of the layer below that enter, K included whenever an average is taken."""
    right = layer_recursion(layer, row, ("",) * row.rank).right
    return {e.name for e in right.atoms(Entry)} | ({"K"} if right.has(Average) else set())
