"""Every tensor K ... U at depths 2 to 6, for Gaussian and orthogonal weights, against literal networks.

A network of depth 6 holds all depths: each of its layers is judged. Family-wise false-alarm rate 1e-3 for each case after
extrapolation in 1/n with the next order left free; seeds are fixed. The controls swap the ensemble, or one recursion.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import widthwise as ww
from widthwise.validation.initialisation.validate import confront

ALPHA = 1e-3
#: activation: C_W, C_b, |x|^2/n_0
CASES = {"tanh": (1.0, 0.0, 0.5), "gelu": (1.98305826, 0.17292239, 1.0), "sin": (1.0, 0.0, 0.5)}
ENSEMBLES = ("gaussian", "orthogonal")
TENSORS = {*"KVDFABPQRSTU", "Theta", "K1", "Theta1"}
FEATURES = 8
#: The others are under the slow marker.
QUICK = [("tanh", "gaussian"), ("tanh", "orthogonal"), ("gelu", "orthogonal"), ("sin", "gaussian")]


@cache
def report(name: str, weights: str, networks: int, widths: tuple[int, ...] = (16, 32, 64)):
    C_W, C_b, size = CASES[name]
    net = ww.MLP(name, depth=6, C_W=C_W, C_b=C_b, lambda_W=1, lambda_b=0, weights=weights)
    X = np.full((1, FEATURES), np.sqrt(size))
    return ww.validate(net, X, widths=widths, networks=networks, seed=11, alpha=ALPHA, workers=2)


@pytest.mark.parametrize(("name", "weights"), QUICK)
def test_every_tensor_agrees_with_literal_networks(name, weights):
    found = report(name, weights, 1_000)
    assert found.passed, str(found)
    assert set(found.table["quantity"]) == TENSORS
    assert set(found.table["layer"]) == set(range(1, 7))


@pytest.mark.slow
@pytest.mark.parametrize("weights", ENSEMBLES)
@pytest.mark.parametrize("name", CASES)
def test_every_tensor_agrees_with_more_and_wider_networks(name, weights):
    found = report(name, weights, 20_000, (16, 32, 64, 128))
    assert found.passed, str(found)


def test_the_other_ensemble_is_caught():
    """Simulations of one ensemble fail against the theory of the other, in V, F, B."""
    gaussian = report("tanh", "gaussian", 1_000)
    other = report("tanh", "orthogonal", 1_000)
    mine, theirs = (r.table.set_index(["quantity", "layer", "entry"]) for r in (gaussian, other))
    sigma = (mine["measured"] - theirs["predicted"]) / mine["standard_error"]
    for q in "VFB":
        assert sigma.loc[q].loc[3:].abs().max() > 8, q


def test_more_than_one_input_and_rectangular_matrices():
    """Two inputs, orthogonal matrices of unequal shapes, biases and rates of their own in each layer."""
    net = ww.MLP(
        "sin", depth=4, C_W=1.2, C_b=0.1, lambda_W=(1.0, 0.5, 2.0, 1.0), lambda_b=(0.3, 0.0, 1.0, 0.5), weights="orthogonal"
    )  # fmt: skip
    X = np.array([[0.9, -0.4, 1.1, 0.2], [0.3, 0.8, 0.7, -1.0]])
    widths = [(20, 30, 15), (40, 60, 30), (80, 120, 60)]
    found = ww.validate(net, X, widths=widths, networks=1_500, seed=5, alpha=ALPHA, workers=2)
    assert found.passed, str(found)
    assert len(found.table) > 200


@pytest.mark.parametrize("weights", ["rademacher", "uniform"])
def test_independent_entries_shift_the_means(weights):
    """Excess kurtosis enters K1 and Theta1 alone; the theory of Gaussian weights fails there."""
    first = ("gaussian",)  # the inputs are few, and a first layer of few signs is no expansion in 1/n
    net = ww.MLP("tanh", depth=4, C_W=1.5, C_b=0, lambda_W=1, lambda_b=0, weights=first + (weights,) * 3)
    X = np.array([[1.2, -0.8, 1.0]])
    names = ("K", "Theta", "K1", "Theta1", "F", "B")
    widths, counts = (12, 24, 48), 40_000
    found = ww.validate(net, X, widths=widths, networks=counts, seed=3, quantities=names, alpha=ALPHA, workers=2)
    assert found.passed, str(found)
    if weights == "rademacher":
        limits = {q: ww.predict(net, X, (q,))[q].values for q in ("K", "Theta")}
        runs = [
            ww.simulate(net.at_width(n), X, networks=counts, seed=3 + i, quantities=names, limits=limits, workers=2)
            for i, n in enumerate(widths)
        ]
        assert not confront(net, X, ww.predict(net.with_(weights="gaussian"), X, names), runs, alpha=ALPHA).passed
