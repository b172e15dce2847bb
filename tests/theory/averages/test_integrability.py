"""Slopes without bound: an average is refused where it diverges, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import gamma, mp, mpf, sqrt
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.theory.averages.regularity import divergence
from widthwise.theory.language.errors import NotAvailable, NotIntegrable
from widthwise.theory.networks.activations import activation

X = np.array([[1.0, 0.3], [0.2, -1.0]])


def net(text, **more):
    return ww.MLP(text, **{"depth": 2, "C_W": 1.0, "C_b": 0.0, "lambda_W": 1.0, "lambda_b": 0.0} | more)


def moment(power, K):
    """The average of |z|^power."""
    return float((2 * mpf(K)) ** (mpf(power) / 2) * gamma((mpf(power) + 1) / 2) / sqrt(mp.pi))


@pytest.mark.quick
@pytest.mark.parametrize(("power", "order"), [(0.75, 1), (1.5, 2), (0.3, 1), (2.5, 3)])
def test_the_power_with_which_a_derivative_grows_is_that_of_its_formula(power, order):
    growth = activation(f"abs(x)**{power}").growth(order)
    assert_allclose(list(growth.values()), [power - order] * 2, atol=1e-9)
    assert not activation(f"abs(x)**{power}").growth(order - 1)


def test_what_is_asked_decides():
    steep, root = (activation(text) for text in ("abs(x)**(3/4)", "sqrt(abs(x))"))
    assert divergence([(steep, 1)] * 2) is None
    assert divergence([(root, 0)] * 4) is None
    assert divergence([(root, 1)]) is None
    for divergent in ([(root, 1)] * 2, [(steep, 1)] * 4):
        assert divergence(divergent)[0] == 0
    assert divergence([(activation("relu"), 1)] * 8) is None


@pytest.mark.parametrize("K", [0.01, 1.0, 100.0])
def test_an_average_of_a_root_is_that_of_its_moment(K):
    found = ww.gaussian_average("sqrt(abs(a))", K)
    assert abs(found.value - moment(0.5, K)) <= found.error + 1e-12 * found.value
    assert found.error < 1e-10 * found.value


def test_a_root_of_two_variables():
    """<|a b|^(1/2)> = 2^(1/2) Gamma(3/4)^2/pi 2F1(-1/4, -1/4; 1/2; rho^2), Nabeya (1951)."""
    found = ww.gaussian_average("sqrt(abs(a))*sqrt(abs(b))", [[1.0, 0.5], [0.5, 1.0]])
    expected = float(sqrt(2) * gamma(mpf(3) / 4) ** 2 / mp.pi * mp.hyp2f1(-0.25, -0.25, 0.5, 0.25))
    assert abs(found.value - expected) <= found.error + 1e-12
    assert found.error < 1e-10


def test_a_root_beside_zero():
    found = ww.gaussian_average("sqrt(abs(a - 1))", 1.0)
    assert_allclose(found.value, 1.00475660657817, rtol=1e-11)


def test_the_tangent_kernel_of_a_finite_mean_square_slope():
    r"""K' = <|z|^(3/2)>, Theta' = K' + Theta 9/16 <|z|^(-1/2)>."""
    found = ww.predict(net("Abs(x)**(3/4)"), [[1.0]], ["K", "Theta"])
    K, slope = moment(1.5, 1.0), 9 / 16 * moment(-0.5, 1.0)
    assert_allclose([found.K[1, 0, 0], found.Theta[1, 0, 0]], [K, K + slope], rtol=1e-10)
    several = ww.predict(net("Abs(x)**(3/4)"), X, ["K", "Theta"])
    assert several.average_error.max() < 1e-9
    rho = several.K[0, 0, 1] / np.sqrt(several.K[0, 0, 0] * several.K[0, 1, 1])
    scale = float((several.K[0, 0, 0] * several.K[0, 1, 1]) ** 0.375)
    pair = float(2**0.75 * gamma(mpf(7) / 8) ** 2 / mp.pi * mp.hyp2f1(-0.375, -0.375, 0.5, float(rho) ** 2))
    assert_allclose(several.K[1, 0, 1], scale * pair, rtol=1e-9)


@pytest.mark.slow
def test_kernel_matrices_are_those_of_the_recursion():
    found = ww.kernel(net("Abs(x)**(3/4)", depth=3), X)
    expected = ww.predict(net("Abs(x)**(3/4)", depth=3), X, ["K", "Theta"])
    assert_allclose(found.K, expected.K[-1], rtol=1e-9)
    assert_allclose(found.Theta, expected.Theta[-1], rtol=1e-9)


def test_an_infinite_tangent_kernel_is_refused_where_it_is_asked_for():
    root = net("sqrt(abs(x))")
    assert_allclose(ww.predict(root, [[1.0]], "K").K[1, 0, 0], moment(1, 1.0), rtol=1e-12)
    assert "Theta" not in ww.predict(root, X)
    for ask in (lambda: ww.predict(root, X, "Theta"), lambda: ww.predict(root, X[:1], "Theta")):
        with pytest.raises(NotAvailable, match="is infinite for equal inputs: at z=0 it grows like the power -1"):
            ask()
    with pytest.raises(NotIntegrable, match="too steep a slope at z=0"):
        ww.kernel(root, X)
    assert_allclose(ww.kernel(root, X, get="K"), ww.predict(root, X, "K").K[-1], rtol=1e-9)
    with pytest.raises(NotIntegrable, match="is infinite"):
        ww.critical("sqrt(abs(x))")
