"""Derivatives of activations against each other by finite differences, and where they stop being functions."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.networks.activations import ACTIVATIONS, activation
from widthwise.validation.literal.derivatives import derivatives, missing_derivative

pytestmark = pytest.mark.quick

x = sp.Symbol("x", real=True)


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: act.name)
def test_each_is_the_derivative_of_the_one_before(act):
    points = np.linspace(-3.03, 3.07, 62).reshape(2, 31)  # off the kinks
    evaluate, step = derivatives(act, 3), 1e-6
    results = evaluate(points)
    up, down = evaluate(points + step), evaluate(points - step)
    for order, result in enumerate(results):
        assert result.shape == points.shape
        assert result.dtype == np.float64
        if order:
            assert_allclose(result, (up[order - 1] - down[order - 1]) / (2 * step), rtol=1e-6, atol=1e-7)
    assert_allclose(results[0][0, 3], float(act(points[0, 3])), rtol=1e-12)


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: act.name)
def test_lower_orders_do_not_depend_on_the_highest(act):
    points = np.linspace(-2, 2, 9)
    assert_allclose(derivatives(act, 1)(points), derivatives(act, 3)(points)[:2], rtol=1e-12, atol=1e-15)


def test_relu_has_slope_zero_at_its_kink():
    assert_allclose(derivatives(activation("relu"), 1)(np.array([-1.0, 0.0, 2.0])), [[0, 0, 2], [0, 0, 1]])


def test_unselected_branches_do_not_warn():
    assert np.isfinite(derivatives(activation("elu"), 3)(np.array([-2000.0, 2000.0]))).all()


@pytest.mark.parametrize(
    ("act", "second", "third"),
    [
        ("tanh", None, None),
        ("linear", None, None),
        ("relu", "sigma' jumps from 0 to 1 at z=0", "sigma' jumps from 0 to 1 at z=0"),
        ("hard_tanh", "at z=-1", "at z=-1"),
        ("elu", None, "sigma''' is not a function: sigma'' jumps from 1 to 0 at z=0"),
        (sp.Max(x, 0) ** 2, None, "sigma'' jumps from 0 to 2 at z=0"),
        (sp.Max(x, 0) ** 3, None, None),
        (sp.Max(x - 1, 0) ** 2 + x, None, "at z=1"),
        (sp.Abs(x) ** sp.Rational(5, 2), None, "sigma''' is not bounded at z=0"),
        (sp.Piecewise((sp.sin(x), x > 0), (sp.sin(x), True)), None, None),  # a kink in name only
    ],
    ids=str,
)
def test_a_jump_makes_the_next_derivative_no_function(act, second, third):
    for order, reason in ((1, None), (2, second), (3, third)):
        found = missing_derivative(activation(act), order)
        assert found is None if reason is None else reason in found


def test_the_unspecified_activation_has_none():
    with pytest.raises(InvalidArgument, match="unspecified function"):
        derivatives(activation(), 1)
