"""Averages for pairs in bulk: Hermite series and the rule for nearly parallel inputs, against adaptive quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.numerics.averages import hermite
from widthwise.numerics.averages import nearly_parallel as parallel
from widthwise.numerics.kernels.pairs import pair_map
from widthwise.numerics.quadrature.quadrature import gaussian_averages
from widthwise.theory.language.symbols import z

HARD_TANH = sp.Min(sp.Max(z, -1), 1)
ELU = sp.Piecewise((sp.exp(z) - 1, z < 0), (z, True))
HARD_SWISH = z * sp.Min(sp.Max(z + 3, 0), 6) / 6
KINKED = [
    pytest.param(HARD_TANH, id="hard_tanh"),
    pytest.param(ELU, id="elu"),
    pytest.param(HARD_SWISH, id="hard_swish"),
]


def step_of(activation):
    return pair_map(ww.MLP(activation, depth=2, C_W=1, C_b=0, lambda_W=1, lambda_b=0), 3, ("K", "Theta")).steps[0]


def deviation_from_quadrature(step, values, a, b, rho):
    """The largest difference, relative to the root of <f^2><g^2>."""
    quad = lambda covariance, terms: gaussian_averages(step.sigma, covariance, terms, kinks=step.kinks, rtol=1e-13)[0]  # noqa: E731
    covariance = np.empty((len(a), 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = a**2, b**2
    covariance[:, 0, 1] = covariance[:, 1, 0] = rho * a * b
    truth = quad(covariance, [(pair, (0, 0)) for pair in step.orders])
    worst = 0.0
    for found, exact, (f, g) in zip(values, truth, step.orders, strict=True):
        norms = [quad((x**2)[:, None, None], [((s + s,), (0,))])[0] for s, x in ((f, a), (g, b))]
        worst = max(worst, float((np.abs(found - exact) / np.sqrt(norms[0] * norms[1])).max()))
    return worst


@pytest.mark.parametrize("activation", ["tanh", "swish", *KINKED])
def test_hermite_series_are_the_averages(activation):
    """Wherever the tail that Parseval leaves says so; smooth functions need no other rule."""
    rng = np.random.default_rng(1)
    step = step_of(activation)
    deviations = np.array([0.1, 0.4, 0.9, 1.7, 3.0])
    a, b = deviations[rng.integers(5, size=(2, 60))]
    rho = np.cos(rng.uniform(0, np.pi, size=60))
    rho[:2] = 0.9999, -0.97
    values, known = hermite.averages(step.sigma, step.kinks, step.orders, a, b, rho)
    assert known.mean() > 0.7
    assert known.all() or step.kinks
    found = [v[known] for v in values]
    assert deviation_from_quadrature(step, found, a[known], b[known], rho[known]) < 1e-14
    squares = hermite.squares(step.sigma, step.kinks, [f for f, _ in step.orders], deviations)
    for found_squares, (f, _) in zip(squares, step.orders, strict=True):
        covariance = (deviations**2)[:, None, None]
        truth = gaussian_averages(step.sigma, covariance, [((f + f,), (0,))], kinks=step.kinks, rtol=1e-13)[0][0]
        np.testing.assert_allclose(found_squares, truth, rtol=1e-14)


@pytest.mark.parametrize("activation", KINKED)
def test_many_deviations_take_the_coefficients_of_a_few(activation):
    rng = np.random.default_rng(2)
    step = step_of(activation)
    a, b = np.exp(rng.uniform(-1, 1, size=(2, 80)))
    rho = rng.uniform(-0.9, 0.9, size=80)
    values, known = hermite.averages(step.sigma, step.kinks, step.orders, a, b, rho)
    assert known.all()
    for k in (0, 17, 41):
        alone, _ = hermite.averages(step.sigma, step.kinks, step.orders, a[k : k + 1], b[k : k + 1], rho[k : k + 1])
        np.testing.assert_allclose([v[k] for v in values], [v[0] for v in alone], atol=1e-14)


@pytest.mark.parametrize("activation", KINKED)
def test_nearly_parallel_inputs(activation):
    """Angles down to 1e-3 from parallel and antiparallel; below, both know no more than rounding of the correlation allows."""
    rng = np.random.default_rng(3)
    step = step_of(activation)
    a = np.exp(rng.uniform(-2, 2, size=40))
    b = a * np.exp(0.1 * rng.normal(size=40))
    b[:10] = a[:10]
    rho = np.cos(10 ** rng.uniform(-3, 0, size=40)) * rng.choice([-1, 1], size=40)
    values = parallel.averages(step.activation, step.orders, a, b, rho)
    assert deviation_from_quadrature(step, values, a, b, rho) < 3e-13


def test_pieces_of_an_activation():
    step = step_of(2 * ELU)
    negative, positive = parallel.pieces(step.activation, (0,))
    assert (negative.high, positive.low) == (0.0, 0.0)
    assert set(negative.terms) == {(2.0, 0, 1.0), (-2.0, 0, 0.0)}
    assert positive.terms == ((2.0, 1, 0.0),)
    kinked = step_of(sp.Piecewise((sp.tanh(z), z < 0), (z, True)))
    assert parallel.averages(kinked.activation, kinked.orders, *np.ones((2, 1)), np.array([0.99])) is None


def test_tables_of_nearly_parallel_inputs():
    """With kinks at zero alone averages are smooth in norms and angle; elsewhere there is no table."""
    rng = np.random.default_rng(4)
    step = step_of(ELU)
    deviations = np.exp(rng.uniform(-0.4, 0.4, size=9))
    a, b = deviations[rng.integers(9, size=(2, 60))]
    rho = np.cos(10 ** rng.uniform(-3, 0, size=60)) * rng.choice([-1, 1], size=60)
    found = parallel.tabled(step.activation, step.orders, step.sigma, a, b, rho)
    for v, truth in zip(found, parallel.averages(step.activation, step.orders, a, b, rho), strict=True):
        np.testing.assert_allclose(v, truth, atol=3e-14)
    other = step_of(HARD_TANH)
    assert parallel.tabled(other.activation, other.orders, other.sigma, a, b, rho) is None
