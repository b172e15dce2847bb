"""The generic estimator: its cumulants, the fast estimators as its twins, and rows that have no other estimator."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import permutations, product

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, NotAvailable
from widthwise.theory.language.quantities import TENSORS, Quantity, quantity
from widthwise.theory.networks.architecture import MLP
from widthwise.validation.confrontation.fits import p_values, sigmas
from widthwise.validation.confrontation.verdict import judge
from widthwise.validation.initialisation.cumulants import estimate, no_estimator, sum_over_different, terms
from widthwise.validation.initialisation.estimators import NEEDS_NTK, lower_orders
from widthwise.validation.initialisation.generic import JetTask, Rows, means
from widthwise.validation.initialisation.simulate import simulate
from widthwise.validation.literal.descendants import Descendants
from widthwise.validation.literal.jets import LiteralJets
from widthwise.validation.literal.networks import LiteralNetworks

X = np.array([[1.0, 0.3, -0.5], [-0.4, 0.9, 0.1]])
FALSE_ALARM = 1e-4

# ---------------------------------------------------------------- cumulants


def test_rows_are_cumulants():
    """A third cumulant has five terms; what vanishes by the symmetry of a direction is left out."""
    assert sorted(t.coefficient for t in terms(quantity("V6"))) == [-1, -1, -1, 1, 2]
    assert [len(terms(quantity(name))) for name in ("K", "Theta", "V", "D", "A")] == [1, 1, 2, 2, 2]
    for name in ("F", "B", "P", "Q", "R", "S", "T", "U"):
        assert [(t.coefficient, len(t.means)) for t in terms(quantity(name))] == [(1, 1)]
    assert len(terms(quantity("F6"))) == 2  # each of the F-like pairs alone is odd in r
    assert sorted(t.coefficient for t in terms(quantity("X4"))) == [-1, -1, -1, 1]


def test_sum_over_different_is_the_plain_sum(rng):
    arrays = [rng.standard_normal((2, 5, size)) for size in (2, 1, 3, 2)]
    for count in (1, 2, 3, 4):
        plain = np.zeros((2, *(x.shape[-1] for x in arrays[:count])))
        for index in permutations(range(5), count):
            for z in range(2):
                plain[z] += np.einsum(*(o for k, i in enumerate(index) for o in (arrays[k][z, i], [k])), range(count))
        assert_allclose(sum_over_different(arrays[:count], kept=True), plain, atol=1e-12)
        assert_allclose(sum_over_different(arrays[:count], kept=False), plain.sum(axis=0), atol=1e-12)


@pytest.mark.parametrize(("name", "exact"), [("K", 1 / 4), ("V", 3 / 16), ("V6", 3 / 32)])
def test_estimates_are_unbiased_for_unequal_groups(name, exact):
    """Over all outcomes of six throws of a die with 1, 0, 0, 0 in groups of 1, 2 and 3: the cumulants of one throw."""
    throws = np.array(list(product((1.0, 0.0, 0.0, 0.0), repeat=6))).T  # an outcome is a layer
    groups = np.stack([part.mean(axis=0) for part in np.split(throws, [1, 3])])
    patterns = Rows((quantity(name),)).patterns  # a throw is all pairs at once, and its powers are itself
    shaped = {p: groups.reshape(3, -1, *[1] * len(sum(p, ()))) for p in patterns}
    value, influence = estimate(quantity(name), shaped, np.array([1, 2, 3]) / 6)
    assert value.mean() == pytest.approx(exact, rel=1e-12)
    assert influence.shape[:2] == (3, 4**6)


# ---------------------------------------------------------------- exact twins


def test_means_over_all_directions_are_the_exact_descendants(rng):
    """Over an orthonormal basis of directions the average is a sum over parameters: P to U by exact differentiation."""
    net = MLP("tanh", depth=3, width=2, C_W=1.5, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
    nets = LiteralNetworks(net, X[:, :1], 2, 2)
    names = ("P", "Q", "R", "S", "T", "U")
    nets.forward(rng)
    nets.backward()
    exact = Descendants(nets, names).sums()
    count = sum(n * (f + 1) for n, f in zip(nets.widths, nets.fan_in, strict=True))
    for name in names:
        (pattern,) = Rows((quantity(name),)).patterns
        labels = sorted(set("".join(sum(pattern, ()))))
        jets = LiteralJets(nets, sum(pattern, ()), draws=count ** len(labels))
        numbers = np.indices([count] * len(labels)).reshape(len(labels), -1)
        for r, number in zip(labels, numbers, strict=True):
            start = 0
            for weights, biases in zip(jets.weights, jets.biases, strict=True):
                for part in (weights[r], biases[r]):
                    size = part[0, 0].size
                    part[...] = (number[:, None] == start + np.arange(size)).reshape(part.shape[1:])
                    start += size
        jets.forward()
        axes = np.argsort(terms(quantity(name))[0].means[0].axes)
        found = jets.draws * means(jets, pattern).transpose(0, *(1 + axes))
        assert_allclose(found[1:], exact[name][1:], rtol=1e-10, atol=1e-12, err_msg=name)


NET = MLP(
    "tanh", depth=3, width=(6, 8), output_width=5, C_W=(1.5, 1.2, 1.3), C_b=0.1, lambda_W=(1.0, 0.7, 1.3), lambda_b=0.5
)
ALL = tuple(NEEDS_NTK)


def agree(names: tuple[str, ...], slow: xr.Dataset, fast: xr.Dataset, alpha: float) -> bool:
    """Two measurements of one network agree in all quantities, at a family-wise false-alarm rate of at most ``alpha``."""
    found = []
    for name in names:
        variances = np.stack([data[f"{name}_stderr"].values.ravel() ** 2 for data in (slow, fast)])
        scale = float(np.abs(fast[name]).max())
        sigma = sigmas(
            fast[name].values.ravel(), slow[name].values.ravel(), np.sqrt(variances.sum(axis=0)), scale=scale
        )
        found.append(p_values(sigma, variances, [data.attrs["groups"] - 1 for data in (slow, fast)]))
    return judge(np.concatenate(found), alpha).passed


def twins(networks: int) -> tuple[xr.Dataset, xr.Dataset]:
    limits = {"K": np.full((3, 2, 2), 0.2), "Theta": np.full((3, 2, 2), 1.5)}
    run = lambda seed, jets: simulate(  # noqa: E731
        NET, X, networks=networks, seed=seed, quantities=ALL, limits=limits, jets=jets
    )
    return run(1, True), run(2, False)


def confront(slow: xr.Dataset, fast: xr.Dataset) -> None:
    """All agree; and these are caught: axes of a tensor exchanged, its factor wrong, the kernel off by a tenth."""
    assert agree(ALL, slow, fast, FALSE_ALARM)
    for name, wrong in {
        "K": 1.1 * fast.K,
        "Theta": 1.1 * fast.Theta,
        "V": 1.5 * fast.V,
        "F": fast.F.values.transpose(0, 1, 3, 2, 4),
        "B": fast.B.values.transpose(0, 1, 3, 2, 4),
        "P": 1.5 * fast.P,
        "S": 1.5 * fast.S,
        "U": fast.T,
    }.items():
        assert not agree((name,), slow, fast.assign({name: (fast[name].dims, np.asarray(wrong))}), FALSE_ALARM), name


def test_generic_and_fast_estimators_agree():
    confront(*twins(4000))


@pytest.mark.slow
def test_generic_and_fast_estimators_agree_with_more_networks():
    confront(*twins(200_000))


# ---------------------------------------------------------------- rows without another estimator


def agrees(data: xr.Dataset, name: str, layer: int, exact: float) -> bool:
    """One input: no further off than Student's t allows."""
    value, error = (data[key].sel(layer=layer).values.item() for key in (name, f"{name}_stderr"))
    return bool(abs(value - exact) <= stats.t.isf(FALSE_ALARM / 2, data.attrs["groups"] - 1) * error + 1e-12)


#: Moments are exact at any width; a narrow hidden layer fluctuates much, and many outputs measure it well.
LINEAR = MLP("linear", depth=2, width=4, output_width=16, C_W=1.0, C_b=0.0, lambda_W=1.0, lambda_b=0.0)
SQUARE = 0.75  #: |x|^2 / n_0
ONE = np.array([[1.5, 0.0, 0.0]])

A6 = Quantity(
    "A6", ((("", 0), ("", 1)), (("r", 2), ("r", 3)), (("s", 4), ("s", 5))), "A", "(01)(23)(45)", "a kernel and two NTKs"
)


@pytest.fixture
def registered() -> Iterator[Quantity]:
    TENSORS.register(A6)
    yield A6
    TENSORS.remove("A6")


def test_six_points_of_one_hidden_linear_layer(registered):
    r"""Given h, with n h_j^2 / k independent squares of Gaussians and d_r h_j = g_j Gaussian and independent of h:

    q = |h|^2/n, q_rr = (|h|^2 + |g|^2)/n, q_r = h.g/n. Of n terms each, n^2 kappa_3 is that of one neuron:
    V6, D6: kappa_3(h^2) = 8 k^3; F6: E[h^4 g^2] - E[h^2] E[h^2 g^2] = 2 k^3; A6, a row of a user: 8 k^3, as the directions r and s
    of two NTKs are independent.
    """
    exact = {"V6": 8 * SQUARE**3, "D6": 8 * SQUARE**3, "F6": 2 * SQUARE**3, "A6": 8 * SQUARE**3}
    data = simulate(LINEAR, ONE, networks=40_000, seed=4, quantities=exact)
    assert data.V6.dims == quantity("V6").dims
    for name, value in exact.items():
        assert agrees(data, name, 2, value), name
        assert agrees(data, name, 1, 0), name
        assert not agrees(data, name, 2, 0), name
    for name in ("V6", "D6", "F6"):
        assert not agrees(data, name, 2, 1.5 * exact[name]), name


@pytest.mark.slow
def test_eight_points_of_one_hidden_linear_layer():
    """V8 = kappa_4(h^2) = 48 k^4."""
    data = simulate(LINEAR.with_(output_width=32), ONE, networks=100_000, seed=5, quantities="V8")
    assert agrees(data, "V8", 2, 48 * SQUARE**4)
    assert agrees(data, "V8", 1, 0)
    assert not agrees(data, "V8", 2, 0)


def test_correction_to_the_vertex_of_a_linear_network():
    """V = n k^2 ((1 + 2/n)^2 - 1) = 4 k^2 + 4 k^2 / n in layer 3, of which limits take away the first."""
    net = LINEAR.with_(depth=3, width=3)
    V = SQUARE**2 * np.array([0, 2, 4.0]).reshape(3, 1, 1, 1, 1)
    data = simulate(net, ONE, networks=20_000, quantities="V1", limits={"V": V})
    assert agrees(data, "V1", 3, 4 * SQUARE**2)
    assert agrees(data, "V1", 2, 0)
    assert not agrees(data, "V1", 3, 0)
    twice = simulate(net, ONE, networks=64, seed=3, quantities=("V", "V1"), jets=True, limits={"V": V})
    assert_allclose(twice.V1[1:], 3 * (twice.V - V)[1:], rtol=1e-12)


def test_corrections_say_what_they_correct():
    assert [name for name, _ in lower_orders(quantity("K2"))] == ["K", "K1"]
    assert lower_orders(quantity("F1")) == (("F", (0, 1, 2, 3)),)
    K, K1 = np.full((2, 1, 1), 0.5), np.full((2, 1, 1), 0.25)
    data = simulate(LINEAR, ONE, networks=64, quantities=("K", "K2"), limits={"K": K, "K1": K1}, jets=True)
    n = np.array([3, 4]).reshape(2, 1, 1)
    assert_allclose(data.K2, n**2 * (data.K - K - K1 / n), rtol=1e-12)
    with pytest.raises(InvalidArgument, match="limits= with 'K' and 'K1'"):
        simulate(LINEAR, ONE, networks=64, quantities="K2")
    with pytest.raises(InvalidArgument, match="limits has no 'K1', which K2 corrects"):
        simulate(LINEAR, ONE, networks=64, quantities="K2", limits={"K": K})


def test_fourth_cumulant_of_one_neuron():
    """In the first layer X4 = excess C_W^2 sum_j x_j^4, and of one linear hidden layer of Gaussian weights nothing is left."""
    x = np.array([[1.2, 0.5, -0.7]])
    net = LINEAR.with_(weights=("uniform", "gaussian"))
    data = simulate(net, x, networks=40_000, seed=2, quantities=("X4", "Y4"))
    exact = -1.2 * np.sum(x**4) / 3
    assert agrees(data, "X4", 1, exact)
    assert not agrees(data, "X4", 1, 1.2 * exact)
    assert not agrees(data, "X4", 1, 0)
    for name, layer in (("X4", 2), ("Y4", 1), ("Y4", 2)):
        assert agrees(data, name, layer, 0), (name, layer)


@pytest.mark.slow
def test_quantities_scatter_as_their_standard_errors_say():
    """120 short runs against their common mean: the mean square score of each is Student's, at a false-alarm rate of 1e-4."""
    net = NET.with_(depth=2, width=8, output_width=8, C_W=1.5, lambda_W=1.0)
    names = ("D6", "F6", "D", "A", "B", "X4", "Y4")
    runs = [simulate(net, X, networks=512, seed=s, quantities=names, jets=True, workers=1) for s in range(120)]
    nu = runs[0].attrs["groups"] - 1
    mean, fourth = nu / (nu - 2), 3 * nu**2 / ((nu - 2) * (nu - 4))
    for name in names:
        values, errors = (
            np.array([run[key].values[1][(0, 1, 0, 1, 0, 0)[: run[key].ndim - 1]] for run in runs])
            for key in (name, f"{name}_stderr")
        )
        squares = ((values - values.mean()) / errors) ** 2 * len(runs) / (len(runs) - 1)
        spread = np.sqrt((fourth - mean**2) / len(runs))
        assert 2 * stats.norm.sf(abs(squares.mean() - mean) / spread) > FALSE_ALARM, name
        # control: errors that are by 40 percent too small
        assert 2 * stats.norm.sf(abs(squares.mean() / 0.6**2 - mean) / spread) < FALSE_ALARM, name


# ---------------------------------------------------------------- conduct


def test_same_seed_same_numbers_for_any_number_of_workers():
    names = ("V6", "D", "A")
    one, three = (simulate(NET, X, networks=200, seed=11, quantities=names, workers=w) for w in (1, 3))
    for name in one:
        assert_array_equal(one[name], three[name])
    assert not np.array_equal(one.V6, simulate(NET, X, networks=200, seed=12, quantities="V6").V6)


def test_a_task_may_be_sent_to_another_process(registered):
    """It holds the rows themselves, as the table of another process may lack those of a user."""
    task = JetTask(NET, X, Rows((registered,)), tuple(np.random.SeedSequence(3).spawn(1)), (8,))
    sent = pickle.loads(pickle.dumps(task))
    here, there = (t(0, lambda batch: None) for t in (task, sent))
    assert here.keys() == there.keys()
    for pattern, value in here.items():
        assert_array_equal(value, there[pattern])


def test_too_few_neurons_or_networks_are_named():
    with pytest.raises(InvalidArgument, match=r"a layer has 2 neurons .* V6 compares 3 different"):
        simulate(NET.with_(output_width=2), X, networks=8, quantities="V6")
    with pytest.raises(InvalidArgument, match="networks=2: V6 is made of products of 3 means"):
        simulate(NET, X, networks=2, quantities="V6")
    assert np.isfinite(simulate(NET, X, networks=3, quantities="V6").V6_stderr).all()


def test_a_cumulant_of_three_pairs_at_one_neuron_has_no_estimator():
    row = Quantity("X6", (tuple(("", i) for i in range(6)),), "X", "012345", "sixth cumulant of one neuron")
    assert "6" in (no_estimator(row) or "")
    TENSORS.register(row)
    try:
        with pytest.raises(NotAvailable, match="X6 has no estimator"):
            simulate(NET, X, networks=8, quantities="X6")
    finally:
        TENSORS.remove("X6")


def test_jets_need_the_derivatives_of_their_order():
    net = NET.with_(activation="relu")
    assert np.isfinite(simulate(net, X, networks=8, quantities=("D6", "F6")).D6).all()
    with pytest.raises(NotAvailable, match="S cannot be measured for 'relu', as sigma'' is not a function"):
        simulate(net, X, networks=8, quantities="S", jets=True)


@pytest.mark.parametrize(
    ("name", "depth", "widths", "networks"),
    [("V6", 2, (3, 6), 60_000), pytest.param("V1", 3, (2, 4, 8), 60_000, marks=pytest.mark.slow)],
    ids=["V6", "V1"],
)
def test_validate_confronts_the_next_order(name, depth, widths, networks):
    """Where ``predict`` has the next order, ``validate`` measures it, and the measurement tells it from zero."""
    net = LINEAR.with_(depth=depth, width=None)
    report = ww.validate(net, ONE, widths=widths, networks=networks, quantities=name, seed=1)
    assert report.passed, str(report)
    assert set(report.table["quantity"]) == {name}
    last = report.table.iloc[-1]
    assert last["predicted"] > 4 * last["standard_error"]


@pytest.mark.slow
def test_validate_confronts_the_fourth_cumulants():
    """Weights of independent entries: X4 and Y4 are predicted by default, and now measured too."""
    net = MLP("tanh", depth=3, C_W=1.5, C_b=0.1, lambda_W=1.0, lambda_b=0.3, weights="uniform")
    report = ww.validate(net, np.array([[1.2, 0.5]]), widths=(8, 16, 32), networks=4000, quantities=("X4", "Y4"))
    assert report.passed, str(report)
    assert set(report.table["quantity"]) == {"X4", "Y4"}
