"""Learning rates beyond the stability of the lazy limit: the kernel shrinks and training settles, or diverges and says so."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from training_cases import flow

import widthwise as ww
from widthwise.theory.language.errors import NotConverged, StabilityWarning

FAST = {"gamma": 0.3, "learning_rate": 1.2}


def two_linear_layers(gamma, eta, steps):
    """f and Theta of f = v.w/(gamma N) on x = y = 1 with N = oo, whose v and w move along each other.

    v' = v + eta gamma Delta w and w' = w + eta gamma Delta v: products of these two lines, over N. Lewkowycz et al.
    (arXiv:2003.02218) call their settling the catapult.
    """
    f, theta = 0.0, 2.0
    for _ in range(steps):
        push = eta * (1 - f)
        f, theta = (
            f + push * theta + (push * gamma) ** 2 * f,
            theta + 4 * push * gamma**2 * f + (push * gamma) ** 2 * theta,
        )
    return f, theta


def test_training_settles_where_the_kernel_has_become_smaller():
    """eta Theta(0) = 2.4; literal networks agree within four standard errors beside their next order, 2 % at this width."""
    f, theta = two_linear_layers(0.3, 1.2, 60)
    assert (round(f, 9), round(theta, 6)) == (1.0, 0.906535)
    subject = flow("linear", 2, **FAST)
    with pytest.warns(StabilityWarning):
        found = ww.predict(subject, [[1.0]], [1.0], times=60)
    assert_allclose([found.f.values[-1, 0], found.Theta.values[-1, 0, 0]], [f, theta], rtol=1e-9)
    with pytest.warns(StabilityWarning):
        drawn = ww.simulate(subject, [[1.0]], [1.0], times=60, width=2048, networks=8)
    assert_allclose(drawn.f.values[-1], 1.0, atol=1e-6)
    assert abs(float(drawn.Theta[-1, 0, 0]) - theta) < 4 * float(drawn.Theta_stderr[-1, 0, 0]) + 0.02 * theta


@pytest.mark.parametrize(("verb", "options"), [(ww.predict, {}), (ww.simulate, {"width": 64, "networks": 2})])
@pytest.mark.parametrize("depth", [2, 3])
def test_divergence_is_told_with_its_step_and_losses(verb, options, depth):
    subject = flow("linear", depth, gamma=0.3, learning_rate=2.5)
    with (
        pytest.warns(StabilityWarning),
        pytest.raises(
            NotConverged, match=r"diverges at step \d+: the losses were 0\.5, .*allowed: a smaller learning_rate"
        ),
    ):
        verb(subject, [[1.0]], [1.0], times=60, **options)


@pytest.mark.parametrize(("verb", "options"), [(ww.predict, {"samples": 64}), (ww.fluctuations, {"quantities": "f"})])
@pytest.mark.filterwarnings("ignore::widthwise.theory.language.errors.StabilityWarning")
def test_a_lazy_kernel_stays_and_its_training_diverges(verb, options):
    subject = flow("erf", 3, gamma=0.0, learning_rate=4.0)
    with pytest.raises(NotConverged, match=r"diverges at step \d+: the losses were"):
        verb(subject, [[1.0]], [1.0], times=np.array([0, 200]), **options)
