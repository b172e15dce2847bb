"""Factor analysis of covariances, and the averages that it makes cheap, against closed forms and nested grids."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from widthwise.numerics.quadrature import quadrature
from widthwise.numerics.quadrature.factors import decomposed
from widthwise.numerics.quadrature.quadrature import gaussian_averages


def tanh(z, kmax):
    t = np.tanh(z)
    return (t, 1 - t**2)[: kmax + 1]


def sin(z, kmax):
    return (np.sin(z), np.cos(z))[: kmax + 1]


def relu(z, kmax):
    return (np.maximum(z, 0), np.where(z > 0, 1.0, 0.0))[: kmax + 1]


def elu(z, kmax):
    low = np.minimum(z, 0)
    return (np.where(z > 0, z, np.expm1(low)), np.where(z > 0, 1.0, np.exp(low)))[: kmax + 1]


def hard_tanh(z, kmax):
    return (np.clip(z, -1, 1), np.where(np.abs(z) < 1, 1.0, 0.0))[: kmax + 1]


KINKS = {relu: (0.0,), elu: (0.0,), hard_tanh: (-1.0, 1.0)}
TERMS = [(orders, (0,) * 4) for orders in (((0,),) * 4, ((0,), (1,), (0, 0), (1,)), ((0, 1), (), (1,), (0,)))]


def digits(d):
    X = load_digits().data[:10] / 8
    index = np.array(list(itertools.combinations(range(10), d)))
    K = X @ X.T / 64
    return K[index[:, :, None], index[:, None, :]]


def random_covariances(rng, n, d):
    A = rng.normal(size=(n, d, 6))
    return A @ A.swapaxes(1, 2) / 6


def correlations(K):
    s = np.sqrt(np.einsum("nii->ni", K))
    return K / s[:, :, None] / s[:, None, :]


@pytest.mark.parametrize("d", [3, 4])
def test_decompositions_reproduce_the_correlations(rng, d):
    R = correlations(np.concatenate([digits(d), random_covariances(rng, 600, d), [np.eye(d)]]))
    D, U = decomposed(R)
    assert (D > 0).all(), "every covariance of full rank has a decomposition"
    assert_allclose(D[:, :, None] * np.eye(d) + U @ U.swapaxes(1, 2), R, atol=2e-15)


@pytest.mark.parametrize("d", [3, 4])
def test_most_image_data_needs_the_fewest_factors(d):
    _, U = decomposed(correlations(digits(d)))
    assert (np.abs(U[:, :, -1]).max(axis=1) < 1e-14).mean() > 0.85


@pytest.mark.parametrize("sigma", [tanh, relu, elu, hard_tanh], ids=lambda f: f.__name__)
def test_factors_agree_with_nested_grids(sigma, rng, monkeypatch):
    K = np.concatenate([digits(4)[::30], random_covariances(rng, 6, 4)])
    K[-1, 3] = K[-1, :, 3] = 0  # a site without variance
    K[-2, 3], K[-2, :, 3] = K[-2, 2], K[-2, :, 2]  # equal sites
    K[-2, 3, 3] = K[-2, 2, 2]
    values, errors = gaussian_averages(sigma, K, TERMS, kinks=KINKS.get(sigma, ()))
    monkeypatch.setattr(quadrature, "_BY_FACTORS", 5)
    slow, uncertain = gaussian_averages(sigma, K, TERMS, kinks=KINKS.get(sigma, ()))
    assert (values != slow).any(axis=0).mean() > 0.8, "most of them go by factors"
    assert (np.abs(values - slow) <= errors + uncertain).all()


def exact_sines(K, frequency):
    signs = np.array(list(itertools.product((1, -1), repeat=4)))
    waves = np.exp(-(frequency**2) * np.einsum("si,nij,sj->ns", signs, K, signs) / 2) / 16
    return np.array([waves @ signs.prod(axis=1), waves.sum(axis=1)])


def test_four_sines_and_cosines(rng):
    K = np.concatenate([digits(4), random_covariances(rng, 50, 4)])
    values, errors = gaussian_averages(sin, K, [TERMS[0], (((1,),) * 4, (0,) * 4)])
    assert_allclose(values, exact_sines(K, 1.0), atol=1e-10)
    assert errors.max() < 1e-8


def test_errors_are_honest(rng):
    """At most one of 1000 estimates is too small, for waves of many frequencies."""
    broken = cases = 0
    for frequency in (0.2, 0.5, 1.0, 2.0, 4.0):

        def waves(z, kmax, f=frequency):
            return (np.sin(f * z), np.cos(f * z))[: kmax + 1]

        K = random_covariances(rng, 100, 4)
        values, errors = gaussian_averages(waves, K, [TERMS[0], (((1,),) * 4, (0,) * 4)])
        broken += int((np.abs(values - exact_sines(K, frequency)) > errors).sum())
        cases += values.size
    assert cases == 1000
    assert broken <= 1


def test_orthant_probability_of_three_steps():
    """P(z > 0) = (1 + (2/pi)(sum of the three arc sines))/8."""
    K = digits(3)
    values, errors = gaussian_averages(relu, K, [(((1,),) * 3, (0,) * 3)], kinks=(0.0,))
    R = correlations(K)
    exact = 1 / 8 + (np.arcsin(R[:, 0, 1]) + np.arcsin(R[:, 0, 2]) + np.arcsin(R[:, 1, 2])) / (4 * math.pi)
    assert (np.abs(values[0] - exact) <= errors[0]).all()
    assert_allclose(values[0], exact, atol=1e-8)


def test_a_wrong_diagonal_misses(monkeypatch):
    """Negative control: noise that is too large by a thousandth shows in the average, by more than the errors."""
    from widthwise.numerics.quadrature import factors

    def disturbed(R):
        D, U = decomposed(R)
        return D * 1.001, U

    monkeypatch.setattr(factors, "decomposed", disturbed)
    K = digits(4)[:20]
    values, errors = gaussian_averages(sin, K, TERMS[:1])
    assert (np.abs(values - exact_sines(K, 1.0)[:1]) > 10 * errors).all()
