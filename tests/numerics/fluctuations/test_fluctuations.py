"""Fluctuations of networks in training at leading order in 1/N, against exact solutions and literal networks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from training_cases import X, Y, flow

from widthwise.numerics.fluctuations import influences
from widthwise.numerics.fluctuations.interfaces import interface
from widthwise.numerics.fluctuations.one_layer import Options, fluctuate
from widthwise.numerics.fluctuations.predict import fluctuations
from widthwise.numerics.fluctuations.resampled import Population
from widthwise.numerics.fluctuations.routes import SHIFTS, PreparedRoute
from widthwise.numerics.fluctuations.several_layers import fluctuate_deep
from widthwise.numerics.initialisation.predict import predict
from widthwise.numerics.runs.moments import RunningMoments
from widthwise.numerics.runs.results import Result, dataset
from widthwise.numerics.training import conditioned
from widthwise.numerics.training.causal import Run
from widthwise.numerics.training.data import check_data, loss_derivative, losses_of
from widthwise.numerics.training.predict import predict_training
from widthwise.numerics.training.problem import problem_of
from widthwise.numerics.training.question import question
from widthwise.numerics.training.times import check_times
from widthwise.theory.language.errors import InvalidArgument, NotAvailable, NotConverged
from widthwise.theory.networks.architecture import MLP, kinked
from widthwise.theory.training.dynamics import dynamics
from widthwise.theory.training.observables import TRAINING
from widthwise.theory.training.subject import Training
from widthwise.validation.literal.trained import TrainedNetwork
from widthwise.validation.training.simulate import simulate_training

WEIGH = influences._weigh


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
    within(found.isel(time=[-1]), "Theta_variance", K, relative=3e-3)
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
    within(found.isel(time=[0]), "Theta_variance", np.einsum("abab->ab", kappa))
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
    found = fluctuations(Training(net, gamma=0.0), X[:1], [0.8], times=times, quantities="f")
    tensors = predict(net, X[:1], ("K", "Theta", "A", "B"))
    K, A, B = (float(tensors[n].values[-1].squeeze()) for n in ("Theta", "A", "B"))
    assert_allclose(found.f_variance.values[:, 0], times**2 * np.exp(-2 * K * times) * 0.64 * (A + 2 * B), rtol=2e-2)


SLOWLY = {"times": [20], "quantities": ("f", "f1"), "replicas": 2, "samples": 256, "directions": 2}


def test_all_resampled_solutions_take_their_directions_from_the_same_vectors(monkeypatch):
    """Slow training sends vectors that hardly differ: which of them are left out changes nothing.

    The control: where each solution chooses for itself, the same direction has two innovations, and N Var f is ten times as large.
    """
    subject = flow("tanh", 3, learning_rate=0.03)
    one, other = (by_route("resampling", subject, X, Y, least=least, **SLOWLY) for least in (1e-8, 1e-4))
    for name in ("f_variance", "f1"):
        assert_allclose(one[name], other[name], rtol=0.03, atol=0.01)
    monkeypatch.setattr(Population, "close", lambda population: None)
    wrong = by_route("resampling", subject, X, Y, least=1e-8, **SLOWLY)
    assert (wrong.f_variance > 5 * one.f_variance).any()


def test_what_is_not_derived_is_said():
    for depth in (2, 3):
        with pytest.raises(NotAvailable, match="centred=False at gamma=0"):
            fluctuations(flow("tanh", depth, gamma=0.0, learning_rate=0.1), X, Y, times=2, centred=False)
    with pytest.raises(InvalidArgument, match="'A' is not known"):
        fluctuations(flow("tanh", 3, learning_rate=0.1), X, Y, times=2, quantities=("f", "A"))
    with pytest.raises(InvalidArgument, match="directions=0"):
        fluctuations(flow("tanh", 3, learning_rate=0.1), X, Y, times=2, directions=0)
    few = {"times": 16, "quantities": "f1", "samples": 64, "replicas": 2, "directions": 1}
    for depth in (2, 3):
        subject = flow("linear", depth, gamma=9.0, learning_rate=0.3)
        with pytest.raises(NotConverged, match="training diverges at step"):
            fluctuations(subject, X, 60 * Y, **few)
    assert not fluctuations(flow("tanh", 2, learning_rate=0.1), X, Y, times=0, samples=64, replicas=2).f_variance.any()


def by_route(name, subject, inputs, labels, *, times, quantities, centred=True, least=None, **options):
    """The same by one route alone; ``least`` is the part of a vector that counts as a direction of its own."""
    replicas, samples, seed = options.pop("replicas", 8), options.pop("samples", None), options.pop("seed", 0)
    asked = question(subject, inputs, labels, times=times)
    quantities = (quantities,) if isinstance(quantities, str) else quantities
    kernels = tuple(k for k in ("Theta", "Phi", "G") if k in quantities)
    known = partial(loss_derivative, subject, asked.data), losses_of(subject, asked.data)
    given = Options(asked.grids[0].kept, asked.data.trained, centred, kernels, kinked(subject.net), *known, **options)
    names = tuple(q if q in SHIFTS else f"{q}_variance" for q in quantities)
    task, moments = PreparedRoute(name, names, asked, samples, given), RunningMoments()
    if least is not None:
        task.problems = [replace(problem, least=least) for problem in task.problems]
    for number in range(replicas):
        moments.add(task([seed, number], lambda: None))
    results = [Result(TRAINING[n], value, moments.stderr(n)) for n, value in moments.mean.items()]
    return dataset(subject, results, {}, single=subject.outputs == 1)


resampled = partial(by_route, "resampling")


ONE_LAYER = {
    "not centred": ("tanh", {"gamma": 1.5, "C_W": 1.2, "C_b": 0.3, "lambda_b": 0.5}, Y, False),
    "decay of the bias": ("tanh", {"gamma": 1.5, "C_b": 0.3, "momentum": 0.3, "weight_decay": 0.4}, Y, True),
    "third derivative of the loss": (
        "gelu", {"gamma": 1.2, "C_W": 1.5, "outputs": 2, "loss": "cross_entropy"}, np.eye(2)[[0, 1, 0]], True
    ),
    "kinks": ("relu", {"gamma": 1.5}, Y, True),
    "lazy": ("tanh", {"gamma": 0.0, "C_W": 1.2}, Y, True),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [n if n in ("not centred", "kinks") else pytest.param(n, marks=pytest.mark.slow) for n in ONE_LAYER]
)
def test_half_samples_against_the_feedback_of_neurons(name):
    """Two routes that share the equations of one neuron only: all results in one number each, within five standard errors."""
    activation, options, labels, centred = ONE_LAYER[name]
    subject = flow(activation, 2, learning_rate=0.1, **options)
    quantities = ("f", "Theta", "Phi", "G") if name == "kinks" else ("f", "Theta", "Phi", "G", "f1", "loss1")
    asked = {"times": [3, 8], "centred": centred, "quantities": quantities}
    expected = fluctuations(subject, X, labels, **asked, samples=1024 if name == "kinks" else None)
    found = resampled(subject, X, labels, **asked, directions=6, replicas=12, samples=256, seed=1)
    for key in (q if q in ("f1", "loss1") else f"{q}_variance" for q in quantities):
        truth = expected[key].values
        ratio = float((found[key].values * truth).sum() / (truth**2).sum())
        error = np.hypot(found[f"{key}_stderr"], expected[f"{key}_stderr"]).values
        assert abs(ratio - 1) <= 5 * float(np.sum(error * np.abs(truth)) / (truth**2).sum()), (key, ratio)
        assert ratio > 0.5


@pytest.mark.parametrize("known", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_half_samples_of_several_layers(known, monkeypatch):
    """Against the closed lazy limit; with directions that are orthonormal in all sites instead of the half: another variance."""
    if not known:
        init = conditioned.MatrixSide.__init__
        monkeypatch.setattr(
            conditioned.MatrixSide,
            "__init__",
            lambda self, vectors, others, sites, weight, *more, **named: init(
                self, vectors, others, sites, np.full(sites, 1 / sites), *more, **named
            ),
        )
    options = {"learning_rate": 0.2, "C_W": 1.3, "gamma": 0.0}
    asked = {"times": [1, 3], "quantities": ("f", "Theta")}
    expected = fluctuations(flow("linear", 3, **options), X, Y, **asked)
    assert expected.attrs["exact"]
    found = resampled(flow("linear", 3, **options), X, Y, **asked, directions=12, replicas=12, samples=512)
    close = []
    for key in ("f_variance", "Theta_variance"):
        truth, error = expected[key].values, found[f"{key}_stderr"].values
        ratio = float((found[key].values * truth).sum() / (truth**2).sum())
        close.append(abs(ratio - 1) <= 5 * float(np.sum(error * np.abs(truth)) / (truth**2).sum()))
    assert all(close) == known


def test_draws_hold_all_variances_and_covariances():
    """Of one and the same half-samples: averages of products of draws are what is reported of f and of kernels at equal times."""
    subject = flow("relu", 3, gamma=1.5, learning_rate=0.1, C_b=0.2, lambda_b=0.5)
    options = {"times": [1, 3], "samples": 128, "replicas": 3, "directions": 4}
    names = ("f", "loss", "Phi", "G", "Theta")
    found = fluctuations(subject, X, Y, **options, quantities=("f", "Phi", "G", "Theta"), draws=names)
    assert found.sizes["draw"] == 12
    joint = np.einsum("dtp,dsq->tpsq", found.f_draw, found.f_draw) / 12
    assert_allclose(joint, found.f_covariance, rtol=1e-12)
    assert_allclose((found.Theta_draw**2).mean("draw"), found.Theta_variance, rtol=1e-12)
    for name in ("Phi", "G"):
        draw, variance = found[f"{name}_draw"], found[f"{name}_variance"]
        assert draw.dims == ("draw", "layer", "time", "sample", "time2", "sample2")
        for t in range(2):
            equal = draw.isel(time=t, time2=t).transpose("draw", "layer", "sample", "sample2")
            assert_allclose((equal**2).mean("draw"), variance.isel(time=t), rtol=1e-12)
        assert_allclose(draw, draw.values.transpose(0, 1, 4, 5, 2, 3), atol=1e-9)
    # -sum Delta df is the change of the loss, to leading order
    f = predict_training(subject, X, Y, times=[1, 3], quantities="f").f.values
    change = np.einsum("tp,dtp->dt", f - Y, found.f_draw)
    assert np.corrcoef(change.ravel(), found.loss_draw.values.ravel())[0, 1] > 0.95
    alone = fluctuations(subject, X, Y, **options, quantities=(), draws="f")
    assert_allclose(alone.f_draw, found.f_draw, rtol=1e-12)
    with pytest.raises(InvalidArgument, match="draws='A': 'A' is not known; allowed: f, loss, Phi, G, Theta"):
        fluctuations(subject, X, Y, **options, draws="A")


def test_shift_of_a_deep_network_after_one_step_by_hand():
    """One input x = 1, two hidden linear layers, C = 1: f(1) - f(0) = eta y K(0) + (eta y)^2 (..) + (eta y)^3 gamma^4 f(0)^2.

    The kernel is K(0) = |W^T w|^2 + |w|^2|h|^2 + |h'|^2, of mean 3 at any N; the second term is odd in the readout; and
    E f(0)^2 = 1/(gamma^2 N): f_1 = eta^3 gamma^2 y^3.
    """
    subject = flow("linear", 3, gamma=20.0, learning_rate=0.4)
    asked = {"quantities": "f1", "replicas": 24, "directions": 8, "samples": 256}
    found = fluctuations(subject, [[1.0]], [1.5], times=[0, 1], **asked)
    within(found, "f1", np.array([[0.0], [0.4**3 * 1.5**3 * 400]]), limit=4.0)
    assert float(found.f1_stderr[1, 0]) < 15.0


@pytest.mark.parametrize("activation", [pytest.param("linear", marks=pytest.mark.slow), "tanh"])
def test_several_layers_in_the_lazy_limit(activation):
    """Influences at a small gamma against the tensors A and B of the tangent kernel at initialisation, up to gamma^2."""
    options = {"learning_rate": 0.1, "C_W": 1.1, "C_b": 0.1, "lambda_b": 0.3}
    times = [1, 4]
    expected = fluctuations(flow(activation, 3, gamma=0.0, **options), X[:2], Y[:2], times=times, quantities="f")
    found = fluctuations(
        flow(activation, 3, gamma=0.1, **options), X[:2], Y[:2], times=times, quantities="f", samples=8192
    )
    within(found, "f_variance", expected.f_variance.values, limit=5.0, relative=0.03)
    assert float((found.f_variance_stderr / found.f_variance).max()) < 0.05
    within(found, "f_covariance", expected.f_covariance.values, limit=5.0, relative=0.05)


@pytest.mark.parametrize("outputs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_both_routes_for_one_hidden_layer(outputs):
    """Differences of the neurons' own equations, and weights pushed back through them."""
    subject = flow(
        "tanh", 2, gamma=1.5, learning_rate=0.1, C_W=1.2, C_b=0.2, lambda_b=0.5, outputs=outputs, momentum=0.3
    )
    labels = Y if outputs == 1 else np.eye(3)[:, :2]
    data = check_data(subject, X, labels, None)
    grid = check_times(subject, data, [0, 2, 6])
    problem = problem_of(subject, dynamics(subject), data, grid, 4096)
    options = Options(
        grid.kept,
        3,
        False,
        ("Theta", "Phi", "G"),
        False,
        partial(loss_derivative, subject, data),
        losses_of(subject, data),
    )
    one, other = (
        [estimate(problem, np.random.default_rng([5, number]), options) for number in range(4)]
        for estimate in (fluctuate, fluctuate_deep)
    )
    for name in one[0].keys() & other[0].keys():
        a, b = (np.stack([found[name] for found in results]) for results in (one, other))
        error = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 4)
        off = np.abs(a.mean(axis=0) - b.mean(axis=0))
        size = np.abs(a.mean(axis=0)).max()
        assert (off <= 8 * error + 0.02 * size).all()  # 6 degrees of freedom
        assert np.sqrt((off**2).mean()) < 0.05 * size


def literal_memory(subject, N, number, steps):
    """M of one network: its own initial matrix between orthonormal vectors of its own activities and gradients."""
    data = check_data(subject, X[:2], Y[:2], None)
    net = TrainedNetwork(subject, data, N, np.random.default_rng([3, number]), centred=True)
    W = net.theta.W[1].copy()
    a, b = [], []
    for step in range(steps):
        if step:
            net.step(0.2)
        a.append(net.phi[1].copy())
        b.append(net.gradients[1][0].copy())
    e, d = (np.linalg.solve(np.linalg.cholesky(v @ v.T / N), v) for v in (np.concatenate(a), np.concatenate(b)))
    return d @ (W @ e.T) / N


def test_what_a_matrix_remembers_in_literal_networks():
    """All entries of M, measured with the matrices of networks that are trained: their mean, up to terms of order 1/N."""
    subject, N, steps = flow("tanh", 3, gamma=1.5, learning_rate=0.2, C_W=1.3), 300, 3
    data = check_data(subject, X[:2], Y[:2], None)
    grid = check_times(subject, data, steps - 1)
    problem = problem_of(subject, dynamics(subject), data, grid, 1 << 15)
    M = np.mean([interface(Run(problem, np.random.default_rng(i)).solve(), 1).M for i in range(4)], axis=0)
    networks = np.stack([literal_memory(subject, N, number, steps) for number in range(60)])
    error = networks.std(axis=0, ddof=1) / np.sqrt(60)
    assert (np.abs(networks.mean(axis=0).T - M) <= 5 * error.T + 0.05).all()
    assert np.abs(M).max() > 0.5  # there is something to remember


@pytest.mark.parametrize("least", [None, 1e-8])
def test_small_directions_that_sites_cannot_tell_are_left_out(least):
    """With those of part 1e-8 of a vector some replicas are off by many orders of magnitude: a negative control."""
    rng = np.random.default_rng(1)
    inputs, labels = rng.standard_normal((3, 10)), np.sign(rng.standard_normal(3))
    subject = flow("tanh", 3, gamma=1.0, learning_rate=0.03, C_W=2.0)
    asked = {"times": [16], "quantities": "f", "samples": 1024, "replicas": 3}
    found = by_route("influences", subject, inputs, labels, least=least, **asked)
    known = bool((found.f_variance_stderr < 0.2 * found.f_variance).all())
    assert known == (least is None)


def test_a_matrix_remembers_no_more_than_a_matrix_holds():
    """M is a part of W in orthonormal vectors: at infinite width the largest singular value of W is 2 sqrt(C_W)."""
    rng = np.random.default_rng(1)
    subject = flow("tanh", 3, gamma=2.0, learning_rate=0.05, C_W=2.0)
    data = check_data(subject, rng.standard_normal((4, 10)), np.sign(rng.standard_normal(4)), None)
    problem = problem_of(subject, dynamics(subject), data, check_times(subject, data, 12), 4096)
    for least in (1e-2, 1e-8):
        run = Run(replace(problem, least=least), rng).solve()
        known = interface(run, 1)
        assert 0.5 < np.linalg.norm(known.M, 2) < 2 * np.sqrt(2.0)
        for basis, gram in ((known.below, run.q["Phi"][1]), (known.above, run.q["G"][2])):
            size = len(basis.L)
            assert_allclose(basis.L @ basis.L.T, gram.reshape(size, size), atol=least * gram.max())


def _without_gram(into, below, gram_e, gram_d, memory, known):
    """As if the covariance of what a layer receives did not fluctuate: wrong."""
    WEIGH(into, below, 0 * gram_e, gram_d, memory, known)


def _without_orthogonality(into, below, gram_e, gram_d, memory, known):
    """As if a matrix could answer anew where it has answered: wrong."""
    into.add(below, ("e", "e"), influences._low(gram_e) * known.below.new)
    into.add(below, ("e", "q"), known.earlier[:, None, :] * memory)
    into.add(below + 1, ("d", "d"), influences._low(gram_d) * known.above.new)
    into.add(below + 1, ("y", "d"), ~known.earlier[:, None, :] * memory)


@pytest.mark.parametrize("weigh", [WEIGH, _without_gram])
def test_fluctuations_of_the_layer_below_are_needed(weigh, monkeypatch):
    """A negative control of the lazy limit."""
    monkeypatch.setattr(influences, "_weigh", weigh)
    options = {"learning_rate": 0.2, "C_W": 1.3}
    lazy = flow("linear", 3, gamma=0.0, **options)
    expected = fluctuations(lazy, X[:1], Y[:1], times=[1, 3], quantities="f").f_variance.values
    subject = flow("linear", 3, gamma=0.1, **options)
    found = fluctuations(subject, X[:1], Y[:1], times=[1, 3], quantities="f", samples=8192)
    error = found.f_variance_stderr.values + 0.01 * expected
    assert (np.abs(found.f_variance.values - expected) <= 5 * error).all() == (weigh is WEIGH)


@pytest.mark.slow
@pytest.mark.parametrize("weigh", [WEIGH, _without_orthogonality])
def test_a_matrix_that_has_answered_answers_the_same(weigh, monkeypatch):
    """4000 networks of two hidden layers; with innovations that are not orthogonal to what came before the variance is another."""
    monkeypatch.setattr(influences, "_weigh", weigh)
    subject = flow("tanh", 3, gamma=3.0, learning_rate=0.1, C_W=1.3)
    found = fluctuations(subject, X[:1], Y[:1], times=[1, 2], quantities="f")
    networks = simulate_training(subject, X[:1], Y[:1], times=[1, 2], networks=4000, width=96, quantities="f")
    error = np.hypot(networks.f_variance_stderr, found.f_variance_stderr) + found.f_variance / 96
    assert (np.abs(networks.f_variance - found.f_variance) <= 4 * error).values.all() == (weigh is WEIGH)


CASES = {
    "two hidden layers": (flow("tanh", 3, gamma=1.0, learning_rate=0.1, C_W=1.2, C_b=0.3, lambda_b=0.5), Y, 192),
    "three hidden layers": (flow("tanh", 4, gamma=1.5, learning_rate=0.1, C_W=1.2, C_b=0.2, lambda_b=0.5), Y, 192),
    "deep, decay": (
        flow("tanh", 3, gamma=1.5, learning_rate=0.1, C_W=1.2, momentum=0.3, weight_decay=0.2, loss="logistic"),
        np.sign(Y),
        128,
    ),
    "deep, outputs": (
        flow("gelu", 3, gamma=1.2, learning_rate=0.1, outputs=2, loss="cross_entropy", C_W=1.5),
        np.array([[1, 0], [0, 1], [1, 0]]),
        192,
    ),
    "deep, kinks": (flow("relu", 3, gamma=1.0, learning_rate=0.1, C_W=2.0), Y, 256),
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
    """1500 networks: variances to 3.7 % each, up to terms of order 1/N; and the shift of the mean loss, by each way."""
    subject, labels, N = CASES[name]
    times = [0, 4, 12]
    found = fluctuations(subject, X, labels, times=times, X_test=X[:1] + X[1:2])
    networks = simulate_training(
        subject, X, labels, times=times, X_test=X[:1] + X[1:2], networks=1500, width=N, quantities=("f", "Theta")
    )
    for key in ("f_variance", "Theta_variance"):
        off = networks[key] - found[key]
        error = np.hypot(networks[f"{key}_stderr"], found[f"{key}_stderr"]) + 4 / N * found[key]
        assert (np.abs(off.values) <= 4.5 * error.values + 1e-12).all()
    ratio = (networks.f_variance / found.f_variance).values[1:]
    assert abs(ratio.mean() - 1) < 0.08 + 2 * float((found.f_variance_stderr / found.f_variance).values[1:].mean())
    theory = predict_training(subject, X, labels, times=times, samples=16384, X_test=X[:1] + X[1:2])
    shift, expected = N * (networks.loss - theory.loss).values, found.loss1.values
    error = np.hypot(N * np.hypot(networks.loss_stderr, theory.loss_stderr), found.loss1_stderr).values
    assert (np.abs(shift - expected) <= 4.5 * error + 0.15 * np.abs(expected) + 1e-9).all(), (shift, expected, error)


@pytest.mark.parametrize("feedback", [True, False])
def test_feedback_is_needed(feedback, monkeypatch):
    """With half the feedback of the averages on themselves the variance is another: a negative control."""
    from widthwise.numerics.fluctuations import one_layer as module

    if not feedback:
        whole = module.Feedback.pushed
        monkeypatch.setattr(module.Feedback, "pushed", lambda self, f: whole(self, f) / 2)
    found = fluctuations(flow("linear", 2, gamma=1.0), [[1.0]], [1.0], times=[0, 0.3], centred=False)
    close = abs(float(found.f_variance[-1, 0]) - 0.4575) <= 6 * float(found.f_variance_stderr[-1, 0]) + 3e-3
    assert close == feedback
