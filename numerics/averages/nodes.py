r"""The numbers of averages in equations: those that are left when numbers have been put in for their covariances."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from mpmath import mp
from numpy.typing import NDArray

from ...theory.averages.average import Average
from ...theory.averages.closed_forms import closed_form
from ...theory.averages.integrands import Integrand, SeparableProduct
from ...theory.averages.reading import read_integrand
from ...theory.averages.regularity import Factor, regular
from ...theory.language.errors import NotAvailable
from ...theory.language.jets import Jet, Sigma
from ...theory.language.values import fingerprint
from .by_parts import without_derivatives
from .gaussian import MOST, on_double, on_quadrature
from .mp_panels import average_to_digits
from .to_digits import closed_to_digits

Array = NDArray[np.float64]

#: The averages that generated functions of this process call by name.
_WRITTEN: dict[str, Average] = {}


def key(node: Average) -> str:
    """The name by which ``value`` finds an average again, whatever its covariance."""
    plain = node.general if node.activation is None else node.general.of(node.activation)
    name = fingerprint(plain)
    _WRITTEN[name] = plain
    return name


def value(name: str, *covariance: Any) -> Any:
    """The average called ``name`` at entries of its covariance: numbers and arrays, or numbers of mpmath to their precision."""
    node = _WRITTEN[name]
    if any(isinstance(c, mpmath.mpf) for c in covariance):
        return _to_digits(node, tuple(covariance), mp.dps)
    entries = np.broadcast_arrays(*(np.asarray(c, dtype=float) for c in covariance))
    d = len(node.sites)
    K = np.empty((*entries[0].shape, d, d))
    for (i, j), c in zip(combinations_with_replacement(range(d), 2), entries, strict=True):
        K[..., i, j] = K[..., j, i] = c
    total = np.zeros(entries[0].shape)
    for constant, part, sites in _parts(node):
        total = total + constant * _in_double(part, K[..., sites, :][..., :, sites])
    return total if total.shape else float(total)


def number(node: Average, prec: int) -> sp.Float:
    """The number that an average is, to a precision in bits."""
    digits = mpmath.libmp.prec_to_dps(prec)
    entries = tuple(sp.N(c, digits + 10) for c in node.args[3])
    with mp.workdps(digits + 10):
        numbers = tuple(mpmath.mpf(e._to_mpmath(mp.prec)) for e in entries)
    return sp.Float(_to_digits(node, numbers, digits), precision=prec)


def _to_digits(node: Average, covariance: tuple[Any, ...], digits: int) -> Any:
    pairs = dict(zip(combinations_with_replacement(range(len(node.sites)), 2), covariance, strict=True))
    with mp.workdps(digits + 10):
        total = mpmath.mpf(0)
        for constant, part, sites in _parts(node):
            K = [[pairs[min(i, j), max(i, j)] for j in sites] for i in sites]
            total += constant * _part_to_digits(part, np.array(K, dtype=object), digits + 2)
        return total


def _part_to_digits(node: Average, K: Any, digits: int) -> Any:
    known = _integrand(node)
    closed = _closed(node)
    found = None if closed is None else closed_to_digits(closed, known.labels, K, digits)
    if found is not None:
        return found.value
    if len(node.sites) > 2:
        raise NotAvailable(
            f"{node} couples {len(node.sites)} samples and has no closed form; allowed: up to two samples, or double precision by "
            "lambdify"
        )
    if node.derivatives:
        orders = tuple(node.derivatives.count(site) for site in node.sites)
        known = without_derivatives(known, K, orders)
    return average_to_digits(known, K, digits).value


def _in_double(node: Average, K: Array) -> Any:
    known, closed = _integrand(node), _closed(node)
    if closed is not None and (found := closed_to_digits(closed, known.labels, K)) is not None:
        return found.value
    if len(node.sites) > MOST:
        raise NotAvailable(f"{node} couples {len(node.sites)} samples; allowed: up to {MOST}, or a closed form")
    if not node.derivatives:
        return on_double(known, K).value
    return on_quadrature(known, tuple(node.derivatives.count(site) for site in node.sites), K).value


@lru_cache(maxsize=1024)
def _parts(node: Average) -> tuple[tuple[float, Average, list[int]], ...]:
    """An average as a sum of those that are integrated, with the places of their sites among its own."""
    return tuple(_summands(node))


def _summands(node: Average) -> Iterator[tuple[float, Average, list[int]]]:
    plain = node.general
    if node.activation is not None:
        plain = plain.of(node.activation)
    if _closed(plain) is not None:
        yield 1.0, plain, list(range(len(node.sites)))
        return
    act = node.activation
    expr = regular(plain.general, act) if act is not None and plain.kinked else plain.explicit()
    for term in sp.Add.make_args(expr):
        constant, part = term.as_independent(Average, as_Add=False)
        yield float(constant), part if act is None else part.general.of(act), [node.sites.index(s) for s in part.sites]


@lru_cache(maxsize=1024)
def _closed(node: Average) -> sp.Expr | None:
    """The closed form of an average of an activation, at the kernel K."""
    if node.activation is None:
        return None if node.derivatives else _integrand(node).closed()
    found = closed_form(node.general, node.activation)
    return None if found is None else found.xreplace(dict(zip(node.general.args[3], _entries(node), strict=True)))


def _entries(node: Average) -> tuple[sp.Expr, ...]:
    """The entries of K at the labels of the integrand."""
    labels = {site: Jet(label) for site, label in zip(node.sites, _labels(node), strict=True)}
    return tuple(node.general.xreplace(labels).general.args[3])


def _labels(node: Average) -> tuple[str, ...]:
    """Names of variables: samples may have none."""
    return tuple("abcdefgh"[: len(node.sites)])


@lru_cache(maxsize=1024)
def _integrand(node: Average) -> Integrand:
    """What is averaged, without the derivatives in front."""
    labels = dict(zip(node.sites, _labels(node), strict=True))
    if node.activation is None:
        return read_integrand(node.body.xreplace({s: sp.Symbol(label, real=True) for s, label in labels.items()}))
    factors: list[tuple[str, Factor]] = []
    for base, power in node.body.as_powers_dict().items():
        assert isinstance(base, Sigma)
        factors += [(labels[base.args[0]], (node.activation, base.order))] * int(power)
    one = (SeparableProduct(sp.S.One, tuple(sorted(factors, key=lambda f: (f[0], f[1][1])))),)
    return Integrand(node.body, _labels(node), one, one)
