"""Critical points that are found with symbols, and the Taylor data of the susceptibilities."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.depth.criticality import exact_half_stable, origin, susceptibilities
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS
from widthwise.theory.networks.activations import activation as as_activation

x = sp.Symbol("x")

#: C_W, and whether kernels above 0 shrink; None where no power of K tells. Missing: K = 0 is not critical.
ORIGINS = {
    "linear": (1, None),
    "relu": (2, None),
    "leaky_relu": (sp.Rational(20000, 10001), None),
    "abs": (1, None),
    "elu": (1, True),
    "celu": (1, True),
    "softsign": (1, True),
    "snake": (1, False),
    "prelu": (sp.Rational(32, 17), None),
    # both slopes count: 2 / (lambda^2 (1 + alpha^2))
    "selu": (2 / (sp.Rational("1.0507009873554804934193349852946") ** 2
                  * (1 + sp.Rational("1.6732632423543772848170429916717") ** 2)), True),
    "hard_swish": (4, False),
    "relu6": (2, None),
    "mish": (sp.Rational(25, 9), False),
    "gabor": (1, True),
    "hard_tanh": (1, None),
    "tanh": (1, True),
    "swish": (4, False),
    "erf": (sp.pi / 4, True),
    "gelu": (4, False),
    "sin": (1, True),
}  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_every_activation_has_the_right_origin(activation):
    point = origin(activation)
    if activation.name not in ORIGINS:
        assert point is None
        return
    C_W, stable = ORIGINS[activation.name]
    assert point is not None
    assert sp.simplify(point.C_W - C_W) == 0
    assert point.stable is stable


SMOOTH = ["tanh", "sin", "erf", "gelu", "swish", sp.tanh(x) + x**2 / 10, sp.sin(x) + sp.cos(x) - 1, sp.exp(x) - 1]


@pytest.mark.parametrize("activation", SMOOTH, ids=str)
def test_taylor_data_are_the_published_combinations(activation):
    """a_1 = s3/s1 + 3/4 (s2/s1)^2 and b_1 = s3/s1 + (s2/s1)^2, h = b_1/2, C_W = 1/s1^2."""
    subject = as_activation(activation)
    s1, s2, s3 = (sp.simplify(subject.derivative(k).subs(z, 0)) for k in (1, 2, 3))
    point = origin(subject)
    assert sp.simplify(point.C_W - 1 / s1**2) == 0
    assert sp.simplify(point.a_1 - s3 / s1 - sp.Rational(3, 4) * (s2 / s1) ** 2) == 0
    assert sp.simplify(point.b_1 - s3 / s1 - (s2 / s1) ** 2) == 0
    assert sp.simplify(point.h - point.b_1 / 2) == 0


@pytest.mark.parametrize(
    "activation", ["elu", sp.Piecewise((x, x > 0), (2 * (sp.exp(x) - 1), True))], ids=["elu", "steep"]
)
def test_half_powers_at_a_kink_against_integration(activation):
    """chi = 1 + c sqrt(K) + ...: the coefficients from integrals at two small K."""
    subject = as_activation(activation)
    point = origin(subject)
    assert point.s == sp.Rational(1, 2)
    assert point.a_1 is None
    value = sp.lambdify(z, subject.expr, "mpmath")
    slope = sp.lambdify(z, subject.derivative(1), "mpmath")
    for response, coefficient in (
        (lambda u: value(u) * slope(u) * u, point.parallel),
        (lambda u: slope(u) ** 2, point.perpendicular),
    ):
        found = []
        for K in (mpmath.mpf(10) ** -6, mpmath.mpf(10) ** -8):
            scale = K if coefficient is point.parallel else 1
            root = mpmath.sqrt(K)
            mean = mpmath.quad(lambda u, r=root, g=response: g(r * u) * mpmath.npdf(u), [-12, -4, 0, 4, 12])
            found.append((mpmath.mpf(str(sp.N(point.C_W, 20))) * mean / scale - 1) / root)
        assert abs(found[1] - float(coefficient)) < 1e-3
        assert abs(found[1] - float(coefficient)) < abs(found[0] - float(coefficient)) / 5


def test_gelu_is_critical_at_the_golden_looking_number():
    """<sigma sigma''>_K = 0 is solved in closed form: K* = (3 + sqrt(17))/2."""
    C_W, C_b, K = exact_half_stable(as_activation("gelu"), 3.5615528128)
    assert sp.simplify(K - (3 + sp.sqrt(17)) / 2) == 0
    assert float(C_W) == pytest.approx(1.9830582574, abs=1e-10)
    assert float(C_b) == pytest.approx(0.1729223908, abs=1e-10)


def test_no_closed_form_is_no_answer():
    assert exact_half_stable(as_activation("swish"), 14.3201736180) is None


def test_susceptibilities_obey_the_exact_identity():
    """chi_parallel - chi_perp = C_W <sigma sigma''>, and h is half of d chi_perp/dK."""
    unit = susceptibilities(ww.MLP("sin").layer_map)
    from widthwise.theory.averages.closed_forms import specialize
    from widthwise.theory.language.quantities import Entry
    from widthwise.theory.language.symbols import C_W

    K = Entry("K", ("", ""))
    parallel, perpendicular, h, bend = (
        specialize(e, as_activation("sin")) for e in (unit.parallel, unit.perpendicular, unit.h, unit.bend)
    )
    assert sp.simplify(parallel - perpendicular + C_W * (1 - sp.exp(-2 * K)) / 2) == 0
    assert sp.simplify(h - sp.diff(perpendicular, K) / 2) == 0
    assert sp.simplify(bend - sp.diff(parallel, K)) == 0
