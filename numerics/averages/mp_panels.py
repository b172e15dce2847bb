r"""Gaussian averages of one and two variables to any number of digits, by quadrature in mpmath.

Two variables: the plane is cut into rectangles at the kinks of both, so that the functions are needed on two lines only, and the
density on the grid. Where the density is too narrow for that, the average is a nested integral over standard normal u and v, with
:math:`z_1=au,\ z_2=bu+sv`. Panels double with the distance from narrow features: kinks, their smoothed images, and the origin,
around which activations vary. On such panels a Gauss-Legendre rule gains a fixed number of digits with each node, whatever the
scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from mpmath import mp, mpf

from ...theory.averages.integrands import Integrand
from ...theory.language.errors import NotConverged
from ...theory.language.symbols import z
from ..runs.estimate import Estimate
from .to_digits import SPARE, within

#: Gauss-Legendre nodes of a panel, for each digit and a few more; the first two resolutions mostly agree.
NODES, MORE = (0.75, 1.0, 1.5, 2.2), 4
#: The longest panel in units of the width of the density, and the most nodes along one side of a grid.
LONGEST, MOST = 6, 6000


@dataclass(frozen=True)
class Rule:
    """Nodes of a panel, and standard deviations that the panels cover."""

    nodes: int
    reach: Any


def average_to_digits(known: Integrand, K: Any, digits: int) -> Estimate:
    """The average of a function of one or two variables by nested Gauss-Legendre panels; the error from two resolutions."""
    with mp.workdps(digits + SPARE):
        entries = within(K)
        found = _agreed((_on_panels(known, entries, math.ceil(n * (digits + MORE))) for n in NODES), digits)
    if found is None:
        raise NotConverged(f"the average of {known.expr} did not settle to digits={digits}; allowed: fewer")
    return found


def _agreed(values: Iterator[Any], digits: int) -> Estimate | None:
    """The value of the first resolution that agrees with the one before."""
    before: Any = None
    for value in values:
        if before is not None:
            error, smallest = abs(value - before), mpf(10) ** (-2 * digits)
            if error <= max(mpf(10) ** -digits * abs(value), smallest):
                # Of a value below 10^(-2 digits) only its smallness is known, not that it is zero.
                return Estimate(+value, error + abs(value) * mpf(10) ** (1 - digits) if value else smallest)
        before = value
    return None


def _on_panels(known: Integrand, entries: Sequence[Any], nodes: int) -> Any:
    if len(entries) == 1:
        return _one(known, entries[0], Rule(nodes, _reach(known, entries)))
    K_aa, K_ab, K_bb = entries
    rule = Rule(nodes, _reach(known, (K_aa, K_bb)))
    found = _grid(known, K_aa, K_ab, K_bb, rule)
    return _two(known, K_aa, K_ab, K_bb, rule) if found is None else found


def _reach(known: Integrand, variances: Sequence[Any]) -> Any:
    """Standard deviations beyond which density times function is negligible beside its maximum."""
    # The largest products are those of d parallel variables: |f|^d under the density of one variable.
    d, least, negligible = len(variances), mpmath.sqrt(2 * mp.dps * mpmath.log(10)), mp.dps * mpmath.log(10)
    reach = mpf(0)
    for variance, label in zip(variances, known.labels, strict=True):
        # A function may vanish up to a kink and grow beyond it: the search goes past the kinks.
        kinks = (abs(k) / mpmath.sqrt(variance) for k in _kinks(known) if variance != 0)
        seen = max([least, *(k for k in kinks if k < 4 * least)])
        for _, (f,) in _terms(known, (label,)):
            for sign in (1, -1):
                u, highest, step = mpf(0), -mpmath.inf, least / 32
                while True:
                    size = abs(f(sign * mpmath.sqrt(variance) * u))
                    height = (d * mpmath.log(size) if size else -mpmath.inf) - u * u / 2
                    highest = max(highest, height)
                    if u > seen and (size == 0 or height < highest - negligible):
                        break
                    u += step
                reach = max(reach, u)
    return reach


def _grid(known: Integrand, K_aa: Any, K_ab: Any, K_bb: Any, rule: Rule) -> Any:
    """The average over rectangles in the plane of z_1 and z_2; None where the density is too narrow."""
    det = K_aa * K_bb - K_ab**2
    if det <= 0:
        return None
    longest = LONGEST * mpmath.sqrt(det / max(K_aa, K_bb))
    if max(K_aa, K_bb) * rule.reach**2 > (MOST / rule.nodes * longest) ** 2:
        return None
    centres = [mpf(0), *_kinks(known)]
    ends = [_edges(rule.reach * mpmath.sqrt(k), centres, [mpf(1)] * len(centres), longest) for k in (K_aa, K_bb)]
    if max(map(len, ends)) * rule.nodes > MOST:
        return None
    points, coupling, total = _legendre(rule.nodes, mp.prec), K_ab / det, mpf(0)
    panels = [((low + high) / 2, (high - low) / 2) for low, high in pairwise(ends[1])]
    terms = _terms(known, known.labels)
    columns = [[_column(g, m, h, points, K_aa / det) for m, h in panels] for _, (_, g) in terms]
    for x, w in _points(ends[0], rule.nodes):
        # exp(K_ab x y / det) at y = m + h t: few different h, so that few exponentials are computed
        waves = {h: [mpmath.exp(coupling * x * h * t) for t, _ in points] for h in {h for _, h in panels}}
        shifts = [mpmath.exp(coupling * x * m) for m, _ in panels]
        w *= mpmath.exp(-x * x * K_bb / (2 * det))
        for (c, (f, _)), column in zip(terms, columns, strict=True):
            sums = (e * mpmath.fdot(waves[h], part) for e, (_, h), part in zip(shifts, panels, column, strict=True))
            total += w * c * f(x) * mpmath.fsum(sums)
    return total / (2 * mpmath.pi * mpmath.sqrt(det))


def _column(g: Callable[[Any], Any], middle: Any, half: Any, points: Any, curvature: Any) -> list[Any]:
    """The function times the Gaussian and the weights, at the nodes of a panel."""
    ys = [(middle + half * t, half * w) for t, w in points]
    return [w * g(y) * mpmath.exp(-y * y * curvature / 2) for y, w in ys]


def _integral(f: Callable[[Any], Any], centres: Sequence[Any], scales: Sequence[Any], rule: Rule) -> Any:
    """The average of f over a standard normal variable."""
    points = _points(_edges(rule.reach, centres, scales, mpf(LONGEST)), rule.nodes)
    return mpmath.fsum(w * f(x) * mpmath.npdf(x) for x, w in points)


def _edges(R: Any, centres: Sequence[Any], scales: Sequence[Any], longest: Any) -> list[Any]:
    """The ends of panels between -R and R that double from each centre outwards, and are nowhere longer than that."""
    # Powers of two: then many panels have exactly the same length.
    longest = mpf(2) ** int(mpmath.floor(mpmath.log(longest, 2)))
    count = int(R / longest) + 1
    R = count * longest
    exact = {-R, R, *(c for c in centres if abs(c) < R)}
    others = {i * longest for i in range(1 - count, count)}
    for centre, scale in zip(centres, scales, strict=True):
        offset = mpf(2) ** int(mpmath.floor(mpmath.log(scale, 2)))
        while offset < abs(centre) + R:
            others |= {c for c in (centre - offset, centre + offset) if abs(c) < R}
            offset *= 2
    edges = sorted(exact)
    for edge in sorted(others):  # those of different centres that nearly coincide are one
        near = min(abs(edge - e) for e in edges)
        if near > min(min(s + abs(edge - c), longest) / 4 for c, s in zip(centres, scales, strict=True)):
            edges.append(edge)
    return sorted(edges)


def _points(edges: Sequence[Any], nodes: int) -> list[tuple[Any, Any]]:
    """Nodes and weights of Gauss-Legendre rules on all panels."""
    rule = _legendre(nodes, mp.prec)
    found = []
    for low, high in pairwise(edges):
        half, middle = (high - low) / 2, (high + low) / 2
        found += [(middle + half * x, half * w) for x, w in rule]
    return found


@lru_cache(maxsize=16)
def _legendre(count: int, precision: int) -> tuple[tuple[Any, Any], ...]:
    """Gauss-Legendre nodes and weights, by Newton's method from those in double precision."""
    found = []
    with mp.workprec(precision + 10):
        for x in np.polynomial.legendre.leggauss(count)[0]:
            root = mpf(float(x))
            for _ in range(max(1, math.ceil(math.log2(precision / 40)))):
                p, slope = _polynomial(count, root)
                root -= p / slope
            found.append((root, 2 / ((1 - root**2) * _polynomial(count, root)[1] ** 2)))
    return tuple(found)


def _polynomial(n: int, x: Any) -> tuple[Any, Any]:
    """P_n(x) and its derivative."""
    before, now = mpf(1), x
    for k in range(1, n):
        before, now = now, ((2 * k + 1) * x * now - k * before) / (k + 1)
    return now, n * (x * now - before) / (x * x - 1)


def _one(known: Integrand, variance: Any, rule: Rule) -> Any:
    a, centres = mpmath.sqrt(variance), [mpf(0), *_kinks(known)]
    terms = _terms(known, known.labels)
    if a == 0:
        return mpmath.fsum(c * f(mpf(0)) for c, (f,) in terms)

    def whole(u: Any) -> Any:
        return mpmath.fsum(c * f(a * u) for c, (f,) in terms)

    return _integral(whole, [k / a for k in centres], [1 / a] * len(centres), rule)


def _two(known: Integrand, K_aa: Any, K_ab: Any, K_bb: Any, rule: Rule) -> Any:
    labels = known.labels
    if K_aa == 0:  # the first variable is fixed: the other one becomes the outer variable
        K_aa, K_bb, labels = K_bb, K_aa, labels[::-1]
    terms, centres, a = _terms(known, labels), [mpf(0), *_kinks(known)], mpmath.sqrt(K_aa)
    if a == 0:
        return mpmath.fsum(c * f(mpf(0)) * g(mpf(0)) for c, (f, g) in terms)
    b = K_ab / a
    s = mpmath.sqrt(max(K_bb - b * b, mpf(0)))
    if s <= mpf(10) ** (-mp.dps // 2) * mpmath.sqrt(K_bb):  # one variable is a multiple of the other
        s = mpf(0)

    def inner(g: Callable[[Any], Any], mean: Any) -> Any:
        if s == 0:
            return g(mean)
        return _integral(lambda v: g(mean + s * v), [(k - mean) / s for k in centres], [1 / s] * len(centres), rule)

    def whole(u: Any) -> Any:
        return mpmath.fsum(c * f(a * u) * inner(g, b * u) for c, (f, g) in terms)

    steps, scales = [k / a for k in centres], [1 / a] * len(centres)
    if b != 0:  # the inner average varies around u = k/b, over the width s/b
        width = max(s, mpf(1)) if len(centres) == 1 or s == 0 else s
        steps, scales = steps + [k / b for k in centres], scales + [width / abs(b)] * len(centres)
    return _integral(whole, steps, scales, rule)


def _terms(known: Integrand, labels: tuple[str, ...]) -> list[tuple[Any, tuple[Callable[[Any], Any], ...]]]:
    """The constant of each product, and its function of each variable."""
    terms = []
    for p in known.products:
        sites = (sp.Mul(*(act.derivative(k) for act, k in p.at(label))) for label in labels)
        terms.append((mpmath.mpmathify(p.constant.evalf(mp.dps)), tuple(sp.lambdify(z, g, "mpmath") for g in sites)))
    return terms


def _kinks(known: Integrand) -> list[Any]:
    found = {k for p in known.products for _, (act, _) in p.factors for k in act.kinks}
    return [mpmath.mpmathify(sp.sympify(k).evalf(mp.dps)) for k in sorted(found, key=float)]
