"""Pieces of functions, and that all who ask which derivative breaks at a kink get one answer."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

from widthwise.numerics.averages import nearly_parallel
from widthwise.theory.averages.elementary import NoRule, read
from widthwise.theory.averages.regularity import singular, singular_order
from widthwise.theory.averages.taylor import taylor
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.language.pieces import as_cases, branch, breakpoints, cut_moments, limits, split
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS, activation
from widthwise.theory.networks.architecture import MLP, smooth
from widthwise.theory.training.losses import as_loss
from widthwise.validation.literal.derivatives import missing_derivative

TINY = sp.Rational(1, 10**9)


def two(right, left, at=0):
    """A function with one kink."""
    return sp.Piecewise((right, z > at), (left, True))


#: Functions, and the lowest derivative that breaks.
HARD = {
    "relu": (sp.Max(z, 0), 1),
    "sign": (sp.sign(z), 0),
    "slope 1e-5": (two(z * (1 + sp.Rational(1, 10**5)), z), 1),  # two thresholds of three used to miss it
    "slope 1e-9": (two(z * (1 + TINY), z), 1),  # all used to
    "slope 1e-9 beside a large value": (100 + two(z * (1 + TINY), z), 1),
    "jump 1e-9": (two(z + TINY, z), 0),
    "curvature 1e-9": (two(z + TINY * z**2, z), 2),
    "third derivative": (two(z**3 / 6, 0), 3),
    "third derivative away from zero": (sp.sin(z) + two((z - 2) ** 3, 0, 2), 3),
    "third derivative at an irrational kink": (two((z - sp.sqrt(2)) ** 3, 0, sp.sqrt(2)), 3),
    "sixth derivative": (two(z**6, -(z**6)), 6),
    "two kinks": (two(z**3, 0) + sp.Max(z - 1, 0) ** 2, 2),
    "elu": (two(z, sp.exp(z) - 1), 2),
    "root of the third power": (two(z ** sp.Rational(3, 2), 0), 2),  # infinite, and a function
    "kink in name only": (two(sp.sin(z), sp.sin(z)), None),
    "abs - 2 relu": (sp.Abs(z) - 2 * sp.Max(z, 0), None),
    "flat to all orders": (two(sp.exp(-1 / z**2), 0), None),
    "rounding of floats": (two((0.1 + 0.2) * z, 0.3 * z), None),
    "kink at a float": (sp.Max(0.1 * z + 0.3, 0), 1),
    "tanh": (sp.tanh(z), None),
}


@pytest.mark.parametrize("name", HARD)
def test_everybody_agrees_on_what_breaks(name):
    """Averages (``regularity``), networks in training (``smooth``) and literal networks (``missing_derivative``)."""
    expr, order = HARD[name]
    act = activation(expr)
    assert (act.broken.order if act.broken else None) == order
    assert singular_order(act) == (None if order is None else order + 1)
    infinite = order is not None and not act.broken.finite
    for k in range(8):
        lost = order is not None and k > order
        assert singular(act, k) == lost
        assert (missing_derivative(act, k) is not None) == (lost or (infinite and k == order))
    assert smooth(MLP(act, depth=3)) == (order is None or order > (2 if infinite else 1))
    assert bool(act.jumps) == (order == 0)
    if act.kinks == (0,):
        try:
            deltas = any(key[1] == sp.oo for key in read(act, 1 + (order or 6)))
        except NoRule:
            return
        assert deltas == (order is not None)


@pytest.mark.parametrize("act", ACTIVATIONS, ids=str)
def test_registered_activations_break_where_they_should(act):
    """The negative control of the threshold: nothing smooth breaks, and breaks are as they were with the thresholds before."""
    breaks = {
        0: ("sign", "step", "hardshrink"),
        1: (
            "relu",
            "leaky_relu",
            "abs",
            "selu",
            "hard_tanh",
            "hard_sigmoid",
            "hard_swish",
            "relu6",
            "prelu",
            "softshrink",
        ),
        2: ("elu", "celu", "softsign"),
    }
    expected = next((order for order, names in breaks.items() if act.name in names), None)
    assert (act.broken.order if act.broken else None) == expected


def test_the_message_names_the_limits():
    act = activation(two(2 * z, z))
    assert missing_derivative(act, 1) is None
    assert missing_derivative(act, 2) == "sigma'' is not a function: sigma' jumps from 1 to 2 at z=0"
    assert missing_derivative(act, 3) == missing_derivative(act, 2)


def test_pieces_are_the_formulas_between_points():
    cases = as_cases(sp.Max(sp.Min(z, 1), -1) * sp.exp(z))
    assert breakpoints(cases) == (-1, 1)
    found = split(cases, breakpoints(cases))
    assert [(p.low, p.high) for p in found] == [(-sp.oo, -1), (-1, 1), (1, sp.oo)]
    assert [sp.simplify(p.formula / sp.exp(z)) for p in found] == [-1, z, 1]
    assert limits(cases, sp.S.One, (-1, 1)) == (sp.E, sp.E)
    assert limits(two(sp.log(z), 1), sp.S.Zero, (0,)) == (1, -sp.oo)
    nested = sp.Piecewise((sp.Piecewise((1, z > 2), (2, True)), z > 0), (3, True))
    assert [branch(nested, sp.Integer(k)) for k in (-1, 1, 3)] == [3, 2, 1]
    assert split(sp.tanh(z), ()) == (type(found[0])(-sp.oo, sp.oo, sp.tanh(z)),)


@pytest.mark.parametrize("act", [a for a in ACTIVATIONS if a.kinks], ids=str)
def test_pieces_have_the_values_of_the_function(act):
    """In the theory, at zero, and in the rule for nearly parallel inputs."""
    points = [sp.Rational(k, 7) for k in range(-60, 61) if k % 7]
    found = split(act.pieces, act.kinks)
    for at in points:
        piece = next(p for p in found if p.low < at < p.high)
        assert abs(float(piece.formula.subs(z, at) - act(at))) < 1e-14
    numbers = nearly_parallel.pieces(act, (0,))
    if numbers is not None:
        x = np.array([float(p) for p in points])
        values = [next(p for p in numbers if p.low < u < p.high)(np.array([u]))[0] for u in x]
        assert_allclose(values, [float(act(p)) for p in points], rtol=1e-13, atol=1e-13)
    right, left = taylor(act).sides(2)
    for side, sign in ((right, 1), (left, -1)):
        assert abs(float(side[1] - act(sign * sp.Rational(1, 10**8), 1))) < 1e-6


@pytest.mark.parametrize(
    ("low", "high", "mean", "variance"), [(-1.0, 2.0, 0.0, 1.0), (0.3, 0.9, -0.4, 2.5), (-9, 9, 1, 1)]
)
def test_moments_of_a_cut_gaussian(low, high, mean, variance):
    """Against numerical integration; and the same in SymPy as in floats."""

    def density(x):
        return mpmath.exp(-((x - mean) ** 2) / (2 * variance)) / mpmath.sqrt(2 * mpmath.pi * variance)

    mass = mpmath.quad(density, [low, mean, high] if low < mean < high else [low, high])
    found = cut_moments(mass, lambda i: tuple(variance * x**i * density(x) for x in (low, high)), 5, mean, variance)
    for j, moment in enumerate(found):
        truth = mpmath.quad(lambda x, j=j: x**j * density(x), [low, mean, high] if low < mean < high else [low, high])
        assert abs(moment - truth) < 1e-12 * (1 + abs(truth))
    assert len(cut_moments(1.0, lambda i: (0.0, 0.0), 0)) == 1


@pytest.mark.parametrize("slope", [0, 1, 1e-9])
def test_losses_are_asked_the_same(slope):
    """A loss needs one derivative: its kinks are found by the limits of its formulas, and a squared hinge has none."""
    text = f"Max(0, 1 - y*f)**2 + {slope}*abs(f - y)"
    if slope:
        with pytest.raises(InvalidArgument, match="no derivative by f"):
            as_loss(text)
    else:
        assert as_loss(text).separate
