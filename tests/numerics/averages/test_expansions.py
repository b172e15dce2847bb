"""Series that stand for averages: Mehler's in Hermite polynomials, and interpolants in two norms and an angle."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose

from widthwise.numerics.averages import hermite
from widthwise.numerics.averages.chebyshev import ANGLES, Range, fit

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(8)
COUNT = 40
A, B, RHO = np.exp(RNG.uniform(-1, 1, COUNT)), np.exp(RNG.uniform(-1, 1, COUNT)), RNG.uniform(-0.95, 0.95, COUNT)
BOTH = [((0,), (0,)), ((1,), (1,)), ((0, 0), (1,))]


def waves(x, highest):
    return [(np.sin, np.cos, lambda v: -np.sin(v))[k](x) for k in range(highest + 1)]


def ramp(x, highest):
    return [np.maximum(x, 0.0), (x > 0).astype(float)][: highest + 1]


def sin_sin(a, b, rho):
    return np.exp(-(a**2 + b**2) / 2) * np.sinh(rho * a * b)


def arc_cosine(a, b, rho):
    angle = np.arccos(rho)
    return a * b * (np.sin(angle) + (np.pi - angle) * rho) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def test_mehlers_series_of_waves():
    """<sin sin>, <cos cos> and <sin^2 cos> in closed form."""
    values, known = hermite.averages(waves, (), BOTH, A, B, RHO)
    assert known.all()
    assert_allclose(values[0], sin_sin(A, B, RHO), atol=1e-14)
    assert_allclose(values[1], np.exp(-(A**2 + B**2) / 2) * np.cosh(RHO * A * B), atol=1e-14)
    one, two = np.exp(-(B**2) / 2), np.exp(-(4 * A**2 + B**2) / 2) * np.cosh(2 * RHO * A * B)
    assert_allclose(values[2], (one - two) / 2, atol=1e-14)


def test_mehlers_series_of_kinks_and_steps():
    """ReLU: the arc-cosine kernels; a pair whose series is too long is told and not guessed."""
    rho = np.append(RHO, 1 - 1e-9)
    a, b = np.append(A, 1.0), np.append(B, 1.0)
    values, known = hermite.averages(ramp, (0.0,), BOTH[:2], a, b, rho)
    assert known[:-1].all()
    assert not known[-1]
    for value, expected in zip(values, arc_cosine(A, B, RHO), strict=True):
        assert_allclose(value[:-1], expected, rtol=1e-12, atol=1e-14)


def test_squares_are_the_averages_of_one_input():
    """<tanh^2> against panels in mpmath."""
    at = np.array([0.3, 1.0, 4.0])
    (found,) = hermite.squares(lambda x, _: [np.tanh(x)], (), [(0,)], at)
    for a, value in zip(at, found, strict=True):
        exact = mpmath.quad(lambda u, a=a: mpmath.tanh(a * u) ** 2 * mpmath.npdf(u), [-10, -3, 0, 3, 10])
        assert value == pytest.approx(float(exact), abs=1e-14)


def test_functions_that_no_grid_resolves_are_given_up():
    values, known = hermite.averages(
        lambda x, _: [np.sin(1e5 * x)], (), [((0,), (0,))], A, B, RHO
    )  # fmt: skip
    assert not known.any()
    assert np.isnan(values[0]).all()


# ---------------------------------------------------------------- interpolants


def kernel_like(s, t, angle):
    """A smooth function, symmetric in the norms s and t."""
    return np.exp(-s * t / 9) * np.cos(angle) + np.sqrt(s + t + 1) * np.sin(angle / 2) ** 2 / 4


def on_nodes(s, angles):
    return [kernel_like(s[:, None, None], s[None, :, None], angles), np.cos(angles) * np.ones((len(s), len(s), 1))]


@pytest.mark.parametrize("norms", [Range(0.0, 0.0), Range(-0.5, 0.7)], ids=["equal norms", "any norms"])
def test_an_interpolant_keeps_its_bound(norms):
    cosines = Range(-0.8, 0.9)
    found = fit(on_nodes, norms, cosines)
    assert found.bound < 1e-12
    s, t = np.exp(RNG.uniform(norms.low, norms.high, size=(2, 200)))
    cosine = RNG.uniform(cosines.low, cosines.high, 200)
    values = found.pairs(s, t, cosine)
    for value, exact in zip(values, (kernel_like(s, t, np.arccos(cosine)), cosine), strict=True):
        assert np.abs(value - exact).max() <= found.bound + 2e-14
    assert_allclose(values[0], found.pairs(t, s, cosine)[0], atol=1e-14)


def test_a_tile_is_its_pairs():
    norms, cosines = Range(-0.5, 0.7), Range(-0.8, 0.9)
    found = fit(on_nodes, norms, cosines)
    s, t = np.exp(RNG.uniform(-0.5, 0.7, 12)), np.exp(RNG.uniform(-0.5, 0.7, 9))
    cosine = RNG.uniform(-0.8, 0.9, (12, 9))
    scales = [np.sqrt(s), np.sqrt(t)]
    sides = found.sides(*(found.columns(x, [scale, scale]) for x, scale in zip((s, t), scales, strict=True)))
    tile = found.tile(*sides, cosine[3:7, 2:6].copy(), slice(3, 7), slice(2, 6))
    i, j = (n.ravel() for n in np.mgrid[3:7, 2:6])
    for block, value in zip(tile, found.pairs(s[i], t[j], cosine[i, j]), strict=True):
        assert_allclose(block.ravel(), value * np.sqrt(s[i] * t[j]), atol=2e-13)


def test_no_degree_is_enough_for_a_kink():
    """The negative control: |angle - 1| has no short series, and values that are not finite have none."""
    few = {"budget": 1e5}
    wrong = (
        lambda s, x: np.abs(x - 1.0) * np.ones((len(s), len(s), 1)),
        lambda s, x: np.full((len(s), len(s), len(x)), np.nan),
    )
    for values in wrong:
        assert fit(lambda s, x, values=values: [values(s, x)], Range(0, 0), Range(-0.9, 0.9), **few) is None


def test_a_function_without_a_short_series_has_no_interpolant():
    """|angle - 1| has a kink: at equal norms too none is made, and none is looked for at a million angles."""
    sizes = []

    def nodes(norms, angles):
        sizes.append(len(angles))
        return [np.broadcast_to(np.abs(angles - 1.0), (len(norms), len(norms), len(angles))).copy()]

    assert fit(nodes, Range(0.0, 0.0), Range(-0.9, 0.9)) is None
    assert max(sizes) <= ANGLES[-1]
