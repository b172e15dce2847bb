"""Training at infinite width, against exact solutions and limits."""

from __future__ import annotations

import runpy
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from training_cases import X, Y, flow, value_of

from widthwise.numerics.runs.moments import RunningMoments
from widthwise.numerics.runs.store import fingerprint
from widthwise.numerics.training import predict
from widthwise.numerics.training.causal import Run
from widthwise.numerics.training.conditioned import Conditioned, MatrixSide
from widthwise.numerics.training.data import check_data
from widthwise.numerics.training.optimizer import kernels
from widthwise.numerics.training.predict import predict_training
from widthwise.numerics.training.problem import following, problem_of
from widthwise.numerics.training.sites import generate
from widthwise.numerics.training.sources import Embedding, Recorded, Rotation, standard_normal
from widthwise.numerics.training.times import check_times
from widthwise.theory.language.errors import InvalidArgument, InvalidInput, InvalidNetwork, NotConverged
from widthwise.theory.language.symbols import gamma_0
from widthwise.theory.networks.architecture import MLP
from widthwise.theory.training.dynamics import dynamics
from widthwise.theory.training.subject import Training


def within(found, expected, name, limit=5.0):
    """Within so many standard errors, and these are no excuse: below 3 % of the largest value."""
    error = found[f"{name}_stderr"].values
    assert error.max() <= 0.03 * np.abs(expected).max()
    assert (np.abs(found[name].values - expected) <= limit * error + 1e-9).all()


@pytest.mark.quick
def test_one_step_from_white_data_by_hand():
    """K^x = 1: h = u + eta g0 y r, w = r + eta g0 y u, so f = <h w>/g0 = 2 eta y and Phi = G = 1 + (eta g0 y)^2."""
    eta, gamma, y = 0.1, 1.7, 0.8
    found = predict_training(flow("linear", 2, gamma=gamma, learning_rate=eta), [[1.0]], [y], times=1)
    assert_allclose(found.f.values[:, 0], [0, 2 * eta * y], rtol=1e-14)
    assert_allclose(
        [found.Phi.values[0, 1, 0, 1, 0], found.G.values[0, 1, 0, 1, 0]], 1 + (eta * gamma * y) ** 2, rtol=1e-14
    )
    assert_allclose(found.Phi.values[0, 1, 0, 0, 0], 1.0, rtol=1e-14)


@pytest.mark.parametrize(("gamma", "y"), [(0.3, 1.0), (1.0, 1.0), (2.0, -0.7)])
def test_two_layer_linear_flow_on_white_data(gamma, y):
    """d(Delta)/dt = -2 sqrt(1 + g0^2 (y - Delta)^2) Delta, H = G = sqrt(1 + g0^2 (y - Delta)^2)."""
    times = np.array([0.0, 0.3, 1.0, 3.0])
    white, labels = np.sqrt(3) * np.eye(3), np.array([y, 0, 0])
    found = predict_training(flow("linear", 2, gamma=gamma), white, labels, times=times)
    exact = solve_ivp(
        lambda t, d: -2 * np.sqrt(1 + gamma**2 * (y - d) ** 2) * d, (0, 3), [y], t_eval=times, rtol=1e-11, atol=1e-13
    )
    f = y - exact.y[0]
    error = found.f_step_error.values[:, 0]
    assert (np.abs(found.f.values[:, 0] - f) <= error + 1e-12).all()
    assert_allclose(found.f.values[:, 0], f, atol=5e-4)
    H = np.einsum("tt->t", found.Phi.values[0, :, 0, :, 0])
    assert_allclose(H, np.sqrt(1 + gamma**2 * f**2), rtol=1e-3)
    assert_allclose(
        np.einsum("tt->t", found.Phi.values[0, :, 1, :, 1]), 1, rtol=1e-12
    )  # directions without a label stay


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_deep_linear_solution_satisfies_the_closed_equations(depth):
    """Bordelon & Pehlevan (2205.09653): H = (1 - CD)^-1 [H + C G C^T] (1 - CD)^-T and so on, transcribed, at the solution found."""
    gamma, eta, T, L = 1.5, 0.03, 60, depth - 1
    names = ("f", "Phi", "G", "A", "B")[: 5 if L > 1 else 3]
    found = predict_training(flow("linear", depth, gamma=gamma, learning_rate=eta), X, Y, times=T - 1, quantities=names)
    P = len(Y)
    delta = Y - found.f.values
    H = [np.broadcast_to((X @ X.T / 6)[None, :, None, :], (T, P, T, P)).reshape(T * P, T * P)]
    H += [found.Phi.values[i].reshape(T * P, T * P) for i in range(L)]
    G = [None, *[found.G.values[i][:, 0, :, 0] for i in range(L)], np.ones((T, T))]
    A, B = [np.zeros((T * P, T))], [None] * L + [np.zeros((T, T * P))]
    for i in range(L - 1):  # g is the same for all samples: an answer to all of its directions; of B any sample's
        A.append(found.A.values[i].sum(axis=-1).reshape(T * P, T))
        B[i + 1] = found.B.values[i][:, 0].reshape(T, T * P)
    earlier = np.tril(np.ones((T, T)), -1)
    one, few = np.eye(T * P), np.eye(T)
    for layer in range(1, L + 1):
        h = np.einsum("tpsq,sq,ts->tps", H[layer - 1].reshape(T, P, T, P), delta, earlier).reshape(T * P, T)
        g = np.einsum("ts,sq,ts->tsq", G[layer + 1], delta, earlier).reshape(T, T * P)
        C, D = gamma * (A[layer - 1] + eta * h), gamma * (B[layer] + eta * g)
        inverse, other = np.linalg.inv(one - C @ D), np.linalg.inv(few - D @ C)
        assert_allclose(H[layer], inverse @ (H[layer - 1] + C @ G[layer + 1] @ C.T) @ inverse.T, atol=1e-11)
        assert_allclose(G[layer], other @ (G[layer + 1] + D @ H[layer - 1] @ D.T) @ other.T, atol=1e-11)
        if layer < L:
            assert_allclose(A[layer], inverse @ C / gamma, atol=1e-11)
        if layer > 1:
            assert_allclose(B[layer - 1], other @ D / gamma, atol=1e-11)


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_the_derived_algebraic_equations_hold_at_the_solution(decay):
    """What derive(flow).closed prints, evaluated; a hidden layer between two others."""
    gamma, eta, T, P = 1.5, 0.05, 8, 3
    subject = flow("linear", 4, gamma=gamma, learning_rate=eta, C_W=1.3, lambda_W=0.8, weight_decay=decay)
    found = predict_training(subject, X, Y, times=T - 1, quantities=("f", "Phi", "G", "A", "B"))
    n, delta = T * P, Y - found.f.values
    q = {name: [found[name].values[i].reshape(n, n) for i in range(3)] for name in ("Phi", "G", "A", "B")}
    earlier = np.kron(np.tril(np.ones((T, T)), -1), np.ones((P, P))) * delta.reshape(-1)
    a, m = kernels(T, eta, 0.0, decay)
    left, earlier = np.diag(np.repeat(a, P)), earlier * np.kron(m, np.ones((P, P)))
    arrays = {"gamma_0": gamma, "Phi[ell-1]": q["Phi"][0], "G[ell+1]": q["G"][2], "a(t)": left}
    arrays["C[ell]"] = gamma * (1.3 * left @ q["A"][0] + 0.8 * eta * earlier * q["Phi"][0])
    arrays["D[ell]"] = gamma * (1.3 * left @ q["B"][1] + 0.8 * eta * earlier * q["G"][2])
    expected = {"Phi[ell]": q["Phi"][1], "G[ell]": q["G"][1], "A[ell]": q["A"][1], "B[ell-1]": q["B"][0]}
    equations = [eq for eq in dynamics(subject).closed if eq.lhs.name in expected]
    assert len(equations) == 4
    for eq in equations:
        rhs = eq.rhs.subs(gamma_0, gamma)
        assert_allclose(value_of(rhs, arrays), expected[eq.lhs.name], atol=1e-11)


def test_published_deep_linear_numbers():
    """Delta after 24 steps, of a solver that steps f by the tangent kernel, so to first order in the step."""
    for L, gamma, expected in ((1, 2.0, (0.1706, -0.3597, -0.2569)),):
        found = predict_training(flow("linear", L + 1, gamma=gamma, learning_rate=0.1 / L), X, Y, times=24)
        assert_allclose(Y - found.f.values[-1], expected, atol=5e-4)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_lazy_limit_of_linear_networks_is_the_tangent_kernel(depth):
    """gamma -> 0: f(t) = (1 - (1 - eta K)^t) y with K = L X X^T/n_0, to 1e-6."""
    K, eta, steps = depth * X @ X.T / 6, 0.05, 20
    exact = [Y - np.linalg.matrix_power(np.eye(3) - eta * K, t) @ Y for t in range(steps + 1)]
    for gamma in (0.0, 1e-4):
        found = predict_training(flow("linear", depth, gamma=gamma, learning_rate=eta), X, Y, times=steps)
        assert_allclose(found.f, exact, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "depth"), [("tanh", 2), ("relu", 2), ("tanh", 3), pytest.param("gelu", 4, marks=pytest.mark.slow)]
)
def test_lazy_limit_of_nonlinear_networks(activation, depth):
    """gamma -> 0 within the Monte Carlo error; the tangent kernel is that of the layer recursion."""
    from widthwise.numerics.initialisation.predict import predict

    subject = flow(activation, depth, gamma=0.0, learning_rate=0.05, C_W=1.5, C_b=0.1, lambda_W=0.8, lambda_b=0.3)
    found = predict_training(subject, X, Y, times=[0, 5, 15], samples=2048, replicas=8)
    K = predict(subject.net, X, ("K", "Theta")).Theta.values[-1]
    exact = np.array([Y - np.linalg.matrix_power(np.eye(3) - 0.05 * K, t) @ Y for t in (0, 5, 15)])
    within(found, np.broadcast_to(K, (3, 3, 3)), "Theta", limit=6)
    within(found, exact, "f", limit=6)


@pytest.mark.parametrize(("scale", "f"), [(20, (16.7, -16.0, 8.7)), (100, (86.4, -86.4, 50.0))])
def test_gradient_flow_with_a_kernel_that_grows_is_refined(scale, f):
    """Large labels: the tangent kernel grows by a factor of ten, and with it what a step may be; against a fine integration."""
    data, labels = np.random.default_rng(1).standard_normal((3, 4)), scale * np.array([1, -1, 0.5])
    found = predict_training(flow("tanh", 2), data, labels, times=[0, 0.25, 0.5, 1.0], samples=1024, replicas=4)
    assert_allclose(found.f.values[-1], f, rtol=0.02)
    assert (np.diff(found.loss) < 0).all()
    assert (found.loss > 0).all()


def test_momentum_and_decay_of_a_linear_optimizer():
    """Against the recursion of a quadratic, step by step."""
    eta, beta, kappa, T = 0.1, 0.7, 0.3, 9
    a, m = kernels(T, eta, beta, kappa)
    pushes = np.random.default_rng(1).standard_normal(T)
    theta, v, path = 1.3, 0.0, []
    for push in pushes:
        path.append(theta)
        v = beta * v + push - kappa * theta
        theta += eta * v
    assert_allclose(a * 1.3 + eta * m @ pushes, path, rtol=1e-13)
    assert_allclose(kernels(T, eta, 0, kappa)[0], (1 - eta * kappa) ** np.arange(T), rtol=1e-13)
    assert_allclose(kernels(T, eta, beta, 0)[1][5, 2], (1 - beta**3) / (1 - beta), rtol=1e-13)


def test_sources_keep_all_inner_products(rng):
    x = rng.standard_normal((7, 64))
    rotated = Rotation(64, rng)(x)
    assert_allclose(rotated @ rotated.T, x @ x.T, rtol=1e-12)
    assert not np.allclose(rotated, x)
    grown, embedding = [], Embedding(40, 20, 10)
    for row in np.vstack([x[:3], x[:1] + x[1:2], x[3:]]):
        grown.append(embedding(row[None])[0])
    rows = np.vstack([x[:3], x[:1] + x[1:2], x[3:]])
    assert_allclose(np.array(grown) @ np.array(grown).T, rows @ rows.T, atol=1e-12)
    assert embedding.used == 7
    z = standard_normal(256, 5, rng)
    assert_allclose(z @ z.T / 256, np.eye(5), atol=1e-12)


def test_a_new_equation_is_what_is_solved():
    """The generated solver follows the system: half the drive is half the rate."""
    subject = flow("linear", 2, gamma=0.0, learning_rate=0.05)
    system = dynamics(subject)
    slower = predict_training(subject, X, Y, times=5, equations=system.with_(f=system.system["f"].rhs / 2))
    assert_allclose(slower.f.values[1], predict_training(subject, X, Y, times=5).f.values[1] / 2, rtol=1e-9)
    assert "def h_kernels(A, Delta, Phi" in generate(system).source


def test_generated_code_stands_on_its_own(tmp_path):
    """The file runs with NumPy alone, and says what the equations say."""
    path = generate(dynamics(flow("tanh", 3, learning_rate=0.1))).save(tmp_path / "sites.py")
    space = runpy.run_path(str(path))
    numbers = {"gamma_0": 2.0, "eta": 0.1, "C_W": 3.0, "C_b": 0.5, "lambda_W": 0.7, "lambda_b": 0.3}
    rng = np.random.default_rng(0)
    A, Phi, Delta = rng.normal(size=(2, 3, 1, 2)), rng.normal(size=(2, 3, 2)), rng.normal(size=(3, 1, 2))
    m = rng.normal(size=3)
    (kernel,) = space["h_kernels"](A, Delta, Phi, 0.9, m, **numbers)
    expected = 3.0 * 0.9 * A + 0.1 * np.einsum("sca,msa,s->msca", Delta, 0.7 * Phi + 0.3, m)
    assert_allclose(kernel, expected, rtol=1e-13)
    assert space["u_source"](**numbers) == (3.0, 0.5)


def test_test_samples_follow_and_do_not_lead():
    new = X[:1] * 0.5 + X[1:2]
    subject = flow("tanh", 2, gamma=1.0, learning_rate=0.1)
    alone = predict_training(subject, X, Y, times=8)
    both = predict_training(subject, X, Y, times=8, X_test=new)
    assert list(both.set.values) == ["train"] * 3 + ["test"]
    assert (
        np.abs(both.f.values[:, :3] - alone.f.values) <= 6 * (alone.f_stderr + both.f_stderr.values[:, :3]) + 1e-12
    ).all()
    assert abs(both.f.values[-1, 3]) > 0.01
    repeated = predict_training(flow("linear", 3, learning_rate=0.05), X, Y, times=8, X_test=X)
    assert_allclose(repeated.f.values[:, 3:], repeated.f.values[:, :3], atol=1e-12)


def test_solutions_are_reproducible_and_resumed(tmp_path):
    subject = flow("tanh", 3, gamma=1.0, learning_rate=0.1)
    options = {"times": 4, "samples": 256, "replicas": 3}
    first = predict_training(subject, X, Y, **options, checkpoint=tmp_path)
    files = sorted(tmp_path.glob("*.npz"))
    stamps = [p.stat().st_mtime_ns for p in files]
    assert len(files) == 3 + 2  # and two with an eighth of the sites
    files[0].unlink()
    again = predict_training(subject, X, Y, **options, checkpoint=tmp_path)
    assert again.identical(first)
    assert [p.stat().st_mtime_ns for p in files[1:]] == stamps[1:]
    files[1].write_bytes(b"half a file")
    with pytest.raises(InvalidArgument, match=r"cannot be read .* allowed: delete it"):
        predict_training(subject, X, Y, **options, checkpoint=tmp_path)
    files[1].unlink()
    assert not predict_training(subject, X, Y, **options, seed=1, checkpoint=tmp_path).equals(first)


def test_errors_hold_the_bias_of_finitely_many_sites():
    """A mean that moves by 7 b between an eighth of the sites and all of them has a bias b; linear networks have neither."""
    many, few = RunningMoments(), RunningMoments()
    for shift in (0.0, 0.2):
        many.add({"f": np.array([1.0 + shift, 2.0])})
        few.add({"f": np.array([1.7 + shift, 2.0])})
    assert_allclose(predict._error("f", [many, few]), [np.hypot(0.1, 0.1), 0.0])
    assert_allclose(predict._error("f", [many]), [0.1, 0.0])
    assert not predict_training(flow("linear", 3, learning_rate=0.1), X, Y, times=3).f_stderr.any()


def test_several_outputs_have_axes_of_their_own():
    labels = np.stack([Y, -Y], axis=1)
    subject = flow("linear", 3, gamma=1.0, learning_rate=0.05, outputs=2)
    found = predict_training(subject, X, labels, times=6)
    assert found.f.dims == ("time", "output", "sample")
    assert found.G.dims == ("layer", "time", "output", "sample", "time2", "output2", "sample2")
    assert_allclose(found.f.values[:, 0], -found.f.values[:, 1], atol=1e-12)  # one direction of labels


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"y": Y[:2]}, InvalidInput, r"y has shape \(2,\) for 3 samples and outputs=1; allowed: \(3,\)"),
        ({"y": [1, 2, np.nan]}, InvalidInput, "not finite"),
        ({"y": ["a", "b", "c"]}, InvalidInput, "holds no numbers"),
        ({"X_test": np.ones((2, 5))}, InvalidInput, "5 features, and X has 6"),
        ({"times": [0, 3, 2]}, InvalidArgument, "allowed: increasing numbers from 0"),
        ({"times": [0.5]}, InvalidArgument, "increasing integers"),
        ({"times": -1}, InvalidArgument, "increasing numbers from 0"),
        ({"times": 100_000}, InvalidArgument, "GiB"),
        ({"samples": 2}, InvalidArgument, "samples=2; allowed: integers from 5"),
        ({"replicas": 1}, InvalidArgument, "replicas=1"),
        ({"quantities": "K"}, InvalidArgument, "'K' is not known; allowed: f, loss"),
        ({"checkpoint": __file__}, InvalidArgument, "is a file; allowed: a folder"),
    ],
)
def test_wrong_data(options, error, text):
    arguments = {"X": X, "y": Y, "times": 3} | options
    with pytest.raises(error, match=text):
        predict_training(flow("tanh", 3, learning_rate=0.1), **arguments)


@pytest.mark.parametrize(
    ("loss", "labels", "text"),
    [
        ("logistic", [0, 1, -1], r"y\[0\]=0 with loss='logistic'; allowed: labels in \{-1, 1\}"),
        ("cross_entropy", [1, 0, -1], r"y\[2\]=-1 with loss='cross_entropy'; allowed: labels in Interval\(0, 1\)"),
        ("cross_entropy", [[1, 0], [0, 0], [0, 1]], r"y\[1\]=\(0, 0\) .*one-hot"),
    ],
)
def test_labels_that_a_loss_is_not_made_for(loss, labels, text):
    subject = flow("linear", 2, loss=loss, outputs=np.ndim(labels[0]) + 1, learning_rate=0.1)
    with pytest.raises(InvalidInput, match=text):
        predict_training(subject, X, labels, times=2)


@pytest.mark.parametrize("names", [("f", "Phi", "G"), ("f", "Phi", "G", "A", "B")])
@pytest.mark.parametrize("options", [{}, {"outputs": 2, "C_b": 0.2, "lambda_b": 0.5}])
def test_samples_of_linear_networks_against_their_exact_solution(options, names):
    """What other networks are solved with: matrices conditioned on their answers, or derivatives for A and B."""
    subject = flow("linear", 4, gamma=2.0, learning_rate=0.05, C_W=1.3, **options)
    labels = Y if "outputs" not in options else np.eye(3)[:, :2]
    data = check_data(subject, X, labels)
    exact = problem_of(subject, dynamics(subject), data, check_times(subject, data, 5), 4096)
    expected = Run(exact, np.random.default_rng(0)).solve()
    sampled = replace(exact, exact=False)
    sampled = following(sampled) if "A" in names else sampled
    runs = [Run(sampled, np.random.default_rng(i)).solve() for i in range(8)]
    for name in names:
        found = np.stack([r.f if name == "f" else np.stack(r.q[name][1:3]) for r in runs])
        truth = expected.f if name == "f" else np.stack(expected.q[name][1:3])
        error = found.std(axis=0, ddof=1) / np.sqrt(8)
        off = np.abs(found.mean(axis=0) - truth)
        assert (off <= 9 * error + 2e-3 * np.abs(truth).max()).all()  # 7 degrees of freedom, some hundred numbers
        assert np.sqrt((off**2).mean()) < 0.02 * np.abs(truth).max()


def test_names_of_results_hold_all_that_they_depend_on():
    names = [fingerprint(flow("tanh", 2, gamma=g), Y) for g in (1.0, 1.0 + 1e-9)]
    names += [fingerprint(flow("tanh", 2), a) for a in (Y, Y[None], Y.astype(np.float32), [*Y])]
    names += [fingerprint(flow(a, 2), Y) for a in ("relu", "gelu")]
    names += [fingerprint(flow("tanh", 2, loss=text), Y) for text in ("logistic", "(f - y)**4")]
    assert len(set(names)) == len(names) - 1  # gamma = 1 is the default


def test_conditioned_matrix_is_the_matrix():
    """A literal matrix, conditioned on its own answers, must answer what it does: to vectors that depend on these."""
    rng = np.random.default_rng(1)
    N, scale, weight = 40, 1.3, np.full(1, 1 / 40)
    W = rng.standard_normal((N, N)) / np.sqrt(N)
    below, above = MatrixSide(9, 9, N, weight, 1e-8), MatrixSide(9, 9, N, weight, 1e-8)
    forward = Conditioned(below, above, lambda e, _: e @ W.T, scale)
    backward = Conditioned(above, below, lambda d, _: d @ W, scale)
    h, z = rng.standard_normal((3, N)), rng.standard_normal((3, N))
    activities, gradients = [], []
    for t in range(3):
        phi = np.maximum(h, 0.0) if t != 1 else np.stack([h[0], h[1], h[0] - 2 * h[1]])
        activities.append(phi)
        field, response = forward.take(phi)
        memory = 0.0 if not t else response * scale**2 @ np.concatenate(gradients)
        assert_allclose(field + memory, scale * phi @ W.T, atol=1e-12)
        g = np.tanh(field) * z
        gradients.append(g)
        field, response = backward.take(g)
        z = field + response * scale**2 @ np.concatenate(activities)
        assert_allclose(z, scale * g @ W, atol=1e-12)
        h = h + 0.3 * z
    assert (len(below.origins), len(above.origins)) == (8, 9)


def test_answers_to_numbered_vectors_are_kept():
    source, rng = Recorded(Rotation(64, np.random.default_rng(0))), np.random.default_rng(1)
    a, b = rng.standard_normal((2, 3, 64))
    first = source(a, np.array([0, 2, 5]))
    assert_allclose(source(b, np.array([5, 0, 1]))[:2], first[[2, 0]])
    assert_allclose(
        source(a, np.array([7, 1, 3])) @ source(a, np.array([7, 1, 3])).T,
        (lambda v: v @ v.T)(np.stack([a[0], b[2], a[2]])),
    )
    assert source(np.zeros((0, 64)), np.zeros(0, dtype=int)).shape == (0, 64)


def test_wrong_subjects():
    with pytest.raises(InvalidNetwork, match="depth=None"):
        predict_training(Training(MLP("tanh")), X, Y, times=3)
    with pytest.raises(InvalidArgument, match="unspecified"):
        predict_training(Training(MLP(depth=3)), X, Y, times=3)
    with pytest.raises(InvalidArgument, match="is -inf at f = 0"):
        predict_training(flow("tanh", 2, learning_rate=0.1, loss="log(f)"), X, Y, times=3)
    with pytest.raises(InvalidArgument, match="one hidden layer has no A"):
        predict_training(flow("tanh", 2, learning_rate=0.1), X, Y, times=3, quantities="A")
    with pytest.raises(NotConverged, match=r"training diverges at step \d+: the losses were"):
        predict_training(flow("linear", 2, gamma=8.0, learning_rate=0.5), X, 40 * Y, times=60)
