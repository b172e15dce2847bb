"""Equations of a concrete activation: closed forms are found, what does not exist is refused, and notation."""

from __future__ import annotations

import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.initialisation.notation import Susceptibility
from widthwise.theory.language.errors import InvalidArgument, NotAvailable
from widthwise.theory.networks.activations import ACTIVATIONS

K, V, C_W, rho, Theta, h = *(ww.symbols[n] for n in ("K", "V", "C_W", "rho", "Theta")), sp.Symbol("h")
X = [[1.0, 0.3]]
NUMBERS = {"C_W": 1, "C_b": 0, "lambda_W": 1, "lambda_b": 0, "depth": 3}


@pytest.mark.quick
def test_the_vertex_of_relu_is_found_by_itself():
    """5 C_W^2 K^2/4 + C_W^2 V/4 (Roberts, Yaida & Hanin)."""
    found = ww.derive(ww.MLP("relu"), "V", samples=1)
    assert sp.expand(found.equation.rhs - 5 * C_W**2 * K**2 / 4 - C_W**2 * rho * V / 4) == 0
    assert str(found) == "V' = 5*C_W**2*K**2/4\n    + C_W**2*rho*V/4"
    assert "langle" not in found.latex() + found._repr_latex_()
    assert found.general.law == found.law == ww.derive(ww.MLP(), "V", samples=1).law
    assert str(found.general) == str(ww.derive(ww.MLP(), "V", samples=1))
    assert not ww.derive(ww.MLP("relu"), "K").equation.rhs.has(Average)  # the arccosine kernel


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda a: a.name)
def test_print_is_the_general_law_and_predict(act):
    """What is printed evaluates to what generated code gives; averages that are left are those of the activation."""
    system = ww.derive(ww.MLP(act, C_W=1, C_b=0, lambda_W=1, lambda_b=0, width=5), "K", samples=1)
    assert all(n.activation == act for n in system.equation.rhs.atoms(Average))
    code = ww.compile(system)({"K": 0.7})["K"]
    assert float(system.equation.rhs.evalf(12, subs={K: 0.7})) == pytest.approx(float(code), rel=1e-8)


@pytest.mark.parametrize("act", [a for a in ACTIVATIONS if a.kinks], ids=lambda a: a.name)
def test_what_predict_refuses_is_not_derived(act):
    """By name, with the average and the reason; the rest of the system stays."""
    net = ww.MLP(act, **NUMBERS)
    system = ww.derive(ww.MLP(act), samples=1)
    assert set(system) == set(ww.predict(net, X).data_vars) - {"average_error"}
    assert set(system).isdisjoint(dict(system.left_out))
    assert set(system) | set(dict(system.left_out)) == set(ww.derive(ww.MLP(), samples=1))
    for name, reason in system.left_out[:1]:
        with pytest.raises(NotAvailable, match=f"{name}: the average .* not a function.*allowed: ") as error:
            ww.derive(ww.MLP(act), name, samples=1)
        assert reason in str(error.value)
        assert f"{name}: left out" in str(system) or f"{name}, " in str(system)


def test_what_is_left_is_a_system_that_compiles():
    """As of relu, whose whole system used to be refused."""
    step = ww.compile(ww.derive(ww.MLP("relu"), samples=1).closed(("K", "V", "Q")))
    assert set(step.names) == {"K", "Theta", "V", "F", "Q"}


def test_the_system_with_skips_leaves_out_the_same():
    system = ww.derive(ww.MLP("relu", residual=0.5, depth=3), samples=1)
    assert {"R", "S", "T", "U", "P", "Q"} <= set(dict(system.left_out))
    assert {"K", "Theta", "V"} <= set(system.names)
    with pytest.raises(NotAvailable, match="R: the average"):
        ww.derive(ww.MLP("relu", residual=0.5, depth=3), "R")


#: Recursions of one input, as in Roberts, Yaida & Hanin (arXiv:2106.10165), with omega = lambda_W chi_parallel/C_W + 2 h Theta.
def published(chi, perp, h, omega, D, F, B):
    """The inherited parts, by quantity."""
    Q = ww.symbols.Q
    return {
        "V": chi**2 * V, "F": chi**2 * F, "B": perp**2 * B, "D": chi * (omega * V + perp * D),
        "A": omega**2 * V + 2 * omega * perp * D + perp**2 * ww.symbols.A, "Q": omega * chi * F + perp * chi * Q,
        "T": omega**2 * F + 2 * omega * perp * Q + perp**2 * ww.symbols.T, "U": perp**2 * ww.symbols.U,
    }  # fmt: skip


@pytest.mark.quick
def test_the_notation_of_the_book():
    system = ww.derive(ww.MLP(), samples=1).in_notation("chi")
    letters = {str(s): s for equation in system.values() for s in equation.rhs.atoms(Susceptibility)}
    chi, perp, h = (letters[n] for n in ("chi_parallel", "chi_perp", "h"))
    omega = ww.symbols.lambda_W * chi / C_W + 2 * h * Theta
    for name, right in published(chi, perp, h, omega, *(ww.symbols[n] for n in "DFB")).items():
        inherited = sum(f * e for e, f in system.statement(name).printed.inherited)
        assert sp.expand(inherited - rho * right) == 0, name
    text = str(system)
    assert "chi_parallel = C_W*<sigma'**2>\n    + C_W*<sigma*sigma''>" in text
    assert "chi_perp = C_W*<sigma'**2>" in text
    assert r"\chi_{\parallel}^{2}" in system.latex()
    assert r"\chi_{\parallel} &= " in ww.derive(ww.MLP(), "V", samples=1).latex(notation="chi")


def test_susceptibilities_are_functions_of_the_kernel():
    """They differentiate, and are numbers, as the averages that they are."""
    plain, letters = (
        ww.derive(ww.MLP("tanh"), "V", samples=1).text,
        ww.derive(ww.MLP("tanh"), "V", samples=1).in_notation("chi"),
    )
    assert "chi_parallel**2*V" in plain(notation="chi")
    difference = letters.equation.rhs.diff(K) - ww.derive(ww.MLP("tanh"), "V", samples=1).equation.rhs.diff(K)
    assert sp.expand(difference.doit()) == 0
    assert ww.derive(ww.MLP("relu", C_W=2), "V", samples=1).text(notation="chi").endswith("chi_parallel = 1")
    (chi,) = letters.equation.rhs.atoms(Susceptibility)
    assert str(chi.subs(K, 1)) == "chi_parallel(1)"
    assert float(chi.subs({K: 1, C_W: 1}).evalf()) == pytest.approx(0.18179768814)


def test_other_notations_are_refused():
    with pytest.raises(InvalidArgument, match="notation='x'; allowed: 'averages', 'chi'"):
        ww.derive(ww.MLP(), "V", samples=1).latex(notation="x")
    with pytest.raises(NotAvailable, match="of several samples; allowed"):
        ww.derive(ww.MLP(), "V").text(notation="chi")
    with pytest.raises(NotAvailable, match="notation='chi' of Dynamics; allowed: None"):
        ww.derive(ww.Training(ww.MLP("tanh", depth=3))).text(notation="chi")


def test_the_same_right_hand_side_changes_nothing():
    for found in (ww.derive(ww.MLP("tanh")), ww.derive(ww.MLP("relu"), samples=1)):
        assert found.with_(V=found.system["V"].rhs) == found
        assert found.with_(V=found["V"].rhs) == found
