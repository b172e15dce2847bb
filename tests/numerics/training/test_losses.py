"""Training with losses that a user types: their kinks, and derivatives that jump there."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, NotAvailable
from widthwise.theory.training.losses import as_loss, f, y

#: Loss, label, and the prediction after 40 steps of the linear network of two layers, gamma = .8, learning rate .05, at x = 1.
KINKED = {
    "Max(0, 1 - y*f)**3": (1.0, 0.938294903),
    "Abs(f - y)**(5/2)": (2.0, 1.990388331),
    "Max(f - y, 0)**3 + Max(y - f, 0)**2": (2.0, 1.999999937),
    "where(abs(f - y) < 1/2, (f - y)**2/2, (abs(f - y) - 1/4)/2)": (1.0, None),
}


def trained(text):
    return ww.Training(ww.MLP("linear", depth=2), gamma=0.8, learning_rate=0.05, loss=text)


def by_hand(text, label, gamma=0.8, rate=0.05, steps=40):
    """f, by the closed equations of a linear network with one hidden layer and one input.

    A neuron has h and z, of unit variance at the start; a step adds rate gamma Delta z to h and rate gamma Delta h to z; f is
    <h z>/gamma.
    """
    slope = sp.diff(as_loss(text).one.subs(y, label).rewrite(sp.Piecewise), f)
    hh, hz, zz = 1.0, 0.0, 1.0
    for _ in range(steps):
        c = -rate * gamma * float(slope.subs(f, hz / gamma))
        hh, hz, zz = hh + 2 * c * hz + c * c * zz, hz * (1 + c * c) + c * (hh + zz), zz + 2 * c * hz + c * c * hh
    return hz / gamma


@pytest.mark.parametrize("text", KINKED)
def test_a_loss_with_a_continuous_slope_trains(text):
    label, expected = KINKED[text]
    found = float(ww.predict(trained(text), [[1.0]], [label], times=40, quantities="f").f[-1, 0])
    assert_allclose(found, by_hand(text, label), rtol=1e-12)
    if expected is not None:
        assert_allclose(found, expected, atol=6e-10)


def test_networks_are_trained_with_the_same_loss():
    flow = trained("Abs(f - y)**(5/2)")
    found = ww.simulate(flow, [[1.0]], [2.0], times=40, width=64, networks=8, quantities="f", progress=False)
    assert abs(float(found.f[-1, 0]) - 1.990388331) < 5 * float(found.f_stderr[-1, 0]) + 0.02 / 64 * 40


@pytest.mark.parametrize(
    "text", ["Max(0, 1 - y*f)", "abs(f - y)", "Max(0.3*(y - f), 0.7*(f - y))", "f**2 if f > y else 0", "sign(f - y)"]
)
def test_a_loss_without_a_slope_is_refused(text):
    with pytest.raises(InvalidArgument, match="no derivative by f everywhere"):
        trained(text)


def test_fluctuations_at_a_jump_of_the_curvature_are_refused():
    options = {"times": 3, "progress": False, "quantities": "f"}
    with pytest.raises(NotAvailable, match=r"derivative of order 2.* jumps at the prediction 0 of sample 0 at step 0"):
        ww.fluctuations(trained("Max(f - y, 0)**2 + 2*Max(y - f, 0)**2"), [[1.0]], [0.0], **options)
    assert np.isfinite(ww.fluctuations(trained("Max(0, 1 - y*f)**2"), [[1.0]], [1.0], **options).f_variance).all()


def test_an_infinite_curvature_at_the_start_is_refused():
    for rate in (None, 0.1):
        flow = ww.Training(ww.MLP("linear", depth=2), learning_rate=rate, loss="abs(f - y)**(3/2)")
        with pytest.raises(InvalidArgument, match="second derivative inf at f = 0"):
            ww.predict(flow, [[1.0]], [0.0], times=2)
