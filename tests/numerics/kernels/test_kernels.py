"""Kernel matrices: against predict, against the recursions at 50 digits, and what wrong arguments answer."""

from __future__ import annotations

from functools import partial

import mpmath
import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.numerics.averages.chebyshev import Range
from widthwise.numerics.codegen.elementwise import compile_tile
from widthwise.numerics.kernels import composed
from widthwise.numerics.kernels.pairs import pair_map
from widthwise.numerics.kernels.tiles import EvaluationPlan, InputSide, evaluated, plan_for
from widthwise.theory.initialisation.derivation import recursions
from widthwise.theory.language.errors import InvalidArgument, InvalidInput, InvalidNetwork, NotConverged, NotIntegrable

RNG = np.random.default_rng(3)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _the_same_inputs_in_any_order_of_tests():
    RNG.bit_generator.state = START


Z = sp.Symbol("z", real=True)
CLOSED = ("relu", "leaky_relu", "abs", "linear", "erf", "gelu", "sin", "cos", "gaussian", "quadratic")
GIVEN = dict(C_W=(1.2, 0.7, 0.9, 0.5), lambda_W=(1, 2, 1, 0.5), lambda_b=(0.3, 0, 1, 0))


def inputs(m=9, n=5):
    """With an equal, a parallel and an antiparallel pair."""
    X = RNG.normal(size=(m, n))
    X[3], X[4], X[5] = X[0], 2 * X[0], -X[1]
    return X


@pytest.mark.parametrize("C_b", [0.0, 0.1])
@pytest.mark.parametrize("activation", [*CLOSED, "tanh"])
def test_kernels_are_the_predicted_ones(activation, C_b):
    X = inputs()
    net = ww.MLP(activation, depth=4, C_b=C_b, **GIVEN)
    found, expected = ww.kernel(net, X), ww.predict(net, X, ("K", "Theta"))
    for matrix, name in ((found.K, "K"), (found.Theta, "Theta")):
        truth = expected[name].values[-1]
        scale = np.sqrt(np.outer(np.diag(truth), np.diag(truth)))
        assert np.abs(matrix - truth).max() <= 1e-12 * scale.max(), name
        assert np.array_equal(matrix, matrix.T)
        assert np.linalg.eigvalsh(matrix).min() > -1e-12 * scale.max()


def test_an_activation_for_each_layer_and_two_sets_of_inputs():
    X, Y = inputs(), RNG.normal(size=(4, 5))
    Y[2] = X[6]
    net = ww.MLP(("relu", "erf", "tanh"), depth=4, C_b=0.1, **GIVEN)
    both = ww.predict(net, np.vstack([X, Y]), ("K", "Theta"))
    found = ww.kernel(net, X, Y)
    for matrix, name in ((found.K, "K"), (found.Theta, "Theta")):
        np.testing.assert_allclose(matrix, both[name].values[-1][:9, 9:], rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(ww.kernel(net, X, Y, "Theta"), found.Theta)
    np.testing.assert_allclose(ww.kernel(net, X, Y, "K"), found.K, rtol=1e-14)


def test_zero_inputs():
    """At z = 0 a kink has the slope of its case, in one tile with inputs that are not zero."""
    X = inputs()
    X[2] = 0
    for activation in ("relu", "erf"):
        net = ww.MLP(activation, depth=3, C_W=1.5, C_b=0, lambda_W=1, lambda_b=0.5)
        found, expected = ww.kernel(net, X), ww.predict(net, X, ("K", "Theta"))
        np.testing.assert_allclose(found.K, expected["K"].values[-1], atol=1e-12)
        np.testing.assert_allclose(found.Theta, expected["Theta"].values[-1], atol=1e-12)


def arc_cosine(x, y, depth, C_W, lambda_W):
    """ReLU without biases at 50 digits, by the arc-cosine formulas of Cho and Saul (2009)."""
    with mpmath.workdps(50):
        x, y = ([mpmath.mpf(float(v)) for v in z] for z in (x, y))
        dot = lambda u, v: mpmath.fsum(a * b for a, b in zip(u, v, strict=True)) / len(u)  # noqa: E731
        K, a, b = C_W * dot(x, y), C_W * dot(x, x), C_W * dot(y, y)
        Theta = lambda_W * dot(x, y)
        for _ in range(depth - 1):
            angle = mpmath.acos(min(max(K / mpmath.sqrt(a * b), -1), 1))
            average = (
                mpmath.sqrt(a * b) / (2 * mpmath.pi) * (mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle))
            )
            Theta = lambda_W * average + C_W * Theta * (mpmath.pi - angle) / (2 * mpmath.pi)
            K, a, b = C_W * average, C_W * a / 2, C_W * b / 2
        return float(K), float(Theta)


def through_layers(net, X):
    """K and Theta layer by layer, whatever the number of pairs."""
    exact = pair_map(net, X.shape[1], ("K", "Theta"))
    side = InputSide.of(X, exact)
    return evaluated(exact, side, side, None, EvaluationPlan(exact, exact, None))


def by_interpolant(net, X, sample=200):
    """K and Theta by the interpolant, whatever it costs; pairs beyond its range go through the layers."""
    exact = pair_map(net, X.shape[1], ("K", "Theta"))
    side = InputSide.of(X, exact)
    i, j = np.triu_indices(len(X), 1)
    cosine = np.clip((side.units @ side.units.T)[i, j], -1.0, 1.0)
    some = np.random.default_rng(0).permutation(len(i))[: sample if exact.closed else composed.QUADRATURE]
    at = side.squares[i[some]], side.squares[j[some]], cosine[some]
    found = composed.compose(exact, side.squares, Range(cosine.min(), cosine.max()), at)
    assert found is not None
    return evaluated(exact, side, side, None, EvaluationPlan(exact, exact.bulk, found))


@pytest.mark.parametrize("way", [through_layers, by_interpolant])
def test_relu_at_fifty_digits(way):
    X = RNG.normal(size=(30, 7))
    net = ww.MLP("relu", depth=6, C_W=2, C_b=0, lambda_W=1, lambda_b=0)
    found = way(net, X)
    for i, j in ((0, 1), (2, 17), (29, 5)):
        for matrix, exact in zip(found, arc_cosine(X[i], X[j], 6, 2, 1), strict=True):
            assert matrix[i, j] == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "sin"])
@pytest.mark.parametrize("equal", [False, True], ids=["any norms", "equal norms"])
def test_the_composed_map_agrees_with_the_layers(activation, equal):
    X = RNG.normal(size=(340, 20))
    X = X / np.linalg.norm(X, axis=1)[:, None] if equal else X
    net = ww.MLP(activation, depth=8, C_W=1.3, C_b=0.05, lambda_W=1, lambda_b=0.5)
    found = ww.kernel(net, X)
    for matrix, truth in zip(found, through_layers(net, X), strict=True):
        assert not np.array_equal(matrix, truth)  # the interpolant was used
        assert np.abs(matrix / truth - 1).max() < 2e-12
    assert np.array_equal(found.Theta, found.Theta.T)


def test_no_interpolant_is_better_than_a_wrong_one(monkeypatch):
    """Nearly parallel inputs of different norms lie beyond the range; and a map that disagrees with the recursions is refused."""
    squares = np.array([1.0, 1.5])
    exact = pair_map(ww.MLP("relu", depth=4, C_W=2, C_b=0.1, lambda_W=1, lambda_b=0), 3, ("K", "Theta"))
    sample = np.array([1.0]), np.array([1.5]), np.array([0.3])
    whole = composed.compose(exact, squares, Range(-1.0, 1.0), sample)
    assert whole is not None
    assert whole.cosines.high < 1
    part = composed.compose(exact, squares, Range(-0.5, 0.5), sample)
    assert -0.56 < part.cosines.low <= -0.5
    assert 0.5 <= part.cosines.high < 0.56
    assert composed.compose(exact, squares * 1.01, Range(-0.49, 0.51), sample) is part  # similar data share it
    composed._fitted.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(composed, "fit", partial(composed.fit, tail=1e-9))
        assert composed.compose(exact, squares, Range(-0.5, 0.5), sample) is None  # what is left out is too much
    composed._fitted.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(composed, "agrees", lambda *_, **__: False)
        assert composed.compose(exact, squares, Range(-0.5, 0.5), sample) is None


def test_numbers_do_not_depend_on_the_number_of_workers():
    X = RNG.normal(size=(150, 6))
    net = ww.MLP("erf", depth=3, C_W=2, C_b=0.1, lambda_W=1, lambda_b=0)
    for matrix, other in zip(ww.kernel(net, X, workers=1), ww.kernel(net, X, workers=3), strict=True):
        np.testing.assert_array_equal(matrix, other)


def test_a_network_of_one_layer():
    X = inputs()
    found = ww.kernel(ww.MLP("relu", depth=1, C_W=2, C_b=0.5, lambda_W=3, lambda_b=0.25), X)
    np.testing.assert_allclose(found.K, 0.5 + 2 * X @ X.T / 5, rtol=1e-13)
    np.testing.assert_allclose(found.Theta, 0.25 + 3 * X @ X.T / 5, rtol=1e-13, atol=1e-14)


def test_wrong_arguments():
    net = ww.MLP("relu", depth=3, C_W=2, C_b=0, lambda_W=1, lambda_b=0)
    with pytest.raises(InvalidArgument, match=r"get='nkt'; allowed: 'K', 'Theta'"):
        ww.kernel(net, np.eye(3), get="nkt")
    with pytest.raises(InvalidInput, match="X2 has 2 features and X1 has 3"):
        ww.kernel(net, np.eye(3), np.eye(2))
    with pytest.raises(InvalidInput, match="allowed"):
        ww.kernel(net, [[1.0, np.nan]])
    with pytest.raises(InvalidArgument, match="workers=0; allowed"):
        ww.kernel(net, np.eye(3), workers=0)
    with pytest.raises(InvalidArgument, match="unspecified"):
        ww.kernel(ww.MLP(depth=3, C_W=2, C_b=0, lambda_W=1, lambda_b=0), np.eye(3))
    with pytest.raises(InvalidNetwork, match="lambda_W=None"):
        ww.kernel(ww.MLP("relu", depth=3, C_W=2, C_b=0), np.eye(3))
    with pytest.raises(NotConverged, match="not finite"):
        ww.kernel(ww.MLP("exp", depth=6, C_W=3, C_b=1, lambda_W=1, lambda_b=0), 5 * np.eye(3))


@pytest.mark.parametrize("activation", ["tanh", "swish"])
def test_interpolated_averages_give_the_kernels_of_quadrature(activation):
    X = RNG.normal(size=(70, 20))
    net = ww.MLP(activation, depth=5, C_W=1.3, C_b=0.05, lambda_W=1, lambda_b=0.5)
    found = ww.kernel(net, X)
    for matrix, truth in zip(found, through_layers(net, X[:12]), strict=True):
        assert not np.array_equal(matrix[:12, :12], truth)  # the interpolant was used
        assert np.abs(matrix[:12, :12] / truth - 1).max() < 2e-12


@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
def test_parallel_inputs_in_a_large_matrix(activation):
    """They are not equal, and lie beyond the other cosines: the interpolant has to reach them, or to be refused."""
    X = RNG.normal(size=(330, 40))
    X[7] = 1.3 * X[5]
    net = ww.MLP(activation, depth=3, C_W=1.3, C_b=0.5, lambda_W=1, lambda_b=0.5)
    few = [5, 7, 200, 11]
    found, truth = ww.kernel(net, X), ww.predict(net, X[few], ("K", "Theta"))
    for matrix, name in zip(found, ("K", "Theta"), strict=True):
        np.testing.assert_allclose(matrix[np.ix_(few, few)], truth[name].values[-1], rtol=5e-12)


def test_nearly_orthogonal_inputs():
    """The cosines fill a small range, from which equal inputs are so far that a polynomial overflows."""
    X = RNG.normal(size=(330, 5000))
    net = ww.MLP("erf", depth=8, C_W=1.3, C_b=0.05, lambda_W=1, lambda_b=0.5)
    found, truth = ww.kernel(net, X), ww.predict(net, X[:3], ("K", "Theta"))
    np.testing.assert_allclose(found.K[:3, :3], truth["K"].values[-1], rtol=2e-12)
    np.testing.assert_allclose(found.Theta[:3, :3], truth["Theta"].values[-1], rtol=2e-12)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_zero_input_among_many(symmetric):
    X = RNG.normal(size=(330, 4))
    X[17] = 0
    net = ww.MLP("relu", depth=3, C_W=1.5, C_b=0, lambda_W=1, lambda_b=0.5)
    found = ww.kernel(net, X, None if symmetric else X[:40])
    truth = ww.predict(net, X[15:20], ("K", "Theta"))
    np.testing.assert_allclose(found.K[15:20, 15:20], truth["K"].values[-1], atol=1e-12)
    np.testing.assert_allclose(found.Theta[15:20, 15:20], truth["Theta"].values[-1], atol=1e-12)


def test_a_tile_of_what_depends_on_rows_alone():
    row, column = sp.symbols("row column", positive=True)
    K, c = sp.symbols("K c", real=True)
    tile = compile_tile([row + c, 2 * column, row * column - K], [row], [column], [K])
    a, b, matrix = np.array([[1.0], [2.0]]), np.array([[3.0, 4.0, 5.0]]), np.ones((2, 3))
    work = [np.empty((2, 3)) for _ in range(tile.buffers)]
    first, second, third = tile.run(a, b, matrix.copy(), work, c=0.5)
    np.testing.assert_array_equal(first, np.broadcast_to(a + 0.5, (2, 3)))
    np.testing.assert_array_equal(second, np.broadcast_to(2 * b, (2, 3)))
    np.testing.assert_array_equal(third, a * b - 1)


def compared(net, X, way=ww.kernel, pairs=12):
    """Largest differences from predict at a few inputs, relative to the roots of the diagonal."""
    found = way(net, X)
    few = np.linspace(0, len(X) - 1, pairs).astype(int)
    truth = ww.predict(net, X[few], ("K", "Theta"))
    worst = []
    for matrix, name in zip(found, ("K", "Theta"), strict=True):
        exact = truth[name].values[-1]
        assert np.array_equal(matrix, matrix.T)
        worst.append(np.abs(matrix[np.ix_(few, few)] - exact) / np.sqrt(np.outer(np.diag(exact), np.diag(exact))))
    return np.max(worst)


@pytest.mark.parametrize("activation", ["tanh", "erf"])
@pytest.mark.parametrize("C_b", [0.0, 0.05])
def test_a_wide_range_of_norms(activation, C_b):
    """Two orders of magnitude in |x|^2/n_0 are interpolated, relative to the natural scale of kernels; six go layer by layer."""
    net = ww.MLP(activation, depth=3, C_W=1.3, C_b=C_b, lambda_W=1, lambda_b=0.5)
    for low, high, way in ((-0.5, 0.5, by_interpolant), (-2, 1, ww.kernel)):
        X = RNG.normal(size=(330, 20))
        X *= (10 ** RNG.uniform(low, high, size=330) / np.sqrt((X**2).mean(axis=1)))[:, None]
        assert compared(net, X, way) < 1e-12


def test_kernels_that_pass_near_zero_are_interpolated():
    """Without biases K vanishes at orthogonal inputs: what counts is the scale of Cauchy and Schwarz."""
    net, X = ww.MLP("tanh", depth=5, C_W=1.3, C_b=0, lambda_W=1, lambda_b=0), RNG.normal(size=(330, 20))
    assert compared(net, X) < 1e-12
    exact = pair_map(net, 20, ("K", "Theta"))
    side = InputSide.of(X, exact)
    made = plan_for(exact, side, side, None).composed
    assert made is not None
    assert made.bound < 1e-12


@pytest.mark.parametrize(
    "activation", [sp.Min(sp.Max(Z, -1), 1), sp.Piecewise((sp.exp(Z) - 1, Z < 0), (Z, True))], ids=["hard_tanh", "elu"]
)
def test_kinked_activations_without_closed_forms(activation):
    """Some inputs are nearly parallel, with different norms: they go through the layers one by one."""
    X = RNG.normal(size=(200, 30))
    X[11] = 1.1 * X[0] + 0.01 * X[1]
    X[18] = -X[0] + 0.001 * X[2]
    net = ww.MLP(activation, depth=4, C_W=1.7, C_b=0.04, lambda_W=1, lambda_b=0.5)
    few = [0, 11, 18, 50, 199]
    found, truth = ww.kernel(net, X), ww.predict(net, X[few], ("K", "Theta"))
    for matrix, name in zip(found, ("K", "Theta"), strict=True):
        # a kernel may pass near zero: then the error is relative to its natural scale, here one
        np.testing.assert_allclose(matrix[np.ix_(few, few)], truth[name].values[-1], rtol=1e-11, atol=1e-13)


RESIDUAL = [0.8, (0.8, 0.0, -0.5), {(1, 3): 0.5, (2, 4): 1.0}]


@pytest.mark.parametrize("residual", RESIDUAL, ids=["every layer", "by layer", "over layers"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "erf"])
def test_residual_networks(activation, residual):
    X = inputs()
    net = ww.MLP(activation, depth=4, C_W=0.9, C_b=0.1, lambda_W=1, lambda_b=0.5, residual=residual)
    found, expected = ww.kernel(net, X), ww.predict(net, X, ("K", "Theta"))
    for matrix, name in zip(found, ("K", "Theta"), strict=True):
        np.testing.assert_allclose(matrix, expected[name].values[-1], rtol=1e-12, atol=1e-13)
        assert np.array_equal(matrix, matrix.T)


def test_a_residual_network_obeys_the_derived_recursion_of_a_layer_with_a_skip():
    """K' = C_b + C_W <ss> + gamma^2 K, from the map of one layer with its skip, which is exact for K and Theta."""
    X = inputs()
    net = ww.MLP("erf", depth=4, C_W=0.9, C_b=0.1, lambda_W=1, lambda_b=0.5, residual=0.8)
    step = ww.compile(recursions(ww.MLP("erf"), order=0, layer=ww.residual(0.8)))
    given = dict(C_W=0.9, C_b=0.1, lambda_W=1, lambda_b=0.5)
    state = step.first_layer(X, **given)
    for _ in range(3):
        state = step(state, **given)
    for matrix, name in zip(ww.kernel(net, X), ("K", "Theta"), strict=True):
        np.testing.assert_allclose(matrix, state[name], rtol=1e-12, atol=1e-13)


def test_a_large_matrix_of_a_residual_network():
    X = RNG.normal(size=(340, 20))
    net = ww.MLP("relu", depth=6, C_W=0.7, C_b=0.05, lambda_W=1, lambda_b=0.5, residual=0.8)
    found = ww.kernel(net, X)
    for matrix, truth in zip(found, through_layers(net, X), strict=True):
        assert not np.array_equal(matrix, truth)
        np.testing.assert_allclose(matrix, truth, rtol=2e-12)


@pytest.mark.parametrize("activation", ["tanh", "hard_tanh", "sign"])
def test_a_zero_input_with_biases(activation):
    """log |x|^2 does not exist, and the kernel does: such inputs take no part in an interpolant."""
    X = np.random.default_rng(3).normal(size=(150, 6))
    X[2] = 0
    names, get = (("K",), ("K",)) if activation == "sign" else (("K", "Theta"), ("K", "Theta"))
    net = ww.MLP(activation, depth=3, C_W=1.2, C_b=0.1, lambda_W=1, lambda_b=0.1)
    expected = ww.predict(net, X[:4], names)
    for found, name in zip(ww.kernel(net, X, get=get), names, strict=True):
        np.testing.assert_allclose(found[:4, :4], expected[name].values[-1], rtol=1e-11, atol=1e-13)


def test_an_activation_that_jumps_has_a_kernel_and_no_tangent_kernel():
    """sign: K' = 2/pi asin(rho), with inputs that are equal, opposite and parallel."""
    X = np.random.default_rng(4).normal(size=(5, 3))
    X[1], X[2], X[3] = X[0], -X[0], 2 * X[0]
    net = ww.MLP("sign", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    (found,) = ww.kernel(net, X, get=("K",))
    rho = X @ X.T / np.outer(*[np.linalg.norm(X, axis=1)] * 2)
    for _ in range(2):
        rho = 2 / np.pi * np.arcsin(np.clip(np.where(np.abs(rho) > 1 - 1e-15, np.sign(rho), rho), -1, 1))
    np.testing.assert_allclose(found, rho, atol=1e-7)  # arcsines at the edge take half of the digits of the cosine
    np.testing.assert_allclose(found[4], rho[4], atol=1e-14)
    with pytest.raises(NotIntegrable, match="jumps at z=0"):
        ww.kernel(net, X)
