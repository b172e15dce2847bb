"""Closed forms against numerical integration that knows nothing of the rules.

Two oracles. Smooth functions: the trapezoidal rule on a lattice, whose error falls like exp(-2 pi^2 c / h^2), c a
variance. Functions with a kink at zero: homogeneous on rays, so the radius integrates to a Gamma function, and the
angle is an integral between the kinks. Derivatives in front of a body are integrated by parts onto the density.
"""

from __future__ import annotations

import itertools
import time
from functools import cache, reduce

import mpmath
import numpy as np
import pytest
import sympy as sp
from mpmath import mpf

from widthwise.theory.averages.closed_forms import closed_form, specialize
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.quantities import quantity
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS, Activation, activation

A, B, C, D, ONE = Jet("a"), Jet("b"), Jet("c"), Jet("d"), Jet("")
BY_NAME = {act.name: act for act in ACTIVATIONS}
EXTRA = {
    "x_sin": Activation("x_sin", z * sp.sin(z)),
    "x_plus_sin": Activation("x_plus_sin", z + sp.sin(z) / 2),
    "wavelet": Activation("wavelet", sp.sin(z) * sp.exp(-(z**2) / 2)),
    "spiral": Activation("spiral", sp.exp(z / 2) * sp.sin(z)),
    "erf_gaussian": Activation("erf_gaussian", sp.erf(z) * sp.exp(-(z**2) / 4)),
    "irrational": Activation("irrational", sp.erf(z * (sp.sqrt(2) - 2)) + sp.pi * z * sp.exp(-(z**2) / sp.sqrt(3))),
    "decimals": Activation("decimals", 0.5 * z + sp.erf(0.75 * z) - 0.25 * sp.exp(-0.5 * z**2)),
    "erfc_half": Activation("erfc_half", z**2 + sp.erfc(z / 2)),
}
ANALYTIC = ["linear", "quadratic", "cubic", "sin", "cos", "exp", "gaussian", "erf", "gelu"]
EXPONENTIAL = ["linear", "quadratic", "cubic", "sin", "cos", "exp", "gaussian"]
KINKED = ["relu", "leaky_relu", "abs"]
FAMILY = [
    "hermite(2)",
    "hermite(3)",
    "hermite(5)",
    "monomial(4)",
    "gabor(2)",
    "gaussian(1/3)",
    "erf(1/2)",
    "sin(3/2)",
    "cos(1/2)",
]
BY_NAME |= {name: activation(name) for name in [*FAMILY, "rectified(2)", "rectified(3)", "leaky_relu(-1/5)"]}
#: Homogeneous on both sides of zero.
HOMOGENEOUS = [*KINKED, "leaky_relu(-1/5)", "sign", "step", "rectified(2)", "rectified(3)"]
KINK_ORDERS = [((0,), (0,)), ((0,), (1,)), ((1,), (1,)), ((0, 0), (0, 0)), ((0, 1), (0, 1)), ((1, 1), (1, 1))]
KINK_ORDERS += [((0, 0, 0), (0,)), ((0, 0), (1,))]
ORDERS = [(k, m) for k in range(5) for m in range(5 - k)]
KAA, KAB, KBB = sp.Rational(1, 2), sp.Rational(-1, 5), sp.Rational(3, 4)
ONE_SAMPLE = sp.Rational(3, 5)


def K(*labels: str) -> sp.Expr:
    return quantity("K").entry(labels)


def value(expr: sp.Expr, entries: dict[sp.Expr, sp.Expr]) -> mpf:
    number = expr.xreplace(entries)
    assert not number.atoms(sp.core.symbol.Symbol), number
    return mpmath.mpmathify(number.evalf(45))


def agree(got: mpf, expected: mpf, tolerance: float = 1e-25) -> bool:
    return bool(abs(got - expected) <= tolerance * (1 + abs(expected)))


def compare(node: Average, act: Activation, entries: dict[sp.Expr, sp.Expr], oracle: mpf, tol: float = 1e-25) -> None:
    result = closed_form(node, act)
    assert result is not None, f"no closed form of {node} for {act.name}"
    assert not result.has(Average, sp.I)
    got = value(result, entries)
    if result.atoms(sp.Float):  # decimals in the activation are decimals of 15 digits in the result
        tol = 1e-14
    assert agree(got, oracle, tol), f"{node} for {act.name}: {result} = {got}, integration gives {oracle}"


@pytest.fixture(autouse=True)
def _precision():
    with mpmath.workdps(50):
        yield


# --- oracles ---------------------------------------------------------------------------------------------------------

STEP, RADIUS = mpf(1) / 5, 13
TWO = {K("a", "a"): KAA, K("a", "b"): KAB, K("b", "b"): KBB}


@cache
def nodes() -> tuple[mpf, ...]:
    n = int(RADIUS / STEP)
    return tuple(i * STEP for i in range(-n, n + 1))


@cache
def lattice_density() -> list[list[mpf]]:
    with mpmath.workdps(50):
        a, b, c = (mpmath.mpmathify(x) for x in (KAA, KAB, KBB))
        det = a * c - b * b
        norm = STEP**2 / (2 * mpmath.pi * mpmath.sqrt(det))
        gauss = [[mpmath.exp(-(x * x) * w / (2 * det)) for x in nodes()] for w in (c, a)]
        # exp(b x y / det) is a power of one number on the lattice
        n, q = len(nodes()) // 2, mpmath.exp(b * STEP**2 / det)
        powers = {k: q**k for k in range(-n * n, n * n + 1)}
        return [
            [norm * gauss[0][i] * gauss[1][j] * powers[(i - n) * (j - n)] for j in range(len(nodes()))]
            for i in range(len(nodes()))
        ]


@cache
def tabulated(expr: sp.Expr) -> tuple[mpf, ...]:
    with mpmath.workdps(50):
        f = sp.lambdify(z, expr, "mpmath")
        return tuple(mpmath.mpf(f(x)) for x in nodes())


@cache
def product_at_nodes(act: Activation, orders: tuple[int, ...], power: int) -> tuple[mpf, ...]:
    tables = [tabulated(act.derivative(k)) for k in orders]
    return tuple(reduce(lambda p, t: p * t, column, x**power) for x, *column in zip(nodes(), *tables, strict=True))


@cache
def conditional(act: Activation, orders: tuple[int, ...], power: int) -> tuple[mpf, ...]:
    """The sum over z_b, for each z_a."""
    g = product_at_nodes(act, orders, power)
    return tuple(mpmath.fdot(row, g) for row in lattice_density())


def lattice(act: Activation, orders: tuple[tuple[int, ...], ...], powers: tuple[int, ...] = (0, 0)) -> mpf:
    """<z_a^i z_b^j prod sigma^(k)_a prod sigma^(l)_b>, two samples."""
    return mpmath.fdot(product_at_nodes(act, orders[0], powers[0]), conditional(act, orders[1], powers[1]))


@cache
def side(act: Activation, order: int) -> tuple[mpf, mpf]:
    """The derivative at +1 and -1, which determines a function that is homogeneous on both sides."""
    with mpmath.workdps(50):
        plus, minus = (mpmath.mpmathify(act(sp.Integer(at), order).evalf(50)) for at in (1, -1))
        return plus, minus


def degree_of(act: Activation) -> int:
    return int(sp.log(act(sp.Integer(2)) / act(sp.Integer(1)), 2))


def rays(act: Activation, orders: tuple[tuple[int, ...], ...], powers: tuple[int, ...] = (0, 0)) -> mpf:
    """The same for a function that is homogeneous on both sides of its kink at zero."""
    n = degree_of(act)
    if any(not any(side(act, k)) for ks in orders for k in ks):
        return mpf(0)
    degree = sum(powers) + sum(n - k for ks in orders for k in ks)
    a, b, c = (mpmath.mpmathify(x) for x in (KAA, KAB, KBB))
    chol = (mpmath.sqrt(a), b / mpmath.sqrt(a), mpmath.sqrt(c - b * b / a))

    def f(angle: mpf) -> mpf:
        x, y = mpmath.cos(angle), mpmath.sin(angle)
        result = mpf(1)
        for at, ks, p in zip((chol[0] * x, chol[1] * x + chol[2] * y), orders, powers, strict=True):
            result *= at**p
            for k in ks:
                result *= side(act, k)[at < 0] * abs(at) ** (n - k)
        return result

    kink_b = mpmath.atan2(-chol[1], chol[2])
    kinks = sorted(t % (2 * mpmath.pi) for t in (mpmath.pi / 2, -mpmath.pi / 2, kink_b, kink_b + mpmath.pi))
    # equal pieces are trigonometric polynomials: Gauss-Legendre between the kinks is exact to working precision
    turns = mpmath.quad(f, [kinks[-1] - 2 * mpmath.pi, *kinks], method="gauss-legendre") / (2 * mpmath.pi)
    return turns * mpf(2) ** (mpf(degree) / 2) * mpmath.gamma(mpf(degree) / 2 + 1)


@cache
def by_parts(derivatives: tuple[int, int]) -> tuple[tuple[int, int, mpf], ...]:
    """(-1)^(i+j) d_a^i d_b^j of the density, divided by it: a polynomial as rows (power of z_a, power of z_b, c)."""
    x, y = sp.symbols("x y")
    exponent = -(sp.Matrix([[x, y]]) * sp.Matrix([[KAA, KAB], [KAB, KBB]]).inv() * sp.Matrix([x, y]))[0] / 2
    weight = sp.Integer(1)
    for var, times in zip((x, y), derivatives, strict=True):
        for _ in range(times):
            weight = sp.expand(-sp.diff(weight, var) - weight * sp.diff(exponent, var))
    with mpmath.workdps(50):
        return tuple((i, j, mpmath.mpmathify(c)) for (i, j), c in sp.Poly(weight, x, y).terms())


def differentiated(oracle, act: Activation, orders: tuple[tuple[int, ...], ...], derivatives: tuple[int, int]) -> mpf:
    return mpmath.fsum(c * oracle(act, orders, (i, j)) for i, j, c in by_parts(derivatives))


def body(orders: tuple[tuple[int, ...], ...]) -> sp.Expr:
    return sp.Mul(*(Sigma(jet, k) for jet, ks in zip((A, B), orders, strict=False) for k in ks))


def line(act: Activation, orders: tuple[int, ...]) -> mpf:
    """One sample: the lattice again, or at a kink two half-lines."""
    k = mpmath.mpmathify(ONE_SAMPLE)
    if act.smooth:
        norm = STEP / mpmath.sqrt(2 * mpmath.pi * k)
        return norm * mpmath.fdot(product_at_nodes(act, orders, 0), (mpmath.exp(-x * x / (2 * k)) for x in nodes()))
    functions = [sp.lambdify(z, act.derivative(order), "mpmath") for order in orders]

    def f(x: mpf) -> mpf:
        return reduce(lambda p, g: p * g(x), functions, mpmath.npdf(x, 0, mpmath.sqrt(k)))

    return mpmath.quad(f, [-16, -4, 0]) + mpmath.quad(f, [0, 4, 16])


# --- one sample ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANALYTIC + KINKED + list(EXTRA))
@pytest.mark.parametrize(
    "orders", [(0,), (1,), (0, 0), (0, 1), (1, 1), (0, 0, 1, 1), (0, 0, 0, 0), (0, 2), (2, 2), (1, 3)]
)
def test_one_sample_is_the_integral(name, orders):
    act = BY_NAME.get(name) or EXTRA[name]
    node = Average(sp.Mul(*(Sigma(ONE, k) for k in orders)))
    result = closed_form(node, act)
    if act.kinks and max(orders) > 1:
        # sigma = 0 where sigma'' is a delta function, unless there are two of them or one of a step is left
        assert result == (0 if orders == (0, 2) else None)
    elif result is None:
        assert sum(act.derivative(k).has(sp.erf, sp.erfc) for k in orders) > 2, f"{node} for {name}"
    else:
        compare(node, act, {K("", ""): ONE_SAMPLE}, line(act, orders), 1e-22)


# --- two samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANALYTIC + list(EXTRA))
def test_two_samples_all_orders(name):
    act = BY_NAME.get(name) or EXTRA[name]
    for k, m in ORDERS if name in BY_NAME else [(0, 0), (1, 1), (0, 2), (1, 2), (0, 1)]:
        compare(Average(body(((k,), (m,)))), act, TWO, lattice(act, ((k,), (m,))))


@pytest.mark.parametrize("name", ANALYTIC)
@pytest.mark.parametrize(
    "orders", [((0, 0), (0, 0)), ((0, 1), (0, 1)), ((1, 1), (1, 1)), ((0, 0), (1, 1)), ((1, 1, 1), (0,))]
)
def test_two_samples_squares(name, orders):
    act = BY_NAME[name]
    node = Average(body(orders))
    if closed_form(node, act) is None:
        assert act.expr.has(sp.erf)
    else:
        compare(node, act, TWO, lattice(act, orders))


@pytest.mark.parametrize("name", [*ANALYTIC, "x_sin", "wavelet", "erf_gaussian", "erfc_half"])
@pytest.mark.parametrize("derivatives", [(1, 1), (2, 0), (2, 1), (1, 3), (2, 2), (4, 0)])
def test_derivatives_in_front_smooth(name, derivatives):
    act = BY_NAME.get(name) or EXTRA[name]
    node = Average(body(((0,), (0,))), (A,) * derivatives[0] + (B,) * derivatives[1])
    compare(node, act, TWO, differentiated(lattice, act, ((0,), (0,)), derivatives), 1e-22)


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("orders", KINK_ORDERS)
def test_kinked_is_the_integral_over_rays(name, orders):
    compare(Average(body(orders)), BY_NAME[name], TWO, rays(BY_NAME[name], orders))


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("derivatives", [(1, 1), (2, 0), (1, 3), (2, 2), (4, 0)])
@pytest.mark.parametrize("orders", [((0,), (0,)), ((0, 0), (0, 0))])
def test_derivatives_in_front_of_kinks(name, orders, derivatives):
    """<d_a^i d_b^j f> = <f times a polynomial>: nothing kinked is differentiated on either side."""
    node = Average(body(orders), (A,) * derivatives[0] + (B,) * derivatives[1])
    compare(node, BY_NAME[name], TWO, differentiated(rays, BY_NAME[name], orders, derivatives))


def test_rays_agree_with_the_conditional_decomposition():
    """The oracle for kinks against a plain double integral, split at the kinks."""
    with mpmath.workdps(15):
        a, b, c = (mpmath.mpmathify(x) for x in (KAA, KAB, KBB))
        s = mpmath.sqrt(c - b * b / a)

        def inner(x: mpf) -> mpf:
            mu = b * x / a
            density = lambda u: max(mu + s * u, 0) * mpmath.npdf(u)  # noqa: E731
            return x * mpmath.npdf(x, 0, mpmath.sqrt(a)) * mpmath.quad(density, [-mu / s, 10 - mu / s], maxdegree=4)

        double = mpmath.quad(inner, [0, 6], maxdegree=4)
    assert agree(rays(BY_NAME["relu"], ((0,), (0,))), double, 1e-8)


# --- the whole registry ----------------------------------------------------------------------------------------------

WITHOUT = {"elu", "selu", "hard_tanh", "hard_sigmoid", "hard_swish", "relu6"}
WITHOUT |= {"tanh", "sigmoid", "swish", "softplus", "mish", "celu", "hardshrink", "softshrink", "softsign"}
WITHOUT |= {"logsigmoid", "tanhshrink"}


@pytest.mark.parametrize("name", list(BY_NAME))
def test_kernels_of_the_whole_registry(name):
    """<sigma_a sigma_b> and <sigma'_a sigma'_b>: a closed form proven at 50 digits, or known to have none."""
    act = BY_NAME[name]
    assert (name in WITHOUT) == (closed_form(Average(body(((0,), (0,)))), act) is None)
    if name in WITHOUT:
        return
    for k in (0, 1):
        if k and act.jumps:  # delta functions, below
            continue
        oracle, tolerance = (lattice, 1e-22) if act.smooth else (rays, 1e-40)
        compare(Average(body(((k,), (k,)))), act, TWO, oracle(act, ((k,), (k,))), tolerance)
        if not act.jumps:
            compare(
                Average(Sigma(ONE, k) ** 2),
                act,
                {K("", ""): ONE_SAMPLE},
                line(act, (k, k)),
                max(tolerance, mpf("1e-24")),
            )


# --- delta functions -------------------------------------------------------------------------------------------------


def as_distribution(act: Activation, order: int) -> tuple[sp.Expr, dict[int, sp.Expr]]:
    """sigma^(order) as the derivative between the kinks, and the height of each derivative of delta."""
    heights = {order - 1 - k: act(sp.Integer(10) ** -60, k) - act(-(sp.Integer(10) ** -60), k) for k in range(order)}
    return act.derivative(order), {m: sp.nsimplify(h.evalf(30), tolerance=1e-20) for m, h in heights.items()}


def with_delta(m: int, g: sp.Expr, swap: bool) -> mpf:
    """<delta^(m)(z_a) g(z_b)> = (-1)^m d^m/dx^m p(x) E[g(z_b) | z_a = x] at zero, or with a and b exchanged."""
    a, b, c = (mpmath.mpmathify(x) for x in ((KBB, KAB, KAA) if swap else (KAA, KAB, KBB)))
    f, s = sp.lambdify(z, g, "mpmath"), mpmath.sqrt(c - b * b / a)

    def height(x: mpf) -> mpf:
        mean = b * x / a
        inner = mpmath.quad(lambda y: f(y) * mpmath.npdf(y, mean, s), [-12, -3, 0, 3, 12])
        return mpmath.npdf(x, 0, mpmath.sqrt(a)) * inner

    return (-1) ** m * mpmath.diff(height, 0, m, h=mpf(10) ** -9)


def with_deltas(m: int, n: int) -> mpf:
    """<delta^(m)(z_a) delta^(n)(z_b)> from the derivatives of the density."""
    x, y = sp.symbols("x y")
    inverse = sp.Matrix([[KAA, KAB], [KAB, KBB]]).inv()
    density = sp.exp(-(sp.Matrix([[x, y]]) * inverse * sp.Matrix([x, y]))[0] / 2)
    density *= sp.sqrt(inverse.det()) / (2 * sp.pi)
    return mpmath.mpmathify(((-1) ** (m + n) * sp.diff(density, x, m, y, n).subs({x: 0, y: 0})).evalf(40))


def distributional(act: Activation, k: int, m: int) -> mpf:
    (f, fs), (g, gs) = as_distribution(act, k), as_distribution(act, m)
    plain = lattice(act, ((k,), (m,))) if act.smooth else rays(act, ((k,), (m,)))
    mixed = [h * with_delta(i, g, False) for i, h in fs.items() if h] + [
        h * with_delta(j, f, True) for j, h in gs.items() if h
    ]
    both = [h * e * with_deltas(i, j) for i, h in fs.items() for j, e in gs.items() if h * e]
    return plain + mpmath.fsum(map(mpmath.mpmathify, mixed + both))


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "sign", "step", "rectified(2)", "rectified(3)"])
@pytest.mark.parametrize("orders", [(1, 1), (2, 0), (2, 1), (2, 2), (3, 1), (1, 3), (3, 3), (4, 2)])
def test_derivatives_in_the_sense_of_distributions(name, orders):
    k, m = orders
    compare(Average(Sigma(A, k) * Sigma(B, m)), BY_NAME[name], TWO, distributional(BY_NAME[name], k, m), 1e-18)


def test_three_samples_of_which_one_is_pinned_by_a_slope_of_delta():
    """<delta'(z_a) delta(z_b) theta(z_c)> by the density of the first two and the conditional mean of the third."""
    cov = sp.Matrix(3, 3, lambda i, j: sp.Rational(FOUR[i, j]))
    x, y = sp.symbols("x y", real=True)
    inner, cross = cov[:2, :2], cov[2:, :2]
    at = sp.Matrix([x, y])
    mean, spread = (cross * inner.inv() * at)[0], (cov[2:, 2:] - cross * inner.inv() * cross.T)[0]
    density = sp.exp(-(at.T * inner.inv() * at)[0] / 2) / (2 * sp.pi * sp.sqrt(inner.det()))
    expected = -sp.diff(density * (1 + sp.erf(mean / sp.sqrt(2 * spread))) / 2, x).subs({x: 0, y: 0})
    node = Average(Sigma(A, 2) * Sigma(B, 1) * Sigma(C, 0))
    entries = {K(a, b): cov[i, j] for i, a in enumerate("abc") for j, b in enumerate("abc")}
    compare(node, BY_NAME["step"], entries, mpmath.mpmathify(expected.evalf(40)), 1e-30)


# --- four samples ----------------------------------------------------------------------------------------------------

FOUR = np.array([[8, 2, -1, 2], [2, 7, 1, 0], [-1, 1, 8, 1.5], [2, 0, 1.5, 6]]) / 16


@cache
def four_density() -> tuple[np.ndarray, np.ndarray]:
    x = np.arange(-20, 21, dtype=np.longdouble) * np.longdouble(0.34375)
    precision = sp.Matrix(4, 4, lambda i, j: sp.Rational(FOUR[i, j])).inv()
    p = np.array([[np.longdouble(str(precision[i, j].evalf(25))) for j in range(4)] for i in range(4)])
    grid = np.ix_(x, x, x, x)
    quadratic = sum(p[i, j] * grid[i] * grid[j] for i, j in itertools.product(range(4), repeat=2))
    density = np.exp(-quadratic / 2)
    return x, density / density.sum()


@pytest.mark.parametrize("name", [*EXPONENTIAL, "x_plus_sin"])
@pytest.mark.parametrize("orders", [(0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1), (0, 2, 1, 1)])
def test_four_samples(name, orders):
    """Rule 1 at four samples, against the lattice in extended precision; also twice the same sample."""
    act = BY_NAME.get(name) or EXTRA[name]
    x, density = four_density()
    tables = [sp.lambdify(z, act.derivative(k), "numpy") for k in orders]
    total = density
    for f in reversed(tables):
        total = total @ (np.asarray(f(x), dtype=np.longdouble) * np.ones_like(x))
    node = Average(sp.Mul(*(Sigma(jet, k) for jet, k in zip((A, B, C, D), orders, strict=True))))
    entries = {K(a, b): sp.Rational(FOUR[i, j]) for i, a in enumerate("abcd") for j, b in enumerate("abcd")}
    compare(node, act, entries, mpf(str(total)), 5e-15 if name != "exp" else 1e-12)


def test_four_error_functions_of_which_two_are_differentiated():
    act, (x, density) = BY_NAME["erf"], four_density()
    erf = np.array([np.longdouble(mpmath.nstr(mpmath.erf(mpf(float(t))), 22)) for t in x])
    slope = 2 / np.sqrt(np.longdouble(mpmath.nstr(mpmath.pi, 22))) * np.exp(-x * x)
    node = Average(Sigma(A, 0) * Sigma(B, 0) * Sigma(C, 1) * Sigma(D, 1))
    entries = {K(a, b): sp.Rational(FOUR[i, j]) for i, a in enumerate("abcd") for j, b in enumerate("abcd")}
    compare(node, act, entries, mpf(str(density @ slope @ slope @ erf @ erf)), 1e-11)


# --- limits and laws -------------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize("name", [*ANALYTIC, "x_sin", "wavelet"])
@pytest.mark.parametrize("orders", [((0,), (0,)), ((1,), (1,)), ((0,), (2,)), ((0,), (1,))])
def test_equal_samples_are_one_sample(name, orders):
    """A singular covariance is ordinary: <f(z_a) g(z_b)> at K_aa = K_ab = K_bb is <f(z) g(z)>."""
    act = BY_NAME.get(name) or EXTRA[name]
    two = closed_form(Average(body(orders)), act)
    one = closed_form(Average(Sigma(ONE, orders[0][0]) * Sigma(ONE, orders[1][0])), act)
    same = dict.fromkeys((K("a", "a"), K("a", "b"), K("b", "b")), ONE_SAMPLE)
    assert agree(value(two, same), value(one, {K("", ""): ONE_SAMPLE}), 1e-35)


@pytest.mark.parametrize("name", KINKED)
@pytest.mark.parametrize("k", [0, 1])
def test_equal_samples_at_a_kink(name, k):
    two = closed_form(Average(Sigma(A, k) * Sigma(B, k)), BY_NAME[name])
    same = dict.fromkeys((K("a", "a"), K("a", "b"), K("b", "b")), ONE_SAMPLE)
    one = closed_form(Average(Sigma(ONE, k) ** 2), BY_NAME[name])
    assert agree(value(two, same), value(one, {K("", ""): ONE_SAMPLE}), 1e-35)


Kaa, Kab, Kbb, K1 = K("a", "a"), K("a", "b"), K("b", "b"), K("", "")
_rho = Kab / sp.sqrt(Kaa * Kbb)
PRINTED = [
    pytest.param("linear", Sigma(A, 0) * Sigma(B, 0), Kab, id="linear"),
    pytest.param("relu", Sigma(ONE, 0) ** 2, K1 / 2, id="relu-K"),
    pytest.param("relu", Sigma(ONE, 1) ** 2, sp.Rational(1, 2), id="relu-chi"),
    pytest.param("relu", Sigma(ONE, 0) ** 4, 3 * K1**2 / 2, id="relu-four"),
    pytest.param("relu", Sigma(A, 1) * Sigma(B, 1), sp.Rational(1, 4) + sp.asin(_rho) / (2 * sp.pi), id="arccosine-0"),
    pytest.param(
        "relu", Sigma(A, 0) * Sigma(B, 0),
        sp.sqrt(Kaa * Kbb - Kab**2) / (2 * sp.pi) + Kab * (sp.Rational(1, 4) + sp.asin(_rho) / (2 * sp.pi)),
        id="arccosine-1",
    ),
    pytest.param(
        "relu", Sigma(A, 0) ** 2 * Sigma(B, 0) ** 2,
        3 * Kab * sp.sqrt(Kaa * Kbb - Kab**2) / (2 * sp.pi)
        + (Kaa * Kbb + 2 * Kab**2) * (sp.Rational(1, 4) + sp.asin(_rho) / (2 * sp.pi)),
        id="arccosine-2",
    ),
    pytest.param(
        "erf", Sigma(A, 0) * Sigma(B, 0),
        2 / sp.pi * sp.asin(2 * Kab / sp.sqrt((1 + 2 * Kaa) * (1 + 2 * Kbb))), id="erf",
    ),
    pytest.param("erf", Sigma(ONE, 1) ** 2, 4 / (sp.pi * sp.sqrt(1 + 4 * K1)), id="erf-chi"),
    pytest.param("sin", Sigma(A, 0) * Sigma(B, 0), sp.exp(-(Kaa + Kbb) / 2) * sp.sinh(Kab), id="sin"),
    pytest.param("sin", Sigma(ONE, 1) ** 2, (1 + sp.exp(-2 * K1)) / 2, id="sin-chi"),
    pytest.param(
        "sin", Sigma(ONE, 0) ** 4, sp.Rational(3, 8) - sp.exp(-2 * K1) / 2 + sp.exp(-8 * K1) / 8, id="sin-four"
    ),
    pytest.param("exp", Sigma(A, 0) * Sigma(B, 0), sp.exp((Kaa + Kbb) / 2 + Kab), id="exp"),
    pytest.param(
        "gaussian", Sigma(A, 0) * Sigma(B, 0), 1 / sp.sqrt((1 + Kaa) * (1 + Kbb) - Kab**2), id="gaussian"
    ),
]  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize(("name", "product", "printed"), PRINTED)
def test_the_form_that_is_printed(name, product, printed):
    """Not only the same function: the same expression."""
    assert closed_form(Average(product), BY_NAME[name]) == sp.sympify(printed)


@pytest.mark.quick
def test_what_has_no_rule_is_none():
    four = Average(sp.Mul(*(Sigma(jet, 0) for jet in (A, B, C, D))))
    assert closed_form(Average(Sigma(ONE, 2) ** 2), BY_NAME["relu"]) is None  # delta squared
    assert closed_form(Average(Sigma(ONE, 1) ** 2), BY_NAME["sign"]) is None
    assert closed_form(Average(Sigma(ONE, 1) ** 2 * Sigma(ONE, 2)), BY_NAME["relu"]) is None  # 1/3, not 1/2
    assert closed_form(Average(Sigma(A, 0) * Sigma(B, 0)), activation(None)) is None
    assert closed_form(four, BY_NAME["erf"]) is None
    assert closed_form(four, BY_NAME["relu"]) is None
    odd = Average(Sigma(A, 0) * Sigma(B, 0) * Sigma(C, 0))
    assert closed_form(odd, BY_NAME["erf"]) == 0


def test_specialize_replaces_what_it_can():
    known, unknown = Average(Sigma(A, 0) * Sigma(B, 0)), Average(Sigma(A, 0) ** 2 * Sigma(B, 0) ** 2)
    expr = 3 * known**2 + K("a", "a") * unknown
    erf = BY_NAME["erf"]
    assert specialize(expr, erf) == 3 * closed_form(known, erf) ** 2 + K("a", "a") * unknown
    assert specialize(expr, BY_NAME["tanh"]) == expr
    assert specialize(expr, activation(None)) == expr
    # The product rule gives <sigma_a'^2 sigma_b^2>, with four error functions, and a term with a closed form.
    mixed = Average(Sigma(A, 0) ** 2 * Sigma(B, 0) ** 2, (A, A))
    assert not specialize(mixed, erf).atoms(Average)
    result = specialize(mixed, BY_NAME["gelu"])
    assert result.atoms(Average) == {Average(Sigma(A, 1) ** 2 * Sigma(B, 0) ** 2)}
    assert result.has(sp.asin)


@pytest.mark.quick
def test_a_wrong_coefficient_is_caught():
    """The comparator of this file sees a relative change of 1e-20 in one coefficient of each kind of closed form."""
    for name, oracle in (("relu", rays), ("gelu", lattice), ("sin", lattice)):
        result = closed_form(Average(body(((0,), (0,)))), BY_NAME[name])
        expected = oracle(BY_NAME[name], ((0,), (0,)))
        assert agree(value(result, TWO), expected)
        for term in sp.Add.make_args(result):
            assert not agree(value(result + term * sp.Rational(1, 10**20), TWO), expected)


@pytest.mark.parametrize("name", EXPONENTIAL)
def test_fast_enough_for_a_recursion(name):
    """Process time of what a first-order recursion of four samples needs; the bound is generous."""
    act = Activation(f"fresh {name}", BY_NAME[name].expr)
    start = time.process_time()
    for orders in ((0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1)):
        closed_form(Average(sp.Mul(*(Sigma(jet, k) for jet, k in zip((A, B, C, D), orders, strict=True)))), act)
    assert time.process_time() - start < 3
