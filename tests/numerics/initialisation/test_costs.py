"""What a prediction takes is said before it starts, and refused where it does not fit."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import widthwise as ww
from widthwise.numerics.runs import costs
from widthwise.theory.language.errors import TooCostly

REST = {"C_W": 1.5, "C_b": 0.1, "lambda_W": 1, "lambda_b": 0}
X = np.random.default_rng(0).standard_normal((200, 10))


def test_tensors_of_many_inputs_are_refused_and_their_kernels_are_not():
    """V of 200 inputs has 1.6e9 entries in each layer: 12 GiB."""
    net = ww.MLP("relu", depth=3, **REST)
    with pytest.raises(TooCostly, match=r"predict of 200 inputs takes \d+ GiB of memory, .*kernel\(net, X\)"):
        ww.predict(net, X)
    for name in ("K", "Theta"):
        found = ww.predict(net, X, name)[name].values[-1]
        np.testing.assert_allclose(found, ww.kernel(net, X, get=name), rtol=1e-10, atol=1e-12)


def test_averages_that_take_hours_want_leave():
    net = ww.MLP("tanh", depth=3, **REST)
    with pytest.raises(TooCostly, match=r"takes about \S+ h on one core, .* allowed: fewer inputs, .* or hours=\d"):
        ww.predict(net, X[:40])
    with pytest.raises(TooCostly, match=r"hours=1e-06"):
        ww.predict(net, X[:3], hours=1e-6)


@pytest.mark.quick
def test_progress_counts_the_averages(caplog):
    """The estimate comes first; False is silent."""
    caplog.set_level(logging.INFO, "widthwise")
    net = ww.MLP("tanh", depth=2, **REST)
    ww.predict(net, X[:2], "K", progress=False)
    assert not caplog.messages
    ww.predict(net, X[:3], "K", progress=True)
    assert caplog.messages[0].startswith("predict, about ")
    assert "6/6 averages" in caplog.messages[-1]


def test_matrices_and_measurements_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr(costs, "available", lambda: 2.0**20)
    net = ww.MLP("relu", depth=3, width=8, **REST)
    with pytest.raises(TooCostly, match=r"kernel takes 1\.6 MiB .*dask_kernel"):
        ww.kernel(net, np.vstack([X, X]), X)
    with pytest.raises(TooCostly, match=r"simulate of 20 inputs takes"):
        ww.simulate(net, X[:20], networks=10)
