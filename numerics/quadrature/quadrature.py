r"""Gaussian averages of products of an activation and its derivatives, over covariances in bulk.

This module and its two helpers are copied into generated programs: they import NumPy, SciPy and the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .factors import factored
from .features import Array, Features, Sigma
from .grids import EPS, Grid, Ints, Term, refine
from .planes import averaged

__all__ = ["Sigma", "Term", "gaussian_averages"]

#: Conditional variance, relative to the site's own, below which a site counts as a function of the earlier ones.
_SINGULAR = 16 * EPS
#: Independent sites from which on factor analysis pays.
_BY_FACTORS = 3
#: Share of the largest |product| that may hide between the nodes at three and four sites.
_UNSEEN = 1e-14
#: Covariances whose largest products are looked for together.
_TOGETHER_AT_MOST = 100
#: Most negative eigenvalue, relative to the largest, that is taken for rounding.
_NEGATIVE = 1e-12


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
        Any positive semi-definite covariance; correlations within 2e-15 of +-1 count as +-1. Between its ``kinks``
        sigma is smooth. Its features are seen if their width (the standard deviation of a bump) is above 0.05 and above
        |z|/600; narrower features are neither seen nor reported.
        One and two independent sites reach ``rtol`` of E|product|, and of the value unless that cancels; three and four
        reach 1e-8 of E|product| (1e-7 and 1e-6 with kinks); or they stop at ``max_points`` per covariance: waves with
        hundreds of periods in both sites. ``errors`` says where they stopped, and counts the covariance as exact to its
        last digit; their measured failure rate is in docs/accuracy.md.
        Derivatives need d <= 2. At singular pairs all of them belong to site 0: (n, 0) differentiates along the line,
        (., n > 0) gives 0, and so does any derivative when site 0 has no variance.
    Errors
        ``ValueError`` for a covariance that is not positive semi-definite, a product that is not finite where the
        average needs it (with z and the order), terms that do not fit d, a covariance in another precision than float64
        (integers are fine), and a sigma that does not return float64 arrays shaped like z, one an order.
    Source
        Trefethen and Weideman, The Exponentially Convergent Trapezoidal Rule, SIAM Review 56 (2014) 385-458, for the
        trapezoid rule on the line; otherwise derived in the comments.
    """
    K, sigma = _checked(covariance, terms), _checking(sigma)
    free = not any(any(by) for _, by in terms)
    L, last, smallest = _cholesky(K, free)
    values, errors = np.zeros((2, len(terms), len(K)))
    # Sites that complete on the same axes have the same tree of sums.
    patterns, group = np.unique(last, axis=0, return_inverse=True)
    for g, pattern in enumerate(patterns):
        n = np.flatnonzero(group.ravel() == g)
        rank = int(pattern.max()) + 1
        cuts, sites = tuple(sorted(map(float, kinks))), tuple(map(int, pattern))
        with np.errstate(all="ignore"):
            if rank < 3:
                values[:, n], errors[:, n] = averaged(
                    sigma, cuts, L[n][:, :, :rank], sites, terms, 48 * EPS, rtol, atol, max_points
                )
                continue
            # Averages of steps depend on the arc cosine of a correlation, which amplifies its rounding by 1/pivot.
            floor = EPS * (16 + (2 / smallest[n] if kinks else np.zeros(len(n))))
            largest = _largest_products(sigma, np.sqrt(np.einsum("nii->ni", K[n])), terms)
            top = max((k for orders, _ in terms for site in orders for k in site), default=0)
            reach = 8 * float(np.linalg.norm(L[n], axis=2).max())
            finest = Features(sigma, cuts, top, reach).finest
            every = n
            if terms and rank >= _BY_FACTORS:
                values[:, n], errors[:, n], settled = factored(
                    sigma, cuts, L[n][:, :, :rank], sites, terms, floor, rtol, atol, max_points, finest
                )
                n, floor = n[~settled], floor[~settled]
            if len(n):
                base = Grid(sigma, cuts, L[n][:, :, :rank], sites, finest=finest)
                values[:, n], errors[:, n] = refine(base, terms, floor, rtol, atol, max_points)
            errors[:, every] += _UNSEEN * largest
    return values, errors


def _largest_products(sigma: Sigma, std: Array, terms: Sequence[Term]) -> Array:
    """The largest |product|, (terms, N): beyond eight standard deviations times the density, relative to that at eight."""
    if len(std) > _TOGETHER_AT_MOST:
        parts = [std[k : k + _TOGETHER_AT_MOST] for k in range(0, len(std), _TOGETHER_AT_MOST)]
        return np.concatenate([_largest_products(sigma, part, terms) for part in parts], axis=1)
    u, sites = np.linspace(-40, 40, 1601), std.shape[1]
    weight = np.exp(-np.maximum(0, u**2 - 64) / (2 * sites))
    top = max((k for orders, _ in terms for site in orders for k in site), default=0)
    out = np.ones((len(terms), len(std)))
    for s in range(sites):
        found = np.nan_to_num(np.abs(np.array(sigma(std[:, s, None] * u, top)[: top + 1])), posinf=0.0)
        for total, (orders, _) in zip(out, terms, strict=True):
            total *= math.prod((found[k] for k in orders[s]), start=np.broadcast_to(weight, found[0].shape)).max(axis=1)
    return out


def _checked(covariance: Array, terms: Sequence[Term]) -> Array:
    given = np.asarray(covariance)
    if given.dtype != np.float64 and given.dtype.kind not in "iu":
        raise ValueError(
            f"covariance has dtype {given.dtype}, whose digits do not carry an average to 1e-10 near parallel inputs; "
            "allowed: float64, integers (compute it in float64 rather than convert it)"
        )
    K = given.astype(np.float64)
    if K.ndim != 3 or K.shape[1] != K.shape[2] or not 1 <= K.shape[1] <= 4:
        raise ValueError(f"covariance has shape {K.shape}; needed: (N, d, d) with d = 1..4")
    d = K.shape[1]
    for orders, derivatives in terms:
        if len(orders) != d or len(derivatives) != d:
            raise ValueError(
                f"term {(orders, derivatives)} has {len(orders)} sites and {len(derivatives)} derivatives; allowed: d={d} of both"
            )
        if d > 2 and any(derivatives):
            raise ValueError(f"term {(orders, derivatives)}: derivatives of the average with d={d}; allowed: d <= 2")
    if not np.isfinite(K).all():
        raise ValueError(
            f"covariance[{int(np.argwhere(~np.isfinite(K))[0, 0])}] is not finite; allowed: finite numbers"
        )
    K = (K + K.swapaxes(1, 2)) / 2
    # Eigenvalues of correlations: among variances of 1e-12 a negative eigenvalue of the covariance would pass for the rounding
    # of a variance of 1e6.
    variance = np.einsum("nii->ni", K)
    large = _NEGATIVE * np.abs(variance).max(axis=1, initial=0)[:, None]
    still = variance <= 0
    for n in np.flatnonzero((still & ((variance < -large) | (np.abs(K) > large[:, :, None]).any(axis=2))).any(axis=1)):
        raise ValueError(
            f"covariance[{n}] is not positive semi-definite: its variances are {variance[n].tolist()}, and a site without "
            f"variance covaries with others by up to {np.abs(K[n][still[n]]).max():.3g}; allowed: variances from 0, and no "
            "covariance without variance"
        )
    scale = np.sqrt(np.where(still, 1, variance))
    R = np.where(still[:, :, None] | still[:, None, :], 0, K / scale[:, :, None] / scale[:, None, :])
    spectrum = np.linalg.eigvalsh(R)
    for n in np.flatnonzero(spectrum[:, 0] < -_NEGATIVE * spectrum[:, -1]):
        raise ValueError(
            f"covariance[{n}] is not positive semi-definite: the eigenvalues of its correlations run from "
            f"{spectrum[n, 0]:.3g} to {spectrum[n, -1]:.3g}; allowed: from {-_NEGATIVE:g} "
            "of the largest, which is taken for rounding"
        )
    return K


def _checking(sigma: Sigma) -> Sigma:
    """The activation with its answers checked: an error names the number, shape or type that is wrong."""

    def checked(z: Array, kmax: int) -> Sequence[Array]:
        found = sigma(z, kmax)
        several = isinstance(found, (tuple, list, np.ndarray))
        if not several or len(found) <= kmax:
            got = f"{len(found)} arrays" if several else f"a {type(found).__name__}"
            raise ValueError(f"sigma(z, {kmax}) returned {got}; needed: {kmax + 1} arrays, its derivatives 0..{kmax}")
        for k, value in enumerate(found[: kmax + 1]):
            shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", type(value).__name__)
            if shape != z.shape or dtype != np.float64:
                raise ValueError(
                    f"sigma(z, {kmax})[{k}] has shape {shape} and dtype {dtype}; needed: the shape of z, {z.shape}, and float64"
                )
        return found

    return checked


def _cholesky(K: Array, free: bool = False) -> tuple[Array, Ints, Array]:
    """K = L L^T by pivots on the correlations: L (N, d, d), the axis each site completes on, smallest pivot.

    The pivot is the site with the largest *relative* conditional variance, so that sites of variance 1e-12 and 1e3 may
    meet; ties go to the first site, or, if ``free``, to that of largest variance: it has the finest structure in u, and on
    the outer axis its nodes are visited once. Axis -1 means z = 0.
    """
    N, d, _ = K.shape
    scale = np.sqrt(np.maximum(np.einsum("nii->ni", K), 0))
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    R = np.clip(K * inverse[:, :, None] * inverse[:, None, :], -1, 1)
    np.einsum("nii->ni", R)[:] = scale > 0
    apart = _conditional_variances(K)
    L, last, smallest = np.zeros((N, d, d)), np.full((N, d), d - 1), np.ones(N)
    done, rows, along = np.zeros((N, d), dtype=bool), np.arange(N), R
    for axis in range(d + 1):
        variance = np.einsum("nii->ni", R)
        complete = (variance <= _SINGULAR) & ~done
        last[complete] = axis - 1
        done |= complete
        if axis == d:
            break
        pivot = np.where(done, -1, variance if axis or not free else scale).argmax(axis=1)
        root = np.sqrt(np.where(done.all(axis=1), 1, variance[rows, pivot]))
        smallest = np.minimum(smallest, root)
        column = np.where(done, 0, R[rows, pivot] / root[:, None])
        # Sites that are parallel to the pivot up to rounding become parallel to the last digit.
        parallel = (apart[rows, pivot] <= _SINGULAR) & ~done & (scale > 0)
        column = np.where(parallel, np.copysign(root[:, None], along[rows, pivot]), column)
        L[:, :, axis] = column * scale
        R = R - column[:, :, None] * column[:, None, :]
        if not axis:
            # 1 - R^2 has lost digits where R is close to 1 or -1: a value with all digits takes its place.
            np.einsum("nii->ni", R)[:] = np.where(scale > 0, apart[rows, pivot], 0)
        R = np.where(parallel[:, :, None] | parallel[:, None, :], 0, R)
        R[rows, pivot] = R[rows, :, pivot] = 0
    return L, last, smallest


def _conditional_variances(K: Array) -> Array:
    """1 - K_ij^2/(K_ii K_jj), (N, d, d), to the last digit however close to 0."""
    # K_ii K_jj - K_ij^2 by products in two parts, on variances between 1 and 4.
    _, exponent = np.frexp(np.maximum(np.einsum("nii->ni", K), 1e-300))
    half = -(exponent // 2)
    K = np.ldexp(K, half[:, :, None] + half[:, None, :])
    D = np.einsum("nii->ni", K)
    (p, p_rest), (q, q_rest) = _product(D[:, :, None], D[:, None, :]), _product(K, K)
    determinant = (p - q) + (p_rest - q_rest)
    return np.divide(determinant, p, out=np.zeros_like(p), where=p > 0).clip(0, 1)


def _product(x: Array, y: Array) -> tuple[Array, Array]:
    """Floating-point product and its rounding error (Dekker; Veltkamp's splitting)."""
    split = 134217729.0  # 2^27 + 1
    x_high, y_high = split * x - (split * x - x), split * y - (split * y - y)
    x_low, y_low = x - x_high, y - y_high
    p = x * y
    return p, ((x_high * y_high - p) + x_high * y_low + x_low * y_high) + x_low * y_low
