"""Kernel matrices tile by tile, and the composed map, against the recursions pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.numerics.averages.chebyshev import Range
from widthwise.numerics.kernels import composed, tiles
from widthwise.numerics.kernels.pairs import pair_map
from widthwise.numerics.kernels.tiles import EvaluationPlan, InputSide, evaluated

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(2)
NET = ww.MLP("erf", depth=4, C_W=1.3, C_b=0.1, lambda_W=1, lambda_b=0.5)
EXACT = pair_map(NET, 5, ("K", "Theta"))


def pair_by_pair(exact, left, right):
    """The slow way: every pair through all layers."""
    i, j = (n.ravel() for n in np.indices((len(left.squares), len(right.squares))))
    cosine = np.clip((left.units @ right.units.T).ravel(), -1, 1)
    values = exact(left.squares[i], right.squares[j], cosine)
    return [v.reshape(len(left.squares), len(right.squares)) for v in values]


@pytest.mark.parametrize("shape", [(7, 7), (10, 3), (3, 10), (1, 1), (8, 8)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_tiles_cover_every_pair_once(shape, symmetric):
    if symmetric and shape[0] != shape[1]:
        return
    count = np.zeros(shape, dtype=int)
    for at in tiles._tiles(shape, symmetric, (2, 4) if not symmetric else (4, 4)):
        count[at] += 1
    assert (count[np.triu_indices(*shape[:1], m=shape[1])] == 1).all()
    assert symmetric or (count == 1).all()


def test_tiles_are_the_recursions():
    """Two sides and one, with rows that occur twice, are opposite, or parallel."""
    X = RNG.normal(size=(23, 5))
    X[3], X[4], X[5] = X[0], -X[1], 2 * X[2]
    left, right = InputSide.of(X, EXACT), InputSide.of(X[:9] + 0.3, EXACT)
    for other in (left, right):
        for found, expected in zip(evaluated(EXACT, left, other, 1), pair_by_pair(EXACT, left, other), strict=True):
            assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
            assert other is right or np.array_equal(found, found.T)


def test_silent_inputs_go_by_themselves():
    X = RNG.normal(size=(6, 5))
    X[2] = 0
    side = InputSide.of(X, EXACT)
    assert side.silent.tolist() == [False, False, True, False, False, False]
    for found, name in zip(evaluated(EXACT, side, side, 1), ("K", "Theta"), strict=True):
        assert_allclose(found, ww.predict(NET, X, name)[name].values[-1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("wrong", [False, True])
def test_the_composed_map_is_the_recursions_inside_its_range(wrong):
    """An interpolant of the kernels, and one of kernels that are off by 1e-11, which the comparison tells apart."""
    squares = np.exp(RNG.uniform(-0.4, 0.4, size=(2, 50)))
    cosine = RNG.uniform(-0.6, 0.6, 50)
    found = composed.compose(EXACT, squares.ravel(), Range(-0.6, 0.6), (*squares, cosine))
    values = found.pairs(*squares, cosine)
    assert found.bound <= composed.ACCURACY
    values = [v * (1 + wrong * 1e-11) for v in values]
    assert composed.agrees(EXACT, (*squares, cosine), values, relative=True) != wrong


def test_a_plan_asks_no_interpolant_beyond_its_range():
    side = InputSide.of(RNG.normal(size=(8, 5)), EXACT)
    squares = side.squares
    some = squares[:1], squares[:1], np.array([0.1])
    plan = EvaluationPlan(EXACT, EXACT, composed.compose(EXACT, squares, Range(-0.3, 0.3), some))
    assert not plan.beyond(Range(-0.3, 0.3))
    assert plan.beyond(Range(-0.3, 0.9))
    for found, expected in zip(evaluated(EXACT, side, side, 1, plan), pair_by_pair(EXACT, side, side), strict=True):
        assert_allclose(found, expected, rtol=2e-12, atol=1e-13)
    assert not EvaluationPlan(EXACT, EXACT, None).beyond(Range(-1, 1))
