r"""Rules on one axis of standard normal variables: a fine and a coarse one that share their nodes.

Its text is copied into generated programs, so it imports NumPy, SciPy and the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import eval_hermitenorm, eval_legendre, roots_legendre

from .features import Array
from .grids import density


@dataclass(frozen=True)
class Axis:
    """Rules for the outer points in its rows: one row serves all of them if the nodes are equidistant."""

    T: float
    u: Array  # (1 or P, nodes), the last four at the ends and a little beyond
    #: Weights of the fine and the coarse rule, (2, nodes of the axis or of a panel), and half the panels, (P, panels).
    rules: Array
    half: Array | None = None

    @cached_property
    def _density(self) -> Array:
        return density(self.u[:, :-4])

    def _with(self, f: Array, weight: Array, rules: Array) -> Array:
        """Sums of f times the weight, (rules, P)."""
        if self.half is None:
            return np.asarray((rules * weight) @ f[:, :-4].T)
        g = (f[:, :-4] * weight).reshape(*self.half.shape, -1)
        return np.asarray(np.einsum("pkr,pk->rp", g @ rules.T, self.half))

    def pair(self, f: Array, q: int) -> tuple[Array, Array]:
        """The average of He_q f by the fine and by the coarse rule, each (P,); f: (P, nodes)."""
        weight = self._density * eval_hermitenorm(q, self.u[:, :-4]) if q else self._density
        fine, coarse = self._with(f, weight, self.rules)
        return fine, coarse

    def sizes(self, f: Array, q: int) -> tuple[Array, Array, Array]:
        """For f >= 0 the average of |He_q| f, the same weighted with the sensitivity to rounding of z, and the part outside."""
        # Rounding of L is a factor 1 + epsilon of u: by parts, epsilon E[u df/du] = epsilon E[(u^2 - 1) f].
        u = self.u[:, :-4]
        weight = self._density * np.abs(eval_hermitenorm(q, u)) if q else self._density
        if self.half is None:
            size, rounding = self._with(f, weight, self.rules[:1] * np.concatenate([np.ones_like(u), (1 + u**2) / 2]))
        else:
            (size,), (rounding,) = (self._with(f, w, self.rules[:1]) for w in (weight, weight * (1 + u**2) / 2))
        return size, rounding, self.outside(f, q)

    def outside(self, f: Array, q: int) -> Array:
        """A bound on the average of |He_q| f beyond the ends."""
        # Beyond T a Gaussian weighs less than density(T)/T, here twice, for integrands that grow; f is summed over two nodes
        # on either side, for integrands that oscillate.
        end = 2 / self.T * float(density(np.array(self.T))) * abs(float(eval_hermitenorm(q, self.T)))
        return np.asarray(end * f[:, -4:].sum(axis=1))


def equidistant(T: float, nodes: int) -> Axis:
    """The trapezoid rule, an odd number of nodes."""
    u = np.concatenate([np.linspace(-T, T, nodes), _beyond(T)])[None]
    rules = np.full((2, nodes), 2 * T / (nodes - 1))
    rules[1] *= 2
    rules[1, 1::2] = 0
    return Axis(T, u, rules)


def in_panels(T: float, breaks: Array, nodes: int) -> Axis:
    """Gauss-Legendre rules between the breaks, (P, breaks)."""
    edges = np.empty((len(breaks), breaks.shape[1] + 2))
    edges[:, 0], edges[:, -1] = -T, T
    np.fmin(np.fmax(breaks, -T), T, out=edges[:, 1:-1])
    edges.sort(axis=1)
    half = np.diff(edges, axis=1) / 2
    x, rules = gauss(nodes)
    u = np.empty((len(breaks), half.shape[1] * len(x) + 4))
    u[:, :-4] = (edges[:, :-1, None] + half[:, :, None] * (1 + x)).reshape(len(breaks), -1)
    u[:, -4:] = _beyond(T)
    return Axis(T, u, rules, half)


def _beyond(T: float) -> Array:
    return np.array([-1.03 * T, -T, T, 1.03 * T])


@lru_cache(maxsize=128)
def gauss(n: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes on [-1, 1]; weights, and weights that differ by the last two Legendre coefficients."""
    # The rule is exact to degree 2n - 1. The part of the integrand of degrees n - 2 and n - 1 is about the square root of the
    # part beyond 2n - 1, which the rule misses. It estimates the error as a rule with half of the nodes would, without one.
    x, w = roots_legendre(n)[:2]
    last = sum((2 * k + 1) / 2 * eval_legendre(k, x) for k in (n - 2, n - 1))
    return x, np.array([w, w * (1 + last)])
