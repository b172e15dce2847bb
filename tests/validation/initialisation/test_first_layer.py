"""First layers that are not Gaussian against literal networks: few features, wide hidden layers."""

from __future__ import annotations

import numpy as np
import pytest

import widthwise as ww
from widthwise.validation.initialisation.validate import confront

X = np.array([[1.0, 0.2]])
NAMES = ("K", "Theta", "V", "D", "F", "K1", "Theta1", "X4")


@pytest.mark.parametrize(("activation", "weights"), [("tanh", "rademacher"), ("sin", "uniform")])
def test_literal_networks_have_the_tensors_above_few_weights(activation, weights):
    """Family-wise false-alarm rate 1e-3, fixed seed; the theory above Gaussian preactivations fails."""
    net = ww.MLP(activation, depth=3, C_W=1.4, C_b=0.1, lambda_W=1, lambda_b=0.3, weights=weights)
    report = ww.validate(net, X, widths=(8, 16, 32), networks=4000, seed=7, quantities=NAMES, alpha=1e-3, workers=2)
    assert report.passed, str(report)
    names, first = ("K", "Theta", "V"), ("gaussian", weights, weights)
    limits = {q: ww.predict(net, X, (q,))[q].values for q in ("K", "Theta")}
    runs = [
        ww.simulate(net.at_width(n), X, networks=4000, seed=7 + i, quantities=names, limits=limits, workers=2)
        for i, n in enumerate((8, 16, 32))
    ]
    assert confront(net, X, ww.predict(net, X, names), runs, alpha=1e-3).passed
    assert not confront(net, X, ww.predict(net.with_(weights=first), X, names), runs, alpha=1e-3).passed
