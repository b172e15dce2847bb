r"""Symmetric functions of two norms and an angle as Chebyshev series, evaluated on tiles of a matrix.

.. math:: f(s_1,s_2,x) = \sum_k T_k(\hat x)\,A_k(s_1,s_2),\qquad A_k(s_1,s_2)=\sum_{ij} T_i(\hat s_1)\,C^k_{ij}\,T_j(\hat s_2)

x is the angle, in which what kinks make of nearly parallel inputs is smooth, and in which the series of nearly all kernels end
earlier than in its cosine. A hat maps the range of x, or of log s, to [-1, 1]. Each C^k is symmetric and of low rank, so that on a
tile A_k is a small matrix product, and the sum over k a few passes over memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.fft import dct, dctn

Array = NDArray[np.float64]
#: For each kernel and k a factor of A_k.
Sides = tuple[tuple[Any, ...], ...]

#: Where the series of a variable ends, and what is left out of the products, relative to the largest coefficient.
ENDS, TAIL = 3e-14, 2e-14
#: Degrees that are tried, in the norms and in the angle.
NORMS, ANGLES = (8, 11, 14, 18, 24, 32, 44, 60, 84, 120), (18, 24, 32, 44, 60, 84, 120, 168, 240)
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
        if half <= 0:
            return np.zeros_like(x)
        image = x - (self.low + self.high) / 2
        image /= half
        return image

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
    small: float  #: terms below this, relative to the largest, are summed in single precision
    bound: float  #: on what is left out of any kernel: exact for what was cut off, extrapolated for what was never computed

    @property
    def variable(self) -> Range:
        """The range of the angle."""
        return angles(self.cosines)

    def left(self, squares: Array, scales: Sequence[Array]) -> Sides:
        """W Q^T T(log s) for the inputs along the rows, times a scale for each kernel: (inputs, r) for each kernel and k."""
        T = self._polynomials(squares)
        return tuple(
            tuple(self._kept((T @ Q) * w * scale[:, None], k) for k, (Q, w) in enumerate(terms))
            for terms, scale in zip(self.factors, scales, strict=True)
        )

    def right(self, squares: Array, scales: Sequence[Array]) -> Sides:
        """Q^T T(log s) for the inputs along the columns, times a scale: (r, inputs) for each kernel and k."""
        T = self._polynomials(squares).T
        return tuple(
            tuple(self._kept((Q.T @ T) * scale, k) for k, (Q, _) in enumerate(terms))
            for terms, scale in zip(self.factors, scales, strict=True)
        )

    def _kept(self, side: Array, k: int) -> Array:
        return np.ascontiguousarray(side, dtype=np.float64 if k < self.split else np.float32)

    def _polynomials(self, squares: Array) -> Array:
        return np.asarray(
            chebyshev.chebvander(self.norms.hat(np.log(squares)), len(self.factors[0][0][0]) - 1), dtype=float
        )

    def tile(self, left: Sides, right: Sides, cosine: Array, rows: slice, columns: slice, out: list[Array]) -> None:
        """The kernels on a tile, written to ``out``."""
        hat = self._hat(cosine)
        last = max(map(len, self.factors))
        split = min(self.split, last)
        before, now = np.ones_like(hat), hat.copy()
        for total, a, b in zip(out, left, right, strict=True):
            _product(a[0][rows], b[0][:, columns], total)
        hat *= 2
        before, now = self._add(out, left, right, rows, columns, (before, now, hat), range(1, split))
        if split < last:
            # What is left is so small that half of the digits are enough.
            small = [np.zeros(hat.shape, dtype=np.float32) for _ in out]
            start = before.astype(np.float32), now.astype(np.float32), hat.astype(np.float32)
            self._add(small, left, right, rows, columns, start, range(split, last))
            for total, rest in zip(out, small, strict=True):
                total += rest

    def _hat(self, cosine: Array) -> Array:
        # Equal inputs lie outside of the range, and far out a polynomial overflows. Others are put in at the end.
        inside = np.clip(cosine, self.cosines.low, self.cosines.high)
        return self.variable.hat(np.arccos(inside, out=inside))

    @cached_property
    def split(self) -> int:
        """The first k from which on single precision is enough for every kernel."""
        sizes = [[np.abs(w).max(initial=0.0) for _, w in terms] for terms in self.factors]
        found = [next((k for k in range(len(s)) if max(s[k:]) <= self.small * max(s)), len(s)) for s in sizes]
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
                    _product(a[k][rows], b[k][:, columns], product)
                    product *= now
                    total += product
            np.multiply(twice, now, out=product)
            np.subtract(product, before, out=before)
            before, now = now, before
        return before, now

    def pairs(self, first: Array, second: Array, cosine: Array) -> list[Array]:
        """The kernels of pairs, in vectors, without their scales."""
        T = chebyshev.chebvander(self._hat(cosine), max(map(len, self.factors)) - 1).T
        ones = [np.ones(len(first))] * len(self.factors)
        return [
            np.sum([np.sum(a * b.T, axis=1) * t for a, b, t in zip(A, B, T, strict=False)], axis=0)
            for A, B in zip(self.left(first, ones), self.right(second, ones), strict=True)
        ]


def _product(a: Any, b: Any, out: Any) -> None:
    """The product of matrices; of a column and a row it takes NumPy ten times as long as the products of their entries."""
    (np.multiply if a.shape[1] == 1 else np.matmul)(a, b, out=out)


def angles(cosines: Range) -> Range:
    """The angles of a range of cosines."""
    return Range(float(np.arccos(cosines.high)), float(np.arccos(cosines.low)))


#: Values at all nodes: norms (p,) and angles (d,) -> one array (p, p, d) for each function.
Nodes = Callable[[Array, Array], list[Array]]


def fit(
    nodes: Nodes,
    norms: Range,
    cosines: Range,
    *,
    most: int = ANGLES[-1],
    budget: float = 1e6,
    tail: float = TAIL,
    small: float = SMALL,
) -> Interpolant | None:
    """The interpolant of the functions that ``nodes`` evaluates, ``norms`` the range of log s; None if no degree is enough.

    ``most`` is the largest degree in the angle, ``budget`` the largest number of pairs that may be evaluated at a time,
    ``tail`` what may be left out of each coefficient and ``small`` what is left to single precision.
    """
    equal = norms.high - norms.low <= EQUAL
    variable = angles(cosines)
    sizes = [1 if equal else NORMS[0], ANGLES[0]]
    while sizes[0] * (sizes[0] + 1) * sizes[1] <= 2 * budget:
        values = nodes(np.exp(norms.nodes(sizes[0])), variable.nodes(sizes[1]))
        coefficients = [_series(v) for v in values]
        if not all(np.isfinite(c).all() for c in coefficients):
            return None
        # The coefficients in the angle, and in one of the norms, of the function where they vanish most slowly.
        profiles = [[_profile(np.moveaxis(c, axis, 0)) for c in coefficients] for axis in (1, 0)]
        degrees = (NORMS, [a for a in ANGLES if a <= most])
        wanted = [max(_wanted(p, d) for p in profiles[axis]) for axis, d in enumerate(degrees)]
        if equal:
            wanted[0] = 1
        if wanted == sizes:
            return _interpolant(norms, cosines, coefficients, tail, small)
        sizes = wanted
    return None


#: A size that is never tried.
NEVER = 10**6


def _wanted(profile: Array, sizes: Iterable[int]) -> int:
    """The size that a series needs, by its decay so far: the present one if it has ended, NEVER if none is enough."""
    n, last = len(profile), float(profile[-2:].max())
    if last <= ENDS:
        return n
    # Coefficients that decay geometrically; what decays late is not given up before it was seen.
    needed = n * max(1.0, 0.9 * np.log(ENDS) / np.log(last)) if last < 0.1 else 1.5 * n
    larger = [size for size in sizes if size > n]
    if not larger or (last < 0.1 and needed > 2 * larger[-1]):
        return NEVER
    return next((size for size in larger if size >= needed), larger[-1])


def _interpolant(norms: Range, cosines: Range, coefficients: list[Array], tail: float, small: float) -> Interpolant:
    factors, cut = zip(*(_factored(c, tail, small) for c in coefficients), strict=True)
    # The two norms are alike.
    beyond = [_beyond(_largest(c)) + 2 * _beyond(_largest(np.moveaxis(c, 1, 0))) for c in coefficients]
    return Interpolant(norms, cosines, factors, small, max(a + b for a, b in zip(cut, beyond, strict=True)))


def _largest(C: Array) -> Array:
    """The largest value of the polynomials in the last two variables, for each first index."""
    # On twice as many nodes as coefficients it is missed by at most a factor 2^(1/2) in each variable.
    for axis in (1, 2):
        first = [slice(None)] * 3
        first[axis] = slice(1, None)
        C = np.array(C)
        C[tuple(first)] /= 2
        C = dct(C, type=3, n=2 * C.shape[axis], axis=axis)
    return np.asarray(2 * np.abs(C).max(axis=(1, 2)))


def _beyond(sizes: Array) -> float:
    """What a series and its aliases hold beyond the last coefficient, by the geometric decay of its last half."""
    if len(sizes) < 6:
        return 0.0
    middle, last = len(sizes) // 2, float(sizes[-2:].max())
    rate = (last / max(float(sizes[middle - 1 : middle + 1].max()), 1e-300)) ** (1 / (len(sizes) - 1 - middle))
    return 2 * last / (1 / min(rate, 0.8) - 1) if rate > 0 else 0.0


def _series(values: Array) -> Array:
    """Chebyshev coefficients from values at Chebyshev points, the index of the angle first."""
    C = dctn(values, type=2) / np.prod(values.shape)
    for axis in range(3):
        first = [slice(None)] * 3
        first[axis] = slice(0, 1)
        C[tuple(first)] /= 2
    return np.moveaxis(C, 2, 0)


def _profile(C: Array) -> Array:
    """The largest coefficient at each place of the first index, relative to the largest of all."""
    size = np.abs(C).max(axis=(1, 2))
    return np.asarray(size / (size.max() or 1.0))


def _factored(C: Array, tail: float, small: float) -> tuple[tuple[tuple[Array, Array], ...], float]:
    """Each C^k by its eigenvectors, without what is negligible, and a bound on all that is left out."""
    largest = np.abs(C).max()
    limit = tail * largest
    last = int(np.nonzero(np.abs(C).max(axis=(1, 2)) > limit)[0].max(initial=0))
    terms, left_out, single = [], C.copy(), 0.0
    blocks = C[: last + 1]
    for k, (values, vectors) in enumerate(zip(*np.linalg.eigh((blocks + blocks.transpose(0, 2, 1)) / 2), strict=True)):
        kept = np.abs(values) > limit
        terms.append((np.ascontiguousarray(vectors[:, kept]), values[kept]))
        left_out[k] -= (terms[-1][0] * values[kept]) @ terms[-1][0].T
        if np.abs(values).max(initial=0.0) <= small * largest:
            single += float(np.finfo(np.float32).eps * np.abs(values).sum())
    return tuple(terms), float(_largest(left_out).sum()) + single
