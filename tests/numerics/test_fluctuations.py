"""Fluctuations of networks in training at leading order in 1/N, against exact solutions and literal networks."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from widthwise.numerics.finite_width import fluctuations
from widthwise.numerics.predict import predict
from widthwise.numerics.training import predict_training
from widthwise.theory.architecture import MLP
from widthwise.theory.errors import NotAvailable
from widthwise.theory.training import Training
from widthwise.validation.trained import simulate_training

X = np.random.default_rng(0).standard_normal((6, 3)).T
Y = np.array([1.0, -0.7, 0.5])


def flow(activation, depth, **options):
    network = {k: options.pop(k) for k in ("C_W", "C_b", "lambda_W", "lambda_b") if k in options}
    return Training(MLP(activation, depth=depth, **network), **options)


def within(found, name, expected, limit=6.0, relative=0.0):
    value, error = found[name].values, found[f"{name}_stderr"].values
    assert (np.abs(value - expected) <= limit * error + relative * np.abs(expected) + 1e-12).all(), (
        value,
        expected,
        error,
    )


@pytest.mark.parametrize(("gamma", "f", "K"), [(1.0, 0.4575, 4.621), (2.0, 0.2311, 6.458)])
def test_exact_flow_of_two_linear_layers_on_white_data(gamma, f, K):
    """y = 1, t = 0.3, predictions not centred: the exact solution of the fluctuating flow (arXiv:2304.03408), to four digits."""
    found = fluctuations(flow("linear", 2, gamma=gamma), [[1.0]], [1.0], times=[0, 0.3], centred=False)
    within(found.isel(time=[-1]), "f_variance", f, relative=3e-3)  # of the extrapolated step
    within(found.isel(time=[-1]), "NTK_variance", K, relative=3e-3)
    within(found.isel(time=[0]), "f_variance", 1 / gamma**2, relative=1e-9)  # N Var f(0) = Phi/gamma^2


@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_two_routes_to_the_lazy_limit(activation):
    """Neurons and their feedback at gamma -> 0, and the tensors A and B of the tangent kernel at initialisation."""
    subject = flow(activation, 2, gamma=0.0, learning_rate=0.1, C_W=1.3, C_b=0.2, lambda_b=0.4)
    found = fluctuations(subject, X, Y, times=[0, 3, 10])
    net = subject.net
    tensors = predict(net, X, ("K", "Theta", "A", "B"))
    K, A, B = (tensors[n].values[-1] for n in ("Theta", "A", "B"))
    kappa = A + B + B.transpose(0, 1, 3, 2)
    within(found.isel(time=[0]), "NTK_variance", np.einsum("abab->ab", kappa))
    J, delta, expected = np.zeros((3, 3, 3)), Y.copy(), []
    for t in range(11):
        if t in (0, 3, 10):
            expected.append(np.einsum("mab,abcd,mcd->m", J, kappa, J))
        J = J - 0.1 * np.einsum("mn,nab->mab", K, J) + 0.1 * np.einsum("ma,b->mab", np.eye(3), delta)
        delta = delta - 0.1 * K @ delta
    within(found, "f_variance", np.array(expected))
    assert_allclose(found.f_variance, expected, rtol=0.06)


def test_deep_lazy_flow_on_one_sample():
    """Delta = y e^(-Kt): N Var Delta = t^2 e^(-2Kt) y^2 N Var K, and N Var K by the tensors of the network."""
    net = MLP("tanh", depth=4, C_W=1.5, C_b=0.0, lambda_W=1, lambda_b=0)
    times = np.array([0.0, 0.5, 1.0])
    found = fluctuations(Training(net, gamma=0.0), X[:1], [0.8], times=times)
    tensors = predict(net, X[:1], ("K", "Theta", "A", "B"))
    K, A, B = (float(tensors[n].values[-1].squeeze()) for n in ("Theta", "A", "B"))
    assert_allclose(found.f_variance.values[:, 0], times**2 * np.exp(-2 * K * times) * 0.64 * (A + 2 * B), rtol=2e-2)


def test_what_is_not_derived_is_said():
    for options, text in (
        ({"gamma": 1.0}, "gamma=1 with 2 hidden layers"),
        ({"gamma": 0.0, "momentum": 0.5}, "momentum or weight_decay"),
    ):
        with pytest.raises(NotAvailable, match=text):
            fluctuations(flow("tanh", 3, learning_rate=0.1, **options), X, Y, times=2)
    with pytest.raises(NotAvailable, match="centred=False at gamma=0"):
        fluctuations(flow("tanh", 2, learning_rate=0.1, gamma=0.0), X, Y, times=2, centred=False)
    assert not fluctuations(flow("tanh", 2, learning_rate=0.1), X, Y, times=0, samples=64, replicas=2).f_variance.any()
    with pytest.raises(NotAvailable, match="centred=False at gamma=0"):
        fluctuations(flow("tanh", 3, learning_rate=0.1, gamma=0.0), X, Y, times=2, centred=False)


CASES = {
    "tanh": (flow("tanh", 2, gamma=1.5, learning_rate=0.1, C_W=1.2, C_b=0.2, lambda_b=0.5), Y, 96),
    "relu": (flow("relu", 2, gamma=1.5, learning_rate=0.1), Y, 192),
    "logistic": (
        flow("tanh", 2, gamma=1.5, learning_rate=0.1, C_W=1.2, momentum=0.3, weight_decay=0.2, loss="logistic"),
        np.sign(Y),
        96,
    ),
    "outputs": (
        flow("gelu", 2, gamma=1.2, learning_rate=0.1, outputs=2, loss="cross_entropy", C_W=1.5),
        np.array([[1, 0], [0, 1], [1, 0]]),
        96,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_variances_and_shifts_are_those_of_literal_networks(name):
    """1500 networks: variances to 3.7 % each, up to terms of order 1/N; and the shift of the mean loss."""
    subject, labels, N = CASES[name]
    times = [0, 4, 12]
    found = fluctuations(subject, X, labels, times=times, X_test=X[:1] + X[1:2])
    networks = simulate_training(
        subject, X, labels, times=times, X_test=X[:1] + X[1:2], networks=1500, width=N, quantities=("f", "NTK")
    )
    for key in ("f_variance", "NTK_variance"):
        off = networks[key] - found[key]
        error = np.hypot(networks[f"{key}_stderr"], found[f"{key}_stderr"]) + 4 / N * found[key]
        assert (np.abs(off.values) <= 4.5 * error.values + 1e-12).all()
    ratio = (networks.f_variance / found.f_variance).values[1:]
    assert abs(ratio.mean() - 1) < 0.08
    if "loss1" in found:
        theory = predict_training(subject, X, labels, times=times, samples=16384, X_test=X[:1] + X[1:2])
        shift, error = N * (networks.loss - theory.loss), N * np.hypot(networks.loss_stderr, theory.loss_stderr)
        assert (
            np.abs(shift - found.loss1).values <= 4.5 * error.values + 0.15 * np.abs(found.loss1.values) + 1e-9
        ).all()


@pytest.mark.parametrize("feedback", [True, False])
def test_feedback_is_needed(feedback, monkeypatch):
    """With half the feedback of the averages on themselves the variance is another: a negative control."""
    from widthwise.numerics import fluctuations as module

    if not feedback:
        whole = module.Feedback.pushed
        monkeypatch.setattr(module.Feedback, "pushed", lambda self, f: whole(self, f) / 2)
    found = fluctuations(flow("linear", 2, gamma=1.0), [[1.0]], [1.0], times=[0, 0.3], centred=False)
    close = abs(float(found.f_variance[-1, 0]) - 0.4575) <= 6 * float(found.f_variance_stderr[-1, 0]) + 3e-3
    assert close == feedback
