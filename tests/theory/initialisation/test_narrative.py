"""The sentences of a derivation are true of the case at hand."""

from __future__ import annotations

import pytest

import widthwise as ww
from widthwise.theory.language import latex
from widthwise.theory.language.symbols import C_W


def told(net, name, **options):
    return {step.title: step for step in ww.derive(net, name, **options).steps}


@pytest.mark.parametrize("name", ["K", "V", "K1", "V6"])
def test_of_preactivations_alone_nothing_is_said_of_gradients(name):
    """No directions, no Leibniz rule, no products of Theta."""
    steps = told(ww.MLP(), name, samples=1)
    text = " ".join(step.reason for step in steps.values())
    for wrong in (r"\Theta", "Leibniz", "Isserlis", "direction", r"\lambda"):
        assert wrong not in text, wrong
    assert "Gaussian averages" in steps


@pytest.mark.parametrize(("name", "products"), [("F", True), ("Theta", True), ("A", True), ("Q", True)])
def test_of_gradients_it_is_said_what_becomes_of_them(name, products):
    steps = told(ww.MLP(), name, samples=1)
    assert "Leibniz" in steps["Layer map of the jets"].reason
    assert (r"products of $\Theta$" in steps["Isserlis"].reason) == products


def test_weights_that_are_not_gaussian_are_not_said_to_be():
    for weights, words in (("uniform", "fourth cumulant"), ("orthogonal", "fourth cumulants")):
        steps = told(ww.MLP(weights=weights), "V", samples=1)
        assert "independent Gaussians" not in steps["Layer map"].reason
        assert words in steps["Layer map"].reason
    assert "independent Gaussians" in told(ww.MLP(), "V", samples=1)["Layer map"].reason
    assert r"\tau" in told(ww.MLP(weights="orthogonal"), "V", samples=1)["Law of total cumulance"].reason
    assert r"\tau" not in told(ww.MLP(), "V", samples=1)["Law of total cumulance"].reason


def test_numbers_that_are_put_in_are_told():
    """C_W stands in the result, and is gone in the last step, which says why."""
    steps = told(ww.MLP("relu", C_W=2), "V", samples=1)
    assert steps["Result"].equations[0].rhs.has(C_W)
    last = steps["For this network"]
    assert not last.equations[0].rhs.has(C_W)
    assert "$C_{W}=2$" in last.reason
    assert latex.tex(ww.derive(ww.MLP("relu", C_W=2), "V", samples=1).equation.rhs) == latex.tex(last.equations[0].rhs)
    assert r"\max" in last.reason
    assert "For this network" not in told(ww.MLP(), "V", samples=1)


def test_what_does_not_enter_is_not_told():
    """tanh has no closed forms, and lambda_W is in no preactivation."""
    reason = told(ww.MLP("tanh", C_W=2, lambda_W=3), "V", samples=1)["For this network"].reason
    assert "lambda" not in reason
    assert "closed form" not in reason
    assert "For this network" not in told(ww.MLP("tanh", lambda_W=3), "V", samples=1)
