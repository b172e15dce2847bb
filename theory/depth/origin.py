r"""The recursions at a critical point K* = 0 as series in K, solved along the orbit of K itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy as sp
from sympy.polys.domains import EX, QQ
from sympy.polys.rings import PolyRing

from ..averages.gaussian import Average
from ..averages.taylor import ROOT, MomentSeries, Taylor
from ..initialisation.derivation import Derivation
from ..language.errors import NotAvailable
from ..language.quantities import Entry
from ..language.symbols import C_W, C_b, lambda_b, lambda_W
from ..meanfield.expansion import Recursion
from .depthlaw import SHIFT, amplitude
from .series import Orbit, Series, Solution, quotient, solve

ONE, ZERO = sp.S.One, sp.S.Zero


@dataclass(eq=False)
class Origin:
    r"""The closed system around K* = 0: ``law`` of each name in an order in which they can be solved.

    The averages are known below :math:`K^{\rm order}`. C_W takes its critical value: the one at which
    :math:`F(K)=K+O(K^{1+s})`.
    """

    laws: Mapping[str, Derivation]
    data: Taylor
    order: sp.Expr
    zero: frozenset[sp.Symbol] = frozenset()  #: learning rates that are zero
    solved: dict[str, Solution] = field(default_factory=dict)

    @cached_property
    def ring(self) -> Any:
        """Polynomials in the learning rates and amplitudes over a field that holds all numbers of the problem."""
        right, left = self.data.sides(2 * int(self.order) + 4)
        symbols = {s for n in (*right, *left) for s in n.free_symbols} | {ROOT for _ in "q" if right != left}
        for law in self.laws.values():
            symbols |= {s for s in law.law.right.free_symbols if isinstance(s, sp.Symbol)}
        symbols -= {C_W, C_b, lambda_W, lambda_b}
        field = QQ.frac_field(*sorted(symbols, key=str)) if symbols else QQ
        domain = field if all(map(_rational, (*right, *left))) else EX
        amplitudes = [amplitude(name) for name in self.laws]
        return PolyRing([lambda_b, lambda_W, SHIFT, *amplitudes], domain)

    @cached_property
    def moments(self) -> MomentSeries:
        """The averages of this activation."""
        return MomentSeries(self.data, self.ring.domain)

    def number(self, value: sp.Expr) -> Any:
        """A SymPy number or symbol as an element of the ring."""
        return self.ring.from_expr(sp.sympify(value))

    # ------------------------------------------------------------------ the orbit of K

    @cached_property
    def critical_weight(self) -> Any:
        r"""C_W with :math:`F(K)=K+\dots`: F is linear in C_W."""
        law = self.laws["K"].law.right
        at = [self._evaluate(law, {C_W: self.ring(c)}).terms for c in (0, 1)]
        if any(e < 1 and (e, j) in terms for terms in at for e, j in terms):
            raise NotAvailable(
                "sigma(0) is not zero: K = 0 is no fixed point with C_b = 0; allowed: activations with sigma(0) = 0"
            )
        zero, one = (terms.get((ONE, 0), self.ring.zero) for terms in at)
        if one == zero:
            raise NotAvailable(
                "sigma'(0) = 0: <sigma^2> has no term linear in K, and no C_W makes K* = 0 critical; "
                "allowed: activations with a slope at 0, on one side at least"
            )
        return quotient(1 - zero, one - zero)

    @cached_property
    def orbit(self) -> Orbit:
        """K' = K (1 + u)."""
        F = self.evaluate(self.laws["K"].law.right)
        u = F.shifted(-ONE) - Series.of([((ZERO, 0), self.ring.one)], F.order)
        if u.leading is None:
            raise NotAvailable(
                f"K' - K vanishes to the order K^{self.order} at K* = 0: K decays slower than a power of the depth, beyond all "
                "orders of the expansion; allowed: numbers by iteration, predict(net, X)"
            )
        return Orbit(u, self.ring.one)

    @cached_property
    def abel(self) -> Series:
        r"""The layer number as a function of K: :math:`\tau(F(K))=\tau(K)+1`, up to a constant that the first layers fix."""
        one = self.orbit.constant(self.ring.one)
        # The homogeneous solution is a constant, the shift ell_0 of the layer number, which enters with the depth.
        return solve(self.orbit, one, one, 0 * self.ring.one).series

    # ------------------------------------------------------------------ the other quantities

    def solve(self) -> Origin:
        """Every quantity as a series in K."""
        for name, derivation in self.laws.items():
            if name != "K":
                a, f = self._split(name, derivation.law)
                self.solved[name] = solve(self.orbit, a, f, self.ring(amplitude(name)))
        return self

    def _split(self, name: str, law: Recursion) -> tuple[Series, Series]:
        """X' = a X + f."""
        own = Entry(name, law.left.labels)
        right = law.right
        return self.evaluate(sp.diff(right, own)), self.evaluate(right.xreplace({own: ZERO}))

    def series(self, name: str) -> Series:
        """A solved quantity; K itself is the variable."""
        return Series({(ONE, 0): self.ring.one}, self.order) if name == "K" else self.solved[name].series

    def evaluate(self, expr: sp.Expr) -> Series:
        """An expression of a recursion as a series in K, at criticality."""
        return self._evaluate(expr, {C_W: self.critical_weight})

    def _evaluate(self, expr: sp.Expr, known: Mapping[sp.Symbol, Any]) -> Series:
        if isinstance(expr, Average):
            terms = self.moments(expr, self.order).items()
            return Series.of([((e, 0), self.ring.ground_new(c)) for e, c in terms], self.order)
        if isinstance(expr, Entry):
            return self.series(expr.name)
        if expr.is_Add:
            return _sum([self._evaluate(x, known) for x in expr.args])
        if expr.is_Mul:
            return _product([self._evaluate(x, known) for x in expr.args])
        if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
            return _product([self._evaluate(expr.base, known)] * int(expr.exp))
        return Series.of([((ZERO, 0), self._constant(expr, known))], FAR)

    def _constant(self, expr: sp.Expr, known: Mapping[sp.Symbol, Any]) -> Any:
        if expr in known:
            return known[expr]
        if expr == C_b or expr in self.zero:
            return self.ring.zero
        return self.number(expr)


#: The order of a constant: exact.
FAR = sp.Integer(10**6)


def _rational(number: sp.Expr) -> bool:
    """A rational function of symbols with rational coefficients."""
    return not number.atoms(sp.Function, sp.NumberSymbol) and all(p.exp.is_Integer for p in number.atoms(sp.Pow))


def _sum(parts: list[Series]) -> Series:
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _product(parts: list[Series]) -> Series:
    total = parts[0]
    for part in parts[1:]:
        total *= part
    return total
