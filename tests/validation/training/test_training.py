"""Literal networks in training, and the theory against them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from training_cases import X, Y, flow

from widthwise.numerics.fluctuations.predict import fluctuations
from widthwise.numerics.training.data import check_data
from widthwise.numerics.training.predict import predict_training
from widthwise.numerics.training.times import TimeGrid, check_times
from widthwise.theory.language.errors import InvalidArgument, InvalidNetwork, UnknownName
from widthwise.theory.language.symbols import gamma_0
from widthwise.theory.training.dynamics import dynamics
from widthwise.theory.training.fields import OrderParameter
from widthwise.validation.literal.trained import TrainedNetwork, train
from widthwise.validation.training.simulate import simulate_training
from widthwise.validation.training.validate import confront, validate_training


@pytest.mark.quick
def test_a_step_is_gradient_descent_on_the_loss(rng):
    """Against finite differences of the loss by every parameter of a small network."""
    subject = flow(
        gamma=0.8, learning_rate=0.1, outputs=2, loss="cross_entropy", C_W=1.3, C_b=0.4, lambda_W=0.7, lambda_b=0.6
    )
    labels = np.array([[1, 0], [0, 1], [1, 0]])
    data, N, rate = check_data(subject, X, labels), 4, 1e-3

    def network():
        return TrainedNetwork(subject, data, N, np.random.default_rng(3), centred=False)

    def loss(net):
        net.forward()
        return sum(np.log(np.exp(net.f[:, p]).sum()) - (labels[p] * net.f[:, p]).sum() for p in range(3))

    net, moved = network(), network()
    moved.step(rate)
    for kind, scale in (("W", lambda n: 0.7 / n), ("b", lambda n: 0.6)):
        for number, array in enumerate(getattr(net.theta, kind)):
            fan_in = (6, N, N)[number]
            for index in np.ndindex(array.shape):
                kept, h = array[index], 1e-5
                array[index] = kept + h
                up = loss(net)
                array[index] = kept - h
                down = loss(net)
                array[index] = kept
                expected = kept - rate * 0.8**2 * N * scale(fan_in) * (up - down) / (2 * h)
                assert_allclose(getattr(moved.theta, kind)[number][index], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.quick
def test_the_tangent_kernel_is_the_speed_of_the_predictions():
    """A small step changes f by eta times the kernel times the errors."""
    subject = flow(gamma=1.2, learning_rate=0.1, lambda_b=0.5, C_b=0.2)
    data = check_data(subject, X, Y)
    net = TrainedNetwork(subject, data, 40, np.random.default_rng(1), centred=True)
    kernel, before = net.tangent_kernel()[0, :, 0, :], net.f[0].copy()
    assert_allclose(before, 0)
    net.step(1e-6)
    assert_allclose((net.f[0] - before) / 1e-6, kernel @ Y, rtol=1e-4)


def test_simulations_are_reproducible_and_resumed(tmp_path):
    subject = flow(gamma=1.0, learning_rate=0.1, width=16)
    options = {"times": [0, 3], "networks": 4}
    one = simulate_training(subject, X, Y, **options, workers=1, checkpoint=tmp_path)
    two = simulate_training(subject, X, Y, **options, workers=2)
    assert one.identical(two)
    assert len(list(tmp_path.glob("*.npz"))) == 4
    assert simulate_training(subject, X, Y, **options, checkpoint=tmp_path).identical(one)
    assert not one.equals(simulate_training(subject, X, Y, **options, seed=1))


def test_wrong_arguments():
    subject = flow(gamma=1.0, learning_rate=0.1)
    with pytest.raises(InvalidNetwork, match="width=None"):
        simulate_training(subject, X, Y, times=2)
    with pytest.raises(InvalidNetwork, match="equal hidden widths"):
        simulate_training(flow(gamma=1.0, learning_rate=0.1, width=(8, 16)), X, Y, times=2)
    with pytest.raises(InvalidArgument, match="gamma=0 is a limit"):
        simulate_training(flow(gamma=0.0, learning_rate=0.1, width=8), X, Y, times=2)
    with pytest.raises(InvalidArgument, match="'A' cannot be measured"):
        simulate_training(flow(width=8, learning_rate=0.1), X, Y, times=2, quantities="A")
    with pytest.raises(InvalidArgument, match="two different widths"):
        validate_training(subject, X, Y, times=2, widths=(16,))
    with pytest.raises(InvalidArgument, match="with equations=: f_variance is that of derive"):
        validate_training(subject, X, Y, times=2, quantities="f_variance", equations=dynamics(subject))


# -------------------------------------------------------------------------------------- theory against literal networks

WIDTHS = (64, 128, 256)
CASES = {
    "tanh": (flow(gamma=1.5, learning_rate=0.1), Y),
    "relu": (flow("relu", 2, gamma=1.5, learning_rate=0.1), Y),
    "deep relu": (flow("relu", 4, gamma=1.0, learning_rate=0.05, C_W=1.6, C_b=0.1, lambda_b=0.5), Y),
    "linear": (flow("linear", 4, gamma=1.5, learning_rate=0.05), Y),
    "everything": (
        flow(
            gamma=1.2, learning_rate=0.05, momentum=0.5, weight_decay=0.4, C_W=1.5, C_b=0.3, lambda_W=0.7, lambda_b=0.4
        ),
        Y,
    ),
    "outputs": (
        flow("gelu", 3, gamma=1.2, learning_rate=0.1, outputs=2, loss="cross_entropy", C_W=1.5),
        np.array([[1, 0], [0, 1], [1, 0]]),
    ),
    "flow": (flow(gamma=1.0, loss="logistic"), np.sign(Y)),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in ("tanh", "linear", "outputs", "flow") else n for n in CASES],
)
def test_theory_is_the_limit_of_literal_networks(name):
    """Kernels, predictions and losses extrapolated in 1/N; a true theory fails with probability 1 % at most."""
    subject, labels = CASES[name]
    times = [0.0, 0.5, 1.0] if subject.continuous else [0, 4, 12]
    report = validate_training(
        subject, X, labels, times=times, widths=WIDTHS, networks=32, samples=2048, replicas=12, seed=5
    )
    assert report.passed, str(report)
    assert len(report.table) > 100
    assert {"f", "loss", "Phi", "G", "Theta"} == set(report.table["quantity"])


@pytest.fixture(scope="module")
def simulations():
    subject = flow(gamma=1.5, learning_rate=0.1)
    return [simulate_training(subject, X, Y, times=[0, 4, 16], width=n, networks=64) for n in WIDTHS]


def _transposed(expr):
    """Kernels of the layer below with their samples exchanged."""
    orders = {
        o: OrderParameter("Phi", o.layer, (o.places[1][0], o.places[0][1]), (o.places[0][0], o.places[1][1]))
        for o in expr.atoms(OrderParameter)
        if o.name == "Phi"
    }
    return expr.xreplace(orders)


CONTROLS = {
    "true": lambda d: d,
    "without responses": lambda d: d.without_responses(),
    "a wrong power of gamma": lambda d: d.with_(h=d.system["h"].rhs.subs(gamma_0, gamma_0**2)),
    "a transposed kernel": lambda d: d.with_(h=_transposed(d.system["h"].rhs), f=_transposed(d.system["f"].rhs)),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_wrong_equations_are_caught(name, simulations):
    subject = flow(gamma=1.5, learning_rate=0.1)
    system = CONTROLS[name](dynamics(subject))
    theory = predict_training(subject, X, Y, times=[0, 4, 16], equations=system, samples=2048, replicas=12)
    report = confront(subject, theory, simulations, alpha=0.01)
    assert report.passed == (name == "true"), f"{name}: {report}"


def test_a_report_can_be_kept(tmp_path, simulations):
    subject = flow(gamma=1.5, learning_rate=0.1)
    theory = predict_training(subject, X, Y, times=[0, 4, 16], samples=256, replicas=4)
    report = confront(subject, theory, simulations, alpha=0.01)
    page = report.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<math" in page
    assert page.count("<img") == 5 + 2  # quantities, overlaps and the histogram
    assert report.to_netcdf(tmp_path / "report.nc").exists()
    for name in (None, "kernels", "sigmas"):
        panels = [axes for axes in report.figure(name).axes if axes.get_label() != "<colorbar>"]
        assert panels
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in panels)
    for words in ("widths simulated", "learning rate 0.1", "How to make this report again", "networks="):
        assert words in page
    with pytest.raises(UnknownName, match="Theta, deviations, f, kernels, loss, sigmas"):
        report.plot("nothing")
    assert report._repr_html_().startswith("<p")


def test_grids_halve():
    assert TimeGrid(5, np.array([0, 4]), 0.1).finer().kept.tolist() == [0, 8]


# ------------------------------------------------------------------------------------------------- shifts of the mean


def as_measured(theory, widths, relative=1e-3):
    """Simulations whose means are exactly f + f1/N + 3/N^2, and the same of the loss, with errors far below f1/N."""
    found = []
    for n in widths:
        variables = {}
        for name in ("f", "loss"):
            mean = theory[name] + theory[f"{name}1"] / n + 3.0 / n**2
            variables |= {name: mean, f"{name}_stderr": 0 * mean + relative / n**1.5}
        found.append(theory[[]].assign(variables).assign_attrs(width=n, groups=1000, networks=1000))
    return found


def test_shift_is_the_slope_in_one_over_n():
    subject = flow("linear", 2, gamma=2.0, learning_rate=0.2)
    theory = predict_training(subject, X, Y, times=[2, 4], quantities="f")
    found = fluctuations(subject, X, Y, times=[2, 4], quantities=("f1", "loss1"), samples=1024, replicas=2)
    theory = theory.assign(found.data_vars).assign({f"{n}_stderr": 0 * found[n] for n in ("f1", "loss1")})
    simulations = as_measured(theory, (16, 32))
    report = confront(subject, theory, simulations, alpha=0.01)
    assert "f1 " in str(report).splitlines()[1]
    assert report.resolution["f1"] < 0.1
    shifts = report.table[report.table["quantity"].isin(["f1", "loss1"])]
    assert len(shifts) == 8
    assert shifts["sigmas"].abs().max() < 1e-2
    assert_allclose(report.data.f1_measured.sel(width=32), found.f1 + 3 / 32, rtol=1e-6)
    # controls: the wrong sign, and what is no shift
    for wrong in (-1, 0):
        other = theory.assign({"f1": wrong * theory.f1})
        judged = confront(subject, other, simulations, alpha=0.01).table
        assert (judged[judged["quantity"] == "f1"]["verdict"] == "FAILED").all()


@pytest.mark.slow
def test_shifts_agree_with_literal_networks():
    """One hidden layer of tanh, 12 000 networks; a true theory fails with probability 1 % at most."""
    subject = flow("tanh", 2, gamma=3.0, learning_rate=0.3)
    options = {"times": [2, 4], "widths": (16, 32), "networks": 6000, "samples": 16384, "replicas": 16, "seed": 3}
    report = validate_training(subject, X, Y, quantities=("f1", "loss1"), **options)
    assert report.passed, str(report)
    loss = report.data.isel(time=-1)
    assert abs(float(loss.loss1_extrapolated)) > 4 * float(loss.loss1_extrapolated_stderr)  # it is seen


# ------------------------------------------------------------------------- covariances of all order parameters


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_joint_covariance_of_order_parameters_in_literal_networks(activation):
    """136 covariances between f, loss, NTK, Phi and G of two layers, at equal and different times; 1500 networks of width 256."""
    subject, N, count, names = (
        flow(activation, 3, gamma=1.5, learning_rate=0.1),
        256,
        1500,
        ("f", "loss", "Theta", "Phi", "G"),
    )
    data = check_data(subject, X, Y)
    grid = check_times(subject, data, [0, 2, 6])
    theory = fluctuations(subject, X, Y, times=[0, 2, 6], quantities=(), draws=names, samples=1024, replicas=16)
    runs = [train(subject, data, N, grid, names, [9, i], True, lambda: None) for i in range(count)]

    def some(arrays):
        f, loss, ntk, Phi, G = arrays
        columns = [
            f[:, 2, 0],
            f[:, 1, 1],
            loss[:, 2],
            loss[:, 1],
            ntk[:, 0, 0, 0],
            ntk[:, 2, 0, 1],
            Phi[:, 0, 0, 0, 0, 1],
        ]
        columns += [k[:, i, 2, p, t, 0] for k in (Phi, G) for i in (0, 1) for p, t in ((0, 0), (1, 1))]
        return np.stack([*columns, Phi[:, 1, 0, 0, 0, 1]], axis=1)

    expected = some([theory[f"{n}_draw"].values for n in names])
    squeezed = [np.stack([r[n] for r in runs]).reshape(count, *theory[f"{n}_draw"].shape[1:]) for n in names]
    measured = some(squeezed)
    measured = np.sqrt(N) * (measured - measured.mean(axis=0))

    def covariance(draws):
        products = draws[:, :, None] * draws[:, None, :]
        return products.mean(axis=0), products.std(axis=0) / np.sqrt(len(draws))

    (one, error), (other, noise) = covariance(expected), covariance(measured)
    pairs = np.triu_indices(len(one))
    off = ((other - one) / np.hypot(error, noise))[pairs]
    assert len(off) == 136
    assert np.abs(off).max() < 5
    assert np.sqrt((off**2).mean()) < 1.5
    # control: what is measured at different times, taken for what is at equal ones
    wrong, _ = covariance(expected[:, ::-1])
    assert np.abs((other - wrong) / np.hypot(error, noise)).max() > 5
