"""The statistics of the confrontation: extrapolation, sigmas, verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument
from widthwise.validation.confrontation.fits import LEAST, extrapolate, lines, p_values, sigmas
from widthwise.validation.confrontation.tails import degrees_of_freedom
from widthwise.validation.confrontation.verdict import error_bar, judge

pytestmark = pytest.mark.quick

WIDTHS = np.array([32.0, 64.0, 128.0])
GROUPS = np.array([200.0, 200.0, 200.0])


def test_extrapolation_is_exact_for_a_line_in_one_over_n():
    y = np.stack([3.0 + 20.0 / WIDTHS, -1.0 + 0.0 * WIDTHS], axis=1)
    fit = extrapolate(WIDTHS, y, np.full_like(y, 0.1), groups=GROUPS)
    assert fit.value == pytest.approx([3.0, -1.0])
    slope = extrapolate(WIDTHS, y, np.full_like(y, 0.1), groups=GROUPS, power=-1)
    assert slope.value == pytest.approx([20.0, 0.0], abs=1e-9)


def test_slope_at_the_known_limit(rng):
    """y = 3 + 20/n + 50/n^2 at two widths and, without noise or with it, at infinite width: the coefficient 20, with its error."""
    widths = np.array([64.0, 128.0, np.inf])
    for limit in (0.0, 0.02):
        error = np.array([0.1, 0.05, limit])[:, None] * np.ones(20_000)
        y = 3 + 20 / widths[:, None] + 50 / widths[:, None] ** 2 + error * rng.standard_normal(error.shape)
        fit = extrapolate(widths, y, error, groups=np.full(3, 1e6), powers=(0, -1, -2), power=-1)
        t = sigmas(np.full(20_000, 20.0), fit.value, fit.stderr)
        assert stats.kstest(t, "norm").pvalue > 1e-4


def test_standard_error_and_tails_of_the_intercept_are_right(rng):
    """20 000 lines with noise of different size at each width: the p-values are nearly uniform (Kolmogorov-Smirnov)."""
    columns, groups = 20_000, 12
    scale = np.array([1.0, 2.0, 3.0])[:, None]
    samples = rng.standard_normal((3, groups, columns)) * scale[:, :, None]
    y, s = samples.mean(axis=1) + 5.0 + 2.0 / WIDTHS[:, None], samples.std(axis=1, ddof=1) / np.sqrt(groups)
    fit = extrapolate(WIDTHS, y, s, groups=np.full(3, groups))
    t = sigmas(np.full(columns, 5.0), fit.value, fit.stderr)
    # Values and errors: Welch and Satterthwaite's t is right to a per cent in the bulk. P-values: never too small.
    one = fit.variances.sum(axis=0) ** 2 / (fit.variances**2 / fit.dof[:, None]).sum(axis=0)
    assert stats.kstest(2 * stats.t.sf(np.abs(t), one), "uniform").statistic < 0.02
    p = p_values(t, fit.variances, fit.dof)
    assert stats.kstest(p, "uniform", alternative="greater").statistic < 0.005
    # negative control: the weights and errors of one width for all
    wrong = extrapolate(WIDTHS, y, np.broadcast_to(s[:1], s.shape), groups=np.full(3, groups))
    t = sigmas(np.full(columns, 5.0), wrong.value, wrong.stderr)
    assert stats.kstest(p_values(t, wrong.variances, wrong.dof), "uniform").statistic > 0.1


@pytest.mark.parametrize("profile", [(1, 1, 1, 0), (4, 1, 16, 0), (2, 1, 8, 8)])
def test_rate_of_false_alarms_at_small_p_with_few_networks(profile, rng):
    """32, 16 and 8 networks at three widths and 15 replicas of theory, a million comparisons: rates at p = 1e-2 to 1e-5.

    Control: Welch and Satterthwaite's one t, which alarms more often than it says where one small sample decides.
    """
    dof, n = np.array([31.0, 15.0, 7.0, 14.0]), 1_000_000
    true = np.array(profile, dtype=float)[:, None]
    found = true * rng.chisquare(dof[:, None], (4, n)) / dof[:, None]
    t = rng.standard_normal(n) * np.sqrt(true.sum()) / np.sqrt(found.sum(axis=0))
    some = np.abs(t) > 2.5  # beyond which p < 0.05 is possible
    p = p_values(t[some], found[:, some], dof)
    one = found.sum(axis=0) ** 2 / (found**2 / dof[:, None]).sum(axis=0)
    welch = 2 * stats.t.sf(np.abs(t), one)
    for level in (1e-2, 1e-3, 1e-4, 1e-5):
        most = stats.binom.isf(1e-5, n, level)
        assert (p < level).sum() <= most
    if profile == (4, 1, 16, 0):
        assert (welch < 1e-4).sum() > stats.binom.isf(1e-5, n, 1e-4)


def test_long_tails_leave_fewer_degrees_of_freedom(rng):
    """Means of n values with excess kurtosis kappa: 12 for squares of a Gaussian; the variance of s^2 is that of chi-squared."""
    normal = degrees_of_freedom(rng.standard_normal((200, 4, 200)))
    assert normal == pytest.approx(199, rel=0.03)
    squares = degrees_of_freedom(rng.standard_normal((2000, 1, 100)) ** 2)
    assert squares == pytest.approx(2000 / (1 + 12 / 2), rel=0.1)
    deep = rng.standard_normal((2000, 2, 100))
    deep[:, 1] **= 3  # of two places the longer tail counts
    assert degrees_of_freedom(deep) < 2000 / (1 + 20 / 2)
    assert degrees_of_freedom(np.zeros((9, 2, 3))) == 8
    assert degrees_of_freedom(rng.standard_normal((3, 2, 3))) == 2


def test_rate_of_false_alarms_with_few_networks_of_long_tails(rng):
    """Fifty networks at each of three widths, squares of Gaussians, the intercept: rates at p = 1e-3, with the control."""
    alarms, plain, count, entries = 0, 0, 500, 8
    for _ in range(count):
        x = rng.standard_normal((3, 50, 1, entries)) ** 2 - 1
        y, s = x.mean(axis=1)[:, 0], x.std(axis=1, ddof=1)[:, 0] / np.sqrt(50)
        own = np.array([1 + degrees_of_freedom(one) for one in x])
        for groups, mended in ((own, True), (np.full(3, 50.0), False)):
            fit = extrapolate(WIDTHS, y, s, groups=groups)
            found = int((np.abs(fit.value / fit.stderr) > lines(1e-3, fit.variances, fit.dof)).sum())
            alarms, plain = (alarms + found, plain) if mended else (alarms, plain + found)
    assert alarms <= stats.binom.isf(1e-5, count * entries, 2e-3)
    assert plain > alarms


def test_p_values_of_one_sample_are_those_of_student():
    t = np.array([0.0, 1e-3, 1.0, -4.0, 30.0, 1e4, np.inf])
    p = p_values(t, np.ones((1, 7)), [9.0])
    assert p == pytest.approx(2 * stats.t.sf(np.abs(t), 9.0), rel=1e-9)
    two = p_values(t, np.ones((2, 7)), [9.0, 9.0])
    assert two == pytest.approx(p, rel=1e-9)


def test_log_log_slope_would_fail_where_the_extrapolation_is_right():
    """n Var = 20 + 150/n + ...: the exact law (1 + 5/n)^4 - 1 of critical ReLU has intercept 20; its log-log slope is not -1."""
    n = np.array([64.0, 128.0, 256.0, 512.0])
    exact = n * ((1 + 5 / n) ** 4 - 1)
    fit = extrapolate(n, exact[:, None], np.full((4, 1), 0.08), groups=np.full(4, 48.0))
    assert abs(fit.value[0] - 20) < 0.1
    slope = np.polyfit(np.log(n), np.log(exact / n), 1)[0]
    assert abs(slope + 1) > 0.02


def test_numbers_without_noise_are_compared_to_rounding():
    predicted = np.array([1.0, 0.0, 2.0])
    assert sigmas(predicted, predicted + 1e-13, np.full(3, 1e-16)).tolist() == [0.0, 0.0, 0.0]
    assert np.isinf(sigmas(predicted, predicted + 1e-3, np.zeros(3))).all()


@pytest.mark.parametrize("m", [1, 10, 1000])
def test_bonferroni_holds_the_family_wise_rate(m, rng):
    alarms = np.mean([not judge(rng.random(m), 0.1).passed for _ in range(4000)])
    # binomial, 4.5 standard deviations
    assert alarms < 0.1 + 4.5 * np.sqrt(0.09 / 4000)
    assert alarms > 0.06


def test_numbers_without_noise_are_no_comparisons():
    """f = 0 at the start of training, say; but one of them that differs fails."""
    p = p_values(np.array([0.0, 0.0, 2.5]), np.array([[0.0, 0.0, 1.0]]), [1e6])
    assert judge(p, 0.02).comparisons == 1
    assert p_values(np.array([np.nan]), np.array([[1.0]]), [9.0]) == 0  # what is no number fails
    assert not judge(p, 0.02).passed
    assert not judge(p_values(np.array([np.inf, 0.5]), np.array([[0.0, 1.0]]), [9.0]), 0.01).passed


def test_the_line_of_a_comparison_is_where_its_p_value_is_the_threshold(rng):
    """The slow twin: p-values of deviations that lie on their lines, for few networks and many, and those of a normal law."""
    variances, dof = rng.chisquare(3, (3, 50)), [3.0, 15.0, 255.0]
    for threshold in (1e-2, 2.6e-5):
        assert p_values(lines(threshold, variances, dof), variances, dof) == pytest.approx(threshold, rel=1e-6)
        many = lines(threshold, np.ones((1, 1)), [1e9])
        assert many == pytest.approx(stats.norm.isf(threshold / 2), rel=1e-6)
        assert lines(threshold, np.zeros((2, 1)), [3.0, 3.0]) == pytest.approx(stats.norm.isf(threshold / 2))


def test_what_was_not_tested_may_fail_but_not_pass():
    p = np.array([0.5, 0.2, 0.6])
    some = judge(p, 0.01, tested=[True, False, False], coarse=["V"])
    assert some.passed
    assert (some.tested, some.comparisons) == (1, 3)
    assert "PASSED: 1 tested of 3 comparisons" in str(some)
    assert "not tested: V (2 comparisons; error bars above 25 % of the predictions)" in str(some)
    none = judge(p, 0.01, tested=[False] * 3, coarse=["K", "V"])
    assert not none.passed
    assert str(none).startswith("NOT TESTED: 0 tested of 3 comparisons")
    wrong = judge(np.array([0.5, 1e-9, 0.6]), 0.01, tested=[True, False, False], coarse=["V"])
    assert not wrong.passed
    assert str(wrong).startswith("FAILED (1 of 3)")
    assert wrong.words([0.5, 1e-9, 0.6, 1.0], [True, False, False, True]).tolist() == [
        "passed",
        "FAILED",
        "not tested",
        "equal",
    ]
    assert not judge(np.ones(4), 0.01).passed  # equal numbers without noise are no test


def test_chance_is_that_of_the_smallest_p_value_in_the_family():
    assert judge(np.array([1e-5, 0.5, 1.0]), 0.01).chance == pytest.approx(2e-5)
    assert judge(np.array([0.9, 0.8]), 0.01).chance == 1.0


def test_an_error_bar_is_relative_to_the_predictions():
    p = np.array([0.1, 0.2, 1.0])
    bar = error_bar(np.array([3.0, 4.0, 100.0]), np.array([0.3, 0.4, 0.0]), p)
    assert bar == pytest.approx(0.1)  # of the comparisons alone: without noise there is none
    assert error_bar(np.zeros(3), np.full(3, 0.2), p, scale=4.0) == pytest.approx(0.05)
    assert error_bar(np.zeros(3), np.full(3, 0.2), p) == np.inf
    assert error_bar(np.ones(2), np.zeros(2), np.ones(2)) == 0.0


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 2])
def test_alpha_is_a_probability(alpha):
    with pytest.raises(InvalidArgument, match="alpha="):
        judge(np.array([0.5]), alpha)


NET = ww.MLP("linear", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(widths=(8,)), "at least two different widths"),
        (dict(widths=(8, 8)), "at least two different widths"),
        (dict(widths=((8, 16), (16, 16))), "not in proportion"),
        (dict(widths=(8, 16), networks=(10, 10, 10)), "3 entries for 2 widths"),
        (dict(widths=(8, 16), networks=1), "at least 2"),
        (dict(widths=(8, 16), networks=2.5), "networks=2.5"),
        (dict(widths=8), "widths=8"),
        (dict(widths=(8, 16), seed="a"), "seed='a'"),
        (dict(widths=(8, 16), alpha="a"), "alpha='a'"),
        (dict(widths=(8, 16), alpha=0), "alpha=0"),
        (dict(widths=(8, 16), resolution=0), "resolution=0"),
        (dict(widths=(8, 16), resolution="a"), "resolution='a'"),
        (dict(widths=(8, 16), resolution=float("nan")), "resolution=nan"),
        (dict(widths=(8, 16), quantities="G"), "quantity='G'"),
    ],
)
def test_wrong_arguments_of_validate(arguments, message):
    with pytest.raises(ww.errors.WidthwiseError, match=message):
        ww.validate(NET, [[1.0, 0.5]], **({"networks": 16} | arguments))


def test_a_network_of_one_layer_needs_no_extrapolation():
    net = ww.MLP("tanh", depth=1, C_W=1, C_b=0.1, lambda_W=1, lambda_b=0.5)
    assert ww.validate(net, [[1.0, 0.5], [0.2, -0.3]], widths=((),), networks=2000).passed


@pytest.mark.parametrize("dof", [1, 2, 3, 4, 7, 31, 255])
def test_small_deviations_are_likely_whatever_the_degrees_of_freedom(dof):
    """A deviation of a fortieth of a standard error is nothing, with four networks too; one of 10^4 is much."""
    p = p_values(np.array([0.025, 1e4]), np.ones((1, 2)), [dof])
    assert p == pytest.approx(2 * stats.t.sf([0.025, 1e4], dof), rel=1e-6)
    assert np.all(special.stdtrit(np.arange(1.0, 3000.0), np.exp(LEAST) / 2) < -1)
