"""The warning about small widths: by the fluctuations of kernels, whatever was asked for."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import widthwise as ww
from widthwise.numerics.initialisation.expansion import EXPANSION_LIMIT, MEASURES, wanted_for
from widthwise.theory.language.errors import ExpansionWarning, InvalidNetwork

RATES = dict(C_b=0, lambda_W=1, lambda_b=0)
X = np.array([[1.0, -0.5], [0.3, 0.8], [2.0, -1.0]])  # two of them parallel


@pytest.mark.quick
@pytest.mark.parametrize(("asked", "rows"), [(None, 1), ("K", 1), ("F", 1), ("K", 3), (("K", "Theta"), 3)])
def test_relu_is_warned_about_by_its_vertex(asked, rows):
    """V/(n K^2) = 5 (L - 1)/n to leading order, exactly 1.5^49 - 1; K1 vanishes, and tells nothing."""
    net = ww.MLP("relu", depth=50, width=10, C_W=2, **RATES)
    with pytest.warns(ExpansionWarning, match=r"width=10 is small for this depth: V/\(n K\^2\) is 24.5 in layer 50"):
        ww.predict(net, X[:rows], asked)


@pytest.mark.parametrize("activation", ["tanh", "linear", "relu", "gelu", "sin", "abs"])
@pytest.mark.parametrize("order", [0, 1])
def test_narrow_and_deep_networks_are_told_from_wide_ones(activation, order):
    net = ww.MLP(activation, depth=6, width=3, C_W=1.5, **RATES)
    with pytest.warns(ExpansionWarning, match=r"width=3 is small .* passed from layer \d on"):
        ww.predict(net, X[:1], order=order)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ww.predict(net.at_width(10_000), X[:1], order=order)


def test_the_tangent_kernel_is_asked_about_where_it_is_known():
    """Rates of orthogonal layers: V is small, B/(n Theta^2) is not; without rates nothing is asked about Theta."""
    everything = lambda name: True  # noqa: E731
    assert wanted_for(("K", "V"), everything) == ("K", *MEASURES["K"])
    assert wanted_for(("F",), everything) == ("K", *MEASURES["K"], "Theta", *MEASURES["Theta"])
    net = ww.MLP("linear", depth=40, width=8, C_W=1, C_b=0)
    with pytest.warns(ExpansionWarning, match=r"V/\(n K\^2\) is 9.75 in layer 40"):
        ww.predict(net, X, "K")
    assert EXPANSION_LIMIT == 0.5


def test_networks_with_skips_are_warned_about_at_several_inputs():
    net = ww.MLP("relu", depth=12, width=10, C_W=1.5, residual=0.5, **RATES)
    with pytest.warns(ExpansionWarning, match=r"V/\(n K\^2\) is [\d.]+ in layer 12"):
        ww.predict(net, X[:2])


def test_what_does_not_occur_is_not_asked_for():
    """K needs no learning rates, V none either; Theta does."""
    net = ww.MLP("tanh", depth=3, C_W=1, C_b=0)
    rates = net.with_(lambda_W=1, lambda_b=0)
    np.testing.assert_array_equal(ww.predict(net, X, quantities="K").K, ww.predict(rates, X, "K").K)
    np.testing.assert_allclose(ww.predict(net, X, ("V", "K1")).V, ww.predict(rates, X, "V").V, rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(ww.kernel(net, X, get="K"), ww.kernel(rates, X, get="K"))
    skips = net.with_(residual=0.5)
    assert ww.predict(skips, X, "K").K.shape == (3, 3, 3)
    for call in (lambda: ww.predict(net, X, "Theta"), lambda: ww.kernel(net, X), lambda: ww.predict(skips, X)):
        with pytest.raises(InvalidNetwork, match=r"lambda_.=None"):
            call()
    report = ww.validate(net, X[:1], widths=(8, 16), networks=100, quantities="K", workers=1)
    assert set(report.table["quantity"]) == {"K"}
    with pytest.raises(InvalidNetwork, match=r"lambda_.=None"):
        ww.simulate(net.at_width(8), X[:1], networks=8, quantities="Theta")
