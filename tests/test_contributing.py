"""What CONTRIBUTING says is true: each new thing is the one row or file that the page names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.averages.closed_forms import specialize
from widthwise.theory.initialisation.dependencies import layer_recursion
from widthwise.theory.language import symbols
from widthwise.theory.language.errors import NotAvailable
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.quantities import TENSORS, Quantity, quantity
from widthwise.theory.layers.dense import Bias, Weights
from widthwise.theory.layers.map import Field, LayerMap, along_all, splits
from widthwise.theory.networks.activations import activation
from widthwise.theory.networks.ensembles import Ensemble

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
KNOWN = {"depth": 2, "C_W": 1.5, "C_b": 0.1, "lambda_W": 1.0, "lambda_b": 0.5}
X = np.array([[1.0, 0.5], [-0.3, 2.0]])


def test_the_page_is_one_page_and_names_what_is_there():
    """Each path of the page exists, and each name in it is found there."""
    assert len(PAGE.splitlines()) <= 60
    places = re.findall(
        r"`((?:theory|numerics|validation|widthwise|tests|benchmarks|docs)/[\w./]*)`(?: \(`(\w+)`\))?", PAGE
    )
    assert len(places) > 8
    for path, name in places:
        found = ROOT / path
        assert found.exists(), path
        assert not name or name in found.read_text(encoding="utf-8"), (path, name)


def test_a_new_activation_is_an_expression():
    """Its recursions, its generated code, its numbers and its literal networks follow from the expression."""
    softsign = ww.Activation("softsign", symbols.z / sp.sqrt(1 + symbols.z**2))
    net = ww.MLP(softsign, width=16, **KNOWN)
    assert ww.derive(net, "K", samples=1).averages
    theory = ww.predict(net, X, ["K", "V"])
    averaged = ww.gaussian_average("tanh(a)*tanh(b)", theory["K"][0].values)  # the control: another activation
    expected = 0.1 + 1.5 * np.mean([_pair(softsign, theory["K"][0].values, seed) for seed in range(8)])
    assert float(theory["K"][1, 0, 1]) == pytest.approx(expected, abs=0.01)
    assert float(theory["K"][1, 0, 1]) != pytest.approx(0.1 + 1.5 * averaged.value, abs=0.01)
    assert ww.simulate(net, X, networks=64, quantities="K")["K"].shape == (2, 2, 2)


def _pair(activation: ww.Activation, K: np.ndarray, seed: int) -> float:
    """The average of a product over draws."""
    a, b = np.random.default_rng(seed).multivariate_normal([0, 0], K, size=100_000).T
    function = sp.lambdify(symbols.z, activation.expr)
    return float(np.mean(function(a) * function(b)))


C_U, LAMBDA_U = sp.symbols("C_U lambda_U", positive=True)


@dataclass(frozen=True)
class Gate:
    r"""A layer of one's own: :math:`\sum_j U_{ij}\,z_j\,\sigma(z_j)`, with weights of its own variance and rate."""

    variance: sp.Expr = C_U
    rate: sp.Expr = LAMBDA_U

    def fields(self, jet: Jet) -> Iterator[tuple[Field, sp.Expr]]:
        """The matrix or its direction, times what it multiplies: the Leibniz rule."""
        z = Jet(jet.sample)
        for on_weight, on_function in splits(jet.directions):
            coefficient = along_all(z * Sigma(z, 0), on_function)
            yield Field("U", on_weight, self.rate if on_weight else self.variance, True), coefficient

    def own(self, jet: Jet) -> sp.Expr:
        """Nothing."""
        return sp.Integer(0)

    def latex(self) -> str:
        """The term."""
        return r"\sum_j U_{ij}\,z_j\sigma(z_j)"


def test_a_new_layer_is_a_term():
    """K, Theta and V of a layer with a term of one's own, with sigma(z) = z: averages of z^4 and so on are known."""
    term = Gate()
    layer = LayerMap((Bias(), Weights(), term))
    assert layer.gaussian
    assert not layer.skips
    K = sp.Symbol("K", positive=True)

    def law(name: str) -> sp.Expr:
        row = quantity(name)
        right = specialize(layer_recursion(layer, row, ("",) * row.rank).right, activation("linear"))
        letters = right.atoms(type(row.entry(("",) * row.rank)))
        return sp.expand(right.subs({letter: sp.Symbol(letter.name, positive=True) for letter in letters}))

    C_W, C_b = symbols.C_W, symbols.C_b
    Theta, V = sp.symbols("Theta V", positive=True)
    assert sp.expand(law("K") - (C_b + C_W * K + 3 * term.variance * K**2)) == 0
    expected = symbols.lambda_b + symbols.lambda_W * K + 3 * term.rate * K**2 + (C_W + 4 * term.variance * K) * Theta
    assert sp.expand(law("Theta") - expected) == 0
    # Var of f = C_W z^2 + C_U z^4 under N(0, K), and the derivative of <f> by K squared
    noise = 2 * C_W**2 * K**2 + 2 * 12 * C_W * term.variance * K**3 + 96 * term.variance**2 * K**4
    assert sp.expand(law("V") - (noise + symbols.rho * (C_W + 6 * term.variance * K) ** 2 * V)) == 0
    assert sp.expand(law("V") - (noise + symbols.rho * C_W**2 * V)) != 0


#: n^2 times the joint cumulant of a kernel and two tangent kernels.
A6 = Quantity(
    "A6", ((("", 0), ("", 1)), (("r", 2), ("r", 3)), (("s", 4), ("s", 5))), r"\mathcal{A}", "(01)(23)(45)",
    "cumulant of the kernel and two NTKs",
)  # fmt: skip


def test_a_new_tensor_is_a_row():
    """Derived, printed and predicted; in a deep linear network of two layers it is a moment of one layer's neurons."""
    net = ww.MLP("linear", **(KNOWN | {"C_b": 0.0, "lambda_b": 0.0}))
    TENSORS.register(A6)
    try:
        assert r"\mathcal{A}" in ww.derive(net, "A6", samples=1).latex()
        found = float(ww.predict(net, X[:1], "A6", order=2)["A6"][1].item())
    finally:
        TENSORS.remove("A6")
    # q_K = C_W <z^2> and H = lambda_W <z^2> + C_W Theta: only <z^2> fluctuates, with third cumulant 8 K^3 / n^2
    K = 1.5 * float(X[0] @ X[0]) / 2
    assert found == pytest.approx(1.5 * 1.0**2 * 8 * K**3, rel=1e-10)


def test_a_new_ensemble_is_its_cumulants():
    """The theory knows it by them; literal networks need a row that draws it, unless its entries are independent."""
    mine = Ensemble("mine", excess=sp.Rational(1, 2), meaning="independent entries of excess kurtosis 1/2")
    row = X[:1]
    local = {w: ww.predict(ww.MLP("linear", weights=w, **KNOWN), row, "X4") for w in (mine, ww.independent(0.5))}
    # independent entries: kappa_4 C_W^2 <z^4>, the average over the first layer as it is
    first, second = (float(local[mine]["X4"][layer].item()) for layer in (0, 1))
    assert first == pytest.approx(0.5 * 1.5**2 * float((row**4).mean()))
    assert second != pytest.approx(0.0)
    assert [first, second] == [float(x.item()) for x in local[ww.independent(0.5)]["X4"]]
    assert ww.simulate(ww.MLP("linear", width=8, weights=mine, **KNOWN), X, networks=8)["V"].shape == (2, 2, 2, 2, 2)
    unknown = Ensemble("unknown", crossed=-sp.Rational(1, 3))
    with pytest.raises(NotAvailable, match="weights=unknown cannot be drawn"):
        ww.simulate(ww.MLP("linear", width=8, weights=unknown, **KNOWN), X, networks=8)
