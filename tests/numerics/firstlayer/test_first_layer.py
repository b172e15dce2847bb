"""First layers that are not Gaussian: kernels and tensors above them, by every route, against sums and integrals done by hand."""

from __future__ import annotations

from itertools import pairwise, product

import mpmath
import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.numerics.firstlayer.corrected import correction
from widthwise.numerics.firstlayer.law import first_layer
from widthwise.theory.language.errors import ExpansionWarning, NotAvailable
from widthwise.theory.networks.ensembles import WEIGHTS, Ensemble, ensemble
from widthwise.theory.networks.entries import Values
from widthwise.validation.literal.ensembles import sampler

ONE = dict(C_W=1, C_b=0, lambda_W=1, lambda_b=0)
BIASED = dict(C_W=1.3, C_b=0.2, lambda_W=0.7, lambda_b=0.4)
TWO = np.array([[1.0, 0.2], [-0.3, 0.8]])
INDEPENDENT = [ensemble(w) for w in WEIGHTS if ensemble(w).entry is not None] + [ww.independent(1), ww.independent(-1)]


def signs(activation, x, C_W=1.0):
    """<sigma^2> of one input over all signs of its weights."""
    x = np.asarray(x)
    z = [np.sqrt(C_W / len(x)) * np.dot(w, x) for w in product((-1, 1), repeat=len(x))]
    return float(np.mean(activation(np.array(z)) ** 2))


@pytest.mark.quick
def test_the_kernel_of_signs_is_the_average_over_signs():
    """Four values of z: 0.369423, where a Gaussian would have 0.280076."""
    net = ww.MLP("tanh", depth=2, weights="rademacher", **ONE)
    assert signs(np.tanh, TWO[0]) == pytest.approx(0.369423, abs=1e-6)
    assert ww.kernel(net, TWO[:1], get="K")[0, 0] == pytest.approx(signs(np.tanh, TWO[0]), rel=1e-14)
    assert ww.kernel(net.with_(weights="gaussian"), TWO[:1], get="K")[0, 0] == pytest.approx(0.280076, abs=1e-6)


def test_the_kernel_of_uniform_weights_is_the_average_over_an_interval():
    """One feature: <sin(2 w)^2> = (1 - sin(4 a)/(4 a))/2 for w uniform between -a and a, a = sqrt(3)."""
    net = ww.MLP("sin(2)", depth=2, weights="uniform", **ONE)
    a = np.sqrt(3)
    exact = (1 - np.sin(4 * a) / (4 * a)) / 2
    assert exact == pytest.approx(0.456611, abs=1e-6)
    assert ww.kernel(net, [[1.0]], get="K")[0, 0] == pytest.approx(exact, rel=1e-13)


def test_kinked_activations_are_split_at_their_kinks():
    """<relu relu> and <relu' relu'> of two inputs and two uniform weights: integrals over the polygon where both are positive."""
    K, Theta = ww.kernel(ww.MLP("relu", depth=2, weights="uniform", **ONE), TWO)
    rows, polygon = TWO / np.sqrt(2), [np.array(c) * np.sqrt(3) for c in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    for row in rows:  # cut away where it is negative
        kept = []
        for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            kept += [p] if row @ p > 0 else []
            kept += [p + (q - p) * (row @ p) / (row @ (p - q))] if (row @ p > 0) != (row @ q > 0) else []
        polygon = kept
    both = slopes = 0.0
    for q, r in pairwise(polygon[1:]):
        area = abs(np.linalg.det(np.array([q - polygon[0], r - polygon[0]]))) / 2 / 12
        middles = [(polygon[0] + q) / 2, (polygon[0] + r) / 2, (q + r) / 2]  # exact for quadratic functions
        both, slopes = both + area * np.mean([np.prod(rows @ m) for m in middles]), slopes + area
    assert K[0, 1] == pytest.approx(both, rel=1e-12)
    assert Theta[0, 1] == pytest.approx(both + slopes * TWO[0] @ TWO[1] / 2, rel=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("weights", INDEPENDENT, ids=str)
def test_averages_are_those_of_drawn_weights_with_gaussian_biases(weights, activation):
    """K of two inputs and a bias, for every ensemble, in standard errors (false alarm 1e-4 each); a Gaussian is far off."""
    net = ww.MLP(activation, depth=2, weights=weights, **BIASED)
    W = np.empty((1, 150_000, 2))
    rng = np.random.default_rng(0)
    sampler(weights)(rng, W)
    z = np.sqrt(1.3 / 2) * W[0] @ TWO.T + np.sqrt(0.2) * rng.standard_normal((150_000, 1))
    values = np.tanh(z) if activation == "tanh" else np.maximum(z, 0)
    K = ww.kernel(net, TWO, get="K")
    for a, b in ((0, 0), (0, 1), (1, 1)):
        sample = 0.2 + 1.3 * values[:, a] * values[:, b]
        assert abs(sample.mean() - K[a, b]) < 4.1 * sample.std() / np.sqrt(len(sample))
    assert_allclose(ww.predict(net, TWO, "K").K[1], K, rtol=1e-12)
    if weights.name == "rademacher" and activation == "tanh":
        gaussian = ww.kernel(net.with_(weights="gaussian"), TWO, get="K")
        assert abs((0.2 + 1.3 * values[:, 0] ** 2).mean() - gaussian[0, 0]) > 50 * sample.std() / np.sqrt(len(sample))


def test_every_route_has_the_same_first_layer():
    """Deep networks, equal inputs among them: predict, kernel, blocks, scikit-learn and gradient flow."""
    net = ww.MLP("erf", depth=4, weights=("uniform", "gaussian", "rademacher", "uniform"), **BIASED)
    X = np.vstack([TWO, TWO[:1], [[0.0, 0.0]]])
    K, Theta = ww.kernel(net, X)
    found = ww.predict(net, X, ("K", "Theta"))
    assert_allclose(found.K[-1], K, rtol=1e-13)
    assert_allclose(found.Theta[-1], Theta, rtol=1e-13)
    assert_allclose(ww.kernel(net, X[:1], X, get="Theta")[0], Theta[0], rtol=1e-14)
    assert K[0, 2] == K[0, 0]
    blocks = ww.dask_kernel(net, X, chunks=2)
    assert_allclose(blocks.K.compute(), K, rtol=1e-13)
    for kind, matrix in ((ww.NNGPKernel, K), (ww.NTKKernel, Theta)):
        rates = {} if kind is ww.NNGPKernel else {"lambda_W": 0.7, "lambda_b": 0.4}
        mine = kind("erf", depth=4, C_W=1.3, C_b=0.2, weights="uniform", **rates)
        assert_allclose(mine(X), matrix, rtol=1e-13)
        assert_allclose(mine.diag(X), np.diag(matrix), rtol=1e-13)
    flow = ww.gradient_flow(net, TWO, [1.0, -1.0], X[:1], times=0.0)
    assert_allclose(flow.covariance.squeeze(), K[0, 0], rtol=1e-12)


def test_one_hot_inputs_share_no_weight():
    """Without a bias, <sigma_1 sigma_2> = <sigma><sigma>; of signs <sigma(sign a)> is the half of two values."""
    net = ww.MLP("gelu", depth=2, weights="rademacher", **ONE)
    phi = lambda u: float(u * (1 + mpmath.erf(u / mpmath.sqrt(2))) / 2)  # noqa: E731
    at = 1 / np.sqrt(50)
    mean, square = (phi(at) + phi(-at)) / 2, (phi(at) ** 2 + phi(-at) ** 2) / 2
    K = ww.kernel(net, np.eye(50), get="K")
    assert_allclose(K, np.where(np.eye(50) > 0, square, mean**2), rtol=1e-12)


def test_features_in_units_have_few_sums():
    """64 equal features of signs: a binomial; many more combinations than could be gone through."""
    x = np.ones((1, 64))
    net = ww.MLP("tanh", depth=2, weights="rademacher", **ONE)
    k = np.arange(65)
    p = [float(sp.binomial(64, int(i)) / sp.Integer(2) ** 64) for i in k]
    assert ww.kernel(net, x, get="K")[0, 0] == pytest.approx(np.dot(p, np.tanh((2 * k - 64) / 8) ** 2), rel=1e-13)


def test_the_tensors_of_the_second_layer_are_moments_of_the_first():
    """V, F and X4 of one input, from the values that z takes; nothing is left for K1 and Theta1."""
    net = ww.MLP("tanh", depth=3, weights="rademacher", **ONE)
    found = ww.predict(net, TWO[:1]).isel(layer=1)
    z = np.array([np.dot(w, TWO[0]) / np.sqrt(2) for w in product((-1, 1), repeat=2)])
    s, slope, Theta = np.tanh(z), 1 - np.tanh(z) ** 2, TWO[0] @ TWO[0] / 2
    assert_allclose(found.V, np.var(s**2), rtol=1e-13)
    assert_allclose(found.F, Theta * np.mean(s**2 * slope**2), rtol=1e-13)
    assert_allclose(found.X4, -2 * np.mean(s**4), rtol=1e-13)
    assert_allclose(found.K1, 0, atol=1e-15)
    assert_allclose(found.Theta1, 0, atol=1e-15)


def test_several_inputs_by_pairs_are_those_of_all_together():
    """Tables are made for as many inputs as meet in an average, or for all at once."""
    net = ww.MLP("sin", depth=2, weights="uniform", **ONE)
    X = np.array([[1.0, 0, 0, 0, 0.2], [0, 0.5, 0, 0, 0], [0, 0, -0.7, 0, 0], [0, 0, 0, 0.9, 0]])
    assert not first_layer(net, X).everything
    assert first_layer(net, X).few(2)
    found = ww.predict(net, X, ("K", "Theta"))
    assert_allclose(found.K[1, :2, :2], ww.predict(net, X[:2], "K").K[1], rtol=1e-13)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_many_features_have_the_first_order_and_a_warning(activation):
    """Against the exact average over signs the correction gains at least a factor of 3 at 16 features."""
    net = ww.MLP(activation, depth=2, weights="rademacher", **ONE)
    X = np.random.default_rng(3).normal(size=(2, 16))
    first, every = first_layer(net, X), np.arange(2)
    exact, plain = ww.kernel(net, X), ww.kernel(net.with_(weights="gaussian"), X)
    Theta = np.einsum("ai,ai->a", X, X) / 16
    for name in ("K", "Theta"):
        gained = correction(first, net.activation, name, every, every, Theta, ONE)
        off = np.diag(getattr(plain, name) - getattr(exact, name))
        if activation == "tanh":
            assert (np.abs(off + gained) < np.abs(off) / 3).all()
    uniform = net.with_(weights="uniform")
    with pytest.warns(ExpansionWarning, match=r"excess kurtosis 0\.\d+, that is kappa_4 sum x\^4/\(sum x\^2\)\^2"):
        K = ww.kernel(uniform, X)
    with pytest.warns(ExpansionWarning, match="excess kurtosis"):
        found = ww.predict(uniform, X)
    assert_allclose(found.K[1], K.K, rtol=1e-12)
    assert_allclose(found.Theta[1], K.Theta, rtol=1e-12)
    assert_allclose(found.K1[1], 0, atol=1e-15)


def test_skips_from_a_first_layer_that_is_not_gaussian_are_told():
    net = ww.MLP("tanh", depth=3, weights="rademacher", residual=0.5, **ONE)
    with pytest.warns(ExpansionWarning, match="residual= take it for Gaussian"):
        ww.kernel(net, TWO)
    with pytest.warns(ExpansionWarning, match="residual= take it for Gaussian"):
        ww.predict(net, TWO, "K")


def test_delta_functions_of_kinks_have_no_average_over_values():
    """relu, Q of one input needs no delta; Y of leaky slopes at two inputs is refused as before."""
    net = ww.MLP("relu", depth=3, weights="rademacher", **ONE)
    assert float(ww.predict(net, TWO[:1], "Q").Q[1].item()) > 0
    with pytest.raises(NotAvailable, match="not a function"):
        ww.predict(net, TWO[:1], "R")


@pytest.mark.parametrize("weights", INDEPENDENT, ids=str)
def test_laws_of_entries_are_those_of_the_draws(weights):
    """The sixth and the eighth moment, in standard errors: false alarm 1e-4 each."""
    W = np.empty((1, 1000, 1000))
    sampler(weights)(np.random.default_rng(5), W)
    for power in (6, 8):
        sample = W.ravel() ** power
        error = sample.std() / np.sqrt(sample.size)
        assert abs(sample.mean() - float(weights.entry.moment(power))) < 4.2 * error + 1e-12


def test_generated_code_says_that_it_knows_cumulants_alone():
    net = ww.MLP("tanh", depth=2, weights="rademacher", **ONE)
    code = ww.compile(
        ww.derive(net, samples=1).restrict(("K", "Theta", "V", "K1", "Theta1", "X4", "Y4", "D", "F", "A", "B"))
    )
    with pytest.warns(ExpansionWarning, match="kappa_4=-2: .* excess kurtosis 1.9"):
        code.recursion(TWO[:1], 2)
    assert "a correction of" in " ".join(code.source.split())


def test_wrong_laws_are_refused():
    half = sp.Rational(1, 2)
    with pytest.raises(
        ww.errors.InvalidArgument, match=r"moment 4 of order 2; allowed: symmetric distributions of variance 1"
    ):
        Values((-2, 2), (half, half))
    with pytest.raises(ww.errors.InvalidArgument, match=r"excess=1 of weights=mine; allowed: -2"):
        Ensemble("mine", excess=sp.Integer(1), entries=Values((-sp.S.One, sp.S.One), (half, half)))
