"""Around a fixed point: series of closed forms, sums over layers, and recursions that are iterated."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.averages.closed_forms import specialize
from widthwise.theory.averages.taylor import taylor
from widthwise.theory.depth.asymptotics import closed_system
from widthwise.theory.depth.decay import Decay
from widthwise.theory.depth.depthlaw import SHIFT, kernel
from widthwise.theory.depth.fixed import Fixed
from widthwise.theory.depth.origin import Origin
from widthwise.theory.language.errors import NotAvailable
from widthwise.theory.language.jets import Overlap
from widthwise.theory.language.quantities import Entry
from widthwise.theory.language.symbols import C_W, C_b, ell, lambda_b, lambda_W
from widthwise.theory.networks.activations import activation

pytestmark = pytest.mark.quick

#: K' of one input at C_W = 1, C_b = 0.
CLOSED = {"sin": (1 - sp.exp(-2 * kernel)) / 2, "erf": 2 / sp.pi * sp.asin(2 * kernel / (1 + 2 * kernel))}


def origin(name, order=5):
    net = ww.MLP(name)
    data = taylor(net.activation)
    return Origin(closed_system(net, ("K",)), data.scaled(), sp.Integer(order)), data.scale


@pytest.mark.parametrize("name", CLOSED)
def test_the_orbit_is_the_series_of_the_closed_form(name):
    """K' = K (1 + u), with the activation divided by its slope."""
    system, scale = origin(name)
    assert system.critical_weight == system.ring.one
    expected = sp.series(CLOSED[name] / scale**2, kernel, 0, 5).removeO()
    for (e, j), c in system.orbit.u.terms.items():
        assert j == 0
        assert sp.simplify(c.as_expr() - expected.coeff(kernel, e + 1)) == 0
    assert max(e for e, _ in system.orbit.u.terms) == 3


def test_no_weight_is_critical_without_a_slope_or_with_an_offset():
    for name in ("quadratic", "cos"):
        with pytest.raises(NotAvailable):
            _ = origin(name)[0].critical_weight


def test_the_layer_number_of_abel_counts_layers():
    """tau(K') - tau(K) = 1 to the order of the series, for sin."""
    system, _ = origin("sin", 8)
    tau = sp.Add(*(c.as_expr() * kernel**e * sp.log(kernel) ** j for (e, j), c in system.abel.terms.items()))
    with mpmath.workdps(40):
        count = sp.lambdify(kernel, tau, "mpmath")
        K = mpmath.mpf("1e-4")
        after = (1 - mpmath.exp(-2 * K)) / 2
        assert abs(count(after) - count(K) - 1) < 1e-20


def test_the_decay_in_depth_is_that_of_the_iterated_recursion():
    """K at layer 4000 from ell_0 at layer 1000: 1/ell, its logarithm, and nothing of relative order 1/ell."""
    system, scale = origin("sin", 6)
    law = Decay(system.solve(), {}, scale).check().laws()["K"]
    K, kept = mpmath.mpf("0.5"), {}
    for layer in range(1, 4001):
        kept[layer] = K
        K = (1 - mpmath.exp(-2 * K)) / 2
    at = sp.lambdify((ell, SHIFT), law.series, "mpmath")
    shift = mpmath.findroot(lambda s: at(1000, s) - kept[1000], 0)
    assert abs(at(4000, shift) / kept[4000] - 1) < 1e-5
    assert abs(at(4000, 0) / kept[4000] - 1) > 1e-4  # the shift is seen
    assert abs(law.leading.subs(ell, 4000) / kept[4000] - 1) < 5e-3


def test_a_kernel_that_grows_is_no_law():
    system, scale = origin(sp.sinh(sp.Symbol("x")))
    with pytest.raises(NotAvailable, match="K = 0 is unstable"):
        Decay(system, {}, scale).check()


def test_sums_over_layers_are_the_recursions_iterated():
    """Linear networks: every tensor a polynomial in the layer, against the recursions from layer to layer in fractions."""
    net, act = ww.MLP("linear"), activation("linear")
    laws = closed_system(net, ("V", "D", "F", "A", "B"))
    fixed = {C_W: sp.S.One, C_b: sp.S.Zero, lambda_b: sp.Rational(1, 3), lambda_W: sp.Rational(2, 5)}

    def write(expr):
        return specialize(expr, act).xreplace(fixed | {Entry("K", ("", "")): kernel})

    solved, definitions = Fixed(laws, write).solve()
    assert not definitions
    K = sp.Rational(3, 2)
    own = {node: K for d in laws.values() for node in d.first.rhs.atoms(Overlap)}
    state = {name: write(d.first.rhs.xreplace(own)).subs(kernel, K) for name, d in laws.items()}
    for layer in range(1, 6):
        for name, poly in solved.items():
            assert sp.expand(poly.as_expr().subs({ell: layer, kernel: K}) - state[name]) == 0, (name, layer)
        steps = {name: write(d.law.right).subs(kernel, K) for name, d in laws.items()}
        state = {n: step.xreplace({e: state[e.name] for e in step.atoms(Entry)}) for n, step in steps.items()}


def test_exponential_growth_is_no_polynomial():
    laws = closed_system(ww.MLP("linear"), ("V",))
    twice = {C_W: sp.S(2), C_b: sp.S.Zero, Entry("K", ("", "")): kernel}
    with pytest.raises(NotAvailable, match="its growth is exponential"):
        Fixed(laws, lambda e: specialize(e, activation("linear")).xreplace(twice)).solve()
