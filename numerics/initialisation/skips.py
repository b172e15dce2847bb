"""Networks with skips: the linear map of a neuron through the layers, and the quantities that are predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import NotAvailable
from ...theory.language.quantities import Kind, Quantity, quantity
from ...theory.networks.architecture import MLP
from ..codegen import mixing as generated

Array = NDArray[np.float64]


def mixing(net: MLP) -> Array:
    """(1 - gamma)^-1, of shape (L, L)."""
    residual = {(k, m): gamma for k, m, gamma in net.residual}
    return generated.mixing(residual, net.depth or 1)


def no_numbers(net: MLP, inputs: int, row: Quantity) -> str | None:
    """Why a quantity of a network with skips is not computed; None if it is."""
    if row.kind not in (Kind.MEAN, Kind.COVARIANCE):
        return "corrections and higher cumulants of networks with residual= are not derived"
    if row.kind is Kind.COVARIANCE and inputs > 1:
        return "fluctuations of networks with residual= are computed for one input"
    if row.kind is Kind.COVARIANCE and net.activations:
        return "fluctuations of networks with residual= are derived for one activation"
    return None


def check(net: MLP, inputs: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """The fluctuating ones among the names; ``NotAvailable`` for quantities that are not computed for skips."""
    rows = [quantity(name) for name in names]
    reasons = {row.name: no_numbers(net, inputs, row) for row in rows}
    for reason in dict.fromkeys(r for r in reasons.values() if r is not None):
        named = ", ".join(name for name, own in reasons.items() if own == reason)
        several = f"activation={[a.name for a in net.activations]}, " if net.activations else ""
        raise NotAvailable(
            f"{named}: {reason}; {several}residual={net.residual}, X has {inputs} inputs; allowed: K and Theta; of one input and "
            "one activation for all layers also V, D, F, A, B, P, Q, R, S, T, U"
        )
    return tuple(row.name for row in rows if row.kind is Kind.COVARIANCE)
