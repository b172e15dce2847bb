r"""Asymptotic series in a small variable x with logarithms, and the linear recursions along an orbit x' = F(x) that they solve.

A series is :math:`\sum c_{ej}\,x^e\log^jx` up to :math:`O(x^{\rm order})`. Along the orbit of :math:`x'=F(x)=x(1+\alpha x^s+\dots)`
every depth dependence is a function of x, so that layer numbers never occur:

.. math:: X(F(x)) = a(x)\,X(x) + f(x),\qquad a = 1 + a_sx^s + \dots

is solved order by order. A term :math:`x^e\log^jx` of X puts
:math:`(e\alpha-a_s)\,x^{e+s}\log^jx+j\alpha\,x^{e+s}\log^{j-1}x` on the left, and terms of higher order. So the largest term
:math:`c\,x^{e+s}\log^jx` of the rest of f fixes a term of X: :math:`c/(e\alpha-a_s)\;x^e\log^jx`, or at the *resonance*
:math:`e=a_s/\alpha`, where the homogeneous solution begins, :math:`c/((j+1)\alpha)\;x^e\log^{j+1}x`. The amplitude of the
homogeneous solution is not determined by the recursion: it depends on the first layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar, cast

import sympy as sp

from ..language.errors import NotAvailable

#: Exponent of x, power of log x.
Key = tuple[sp.Expr, int]


@dataclass(frozen=True)
class Series:
    r""":math:`\sum c_{ej}x^e\log^jx+O(x^{\rm order})`; the coefficients are elements of any ring."""

    terms: Mapping[Key, Any]
    order: sp.Expr

    @staticmethod
    def of(terms: Iterable[tuple[Key, Any]], order: sp.Expr) -> Series:
        """Like terms added, zeros and terms beyond the order dropped."""
        total: dict[Key, Any] = {}
        for key, c in terms:
            if key[0] < order:
                total[key] = total[key] + c if key in total else c
        return Series({key: c for key, c in total.items() if c != 0}, order)

    @property
    def lead(self) -> sp.Expr:
        """The smallest exponent; the order, if nothing is known to be there."""
        return min((e for e, _ in self.terms), default=self.order)

    @property
    def leading(self) -> tuple[Key, Any] | None:
        """The largest term: the smallest exponent, with most logarithms."""
        if not self.terms:
            return None
        key = min(self.terms, key=lambda k: (k[0], -k[1]))
        return key, self.terms[key]

    def __add__(self, other: Series) -> Series:
        return Series.of([*self.terms.items(), *other.terms.items()], min(self.order, other.order))

    def scaled(self, factor: Any) -> Series:
        """Times an element of the ring."""
        return Series.of([(key, factor * c) for key, c in self.terms.items()], self.order)

    def __sub__(self, other: Series) -> Series:
        return self + other.scaled(-1)

    def __mul__(self, other: Series) -> Series:
        order = min(self.order + other.lead, other.order + self.lead)
        products = (
            ((e + f, i + j), c * d)
            for (e, i), c in self.terms.items()
            for (f, j), d in other.terms.items()
            if e + f < order
        )
        return Series.of(products, order)

    def shifted(self, exponent: sp.Expr) -> Series:
        """Times x^exponent."""
        return Series({(e + exponent, j): c for (e, j), c in self.terms.items()}, self.order + exponent)


Method = TypeVar("Method", bound=Callable[..., Any])


def _kept(method: Method) -> Method:
    """A method whose results are kept in its object, and go with it."""

    @wraps(method)
    def call(self: Any, *arguments: Any) -> Any:
        found = self.__dict__.setdefault(f"{method.__name__} of", {})
        if arguments not in found:
            found[arguments] = method(self, *arguments)
        return found[arguments]

    return cast(Method, call)


@dataclass(frozen=True, eq=False)
class Orbit:
    r"""The substitution :math:`x\to x(1+u)` in a series, and the recursions along it; ``one`` is the unit of the ring."""

    u: Series
    one: Any

    @cached_property
    def rate(self) -> tuple[sp.Expr, Any]:
        r"""The numbers s and alpha of :math:`F=x(1+\alpha x^s+\dots)`."""
        leading = self.u.leading
        assert leading is not None
        assert leading[0][1] == 0  # F has no logarithms
        return leading[0][0], leading[1]

    def constant(self, value: Any, order: sp.Expr | None = None) -> Series:
        """A number as a series."""
        return Series.of([((sp.S.Zero, 0), value)], self.u.order if order is None else order)

    @_kept
    def _power(self, m: int) -> Series:
        return self.constant(self.one) if m == 0 else self._power(m - 1) * self.u

    @_kept
    def to_power(self, e: sp.Expr) -> Series:
        """(1 + u)^e, by the binomial series."""
        total, factor, m = self.constant(self.one), self.one, 0
        while m * self.u.lead < self.u.order:
            m += 1
            factor = factor * (e - m + 1) / m
            if factor == 0:
                break
            total += self._power(m).scaled(factor)
        return total

    @_kept
    def _log(self, power: int) -> Series:
        """log(1 + u)^power."""
        if power == 0:
            return self.constant(self.one)
        if power > 1:
            return self._log(power - 1) * self._log(1)
        total, m = self.constant(0 * self.one), 0
        while m * self.u.lead < self.u.order:
            m += 1
            total += self._power(m).scaled(self.one * sp.Rational((-1) ** (m + 1), m))
        return total

    @_kept
    def monomial(self, e: sp.Expr, j: int) -> Series:
        r""":math:`x^e\log^jx` at :math:`x(1+u)`, divided by :math:`x^e`."""
        total = self.constant(0 * self.one)
        for i in range(j + 1):
            logs = Series.of([((sp.S.Zero, j - i), self.one * sp.binomial(j, i))], self.u.order)
            total += logs * self._log(i)
        return total * self.to_power(e)

    def __call__(self, series: Series) -> Series:
        """The series at x(1 + u)."""
        order = min(series.order, series.lead + self.u.order)
        total = Series({}, order)
        for (e, j), c in series.terms.items():
            total += self.monomial(e, j).shifted(e).scaled(c)
        return Series.of(total.terms.items(), order)

    def residual(self, a: Series, e: sp.Expr, j: int) -> Series:
        r""":math:`X(F(x))-a(x)X(x)` for :math:`X=x^e\log^jx`."""
        logs = Series({(sp.S.Zero, j): self.one}, a.order)
        return (self.monomial(e, j) - a * logs).shifted(e)


@dataclass(frozen=True)
class Solution:
    """A solution of a linear recursion along an orbit, with its forcing, exponent and resonance."""

    series: Series
    forcing: Series
    a_s: Any
    p: sp.Expr  #: the exponent of the homogeneous solution in x
    resonant: bool  #: whether the forcing hits p, so that a logarithm appears


def solve(orbit: Orbit, a: Series, f: Series, amplitude: Any) -> Solution:
    r"""X of :math:`X(F(x))=a(x)X(x)+f(x)`, with ``amplitude`` in front of the homogeneous solution."""
    s, alpha = orbit.rate
    kept = a.terms.get((sp.S.Zero, 0), 0 * orbit.one)
    if kept != orbit.one:
        return _forgetful(orbit, a, f, kept)
    if any(e < s and (e, j) != (0, 0) for e, j in a.terms):
        raise NotAvailable(
            f"a quantity is multiplied by {dict(a.terms)} in each layer, which is not 1 + O(x^{s}): it grows or decays faster "
            "than any power of the depth; allowed: critical C_W and C_b, where power laws hold"
        )
    a_s = a.terms.get((s, 0), 0 * orbit.one)
    p = exponent(quotient(a_s, alpha))
    terms: dict[Key, Any] = {}
    rest, resonant = f, False
    if p + s < f.order:
        terms[p, 0] = amplitude
        rest = rest - orbit.residual(a, p, 0).scaled(amplitude)
    while (leading := rest.leading) is not None:
        (e, j), c = leading
        e = e - s
        if e == p:
            resonant, j, slope = True, j + 1, (j + 1) * alpha
        else:
            slope = e * alpha - a_s
        c = quotient(c, slope)
        terms[e, j] = terms[e, j] + c if (e, j) in terms else c
        rest = rest - orbit.residual(a, e, j).scaled(c)
    return Solution(Series.of(terms.items(), rest.order - s), f, a_s, p, resonant)


def _forgetful(orbit: Orbit, a: Series, f: Series, kept: Any) -> Solution:
    """a(0) is not 1: the values of the first layers die out exponentially, and X follows f / (1 - a)."""
    size = sp.sympify(kept.as_expr())
    if not (size.is_number and abs(size) < 1):
        raise NotAvailable(
            f"a quantity is multiplied by {size} in each layer: it grows exponentially; allowed: critical C_W and C_b, where "
            "power laws hold"
        )
    terms: dict[Key, Any] = {}
    rest = f
    while (leading := rest.leading) is not None:
        (e, j), c = leading
        terms[e, j] = quotient(c, 1 - kept)
        rest = rest - orbit.residual(a, e, j).scaled(terms[e, j])
    return Solution(Series.of(terms.items(), rest.order), f, 0 * orbit.one, sp.oo, False)


def quotient(c: Any, number: Any) -> Any:
    """An element of a polynomial ring over a field, divided by one without generators."""
    return c.quo_ground(number.LC) if number.is_ground else c.exquo(number)


def exponent(element: Any) -> sp.Expr:
    """An element of the ring as an exponent, which has to be a number to be compared with others."""
    value = sp.nsimplify(sp.simplify(element.as_expr()))
    if not value.is_number:
        raise NotAvailable(f"the exponent {value} depends on a symbol; allowed: a number for the symbol")
    return value
