r"""Symmetric functions of two norms and a cosine as Chebyshev series, evaluated on tiles of a matrix.

.. math:: f(s_1,s_2,c) = \sum_k T_k(\hat c)\,A_k(s_1,s_2),\qquad A_k(s_1,s_2)=\sum_{ij} T_i(\hat s_1)\,C^k_{ij}\,T_j(\hat s_2)

A hat maps the range of c, or of log s, to [-1, 1]. Each C^k is symmetric and of low rank, so that on a tile A_k is a small
matrix product, and the sum over k a few passes over memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.fft import dctn

Array = NDArray[np.float64]
#: For each kernel and k a factor of A_k.
Sides = tuple[tuple[Any, ...], ...]

#: Accuracy relative to the largest value, and what is left out of a series.
ACCURACY, TAIL = 1e-12, 3e-14
#: Degrees that are tried, in the norms and in the cosine.
NORMS, COSINES = (8, 11, 14, 18, 24, 32), (18, 24, 32, 48, 64, 96)
#: Terms smaller than this, relative to the largest, are summed in single precision.
SMALL = 1e-7
#: Norms whose logarithms differ by less count as equal.
EQUAL = 1e-14


@dataclass(frozen=True)
class Range:
    """An interval, mapped to [-1, 1]."""

    low: float
    high: float

    def hat(self, x: Array) -> Array:
        """The image of x."""
        half = (self.high - self.low) / 2
        return (x - (self.low + self.high) / 2) / half if half > 0 else np.zeros_like(x)

    def nodes(self, count: int) -> Array:
        """Chebyshev points of the first kind."""
        x = chebyshev.chebpts1(count)[::-1]
        return (self.low + self.high) / 2 + (self.high - self.low) / 2 * x


@dataclass(frozen=True)
class Interpolant:
    """The interpolant. ``factors`` holds for each kernel and k a matrix Q (p, r) and weights w (r,): C^k = Q diag(w) Q^T."""

    norms: Range  #: of log s
    cosines: Range
    factors: tuple[tuple[tuple[Array, Array], ...], ...]

    def left(self, squares: Array) -> Sides:
        """W Q^T T(log s) for the inputs along the rows: (inputs, r) for each kernel and k."""
        T = self._polynomials(squares)
        return tuple(tuple(self._kept((T @ Q) * w, k) for k, (Q, w) in enumerate(terms)) for terms in self.factors)

    def right(self, squares: Array) -> Sides:
        """Q^T T(log s) for the inputs along the columns: (r, inputs) for each kernel and k."""
        T = self._polynomials(squares).T
        return tuple(tuple(self._kept(Q.T @ T, k) for k, (Q, _) in enumerate(terms)) for terms in self.factors)

    def _kept(self, side: Array, k: int) -> Array:
        return np.ascontiguousarray(side, dtype=np.float64 if k < self.split else np.float32)

    def _polynomials(self, squares: Array) -> Array:
        return np.asarray(
            chebyshev.chebvander(self.norms.hat(np.log(squares)), len(self.factors[0][0][0]) - 1), dtype=float
        )

    def tile(self, left: Sides, right: Sides, cosine: Array, rows: slice, columns: slice, out: list[Array]) -> None:
        """The kernels on a tile, written to ``out``."""
        hat = self.cosines.hat(cosine)
        last = max(map(len, self.factors))
        split = min(self.split, last)
        before, now = np.ones_like(hat), hat.copy()
        for total, a, b in zip(out, left, right, strict=True):
            np.matmul(a[0][rows], b[0][:, columns], out=total)
        hat *= 2
        before, now = self._add(out, left, right, rows, columns, (before, now, hat), range(1, split))
        if split < last:
            # What is left is so small that half of the digits are enough.
            small = [np.zeros(hat.shape, dtype=np.float32) for _ in out]
            start = before.astype(np.float32), now.astype(np.float32), hat.astype(np.float32)
            self._add(small, left, right, rows, columns, start, range(split, last))
            for total, rest in zip(out, small, strict=True):
                total += rest

    @cached_property
    def split(self) -> int:
        """The first k from which on single precision is enough for every kernel."""
        sizes = [[np.abs(w).max(initial=0.0) for _, w in terms] for terms in self.factors]
        found = [next((k for k in range(len(s)) if max(s[k:]) <= SMALL * max(s)), len(s)) for s in sizes]
        return max(1, *found)

    def _add(
        self,
        out: list[Any],
        left: Sides,
        right: Sides,
        rows: slice,
        columns: slice,
        start: tuple[Any, Any, Any],
        ks: range,
    ) -> tuple[Any, Any]:
        """Add the terms of these k; ``start`` is T_(k-1), T_k and 2 c, and the two T that come after are returned."""
        before, now, twice = start
        product = np.empty_like(now)
        for k in ks:
            for total, a, b in zip(out, left, right, strict=True):
                if k < len(a):
                    np.matmul(a[k][rows], b[k][:, columns], out=product)
                    product *= now
                    total += product
            np.multiply(twice, now, out=product)
            np.subtract(product, before, out=before)
            before, now = now, before
        return before, now

    def pairs(self, first: Array, second: Array, cosine: Array) -> list[Array]:
        """The kernels of pairs, in vectors."""
        T = chebyshev.chebvander(self.cosines.hat(cosine), max(map(len, self.factors)) - 1).T
        return [
            np.sum([np.sum(a * b.T, axis=1) * t for a, b, t in zip(A, B, T, strict=False)], axis=0)
            for A, B in zip(self.left(first), self.right(second), strict=True)
        ]


#: Values at all nodes: norms (p,) and cosines (d,) -> one array (p, p, d) for each function.
Nodes = Callable[[Array, Array], list[Array]]


def fit(nodes: Nodes, norms: Range, cosines: Range) -> Interpolant | None:
    """The interpolant of the functions that ``nodes`` evaluates, ``norms`` the range of log s; None if no degree is enough."""
    equal = norms.high - norms.low <= EQUAL
    p, d = iter((1,) if equal else NORMS), iter(COSINES)
    size: tuple[int | None, int | None] = next(p), next(d)
    while size[0] is not None and size[1] is not None:
        coefficients = [_series(v) for v in nodes(np.exp(norms.nodes(size[0])), cosines.nodes(size[1]))]
        if not all(np.isfinite(c).all() for c in coefficients):
            return None
        open_cosine, open_norm = (not all(_settled(np.moveaxis(c, axis, 0)) for c in coefficients) for axis in (0, 1))
        if not (open_cosine or (open_norm and not equal)):
            return Interpolant(norms, cosines, tuple(map(_factored, coefficients)))
        size = (next(p, None) if open_norm and not equal else size[0]), (next(d, None) if open_cosine else size[1])
    return None


def _series(values: Array) -> Array:
    """Chebyshev coefficients from values at Chebyshev points, the index of the cosine first."""
    C = dctn(values, type=2) / np.prod(values.shape)
    for axis in range(3):
        first = [slice(None)] * 3
        first[axis] = slice(0, 1)
        C[tuple(first)] /= 2
    return np.moveaxis(C, 2, 0)


def _settled(C: Array) -> bool:
    """Whether the last two coefficients in the first index are negligible."""
    size = np.abs(C)
    return bool(size[-2:].max() <= ACCURACY / 8 * size.max())


def _factored(C: Array) -> tuple[tuple[Array, Array], ...]:
    """Each C^k by its eigenvectors, without what is negligible."""
    limit = TAIL * np.abs(C).max()
    last = int(np.nonzero(np.abs(C).max(axis=(1, 2)) > limit)[0].max(initial=0))
    terms = []
    for block in C[: last + 1]:
        values, vectors = np.linalg.eigh((block + block.T) / 2)
        kept = np.abs(values) > limit
        terms.append((np.ascontiguousarray(vectors[:, kept]), values[kept]))
    return tuple(terms)
