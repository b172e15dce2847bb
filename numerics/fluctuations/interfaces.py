r"""A random matrix between two layers, by its products with vectors: the cavity rule in orthonormal coordinates.

Training multiplies one matrix W by activities :math:`a_i` from one side and by gradients :math:`b_j` from the other, in turns.
With averages over neurons as inner products, let :math:`a=L_ae` and :math:`b=L_bd` with e and d orthonormal (Gram and Schmidt, in
the order of training). These products determine the matrix elements :math:`M_{ij}=\frac1N d_j\cdot We_i` and no others, and given
the past

.. math::
    We_i=y_i+\sum_{j<i}M_{ij}d_j,\qquad W^\top d_j=q_j+\sum_{i\le j}M_{ij}e_i,

where j < i means: b_j came before a_i. The innovations y and q are independent Gaussian numbers of variance :math:`C_W`, but for
:math:`y_i\perp d_j` (j < i) and :math:`q_j\perp e_i` (i <= j), because these components are known already. At infinite width
these are the fields u, r and the memories of the cavity rule,

.. math::
    u=L_ay,\quad r=L_bq,\quad \gamma_0C_WA=L_aM_{j<i}L_b^{-1},\quad \gamma_0C_WB=L_bM_{i\le j}^\top L_a^{-1}.

At finite width the Gram matrices fluctuate, and M, each entry of which is an average on the side that comes later. No entry needs
a conjugate field, and a new direction has length one even where training changes a vector little.

L and M are those of one solution, whose matrices are conditioned on their products (``conditioned``): M is a block of a matrix, in
orthonormal vectors of its own sites, and so no larger than the matrix. Computed from derivatives, as :math:`L_a^{-1}AL_b`, it would
have their noise times :math:`L_a^{-1}`. A component that is small on average may come from rare neurons, which finitely many
sites do not contain and which may be thousands of times larger. Directions below ``RESOLVED`` are therefore taken to lie in the
span of those before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from ..training.causal import Problem, Run
from ..training.conditioned import Conditioned, MatrixSide

Array = NDArray[np.float64]

#: A vector counts as dependent on those before if its part outside of their span is at most RESOLVED times gamma_0 (predictions are
#: 1/gamma_0 times the change by training), and at most LARGEST. N Var f changes by the square of this share, times a number of
#: order ten: by 0.1 to 0.3 % (three networks, against 1e-3).
RESOLVED, LARGEST = 1e-2, 1e-1


@dataclass(frozen=True)
class Basis:
    r"""Orthonormal directions of vectors :math:`a_i`, one after the other: :math:`a=Le`.

    A vector that depends on those before has no direction of its own, and its column of L is zero. Its coefficients in the other
    directions fluctuate as those of any vector. The rest of the vector stands in the place of its e: its Gram matrix is zero, but
    at finite width the rest fluctuates.
    """

    L: Array
    new: NDArray[np.bool_]  #: vectors with a direction of their own
    to_e: Array  #: the inverse of ``square``

    def upto(self, n: int) -> Basis:
        """The basis of the first n vectors alone."""
        return Basis(self.L[:n, :n], self.new[:n], self.to_e[:n, :n])

    @property
    def square(self) -> Array:
        """L, with one on the diagonal for vectors without a direction."""
        return self.L + np.diag(~self.new)


@dataclass(frozen=True)
class Interface:
    """The initial matrix between a hidden layer and the next, all vectors in the order of time.

    ``M`` (n, m) of n activities and m gradients; ``earlier`` (n, m): whether the gradient came before the activity.
    """

    below: Basis  #: of the activities
    above: Basis  #: of the gradients
    M: Array
    earlier: NDArray[np.bool_]

    def upto(self, n: int, m: int) -> Interface:
        """The interface at an earlier time: blocks of these matrices, as everything here is causal."""
        return Interface(self.below.upto(n), self.above.upto(m), self.M[:n, :m], self.earlier[:n, :m])

    @property
    def real(self) -> NDArray[np.bool_]:
        """Whether an entry of M belongs to two directions that exist."""
        return self.below.new[:, None] & self.above.new

    @property
    def transposed(self) -> Interface:
        """The transpose, which receives gradients and gives them to the layer below."""
        return Interface(self.above, self.below, self.M.T, ~self.earlier.T)


def resolved(problem: Problem) -> Problem:
    """The problem with only those directions that its sites resolve."""
    return replace(problem, least=min(RESOLVED * problem.parameters["gamma_0"], LARGEST))


def interface(run: Run, number: int) -> Interface:
    """The interface between hidden layers ``number`` and ``number + 1`` of a solution with conditioned matrices."""
    T, K, P = run.problem.shape
    up, down = run.layers[number].below, run.layers[number - 1].above
    assert isinstance(up, Conditioned)
    assert isinstance(down, Conditioned)
    earlier = np.repeat(np.arange(T), K * P)[None, :] < np.repeat(np.arange(T), P)[:, None]
    below, above = basis(up.sender), basis(up.receiver)
    i, j = up.sender.origins, up.receiver.origins
    forward, backward = up.scale * up.memory[: len(i), : len(j)], down.scale * down.memory[: len(j), : len(i)].T
    # Each element of M is an average on the side that comes later: <d W e> for a later activity, <e W^T d> for a later gradient.
    M = np.zeros(earlier.shape)
    M[np.ix_(i, j)] = np.where(earlier[np.ix_(i, j)], forward, backward)
    return Interface(below, above, M, earlier)


def basis(side: MatrixSide) -> Basis:
    """The basis of all vectors that a layer has sent, in their order."""
    n, count = len(side.coordinates), len(side.origins)
    L, new = np.zeros((n, n)), np.zeros(n, dtype=bool)
    L[:, side.origins], new[side.origins] = side.coordinates[:, :count], True
    return Basis(L, new, solve_triangular(L + np.diag(~new), np.eye(n), lower=True))
