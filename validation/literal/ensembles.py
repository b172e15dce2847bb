"""Literal draws of weight matrices, one row for each ensemble; entries have variance one and are scaled by their users."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import NotAvailable
from ...theory.networks.ensembles import TRUNCATION, Ensemble

Array = NDArray[np.float64]
Sampler = Callable[[np.random.Generator, Array], object]


def sampler(ensemble: Ensemble) -> Sampler:
    r"""The function that fills an array of matrices with draws.

    Equation
        :math:`E[W_{ij}W_{kl}]=\delta_{ik}\delta_{jl}`; the fourth moments are those of the ensemble.
    Shapes
        The array: (networks, n_out, n_in), contiguous.
    Units
        Variance one; the weights of a layer are :math:`\sqrt{C_W/n_{in}}` times these.
    Valid
        Exact at any size: nothing here is an expansion in 1/width.
    Errors
        ``NotAvailable`` for an ensemble of which no more than its cumulants is known.
    """
    if ensemble.name in SAMPLERS:
        return SAMPLERS[ensemble.name]
    if ensemble.crossed != 0:
        raise NotAvailable(
            f"weights={ensemble} cannot be drawn: only its cumulants are given; allowed: {', '.join(SAMPLERS)}, "
            "independent(excess_kurtosis)"
        )
    probability = 1 / (3 + float(ensemble.excess))
    return lambda rng, W: _three_values(rng, W, probability)


def _normal(rng: np.random.Generator, W: Array) -> None:
    rng.standard_normal(out=W)


def _orthogonal(rng: np.random.Generator, W: Array) -> None:
    # QR of a Gaussian matrix, with the signs that make R's diagonal positive and thereby Q unique, is Haar. The longer of
    # rows and columns, N = max(n_out, n_in) long, are orthonormal but for the factor sqrt(N).
    tall = W if W.shape[1] >= W.shape[2] else W.transpose(0, 2, 1)
    Q, R = np.linalg.qr(rng.standard_normal(tall.shape))
    signs = np.where(np.einsum("gii->gi", R) < 0, -1.0, 1.0)
    np.multiply(Q, np.sqrt(tall.shape[1]) * signs[:, None], out=tall)


def _uniform(rng: np.random.Generator, W: Array) -> None:
    rng.random(out=W)
    W -= 0.5
    W *= math.sqrt(12)


def _signs(rng: np.random.Generator, W: Array) -> None:
    bits = np.unpackbits(np.frombuffer(rng.bytes(-(-W.size // 8)), dtype=np.uint8), count=W.size)
    np.multiply(bits.reshape(W.shape), 2.0, out=W)
    W -= 1.0


def _three_values(rng: np.random.Generator, W: Array, probability: float) -> None:
    """0, or one of two opposite values with that probability."""
    rng.random(out=W)
    value = 1 / math.sqrt(probability)
    W[...] = np.where(probability / 2 > W, -value, np.where(probability > W, value, 0.0))


def _truncated_normal(rng: np.random.Generator, W: Array) -> None:
    rng.standard_normal(out=W)
    flat = W.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > TRUNCATION)
    while outside.size:
        flat[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(flat[outside]) > TRUNCATION]
    W /= TRUNCATED_DEVIATION


#: Standard deviation of the cut normal before it is rescaled: by parts, 1 - 2 a phi(a) / P(|x| < a).
TRUNCATED_DEVIATION = math.sqrt(
    1 - 2 * TRUNCATION * math.exp(-(TRUNCATION**2) / 2) / math.sqrt(2 * math.pi) / math.erf(TRUNCATION / math.sqrt(2))
)

SAMPLERS: dict[str, Sampler] = {
    "gaussian": _normal,
    "orthogonal": _orthogonal,
    "uniform": _uniform,
    "rademacher": _signs,
    "truncated_normal": _truncated_normal,
}
