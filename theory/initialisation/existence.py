"""Which quantities exist for an activation: kinks make averages of its higher derivatives infinite, or no functions at all."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ..averages.regularity import prepared
from ..language.errors import NotAvailable, NotIntegrable
from ..language.quantities import quantity
from ..layers.map import LayerMap
from ..networks.activations import Activation
from .dependencies import closure, layer_recursion

#: Labels of different samples.
DISTINCT = "12345678"


def missing(
    activations: Iterable[Activation], layer: LayerMap, name: str, single: bool, labels: tuple[str, ...] | None = None
) -> str | None:
    """Why a quantity does not exist for one of the activations; None if it does.

    All that its recursion needs has to exist too. ``labels`` are those of its own samples, where some coincide.
    """
    for activation in activations:
        if not activation.kinks:
            continue
        for needed in closure(layer, (name,)):
            rank = quantity(needed).rank
            own = ("",) * rank if single else tuple(DISTINCT[:rank])
            reason = _infinite(activation, layer, needed, labels if labels and needed == name else own)
            if reason is not None:
                return reason
    return None


@lru_cache(maxsize=1024)
def _infinite(activation: Activation, layer: LayerMap, name: str, labels: tuple[str, ...]) -> str | None:
    try:
        prepared(layer_recursion(layer, quantity(name), labels).right, activation)
    except (NotAvailable, NotIntegrable) as error:
        return str(error)
    return None
