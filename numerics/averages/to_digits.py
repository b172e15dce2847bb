r"""Closed forms of Gaussian averages in mpmath: with as many spare digits as their terms cancel."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from mpmath import mp, mpf

from ...theory.language.errors import InvalidInput, NotConverged, NotIntegrable
from ...theory.language.quantities import quantity
from ...theory.language.reading import read_number
from ..runs.estimate import Estimate

#: Digits beyond those of the answer.
SPARE = 15
#: A correlation this far beyond 1 is rounding of the covariance that was given.
ROUNDING = 1e-12


def closed_to_digits(closed: sp.Expr, labels: tuple[str, ...], K: Any, digits: int | None = None) -> Estimate | None:
    """A closed form at covariances (..., d, d), in double precision or to so many digits; None where it is 0/0, or a deep tail."""
    d = len(labels)
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    entries = [quantity("K").entry((labels[i], labels[j])) for i, j in pairs]
    function = _closed_function(closed, tuple(entries))
    shape = np.shape(K)[:-2]
    matrices = np.reshape(np.asarray(K, dtype=object), (-1, d, d))
    values = [_settled(function, m, closed, digits or 17) for m in matrices]
    if any(v is None for v in values):
        return None
    if digits is not None:
        with mp.workdps(digits):
            return Estimate(+values[0], abs(values[0]) * mpf(10) ** (1 - digits))
    numbers = np.array([float(v) for v in values]).reshape(shape)
    if not np.isfinite(numbers).all():
        raise NotConverged("the average leaves double precision; allowed: smaller variances, or precision='mp'")
    errors = np.spacing(np.abs(numbers))
    return Estimate(numbers, errors) if shape else Estimate(float(numbers), float(errors))


@lru_cache(maxsize=256)
def _closed_function(closed: sp.Expr, entries: tuple[sp.Expr, ...]) -> Callable[..., Any]:
    letters = {e: sp.Symbol(f"K{i}") for i, e in enumerate(entries)}
    return sp.lambdify(list(letters.values()), closed.xreplace(letters), "mpmath")


def _settled(function: Callable[..., Any], K: Any, closed: sp.Expr, digits: int) -> Any:
    """The value with more and more spare digits, until two agree: terms may cancel, or diverge with the precision."""
    before: Any = None
    vanishing = True
    # A tail 2 - erfc(x) is as small as exp(-x^2), and not zero: it is given more spare digits.
    tails = closed.has(sp.erfc)
    for spare in (SPARE * factor for factor in ((1, 2, 4, 8, 32, 128) if tails else (1, 2, 4, 8, 16, 32))):
        with mp.workdps(digits + spare):
            entries = within(K)
            try:
                value = mpmath.re(function(*entries))
            except ZeroDivisionError:
                return None  # at a variance of zero, or a product of delta functions of parallel variables
            if mpmath.isnan(value):
                return None
            agree = before is not None and abs(value - before) <= mpf(10) ** (-digits) * abs(value)
            if agree and value != 0:  # zeros of two precisions agree before the digits of a small value show
                return value
            # Roots of a rounded zero keep half of the digits.
            vanishing &= abs(value) <= mpf(10) ** (3 - (digits + spare) // 2) * (1 + max(map(abs, entries)))
            before = value
    if vanishing:  # terms that cancel to all digits
        return None if tails else mpf(0)
    numbers = np.array([[float(_number(x)) for x in row] for row in K])
    raise NotIntegrable(
        f"the average {closed} diverges at covariance={np.array2string(numbers)}: "
        "its variables are parallel, and a product of delta functions is infinite there; allowed: variables that are not parallel"
    )


def within(K: Any) -> list[Any]:
    """The entries on and above the diagonal as mpmath numbers, correlations beyond 1 by rounding put to 1."""
    d = len(K)
    exact = {(i, j): _number(K[i][j]) for i in range(d) for j in range(d)}
    for i in range(d):
        for j in range(i):
            bound = mpmath.sqrt(exact[i, i] * exact[j, j])
            if abs(exact[j, i]) > bound * (1 + ROUNDING):
                raise InvalidInput(
                    f"covariance is not positive semi-definite: |K[{j},{i}]| = {mpmath.nstr(abs(exact[j, i]), 15)} exceeds "
                    f"sqrt(K[{j},{j}] K[{i},{i}]) = {mpmath.nstr(bound, 15)} by {mpmath.nstr(abs(exact[j, i]) - bound, 3)}; "
                    "allowed: up to this root"
                )
            if abs(exact[j, i]) >= bound:
                exact[j, i] = mpmath.sign(exact[j, i]) * bound
    if d > 2:
        numbers = np.array([[float(exact[i, j]) for j in range(d)] for i in range(d)])
        worst = np.linalg.eigvalsh(numbers).min()
        if worst < -ROUNDING * np.abs(numbers).max():
            raise InvalidInput(
                f"covariance is not positive semi-definite: its smallest eigenvalue is {worst:.3g}; allowed: from 0"
            )
    return [exact[i, j] for i in range(d) for j in range(i, d)]


def _number(value: Any) -> Any:
    try:
        return mpmath.mpmathify(read_number("covariance", value) if isinstance(value, str) else value)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidInput(
            f"covariance holds {value!r}, which is no number: {error}; allowed: numbers, or text such as '1/3'"
        ) from None
