"""Kernel matrices in blocks: the same as in memory, exactly symmetric, by any scheduler."""

from __future__ import annotations

import pickle
import sys

import dask
import dask.array as da
import numpy as np
import pytest

import widthwise as ww
from widthwise.numerics.kernels import out_of_core as lazy
from widthwise.theory.language.errors import InvalidArgument, InvalidInput, NotAvailable

RNG = np.random.default_rng(5)
START = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _the_same_inputs_in_any_order_of_tests():
    RNG.bit_generator.state = START


def network(activation, **more):
    return ww.MLP(activation, depth=7, C_W=1.3, C_b=0.05, lambda_W=1, lambda_b=0.5, **more)


def inputs(m=350, n=12):
    """With equal and parallel inputs in different blocks."""
    X = RNG.normal(size=(m, n))
    X[m - 3], X[m - 7] = X[2], -0.7 * X[5]
    return X


@pytest.mark.parametrize("activation", ["relu", "tanh", "erf"])
def test_blocks_are_those_of_the_whole_matrix(activation):
    X = inputs()
    net = network(activation)
    with dask.config.set(scheduler="threads"):
        found = [matrix.compute() for matrix in ww.dask_kernel(net, X, chunks=120)]
    for matrix, whole in zip(found, ww.kernel(net, X), strict=True):
        np.testing.assert_allclose(matrix, whole, rtol=1e-13, atol=1e-14)
        assert np.array_equal(matrix, matrix.T)
        assert matrix[-3, 2] == matrix[2, 2] == whole[2, 2]


def test_two_sets_of_inputs_one_kernel_and_dask_inputs():
    X, Y = inputs(200), inputs(90)
    net = network("erf")
    ntk = ww.dask_kernel(net, da.from_array(X, chunks=(64, 12)), da.from_array(Y), "Theta")
    assert ntk.chunks == ((64, 64, 64, 8), (64, 26))
    np.testing.assert_allclose(ntk.compute(), ww.kernel(net, X, Y, "Theta"), rtol=1e-13)
    v = RNG.normal(size=90)
    np.testing.assert_allclose((ntk @ v).compute(), ww.kernel(net, X, Y, "Theta") @ v, rtol=1e-11)


def test_zero_inputs_and_skips():
    X = inputs(90)
    X[40] = 0
    net = ww.MLP("relu", depth=4, C_W=1.0, C_b=0, lambda_W=1, lambda_b=0.5, residual=0.5)
    found, whole = ww.dask_kernel(net, X, chunks=40), ww.kernel(net, X)
    for matrix, truth in zip(found, whole, strict=True):
        np.testing.assert_allclose(matrix.compute(), truth, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_plan_survives_pickling(activation):
    """What other processes receive evaluates to the same numbers."""
    K = ww.dask_kernel(network(activation), inputs(), get="K", chunks=200)
    graph = dict(K.__dask_graph__())
    plan = next(value for key, value in graph.items() if str(key).startswith("plan"))
    sides = [value for key, value in graph.items() if str(key[0]).startswith("left")]
    here = lazy._evaluated(plan, *sides)
    there = lazy._evaluated(*pickle.loads(pickle.dumps((plan, *sides))))
    assert np.array_equal(here[0], there[0])


def test_processes(monkeypatch):
    X = inputs()
    net = network("erf")
    K = ww.dask_kernel(net, X, get="K", chunks=200)
    np.testing.assert_array_equal(K.sum(axis=0).compute(scheduler="processes", num_workers=2), K.sum(axis=0).compute())


def test_distributed():
    from dask import distributed

    K = ww.dask_kernel(network("erf"), inputs(), get="K", chunks=200)
    with distributed.LocalCluster(1, processes=False, dashboard_address=None) as cluster, distributed.Client(cluster):
        found = K.sum(axis=0).compute()
    np.testing.assert_array_equal(found, K.sum(axis=0).compute(scheduler="threads"))


def test_blocks_are_written_one_by_one(tmp_path):
    X = inputs(150)
    K = ww.dask_kernel(network("relu"), X, get="K", chunks=64)
    stored = np.lib.format.open_memmap(tmp_path / "K.npy", mode="w+", dtype=np.float64, shape=K.shape)
    da.store(K, stored)
    np.testing.assert_array_equal(np.load(tmp_path / "K.npy"), K.compute())


def test_one_plan_is_made(monkeypatch):
    made = []
    plan_for = lazy.plan_for
    monkeypatch.setattr(lazy, "plan_for", lambda *a: made.append(plan_for(*a)) or made[-1])
    ww.dask_kernel(network("erf"), inputs(), get="K", chunks=50).compute()
    assert len(made) == 1
    assert made[0].composed is not None


def test_wrong_arguments(monkeypatch):
    net = network("relu")
    with pytest.raises(InvalidArgument, match="chunks=0; allowed"):
        ww.dask_kernel(net, np.eye(3), chunks=0)
    with pytest.raises(InvalidInput, match="X2 has 2 features"):
        ww.dask_kernel(net, np.eye(3), np.eye(2))
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(NotAvailable, match=r"pip install '\.\[dask\]'"):
        ww.dask_kernel(net, np.eye(3))
