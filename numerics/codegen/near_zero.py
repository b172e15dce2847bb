r"""Functions of z whose terms cancel near z = 0, as cosh(z) - 1: their Taylor series there.

Whether digits are lost is tried: the expression in double precision beside itself with many digits. Else nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from sympy.codegen.cfunctions import expm1

from ...theory.language.symbols import z

#: Where it is tried, and the relative error that passes.
TRIED, ACCURATE = (1e-8, 1e-6, 1e-4, 1e-2, 0.05, 0.2), 4e-14
#: Terms of the series beyond the first that does not vanish, and |z| up to which it may serve: the largest where it has all digits.
TERMS, RADII = 16, (1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125)
#: Digits of the reference, and a coefficient that counts as zero.
DIGITS, ZERO = 80, 1e-40


def near_zero(expr: sp.Expr) -> sp.Expr:
    """The expression with series near zero in its cases, where digits are lost; e^z - 1 as one function."""
    if expr.free_symbols != {z}:
        return expr
    if isinstance(expr, sp.Piecewise):
        return expr.func(*((near_zero(formula), condition) for formula, condition in expr.args))
    number, rest = expr.as_independent(z, as_Add=False)
    return number * near_zero(rest) if isinstance(rest, sp.Piecewise) else _near_zero(expr)


@lru_cache(maxsize=1024)
def _near_zero(expr: sp.Expr) -> sp.Expr:
    if expr.is_polynomial(z) or expr.has(sp.Piecewise) or not expr.has(sp.Add) or not _vanishes(expr):
        return expr
    expr = expr.replace(lambda e: e.is_Add and len(e.args) == 2 and e.has(sp.exp), _expm1)
    if _has_digits(expr):
        return expr
    coefficients = _taylor(expr)
    radius = next((r for r in RADII if _exact(expr, coefficients, r)), None)
    if radius is None:
        return expr
    first = next(k for k, c in enumerate(coefficients) if c)
    series = z**first * sp.horner(
        sum(sp.Float(repr(c), 17) * z ** (k - first) for k, c in enumerate(coefficients) if c)
    )
    return sp.Piecewise((series, sp.Abs(z) < radius), (expr, True))


def _vanishes(expr: sp.Expr) -> bool:
    """Whether it is zero at zero."""
    at = expr.subs(z, 0)
    return bool(at.is_finite and abs(at.evalf(30)) < 1e-20)


def _expm1(total: sp.Expr) -> sp.Expr:
    """The difference c e^u - c as one function."""
    number, term = total.as_independent(sp.exp, as_Add=True)
    c, wave = term.as_independent(sp.exp, as_Add=False)
    return c * expm1(wave.args[0]) if isinstance(wave, sp.exp) and number == -c else total


def _numeric(expr: sp.Expr, modules: Any) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] = sp.lambdify(z, expr, modules)
    return found


def _many_digits(expr: sp.Expr) -> Callable[[Any], Any]:
    return _numeric(expr.replace(lambda e: isinstance(e, expm1), lambda e: sp.exp(e.args[0]) - 1), "mpmath")


def _has_digits(expr: sp.Expr) -> bool:
    double, exact = _numeric(expr, ["scipy", "numpy"]), _many_digits(expr)
    with mpmath.workdps(DIGITS), np.errstate(all="ignore"):
        for at in (sign * x for x in TRIED for sign in (1, -1)):
            truth = mpmath.re(exact(mpmath.mpf(at)))
            if not abs(mpmath.mpf(float(double(np.float64(at)))) - truth) <= ACCURATE * abs(truth):
                return False
    return True


def _taylor(expr: sp.Expr) -> list[float]:
    """The coefficients at zero, with digits to spare for their own cancellation."""
    exact = _many_digits(expr)
    with mpmath.workdps(2 * DIGITS):
        found = [mpmath.re(c) for c in mpmath.taylor(exact, 0, TERMS + 8)]
        largest = max(map(abs, found))
        kept = [c if abs(c) > ZERO * largest else mpmath.mpf(0) for c in found]
    first = next((k for k, c in enumerate(kept) if c), 0)
    return [float(c) for c in kept[: first + TERMS]]


def _exact(expr: sp.Expr, coefficients: list[float], radius: float) -> bool:
    """Whether the series has all digits up to a radius."""
    exact = _many_digits(expr)
    with mpmath.workdps(DIGITS):
        for at in (radius, -radius, radius / 2, -radius / 2):
            truth = mpmath.re(exact(mpmath.mpf(at)))
            value = mpmath.polyval(coefficients[::-1], mpmath.mpf(at))
            if not (any(coefficients) and abs(value - truth) <= 2e-16 * abs(truth)):
                return False
    return True
