"""The layer map acts on jets as differentiation acts on a literal layer."""

from __future__ import annotations

from itertools import combinations

import pytest
import sympy as sp

from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.symbols import C_W, C_b, lambda_b, lambda_W
from widthwise.theory.layers.dense import Bias, Weights
from widthwise.theory.layers.map import PROBES, LayerMap, along_all
from widthwise.theory.layers.skip import Skip

pytestmark = pytest.mark.quick

DENSE = LayerMap((Bias(), Weights()))
PARAMETERS = ("b", "W")


def literal(directions, gamma):
    """d_R of b + W sigma(z) + gamma z at s = 0, moved along the directions: SymPy's derivatives alone."""
    s = {r: sp.Symbol(f"s_{r}") for r in directions}
    moved = {p: sp.Symbol(p) + sum(s[r] * sp.Symbol(f"{p}_{r}") for r in directions) for p in PARAMETERS}
    every = [c for k in range(len(directions) + 1) for c in combinations(directions, k)]
    z = sum(sp.Symbol("z" + "".join(c)) * sp.Mul(*(s[r] for r in c)) for c in every)
    sigma = sp.Function("sigma")
    whole = moved["b"] + moved["W"] * sigma(z) + gamma * z
    for r in directions:
        whole = sp.diff(whole, s[r])
    return sp.expand(whole.subs(dict.fromkeys(s.values(), 0)).doit())


def spelled(expr):
    """Jets and derivatives of sigma in the letters of the literal layer."""
    sigma, z = sp.Function("sigma"), sp.Symbol("z")
    slopes = {
        f: sp.diff(sigma(z), z, f.order) if f.order else sigma(z) for f in sp.sympify(expr).atoms(Sigma)
    }  # fmt: skip
    expr = sp.sympify(expr).xreplace(slopes)
    return expr.xreplace({jet: sp.Symbol("z" + "".join(jet.directions)) for jet in expr.atoms(Jet)})


@pytest.mark.parametrize("directions", [(), ("r",), ("r", "s"), ("r", "s", "t")])
def test_the_leibniz_rule_is_differentiation_of_a_literal_layer(directions):
    gamma = sp.Rational(2, 3)
    layer = LayerMap((*DENSE.terms, Skip(gamma)))
    jet = Jet("", directions)
    total = spelled(layer.own(jet))
    for field, coefficient in layer.expand(jet).items():
        total += sp.Symbol("_".join((field.parameter, *field.direction))) * spelled(coefficient)
    assert sp.simplify(sp.expand(total) - literal(directions, gamma)) == 0


def test_a_pair_is_the_covariance_of_its_fields():
    """K' and Theta' of the book, from the fields that two jets share."""
    K, Theta = (DENSE.observable((Jet("a", d), Jet("b", d))) for d in ((), "r"))
    s = {(x, k): Sigma(Jet(x), k) for x in "ab" for k in (0, 1)}
    assert (K.constant, K.site, K.own) == (C_b, C_W * s["a", 0] * s["b", 0], 0)
    expected = lambda_W * s["a", 0] * s["b", 0] + C_W * s["a", 1] * s["b", 1] * Jet("a", "r") * Jet("b", "r")
    assert (Theta.constant, sp.expand(Theta.site - expected), Theta.own) == (lambda_b, 0, 0)


def test_derivatives_along_different_directions_commute():
    site = Sigma(Jet("a"), 0) * Jet("b", "r")
    assert along_all(site, ("s", "t")) == along_all(site, ("t", "s"))


def test_a_layer_says_what_it_is():
    assert DENSE.gaussian
    assert not DENSE.skips
    skip = LayerMap((*DENSE.terms, Skip()))
    assert skip.skips
    assert not skip.gaussian
    assert all(skip.own(jet) == skip.terms[-1].gamma * jet for jet in PROBES)
