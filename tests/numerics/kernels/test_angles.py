"""Kernels of nearly parallel and nearly opposite inputs, against recursions with 40 digits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import mpmath as mp
import numpy as np
import pytest

import widthwise as ww
from widthwise.numerics.kernels.angles import PairFields, angle_rules, needed, together
from widthwise.numerics.kernels.pairs import pair_map

ANGLES = (1e-9, 1e-7, 6e-4)


def arc_cosine(theta: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """ReLU: Cho and Saul, Kernel methods for deep learning (2009), eq. 6, over two pi."""
    return (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta)) / (2 * mp.pi), (mp.pi - theta) / (2 * mp.pi)


def modulus(theta: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """|z| = relu(z) + relu(-z)."""
    (k, d), (opposite, slope) = arc_cosine(theta), arc_cosine(mp.pi - theta)
    return 2 * (k + opposite), 2 * (d - slope)


def clipped(a: mp.mpf, b: mp.mpf, rho: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """hard_tanh: the outer average by quadrature, the inner one by the moments of a truncated Gaussian."""
    w = b * mp.sqrt(1 - rho**2)

    def inner(m: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
        low, high = (-1 - m) / w, (1 - m) / w
        mass = mp.ncdf(high) - mp.ncdf(low) if low < 0 else mp.ncdf(-low) - mp.ncdf(-high)
        return mp.ncdf(-high) - mp.ncdf(low) + m * mass + w * (mp.npdf(low) - mp.npdf(high)), mass

    if w == 0:
        same = mp.erf(1 / (a * mp.sqrt(2)))
        return 1 - same + a**2 * (same - 2 / a * mp.npdf(1 / a)), same
    smooth = [k / (b * rho) + s * w / (b * abs(rho)) for k in (-1, 1) for s in (-9, -3, 0, 3, 9)]
    points = sorted({p for p in (-12, *smooth, -1 / a, 1 / a, 12) if -12 <= p <= 12})
    first = mp.quad(lambda u: mp.npdf(u) * max(min(a * u, 1), -1) * inner(b * rho * u)[0], points)
    return first, mp.quad(lambda u: mp.npdf(u) * (abs(a * u) < 1) * inner(b * rho * u)[1], points)


def by_angle(rule: Callable[[mp.mpf], tuple[mp.mpf, mp.mpf]]) -> Callable[..., tuple[mp.mpf, mp.mpf]]:
    def averages(a: mp.mpf, b: mp.mpf, rho: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
        k, d = rule(mp.acos(rho))
        return a * b * k, d

    return averages


def recursion(averages: Callable[..., tuple[mp.mpf, mp.mpf]], X: np.ndarray, net: ww.MLP) -> tuple[mp.mpf, mp.mpf]:
    """K and Theta of two inputs, C_b and lambda_b as the network's."""
    rows = [[mp.mpf(float(v)) for v in x] for x in X]
    C_W, C_b, lW, lb = (mp.mpf(float(getattr(net, n))) for n in ("C_W", "C_b", "lambda_W", "lambda_b"))
    over = {
        (i, j): sum(p * q for p, q in zip(rows[i], rows[j], strict=True)) / len(rows[0])
        for i, j in ((0, 0), (1, 1), (0, 1))
    }
    K, T = {p: C_b + C_W * v for p, v in over.items()}, {p: lb + lW * v for p, v in over.items()}
    for _ in range(net.depth - 1):
        found = {
            (i, j): averages(
                mp.sqrt(K[i, i]), mp.sqrt(K[j, j]), K[i, j] / mp.sqrt(K[i, i] * K[j, j]) if i != j else mp.mpf(1)
            )
            for i, j in K
        }
        T = {p: lb + lW * k + C_W * d * T[p] for p, (k, d) in found.items()}
        K = {p: C_b + C_W * k for p, (k, _) in found.items()}
    return K[0, 1], T[0, 1]


def pair(angle: float, longer: float, sign: int) -> np.ndarray:
    x = np.array([1.0, 0.3])
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ x
    return np.array([x, sign * longer * turned])


@pytest.mark.quick
@pytest.mark.parametrize(
    ("activation", "rule", "depth", "C_W", "C_b"),
    [
        ("relu", arc_cosine, 3, 1.0, 0.3),
        ("relu", arc_cosine, 8, 1.0, 1.0),
        ("abs", modulus, 6, 2.0, 0.1),
    ],
)
def test_digits_of_nearly_parallel_inputs(activation, rule, depth, C_W, C_b):
    net = ww.MLP(activation, depth=depth, C_W=C_W, C_b=C_b, lambda_W=1, lambda_b=0)
    with mp.workdps(40):
        for angle, longer, sign in product(ANGLES, (1.0, 1 + 1e-7), (1, -1)):
            X = pair(angle, longer, sign)
            K, Theta = recursion(by_angle(rule), X, net)
            found = ww.kernel(net, X)
            assert abs(found.K[0, 1] / K - 1) < 2e-14, (angle, longer, sign)
            assert abs(found.Theta[0, 1] / Theta - 1) < 5e-14, (angle, longer, sign)


def test_a_covariance_has_lost_the_angle():
    """The control: from layer to layer by covariances, which is right for most pairs, nine digits are left of Theta."""
    net, X = ww.MLP("abs", depth=6, C_W=2, C_b=0, lambda_W=1, lambda_b=0), pair(1e-7, 1.0, 1)
    exact = pair_map(net, 2, ("K", "Theta"))
    squares = np.einsum("ai,ai->a", X, X) / 2
    by_covariance = exact(squares[:1], squares[1:], X[:1] @ X[1] / np.sqrt(squares[0] * squares[1]) / 2)[1][0]
    assert abs(by_covariance / ww.kernel(net, X).Theta[0, 1] - 1) > 1e-9


@pytest.mark.parametrize(("angle", "longer", "sign"), [(1e-7, 1.0, 1), (1e-5, 1 + 1e-5, 1), (6e-4, 1.7, -1)])
def test_kinks_away_from_zero(angle, longer, sign):
    net = ww.MLP("hard_tanh", depth=3, C_W=1.9, C_b=0.1, lambda_W=1, lambda_b=0)
    X = pair(angle, longer, sign)
    with mp.workdps(25):
        K, Theta = recursion(clipped, X, net)
    found = ww.kernel(net, X)
    assert abs(found.K[0, 1] / K - 1) < 3e-14
    assert abs(found.Theta[0, 1] / Theta - 1) < 1e-13


def test_a_jump():
    """sign: K' = C_W (1 - 2 theta/pi) at equal norms, and the next layer from the angle that it makes."""
    net = ww.MLP("sign", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    with mp.workdps(50):
        for angle in ANGLES:
            X = pair(angle, 1.0, 1)
            (a, b), (c, d) = ([mp.mpf(float(v)) for v in x] for x in X)
            theta = mp.atan2(a * d - b * c, a * c + b * d)
            expected = 2 / mp.pi * mp.asin(2 / mp.pi * mp.asin(mp.cos(theta)))
            assert abs(ww.kernel(net, X, get="K")[0, 1] / expected - 1) < 1e-11, (
                angle
            )  # 1 - <sigma sigma> has digits 1e-16


def test_large_matrices_and_skips_use_it_too():
    """Pairs of a large matrix and of its small parts agree, with skips and where all pairs become nearly parallel."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    X[60:] = X[:60] * (1 + 1e-9) + 1e-8 * rng.normal(size=(60, 3))
    for net in (
        ww.MLP("relu", depth=5, C_W=1.2, C_b=0.2, lambda_W=1, lambda_b=0.1, residual=0.5),
        ww.MLP("relu", depth=60, C_W=0.8, C_b=1, lambda_W=1, lambda_b=0),
    ):
        whole = ww.kernel(net, X)
        for i in (0, 17):
            few = ww.kernel(net, X[[i, i + 60, 30]])
            for name in ("K", "Theta"):
                there = getattr(whole, name)[np.ix_([i, i + 60, 30], [i, i + 60, 30])]
                assert np.allclose(there, getattr(few, name), rtol=3e-14, atol=0)


def test_angles_of_sums():
    """A sum of fields has the angle of its covariance, and a bias alone has none."""
    rng = np.random.default_rng(1)
    parts = [PairFields(*rng.uniform(0.5, 2, size=(2, 5)), rng.uniform(0, np.pi, size=5)) for _ in range(3)]
    whole = together(parts)
    covariance = sum(p.a * p.b * np.cos(p.angle) for p in parts)
    assert np.allclose(whole.a * whole.b * np.cos(whole.angle), covariance, rtol=1e-14)
    same = np.full(5, 0.7)
    assert not together([PairFields(same, same, np.zeros(5))]).angle.any()


def test_who_needs_it():
    """Kinks of sigma' for Theta, jumps for K; smooth functions and those with a bent slope alone do not."""

    def wanted(name: str, *names: str) -> bool:
        return needed(pair_map(ww.MLP(name, depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0), 2, names))

    assert all(
        wanted(name, "K", "Theta") for name in ("relu", "leaky_relu", "abs", "selu", "hard_tanh", "relu6", "hard_swish")
    )
    assert wanted("sign", "K")
    assert wanted("step", "K")
    assert not any(wanted(name, "K", "Theta") for name in ("tanh", "gelu", "elu"))
    assert not wanted("relu", "K")


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs", "rectified(2)"])
def test_rules_are_the_averages(activation):
    """At angles that a covariance still knows."""
    net = ww.MLP(activation, depth=2, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    (step,) = pair_map(net, 2, ("K", "Theta")).steps
    a, b, angle = np.array([1.3, 0.2]), np.array([0.7, 3.0]), np.array([0.29, np.pi - 0.2])
    rules = angle_rules(step.activation, step.orders)
    for orders, truth in zip(step.orders, step.averages(a, b, a * b * np.cos(angle)), strict=True):
        assert np.allclose(rules[orders](a, b, angle), truth, rtol=1e-11, atol=1e-13)
