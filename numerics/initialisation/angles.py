r"""What covariances have lost of the angles between nearly parallel inputs, as errors of averages of kinked functions.

With :math:`1-\varrho` known to u the angle is known to :math:`\min(\sqrt{2u},u/\theta)`, and by Price's theorem

.. math:: \frac{d}{d\theta}\langle\sigma'\sigma'\rangle=-ab\,\sin\theta\,\langle\sigma''\sigma''\rangle,\qquad
    \langle\sigma''\sigma''\rangle\supset\sum_kj_k^2\,\langle\delta(z_a-k)\,\delta(z_b-k)\rangle,

which is at most :math:`\sum_kj_k^2/2\pi` near :math:`\theta=0` for jumps :math:`j_k` of :math:`\sigma'`, and likewise for those of
:math:`\sigma` in :math:`\langle\sigma\sigma\rangle`. Where
:math:`\sigma'` grows like :math:`|z|^p`, p < 0, the derivative grows like :math:`\theta^{2p}`.
``kernel`` takes the angle itself through the layers and has no such error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...theory.language.pieces import limits
from ...theory.networks.activations import Activation
from ...theory.networks.architecture import MLP

Array = NDArray[np.float64]

#: What rounding leaves of 1 - rho, in the covariances of the recursion; correlations as near to one count as one.
ROUNDED = 32 * float(np.finfo(float).eps)
#: Inputs whose cosine is nearer to one than this may be parallel.
NEAR = 1e-12


def lost_angles(net: MLP, X: Array, names: Sequence[str], layers: Sequence[dict[str, Array]]) -> Array:
    """The error of the averages that make each of the layers, (layers,)."""
    found = np.zeros(len(layers))
    if len(X) == 1 or "K" not in layers[0]:
        return found
    order = 0 if set(names) <= {"K"} else 1
    unequal = _unequal(net, X)
    for i, activation in enumerate(net.layer_activations, start=1):
        slope = max(_jumps(activation, k) for k in range(order + 1)) / (2 * np.pi)
        power = min((p for k in range(order + 1) for p in activation.growth(k).values()), default=0.0)
        if (slope or power) and unequal.any():
            K = np.asarray(layers[i - 1]["K"], dtype=float)
            lost = _unknown(K) * (slope + (_angles(K) ** (2 * power) if power else 0.0))
            found[i] = float(np.max(lost[unequal], initial=0.0))
    return found


def _unequal(net: MLP, X: Array) -> NDArray[np.bool_]:
    """The pairs of inputs that are not the same, nor parallel for ever, without biases."""
    kind = np.unique(X, axis=0, return_inverse=True)[1].ravel()
    same = kind[:, None] == kind
    if not any(net.per_layer("C_b")):
        norms = np.linalg.norm(X, axis=1, keepdims=True)
        units = np.divide(X, norms, out=np.zeros_like(X), where=norms > 0)
        i, j = np.nonzero(np.abs(units @ units.T) > 1 - NEAR)
        chords = np.minimum(*(np.linalg.norm(units[i] + sign * units[j], axis=1) for sign in (-1, 1)))
        same[i, j] |= chords < ROUNDED
    return np.asarray(~same)


def _angles(K: Array) -> Array:
    """The angles between inputs, or between opposite ones, as far as a covariance knows them."""
    roots = np.sqrt(np.diagonal(K))
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = np.nan_to_num(1 - np.abs(K) / np.multiply.outer(roots, roots), nan=1.0)
    return np.asarray(np.sqrt(2 * np.maximum(rest, ROUNDED)))


def _unknown(K: Array) -> Array:
    """What a covariance does not know of the angles, from either end."""
    roots = np.sqrt(np.diagonal(K))
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = 1 - np.abs(K) / np.multiply.outer(roots, roots)
        angle = np.sqrt(2 * np.maximum(rest, 0.0))
        return np.nan_to_num(np.minimum(np.sqrt(2 * ROUNDED), ROUNDED / angle), nan=0.0)


@lru_cache(maxsize=256)
def _jumps(activation: Activation, order: int) -> float:
    """The sum of the squares of the finite jumps of a derivative."""
    total = 0.0
    for kink in activation.kinks:
        left, right = limits(activation.derivative(order), kink, activation.kinks)
        total += float(right - left) ** 2 if left.is_finite and right.is_finite else 0.0
    return total
