"""The next order in 1/n against literal networks of widths 16 to 64, where the leading order alone visibly fails.

With :math:`y(n)=V+V_1/n+\\dots`, :math:`n\\,(y-V)` extrapolates to :math:`V_1`, the order after it left free.
"""

from __future__ import annotations

import numpy as np
import pytest

import widthwise as ww
from widthwise.validation.confrontation.fits import extrapolate, p_values, sigmas
from widthwise.validation.confrontation.verdict import judge

ALPHA = 1e-3
WIDTHS = (16, 32, 64)
X = np.array([[1.2, 0.5]])
CASES = {
    # exactly polynomial in 1/n, so that the fit leaves out nothing
    "relu": (ww.MLP("relu", depth=4, C_W=2, C_b=0, lambda_W=1, lambda_b=0), ("V", "D", "F")),
    "gelu": (ww.MLP("gelu", depth=3, C_W=1.983, C_b=0.1729, lambda_W=1, lambda_b=0), ("V", "D", "F")),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    net, names = CASES[request.param]
    wanted = (*names, *(f"{name}1" for name in names))
    theory = ww.predict(net, X, wanted, order=2)
    runs = [ww.simulate(net.at_width(n), X, networks=40_000, seed=n, quantities=names, workers=2) for n in WIDTHS]
    return names, theory, runs


def residuals(names, theory, runs):
    """n (measured - leading order) at each width, with its error; the last layer."""
    n = np.array(WIDTHS, dtype=float)[:, None]
    take = lambda data, name: data[name].values[-1].ravel()[0]  # noqa: E731
    y = n * np.array([[take(run, q) - take(theory, q) for q in names] for run in runs])
    error = n * np.array([[take(run, f"{q}_stderr") for q in names] for run in runs])
    return y, error, np.array([take(theory, f"{q}1") for q in names])


def test_next_order_agrees_where_the_leading_order_fails(case):
    y, error, predicted = residuals(*case)
    groups = np.array([run.attrs["groups"] for run in case[2]], dtype=float)
    fit = extrapolate(np.array(WIDTHS, dtype=float), y, error, groups=groups)
    right = p_values(sigmas(predicted, fit.value, fit.stderr), fit.variances, fit.dof)
    assert judge(right, ALPHA).passed, (predicted, fit.value, fit.stderr)
    # the leading order by itself says that these residuals vanish: it fails at one of these widths, beyond doubt
    assert (np.abs(y / error).max(axis=0) > 6).any()
    # controls: a next order of the opposite sign
    wrong = p_values(sigmas(-predicted, fit.value, fit.stderr), fit.variances, fit.dof)
    assert not judge(wrong, ALPHA).passed
