"""Drawn weights: orthonormal where they must be, and with the exact second and fourth moments of their ensemble."""

from __future__ import annotations

import math

import haarpy
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from widthwise.theory.language.errors import NotAvailable
from widthwise.theory.networks.architecture import MLP
from widthwise.theory.networks.ensembles import TRUNCATION, WEIGHTS, Ensemble, ensemble, independent, weingarten
from widthwise.validation.initialisation.simulate import simulate
from widthwise.validation.initialisation.validate import validate
from widthwise.validation.literal.ensembles import sampler
from widthwise.validation.literal.networks import LiteralNetworks

FALSE_ALARM = 1e-4
X = np.array([[1.0, 0.3, -0.5], [-0.4, 0.9, 0.1]])
KINDS = [*map(ensemble, WEIGHTS), independent(-1.5), independent(0), independent(3)]


def drawn(kind: Ensemble, networks: int, n_out: int, n_in: int, seed: int = 0) -> np.ndarray:
    W = np.full((networks, n_out, n_in), np.nan)
    sampler(kind)(np.random.default_rng(seed), W)
    return W


def agrees(samples: np.ndarray, exact: float, comparisons: int) -> bool:
    """The mean of independent samples in standard errors; Bonferroni over the comparisons."""
    error = samples.std(ddof=1) / math.sqrt(len(samples))
    return bool(abs(samples.mean() - exact) <= stats.norm.isf(FALSE_ALARM / 2 / comparisons) * error + 1e-12)


@pytest.mark.parametrize("shape", [(5, 5), (3, 6), (6, 3), (1, 4), (4, 1), (1, 1)])
def test_orthogonal_weights_have_orthonormal_rows_or_columns(shape):
    """W W^T = N for n_out <= n_in, W^T W = N otherwise, N = max(n_out, n_in): each entry has variance one."""
    n_out, n_in = shape
    for W in drawn(ensemble("orthogonal"), 20, n_out, n_in):
        gram = W @ W.T if n_out <= n_in else W.T @ W
        assert_allclose(gram, max(shape) * np.eye(min(shape)), atol=1e-13 * max(shape))


#: Entries (row, column) of four weights, one monomial for each pattern of equal rows and columns.
MONOMIALS = [
    ((0, 0), (0, 0), (0, 0), (0, 0)),
    ((0, 0), (0, 0), (0, 1), (0, 1)),
    ((0, 0), (0, 0), (1, 0), (1, 0)),
    ((0, 0), (0, 0), (1, 1), (1, 1)),
    ((0, 0), (0, 1), (1, 0), (1, 1)),
    ((0, 0), (0, 1), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_orthogonal_weights_have_the_moments_of_the_haar_measure(shape):
    """E[W^2] and E[WWWW] against exact integrals over O(N) from an independent package, in standard errors."""
    N, W = max(shape), drawn(ensemble("orthogonal"), 40_000, *shape)
    assert agrees((W[:, 0, 0] ** 2), 1.0, 3 * 7)
    for monomial in MONOMIALS:
        rows, columns = zip(*monomial, strict=True)
        exact = N**2 * float(haarpy.haar_integral_orthogonal((rows, columns), N))
        samples = np.prod([W[:, r, c] for r, c in monomial], axis=0)
        assert agrees(samples, exact, 3 * 7), (monomial, samples.mean(), exact)


def test_the_moments_tell_orthogonal_from_gaussian():
    """Negative control: without the correlation of entries, the fourth moments are Wick's, and fail."""
    W = drawn(ensemble("orthogonal"), 40_000, 4, 4)
    assert not agrees(W[:, 0, 0] ** 4, 3.0, 1)
    assert not agrees(W[:, 0, 0] * W[:, 0, 1] * W[:, 1, 0] * W[:, 1, 1], 0.0, 1)


def test_signs_of_rows_are_those_of_the_haar_measure():
    """Without the signs of R's diagonal the first column of Q would point to one side."""
    W = drawn(ensemble("orthogonal"), 20_000, 4, 4)
    for index in np.ndindex(4, 4):
        assert agrees(W[(slice(None), *index)], 0.0, 16)


def test_the_weingarten_matrix_of_the_theory_is_that_of_the_drawn_weights():
    """The crossed cumulant of theory, exact at N = 5: rows paired (01)(23), columns (02)(13)."""
    W = drawn(ensemble("orthogonal"), 40_000, 5, 5)
    crossed = W[:, 0, 0] * W[:, 0, 1] * W[:, 1, 0] * W[:, 1, 1]
    (dimension,) = weingarten(4).free_symbols
    assert agrees(crossed, 5**2 * float(weingarten(4)[0, 1].subs(dimension, 5)), 1)


@pytest.mark.parametrize("kind", [k for k in KINDS if k.crossed == 0], ids=str)
def test_independent_entries_have_their_kurtosis(kind):
    W = drawn(kind, 60_000, 2, 3).reshape(-1)
    assert np.isfinite(W).all()
    for power, exact in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3 + float(kind.excess))):
        assert agrees(W**power, exact, 4 * len(KINDS)), power
    entries = drawn(kind, 60_000, 2, 3, seed=1)
    assert agrees(entries[:, 0, 0] * entries[:, 1, 2], 0.0, 4 * len(KINDS))
    assert agrees(entries[:, 0, 0] ** 2 * entries[:, 0, 1] ** 2, 1.0, 4 * len(KINDS))


def test_values_are_those_of_the_definitions():
    assert set(np.unique(drawn(ensemble("rademacher"), 50, 3, 3))) == {-1.0, 1.0}
    assert np.abs(drawn(ensemble("uniform"), 500, 3, 3)).max() <= math.sqrt(3)
    cut = np.abs(drawn(ensemble("truncated_normal"), 5000, 3, 3)).max()
    deviation = math.sqrt(stats.truncnorm(-TRUNCATION, TRUNCATION).var())
    assert TRUNCATION - 0.01 < cut * deviation <= TRUNCATION
    assert_allclose(np.unique(drawn(independent(1), 50, 3, 3)), [-2, 0, 2])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_networks_hold_the_drawn_weights_at_scale(kind):
    """The variance C_W / n_in of every layer, biases beside them, and the same numbers for the same seed."""
    net = MLP(
        "linear", depth=2, width=4, output_width=2, C_W=(1.5, 0.5), C_b=(0.3, 0.0), lambda_W=1, lambda_b=1, weights=kind
    )
    nets = LiteralNetworks(net, X, 3000, 0)
    nets.forward(np.random.default_rng(3))
    K = 0.3 + 0.5 * X @ X.T
    for a, b in ((0, 0), (0, 1), (1, 1)):
        assert agrees(nets.z[0][a, :, 0] * nets.z[0][b, :, 0], K[a, b], 6 * len(KINDS))
        assert agrees(nets.z[1][a, :, 0] * nets.z[1][b, :, 0], 0.5 * K[a, b], 6 * len(KINDS))
    again = LiteralNetworks(net, X, 3000, 0)
    again.forward(np.random.default_rng(3))
    assert_array_equal(again.z[1], nets.z[1])


def test_each_layer_has_its_own_ensemble():
    net = MLP(
        "tanh",
        depth=3,
        width=4,
        C_W=1,
        C_b=0.1,
        lambda_W=1,
        lambda_b=1,
        weights=("gaussian", "orthogonal", "rademacher"),
    )
    nets = LiteralNetworks(net, X, 5, 2)
    nets.forward(np.random.default_rng(0))
    assert_allclose(nets.W[1] @ nets.W[1].transpose(0, 2, 1), np.broadcast_to(4 * np.eye(4), (5, 4, 4)), atol=1e-12)
    assert set(np.unique(nets.W[2])) == {-1.0, 1.0}
    assert len(np.unique(nets.W[0])) == nets.W[0].size
    assert simulate(net, X, networks=4).attrs["weights"] == "(gaussian, orthogonal, rademacher)"


def test_square_orthogonal_first_layer_conserves_the_norm():
    """sum_i z_i^2 = C_W |x|^2 exactly: V of layer 1 is -2 K^2 n / (n + 2) at finite width."""
    net = MLP("linear", depth=1, output_width=3, C_W=1, C_b=0, lambda_W=1, lambda_b=1, weights="orthogonal")
    nets = LiteralNetworks(net, X, 10, 0)
    nets.forward(np.random.default_rng(0))
    assert_allclose((nets.z[0] ** 2).sum(axis=-1), np.broadcast_to((X**2).sum(axis=1)[:, None], (2, 10)), rtol=1e-12)
    ds, K = simulate(net, X, networks=4000, quantities="V", seed=2), X[0] @ X[0] / 3
    assert_allclose(ds.V[0, 0, 0, 0, 0], -2 * K**2 * 3 / 5, atol=4 * ds.V_stderr[0, 0, 0, 0, 0].item())


def test_what_is_known_by_its_cumulants_alone_cannot_be_drawn():
    unknown = Ensemble("wishart", crossed=ensemble("orthogonal").crossed / 2)
    with pytest.raises(NotAvailable, match=r"weights=wishart cannot be drawn.*allowed: gaussian, orthogonal"):
        simulate(MLP("tanh", depth=2, width=4, C_W=1, C_b=0, lambda_W=1, lambda_b=1, weights=unknown), X, networks=4)


def test_errors_of_a_first_layer_that_is_not_gaussian_are_those_of_its_scatter():
    """Its tensors are referred to the first width, values and errors alike: sigmas scatter by one (false alarm 1e-4)."""
    net = MLP("gelu", depth=2, C_W=2, C_b=0.2, lambda_W=1, lambda_b=0, weights="orthogonal")
    found = []
    for seed in range(40):
        arguments = dict(widths=(16, 32, 64), networks=300, seed=10 * seed, quantities=("V",))
        table = validate(net, np.ones((1, 8)), **arguments).table
        found.append(float(table[table["layer"] == 1]["sigmas"].iloc[0]))
    low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], 40)
    assert low < np.sum(np.square(found)) < high
