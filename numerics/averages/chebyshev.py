r"""Symmetric functions of two norms and an angle as Chebyshev series, evaluated on tiles of a matrix.

.. math:: f(s_1,s_2,x) = \sum_k T_k(\hat x)\,A_k(s_1,s_2),\qquad A_k(s_1,s_2)=\sum_{ij} T_i(\hat s_1)\,C^k_{ij}\,T_j(\hat s_2)

x is the angle: the kernels of kinked activations are smooth in it at nearly parallel inputs, and the series of nearly all kernels
are shorter in it than in its cosine. A hat maps the range of x, or of log s, to [-1, 1]. Each C^k is symmetric and of low rank, so
that on a tile A_k is a small matrix product, and the sum over k a few passes over memory. Where the series is short, the
coefficients of powers of :math:`\hat x` are as small as those of polynomials, and powers are summed in fewer passes (Horner).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray
from scipy.fft import dct, dctn

Array = NDArray[np.float64]
#: For each kernel and k a factor of A_k, (r, inputs).
Sides = list[list[Any]]

#: Relative to the largest coefficient: the size at which the series of a variable has ended, and the most that products leave out.
ENDS, TAIL = 3e-14, 2e-14
#: Degrees that are tried, in the norms and in the angle.
NORMS, ANGLES = (8, 11, 14, 18, 24, 32, 44, 60, 84, 120), (18, 24, 32, 44, 60, 84, 120, 168, 240)
#: Terms smaller than this, relative to the largest, are summed in single precision.
SMALL = 3e-7
#: The most that the terms of a series in powers may add up to, relative to its largest coefficient in polynomials.
AMPLIFIED = 3.0
#: The most powers, as polynomials grow outside of [-1, 1] like the powers of 1 + 2^(1/2); and the most that they may leave out.
MOST_POWERS, ENOUGH = 40, 8e-13
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
class Polynomials:
    """Functions of x in [-1, 1] that a series consists of."""

    values: Callable[..., Any]  #: of x and a degree: (..., degree + 1)
    total: Callable[[Sides, Sides, Array, Sequence[int]], list[Array]]  #: sums over k, see ``_recurrence``
    alike: bool  #: single precision begins at the same k for all kernels


@dataclass(frozen=True)
class KernelSeries:
    """The series of one kernel: C^k = Q_k diag(w_k) Q_k^T, the Q_k (p, r_k) of all k side by side."""

    Q: Array
    w: Array
    ranks: tuple[int, ...]
    split: int  #: the first k from which on single precision is enough

    def factors(self, side: Array) -> list[Any]:
        """The rows (sum of r_k, inputs) of each k."""
        starts = np.cumsum((0, *self.ranks))
        first = starts[self.split]
        small = side[first:].astype(np.float32)
        return [
            side[low:high] if k < self.split else small[low - first : high - first]
            for k, (low, high) in enumerate(pairwise(starts))
        ]


@dataclass(frozen=True)
class Interpolant:
    """The interpolant: a series in the angle for each kernel."""

    basis: Polynomials  #: in the angle
    norms: Range  #: of log s
    cosines: Range
    series: tuple[KernelSeries, ...]
    bound: (
        float  #: on the error of any kernel: exact for the coefficients cut off, extrapolated for those never computed
    )

    @property
    def variable(self) -> Range:
        """The range of the angle."""
        return angles(self.cosines)

    def columns(self, squares: Array, scales: Sequence[Array]) -> list[Array]:
        """Q^T T(log s) of each kernel, all k below each other, (sum of r_k, inputs), times a scale for each kernel."""
        T = self._polynomials(squares).T
        return [one.Q.T @ (T * scale) for one, scale in zip(self.series, scales, strict=True)]

    def sides(self, rows: Sequence[Array], columns: Sequence[Array]) -> tuple[Sides, Sides]:
        """The factors of A_k that ``tile`` takes, for the inputs along rows and columns; the weights w are with the rows."""
        weighted = [one.factors(side * one.w[:, None]) for one, side in zip(self.series, rows, strict=True)]
        return weighted, [one.factors(side) for one, side in zip(self.series, columns, strict=True)]

    def _polynomials(self, squares: Array) -> Array:
        return np.asarray(chebyshev.chebvander(self.norms.hat(np.log(squares)), len(self.series[0].Q) - 1), dtype=float)

    def tile(self, left: Sides, right: Sides, cosine: Array, rows: slice, columns: slice) -> list[Array]:
        """The kernels on a tile, each (rows, columns)."""
        first = [[side[:, rows].T for side in sides] for sides in left]
        second = [[side[:, columns] for side in sides] for sides in right]
        return self.basis.total(first, second, self._hat(cosine), [one.split for one in self.series])

    def _hat(self, cosine: Array) -> Array:
        # Pairs of equal inputs lie outside of the range, where polynomials overflow; ``tiles`` writes their kernels at the end.
        inside = np.clip(cosine, self.cosines.low, self.cosines.high)
        return self.variable.hat(np.arccos(inside, out=inside))

    def pairs(self, first: Array, second: Array, cosine: Array) -> list[Array]:
        """The kernels of pairs, in vectors, without their scales."""
        T = self.basis.values(self._hat(cosine), max(len(one.ranks) for one in self.series) - 1).T
        ones = [np.ones(len(first))] * len(self.series)
        both = zip(*self.sides(self.columns(first, ones), self.columns(second, ones)), strict=True)
        return [np.sum([(a * b).sum(axis=0) * t for a, b, t in zip(*sides, T, strict=False)], axis=0) for sides in both]


def _recurrence(left: Sides, right: Sides, x: Array, splits: Sequence[int]) -> list[Array]:
    """The sum over k of T_k(x) left_k right_k for each kernel; from ``split`` on, factors and sums have single precision."""
    totals = into = [np.matmul(a[0], b[0]) for a, b in zip(left, right, strict=True)]
    vectors: list[Any] = [np.ones_like(x), x.copy(), 2 * x, np.empty_like(x), np.empty_like(x)]
    before, now, twice, product, work = vectors
    for k in range(1, max(map(len, left))):
        if k == max(splits):  # the terms from here on are so small that half of the digits are enough
            before, now, twice, product, work = (v.astype(np.float32) for v in (before, now, twice, product, work))
            into = [np.zeros_like(now) for _ in totals]
        for total, a, b in zip(into, left, right, strict=True):
            if k < len(a):
                np.matmul(a[k], b[k], out=product)
                product *= now
                total += product
        # T_(k+1) = 2 x T_k - T_(k-1)
        np.multiply(twice, now, out=work)
        np.subtract(work, before, out=before)
        before, now = now, before
    return totals if into is totals else [total + small for total, small in zip(totals, into, strict=True)]


def _horner(left: Sides, right: Sides, x: Array, splits: Sequence[int]) -> list[Array]:
    """The same sums with the powers x^k in the place of T_k(x)."""
    single = x.astype(np.float32)
    return [_powers(a, b, split, x, single) for a, b, split in zip(left, right, splits, strict=True)]


def _powers(left: Sequence[Any], right: Sequence[Any], split: int, x: Array, single: Any) -> Array:
    """The sum of one kernel by Horner's scheme: it begins with the highest powers, the smallest terms, in single precision."""
    total: Any = None
    for part, y in ((slice(split, None), single), (slice(split), x)):
        product = np.empty_like(y)
        total = None if total is None else total.astype(y.dtype)
        for a, b in zip(reversed(left[part]), reversed(right[part]), strict=True):
            if total is None:
                total = np.matmul(a, b)
                continue
            np.matmul(a, b, out=product)
            total *= y
            total += product
    return np.asarray(total)


CHEBYSHEV = Polynomials(chebyshev.chebvander, _recurrence, alike=True)
POWERS = Polynomials(polynomial.polyvander, _horner, alike=False)


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
    ``tail`` the most that each coefficient may leave out, ``small`` the largest terms that are summed in single precision.
    """
    equal = norms.high - norms.low <= EQUAL
    variable = angles(cosines)
    sizes = [1 if equal else NORMS[0], ANGLES[0]]
    while sizes[0] * (sizes[0] + 1) * sizes[1] <= 2 * budget:
        values = nodes(np.exp(norms.nodes(sizes[0])), variable.nodes(sizes[1]))
        coefficients = [_series(v) for v in values]
        if not all(np.isfinite(c).all() for c in coefficients):
            return None
        # The decay of the coefficients in one of the norms and in the angle; the kernel with the longest series decides.
        profiles = [[_profile(np.moveaxis(c, axis, 0)) for c in coefficients] for axis in (1, 0)]
        degrees = (NORMS, [a for a in ANGLES if a <= most])
        needed = [[_wanted(p, d) for p in profiles[axis]] for axis, d in enumerate(degrees)]
        if equal:
            needed[0] = [1]
        enough = [[size for size in some if size is not None] for some in needed]
        if any(len(e) < len(some) for e, some in zip(enough, needed, strict=True)):
            return None
        wanted = [max(some) for some in enough]
        if wanted == sizes:
            return _interpolant(norms, cosines, coefficients, tail, small)
        sizes = wanted
    return None


def _wanted(profile: Array, sizes: Iterable[int]) -> int | None:
    """The size that a series needs, by its decay so far: the present one if it has ended, None if none is enough."""
    n, last = len(profile), float(profile[-2:].max())
    if last <= ENDS:
        return n
    # Geometric decay says how many are needed. A series that has not begun to decay is tried with half as many again.
    needed = n * max(1.0, 0.9 * np.log(ENDS) / np.log(last)) if last < 0.1 else 1.5 * n
    larger = [size for size in sizes if size > n]
    if not larger or (last < 0.1 and needed > 2 * larger[-1]):
        return None
    return next((size for size in larger if size >= needed), larger[-1])


def _interpolant(norms: Range, cosines: Range, coefficients: list[Array], tail: float, small: float) -> Interpolant:
    # Beyond the last coefficient: once in the angle, twice in a norm, as there are two.
    beyond = [_beyond(_largest(c)) + 2 * _beyond(_largest(np.moveaxis(c, 1, 0))) for c in coefficients]
    plain = _made(CHEBYSHEV, norms, cosines, [_factored(c, tail) for c in coefficients], beyond, small)
    kept = [_factored(c, tail / 4) for c in coefficients]  # powers amplify the error of the terms cut off
    if tail < TAIL or max(len(terms) for terms, _ in kept) > MOST_POWERS:
        return plain
    # Powers are refused where their terms cancel, or where their bound is too large.
    powers = [_in_powers(terms) for terms, _ in kept]
    largest = [AMPLIFIED * np.abs(c).max() for c in coefficients]
    if any(np.abs(p).max(axis=(1, 2)).sum() > most for p, most in zip(powers, largest, strict=True)):
        return plain
    beyond = [left + cut for left, (_, cut) in zip(beyond, kept, strict=True)]
    short = _made(POWERS, norms, cosines, [_factored(p, tail) for p in powers], beyond, small)
    return short if short.bound <= ENOUGH else plain


def _made(
    basis: Polynomials,
    norms: Range,
    cosines: Range,
    factored: Sequence[tuple[list[tuple[Array, Array]], float]],
    beyond: Sequence[float],
    small: float,
) -> Interpolant:
    """The interpolant from the factors of all kernels and bounds on the coefficients that they leave out."""
    terms, cut = zip(*factored, strict=True)
    # Terms up to ``small``, relative to the largest, are summed in single precision.
    sizes = [np.array([np.abs(w).max(initial=0.0) for _, w in t]) for t in terms]
    splits = [1 + int(np.nonzero(s > small * s.max())[0].max(initial=0)) for s in sizes]
    splits = [max(splits)] * len(splits) if basis.alike else splits
    # The bound: eigenvectors cut off, coefficients beyond the last one, rounding of the terms in single precision.
    lost = [sum(np.abs(w).sum() for _, w in t[split:]) for t, split in zip(terms, splits, strict=True)]
    bound = max(map(sum, zip(cut, beyond, strict=True))) + float(np.finfo(np.float32).eps * max(lost))
    return Interpolant(basis, norms, cosines, tuple(map(_series_of, terms, splits)), bound)


def _series_of(terms: Sequence[tuple[Array, Array]], split: int) -> KernelSeries:
    """The terms of all k side by side, of rank two at least: NumPy multiplies matrices of rank one ten times more slowly."""
    ranks = tuple(max(2, len(w)) for _, w in terms)
    Q, w = np.zeros((len(terms[0][0]), sum(ranks))), np.zeros(sum(ranks))
    for start, (vectors, values) in zip(np.cumsum((0, *ranks)), terms, strict=False):
        Q[:, start : start + len(values)], w[start : start + len(values)] = vectors, values
    return KernelSeries(Q, w, ranks, min(split, len(ranks)))


def _in_powers(terms: Sequence[tuple[Array, Array]]) -> Array:
    """The coefficients of powers of the angle from those of its polynomials by their eigenvectors, (k, p, p)."""
    change = np.zeros((len(terms), len(terms)))
    for k in range(len(terms)):
        change[: k + 1, k] = chebyshev.cheb2poly(np.eye(k + 1)[k])
    return np.asarray(np.tensordot(change, np.stack([(Q * w) @ Q.T for Q, w in terms]), 1))


def _largest(C: Array) -> Array:
    """The largest value of the polynomials in the last two variables, for each first index."""
    # The largest of the values at twice as many nodes as coefficients is too small by at most 2^(1/2) in each variable.
    for axis in (1, 2):
        first = [slice(None)] * 3
        first[axis] = slice(1, None)
        C = np.array(C)
        C[tuple(first)] /= 2
        C = dct(C, type=3, n=2 * C.shape[axis], axis=axis)
    return np.asarray(2 * np.abs(C).max(axis=(1, 2)))


def _beyond(sizes: Array) -> float:
    """A bound on the coefficients of a series beyond the last one and their aliases, by the geometric decay of its last half."""
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


def _factored(C: Array, tail: float) -> tuple[list[tuple[Array, Array]], float]:
    """Each C^k by its eigenvectors, without those of negligible eigenvalues, and a bound on the part left out."""
    limit = tail * np.abs(C).max()
    last = int(np.nonzero(np.abs(C).max(axis=(1, 2)) > limit)[0].max(initial=0))
    terms, left_out, blocks = [], C.copy(), C[: last + 1]
    for k, (values, vectors) in enumerate(zip(*np.linalg.eigh((blocks + blocks.transpose(0, 2, 1)) / 2), strict=True)):
        kept = np.abs(values) > limit
        terms.append((vectors[:, kept], values[kept]))
        left_out[k] -= (vectors[:, kept] * values[kept]) @ vectors[:, kept].T
    return terms, float(_largest(left_out).sum())
