"""The saddle of fluctuations: its kernels move neurons as training does, and weights are pushed back through them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from training_cases import X, Y, flow

from widthwise.numerics.fluctuations.saddle import Saddle
from widthwise.numerics.training.causal import Run
from widthwise.numerics.training.data import check_data
from widthwise.numerics.training.problem import problem_of
from widthwise.numerics.training.times import check_times
from widthwise.theory.training.dynamics import dynamics

pytestmark = pytest.mark.quick

GAMMA, RATE, STEPS = 1.5, 0.1, 4


@pytest.fixture(scope="module")
def saddle():
    subject = flow("tanh", 3, gamma=GAMMA, learning_rate=RATE, C_W=1.3, lambda_W=0.8, C_b=0.2, lambda_b=0.5)
    data = check_data(subject, X, Y)
    problem = problem_of(subject, dynamics(subject), data, check_times(subject, data, STEPS), 256)
    return Saddle(Run(problem, np.random.default_rng(0)).solve())


def test_the_first_layer_moves_by_what_training_adds(saddle):
    """h = a u + K g, K = gamma eta Delta (lambda_W Kx + lambda_b) at earlier times: nothing below the first layer responds."""
    T, P = STEPS + 1, len(Y)
    delta = Y - saddle.run.f[:, 0]
    Kx = X @ X.T / X.shape[1]
    expected = np.zeros((T, P, T, P))
    for t in range(T):
        for s in range(t):
            expected[t, :, s] = GAMMA * RATE * (0.8 * Kx + 0.5) * delta[s]
    assert_allclose(saddle.kernels["h", 1], expected.reshape(T * P, T * P), atol=1e-12)
    assert_allclose(saddle.decay, 1.0)


def test_kernels_are_causal(saddle):
    """Activities take gradients of earlier steps, gradients take activities up to their own."""
    P = len(Y)
    for number in (1, 2):
        for t in range(STEPS + 1):
            assert not saddle.kernels["h", number][t * P : (t + 1) * P, t * P :].any()
            assert not saddle.kernels["z", number][t * P : (t + 1) * P, (t + 1) * P :].any()


@pytest.mark.parametrize("name", ["h", "z"])
def test_weights_pushed_back_are_derivatives(saddle, name):
    """A weighted sum of a layer's kernel, differentiated by an order parameter: by differences, and pushed back."""
    number, rng = 2 if name == "h" else 1, np.random.default_rng(1)
    kernel = saddle.kernels[name, number]
    weights = rng.normal(size=(kernel.shape[0], 1, kernel.shape[1]))
    order, layer = ("Phi", number - 1) if name == "h" else ("G", number + 1)
    pushed = saddle.pushed(name, number, weights)[order][:, 0, :]
    q = saddle.run.q[order][layer]
    size = pushed.shape[0]
    change = rng.normal(size=(size, size)) * 1e-6
    kept = q.copy()
    try:
        q += change.reshape(q.shape)
        moved = saddle._kernel(name, number)
    finally:
        q[...] = kept
    found = (weights[:, 0] * (moved - kernel)).sum()
    assert found == pytest.approx((pushed * change).sum(), rel=1e-6)
    assert abs(found) > 1e-9


def test_predictions_take_the_readouts_average_and_what_training_adds(saddle):
    """Without steps a prediction is the readout alone: 1/gamma times its average."""
    factor, weights = saddle.prediction(0)
    assert factor == pytest.approx(1 / GAMMA)
    assert all(w.size == 0 for w in weights.values())
    factor, weights = saddle.prediction(STEPS)
    assert factor == pytest.approx(1 / GAMMA)
    assert weights["Phi"].shape == (3, 3, STEPS * 3)
