"""The verb ``gaussian_average``: closed forms, quadrature and many digits against each other and against mpmath, and bad input."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from mpmath import mpf
from scipy.stats import norm

import widthwise as ww
from widthwise.numerics.averages.gaussian import FEW, Estimate
from widthwise.numerics.averages.mp_panels import average_to_digits
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.averages.reading import read_integrand
from widthwise.theory.language.errors import (
    InvalidArgument,
    InvalidInput,
    NotAvailable,
    NotConverged,
    NotIntegrable,
    UnknownName,
)
from widthwise.theory.language.jets import Jet
from widthwise.theory.language.quantities import Entry
from widthwise.theory.networks.activations import ACTIVATIONS

average = ww.gaussian_average
x, y = sp.symbols("x y", real=True)
K = [[1.0, 0.5], [0.5, 2.0]]
Kxx, Kxy, Kyy = Entry("K", ("x", "x")), Entry("K", ("x", "y")), Entry("K", ("y", "y"))


# ---------------------------------------------------------------- symbols


@pytest.mark.parametrize(
    ("integrand", "expected"),
    [
        (sp.Max(x, 0) ** 2, Kxx / 2),
        (x**2 * y**2, Kxx * Kyy + 2 * Kxy**2),
        (sp.exp(x + 2 * y), sp.exp(Kxx / 2 + 2 * Kxy + 2 * Kyy)),
        (sp.cos(x - y), sp.exp((2 * Kxy - Kxx - Kyy) / 2)),
        ("relu'(x)*relu'(y)", sp.Rational(1, 4) + sp.asin(Kxy / sp.sqrt(Kxx * Kyy)) / (2 * sp.pi)),
        ("sign'(x)*sign'(y)", 2 / (sp.pi * sp.sqrt(Kxx * Kyy - Kxy**2))),
        ("relu(3*x)*y", 3 * Kxy / 2),
        ("2 + 3*x**4", 2 + 9 * Kxx**2),
    ],
)
def test_closed_forms(integrand, expected):
    assert sp.simplify((average(integrand) - expected).rewrite(sp.exp)) == 0


def test_families_and_powers_print():
    assert average("hermite(3)(x)**2").xreplace({Kxx: sp.Integer(1)}) == 1
    assert average("leaky_relu(0.2)(x)**2") == sp.Rational(13, 25) * Kxx
    assert sp.latex(average("x**4")) == r"3 \left(K^{(\ell)}_{x x}\right)^{2}"


def test_series_of_kinks_without_a_closed_form_keep_their_delta_functions():
    """<d^2 relu6> = p(0) - p(6): the derivative in front is no derivative of SymPy's, which would be zero."""
    found = average("relu6(x)*y**2", series=3)
    (node,) = (n for n in found.atoms(Average) if n.derivatives)
    assert "d[z_x,z_x]" in str(found)
    assert node.explicit() == node


def test_terms_that_cancel_to_all_digits():
    for variance in (3.0, 1e6, 0.1):
        assert average("relu(a)*step(b)", [[variance, -variance], [-variance, variance]]).value == 0


def test_what_has_no_closed_form_stays():
    found = average("tanh(x)*tanh(y) + relu(x)**2")
    assert found == Average(sp.tanh(Jet("x")) * sp.tanh(Jet("y"))) + Kxx / 2
    assert r"\tanh" in sp.latex(found)


def test_letters_that_sympy_uses_otherwise_are_variables():
    assert average("E*S") == Entry("K", ("E", "S"))


@pytest.mark.parametrize(
    "integrand", ["relu(x)*relu(y)", "erf(x)*erf(y)", "step(x)*erf(y)", "exp(x)*cos(2*y)", "abs(x)*y**4"]
)
def test_mehler_series_is_the_taylor_series_of_the_closed_form(integrand):
    a, b, c = sp.symbols("a b c", positive=True)
    letters = {Kxx: a, Kyy: b, Kxy: c}
    found, closed = (e.xreplace(letters) for e in (average(integrand, series=6), average(integrand)))
    assert sp.simplify(sp.series(closed, c, 0, 6).removeO() - found) == 0


def test_mehler_series_of_what_has_no_closed_form():
    found = average("tanh(x)*tanh(y)", series=4)
    slopes = [Average(sp.tanh(Jet(s)), (Jet(s),) * n) for n in (1, 3) for s in "xy"]
    assert sp.expand(found - slopes[0] * slopes[1] * Kxy - slopes[2] * slopes[3] * Kxy**3 / 6) == 0
    with pytest.raises(InvalidArgument, match="has 1: x"):
        average("tanh(x)", series=3)
    with pytest.raises(InvalidArgument, match="series=0"):
        average("tanh(x)*y", series=0)


# ---------------------------------------------------------------- numbers


def one(f, variance, *cuts):
    """By mpmath, with every unit of z and the standard deviations as ends."""
    with mpmath.workdps(30):
        s = mpmath.sqrt(variance)
        ends = sorted({mpf(k) for k in range(-12, 13)} | {c / s for c in (-8, -3, -1, 0, 1, 3, 8, *cuts)})
        return mpmath.quad(lambda u: f(s * u) * mpmath.npdf(u), [e for e in ends if abs(e) <= 12])


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a.name not in ("exp", "cubic")], ids=lambda a: a.name)
@pytest.mark.parametrize("variance", [0.3, 40.0])
def test_squares_of_the_whole_registry(activation, variance):
    """Quadrature and mpmath at 30 digits, which knows of no rule; the reported error is an error."""
    f = sp.lambdify(sp.Symbol("z", real=True), activation.expr, "mpmath")
    found = average(f"{activation.name}(a)**2", variance)
    exact = one(lambda u: f(u) ** 2, mpf(variance), *map(float, activation.kinks))
    assert abs(found.value - exact) <= found.error + 1e-15 * abs(found.value)
    assert found.error <= 1e-10 * abs(found.value)


@pytest.mark.parametrize("integrand", ["relu(a)*relu(b)", "gelu(a)*gelu(b)", "sin(a)*b", "step(a)*erf(b)"])
def test_quadrature_and_closed_forms_agree(integrand):
    """One covariance has a closed form, and many are integrated."""
    closed = average(integrand, K)
    integrated = average(integrand, np.broadcast_to(K, (FEW + 1, 2, 2)))
    assert (integrated.value[0] != closed.value) or integrated.error[0] > closed.error
    assert (abs(closed.value - integrated.value) <= closed.error + integrated.error).all()


@pytest.mark.parametrize("integrand", ["tanh(a)*tanh(b)", "hard_tanh(a)*softplus(b)", "mish(a)*selu(b) + a*b"])
def test_many_digits_agree_with_double_precision(integrand):
    digits = average(integrand, K, precision="mp", digits=20)
    double = average(integrand, K)
    assert abs(float(digits.value) - double.value) <= double.error + 1e-16
    assert digits.error <= 2e-19 * abs(digits.value)


def test_thirty_digits_of_a_function_with_a_closed_form():
    """The panels know nothing of the rules: erf erf by the arcsine, and by integration."""
    from widthwise.numerics.averages.mp_panels import average_to_digits

    covariance = np.array([["1", "1/2"], ["1/2", "2"]], dtype=object)
    closed = average("erf(a)*erf(b)", covariance, precision="mp", digits=30)
    integrated = average_to_digits(read_integrand("erf(a)*erf(b)"), covariance, 30)
    with mpmath.workdps(50):
        exact = 2 / mpmath.pi * mpmath.asin(1 / mpmath.sqrt(15))
        for found in (closed, integrated):
            assert abs(found.value - exact) <= found.error < mpf(10) ** -29


@pytest.mark.parametrize("integrand", ["exp(3*a)*tanh(a)", "exp(3*a)*step(a-1)*tanh(a)"])
def test_digits_of_functions_that_grow(integrand):
    """Their mass lies at z = 3K = 300, 30 standard deviations out, where tanh is 1 to all digits."""
    found = average(integrand, 100, precision="mp", digits=20)
    with mpmath.workdps(30):
        assert abs(found.value / mpmath.exp(450) - 1) < mpf(10) ** -19
    parallel = average("exp(a)*exp(b)*tanh(a)", [[100, 100], [100, 100]], precision="mp", digits=15)
    near = average("exp(a)*exp(b)*tanh(a)", [[100, 99], [99, 100]], precision="mp", digits=8)
    with mpmath.workdps(30):
        assert abs(parallel.value / mpmath.exp(200) - 1) < mpf(10) ** -14
        assert abs(near.value / mpmath.exp(199) - 1) < mpf(10) ** -7


def test_sums_of_one_variable_are_integrated_as_they_are():
    """One product, and no cancellation between its parts; taken apart where only parts have a closed form."""
    known = read_integrand("(1 + tanh(x))*(relu(y)**2 - 2*sin(y))")
    assert [len(known.products), len(known.summands)] == [1, 4]
    assert len(read_integrand((1 + sp.tanh(x)) * (1 + sp.tanh(y))).products) == 1
    assert average("(tanh(x) + relu(x)**2)*y**2") == Average(sp.tanh(Jet("x")) * Jet("y") ** 2) + average(
        "relu(x)**2*y**2"
    )
    assert average("(relu''(x) + x)*x") == Kxx
    assert len(read_integrand("x*y/((1 + x**2)*(1 + y**2))").products) == 1


def test_one_variable_at_extreme_variances():
    for variance in ("1e-12", "1e6", 0):
        found = average("hard_tanh(a)**2", variance, precision="mp", digits=25)
        double = average("hard_tanh(a)**2", float(variance))
        assert abs(float(found.value) - double.value) <= double.error + 1e-16 * abs(double.value)


def test_nested_panels_and_the_grid_agree(monkeypatch):
    """Nearly parallel variables take the nested integral; here both are taken, at a correlation where both can."""
    covariance = [[1, "0.9"], ["0.9", 1]]
    grid = average("hard_tanh(a)*hard_tanh(b)", covariance, precision="mp", digits=8)
    monkeypatch.setattr("widthwise.numerics.averages.mp_panels.MOST", 0)
    nested = average("hard_tanh(a)*hard_tanh(b)", covariance, precision="mp", digits=8)
    assert abs(grid.value - nested.value) <= grid.error + nested.error
    assert nested.error < 1e-7


def test_parallel_variables_with_digits():
    parallel = average("hard_tanh(a)*hard_tanh(b)", [[1, -2], [-2, 4]], precision="mp", digits=20)
    with mpmath.workdps(30):
        exact = one(lambda z: max(min(z, 1), -1) * max(min(-2 * z, 1), -1), mpf(1), 0.5, -0.5)
        assert abs(parallel.value - exact) < mpf(10) ** -19


def test_shapes():
    assert average("tanh(a)**2", [[1.0, 2.0, 3.0]]).value.shape == (1, 3)
    many = average("tanh(a)*tanh(b)", np.broadcast_to(K, (2, 3, 2, 2)))
    assert isinstance(many, Estimate)
    assert many.value.shape == many.error.shape == (2, 3)
    assert isinstance(average("tanh(a)**2", 1).value, float)


def test_python_functions():
    assert average(np.tanh, 2.0).value == pytest.approx(0, abs=1e-15)
    both = average([np.tanh, np.sin], K)
    assert both.value == pytest.approx(average("tanh(a)*sin(b)", K).value, abs=both.error)
    kinked = average(np.abs, 2.0, kinks=[0])
    assert kinked.value == pytest.approx(2 / np.sqrt(np.pi), abs=kinked.error)


def test_zero_variance_puts_the_variable_to_zero():
    assert average("relu(a)*cos(b)", [[2.0, 0.0], [0.0, 0.0]]).value == pytest.approx(1 / np.sqrt(np.pi), rel=1e-14)
    assert average("softplus(a)*a", 0.0).value == 0


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("integrand", "covariance", "error", "message"),
    [
        ("tanh(a+b)", None, InvalidArgument, "couples a, b"),
        ("3", None, InvalidArgument, "no variable"),
        ("relu(a", None, InvalidArgument, "cannot be read"),
        ("__import__('os')", None, InvalidArgument, "cannot be read"),
        ("rleu(a)", None, UnknownName, "did you mean 'relu'"),
        (3.0, None, InvalidArgument, "is a float"),
        (sp.Function("f")(x), None, InvalidArgument, "holds f"),
        ("exp(a**2)", None, NotIntegrable, "grows like"),
        ("1/a", None, NotIntegrable, "at z=0"),
        ("relu''(a)**2", 1.0, NotIntegrable, "diverges at a = 0"),
        ("relu''(a)*relu''(b)", [[1, 1], [1, 1]], NotIntegrable, "parallel"),
        ("relu''(a)*tanh(b)**2", [[0, 0], [0, 1]], NotAvailable, "have a variance"),
        ("hard_tanh''(a)*tanh(b)", [[1, 1], [1, 1]], NotAvailable, "not parallel"),
        ("relu'(a)*relu''(a)*tanh(b)", np.eye(2), NotAvailable, "continuous there"),
        ("relu''(a)*tanh(b)*tanh(c)", np.eye(3), NotAvailable, "one or two variables"),
        ("exp(3*a)", 1e4, NotConverged, "leaves double precision"),
        ("tanh(a)*tanh(b)", [[1, 2], [2, 1]], InvalidInput, "correlations run from -1"),
        ("relu(a)*relu(b)", [[1, 2], [2, 1]], InvalidInput, "exceeds"),
        (
            "sin(a)*sin(b)*sin(c)",
            [[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]],
            InvalidInput,
            "smallest eigenvalue is -0.8",
        ),
        ("tanh(a)", -1.0, InvalidInput, "variance of -1"),
        ("tanh(a)*tanh(b)", 1.0, InvalidInput, "shape"),
        ("tanh(a)*tanh(b)", np.eye(2, dtype=np.float32), InvalidInput, "float32"),
        ("tanh(a)", "one", InvalidInput, "cannot be read"),
        ("tanh(a)", "1/0", InvalidInput, "cannot be read"),
        ("tanh(a)", 1j, InvalidInput, "real numbers"),
        ("tanh(a)", np.inf, InvalidInput, "finite numbers"),
        ("relu(a)*relu(b)", [[1, 0.5], [0.4, 1]], InvalidInput, "not symmetric"),
        (sp.I * x**2, 1.0, InvalidArgument, "not real"),
        ("relu(a)/relu(b)", None, NotIntegrable, "not finite"),
        ("leaky_relu(a, 0.2)", None, InvalidArgument, r"leaky_relu\(0.2\)\(a\)"),
        ("relu", None, InvalidArgument, r"allowed: relu\(a\)"),
        (lambda u: u * np.nan, 1.0, NotIntegrable, "nan at z="),
        ("*".join(f"tanh({c})" for c in "abcde"), np.eye(5), NotAvailable, "up to 4"),
    ],
)
def test_wrong_arguments(integrand, covariance, error, message):
    with pytest.raises(error, match=message):
        average(integrand, covariance)


def test_wrong_options():
    with pytest.raises(InvalidArgument, match="precision='single'"):
        average("tanh(a)", 1.0, precision="single")
    with pytest.raises(InvalidArgument, match="digits=0"):
        average("tanh(a)", 1.0, precision="mp", digits=0)
    with pytest.raises(InvalidArgument, match="rtol=0"):
        average("tanh(a)", 1.0, rtol=0)
    with pytest.raises(InvalidArgument, match="kinks"):
        average("tanh(a)", 1.0, kinks=[0])
    with pytest.raises(NotAvailable, match="Python function"):
        average(np.tanh, 1.0, precision="mp")
    with pytest.raises(InvalidInput, match="one covariance at a time"):
        average("tanh(a)*tanh(b)", [K, K], precision="mp")


def density(x, y, K):
    z, K = np.array([x, y]), np.array(K)
    return np.exp(-z @ np.linalg.solve(K, z) / 2) / (2 * np.pi * np.sqrt(np.linalg.det(K)))


def clipped_mean(mean, deviation):
    """<hard_tanh(z)> over N(mean, deviation^2)."""
    low, high = (-1 - mean) / deviation, (1 - mean) / deviation
    inside = mean * (norm.cdf(high) - norm.cdf(low)) - deviation * (norm.pdf(high) - norm.pdf(low))
    return norm.sf(high) - norm.cdf(low) + inside


def test_delta_functions_anywhere():
    """hard_tanh'' = delta(z + 1) - delta(z - 1): values of the density, and averages given one variable."""
    K = [[1.0, 0.3], [0.3, 2.0]]
    found = average("hard_tanh''(a)*hard_tanh''(b)", K)
    exact = 2 * (density(1, 1, K) - density(1, -1, K))
    assert abs(found.value - exact) <= found.error + 1e-16
    assert found.error < 1e-13
    found = average("relu(a)*hard_tanh''(a)*b**2", K)
    exact = -norm.pdf(1) * (2 - 0.3**2 + 0.3**2)  # -p(1) <b^2 | a = 1>
    assert abs(found.value - exact) <= found.error + 1e-16
    assert average("hard_tanh''(a)*a", 1.0).value == pytest.approx(-2 * norm.pdf(1), rel=1e-12)


def test_errors_of_delta_functions_are_honest():
    """Variances from 1e-6 to 1e4, correlations to 1e-8 of 1; the larger delta(z - 1), the smaller the probability to be there."""
    rng = np.random.default_rng(3)
    for _ in range(40):
        s, rho = 10 ** rng.uniform(-3, 2, 2), rng.choice([-1, 1]) * (1 - 10 ** rng.uniform(-8, 0))
        K = np.outer(s, s) * [[1, rho], [rho, 1]]
        mean, deviation = K[0, 1] / K[0, 0], s[1] * np.sqrt((1 - rho) * (1 + rho))
        found = average("hard_tanh''(a)*hard_tanh(b)", K)
        exact = -2 * norm.pdf(1 / s[0]) / s[0] * clipped_mean(mean, deviation)
        assert abs(found.value - exact) <= found.error + 1e-12 * abs(exact)


@pytest.mark.parametrize(
    "integrand", ["relu'''(a)*tanh(b)", "hard_swish''(a)*hard_swish''(b)", "sign'(a)*cos(a)*hard_tanh(b)**2"]
)
def test_delta_functions_to_digits(integrand):
    """Two routes: derivatives of the density under the integral in mpmath, and derivatives in front of the quadrature."""
    K = [[1.0, 0.3], [0.3, 2.0]]
    found, exact = average(integrand, K), average(integrand, K, precision="mp", digits=20)
    assert abs(found.value - float(exact.value)) <= found.error
    assert found.error < 1e-12


#: Activations whose averages of one variable come from intervals between kinks.
CUT = ("hard_tanh", "hard_sigmoid", "hard_swish", "relu6", "elu", "selu")


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("body", ["{0}(a)**2", "{0}'(a)**2", "a*{0}(a)*{0}'(a)", "exp(-a/2)*{0}(a)"])
def test_closed_forms_between_kinks(name, body):
    """Against panels of Gauss-Legendre rules that end at the kinks, which know nothing of the closed form."""
    text = body.format(name)
    known = read_integrand(text)
    assert known.closed() is not None
    for variance in (mpf("0.01"), mpf(1) / 3, mpf(7), mpf(900)):
        found = average(text, variance, precision="mp", digits=25)
        truth = average_to_digits(known, np.array([[variance]]), 20)
        assert abs(found.value - truth.value) <= mpf(10) ** -18 * (abs(truth.value) + mpf(10) ** -18)
        assert average(text, float(variance)).value == pytest.approx(float(truth.value), rel=2e-15, abs=1e-18)


@pytest.mark.parametrize(
    "body", ["exp(-a**2/2)*step(a-1)*a", "relu(a)*exp(-a**2)*hard_swish(a)", "selu(a)*exp(-a**2)*hard_swish(a)",
             "exp(-a**2/2)*step(a-1)*elu(a)", "exp(a-a**2/3)*relu(a)*step(a+1/3)", "exp(2*a)*elu(a)**2*hard_tanh(a)*a**3"]
)  # fmt: skip
def test_closed_forms_of_products_between_kinks(body):
    known = read_integrand(body)
    assert known.closed() is not None
    assert not known.closed().has(sp.log)
    for variance in (mpf("0.01"), mpf(1), mpf(40)):
        found = average(body, variance, precision="mp", digits=25)
        truth = average_to_digits(known, np.array([[variance]]), 20)
        assert abs(found.value - truth.value) <= mpf(10) ** -18 * abs(truth.value)


def test_closed_form_between_kinks_by_hand():
    """The density of variance 1/2 times z beyond 1: e^-1/(2 sqrt(2 pi))."""
    assert average("exp(-a**2/2)*step(a-1)*a", 1.0).value == pytest.approx(
        np.exp(-1) / (2 * np.sqrt(2 * np.pi)), rel=1e-15
    )


def test_what_vanishes_by_symmetry_is_zero_to_all_digits():
    assert average("sign'(a)*tanh(b)", [[0.5, 0.495], [0.495, 0.5]], precision="mp", digits=20) == (0, 0)
    assert average("tanh(a)*tanh(b)**2", np.eye(2), precision="mp", digits=20) == (0, 0)


def test_closed_forms_between_kinks_read_well():
    root = sp.sqrt(2 * Kxx / sp.pi)
    assert (
        sp.simplify(
            average("elu(x)") - (sp.exp(Kxx / 2) * sp.erfc(sp.sqrt(Kxx / 2)) / 2 + root / 2 - sp.Rational(1, 2))
        )
        == 0
    )
    clipped = (1 - Kxx) * sp.erfc(1 / sp.sqrt(2 * Kxx)) + Kxx - root * sp.exp(-1 / (2 * Kxx))
    assert sp.simplify(average("hard_tanh(x)**2") - clipped) == 0
    assert average("hard_sigmoid(x)") == sp.Rational(1, 2)
    assert sp.simplify(average("hard_tanh''(x)*x") + 2 * sp.exp(-1 / (2 * Kxx)) / sp.sqrt(2 * sp.pi * Kxx)) == 0


def test_tails_of_closed_forms_keep_their_digits():
    """erfc(sqrt(K/2)) e^(K/2) -> sqrt(2/(pi K)) (1 - 1/K + 3/K^2): the error function itself is 1 to 434 digits at K = 1000."""
    found = average("elu(a) - relu(a)", 1000, precision="mp", digits=30)
    with mpmath.workdps(40):
        K = mpf(1000)
        tail = sum((-1) ** k * mpmath.fac2(2 * k - 1) / K**k for k in range(12)) / mpmath.sqrt(2 * mpmath.pi * K)
        assert abs(found.value - (tail - mpf(1) / 2)) < mpf(10) ** -24


@pytest.mark.parametrize("K", ["1e-1", "1e-3", "1e-4"])
@pytest.mark.parametrize("text", ["exp(a)*step(a-1)", "exp(-a)*step(-a-1)", "exp(a)*step(a-1)*step(3-a)"])
def test_a_tail_is_not_zero(text, K):
    """E[e^z; 1 < z < h] = e^(K/2) [erfc((1 - K)/s) - erfc((h - K)/s)]/2, s = sqrt(2K), down to 1e-2174."""
    found = average(text, K, precision="mp", digits=20)
    double = average(text, float(K))
    with mpmath.workdps(40):
        k = mpf(K)
        s, high = mpmath.sqrt(2 * k), 3 if "3" in text else mpmath.inf
        exact = mpmath.exp(k / 2) * (mpmath.erfc((1 - k) / s) - mpmath.erfc((high - k) / s)) / 2
        assert abs(found.value - exact) <= found.error
        # float(K) is not K; and doubles may see nothing of a function that is zero up to thirty standard deviations
        assert abs(double.value - exact) <= 1e-12 * exact + 1e-195
        if K != "1e-4" and "3" not in text:
            assert abs(found.value / exact - 1) < mpf(10) ** -19
