"""The mean-field system of a layer: Price's theorem against differentiation, total cumulance against exact moments."""

from __future__ import annotations

import pytest
import sympy as sp

from widthwise.theory.averages.closed_forms import specialize
from widthwise.theory.language.jets import Jet
from widthwise.theory.language.quantities import Entry, quantity
from widthwise.theory.language.symbols import C_W, rho
from widthwise.theory.layers.dense import Bias, Weights
from widthwise.theory.layers.map import LayerMap
from widthwise.theory.meanfield.expansion import recursion
from widthwise.theory.meanfield.system import MeanFieldSystem
from widthwise.theory.networks.activations import activation

pytestmark = pytest.mark.quick

DENSE = MeanFieldSystem(LayerMap((Bias(), Weights())))
VALUES = {("a", "a"): 0.7, ("a", "b"): 0.31, ("b", "b"): 1.3}


def number(expr, act):
    """An expression in averages for an activation with closed forms, at a covariance matrix and C_W = 2."""
    known = {Entry("K", labels): sp.Float(v, 30) for labels, v in VALUES.items()}
    return sp.N(specialize(expr, act).subs(C_W, 2).xreplace(known), 25)


@pytest.mark.parametrize("name", ["cubic", "relu", "erf", "sin"])
def test_the_jacobian_is_the_derivative_of_the_mean(name):
    """J = dF/dq by Price's theorem, and by differentiating the closed form of F."""
    act = activation(name)
    pair = (Jet("a"), Jet("b"))
    mean = specialize(DENSE.mean(pair), act)
    for (x, y), value in DENSE.response(pair).items():
        if name == "relu" and x.sample == y.sample:
            continue  # <sigma'' sigma> is an average of a delta function
        slope = sp.diff(mean.subs(Entry("K", (x.sample, y.sample)), t := sp.Symbol("t", real=True)), t)
        slope = slope.subs(t, Entry("K", (x.sample, y.sample)))
        assert abs(number(slope, act) - number(value, act)) < 1e-18, (x, y)


def linear(name, known):
    """One step of a recursion of one input with sigma = z, C_W = 1, equal widths."""
    row = quantity(name)
    right = recursion(DENSE, row, ("",) * row.rank).right
    right = specialize(right, activation("linear")).subs({C_W: 1, rho: 1, sp.Symbol("C_b", nonnegative=True): 0})
    found = right.xreplace({e: known[e.name] for e in right.atoms(Entry)})
    assert not found.free_symbols, found.free_symbols
    return found


def test_total_cumulance_gives_the_moments_of_products_of_chi_squares():
    """A linear network's variance is a product of chi^2_n / n: E q^2 = (1+2/n)^m, E q^3 = ((1+2/n)(1+4/n))^m after m layers."""
    state = {"K": sp.S.One} | dict.fromkeys(("V", "V6", "K1", "K2", "V1"), sp.S.Zero)
    e = sp.Symbol("e")  # 1/n
    for m in range(1, 5):
        state = {name: linear(name, state) for name in state}
        second, third = (1 + 2 * e) ** m, ((1 + 2 * e) * (1 + 4 * e)) ** m
        variance = sp.Poly(second - 1, e)
        skewness = sp.Poly(sp.expand(third - 3 * second + 2), e)
        assert (state["K"], state["K1"], state["K2"]) == (1, 0, 0)
        assert (state["V"], state["V1"]) == (variance.coeff_monomial(e), variance.coeff_monomial(e**2))
        assert skewness.coeff_monomial(e) == 0
        assert state["V6"] == skewness.coeff_monomial(e**2)
