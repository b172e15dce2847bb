"""What the strategies promise: every draw is valid, and the awkward cases do come."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import find, given, settings
from hypothesis import strategies as st

from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS
from widthwise.theory.networks.architecture import HYPERPARAMETERS, MLP
from widthwise.validation.strategies import KINDS, activations, hyperparameters, inputs, networks

quick = settings(max_examples=200, database=None)


@pytest.mark.parametrize("smooth", [True, False])
@given(data=st.data())
def test_activations_are_smooth_when_asked_to_be(smooth, data):
    assert data.draw(activations(smooth)).smooth is smooth


@given(a=activations())
def test_activations_grow_at_most_linearly(a):
    assert a.expr.free_symbols == {z}
    for x in (-1e6, -1e4, 1e4, 1e6):
        assert abs(sp.N(a.expr.subs(z, x))) <= 20 * (1 + abs(x))


def test_registered_activations_can_be_all_there_is():
    drawn = set()
    find(activations(random=False), lambda a: drawn.add(a) or len(drawn) >= 12, settings=quick)
    assert drawn <= set(ACTIVATIONS)
    names = {a.name for a in drawn}
    assert {"relu", "tanh"} & names
    assert not {"exp", "cubic", "quadratic"} & names


@given(data=st.data(), depth=st.integers(1, 5))
def test_hyperparameters_fit_the_network(data, depth):
    values = data.draw(hyperparameters(depth))
    assert set(values) == set(HYPERPARAMETERS)
    net = MLP("tanh", depth=depth, **values)
    for name in HYPERPARAMETERS:
        assert len(net.per_layer(name)) == depth
        assert min(net.per_layer(name)) >= (0.25 if name == "C_W" else 0)
        assert max(net.per_layer(name)) <= 2


@pytest.mark.parametrize(
    "wanted",
    [
        lambda v: v["lambda_W"] == 0.0,
        lambda v: isinstance(v["lambda_b"], tuple) and min(v["lambda_b"]) == 0 < max(v["lambda_b"]),
        lambda v: v["C_b"] == 0.0 and isinstance(v["C_W"], tuple),
    ],
    ids=["frozen weights", "some layers frozen", "no biases"],
)
def test_awkward_hyperparameters_come(wanted):
    find(hyperparameters(3), wanted, settings=quick)


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


@given(X=inputs())
def test_inputs_are_a_small_finite_matrix(X):
    assert X.dtype == float
    assert X.shape[0] in (1, 2, 3)
    assert X.shape[1] in (1, 2, 3, 4)
    assert np.isfinite(X).all()


@given(X=inputs(m=3, kinds=("generic",), n_0=4))
def test_generic_inputs_are_independent(X):
    assert X.shape == (3, 4)
    assert np.linalg.matrix_rank(X) == 3


@given(X=inputs(m=3, kinds=("parallel",), n_0=2))
def test_parallel_inputs_are_parallel(X):
    assert abs(abs(cosine(X[0], X[1])) - 1) < 1e-12
    assert abs(abs(cosine(X[0], X[2])) - 1) < 1e-12


@given(X=inputs(m=3, kinds=("repeated",)))
def test_repeated_inputs_are_equal(X):
    assert X.any()
    assert not (X - X[0]).any()


@given(X=inputs(kinds=("zero",)))
def test_zero_inputs_are_zero(X):
    assert not X.any()


@pytest.mark.parametrize(
    "wanted",
    [
        lambda X: X[0].any() and X[1].any() and cosine(X[0], X[1]) < -0.999,
        lambda X: X[0].any() and (X[0] == X[1]).all(),
        lambda X: X[0].any() and not X[1].any(),
        lambda X: np.linalg.matrix_rank(X) == 2,
    ],
    ids=["opposite", "repeated", "zero", "generic"],
)
def test_every_kind_of_input_comes(wanted):
    find(inputs(m=2), wanted, settings=quick)


@given(net=networks())
def test_networks_have_all_that_a_prediction_needs(net):
    assert net.activation.specified
    assert 1 <= net.depth <= 3
    for name in HYPERPARAMETERS:
        assert len(net.per_layer(name)) == net.depth
    assert len(net.scales(3)) == net.depth


@given(
    net=networks(
        activation=st.just("tanh"), depth=st.just(3), width=st.just((8, 16)), fixed={"C_b": 0, "weights": "gaussian"}
    )
)
def test_given_arguments_are_kept(net):
    assert (net.activation.name, net.depth, net.width, net.C_b) == ("tanh", 3, (8, 16), 0.0)


def test_bad_arguments_are_named():
    with pytest.raises(InvalidArgument, match=r"kinds=\('odd',\) must be some of: generic, parallel, repeated, zero"):
        inputs(kinds=("odd",))
    with pytest.raises(InvalidArgument, match=r"kinds=\(\)"):
        inputs(kinds=())
    with pytest.raises(InvalidArgument, match="depth=0"):
        hyperparameters(0)
    assert KINDS == ("generic", "parallel", "repeated", "zero")
