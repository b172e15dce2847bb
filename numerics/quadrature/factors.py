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
from scipy.special import gammaincc

from .features import Array, Sigma
from .grids import BLOCK, CHEBYSHEV, LOOSE, Grid, Ints, Term, density, spacing, tree_of_sums

#: Half widths of the rules for the factors and for the noise of a site.
_REACH, _NOISE = 7.5, 8.5
#: Most points of a grid of factors: sites that need more are so close to dependent that nested grids are cheaper.
_MOST = 100_000
#: Accuracy exp(-E) aimed at by the grid that measures E|product|, and by the first one of the others, [kinked].
_COARSE, _FIRST = 9.0, (19.5, 16.0)
#: Most refinements.
_REFINEMENTS = 6
#: Covariances decomposed together.
_BATCH = 500
#: A site counts as a multiple of another one when the two differ by at most this share of the site.
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
    finest: float = 1.0,
) -> tuple[Array, Array, Flags]:
    """Averages over z = L u and their errors, (terms, N), and the covariances whose errors are as small as asked for, (N,).

    Sites complete on the axes ``last`` of L, (N, d, rank), as in ``Grid``. floor: rounding relative to E|product|, (N,);
    finest: the scale of sigma, that of tanh being 1.
    """
    model = _model(sigma, kinks, L, last, terms, finest)
    values, errors, size, rounding, tolerance = np.zeros((5, len(terms), len(L)))
    settled, limit = np.zeros(len(L), dtype=bool), min(_MOST, max_points)
    pending = np.flatnonzero(model.points(_FIRST[bool(kinks)] * math.sqrt(2)) <= limit)  # two levels at least
    scale, tail = model.magnitudes(pending)
    rounding[:, pending] = floor[pending] * scale + tail
    tolerance[:, pending] = np.maximum(atol, LOOSE[bool(kinks)][L.shape[2]] * scale) + 1.5 * floor[pending] * scale
    size[:, pending] = scale
    for level in range(_REFINEMENTS):
        E = _FIRST[bool(kinks)] * math.sqrt(2) ** level
        pending = pending[model.points(E)[pending] <= limit]
        if not len(pending):
            break
        new = model.averages(pending, E)
        # The error falls much faster than the change between two levels. It is taken for twice the change, and for no less than
        # a tenth of the largest change among the terms, as a sum may have come close to the truth by chance.
        change = np.abs(new - values[:, pending])
        worst = np.divide(change, size[:, pending], out=np.zeros_like(change), where=size[:, pending] > 0).max(axis=0)
        errors[:, pending] = 2 * np.maximum(change, worst / 10 * size[:, pending]) + rounding[:, pending]
        values[:, pending] = new
        allowed = np.maximum(rtol * np.abs(new), tolerance[:, pending])
        settled[pending] = (errors[:, pending] <= allowed).all(axis=0) & (level > 0)
        pending = pending[~settled[pending]]
    return values, errors, settled


# ------------------------------------------------------------------------------------------------- K = D + U U^T


def decomposed(R: Array) -> tuple[Array, Array]:
    """D (N, d) and U (N, d, d-1) of correlations R (N, d, d), d = 3, 4, of full rank; the columns of U decrease.

    The number of grid points needed goes like the volume sqrt(det(1 + U^T D^-1 U)) = sqrt(det R/det D) times a constant
    to the power r (see ``_Model.spacings``): among the decompositions the one with the fewest points is taken. D is nan where
    no decomposition exists, which happens by rounding only.
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
    """First column u of U when (U U^T)_00 = h, and the matrix for the other columns: S - u u^T without site 0."""
    u = S[..., 0] / np.sqrt(h)[..., None]
    u[..., 0] = np.sqrt(h)
    rest = u[..., 1:]
    return u, S[..., 1:, 1:] - rest[..., :, None] * rest[..., None, :]


def _joined(first: Array, others: Array) -> Array:
    """U from its first column, and from other columns that are zero at site 0."""
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
    # Without the first column, U U^T has rank one on the other three sites: it is that of one factor for them.
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
    rows: tuple[int, ...]  # the numbers of the grid's sums: one of every key, and perhaps one of its tail
    keys: int  # number of different products of orders
    which: tuple[int, ...]  # the key of each term

    def smoothed(self, n: Ints, m: Array, reach: Array, step: Array) -> Array:
        """The sums (sums, n, P) at m, (n, P), with |m| < reach, (n,), from panels shorter than step, (n,)."""
        grid, k = replace(self.grid, L=self.grid.L[n]), len(CHEBYSHEV)
        panels = max(1, math.ceil((2 * reach / step).max()))
        if panels * k > m.shape[1]:
            return self._exact(grid, n, m)
        y = (np.arange(panels)[:, None] + CHEBYSHEV).ravel() * (2 / panels) - 1
        samples = self._exact(grid, n, reach[:, None] * y)
        c = np.linalg.solve(np.vander(CHEBYSHEV - 0.5), samples.reshape(-1, k).T)
        c = c.reshape(k, len(samples), -1)
        x = ((m / reach[:, None] + 1) * (panels / 2)).ravel()
        panel = np.clip(x.astype(np.int64), 0, panels - 1)
        x -= panel + 0.5
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
        sums = grid.sum_over(0, means, np.repeat(np.arange(len(n)), m.shape[1]))
        return np.asarray(sums[list(self.rows)].reshape(-1, *m.shape))


@dataclass(frozen=True)
class _Model:
    """Groups of parallel sites, independent given the factors f: y = U f + noise, variance of y = 1."""

    groups: tuple[_Sites, ...]
    measures: tuple[_Sites, ...]  # the same groups with the tails of their noise
    constant: Array  # (terms, 1): the factors of sites without variance
    D: Array  # (N, groups); nan: not decomposed
    U: Array  # (N, groups, factors)

    def spacings(self, E: float) -> Array:
        """Spacings of trapezoid rules in the factors with a relative error of exp(-E), (N, factors); inf: no factor."""
        # A shift of f by i y along a principal axis makes the weight grow by exp(y^2/2) and G_i, a function smoothed by
        # noise, by exp((U_i y)^2/2 D_i), together exp(A y^2/2), A = 1 + the eigenvalue of U^T D^-1 U. The rule errs by
        # exp(-2 pi y/h + A y^2/2), least at y = 2 pi/(A h): E = 2 pi^2/(A h^2). A smooth sigma has a scale of its own.
        A = 1 + (self.U**2 / self.D[:, :, None]).sum(axis=1)  # nan where not decomposed
        h = math.pi * np.sqrt(2 / (E * A))
        if not self.groups[0].grid.kinks:
            stretch = np.stack([np.abs(g.stretch).max(axis=1) for g in self.groups], axis=1)
            slope = (np.abs(self.U) * stretch[:, :, None]).max(axis=1) / self.groups[0].grid.finest
            h = np.maximum(h, spacing(slope, E))
        return np.where(A == 1, np.inf, h)

    def counts(self, E: float) -> Ints:
        """Nodes on each axis, in steps of a fifth so that many covariances share a grid, (N, factors)."""
        steps = np.ceil(np.log2(1 + 2 * _REACH / self.spacings(E)) * 4)
        return np.asarray(np.where(np.isnan(steps), 10**6, 2 ** (steps / 4)), dtype=np.int64)

    def points(self, E: float) -> Array:
        """Grid points for each covariance, (N,)."""
        return np.asarray(self.counts(E).prod(axis=1, dtype=float))

    def averages(self, n: Ints, E: float) -> Array:
        """The averages, (terms, n)."""
        groups = [replace(g, grid=_resolved(g.grid, n, E)) for g in self.groups]
        return np.asarray(self.constant * self._integrals(groups, n, E)[0])

    def magnitudes(self, n: Ints) -> tuple[Array, Array]:
        """E|product|, and its part outside of the grids, (terms, n)."""
        nodes = 35
        groups = [
            replace(g, grid=replace(g.grid, magnitude=True, half_width=_NOISE, counts=(nodes,))) for g in self.measures
        ]
        # The noise beyond its last node T weighs less than density(T)/T, here twice, for integrands that grow; in units of the
        # weight of that node, density(T) times the spacing. The factors beyond their ball are the shell.
        inside, shell, both = self._integrals(groups, n, _COARSE, 2 / (_NOISE * 2 * _NOISE / (nodes - 1)))
        tail = both - inside + shell
        return np.abs(self.constant) * inside, np.abs(self.constant) * tail

    def _integrals(self, groups: Sequence[_Sites], n: Ints, E: float, end: float = 0.0) -> Array:
        """Averages over the factors, (1, terms, n); with ``end`` two more: over their shell, and with the tails of the noise."""
        out = np.zeros((3 if end else 1, len(self.constant), len(n)))
        kinds, kind = np.unique(self.counts(E)[n], axis=0, return_inverse=True)
        for k, counts in enumerate(kinds.tolist()):
            some = np.flatnonzero(kind.ravel() == k)
            f, w = _ball(counts)
            weights = [w]
            if end:  # points of the shell have no weight inside, and those of the ball none outside
                edge, outside = _shell(counts)
                weights = [np.append(w, 0 * outside), np.append(0 * w, outside)]
                f = np.append(f, edge, axis=1)
            size = max(1, BLOCK // f.shape[1])
            for here in (some[i : i + size] for i in range(0, len(some), size)):
                tables = [self._table(g, i, n[here], f, E) for i, g in enumerate(groups)]
                inside = [t[: g.keys] for g, t in zip(groups, tables, strict=True)]
                for j, sums in enumerate(_contracted(weights, inside, [g.which for g in groups])):
                    out[j][:, here] = sums
                if end:
                    both = [t[: g.keys] + end * t[g.keys :] for g, t in zip(groups, tables, strict=True)]
                    out[2][:, here] = _contracted(weights[:1], both, [g.which for g in groups])[0]
        return out

    def _table(self, g: _Sites, i: int, n: Ints, f: Array, E: float) -> Array:
        """The functions of group i at the factors f, (keys, n, P); then their tails, if the grid has them."""
        U, noise = self.U[n, i], np.sqrt(self.D[n, i])
        # G varies on the scale of the noise that smooths a kink, and no faster than a smooth sigma does by itself.
        step = 24 * noise if g.grid.kinks else 14 * np.maximum(noise, g.grid.finest / np.abs(g.stretch[n]).max(axis=1))
        reach = 1.001 * _REACH * np.linalg.norm(U, axis=1) + 1e-300
        return g.smoothed(n, U @ f, reach, step / E)


def _contracted(weights: Sequence[Array], tables: Sequence[Array], which: Sequence[tuple[int, ...]]) -> list[Array]:
    """For each weight, the sums (terms, n) over all points of the products tables[0][which[0][term]] ..."""
    half = len(tables) // 2
    products: dict[object, Array] = {}
    out = [np.empty((len(which[0]), tables[0].shape[1])) for _ in weights]
    for term, keys in enumerate(zip(*which, strict=True)):
        for part in (slice(half), slice(half, None)):
            if (part.start, keys[part]) not in products:
                factors = [t[k] for t, k in zip(tables[part], keys[part], strict=True)]
                products[part.start, keys[part]] = math.prod(factors[1:], start=factors[0])
        left, right = products[None, keys[:half]], products[half, keys[half:]]
        for w, total in zip(weights, out, strict=True):
            total[term] = np.einsum("p,np,np->n", w, left, right)
    return out


def _ball(counts: Sequence[int]) -> tuple[Array, Array]:
    """Points f (factors, P) of a grid within a ball, and their weights."""
    axes = [np.linspace(-_REACH, _REACH, c) if c > 1 else np.zeros(1) for c in counts]
    f = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(counts), -1)
    f = f[:, np.linalg.norm(f, axis=0) < _REACH + 1e-9]
    w = np.ones(f.shape[1])
    for x, c in zip(f, counts, strict=True):
        w *= density(x) * (2 * _REACH / (c - 1)) if c > 1 else 1.0
    return f, w


def _shell(counts: Sequence[int]) -> tuple[Array, Array]:
    """Points (factors, P) close to the surface of the ball, and weights that bound the integral outside of it."""
    # The integral outside is about the mean of the integrand over many directions at the surface, times the probability of a
    # larger radius; twice that, for integrands that grow.
    active = sum(c > 1 for c in counts)
    if not active:
        return np.zeros((len(counts), 0)), np.zeros(0)
    axes = [np.arange(-2.0, 3.0) if c > 1 else np.zeros(1) for c in counts]
    f = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(len(counts), -1)
    f = f[:, f.any(axis=0)]
    chance = gammaincc(active / 2, _REACH**2 / 2)
    return (_REACH - 0.5) * f / np.linalg.norm(f, axis=0), np.full(f.shape[1], 2 * chance / f.shape[1])


def _resolved(grid: Grid, n: Ints, E: float) -> Grid:
    """The grid of a site's noise with a relative error of exp(-E) or so."""
    if grid.kinks:
        order, panels = math.ceil(0.55 * E), 4
        pieces = panels + len(grid.kinks) * len(grid.last)
        return replace(grid, half_width=_NOISE, order=order, uniform=(panels,), counts=(pieces * order,))
    h = float(spacing(np.abs(grid.L[n]).max() / grid.finest, E + 4))
    return replace(grid, half_width=_NOISE, counts=(math.ceil(2 * _NOISE / h) + 1,))


def _model(
    sigma: Sigma, kinks: tuple[float, ...], L: Array, last: tuple[int, ...], terms: Sequence[Term], finest: float
) -> _Model:
    rank, orders = L.shape[2], [orders for orders, _ in terms]
    still = [tuple(o if at < 0 else () for o, at in zip(sites, last, strict=True)) for sites in orders]
    tree, index = tree_of_sums([((), sites) for sites in still], (-1,) * len(last))
    constant = Grid(sigma, kinks, np.zeros((1, len(last), 0)), (-1,) * len(last), tree).averages()[index]
    members = [[i for i, at in enumerate(last) if at == axis] for axis in range(rank)]
    # The sites of a group are parallel: the first one sets the direction, and the others are multiples of it, up to rounding.
    first = L[:, [m[0] for m in members]]
    direction = first / np.linalg.norm(first, axis=2, keepdims=True)
    stretch = [np.einsum("nsk,nk->ns", L[:, m], direction[:, axis]) for axis, m in enumerate(members)]
    parallel = np.ones(len(L), dtype=bool)
    for axis, (m, c) in enumerate(zip(members, stretch, strict=True)):
        apart = np.linalg.norm(L[:, m] - c[:, :, None] * direction[:, None, axis], axis=2)
        parallel &= (apart <= _PARALLEL * np.abs(c)).all(axis=1)
    D, U = decomposed(direction @ direction.swapaxes(1, 2))
    D[~parallel] = np.nan
    groups, measures = (
        tuple(
            _sites(sigma, kinks, c, np.sqrt(D[:, axis]), [tuple(o[i] for i in m) for o in orders], ends, finest)
            for axis, (m, c) in enumerate(zip(members, stretch, strict=True))
        )
        for ends in (False, True)
    )
    return _Model(groups, measures, constant, D, U)


def _sites(
    sigma: Sigma,
    kinks: tuple[float, ...],
    c: Array,
    noise: Array,
    orders: Sequence[tuple[tuple[int, ...], ...]],
    ends: bool,
    finest: float,
) -> _Sites:
    keys = sorted(set(orders))
    wanted = [((weight,), key) for weight in ((0, ~0) if ends else (0,)) for key in keys]
    last = (0,) * c.shape[1]
    tree, index = tree_of_sums(wanted, last)
    rows = tuple(tree[0][i][2] for i in index)  # the sums of the only axis are multiplied by no other
    grid = Grid(sigma, kinks, (c * noise[:, None])[:, :, None], last, tree, finest=finest)
    return _Sites(grid, c, rows, len(keys), tuple(keys.index(o) for o in orders))
