"""A network that exists is valid; a wrong argument is named, with its value and what would be allowed."""

from __future__ import annotations

import dataclasses
import math

import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.activations import ACTIVATIONS, activation
from widthwise.theory.errors import InvalidArgument, InvalidNetwork, NotIntegrable, UnknownName

x = sp.Symbol("x")

BAD_NETWORKS = [
    (dict(depth=0), InvalidNetwork, "depth=0 must be an integer, at least 1"),
    (dict(depth=2.5), InvalidNetwork, "depth=2.5"),
    (dict(depth=True), InvalidNetwork, "depth=True"),
    (dict(depth=3, width=0), InvalidNetwork, "width=0"),
    (dict(depth=3, width=(4, -1)), InvalidNetwork, r"width\[1\]=-1"),
    (dict(depth=3, width=(4, 5, 6)), InvalidNetwork, "3 entries, but depth=3 has 2 hidden layers"),
    (dict(width=(4, 5)), InvalidNetwork, "needs depth="),
    (dict(width="64"), InvalidNetwork, "width='64'"),
    (dict(C_W=-1), InvalidNetwork, "C_W=-1 is a variance"),
    (dict(C_b=math.nan), InvalidNetwork, "C_b=nan"),
    (dict(C_W=math.inf), InvalidNetwork, "C_W=inf"),
    (dict(depth=3, lambda_W=(1, 1)), InvalidNetwork, "2 entries, but depth=3"),
    (dict(lambda_b=-0.5), InvalidNetwork, "lambda_b=-0.5 is a learning rate"),
    (dict(C_W="1"), InvalidNetwork, "C_W='1'"),
    (dict(weights="gausian"), UnknownName, "did you mean 'gaussian'"),
    (dict(activation="tahn"), UnknownName, "did you mean 'tanh'"),
    (dict(activation=sp.exp(x**2)), NotIntegrable, "not finite under a Gaussian"),
    (dict(activation=sp.exp(x**2 / 100)), NotIntegrable, "not finite under a Gaussian"),
    (dict(activation=1 / x), NotIntegrable, "not real and finite at z=0"),
    (dict(activation=1 / (x - sp.Rational(1, 3))), NotIntegrable, "not real and finite at z=1/3"),
    (dict(activation=sp.tan(x)), NotIntegrable, "poles of tan"),
    (dict(activation=sp.log(x)), NotIntegrable, "not real and finite"),
    (dict(activation=x * sp.Symbol("y")), InvalidArgument, "exactly one symbol; its free symbols are: x, y"),
    (dict(activation=sp.Integer(3)), InvalidArgument, "its free symbols are: none"),
    (dict(activation=sp.Piecewise((0, x < 0), (1 + x, True))), NotIntegrable, "jumps at z=0"),
    (dict(activation=sp.Heaviside(x)), NotIntegrable, "jumps at z=0"),
    (dict(activation=sp.sign(x)), NotIntegrable, "jumps at z=0"),
    (dict(activation=sp.sqrt(sp.Abs(x))), NotIntegrable, "unbounded slope at z=0"),
    (dict(activation=sp.exp(sp.exp(x))), NotIntegrable, "not finite under a Gaussian"),
    (dict(activation=sp.floor(x)), InvalidArgument, "floor"),
    (dict(activation=sp.Function("f")(x)), InvalidArgument, "unspecified activation"),
    (dict(activation=7), InvalidArgument, "activation=7 is a int"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_NETWORKS, ids=lambda v: str(v)[:40])
def test_a_wrong_argument_is_named_with_what_is_allowed(arguments, error, message):
    with pytest.raises(error, match=message):
        ww.MLP(**arguments)


def test_a_network_is_a_frozen_value():
    net = ww.MLP("tanh", depth=3, width=8, C_W=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.depth = 4
    assert net == ww.MLP("tanh", depth=3, width=8, C_W=1.0)
    assert hash(net) == hash(ww.MLP("tanh", depth=3, width=8, C_W=1))
    assert eval(repr(net).replace("weights=gaussian", "weights='gaussian'"), {"MLP": ww.MLP}) == net


def test_a_copy_without_changes_is_the_network():
    several = dict(activation=["tanh", "relu"], depth=3, weights=["orthogonal", "gaussian", "uniform"])
    for net in (
        ww.MLP(),
        ww.MLP("tanh", C_W=1),
        ww.MLP("tanh", depth=3, C_W=(1, 1, 1), residual=0.5),
        ww.MLP(**several),
    ):
        assert net.with_() == net
    assert ww.MLP("tanh", depth=3, C_W=1).with_(depth=None) == ww.MLP("tanh", C_W=1)
    assert ww.MLP("tanh", depth=3, width=8).at_width((4, 5)).hidden_widths == (4, 5)


def test_what_is_not_given_stays_symbolic():
    law = ww.derive(ww.MLP("tanh", C_W=2), "K", samples=1).law.right
    assert {s.name for s in law.atoms(sp.Symbol)} == {"C_b"}
    assert {s.name for s in ww.derive(ww.MLP(), "K", samples=1).law.right.atoms(sp.Symbol)} == {"C_b", "C_W"}
    with pytest.raises(InvalidNetwork, match="C_b=None"):
        ww.predict(ww.MLP("tanh", depth=2, C_W=1), [[1.0]])


def test_width_ratios_count_from_the_inputs():
    rho = lambda net, features: [scale["rho"] for scale in net.scales(features)]  # noqa: E731
    assert rho(ww.MLP("tanh", depth=4, width=(10, 20, 30)), 5) == [1.0, 2.0, 2.0, 1.5]
    assert rho(ww.MLP("tanh", depth=4, width=10), 10) == [1.0, 1.0, 1.0, 1.0]
    assert rho(ww.MLP("tanh", depth=4), 3) == [1.0, 1.0, 1.0, 1.0]
    assert rho(ww.MLP("tanh", depth=1), 3) == [1.0]


@pytest.mark.parametrize("row", ACTIVATIONS, ids=lambda a: a.name)
def test_registered_activation_is_found_by_its_name_and_knows_its_kinks(row):
    assert activation(row.name) is row
    assert activation(row.name.upper()) is row
    assert row.smooth == (row.name not in {"relu", "leaky_relu", "abs", "elu", "hard_tanh"})
    # between the kinks the derivative is the limit of difference quotients
    for at in (-1.7, -0.4, 0.6, 2.3):
        quotient = (row(at + 1e-6) - row(at - 1e-6)) / 2e-6
        assert float(row(at, 1)) == pytest.approx(float(quotient), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "slopes"),
    [("relu", (1, 0)), ("leaky_relu", (1, sp.Rational(1, 100))), ("abs", (1, -1)), ("linear", (1, 1))],
)
def test_slopes_of_scale_invariant_activations(name, slopes):
    assert activation(name).slopes == slopes


@pytest.mark.parametrize("name", ["tanh", "elu", "hard_tanh", "gelu"])
def test_other_activations_have_no_slopes(name):
    assert activation(name).slopes is None
