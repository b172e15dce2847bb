r"""The central object: order parameters, the site whose averages they are, and the two equations that follow.

A network of wide layers, at initialisation or in training, is a *mean-field system*: N independent sites :math:`x_j` drawn from
:math:`p(x\,|\,q)`, and order parameters :math:`q_A=\frac1N\sum_jf_A(x_j;q)`. A large number of sites gives the saddle point, and
the linear response of the averages to their own fluctuation gives the fluctuation:

.. math::
    q=F(q)=\langle f\rangle_q,\qquad N\,\mathrm{Cov}(q,q)=(1-J)^{-1}\,S\,(1-J)^{-\top},\qquad
    J_{Ac}=\frac{\partial F_A}{\partial q_c},\quad S_{AB}=\langle f_Af_B\rangle-\langle f_A\rangle\langle f_B\rangle.

A site is a function of Gaussian sources x whose covariances C are linear in q, so that J is Price's theorem and the chain rule,

.. math::
    \frac{\partial\langle f\rangle}{\partial q_c}=\Bigl\langle\frac{\partial f}{\partial q_c}\Bigr\rangle
        +\frac12\sum_{xy}\langle\partial_x\partial_yf\rangle\,\frac{\partial C_{xy}}{\partial q_c}.

Both equations stand here once. An instance says what is averaged (``function``), how averages over its sources are taken and
differentiated (``moment``), and which order parameters they may answer to (``answers``); its ``structure`` says in which order
the equations are solved.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations_with_replacement, product
from math import factorial
from typing import Any, Generic, TypeVar

import sympy as sp
from sympy.utilities.iterables import multiset_partitions

from ..language.equations import equal
from ..language.symbols import Letter

A = TypeVar("A")

#: The average of a function over the site, differentiated by order parameters: (function, by) -> expression.
Moment = Callable[[sp.Expr, tuple[Any, ...]], sp.Expr]


class Structure(StrEnum):
    """In which order the saddle point is found, which is also the shape of J."""

    TRIANGULAR = "triangular"  #: layer after layer: J leads from each layer to those above alone
    CAUSAL = "causal"  #: time after time: J leads from each time to the same time, one way round, and to later ones
    IMPLICIT = "implicit"  #: J has no order: a fixed point has to be iterated


@dataclass(frozen=True)
class Order:
    """An order parameter that an instance names: a site average at some places, at all layers from ``first`` to ``final``."""

    name: str
    places: tuple[Any, ...]  #: what the average is taken at: samples, outputs, times, or jets
    first: sp.Expr
    final: sp.Expr


class MeanField(ABC, Generic[A]):
    r"""A mean-field system; ``A`` is the type of a label of its order parameters.

    Equation
        :math:`F_A=\langle f_A\rangle_q` (``mean``), :math:`J_{Ac}` (``response``), :math:`S_{AB}` (``noise``), and
        :math:`N\,\mathrm{Cov}(q,q)` by ``fluctuation``.
    Shapes
        ``response``: the order parameters c with a J that does not vanish, and that J; ``derivatives`` the same at any order.
    Units
        S and N Cov multiply 1/N.
    Valid
        Independent sites; Gaussian sources with covariances linear in q.
    Errors
        Those of the instance.
    Source
        Law of large numbers and central limit theorem of the sites; Price (1958).
    """

    structure: Structure

    @abstractmethod
    def function(self, order: A) -> sp.Expr:
        """The function f_A of the site's sources (and of order parameters) whose average the order parameter is."""

    @abstractmethod
    def moment(self, function: sp.Expr, by: tuple[A, ...] = ()) -> sp.Expr:
        """The average of a function over the site, differentiated by order parameters."""

    @abstractmethod
    def answers(self, orders: tuple[A, ...], count: int) -> Iterable[tuple[A, ...]]:
        """Sets of ``count`` order parameters by which a cumulant of the functions of ``orders`` may have a derivative."""

    def constant(self, order: A) -> sp.Expr:
        """A part of the order parameter that is no average."""
        return sp.S.Zero

    def mean(self, order: A) -> sp.Expr:
        """F_A: the order parameter at infinite width."""
        return self.constant(order) + self.cumulant((order,))

    def cumulant(self, orders: tuple[A, ...], by: tuple[A, ...] = ()) -> sp.Expr:
        """The joint cumulant of the functions of one site, differentiated; without constants."""
        return connected([self.function(order) for order in orders], self.moment, by)

    def derivatives(self, orders: tuple[A, ...], count: int) -> dict[tuple[A, ...], sp.Expr]:
        """The derivatives of a cumulant by unordered sets of ``count`` order parameters; those that do not vanish."""
        if count == 0:
            return {(): self.cumulant(orders)}
        found = ((by, self.cumulant(orders, by)) for by in self.answers(orders, count))
        return {by: value for by, value in found if value != 0}

    def response(self, order: A) -> dict[A, sp.Expr]:
        """The entries of J_A that do not vanish."""
        return {c: value for (c,), value in self.derivatives((order,), 1).items()}

    def noise(self, first: A, second: A) -> sp.Expr:
        """S_AB: the covariance that the sites make afresh."""
        return self.cumulant((first, second))


def connected(functions: Sequence[sp.Expr], moment: Moment, by: tuple[Any, ...] = ()) -> sp.Expr:
    """The site's joint cumulant of functions, differentiated: each derivative acts on one of the averages of each product."""
    total = sp.Integer(0)
    for partition in multiset_partitions(list(range(len(functions)))):
        blocks = [sp.Mul(*(functions[i] for i in block)) for block in partition]
        weight = (-1) ** (len(blocks) - 1) * factorial(len(blocks) - 1)
        for places in product(range(len(blocks)), repeat=len(by)):
            total += weight * _product_of_moments(blocks, moment, by, places)
    return total


def _product_of_moments(blocks: list[sp.Expr], moment: Moment, by: tuple[Any, ...], places: tuple[int, ...]) -> sp.Expr:
    value = sp.Integer(1)
    for k, block in enumerate(blocks):
        value *= moment(block, tuple(c for c, place in zip(by, places, strict=True) if place == k))
        if value == 0:
            break
    return value


def by_chain_rule(
    average: Callable[[sp.Expr], sp.Expr],
    covariance: Callable[[sp.Expr, sp.Expr], sp.Expr],
    function: sp.Expr,
    by: tuple[sp.Expr, ...],
    sources: Sequence[sp.Expr],
) -> sp.Expr:
    """The average of a function of Gaussian sources, differentiated by order parameters: in it, and in the covariances."""
    if not by:
        return average(function)
    first, rest = by[0], by[1:]
    total = by_chain_rule(average, covariance, sp.diff(function, first), rest, sources)
    for x, y in combinations_with_replacement(sources, 2):
        weight = sp.diff(covariance(x, y), first)
        if weight != 0 and (second := sp.diff(function, x, y)) != 0:
            half = sp.Rational(1, 2 if x == y else 1)
            total += half * weight * by_chain_rule(average, covariance, second, rest, sources)
    return total


def fluctuation(J: sp.Matrix, S: sp.Matrix) -> sp.Matrix:
    """N Cov(q, q) from J and S, as matrices over the same order parameters."""
    inverse = (sp.eye(J.rows) - J).inv()
    return inverse * S * inverse.T


def statement() -> sp.Eq:
    """The equation of the fluctuations, for print."""
    left = Letter("N Cov(q, q)", r"N\,\mathrm{Cov}(q,q)")
    return equal(left, Letter("(1 - J)^-1 S (1 - J)^-T", r"(1-J)^{-1}\,S\,(1-J)^{-\top}"))
