"""Lazy gradient flow: against the differential equation, against Bayesian inference, and what wrong arguments answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, InvalidInput

RNG = np.random.default_rng(1)
X, POINTS, Y = RNG.normal(size=(6, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=(6, 2))
NET = ww.MLP("erf", depth=3, C_W=1.5, C_b=0.2, lambda_W=1, lambda_b=0.5)


def test_mean_and_covariance_solve_the_flow():
    """Outputs at all points from random starts: the linear differential equation, integrated."""
    both = np.vstack([X, POINTS])
    K, Theta = ww.kernel(NET, both)
    start = np.linalg.cholesky(K + 1e-12 * np.eye(9)) @ RNG.normal(size=(9, 4))  # four networks, one output
    target = Y[:, 0]
    for t in (0.3, 2.0):
        solved = solve_ivp(
            lambda _, f: (-Theta[:, :6] @ (f.reshape(9, 4)[:6] - target[:, None])).ravel(), (0, t), start.ravel(),
            rtol=1e-10, atol=1e-12,
        ).y[:, -1].reshape(9, 4)  # fmt: skip
        found = ww.gradient_flow(NET, X, target, POINTS, times=[t])
        W = _weights(Theta, t)
        np.testing.assert_allclose(found["mean"].values[0], W @ target, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(start[6:] - W @ (start[:6] - target[:, None]), solved[6:], atol=1e-7)
        jump = np.hstack([-W, np.eye(3)])
        np.testing.assert_allclose(found["covariance"].values[0], jump @ K @ jump.T, atol=1e-11)


def _weights(Theta, t):
    """A(t), column by column, from the flow of unit labels started at zero."""
    columns = []
    for e in np.eye(6):
        end = solve_ivp(lambda _, f, e=e: -Theta[:, :6] @ (f[:6] - e), (0, t), np.zeros(9), rtol=1e-10, atol=1e-12)
        columns.append(end.y[6:, -1])
    return np.array(columns).T


def test_start_and_end():
    found = ww.gradient_flow(NET, X, Y, times=[0, 1, np.inf])
    K = ww.kernel(NET, X, get="K")
    assert found["mean"].dims == ("time", "sample", "output")
    np.testing.assert_allclose(found["mean"].values[0], 0, atol=1e-14)
    np.testing.assert_allclose(found["covariance"].values[0], K, rtol=1e-12)
    np.testing.assert_allclose(found["mean"].values[2], Y, rtol=1e-9)
    np.testing.assert_allclose(found["covariance"].values[2], 0, atol=1e-9)
    np.testing.assert_allclose(
        found["loss"].values, [(Y**2).sum() / 2, ((found["mean"].values[1] - Y) ** 2).sum() / 2, 0], atol=1e-12
    )


def test_training_the_readout_for_ever_is_bayesian_inference():
    """With learning rates in proportion to the variances Theta is proportional to K, and the end is the posterior."""
    net = NET.with_(lambda_W=3.0, lambda_b=0.4)
    found = ww.gradient_flow(net, X, Y[:, 0], POINTS, train="readout")
    K = ww.kernel(net, np.vstack([X, POINTS]), get="K")
    gain = K[6:, :6] @ np.linalg.inv(K[:6, :6])
    np.testing.assert_allclose(found["mean"].values[0], gain @ Y[:, 0], rtol=1e-8)
    np.testing.assert_allclose(found["covariance"].values[0], K[6:, 6:] - gain @ K[:6, 6:], rtol=1e-7)
    assert not np.allclose(ww.gradient_flow(net, X, Y[:, 0], POINTS)["mean"].values[0], gain @ Y[:, 0], rtol=1e-3)


def test_equal_inputs_with_different_labels_are_not_fitted():
    """The mode in which they differ has no rate: the loss that stays is that of their mean."""
    twice = np.vstack([X[:2], X[:1]])
    found = ww.gradient_flow(NET, twice, [1.0, 0.5, 3.0], times=[np.inf])
    np.testing.assert_allclose(found["mean"].values[0], [2, 0.5, 2], rtol=1e-8)
    assert found["loss"].item() == pytest.approx(1.0)


@pytest.mark.parametrize(("loss", "share"), [("sum", 1.0), ("mean", 1 / 6)])
def test_a_ridge_pulls_back_to_the_start(loss, share):
    """df/dt = -Theta (f - y) - rho (f - f(0)), integrated; at the end kernel ridge regression; of the mean, the loss over m."""
    rho, t, target = 0.3, 1.5, Y[:, 0]
    both = np.vstack([X, POINTS])
    Theta = share * ww.kernel(NET, both, get="Theta")
    end = solve_ivp(
        lambda _, f: -Theta[:, :6] @ (f[:6] - target) - rho * f, (0, t), np.zeros(9), rtol=1e-10, atol=1e-12
    ).y[:, -1]
    found = ww.gradient_flow(NET, X, target, POINTS, times=[t, np.inf], ridge=rho, loss=loss)
    np.testing.assert_allclose(found["mean"].values[0], end[6:], rtol=1e-7)
    assert found["loss"].values[0] == pytest.approx(share * ((end[:6] - target) ** 2).sum() / 2, rel=1e-7)
    regression = Theta[6:, :6] @ np.linalg.solve(Theta[:6, :6] + rho * np.eye(6), target)
    np.testing.assert_allclose(found["mean"].values[1], regression, rtol=1e-9)
    assert (found.attrs["ridge"], found.attrs["objective"]) == (rho, loss)


def test_wrong_arguments():
    with pytest.raises(InvalidArgument, match="ridge=-1; allowed: finite reals from 0"):
        ww.gradient_flow(NET, X, Y, ridge=-1)
    with pytest.raises(InvalidArgument, match="loss='mse'; allowed: 'sum' or 'mean'"):
        ww.gradient_flow(NET, X, Y, loss="mse")
    with pytest.raises(InvalidInput, match=r"y has shape \(5,\).*allowed: \(6,\)"):
        ww.gradient_flow(NET, X, Y[:5, 0])
    with pytest.raises(InvalidInput, match=r"y\[2\] is not finite"):
        ww.gradient_flow(NET, X, [0, 1, np.nan, 0, 0, 0])
    with pytest.raises(InvalidInput, match="times="):
        ww.gradient_flow(NET, X, Y, times=[-1])
    with pytest.raises(InvalidArgument, match="train='last'; allowed"):
        ww.gradient_flow(NET, X, Y, train="last")


def test_variances_at_inputs_that_are_known_are_not_negative():
    """Twenty points of a line that are trained for ever: rounding left -4e-16, whose root is NaN."""
    line = np.linspace(-1, 1, 20)[:, None]
    net = ww.MLP("relu", depth=3, parametrization="ntk", W_std=1.5, b_std=0.05)
    found = ww.gradient_flow(net, line, np.sin(3 * line[:, 0]), X_test=line)
    variances = np.diagonal(found.covariance.values[0])
    assert (variances >= 0).all()
    assert np.allclose(variances, 0, atol=1e-13)
