"""A function typed with exponentials is evaluated wherever it is finite, and is its registered twin."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.numerics.codegen.printing import array_function
from widthwise.theory.language.stable import same, stable
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS, activation

#: Functions as they are typed, and the registered one that each is, if there is one.
TYPED = {
    "x/(1+exp(-1.5*x))": "swish(1.5)",
    "x*exp(1.5*x)/(exp(1.5*x) + 1)": "swish(1.5)",
    "1/(1+exp(-x))": "sigmoid",
    "exp(x)/(1+exp(x))": "sigmoid",
    "where(x > 0, 1/(1+exp(-x)), exp(x)/(1+exp(x)))": "sigmoid",
    "log(1+exp(x))": "softplus",
    "log(1+exp(-abs(x))) + max(x, 0)": "softplus",
    "log(1+exp(2*x))/2": "softplus(2)",
    "x*tanh(log(1+exp(x)))": "mish",
    "x*tanh(softplus(x))": "mish",
    "x*((1+exp(x))**2 - 1)/((1+exp(x))**2 + 1)": "mish",
    "(exp(x)-exp(-x))/(exp(x)+exp(-x))": "tanh",
    "sinh(x)/cosh(x)": "tanh",
    "2/(1+exp(-2*x)) - 1": "tanh",
    "1 - 2/(exp(2*x)+1)": "tanh",
    "log(cosh(x))": None,
    "log(exp(x)+exp(-x))": None,
    "1/cosh(x)": None,
    "sech(x)": None,
    "sech(x)**2": None,
    "2*exp(-x)/(1+exp(-2*x))": None,
    "exp(x)/(1+exp(x))**2": None,
    "atan(sinh(x))": None,
    "log(1/(1+exp(-x)))": None,
    "log(2+exp(x))": None,
    "log(1+exp(x)+exp(2*x))": None,
    "x*x/(x*x+exp(-x))": None,
    "x/(1+exp(-x))**2": None,
    "sin(x/(1+exp(-x)))": None,
    "exp(-x**2)*cosh(3*x)": None,
    "exp(-exp(-x))": None,
    "sqrt(1+x**2) - 1": None,
    "sqrt(4+x**2)/3 - 2/3": None,
    "relu(x) + x/(1+exp(x))": None,
}
FAR = np.concatenate([[1e5, 3e3, 1e3, 799.3, 424.2, 61.7], np.linspace(40, 0.3, 23)])


@pytest.mark.parametrize("text", TYPED)
def test_a_typed_function_and_its_derivatives_are_finite_and_right(text):
    """Against mpmath, which holds exponents of any size, to what the largest value nearby is rounded to."""
    given, act = sp.lambdify(z, activation(text).expr, "mpmath"), activation(text)
    at = np.concatenate([-FAR, FAR])
    for order in range(5):
        with np.errstate(over="ignore"):  # exp(exp(x)) overflows, and exp(-exp(x)) does not
            found = np.broadcast_to(array_function(z, act.derivative(order))(at), at.shape)
        assert np.isfinite(found).all()
        for x, y in ((x, y) for x, y in zip(at[::5], found[::5], strict=True) if abs(x) < 50):
            with mpmath.workdps(60):
                expected = float(mpmath.diff(given, mpmath.mpf(x), order, h=mpmath.mpf(10) ** -12))
            assert abs(y - expected) < 1e-13 * (1 + abs(x)) * (1 + abs(expected))


@pytest.mark.quick
@pytest.mark.parametrize("text", [t for t, twin in TYPED.items() if twin])
def test_a_typed_function_is_its_twin(text):
    assert same(activation(text).pieces, activation(TYPED[text]).pieces)
    assert activation(text).smooth


@pytest.mark.parametrize(
    "text", ["x/(1+exp(-1.5*x))", "log(1+exp(x))", pytest.param("x*tanh(log(1+exp(x)))", marks=pytest.mark.slow)]
)
def test_a_typed_function_has_the_critical_points_of_its_twin(text):
    def numbers(name):
        return [[np.nan if v is None else v for v in (p.C_W, p.C_b, p.K)] for p in ww.critical_points(name)]

    assert_allclose(numbers(text), numbers(TYPED[text]), rtol=1e-8)


@pytest.mark.parametrize("text", ["x/(1+exp(-1.5*x))", pytest.param("x*tanh(log(1+exp(x)))", marks=pytest.mark.slow)])
def test_at_raw_pixels_a_typed_function_is_its_twin(text):
    X = np.random.default_rng(0).integers(0, 256, (2, 40)).astype(float)
    options = {"depth": 2, "C_W": 4.0, "C_b": 0.5, "lambda_W": 1.0, "lambda_b": 0.0}
    found, expected = (ww.predict(ww.MLP(a, **options), X, ["K", "Theta"]) for a in (text, TYPED[text]))
    for name in ("K", "Theta"):
        assert_allclose(found[name], expected[name], rtol=1e-9)


@pytest.mark.parametrize("text", ["log(cosh(x))", "1/cosh(x)", "sech(x)"])
def test_an_even_function_has_no_point_without_a_kernel(text):
    """K* = 0 needs a slope at 0."""
    assert all(point.K is None or point.K > 0 for point in ww.critical_points(text))


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: act.name)
def test_registered_functions_stay_as_they_are(act):
    assert stable(act.expr) == act.expr or act.name == "softplus"


def test_floats_are_the_decimals_that_are_typed():
    assert same(activation(z / (1 + sp.exp(-1.5 * z))).pieces, activation("swish(1.5)").pieces)
    assert activation(z / (1 + sp.exp(-0.1 * z))).pieces.has(sp.tanh)


def test_small_differences_keep_their_digits():
    found = array_function(z, activation("sqrt(1+x**2) - 1").derivative(0))
    assert_allclose(found(np.array([1e-6])), [4.99999999999875e-13], rtol=1e-14)


def test_nothing_is_changed_that_is_not_the_same():
    assert same(sp.sinh(z) / sp.cosh(z), sp.tanh(z))
    assert not same(sp.tanh(z), sp.tanh(z) + sp.Rational(1, 10**20))
    for kept in (
        sp.exp(z) - 1,
        sp.cosh(z),
        sp.exp(-(z**2)) * sp.sin(z),
        z / (1 + z**2),
        sp.sqrt(1 + z**2),
        sp.tanh(z) + sp.tanh(3 * z),
    ):
        assert stable(kept) == kept
