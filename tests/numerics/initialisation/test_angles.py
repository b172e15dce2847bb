"""The error that ``predict`` states holds what covariances have lost of angles; ``kernel`` has all digits."""

from __future__ import annotations

import numpy as np
import pytest

import widthwise as ww


@pytest.mark.parametrize(
    ("activation", "depth", "C_W", "C_b"),
    [("relu", 3, 1.0, 0.3), ("abs", 6, 2.0, 0.0), ("hard_tanh", 3, 1.9, 0.1), ("leaky_relu(0.3)", 4, 1.5, 0.0)],
)
def test_stated_errors_hold_true_ones(activation, depth, C_W, C_b):
    net = ww.MLP(activation, depth=depth, C_W=C_W, C_b=C_b, lambda_W=1, lambda_b=0)
    for angle in (1e-8, 1e-7, 1e-5, 1e-3):
        X = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
        truth = ww.kernel(net, X)
        found = ww.predict(net, X, quantities=("K", "Theta"))
        # A layer adds the error of its average times C_W Theta; the errors of the layers below it are multiplied by C_W.
        error = sum(C_W**k for k in range(1, depth)) * float(found.average_error[-1]) * float(truth.Theta.max()) + 1e-14
        assert abs(float(found.Theta[-1, 0, 1]) - truth.Theta[0, 1]) <= error, angle


def test_equal_parallel_and_smooth_have_no_such_error():
    net = ww.MLP("relu", depth=3, C_W=2, C_b=0, lambda_W=1, lambda_b=0)
    X = np.array([[0.3, 0.4], [0.3, 0.4], [0.6, 0.8], [-0.9, -1.2]])
    assert float(ww.predict(net, X, quantities=("K", "Theta")).average_error[-1]) < 1e-12
    near = np.array([[1.0, 0.0], [1.0, 1e-7]])
    assert float(ww.predict(net, near, quantities=("K", "Theta")).average_error[-1]) > 1e-9
    assert float(ww.predict(net, near, quantities="K").average_error[-1]) < 1e-12
    smooth = ww.MLP("erf", depth=3, C_W=2, C_b=0, lambda_W=1, lambda_b=0)
    assert float(ww.predict(smooth, near, quantities=("K", "Theta")).average_error[-1]) < 1e-12
