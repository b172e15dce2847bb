r"""Gaussian averages as SymPy objects, with the two theorems that the engine uses.

*Price*: :math:`\partial\langle f\rangle_q/\partial q_{xy} = \langle\partial_x\partial_y f\rangle`, half of it for
:math:`x=y`. No inverse of q appears, so equal and parallel samples need no special case.

*Isserlis*: at infinite width two jets are correlated only if they have the same directions, so the average over the jets
is a sum over pairings, and averages of the preactivations alone remain.

The derivatives of Price's theorem stay an operator in front of the body, as in
:math:`\langle\partial_a^2(\sigma_a\sigma_b)\rangle`: :meth:`Average.explicit` carries them out. For a kinked activation
only the operator form is defined everywhere, because at :math:`z_a=z_b` the single terms of the product rule are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import sympy as sp

from ..language.jets import Jet
from .average import Average as Average
from .average import average as average
from .average import saddle as saddle


@lru_cache(maxsize=16384)
def isserlis(jets: tuple[Jet, ...]) -> sp.Expr:
    """The average of a product of jets with directions: the sum over pairings of products of covariances."""
    if not jets:
        return sp.Integer(1)
    first, rest = jets[0], jets[1:]
    return sp.Add(
        *(
            covariance * isserlis(rest[:k] + rest[k + 1 :])
            for k, second in enumerate(rest)
            if (covariance := saddle(first, second)) != 0
        )
    )


def expectation(expr: sp.Expr, derivatives: Iterable[Jet] = ()) -> sp.Expr:
    r"""The site average :math:`\langle\partial_x\cdots f\rangle` at infinite width of f, a polynomial in the jets.

    Derivatives by jets with directions are carried out (f is a polynomial in them), those by preactivations stay as operators.
    """
    derivatives = tuple(derivatives)
    on_jets = [jet for jet in derivatives if jet.directions]
    on_z = [jet for jet in derivatives if not jet.directions]
    expr = sp.expand(sp.diff(expr, *on_jets) if on_jets else expr)
    jets = sorted((jet for jet in expr.atoms(Jet) if jet.directions), key=lambda jet: jet.structure)
    if not jets:
        return average(expr, on_z)
    terms = []
    for powers, coefficient in sp.Poly(expr, *jets).terms():
        product = tuple(jet for jet, power in zip(jets, powers, strict=True) for _ in range(power))
        pairings = isserlis(product)
        if pairings != 0:
            terms.append(pairings * average(coefficient, on_z))
    return sp.Add(*terms)


@lru_cache(maxsize=16384)
def price(expr: sp.Expr, *pairs: tuple[Jet, ...]) -> sp.Expr:
    r""":math:`\langle f\rangle_q` differentiated by the order parameters :math:`q_{xy}` of all ``pairs`` (x, y)."""
    halves = sum(x == y for x, y in pairs)
    return sp.Rational(1, 2**halves) * expectation(expr, [jet for pair in pairs for jet in pair])
