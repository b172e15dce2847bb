"""Routes by cost: accurate ones where they take minutes, cheaper ones else, and nothing that takes hours without leave."""

from __future__ import annotations

import numpy as np
import pytest
from training_cases import X, Y, flow

from widthwise.numerics.fluctuations.one_layer import Options
from widthwise.numerics.fluctuations.plans import QUICK, planned
from widthwise.numerics.fluctuations.predict import fluctuations
from widthwise.numerics.training.data import losses_of
from widthwise.numerics.training.question import question
from widthwise.theory.language.errors import InvalidArgument, TooCostly

pytestmark = pytest.mark.quick
WANTED = ["f_variance", "f_covariance", "Theta_variance", "f1"]
DIGITS = np.random.default_rng(0).standard_normal((10, 64))


def plan_of(subject, inputs, labels, times, *, wanted=WANTED, hours=None, directions=None, samples=None):
    asked = question(subject, inputs, labels, times=times)
    options = Options(
        asked.grids[0].kept,
        asked.data.trained,
        True,
        ("Theta",),
        False,
        lambda order: None,
        losses_of(subject, asked.data),
    )
    return planned(asked, wanted, samples, options, directions=directions, replicas=8, hours=hours)


def test_small_questions_take_the_accurate_routes():
    plan = plan_of(flow("tanh", 3, learning_rate=0.03), X[:2], Y[:2], 10)
    assert plan.routes == {"influences": ("f_variance", "f_covariance", "Theta_variance"), "resampling": ("f1",)}
    assert plan.directions == 32
    assert plan.cost.seconds < QUICK


def test_ten_digits_take_minutes_by_default_and_hours_where_they_are_allowed():
    """README's example on ten images: 17 hours by influences, which gave no sign of it."""
    subject, labels = flow("tanh", 3, learning_rate=0.03), np.resize([1.0, -1.0], 10)
    plan = plan_of(subject, DIGITS, labels, 30)
    assert set(plan.routes) == {"resampling"}
    assert plan.cost.seconds < QUICK
    more = plan_of(subject, DIGITS, labels, 30, hours=24)
    assert "influences" in more.routes
    assert 3600 * 8 < more.cost.seconds < 3600 * 24


def test_what_takes_more_than_an_hour_is_refused_before_it_starts():
    many = np.random.default_rng(0).standard_normal((60, 8))
    subject = flow("tanh", 3, learning_rate=0.01)
    with pytest.raises(
        TooCostly, match=r"fluctuations takes about \S+ \w+ on one core, .* allowed: fewer times.*hours="
    ):
        fluctuations(subject, many, np.resize([1.0, -1.0], 60), times=60)
    with pytest.raises(InvalidArgument, match="hours=-1"):
        fluctuations(subject, many[:2], [1.0, -1.0], times=2, hours=-1)


def test_numbers_that_are_given_are_kept():
    subject, labels = flow("tanh", 3, learning_rate=0.03), np.resize([1.0, -1.0], 10)
    plan = plan_of(subject, DIGITS, labels, 30, directions=24, samples=2048, hours=2)
    assert plan.directions == 24
    assert {task.sites for task in plan.tasks} == {2048}


def test_one_hidden_layer_leaves_its_neurons_where_there_are_many_times():
    few, many = (plan_of(flow("tanh", 2, learning_rate=0.03), DIGITS, np.ones(10), times) for times in (5, 150))
    assert set(few.routes) == {"neurons"}
    assert "resampling" in many.routes
