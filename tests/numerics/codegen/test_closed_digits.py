r"""The law of closed forms in double precision: digits at both ends, and an error that is at least what was lost.

The reference is the same closed form in mpmath with spare digits, at the very numbers that the code got; a few averages
are integrated beside it. The ladder of variances goes from 1e-12 to 1e6, correlations from -1 to 1.
"""

from __future__ import annotations

import inspect

import mpmath
import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.numerics.averages.to_digits import closed_to_digits
from widthwise.numerics.codegen import evaluation, rounding
from widthwise.numerics.codegen.modules import Compiled, compile
from widthwise.theory.averages.closed_forms import closed_form
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.language.errors import NotConverged
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS, Activation, activation
from widthwise.validation.literal.derivatives import derivatives

FAMILIES = ("hermite(5)", "monomial(4)", "erf(1/3)", "sin(50)", "sin(3000)", "cos(7)", "gabor(30)", "gaussian(100)")
SUMS = (
    z + sp.sin(z) ** 2,
    sp.cosh(z) - 1,
    sp.sinh(z) - z,
    sp.sin(z) - z,
    1 - sp.cos(z),
    sp.exp(z) - 1 - z,
    z**2 / 2 + sp.exp(-z) - 1,
    1 - sp.exp(-(z**2)),
    z * sp.exp(-(z**2) / 2),
)
SMOOTH = [a for a in ACTIVATIONS if a.smooth and closed_form(Average(Sigma(Jet("a"), 0) ** 2), a) is not None]
SMOOTH += [activation(source) for source in (*FAMILIES, *SUMS)]
NAMES = [a.name for a in SMOOTH]
VARIANCES = np.array([1e-12, 1e-9, 1e-6, 1e-3, 0.1, 1.0, 30.0, 1e3, 1e6])
#: Beyond this the sum of a few dozen products has no more digits.
ROUNDED = 2e-13


def code(act: Activation, quantities: tuple[str, ...], samples: int | None = None) -> Compiled:
    return compile(ww.derive(ww.MLP(act), samples=samples).restrict(quantities))


def averages(compiled: Compiled, K: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    function = compiled.namespace["averages"]
    by_pairs = len(inspect.signature(function).parameters) == 3
    with np.errstate(all="ignore"):
        E, error = function(np.diagonal(K)[:, None], K, np.diagonal(K)) if by_pairs else function(K)
    return {name: np.broadcast_to(value, K.shape) if by_pairs else value for name, value in E.items()}, float(error)


def exact(name: str, act: Activation, K: np.ndarray) -> float | None:
    """The closed form of a table at a covariance with many digits; None without one."""
    groups = [tuple(map(int, g)) for g in name.removeprefix("E_").split("_")]
    labels = "abcd"[: len(groups)]
    jets = [Jet(label) for label in labels]
    node = Average(sp.Mul(*(Sigma(j, k) for j, g in zip(jets, groups, strict=True) for k in g)))
    closed = closed_form(node, act)
    if closed is None:
        return None
    try:
        found = closed_to_digits(closed, tuple(labels), K[None])
    except NotConverged:  # beyond double precision
        return None
    return None if found is None else float(found.value[0])


@pytest.mark.parametrize("act", SMOOTH, ids=NAMES)
def test_averages_of_one_input_keep_their_digits(act: Activation) -> None:
    compiled = code(act, ("K", "Theta", "V"), samples=1)
    for K in VARIANCES:
        E, error = averages(compiled, np.asarray(K))
        for name, value in E.items():
            truth = exact(name, act, np.full((1, 1), K))
            if truth is not None:
                off = abs(float(value) - truth)
                assert off <= max(ROUNDED * abs(truth), 1e-300), (name, K, float(value), truth)
                assert off <= error * max(1.0, abs(truth)) or off <= 4e-16 * abs(truth), (name, K, error)


@pytest.mark.parametrize("act", SMOOTH, ids=NAMES)
def test_averages_of_two_inputs_keep_their_digits_or_say_so(act: Activation) -> None:
    compiled = code(act, ("K", "Theta"))
    for variance in VARIANCES[::2]:
        for rho in (-1.0, 0.3, 0.999999, 1.0):
            cross = rho * variance * (1.0 if rho == 1 else np.sqrt(2.0))
            K = np.array([[variance, cross], [cross, variance if rho == 1 else 2 * variance]])
            E, error = averages(compiled, K)
            for name, value in E.items():
                for at in ((0, 0), (0, 1)):
                    truth = exact(name, act, K[np.ix_(at, at)])
                    if truth is None or not np.isfinite(value[at]):
                        continue
                    off = abs(value[at] - truth)
                    assert off <= max(error * max(1.0, abs(truth)), ROUNDED * abs(truth)), (name, at, K, error)
                    # Equal samples as one, up to the rounding of K_aa K_bb - K_ab^2.
                    if at == (0, 0):
                        assert off <= 1e-9 * abs(truth), (name, K, value[at], truth)


@pytest.mark.parametrize("name", ["sin", "gabor", "gaussian", "gaussian(100)"])
def test_averages_of_four_inputs_keep_their_digits_or_say_so(name: str) -> None:
    act = activation(name)
    compiled = code(act, ("K", "V"))
    for variance in (1e-12, 1.0, 1e6):
        for rho in (0.3, 1.0):
            K = variance * np.array([[1.0, rho], [rho, 1.0]])
            E, error = averages(compiled, K)
            for at in ((0, 0, 0, 0), (0, 1, 0, 1), (0, 0, 0, 1)):
                truth, value = exact("E_0_0_0_0", act, K[np.ix_(at, at)]), E["E_0_0_0_0"][at]
                assert truth is not None
                assert abs(value - truth) <= max(error, ROUNDED * abs(truth)), (at, K, value, truth, error)
                assert abs(value - truth) <= 1e-8 * E["E_0_0_0_0"][0, 0, 0, 0], (at, K, value, truth)


def network(source: object) -> ww.MLP:
    return ww.MLP(source, depth=2, C_W=1, C_b=0, lambda_W=1, lambda_b=0)


def integrated(expr: sp.Expr, x: float) -> mpmath.mpf:
    """<f^2> at the variance x^2, by a trapezoid rule that knows no closed form."""
    f = sp.lambdify(z, expr, "mpmath")
    with mpmath.workdps(60):
        h = mpmath.mpf(1) / 12
        nodes = [k * h for k in range(-200, 201)]
        return (
            h
            * mpmath.fsum(mpmath.exp(-u * u / 2) * f(mpmath.mpf(x) * u) ** 2 for u in nodes)
            / mpmath.sqrt(2 * mpmath.pi)
        )


@pytest.mark.parametrize("source", [activation("sin").expr, activation("elu").expr, sp.tanh(z) - z, *SUMS[:8]], ids=str)
@pytest.mark.parametrize("x", [1e-6, 1e-3, 0.1])
def test_kernels_of_small_inputs_by_every_route(source: sp.Expr, x: float) -> None:
    net = network(source)
    beside = [[x], [0.3]]
    found = [
        ww.kernel(net, [[x]], get="K")[0, 0],
        ww.kernel(net, beside, get="K")[0, 0],
        float(ww.predict(net, [[x]], "K").K.values[-1, 0, 0]),
        float(ww.predict(net, beside, "K").K.values[-1, 0, 0]),
    ]
    if source.has(sp.Piecewise):  # a kink: the trapezoid rule has no digits there
        assert np.ptp(found) <= 1e-14 * found[0]
        return
    assert np.allclose(found, float(integrated(source, x)), rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("source", "x", "right"),
    [
        (sp.cosh(z) - 1, 1e-3, 7.50000625e-13),
        (sp.sinh(z) - z, 1e-1, 4.19596189884e-7),
        (sp.sinh(z) - z, 1e-3, 4.16666958e-19),
    ],
)
def test_kernels_that_were_reported(source: sp.Expr, x: float, right: float) -> None:
    assert abs(ww.kernel(network(source), [[x]], get="K")[0, 0] / right - 1) < 1e-8


@pytest.mark.parametrize("source", ["sin(50)", "sin(3000)"])
def test_fast_waves_do_not_overflow(source: str) -> None:
    K, Theta = ww.kernel(network(source), [[1.0], [0.4], [-1.0]])
    assert np.allclose(np.diagonal(K), 0.5, rtol=1e-14)
    assert K[0, 2] == -K[0, 0]
    assert np.isfinite(Theta).all()
    data = ww.predict(network(source), [[1.0], [0.4]], ("K", "V"))
    assert np.allclose(np.diagonal(data.K.values[-1]), 0.5, rtol=1e-14)
    assert abs(data.V.values[-1][0, 0, 0, 0] - 0.125) < 1e-14
    assert data.average_error.values[-1] < 2e-8


@pytest.mark.parametrize("source", ["sin", "gabor", "gaussian", z + sp.sin(z) ** 2], ids=str)
def test_large_inputs_beside_small_ones(source: object) -> None:
    net = network(source)
    alone, both = (ww.predict(net, X, ("K", "V")) for X in ([[1e3]], [[1e3], [1.0]]))
    assert np.isfinite(both.V.values).all()
    for name, first in (("K", (0, 0)), ("V", (0, 0, 0, 0))):
        one, other = alone[name].values[-1].ravel()[0], both[name].values[-1][first]
        assert abs(other - one) <= 1e-9 * abs(one), name
    K = ww.kernel(net, [[1e3], [1.0]], get="K")
    assert np.allclose(K, both.K.values[-1], rtol=1e-12)


@pytest.mark.parametrize("act", [*ACTIVATIONS, *map(activation, SUMS)], ids=lambda a: a.name)
def test_activations_keep_their_digits_near_zero(act: Activation) -> None:
    at = [x for x in (1e-9, -1e-9, 1e-5, -1e-5, 1e-3, 0.03, -0.2) if act.smooth or x < 0]
    if not act.smooth and act.kinks != (0,):
        at = [x for x in at if x not in map(float, act.kinks)]
    found = derivatives(act, 2)(np.array(at))
    for k, values in enumerate(found):
        f = sp.lambdify(z, act.derivative(k), "mpmath")
        with mpmath.workdps(60):
            truths = [float(f(mpmath.mpf(x))) for x in at]
        assert np.allclose(values, truths, rtol=2e-13, atol=0), (k, values, truths)


@pytest.mark.parametrize("first", [1, 2, 5])
def test_remainders_of_exponentials(first: int) -> None:
    x = np.array([-4.0, -1.0, -1e-3, 1e-8, 0.5, 3.0])
    with mpmath.workdps(120):
        terms = [mpmath.exp(v) - mpmath.fsum(mpmath.mpf(v) ** k / mpmath.factorial(k) for k in range(first)) for v in x]
        truths = [float(t) for t in terms]
    assert np.allclose(evaluation.remainder(x, first, 0.5), truths, rtol=2e-15, atol=0)
    assert np.array_equal(evaluation.remainder(x, first, 2.0), np.exp(x))


def test_gaussians_times_exponentials_of_squares() -> None:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(3, 3))
    K, q = 1e3 * A @ A.T, (0.5, 0.0, 3.0)
    *S, det = evaluation.conditioned(q, *(K[i, j] for i in range(3) for j in range(i, 3)))
    matrix = np.eye(3) + np.diag(q) @ K
    assert np.allclose(det, np.linalg.det(matrix), rtol=1e-12)
    assert np.allclose(S, (K @ np.linalg.inv(matrix))[np.triu_indices(3)], rtol=1e-10)


def test_rounding_errors_are_bounded() -> None:
    """(x + 1) - x, whose error is half a unit of x, and functions near the edge of their domain."""
    x = np.geomspace(1, 1e15, 31) * (1 + 1 / 3)
    found = (rounding.Rounded(x, 0.0) + 1) - x
    assert (np.abs(found.value - 1) <= found.error).all()
    assert (found.error <= 4e-16 * (x + 2)).all()
    near = np.arcsin(rounding.Rounded(1 - np.geomspace(1e-16, 1e-3, 20), 1e-16).clip(-1.0, 1.0))
    assert (near.error >= 1e-17).all()
    assert (near.error <= 3e-8).all()
