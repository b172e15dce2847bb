r"""Fluctuations in the lazy limit, in closed form: the tangent kernel is constant in time, and random over initialisations.

With the covariance of the tangent kernel at initialisation, and the step of the flow (``theory.training.lazy``), varied:
:math:`\delta f(t+1)=(1-\eta K\ell'')\delta f(t)+\eta\,\delta K\,\Delta(t)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.language.errors import ExpansionWarning
from ...theory.training.dynamics import dynamics
from ...theory.training.fields import OrderParameter, eta
from ...theory.training.lazy import flow_law, kernel_variance
from ...theory.training.subject import Training
from ..initialisation.predict import predict
from ..training.data import Data, error_function, loss_derivative, loss_function
from ..training.solve import check_divergence
from ..training.times import TimeGrid

Array = NDArray[np.float64]


def is_closed(flow: Training) -> bool:
    """Whether the closed form holds: gamma = 0, one output, no momentum or decay."""
    return flow.gamma == 0 and flow.outputs == 1 and not flow.momentum and not flow.weight_decay


def lazy_fluctuations(flow: Training, data: Data, grids: Sequence[TimeGrid]) -> list[dict[str, Array]]:
    """The results for each grid of times, without noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        law = kernel_variance()
        found = predict(flow.net, data.inputs, ("K", "Theta", *sorted({entry.name for entry in law.args})))
    K = found["Theta"].values[-1]
    terms = (np.einsum(f"{''.join(e.labels)}->abcd", found[e.name].values[-1]) for e in law.args)
    kappa = np.asarray(sum(terms))  # (mu, alpha, nu, beta), of one output neuron
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
    by_error, by_kernel = _increments(flow)
    response = by_error(grid.rate, K)
    losses, history = loss_function(flow), list[float]()
    kept, wanted = [], set(map(int, grid.kept))
    for t in range(grid.steps):
        history.append(float(losses(f[None, : data.trained], data.labels)))
        check_divergence(f, history, grid.rate, lazy=True)
        if t in wanted:
            kept.append(J)
        delta, second = errors(f[None])[0], curvature(f[None, None]).reshape(P)
        # delta f as a linear function of delta K: one column for every entry (mu', alpha')
        push = np.einsum("mn,a->mna", np.eye(P), by_kernel(grid.rate, delta)).reshape(P, P * P)
        J = J - response @ (second[:, None] * J) + push
        f = f + response @ delta
    joint = np.stack(kept)
    return np.asarray(np.einsum("tmx,xy,sny->tmsn", joint, kappa.reshape(P * P, P * P), joint, optimize=True))


def _increments(flow: Training) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """How a step of the lazy flow depends on the errors, and on the kernel: it is linear in both."""
    law = flow_law(dynamics(flow)).rhs
    kernel, errors = sorted(law.atoms(OrderParameter), key=lambda order: len(order.places), reverse=True)
    letters = {kernel: sp.Symbol("kernel"), errors: sp.Symbol("errors")}
    pairs = ((errors, kernel), (kernel, errors))
    by = [sp.lambdify((eta, letters[given]), sp.diff(law, one).xreplace(letters), "numpy") for one, given in pairs]
    return by[0], by[1]
