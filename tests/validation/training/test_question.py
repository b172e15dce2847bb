"""Theory and literal networks answer one question: the steps of gradient flow are the same for both."""

from __future__ import annotations

import numpy as np
import pytest

import widthwise as ww
from widthwise.numerics.training.data import check_data
from widthwise.numerics.training.predict import predicted
from widthwise.numerics.training.question import Question, question
from widthwise.numerics.training.times import check_times
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.training.dynamics import dynamics
from widthwise.validation.training.simulate import simulated
from widthwise.validation.training.validate import confront

#: Labels so large that the kernel grows thirtyfold: steps that suit the initial kernel diverge.
FLOW = ww.Training(ww.MLP("linear", depth=4))
X, Y, TIMES = np.full((1, 2), 0.8), [8.0], [0.0, 0.3, 1.0]
SIZES = {"networks": 16, "quantities": ("f", "loss", "Theta"), "seed": 2}
WIDTHS = (32, 64)


def test_large_labels_pass(tmp_path):
    """A true theory passes, and one without the responses of the backward pass fails: the networks are the same."""
    options = {"times": TIMES, "widths": WIDTHS, "checkpoint": tmp_path, **SIZES}
    report = ww.validate(FLOW, X, Y, **options)
    assert report.passed, str(report)
    assert (report.data.loss_measured >= 0).all()
    made = sorted(tmp_path.glob("*.npz"))
    wrong = ww.validate(FLOW, X, Y, **options, equations=dynamics(FLOW).without_responses())
    assert not wrong.passed
    assert len(sorted(tmp_path.glob("*.npz"))) == len(made) + 1  # a prediction, and no network


def test_steps_of_another_question_fail():
    """The negative control: networks in the steps that suit the kernel at initialisation, as a question made by hand."""
    data = check_data(FLOW, X, Y)
    coarse = check_times(FLOW, data, TIMES)
    by_hand = Question(FLOW, data, (coarse, coarse.finer()))
    asked = question(FLOW, X, Y, times=TIMES)
    assert asked.step < coarse.rate
    theory = predicted(asked, quantities=SIZES["quantities"])
    networks = [simulated(by_hand, width=n, **SIZES | {"networks": 128}) for n in (64, 128)]
    report = confront(FLOW, theory, networks, alpha=0.01)
    assert not report.passed
    assert all((s.loss >= 0).all() for s in networks)  # of predictions far off, but of predictions


@pytest.mark.parametrize("grids", [lambda g: (g,), lambda g: (g, g), lambda g: (g, g.finer(), g.finer().finer())])
def test_a_question_without_its_steps_is_refused(grids):
    data = check_data(FLOW, X, Y)
    coarse = check_times(FLOW, data, TIMES)
    with pytest.raises(ww.errors.InvalidArgument, match=r"grids=.*; allowed: a grid and one of half its step"):
        Question(FLOW, data, grids(coarse))


@pytest.mark.parametrize("name", ["Delta", "Phi", "G", "A", "B", "Theta"])
def test_an_equation_that_the_solver_would_not_read_is_refused(name):
    """A changed definition that changes no number would let a wrong theory pass."""
    flow = ww.Training(ww.MLP("tanh", depth=3), learning_rate=0.1)
    derived = ww.derive(flow)
    wrong = derived.with_(**{name: 1.3 * derived.system[name].rhs})
    for verb in (ww.predict, ww.validate):
        with pytest.raises(
            InvalidArgument, match=f"change {name}, .*allowed: other right-hand sides of h, z, g, f, u, r"
        ):
            verb(flow, [[1.0, 0.5]], [1.0], times=2, equations=wrong)
