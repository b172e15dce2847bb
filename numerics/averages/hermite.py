r"""Averages of functions of two preactivations without closed form, for pairs in bulk, by Hermite series.

.. math:: \langle f(au)\,g(bv)\rangle_\varrho=\sum_n\varrho^n f_n(a)\,g_n(b),\qquad f_n(a)=\langle f(au)\,h_n(u)\rangle

(Mehler), with the orthonormal Hermite polynomials. A coefficient belongs to one input, so that kinks cost no more than panels that
end at them. By Cauchy and Schwarz the first N terms leave out at most :math:`|\varrho|^N` times the root of
:math:`\big(\langle f^2\rangle-\sum f_n^2\big)\big(\langle g^2\rangle-\sum g_n^2\big)`: each pair of inputs takes as many terms as
it needs, and ``averages`` marks the pairs that would need too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.special import roots_legendre

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]
#: sigma(x, kmax) -> values of the activation and its derivatives up to kmax.
Sigma = Callable[[Array, int], Sequence[Array]]
#: Deviations (p,) -> coefficients (sites, p, N) and <f^2> (sites, p).
Coefficients = Callable[[Array], tuple[Array, Array]]
#: The orders of the derivatives whose product stands at a site.
Site = tuple[int, ...]

#: Numbers of terms of a series; with kinks, whose coefficients decay slowly, only some of them.
TERMS = {False: (16, 32, 64, 128, 256, 512, 1024, 2048, 4096), True: (16, 32, 64, 128, 256, 512, 1024, 1600)}
#: The most that a series may leave out, relative to the root of <f^2><g^2>.
LEFT_OUT = 3e-15
#: The root of the density is below rounding beyond so many standard deviations.
REACH = 12.2
#: Frequencies that a grid resolves at first (a function with poles at i pi/2, like tanh, has 20 a) and at most.
FIRST, MOST = 30.0, 2000.0
#: Coefficients that have to agree on two grids, how well, and for how many deviations.
LOW, AGREE, SOME = 24, 3e-15, 12
#: A share of <f^2> below this is rounding.
ROUNDED = 1e-12
#: Nodes of a panel between kinks; half of them resolve a radian each.
PANEL = 32
#: Deviations that are worth a series in them, to begin with.
MANY = 20
#: Deviations between two powers of this share a table; so many nodes are tried for it.
WINDOW, NODES = 4.0, (20, 30, 45, 67, 100, 150)
#: Numbers that are worked on at a time.
BLOCK = 1 << 19


def averages(
    sigma: Sigma,
    kinks: Sequence[float],
    orders: Sequence[tuple[Site, Site]],
    a: Array,
    b: Array,
    rho: Array,
    worth: float = np.inf,
    *,
    tabled: bool = False,
) -> tuple[list[Array], Bools]:
    r"""The averages of products of derivatives of sigma at two sites, and for which pairs they are known.

    Equation
        values[t] = :math:`\langle\prod_{k\in K_1}\sigma^{(k)}(au)\prod_{k\in K_2}\sigma^{(k)}(bv)\rangle_\varrho`,
        (K_1, K_2) = orders[t].
    Shapes
        a, b, rho: (N,), positive deviations and correlations -> one (N,) for each of ``orders``, and (N,) truth values.
        ``worth`` is the work in multiplications that a pair justifies; without it the longest series are tried for all.
        ``tabled``: coefficients come from tables in log a that later calls find again.
    Valid
        Where the truth value is set, to some 1e-14 of the root of :math:`\langle f^2\rangle\langle g^2\rangle`.
    Source
        Mehler's formula; the bound is derived above.
    """
    deviations, back = np.unique(np.concatenate([a, b]), return_inverse=True)
    i, j = back[: len(a)], back[len(a) :]
    sites = sorted({site for pair in orders for site in pair})
    values = [np.full(len(a), np.nan) for _ in orders]
    open_pairs = np.arange(len(a))
    terms = TERMS[bool(len(kinks))]
    at = 0
    while len(open_pairs) and at < len(terms):
        # A few lengths at a time: most pairs need the shortest.
        lengths = terms[at : at + 3]
        at += 3
        if at > 3 and _work(len(deviations), lengths[-1], kinks) > worth * len(open_pairs):
            break
        used, places = np.unique(np.concatenate([i[open_pairs], j[open_pairs]]), return_inverse=True)
        series = _series(sigma, kinks, sites, deviations[used], lengths, tabled=tabled)
        if series is None:
            break
        mine, other = np.split(places, 2)
        needed = _lengths(series, orders, lengths, mine, other, rho[open_pairs])
        for n in lengths:
            now = needed == n
            _sum(series, orders, n, (mine[now], other[now], rho[open_pairs[now]]), values, open_pairs[now])
        open_pairs = open_pairs[needed == 0]
    known = np.ones(len(a), dtype=bool)
    known[open_pairs] = False
    return values, known


def squares(
    sigma: Sigma, kinks: Sequence[float], sites: Sequence[Site], deviations: Array, *, tabled: bool = False
) -> Array | None:
    """<f^2> of the functions at the sites for every deviation, (sites, p); None if no grid resolves them."""
    if tabled:
        # The tables that ``averages`` begins with serve here too.
        order = sorted(set(sites))
        found = _from_tables(sigma, kinks, order, deviations, TERMS[bool(len(kinks))][2])
        if found is not None:
            return found[1][[order.index(site) for site in sites]]
    frequency = _frequency(sigma, kinks, sites, deviations)
    return None if frequency is None else _coefficients(sigma, kinks, sites, deviations, 1, frequency)[1]


def _work(count: int, n: int, kinks: Sequence[float]) -> float:
    """The multiplications for n coefficients at so many deviations."""
    if not len(kinks):
        return 0.0  # one product of matrices
    return float((count if any(kinks) else min(count, 2 * MANY)) * n * 2 * REACH * (FIRST + np.sqrt(n)))


@dataclass(frozen=True)
class HermiteSeries:
    """The coefficients of a function at many deviations: (p, N); and sqrt(1 - sum f_n^2/<f^2>) for each length, (p, lengths)."""

    coefficients: Array
    missing: Array


def _lengths(
    series: dict[Site, HermiteSeries],
    orders: Sequence[tuple[Site, Site]],
    lengths: Sequence[int],
    i: NDArray[np.intp],
    j: NDArray[np.intp],
    rho: Array,
) -> NDArray[np.int64]:
    """The number of terms that each pair needs, by the bound of Cauchy and Schwarz; 0 where the longest series is too short."""
    needed = np.zeros(len(rho), dtype=np.int64)
    for k, n in reversed(list(enumerate(lengths))):
        power = np.abs(rho) ** n
        left = [power * series[f].missing[i, k] * series[g].missing[j, k] for f, g in orders]
        needed[np.max(left, axis=0) <= LEFT_OUT] = n
    return needed


def _sum(
    series: dict[Site, HermiteSeries],
    orders: Sequence[tuple[Site, Site]],
    n: int,
    pairs: tuple[NDArray[np.intp], NDArray[np.intp], Array],
    values: list[Array],
    places: NDArray[np.intp],
) -> None:
    """The first n terms of Mehler's formula for some pairs, written into their places."""
    i, j, rho = pairs
    step = max(1, BLOCK // n)
    for start in range(0, len(rho), step):
        part = slice(start, start + step)
        powers = np.empty((len(rho[part]), n))  # rho^0 ... rho^(n-1)
        powers[:, 0], powers[:, 1:] = 1.0, rho[part, None]
        np.multiply.accumulate(powers, axis=1, out=powers)
        for total, (f, g) in zip(values, orders, strict=True):
            left, right = series[f].coefficients[:, :n], series[g].coefficients[:, :n]
            total[places[part]] = np.einsum("pn,pn,pn->p", left[i[part]], right[j[part]], powers)


def _series(
    sigma: Sigma,
    kinks: Sequence[float],
    sites: Sequence[Site],
    deviations: Array,
    lengths: Sequence[int],
    *,
    tabled: bool = False,
) -> dict[Site, HermiteSeries] | None:
    """The series of every site; None if no grid resolves the functions."""
    n, smooth = lengths[-1], not any(kinks)
    both = _from_tables(sigma, kinks, sites, deviations, n) if tabled else None
    if both is None:
        frequency = _frequency(sigma, kinks, sites, deviations)
        if frequency is None:
            return None
        function = partial(_coefficients, sigma, kinks, sites, n=n, frequency=frequency + np.sqrt(n))
        both = _interpolated(function, deviations, smooth)
    found = {}
    for site, c, norm in zip(sites, *both, strict=True):
        found[site] = HermiteSeries(c, _missing(c**2 / np.where(norm > 0, norm, 1.0)[:, None], lengths))
    return found


@dataclass(frozen=True)
class CoefficientTable:
    """Coefficients and log <f^2> as Chebyshev series in log a: (sites, count, N + 1)."""

    low: float  #: of log a
    high: float
    series: Array

    @classmethod
    def of(cls, function: Coefficients, low: float, high: float, count: int) -> CoefficientTable | None:
        """The series from so many nodes; None if it has not ended there."""
        x = chebyshev.chebpts1(count)[::-1]
        raw, norms = function(np.exp((low + high) / 2 + (high - low) / 2 * x))
        if not (norms > 0).all():
            return None
        # f_n(a) relative to the root of <f^2> is of order one at all deviations; log <f^2> is interpolated beside it
        together = np.concatenate([raw / np.sqrt(norms)[:, :, None], np.log(norms)[:, :, None]], axis=2)
        series = dct(together, type=2, axis=1) / count
        series[:, 0] /= 2
        return cls(low, high, series) if np.abs(series[:, -2:]).max() <= LEFT_OUT else None

    def __call__(self, deviations: Array) -> tuple[Array, Array]:
        """The coefficients (sites, p, N) and <f^2> (sites, p)."""
        x = (2 * np.log(deviations) - self.low - self.high) / (self.high - self.low)
        values = chebyshev.chebvander(x, self.series.shape[1] - 1) @ self.series
        norms = np.exp(values[:, :, -1])
        return values[:, :, :-1] * np.sqrt(norms)[:, :, None], norms


def _interpolated(function: Coefficients, deviations: Array, smooth: bool) -> tuple[Array, Array]:
    """The coefficients at many deviations a: from a Chebyshev series in log a, if they are smooth in log a and it costs less."""
    count = MANY
    while smooth and len(deviations) > 2 * count:
        table = CoefficientTable.of(function, float(np.log(deviations[0])), float(np.log(deviations[-1])), count)
        if table is not None:
            return table(deviations)
        count = 3 * count // 2
    return function(deviations)


def windows(deviations: Array) -> NDArray[np.int64]:
    """The number of the window of log a in which each deviation lies; all deviations in a window share a table."""
    return np.floor(np.log(deviations) / np.log(WINDOW)).astype(np.int64)


def _from_tables(
    sigma: Sigma, kinks: Sequence[float], sites: Sequence[Site], deviations: Array, n: int
) -> tuple[Array, Array] | None:
    """The coefficients by tables of whole windows, which other calls find again; None where a window has none."""
    numbers = windows(deviations)
    raw, norms = np.empty((len(sites), len(deviations), n)), np.empty((len(sites), len(deviations)))
    for number in np.unique(numbers):
        table = _table(sigma, tuple(kinks), tuple(sites), n, int(number))
        if table is None:
            return None
        part = numbers == number
        raw[:, part], norms[:, part] = table(deviations[part])
    return raw, norms


@lru_cache(maxsize=128)
def _table(
    sigma: Sigma, kinks: tuple[float, ...], sites: tuple[Site, ...], n: int, number: int
) -> CoefficientTable | None:
    """The table of a window; None if no grid resolves the functions there, or the series do not end."""
    low, high = number * np.log(WINDOW), (number + 1) * np.log(WINDOW)
    frequency = _frequency(sigma, kinks, sites, np.exp(np.linspace(low, high, SOME)))
    if frequency is None:
        return None
    function = partial(_coefficients, sigma, kinks, sites, n=n, frequency=frequency + np.sqrt(n))
    tries = (CoefficientTable.of(function, low, high, count) for count in NODES)
    return next((table for table in tries if table is not None), None)


def _missing(shares: Array, lengths: Sequence[int]) -> Array:
    """The root of the share of <f^2> that the first n terms leave out, for n in ``lengths``, from the shares f_n^2/<f^2>."""
    n = lengths[-1]
    rest = 1 - shares.sum(axis=1)
    # Beyond the last term: 1 - sum f_n^2/<f^2>; where this difference is rounding, the second half of the series bounds it.
    rest = np.where(rest > ROUNDED, rest, shares[:, n // 2 :].sum(axis=1))
    tails = np.cumsum(shares[:, ::-1], axis=1)[:, ::-1]
    inside = np.hstack([tails, np.zeros((len(shares), 1))])[:, list(lengths)]
    return np.asarray(np.sqrt(inside + rest[:, None]))


def _frequency(sigma: Sigma, kinks: Sequence[float], sites: Sequence[Site], deviations: Array) -> float | None:
    """The highest frequency of the functions that a grid has to resolve: it is raised until two grids agree."""
    # sigma(a u) varies fastest at the largest deviation a; the quantiles stand for the deviations between them.
    few = np.unique(np.quantile(deviations, np.linspace(0, 1, SOME), method="nearest"))
    frequency, coarse = FIRST, _low(sigma, kinks, sites, few, FIRST)
    while frequency <= MOST and np.isfinite(coarse).all():
        fine = _low(sigma, kinks, sites, few, 1.5 * frequency)
        if np.abs(fine - coarse).max() <= AGREE:
            return frequency
        frequency, coarse = 1.5 * frequency, fine
    return None


def _low(sigma: Sigma, kinks: Sequence[float], sites: Sequence[Site], deviations: Array, frequency: float) -> Array:
    """The first coefficients, relative to the root of <f^2>."""
    raw, norms = _coefficients(sigma, kinks, sites, deviations, LOW, frequency)
    scale = np.sqrt(np.where(norms > 0, norms, 1.0))
    return np.asarray(raw / scale[:, :, None])


def _coefficients(
    sigma: Sigma, kinks: Sequence[float], sites: Sequence[Site], deviations: Array, n: int, frequency: float
) -> tuple[Array, Array]:
    """N coefficients of every site at every deviation, (sites, p, n), and <f^2>, (sites, p)."""
    highest = max(k for site in sites for k in site)
    raw, norms = np.empty((len(sites), len(deviations), n)), np.empty((len(sites), len(deviations)))
    nodes = int(np.ceil(2 * REACH * frequency / (1 if len(kinks) else 2 * np.pi)))
    step = max(1, BLOCK // nodes)
    for start in range(0, len(deviations), step):
        part = slice(start, start + step)
        if len(kinks):
            u, w = _panels(np.asarray(kinks) / deviations[part, None], frequency)
        else:
            u, w = (v[None] for v in _equispaced(frequency))
        # f_k = int f h_k density: one root of the density goes with f, the other with h_k.
        density = np.exp(-(u**2) / 4) / (2 * np.pi) ** 0.25  # the root
        values = sigma(deviations[part, None] * u, highest)
        weighted = [np.prod([values[k] for k in site], axis=0) * density * w for site in sites]
        norms[:, part] = [np.sum(f**2 / np.where(w > 0, w, 1.0), axis=1) for f in weighted]
        if not len(kinks):
            H = _hermite(n, frequency)  # one grid for all deviations: a product of matrices
            raw[:, part] = [f @ H.T for f in weighted]
            continue
        # Panels differ from deviation to deviation, and h_k is evaluated on the grid of each.
        for k, h in enumerate(_recursion(n, u, density)):
            raw[:, part, k] = [np.einsum("pu,pu->p", f, h) for f in weighted]
    return raw, norms


def _equispaced(frequency: float) -> tuple[Array, Array]:
    """The trapezoid rule; its error is the part of the integrand at frequencies beyond 2 pi/step."""
    half = int(np.ceil(REACH * frequency / (2 * np.pi)))
    u = np.linspace(-REACH, REACH, 2 * half + 1)
    return u, np.full(len(u), REACH / half)  # a difference of nodes would lose digits


@lru_cache(maxsize=8)
def _hermite(n: int, frequency: float) -> Array:
    """h_k(u) times the root of the density on the equispaced grid, (n, nodes)."""
    u, _ = _equispaced(frequency)
    return np.array([h.copy() for h in _recursion(n, u, np.exp(-(u**2) / 4) / (2 * np.pi) ** 0.25)])


def _recursion(n: int, u: Array, density: Array) -> Iterator[Array]:
    """h_0 ... h_(n-1) times the root of the density: so they stay of order one."""
    before, now = np.zeros_like(u), np.array(density)
    for k in range(n):
        yield now
        before, now = now, (u * now - np.sqrt(k) * before) / np.sqrt(k + 1)


def _panels(edges: Array, frequency: float) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on panels that end at the given points, a row of them for each deviation."""
    count = int(np.ceil(2 * REACH * frequency / PANEL))
    uniform = np.broadcast_to(np.linspace(-REACH, REACH, count + 1), (len(edges), count + 1))
    all_edges = np.sort(np.clip(np.hstack([uniform, edges]), -REACH, REACH), axis=1)
    x, w = roots_legendre(PANEL)[:2]
    half = np.diff(all_edges, axis=1)[:, :, None] / 2
    u = all_edges[:, :-1, None] + half * (1 + x)
    return u.reshape(len(edges), -1), (half * w).reshape(len(edges), -1)
