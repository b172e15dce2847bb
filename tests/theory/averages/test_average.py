"""Averages are functions of their covariance: derivatives, expansions, limits, substitutions, and what stays bound."""

from __future__ import annotations

import pickle

import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.averages.closed_forms import closed_form, specialize
from widthwise.theory.averages.gaussian import Average, average
from widthwise.theory.language.errors import NotAvailable
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.quantities import quantity
from widthwise.theory.networks.activations import ACTIVATIONS, activation

Z, A, B = Jet(""), Jet("a"), Jet("b")
K = quantity("K").entry(("", ""))
K_aa, K_ab, K_bb = (quantity("K").entry(pair) for pair in (("a", "a"), ("a", "b"), ("b", "b")))
SQUARE = Average(Sigma(Z, 0) ** 2)
PAIR = Average(Sigma(A, 0) * Sigma(B, 0))
MOMENT = Average(Sigma(A, 0) ** 2 * Sigma(B, 1) ** 2)


def s(order):
    """sigma and its derivatives at one input."""
    return Sigma(Z, order)


@pytest.mark.quick
def test_the_derivative_of_the_kernel_is_the_susceptibility():
    """chi_parallel = C_W <sigma sigma'' + sigma'^2>, whatever is known of the activation; and twice more."""
    for net in (ww.MLP(), ww.MLP("tanh")):
        right = ww.derive(net, "K", samples=1).equation.rhs
        slope = right.diff(K)
        plain = slope.doit().xreplace({n: n.general for n in slope.doit().atoms(Average)})
        assert sp.expand(plain - ww.symbols.C_W * average(s(0) * s(2) + s(1) ** 2)) == 0
        assert K in right.free_symbols
        assert Z not in right.free_symbols
        assert right.has(K)
    fourth = sp.diff(SQUARE, K, 2).doit()
    assert sp.expand(4 * fourth - average(sp.expand(sp.diff(s(0) ** 2, Z, 4)))) == 0


@pytest.mark.parametrize("node", [SQUARE, PAIR, MOMENT], ids=str)
@pytest.mark.parametrize(
    "act", [a for a in ACTIVATIONS if a.name in ("sin", "erf", "exp", "cubic", "gaussian")], ids=lambda a: a.name
)
def test_derivatives_are_those_of_the_closed_form(node, act):
    """By every entry, once and mixed: Price's theorem in front of the average, and SymPy behind it."""
    closed = closed_form(node, act)
    at = {K: 1, K_aa: sp.Rational(4, 5), K_ab: sp.Rational(-2, 5), K_bb: sp.Rational(7, 5)}
    for entries in [(k,) for k in node.free_symbols] + [tuple(sorted(node.free_symbols, key=str)[:2])]:
        by_price = specialize(sp.diff(node, *entries), act)
        assert abs((by_price - sp.diff(closed, *entries)).xreplace(at).evalf(30)) < 1e-25


def test_a_letter_shared_by_entries_is_differentiated_in_all_of_them():
    """The chain rule: K_aa = K_bb = q, K_ab = c q."""
    q, c = sp.symbols("q c", positive=True)
    node = PAIR.xreplace({K_aa: q, K_bb: q, K_ab: c * q})
    total = sum(w * PAIR.diff(k) for k, w in ((K_aa, 1), (K_bb, 1), (K_ab, c)))
    assert sp.expand(node.diff(q) - total.xreplace({K_aa: q, K_bb: q, K_ab: c * q})) == 0
    assert node.free_symbols == {q, c}


def test_kinks_keep_derivatives_in_front():
    slope = SQUARE.of(activation("elu")).diff(K)
    assert slope.doit() == slope == Average(s(0) ** 2, (Z, Z)).of(activation("elu")) / 2
    assert str(slope) == "<d[z,z](sigma**2)>/2"


@pytest.mark.quick
def test_series_and_limits_are_those_of_the_heat_equation():
    """<f>_K = exp(K/2 d^2) f at 0; tanh^2 = z^2 - 2/3 z^4 + 17/45 z^6 with moments 1, 3, 15."""
    tanh = SQUARE.of(activation("tanh"))
    assert sp.series(tanh, K, 0, 4) == K - 2 * K**2 + sp.Rational(17, 3) * K**3 + sp.Order(K**4, K)
    assert sp.series(SQUARE, K, 0, 2).removeO() == s(0).xreplace({Z: 0}) ** 2 + K * (s(0) * s(2) + s(1) ** 2).xreplace(
        {Z: sp.S.Zero}
    )
    assert sp.limit(SQUARE, K, 0) == Sigma(sp.S.Zero, 0) ** 2
    assert sp.limit((tanh - K) / K**2, K, 0) == -2
    assert sp.limit(SQUARE, K, 3) == SQUARE.subs(K, 3)
    second = sp.series(SQUARE, K, 2, 2).removeO().coeff(K - 2)
    assert second == SQUARE.diff(K).subs(K, 2)


@pytest.mark.parametrize(("name", "half"), [("relu", 0), ("elu", -sp.sqrt(2 / sp.pi)), ("abs", 0)])
def test_series_at_a_kink_hold_roots_of_the_variance(name, half):
    found = sp.series(SQUARE.of(activation(name)), K, 0, 2).removeO()
    assert sp.simplify(found.coeff(K ** sp.Rational(3, 2)) - half) == 0
    assert found.coeff(K) == (sp.Rational(1, 2) if name == "relu" else 1)
    with pytest.raises(NotAvailable, match="allowed: one sample"):
        sp.series(PAIR.of(activation(name)).subs(K_bb, K_aa), K_aa, 0, 2)


def test_numbers_for_the_kernel_stay_in_an_average_of_any_activation():
    node = SQUARE.subs(K, 2)
    assert str(node) == "<sigma**2>[K=2]"
    assert r"_{K^{(\ell)}=2}" in sp.latex(node)
    assert not node.free_symbols
    assert not node.is_number
    assert node.evalf() == node
    assert SQUARE.subs("K", 2) == SQUARE.subs(sp.Symbol("K"), 2) == SQUARE.xreplace({K: sp.Integer(2)}) == node
    assert SQUARE.subs(Z, 3) == SQUARE


def test_a_sample_without_variance_is_at_zero():
    at = {K_aa: sp.S.Zero, K_ab: sp.S.Zero}
    assert PAIR.xreplace(at) == Sigma(sp.S.Zero, 0) * Average(Sigma(B, 0))
    assert PAIR.of(activation("tanh")).xreplace(at) == 0
    assert MOMENT.of(activation("cos")).xreplace(at) == Average(Sigma(B, 1) ** 2).of(activation("cos"))


def test_averages_are_values_with_their_activation_and_covariance():
    for node in (
        SQUARE,
        PAIR.subs(K_aa, 2),
        SQUARE.of(activation("leaky_relu(0.2)")),
        MOMENT.of(activation(sp.tanh(sp.Symbol("x")))),
    ):
        assert pickle.loads(pickle.dumps(node)) == node
        assert node.func(*node.args) == node
    assert SQUARE.of(activation("tanh")) != SQUARE.of(activation("erf"))
    assert PAIR.xreplace({A: B, B: A, K_aa: K_bb, K_bb: K_aa}) == PAIR
    assert PAIR.relabel({"a": "b"}) == Average(Sigma(B, 0) ** 2)


def test_closed_forms_are_asked_for_by_the_average_itself():
    relu = SQUARE.of(activation("relu"))
    assert relu.closed() == K / 2
    assert relu.subs(K, 3).closed() == sp.Rational(3, 2)
    assert SQUARE.closed() == SQUARE
    assert SQUARE.of(activation("tanh")).closed() == SQUARE.of(activation("tanh"))
    assert (2 * relu.diff(K)).closed() == 1


@pytest.mark.parametrize(("name", "value"), [("tanh", 1), ("sigmoid", sp.Rational(1, 2)), ("hard_tanh", 1)])
def test_limits_at_infinite_variance_are_those_of_the_ends(name, value):
    node = SQUARE.of(activation(name))
    assert sp.limit(node, K, sp.oo) == value
    assert sp.limit((node - value) * 3 + node, K, sp.oo) == value
    with pytest.raises(NotImplementedError, match="sigma"):  # SymPy tries on, and then gives up
        sp.limit(SQUARE.of(activation("gelu")), K, sp.oo)


def test_a_fixed_point_is_found_by_sympy():
    """K = C_W <tanh^2> with C_W = 2: nsolve calls the average with numbers of mpmath."""
    right = ww.derive(ww.MLP("tanh", C_W=2, C_b=0), "K", samples=1).equation.rhs
    root = sp.nsolve(right - K, K, 0.7)
    assert abs(float(right.subs(K, root) - root)) < 1e-12
