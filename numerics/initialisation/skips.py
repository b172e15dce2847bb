"""Networks with skips: the linear map of a neuron through the layers, and the quantities that are predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import NotAvailable
from ...theory.language.quantities import Kind, quantity
from ...theory.networks.architecture import MLP
from ..codegen import mixing as generated

Array = NDArray[np.float64]


def mixing(net: MLP) -> Array:
    """(1 - gamma)^-1, of shape (L, L)."""
    residual = {(k, m): gamma for k, m, gamma in net.residual}
    return generated.mixing(residual, net.depth or 1)


def check(net: MLP, inputs: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """The fluctuating ones among the names; ``NotAvailable`` for quantities that are not derived for skips."""
    rows = [quantity(name) for name in names]
    beyond = [q.name for q in rows if q.kind not in (Kind.MEAN, Kind.COVARIANCE)]
    if beyond:
        raise NotAvailable(
            f"{', '.join(beyond)}: corrections and higher cumulants of networks with residual= are not derived; "
            "allowed: K, Theta, V, D, F, A, B, P, Q, R, S, T, U"
        )
    fluctuating = tuple(q.name for q in rows if q.kind is Kind.COVARIANCE)
    if fluctuating and inputs > 1:
        raise NotAvailable(
            f"{', '.join(fluctuating)}: fluctuations of networks with residual= are computed for one input; X has {inputs}; "
            "allowed: one input, or quantities=('K', 'Theta')"
        )
    if fluctuating and net.activations:
        several = [a.name for a in net.activations]
        raise NotAvailable(
            f"activation={several} with residual={net.residual}: fluctuations are derived for one activation; allowed: one for all "
            "layers, or quantities=('K', 'Theta')"
        )
    return fluctuating
