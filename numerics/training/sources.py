r"""Gaussian fields with the covariance of the vectors that another layer sends, as the sites of both layers go through time.

The fields :math:`u(t)` of a layer have the covariance :math:`\langle\phi(t)\phi(s)\rangle` of the layer below. Given S sites of
that layer as rows of S numbers, a random rotation of each row by one and the same orthogonal matrix has exactly this covariance,
at all times, and is nearly Gaussian: neither a covariance matrix nor its root is ever formed, and fields at later times need no
conditioning.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

#: Probabilities beyond have no quantile in double precision.
EPSILON = 2.0**-53

Array = NDArray[np.float64]


class Source(Protocol):
    """Turns the vectors that one layer sends into the Gaussian field of another."""

    def __call__(self, sent: Array) -> Array:
        """(rows, sites) -> (rows, sites)."""
        ...


class Rotation:
    r"""A random rotation in S dimensions: twice random signs, a cosine transform and a permutation.

    Equation
        :math:`u=R\,x`, R orthogonal, :math:`u\cdot u'=x\cdot x'` exactly; every component is a sum over all S numbers with random
        signs, Gaussian up to cumulants of order 1/S.
    Shapes
        (..., S) -> (..., S).
    Units
        Those of x.
    Valid
        S large.
    Errors
        None.
    Source
        Randomized trigonometric transforms: Ailon & Chazelle, The fast Johnson-Lindenstrauss transform (2009).
    """

    def __init__(self, sites: int, rng: np.random.Generator) -> None:
        self.signs = rng.choice([-1.0, 1.0], (3, sites))
        self.order = rng.permutation(sites)

    def __call__(self, sent: Array) -> Array:
        """Rotate the last axis."""
        x = scipy.fft.dct(sent * self.signs[0], norm="ortho", axis=-1)
        x = x[..., self.order] * self.signs[1]
        return np.asarray(scipy.fft.dct(x, norm="ortho", axis=-1) * self.signs[2])


class Recorded:
    """A source that keeps the first field for the vector of a number, and gives it again for other vectors of this number.

    ``numbers``: those of the first solution, once it is over.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.rows = source, dict[int, Array]()
        self.numbers: frozenset[int] | None = None

    def close(self) -> None:
        """The first solution is over."""
        self.numbers = frozenset(self.rows)

    def __call__(self, sent: Array, numbers: NDArray[np.int64]) -> Array:
        """(rows, sites) with a number each -> (rows, sites)."""
        new = [i for i, number in enumerate(numbers.tolist()) if number not in self.rows]
        if new:
            self.rows |= dict(zip(numbers[new].tolist(), self.source(sent[new]), strict=True))
        return np.array([self.rows[number] for number in numbers.tolist()]).reshape(sent.shape)


class Embedding:
    r"""Coordinates of the vectors sent, in an orthonormal basis that grows with time.

    For sites that are linear in their Gaussian sources: a row holds not samples but the coefficients of a field, and inner products
    are covariances. The field of the next layer has the same inner products, by independent sources: its coefficients are the
    coordinates of the rows sent.
    """

    #: A row gives a new direction if its part outside of the basis is larger than this share; smaller parts are lost, with an
    #: error of their squares.
    TOLERANCE = 1e-10

    def __init__(self, sites: int, dimensions: int, offset: int) -> None:
        self.sites, self.offset, self.used = sites, offset, 0
        self.basis: Array = np.zeros((dimensions, 0))

    def __call__(self, sent: Array) -> Array:
        """(rows, coefficients below) -> (rows, coefficients here)."""
        rows = sent.reshape(-1, sent.shape[-1])
        if not self.basis.shape[1]:
            self.basis = np.zeros((len(self.basis), rows.shape[1]))
        known, rest, found = self.basis[: self.used], rows, np.zeros((len(rows), self.used))
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            part = rest @ known.T
            rest, found = rest - part @ known, found + part
        out = np.zeros((len(rows), self.sites))
        out[:, self.offset : self.offset + self.used] = found
        self._grow(rest, np.linalg.norm(rows, axis=1), out)
        return out.reshape(*sent.shape[:-1], self.sites)

    def _grow(self, rest: Array, sizes: Array, out: Array) -> None:
        """New directions from the parts of a few rows outside of the basis, one after the other (Gram and Schmidt)."""
        before = self.used
        for row, size, result in zip(rest, sizes, out, strict=True):
            new = self.basis[before : self.used]
            for _ in range(2):
                part = new @ row
                row = row - part @ new
                result[self.offset + before : self.offset + self.used] += part
            left = float(np.linalg.norm(row))
            if left > self.TOLERANCE * max(1e-300, size) and self.used < len(self.basis):
                # The components taken out leave their rounding, which is large beside a small remainder: take them out once more.
                direction = row / left
                direction = direction - self.basis[: self.used].T @ (self.basis[: self.used] @ direction)
                self.basis[self.used] = direction / np.linalg.norm(direction)
                result[self.offset + self.used] = left
                self.used += 1


def standard_normal(sites: int, count: int, rng: np.random.Generator) -> Array:
    """Standard normal variables, (count, sites), whose second moments over the sites are exactly those of independent ones.

    They are quasi-random (scrambled Sobol points), so that averages of smooth functions of a few of them have less noise.
    """
    points = qmc.Sobol(count, scramble=True, rng=rng).random_base2(int(np.ceil(np.log2(sites))))[:sites]
    x = ndtri(np.clip(points.T, EPSILON, 1 - EPSILON))
    values, vectors = np.linalg.eigh(x @ x.T / sites)  # divided out below, so that second moments are exact
    return np.asarray((vectors / np.sqrt(values)) @ (vectors.T @ x))


def root(matrix: Array) -> Array:
    """R with R R^T the positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
