r"""Fluctuations in the lazy limit, in closed form: the tangent kernel is constant in time, and random over initialisations.

With :math:`N\,\mathrm{Cov}(K_{\mu\alpha},K_{\nu\beta})=A_{\mu\alpha\nu\beta}+B_{\mu\alpha\nu\beta}+B_{\mu\alpha\beta\nu}` at
initialisation, :math:`\delta f(t+1)=(1-\eta K\ell'')\delta f(t)+\eta\,\delta K\,\Delta(t)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import ExpansionWarning
from ...theory.training.subject import Training
from ..initialisation.predict import predict
from ..training.data import Data, error_function, loss_derivative
from ..training.times import TimeGrid

Array = NDArray[np.float64]


def is_closed(flow: Training) -> bool:
    """Whether the closed form holds: gamma = 0, one output, no momentum or decay."""
    return flow.gamma == 0 and flow.outputs == 1 and not flow.momentum and not flow.weight_decay


def lazy_fluctuations(flow: Training, data: Data, grids: Sequence[TimeGrid]) -> list[dict[str, Array]]:
    """The results for each grid of times, without noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        found = predict(flow.net, data.inputs, ("K", "Theta", "A", "B"))
    K, A, B = (found[name].values[-1] for name in ("Theta", "A", "B"))
    kappa = A + B + B.transpose(0, 1, 3, 2)  # (mu, alpha, nu, beta), of one output neuron
    results = []
    for grid in grids:
        covariance = _covariance(flow, data, grid, K, kappa)
        kernel = np.broadcast_to(np.einsum("abab->ab", kappa), (len(grid.kept), *K.shape))
        results.append({
            "f_covariance": covariance[:, None, :, :, None],
            "f_variance": np.einsum("tptp->tp", covariance)[:, None],
            "Theta_variance": kernel[:, None, :, None, :],
        })  # fmt: skip
    return results


def _covariance(flow: Training, data: Data, grid: TimeGrid, K: Array, kappa: Array) -> Array:
    P = len(data.inputs)
    errors, curvature = error_function(flow, data), loss_derivative(flow, data, 2)
    f, J = np.zeros(P), np.zeros((P, P * P))
    kept, wanted = [], set(map(int, grid.kept))
    for t in range(grid.steps):
        if t in wanted:
            kept.append(J)
        delta, second = errors(f[None])[0], curvature(f[None, None]).reshape(P)
        # delta f as a linear function of delta K: one column for every entry (mu', alpha')
        push = np.einsum("mn,a->mna", np.eye(P), delta).reshape(P, P * P)
        J = J - grid.rate * K @ (second[:, None] * J) + grid.rate * push
        f = f + grid.rate * K @ delta
    joint = np.stack(kept)
    return np.asarray(np.einsum("tmx,xy,sny->tmsn", joint, kappa.reshape(P * P, P * P), joint, optimize=True))
