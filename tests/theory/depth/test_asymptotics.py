"""Depth laws: published amplitudes and exponents, and the recursions iterated in high precision as the independent route."""

from __future__ import annotations

import functools
import warnings

import mpmath
import numpy as np
import pytest
import sympy as sp
from sympy.polys.domains import EX

import widthwise as ww
from widthwise.numerics.depth.asymptotics import asymptotics
from widthwise.numerics.depth.critical import critical
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.averages.taylor import ROOT, MomentSeries, Taylor, taylor
from widthwise.theory.depth.asymptotics import closed_system
from widthwise.theory.depth.depthlaw import SHIFT, Point, amplitude, kernel
from widthwise.theory.depth.origin import Origin
from widthwise.theory.initialisation.layer_maps import residual
from widthwise.theory.language.errors import ExpansionWarning, InvalidArgument, NotAvailable, UnknownName
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.quantities import quantity
from widthwise.theory.language.symbols import ell
from widthwise.theory.networks.activations import activation as as_activation

x = sp.Symbol("x")
b, W = sp.symbols("lambda_b lambda_W", nonnegative=True)
Z = sp.Symbol("z", real=True)

#: Not odd, so that Theta decays by another power than K: p = b_1/a_1 = 392/394.
NOT_ODD = as_activation(sp.tanh(x) + x**2 / 10)
#: K' = K - 3 K^3 + ...: K decays like a square root.
CUBIC_ORDER = x - x**5 / 10 * sp.exp(-(x**2))

NAMES = ("K", "Theta", "V", "D", "F", "A", "B", "P", "Q", "R", "S", "T", "U", "K1", "Theta1")


@functools.cache
def laws(activation, weights="gaussian", lambda_b=0, lambda_W=1):
    """With orthogonal weights leading terms cancel, and more orders are needed for as many terms."""
    net = ww.MLP(activation, lambda_b=lambda_b, lambda_W=lambda_W, weights=weights)
    return asymptotics(net, NAMES, orders=6 if weights == "orthogonal" else 4)


# ---------------------------------------------------------------- published amplitudes

PUBLISHED = {  # X divided by powers of K and Theta; lambda_b = 0
    "V": 2 * ell / 3, "F": ell / 4, "B": ell / 3, "P": -ell / 12, "R": -ell / 12, "S": ell / 12,
}  # fmt: skip
ORTHOGONAL = {
    "V": -2, "F": sp.Rational(-2, 3), "P": sp.Rational(-1, 3), "R": sp.Rational(-1, 3), "S": sp.Rational(1, 3),
    "B": 2 / ell, "U": 1 / (2 * ell),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("activation", ["tanh", "sin", "erf"])
def test_gaussian_slopes_are_the_published_ones_for_every_odd_activation(activation, name):
    assert sp.simplify(laws(activation)[name].ratio - PUBLISHED[name]) == 0


@pytest.mark.parametrize("name", ORTHOGONAL)
@pytest.mark.parametrize("activation", ["tanh", "sin"])
def test_orthogonal_weights_saturate(activation, name):
    """The fluctuations of orthogonal networks do not grow with depth, or decay, and do not depend on the activation."""
    assert sp.simplify(laws(activation, "orthogonal")[name].ratio - ORTHOGONAL[name]) == 0


@pytest.mark.parametrize("name", ["D", "A", "Q", "T"])
def test_the_other_orthogonal_ratios_vanish(name):
    law = laws("tanh", "orthogonal")[name]
    assert sp.limit(law.ratio.subs(amplitude("A"), 1), ell, sp.oo) == 0


@pytest.mark.parametrize(("activation", "a_1"), [("tanh", -2), ("sin", -1), ("erf", -2)], ids=str)
def test_the_kernel_decays_like_one_over_depth(activation, a_1):
    assert laws(activation)["K"].leading == 1 / (-a_1 * ell)
    assert laws(activation)["K"].exponent == -1
    assert laws(activation)["V"].ratio == 2 * ell / 3


@pytest.mark.parametrize(("activation", "slope"), [("relu", 5), ("linear", 2), ("abs", 2)])
@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_scale_invariant_vertices_grow_by_three_moments_minus_one(activation, slope, weights):
    """V/K^2 = (3 A_4/A_2^2 - 1)(l - 1); for orthogonal weights the slope is 2 less and V starts at -2 K^2."""
    drop, start = (2, -2) if weights == "orthogonal" else (0, 0)
    expected = kernel**2 * ((slope - drop) * (ell - 1) + start)
    law = asymptotics(ww.MLP(activation, weights=weights), "V")["V"]
    assert law.exact
    assert sp.expand(law.series - expected) == 0


def test_power_of_theta_follows_from_both_susceptibilities():
    """Theta ~ l/(1 + p) for p = b_1/a_1, and a disturbance of it decays as l^-p."""
    law = laws(NOT_ODD, lambda_b=1, lambda_W=0)["Theta"]
    p = sp.Rational(392, 394)
    assert law.homogeneous == -p
    assert law.leading == ell / (1 + p)


def test_a_flatter_activation_decays_more_slowly():
    """K' = K - 3 K^3, so K = (6 l)^(-1/2); V' = (1 - 18 K^2) V + 2 K^2 with V = c gives c = 1/9 and V/K^2 = 2 l/3 once more."""
    found = asymptotics(CUBIC_ORDER, ("K", "V"))
    assert sp.simplify(found["K"].leading - 1 / sp.sqrt(6 * ell)) == 0
    assert found["V"].leading == sp.Rational(1, 9)
    assert sp.simplify(found["V"].ratio - 2 * ell / 3) == 0


def test_a_jump_of_the_curvature_makes_it_decay_faster():
    """ELU: <sigma^2> = K - sqrt(2/pi) K^(3/2) + ..., so K = 4/(2/pi l^2)."""
    found = asymptotics("elu", ("K", "V"))
    assert sp.simplify(found["K"].leading - 2 * sp.pi / ell**2) == 0
    assert found["V"].ratio == 2 * ell / 3


# ---------------------------------------------------------------- the recursions, iterated

#: activation, weights, learning rate of biases; with lambda_b = 0 leading terms cancel and logarithms lead.
ORIGINS = [
    pytest.param("tanh", "gaussian", 0.0, id="tanh"),
    pytest.param("tanh", "gaussian", 0.7, id="tanh, lambda_b"),
    pytest.param("tanh", "orthogonal", 0.0, id="tanh, orthogonal"),
    pytest.param("sin", "gaussian", 0.0, id="sin"),
    pytest.param(NOT_ODD, "gaussian", 0.4, id="not odd"),
]
#: Amplitudes that the recursion leaves open are fitted in the last of these layers; the others test.
DEPTHS = (70, 140, 280)
#: Relative; four orders in 1/140 and their logarithms.
TOLERANCE = 4e-3


@functools.cache
def iterated(activation, weights, lambda_b):
    point = critical(activation)
    net = ww.MLP(
        activation, depth=DEPTHS[-1], C_W=point.C_W, C_b=point.C_b, lambda_W=1.0, lambda_b=lambda_b, weights=weights
    )
    return ww.predict(net, np.full((1, 4), np.sqrt(0.5)), NAMES)


def value(data, name, layer):
    return float(np.asarray(data[name])[layer - 1].item())


def amplitudes(found, data):
    """What the series leave open, from the deepest layer, each after those that it depends on."""
    fitted = {}
    for name in found:
        if name == "K":
            continue
        expr = found[name].in_kernel.subs(fitted)
        own = amplitude(name)
        if expr.has(own):
            at = expr.subs(kernel, value(data, "K", DEPTHS[-1])) - value(data, name, DEPTHS[-1])
            fitted[own] = root_of_linear(at, own)
    return fitted


def root_of_linear(expr, symbol):
    at_0, at_1 = (float(expr.subs(symbol, number)) for number in (0, 1))
    return -at_0 / (at_1 - at_0)


def error(expr, data, name, layer):
    """Relative error of a series in K at the K of a layer."""
    return float(expr.subs(kernel, value(data, "K", layer))) / value(data, name, layer) - 1


@pytest.mark.parametrize(("activation", "weights", "lambda_b"), ORIGINS)
def test_the_series_agree_with_the_iterated_recursions(activation, weights, lambda_b):
    """Every quantity, every order kept: the error is that of the next order, small and shrinking with depth."""
    found, data = laws(activation, weights, lambda_b), iterated(activation, weights, lambda_b)
    fitted = amplitudes(found, data)
    for name in NAMES[1:]:
        expr = found[name].in_kernel.subs(fitted)
        early, late = (error(expr, data, name, layer) for layer in DEPTHS[:2])
        assert abs(late) < TOLERANCE, name
        assert abs(late) < abs(early) / 2 or abs(late) < 1e-8, name


def test_erf_agrees_as_well():
    names = ("Theta", "V", "F", "B", "D", "A")
    found = asymptotics(ww.MLP("erf", lambda_b=0.3, lambda_W=1), names, orders=4)
    net = ww.MLP("erf", depth=DEPTHS[-1], C_W=np.pi / 4, C_b=0, lambda_b=0.3, lambda_W=1)
    data = ww.predict(net, np.full((1, 4), np.sqrt(0.5)), ("K", *names))
    fitted = amplitudes(found, data)
    for name in names:
        assert abs(error(found[name].in_kernel.subs(fitted), data, name, DEPTHS[1])) < TOLERANCE


@pytest.mark.parametrize("name", NAMES[1:])
def test_an_amplitude_changed_by_two_percent_is_noticed(name):
    """Negative control: the leading power of K, logarithms included, times 1.02."""
    found, data = laws("tanh"), iterated("tanh", "gaussian", 0.0)
    expr = sp.expand(found[name].in_kernel)
    without_logs = {t: t.subs(sp.log(kernel), sp.Symbol("log")) for t in sp.Add.make_args(expr)}
    powers = {t: float(bare.as_coeff_exponent(kernel)[1]) for t, bare in without_logs.items()}
    lead = sp.Add(*(t for t, power in powers.items() if power == min(powers.values())))
    wrong = (expr + lead / 50).subs(amplitudes(found, data))
    assert abs(error(wrong, data, name, DEPTHS[1])) > TOLERANCE


@pytest.mark.parametrize("name", ["K", "Theta", "V", "F", "B", "P"])
def test_the_series_in_depth_hold_with_one_shift_of_the_layer_number(name):
    """``ell_0`` from K in the last layer; the leading term and the next one leave an error of relative order 1/l^2."""
    found, data = laws("tanh"), iterated("tanh", "gaussian", 0.0)
    last = DEPTHS[-1]
    shift = root_of_linear(found["K"].series.subs(ell, last) - value(data, "K", last), SHIFT)
    known = amplitudes(found, data) | {SHIFT: shift}
    series, leading = found[name].series.subs(known), found[name].leading
    for layer in DEPTHS[1:]:
        scale = (np.log(layer) / layer) ** 2
        assert abs(float(series.subs(ell, layer)) / value(data, name, layer) - 1) < 10 * scale
        assert abs(float(leading.subs(ell, layer)) / value(data, name, layer) - 1) > scale  # so the next order matters


# ---------------------------------------------------------------- kernels that stay: exact


@pytest.mark.parametrize(
    ("activation", "weights"),
    [
        ("relu", "gaussian"),
        ("relu", "orthogonal"),
        ("leaky_relu", "rademacher"),
        ("linear", "orthogonal"),
    ],
)
def test_scale_invariant_laws_are_exact_in_every_layer(activation, weights):
    found = asymptotics(ww.MLP(activation, lambda_b=0.3, lambda_W=0.7, weights=weights))
    assert found.point is Point.LINE
    C_W = critical(activation).C_W
    net = ww.MLP(activation, depth=12, C_W=C_W, C_b=0, lambda_W=0.7, lambda_b=0.3, weights=weights)
    # The recursion from layer to layer, the first layer by its cumulants: `predict` averages over what signs make of four features.
    code, first = ww.compile(ww.derive(net, tuple(found), samples=1)), np.full((1, 4), 1.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)
        data = code.recursion(first, 12, **code.arguments("recursion", {"tau": 1.0, "kappa_4": -2.0}))
    data = {name: np.asarray(v) for name, v in data.items()}
    assert set(found) >= {"K", "Theta", "V", "D", "F", "A", "B", "P", "Q", "K1", "Theta1"}
    for name in found:
        assert found[name].exact
        series = found[name].series.subs(kernel, value(data, "K", 1))
        for layer in (2, 3, 12):  # what is not inherited at all (X4, Y4) is of this form from layer 2 on
            expected = float(series.subs(ell, layer))
            assert value(data, name, layer) == pytest.approx(expected, rel=1e-9, abs=1e-7), (name, layer)


@pytest.mark.parametrize(
    ("activation", "names"),
    [("swish", NAMES), ("gelu", ("K", "Theta", "V", "D", "F", "A", "K1"))],
    ids=["swish", "gelu"],
)
def test_half_stable_laws_are_exact_in_every_layer(activation, names):
    """With K = K* in the first layer, all tensors are polynomials, of higher degree than at K* = 0: h is not zero."""
    found = asymptotics(ww.MLP(activation, lambda_b=0.3, lambda_W=0.7), names)
    assert found.point is Point.FINITE
    point = critical(activation)
    net = ww.MLP(activation, depth=25, C_W=point.C_W, C_b=point.C_b, lambda_W=0.7, lambda_b=0.3)
    data = ww.predict(net, np.full((1, 4), np.sqrt((point.K - point.C_b) / point.C_W)), names)
    for name in names:
        for layer in (1, 2, 25):
            expected = float(found[name].series.subs(ell, layer))
            assert value(data, name, layer) == pytest.approx(expected, rel=1e-8, abs=1e-8), (name, layer)
    degrees = {
        "K": 0, "Theta": 1, "V": 1, "D": 3, "F": 2, "A": 5, "B": 3, "P": 3, "Q": 4, "R": 5, "S": 5, "T": 6, "U": 4,
        "K1": 2, "Theta1": 4,
    }  # fmt: skip
    assert all(found[name].exponent == degrees[name] for name in names)


def test_half_stable_coefficients_are_also_formulas():
    """The letters of the law say how the numbers are made: V grows by C_W^2 (<sigma^4> - <sigma^2>^2)."""
    found = asymptotics("gelu", "V")
    meaning = found.definitions[sp.Symbol("V_1", real=True)]
    assert "<sigma**4>" in str(meaning)
    assert "with V_1 = " in str(found) or found["V"].leading.coeff(ell).is_number


# ---------------------------------------------------------------- universality, with symbols for the activation


def test_odd_activations_differ_by_one_number_only():
    """sigma = z + t_3 z^3/6 + t_5 z^5/120 + ..., t_3 and t_5 symbols: the leading ratios hold neither."""
    t = sp.symbols("t3 t5 t7 t9", real=True)

    def odd(count):
        return tuple((sp.Integer(1), *t)[k // 2] if k % 2 and k < 10 else sp.Integer(0) for k in range(count))

    system = Origin(
        closed_system(ww.MLP("tanh"), ("V", "F", "B")), Taylor(odd, odd), sp.Integer(4), frozenset({b})
    ).solve()
    (lead, V), (_, theta), (_, F), (_, B) = (system.series(n).leading for n in ("V", "Theta", "F", "B"))
    K_ell = -1 / t[0]  # K ell -> 1/(-a_1), a_1 = t_3
    assert lead == (1, 0)
    assert sp.simplify(V.as_expr() - sp.Rational(2, 3) * K_ell) == 0
    assert sp.simplify(theta.as_expr() - W * K_ell) == 0
    assert sp.simplify(F.as_expr() / theta.as_expr() - K_ell / 4) == 0
    assert sp.simplify(B.as_expr() / theta.as_expr() ** 2 - K_ell / 3) == 0


# ---------------------------------------------------------------- averages near K = 0


def _by_integration(f, K, cut=0):
    """<f>_K by mpmath, split at the kink."""
    root = mpmath.sqrt(K)
    density = lambda u: f(root * u) * mpmath.npdf(u)  # noqa: E731
    return mpmath.quad(density, [-12, -6, -2, cut, 2, 6, 12])


BODIES = {
    "s2": (Sigma(Jet(""), 0) ** 2, 0),
    "s1^4": (Sigma(Jet(""), 1) ** 4, 0),
    "s s2 s1^2": (Sigma(Jet(""), 0) * Sigma(Jet(""), 2) * Sigma(Jet(""), 1) ** 2, 0),
    "d(s s1)": (Sigma(Jet(""), 0) * Sigma(Jet(""), 1), 1),
    "d2(s1^2)": (Sigma(Jet(""), 1) ** 2, 2),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("activation", ["tanh", "elu", "softplus"])
def test_averages_near_zero_are_their_series(activation, body):
    """The heat equation, and its half-Gaussian version at a kink, against integration: Price's K derivative by Stein's z."""
    expr, count = BODIES[body]
    subject = as_activation(activation)
    order = sp.Integer(3)
    series = MomentSeries(taylor(subject), EX)(Average(expr, [Jet("")] * count), order)
    f = sp.lambdify(Z, expr.replace(Sigma, lambda s, k: subject.derivative(int(k))), "mpmath")
    stein = [lambda z, K: 1, lambda z, K: z / K, lambda z, K: (z**2 / K - 1) / K][count]
    found = []
    for K in (mpmath.mpf("4e-3"), mpmath.mpf("1e-3")):
        exact = _by_integration(lambda z, K=K: f(z) * stein(z, K), K)
        partial = sum(
            float(EX.to_sympy(c).subs(ROOT, sp.sqrt(2 / sp.pi))) * K ** mpmath.mpf(str(sp.N(e)))
            for e, c in series.items()
        )
        found.append(abs(exact - partial))
    assert found[1] < 1e-5
    assert found[1] < found[0] / 20 or found[1] < 1e-12  # K^3 falls by 64


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "error_", "match"),
    [
        pytest.param(("softplus", "V"), NotAvailable, "no critical point", id="softplus"),
        pytest.param(("hard_tanh",), NotAvailable, "slower than a power", id="hard_tanh"),
        pytest.param((ww.MLP("tanh", C_W=1.1),), InvalidArgument, "C_W=1.1 is not critical", id="not critical"),
        pytest.param((ww.MLP("relu", C_b=0.1),), InvalidArgument, "C_b=0.1 is not critical", id="bias"),
        pytest.param((ww.MLP("gelu", C_W=2),), InvalidArgument, "C_W=2.0", id="gelu, not critical"),
        pytest.param((ww.MLP("tanh", depth=2, lambda_W=[1, 2]),), InvalidArgument, "differs by layer", id="by layer"),
        pytest.param((None,), InvalidArgument, "unspecified", id="unspecified"),
        pytest.param(("relu", "R"), NotAvailable, "not a function", id="relu, ddNTK"),
        pytest.param(("tanh", "Vv"), UnknownName, "quantity='Vv'", id="unknown quantity"),
    ],
)
def test_what_has_no_depth_law_says_why(arguments, error_, match):
    with pytest.raises(error_, match=match):
        asymptotics(*arguments)


def test_bad_choices_are_refused():
    with pytest.raises(InvalidArgument, match="point='nowhere'; allowed"):
        asymptotics("tanh", point="nowhere")
    with pytest.raises(InvalidArgument, match="linear on both sides"):
        asymptotics("tanh", point="every K is a fixed point")
    with pytest.raises(InvalidArgument, match="orders=0; allowed"):
        asymptotics("tanh", orders=0)
    with pytest.raises(NotAvailable, match="unstable"):
        asymptotics("swish", "V", point="K* = 0")
    with pytest.raises(NotAvailable, match=r"V: a neuron with a skip.*K\* > 0.*allowed: predict"):
        asymptotics("swish", "V", layer=residual(0.5))
    with pytest.raises(NotAvailable, match="further terms"):
        asymptotics("swish", "K", layer=residual(0.5))


def test_laws_print_and_explain_themselves():
    found = laws("tanh")
    assert "V       1/(6*ell)" in str(found)
    assert str(found["V"]) == "V ~ 1/(6*ell)"
    assert any("homogeneous solution K^4" in step for step in found["V"].steps)
    assert any("resonance" in step for step in found["Theta"].steps)
    assert found["Theta"].constants == (amplitude("Theta"),)
    assert tuple(found) == NAMES
    with pytest.raises(KeyError):
        laws("tanh")["X4"]
    assert quantity("V").rank == 4


def test_a_kink_at_zero_agrees_with_the_iterated_recursions():
    """ELU: series in the root of K, with half-Gaussian moments and derivatives that are not functions written as operators."""
    names = ("Theta", "V", "F", "B", "P", "R")
    found = asymptotics(ww.MLP("elu", lambda_b=0.3, lambda_W=1), names)
    net = ww.MLP("elu", depth=DEPTHS[-1], C_W=1, C_b=0, lambda_b=0.3, lambda_W=1)
    data = ww.predict(net, np.full((1, 4), np.sqrt(0.5)), ("K", *names))
    fitted = amplitudes(found, data)
    for name in names:
        assert abs(error(found[name].in_kernel.subs(fitted), data, name, DEPTHS[1])) < TOLERANCE
