"""Gaussian averages by quadrature against closed forms, mpmath and brute force, and its error estimates against truth."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import erf, expit, roots_hermitenorm, roots_legendre

from widthwise.numerics.quadrature import quadrature
from widthwise.numerics.quadrature.quadrature import gaussian_averages

# ------------------------------------------------------------------------------------------- activations, by hand


def tanh(z, kmax):
    t = np.tanh(z)
    s = 1 - t**2
    return (t, s, -2 * t * s, (6 * t**2 - 2) * s)[: kmax + 1]


def sigmoid(z, kmax):
    s = expit(z)
    return (s, s * expit(-z), s * expit(-z) * (1 - 2 * s))[: kmax + 1]


def swish(z, kmax):
    s, ds, d2s = sigmoid(z, 2)
    return (z * s, s + z * ds, 2 * ds + z * d2s)[: kmax + 1]


def softplus(z, kmax):
    return (np.logaddexp(0, z), *sigmoid(z, 1))[: kmax + 1]


def gelu(z, kmax):
    cdf, pdf = (1 + erf(z / math.sqrt(2))) / 2, np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return (z * cdf, cdf + z * pdf, (2 - z**2) * pdf)[: kmax + 1]


def erf_(z, kmax):
    return (erf(z), 2 / math.sqrt(math.pi) * np.exp(-(z**2)))[: kmax + 1]


def sin(z, kmax):
    return (np.sin(z), np.cos(z), -np.sin(z), -np.cos(z), np.sin(z))[: kmax + 1]


def exp(z, kmax):
    return (np.exp(z),) * (kmax + 1)


def relu(z, kmax):
    return (np.maximum(z, 0), np.where(z > 0, 1.0, 0.0), 0 * z)[: kmax + 1]


def elu(z, kmax):
    low = np.minimum(z, 0)
    return (np.where(z > 0, z, np.expm1(low)), np.where(z > 0, 1.0, np.exp(low)))[: kmax + 1]


def hard_tanh(z, kmax):
    return (np.clip(z, -1, 1), np.where(np.abs(z) < 1, 1.0, 0.0))[: kmax + 1]


MP = {
    tanh: mpmath.tanh,
    sigmoid: lambda z: 1 / (1 + mpmath.exp(-z)),
    swish: lambda z: z / (1 + mpmath.exp(-z)),
    softplus: lambda z: mpmath.log1p(mpmath.exp(z)),
    gelu: lambda z: z * mpmath.ncdf(z),
    erf_: mpmath.erf,
    sin: mpmath.sin,
    exp: mpmath.exp,
    relu: lambda z: max(z, mpmath.mpf(0)),
    elu: lambda z: z if z > 0 else mpmath.expm1(z),
    hard_tanh: lambda z: max(mpmath.mpf(-1), min(mpmath.mpf(1), z)),
}
KINKS = {relu: (0.0,), elu: (0.0,), hard_tanh: (-1.0, 1.0)}


def plain(*orders):
    """A term without derivatives of the average."""
    return tuple(orders), (0,) * len(orders)


def average(sigma, K, *terms, **options):
    return gaussian_averages(sigma, np.asarray(K, dtype=float), terms, kinks=KINKS.get(sigma, ()), **options)


def mp_average(f, variance, kinks=()):
    """<f(z)> with 30 digits: Gauss-Legendre panels of the scale of f and of the Gaussian, split at the kinks."""
    with mpmath.workdps(32):
        s = mpmath.sqrt(mpmath.mpf(variance))
        bulk = [mpmath.mpf(x) for x in (0.5, 1.5, 4, 10)] if s > 1 else []
        points = [sign * x for x in bulk for sign in (-1, 1) if x < 12 * s] + [k for k in kinks if abs(k) < 12 * s]
        points = sorted({mpmath.mpf(p) for p in points} | {s * x for x in range(-14, 15, 2)})
        total = mpmath.quad(lambda z: f(z) * mpmath.exp(-(z**2) / (2 * variance)), points)
        return total / (s * mpmath.sqrt(2 * mpmath.pi))


# ---------------------------------------------------------------------------------------------------- one dimension


@pytest.mark.parametrize("variance", [1e-12, 1.0, 1e3])
@pytest.mark.parametrize("sigma", [tanh, gelu, softplus, relu, elu, hard_tanh], ids=lambda f: f.__name__)
def test_mean_square_and_mean_agree_with_mpmath(sigma, variance):
    values, errors = average(sigma, [[[variance]]], plain((0, 0)), plain((0,)))
    f = MP[sigma]
    exact = float(mp_average(lambda z: f(z) ** 2, mpmath.mpf(variance), KINKS.get(sigma, ())))
    assert_allclose(values[0, 0], exact, rtol=1e-12)
    assert abs(values[0, 0] - exact) <= errors[0, 0] <= 1e-10 * exact
    if sigma is not tanh and sigma is not hard_tanh:  # elsewhere the mean vanishes or may cancel
        mean = float(mp_average(f, mpmath.mpf(variance), KINKS.get(sigma, ())))
        assert abs(values[1, 0] - mean) <= errors[1, 0]


@pytest.mark.parametrize("variance", [1e-12, 0.1, 1.0, 30.0, 300.0])
def test_exponential_shifts_the_range(variance):
    """<exp(z)> = exp(K/2): at K = 300 the mass of the integrand lies 17 standard deviations out."""
    values, errors = average(exp, [[[variance]]], plain((0,)))
    assert_allclose(values[0, 0], math.exp(variance / 2), rtol=1e-12)
    assert errors[0, 0] <= 1e-10 * values[0, 0]


@pytest.mark.parametrize("n", range(5))
def test_price_derivatives_in_one_dimension(n):
    """<d^n sin> = <sin^(n)>, without calling sin^(n)."""
    values, errors = average(sin, [[[0.7]]], (((0,),), (n,)), plain((n,)))
    assert abs(values[0, 0] - values[1, 0]) <= errors[:, 0].sum() <= 1e-12


def test_price_derivative_of_relu_is_a_delta_function():
    """<d^2 relu> = <delta> = 1/sqrt(2 pi K); <d^2 relu^2> = 2 <step> = 1."""
    values, _ = average(relu, [[[0.3]]], (((0,),), (2,)), (((0, 0),), (2,)))
    assert_allclose(values[:, 0], [1 / math.sqrt(2 * math.pi * 0.3), 1], rtol=1e-12)


# --------------------------------------------------------------------------------------------------- two dimensions

PAIRS = np.array([[[a, r * math.sqrt(a * b)], [r * math.sqrt(a * b), b]]
                  for a, b in [(1.0, 1.0), (0.3, 2.0), (1e-6, 1e2), (1e3, 500.0)]
                  for r in (-0.999999, -0.5, 0.0, 0.3, 0.9, 0.99999999)])  # fmt: skip


@pytest.mark.quick
def test_erf_kernel():
    """<erf erf> = (2/pi) asin(2 K_ab / sqrt((1 + 2 K_aa)(1 + 2 K_bb)))."""
    values, errors = average(erf_, PAIRS, plain((0,), (0,)))
    a, b, c = PAIRS[:, 0, 0], PAIRS[:, 1, 1], PAIRS[:, 0, 1]
    exact = 2 / math.pi * np.arcsin(2 * c / np.sqrt((1 + 2 * a) * (1 + 2 * b)))
    assert_allclose(values[0], exact, rtol=1e-12, atol=1e-15)
    assert (errors[0] <= 1e-10 * np.abs(exact) + 1e-13).all()


@pytest.mark.quick
def test_relu_kernels_are_arc_cosines():
    """<relu relu> = sqrt(K_aa K_bb)(sin t + (pi - t) cos t)/2pi, <step step> = (pi - t)/2pi = <d_a d_b relu relu>."""
    values, errors = average(relu, PAIRS, plain((0,), (0,)), plain((1,), (1,)), (((0,), (0,)), (1, 1)))
    root = np.sqrt(PAIRS[:, 0, 0] * PAIRS[:, 1, 1])
    t = np.arccos(PAIRS[:, 0, 1] / root)
    arc = np.array([root * (np.sin(t) + (math.pi - t) * np.cos(t)), math.pi - t]) / (2 * math.pi)
    assert_allclose(values[:2], arc, rtol=1e-10, atol=1e-12)
    assert (np.abs(values - arc[[0, 1, 1]]) <= errors + 1e-11).all()
    assert errors[2].max() > 1e-11, "weights ~ 1/det K lose digits near a singular pair, and the estimate must say so"


@pytest.mark.quick
def test_sin_kernel_and_its_price_derivatives():
    """<sin sin> = exp(-(K_aa + K_bb)/2) sinh K_ab; d_a^i d_b^j moves onto the sines."""
    K = np.array([[[0.8, 0.3], [0.3, 0.5]], [[1.0, -0.95], [-0.95, 1.0]]])
    exact = np.exp(-(K[:, 0, 0] + K[:, 1, 1]) / 2) * np.sinh(K[:, 0, 1])
    assert_allclose(average(sin, K, plain((0,), (0,)))[0][0], exact, rtol=1e-13)
    for i, j in itertools.product(range(4), repeat=2):
        values, errors = average(sin, K, (((0,), (0,)), (i, j)), plain((i,), (j,)))
        assert (np.abs(values[0] - values[1]) <= errors.sum(axis=0) + 1e-14).all()


@pytest.mark.parametrize("sigma", [tanh, swish, elu, hard_tanh], ids=lambda f: f.__name__)
def test_pairs_agree_with_nested_panels(sigma):
    K = np.array([[1.3, 0.8], [0.8, 0.9]])
    a, b, c = math.sqrt(1.3), 0.8 / math.sqrt(1.3), math.sqrt(0.9 - 0.64 / 1.3)
    kinks = KINKS.get(sigma, ())

    # Panels of Gauss-Legendre that end at the kinks: of z_0, then of z_1 given z_0.
    x, w = roots_legendre(24)

    def panels(scale, mean=0.0):
        cuts = {(k - mean) / scale for k in kinks if abs((k - mean) / scale) < 9}
        edges = np.array(sorted(cuts | set(np.arange(-9.0, 9.1, 1.5))))
        half = np.diff(edges)[:, None] / 2
        u = (edges[:-1, None] + half * (1 + x)).ravel()
        return u, (half * w).ravel() * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)

    nested = 0.0
    for u, weight in zip(*panels(a), strict=True):
        v, weights = panels(c, b * u)
        nested += weight * sigma(np.array([a * u]), 0)[0][0] * (weights @ sigma(b * u + c * v, 0)[0])
    values, errors = average(sigma, [K], plain((0,), (0,)))
    assert_allclose(values[0, 0], nested, rtol=2e-11)
    assert errors[0, 0] < 1e-10


@pytest.mark.parametrize("correlation", [-1 + 1e-14, -1 + 1e-9, 1 - 1e-12, 1 - 1e-15])
def test_correlations_close_to_one(correlation):
    K = np.array([[[1.0, correlation], [correlation, 1.0]]])
    values, errors = average(relu, K, plain((0,), (0,)), plain((1,), (1,)))
    with mpmath.workdps(40):
        t = mpmath.acos(mpmath.mpf(correlation))
        arc = [(mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / 2 / mpmath.pi, (mpmath.pi - t) / 2 / mpmath.pi]
    assert np.abs(values[:, 0] - [float(x) for x in arc]).max() < 1e-8
    assert errors.max() < 1e-7


# ------------------------------------------------------------------------------------------------- singular matrices


@pytest.mark.parametrize("sigma", [tanh, relu, hard_tanh], ids=lambda f: f.__name__)
def test_equal_parallel_and_antiparallel_sites_reduce_to_one(sigma):
    one, _ = average(sigma, [[[0.7]]], plain((0, 0)), plain((0, 0, 0, 0)))
    for d in (2, 4):
        values, errors = average(sigma, np.full((1, d, d), 0.7), plain(*[(0,)] * d))
        assert_allclose(values[0, 0], one[d // 4, 0], rtol=1e-12)
        assert errors[0, 0] < 1e-10
    for s in (-1.0, 2.5, -0.4):
        values, _ = average(sigma, [0.7 * np.array([[1, s], [s, s * s]])], plain((0,), (0,)))
        f = MP[sigma]
        kinks = [x for k in KINKS.get(sigma, ()) for x in (k, k / s)]
        exact = mp_average(lambda z: f(z) * f(s * z), mpmath.mpf(0.7), kinks)  # noqa: B023 (used at once)
        assert_allclose(values[0, 0], float(exact), atol=1e-12)


def test_derivatives_at_singular_pairs_belong_to_the_first_site():
    """z_1 = s z_0: (n, 0) is the derivative along the line, (., n > 0) is 0; no variance, no derivative."""
    s = -1.5
    parallel, flat, mixed = [[0.4, 0.4 * s], [0.4 * s, 0.4 * s * s]], [[0, 0], [0, 1]], [[1, 0], [0, 0]]
    terms = [(((0,), (1,)), by) for by in ((1, 0), (0, 1), (1, 1), (0, 0))]
    values, _ = average(sin, [parallel, flat, mixed], *terms)
    line = mp_average(
        lambda z: mpmath.cos(z) * mpmath.cos(s * z) - s * mpmath.sin(z) * mpmath.sin(s * z), mpmath.mpf(0.4)
    )
    assert_allclose(values[:, 0], [float(line), 0, 0, 0], atol=1e-12)
    assert_allclose(values[:, 1], 0, atol=1e-15)
    assert_allclose(values[:, 2], [math.exp(-0.5), 0, 0, 0], atol=1e-12)


def test_sites_without_variance_sit_at_zero():
    K = np.diag([0.0, 0.5, 0.0, 0.0])
    values, errors = average(elu, [K, 0 * K], plain((1,), (0, 0), (1,), ()), plain((0,), (0,), (0,), (0,)))
    assert_allclose(values[0], [average(elu, [[[0.5]]], plain((0, 0)))[0][0, 0], 0], rtol=1e-12)
    assert_allclose(values[1], 0)
    assert (errors < 1e-12).all()


def test_ranks_may_mix_and_the_order_of_sites_does_not_matter(rng):
    K = np.array([(lambda A: A @ A.T)(rng.normal(size=(3, r))) for r in (1, 2, 3, 1, 2, 3)])
    K[3, 1] = K[3, :, 1] = 0
    base, errors = average(tanh, K, plain((0,), (0, 0), (1,)))
    for p in itertools.permutations(range(3)):
        orders = ((0,), (0, 0), (1,))
        values, more = average(tanh, K[:, p][:, :, p], plain(*(orders[i] for i in p)))
        assert (np.abs(values - base) <= errors + more).all()


# ------------------------------------------------------------------------------------------ three and four dimensions


def equicorrelated(variance, correlation, d=4):
    return variance * ((1 - correlation) * np.eye(d) + correlation)


CASES = [equicorrelated(k, r) for k in (0.3, 1.0) for r in (0.3, 0.95)]
WICK = [
    np.diag(d) @ equicorrelated(1.0, r) @ np.diag(d) for r in (-0.2, 0.5) for d in ([1, 0.5, 1.5, 1], [0.1, 1, 1, 0.4])
]


def sine_product(K):
    """<prod sin z_i> for an even number of sites: sin = (e^{iz} - e^{-iz})/2i, and <e^{ia.z}> = exp(-a K a/2)."""
    signs = np.array(list(itertools.product((1, -1), repeat=K.shape[-1])))
    waves = np.exp(-np.einsum("si,nij,sj->ns", signs, K, signs) / 2)
    return waves @ signs.prod(axis=1) * (-1) ** (K.shape[-1] // 2) / 2 ** K.shape[-1]


def test_four_sines():
    K = np.array(CASES + WICK)
    values, errors = average(sin, K, plain(*[(0,)] * 4))
    exact = sine_product(K)
    assert (np.abs(values[0] - exact) <= errors[0]).all()
    assert errors.max() < 2e-8


def brute_force(f, K, nodes=64):
    """<prod f(z_i)> on one tensor grid in principal axes."""
    lam, V = np.linalg.eigh(K)
    x, w = roots_hermitenorm(nodes)
    grid = np.stack(np.meshgrid(*[x] * len(K), indexing="ij")).reshape(len(K), -1)
    weights = math.prod(np.meshgrid(*[w / w.sum()] * len(K), indexing="ij")).ravel()
    return weights @ math.prod(f(z) for z in V @ (np.sqrt(lam)[:, None] * grid))


@pytest.mark.parametrize("correlation", [0.3, 0.95])
def test_four_tanh_agree_with_brute_force(correlation):
    K = equicorrelated(0.1, correlation)
    values, errors = average(tanh, [K], plain(*[(0,)] * 4), plain(*[(1,)] * 4))
    for t, f in enumerate((np.tanh, lambda z: 1 - np.tanh(z) ** 2)):
        assert abs(values[t, 0] - brute_force(f, K, 28)) < 1e-9
    assert errors.max() < 1e-8


def relu_orthant(K, n=400):
    """<prod relu(z_i)> on the cone z >= 0 in polar form: z = r y, y on the simplex, the radial integral in closed form."""
    # int_0^oo r^{2d-1} exp(-r^2 q/2) dr = 2^{d-1} (d-1)!/q^d, with q = y K^-1 y, and y = the simplex in Duffy form.
    d, P = len(K), np.linalg.inv(K)
    x, w = roots_legendre(n)
    x, w = (x + 1) / 2, w / 2
    cubes = np.meshgrid(*[x] * (d - 1), indexing="ij")
    weight, left, y = math.prod(np.meshgrid(*[w] * (d - 1), indexing="ij")), 1.0, []
    for i, c in enumerate(cubes):
        y.append(left * c)
        weight = weight * left
        left = left * (1 - c) if i < d else left
    y.append(left)
    Y = np.stack([np.broadcast_to(v, weight.shape) for v in y])
    q = np.einsum("i...,ij,j...->...", Y, P, Y)
    radial = 2 ** (d - 1) * math.factorial(d - 1) / q**d
    return (weight * Y.prod(axis=0) * radial).sum() / np.sqrt((2 * math.pi) ** d * np.linalg.det(K))


@pytest.mark.parametrize("d", [3, 4])
@pytest.mark.parametrize("correlation", [0.3, 0.8, 0.95])
def test_relu_products_agree_with_polar_coordinates(d, correlation):
    K = equicorrelated(1.0, correlation, d) * np.outer(*[[1.0, 0.7, 1.2, 1.0][:d]] * 2)
    values, errors = average(relu, [K], plain(*[(0,)] * d))
    exact = relu_orthant(K, 110)
    assert abs(values[0, 0] - exact) <= errors[0, 0] + 1e-8  # the reference's own error
    assert errors[0, 0] < 1e-6


@pytest.mark.parametrize("correlation", [0.2, 0.9, 0.999])
def test_three_steps_are_an_orthant_probability(correlation):
    """P(z > 0) = (1 + (2/pi)(sum of the three arc sines))/8."""
    values, errors = average(relu, [equicorrelated(1.0, correlation, 3)], plain((1,), (1,), (1,)))
    exact = 1 / 8 + 3 * math.asin(correlation) / (4 * math.pi)
    assert abs(values[0, 0] - exact) <= errors[0, 0] < 1e-6


def test_a_point_budget_is_respected_and_reported(monkeypatch):
    monkeypatch.setattr(
        quadrature, "_BY_FACTORS", 5
    )  # nested grids only: a grid of factors needs 20 000 points at most
    K = np.array([equicorrelated(50.0, 0.3)])
    values, errors = average(tanh, K, plain(*[(0,)] * 4), max_points=20_000)
    better, tight = average(tanh, K, plain(*[(0,)] * 4), max_points=4_000_000)
    assert errors[0, 0] > 3 * tight[0, 0] > 1e-8
    assert abs(values - better)[0, 0] <= errors[0, 0]


# ------------------------------------------------------------------------------------------------- honesty, conduct


def test_true_errors_are_below_reported_errors(rng):
    """3000 random averages of sines of random frequency: at most one in a thousand may exceed its estimate."""
    broken = cases = 0
    for d, n in ((1, 25), (2, 25), (3, 6), (4, 4)):
        signs = np.array(list(itertools.product((1, -1), repeat=d)))
        for frequency in np.exp(rng.uniform(np.log(0.3), np.log(6), size=20 if d < 3 else 14)):

            def waves(z, kmax, f=frequency):
                return tuple(f**k * np.sin(f * z + k * math.pi / 2) for k in range(kmax + 1))

            A = rng.normal(size=(n, d, d)) * np.exp(rng.uniform(-3, 0.5, size=(n, 1, d)))
            K = A @ A.swapaxes(1, 2)
            values, errors = average(waves, K, plain(*[(0,)] * d), plain(*[(1,)] * d))
            # Long doubles, because the sum of waves cancels and the estimates go down to the rounding of doubles.
            quadratic = np.einsum("si,nij,sj->ns", signs, K.astype(np.longdouble), signs)
            wave = np.exp(-(np.longdouble(frequency) ** 2) * quadratic / 2) / 2**d
            sines = wave @ (signs.prod(axis=1) * (1j**-d).real) if d % 2 == 0 else np.zeros(n)
            exact = np.array([sines, np.longdouble(frequency) ** d * wave.sum(axis=1)])
            broken += int((np.abs(values - exact) > errors + 8 * np.finfo(np.longdouble).eps).sum())
            cases += 2 * n
    for _ in range(1000):
        r, a, b = rng.uniform(-1, 1) ** 3, *np.exp(rng.normal(size=2))
        r = math.copysign(1 - abs(r), r)
        K = np.array([[a * a, r * a * b], [r * a * b, b * b]])
        values, errors = average(relu, [K], plain((0,), (0,)))
        with mpmath.workdps(30):
            root = mpmath.sqrt(mpmath.mpf(K[0, 0]) * mpmath.mpf(K[1, 1]))
            t = mpmath.acos(K[0, 1] / root)
            exact = root * (mpmath.sin(t) + (mpmath.pi - t) * mpmath.cos(t)) / (2 * mpmath.pi)
            # The estimate takes K for exact; near r = -1, where the average vanishes, K's last digits count for more.
            last_digits = 4 * np.finfo(float).eps * root * (mpmath.pi - t) / mpmath.pi
            broken += int(abs(values[0, 0] - exact) > errors[0, 0] + last_digits)
        cases += 1
    assert cases >= 3000
    assert broken <= cases / 1000


@pytest.mark.quick
def test_without_the_split_relu_misses_its_mark():
    """Negative control: told of no kinks, the same code cannot reach 1e-6 on 100 000 points, and does not claim to."""
    K = np.array([[[1.0, 0.6], [0.6, 1.0]]])
    t = math.acos(0.6)
    exact = (math.pi - t) / (2 * math.pi)
    blind, claimed = gaussian_averages(relu, K, [plain((1,), (1,))], max_points=100_000)
    assert abs(blind[0, 0] - exact) > 1e-6
    assert claimed[0, 0] > 1e-6
    assert_allclose(average(relu, K, plain((1,), (1,)))[0][0, 0], exact, rtol=1e-12)


def test_rounding_below_zero_is_clipped_and_more_is_refused():
    nearly = np.array([[1.0, 1.0 + 1e-13], [1.0 + 1e-13, 1.0]])
    assert_allclose(
        average(tanh, [nearly], plain((0,), (0,)))[0], average(tanh, [[[1.0]]], plain((0, 0)))[0], rtol=1e-10
    )
    with pytest.raises(ValueError, match=r"covariance\[0\].*-0\.1"):
        average(tanh, [[[1.0, 1.1], [1.1, 1.0]]], plain((0,), (0,)))


def test_overflow_names_the_order_and_the_place():
    with pytest.raises(ValueError, match=r"sigma\^\(0\)\(z\) is inf at z=\d+"):
        average(exp, [[[1e3]]], plain((0,)))


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 2)), np.zeros((1, 5, 5)), np.full((1, 1, 1), np.nan)], ids=["2d", "d=5", "nan"]
)
def test_unusable_covariances_are_refused(bad):
    with pytest.raises(ValueError, match="covariance"):
        gaussian_averages(tanh, bad, [])


def test_terms_must_fit():
    with pytest.raises(ValueError, match="d=2"):
        average(tanh, [np.eye(2)], plain((0,)))
    with pytest.raises(ValueError, match="d <= 2"):
        average(tanh, [np.eye(3)], (((0,),) * 3, (1, 0, 0)))


def test_no_covariances_and_no_terms():
    assert gaussian_averages(tanh, np.zeros((0, 2, 2)), [plain((0,), (0,))])[0].shape == (1, 0)
    assert gaussian_averages(tanh, np.eye(2)[None], [])[0].shape == (0, 1)
    assert gaussian_averages(relu, np.zeros((1, 1, 1)), [plain((0,))], kinks=(0.0,))[0].shape == (1, 1)
