r"""Gaussian averages of products of an activation and its derivatives, over covariances in bulk.

One file on purpose: its text is copied into generated programs, so it imports NumPy, SciPy and the standard library.

The plan. Write z = L u with L from a pivoted Cholesky decomposition and u standard normal. A site is *complete* on the
axis where its last entry of L stands, so its factor is evaluated on a grid of that many dimensions, and the sum over
an axis is done before the next outer axis multiplies its own factors in:

    sum_{u_0} w f_0(z_0)  sum_{u_1} w f_1(z_1)  sum_{u_2} ...

The innermost site is evaluated on the whole grid, the others on its faces; equal, parallel and dependent sites have no
axis of their own. All terms share the factors and the inner sums.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import eval_hermitenorm, roots_hermitenorm, roots_legendre

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

#: sigma(z, kmax) -> (sigma(z), sigma'(z), ..., sigma^(kmax)(z)), each shaped like z, derivatives between the kinks.
Sigma = Callable[[Array, int], Sequence[Array]]
#: (orders, derivatives): orders[i] = derivative orders of the factors at site i; derivatives[i] = how often d/dz_i acts.
Term = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]
#: One sum of the tree: (weight of the axis, ((site, orders), ...) complete on it, which sum of the next axis).
Sum = tuple[int, tuple[tuple[int, tuple[int, ...]], ...], int]
#: What a sum over all axes averages: (weights of the axes, orders at the sites).
Product = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]

_EPS = float(np.finfo(np.float64).eps)
#: Conditional variance, relative to the site's own, below which a site counts as a function of the earlier ones.
_SINGULAR = 16 * _EPS
#: Most negative eigenvalue, relative to the largest, that is taken for rounding.
_NEGATIVE = 1e-12
#: Points evaluated together: a few arrays of this length stay in the cache.
_BLOCK = 1 << 15
#: Weight of an axis that keeps its two end nodes only; other weights are orders of Hermite polynomials.
_ENDS = -1
#: Accuracy asked for at three and four independent sites, relative to E|product|, [kinked][rank].
_LOOSE = ({3: 1e-8, 4: 1e-8}, {3: 1e-7, 4: 1e-6})
#: Panel edges around a smoothed kink, in units of its width; outside it is straight to 1e-12.
_LAYER = np.array([-7.0, -2.5, 2.5, 7.0])
#: A smoothed kink narrower than this gets such panels; wider ones are resolved by shorter uniform panels.
_NARROW = 0.35
#: Most refinements.
_LEVELS = 14


def gaussian_averages(
    sigma: Sigma,
    covariance: Array,
    terms: Sequence[Term],
    *,
    kinks: Sequence[float] = (),
    rtol: float = 1e-10,
    atol: float = 0.0,
    max_points: int = 10_000_000,
) -> tuple[Array, Array]:
    r"""Averages of products of sigma and its derivatives over centred Gaussians, with estimated errors.

    Equation
        values[t, n] = E[prod_i (d/dz_i)^{derivatives_i} prod_i prod_{k in orders_i} sigma^(k)(z_i)],
        z ~ N(0, covariance[n]), (orders, derivatives) = terms[t].
    Shapes
        covariance: (N, d, d), d = 1..4 -> values, errors: (len(terms), N)
    Units
        Those of the product; errors are absolute.
    Valid
        Any positive semi-definite covariance; correlations within 4e-15 of +-1 count as +-1. Between its ``kinks``
        sigma is smooth. One and two independent sites reach ``rtol``; three and four reach 1e-8 of E|product| (1e-7
        and 1e-6 with kinks) or stop at ``max_points`` per covariance, and ``errors`` says where they stopped.
        Derivatives need d <= 2. At singular pairs all of them belong to site 0: (n, 0) differentiates along the line,
        (., n > 0) gives 0, and so does any derivative when site 0 has no variance.
    Errors
        ``ValueError`` for a covariance that is not positive semi-definite, a product that is not finite where the
        average needs it (with z and the order), and terms that do not fit d.
    Source
        Trefethen and Weideman (2014) for the trapezoid rule on the line; otherwise derived in the comments.
    """
    K = _checked(covariance, terms)
    L, last, smallest = _cholesky(K)
    values, errors = np.zeros((2, len(terms), len(K)))
    # Sites that complete on the same axes have the same tree of sums.
    patterns, group = np.unique(last, axis=0, return_inverse=True)
    for g, pattern in enumerate(patterns):
        n = np.flatnonzero(group.ravel() == g)
        rank = int(pattern.max()) + 1
        base = _Grid(sigma, tuple(sorted(map(float, kinks))), L[n][:, :, :rank], tuple(map(int, pattern)), ())
        floor = 16 * _EPS * (1 / smallest[n] if kinks else np.ones(len(n)))
        with np.errstate(all="ignore"):
            values[:, n], errors[:, n] = _refine(base, terms, floor, rtol, atol, max_points)
    return values, errors


def _checked(covariance: Array, terms: Sequence[Term]) -> Array:
    K = np.asarray(covariance, dtype=np.float64)
    if K.ndim != 3 or K.shape[1] != K.shape[2] or not 1 <= K.shape[1] <= 4:
        raise ValueError(f"covariance has shape {K.shape}; needed: (N, d, d) with d = 1..4")
    d = K.shape[1]
    for orders, derivatives in terms:
        if len(orders) != d or len(derivatives) != d:
            raise ValueError(f"term {(orders, derivatives)} names {len(orders)} and {len(derivatives)} sites, not d={d}")
        if d > 2 and any(derivatives):
            raise ValueError(f"term {(orders, derivatives)}: derivatives of the average need d <= 2, got d={d}")
    if not np.isfinite(K).all():
        raise ValueError(f"covariance[{int(np.argwhere(~np.isfinite(K))[0, 0])}] is not finite")
    K = (K + K.swapaxes(1, 2)) / 2
    if len(K):
        spectrum = np.linalg.eigvalsh(K)
        relative = spectrum[:, 0] / np.maximum(np.abs(spectrum).max(axis=1), np.finfo(float).tiny)
        n = int(relative.argmin())
        if relative[n] < -_NEGATIVE:
            raise ValueError(
                f"covariance[{n}] is not positive semi-definite: its smallest eigenvalue {spectrum[n, 0]:.3g} is "
                f"{relative[n]:.3g} of the largest; only {-_NEGATIVE:g} is taken for rounding"
            )
    return K


def _cholesky(K: Array) -> tuple[Array, Ints, Array]:
    """K = L L^T by pivots on the correlations: L (N, d, d), the axis each site completes on, smallest pivot.

    The pivot is the site with the largest *relative* conditional variance, so that sites of variance 1e-12 and 1e3 may
    meet; ties go to the first site. Axis -1 means z = 0.
    """
    N, d, _ = K.shape
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", K), 0))
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    R = np.clip(K * inverse[:, :, None] * inverse[:, None, :], -1, 1)
    np.einsum("nii->ni", R)[:] = scale > 0
    L, last, smallest = np.zeros((N, d, d)), np.full((N, d), d - 1), np.ones(N)
    done = np.zeros((N, d), dtype=bool)
    rows = np.arange(N)
    for axis in range(d + 1):
        variance = np.einsum("nii->ni", R)
        complete = (variance <= _SINGULAR) & ~done
        last[complete] = axis - 1
        done |= complete
        if axis == d:
            break
        pivot = np.where(done, -1, variance).argmax(axis=1)
        root = np.sqrt(np.where(done.all(axis=1), 1, variance[rows, pivot]))
        smallest = np.minimum(smallest, root)
        column = np.where(done, 0, R[rows, pivot] / root[:, None])
        L[:, :, axis] = column * scale
        R = R - column[:, :, None] * column[:, None, :]
        R[rows, pivot] = R[rows, :, pivot] = 0
    return L, last, smallest


# ------------------------------------------------------------------------------------------------- the tree of sums


def _tree(wanted: Sequence[Product], last: tuple[int, ...]) -> tuple[tuple[tuple[Sum, ...], ...], list[int]]:
    """The sums of every axis, outermost first, and the outermost sum of each wanted product."""
    suffix, tree = [0] * len(wanted), []
    for axis in range(max(last), -2, -1):  # axis -1 holds the sites at z = 0
        sums: dict[Sum, int] = {}
        for i, (weights, orders) in enumerate(wanted):
            here = tuple((s, tuple(sorted(orders[s]))) for s in range(len(last)) if last[s] == axis and orders[s])
            suffix[i] = sums.setdefault((weights[axis] if axis >= 0 else 0, here, suffix[i]), len(sums))
        tree.insert(0, tuple(sums))
    return tuple(tree), suffix


def _hermite(derivatives: tuple[int, ...], last: tuple[int, ...], L: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
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
class _Grid:
    """A tree of sums over covariances L L^T; the subclasses know the nodes."""

    sigma: Sigma
    kinks: tuple[float, ...]
    L: Array  # (N, d, rank)
    last: tuple[int, ...]
    tree: tuple[tuple[Sum, ...], ...]  # [0]: sites at z = 0, [1 + axis]: the sums of that axis
    magnitude: bool = False  # sum |product| instead

    @property
    def rank(self) -> int:
        return self.L.shape[2]

    @property
    def counts(self) -> tuple[int, ...]:
        """Nodes on each axis."""
        raise NotImplementedError

    def nodes(self, axis: int, mean: dict[int, Array], n: Ints) -> tuple[Array, Array]:
        """Nodes and weights, (1 or P, nodes), for P outer points with these means in the covariances n."""
        raise NotImplementedError

    def averages(self) -> Array:
        """(outermost sums, N)."""
        zero = np.zeros(len(self.L))
        n = np.arange(len(self.L))
        inner = self._sum(0, {s: zero for s, at in enumerate(self.last) if at >= 0}, n) if self.rank else zero[None] + 1
        at_zero = {s: np.zeros((1, 1)) for s, at in enumerate(self.last) if at < 0}
        factors = self._factors(self.tree[0], at_zero)
        return np.array([_product(here, factors, inner[s]).reshape(-1) for _, here, s in self.tree[0]])

    def _sum(self, axis: int, mean: dict[int, Array], n: Ints) -> Array:
        """The sums of an axis, (sums, P), given the means of the incomplete sites at P outer points."""
        size = max(1, _BLOCK // math.prod(self.counts[axis:]))
        if len(n) > size:
            blocks = [slice(k, k + size) for k in range(0, len(n), size)]
            return np.concatenate([self._sum(axis, {s: m[b] for s, m in mean.items()}, n[b]) for b in blocks], axis=1)
        u, w = self.nodes(axis, mean, n)
        z = {s: m[:, None] + self.L[n, s, axis][:, None] * u for s, m in mean.items()}
        shape = (len(n), u.shape[1])
        sums = self.tree[1 + axis]
        factors = self._factors(sums, {s: x for s, x in z.items() if self.last[s] == axis})
        inner: Array | list[None] = [None]
        if axis + 1 < self.rank:
            outer = {s: x.ravel() for s, x in z.items() if self.last[s] > axis}
            inner = self._sum(axis + 1, outer, np.repeat(n, shape[1])).reshape(-1, *shape)
        total = np.empty((len(sums), len(n)))
        products: dict[object, Array] = {}
        for k, (weight, here, suffix) in enumerate(sums):
            if (here, suffix) not in products:
                products[here, suffix] = np.broadcast_to(_product(here, factors, inner[suffix]), shape)
            total[k] = _contract(products[here, suffix], self._weighted(u, w, weight))
        if not np.isfinite(total).all():
            raise ValueError("the product of the sigma factors overflows where the Gaussian weight matters")
        return total

    def _weighted(self, u: Array, w: Array, weight: int) -> Array:
        if weight == _ENDS:
            return np.concatenate([w[:, :1], np.zeros_like(w[:, 1:-1]), w[:, -1:]], axis=1)
        factor = eval_hermitenorm(weight, u) if weight else np.ones(1)
        return w * (np.abs(factor) if self.magnitude else factor)

    def _factors(self, sums: Sequence[Sum], z: dict[int, Array]) -> dict[object, Array]:
        """The product of the factors at a site, for every (site, orders) that the sums need."""
        found: dict[object, Array] = {}
        for site, x in z.items():
            keys = {key for _, here, _ in sums for key in here if key[0] == site}
            if not keys:
                continue
            values = self.sigma(x, max(max(orders) for _, orders in keys))
            for key in keys:
                factor = math.prod((values[k] for k in key[1][1:]), start=values[key[1][0]])
                if not np.isfinite(factor).all():
                    _blame(x, values, key[1])
                found[key] = np.abs(factor) if self.magnitude else factor
        return found


def _product(here: tuple[object, ...], factors: dict[object, Array], inner: Array | None) -> Array:
    parts = [factors[key] for key in here] + ([] if inner is None else [inner])
    return math.prod(parts[1:], start=parts[0]) if parts else np.ones(1)


def _contract(product: Array, weights: Array) -> Array:
    total: Array = product @ weights[0] if len(weights) == 1 else np.einsum("pn,pn->p", product, weights)
    return total


def _blame(z: Array, values: Sequence[Array], orders: tuple[int, ...]) -> None:
    for k in sorted(set(orders)):
        bad = ~np.isfinite(values[k])
        if bad.any():
            raise ValueError(f"sigma^({k})(z) is {values[k][bad][0]} at z={z[bad][0]:.17g}, inside the Gaussian's range")
    worst = z.flat[np.abs(z).argmax()]
    raise ValueError(f"the product of sigma^(k)(z), k in {orders}, overflows near z={worst:.17g}")


@dataclass(frozen=True)
class _Fixed(_Grid):
    """The same nodes for all outer points: smooth integrands."""

    rules: tuple[tuple[Array, Array], ...] = ()

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(len(u) for u, _ in self.rules)

    def nodes(self, axis: int, mean: dict[int, Array], n: Ints) -> tuple[Array, Array]:
        u, w = self.rules[axis]
        return u[None], w[None]


@dataclass(frozen=True)
class _Panels(_Grid):
    """Gauss-Legendre panels between the kinks that the outer point puts on the axis."""

    half_width: float = 0.0
    order: int = 0
    uniform: tuple[int, ...] = ()  # panels of equal length, cut further by the kinks
    graded: frozenset[tuple[int, int]] = frozenset()  # (site, axis): a later site whose smoothed kink is narrow

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(
            self.order * _panel_count(self.last, len(self.kinks), axis, p, self.graded)
            for axis, p in enumerate(self.uniform)
        )

    def nodes(self, axis: int, mean: dict[int, Array], n: Ints) -> tuple[Array, Array]:
        T = self.half_width
        breaks = [np.broadcast_to(np.linspace(-T, T, self.uniform[axis] + 1), (len(n), self.uniform[axis] + 1))]
        for site, m in mean.items():
            slope = self.L[n, site, axis]
            if self.last[site] == axis:
                breaks += [((k - m) / slope)[:, None] for k in self.kinks]
            elif (site, axis) in self.graded:
                width = np.linalg.norm(self.L[n, site, axis + 1 :], axis=1) / np.abs(slope)
                breaks += [((k - m) / slope)[:, None] + width[:, None] * _LAYER for k in self.kinks]
        edges = np.sort(np.clip(np.concatenate(breaks, axis=1), -T, T), axis=1)
        half = np.diff(edges, axis=1)[:, :, None] / 2
        x, w = _legendre(self.order)
        u = (edges[:, :-1, None] + half * (1 + x)).reshape(len(n), -1)
        return u, (half * w).reshape(len(n), -1) * _density(u)


def _panel_count(last: tuple[int, ...], kinks: int, axis: int, uniform: int, graded: frozenset[tuple[int, int]]) -> int:
    layers = sum(len(_LAYER) for site, at in graded if at == axis)
    return uniform + kinks * (last.count(axis) + layers)


def _density(u: Array) -> Array:
    density: Array = np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    return density


@lru_cache(maxsize=64)
def _legendre(order: int) -> tuple[Array, Array]:
    x, w = roots_legendre(order)
    return x, w


@lru_cache(maxsize=512)
def _rule(nodes: int, half_width: float) -> tuple[Array, Array]:
    """The trapezoid rule on [-half_width, half_width]; with a negative number of nodes Gauss-Hermite."""
    if nodes < 0:
        x, w = roots_hermitenorm(-nodes)
        return x, w / math.sqrt(2 * math.pi)
    u = np.linspace(-half_width, half_width, nodes)
    return u, _density(u) * (u[1] - u[0])


# -------------------------------------------------------------------------------------- choosing and refining grids


def _refine(
    base: _Grid, terms: Sequence[Term], floor: Array, rtol: float, atol: float, max_points: int
) -> tuple[Array, Array]:
    """Grids of growing resolution until two agree, for each covariance on its own: values and errors, (terms, N)."""
    owner, wanted, coefficients = [], [], []
    for t, (orders, derivatives) in enumerate(terms):
        for weights, c in _hermite(derivatives, base.last, base.L):
            owner.append(t)
            wanted.append((weights, orders))
            coefficients.append(c)
    combine = np.zeros((len(terms), len(wanted)))
    combine[owner, range(len(wanted))] = 1
    tree, index = _tree(wanted, base.last)
    base = replace(base, tree=tree)
    C = np.array(coefficients).reshape(len(wanted), -1)
    T, magnitude = _extent(base, wanted)
    scale = combine @ (np.abs(C) * magnitude)
    loose = _LOOSE[bool(base.kinks)].get(base.rank, 0.0)
    tolerance = np.maximum(atol, np.maximum(loose, 2 * floor) * scale)

    def average(level: int, n: Ints) -> Array:
        out = np.empty((len(tree[0]), len(n)))
        for grid, some in _grids(base, T, level, n, max_points):
            out[:, some] = grid.averages()
        answer: Array = combine @ (C[:, n] * out[index])
        return answer

    pending = np.arange(len(base.L))
    values, errors = average(0, pending), scale * 0
    if base.rank == 0:
        return values, errors
    for level in range(1, _LEVELS):
        if level > 1:
            pending = pending[_points(base, T, level, pending, max_points) <= max_points]
        if not len(pending):
            break
        new = average(level, pending)
        errors[:, pending] = np.abs(new - values[:, pending]) + floor[pending] * scale[:, pending]
        values[:, pending] = new
        allowed = np.maximum(rtol * np.abs(new), tolerance[:, pending])
        pending = pending[(errors[:, pending] > allowed).any(axis=0)]
    return values, errors


def _grids(
    base: _Grid, T: Array, level: int, n: Ints, max_points: int
) -> Iterator[tuple[_Grid, Ints]]:
    """Grids for the covariances n and the positions in n they serve."""
    plan = (_panel_plan if base.kinks else _fixed_plan)(base, T[n], level, n, max_points)[0]
    rows, group = np.unique(plan, axis=0, return_inverse=True)
    for g, row in enumerate(rows):
        some = np.flatnonzero(group.ravel() == g)
        common = {k: getattr(base, k) for k in ("sigma", "kinks", "last", "tree")} | {"L": base.L[n[some]]}
        half_width, codes = float(row[0]), [int(c) for c in row[1:]]
        if base.kinks:
            uniform = tuple(codes[1 : 1 + base.rank])
            flags = np.reshape(codes[1 + base.rank :], (len(base.last), base.rank))
            graded = frozenset((int(s), int(a)) for s, a in np.argwhere(flags))
            yield _Panels(**common, half_width=half_width, order=codes[0], uniform=uniform, graded=graded), some
        else:
            yield _Fixed(**common, rules=tuple(_rule(c, half_width) for c in codes)), some


def _points(base: _Grid, T: Array, level: int, n: Ints, max_points: int) -> Array:
    points: Array = (_panel_plan if base.kinks else _fixed_plan)(base, T[n], level, n, max_points)[1]
    return points


def _fixed_plan(base: _Grid, T: Array, level: int, n: Ints, max_points: int) -> tuple[Array, Array]:
    """Rows (half width, code of the rule on each axis), and points of each grid."""
    # On an axis with slope s the nearest singularity of tanh(s u) is d = (pi/2)/s away. With spacing h the trapezoid
    # rule errs by exp(-2 pi y/h + y^2/2) where the contour may be moved by any y <= d: y = min(d, 2 pi/h). For an error
    # exp(-E) that needs the h below. Gauss-Hermite, though exact for polynomials, needs more nodes (only
    # exp(-d sqrt(2 n)): 120 for 16 at s = 1) except for small s; its count is a fit. Other sigma need other E: levels.
    E = (26.0 if base.rank < 3 else 14.0) * math.sqrt(2) ** level
    s = np.abs(base.L[n]).max(axis=1)
    d = math.pi / 2 / s
    h = np.where(d < math.sqrt(2 * E), 2 * math.pi * d / (E + d**2 / 2), math.pi * math.sqrt(2 / E))
    trapezoid = np.ceil(2 * T[:, None] / h) + 1
    hermite = np.ceil(2 + E * (0.11 + 2.1 * s))
    counts = np.minimum(trapezoid, hermite)
    if level < 2:  # the first two levels must be affordable
        counts = _lowered(counts, max_points / (1 if level else 4))
    return np.column_stack([T, np.where(hermite < trapezoid, -counts, counts)]), counts.prod(axis=1)


def _lowered(counts: Array, points: float) -> Array:
    """Counts cut at a common height so that their product is at most points."""
    low, high = np.full((2, len(counts), 1), counts.max(initial=4.0))
    low[:] = 4.0
    for _ in range(20):
        middle = (low + high) / 2
        fits = np.minimum(counts, middle).prod(axis=1, keepdims=True) <= points
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.where((counts.prod(axis=1) <= points)[:, None], counts, np.minimum(counts, np.floor(low)))


def _panel_plan(base: _Grid, T: Array, level: int, n: Ints, max_points: int) -> tuple[Array, Array]:
    """Rows (half width, nodes per panel, uniform panels per axis, flags of graded sites), and points of each grid."""
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
    order = np.full(len(n), math.floor((14 if base.rank < 3 else 8) * math.sqrt(2) ** level))
    if level < 2:
        affordable = (max_points / (1 if level else 4) / panels.prod(axis=1)) ** (1 / base.rank)
        order = np.maximum(2, np.minimum(order, affordable.astype(int)))
    points = (panels * order[:, None]).prod(axis=1)
    return np.column_stack([T, order, uniform, graded.reshape(len(n), base.rank * len(last))]), points


def _extent(base: _Grid, wanted: Sequence[Product]) -> tuple[Array, Array]:
    """Half width beyond which the integrands are negligible, (N,), and E|product| roughly, (wanted, N)."""
    # sigma = exp shifts the mass of the integrand to u ~ sqrt(K) orders: widen until the sums over the two end nodes of
    # each axis are negligible in the sum of |product|, on a coarse grid.
    N, rank = len(base.L), base.rank
    T, magnitude = np.zeros(N), np.zeros((len(wanted), N))
    swap = [tuple(_ENDS if a == axis else w for a, w in enumerate(ws)) for axis in range(rank) for ws, _ in wanted]
    tree, index = _tree([*wanted, *((ws, orders) for ws, (_, orders) in zip(swap, list(wanted) * rank, strict=True))], base.last)
    half_width, spacing, limit = (8.5, 0.25 * max(1, rank), 1e-15) if rank < 3 else (5.8, 0.3 * rank, 3e-8)
    pending = np.arange(N)
    while len(pending):
        nodes = 2 * math.ceil(half_width / spacing) + 1
        fields = {k: getattr(base, k) for k in ("sigma", "kinks", "last")}
        grid = _Fixed(
            **fields, L=base.L[pending], tree=tree, magnitude=True, rules=(_rule(nodes, half_width),) * rank
        )
        sums = grid.averages()[index].reshape(1 + rank, len(wanted), -1)
        T[pending], magnitude[:, pending] = half_width, sums[0]
        pending = pending[(sums[1:] > limit * sums[0]).any(axis=(0, 1))]
        half_width *= 1.12
    return T, magnitude
