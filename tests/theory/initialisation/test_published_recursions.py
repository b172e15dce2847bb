"""The engine reproduces the published recursions, as symbolic identities.

Expectations are transcribed from Roberts, Yaida & Hanin, The Principles of Deep Learning Theory (arXiv:2106.10165), in the form
with derivatives under the averages (which Gaussian integration by parts gives, and which needs no inverse kernel).
"""

from __future__ import annotations

from itertools import product

import pytest
import sympy as sp

from widthwise.theory.averages.gaussian import Average, average
from widthwise.theory.initialisation import dependencies
from widthwise.theory.initialisation.derivation import derive_layer
from widthwise.theory.initialisation.derive import derive
from widthwise.theory.language import quantities
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.quantities import Entry, quantity
from widthwise.theory.language.symbols import C_W, C_b, lambda_b, lambda_W, rho
from widthwise.theory.meanfield import expansion
from widthwise.theory.networks.architecture import MLP

C, Z = C_W, Jet("")
half = sp.Rational(1, 2)


def explicit(expr):
    return sp.expand(expr.xreplace({node: node.explicit() for node in expr.atoms(Average)}))


def equal(derived, published):
    difference = sp.expand(explicit(derived) - explicit(published))
    print(sp.srepr(difference))  # which pytest shows of a test that fails
    return difference == 0


# ---------------------------------------------------------------- one input


def s(k=0):
    return Sigma(Z, k)


def T(name):
    return Entry(name, ("",) * quantity(name).rank)


K, Theta, V, D, F, A, B, K1, Theta1 = map(T, ("K", "Theta", "V", "D", "F", "A", "B", "K1", "Theta1"))
P, Q, R, S_, T_, U = map(T, "PQRSTU")
s2 = average(s() ** 2)
chi_par = C * average(s(1) ** 2 + s() * s(2))
chi_perp = C * average(s(1) ** 2)
# h = (1/2) d chi_perp / dK = C/4 <d^2 sigma'^2>
h = C / 4 * average(sp.diff(s(1) ** 2, Z, 2))
omega = lambda_W / C * chi_par + 2 * h * Theta
Omega = lambda_W * s() ** 2 + C * Theta * s(1) ** 2
d4_s2 = average(sp.diff(s() ** 2, Z, 4))
d4_sp2 = average(sp.diff(s(1) ** 2, Z, 4))
d2_sp2 = average(sp.diff(s(1) ** 2, Z, 2))

ONE_INPUT = {
    "K": C_b + C * s2,
    "Theta": lambda_b + lambda_W * s2 + chi_perp * Theta,
    "V": C**2 * (average(s() ** 4) - s2**2) + rho * chi_par**2 * V,
    "K1": rho * (chi_par * K1 + C / 8 * d4_s2 * V),
    "D": C * (average(s() ** 2 * Omega) - s2 * average(Omega)) + rho * chi_par * (omega * V + chi_perp * D),
    "F": C**2 * average(s() ** 2 * s(1) ** 2) * Theta + rho * chi_par**2 * F,
    "A": average(Omega**2) - average(Omega) ** 2 + rho * (omega**2 * V + 2 * omega * chi_perp * D + chi_perp**2 * A),
    "B": C**2 * average(s(1) ** 4) * Theta**2 + rho * chi_perp**2 * B,
    "P": C**2 * average(s() * s(2) * s(1) ** 2) * Theta**2 + rho * chi_perp * (C * average(s() * s(2)) * B + chi_par * P),
    "Q": C**2 * average(s() * s(2) * s(1) ** 2) * Theta**2 + lambda_W * C * average(s() ** 2 * s(1) ** 2) * Theta
    + rho * chi_par * (omega * F + chi_perp * Q),
    "R": C**2 * average(s(3) * s(1) ** 3) * Theta**3 + lambda_W * C * average(s() * s(2) * s(1) ** 2) * Theta**2
    + rho * chi_perp * ((lambda_W * average(s() * s(2)) + C * Theta * average(s(1) * s(3))) * B + omega * P + chi_perp * R),
    "S": C**2 * average(s(2) ** 2 * s(1) ** 2) * Theta**3 + lambda_W * C * average(s(1) ** 4) * Theta**2
    + rho * ((lambda_W / C * chi_perp**2 + C * chi_perp * average(s(2) ** 2) * Theta) * B + chi_perp**2 * S_),
    "T": average((lambda_W * s() * s(1) + C * Theta * s(1) * s(2)) ** 2) * Theta
    + rho * (omega**2 * F + 2 * omega * chi_perp * Q + chi_perp**2 * T_),
    "U": C**2 * average(s(2) ** 2 * s(1) ** 2) * Theta**3 + rho * chi_perp**2 * U,
    "Theta1": rho
    * (
        lambda_W * (chi_par / C * K1 + d4_s2 * V / 8)
        + chi_perp * Theta1
        + C * Theta * (half * d2_sp2 * K1 + d4_sp2 * V / 8)
        + C * d2_sp2 * (half * D + F)
    ),
}  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize("name", ONE_INPUT)
def test_one_input_recursion_is_the_published_one(name):
    """Every tensor at one input, all coefficients."""
    assert equal(derive(MLP(), name, samples=1).law.right, ONE_INPUT[name])


@pytest.mark.quick
@pytest.mark.parametrize("name", ONE_INPUT)
def test_a_changed_coefficient_is_noticed(name):
    """Negative control: each term of the expectation, changed by a factor, breaks the identity."""
    derived = derive(MLP(), name, samples=1).law.right
    for term in sp.Add.make_args(explicit(ONE_INPUT[name])):
        assert not equal(derived, ONE_INPUT[name] + term * sp.Rational(1, 100))


# ---------------------------------------------------------------- many inputs


def S(label, k=0):
    return Sigma(Jet(label), k)


def t(name, *labels):
    return quantity(name).entry(labels)


def d(expr, *labels):
    """<d_label ... expr>."""
    return average(sp.diff(expr, *(Jet(x) for x in labels)))


def O(a, b):
    return lambda_W * S(a) * S(b) + C * t("Theta", a, b) * S(a, 1) * S(b, 1)


ALL = "1234"


def pairs(n):
    return product(ALL, repeat=n)


MANY_INPUTS = {
    "K": C_b + C * average(S("1") * S("2")),
    "Theta": lambda_b + average(O("1", "2")),
    "V": C**2 * (average(S("1") * S("2") * S("3") * S("4")) - average(S("1") * S("2")) * average(S("3") * S("4")))
    + rho * C**2 / 4 * sum(d(S("1") * S("2"), b, g) * t("V", b, g, x, y) * d(S("3") * S("4"), x, y) for b, g, x, y in pairs(4)),
    "D": C * (average(S("1") * S("2") * O("3", "4")) - average(S("1") * S("2")) * average(O("3", "4")))
    + rho * C / 4 * sum(d(S("1") * S("2"), b, g) * t("V", b, g, x, y) * d(O("3", "4"), x, y) for b, g, x, y in pairs(4))
    + rho * C**2 / 2 * sum(d(S("1") * S("2"), b, g) * t("D", b, g, "3", "4") for b, g in pairs(2)) * average(S("3", 1) * S("4", 1)),
    # F_1324: labels in the order of the correlator z_1 z_2 H_34
    "F": C**2 * average(S("1") * S("2") * S("3", 1) * S("4", 1)) * t("Theta", "3", "4")
    + rho * C**2 * sum(d(S("1") * S("3", 1), b) * d(S("2") * S("4", 1), g) * t("F", b, g, "3", "4") for b, g in pairs(2)),
    "A": average(O("1", "2") * O("3", "4")) - average(O("1", "2")) * average(O("3", "4"))
    + rho / 4 * sum(d(O("1", "2"), b, g) * t("V", b, g, x, y) * d(O("3", "4"), x, y) for b, g, x, y in pairs(4))
    + rho * C / 2 * sum(d(O("1", "2"), b, g) * t("D", b, g, "3", "4") for b, g in pairs(2)) * average(S("3", 1) * S("4", 1))
    + rho * C / 2 * sum(d(O("3", "4"), b, g) * t("D", b, g, "1", "2") for b, g in pairs(2)) * average(S("1", 1) * S("2", 1))
    + rho * C**2 * average(S("1", 1) * S("2", 1)) * average(S("3", 1) * S("4", 1)) * t("A", *ALL),
    "B": C**2 * average(S("1", 1) * S("2", 1) * S("3", 1) * S("4", 1)) * t("Theta", "1", "2") * t("Theta", "3", "4")
    + rho * C**2 * average(S("1", 1) * S("3", 1)) * average(S("2", 1) * S("4", 1)) * t("B", *ALL),
}  # fmt: skip


@pytest.mark.parametrize("name", MANY_INPUTS)
def test_many_input_recursion_is_the_published_one(name):
    """Every tensor at different inputs, all coefficients and index placements."""
    assert equal(derive(MLP(), name).law.right, MANY_INPUTS[name])


@pytest.mark.parametrize("name", sorted(ONE_INPUT))
def test_many_inputs_reduce_to_one(name):
    """All samples alike: the many-input recursion becomes the one-input recursion."""
    row = quantity(name)
    labels = dict.fromkeys(ALL, "")
    law = derive(MLP(), name).law.right
    one = law.xreplace({n: n.relabel(labels) for n in law.atoms(Average)} | {e: T(e.name) for e in law.atoms(Entry)})
    assert equal(one, derive(MLP(), name, samples=1).law.right)
    assert row.rank in (2, 4)


# ---------------------------------------------------------------- descendants of the NTK at many inputs


def test_dntk_tensors_at_many_inputs_are_the_published_ones():
    """P and Q at four different inputs, from the forward equation of the dNTK."""
    theta01, theta02 = quantity("Theta").entry(("0", "1")), quantity("Theta").entry(("0", "2"))
    labels = ("0", "1", "2", "3")
    P, Q = (derive(MLP(), name, samples=labels).law.right for name in "PQ")
    d01 = "0123"
    published_P = C**2 * average(S("0", 2) * S("1", 1) * S("2", 1) * S("3")) * theta01 * theta02 + rho * C**2 * (
        average(S("0", 2) * S("3")) * average(S("1", 1) * S("2", 1)) * _B_0012()
        + sum(d(S("0", 1) * S("3"), b) * average(S("1", 1) * S("2", 1)) * t("P", "0", "1", "2", b) for b in d01)
    )
    assert equal(P, published_P)
    published_Q = (
        C**2 * average(S("0", 2) * S("1", 1) * S("2", 1) * S("3")) * theta01 * theta02
        + lambda_W * C * average(S("0", 1) * S("1") * S("2", 1) * S("3")) * theta02
        + rho
        * (
            C
            * sum(
                d(lambda_W * S("0", 1) * S("1") + C * theta01 * S("0", 2) * S("1", 1), b)
                * d(S("2", 1) * S("3"), g)
                * t("F", b, g, "0", "2")
                for b, g in product(d01, repeat=2)
            )
            + C**2
            * sum(average(S("0", 1) * S("1", 1)) * d(S("2", 1) * S("3"), g) * t("Q", "0", "1", "2", g) for g in d01)
        )
    )
    assert equal(Q, published_Q)


def _B_0012():
    # the coefficient of delta_(i0 i0') delta_(i1 i2) in E[H_(i0 i1;01) H_(i0' i2;02)]: neuron one holds samples 0 and 0,
    # neuron two holds 1 and 2, so in the order of the correlator B[0, 1, 0, 2]
    return t("B", "0", "1", "0", "2")


def test_new_layer_map_needs_no_new_derivation_code():
    """A residual connection, gamma z + W sigma(z) + b, as a third term of the layer map gives its recursions."""
    from widthwise.theory.layers.dense import Bias, Weights
    from widthwise.theory.layers.map import LayerMap
    from widthwise.theory.layers.skip import Skip

    gamma = sp.Symbol("gamma", real=True)
    layer = LayerMap((Bias(), Weights(), Skip(gamma)))
    law = {
        n: derive_layer(layer, quantity(n), ("",) * quantity(n).rank).law.right for n in ("K", "Theta", "V", "F", "B")
    }
    g2 = gamma**2
    assert equal(law["K"], C_b + C * s2 + g2 * K)
    assert equal(law["Theta"], lambda_b + lambda_W * s2 + (chi_perp + g2) * Theta)
    # The neuron's own z_1^2 meets the average over all neurons once at each side: 2 gamma^2 C Cov(z^2, sigma^2), and
    # C Cov(z^2, sigma^2) = C K^2 <d^2 sigma^2> = 2 K^2 chi_par by Stein's identity: 4 gamma^2 chi_par K^2 in all, the term
    # that makes nu(gamma) = (1 - gamma^2)^2 nu + 4 gamma^2 (1 - gamma^2) for critical scale-invariant activations.
    born = C**2 * (average(s() ** 4) - s2**2) + 4 * g2 * chi_par * K**2
    assert equal(law["V"], born + rho * (chi_par + g2) ** 2 * V)
    assert equal(
        law["F"], (C**2 * average(s() ** 2 * s(1) ** 2) + 2 * g2 * chi_par * K) * Theta + rho * (chi_par + g2) ** 2 * F
    )
    assert equal(
        law["B"],
        (C**2 * average(s(1) ** 4) + 2 * g2 * C * average(s(1) ** 2)) * Theta**2 + rho * (chi_perp + g2) ** 2 * B,
    )


#: What orthogonal weights take from the sources (Day, Kahn & Roberts, arXiv:2310.07765): square matrices, one and many inputs.
ORTHOGONAL_ONE = {
    "V": -2 * C**2 * s2**2,
    "F": -(C**2) * s2 * average(s(1) ** 2) * Theta,
    "B": -(C**2) * average(s(1) ** 2) ** 2 * Theta**2,
}
ORTHOGONAL_MANY = {
    "V": -(C**2)
    * (average(S("1") * S("3")) * average(S("2") * S("4")) + average(S("1") * S("4")) * average(S("2") * S("3"))),
    "F": -(C**2) * average(S("1") * S("2")) * average(S("3", 1) * S("4", 1)) * t("Theta", "3", "4"),
    "B": -(C**2)
    * average(S("1", 1) * S("2", 1))
    * average(S("3", 1) * S("4", 1))
    * t("Theta", "1", "2")
    * t("Theta", "3", "4"),
}


@pytest.mark.parametrize("name", ONE_INPUT)
def test_orthogonal_weights_change_three_sources_only(name):
    """V, F, B lose the products of mismatched contractions; all other recursions are unchanged."""
    square = MLP("sigma", weights="orthogonal", depth=3, width=8)
    for samples, changes in ((1, ORTHOGONAL_ONE), (None, ORTHOGONAL_MANY)):
        gaussian = derive(MLP("sigma", depth=3, width=8), name, samples=samples).law.right
        assert equal(derive(square, name, samples=samples).law.right, gaussian + changes.get(name, 0))


def test_excess_kurtosis_enters_the_corrections_only():
    """K1 gains kappa_4 C^3 <d^4 sigma^2> <sigma^4> / 24 with one layer's delay; V ... U do not know of it."""
    net = MLP(weights="rademacher")
    for name in ONE_INPUT:
        if name not in ("K1", "Theta1"):
            assert derive(net, name, samples=1).law == derive(MLP(), name, samples=1).law
    X4 = T("X4")
    assert equal(derive(net, "K1", samples=1).law.right, ONE_INPUT["K1"] + rho * C / 24 * d4_s2 * X4)
    assert equal(derive(net, "X4", samples=1).law.right, -2 * C**2 * average(s() ** 4))
    gained = rho * (lambda_W * d4_s2 * X4 / 24 + C * Theta * d4_sp2 * X4 / 24 + C * d2_sp2 * T("Y4") / 2)
    assert equal(derive(net, "Theta1", samples=1).law.right, ONE_INPUT["Theta1"] + gained)


def test_derivation_goes_through_one_path(monkeypatch):
    """There is one derivation path: stubbing the law of total cumulance stops all quantities alike."""
    dependencies.layer_recursion.cache_clear()

    def stub(*args):
        raise RuntimeError("the one path")

    monkeypatch.setattr(dependencies, "recursion", stub)
    for row in quantities.TENSORS.values():
        with pytest.raises(RuntimeError, match="the one path"):
            derive(MLP(), row.name)
    assert expansion.recursion is not stub
