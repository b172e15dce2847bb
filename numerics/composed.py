r"""The composed map of all layers as one interpolant in three numbers, at a cost that does not grow with depth.

With :math:`s=|x|^2/n_0` and the cosine c of two inputs, the kernel of the last layer is a function

.. math:: f(s_1,s_2,c) = \sum_k T_k(\hat c)\,A_k(s_1,s_2),\qquad A_k(s_1,s_2)=\sum_{ij} T_i(\hat s_1)\,C^k_{ij}\,T_j(\hat s_2)

of which Chebyshev polynomials on the ranges that occur need few terms: a hat maps the range of c, or of log s, to [-1, 1]. Each
C^k is symmetric and of low rank, so that on a tile A_k is a small matrix product, and the sum over k a few passes over memory. The
degrees are raised until the tails of C vanish and the interpolant agrees with the map itself at pairs of the data; where it does
not, there is no interpolant, and the caller does without.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.fft import dctn

from .pairs import PairMap

Array = NDArray[np.float64]

#: Accuracy relative to the largest value, and what is left out of a series.
ACCURACY, TAIL = 1e-12, 1e-14
#: Degrees that are tried, in the norms and in the cosine.
NORMS, COSINES = (8, 11, 14, 18, 24, 32), (18, 24, 32, 48, 64, 96)
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
class Composed:
    """The interpolant. ``factors`` holds for each kernel and k a matrix Q (p, r) and weights w (r,): C^k = Q diag(w) Q^T."""

    norms: Range  #: of log s
    cosines: Range
    factors: tuple[tuple[tuple[Array, Array], ...], ...]

    def sides(self, squares: Array) -> tuple[tuple[Array, ...], ...]:
        """T(log s) Q for the norms of some inputs: (inputs, r) for each kernel and k."""
        T = chebyshev.chebvander(self.norms.hat(np.log(squares)), len(self.factors[0][0][0]) - 1)
        return tuple(tuple(T @ Q for Q, _ in terms) for terms in self.factors)

    def tile(
        self, left: tuple[tuple[Array, ...], ...], right: tuple[tuple[Array, ...], ...], cosine: Array
    ) -> list[Array]:
        """The kernels on a tile; ``cosine`` is overwritten."""
        cosine -= (self.cosines.low + self.cosines.high) / 2
        if self.cosines.high > self.cosines.low:
            cosine *= 2 / (self.cosines.high - self.cosines.low)
        found = [(a[0] * terms[0][1]) @ b[0].T for a, b, terms in zip(left, right, self.factors, strict=True)]
        product, before, now, twice = np.empty_like(cosine), np.ones_like(cosine), cosine, 2 * cosine
        for k in range(1, max(map(len, self.factors))):
            for total, a, b, terms in zip(found, left, right, self.factors, strict=True):
                if k < len(terms):
                    np.matmul(a[k] * terms[k][1], b[k].T, out=product)
                    product *= now
                    total += product
            np.multiply(twice, now, out=product)
            np.subtract(product, before, out=before)
            before, now = now, before
        return found

    def pairs(self, first: Array, second: Array, cosine: Array) -> list[Array]:
        """The kernels of pairs, in vectors."""
        T = chebyshev.chebvander(self.cosines.hat(cosine), max(map(len, self.factors)) - 1).T
        left, right = self.sides(first), self.sides(second)
        return [
            np.sum([((a * b) @ w) * t for a, b, (_, w), t in zip(A, B, terms, T, strict=False)], axis=0)
            for A, B, terms in zip(left, right, self.factors, strict=True)
        ]


def compose(exact: PairMap, squares: Array, cosines: Range, sample: tuple[Array, Array, Array]) -> Composed | None:
    """The interpolant for inputs with these |x|^2/n_0 and cosines, checked at a sample of pairs; None if there is none."""
    norms = Range(float(np.log(squares.min())), float(np.log(squares.max())))
    reference = exact(*sample)
    equal = norms.high - norms.low <= EQUAL
    p, d = iter((1,) if equal else NORMS), iter(COSINES)
    size: tuple[int | None, int | None] = next(p), next(d)
    while size[0] is not None and size[1] is not None:
        values = _on_nodes(exact, norms, cosines, size[0], size[1])
        coefficients = [_series(v) for v in values]
        if not all(np.isfinite(c).all() for c in coefficients):
            return None
        open_cosine, open_norm = (not all(_settled(np.moveaxis(c, axis, 0)) for c in coefficients) for axis in (0, 1))
        if not (open_cosine or (open_norm and not equal)):
            found = Composed(norms, cosines, tuple(map(_factored, coefficients)))
            return found if _agrees(found, sample, reference) else None
        size = (next(p, None) if open_norm and not equal else size[0]), (next(d, None) if open_cosine else size[1])
    return None


def _on_nodes(exact: PairMap, norms: Range, cosines: Range, p: int, d: int) -> list[Array]:
    """The kernels at all nodes, (p, p, d); they are symmetric in the norms."""
    s, c = np.exp(norms.nodes(p)), cosines.nodes(d)
    i, j = np.triu_indices(p)
    found = exact(np.repeat(s[i], d), np.repeat(s[j], d), np.tile(c, len(i)))
    values = []
    for flat in found:
        full = np.empty((p, p, d))
        full[i, j] = full[j, i] = np.reshape(flat, (len(i), d))
        values.append(full)
    return values


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


def _agrees(found: Composed, sample: tuple[Array, Array, Array], reference: list[Array]) -> bool:
    values = found.pairs(*sample)
    scales = [np.maximum(np.abs(truth), 1e-3 * np.abs(truth).max(initial=0.0)) for truth in reference]
    return all(
        bool((np.abs(v - truth) <= ACCURACY * scale).all())
        for v, truth, scale in zip(values, reference, scales, strict=True)
    )
