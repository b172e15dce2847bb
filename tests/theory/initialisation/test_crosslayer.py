"""The derived equations of networks with skips: closed, printed with their steps, and those of one layer without a skip."""

from __future__ import annotations

import re

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.theory.averages.gaussian import Average, average
from widthwise.theory.initialisation.layered import ELL, J, K, Layered, M, layered, mixing
from widthwise.theory.language.errors import InvalidArgument, InvalidNetwork, NotAvailable
from widthwise.theory.language.jets import Jet, Sigma

gamma = sp.Symbol("gamma", real=True)
TENSORS = tuple("VDFABPQRSTU")
STEPS = [
    "A neuron through all layers",
    "Kernels",
    "Noise",
    "Price",
    "Covariances of the averages",
    "Own products",
    "Result",
]


def test_equations_of_the_four_point_vertex():
    """The closed system of V, written down by hand from the docstring of the module, for C_b = 0."""
    found = ww.derive(ww.MLP(C_b=0), "V", layer=ww.residual())
    s = {label: Sigma(Jet(label), 0) for label in ("ell", "m")}
    above = layered("C_W", ELL + 1), layered("C_W", M + 1)
    n = layered("n", ELL), layered("n", M)
    squares = s["ell"] ** 2, s["m"] ** 2
    noise = above[0] * above[1] * (average(squares[0] * squares[1]) - average(squares[0]) * average(squares[1])) / n[0]
    chi = layered("C_W", ELL + 1) / 2 * Average(squares[0], (Jet("ell"), Jet("ell")))
    kernel = layered("K", ELL, M, head="K")
    own = above[1] * kernel**2 * Average(squares[1], (Jet("m"), Jet("m"))) / n[1]  # Stein's identity, twice
    assert sp.expand(found["S_V"].rhs - noise) == 0
    assert sp.expand(found["J_V_V"].rhs - chi) == 0
    assert sp.expand(found["O_V"].rhs - own) == 0

    def letter(name, *layers):
        (atom,) = (x for x in found.statement(name).law.left.atoms(Layered))
        return atom.at(*layers)

    below = sp.Sum(mixing(M, K) ** 2 * letter("N_V", ELL + 1, K), (K, 1, M))
    assert found["N_V"].rhs == letter("S_V", ELL + 1, M + 1) + letter("J_V_V", M) * below
    both = sp.Sum(mixing(ELL, J) ** 2 * mixing(ELL, K) ** 2 * letter("C_V", J, K), (J, 1, ELL), (K, 1, ELL))
    once = sp.Sum(mixing(ELL, K) ** 2 * letter("G_V", ELL, K), (K, 1, ELL))
    assert sp.expand(found["V"].rhs - layered("n", ELL - 1) * (both + 2 * once)) == 0
    assert found.further[0].right == gamma ** (ELL - K)


@pytest.mark.parametrize("name", ["K", "Theta", *TENSORS])
def test_each_system_is_closed_and_has_its_steps(name):
    found = ww.derive(ww.MLP("tanh"), name, layer=ww.residual())
    assert found.equation == found[name]
    letters = {x.name for s in found.statements for x in s.law.right.atoms(Layered)}
    assert letters - {"C_b", "C_W", "lambda_b", "lambda_W", "n", "mix"} <= set(found)
    titles = [step.title for step in found.steps]
    assert titles == (STEPS[:2] if name in ("K", "Theta") else STEPS)
    assert all(step.reason and step.equations and step.latex() and str(step) for step in found.steps)
    for text in (found.latex(), found.latex(steps=True), found._repr_latex_()):
        assert text.count(r"\left") == text.count(r"\right")
        assert text.count("{") == text.count("}")
        assert not re.search(r"\^\{[^{}]*\}\^", text), "double superscript"
    assert r"\left(\mathcal{R}^{(\ell,k)}\right)^{2}" in ww.derive(ww.MLP(), "V", layer=ww.residual()).latex()


def test_strengths_are_numbers_or_symbols_of_some_skips():
    uniform = ww.derive(ww.MLP("tanh", depth=4, residual=gamma), "K")
    assert uniform.further[0].right == gamma ** (ELL - K)
    assert ww.derive(ww.MLP("tanh", depth=4, residual=0.5), "K").further[0].right == sp.Rational(1, 2) ** (ELL - K)
    over = ww.derive(ww.MLP("tanh", depth=4, residual={(1, 3): gamma, (2, 4): 0.25}), "K")
    assert [str(law.left) + " = " + str(law.right) for law in over.further[1:3]] == [
        "gamma[3, 1] = gamma",
        "gamma[4, 2] = 1/4",
    ]
    with pytest.raises(InvalidNetwork, match=r"residual=\{\(1, 2\): gamma\} is a symbol"):
        ww.predict(ww.MLP("tanh", depth=2, C_W=1, C_b=0, lambda_W=1, lambda_b=0, residual=gamma), [[1.0]], "K")


@pytest.mark.quick
@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_without_a_skip_the_system_is_the_recursion_from_layer_to_layer(weights):
    """At gamma = 0 two derivations meet: all layers at once, and the law of total covariance of one layer."""
    net = ww.MLP("sin", weights=weights)
    given = {"C_W": 1.3, "C_b": 0.2, "lambda_W": 0.7, "lambda_b": 0.4, "tau": 1.0}
    names = ("K", "Theta", *TENSORS)
    skips = ww.derive(net, layer=ww.residual(weights=weights)).restrict(names)
    X = np.array([[0.9, -0.4, 1.1]])
    code, plain = ww.compile(skips), ww.compile(ww.derive(net, samples=1).restrict(names))
    found = code.recursion(X, 4, **code.arguments("recursion", given | {"residual": 0.0}))
    expected = plain.recursion(X, 4, **plain.arguments("recursion", given))
    for name in names:
        assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-14)
    other = code.recursion(X, 4, **code.arguments("recursion", given | {"residual": 0.3}))
    assert all(abs(other[name][-1] / expected[name][-1] - 1) > 1e-3 for name in names)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("K1",), NotAvailable, "K1: corrections to means"),
        (("V6",), NotAvailable, "V6: corrections to means and higher cumulants"),
        (("V", "1234"), NotAvailable, "V: fluctuations of networks with residual= are derived for one input"),
        ((None, None, 2), NotAvailable, "order=2 is not derived for networks with residual="),
        ((None, "12"), InvalidArgument, "samples='12' with all quantities"),
    ],
)
def test_what_is_not_derived_says_so(arguments, error, message):
    name, samples, order = (*arguments, *(None, None, None)[len(arguments) :])
    with pytest.raises(error, match=message):
        ww.derive(ww.MLP("tanh", depth=3, residual=0.5), name, samples=samples, order=order)
    with pytest.raises(InvalidArgument, match="layer=1 of"):
        ww.derive(ww.MLP("tanh"), layer=1)
