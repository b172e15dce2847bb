r"""Gradient flow of infinitely wide networks in the lazy limit: mean and covariance over initialisations at time t."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
import sympy as sp
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sympy.codegen.rewriting import optimize, optims_numpy

from ...theory.language.errors import InvalidArgument, InvalidInput
from ...theory.networks.architecture import MLP
from ...theory.training.lazy import along_a_mode, rate, time
from ...theory.training.lazy import ridge as penalty
from ...theory.training.observables import LAZY
from ..kernels.kernels import kernel
from ..runs.inputs import check_inputs, numbers_of
from ..runs.results import Result, dataset

Array = NDArray[np.float64]

#: Eigenvalues of Theta below this, relative to the largest, are rounding: their modes are not learned at any time.
NEGLIGIBLE = 1e-13


def gradient_flow(
    net: MLP,
    X: ArrayLike,
    y: ArrayLike,
    X_test: ArrayLike | None = None,
    *,
    times: ArrayLike = (np.inf,),
    train: str = "all",
    ridge: float = 0.0,
    loss: str = "sum",
    workers: int | None = None,
) -> xr.Dataset:
    r"""The outputs of a wide network under gradient flow on the squared loss, over random initialisations.

    Equation
        .. math::
            \dot f=-\Theta\,(f-y)-\rho\,(f-f(0)),\quad
            A(t)=\Theta_{*X}\,(\Theta_{XX}+\rho)^{-1}\big(1-e^{-(\Theta_{XX}+\rho)t}\big),\quad
            \mathrm{mean}=A\,y,

            \mathrm{covariance}=K_{**}-A\,K_{X*}-K_{*X}A^\top+A\,K_{XX}A^\top.
    Shapes
        X (m, n_0), y (m,) or (m, outputs), X_test (p, n_0), by default X; times (T,) -> ``mean`` (time, sample[, output]),
        ``covariance`` (time, sample, sample2), the same for each output and zero between outputs; ``loss`` (time), of the mean.
    Units
        The loss is :math:`\tfrac12\sum_a(f_a-y_a)^2`, without a factor 1/m; ``loss="mean"``: with it, so that t and ridge are those
        of a mean over samples (m times those of the sum). t multiplies the learning rates of ``net``: lambda_b for biases and
        lambda_W/n for weights. Gradient descent with step eta is t = eta times steps, for small eta. ``ridge`` is :math:`\rho` of
        the penalty :math:`\tfrac\rho2|\theta-\theta(0)|^2`, each parameter in units of the root of its rate; at infinite time
        kernel ridge regression. The ``loss`` that is returned has no penalty.
    Valid
        Infinite width at fixed time (lazy training: features do not move). ``train="all"``: Theta is the neural tangent kernel.
        ``train="readout"``: only the last layer moves, and Theta is that of its parameters; infinite time is then Bayesian
        inference with the NNGP where C_b/C_W = lambda_b/lambda_W. Modes with an eigenvalue below 1e-13 of the largest are not
        learned.
    Errors
        Those of ``kernel``; ``InvalidInput`` for labels or times that do not fit; ``InvalidArgument`` for ``train``,
        ``loss`` or ``ridge``.
    Source
        The flow is linear, and solved here; Jacot, Gabriel, Hongler (arXiv:1806.07572), Lee et al. (arXiv:1902.06720).
    """
    if train not in ("all", "readout"):
        raise InvalidArgument(f"train={train!r}; allowed: 'all', or 'readout' for the last layer alone")
    if loss not in ("sum", "mean"):
        raise InvalidArgument(f"loss={loss!r}; allowed: 'sum' or 'mean', of half the squares over the samples")
    if isinstance(ridge, bool) or not isinstance(ridge, Real) or not 0 <= ridge < np.inf:
        raise InvalidArgument(f"ridge={ridge!r}; allowed: finite reals from 0")
    inputs = check_inputs(X)
    points = inputs if X_test is None else check_inputs(X_test)
    labels, t = _labels(y, len(inputs)), _times(times)
    if train == "readout":
        net = _frozen(net)
    together = kernel(net, np.vstack([inputs, points]), workers=workers)
    m = len(inputs)
    K, Theta = together.K, together.Theta
    share = 1 / m if loss == "mean" else 1.0
    rates, modes = np.linalg.eigh(share * Theta[:m, :m])
    kept = rates > NEGLIGIBLE * max(rates[-1], 0.0)
    rates, modes = rates[kept], modes[:, kept]
    learned, decay = (function(rates, t[:, None], ridge) for function in _along_modes())
    learned = share * learned
    A = np.einsum("pk,tk,mk->tpm", Theta[m:, :m] @ modes, learned, modes, optimize=True)
    mean = np.einsum("tpm,mo->tpo", A, labels)
    cross = A @ K[:m, m:]
    covariance = K[m:, m:] - cross - cross.swapaxes(1, 2) + A @ K[:m, :m] @ A.swapaxes(1, 2)
    # At inputs that are known exactly the terms cancel, and what rounding leaves may be negative.
    own = np.einsum("tpp->tp", covariance)
    np.maximum(own, 0.0, out=own)
    stays = labels - modes @ (modes.T @ labels)
    left = np.einsum("tk,ko->to", decay**2, (modes.T @ labels) ** 2).sum(axis=1) + (stays**2).sum()
    settings = {"train": train, "ridge": float(ridge), "objective": loss}
    return _dataset(t, mean, covariance, share * left / 2, net, settings, np.ndim(y) > 1)


@lru_cache(maxsize=1)
def _along_modes() -> list[Callable[[Array, Array], Array]]:
    """What is learned along the modes of given eigenvalues at given times, over the eigenvalue, and what is left of errors."""
    return [sp.lambdify((rate, time, penalty), optimize(expr, optims_numpy), "numpy") for expr in along_a_mode()]


def _frozen(net: MLP) -> MLP:
    """The network with rates of zero in all layers but the last."""
    rates = {name: (0.0,) * ((net.depth or 1) - 1) + (net.per_layer(name)[-1],) for name in ("lambda_W", "lambda_b")}
    return net.to("pdlt").with_(**rates)


def _labels(y: ArrayLike, m: int) -> Array:
    labels = np.asarray(y)
    if labels.dtype.kind not in "biuf" or labels.ndim not in (1, 2) or len(labels) != m:
        raise InvalidInput(
            f"y has shape {labels.shape} and dtype {labels.dtype}; allowed: ({m},) or ({m}, outputs), real"
        )
    if not np.isfinite(labels).all():
        raise InvalidInput(f"y[{int(np.argwhere(~np.isfinite(labels))[0][0])}] is not finite; allowed: finite labels")
    return labels.reshape(m, -1).astype(np.float64)


def _times(times: ArrayLike) -> Array:
    t = np.atleast_1d(numbers_of(times))
    if t.ndim != 1 or not t.size or not (t >= 0).all():
        raise InvalidInput(f"times={times!r}; allowed: a sequence of numbers from 0, infinity included")
    return t


def _dataset(
    t: Array, mean: Array, covariance: Array, loss: Array, net: MLP, settings: dict[str, Any], outputs: bool
) -> xr.Dataset:
    arrays = {"mean": mean, "covariance": covariance, "loss": loss}
    results = [Result(LAZY[name], value) for name, value in arrays.items()]
    coords = {"time": t, "sample": np.arange(mean.shape[1]), "sample2": np.arange(mean.shape[1])}
    return dataset(net, results, coords, single=not outputs, source="theory, lazy limit", **settings)
