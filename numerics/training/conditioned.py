r"""Products with the initial matrix between two layers, as both layers go through training: a matrix conditioned on its products.

A Gaussian matrix W that has multiplied vectors from both sides is still Gaussian, given these products (Bolthausen). With averages
over the sites of a layer as inner products, and orthonormal directions e of the activities below and d of the gradients above, in
the order of training (see ``fluctuations.interfaces``), its next products are

.. math::
    We_i=y_i-\sum_{j<i}d_j\langle d_jy_i\rangle+\sum_{j<i}d_j\langle q_je_i\rangle,\qquad
    W^\top d_j=q_j-\sum_{i\le j}e_i\langle e_iq_j\rangle+\sum_{i\le j}e_i\langle y_id_j\rangle

with independent standard normal vectors y and q. This is the law of the products at any width: the sites are a network with as
many neurons as there are sites, whose matrix is never formed. The first two terms are the Gaussian fields of the cavity rule, the
last term is their memory, :math:`\gamma_0C_WA` or :math:`\gamma_0C_WB`. No derivative of an activation is taken, so that
activations may have kinks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from .sources import Source

Array = NDArray[np.float64]
#: A part of a vector that is rounding.
NOTHING = 1e-14
Innovations = Callable[[Array, NDArray[np.int64]], Array]


class Neighbour(Protocol):
    """The field and the memory that a layer receives from one of its two neighbours."""

    def take(self, sent: Array) -> tuple[Array, Array | None]:
        """The Gaussian field for the vectors sent now, (rows, sites), and its responses to the vectors of the other side."""
        ...


class Fresh:
    """A field with the covariance of the vectors sent, from the same source at all times; its responses are derivatives."""

    def __init__(self, source: Source, scale: float) -> None:
        self.source, self.scale = source, scale

    def take(self, sent: Array) -> tuple[Array, None]:
        """The field, without responses: ``causal`` follows derivatives along with the sites."""
        return np.asarray(self.scale * self.source(sent)), None


class MatrixSide:
    """A layer as one side of a matrix: the vectors that it has sent, by their coordinates (vectors, directions) in its own basis.

    ``others``: the number of vectors that the other side sends; ``received``: the innovations y or q in the products with the
    directions of the other side; ``weight``: the weight of each site in averages; ``least``: a vector gives a new direction if its
    part orthogonal to the directions before is larger than this share of it; ``chosen``: the numbers of the vectors that do, if
    they are known.
    """

    def __init__(
        self, vectors: int, others: int, sites: int, weight: Array, least: float, chosen: Collection[int] | None = None
    ) -> None:
        self.weight, self.least, self.chosen = weight, least, chosen
        self.basis, self.received = (np.zeros((min(n, sites), sites)) for n in (vectors, others))
        self.coordinates = np.zeros((vectors, len(self.basis)))
        #: The number of vectors so far, and the numbers of those that gave a direction.
        self.count, self.origins = 0, np.zeros(0, dtype=np.int64)

    @property
    def directions(self) -> Array:
        """The directions so far, orthonormal in the weighted average over sites."""
        return self.basis[: len(self.origins)]

    def add(self, vectors: Array) -> Array:
        """Add vectors (rows, sites); gives their coordinates, in new directions too (Gram and Schmidt)."""
        found = self.coordinates[self.count : self.count + len(vectors)]
        sizes = np.sqrt(np.sum(self.weight * vectors**2, axis=1))
        before = len(self.origins)
        rest = self._without(vectors, 0, found)
        for i, (row, size) in enumerate(zip(rest, sizes, strict=True)):
            left = self._without(row[None], before, found[i : i + 1])
            norm = float(np.sqrt(np.sum(self.weight * left**2)))
            if self._gives(self.count + i, norm, size) and len(self.origins) < len(self.basis):
                # The components taken out leave their rounding, which is large beside a small remainder: take them out once more.
                left = self._without(left / norm, 0, np.zeros((1, found.shape[1])))
                self.basis[len(self.origins)] = left[0] / np.sqrt(np.sum(self.weight * left**2))
                found[i, len(self.origins)] = norm
                self.origins = np.append(self.origins, self.count + i)
        self.count += len(vectors)
        return found[:, : len(self.origins)]

    def _gives(self, number: int, norm: float, size: float) -> bool:
        """Whether a vector of some size gives a direction, by its part orthogonal to those before."""
        if self.chosen is None:
            return norm > self.least * size
        return number in self.chosen and norm > NOTHING * size

    def _without(self, vectors: Array, since: int, found: Array) -> Array:
        """The vectors without their components along the directions from number ``since`` on, which are added to ``found``."""
        known = self.directions[since:]
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            part = (self.weight * vectors) @ known.T
            vectors = vectors - part @ known
            found[:, since : since + len(known)] += part
        return vectors


class Conditioned:
    """The field and the memory that one side of a matrix, the receiver, gets from the other.

    ``source`` gives the innovations for new directions, from these and the numbers of the vectors that they come from.
    """

    def __init__(self, sender: MatrixSide, receiver: MatrixSide, source: Innovations, scale: float) -> None:
        self.sender, self.receiver, self.source, self.scale = sender, receiver, source, scale
        #: <q e> or <y d> by direction of the sender and of the receiver.
        self.memory = np.zeros((len(sender.basis), len(receiver.basis)))

    def take(self, sent: Array) -> tuple[Array, Array]:
        """The field, the first two terms of the product, and its memory as responses, for the vectors (..., sites) of one time."""
        sender, receiver = self.sender, self.receiver
        before = len(sender.origins)
        coordinates = sender.add(sent.reshape(-1, sent.shape[-1]))
        new, known = slice(before, len(sender.origins)), receiver.directions
        # y - sum d <d y>: the innovation, without the components along directions to which the matrix has answered.
        fresh = self.source(sender.basis[new], sender.origins[new])
        receiver.received[new] = fresh - ((receiver.weight * fresh) @ known.T) @ known
        # <q e>: those components, from the innovations that the sender received for the same directions.
        self.memory[new, : len(known)] = (sender.weight * sender.basis[new]) @ sender.received[: len(known)].T
        field = self.scale * coordinates @ receiver.received[: new.stop]
        return field.reshape(*sent.shape[:-1], -1), self._response(coordinates)

    def _response(self, coordinates: Array) -> Array:
        """The memory as coefficients of the vectors that the receiver has sent; those that gave a direction are a basis."""
        receiver, rows = self.receiver, len(coordinates)
        n, found = len(receiver.origins), np.zeros((rows, receiver.count))
        if n and rows:
            memory = coordinates @ self.memory[: coordinates.shape[1], :n]
            square = receiver.coordinates[receiver.origins, :n]
            found[:, receiver.origins] = solve_triangular(square, memory.T, lower=True, trans="T").T
        return found / self.scale
