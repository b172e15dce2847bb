r"""Gaussian averages at three and four sites by factor analysis: given r common factors, the sites are independent.

A covariance of d sites is K = D + U U^T with a positive diagonal D and r < d columns of U. Then z = U f + sqrt(D) xi
with independent standard normal f and xi, and

    E[prod_i g_i(z_i)] = E_f[prod_i G_i((U f)_i)],   G_i(m) = E_xi[g_i(m + sqrt(D_ii) xi)].

The average over all sites has become one over r factors, of smooth functions of one variable that are tabulated first:
kinks are gone at the scale sqrt(D_ii). Counting parameters, r = 1 does for three sites and r = 2 for four, up to
inequalities; where these fail, one factor more always exists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .grids import BLOCK, CHEBYSHEV, LOOSE, Array, Grid, Ints, Sigma, Term, density, estimated, tree_of_sums

#: Half widths of the grids in the factors and in the noise of a site.
_REACH, _NOISE = 7.0, 8.5
#: Most points of a grid of factors; beyond, the sites are too close to dependent for this to pay.
_MOST = 60_000
#: Most refinements of a grid of factors.
_REFINEMENTS = 6
#: Digits (natural) of the first grid [kinked] and of the one that measures E|product|.
_DIGITS, _COARSE = (21.0, 18.0), 9.0
#: Covariances decomposed together.
_BATCH = 500


def factored(
    sigma: Sigma,
    kinks: tuple[float, ...],
    L: Array,
    last: tuple[int, ...],
    terms: Sequence[Term],
    floor: Array,
    rtol: float,
    atol: float,
    max_points: int,
) -> tuple[Array, Array, NDArrayBool]:
    """Averages over z = L u and their errors, (terms, N), and where these are as small as asked for, (N,).

    L: (N, d, rank) with sites complete on the axes ``last``; floor: (N,), relative rounding.
    """
    model = _model(sigma, kinks, L, last, terms)
    ...
