"""Conversions of parametrizations against literal networks that are written and trained in them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import widthwise as ww
from widthwise.theory.language import symbols
from widthwise.theory.language.errors import InvalidArgument, InvalidInput, InvalidNetwork, UnknownName
from widthwise.theory.networks.architecture import HYPERPARAMETERS, MLP
from widthwise.theory.networks.parametrization import YANG_HU, Parametrization, abc, rows

WIDTHS = (3, 5, 4, 2)  # n_0 ... n_3
DEPTH = len(WIDTHS) - 1
X = np.array([[1.0, 0.3, -0.5], [-0.4, 0.9, 0.1]])
W, B, ETA, GAMMA = 1.3, 0.4, 0.7, 0.6  # W_std, b_std, learning_rate, gamma_0
N = WIDTHS[-2]


# Programs as their authors write them: raw parameters of a layer from standard normals, the layer, the rate of all parameters.
# Nothing here comes from the table of parametrizations.


def ntk(omega, beta, layer):
    return omega, beta, lambda w, b, s: W / np.sqrt(s.shape[1]) * s @ w.T + B * b, ETA


def standard(omega, beta, layer):
    return W / np.sqrt(omega.shape[1]) * omega, B * beta, lambda w, b, s: s @ w.T + b, ETA


def mean_field(omega, beta, layer):
    gamma = GAMMA * np.sqrt(N) if layer == DEPTH else 1.0
    return omega, beta, lambda w, b, s: (W / np.sqrt(s.shape[1]) * s @ w.T + B * b) / gamma, ETA * GAMMA**2 * N


def published(name):
    """h = N^-a w x with w ~ N(0, W^2 N^-2b), trained at the rate eta N^-c."""
    table = {
        "SP": ((0, 0, 0), (0, 0.5, 0.5), 0),
        "NTP": ((0, 0.5, 0.5), (0, 0, 0), 0),
        "MFP": ((0, 0, 1), (0, 0, 0), -1),
        "muP": ((-0.5, 0, 0.5), (0.5, 0.5, 0.5), 0),
    }
    a, b, c = table[name]

    def program(omega, beta, layer):
        place = {1: 0, DEPTH: 2}.get(layer, 1)
        raw = W * float(N) ** -b[place] * omega
        return raw, 0.0 * beta, lambda w, _, s: float(N) ** -a[place] * s @ w.T, ETA * float(N) ** -c

    return program


def pytorch(omega, beta, layer):
    """nn.Linear.reset_parameters: kaiming_uniform_ with a = sqrt(5), of variance 1/(3 fan_in), biases too; here normal."""
    deviation = 1 / np.sqrt(3 * omega.shape[1])
    return deviation * omega, deviation * beta, lambda w, b, s: s @ w.T + b, ETA


def glorot(omega, beta, layer):
    """keras.layers.Dense: glorot_uniform, of variance 2/(fan_in + fan_out), biases from zeros."""
    return W * np.sqrt(2 / sum(omega.shape)) * omega, 0.0 * beta, lambda w, b, s: s @ w.T + b, ETA


def unbiased(omega, beta, layer):
    """nn.Linear(..., bias=False)."""
    return W / np.sqrt(omega.shape[1]) * omega, 0.0 * beta, lambda w, b, s: s @ w.T, ETA


BIASED = dict(W_std=W, b_std=B, learning_rate=ETA)
PROGRAMS = {
    "ntk": (ntk, dict(parametrization="ntk", **BIASED)),
    "standard": (standard, dict(parametrization="standard", features=WIDTHS[0], **BIASED)),
    "mean_field": (mean_field, dict(parametrization="mean_field", gamma_0=GAMMA, **BIASED)),
    "pytorch": (pytorch, dict(parametrization="pytorch", features=WIDTHS[0], learning_rate=ETA, weights="gaussian")),
    "glorot": (
        glorot,
        dict(parametrization="glorot", features=WIDTHS[0], learning_rate=ETA, W_std=W, weights="gaussian"),
    ),
    "bias=False": (
        unbiased,
        dict(parametrization="standard", features=WIDTHS[0], learning_rate=ETA, W_std=W, bias=False),
    ),
} | {
    name: (published(name), dict(parametrization=row, W_std=W, learning_rate=ETA, features=WIDTHS[0]))
    for name, row in YANG_HU.items()
}


def literal(name):
    return MLP("tanh", depth=DEPTH, width=WIDTHS[1:-1], output_width=WIDTHS[-1], **PROGRAMS[name][1])


def output_and_ntk(layers, x):
    """z^(L), and the sum over parameters of rate times products of gradients, by complex steps (exact to rounding)."""

    def forward(parameters):
        signal = x.astype(complex)
        for i, ((w, b), (_, _, layer, _)) in enumerate(zip(parameters, layers, strict=True)):
            z = layer(w, b, np.tanh(signal) if i else signal)
            signal = z
        return z.ravel()

    parameters = [(w.astype(complex), b.astype(complex)) for w, b, _, _ in layers]
    H = 0.0
    for pair, (*_, rate) in zip(parameters, layers, strict=True):
        for array, speed in zip(pair, rate if isinstance(rate, tuple) else (rate, rate), strict=True):
            for at in np.ndindex(array.shape):
                kept = array[at]
                array[at] = kept + 1e-30j
                gradient = forward(parameters).imag / 1e-30
                array[at] = kept
                H = H + speed * np.outer(gradient, gradient)
    return forward(parameters).real, H


@pytest.mark.parametrize("name", PROGRAMS)
def test_converted_numbers_give_the_output_and_ntk_of_the_literal_program(name, rng):
    """The same standard normals, once in the program's parametrization and once in W = sqrt(C_W/n) omega, b = sqrt(C_b) beta."""
    net = literal(name)
    C_W, C_b, lambda_W, lambda_b = (net.per_layer(p) for p in HYPERPARAMETERS)
    program, plain = [], []
    for k, (n, m) in enumerate(pairwise(WIDTHS)):
        omega, beta = rng.standard_normal((m, n)), rng.standard_normal(m)
        program.append(PROGRAMS[name][0](omega, beta, k + 1))
        weights, biases = np.sqrt(C_W[k] / n) * omega, np.sqrt(C_b[k]) * beta
        plain.append((weights, biases, lambda w, b, s: s @ w.T + b, (lambda_W[k] / n, lambda_b[k])))
    z, H = output_and_ntk(program, X)
    z_plain, H_plain = output_and_ntk(plain, X)
    assert_allclose(z_plain, z, rtol=1e-12)
    assert_allclose(H_plain, H, rtol=1e-11, atol=1e-13)
    assert (lambda_b == (0.0,) * DEPTH) == (name in (*YANG_HU, "bias=False"))


def test_formulas_follow_from_the_rows():
    """The conversions as they are published, in the fan-in n and the last hidden width N."""
    n, top = sp.symbols("n N", positive=True)
    g = symbols.gamma_0
    w, b, eta = sp.symbols("W_std b_std learning_rate", nonnegative=True)
    same = lambda row, place, *four: all(  # noqa: E731
        sp.simplify(f - g) == 0 for f, g in zip(row.formulas(place).values(), four, strict=True)
    )
    assert same(rows()["ntk"], "hidden", w**2, b**2, eta * w**2, eta * b**2)
    assert same(rows()["standard"], "last", w**2, b**2, eta * n, eta)
    up = g**2 * top
    assert same(rows()["mean_field"], "first", w**2, b**2, eta * w**2 * up, eta * b**2 * up)
    assert same(rows()["mean_field"], "last", w**2 / up, b**2 / up, eta * w**2, eta * b**2)
    assert same(YANG_HU["muP"], "last", w**2 * n / top**2, 0, eta * n / top, 0)
    assert [str(f) for f in rows()["pdlt"].formulas("first").values()] == list(HYPERPARAMETERS)
    assert rows()["mup"] is rows()["mean_field"]


def test_published_mup_is_mean_field_but_for_the_input_dimension():
    mine = MLP("tanh", depth=4, width=8, parametrization="mean_field")
    root = (1 / sp.sqrt(5), 1, 1, 1)
    theirs = MLP("tanh", depth=4, width=8, parametrization=YANG_HU["muP"], features=5, W_std=root)
    theirs = theirs.with_(learning_rate=(0.2, 1, 1, 1))
    for p in HYPERPARAMETERS:
        assert_allclose(theirs.per_layer(p), mine.per_layer(p), rtol=1e-14)


# What theory and simulation make of it

NETS = {name: literal(name) for name in PROGRAMS}


@pytest.mark.filterwarnings("ignore::widthwise.theory.language.errors.ExpansionWarning")  # a few neurons wide
@pytest.mark.parametrize("name", NETS)
def test_verbs_see_the_converted_numbers(name):
    net = NETS[name]
    plain = MLP(
        "tanh", depth=DEPTH, width=WIDTHS[1:-1], output_width=2, **{p: net.per_layer(p) for p in HYPERPARAMETERS}
    )
    for verb in (lambda n: ww.predict(n, X, ("K", "Theta"), order=0), lambda n: ww.simulate(n, X, networks=8)):
        theirs, ours = verb(net), verb(plain)
        for quantity in ours.data_vars:
            assert_array_equal(theirs[quantity], ours[quantity])


#: Powers of 1/gamma with which f = z/gamma, trained at the rate gamma^2, has the tensors of z.
POWERS = dict(K=2, Theta=0, K1=2, Theta1=0, V=4, D=2, F=2, A=0, B=0, P=0, Q=0, R=-2, S=-2, T=-2, U=-2)


@pytest.mark.parametrize("quantity", POWERS)
def test_output_of_mean_field_is_that_of_ntk_over_gamma(quantity):
    """dNTK: two rates and four z's with the one it is paired with; ddNTK: three rates and four z's."""
    shape = dict(depth=4, width=(200, 300, 250), W_std=1.2, b_std=0.3, learning_rate=0.5)
    gamma = 0.4 * math.sqrt(250)
    lazy, rich = (
        ww.predict(MLP("tanh", **shape, **more), X[:1], quantity).sel(layer=4)[quantity]
        for more in (dict(parametrization="ntk"), dict(parametrization="mup", gamma_0=0.4))
    )
    assert_allclose(rich, lazy * gamma ** -POWERS[quantity], rtol=1e-10)


@pytest.mark.parametrize(
    ("row", "depth", "kernel", "tangent"),
    [
        (YANG_HU["SP"], 3, 0, 1),  # unstable: the function moves by more than order one
        (abc((0, 0, 0), (0, sp.Rational(1, 2), sp.Rational(1, 2)), 1), 3, 0, 0),
        (YANG_HU["NTP"], 3, 0, 0),
        (YANG_HU["MFP"], 2, -1, 0),
        (YANG_HU["muP"], 3, -1, 0),
    ],
    ids=["SP c=0", "SP c=1", "NTP", "MFP", "muP"],
)
def test_output_scales_with_width_as_published(row, depth, kernel, tangent):
    """A nontrivial stable parametrization has an output NTK of order one; features are learned where the output starts at 0."""
    n = 2**14
    net = MLP("tanh", depth=depth, width=n, parametrization=row, features=3)
    few, many = (ww.predict(m, X[:1], order=0).sel(layer=depth) for m in (net, net.at_width(4 * n)))
    growth = lambda q: math.log(float(many[q].squeeze() / few[q].squeeze()), 4)  # noqa: E731
    assert growth("K") == pytest.approx(kernel, abs=1e-3)
    assert growth("Theta") == pytest.approx(tangent, abs=1e-3)


# Widths


@pytest.mark.parametrize("name", NETS)
def test_another_width_is_the_network_made_at_that_width(name):
    net, wide = NETS[name], (20, 30)
    made = MLP("tanh", depth=DEPTH, width=wide, output_width=2, **PROGRAMS[name][1])
    assert net.at_width(wide) == made
    same = all(net.per_layer(p) == made.per_layer(p) for p in HYPERPARAMETERS)
    assert same == (name == "ntk")


def test_numbers_that_need_a_width_wait_for_it():
    net = MLP("tanh", depth=3, parametrization="mup")
    assert (net.C_W, net.C_b, net.lambda_W, net.lambda_b) == (None, 0.0, None, 0.0)
    with pytest.raises(InvalidNetwork, match="C_W=None: a number can be computed only for a given width"):
        ww.predict(net, X)
    with pytest.raises(InvalidNetwork, match="width=None: only a network of given width"):
        ww.simulate(net, X)
    assert net.at_width(10).lambda_W == (10.0, 10.0, 1.0)
    net = MLP("tanh", depth=2, width=7, parametrization="standard", W_std=1, b_std=0)
    with pytest.raises(InvalidNetwork, match=r"lambda_W=None: .* given features"):
        ww.predict(net, X)
    assert net.with_(features=3).lambda_W == (3.0, 7.0)
    with pytest.raises(InvalidInput, match="X has 3 features, but the network was given features=4"):
        ww.predict(net.with_(features=4), X)


def test_what_is_not_given_stays_symbolic():
    net = MLP("tanh", parametrization="ntk", W_std=sp.sqrt(2))
    assert (net.C_W, net.C_b, net.lambda_W, net.lambda_b) == (2.0, None, 2.0, None)
    law = ww.derive(net, "Theta", samples=1).law.right
    assert {s.name for s in law.atoms(sp.Symbol)} == {"lambda_b"}


# The way back

positive = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0]) | st.floats(0.1, 3.0)


def agree(one, other):
    for p in HYPERPARAMETERS:
        assert_allclose(one.per_layer(p), other.per_layer(p), rtol=1e-12, err_msg=p)


@given(st.data())
@pytest.mark.parametrize("there", ["pdlt", "ntk", "mean_field"])
@pytest.mark.parametrize("here", ["ntk", "standard", "mean_field", *YANG_HU])
def test_round_trip_with_biases_in_every_layer(here, there, data):
    """What moves W and b at one rate in ntk does so in mean_field; whatever has a parametrization has its numbers in pdlt."""
    each = lambda values: data.draw(values | st.tuples(values, values, values))  # noqa: E731
    row = YANG_HU.get(here, here)
    arguments = dict(parametrization=row, W_std=each(positive), learning_rate=each(positive))
    if here not in YANG_HU:
        arguments["b_std"] = each(positive)
    if here == "standard" and there != "pdlt":  # a rate lambda_b = eta is eta' b_std^2 only if b_std^2 = W_std^2/n
        w = arguments["W_std"] if isinstance(arguments["W_std"], tuple) else (arguments["W_std"],) * 3
        arguments["b_std"] = tuple(v / math.sqrt(n) for v, n in zip(w, (3, 8, 5), strict=True))
    if here == "mean_field":
        arguments["gamma_0"] = data.draw(positive)
    features = {} if here in ("ntk", "mean_field") else {"features": 3}
    gamma = {"gamma_0": arguments["gamma_0"]} if here == "mean_field" else {}
    net = MLP("tanh", depth=3, width=(8, 5), **arguments, **features)
    away = net.to(there)
    agree(away, net)
    back = away.to(row, **features, **gamma)
    agree(back, net)
    for name in ("W_std", "b_std", "learning_rate"):
        if name in arguments:
            given, found = (np.array(dict(n.parametrization.given)[name], dtype=float) for n in (net, back))
            assert_allclose(found, np.broadcast_to(given, np.broadcast_shapes(given.shape, found.shape)), rtol=1e-12)


@pytest.mark.parametrize("there", ["ntk", "mean_field", *YANG_HU])
@pytest.mark.parametrize("here", ["ntk", "mean_field", *YANG_HU])
def test_networks_without_biases_have_all_parametrizations_that_know_none(here, there):
    depth = 3
    features = lambda name: {"features": 3} if name in YANG_HU else {}  # noqa: E731
    bias = {} if here in YANG_HU else {"b_std": 0}
    net = MLP("relu", depth=depth, width=9, parametrization=YANG_HU.get(here, here), W_std=2, **bias, **features(here))
    agree(net.to(YANG_HU.get(there, there), **features(there)), net)


def test_exact_numbers_come_back_exactly():
    net = MLP("relu", depth=3, C_W=2, C_b=0, lambda_W=1, lambda_b=0)
    assert net.to("ntk") == MLP("relu", depth=3, parametrization="ntk", W_std=sp.sqrt(2), b_std=0, learning_rate=0.5)
    assert net.to("ntk").to("pdlt") == net
    assert net.to("pdlt") == net


def test_frozen_layers_agree_with_the_others():
    """No rate moves a layer of zero variance in ntk, so that of the other layers will do."""
    net = MLP("tanh", depth=3, C_W=(1, 0, 1), C_b=(0.25, 0, 0.25), lambda_W=(2, 0, 2), lambda_b=(0.5, 0, 0.5))
    assert dict(net.to("ntk").parametrization.given) == {"W_std": (1, 0, 1), "b_std": (0.5, 0, 0.5), "learning_rate": 2}


IMPOSSIBLE = [
    (dict(C_W=1, C_b=0.25, lambda_W=2, lambda_b=0), "ntk", {}, r"lambda_b in layer 1 is 0, .* allowed: 0\.5"),
    (dict(C_W=1, C_b=0, lambda_W=1, lambda_b=1), "ntk", {}, r"lambda_b in layer 1 is 1, .* b_std=0, .* allowed: 0,"),
    (dict(C_W=(1, 0, 1), C_b=0, lambda_W=1, lambda_b=0), "ntk", {}, r"lambda_W in layer 2 is 1, .* W_std=0"),
    (dict(C_W=1, C_b=0.1, lambda_W=1, lambda_b=0), "standard", {"features": 2}, r"lambda_b .* is 0, .* allowed: 0\.5"),
    (dict(C_W=1, C_b=0.5, lambda_W=1, lambda_b=0), YANG_HU["NTP"], {"features": 2}, r"C_b .* is 0\.5, .* allowed: 0,"),
    (dict(C_W=1, C_b=0, lambda_W=1, lambda_b=0), "standard", {}, "features=None: lambda_W in layer 1 depends on it"),
    (dict(C_W=1, C_b=0, lambda_W=1, lambda_b=0), "ntk", {"features": 2}, "features=2 is no hyperparameter of"),
    (dict(C_W=1, C_b=0, lambda_W=1, lambda_b=0), "ntk", {"gamma_0": 0.5}, r"gamma_0=0\.5 is no hyperparameter of"),
]


@pytest.mark.parametrize(("numbers", "to", "settings", "message"), IMPOSSIBLE, ids=lambda v: str(v)[:30])
def test_numbers_that_a_parametrization_cannot_make_are_named(numbers, to, settings, message):
    with pytest.raises(InvalidArgument, match=message):
        MLP("tanh", depth=3, width=6, **numbers).to(to, **settings)


def test_conversion_needs_the_numbers_and_the_width():
    net = MLP("tanh", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    with pytest.raises(InvalidArgument, match="width=None: lambda_W in layer 1 depends on it"):
        net.to("mean_field")
    with pytest.raises(InvalidNetwork, match="lambda_W=None"):
        net.with_(lambda_W=None).to("ntk")
    with pytest.raises(InvalidNetwork, match="depth=1: parametrization='mean_field' is scaled"):
        net.with_(depth=1).to("mup")
    with pytest.raises(InvalidNetwork, match="gamma_0=-1"):
        net.at_width(4).to("mup", gamma_0=-1)


# Conduct


def test_copies_keep_the_parametrization_until_a_number_is_set():
    net = MLP("tanh", depth=3, width=8, parametrization="mup", gamma_0=0.5)
    assert net.with_(W_std=2).C_W == (4.0, 4.0, 2.0)
    assert net.with_(residual=0.5).parametrization == net.parametrization
    set_by_hand = net.with_(lambda_b=1)
    assert set_by_hand.parametrization.name == "pdlt"
    assert (set_by_hand.C_W, set_by_hand.lambda_b) == (net.C_W, 1.0)
    assert net.with_(depth=None, width=None, **dict.fromkeys(HYPERPARAMETERS)) == MLP("tanh")
    assert net.with_(parametrization="ntk", W_std=1, b_std=0).C_W == 1.0


@pytest.mark.parametrize("name", NETS)
def test_network_shows_what_was_given(name):
    net = NETS[name]
    assert "C_W" not in repr(net)
    assert (f"W_std={W}, " in net.written) == (name != "pytorch")
    scope = {"MLP": MLP, "abc": lambda a, b, c: abc(a, b, c)}
    text = net.written.replace("1/2", "Rational(1, 2)")
    assert eval(text, scope | {"Rational": sp.Rational}) == net
    assert hash(eval(text, scope | {"Rational": sp.Rational})) == hash(net)
    assert repr(MLP("tanh", depth=2, C_W=1)) == "MLP('tanh', depth=2, C_W=1.0)"


BAD = [
    (dict(parametrization="nkt"), UnknownName, "did you mean 'ntk'"),
    (dict(parametrization=3), InvalidArgument, "parametrization=3; allowed: pdlt, ntk, standard, mean_field"),
    (dict(parametrization="ntk", C_W=2), InvalidArgument, "C_W=2.0 is no hyperparameter of parametrization='ntk'"),
    (dict(W_std=1), InvalidArgument, "W_std=1.0 is no .*='pdlt'; allowed: C_W, C_b, lambda_W, lambda_b"),
    (dict(learning_rate=1), InvalidArgument, "learning_rate=1.0 is no hyperparameter"),
    (dict(parametrization="ntk", gamma_0=1), InvalidArgument, "gamma_0=1.0 .* allowed: W_std, b_std, learning_rate$"),
    (dict(parametrization="ntk", features=3), InvalidArgument, "features=3 is no hyperparameter"),
    (dict(parametrization="mup", features=3), InvalidArgument, "features=3 is no hyperparameter"),
    (dict(parametrization=YANG_HU["SP"], b_std=1), InvalidArgument, "allowed: W_std, learning_rate, features"),
    (dict(parametrization="standard", features=0), InvalidNetwork, "features=0; allowed: integers from 1"),
    (dict(parametrization="ntk", W_std=-1), InvalidNetwork, "W_std=-1 is a standard deviation"),
    (dict(parametrization="ntk", b_std=math.nan), InvalidNetwork, "b_std=nan is a standard deviation"),
    (dict(parametrization="ntk", W_std=1e200), InvalidNetwork, "C_W=inf is a variance"),
    (dict(parametrization="ntk", learning_rate=-1), InvalidNetwork, "learning_rate=-1 is a learning rate"),
    (dict(parametrization="ntk", depth=3, W_std=(1, 2)), InvalidNetwork, "2 entries, but depth=3"),
    (dict(parametrization="mup", gamma_0=0), InvalidNetwork, "gamma_0=0; allowed: one finite real number above 0"),
    (dict(parametrization="mup", gamma_0=(1, 2)), InvalidNetwork, r"gamma_0=\(1, 2\)"),
    (dict(parametrization="mup", gamma_0=math.inf), InvalidNetwork, "gamma_0=inf"),
    (dict(parametrization="mup", depth=1), InvalidNetwork, "depth=1: .* integers from 2"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD, ids=lambda v: str(v)[:40])
def test_a_wrong_combination_is_named_with_what_is_allowed(arguments, error, message):
    with pytest.raises(error, match=message):
        MLP("tanh", **arguments)


@pytest.mark.parametrize(
    "arguments", [((0, 0), (0, 0, 0)), ("abc", (0, 0, 0)), ((0, 0, 0), (0, 0, "x")), ((0, 0, 0), (0, 0, math.inf))]
)
def test_exponents_are_three_finite_numbers(arguments):
    with pytest.raises(InvalidArgument, match="allowed: "):
        abc(*arguments)


def test_a_new_parametrization_is_a_new_row():
    """Equivalent programs: a_l + theta, b_l - theta, c - 2 theta for all l is the same network."""
    theta = sp.Rational(1, 3)
    shifted = abc(
        (theta - sp.Rational(1, 2), theta, theta + sp.Rational(1, 2)), (sp.Rational(1, 2) - theta,) * 3, -2 * theta
    )
    assert isinstance(shifted, Parametrization)
    one, other = (MLP("tanh", depth=4, width=27, parametrization=p, features=3) for p in (YANG_HU["muP"], shifted))
    agree(one, other)


# Biases that are not there, and what programs draw

SIDES = np.array([[1.0, 0.3, -0.5, 0.2]])


def test_biases_that_start_at_zero_are_trained_unless_there_are_none():
    """relu of two layers: Theta of biases is what b_std=0 has more than bias=False; as nn.Linear with zeros_ and bias=False."""
    arguments = dict(parametrization="standard", depth=2, width=16, features=4, W_std=1.5)
    zero, none = MLP("relu", b_std=0, **arguments), MLP("relu", bias=False, **arguments)
    first, second = (ww.kernel(net, SIDES, get="Theta")[0, 0] for net in (zero, none))
    # the last bias has slope 1, those below C_W <relu'^2> = 1.5^2/2 together
    assert first - second == pytest.approx(1 + 1.5**2 / 2, rel=1e-12)
    assert ww.kernel(zero, SIDES, get="K")[0, 0] == ww.kernel(none, SIDES, get="K")[0, 0]
    assert none.C_b == none.lambda_b == 0
    flow = ww.gradient_flow(none, SIDES, [1.0], times=0.01)
    assert float(flow["mean"].item()) == pytest.approx(1 - math.exp(-0.01 * second), rel=1e-12)


def test_without_biases_there_is_nothing_to_say_of_them():
    net = MLP("tanh", depth=3, C_W=1, lambda_W=1, bias=False)
    assert net == eval(repr(net), {"MLP": MLP})
    assert ww.predict(net, SIDES).V.shape == (3, 1, 1, 1, 1)
    assert net.with_(depth=4).C_b == 0
    with_zeros = MLP("tanh", depth=3, width=4, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    assert with_zeros.with_(bias=False).parametrization.row.bias is False
    back = with_zeros.with_(lambda_W=(3, 4, 4)).to("standard", features=3)
    assert "bias=False" in repr(back)
    for wrong, message in (
        (
            dict(C_b=0.1),
            "C_b=0.1 is no hyperparameter of parametrization='pdlt' with bias=False; allowed: C_W, lambda_W",
        ),
        (dict(parametrization="ntk", b_std=0.1), "b_std=0.1 is no hyperparameter"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            MLP("tanh", bias=False, **wrong)
    with pytest.raises(InvalidArgument, match="bias=1; allowed: True, or False"):
        MLP("tanh", bias=1)


def test_programs_draw_uniform_weights_by_default():
    """nn.Linear and Dense; numbers of one layer of 5 neurons above 3 and below 4."""
    arguments = dict(depth=3, width=(5, 4), output_width=2, features=3)
    torch, keras = (
        MLP("tanh", parametrization="pytorch", **arguments),
        MLP("tanh", parametrization="glorot", **arguments),
    )
    assert torch.weights.name == keras.weights.name == "uniform"
    assert_allclose(torch.per_layer("C_W"), 1 / 3)
    assert_allclose(torch.per_layer("C_b"), [1 / 9, 1 / 15, 1 / 12])
    assert_allclose(keras.per_layer("C_W"), [2 * 3 / 8, 2 * 5 / 9, 2 * 4 / 6])
    assert keras.per_layer("C_b") == (0, 0, 0)
    assert_allclose(keras.per_layer("lambda_W"), [3, 5, 4])
    assert MLP("tanh", parametrization="xavier", **arguments) == keras
    assert torch.with_(weights="gaussian").weights.gaussian
    with pytest.raises(InvalidNetwork, match="a given output_width"):
        MLP("tanh", parametrization="glorot", depth=1, features=3).per_layer("C_W")


@pytest.mark.parametrize(
    ("activation", "more", "C_W", "C_b"),
    [
        ("tanh", {}, (1, 1, 1), 0),
        ("gelu", {}, (1.9830582574,) * 3, 0.1729223908),
        ("relu", {"residual": 0.5}, (2, 1.5, 1.5), 0),
        (["tanh", "relu"], {}, (1, 1, 2), 0),
    ],
    ids=str,
)
def test_critical_variances_are_those_of_the_activations(activation, more, C_W, C_b):
    net = MLP(activation, depth=3, C_W="critical", **more)
    assert_allclose(net.per_layer("C_W"), C_W, rtol=1e-10)
    assert_allclose(net.per_layer("C_b"), C_b, rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(activation="gelu", C_b=0), "C_b=0 with C_W='critical': .* at C_b = 0.1729223908; allowed"),
        (dict(activation="gelu", bias=False), "C_b=0.0 with C_W='critical'"),
        (dict(activation="sigmoid"), "C_W='critical': sigmoid: no critical point: .*; allowed: numbers"),
        (dict(activation=None), "unspecified activation; allowed: a concrete activation"),
        (dict(activation=["gelu", "tanh"]), "allowed: one activation without skips"),
        (dict(activation="tanh", residual={(1, 3): 0.5}), "allowed: numbers, from each layer to the next"),
    ],
    ids=str,
)
def test_networks_without_a_critical_point_say_why(arguments, message):
    with pytest.raises(InvalidNetwork, match=message):
        MLP(depth=3, C_W="critical", **arguments)
    with pytest.raises(InvalidNetwork, match="C_W='edge' is a variance; allowed: 'critical', or"):
        MLP("tanh", C_W="edge")
