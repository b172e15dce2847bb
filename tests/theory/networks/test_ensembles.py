"""Weight ensembles: their fourth cumulants, and what they answer to wrong arguments."""

from __future__ import annotations

from itertools import product

import haarpy
import mpmath
import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, NotAvailable, UnknownName
from widthwise.theory.networks.ensembles import WEIGHTS, N, ensemble, pairings, weingarten


def test_weingarten_matrix_gives_the_moments_of_haarpy():
    """E[O_11^4] = 3/(N(N+2)), and mixed moments of rows and columns, against an independent implementation."""
    d = sp.Symbol("d")
    for rows, columns in (
        ((1, 1, 1, 1),) * 2,
        ((1, 1, 2, 2), (1, 1, 2, 2)),
        ((1, 1, 2, 2), (1, 2, 1, 2)),
        ((1, 1), (1, 1)),
    ):
        Wg, every = weingarten(len(rows)), pairings(len(rows))
        delta = [[all(x[i] == x[j] for i, j in p) for p in every] for x in (rows, columns)]
        mine = sum(Wg[a, b] for a, b in product(range(len(every)), repeat=2) if delta[0][a] and delta[1][b])
        theirs = haarpy.haar_integral_orthogonal((rows, columns), d)
        assert sp.simplify(mine.subs(N, d) - sp.sympify(theirs).subs(sp.Symbol("d"), d)) == 0


def test_sixth_order_weingarten_matrix_is_that_of_orthonormal_columns():
    """Contracting one pair of columns gives the moments of fourth order: sum_j O_1j O_1j = 1."""
    every, Wg6, Wg4 = pairings(6), weingarten(6), weingarten(4)
    rows = (1, 1, 2, 2, 3, 3)
    total = sp.Integer(0)
    for a, p in enumerate(every):
        if all(rows[i] == rows[j] for i, j in p):
            for b, q in enumerate(every):
                # columns 0 and 1 are summed: N where q joins them, else one
                rest = [N if (0, 1) in q else sp.Integer(1)]
                columns = {2: 1, 3: 1, 4: 2, 5: 2}
                joined = [(i, j) for i, j in q if not {i, j} & {0, 1}]
                loose = [k for i, j in q if {i, j} & {0, 1} and (i, j) != (0, 1) for k in (i, j) if k > 1]
                ends = [*joined, *([tuple(loose)] if loose else [])]
                if all(columns[i] == columns[j] for i, j in ends):
                    total += Wg6[a, b] * sp.Mul(*rest)
    assert sp.simplify(total - Wg4[0, 0]) == 0  # E[O_21 O_21 O_32 O_32] with different rows and columns


def test_excess_kurtoses():
    density = lambda x: mpmath.exp(-(x**2) / 2)  # noqa: E731
    m0, m2, m4 = (mpmath.quad(lambda x, k=k: x**k * density(x), [-2, 2]) for k in (0, 2, 4))
    assert float(ensemble("truncated_normal").excess) == pytest.approx(float(m4 * m0 / m2**2 - 3), rel=1e-14)
    assert ensemble("uniform").excess == sp.Rational(-6, 5)
    assert ensemble("rademacher").excess == -2
    assert ensemble("gaussian").gaussian
    assert ensemble("orthogonal").crossed == -1


def test_rectangular_orthogonal_matrices():
    """Orthonormal rows keep norms; orthonormal columns are thinned out by n/N."""
    assert ensemble("orthogonal").tau(10, 5) == 1.0
    assert ensemble("orthogonal").tau(10, 40) == 0.25


def test_first_square_orthogonal_layer_has_a_vertex():
    """V^(1) = -2 K^2 for n_0 = n, and the linear network keeps it at every depth; its NTK does not fluctuate."""
    net = ww.MLP("linear", depth=4, C_W=1, C_b=0, lambda_W=1, lambda_b=0, weights="orthogonal")
    data = ww.predict(net, [[1.0, 0.5, -0.5]])
    K = data["K"].values.ravel()
    np.testing.assert_allclose(data["V"].values.ravel(), -2 * K**2, rtol=1e-14)
    for q in "FB":
        np.testing.assert_allclose(data[q].values, 0, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weights": "orthogonl"}, UnknownName, "did you mean 'orthogonal'"),
        ({"weights": 3}, InvalidArgument, "weights=3; allowed"),
        ({"weights": ["gaussian"], "depth": 3}, InvalidArgument, "has 1 entries, but depth=3"),
        ({"residual": 1.5, "depth": 3}, ww.errors.InvalidNetwork, "allowed: reals from -1 to 1"),
        ({"residual": [0.5], "depth": 3}, ww.errors.InvalidNetwork, "has 1 entries, but depth=3"),
        ({"residual": {(2, 1): 0.5}, "depth": 3}, ww.errors.InvalidNetwork, "1 <= k < l <= depth=3"),
        ({"residual": {(1, 3): 0.5}, "depth": 3, "width": (4, 5)}, ww.errors.InvalidNetwork, "allowed: equal widths"),
        ({"activation": ["tanh"], "depth": 3}, InvalidArgument, "one for each hidden layer"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ww.MLP(**arguments)


def test_impossible_kurtosis():
    with pytest.raises(InvalidArgument, match="no distribution has less than -2"):
        ww.independent(-3)
    with pytest.raises(InvalidArgument, match="excess_kurtosis='a'"):
        ww.independent("a")
    assert set(WEIGHTS) >= {"gaussian", "orthogonal", "uniform", "rademacher", "truncated_normal"}


def test_kinks_say_which_derivative_is_not_a_function():
    relu = ww.MLP("relu", depth=3, C_W=2, C_b=0, lambda_W=1, lambda_b=0)
    with pytest.raises(
        NotAvailable, match=r"the derivative of order 1 jumps at a kink .* still available: K, Theta, V"
    ):
        ww.predict(relu, [[1.0, 2.0]], "R")
    with pytest.raises(NotAvailable, match="at several inputs"):
        ww.predict(relu, [[1.0, 2.0], [0.5, 1.0]], "P")
    # P of one input: <sigma sigma''> and <sigma sigma'' sigma'^2> vanish, the kink being at sigma = 0
    np.testing.assert_allclose(ww.predict(relu, [[1.0, 2.0]], "P")["P"].values, 0, atol=1e-12)


def test_skips_over_layers_have_no_map_of_one_layer():
    net = ww.MLP("tanh", depth=4, residual={(1, 3): 0.5})
    with pytest.raises(NotAvailable, match="skips over layers"):
        _ = net.layer_map
    assert "V" in ww.derive(net, "V")
    with pytest.raises(NotAvailable, match="corrections to means"):
        ww.derive(ww.MLP("tanh", depth=3, residual=0.5), "K1")
