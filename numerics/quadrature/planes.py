r"""Averages over one or two independent sites: on each axis two nested rules share their nodes, and disagree by the error.

Its text is copied into generated programs, so it imports NumPy, SciPy and the standard library.

The plan. Write z = L u with L from a pivoted Cholesky decomposition and u standard normal. A site belongs to the axis
where its last entry of L stands; the sum over axis 1 is done at each node of axis 0. An axis has either equidistant
nodes, for smooth sigma of the scale of the Gaussian, or panels that end where sigma changes. Every second node makes
a coarser rule of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .axes import Axis, equidistant, in_panels
from .features import Array, Features, Sigma
from .grids import EPS, Ints, Term, factors_at, hermite, spacing

#: Products of derivatives at the sites of an axis: ((site, orders), ...).
Key = tuple[tuple[int, tuple[int, ...]], ...]
Flags = NDArray[np.bool_]
#: An average to be done: the Hermite polynomials and the products on axis 0 and 1.
Request = tuple[tuple[int, int], tuple[Key, Key]]

#: Points evaluated together: arrays small enough that the allocator gives the same memory again.
_TOGETHER = 14_000
#: First and last half width of an axis, in standard deviations.
_WIDTH, _WIDEST = 8.0, 60.0
#: Accuracy exp(-E) of the first equidistant rule, and nodes of a panel at each level.
_FIRST_E, _FIRST_NODES = 38.0, 22
_MOST_LEVELS = 9
#: Equidistant nodes are no further apart than this share of the shortest panel that sigma asks for.
_SHARE = 0.6
#: Panels never need fewer nodes than this: so many equidistant nodes are taken without a comparison.
_CHEAP = 120
#: Gaussian panels without features; in units of the standard deviation and of a smoothing.
_PLAIN, _SMOOTHED = 5.4, 4.5
#: By the number of axes: the shortest panel at a kink where a derivative is infinite (on two axes z is a sum, with the digits of
#: its terms), and the share of a panel that no longer counts.
_AT_KINKS = {1: (2.0**-900, 1e-16), 2: (2.0**-44, 2e-10)}
#: Panel edges around a feature smoothed by Gaussian noise, in units of the noise; beyond, 1e-16 of the noise is left.
_AROUND = np.array([-8.5, -3.2, 3.2, 8.5])
#: Noise above this share of the finest scale smooths; noise above this share of the standard deviation needs no edges.
_SMOOTHS, _WIDE = 0.25, 0.35


@dataclass(frozen=True)
class Plane:
    """Averages over covariances L L^T of rank one or two with the same sites on each axis."""

    sigma: Sigma
    features: Features
    L: Array  # (N, d, rank)
    last: tuple[int, ...]  # the axis of each site, -1: z = 0
    requests: Sequence[Request]

    @property
    def rank(self) -> int:
        """Number of axes."""
        return int(self.L.shape[2])

    def sites(self, axis: int) -> list[int]:
        """The sites of an axis; of sites that agree in all covariances, or up to the sign at even kinks, one."""
        found: list[int] = []
        for s, at in enumerate(self.last):
            if at == axis and not any(np.array_equal(self.L[:, s], self.L[:, other]) for other in found):
                found.append(s)
        return found

    @cached_property
    def alive(self) -> Flags:
        """Whether each request is a product of derivatives none of which is zero everywhere."""
        dead = self.features.dead
        return np.array(
            [not any(dead[k] for key in keys for _, o in key for k in o) for _, keys in self.requests], dtype=bool
        )

    # ------------------------------------------------------------------------------------------------------ the grids

    def plan(self, T: Array, level: int, n: Ints) -> tuple[Array, Array]:
        """For the covariances n: rows (T, nodes or -gap code of both axes), and the points of each grid."""
        nodes = panel_nodes(level, self.rank)
        E = _FIRST_E * 1.35 ** (level + 2 - self.rank)
        rows, points = [T], np.ones(len(n))
        for axis in range(self.rank):
            slope = np.abs(self.L[n][:, [s for s, at in enumerate(self.last) if at >= axis], axis]).max(axis=1)
            h = np.minimum(spacing(slope, E), _SHARE * self.features.finest / slope / 1.35**level)
            step = 2.0 ** np.ceil(np.log2(np.maximum(2 * T / h, 32)) - 4)
            count = 1 + step * np.ceil(2 * T / h / step)  # few different counts: many grids at once
            if self.features.kinks or count.max(initial=0) > _CHEAP:
                code, panels = self._panels_needed(axis, T, n)
                smooth = (count <= panels * nodes) & (not self.features.kinks)
                points = points * np.where(smooth, count, panels * nodes)
                count = np.where(smooth, count, -1 - code)
            else:
                points = points * count
            rows.append(count)
        return np.column_stack(rows), points

    def _panels_needed(self, axis: int, T: Array, n: Ints) -> tuple[Array, Array]:
        """Code of the breaks on this axis, and how many panels they make."""
        L, edges = self.L[n], self.features.edges
        if axis == self.rank - 1:
            # Inner axis: given the outer point, z runs over a window of length 2 T |L|, which holds some of the edges; there are
            # as many panels as the fullest window of this length needs.
            window = np.array([2 * T * np.abs(L[:, s, axis]) for s in self.sites(axis)])
            octave = np.ceil(np.log2(np.maximum(window, 1e-300)))
            most = _lookup(octave, self._most).max(axis=0)
            return most, len(window) * most + np.ceil(2 * T / _PLAIN)
        # Outer axis: the sites of the inner axis enter it smoothed by their noise, of width noise/slope in u.
        noise = np.array([np.abs(L[:, s, 1]) for s in self.sites(1)])
        slope = np.array([np.abs(L[:, s, 0]) for s in self.sites(1)])
        w = np.divide(noise, slope, out=np.full_like(noise, np.inf), where=slope > 0)
        uniform = np.ceil(2 * T / np.minimum(_PLAIN, _SMOOTHED * np.where(w >= _WIDE, w, np.inf).min(axis=0)))
        # Gaps between edges in powers of two: code 0 for noise that does not smooth, code 200 for noise that needs no edges.
        gaps = np.where(noise > _SMOOTHS * self.features.finest, np.ceil(np.log2(np.maximum(noise, 1e-300))) + 64, 0)
        gaps = np.where(w >= _WIDE, 200, np.clip(gaps, 0, 199))
        panels = uniform + len(self.sites(0)) * len(edges)
        code = uniform
        for gap in gaps:
            panels = panels + _lookup(gap, lambda g: len(self._smoothed_breaks(int(g), 1.0)))
            code = 256 * code + gap
        return code, panels

    def _most(self, octave: float) -> int:
        """Most edges within any window of length 2^octave."""
        edges = self.features.edges
        inside = np.searchsorted(edges, edges + 2.0**octave, side="right") - np.arange(len(edges))
        return int(inside.max(initial=0))

    @cached_property
    def _broken(self) -> dict[int, tuple[Array, Array]]:
        return {}

    def _smoothed_breaks(self, gap: int, noise: float | Array) -> Array:
        """Breaks in z for sigma smoothed by noise: (breaks,) or (P, breaks)."""
        if gap not in self._broken:
            f = self.features
            if gap >= 200:
                at = around = np.zeros(0)
            elif gap == 0:
                at, around = f.edges, np.array([k for k in f.kinks if abs(k) < f.reach])
            else:
                at = around = f.apart(2.0 ** (gap - 64))
            self._broken[gap] = at, around
        at, around = self._broken[gap]
        spread = np.multiply.outer(noise, _AROUND)
        layers = (around[:, None] + spread[..., None, :]).reshape(*spread.shape[:-1], -1)
        return np.concatenate([np.broadcast_to(at, (*layers.shape[:-1], len(at))), layers], axis=-1)

    def axis(self, axis: int, T: float, code: float, nodes: int, mean: dict[int, Array], n: Ints) -> Axis:
        """The rules of an axis for P outer points with these means in the covariances n."""
        if code > 0:  # smooth sigma: the trapezoid rule
            return equidistant(T, int(code))
        kind, breaks = int(-1 - code), list[Array]()
        if axis == self.rank - 1:  # the next edges of sigma, given the outer point
            uniform = math.ceil(2 * T / _PLAIN)
            for s in self.sites(axis) if kind else []:
                m, slope, edges = mean[s], self.L[n, s, axis], self.features.edges
                start = np.searchsorted(edges, m - T * np.abs(slope)).clip(max=max(0, len(edges) - kind))
                near = edges[np.minimum(start[:, None] + np.arange(kind), len(edges) - 1)]
                breaks.append((near - m[:, None]) / slope[:, None])
        else:  # the edges of sigma, and those of sigma smoothed by the inner axis
            gaps = list[int]()
            for _ in self.sites(1):
                kind, gap = divmod(kind, 256)
                gaps.insert(0, gap)
            uniform = kind
            breaks += [self.features.edges / self.L[n, s, 0, None] for s in self.sites(0)]
            for s, gap in zip(self.sites(1), gaps, strict=True):
                if gap < 200:
                    breaks.append(self._smoothed_breaks(gap, np.abs(self.L[n, s, 1])) / self.L[n, s, 0, None])
        breaks.append(np.broadcast_to(np.linspace(-T, T, uniform + 1)[1:-1], (len(n), uniform - 1)))
        return in_panels(T, np.concatenate(breaks, axis=1), nodes)

    # ------------------------------------------------------------------------------------------------------- the sums

    def averages(self, n: Ints, row: Sequence[float], nodes: int, sizes: bool) -> Array:
        """The sums of covariances with the same plan, (5, requests, n), see ``_combined``; without ``sizes`` the first two."""
        T, *codes = row
        zero = {s: np.zeros(len(n)) for s, at in enumerate(self.last) if at >= 0}
        outer = self.axis(0, T, codes[0], nodes, zero, n)
        z = {s: self.L[n, s, 0][:, None] * outer.u for s in zero}
        inner: dict[tuple[Key, int], list[Array]] = {}
        if self.rank == 2:
            mean = {s: x.ravel() for s, x in z.items() if self.last[s] == 1}
            P = len(n) * outer.u.shape[1]
            uniform = math.ceil(2 * T / _PLAIN)
            per_point = codes[1] if codes[1] > 0 else nodes * (len(self.sites(1)) * (-1 - codes[1]) + uniform)
            size, rows = max(1, int(_TOGETHER / per_point)), np.repeat(n, outer.u.shape[1])
            parts = [
                self._inner(
                    {s: m[k : k + size] for s, m in mean.items()}, rows[k : k + size], T, codes[1], nodes, sizes
                )
                for k in range(0, P, size)
            ]
            inner = {
                key: [np.concatenate(v).reshape(len(n), -1) for v in zip(*(p[key] for p in parts), strict=True)]
                for key in parts[0]
            }
        values = self._products(0, z, z[next(iter(z))].shape)
        out = np.zeros((5, len(self.requests), len(n)))
        for r, (q, keys) in enumerate(self.requests):
            one, none = np.ones((1, 1)), np.zeros((1, 1))
            below = inner[keys[1], q[1]] if self.rank == 2 else [one, one, one, one, none][: 5 if sizes else 2]
            out[: len(below), r] = _combined(outer, q[0], values[keys[0]], below)
        self._check(out, z)
        return out

    def _inner(
        self, mean: dict[int, Array], n: Ints, T: float, code: float, nodes: int, sizes: bool
    ) -> dict[tuple[Key, int], list[Array]]:
        """The five sums over axis 1 at P outer points, two without ``sizes``, for every product and Hermite polynomial."""
        rule = self.axis(1, T, code, nodes, mean, n)
        z = {s: m[:, None] + self.L[n, s, 1][:, None] * rule.u for s, m in mean.items()}
        values = self._products(1, z, (len(n), rule.u.shape[1]))
        found: dict[tuple[Key, int], list[Array]] = {}
        for (_, q), (_, key) in self.requests:
            if (key, q) not in found:
                found[key, q] = list(rule.pair(values[key], q))
                if sizes:
                    found[key, q] += rule.sizes(np.abs(values[key]), q)
        return found

    def _products(self, axis: int, z: dict[int, Array], shape: tuple[int, ...]) -> dict[Key, Array]:
        keys = {keys[axis] for _, keys in self.requests}
        at = {
            s: factors_at(self.sigma, z[s], {orders for key in keys for site, orders in key if site == s})
            for s in {site for key in keys for site, _ in key}
        }
        return {
            key: math.prod((at[s][o] for s, o in key[1:]), start=at[key[0][0]][key[0][1]]) if key else np.ones(shape)
            for key in keys
        }

    def _check(self, sums: Array, z: dict[int, Array]) -> None:
        if not np.isfinite(sums).all():
            far = {f"z_{s}": float(x.flat[np.abs(x).argmax()]) for s, x in z.items()}
            raise ValueError(
                f"the product of the factors of sigma at several sites overflows near {far}; allowed: smaller variances"
            )


def _combined(rule: Axis, q: int, f: Array, below: list[Array]) -> list[Array]:
    """Five numbers: the average, its change with coarser axes, E|product|, its sensitivity to rounding, its part outside."""
    value, coarser = rule.pair(f * below[0], q)
    # The change of the outer rule, and that of the inner rules carried through the outer one.
    change = np.abs(coarser - value) + np.abs(rule.pair(f * (below[0] - below[1]), q)[0])
    if len(below) == 2:
        return [value, change]
    _, _, size, rounding, outside = below
    absolute = np.abs(f)
    whole, _, tail = rule.sizes(absolute * size, q)
    return [value, change, whole, rule.sizes(absolute * rounding, q)[1], tail + rule.sizes(absolute * outside, q)[0]]


def _lookup(keys: Array, value: Callable[[float], int]) -> Array:
    """The value of each key, found once for equal keys."""
    different, which = np.unique(keys, return_inverse=True)
    return np.array([value(key) for key in different.tolist()], dtype=np.float64)[which].reshape(keys.shape)


def panel_nodes(level: int, rank: int) -> int:
    """Nodes of a panel; more on a single axis, where they cost little."""
    return math.ceil(_FIRST_NODES * math.sqrt(2) ** (level + 2 - rank))


# -------------------------------------------------------------------------------------------------------- refinement


def averaged(
    sigma: Sigma,
    kinks: tuple[float, ...],
    L: Array,
    last: tuple[int, ...],
    terms: Sequence[Term],
    floor: float,
    rtol: float,
    atol: float,
    max_points: int,
) -> tuple[Array, Array]:
    """Averages over z = L u, (N, d, rank <= 2), and their errors, (terms, N); floor: rounding of a product."""
    owner, requests, C = _requests(terms, last, L)
    combine = (np.arange(len(terms))[:, None] == owner).astype(np.float64)
    still = np.array([_at_zero(sigma, orders, last) for orders, _ in terms]).reshape(len(terms))
    C = C * still[owner][:, None]
    if not L.shape[2]:
        values = combine @ C
        return values, floor * np.abs(values)
    top = max((k for orders, _ in terms for site in orders for k in site), default=0)
    std, N = np.linalg.norm(L, axis=2).max(axis=1), len(L)
    power = max((len(site) for orders, _ in terms for site in orders), default=1)
    features = Features(sigma, kinks, top, _WIDTH * std.max(initial=0.0), max(1, power), *_AT_KINKS[L.shape[2]])
    if features.singular:
        sigma = _beside(sigma, kinks)
        features = replace(features, sigma=sigma)
    plane = Plane(sigma, features, L, last, requests)
    T, beyond = np.full(N, _WIDTH), max(EPS, 1e-2 * rtol)
    values, errors, scale, rounding, before = np.zeros((5, len(terms), N))
    pending = np.arange(N)
    for level in range(_MOST_LEVELS):
        rows, points = plane.plan(T[pending], level, pending)
        if level:
            rows, pending = rows[points <= max_points], pending[points <= max_points]
        if not len(pending):
            break
        starved = points > max_points if not level else np.zeros(len(pending), dtype=bool)
        rows[starved, 1:] = _starved(max_points, plane.rank)
        sums = _on_grids(plane, rows, level, pending)
        if not level:
            # sigma = exp shifts the mass of the integrand to u ~ sqrt(K) orders: widen until the ends are negligible. A sum of
            # exactly zero, of a product that is not zero everywhere, has underflowed: it widens too, by larger steps.
            alive = plane.alive[:, None]
            wide = _too_narrow(sums, beyond, alive) & ~starved
            while wide.any() and T.max() < _WIDEST:
                T[pending[wide]] *= np.where((alive & (sums[2] == 0)).any(axis=0)[wide], 1.6, 1.12)
                plane = _reaching(plane, 1.2 * float((T * std).max()))
                rows, points = plane.plan(T[pending[wide]], level, pending[wide])
                rows[points > max_points, 1:] = _starved(max_points, plane.rank)
                starved[wide] = points > max_points
                sums[:, :, wide] = _on_grids(plane, rows, level, pending[wide])
                wide &= _too_narrow(sums, beyond, alive) & ~starved
        value = combine @ (C[:, pending] * sums[0])
        change, size, z_rounding, tail = (combine @ (np.abs(C[:, pending]) * s) for s in sums[1:])
        if not level:
            scale = size
            rounding = floor * np.maximum(size, z_rounding) + tail + math.erfc(_WIDTH / math.sqrt(2)) * size + 1e-300
        size = scale[:, pending]
        # Both rules converge exponentially in their nodes while sigma is resolved, so that the coarse rule, with half of the
        # nodes, has the square root of the relative error: error = x^2 for a relative change x. As a change may be small by
        # chance, x is at least a tenth of the largest among the terms, and the error (10 x)^1.7, at most x. Where the change
        # does not fall so fast from level to level, the error is 10 x.
        x = np.divide(change, size, out=np.zeros_like(size), where=size > 0)
        x = np.maximum(x, x.max(axis=0, initial=0.0) / 10)
        jump = np.abs(value - values[:, pending]) * (level > 0)
        fast = plane.features.resolved & (jump <= errors[:, pending]) & (x <= before[:, pending] ** 1.1)
        fast |= x <= EPS
        found = size * np.where(fast | ((level == 0) & plane.features.resolved), np.minimum(x, (10 * x) ** 1.7), 10 * x)
        found = np.where(starved, change + 2 * size, found) + rounding[:, pending]
        values[:, pending], errors[:, pending], before[:, pending] = value, found, x
        allowed = np.maximum(rtol * np.abs(value), np.maximum(atol, 1.5 * rounding[:, pending]))
        pending = pending[((found > allowed).any(axis=0) & ~starved)]
        if not len(pending):
            break
    return values, errors


def _beside(sigma: Sigma, kinks: tuple[float, ...]) -> Sigma:
    """The activation, which at a kink has the values next to it: rounding puts nodes there."""

    def moved(z: Array, highest: int) -> Sequence[Array]:
        for kink in kinks:
            z = np.where(z == kink, kink * (1 + 2 * EPS) + 1e-17, z)
        return sigma(z, highest)

    return moved


def _too_narrow(sums: Array, beyond: float, alive: Flags) -> Flags:
    return np.asarray(((sums[4] > beyond * sums[2]) | (alive & (sums[2] == 0))).any(axis=0))


def _requests(terms: Sequence[Term], last: tuple[int, ...], L: Array) -> tuple[Ints, list[Request], Array]:
    """The averages that the terms need: the number of the term, the request, and its coefficient, (requests, N)."""
    owner, requests, C = list[int](), list[Request](), list[Array]()
    for t, (orders, by) in enumerate(terms):
        keys = [
            tuple((s, tuple(sorted(orders[s]))) for s in range(len(last)) if last[s] == a and orders[s]) for a in (0, 1)
        ]
        for q, c in hermite(by, last, L):
            owner.append(t)
            first, second = (*q, 0, 0)[:2]
            requests.append(((first, second), (keys[0], keys[1])))
            C.append(c)
    return np.array(owner, dtype=np.int64), requests, np.array(C).reshape(len(C), len(L))


def _at_zero(sigma: Sigma, orders: Sequence[tuple[int, ...]], last: tuple[int, ...]) -> float:
    """The factors of the sites at z = 0."""
    here = [tuple(sorted(o)) for o, at in zip(orders, last, strict=True) if at < 0 and o]
    found = factors_at(sigma, np.zeros(1), set(here))
    return float(math.prod(found[key][0] for key in here))


def _reaching(plane: Plane, reach: float) -> Plane:
    return (
        plane if 1.2 * plane.features.reach >= reach else replace(plane, features=replace(plane.features, reach=reach))
    )


def _starved(max_points: int, rank: int) -> float:
    return 2 * max(8, int(max_points ** (1 / rank) / 2)) - 1.0


def _on_grids(plane: Plane, rows: Array, level: int, n: Ints) -> Array:
    """The sums of the covariances n, (5, requests, n), each on the grids that its row of the plan describes."""
    out = np.empty((5, len(plane.requests), len(n)))
    kinds, group = np.unique(rows, axis=0, return_inverse=True)
    for g, row in enumerate(kinds.tolist()):
        some = np.flatnonzero(group.ravel() == g)
        size = max(1, _TOGETHER // int(row[1])) if row[1] > 0 else 64
        for here in (some[k : k + size] for k in range(0, len(some), size)):
            out[:, :, here] = plane.averages(n[here], row, panel_nodes(level, plane.rank), not level)
    return out
