"""Equations as an argument: what stands there is what is computed, and equations that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, NotAvailable

X = np.array([[0.9, -0.4, 1.1], [0.3, 0.8, -1.0]])
GIVEN = {"C_W": 1.2, "C_b": 0.1, "lambda_W": 1.0, "lambda_b": 0.5}
NET = ww.MLP("tanh", depth=3, **GIVEN)


def test_derived_equations_give_the_same_numbers():
    expected = ww.predict(NET, X, ("K", "V"))
    for net in (ww.MLP("tanh"), ww.MLP(), ww.MLP("tanh", **GIVEN)):
        found = ww.predict(NET, X, ("K", "V"), equations=ww.derive(net))
        assert set(found.data_vars) == set(expected.data_vars)
        assert_allclose(found.V, expected.V, rtol=1e-13)
    one = ww.predict(NET, X[:1], equations=ww.derive(ww.MLP(), samples=1).restrict(("K", "V", "K1")))
    assert {"K", "V", "K1"} == set(one.data_vars) - {"average_error"}
    assert_allclose(one.K1, ww.predict(NET, X[:1], "K1").K1, rtol=1e-13)


def test_a_changed_equation_is_what_is_computed():
    system = ww.derive(ww.MLP())
    expected = ww.predict(NET, X, ("K", "V"))
    found = ww.predict(NET, X, ("K", "V"), equations=system.with_(V=2 * system.system["V"].rhs))
    assert_array_equal(found.K, expected.K)
    assert "equations" in found.attrs
    assert "equations" not in expected.attrs
    assert_allclose(found.V[1], 2 * expected.V[1], rtol=1e-13)
    assert_allclose(found.V[2] / expected.V[2], np.clip(found.V[2] / expected.V[2], 2, 4))
    layers = ww.MLP(("tanh", "sin"), depth=3, **GIVEN)
    assert_allclose(ww.predict(layers, X, "V", equations=system).V, ww.predict(layers, X, "V").V, rtol=1e-12)


def test_a_changed_equation_fails_against_networks():
    """``simulate`` knows nothing of it: a true theory passes, without what is born of V it does not."""
    net = ww.MLP("sin", depth=3, **GIVEN)
    options = {"widths": (16, 32, 64), "networks": 6000, "seed": 3, "quantities": ("K", "V", "K1"), "alpha": 1e-3}
    system = ww.derive(ww.MLP(), samples=1)
    assert ww.validate(net, X[:1], equations=system, **options).passed
    law = system.restrict("V").law
    report = ww.validate(net, X[:1], equations=system.with_(V=law.right - law.born), **options)
    assert not report.passed
    assert "V" in set(report.table.loc[~report.table["passed"], "quantity"])


@pytest.mark.parametrize(
    ("equations", "options", "message"),
    [
        (lambda: "V", {}, "equations='V' is a str; allowed: what derive"),
        (lambda: ww.derive(ww.Training(NET)), {}, "is a Dynamics; allowed: what derive"),
        (lambda: ww.derive(ww.MLP("relu")), {}, "activation='relu', and the network has tanh"),
        (lambda: ww.derive(ww.MLP("tanh", C_W=2)), {}, "derived with C_W=2, and the network has C_W=1.2"),
        (lambda: ww.derive(ww.MLP(weights="orthogonal")), {}, "whose layers are not those of .* allowed: derive"),
        (lambda: ww.derive(ww.MLP(), samples=1), {}, r"those of one input \(samples=1\), and X has 2"),
        (lambda: ww.derive(ww.MLP(), "V"), {}, "hold V, which needs K, and not K"),
        (lambda: ww.derive(ww.MLP(), order=0), {"quantities": "V"}, "'V'"),
    ],
)
def test_equations_that_do_not_fit_are_refused(equations, options, message):
    with pytest.raises(InvalidArgument, match=message):
        ww.predict(NET, X, equations=equations(), **options)


def test_equations_of_another_flow_are_refused():
    flow, other = (ww.Training(ww.MLP("tanh", depth=2), gamma=g, learning_rate=0.1) for g in (1.0, 2.0))
    for equations in (ww.derive(other), ww.derive(NET), ww.derive(flow).restrict("h")):
        with pytest.raises(InvalidArgument, match=r"are not those of Training.*; allowed: derive\(flow\)"):
            ww.predict(flow, X, [1.0, -1.0], times=2, equations=equations)
    with pytest.raises(NotAvailable, match=r"equations=: fluctuations are those of derive\(flow\)"):
        ww.fluctuations(flow, X, [1.0, -1.0], times=2, equations=ww.derive(flow))
