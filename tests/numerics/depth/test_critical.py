"""Critical points: published numbers, and the conditions that define them."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.numerics.depth.critical import Stability, Universality, critical_points
from widthwise.theory.averages.closed_forms import specialize
from widthwise.theory.depth.criticality import susceptibilities
from widthwise.theory.language.errors import InvalidArgument, NotAvailable, UnknownName
from widthwise.theory.language.quantities import Entry
from widthwise.theory.language.symbols import C_W, C_b, z
from widthwise.theory.networks.activations import ACTIVATIONS
from widthwise.theory.networks.activations import activation as as_activation

# Roberts, Yaida & Hanin (arXiv:2106.10165), chapter 5; half-stable values to the digits of an independent quadrature.
PUBLISHED = {
    "relu": (2, 0, None, Universality.SCALE_INVARIANT),
    "linear": (1, 0, None, Universality.SCALE_INVARIANT),
    "leaky_relu": (2 / (1 + 1e-4), 0, None, Universality.SCALE_INVARIANT),
    "tanh": (1, 0, 0, Universality.ORIGIN),
    "sin": (1, 0, 0, Universality.ORIGIN),
    "erf": (np.pi / 4, 0, 0, Universality.ORIGIN),
    "gelu": (1.9830582574, 0.1729223908, (3 + np.sqrt(17)) / 2, Universality.HALF_STABLE),
    "swish": (1.9880046783, 0.5551431707, 14.3201736180, Universality.HALF_STABLE),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_critical_points(name):
    C_W, C_b, K, universality = PUBLISHED[name]
    point = ww.critical(name)
    assert point.universality is universality
    assert pytest.approx(C_W, rel=2e-10) == point.C_W
    assert point.C_b == pytest.approx(C_b, abs=1e-9)
    assert point.K is None if K is None else pytest.approx(K, abs=1e-8) == point.K


@pytest.mark.quick
@pytest.mark.parametrize("name", ["softplus", "sigmoid", "cos", "exp"])
def test_activations_without_critical_point_say_why(name):
    point = ww.critical(name)
    assert point.universality is Universality.NONE
    assert point.C_W is None
    assert "has no zero" in point.reason


@pytest.mark.quick
@pytest.mark.parametrize("name", ["gelu", "swish"])
def test_critical_kernel_is_a_fixed_point(name):
    """At the critical point the kernel of every layer is K*."""
    point = ww.critical(name)
    net = ww.MLP(name, depth=6, C_W=point.C_W, C_b=point.C_b, lambda_W=1, lambda_b=0)
    x = np.full((1, 4), np.sqrt((point.K - point.C_b) / point.C_W))
    assert ww.predict(net, x, "K").K.values.ravel() == pytest.approx(point.K, rel=1e-9)


def test_wrong_activations():
    with pytest.raises(InvalidArgument, match="unspecified"):
        ww.critical(None)
    with pytest.raises(UnknownName):
        ww.critical("gleu")


# ---------------------------------------------------------------- all critical points of every registered activation

LINE, ORIGIN, HALF, NONE = (
    Universality.SCALE_INVARIANT,
    Universality.ORIGIN,
    Universality.HALF_STABLE,
    Universality.NONE,
)

#: class, stability, C_W, C_b, K*, h; digits as published or by an independent integration (below).
ALL_POINTS = {
    "linear": [(LINE, Stability.MARGINAL, 1, 0, None, 0)],
    "relu": [(LINE, Stability.MARGINAL, 2, 0, None, 0)],
    "leaky_relu": [(LINE, Stability.MARGINAL, 2 / (1 + 1e-4), 0, None, 0)],
    "abs": [(LINE, Stability.MARGINAL, 1, 0, None, 0)],
    "prelu": [(LINE, Stability.MARGINAL, 32 / 17, 0, None, 0)],  # 2 / (1 + 1/16)
    "tanh": [(ORIGIN, Stability.STABLE, 1, 0, 0, -1)],
    "sin": [(ORIGIN, Stability.STABLE, 1, 0, 0, -0.5)],
    "erf": [(ORIGIN, Stability.STABLE, np.pi / 4, 0, 0, -1)],
    "elu": [(ORIGIN, Stability.STABLE, 1, 0, 0, None)],
    "celu": [(ORIGIN, Stability.STABLE, 1, 0, 0, None)],
    "softsign": [(ORIGIN, Stability.STABLE, 1, 0, 0, None)],  # |z| z has no third derivative
    "snake": [
        (ORIGIN, Stability.UNSTABLE, 1, 0, 0, 2),  # slopes 1, 2, 0: h = b_1/2 = 4/2
        (HALF, Stability.ABOVE, 0.6866665215844857, 0.017135873206030, 0.304688931718003, None),
    ],
    "selu": [(ORIGIN, Stability.STABLE, 0.4767710178827529, 0, 0, None)],  # 2 / (lambda^2 (1 + alpha^2))
    "hard_tanh": [(ORIGIN, Stability.STABLE, 1, 0, 0, 0)],
    "relu6": [(ORIGIN, Stability.STABLE, 2, 0, 0, 0)],
    "gabor": [(ORIGIN, Stability.STABLE, 1, 0, 0, -3.5)],  # the third derivative is -7
    "mish": [
        (ORIGIN, Stability.UNSTABLE, 25 / 9, 0, 0, 22 / 45),
        (HALF, Stability.BELOW, 2.01352406971953, 0.0945217873706653, 1.67016913247808, None),
    ],
    "hard_swish": [
        (ORIGIN, Stability.UNSTABLE, 4, 0, 0, 2 / 9),
        (HALF, Stability.BELOW, 1.9732895836425, 0.5071458487885, 4.8038559488804, None),
    ],
    "gelu": [
        (ORIGIN, Stability.UNSTABLE, 4, 0, 0, 4 / np.pi),
        (HALF, Stability.ABOVE, 1.9830582574, 0.1729223908, 3.5615528128, None),
    ],
    "swish": [
        (ORIGIN, Stability.UNSTABLE, 4, 0, 0, 0.5),
        (HALF, Stability.BELOW, 1.9880046783, 0.5551431707, 14.3201736180, None),
    ],
} | {name: [(NONE, None, None, None, None, None)] for name in (
    "quadratic", "cubic", "sigmoid", "hard_sigmoid", "softplus", "cos", "exp", "gaussian", "softshrink", "tanhshrink",
    "logsigmoid",
)}  # fmt: skip


@pytest.mark.parametrize("activation", ["sign", "step"])
def test_an_activation_that_jumps_has_no_susceptibility(activation):
    with pytest.raises(NotAvailable, match="which is not a function"):
        critical_points(activation)


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if not a.jumps], ids=lambda a: a.name)
def test_all_critical_points_of_every_activation(activation):
    found = critical_points(activation)
    expected = ALL_POINTS[activation.name]
    assert len(found) == len(expected)
    for point, (universality, stability, weight, bias, K, h) in zip(found, expected, strict=True):
        assert point.universality is universality
        assert point.stability is stability
        for value, known in ((point.C_W, weight), (point.C_b, bias), (point.K, K)):
            assert value is None if known is None else value == pytest.approx(known, abs=6e-11, rel=6e-11)
        if h is not None:
            assert point.h == pytest.approx(h, rel=1e-10)
        if universality is NONE:
            assert len(point.reason) > 40


def _mean(f, K):
    root = mpmath.sqrt(K)
    return mpmath.quad(lambda u: f(root * u) * mpmath.npdf(u), [-14, -6, -3, -1, 0, 1, 3, 6, 14])


@pytest.mark.parametrize("name", ["gelu", "swish", "snake"])
def test_half_stable_points_to_twelve_digits(name):
    """The defining conditions by mpmath integration at 25 digits, without generated code, closed forms or the engine."""
    point = critical_points(name)[-1]
    value, slope, bend = (sp.lambdify(z, sp.diff(as_activation(name).expr, z, k), "mpmath") for k in range(3))
    with mpmath.workdps(25):
        K = mpmath.findroot(lambda K: _mean(lambda u: value(u) * bend(u), K), point.K)
        weight = 1 / _mean(lambda u: slope(u) ** 2, K)
        bias = K - weight * _mean(lambda u: value(u) ** 2, K)
        # h and the curvature with Stein's z^2 - K in place of derivatives
        h = weight / (4 * K**2) * _mean(lambda u: slope(u) ** 2 * (u**2 - K), K)
        fourth = _mean(lambda u: value(u) ** 2 * ((u**2 / K) ** 2 - 6 * u**2 / K + 3), K) / K**2
        assert pytest.approx(float(K), rel=1e-12) == point.K
        assert pytest.approx(float(weight), rel=1e-12) == point.C_W
        assert point.C_b == pytest.approx(float(bias), rel=1e-11)
        assert point.h == pytest.approx(float(h), rel=1e-8)
        assert point.bend == pytest.approx(float(weight * fourth / 8), rel=1e-6)


def test_kernels_approach_a_half_stable_point_like_one_over_depth():
    """GELU from above: K - K* ~ 1/(-a l), so 1/(K - K*) grows by -a = 0.000144 in each layer, up to a term linear in K - K*."""
    point = critical_points("gelu")[-1]
    kernel = specialize(susceptibilities(ww.MLP("gelu").layer_map).kernel, as_activation("gelu"))
    known = {C_W: point.C_W, C_b: point.C_b, Entry("K", ("", "")): sp.Symbol("K")}
    step = sp.lambdify(sp.Symbol("K"), kernel.subs(known), "math")

    def growth(above):
        K = point.K + above
        for _ in range(500):
            K = step(K)
        return (1 / (K - point.K) - 1 / above) / 500

    assert 2 * growth(0.02) - growth(0.04) == pytest.approx(-point.bend, rel=2e-3)
    assert step(point.K - 0.5) < point.K - 0.5  # from below they leave


def test_exact_values_are_expressions():
    assert critical_points("erf")[0].exact == (sp.pi / 4, 0, 0)
    assert sp.simplify(critical_points("gelu")[1].exact[2] - (3 + sp.sqrt(17)) / 2) == 0
    assert critical_points("swish")[1].exact is None


def test_the_point_that_kernels_run_into_is_chosen():
    assert ww.critical("gelu") == critical_points("gelu")[1]
    assert ww.critical("tanh") == critical_points("tanh")[0]
    unstable = ww.critical(sp.Symbol("x") + sp.Symbol("x") ** 3)
    assert unstable.universality is NONE
    assert "unstable" in unstable.reason
