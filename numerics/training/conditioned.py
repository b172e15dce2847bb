r"""What the initial matrix between two layers gives to each of them, as both go through training.

A Gaussian matrix that has been multiplied from both sides is, given all that it has answered, still Gaussian (Bolthausen). With
averages over the sites of a layer as inner products, and orthonormal directions e of the activities below and d of the gradients
above, in the order of training (see ``interfaces``), it answers

.. math::
    We_i=y_i-\sum_{j<i}d_j\langle d_jy_i\rangle+\sum_{j<i}d_j\langle q_je_i\rangle,\qquad
    W^\top d_j=q_j-\sum_{i\le j}e_i\langle e_iq_j\rangle+\sum_{i\le j}e_i\langle y_id_j\rangle

with independent standard normal y and q. That is its law at any width, so that the sites are a network of as many neurons,
without its matrices. The first two terms are the Gaussian fields of the cavity rule, the last one is their memory,
:math:`\gamma_0C_WA`, :math:`\gamma_0C_WB`: no derivative of an activation is needed, and kinks are as good as any slope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from .sources import Source

Array = NDArray[np.float64]
Innovations = Callable[[Array, NDArray[np.int64]], Array]


class Neighbour(Protocol):
    """What a layer receives from one of its two neighbours."""

    def take(self, sent: Array) -> tuple[Array, Array | None]:
        """The Gaussian field for what is sent now, (rows, sites), and how that answers to all that came back, (rows, vectors)."""
        ...


class Fresh:
    """A field with the covariance of what is sent, each time from one and the same source; its responses are derivatives."""

    def __init__(self, source: Source, scale: float) -> None:
        self.source, self.scale = source, scale

    def take(self, sent: Array) -> tuple[Array, None]:
        """Without responses: derivatives are followed along with the sites."""
        return np.asarray(self.scale * self.source(sent)), None


class MatrixSide:
    """A layer as one side of a matrix: the vectors that it has sent, as coordinates (vectors, directions) in a basis of its own.

    ``others``: how many vectors the other side sends; ``received``: what is new in the answers to their directions; ``weight``: of
    each site in averages; ``least``: what is left of a vector is a new direction if it is larger than this part of it.
    """

    def __init__(self, vectors: int, others: int, sites: int, weight: Array, least: float) -> None:
        self.weight, self.least = weight, least
        self.basis, self.received = (np.zeros((min(n, sites), sites)) for n in (vectors, others))
        self.coordinates = np.zeros((vectors, len(self.basis)))
        self.count, self.origins = 0, np.zeros(0, dtype=np.int64)  #: vectors so far; those that gave a direction

    @property
    def directions(self) -> Array:
        """Orthonormal in the weighted average over sites."""
        return self.basis[: len(self.origins)]

    def add(self, vectors: Array) -> Array:
        """More vectors (rows, sites); gives their coordinates, among them those in new directions for what is left of them."""
        found = self.coordinates[self.count : self.count + len(vectors)]
        sizes = np.sqrt(np.sum(self.weight * vectors**2, axis=1))
        before = len(self.origins)
        rest = self._without(vectors, 0, found)
        for i, (row, size) in enumerate(zip(rest, sizes, strict=True)):
            left = self._without(row[None], before, found[i : i + 1])
            norm = float(np.sqrt(np.sum(self.weight * left**2)))
            if norm > self.least * size and len(self.origins) < len(self.basis):
                # A small remainder is rounded in the directions that were taken out of it: take them out once more.
                left = self._without(left / norm, 0, np.zeros((1, found.shape[1])))
                self.basis[len(self.origins)] = left[0] / np.sqrt(np.sum(self.weight * left**2))
                found[i, len(self.origins)] = norm
                self.origins = np.append(self.origins, self.count + i)
        self.count += len(vectors)
        return found[:, : len(self.origins)]

    def _without(self, vectors: Array, since: int, found: Array) -> Array:
        """What the directions since one of them leave of vectors, whose coordinates are added."""
        known = self.directions[since:]
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            part = (self.weight * vectors) @ known.T
            vectors = vectors - part @ known
            found[:, since : since + len(known)] += part
        return vectors


class Conditioned:
    """What one side of a matrix receives from the other.

    ``source`` gives the new part of the answers to new directions, which come with the numbers of the vectors that they are of.
    """

    def __init__(self, sender: MatrixSide, receiver: MatrixSide, source: Innovations, scale: float) -> None:
        self.sender, self.receiver, self.source, self.scale = sender, receiver, source, scale
        self.memory = np.zeros(
            (len(sender.basis), len(receiver.basis))
        )  # of each direction what it has answered already

    def take(self, sent: Array) -> tuple[Array, Array]:
        """The field and the memory of one time, from what is sent then, (..., sites)."""
        sender, receiver = self.sender, self.receiver
        before = len(sender.origins)
        coordinates = sender.add(sent.reshape(-1, sent.shape[-1]))
        new, known = slice(before, len(sender.origins)), receiver.directions
        fresh = self.source(sender.basis[new], sender.origins[new])
        receiver.received[new] = fresh - ((receiver.weight * fresh) @ known.T) @ known
        self.memory[new, : len(known)] = (sender.weight * sender.basis[new]) @ sender.received[: len(known)].T
        field = self.scale * coordinates @ receiver.received[: new.stop]
        return field.reshape(*sent.shape[:-1], -1), self._response(coordinates)

    def _response(self, coordinates: Array) -> Array:
        """The memory in terms of the vectors that the receiver has sent, of which those with a direction are a basis too."""
        receiver, rows = self.receiver, len(coordinates)
        n, found = len(receiver.origins), np.zeros((rows, receiver.count))
        if n and rows:
            memory = coordinates @ self.memory[: coordinates.shape[1], :n]
            square = receiver.coordinates[receiver.origins, :n]
            found[:, receiver.origins] = solve_triangular(square, memory.T, lower=True, trans="T").T
        return found / self.scale
