"""``simulate`` against moments of finite networks that are known exactly, and its conduct."""

from __future__ import annotations

import io
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, InvalidInput, InvalidNetwork, NotAvailable, UnknownName
from widthwise.theory.networks.architecture import MLP
from widthwise.validation.initialisation import simulate as module
from widthwise.validation.initialisation.estimators import MeasurementPlan
from widthwise.validation.initialisation.simulate import simulate

X = np.array([[1.0, 0.3, -0.5], [-0.4, 0.9, 0.1]])
NET = MLP("tanh", depth=3, width=6, C_W=1.5, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
TENSORS = ("V", "D", "F", "A", "B", "P", "Q", "R", "S", "T", "U")
BY_NTK = ("K", "Theta", "V", "D", "F", "A", "B")
FALSE_ALARM = 1e-4


def agrees(ds: xr.Dataset, name: str, layer: int, exact: np.ndarray) -> bool:
    """No component is further off than Student's t allows, at the false alarm rate shared by all components."""
    value, error = (ds[key].sel(layer=layer).values for key in (name, f"{name}_stderr"))
    t = stats.t.isf(FALSE_ALARM / 2 / value.size, ds.attrs["groups"] - 1)
    return bool(np.all(np.abs(value - exact) <= t * error + 1e-12))


# Known exactly


@pytest.mark.quick
def test_first_layer_is_gaussian():
    """All tensors are 0 at layer 1, the NTK does not fluctuate, K = C_b + C_W x.x / n_0."""
    ds = simulate(MLP("tanh", depth=1, C_W=1.5, C_b=0.1, lambda_W=1.0, lambda_b=0.5), X, networks=2000)
    gram = X @ X.T / 3
    assert agrees(ds, "K", 1, 0.1 + 1.5 * gram)
    assert_allclose(ds.Theta.sel(layer=1), 0.5 + gram, rtol=1e-12)
    assert ds.Theta_stderr.max() < 1e-12
    for name in TENSORS:
        assert agrees(ds, name, 1, np.zeros((2,) * 4)), name


WIDTHS = (6, 9, 5)
LINEAR = MLP("linear", depth=4, width=WIDTHS, C_W=1.0, C_b=0.0, lambda_W=1.0, lambda_b=0.0)


@pytest.fixture(scope="module")
def linear() -> xr.Dataset:
    return simulate(LINEAR, X[:1], networks=40_000, seed=3, neurons=4, quantities=BY_NTK)


def test_linear_network_has_no_correction_to_the_kernel(linear):
    """E[z^2] = |x|^2 / n_0 at every layer and any width, for C_W = 1."""
    K = X[0] @ X[0] / 3
    for layer in range(1, 5):
        assert agrees(linear, "K", layer, K)


@pytest.mark.quick
def test_linear_network_has_the_exact_vertex(linear):
    """E[z_i^2 z_j^2] = K^2 prod_k (1 + 2/n_k): V = n_(l-1) K^2 (prod over the hidden layers below - 1)."""
    K = X[0] @ X[0] / 3
    for layer in range(2, 5):
        exact = WIDTHS[layer - 2] * K**2 * (np.prod([1 + 2 / n for n in WIDTHS[: layer - 1]]) - 1)
        assert agrees(linear, "V", layer, exact), layer


def test_linear_network_has_the_exact_kernel_mean_of_the_ntk(linear):
    """Each layer's weights contribute lambda_W K to the NTK: Theta = l K at any width."""
    K = X[0] @ X[0] / 3
    for layer in range(1, 5):
        assert agrees(linear, "Theta", layer, layer * K)


def test_one_hidden_linear_layer_has_the_exact_tensors(linear):
    r"""Layer 2, from H_ij = delta_ij |h|^2 / n_1 + (|x|^2 / n_0) (W_i . W_j) with h, W Gaussian, W_i of variance 1/n_1.

    With k = |x|^2 / n_0:
    D = n Cov(z_i^2, H_jj) = n Cov(|h|^2/n, |h|^2/n) = 2 k^2   (z_i and W_j are independent given h)
    F = n E[z_i z_j k W_i.W_j] = n k E[(W_i.h)(W_j.h)(W_i.W_j)] = n k E[|h|^2]/n^2 = k^2
    A = n Var(|h|^2/n) = 2 k^2,        B = n k^2 E[(W_i.W_j)^2] = k^2
    """
    k = X[0] @ X[0] / 3
    for name, exact in {"D": 2 * k**2, "F": k**2, "A": 2 * k**2, "B": k**2}.items():
        assert agrees(linear, name, 2, exact), name


def test_two_inputs_pair_as_the_definitions_say():
    """One hidden linear layer, with G = x.x / n_0: every component, so that no axis may be out of place."""
    net = MLP("linear", depth=2, width=7, C_W=1.0, C_b=0.0, lambda_W=1.0, lambda_b=0.0)
    ds, G = simulate(net, X, networks=40_000, seed=5, quantities=BY_NTK), X @ X.T / 3
    wick = np.einsum("ac,bd->abcd", G, G) + np.einsum("ad,bc->abcd", G, G)
    exact = {"V": wick, "D": wick, "A": wick, "F": np.einsum("ab,cd->abcd", G, G), "B": np.einsum("ab,cd->abcd", G, G)}
    for name, value in exact.items():
        assert agrees(ds, name, 2, value), name
    for name in ("F", "D", "A"):  # negative control: the same numbers with two axes exchanged
        assert not agrees(ds, name, 2, exact[name].transpose(0, 2, 1, 3)), name


@pytest.mark.quick
def test_wrong_factor_is_caught(linear):
    """Negative control: V of layer 3 multiplied by n_2 / n_1, and K off by five percent."""
    K = X[0] @ X[0] / 3
    exact = K**2 * ((1 + 2 / 6) * (1 + 2 / 9) - 1)
    assert agrees(linear, "V", 3, 9 * exact)
    assert not agrees(linear, "V", 3, 6 * exact)
    assert not agrees(linear, "K", 3, 1.05 * K)


def test_corrections_are_measured_from_the_limits_given():
    limits = {"K": np.full((3, 2, 2), 0.2), "Theta": np.full((3, 2, 2), 1.5)}
    ds = simulate(NET, X, networks=64, limits=limits)
    fan_in = np.array([3, 6, 6])[:, None, None]
    assert_allclose(ds.K1, fan_in * (ds.K - 0.2), rtol=1e-12)
    assert_allclose(ds.Theta1_stderr, fan_in * ds.Theta_stderr, rtol=1e-12)


# Conduct


def test_same_seed_same_numbers_for_any_number_of_workers():
    one, three = (simulate(NET, X, networks=333, seed=11, workers=w) for w in (1, 3))
    for name in one:
        assert_array_equal(one[name], three[name])
    assert not np.array_equal(one.K, simulate(NET, X, networks=333, seed=12).K)


def test_dataset_is_labelled_and_survives_netcdf(tmp_path):
    ds = simulate(NET, X, networks=50)
    assert set(ds) == {n + suffix for n in ("K", "Theta", *TENSORS) for suffix in ("", "_stderr")}
    assert ds.K.dims == ("layer", "sample", "sample2")
    assert ds.V.dims == ds.V_stderr.dims == ("layer", "sample", "sample2", "sample3", "sample4")
    assert_array_equal(ds.layer, [1, 2, 3])
    assert (ds.attrs["networks"], ds.attrs["seed"], ds.attrs["width"]) == (50, 0, [6, 6])
    for net in (NET, NET.with_(depth=1)):
        made = simulate(net, X, networks=4, quantities="K")
        made.to_netcdf(tmp_path / "run.nc", engine="scipy")
        with xr.open_dataset(tmp_path / "run.nc", engine="scipy") as back:
            xr.testing.assert_equal(back.load(), made)
            assert back.attrs["activation"] == "tanh"


def test_two_networks_are_enough_for_an_error():
    ds = simulate(NET, X, networks=2)
    assert ds.attrs["groups"] == 2
    assert all(np.isfinite(ds[name]).all() for name in ds)


def test_only_what_is_asked_for_is_computed(monkeypatch):
    monkeypatch.setattr(module.LiteralNetworks, "backward", lambda self: pytest.fail("backpropagation for K and V"))
    assert set(simulate(NET, X, networks=8, quantities=["V", "K"])) == {"K", "V", "K_stderr", "V_stderr"}


@pytest.mark.parametrize("name", ["relu", "gelu", "erf"])
def test_other_activations_run(name):
    assert simulate(NET.with_(activation=name), X, networks=8).F.notnull().all()


def test_what_one_layer_of_several_activations_lacks_is_lacking():
    """ELU, in one hidden layer of two, has no third derivative that is a function."""
    net = NET.with_(activation=("tanh", "elu"))
    assert set(TENSORS) - set(simulate(net, X, networks=8)) == {"R"}
    with pytest.raises(NotAvailable, match=r"R cannot be measured for 'elu', as sigma.{3} is not a function"):
        simulate(net, X, networks=8, quantities="R")
    with pytest.raises(InvalidArgument, match="unspecified function"):
        simulate(NET.with_(activation=("tanh", None)), X, networks=8)


def test_networks_with_skips_are_labelled_and_survive_netcdf(tmp_path):
    made = simulate(NET.with_(activation=("tanh", "gelu"), residual={(1, 2): 0.5}), X, networks=8)
    made.to_netcdf(tmp_path / "run.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "run.nc", engine="scipy") as back:
        assert back.attrs["residual"] == "{(1, 2): 0.5}"
        assert back.attrs["activation"] == "tanh, gelu"
    assert "residual" not in simulate(NET, X, networks=8, quantities="K").attrs
    assert not np.array_equal(made.K[1], simulate(NET.with_(activation=("tanh", "gelu")), X, networks=8).K[1])


def test_skips_make_batches_smaller_by_what_they_hold():
    """A skip over two layers keeps one array more."""
    plan = MeasurementPlan(TENSORS)
    batch = lambda net: module._batch(net, (64,) * 5, (2, 3), 4, plan)  # noqa: E731
    plain = NET.with_(depth=5, width=64)
    assert batch(plain.with_(residual=0.5)) == batch(plain) > batch(plain.with_(residual={(1, 4): 0.5}))


def test_single_output_serves_means_but_not_tensors():
    net = NET.with_(output_width=1)
    assert simulate(net, X, networks=8, quantities=("K", "Theta")).attrs["neurons"] == 1
    with pytest.raises(InvalidArgument, match="output_width"):
        simulate(net, X, networks=8)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"networks": 1}, InvalidArgument, "networks=1: a standard error needs at least 2"),
        ({"networks": 2.5}, InvalidArgument, "networks=2.5"),
        ({"seed": -1}, InvalidArgument, "seed=-1"),
        ({"workers": 0}, InvalidArgument, "workers=0"),
        ({"neurons": 1}, InvalidArgument, "neurons=1"),
        ({"neurons": 7}, InvalidArgument, "neurons=7: the narrowest layer has 6"),
        ({"quantities": ["K", "W"]}, UnknownName, "quantity='W'"),
        ({"quantities": []}, InvalidArgument, "empty"),
        ({"quantities": "K1"}, InvalidArgument, "limits="),
        ({"quantities": "K1", "limits": {}}, InvalidArgument, "limits has no 'K'"),
        ({"quantities": "K1", "limits": {"K": np.zeros((2, 2))}}, InvalidArgument, r"shape \(2, 2\)"),
        ({"X": X[0]}, InvalidInput, r"X\[None, :\]"),
        ({"X": [[1.0, np.nan]]}, InvalidInput, r"X\[0, 1\]=nan"),
        ({"net": NET.with_(width=None)}, InvalidNetwork, "width=None"),
        ({"net": NET.with_(C_W=None)}, InvalidNetwork, "C_W=None"),
        ({"net": NET.with_(activation=None)}, InvalidArgument, "unspecified function"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_argument_is_named(change, error, match):
    arguments = {"net": NET, "X": X, "networks": 8} | change
    with pytest.raises(error, match=match):
        simulate(arguments.pop("net"), arguments.pop("X"), **arguments)


def test_quantities_may_be_measured_by_jets_of_other_networks():
    """The slow twin of each estimator, and the only one of D6; quantities without any are in ``test_generic``."""
    fast = simulate(NET, X, networks=8, quantities="B")
    slow = simulate(NET, X, networks=8, quantities="B", jets=True)
    assert slow.B.dims == fast.B.dims
    assert not np.array_equal(slow.B, fast.B)
    both = simulate(NET, X, networks=8, quantities=("B", "D6"))
    assert list(both) == ["B", "B_stderr", "D6", "D6_stderr"]
    assert_array_equal(both.B, fast.B)


def test_interrupt_stops_all_workers():
    """Ctrl-C in the main thread leaves no thread behind, and no batch is started after it."""
    before = threading.enumerate()
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        simulate(NET, X, networks=10**7, workers=2)
    timer.join()
    assert threading.enumerate() == before


def test_an_executor_draws_the_same_networks():
    """In other processes, each network from its own random stream."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        there = simulate(NET, X, networks=40, seed=3, executor=pool)
    assert there.identical(simulate(NET, X, networks=40, seed=3))


def test_error_in_a_worker_reaches_the_caller(monkeypatch):
    monkeypatch.setattr(module.Record, "add", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        simulate(NET, X, networks=100)


def test_progress_goes_to_stderr_and_only_when_wanted(monkeypatch):
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    simulate(NET, X, networks=100)
    assert err.getvalue() == ""
    simulate(NET, X, networks=100, progress=True)
    assert "networks/s" in err.getvalue()


def test_an_activation_that_jumps_has_no_tangent_kernel():
    """Literal slopes of sign vanish, and the theory's are delta functions: neither is offered as a measurement."""
    net = ww.MLP("sign", depth=3, width=8, C_W=1, C_b=0.1, lambda_W=1, lambda_b=0)
    X = np.array([[1.0, 0.5], [-0.3, 0.8]])
    assert {"K", "V"} <= set(ww.simulate(net, X, networks=20).data_vars)
    assert "Theta" not in ww.simulate(net, X, networks=20)
    with pytest.raises(NotAvailable, match="sigma' is not a function: sigma jumps from -1 to 1 at z=0"):
        ww.simulate(net, X, networks=20, quantities="Theta")
    report = ww.validate(net, X, widths=(8, 16, 32), networks=400, seed=1)
    assert report.passed
    assert {"K", "V", "K1"} == set(report.table["quantity"])
