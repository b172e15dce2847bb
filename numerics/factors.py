r"""Gaussian averages at three and four sites by factor analysis: given a few common factors, the sites are independent.

A covariance of d sites is K = D + U U^T with a positive diagonal D and r < d columns of U. Then z = U f + sqrt(D) xi
with independent standard normal f and xi, and

    E[prod_i g_i(z_i)] = E_f[prod_i G_i((U f)_i)],   G_i(m) = E_xi[g_i(m + sqrt(D_ii) xi)].

The average over all sites has become one over r factors, of smooth functions of one variable that are tabulated first:
at the scale sqrt(D_ii) kinks are gone. Counting parameters, r = 1 does for three sites and r = 2 for four, up to
inequalities; where these fail, one factor more always does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .grids import BLOCK, CHEBYSHEV, LOOSE, Array, Grid, Ints, Sigma, Term, density, estimated, spacing, tree_of_sums

#: Half widths of the rules for the factors and for the noise of a site.
_REACH, _NOISE = 7.0, 8.5
#: Most points of a grid of factors: beyond, the sites are so close to dependent that nested grids are cheaper.
_MOST = 60_000
#: Accuracy exp(-E) aimed at by the grid that measures E|product|, and by the first one of the others, [kinked].
_COARSE, _FIRST = 9.0, (21.0, 18.0)
#: Most refinements.
_REFINEMENTS = 6
#: Covariances decomposed together.
_BATCH = 500
#: A site counts as a multiple of another one when it differs from it by this much of itself.
_PARALLEL = 1e-13

Flags = NDArray[np.bool_]


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
) -> tuple[Array, Array, Flags]:
    """Averages over z = L u and their errors, (terms, N), and where the errors are as small as asked for, (N,).

    Sites complete on the axes ``last`` of L, (N, d, rank), as in ``Grid``. floor: rounding relative to E|product|, (N,).
    """
    model = _model(sigma, kinks, L, last, terms)
    values, errors, before = np.zeros((len(terms), len(L))), np.zeros((len(terms), len(L))), np.zeros(len(L))
    settled, limit = np.zeros(len(L), dtype=bool), min(_MOST, max_points)
    pending = np.flatnonzero(model.points(_FIRST[bool(kinks)]) <= limit)
    scale, tail = model.magnitudes(pending)
    rounding = np.zeros_like(values)
    rounding[:, pending] = floor[pending] * scale + tail
    tolerance = np.zeros_like(values)
    tolerance[:, pending] = np.maximum(atol, LOOSE[bool(kinks)][L.shape[2]] * scale) + 1.5 * floor[pending] * scale
    size = np.zeros_like(values)
    size[:, pending] = scale
    for level in range(_REFINEMENTS):
        E = _FIRST[bool(kinks)] * math.sqrt(2) ** level
        pending = pending[model.points(E)[pending] <= limit]
        if not len(pending):
            break
        new = model.averages(pending, E)
        errors[:, pending], before[pending] = estimated(
            new - values[:, pending], size[:, pending], before[pending], rounding[:, pending], level, tables=True
        )
        values[:, pending] = new
        allowed = np.maximum(rtol * np.abs(new), tolerance[:, pending])
        settled[pending] = (errors[:, pending] <= allowed).all(axis=0) & (level > 0)
        pending = pending[~settled[pending]]
    return values, errors, settled


# ------------------------------------------------------------------------------------------------- K = D + U U^T


def decomposed(R: Array) -> tuple[Array, Array]:
    """D (N, d) and U (N, d, d-1) of correlations R (N, d, d), d = 3, 4, of full rank; the columns of U decrease.

    The number of grid points needed goes like the volume sqrt(det(1 + U^T D^-1 U)) = sqrt(det R/det D) times a constant
    to the power r (see ``_Model.spacings``): among the decompositions the one that needs least is taken. D is nan where
    there is none, which happens by rounding only.
    """
    if len(R) > _BATCH:
        parts = [decomposed(R[k : k + _BATCH]) for k in range(0, len(R), _BATCH)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    d = R.shape[1]
    with np.errstate(all="ignore"):
        few, many = (_one(R[:, None]), _two(R)) if d == 3 else (_first_of_two(R), _first_of_three(R))
        U = np.concatenate([_padded(few, d - 1), many], axis=1)
        D = 1 - (U**2).sum(axis=3)
        columns = np.repeat([d - 2, d - 1], [few.shape[1], many.shape[1]])
        cost = columns * math.log(14) - np.log(D).sum(axis=2) / 2  # 14 nodes on an axis for E = 24
    best = np.where(np.isfinite(cost), cost, np.inf).argmin(axis=1)
    rows = np.arange(len(R))
    found = np.isfinite(cost[rows, best])
    U = np.where(found[:, None, None], U[rows, best], 0)
    D = np.where(found[:, None], D[rows, best], np.nan)
    # A rotation of the factors is free: principal axes of D^-1/2 U put the fine spacing on as few axes as possible.
    _, _, V = np.linalg.svd(U / np.sqrt(np.where(found[:, None], D, 1))[:, :, None], full_matrices=False)
    return D, U @ V.swapaxes(1, 2)


def _peeled(S: Array, h: Array) -> tuple[Array, Array]:
    """First column u of U when (U U^T)_00 = h, and what is left for the other columns: S - u u^T without site 0."""
    u = S[..., 0] / np.sqrt(h)[..., None]
    u[..., 0] = np.sqrt(h)
    rest = u[..., 1:]
    return u, S[..., 1:, 1:] - rest[..., :, None] * rest[..., None, :]


def _joined(first: Array, others: Array) -> Array:
    """Columns of U: the first one, and others that leave site 0 alone."""
    return np.concatenate([first[..., None], np.insert(others, 0, 0, axis=-2)], axis=-1)


def _padded(U: Array, columns: int) -> Array:
    return np.concatenate([U, np.zeros((*U.shape[:-1], columns - U.shape[-1]))], axis=-1)


def _one(S: Array) -> Array:
    """One factor for three sites, (..., 3, 1), from u_a u_b = S_ab: u_0^2 = S_01 S_02/S_12; nan where negative."""
    u = np.sqrt(S[..., 0, 1] * S[..., 0, 2] / S[..., 1, 2])
    return np.stack([u, S[..., 0, 1] / u, S[..., 0, 2] / u], axis=-1)[..., None]


def _pair(S: Array) -> Array:
    """The factor of two sites, (..., 2, 1), that maximises D_0 D_1: it takes the same share of both variances."""
    q, ratio = S[..., 0, 1], np.sqrt(S[..., 0, 0] / S[..., 1, 1])
    return np.stack([np.sqrt(np.abs(q) * ratio), np.sign(q) * np.sqrt(np.abs(q) / ratio)], axis=-1)[..., None]


def _shares(S: Array, n: int) -> Array:
    """Values of (U U^T)_00 that leave site 0 some of its conditional variance, (..., n): S - D stays positive."""
    conditional = 1 / np.linalg.inv(S)[..., 0, 0]
    return np.asarray(S[..., 0, 0][..., None] - conditional[..., None] * np.linspace(0.3, 0.96, n))


def _two(R: Array) -> Array:
    """Two factors for three sites, (N, n, 3, 2)."""
    u, S = _peeled(R[:, None], _shares(R, 32))
    return _joined(u, _pair(S))


def _first_of_two(R: Array) -> Array:
    """Two factors for four sites, (N, n, 4, 2): a family in h = (U U^T)_00, not all of which leave D positive."""
    # Without its first column 0, U U^T has rank one on the other three sites, and that is their one factor.
    low = (R[:, 0, 1:] ** 2).max(axis=1)[:, None]
    u, S = _peeled(R[:, None], low + (1 - low) * (np.arange(128) + 0.5) / 128)
    return _joined(u, _one(S))


def _first_of_three(R: Array) -> Array:
    """Three factors for four sites, (N, n, 4, 3)."""
    u, S = _peeled(R[:, None], _shares(R, 12))
    v, S = _peeled(S[:, :, None], _shares(S, 12))
    U = _joined(np.broadcast_to(u[:, :, None], (*v.shape[:-1], 4)), _joined(v, _pair(S)))
    return U.reshape(len(R), -1, 4, 3)


# -------------------------------------------------------------------------------------------- averages over the factors


@dataclass(frozen=True)
class _Sites:
    """The functions G of the sites that are multiples z = stretch y of one y = m + noise: tables in m."""

    grid: Grid  # in the noise
    stretch: Array  # (N, sites)
    rows: tuple[int, ...]  # which of the grid's sums each wanted product needs

    def smoothed(self, n: Ints, m: Array, reach: Array, step: Array) -> Array:
        """The sums (sums, n, P) at m, (n, P), with |m| < reach, (n,), from panels shorter than step, (n,)."""
        grid, k = replace(self.grid, L=self.grid.L[n]), len(CHEBYSHEV)
        panels = max(1, math.ceil((2 * reach / step).max()))
        if panels * k > m.shape[1]:
            return self._exact(grid, n, m)
        y = (np.arange(panels)[:, None] + CHEBYSHEV).ravel() * (2 / panels) - 1
        samples = self._exact(grid, n, reach[:, None] * y)
        c = np.linalg.solve(np.vander(CHEBYSHEV), samples.reshape(-1, k).T)
        c = c.reshape(k, len(samples), -1)
        x = ((m / reach[:, None] + 1) * (panels / 2)).ravel()
        panel = np.clip(x.astype(np.int64), 0, panels - 1)
        x -= panel
        panel += np.repeat(np.arange(len(n)) * panels, m.shape[1])
        out = np.empty((len(samples), x.size))
        for i, total in enumerate(out):
            c[0, i].take(panel, out=total)
            for power in c[1:, i]:
                total *= x
                total += power.take(panel)
        return out.reshape(-1, *m.shape)

    def _exact(self, grid: Grid, n: Ints, m: Array) -> Array:
        means = {s: (c[:, None] * m).ravel() for s, c in enumerate(self.stretch[n].T)}
        return grid.sum_over(0, means, np.repeat(np.arange(len(n)), m.shape[1])).reshape(-1, *m.shape)


@dataclass(frozen=True)
class _Model:
    """Groups of parallel sites, independent given the factors f: y = U f + noise, variance of y = 1."""

    groups: tuple[_Sites, ...]
    constant: Array  # (terms, 1): the factors of sites without variance
    D: Array  # (N, groups); nan: not decomposed
    U: Array  # (N, groups, factors)

    def spacings(self, E: float) -> Array:
        """Spacings of trapezoid rules in the factors with a relative error of exp(-E), (N, factors); inf: no factor."""
        # A shift of f by i y along a principal axis makes the weight grow by exp(y^2/2) and G_i, a function smoothed by
        # noise, by exp((U_i y)^2/2 D_i), together exp(A y^2/2), A = 1 + the eigenvalue of U^T D^-1 U. The rule errs by
        # exp(-2 pi y/h + A y^2/2), least at y = 2 pi/(A h): E = 2 pi^2/(A h^2). A smooth sigma has a scale of its own.
        A = 1 + (self.U**2 / self.D[:, :, None]).sum(axis=1)
        h = math.pi * np.sqrt(2 / (E * A))
        if not self.groups[0].grid.kinks:
            stretch = np.stack([np.abs(g.stretch).max(axis=1) for g in self.groups], axis=1)
            h = np.maximum(h, spacing((np.abs(self.U) * stretch[:, :, None]).max(axis=1), E))
        return np.where(A < 1 + 1e-18, np.inf, h)

    def counts(self, E: float) -> Ints:
        """Nodes on each axis, in steps of a fifth so that many covariances share a grid, (N, factors)."""
        steps = np.ceil(np.log2(1 + 2 * _REACH / self.spacings(E)) * 4)
        return np.asarray(np.where(np.isnan(steps), 10**6, 2 ** (steps / 4)), dtype=np.int64)

    def points(self, E: float) -> Array:
        """Grid points for each covariance, (N,)."""
        return np.asarray(self.counts(E).prod(axis=1, dtype=float))

    def averages(self, n: Ints, E: float) -> Array:
        """The averages, (terms, n)."""
        out = self._integrals(tuple(self._noise(g, E) for g in self.groups), n, E)
        return self.constant * out[0]

    def magnitudes(self, n: Ints) -> tuple[Array, Array]:
        """E|product| and how much of it lies outside of the grids, (terms, n)."""
        groups = []
        for g in self.groups:
            spaced = 2 * _NOISE / 34
            grid = replace(g.grid, magnitude=True, half_width=_NOISE, counts=(35,))
            groups.append(replace(g, grid=grid))
        inside, shell, all_noise = self._integrals(tuple(groups), n, _COARSE, ends=2 / (_NOISE * spaced))
        tail = all_noise - inside + 2 * shell / math.expm1(_REACH - 0.5)
        return np.abs(self.constant) * inside, np.abs(self.constant) * tail
