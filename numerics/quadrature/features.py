r"""Where an activation has structure: its finest scale, and panels on which it is as good as a polynomial.

Its text is copied into generated programs, so it imports NumPy, SciPy and the standard library.

Two grids that both step over a narrow feature agree with each other, and a comparison of their sums does not show it. But
all averages of a call see the same sigma, a function of one variable: sigma is sampled once, finely and in z, not in u.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: sigma(z, kmax) -> (sigma(z), sigma'(z), ..., sigma^(kmax)(z)), each shaped like z, derivatives between the kinks.
Sigma = Callable[[Array, int], Sequence[Array]]

#: Chebyshev nodes of a panel; the largest that coefficients from _KEPT on may be, relative to sigma nearby; and the most
#: that a long panel may miss of the shorter ones in it.
_NODES, _KEPT, _RESOLVED, _MISSED = 24, 17, 1e-12, 1e-14
#: Panels have length 1 up to |z| = _NEAR, and grow in proportion to |z| beyond; coefficients are compared with the largest
#: sigma up to |z|, at least up to _SEEN.
_NEAR, _SEEN = 32.0, 8.0
#: Most panels, and the shortest, in units of max(1, |z|/_NEAR): at a kink missing from ``kinks`` the bisection ends there.
_MOST_PANELS, _SHORTEST = 1 << 13, 2.0**-10

#: Digits of z: the shortest panel at a kink, in units of its place.
_DIGITS = 2.0**-44

#: Panels end at an odd place: a kink at a round number, missing from ``kinks``, lies inside of a panel and is noticed.
_OFF = 0.2929

_COSINES = -np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
_COEFFICIENTS = np.cos(np.arange(_NODES)[:, None] * np.arccos(_COSINES)) * (2 / _NODES)
_COEFFICIENTS[0] /= 2


@dataclass(frozen=True)
class Features:
    r"""The derivatives 0..top of an activation between -reach and reach.

    Valid
        A feature is seen if its width (the standard deviation of a bump) is above 0.05 and above |z|/600: the nodes of a
        panel of width 1 are nowhere further apart than 0.066.
    """

    sigma: Sigma
    kinks: tuple[float, ...]
    top: int
    reach: float
    power: int = 1  #: how many factors stand at a site
    deep: float = 0.0  #: the shortest panel at a kink at which a derivative is infinite; 0: as elsewhere
    least: float = 1e-16  #: share of such a panel that no longer counts

    def _values(self, a: Array, b: Array) -> tuple[Array, Array]:
        """Nodes (panels, nodes) of the panels [a, b] and the derivatives there, (1 + top, panels, nodes)."""
        z = (a + b)[:, None] / 2 + (b - a)[:, None] / 2 * _COSINES
        f = np.array([np.broadcast_to(v, z.size) for v in self.sigma(z.ravel(), self.top)[: self.top + 1]])
        return z, np.where(np.isfinite(f), f, 0.0).reshape(-1, *z.shape)

    @cached_property
    def _panels(self) -> tuple[Array, Array, Array, float, bool, bool]:
        """Short panels [a, b] in increasing order; how large sigma is near them, (1 + top, panels); half of the shortest
        panel that had to be cut, at most 1; whether all panels resolve sigma; and whether a derivative is infinite at a kink.
        """
        R = self.reach
        far = _NEAR * 2 ** (np.arange(1 + 32 * max(0, int(np.ceil(np.log2(max(R, _NEAR) / _NEAR))))) / 32)
        edges = np.concatenate([np.arange(_OFF, _NEAR), far])
        edges = np.concatenate([-1 + 2 * _OFF - edges, edges])
        edges = np.unique(np.concatenate([[-R, R], edges[np.abs(edges) < R], [k for k in self.kinks if abs(k) < R]]))
        a, b = edges[:-1], edges[1:]
        z, f = self._values(a, b)
        order = np.argsort(np.abs(z).ravel())
        radius = np.append(np.abs(z).ravel()[order], np.inf)
        largest = np.maximum.accumulate(np.abs(f.reshape(len(f), -1))[:, order[[*range(z.size), -1]]], axis=1)
        done, finest = list[tuple[Array, Array, Array]](), 1.0
        resolved, singular = True, False
        while True:
            size = largest[:, np.searchsorted(radius, np.maximum(np.maximum(np.abs(a), np.abs(b)), _SEEN))]
            bad = (np.abs(f @ _COEFFICIENTS[_KEPT:].T).max(axis=2) > _RESOLVED * size).any(axis=0)
            short = b - a < _SHORTEST * np.maximum(1, np.abs(a + b) / (2 * _NEAR))
            # Beside a kink panels may halve on: roots of the distance, and powers above -1, are resolved by panels in proportion
            # to it, and the last one has a share that does not count.
            kink = np.isin(a, self.kinks) | np.isin(b, self.kinks) if self.deep else np.zeros(len(a), dtype=bool)
            settled = kink & short & ((b - a) * (np.abs(f).max(axis=2) ** self.power).max(axis=0) <= self.least)
            bottom = np.maximum(self.deep, _DIGITS * np.where(np.isin(a, self.kinks), np.abs(a), np.abs(b)))
            hopeless = bad & ~settled & np.where(kink, b - a < bottom, short)
            singular |= bool((bad & kink & short).any())
            bad &= ~settled
            if sum(len(d[0]) for d in done) + len(a) > _MOST_PANELS:
                hopeless = bad
            resolved &= not hopeless.any()
            bad &= ~hopeless
            done.append((a[~bad], b[~bad], size[:, ~bad]))
            wanted = bad
            a, b = a[bad], b[bad]
            if not len(a):
                break
            finest = min(finest, float((b - a).min(initial=2.0, where=~short[wanted]) / 2))
            a, b = np.concatenate([a, (a + b) / 2]), np.concatenate([(a + b) / 2, b])
            z, f = self._values(a, b)
        a, b = (np.concatenate([d[i] for d in done]) for i in (0, 1))
        order = np.argsort(a)
        return a[order], b[order], np.concatenate([d[2] for d in done], axis=1)[:, order], finest, resolved, singular

    @property
    def finest(self) -> float:
        """The length of the shortest panel that resolves sigma, at most 1, which resolves tanh."""
        return self._panels[3]

    @property
    def resolved(self) -> bool:
        """Whether sigma is smooth on all panels, as far as their nodes show."""
        return self._panels[4]

    @property
    def singular(self) -> bool:
        """Whether a derivative is infinite at a kink, which panels approach in steps."""
        return self._panels[5]

    @property
    def dead(self) -> list[bool]:
        """Which derivatives are zero on all samples."""
        return [not size.any() for size in self._panels[2]]

    @cached_property
    def edges(self) -> Array:
        """The points, kinks among them, between which polynomials of degree 23 follow sigma."""
        a, b, size, *_ = self._panels
        idle, first = 0, 0
        while idle < 2 and len(a) > 1:
            left = np.arange(first, len(a) - 1, 2)
            left = left[~np.isin(b[left], self.kinks)]
            idle, first = idle + 1, 1 - first
            if not len(left):
                continue
            _, f = self._values(a[left], b[left + 1])
            c = f @ _COEFFICIENTS.T
            middle, half = (a[left] + b[left + 1]) / 2, (b[left + 1] - a[left]) / 2
            (z, g), (z_right, g_right) = (self._values(a[i], b[i]) for i in (left, left + 1))
            z, g = np.append(z, z_right, axis=1), np.append(g, g_right, axis=2)
            x = (z - middle[:, None]) / half[:, None]
            predicted = (chebvander(x, _NODES - 1) @ c.transpose(1, 2, 0)).transpose(2, 0, 1)
            miss = np.abs(predicted - g).max(axis=2)
            # The tail of a factor counts even where it is small: another factor may be large there.
            local = np.maximum(np.abs(g).max(axis=2), 1e-5 * np.maximum(size[:, left], size[:, left + 1]))
            good = left[(miss <= _MISSED * local).all(axis=0)]
            size[:, good] = np.maximum(size[:, good], size[:, good + 1])
            a, b, size = np.delete(a, good + 1), np.delete(b, good), np.delete(size, good + 1, axis=1)
            idle = 0 if len(good) else idle
        return self._thinned(a[1:])

    def _thinned(self, edges: Array) -> Array:
        """Of the edges that halve towards a kink every third: a Gauss rule is exact between distances of one to eight."""
        kept = np.ones(len(edges), dtype=bool)
        for kink in self.kinks if self.singular else ():
            for side in (-1, 1):
                distance = side * (edges - kink)
                (near,) = np.nonzero((distance > 0) & (distance < _SHORTEST))
                kept[near[np.argsort(distance[near])[np.arange(len(near)) % 3 > 0]]] = False
        return edges[kept]

    def apart(self, gap: float) -> Array:
        """Some of the edges, at least ``gap`` from each other."""
        kept = list[float]()
        for edge in self.edges.tolist():
            if not kept or edge - kept[-1] >= gap:
                kept.append(edge)
        return np.array(kept)
