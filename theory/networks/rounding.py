"""Numbers between two parametrizations: fractions are not rounded on the way, and rounded ones agree to a tolerance."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import sympy as sp

#: Numbers of a network that differ by less, relative to their size, are one number.
TOLERANCE = 1e-9
#: The largest denominator of numbers that count as exact; roots of longer ones would be no pleasure to read.
SHORT = 10_000


def exactly(value: Any) -> sp.Expr:
    """Short fractions are not rounded: C_W = 2 is W_std = sqrt(2), which comes back as 2."""
    if not isinstance(value, float):
        return sp.sympify(value)
    fraction = Fraction(value).limit_denominator(SHORT)
    return sp.Rational(fraction) if float(fraction) == value else sp.Float(value)


def plainly(value: sp.Expr) -> Any:
    """A float, where the number is a fraction or has been rounded."""
    return float(value) if value.is_Rational or value.has(sp.Float) else value


def joined(values: list[Any]) -> Any:
    """One number if all layers agree; a layer in which any number will do agrees with the others."""
    known = [v for v in values if v is not None] or [sp.S.One]
    plain = [plainly(known[0] if v is None else v) for v in values]
    return plain[0] if all(close(v, plain[0], TOLERANCE * 1e-3) for v in plain) else tuple(plain)


def close(x: Any, y: Any, tolerance: float) -> bool:
    """Whether two numbers agree to a relative tolerance."""
    return abs(float(x) - float(y)) <= tolerance * max(abs(float(x)), abs(float(y)))
