r"""Gaussian averages by name or expression: in closed form, or as a number with its error, with as many digits as asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from numbers import Real
from operator import add
from typing import Any

import numpy as np
import sympy as sp
from mpmath import mpf
from numpy.typing import ArrayLike, NDArray

from ...theory.averages.integrands import Integrand, check_finite
from ...theory.averages.reading import read_integrand
from ...theory.averages.regularity import Factor, singular
from ...theory.language.checks import check_count
from ...theory.language.errors import InvalidArgument, InvalidInput, NotAvailable, NotConverged, NotIntegrable
from ...theory.language.reading import read_number
from ...theory.language.symbols import z
from ...theory.networks.activations import Activation
from ..codegen.printing import array_function
from ..codegen.refusals import refused
from ..quadrature.quadrature import gaussian_averages
from ..runs.estimate import Estimate
from .by_parts import without_derivatives
from .mp_panels import average_to_digits
from .to_digits import closed_to_digits

Array = NDArray[np.float64]

#: Covariances up to which a closed form is evaluated with spare digits and rounded, instead of quadrature.
FEW = 256
#: The most variables of quadrature.
MOST = 4
#: Variables of which one has less of its variance than this left, given the other, count as parallel.
PARALLEL = 1e-14


def gaussian_average(
    integrand: Any,
    covariance: Any = None,
    *,
    precision: str = "double",
    digits: int = 50,
    rtol: float = 1e-10,
    kinks: Sequence[float] = (),
    series: int | None = None,
) -> Any:
    r"""The average of a function of Gaussian variables.

    Equation
        .. math:: \langle f\rangle_K=\int\frac{d^dz}{\sqrt{|2\pi K|}}\;e^{-\frac12 z^\top K^{-1}z}\,f(z_1,\dots,z_d)

        for f a sum of products of functions of one variable each: a SymPy expression in one symbol for each variable; text with
        registered activations, primes for derivatives (of kinks and jumps in the sense of distributions, with their delta functions
        wherever these are): ``"relu(a)*relu'(b)"``;
        or a Python function, or a sequence of them, one factor for each variable, which take and return arrays.
    Shapes
        Without ``covariance``: a SymPy expression in the entries ``K_ab``, averages without a closed form as they are.
        With it: an ``Estimate`` (value, error). One variable: variances in any shape; several: (..., d, d), rows in the
        alphabetic order of the variables (for Python functions in theirs) -> (...).
    Units
        Those of f; errors are absolute.
    Valid
        ``precision="double"``: closed forms to the last digit (for up to 256 covariances), else quadrature with ``rtol`` for one
        and two variables; three and four reach 1e-8 (1e-6 with kinks) of E|f|; ``error`` says what was reached.
        ``precision="mp"``: mpmath numbers of so many ``digits`` (the error is one unit of the last), one covariance at a time,
        given as numbers or text ("1/3"); closed forms, or up to two variables; no Python functions.
        ``series=n``: the first n terms of Mehler's formula, in powers of the covariance of two variables, which converges for all
        correlations: :math:`\sum_nK_{ab}^n/n!\,\langle f^{(n)}\rangle\langle g^{(n)}\rangle`; symbols only.
        ``kinks``: where Python functions are not smooth; those of expressions are found. Features narrower than 0.05, or than a
        600th of their distance from zero, may be missed without notice.
    Errors
        ``InvalidArgument`` for an integrand that is no such function; ``NotIntegrable``, with the place, where it diverges;
        ``InvalidInput`` for a matrix that is no covariance; ``NotAvailable`` where there is neither a closed form nor a quadrature.
    Source
        The rules of ``theory.averages.rules``; the quadrature of ``numerics.quadrature.quadrature``.
    """
    if precision not in ("double", "mp"):
        raise InvalidArgument(f"precision={precision!r}; allowed: 'double' or 'mp'")
    digits = check_count("digits", digits, 1, 10_000)
    if isinstance(rtol, bool) or not isinstance(rtol, Real) or not 0 < rtol < 1:
        raise InvalidArgument(f"rtol={rtol!r}; allowed: numbers between 0 and 1")
    kinks = _kinks(kinks)
    functions = _functions(integrand)
    if functions is not None:
        if covariance is None or precision == "mp":
            raise NotAvailable(
                "integrand is a Python function: it has numbers in double precision only; allowed: a covariance, or an expression"
            )
        return _by_quadrature(_of_functions(functions, kinks), _matrices(covariance, len(functions)), rtol)
    if len(kinks):
        raise InvalidArgument(f"kinks={kinks!r}: those of an expression are found; allowed only for Python functions")
    known = read_integrand(integrand)
    check_finite(known)
    if series is not None:
        terms = check_count("series", series, 1)
        if covariance is not None:
            raise InvalidArgument(f"series={series!r} with a covariance; allowed: covariance=None")
        return known.series(terms)
    if covariance is None:
        return known.average()
    K = _matrices(covariance, len(known.labels))
    return _digits(known, covariance, K, digits) if precision == "mp" else on_double(known, K, rtol)


def _kinks(given: Any) -> tuple[float, ...]:
    """The places at which Python functions are not smooth."""
    try:
        found = tuple(float(k) for k in given) if not isinstance(given, str) else (math.nan,)
    except (TypeError, ValueError):
        found = (math.nan,)
    if not all(map(math.isfinite, found)):
        raise InvalidArgument(f"kinks={given!r}; allowed: a sequence of finite numbers")
    return found


def _functions(integrand: Any) -> tuple[Callable[[Array], Array], ...] | None:
    """The Python functions, one for each variable; None for an expression or a text."""
    if isinstance(integrand, sp.Basic | str | Activation):
        return None
    if callable(integrand):
        return (integrand,)
    if isinstance(integrand, list | tuple) and integrand and all(map(callable, integrand)):
        return tuple(integrand)
    return None


def _matrices(covariance: ArrayLike, variables: int) -> Array:
    """The covariances (..., d, d)."""
    given = np.asarray(covariance)
    if given.dtype.kind == "c":
        raise InvalidInput(f"covariance has dtype {given.dtype}; allowed: real numbers")
    if given.dtype in (np.float32, np.float16):
        raise InvalidInput(
            f"covariance has dtype {given.dtype}, which holds fewer digits than the average is computed to; allowed: float64"
        )
    try:
        if given.dtype.kind in "OU":  # numbers with many digits, or their text
            K = np.vectorize(
                lambda x: float(read_number("covariance", x) if isinstance(x, str) else x), otypes=[float]
            )(given)
        else:
            K = given.astype(np.float64)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidInput(
            f"covariance={covariance!r} cannot be read as numbers: {error}; allowed: numbers, or text such as '1/3'"
        ) from None
    if variables == 1:
        K = K[..., None, None]
    if K.ndim < 2 or K.shape[-2:] != (variables, variables):
        raise InvalidInput(
            f"covariance has shape {np.shape(covariance)}; allowed for {variables} variables: (..., {variables}, {variables})"
        )
    if not np.isfinite(K).all():
        raise InvalidInput(f"covariance holds {K[~np.isfinite(K)][0]}; allowed: finite numbers")
    lopsided = np.abs(K - K.swapaxes(-1, -2))
    if (lopsided > 1e-12 * np.abs(K).max(axis=(-2, -1), keepdims=True)).any():
        raise InvalidInput(
            f"covariance is not symmetric: entries differ from their mirror images by up to {lopsided.max():.3g}; "
            "allowed: symmetric positive semi-definite matrices"
        )
    if (np.diagonal(K, axis1=-2, axis2=-1) < 0).any():
        raise InvalidInput(
            f"covariance has a variance of {np.diagonal(K, axis1=-2, axis2=-1).min():g}; allowed: from 0"
        )
    return K


def on_double(known: Integrand, K: Array, rtol: float = 1e-10) -> Estimate:
    """The average at covariances (..., d, d): in closed form where these are few, else by quadrature."""
    delta, closed = _delta(known), None
    if K[..., 0, 0].size <= FEW or delta:
        closed = known.closed()
        found = None if closed is None else closed_to_digits(closed, known.labels, K)
        if found is not None:
            return found
    if delta and closed is not None:
        raise NotIntegrable(
            f"integrand={known.expr}: the average of {delta}, a delta function, diverges where variables are parallel or have "
            "no variance; allowed: covariances with an inverse"
        )
    if delta:
        _check_deltas(known, delta, K)
    if len(known.labels) > MOST:
        raise NotAvailable(
            f"integrand={known.expr} has {len(known.labels)} variables and no closed form; allowed: up to {MOST} variables"
        )
    return _by_quadrature(_of_products(known), K, rtol)


def on_quadrature(known: Integrand, in_front: tuple[int, ...], K: Array, rtol: float = 1e-10) -> Estimate:
    """The average with derivatives in front, by each variable."""
    total = _of_products(known)
    derivatives = tuple(tuple(map(add, by, in_front)) for by in total.derivatives)
    return _by_quadrature(replace(total, derivatives=derivatives), K, rtol)


def _digits(known: Integrand, covariance: Any, K: Array, digits: int) -> Estimate:
    if K.ndim != 2:
        raise InvalidInput(
            f"covariance has shape {np.shape(covariance)}; precision='mp' takes one covariance at a time; allowed: a number "
            "for one variable, a (d, d) matrix for d"
        )
    given = np.array(covariance, dtype=object).reshape(K.shape)
    closed = known.closed()
    found = None if closed is None else closed_to_digits(closed, known.labels, given, digits)
    if found is not None:
        return found
    if len(known.labels) > 2:
        raise NotAvailable(
            f"integrand={known.expr} has no closed form with precision='mp'; allowed: one or two variables"
        )
    even = tuple(p for p in known.products if not p.odd)
    if not even:
        return Estimate(mpf(0), mpf(0))
    known = replace(known, products=even)
    if delta := _delta(known):
        _check_deltas(known, delta, K)
        known = without_derivatives(known, given)
    return average_to_digits(known, given, digits)


def _check_deltas(known: Integrand, delta: str, K: Array) -> None:
    """Raise where delta functions do not become derivatives in front of the average, or where the Gaussian has no density."""
    if len(known.labels) > 2 or known.regular() is None:
        raise NotAvailable(
            f"integrand={known.expr} holds {delta}, a delta function, and has no closed form; allowed: one or two variables, where "
            "all that it is multiplied by is continuous there, with as many derivatives as the delta function has"
        )
    if (np.linalg.det(K) <= PARALLEL * np.prod(np.diagonal(K, axis1=-2, axis2=-1), axis=-1)).any():
        raise NotAvailable(
            f"integrand={known.expr} holds {delta}, a delta function, and has no closed form; allowed: variables that are not "
            "parallel, and have a variance"
        )


def _delta(known: Integrand) -> str:
    """A factor with delta functions, as text; empty if there is none."""
    for p in known.products:
        for label, (act, order) in p.factors:
            if singular(act, order):
                return f"{act.name}{chr(39) * order}({label})"
    return ""


@dataclass(frozen=True, eq=False)
class Sum:
    """An integrand as quadrature takes it: functions by number, kinks, and a sum of products of functions at each site."""

    sigma: Callable[[Array, int], list[Array]]
    kinks: tuple[float, ...]
    constants: Array
    products: tuple[tuple[tuple[int, ...], ...], ...]
    derivatives: tuple[tuple[int, ...], ...]  #: how often by each variable, in front of each average


def _of_functions(functions: tuple[Callable[[Array], Array], ...], kinks: Sequence[float]) -> Sum:
    def sigma(x: Array, highest: int) -> list[Array]:
        return [np.asarray(f(x)) for f in functions[: highest + 1]]

    one = tuple((i,) for i in range(len(functions)))
    return Sum(sigma, tuple(float(k) for k in kinks), np.ones(1), (one,), ((0,) * len(functions),))


@lru_cache(maxsize=64)
def _of_products(known: Integrand) -> Sum:
    regular = known.regular()
    assert regular is not None
    factors = sorted({f for p, _ in regular for _, f in p.factors}, key=lambda f: (f[0].name, f[1]))
    functions = [_numeric(f) for f in factors]
    kinks = sorted({float(k) for act, _ in factors for k in act.kinks})
    products = tuple(tuple(tuple(factors.index(f) for f in p.at(label)) for label in known.labels) for p, _ in regular)
    constants = np.array([float(p.constant) for p, _ in regular])
    derivatives = tuple(by for _, by in regular)
    return Sum(
        lambda x, highest: [f(x) for f in functions[: highest + 1]], tuple(kinks), constants, products, derivatives
    )


def _numeric(factor: Factor) -> Callable[[Array], Array]:
    act, order = factor
    f = array_function(z, act.derivative(order))
    return lambda x: np.broadcast_to(np.asarray(f(x), dtype=np.float64), np.shape(x))


def _by_quadrature(total: Sum, K: Array, rtol: float) -> Estimate:
    shape, d = K.shape[:-2], K.shape[-1]
    terms = list(zip(total.products, total.derivatives, strict=True))
    with refused():
        values, errors = gaussian_averages(total.sigma, K.reshape(-1, d, d), terms, kinks=total.kinks, rtol=rtol)
    value, error = total.constants @ values, np.abs(total.constants) @ errors
    if not np.isfinite(value).all():
        raise NotConverged("the average leaves double precision; allowed: smaller variances, or precision='mp'")
    return Estimate(*((v.reshape(shape) if shape else float(v[0])) for v in (value, error)))
