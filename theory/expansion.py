r"""Orders of 1/n: the law of total cumulance and the Taylor expansion in the fluctuation of the order parameters.

With :math:`\varrho=n_\ell/n_{\ell-1}`, for every quantity alike,

.. math::
    q'_A = F_A,\qquad
    M'_{AB} = S_{AB} + \varrho\sum_{cd} J_{Ac}\,M_{cd}\,J_{Bd},\qquad
    q^{\{1\}\prime}_A = \varrho\Big[\sum_c J_{Ac}\,q^{\{1\}}_c + \tfrac12\sum_{cd} H_{Acd}\,M_{cd}\Big].

A cumulant vanishes when a direction occurs in it an odd number of times, since the directions are symmetric.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import sympy as sp

from .meanfield import MeanFieldSystem
from .quantities import Kind, Pair, Quantity, lookup
from .symbols import Entry, rho


@dataclass(frozen=True)
class Recursion:
    """One layer of a tensor entry: what is born in the layer, and the factor of each entry inherited from below."""

    left: Entry
    born: sp.Expr
    inherited: tuple[tuple[Entry, sp.Expr], ...]

    @property
    def terms(self) -> tuple[sp.Expr, ...]:
        """The summands in the order in which a page would show them."""
        born = (self.born,) if self.born != 0 else ()
        return born + tuple(factor * entry for entry, factor in self.inherited)

    @property
    def right(self) -> sp.Expr:
        """The right-hand side."""
        return sp.Add(*self.terms)

    def map(self, change: object) -> Recursion:
        """The recursion with a function applied to every part."""
        assert callable(change)
        inherited = tuple((entry, factor) for entry, f in self.inherited if (factor := change(f)) != 0)
        return Recursion(self.left, change(self.born), inherited)


def cumulant(kind: Kind, *pairs: Pair) -> Entry | None:
    """The tensor entry of the layer below that a cumulant is; None when it vanishes."""
    counts = Counter(d for pair in pairs for jet in pair for d in jet.directions)
    if any(n % 2 for n in counts.values()):
        return None
    entry = lookup(kind, pairs)
    if entry is None:
        raise NotImplementedError(f"the recursion needs the {kind} of {pairs}, for which no quantity is registered")
    return entry


def recursion(system: MeanFieldSystem, quantity: Quantity, labels: tuple[str, ...]) -> Recursion:
    """The recursion of one tensor entry, for samples called ``labels`` (which may coincide)."""
    pairs = quantity.at(labels)
    left = quantity.entry(labels, shift=1)
    if quantity.kind is Kind.MEAN:
        return Recursion(left, system.mean(*pairs), ())
    law = _covariance if quantity.kind is Kind.COVARIANCE else _correction
    return law(system, left, *pairs)


def _covariance(system: MeanFieldSystem, left: Entry, a: Pair, b: Pair) -> Recursion:
    # Law of total covariance. Given the layer below, different neurons are independent, so only the conditional
    # means q'_A, q'_B fluctuate: the noise of the n neurons (S) and the noise of q carried over by J.
    factors: defaultdict[Entry, sp.Expr] = defaultdict(lambda: sp.Integer(0))
    for c, J_c in system.jacobian(a).items():
        for d, J_d in system.jacobian(b).items():
            if (entry := cumulant(Kind.COVARIANCE, c, d)) is not None:
                factors[entry] += J_c * J_d
    return Recursion(left, system.source(a, b), _inherited(factors))


def _correction(system: MeanFieldSystem, left: Entry, a: Pair) -> Recursion:
    # E F(q) to first order: the shift of the mean of q through J, and its variance through half of H. The sum over
    # unordered (c, d) counts c != d once, so the half stays only for c == d.
    factors: defaultdict[Entry, sp.Expr] = defaultdict(lambda: sp.Integer(0))
    for c, J_c in system.jacobian(a).items():
        if (entry := cumulant(Kind.CORRECTION, c)) is not None:
            factors[entry] += J_c
    for (c, d), H_cd in system.hessian(a).items():
        if (entry := cumulant(Kind.COVARIANCE, c, d)) is not None:
            factors[entry] += H_cd * sp.Rational(1, 2 if c == d else 1)
    return Recursion(left, sp.Integer(0), _inherited(factors))


def _inherited(factors: dict[Entry, sp.Expr]) -> tuple[tuple[Entry, sp.Expr], ...]:
    return tuple((entry, rho * factor) for entry, factor in factors.items() if factor != 0)
