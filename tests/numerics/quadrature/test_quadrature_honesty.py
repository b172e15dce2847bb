"""The error of a Gaussian average is below the reported one: random activations, orders, variances and correlations.

The reference knows where each activation has structure and goes over it in Gauss-Legendre panels of that size, site by
site; it shares no line with the code under test, and is itself tested against mpmath and closed forms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import mpmath
import numpy as np
import pytest
from scipy.special import erf, expit, roots_hermitenorm, roots_legendre
from scipy.stats import binom

from widthwise.numerics.quadrature.quadrature import gaussian_averages

EPS = np.finfo(float).eps

# ------------------------------------------------------------------------------------------------------- activations


@dataclass(frozen=True)
class Act:
    """An activation and its derivative, by hand; mp: the activation in mpmath; features: (place, width) of structure."""

    name: str
    f: Any
    df: Any
    mp: Any
    features: tuple[tuple[float, float], ...] = ()
    kinks: tuple[float, ...] = ()
    waves: Any = field(default=None)  # closed form in place of panels: [(amplitude, power of z, frequency), ...]

    def __call__(self, z, kmax):
        return (self.f(z), self.df(z))[: kmax + 1]


def sech2(z):
    t = np.exp(-2 * np.abs(z))
    return 4 * t / (1 + t) ** 2


def pdf(z):
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def cdf(z):
    return (1 + erf(z / math.sqrt(2))) / 2


def slope(z):
    return expit(z) * expit(-z)


def d_mish(z):
    s = np.logaddexp(0, z)
    return np.tanh(s) + z * sech2(s) * expit(z)


def step(z):
    return np.where(z > 0, 1.0, 0.0)


def inside(z, a, b):
    return np.where((z > a) & (z < b), 1.0, 0.0)


LAMBDA, ALPHA = 1.0507009873554805, 1.6732632423543772
MP = mpmath
ACTS = (
    Act("tanh", np.tanh, sech2, MP.tanh, ((0, 1),)),
    Act("sigmoid", expit, slope, lambda z: 1 / (1 + MP.exp(-z)), ((0, 2),)),
    Act("swish", lambda z: z * expit(z), lambda z: expit(z) + z * slope(z), lambda z: z / (1 + MP.exp(-z)), ((0, 2),)),
    Act("softplus", lambda z: np.logaddexp(0, z), expit, lambda z: MP.log1p(MP.exp(z)), ((0, 2),)),
    Act("erf", erf, lambda z: 2 / math.sqrt(math.pi) * np.exp(-(z**2)), MP.erf, ((0, 0.7),)),
    Act("gelu", lambda z: z * cdf(z), lambda z: cdf(z) + z * pdf(z), lambda z: z * MP.ncdf(z), ((0, 1),)),
    Act("sin", np.sin, np.cos, MP.sin, waves=((-0.5j, 0, 1.0), (0.5j, 0, -1.0))),
    Act("x sin 3x", lambda z: z * np.sin(3 * z), lambda z: np.sin(3 * z) + 3 * z * np.cos(3 * z),
        lambda z: z * MP.sin(3 * z), waves=((-0.5j, 1, 3.0), (0.5j, 1, -3.0))),
    Act("mish", lambda z: z * np.tanh(np.logaddexp(0, z)), d_mish, lambda z: z * MP.tanh(MP.log1p(MP.exp(z))), ((0, 1),)),
    Act("gaussian", lambda z: np.exp(-(z**2) / 2), lambda z: -z * np.exp(-(z**2) / 2), lambda z: MP.exp(-(z**2) / 2), ((0, 0.7),)),
    Act("tanh + z/2", lambda z: np.tanh(z) + z / 2, lambda z: sech2(z) + 0.5, lambda z: MP.tanh(z) + z / 2, ((0, 1),)),
    Act("tanh(5z - 3)", lambda z: np.tanh(5 * z - 3), lambda z: 5 * sech2(5 * z - 3), lambda z: MP.tanh(5 * z - 3), ((0.6, 0.2),)),
    Act("bump", lambda z: np.exp(-200 * (z - 2) ** 2), lambda z: -400 * (z - 2) * np.exp(-200 * (z - 2) ** 2),
        lambda z: MP.exp(-200 * (z - 2) ** 2), ((2, 0.035),)),
    Act("relu", lambda z: np.maximum(z, 0), step, lambda z: max(z, MP.mpf(0)), kinks=(0.0,)),
    Act("leaky relu", lambda z: np.where(z > 0, z, z / 100), lambda z: np.where(z > 0, 1, 0.01),
        lambda z: z if z > 0 else z / 100, kinks=(0.0,)),
    Act("elu", lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda z: np.exp(np.minimum(z, 0)),
        lambda z: z if z > 0 else MP.expm1(z), ((0, 1),), (0.0,)),
    Act("selu", lambda z: LAMBDA * np.where(z > 0, z, ALPHA * np.expm1(np.minimum(z, 0))),
        lambda z: LAMBDA * np.where(z > 0, 1, ALPHA * np.exp(np.minimum(z, 0))),
        lambda z: LAMBDA * (z if z > 0 else ALPHA * MP.expm1(z)), ((0, 1),), (0.0,)),
    Act("hard tanh", lambda z: np.clip(z, -1, 1), lambda z: inside(z, -1, 1),
        lambda z: max(MP.mpf(-1), min(MP.mpf(1), z)), kinks=(-1.0, 1.0)),
    Act("relu6", lambda z: np.clip(z, 0, 6), lambda z: inside(z, 0, 6),
        lambda z: max(MP.mpf(0), min(MP.mpf(6), z)), kinks=(0.0, 6.0)),
    Act("hard sigmoid", lambda z: np.clip(z / 6 + 0.5, 0, 1), lambda z: inside(z, -3, 3) / 6,
        lambda z: max(MP.mpf(0), min(MP.mpf(1), z / 6 + MP.mpf("0.5"))), kinks=(-3.0, 3.0)),
    Act("hard swish", lambda z: z * np.clip(z / 6 + 0.5, 0, 1), lambda z: np.where(z > 3, 1, inside(z, -3, 3) * (2 * z + 3) / 6),
        lambda z: z * max(MP.mpf(0), min(MP.mpf(1), z / 6 + MP.mpf("0.5"))), kinks=(-3.0, 3.0)),
)  # fmt: skip

# --------------------------------------------------------------------------------------------------------- reference

_STEPS = np.concatenate([[1.0, 2.0, 3.0], 4 * 1.6 ** np.arange(60)])
#: Panels without features, in standard deviations.
_PLAIN = np.arange(-9.0, 9.1, 1.0)
#: For a bump that the Gaussian reaches with its tail only.
_FAR = np.arange(-45.0, 45.1, 1.0)


def offsets(width, reach):
    """Distances from a feature of this width at which panels end: of its size, then in proportion to the distance."""
    d = _STEPS[: 4 + max(0, math.ceil(math.log(max(reach / width, 1)) / math.log(1.6)))] * width
    return np.concatenate([-d, [0.0], d])


def plain(act):
    return _FAR if act.name == "bump" else _PLAIN


def rule(breaks, order):
    """Nodes and weights, (P, nodes), for the standard Gaussian; breaks: (P, n)."""
    x, w = roots_legendre(order)
    e = np.sort(np.clip(breaks, breaks[0, 0], -breaks[0, 0]), axis=1)
    half = np.diff(e, axis=1)[:, :, None] / 2
    u = (e[:, :-1, None] + half * (1 + x)).reshape(len(e), -1)
    return u, (half * w).reshape(len(e), -1) * pdf(u)


def product(act, z, orders):
    values = act(z, 1)
    return math.prod(values[k] for k in orders)


def one_site(act, slopes, orders, order):
    """<product of the sites z_s = slopes[s] u> and of its absolute value."""
    e = [plain(act)]
    for s in slopes:
        if s:
            e += [np.array(act.kinks) / s]
            e += [(x + offsets(w, 20 * abs(s))) / s for x, w in act.features]
    u, w = rule(np.concatenate(e)[None], order)
    f = math.prod(product(act, s * u, o) for s, o in zip(slopes, orders, strict=True))
    return (f * w).sum(), (np.abs(f) * w).sum()


def outer(act, a, smoothed_sites, order):
    """Nodes and weights of u for sites a u (0: none) and b u + c v, (b, c) in smoothed_sites."""
    e = [plain(act)]
    if a:
        e += [np.array(act.kinks) / a, *((x + offsets(w, 20 * a)) / a for x, w in act.features)]
    for b, c in smoothed_sites:
        for x, w in (*act.features, *((k, 0.0) for k in act.kinks)):
            w = max(w, c)
            if abs(b) * 0.7 > w:
                e.append((x + offsets(w, 20 * abs(b))) / b)
    u, weight = (part[0] for part in rule(np.concatenate(e)[None], order))
    return u[weight > 0], weight[weight > 0]


def smoothed(act, m, c, orders, order):
    """<product at m + c v> and of its absolute value, for every m."""
    resolved = [(x, w) for x, w in act.features if c > 0.2 * w]
    v_breaks = [offsets(w, 40 * c) / c for _, w in resolved]
    total, size = np.empty((2, len(m)))
    block = 1 + 200_000 // ((sum(map(len, v_breaks)) + 20) * order)
    for k in range(0, len(m), block):
        here = m[k : k + block, None]
        near = [(x - here) / c + v for (x, _), v in zip(resolved, v_breaks, strict=True)]
        flat = np.broadcast_to(plain(act), (len(here), len(plain(act))))
        v, w = rule(np.concatenate([flat, *near, (np.array(act.kinks) - here) / c], axis=1), order)
        g = product(act, here + c * v, orders)
        total[k : k + block], size[k : k + block] = (g * w).sum(axis=1), (np.abs(g) * w).sum(axis=1)
    return total, size


def two_sites(act, a, b, c, orders, order):
    """<product at z_0 = a u and z_1 = b u + c v>, and of its absolute value."""
    u, w = outer(act, a, [(b, c)], order)
    f = product(act, a * u, orders[0])
    g, size = smoothed(act, b * u, c, orders[1], order)
    return (w * f * g).sum(), (w * np.abs(f) * size).sum()


def one_factor(act, b, c, orders, order):
    """<product at z_s = b_s u + c_s v_s> with independent v, and of its absolute value."""
    u, w = outer(act, 0.0, list(zip(b, c, strict=True)), order)
    sites = [smoothed(act, x * u, y, o, order) for x, y, o in zip(b, c, orders, strict=True)]
    return tuple((w * math.prod(s[i] for s in sites)).sum() for i in (0, 1))


def waves_closed(act, K, sites):
    """<prod of amplitudes z^p exp(i t z)> in mpmath, for factors at these sites; z^p by derivatives of the Gaussian."""
    d = len(K)
    terms = [(mpmath.mpc(1), (), [mpmath.mpf(0)] * d)]
    for s, orders in enumerate(sites):
        for k in orders:
            one = act.waves
            if k:  # (z^p e^{itz})' = i t z^p e^{itz} + p z^{p-1} e^{itz}
                one = [(1j * t * c, p, t) for c, p, t in one] + [(p * c, p - 1, t) for c, p, t in one if p]
            terms = [
                (c0 * c, at + (s,) * p, [x + (t if i == s else 0) for i, x in enumerate(freq)])
                for c0, at, freq in terms
                for c, p, t in one
            ]
    total = mpmath.mpc(0)
    for c, at, t in terms:
        Kt = [sum(K[i][j] * t[j] for j in range(d)) for i in range(d)]
        total += c * mpmath.exp(-sum(t[i] * Kt[i] for i in range(d)) / 2) * shifted_moment(K, at, [1j * x for x in Kt])
    return total.real


def shifted_moment(K, at, mean):
    """<prod_i (z_i + mean_i)> by Isserlis' rule."""
    if not at:
        return mpmath.mpf(1)
    first, rest = at[0], at[1:]
    out = mean[first] * shifted_moment(K, rest, mean)
    for i, other in enumerate(rest):
        out += K[first][other] * shifted_moment(K, rest[:i] + rest[i + 1 :], mean)
    return out


@dataclass(frozen=True)
class Case:
    act: Act
    K: Any  # (d, d)
    orders: Any  # ((...), ...) one tuple a site
    line: float = 0.0  # z_1 = line z_0, for parallel sites
    factor: Any = None  # (b, c) with K = b b^T + diag(c^2)

    def exact(self, order=12):
        """The average, and E|product| (an upper bound of it for waves)."""
        with mpmath.workdps(60):
            K = [[mpmath.mpf(float(x)) for x in row] for row in self.K]
            if self.act.waves:
                if self.line:
                    s = mpmath.mpf(self.line)
                    K = [[K[0][0], s * K[0][0]], [s * K[0][0], s * s * K[0][0]]]
                return float(waves_closed(self.act, K, self.orders)), None
            if self.factor is not None:
                return one_factor(self.act, *self.factor, self.orders, order)
            a = mpmath.sqrt(K[0][0])
            if len(K) == 1 or self.line:
                slopes = [float(a), float(a) * self.line][: len(K)]
                return one_site(self.act, slopes, self.orders, order)
            if not a:
                return one_site(self.act, [0.0, float(mpmath.sqrt(K[1][1]))], self.orders, order)
            b = K[0][1] / a
            c = mpmath.sqrt(K[1][1] - b**2)
        if not c:
            return one_site(self.act, [float(a), float(b)], self.orders, order)
        return two_sites(self.act, float(a), float(b), float(c), self.orders, order)


def cases(rng, n):
    """Random activations, orders, variances in [1e-12, 1e6], correlations anywhere, near 1 and -1, at them, and 0."""
    for _ in range(n):
        act = ACTS[rng.integers(len(ACTS))]
        orders = tuple(int(k) for k in rng.integers(0, 2, rng.integers(1, 5)))
        a, b = 10 ** rng.uniform(-12, 6, 2)
        if rng.random() < 0.25:
            a = b
        kind = rng.integers(6)
        if kind == 0:
            yield Case(act, np.array([[a]]), (orders,))
            continue
        split = rng.integers(0, len(orders) + 1) if len(orders) == 1 else rng.integers(1, len(orders))
        sites = (orders[:split], orders[split:])
        sign = rng.choice([-1.0, 1.0])
        if kind == 1:
            r, line = sign, sign * math.sqrt(b / a)
        else:
            r = {
                2: sign * (1 - 10 ** rng.uniform(-14, 0)),
                3: sign * (1 - 10 ** rng.uniform(-14, 0)),
                4: rng.uniform(-1, 1),
            }
            r, line = r.get(int(kind), 0.0 if rng.random() < 0.3 else rng.uniform(-1, 1)), 0.0
        cross = r * math.sqrt(a * b)
        yield Case(act, np.array([[a, cross], [cross, b]]), sites, line)


def larger_cases(rng, n):
    """Three and four sites with one common factor, or, for waves, any covariance."""
    for _ in range(n):
        act, d = ACTS[rng.integers(len(ACTS))], int(rng.integers(3, 5))
        orders = tuple((int(k),) for k in rng.integers(0, 2, d))
        scale = 10 ** rng.uniform(-2, 1, d)
        if act.waves:
            A = rng.normal(size=(d, 6)) * scale[:, None] / 4
            yield Case(act, A @ A.T, orders)
            continue
        b = rng.uniform(-1, 1, d)
        c = np.sqrt(1 - b**2)
        K = np.outer(scale * b, scale * b) + np.diag((scale * c) ** 2)
        yield Case(act, K, orders, factor=(scale * b, scale * c))


# --------------------------------------------------------------------------------------------------------- the checks


def ours(case):
    term = [(case.orders, (0,) * len(case.K))]
    values, errors = gaussian_averages(case.act, case.K[None], term, kinks=case.act.kinks)
    return values[0, 0], errors[0, 0]


def measure(found, method=ours):
    """Of the cases: how often the error exceeds the reported one; how often this is above 1e-10 of E|product|; cases."""
    exceeded = inaccurate = n = 0
    for case in found:
        value, error = method(case)
        exact, size = case.exact()
        # The reference adds up doubles itself; waves are exact, and E|product| is not known for them.
        noise = 8 * EPS * size if size is not None else 1e-18
        exceeded += bool(abs(value - exact) > error + noise)
        inaccurate += bool(error > 1e-10 * (1.0 if size is None else size) + 1e-299)
        n += 1
    return exceeded, inaccurate, n


def allowed(n):
    """Exceedances among n cases that a rate of 1/1000 surpasses with probability 1e-3 at most."""
    return int(binom.isf(1e-3, n, 1e-3))


def test_reported_errors_are_honest(rng):
    exceeded, inaccurate, n = measure(cases(rng, 300))
    assert exceeded <= allowed(n)
    assert inaccurate <= 0.04 * n  # waves of a thousand periods


def test_reported_errors_of_three_and_four_sites_are_honest(rng):
    exceeded, _, n = measure(larger_cases(rng, 25))
    assert exceeded <= allowed(n)


@pytest.mark.slow
def test_reported_errors_are_honest_over_thousands_of_cases():
    exceeded, inaccurate, n = measure(cases(np.random.default_rng(1), 4000))
    assert exceeded <= allowed(n)
    assert inaccurate <= 0.02 * n


@pytest.mark.slow
def test_reported_errors_of_three_and_four_sites_are_honest_over_many_cases():
    exceeded, _, n = measure(larger_cases(np.random.default_rng(11), 250))
    assert exceeded <= allowed(n)


# -------------------------------------------------------------------------------------------------- negative controls


def gauss_hermite(case, n=25):
    """The usual rule, with the difference to the next smaller one as its error."""
    L = np.linalg.cholesky(case.K * (1 + 1e-12 * np.eye(len(case.K))))

    def rule_of(n):
        x, w = roots_hermitenorm(n)
        grid = np.stack(np.meshgrid(*[x] * len(L), indexing="ij")).reshape(len(L), -1)
        weights = math.prod(np.meshgrid(*[w / w.sum()] * len(L), indexing="ij")).ravel()
        return (weights * math.prod(product(case.act, z, o) for z, o in zip(L @ grid, case.orders, strict=True))).sum()

    value = rule_of(n)
    return value, abs(value - rule_of(n - 1)) + 1e-14 * abs(value)


def overconfident(case):
    """Our rule as if it were right to the last digit."""
    value, error = ours(case)
    return value * (1 + 1e-12), 1e-4 * error


@pytest.mark.parametrize("method", [gauss_hermite, overconfident])
def test_dishonest_methods_are_caught(rng, method):
    exceeded, _, n = measure((c for c in cases(rng, 120) if not c.line and not c.act.waves), method)
    assert exceeded > 5 * allowed(n)


def test_kinks_that_nobody_announced_are_noticed(rng):
    """Without kinks the rule does not reach 1e-10 any more, but neither does it claim to."""

    def blind(case):
        term = [(case.orders, (0,) * len(case.K))]
        values, errors = gaussian_averages(case.act, case.K[None], term, max_points=300_000)
        return values[0, 0], errors[0, 0]

    kinked = [c for c in cases(rng, 200) if c.act.kinks]
    exceeded, inaccurate, n = measure(kinked, blind)
    assert exceeded <= 0.05 * n
    assert inaccurate > 0.1 * n


# ------------------------------------------------------------------------------------------- the reference's own tests


@pytest.mark.parametrize("variance", [1e-12, 1.0, 1e6])
@pytest.mark.parametrize("act", [a for a in ACTS if not a.waves], ids=lambda a: a.name)
def test_reference_agrees_with_mpmath(act, variance):
    """<sigma^2 sigma'> on one site, the derivative by differences of 45 digits."""
    with mpmath.workdps(45):
        s = mpmath.sqrt(mpmath.mpf(variance))
        h = s / 10**20
        e = {s * x for x in range(-10, 11)} | {
            x + w * y for x, w in act.features for y in (0, *(sign * 2**k for k in range(14) for sign in (-1, 1)))
        }
        e = sorted({x for x in e if abs(x) <= 10 * s} | {mpmath.mpf(k) for k in act.kinks if abs(k) < 10 * s})

        def integrand(z):
            slope = (act.mp(z + h) - act.mp(z - h)) / (2 * h)
            return act.mp(z) ** 2 * slope * mpmath.exp(-(z**2) / (2 * s**2))

        integral = mpmath.quad(integrand, e, maxdegree=4, method="gauss-legendre")
        exact = float(integral / (s * mpmath.sqrt(2 * mpmath.pi)))
    value, size = one_site(act, [math.sqrt(variance)], ((0, 0, 1),), 12)
    assert abs(value - exact) <= 1e-14 * size + 1e-300


@pytest.mark.parametrize("correlation", [-1 + 1e-13, -0.6, 0.0, 0.9, 1 - 1e-8, 1 - 1e-13])
@pytest.mark.parametrize("variances", [(1.0, 1.0), (1e-12, 1e6), (1e6, 1e6), (30.0, 1e-3)])
def test_reference_of_two_sites_agrees_with_closed_forms(correlation, variances):
    a, b = variances
    cross = correlation * math.sqrt(a * b)
    K = np.array([[a, cross], [cross, b]])
    acts = {act.name: act for act in ACTS}
    with mpmath.workdps(50):
        A, B, C = mpmath.mpf(a), mpmath.mpf(b), mpmath.mpf(cross)
        root = mpmath.sqrt(A * B)
        t = mpmath.acos(C / root)
        exact = {
            "relu": root * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / (2 * mpmath.pi),
            "erf": 2 / mpmath.pi * mpmath.asin(2 * C / mpmath.sqrt((1 + 2 * A) * (1 + 2 * B))),
            "gaussian": 1 / mpmath.sqrt((1 + A) * (1 + B) - C**2),
        }
        exact = {name: float(x) for name, x in exact.items()}
    for name, x in exact.items():
        value, size = Case(acts[name], K, ((0,), (0,))).exact()
        assert abs(value - x) <= 4 * EPS * size


# ----------------------------------------------------------------------------------------------------- unusable input


def plain_average(sigma, covariance=((1.0,),)):
    return gaussian_averages(sigma, np.array([covariance]), [(((0, 1),), (0,))])


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (lambda z, kmax: (z,), r"sigma\(z, 1\) returned 1 arrays; needed: 2 arrays"),
        (lambda z, kmax: z[:1, None], "returned 1 arrays|has shape"),
        (lambda z, kmax: None, "returned a NoneType"),
        (lambda z, kmax: (z, z[:-1]), r"sigma\(z, 1\)\[1\] has shape"),
        (lambda z, kmax: (z, 1.0), r"sigma\(z, 1\)\[1\] has shape None and dtype float"),
        (lambda z, kmax: (z, (z > 0).astype(int)), "dtype int64; needed: .* float64"),
        (lambda z, kmax: (z, z.astype(np.float32)), "dtype float32"),
        (lambda z, kmax: (z, z + 0j), "dtype complex128"),
        (lambda z, kmax: (z, np.where(z > 0.3, np.nan, z)), r"sigma\^\(1\)\(z\) is nan at z=0\.\d+"),
    ],
)
def test_activations_that_return_something_else_are_refused(sigma, message):
    with pytest.raises(ValueError, match=message):
        plain_average(sigma)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, complex, bool, np.longdouble])
def test_covariances_of_other_precision_are_refused(dtype):
    with pytest.raises(ValueError, match=f"dtype {np.dtype(dtype)}.*allowed: float64"):
        plain_average(ACTS[0], np.ones((1, 1), dtype=dtype))


def test_integers_are_exact():
    assert plain_average(ACTS[0], [[2]])[0] == plain_average(ACTS[0], [[2.0]])[0]


@pytest.mark.parametrize(
    "K",
    [[[1e-12, 1.5e-3], [1.5e-3, 1e6]], [[0.0, 0.1], [0.1, 1.0]], [[-0.1, 0.0], [0.0, 1.0]]],
    ids=["scales", "zero", "negative"],
)
def test_indefinite_covariances_are_refused_whatever_their_scales(K):
    with pytest.raises(ValueError, match=r"covariance\[0\] is not positive semi-definite: .*-?\d"):
        gaussian_averages(ACTS[0], np.array([K]), [(((0,), (0,)), (0, 0))])
