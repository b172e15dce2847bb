"""One name for each thing, in all subjects: axes, the tangent kernel, the number of a layer."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.theory.language.quantities import TENSORS
from widthwise.theory.training.observables import LAZY, TRAINING

pytestmark = pytest.mark.quick

#: The axes that there are; those of a second, third, ... place have its number behind them.
AXES = ("layer", "time", "output", "sample")
X = np.array([[1.0, -0.5, 0.3], [0.2, 0.9, -1.0]])
NET = ww.MLP("linear", depth=4, C_W=1.3, C_b=0.2, lambda_W=0.7, lambda_b=0.4)


@pytest.mark.parametrize("table", [TENSORS, TRAINING, LAZY], ids=["initialisation", "training", "lazy training"])
def test_axes_have_one_scheme(table):
    for row in table.values():
        kinds = [re.sub(r"\d+$", "", axis) for axis in row.dims]
        assert set(kinds) <= set(AXES), row
        places = [int(axis.removeprefix(kind) or 1) for axis, kind in zip(row.dims, kinds, strict=True)]
        assert places == sorted(places), row
        assert set(places) == set(range(1, max(places) + 1)), row


def test_the_tangent_kernel_and_the_layers_are_the_same_at_initialisation_and_in_training():
    """Theta of the last layer is Theta at time 0; K of layer l + 1 is C_b + C_W Phi of layer l at time 0."""
    here = ww.predict(NET, X, ("K", "Theta"))
    flow = ww.Training(NET, learning_rate=0.01)
    there = ww.predict(flow, X, [1.0, -1.0], times=[0], quantities=("Phi", "Theta"))
    assert_allclose(there.Theta.isel(time=0), here.Theta.sel(layer=NET.depth), rtol=1e-10)
    assert there.layer.values.tolist() == [1, 2, 3]
    for layer in there.layer.values:
        Phi = there.Phi.sel(layer=layer).isel(time=0, time2=0).values
        assert_allclose(NET.C_b + NET.C_W * Phi, here.K.sel(layer=layer + 1), rtol=1e-10)
    exact = ww.kernel(NET, X)
    assert_allclose(exact.K, here.K.sel(layer=NET.depth), rtol=1e-12)
    assert_allclose(exact.Theta, here.Theta.sel(layer=NET.depth), rtol=1e-12)


def test_a_dataset_says_how_to_make_it_again():
    flow = ww.Training(NET, gamma=0.5, learning_rate=0.01, momentum=0.3, weight_decay=0.1)
    for data in (
        ww.predict(NET, X),
        ww.simulate(NET.at_width(8), X, networks=16, seed=3, quantities=("K", "V")),
        ww.predict(flow, X, [1.0, -1.0], times=2, seed=4),
        ww.simulate(flow, X, [1.0, -1.0], times=2, width=8, networks=2, seed=4),
        ww.gradient_flow(NET, X, [1.0, -1.0]),
    ):
        attrs = data.attrs
        assert attrs["version"] == ww.__version__
        assert attrs["activation"] == "linear"
        assert [float(attrs[name][0]) for name in ("C_W", "C_b", "lambda_W", "lambda_b")] == [1.3, 0.2, 0.7, 0.4]
        assert "gamma" not in attrs or [attrs[n] for n in ("gamma", "momentum", "weight_decay")] == [0.5, 0.3, 0.1]
        assert attrs["source"] != "networks" or attrs["seed"] in (3, 4)
