"""Estimators against brute-force sums over neurons, and their standard errors against their own scatter."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from widthwise.theory.language.quantities import symmetries
from widthwise.theory.networks.architecture import MLP
from widthwise.validation.initialisation.estimators import NEEDS_NTK, MeasurementPlan, Record, estimate, symmetrised
from widthwise.validation.initialisation.simulate import simulate
from widthwise.validation.literal.descendants import DERIVATIVES
from widthwise.validation.literal.networks import LiteralNetworks

X = np.array([[1.0, 0.3, -0.5], [-0.4, 0.9, 0.1]])
ALL = tuple(name for name in NEEDS_NTK if name not in DERIVATIVES)  # those have tests of their own
FALSE_ALARM = 1e-4


def brute_force(z: np.ndarray, H: np.ndarray) -> dict[str, np.ndarray]:
    """The seven means over different neurons of one layer, from z (network, i, a) and H (network, i, a, j, b)."""
    n = z.shape[1]
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    mean = lambda pattern, *operands: np.mean([np.einsum(pattern, *o) for o in zip(*operands, strict=True)], axis=0)  # noqa: E731
    zi, zj = (np.concatenate([z[:, p[k]] for p in pairs]) for k in (0, 1))
    Hii, Hjj = (np.concatenate([H[:, p[k], :, p[k]] for p in pairs]) for k in (0, 1))
    Hij = np.concatenate([H[:, i, :, j] for i, j in pairs])
    return {
        "K": mean("a,b->ab", zi, zi),
        "Theta": mean("ab->ab", Hii),
        "V": mean("a,b,c,d->abcd", zi, zi, zj, zj),
        "D": mean("a,b,cd->abcd", zi, zi, Hjj),
        "F": mean("a,b,cd->abcd", zi, zj, Hij),
        "A": mean("ab,cd->abcd", Hii, Hjj),
        "B": mean("ab,cd->abcd", Hij, Hij),
    }


@pytest.mark.quick
def test_means_are_the_sums_over_different_neurons():
    """With all neurons of a layer chosen, every estimator is the plain double sum over i != j."""
    net = MLP("tanh", depth=3, width=5, output_width=5, C_W=1.5, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
    plan, s = MeasurementPlan(ALL), 5
    nets = LiteralNetworks(net, X, 6, s)
    record = Record(nets, 12, plan)
    zs, Hs = [], []
    rng = np.random.default_rng(0)
    for _ in range(2):
        nets.forward(rng)
        nets.backward()
        record.add(nets)
        zs.append([z.transpose(1, 2, 0).copy() for z in nets.z])
        Hs.append(nets.ntk[..., :s, :].copy())
    means = record.means()
    for k in range(3):
        expected = brute_force(np.concatenate([z[k] for z in zs]), np.concatenate([H[k] for H in Hs]))
        for name, value in expected.items():
            got = means[name][k]
            assert_allclose(symmetrised(name, got), symmetrised(name, value), rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.quick
def test_record_in_two_parts_is_the_record_in_one():
    net = MLP("relu", depth=2, width=6, C_W=2.0, C_b=0.0, lambda_W=1.0, lambda_b=0.0)
    nets, plan = LiteralNetworks(net, X, 4, 3), MeasurementPlan(ALL)
    whole, parts = Record(nets, 8, plan), [Record(nets, 4, plan) for _ in range(2)]
    rng = np.random.default_rng(1)
    for part in parts:
        nets.forward(rng)
        nets.backward()
        whole.add(nets)
        part.add(nets)
    for name in plan.means:
        assert_allclose(whole.means()[name], sum(p.means()[name] for p in parts) / 2, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["V", "D", "F", "A", "B", *DERIVATIVES])
def test_symmetrised_has_the_symmetries_and_is_a_projection(name, rng):
    tensor = symmetrised(name, rng.standard_normal((4, 3, 3, 3, 3)))
    for p in symmetries(name):
        assert_allclose(tensor, tensor.transpose(0, *(1 + i for i in p)), rtol=1e-12)
    assert_allclose(symmetrised(name, tensor), tensor, rtol=1e-12)


@pytest.mark.quick
def test_product_of_means_is_unbiased_for_unequal_groups():
    """E[p] - E[x] E[y] over all 2^3 outcomes of three groups of sizes 1, 2, 3 equals the covariance of one network."""
    sizes, total, weight = np.array([1, 2, 3]), 0.0, 0.0
    for outcome in np.ndindex(*[2] * 6):  # six fair coins, one for each network
        coin = np.array(outcome, dtype=float)
        x = np.array([part.mean() for part in np.split(coin, [1, 3])]).reshape(3, 1, 1, 1)
        groups = {"K": x, "Theta": x, "V": x[..., None, None], "D": x[..., None, None], "A": x[..., None, None]}
        total, weight = total + estimate("V", groups, sizes, np.ones(1))[0].item(), weight + 1
    assert total / weight == pytest.approx(0.25, rel=1e-12)  # coin^2 = coin: Var = 1/4


@pytest.fixture(scope="module")
def replications() -> tuple[np.ndarray, np.ndarray]:
    """Estimates and errors of the covariance 0.4 of two Gaussians, 2000 times from 64 groups of 5 or 4."""
    rng, sizes = np.random.default_rng(7), np.array([5] * 32 + [4] * 32)
    start, outcomes = np.cumsum(sizes) - sizes, []
    for _ in range(2000):
        u = rng.standard_normal((sizes.sum(), 2)) @ np.array([[1.0, 0.4], [0.0, 0.8]]) + [2.0, -1.0]
        x, y, p = (np.add.reduceat(v, start) / sizes for v in (u[:, 0], u[:, 1], u[:, 0] * u[:, 1]))
        groups = {"K": x.reshape(-1, 1, 1, 1), "Theta": y.reshape(-1, 1, 1, 1), "D": p.reshape(-1, 1, 1, 1, 1, 1)}
        outcomes.append([v.item() for v in estimate("D", groups, sizes, np.ones(1))])
    values, errors = np.array(outcomes).T
    return values, errors


def chi_squared_accepts(scores: np.ndarray, groups: int) -> bool:
    """Mean square of t-scores: its mean and variance are Student's, and the sum of many is Gaussian."""
    nu = groups - 1
    mean, fourth = nu / (nu - 2), 3 * nu**2 / ((nu - 2) * (nu - 4))
    deviation = (np.mean(scores**2) - mean) / np.sqrt((fourth - mean**2) / len(scores))
    return bool(2 * stats.norm.sf(abs(deviation)) > FALSE_ALARM)


def test_standard_errors_are_calibrated(replications):
    """The mean square score over 2000 replications is Student's, at a false alarm rate of 1e-4."""
    values, errors = replications
    assert chi_squared_accepts((values - 0.4) / errors, groups=64)


def test_a_wrong_factor_and_a_wrong_error_are_caught(replications):
    values, errors = replications
    assert not chi_squared_accepts((values - 0.5) / errors, groups=64)
    assert not chi_squared_accepts((values - 0.4) / (0.9 * errors), groups=64)


def test_every_tensor_scatters_as_its_standard_error_says():
    """Literal networks: 120 short runs against their common mean; the mean square score of each tensor is Student's."""
    net = MLP("tanh", depth=2, width=8, C_W=1.5, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
    runs = [simulate(net, X, networks=512, seed=seed, workers=1, progress=False) for seed in range(120)]
    for name in ("K", "Theta", "V", "D", "F", "A", "B", *DERIVATIVES):
        values, errors = (
            np.array([run[key].values[1][(0, 1, 0, 1)[: run[key].ndim - 1]] for run in runs])
            for key in (name, f"{name}_stderr")
        )
        scores = (values - values.mean()) / errors * np.sqrt(len(runs) / (len(runs) - 1))
        assert chi_squared_accepts(scores, runs[0].attrs["groups"]), f"{name}: {np.mean(scores**2):.2f}"
