"""Critical points: published numbers, and the conditions that define them."""

from __future__ import annotations

import numpy as np
import pytest

import widthwise as ww
from widthwise.numerics.critical import Universality
from widthwise.theory.errors import InvalidArgument, UnknownName

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


@pytest.mark.parametrize("name", ["softplus", "sigmoid", "cos", "exp"])
def test_activations_without_critical_point_say_why(name):
    point = ww.critical(name)
    assert point.universality is Universality.NONE
    assert point.C_W is None
    assert "has no zero" in point.reason


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
