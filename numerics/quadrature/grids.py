r"""Averages over three and four independent sites: sums on nested grids, refined until two of them agree.

Its text is copied into generated programs, so it imports NumPy, SciPy and the standard library.

The plan. Write z = L u with L from a pivoted Cholesky decomposition and u standard normal. A site is *complete* on the
axis where its last entry of L stands, so its factor is evaluated on a grid of that many dimensions, and the sum over
an axis is done before the next outer axis multiplies its own factors in:

    sum_{u_0} w f_0(z_0)  sum_{u_1} w f_1(z_1)  sum_{u_2} ...

The innermost site is evaluated on the whole grid, the others on its faces; equal, parallel and dependent sites have no
axis of their own. All terms share the factors and the inner sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import eval_hermitenorm, roots_legendre

from .features import Array, Sigma

Ints = NDArray[np.int64]

#: (orders, derivatives): derivative orders of the factors at each site; how often each d/dz_i acts.
Term = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]
#: Weight of an axis: q >= 0 is the Hermite polynomial He_q, and ~q = -1 - q is He_q at the two end nodes alone.
#: One sum of the tree: (weight of the axis, ((site, orders), ...) complete on it, which sum of the next axis).
Sum = tuple[int, tuple[tuple[int, tuple[int, ...]], ...], int]
#: The sums by axis: [0] those of the sites at z = 0, [1 + axis] those of an axis.
Tree = tuple[tuple[Sum, ...], ...]
#: The integrand of a sum over all axes: (weights of the axes, orders at the sites).
Product = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]

EPS = float(np.finfo(np.float64).eps)
#: Points evaluated together: a few arrays of this length stay in the cache.
BLOCK = 1 << 15
#: Accuracy asked for at three and four independent sites, relative to E|product|, [kinked][rank].
LOOSE = ({3: 1e-8, 4: 1e-8}, {3: 1e-7, 4: 1e-6})
#: Panel edges around a smoothed kink, in units of its width; outside of them the function is straight to 1e-12.
_LAYER = np.array([-7.0, -2.5, 2.5, 7.0])
#: A smoothed kink narrower than this gets such panels; wider ones are resolved by shorter uniform panels.
_NARROW = 0.35
#: Interpolation nodes of a table panel [0, 1].
CHEBYSHEV = (1 - np.cos(np.pi * (np.arange(10) + 0.5) / 10)) / 2
#: Most refinements.
_LEVELS = 14

_legendre = lru_cache(maxsize=256)(roots_legendre)


def tree_of_sums(wanted: Sequence[Product], last: tuple[int, ...]) -> tuple[Tree, Ints]:
    """The sums of every axis, outermost first, and the outermost sum of each wanted product."""
    suffix, tree = [0] * len(wanted), list[tuple[Sum, ...]]()
    for axis in range(max(last), -2, -1):  # axis -1 holds the sites at z = 0
        sums: dict[Sum, int] = {}
        for i, (weights, orders) in enumerate(wanted):
            here = tuple((s, tuple(sorted(orders[s]))) for s in range(len(last)) if last[s] == axis and orders[s])
            suffix[i] = sums.setdefault((weights[axis] if axis >= 0 else 0, here, suffix[i]), len(sums))
        tree.insert(0, tuple(sums))
    return tuple(tree), np.array(suffix, dtype=np.int64)


def hermite(derivatives: tuple[int, ...], last: tuple[int, ...], L: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Derivatives of the average as Hermite weights: pairs (orders of He on the axes, coefficient (N,))."""
    # Integration by parts: E[(d/du)^n f] = E[He_n(u) f]; sigma is not differentiated, so kinks do no harm.
    # z = L u gives d/du = L^T d/dz; for two sites, with L = [[a, 0], [b, c]],
    #   d/dz_0 = (1/a) d/du_0 - b/(a c) d/du_1,   d/dz_1 = (1/c) d/du_1.
    rank = max(last) + 1
    if not any(derivatives):
        yield (0,) * rank, np.ones(len(L))
        return
    if last[0] < 0 or (rank == 1 and any(derivatives[1:])):
        return
    i, j = (*derivatives, 0)[:2]
    a = L[:, 0, 0]
    if rank == 1:
        yield (i,), a**-i
        return
    b, c = L[:, 1, 0], L[:, 1, 1]
    for k in range(i + 1):
        yield (i - k, k + j), math.comb(i, k) * a ** (k - i) * (-b / (a * c)) ** k * c**-j


@dataclass(frozen=True)
class Grid:
    """A tree of sums over covariances L L^T on grids with the same number of nodes."""

    sigma: Sigma
    kinks: tuple[float, ...]
    L: Array  # (N, d, rank)
    last: tuple[int, ...]  # the axis each site completes on
    tree: Tree = ()
    half_width: float = 0.0
    counts: tuple[int, ...] = ()  # nodes on each axis
    order: int = 0  # Gauss-Legendre nodes of a panel; 0: no panels
    uniform: tuple[int, ...] = ()  # panels of equal length on each axis, cut further by the kinks
    graded: frozenset[tuple[int, int]] = frozenset()  # (site, axis) with narrow panels around a smoothed kink
    finest: float = 1.0  # scale of sigma; that of tanh is 1
    magnitude: bool = False  # whether |product| is summed instead of the product
    table: Callable[[Array, Ints], Array] | None = None  # the innermost sums, given the mean of their one site

    @property
    def rank(self) -> int:
        """Number of axes."""
        return int(self.L.shape[2])

    def nodes(self, axis: int, mean: dict[int, Array], n: Ints) -> tuple[Array, Array]:
        """Nodes and weights, (1 or P, nodes), for P outer points with these means in the covariances n."""
        T = self.half_width
        if not self.order:
            u = np.linspace(-T, T, self.counts[axis])[None]
            return u, density(u) * (2 * T / (self.counts[axis] - 1))
        breaks = [np.broadcast_to(np.linspace(-T, T, self.uniform[axis] + 1), (len(n), self.uniform[axis] + 1))]
        for site, m in mean.items():
            slope = self.L[n, site, axis]
            if self.last[site] == axis:  # given the outer nodes, the kinks themselves
                breaks += [((k - m) / slope)[:, None] for k in self.kinks]
            elif (site, axis) in self.graded:  # kinks smoothed by the axes that follow
                width = np.linalg.norm(self.L[n, site, axis + 1 :], axis=1) / np.abs(slope)
                breaks += [((k - m) / slope)[:, None] + width[:, None] * _LAYER for k in self.kinks]
        edges = np.sort(np.clip(np.concatenate(breaks, axis=1), -T, T), axis=1)
        half = np.diff(edges, axis=1)[:, :, None] / 2
        x, w = _legendre(self.order)[:2]
        u = (edges[:, :-1, None] + half * (1 + x)).reshape(len(n), -1)
        return u, (half * w).reshape(len(n), -1) * density(u)

    def averages(self) -> Array:
        """The outermost sums, (sums, N)."""
        n = np.arange(len(self.L))
        mean = {s: np.zeros(len(n)) for s, at in enumerate(self.last) if at >= 0}
        inner = self.sum_over(0, mean, n) if self.rank else np.ones((1, len(n)))
        factors = self._factors(self.tree[0], {s: np.zeros(len(n)) for s, at in enumerate(self.last) if at < 0})
        sums = [math.prod((factors[key] for key in here), start=inner[s]) for _, here, s in self.tree[0]]
        return np.array(sums).reshape(-1, len(n))

    def tabulated(self, step: Array) -> Grid:
        """The same grid with its innermost sums interpolated, in panels of these lengths (N,), if that saves work."""
        # With one site s complete on the last axis, the sum over that axis depends on the outer point only through the mean
        # of z_s: it is a smooth function of one variable, evaluated at very many points.
        site = self.last.index(self.rank - 1)
        reach = 1.001 * self.half_width * np.abs(self.L[:, site, :-1]).sum(axis=1) + 1e-300
        panels = math.ceil((2 * reach / step).max())
        if self.last.count(self.rank - 1) > 1 or panels * len(CHEBYSHEV) > math.prod(self.counts[:-1]):
            return self
        y = (np.arange(panels)[:, None] + CHEBYSHEV).ravel()
        mean = reach[:, None] * (2 * y / panels - 1)
        sums = self.sum_over(self.rank - 1, {site: mean.ravel()}, np.repeat(np.arange(len(reach)), len(y)))
        samples = sums.reshape(len(sums), -1, len(CHEBYSHEV))
        c = np.linalg.solve(np.vander(CHEBYSHEV), samples.transpose(2, 1, 0).reshape(len(CHEBYSHEV), -1))
        from scipy.interpolate import PPoly  # imports scipy.optimize and more, which kernels need not wait for

        poly = PPoly(c.reshape(len(CHEBYSHEV), -1, len(sums)), np.arange(len(reach) * panels + 1.0))
        # The panels of covariance n are [n, n + 1] * panels.
        return replace(self, table=lambda mean, n: poly(panels * (n + (mean / reach[n] + 1) / 2)).T)

    def sum_over(self, axis: int, mean: dict[int, Array], n: Ints) -> Array:
        """The sums of an axis, (sums, P), given the means of the incomplete sites at P outer points."""
        if self.table and axis == self.rank - 1:
            return self.table(mean[self.last.index(axis)], n)
        size = max(1, BLOCK // math.prod(self.counts[axis : -1 if self.table else None]))
        if len(n) > size:  # block by block, to stay in the cache
            blocks = [slice(k, k + size) for k in range(0, len(n), size)]
            return np.concatenate(
                [self.sum_over(axis, {s: m[b] for s, m in mean.items()}, n[b]) for b in blocks], axis=1
            )
        u, w = self.nodes(axis, mean, n)
        z = {s: m[:, None] + self.L[n, s, axis][:, None] * u for s, m in mean.items()}
        shape = (len(n), u.shape[1])
        sums = self.tree[1 + axis]
        # sum_u w(u) [factors of the sites complete here] [inner sum, given the means that z has now]
        factors = self._factors(sums, {s: x for s, x in z.items() if self.last[s] == axis})
        inner: Array = np.ones(0)
        if axis + 1 < self.rank:
            outer = {s: x.ravel() for s, x in z.items() if self.last[s] > axis}
            inner = self.sum_over(axis + 1, outer, np.repeat(n, shape[1])).reshape(-1, *shape)
        total = np.empty((len(sums), len(n)))
        products: dict[object, Array] = {}
        for k, (weight, here, suffix) in enumerate(sums):
            if (here, suffix) not in products:
                parts = [factors[key] for key in here] + ([inner[suffix]] if axis + 1 < self.rank else [])
                products[here, suffix] = np.asarray(math.prod(parts[1:], start=parts[0]) if parts else np.ones(shape))
            v = self._weighted(u, w, weight)
            p = products[here, suffix]
            total[k] = p @ v[0] if len(v) == 1 else np.einsum("pn,pn->p", p, v)
        if not np.isfinite(total).all():
            far = {f"z_{s}": float(x.flat[np.abs(x).argmax()]) for s, x in z.items()}
            raise ValueError(
                f"the product of the factors of sigma at several sites overflows near {far}; allowed: smaller variances"
            )
        return total

    def _weighted(self, u: Array, w: Array, weight: int) -> Array:
        if order := max(weight, ~weight):
            he = eval_hermitenorm(order, u)
            w = w * (np.abs(he) if self.magnitude else he)
        return w if weight >= 0 else np.hstack([w[:, :1], 0 * w[:, 1:-1], w[:, -1:]])

    def _factors(self, sums: Sequence[Sum], z: dict[int, Array]) -> dict[object, Array]:
        """The product of the factors at a site, for every (site, orders) that the sums need."""
        found: dict[object, Array] = {}
        for site, x in z.items():
            keys = {orders for _, here, _ in sums for s, orders in here if s == site}
            for orders, factor in factors_at(self.sigma, x, keys).items():
                found[site, orders] = np.abs(factor) if self.magnitude else factor
        return found


def factors_at(sigma: Sigma, z: Array, keys: Collection[tuple[int, ...]]) -> dict[tuple[int, ...], Array]:
    """The products of derivatives of sigma with these orders."""
    if not keys:
        return {}
    values = sigma(z, max(max(orders) for orders in keys))
    found = {orders: math.prod((values[k] for k in orders[1:]), start=values[orders[0]]) for orders in keys}
    for orders, factor in found.items():
        if not np.isfinite(factor).all():
            _blame(z, values, orders)
    return found


def _blame(z: Array, values: Sequence[Array], orders: tuple[int, ...]) -> None:
    for k in sorted(set(orders)):
        bad = ~np.isfinite(values[k])
        if bad.any():
            raise ValueError(
                f"sigma^({k})(z) is {values[k][bad][0]} at z={z[bad][0]:.17g}, where the average "
                "needs it; allowed: finite numbers"
            )
    raise ValueError(
        f"the product of sigma^(k)(z), k in {orders}, overflows near z={z.flat[np.abs(z).argmax()]:.17g}; "
        "allowed: smaller variances"
    )


def density(u: Array) -> Array:
    """Density of a standard normal variable."""
    return np.asarray(np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi))


def refine(
    base: Grid, terms: Sequence[Term], floor: Array, rtol: float, atol: float, max_points: int
) -> tuple[Array, Array]:
    """Grids of growing resolution until two agree, for each covariance on its own: values and errors, (terms, N)."""
    # Each term is a sum of requests, Hermite weights times sums of the tree, with coefficients C.
    requests = [(t, *pair) for t, (_, by) in enumerate(terms) for pair in hermite(by, base.last, base.L)]
    wanted = [(weights, terms[t][0]) for t, weights, _ in requests]
    combine = np.array([[float(owner == t) for owner, _, _ in requests] for t in range(len(terms))])
    combine = combine.reshape(len(terms), len(requests))
    C = np.array([c for _, _, c in requests]).reshape(len(requests), len(base.L))
    T, magnitude, tail = _extent(base, wanted)
    scale = combine @ (np.abs(C) * magnitude)
    rounding = floor * scale + combine @ (np.abs(C) * tail)
    tolerance = np.maximum(atol, LOOSE[bool(base.kinks)][base.rank] * scale) + 1.5 * rounding
    tree, index = tree_of_sums(wanted, base.last)
    base = replace(base, tree=tree)
    pending = np.arange(len(base.L))
    values, errors, before = np.zeros_like(scale), np.zeros_like(scale), np.zeros(len(base.L))
    for level in range(_LEVELS):
        rows, points = (_panel_plan if base.kinks else _fixed_plan)(base, T[pending], level, pending, max_points)
        affordable = points <= (max_points if level > 1 else math.inf)
        rows, pending = rows[affordable], pending[affordable]
        if not len(pending):
            break
        sums = _averages(base, rows, pending, 0.7 / math.sqrt(2) ** level)[index]
        new, size = combine @ (C[:, pending] * sums), scale[:, pending]
        change = np.abs(new - values[:, pending])
        values[:, pending] = new
        # Resolution grows geometrically and the error falls exponentially with it, so each step gains more digits than
        # the one before: error < change * (change / previous change). Safety 3; the first change counts in full.
        worst = np.divide(change, size, out=np.zeros_like(size), where=size > 0).max(axis=0, initial=0.0)
        # However fast the grid converges, interpolation in tables gains five bits at each level.
        faster = (level > 1) & (before[pending] > 3 * worst)
        gain = np.divide(3 * worst, before[pending], out=np.ones_like(worst), where=faster)
        gain = np.maximum(gain, 2.0**-5)
        errors[:, pending] = np.maximum(change, worst / 10 * size) * gain + rounding[:, pending]
        before[pending] = worst
        allowed = np.maximum(rtol * np.abs(new), tolerance[:, pending])
        pending = pending[(errors[:, pending] > allowed).any(axis=0) | (level == 0)]
    return values, errors


def _averages(base: Grid, rows: Array, n: Ints, step: float) -> Array:
    """The outermost sums of the covariances n, each on the grid that its row of the plan describes."""
    out, r = np.empty((len(base.tree[0]), len(n))), base.rank
    kinds, group = np.unique(rows, axis=0, return_inverse=True)
    for g, (T, *codes) in enumerate(kinds.tolist()):
        some = np.flatnonzero(group.ravel() == g)
        counts, order, uniform, flags = codes[:r], codes[r], codes[r + 1 : 2 * r + 1], codes[2 * r + 1 :]
        grid = replace(base, L=base.L[n[some]], half_width=T, counts=tuple(map(int, counts)), order=int(order))
        graded = frozenset(divmod(i, r) for i, flag in enumerate(flags) if flag)
        grid = replace(grid, uniform=tuple(map(int, uniform)), graded=graded)
        # The innermost sum varies on the scale of a smooth sigma, or of the last axis, which smooths kinks.
        width = np.abs(grid.L[:, base.last.index(r - 1), -1]) if base.kinks else np.full(len(some), base.finest)
        grid = grid.tabulated(step * width)
        out[:, some] = grid.averages()
    return out


def _fixed_plan(base: Grid, T: Array, level: int, n: Ints, max_points: int) -> tuple[Array, Array]:
    """Rows (half width, nodes on each axis, no panels) of trapezoid rules, and the points of each grid."""
    E = 14.0 * math.sqrt(2) ** level
    counts = np.ceil(2 * T[:, None] / spacing(np.abs(base.L[n]).max(axis=1) / base.finest, E)) + 1
    limit = _affordable(base, level, max_points)
    counts = np.where((counts.prod(axis=1) > limit**base.rank)[:, None], np.minimum(counts, max(limit, 3)), counts)
    return np.column_stack([T, counts, np.zeros(len(n))]), _work(base, counts)


def spacing(slope: Array, E: float) -> Array:
    """Spacing of a trapezoid rule for tanh(slope u), with a relative error of exp(-E)."""
    # On an axis with slope s the nearest singularity of tanh(s u) is d = (pi/2)/s away. With spacing h the trapezoid
    # rule errs by exp(-2 pi y/h + y^2/2), where the contour may be moved by any y <= d: y = min(d, 2 pi/h). For an error
    # exp(-E) this gives the h below. (Gauss-Hermite, though exact for polynomials, gains only exp(-d sqrt(2 n)): at
    # s = 1 it needs 120 nodes for 1e-8 instead of 30.) For another sigma E is another number: hence the levels of refinement.
    d = math.pi / 2 / slope
    h = np.where(d < math.sqrt(2 * E), 2 * math.pi * d / (E + d**2 / 2), math.pi * math.sqrt(2 / E))
    return np.asarray(h)


def _work(base: Grid, counts: Array) -> Array:
    """Points of the grids; a tabulated last axis costs nothing."""
    tabulated = base.last.count(base.rank - 1) == 1
    return np.asarray(counts[:, : -1 if tabulated else None].prod(axis=1))


def _affordable(base: Grid, level: int, max_points: int) -> float:
    """Nodes per axis: the first two levels are always done, at whatever resolution max_points allows."""
    return math.inf if level > 1 else (max_points / (1 if level else 4)) ** (1 / max(1, base.rank))


def _panel_plan(base: Grid, T: Array, level: int, n: Ints, max_points: int) -> tuple[Array, Array]:
    """Rows (half width, nodes per axis and per panel, uniform panels, flags of graded sites), points of each grid."""
    # Given the outer nodes, the kink k of a site complete on this axis lies at u = (k - mean)/L: panels end there, and
    # the integrand is analytic inside. A site that completes later enters after its own average, which smooths its
    # kink over the width w = |rest of its row of L| / L.
    L, last = base.L[n], np.array(base.last)
    rest = np.sqrt(np.maximum(np.cumsum(L[:, :, ::-1] ** 2, axis=2)[:, :, ::-1] - L**2, 0))
    later = last[:, None] > np.arange(base.rank)
    w = np.where(later & (L != 0), rest / np.abs(np.where(L == 0, 1, L)), np.inf)
    graded = w < _NARROW
    uniform = np.maximum(2, np.ceil(2 * T[:, None] / (5 * np.where(graded, np.inf, w).min(axis=1))))
    own = np.array([base.last.count(axis) for axis in range(base.rank)])
    panels = uniform + len(base.kinks) * (own + len(_LAYER) * graded.sum(axis=1))
    order = np.full(len(n), math.floor(8 * math.sqrt(2) ** level))
    affordable = _affordable(base, level, max_points) / panels.prod(axis=1) ** (1 / max(1, base.rank))
    order = np.maximum(2, np.minimum(order, np.floor(affordable)))
    counts = panels * order[:, None]
    flags = graded.reshape(len(n), base.rank * len(last))
    return np.column_stack([T, counts, order, uniform, flags]), _work(base, counts)


def _extent(base: Grid, wanted: Sequence[Product]) -> tuple[Array, Array, Array]:
    """Half width beyond which the integrands are negligible, (N,); E|product| and its part outside, (wanted, N)."""
    # sigma = exp shifts the mass of the integrand to u ~ sqrt(K) orders: widen until the sums over the two end nodes of
    # each axis are negligible in the sum of |product|, on a coarse grid.
    N, rank, sites = len(base.L), base.rank, [orders for _, orders in wanted]
    T, (magnitude, tail) = np.zeros(N), np.zeros((2, len(wanted), N))
    ends = [[(*w[:a], ~w[a], *w[a + 1 :]) for w, _ in wanted] for a in range(rank)]
    tree, index = tree_of_sums([*wanted, *((w, o) for ws in ends for w, o in zip(ws, sites, strict=True))], base.last)
    half_width, spacing, limit = 6.5, 0.36 * rank, LOOSE[bool(base.kinks)][rank]
    pending = np.arange(N)
    while len(pending):
        counts = (2 * math.ceil(half_width / spacing) + 1,) * rank
        grid = replace(base, L=base.L[pending], tree=tree, magnitude=True, half_width=half_width, counts=counts)
        sums = grid.averages()[index].reshape(1 + rank, len(wanted), len(pending))
        T[pending], magnitude[:, pending] = half_width, sums[0]
        # Beyond T a Gaussian weighs less than density(T)/T, here twice, for integrands that grow.
        tail[:, pending] = sums[1:].sum(axis=0) * 2 / (half_width * spacing)
        pending = pending[(sums[1:] > limit * sums[0]).any(axis=(0, 1))]
        half_width *= 1.12
    return T, magnitude, tail
