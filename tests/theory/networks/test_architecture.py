"""A network that exists is valid; a wrong argument is named, with its value and what would be allowed."""

from __future__ import annotations

import dataclasses
import math

import mpmath
import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, InvalidNetwork, NotIntegrable, UnknownName
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS, Activation, activation

pytestmark = pytest.mark.quick

x = sp.Symbol("x")

BAD_NETWORKS = [
    (dict(depth=0), InvalidNetwork, "depth=0; allowed: integers from 1"),
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
    (dict(activation=1 / sp.sqrt(sp.Abs(x))), NotIntegrable, "z=0"),
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
    assert Activation(row.name, row.expr) == row  # passes the checks that an expression of a user has to pass
    kinked = {
        "relu",
        "leaky_relu",
        "abs",
        "elu",
        "selu",
        "hard_tanh",
        "hard_sigmoid",
        "hard_swish",
        "relu6",
        "sign",
        "step",
        "prelu",
        "celu",
        "hardshrink",
        "softshrink",
        "softsign",
    }
    assert row.smooth == (row.name not in kinked)
    assert bool(row.jumps) == (row.name in {"sign", "step", "hardshrink"})
    # between the kinks the derivative is the limit of difference quotients
    for at in (-1.7, -0.4, 0.6, 2.3):
        quotient = (row(at + 1e-6) - row(at - 1e-6)) / 2e-6
        assert float(row(at, 1)) == pytest.approx(float(quotient), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "expr"),
    [
        ("leaky_relu(0.2)", sp.Piecewise((z, z > 0), (z / 5, True))),
        ("Hermite(3)", (z**3 - 3 * z) / sp.sqrt(6)),
        ("rectified( 2 )", sp.Max(z, 0) ** 2),
        ("monomial(4)", z**4),
        ("elu(1/2)", sp.Piecewise((z, z > 0), ((sp.exp(z) - 1) / 2, True))),
        ("gabor(2)", sp.exp(-(z**2)) * sp.sin(2 * z)),
        ("swish(2)", z / (1 + sp.exp(-2 * z))),
        ("softplus(3)", sp.log(1 + sp.exp(3 * z)) / 3),
    ],
)
def test_families_take_a_number(name, expr):
    found = activation(name)
    assert activation(name) is found
    for at in (sp.Rational(-7, 10), sp.Rational(3, 5)):
        assert float(found(at)) == pytest.approx(float(expr.subs(z, at)), rel=1e-14)


@pytest.mark.parametrize("name", ["hermite(0)", "hermite(2.5)", "gabor(-1)", "leaky_relu()", "sin(1+1)"])
def test_a_family_says_which_numbers_it_takes(name):
    with pytest.raises(InvalidArgument, match="the parameter must be"):
        activation(name)


def test_mish_is_tanh_of_softplus():
    for at in (-30.0, -2.5, 0.0, 0.3, 4.0, 30.0):
        exact = mpmath.mpf(at) * mpmath.tanh(mpmath.log1p(mpmath.exp(mpmath.mpf(at))))
        assert float(activation("mish")(sp.Float(at))) == pytest.approx(float(exact), rel=1e-3 if at < -20 else 1e-13)


def test_selu_keeps_mean_zero_and_variance_one():
    f = sp.lambdify(z, activation("selu").expr, "mpmath")
    moments = [mpmath.quad(lambda u, k=k: f(u) ** k * mpmath.npdf(u), [-12, -3, 0, 3, 12]) for k in (1, 2)]
    assert float(moments[0]) == pytest.approx(0, abs=1e-14)
    assert float(moments[1]) == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize(
    ("name", "slopes"),
    [("relu", (1, 0)), ("leaky_relu", (1, sp.Rational(1, 100))), ("abs", (1, -1)), ("linear", (1, 1))],
)
def test_slopes_of_scale_invariant_activations(name, slopes):
    assert activation(name).slopes == slopes


@pytest.mark.parametrize("name", ["tanh", "elu", "hard_tanh", "gelu"])
def test_other_activations_have_no_slopes(name):
    assert activation(name).slopes is None
