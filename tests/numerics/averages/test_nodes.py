"""Averages of equations as numbers: evalf to any precision, functions of arrays, and the same by another route."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.language.errors import InvalidArgument, NotAvailable
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.networks.activations import activation

K = ww.symbols.K
NUMBERS = {"C_W": 1, "C_b": 0}


def by_mpmath(f, variance, digits):
    """An average of one variable by another program."""
    with mpmath.workdps(digits + 10):
        scale = mpmath.sqrt(2 * mpmath.pi * variance)
        ends = [-40, -10, -3, -1, 0, 1, 3, 10, 40]
        return mpmath.quad(lambda z: f(z) * mpmath.exp(-z * z / (2 * variance)) / scale, ends)


@pytest.mark.quick
def test_kernel_and_susceptibility_of_tanh():
    right = ww.derive(ww.MLP("tanh"), "K", samples=1).equation.rhs
    t = mpmath.tanh
    squares = by_mpmath(lambda z: t(z) ** 2, 1, 20)
    slope = by_mpmath(lambda z: (1 - t(z) ** 2) ** 2 - 2 * t(z) ** 2 * (1 - t(z) ** 2), 1, 20)
    assert abs(right.evalf(20, subs={K: 1, **NUMBERS}) - sp.Float(squares, 20)) < 1e-18
    assert abs(right.diff(K).subs({K: 1, "C_W": 1}).evalf(20) - sp.Float(slope, 20)) < 1e-18
    assert float(right.diff(K).subs({"K": 1, "C_W": 1})) == pytest.approx(float(slope), rel=1e-14)


@pytest.mark.parametrize("name", ["tanh", "gelu", "elu", "relu", "hard_tanh"])
def test_functions_of_arrays_agree_with_generated_code(name):
    """lambdify, of the law and of its slope by finite differences of generated code."""
    equations = ww.derive(ww.MLP(name, C_W=1, C_b=0), "K", samples=1)
    code, kernels = ww.compile(equations), np.array([0.5, 1.0, 4.0])
    f = sp.lambdify(K, equations.equation.rhs)
    assert f(kernels) == pytest.approx(code({"K": kernels})["K"], rel=1e-9)
    assert f(1.0) == pytest.approx(f(np.array([1.0]))[0])
    step = 1e-4
    slope = (code({"K": kernels + step})["K"] - code({"K": kernels - step})["K"]) / (2 * step)
    found = sp.lambdify(K, equations.equation.rhs.diff(K))(kernels)
    assert found + np.zeros(3) == pytest.approx(slope, rel=1e-6)


def test_two_samples_and_precision_of_mpmath():
    equation = ww.derive(ww.MLP("softplus"), "K", samples="ab").equation
    K_aa, K_ab, K_bb = (ww.symbols[n] for n in ("K_aa", "K_ab", "K_bb"))
    at = {K_aa: 1, K_ab: sp.Rational(3, 10), K_bb: 2}
    value = equation.rhs.subs(NUMBERS).subs(at).evalf(12)
    expected = ww.gaussian_average("softplus(a)*softplus(b)", [[1, 0.3], [0.3, 2]])
    assert float(value) == pytest.approx(expected.value, rel=1e-11)
    f = sp.lambdify((K_aa, K_ab, K_bb), equation.rhs.subs(NUMBERS))
    assert f(1.0, 0.3, 2.0) == pytest.approx(float(value), rel=1e-10)
    assert f(np.ones(2), np.array([0.3, 0.0]), 2.0)[0] == pytest.approx(float(value), rel=1e-10)
    many = sp.lambdify(K, ww.derive(ww.MLP("tanh"), "K", samples=1).equation.rhs.subs(NUMBERS), "mpmath")
    with mpmath.workdps(20):
        assert abs(many(mpmath.mpf(1)) - by_mpmath(lambda z: mpmath.tanh(z) ** 2, 1, 20)) < mpmath.mpf(10) ** -19


def test_what_has_no_number_is_said():
    with pytest.raises(InvalidArgument, match="unspecified function sigma"):
        sp.lambdify(K, ww.derive(ww.MLP(), "K", samples=1).equation.rhs)
    labels = "abc"
    node = Average(sp.Mul(*(Sigma(Jet(label), 0) for label in labels))).of(activation("tanh"))
    numbers = {k: (1 if k.labels[0] == k.labels[1] else sp.Rational(1, 3)) for k in node.free_symbols}
    with pytest.raises(NotAvailable, match="couples 3 samples"):
        node.xreplace(numbers).evalf()
    f = sp.lambdify(sorted(numbers, key=str), node)
    assert f(1.0, 0.2, 0.1, 1.0, 0.3, 1.0) == pytest.approx(0, abs=1e-12)
    with pytest.raises(NotAvailable, match="at a kernel of its own"):
        ww.compile(ww.derive(ww.MLP("tanh"), "K", samples=1).subs("K", 2))
