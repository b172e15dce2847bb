"""Steps of training, and the Gaussian sources of its sites."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from training_cases import X, Y, flow

import widthwise as ww
from widthwise.numerics.training.data import check_data
from widthwise.numerics.training.sources import Embedding, Recorded, Rotation, root, standard_normal
from widthwise.numerics.training.times import FRACTION, check_times
from widthwise.theory.language.errors import InvalidArgument, StabilityWarning

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(3)


def grid_of(subject, times):
    return check_times(subject, check_data(subject, X, Y), times)


def largest(subject, curvature=1.0):
    """The largest rate of the predictions at initialisation, from the recursions."""
    return curvature * np.linalg.eigvalsh(ww.predict(subject.net, X, "Theta").Theta.values[-1])[-1]


@pytest.mark.parametrize("times", [[0, 0.3, 1.0], [0.25, 2.0], 1.5, 0])
def test_steps_of_gradient_flow_are_a_tenth_of_the_fastest_time_and_hit_the_times(times):
    subject = flow("erf", 3)
    grid = grid_of(subject, times)
    wanted = np.linspace(0, times, 41) if np.ndim(times) == 0 and times else np.atleast_1d(times)
    assert_allclose(grid.times, wanted, atol=1e-12)
    if grid.steps > 1:
        assert grid.rate <= FRACTION / largest(subject) * (1 + 1e-6)
    finer = grid.finer()
    assert_allclose(finer.times, grid.times, atol=1e-14)
    assert (finer.rate, finer.steps) == (grid.rate / 2, 2 * grid.steps - 1)


def test_the_curvature_of_the_loss_counts():
    """A hundred times the loss has a hundred times the curvature: a hundredth of the step, up to whole numbers of steps."""
    one, two = (grid_of(flow("erf", 3, loss=f"{c}*(f - y)**2"), [0, 10]) for c in ("0.5", "50"))
    assert one.rate / two.rate == pytest.approx(100, rel=0.02)


def test_a_rate_beyond_the_stability_of_the_lazy_limit_is_warned_of():
    """Lazy gradient descent diverges beyond 2 (1 + momentum)/curvature; where the kernel moves, it need not."""
    bound = 2 / largest(flow("erf", 3))
    assert grid_of(flow("erf", 3, learning_rate=0.99 * bound), 3).steps == 4
    with pytest.warns(StabilityWarning, match=r"is beyond the stability of the lazy limit"):
        assert grid_of(flow("erf", 3, learning_rate=1.01 * bound), 3).steps == 4
    assert grid_of(flow("erf", 3, learning_rate=1.01 * bound, momentum=0.5), 3).steps == 4


@pytest.mark.parametrize(
    ("times", "options", "message"),
    [
        ([1, 0], {}, "increasing numbers from 0"),
        ([0, np.nan], {}, "increasing numbers from 0"),
        ([-1, 2], {}, "increasing numbers from 0"),
        ([0, 0.5], {"learning_rate": 0.01}, "increasing integers"),
        ([0, 1, np.sqrt(2)], {}, "times on a grid"),
    ],
)
def test_times_that_are_no_steps_are_refused(times, options, message):
    with pytest.raises(InvalidArgument, match=message):
        grid_of(flow("erf", 3, **options), times)


# ---------------------------------------------------------------- sources


@pytest.mark.parametrize("source", [Rotation(64, RNG), Embedding(64, 20, 10)], ids=["rotation", "embedding"])
def test_a_source_keeps_inner_products_of_all_times(source):
    """What comes later has the covariance with what came before, also where it depends on it."""
    first = RNG.normal(size=(4, 64))
    later = np.vstack([RNG.normal(size=(3, 64)), first[:2] @ np.eye(64) + first[2:]])
    fields = np.vstack([source(first), source(later)])
    sent = np.vstack([first, later])
    assert_allclose(fields @ fields.T, sent @ sent.T, atol=1e-11)


def test_normal_variables_have_the_moments_of_independent_ones():
    x = standard_normal(1024, 6, np.random.default_rng(0))
    assert_allclose(x @ x.T / 1024, np.eye(6), atol=1e-12)
    assert np.abs(x.mean(axis=1)).max() < 5e-3
    assert abs((x**4).mean() - 3) < 0.1


def test_a_recorded_source_answers_the_same():
    source = Recorded(Rotation(32, RNG))
    first = RNG.normal(size=(2, 32))
    answer = source(first, np.array([5, 6]))
    again = source(-first, np.array([6, 7]))
    assert_allclose(again[0], answer[1])
    assert not np.allclose(again[1], answer[1])


def test_a_root_squares_to_its_matrix_even_if_singular():
    matrix = (half := RNG.normal(size=(5, 3))) @ half.T
    assert_allclose(root(matrix) @ root(matrix).T, matrix, atol=1e-13)
