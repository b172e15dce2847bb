r"""The recursions at a kernel that does not move, with chi_parallel = chi_perp = 1: polynomials in the layer number, exactly.

Every X' = a X + f has a = 1 there, and f is a polynomial in the layer number if the quantities in it are. So X is Faulhaber's sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from ..averages.gaussian import Average
from ..initialisation.derivation import Derivation
from ..language.errors import NotAvailable
from ..language.jets import Overlap
from ..language.quantities import Entry
from ..language.symbols import C_W, C_b, Parameter, ell
from ..meanfield.expansion import Recursion
from .depthlaw import kernel


@dataclass(frozen=True)
class Fixed:
    """The closed system at a fixed kernel; ``value`` writes an expression in averages for that kernel.

    With ``letters`` each coefficient of a polynomial that is not a number or a symbol gets a letter of its own, since written
    out in averages the coefficients of the later quantities would fill pages.
    """

    laws: Mapping[str, Derivation]
    value: Callable[[sp.Expr], sp.Expr]
    letters: bool = False

    def solve(self) -> tuple[dict[str, sp.Poly], dict[sp.Symbol, sp.Expr]]:
        """Each quantity as a polynomial in the layer number, its first layer included, and the values of the letters."""
        solved = {"K": sp.Poly(kernel, ell)}
        definitions: dict[sp.Symbol, sp.Expr] = {}
        for name, derivation in self.laws.items():
            if name != "K":
                overlap = {
                    node: (kernel - C_b) / C_W for node in derivation.first.rhs.atoms(Overlap) if len(node.labels) == 2
                }
                first = self.value(derivation.first.rhs.xreplace(overlap))
                solved[name] = self._named(name, self._sum(derivation.law, first, solved), definitions)
        return solved, definitions

    def _sum(self, law: Recursion, first: sp.Expr, solved: Mapping[str, sp.Poly]) -> sp.Poly:
        own = Entry(law.left.name, law.left.labels)
        right = law.right
        a = sp.simplify(self.value(sp.diff(right, own)))
        if a not in (0, 1):
            raise NotAvailable(
                f"{own} is multiplied by {a} in each layer, not by 1: its growth is exponential, not a power; "
                "allowed: quantities that are multiplied by 0 or 1"
            )
        f = right.xreplace({own: sp.S.Zero})
        others = {e: solved[e.name].as_expr() for e in f.atoms(Entry)}
        f = sp.Poly(self.value(f).xreplace(others), ell)
        if a == 0:  # nothing is inherited: the value of the layer below decides, from the second layer on
            return sp.Poly(f.as_expr().subs(ell, ell - 1), ell)
        # sum over i = 1 ... ell-1 of i^k = (B_(k+1)(ell) - B_(k+1)(1)) / (k + 1)
        faulhaber = lambda k: (sp.bernoulli(k + 1, ell) - sp.bernoulli(k + 1, 1)) / (k + 1)  # noqa: E731
        return sp.Poly(first + sum(c * faulhaber(k) for (k,), c in f.terms()), ell)

    def _named(self, name: str, poly: sp.Poly, definitions: dict[sp.Symbol, sp.Expr]) -> sp.Poly:
        terms: dict[tuple[int, ...], sp.Expr] = {}
        for (k,), c in poly.terms():
            coefficient = sp.factor_terms(sp.expand(c))
            if self.letters and not (coefficient.is_number or coefficient.is_Symbol):
                letter = Parameter(f"{name}_{k}", real=True)
                definitions[letter] = coefficient
                coefficient = letter
            terms[k,] = coefficient
        return sp.Poly.from_dict(terms, ell, domain="EX")


def relations(
    laws: Mapping[str, Derivation], parallel: sp.Expr, explicit: Callable[[sp.Expr], sp.Expr]
) -> Callable[[sp.Expr], sp.Expr]:
    r"""Averages at a critical K* > 0: three of them are replaced by the values that criticality gives.

    :math:`F(K^*)=K^*`, :math:`\partial\Theta'/\partial\Theta=1` and :math:`\partial K'/\partial K=1` (``parallel``) are linear in
    :math:`\langle\sigma^2\rangle,\ \langle\sigma'^2\rangle` and :math:`\langle\sigma\sigma''\rangle`, or in the operator forms.
    """
    K, Theta = (Entry(name, ("", "")) for name in ("K", "Theta"))
    write = lambda expr: explicit(expr).xreplace({K: kernel})  # noqa: E731
    known: dict[sp.Expr, sp.Expr] = {}
    for condition in (
        write(laws["K"].law.right) - kernel,
        write(sp.diff(laws["Theta"].law.right, Theta)) - 1,
        write(parallel) - 1,
    ):
        condition = condition.xreplace(known)
        (node,) = condition.atoms(Average)
        known[node] = sp.solve(condition, node)[0]
    return lambda expr: write(expr).xreplace(known)
