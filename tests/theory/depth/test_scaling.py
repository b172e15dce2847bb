"""Learning rates by layer and the ratio of depth to width: what follows from the depth laws."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.numerics.codegen.modules import compile
from widthwise.numerics.depth.asymptotics import asymptotics
from widthwise.numerics.depth.critical import critical
from widthwise.theory.depth.depthlaw import kernel
from widthwise.theory.depth.scaling import depth_scaling, fluctuation_slope, optimal_aspect_ratio
from widthwise.theory.initialisation.derivation import Recursions, derive_layer
from widthwise.theory.initialisation.layer_maps import residual
from widthwise.theory.language.errors import InvalidArgument, NotAvailable
from widthwise.theory.language.quantities import quantity
from widthwise.theory.language.symbols import ell
from widthwise.theory.networks.activations import activation as as_activation

g = sp.Symbol("gamma", real=True)
x = sp.Symbol("x")
#: Not odd: Theta decays by the power b_1/a_1 = 28/29.
NOT_ODD = as_activation(sp.tanh(x) + x**2 / 4)


@pytest.mark.parametrize(
    ("activation", "slope", "ratio"),
    [
        ("relu", 5, sp.Rational(4, 115)),
        ("linear", 2, sp.Rational(2, 23)),
        ("tanh", sp.Rational(2, 3), sp.Rational(6, 23)),
    ],
)
def test_published_slopes_and_ratios(activation, slope, ratio):
    found = asymptotics(activation, "V")
    assert fluctuation_slope(found) == slope
    assert optimal_aspect_ratio(found) == ratio
    assert optimal_aspect_ratio(found, output_width=10) == sp.Rational(4, 50) / slope


def published(activation, gamma):
    """nu = (1 - g^2)^2 (3 A_4/A_2^2 - 1) + 4 g^2 (1 - g^2), with C_W A_2 = 1 - g^2."""
    plus, minus = as_activation(activation).slopes
    A_2, A_4 = ((plus**n + minus**n) / 2 for n in (2, 4))
    return (1 - gamma**2) ** 2 * (3 * A_4 / A_2**2 - 1) + 4 * gamma**2 * (1 - gamma**2)


@pytest.mark.parametrize("activation", ["linear", "abs"])
def test_published_residual_slope_where_sigma_squared_is_z_squared(activation):
    found = fluctuation_slope(asymptotics(activation, "V", layer=residual()))
    assert sp.expand(found - published(activation, g)) == 0


@pytest.mark.parametrize("gamma", [0.5, -0.3])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_residual_slope_of_the_whole_network(activation, gamma):
    """The covariances of all layers, iterated; what the first layers leave behind is of the order gamma^l."""
    plus, minus = as_activation(activation).slopes
    C_W = (1 - gamma**2) * 2 / float(plus**2 + minus**2)
    net = ww.MLP(activation, depth=30, C_W=C_W, C_b=0, lambda_b=0, lambda_W=1, residual=gamma)
    measured = np.diff(np.squeeze(ww.predict(net, [[1.0, 0.4]], "V").V.values))[-1]
    K = float(np.squeeze(ww.predict(net, [[1.0, 0.4]], "K").K.values)[-1])
    laws = asymptotics(net, "V")
    assert float(sp.N(fluctuation_slope(laws))) == pytest.approx(measured / K**2, rel=1e-7)
    assert float(sp.N(laws["V"].leading.subs({ell: 1, kernel: K}))) == pytest.approx(measured, rel=1e-7)
    symbol = fluctuation_slope(asymptotics(activation, "V", layer=residual()))
    assert float(sp.N(symbol.subs(g, sp.Rational(str(gamma))))) == pytest.approx(measured / K**2, rel=1e-7)
    off = abs(float(published(activation, gamma)) / (measured / K**2) - 1)
    assert off < 1e-7 if activation == "abs" else off > 0.2


def test_depth_laws_with_skips_are_those_of_the_whole_network():
    """Leading terms from one layer's recursion near K = 0: what it leaves out falls with depth, except for U."""
    gamma, names = 0.5, tuple("VDFABPQRSTU")
    net = ww.MLP("tanh", depth=24, C_W=1 - gamma**2, C_b=0, lambda_b=0.3, lambda_W=1.0)
    whole = ww.predict(net.with_(residual=gamma), [[1.8, 0.0, 0.0, 0.0]], ("K", "Theta", *names))
    steps = [
        derive_layer(residual(gamma), quantity(name), ("",) * quantity(name).rank, net)
        for name in ("K", "Theta", *names)
    ]
    one = compile(Recursions(net, tuple(steps)))
    layer = {name: np.asarray(np.squeeze(whole[name].values)[0]) for name in ("K", "Theta", *names)}
    off = []
    for i in range(1, 24):
        layer = one(layer, rho=1.0)
        off.append({n: float(np.squeeze(layer[n])) / np.squeeze(whole[n].values)[i] - 1 for n in names})
    ratio = {name: abs(off[22][name] / off[10][name]) for name in names}  # layers 24 and 12
    assert max(value for name, value in ratio.items() if name != "U") < 0.6
    assert ratio["U"] > 0.9
    with pytest.raises(NotAvailable, match="U: a neuron with a skip connection remembers"):
        asymptotics("tanh", "U", layer=residual())
    with pytest.raises(NotAvailable, match="allowed: K, Theta, V, or predict"):
        asymptotics("relu", "A", layer=residual())
    assert list(asymptotics("relu", layer=residual())) == ["K", "Theta", "V"]


@pytest.mark.parametrize("activation", ["tanh", "erf", NOT_ODD], ids=["tanh", "erf", "not odd"])
def test_residual_slope_of_kernels_that_decay(activation):
    expected = sp.Rational(2, 3) * (1 - g**4)
    assert sp.expand(fluctuation_slope(asymptotics(activation, "V", layer=residual())) - expected) == 0


def test_residual_slope_against_the_iterated_recursion():
    """gamma = 1/2: the variance of the kernel by the law of total variance, iterated with averages by quadrature."""
    layer = residual(0.5)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    K, V, depth, C_W = 0.5, 0.0, 400, 0.75
    mean = lambda f: float(weights @ f)  # noqa: E731
    ratios = []
    for _ in range(depth):
        z = np.sqrt(K) * nodes
        f, d = np.tanh(z), 1 - np.tanh(z) ** 2
        # chi_parallel = C_W <z sigma sigma'>/K by Stein's identity, as literally as can be
        response = C_W * mean(z * f * d) / K + 0.25
        # the neuron's own gamma^2 z^2 meets the average over neurons once at each side
        own = 2 * 0.25 * C_W * (mean(z**2 * f**2) - K * mean(f**2))
        V = C_W**2 * (mean(f**4) - mean(f**2) ** 2) + own + response**2 * V
        K = C_W * mean(f**2) + 0.25 * K
        ratios.append(V / K**2)
    nu = float(fluctuation_slope(asymptotics("tanh", "V", layer=layer)))
    slope = (ratios[-1] - ratios[depth // 2 - 1]) / (depth - depth // 2)
    assert slope == pytest.approx(nu, rel=5e-3)
    assert slope != pytest.approx(nu * 1.02, rel=5e-3)


@pytest.mark.parametrize(
    ("activation", "limit"), [("linear", 0.5 + 0.5), (NOT_ODD, 0.5 + 16 / 29), ("gelu", None)],
    ids=["linear", "not odd", "gelu"],
)  # fmt: skip
def test_scaled_learning_rates_keep_theta_of_order_one(activation, limit):
    """Theta^(L) tends to lambda_b + lambda_W <sigma^2>, the latter times l where the kernel decays: K or 1/(-a_1)."""
    point = critical(activation)
    laws = asymptotics(activation, ("K", "Theta"))
    start = point.K if point.K else 0.5
    features = np.full((1, 4), np.sqrt((start - point.C_b) / point.C_W))
    theta = {}
    for depth in (30, 60, 120):
        rates = depth_scaling(laws, depth, lambda_b=0.5, lambda_W=1.0)
        net = ww.MLP(
            activation, depth=depth, C_W=point.C_W, C_b=point.C_b, lambda_b=rates.lambda_b, lambda_W=rates.lambda_W
        )
        theta[depth] = ww.predict(net, features, "Theta").Theta.values.ravel()[-1]
    assert abs(theta[120] - theta[60]) < 0.03 * theta[120]
    if limit is not None:
        assert theta[120] == pytest.approx(limit, rel=0.05)


@pytest.mark.parametrize(
    ("activation", "which"), [("linear", "lambda_W"), (NOT_ODD, "lambda_b")], ids=["linear", "not odd"]
)
def test_every_layer_contributes_alike(activation, which):
    """Learning rates switched on in one layer only: its share of Theta^(L) does not depend on which layer, deep enough."""
    depth = 240
    rates = depth_scaling(asymptotics(activation, ("K", "Theta")), depth)
    C_W = critical(activation).C_W
    shares = []
    for layer in (depth // 3, 2 * depth // 3, depth):
        on = tuple(getattr(rates, which)[i] if i == layer - 1 else 0.0 for i in range(depth))
        zero = (0.0,) * depth
        both = {"lambda_b": zero, "lambda_W": zero} | {which: on}
        net = ww.MLP(activation, depth=depth, C_W=C_W, C_b=0, **both)
        shares.append(depth * ww.predict(net, np.full((1, 4), 0.7), "Theta").Theta.values.ravel()[-1])
    assert max(shares) / min(shares) < 1.06
    assert min(shares) > 0.1


def test_published_scalings():
    """Scale-invariant: lambda/L. K* = 0: lambda_b l^-p L^(p-1) and lambda_W (L/l)^(p-1), here p = 1."""
    relu = depth_scaling(asymptotics("relu", ("K", "Theta")), 8, lambda_b=2, lambda_W=3)
    assert relu.lambda_b == pytest.approx([2 / 8] * 8)
    assert relu.lambda_W == pytest.approx([3 / 8] * 8)
    tanh = depth_scaling(asymptotics("tanh", ("K", "Theta")), 8, lambda_b=2, lambda_W=3)
    assert tanh.lambda_b == pytest.approx([2 / layer for layer in range(1, 9)])
    assert tanh.lambda_W == pytest.approx([3.0] * 8)
    assert (tanh.p, tanh.q) == (1, 1)
    assert "contribute alike" in tanh.steps[-1]


def test_scaled_rates_of_another_power():
    """b_1/a_1 = (t_3 + t_2^2)/(t_3 + 3/4 t_2^2) with t_2 = 1/2, t_3 = -2."""
    rates = depth_scaling(asymptotics(NOT_ODD, ("K", "Theta")), 10)
    p = sp.Rational(-7, 4) / sp.Rational(-29, 16)
    assert (rates.p, rates.q) == (p, 1)
    assert rates.lambda_W[4] == pytest.approx((10 / 5) ** float(p - 1))
    assert rates.lambda_b[4] == pytest.approx(5 ** float(-p) * 10 ** float(p - 1))


def test_bad_arguments():
    found = asymptotics("tanh", ("K", "Theta", "V"))
    with pytest.raises(InvalidArgument, match="depth=0; allowed"):
        depth_scaling(found, 0)
    with pytest.raises(InvalidArgument, match="lambda_b=-1"):
        depth_scaling(found, 3, lambda_b=-1)
    with pytest.raises(InvalidArgument, match="output_width=0; allowed"):
        optimal_aspect_ratio(found, output_width=0)
    with pytest.raises(InvalidArgument, match="gamma=1"):
        residual(1)
    with pytest.raises(NotAvailable, match="grows by 0 per layer"):
        optimal_aspect_ratio(asymptotics(ww.MLP("tanh", weights="orthogonal"), "V"))
