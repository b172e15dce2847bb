"""The kernels in scikit-learn: the contract of its kernels, gradients, and a Gaussian process on digits."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, WhiteKernel

import widthwise as ww
from widthwise.numerics.kernels import pairs, repeated
from widthwise.numerics.kernels.pairs import pair_map
from widthwise.theory.language.errors import UnknownName
from widthwise.theory.networks.activations import ACTIVATIONS

X = np.random.default_rng(0).normal(size=(12, 4))
KERNELS = [ww.NNGPKernel("relu", depth=3), ww.NTKKernel("erf", depth=4, C_W=1.5, C_b=0.2, lambda_b=0.5)]


@pytest.mark.parametrize("kernel", KERNELS, ids=["K", "Theta"])
def test_values_are_those_of_kernel(kernel):
    get = "K" if type(kernel) is ww.NNGPKernel else "Theta"
    np.testing.assert_array_equal(kernel(X), ww.kernel(kernel.net, X, get=get))
    np.testing.assert_array_equal(kernel(X, X[:3]), ww.kernel(kernel.net, X, X[:3], get=get))
    np.testing.assert_allclose(kernel.diag(X), np.diag(kernel(X)), rtol=1e-13)
    assert not kernel.is_stationary()


@pytest.mark.parametrize("kernel", KERNELS, ids=["K", "Theta"])
def test_parameters_are_those_of_scikit_learn(kernel):
    assert clone(kernel) == kernel
    assert len(kernel.theta) == len(kernel.hyperparameters) == (2 if type(kernel) is ww.NNGPKernel else 4)
    moved = kernel.clone_with_theta(kernel.theta + 0.1)
    assert pytest.approx(kernel.C_W * np.exp(0.1)) == moved.C_W
    assert f"C_W={kernel.C_W:.3g}" in repr(kernel)
    assert type(kernel)(C_W_bounds="fixed").n_dims == kernel.n_dims - 1
    assert (2.0 * kernel + WhiteKernel())(X).shape == (12, 12)


def test_gradients_are_exact_where_the_kernel_is_known():
    """One hidden layer of a linear network: K = C_b + C_W (C_b + C_W s), Theta linear in the learning rates."""
    kernel = ww.NTKKernel("linear", depth=2, C_W=1.5, C_b=0.2, lambda_W=0.7, lambda_b=0.4)
    s = X @ X.T / 4
    value, gradient = kernel(X, eval_gradient=True)
    C_W, C_b, rate_W, rate_b = 1.5, 0.2, 0.7, 0.4
    first = rate_b + rate_W * s
    np.testing.assert_allclose(value, rate_b + rate_W * (C_b + C_W * s) + C_W * first, rtol=1e-12)
    by = {
        "C_W": C_W * (rate_W * s + first),
        "C_b": C_b * rate_W * np.ones_like(s),
        "lambda_W": rate_W * (C_b + 2 * C_W * s),
        "lambda_b": rate_b * (1 + C_W) * np.ones_like(s),
    }
    for p, h in enumerate(kernel.hyperparameters):
        np.testing.assert_allclose(gradient[..., p], by[h.name], rtol=1e-8, atol=1e-9)


#: Activations whose averages have no closed form: in the daily suite one of each kind. The pairs of softsign, whose poles z = 1 and
#: -1 beyond its kink make long series, are integrated every time.
OPEN = [
    pytest.param(a, marks=() if a.name in ("tanh", "elu", "hard_tanh") else pytest.mark.slow, id=a.name)
    for a in ACTIVATIONS
    if not a.jumps and a.name != "softsign" and not pair_map(ww.NNGPKernel(a).net, 4, ("K",)).closed
]


@pytest.mark.parametrize("activation", OPEN)
def test_tables_of_an_activation_serve_all_hyperparameters(activation, monkeypatch):
    """Averages without closed form are functions of two deviations and a correlation: a second C_W integrates nothing."""
    first = ww.NNGPKernel(activation, depth=2, C_W=2.0)
    assert first(X, eval_gradient=True)[1].shape == (12, 12, 2)
    moved = ww.NNGPKernel(activation, depth=2, C_W=2.2, C_b=0.11)
    slow = ww.kernel(moved.net, X, get="K")
    for module in (pairs, pairs.hermite):
        name = "gaussian_averages" if module is pairs else "_coefficients"
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("integrated anew"))
    np.testing.assert_allclose(moved(X), slow, rtol=1e-12, atol=1e-13 * slow.max())
    np.testing.assert_allclose(moved.diag(X), np.diag(slow), rtol=1e-12)


def test_tables_that_do_not_hold_are_not_used(monkeypatch):
    """The negative control: coefficients off by 1e-9 are seen beside quadrature, and every pair is integrated."""
    x = sp.Symbol("x")
    kernel = ww.NNGPKernel(sp.tanh(x) * sp.exp(-(x**2)), depth=2)
    made = pairs.hermite.CoefficientTable.__call__
    monkeypatch.setattr(pairs.hermite.CoefficientTable, "__call__", lambda *a: tuple(v * (1 + 1e-9) for v in made(*a)))
    np.testing.assert_array_equal(kernel(X), ww.kernel(kernel.net, X, get="K"))
    repeated._agrees.cache_clear()


def test_a_gaussian_process_learns_digits():
    """Ones against sevens: the log marginal likelihood rises, and the held-out images are told apart."""
    digits = load_digits()
    chosen = np.isin(digits.target, (1, 7))
    images, labels = digits.data[chosen] / 8, np.where(digits.target[chosen] == 1, 1.0, -1.0)
    network = ww.NNGPKernel("erf", depth=3, C_W=1.0, C_b=0.1, C_b_bounds="fixed")
    kernel = ConstantKernel(1.0, "fixed") * network + WhiteKernel(0.01, "fixed")
    process = GaussianProcessRegressor(kernel, random_state=0).fit(images[:60], labels[:60])
    start = process.log_marginal_likelihood(kernel.theta)
    assert process.log_marginal_likelihood(process.kernel_.theta) > start + 1
    mean, spread = process.predict(images[60:200], return_std=True)
    assert np.mean(np.sign(mean) == labels[60:200]) > 0.97
    assert (spread > 0).all()


def test_wrong_arguments():
    with pytest.raises(UnknownName, match="did you mean 'relu'"):
        ww.NNGPKernel("rellu")(X)
    with pytest.raises(ValueError, match="Y is None"):
        ww.NNGPKernel()(X, X, eval_gradient=True)
