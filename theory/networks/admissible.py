r"""Conditions on an activation for its Gaussian averages to exist: checks that say where one fails.

A jump is allowed: :math:`\langle\sigma\sigma\rangle` exists. Averages of :math:`\sigma'` are refused one by one (``regularity``).
"""

from __future__ import annotations

from typing import Any

import mpmath
import sympy as sp
from sympy.core.function import AppliedUndef

from ..language.errors import InvalidArgument, NotIntegrable
from ..language.symbols import z

#: Far enough out for log|sigma(z)|/z^2 to show whether sigma grows like a Gaussian.
_FAR = 10**6
#: A function that falls faster than exp(-VANISHED z^2) has vanished.
VANISHED = 1000


def check(name: str, expr: sp.Expr) -> None:
    """Raise for an expression that is no function on the real line, or grows too fast."""
    _check_elementary(name, expr)
    if expr.has(sp.zoo, sp.oo, sp.nan):
        raise NotIntegrable(
            f"activation={name!r} is not finite on a part of the real line, and has no Gaussian averages; "
            "allowed: functions that are finite on the whole real line"
        )
    _check_poles(name, expr)
    _check_integrable(name, expr)


def _check_elementary(name: str, expr: sp.Expr) -> None:
    """Raise for functions that have no derivative or no NumPy text."""
    refused = (sp.floor, sp.ceiling, sp.frac, sp.Mod, sp.DiracDelta, sp.Integral, sp.Derivative, sp.Sum, AppliedUndef)
    found = expr.atoms(*refused)
    if found:
        raise InvalidArgument(
            f"activation={name!r} holds {', '.join(sorted(map(str, found)))}; allowed: elementary functions, erf, Max, Min, "
            "Abs and Piecewise, or sympy.Function('sigma') itself for the unspecified activation"
        )


def _check_poles(name: str, expr: sp.Expr) -> None:
    """Raise for a pole on the real line: tan and its relatives, and rational functions by the roots of the denominator."""
    periodic = expr.atoms(sp.tan, sp.cot, sp.sec, sp.csc)
    poles = [f"the poles of {f}" for f in sorted(map(str, periodic))]
    if expr.is_rational_function(z):
        denominator = sp.fraction(sp.together(expr))[1]
        poles += [f"z={root}" for root in (sp.real_roots(denominator) if denominator.has(z) else [])]
    if poles:
        raise NotIntegrable(
            f"activation={name!r} is not real and finite at {poles[0]}; "
            "allowed: functions that are real and finite on the whole real line"
        )


def _check_integrable(name: str, expr: sp.Expr) -> None:
    """Raise unless sigma is real and finite on a grid, and o(exp(eps z^2)) at both ends."""
    f = sp.lambdify(z, expr, "mpmath")
    with mpmath.workdps(20):
        for x in [mpmath.mpf(k) / 8 for k in range(-80, 81)]:
            value = _evaluate(f, x)
            if value is None:
                raise NotIntegrable(
                    f"activation={name!r} is not real and finite at z={float(x):g}; "
                    "allowed: functions that are real and finite on the whole real line"
                )
        # Nearer points first: there a function that grows out of all bounds shows it before its digits fill the memory.
        # One that has vanished there is not looked at further out: exp(-exp(x)) has an exponent of a million digits.
        vanished: set[bool] = set()
        for x, limit in ((50, 1), (-50, 1), (_FAR, 1e-4), (-_FAR, 1e-4)):
            if (x > 0) in vanished:
                continue
            value = _evaluate(f, mpmath.mpf(x))
            if value is not None and (value == 0 or mpmath.log(abs(value)) < -VANISHED * x**2):
                vanished.add(x > 0)
            if value is None or (value != 0 and mpmath.log(abs(value)) / x**2 > limit):
                raise NotIntegrable(
                    f"activation={name!r} is not finite under a Gaussian: it grows like exp(c z^2) or faster as "
                    f"z -> {'+' if x > 0 else '-'}oo, so <sigma^2>_K diverges for large K; "
                    "allowed: functions smaller than every exp(c z^2), c > 0"
                )


def _evaluate(f: Any, x: Any) -> Any:
    try:
        value = mpmath.mpmathify(f(x))
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        return None
    if isinstance(value, mpmath.mpc):
        if abs(value.imag) > 1e-12 * (1 + abs(value.real)):
            return None
        value = value.real
    return value if mpmath.isfinite(value) else None
