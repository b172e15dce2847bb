"""The verb predict: its labels, published numbers, and what it answers to wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.errors import (
    ExpansionWarning,
    InvalidArgument,
    InvalidInput,
    InvalidNetwork,
    NotAvailable,
    NotConverged,
    UnknownName,
)

NET = ww.MLP("tanh", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0)


def test_dimensions_and_coordinates():
    data = ww.predict(NET, np.eye(2, 5))
    assert data["K"].dims == ("layer", "a", "b")
    assert data["V"].dims == ("layer", "a", "b", "c", "d")
    assert data["layer"].values.tolist() == [1, 2, 3]
    assert set(data.data_vars) == {"K", "Theta", "V", "D", "F", "A", "B", "K1", "Theta1", "average_error"}
    assert set(ww.predict(NET, np.eye(2, 5), order=0).data_vars) == {"K", "Theta", "average_error"}
    assert set(ww.predict(NET, np.eye(2, 5), "D").data_vars) == {"D", "average_error"}
    assert ww.predict(NET, np.eye(1, 5))["V"].shape == (3, 1, 1, 1, 1)


# tanh, C_W = 1, C_b = 0, lambda_b = 0, lambda_W = 1, K^(1) = 1/2: iterated independently and confirmed by simulation.
# layer 4: all nine; ratios V/K^2, F/(K Theta), B/Theta^2 at layers 5, 20 and 100, to the printed digits.
LAYER_4 = {
    "K": 0.1387, "Theta": 0.5869, "V": 0.0416, "D": 0.0143, "F": 0.0586, "A": 0.0108, "B": 0.3609, "K1": -0.0528, "Theta1": -0.1481,
}  # fmt: skip
RATIOS = {
    5: (0.1105, 0.5847, 2.786, 0.951, 1.389),
    20: (0.0263, 0.5462, 12.397, 4.568, 6.437),
    100: (0.0051, 0.5151, 65.25, 24.46, 33.22),
}


def test_published_numbers_of_critical_tanh():
    net = ww.MLP("tanh", depth=100, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    data = ww.predict(net, np.full((1, 8), np.sqrt(0.5)))
    at = {name: data[name].values.ravel() for name in data.data_vars}
    for name, value in LAYER_4.items():
        assert at[name][3] == pytest.approx(value, abs=6e-5), name
    for layer, expected in RATIOS.items():
        K, Theta, V, F, B = (at[n][layer - 1] for n in ("K", "Theta", "V", "F", "B"))
        found = (K, Theta, V / K**2, F / (K * Theta), B / Theta**2)
        digits = (6e-5, 6e-5, *(6e-3 if x > 20 else 6e-4 for x in expected[2:]))
        for f, e, d in zip(found, expected, digits, strict=True):
            assert f == pytest.approx(e, abs=d), (layer, e)


def test_critical_relu_and_linear_grow_by_their_slopes():
    """V/K^2 = nu (l - 1) with nu = 5 and 2: exact at leading order."""
    for name, C_W, slope in (
        ("relu", 2, 5),
        ("linear", 1, 2),
        ("leaky_relu", 2 / (1 + 1e-4), 3 * (1 + 1e-8) / (1 + 1e-4) ** 2 * 2 - 1),
    ):
        net = ww.MLP(name, depth=6, C_W=C_W, C_b=0, lambda_W=1, lambda_b=0)
        data = ww.predict(net, [[1.0, -2.0, 0.5]], ("K", "V"))
        ratio = data["V"].values.ravel() / data["K"].values.ravel() ** 2
        assert ratio == pytest.approx(slope * np.arange(6), rel=1e-9)


def test_narrow_network_is_warned_about_with_the_size_of_the_next_order():
    net = ww.MLP("relu", depth=8, width=2, C_W=2.5, C_b=0.5, lambda_W=1, lambda_b=0.5)
    with pytest.warns(ExpansionWarning, match=r"width=2 is small for this depth: .* is \d+% of its leading order"):
        ww.predict(net, [[1.0, 2.0], [2.0, -0.5]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((NET, [1.0, 2.0]), InvalidInput, "X has shape"),
        ((NET, [[1.0, np.nan]]), InvalidInput, "is not finite"),
        ((NET, [["a"]]), InvalidInput, "real numbers"),
        ((NET, np.zeros((0, 3))), InvalidInput, "m >= 1"),
        ((NET, [[1.0]], "G"), UnknownName, "quantity='G'"),
        ((NET, [[1.0]], ()), InvalidArgument, "empty"),
        ((NET, [[1.0]], 5), InvalidArgument, "quantities=5"),
        ((NET, [[1e200]]), NotConverged, "not finite in layer 1"),
        ((ww.MLP(depth=2), [[1.0]]), InvalidArgument, "unspecified"),
        ((ww.MLP("tanh", C_W=1), [[1.0]]), InvalidNetwork, "depth=None"),
        (("tanh", [[1.0]]), InvalidArgument, "allowed: an MLP"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ww.predict(*arguments)


def test_orders_that_are_not_held_are_refused():
    with pytest.raises(NotAvailable, match="order=2"):
        ww.predict(NET, [[1.0]], order=2)
    with pytest.raises(InvalidArgument, match="of order 1"):
        ww.predict(NET, [[1.0]], ("K", "V"), order=0)


def test_what_grows_beyond_double_precision_is_said():
    net = ww.MLP("cubic", depth=9, C_W=10, C_b=0, lambda_W=1, lambda_b=0)
    with pytest.raises(NotConverged, match="not finite in layer"):
        ww.predict(net, [[10.0, 20.0]])


def test_deep_and_many_input_predictions_agree_with_single_ones():
    X = np.array([[0.3, -1.0, 0.7], [1.1, 0.2, -0.4], [0.0, 0.0, 0.0]])
    many = ww.predict(NET, X)
    for i, x in enumerate(X):
        one = ww.predict(NET, x[None, :])
        for name in ("K", "V", "D", "F", "A", "B", "Theta1"):
            axes = (slice(None),) + (i,) * (many[name].ndim - 1)
            assert many[name].values[axes] == pytest.approx(one[name].values.ravel(), rel=1e-8, abs=1e-13), name


def test_high_powers_are_integrated():
    """sigma = z^7: V = C_W^2 (27!! - (13!!)^2) K^14 in layer 2, though no closed form is written out at four samples."""
    net = ww.MLP(sp.Symbol("x") ** 7, depth=2, C_W=0.01, C_b=0, lambda_W=1, lambda_b=0)
    V = ww.predict(net, [[3.0, 2.0], [1.0, -2.0]], "V")["V"].values[1]
    K = 0.01 * 13 / 2
    odd = lambda n: float(sp.factorial2(n))  # noqa: E731
    assert V[0, 0, 0, 0] == pytest.approx(1e-4 * (odd(27) - odd(13) ** 2) * K**14, rel=1e-6)
