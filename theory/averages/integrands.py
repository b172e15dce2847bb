r"""The integrand of a Gaussian average, as a sum of products of functions of one variable each.

An integrand is written as a SymPy expression in one symbol for each variable, or as text: ``"relu(a)*relu'(b)"``, with registered
activations and primes for their derivatives, in the sense of distributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from ..language.errors import InvalidArgument, NotIntegrable
from ..language.jets import Jet
from ..language.symbols import z
from ..networks.activations import ACTIVATIONS, Activation
from .closed_forms import closed_product
from .elementary import ONE, NoRule, Terms, differentiate, multiply, read
from .gaussian import Average
from .half_lines import cut_average
from .regularity import Factor, divergence, singular, without_deltas
from .rules import kernel


@dataclass(frozen=True)
class SeparableProduct:
    """A constant times factors, each a function of the variable of its label."""

    constant: sp.Expr
    factors: tuple[tuple[str, Factor], ...]

    def at(self, label: str) -> list[Factor]:
        """The factors that depend on a variable."""
        return [factor for name, factor in self.factors if name == label]

    @property
    def odd(self) -> bool:
        """Whether it changes its sign with all variables, so that its average vanishes."""
        return sp.Mul(*(_parity(f) for _, f in self.factors)) == -1


@dataclass(frozen=True)
class Integrand:
    """A sum of products; ``expr`` is the integrand as it was written, in the jets of its variables.

    Sums of functions of one variable stay together in ``products``; in ``summands`` they are taken apart.
    """

    expr: sp.Expr
    labels: tuple[str, ...]
    products: tuple[SeparableProduct, ...]
    summands: tuple[SeparableProduct, ...]

    def regular(self) -> tuple[tuple[SeparableProduct, tuple[int, ...]], ...] | None:
        """The integrand as a sum of derivatives of products without delta functions: each product, and its orders by variable."""
        found: list[tuple[SeparableProduct, tuple[int, ...]]] = []
        for p in self.products:
            sites = [without_deltas(tuple(p.at(label))) for label in self.labels]
            if any(site is None for site in sites):
                return None
            for parts in product(*(site for site in sites if site is not None)):
                factors = ((label, f) for label, (_, _, fs) in zip(self.labels, parts, strict=True) for f in fs)
                constant = p.constant * sp.Mul(*(c for c, _, _ in parts))
                found.append((SeparableProduct(constant, tuple(factors)), tuple(m for _, m, _ in parts)))
        return tuple(found)

    def closed(self) -> sp.Expr | None:
        """The average as an expression in the entries of K; None if there is no rule for one of the products."""
        try:
            return sp.Add(*(p.constant * _closed(p) for p in self.products))
        except NoRule:
            return None

    def average(self) -> sp.Expr:
        """The average: products with a rule in closed form, the others as they are."""
        total = self.closed()
        if total is not None:
            return total
        total = sp.S.Zero
        for p in self.summands:
            try:
                total += p.constant * _closed(p)
            except NoRule:
                total += p.constant * Average(sp.Mul(*(_shown(f, label) for label, f in p.factors)))
        return total

    def series(self, terms: int) -> sp.Expr:
        r"""The first terms of Mehler's formula for two variables, in powers of their covariance.

        .. math:: \langle f(z_a)g(z_b)\rangle=\sum_n\frac{K_{ab}^n}{n!}\,\langle f^{(n)}(z_a)\rangle\,\langle g^{(n)}(z_b)\rangle
        """
        if len(self.labels) != 2:
            raise InvalidArgument(
                f"series={terms} expands in the covariance of two variables, but integrand={self.expr} has "
                f"{len(self.labels)}: {', '.join(self.labels)}; allowed: an integrand of two variables, or series=None"
            )
        entry, total = kernel(*self.labels), sp.S.Zero
        for p in self.products:
            for n in range(terms):
                factors = [_derivative_of_mean(tuple(p.at(label)), label, n) for label in self.labels]
                total += p.constant * entry**n / sp.factorial(n) * sp.Mul(*factors)
        return total


def _integrand(expr: sp.Expr, named: Mapping[UndefinedFunction, Factor]) -> Integrand:
    for applied in (f for f in expr.atoms(AppliedUndef) if f.func in named and len(f.args) != 1):
        act, _ = named[applied.func]
        raise InvalidArgument(
            f"integrand: {act.name} has {len(applied.args)} arguments; allowed: one, and parameters in brackets of their own, "
            "as in leaky_relu(0.2)(a)"
        )
    expr = expr.replace(lambda e: e.func in named and not e.args[0].is_Symbol, lambda e: _written_out(e, named))
    symbols = sorted(expr.free_symbols, key=str)
    if not symbols:
        raise InvalidArgument(f"integrand={expr} has no variable; allowed: expressions in one symbol for each variable")
    unknown = [f for f in expr.atoms(AppliedUndef) if f.func not in named]
    if unknown:
        raise InvalidArgument(
            f"integrand={expr} holds {', '.join(sorted(map(str, unknown)))}; allowed: functions of SymPy, and in text also: "
            f"{', '.join(a.name for a in ACTIVATIONS)}"
        )
    whole = sp.Add.make_args(expr)
    together = (part for term in whole for part in ([term] if _separate(term, named) else _apart(term)))
    products, summands = (tuple(_product(t, expr, named) for t in terms) for terms in (together, _apart(expr)))
    jets = {s: Jet(s.name) for s in symbols}
    shown = expr.replace(lambda e: e.func in named, lambda e: _shown(named[e.func], e.args[0].name, e.args[0]))
    return Integrand(shown.xreplace(jets), tuple(s.name for s in symbols), products, summands)


def _separate(term: sp.Expr, named: Mapping[UndefinedFunction, Factor]) -> bool:
    """Whether each factor depends on one variable, and none is a sum that may hold delta functions."""
    sums = (f for f in sp.Mul.make_args(term) if not (f.func in named or f.as_base_exp()[0].func in named))
    inside = (named[a.func] for f in sums for a in f.atoms(AppliedUndef) if a.func in named)
    return not _coupled(term) and not any(singular(*factor) for factor in inside)


def _apart(expr: sp.Expr) -> tuple[sp.Expr, ...]:
    """The summands of a sum of products; sums inside of sin and cos are taken apart where that is needed and helps."""
    plain = sp.expand(expr)
    # Products of denominators are multiplied out too, which couples variables that were separate.
    tried = (plain, sp.expand(expr, trig=True), expr) if _coupled(plain) else (plain,)
    return sp.Add.make_args(next((e for e in tried if not _coupled(e)), plain))


def _coupled(expr: sp.Expr) -> bool:
    return any(len(f.free_symbols) > 1 for t in sp.Add.make_args(expr) for f in sp.Mul.make_args(t))


def _product(term: sp.Expr, whole: sp.Expr, named: Mapping[UndefinedFunction, Factor]) -> SeparableProduct:
    constant, rest = term.as_independent(*whole.free_symbols, as_Add=False)
    plain: dict[sp.Symbol, sp.Expr] = {}
    factors: list[tuple[str, Factor]] = []
    for factor in sp.Mul.make_args(rest):
        base, power = factor.as_base_exp()
        if factor == 1:
            continue
        if len(factor.free_symbols) != 1:
            raise InvalidArgument(
                f"integrand={whole}: {factor} couples {', '.join(sorted(map(str, factor.free_symbols)))}; allowed: sums of "
                "products of functions of one variable each"
            )
        (symbol,) = factor.free_symbols
        if base.func in named and base.args[0] == symbol and power.is_Integer and power > 0:
            factors += [(symbol.name, named[base.func])] * int(power)
        elif any(f.func in named for f in factor.atoms(AppliedUndef)):
            plain[symbol] = plain.get(symbol, sp.S.One) * _written_out(factor, named)
        else:
            plain[symbol] = plain.get(symbol, sp.S.One) * factor
    if constant.is_real is False:
        raise InvalidArgument(f"integrand={whole}: the factor {constant} is not real; allowed: real functions")
    factors += [(s.name, (_one_variable(g, s), 0)) for s, g in plain.items()]
    return SeparableProduct(constant, tuple(sorted(factors, key=lambda f: (f[0], f[1][0].name, f[1][1]))))


def _written_out(expr: sp.Expr, named: Mapping[UndefinedFunction, Factor]) -> sp.Expr:
    """Activations inside of other functions, as in exp(relu(a)): their expressions, if they are functions."""

    def written(applied: sp.Expr) -> sp.Expr:
        act, order = named[applied.func]
        if singular(act, order):
            raise InvalidArgument(
                f"integrand: {act.name}{chr(39) * order} holds a delta function; allowed: powers of it, of one variable"
            )
        return act(applied.args[0], order)

    return expr.replace(lambda e: e.func in named, written)


@lru_cache(maxsize=1024)
def _one_variable(expr: sp.Expr, symbol: sp.Symbol) -> Activation:
    return Activation(str(expr), expr.subs(symbol, z))


def _shown(factor: Factor, label: str, at: sp.Expr | None = None) -> sp.Expr:
    """A factor as it prints: its expression, or the name with primes where there is no expression."""
    act, order = factor
    at = Jet(label) if at is None else at
    if singular(act, order):
        return sp.Function(act.name + "'" * order, real=True)(at)
    return act(at, order)


@lru_cache(maxsize=4096)
def _closed(p: SeparableProduct) -> sp.Expr:
    labels = tuple(dict(p.factors))
    try:
        return closed_product({label: _terms(tuple(p.at(label))) for label in labels})
    except NoRule:
        if len(labels) != 1:
            raise
        return cut_average(tuple(p.at(labels[0])), kernel(*labels * 2))


def _derivative_of_mean(factors: tuple[Factor, ...], label: str, n: int) -> sp.Expr:
    """<f^(n)> for the product f of the factors at one variable: in closed form, or as an average."""
    if (-1) ** n * sp.Mul(*map(_parity, factors)) == -1:
        return sp.S.Zero
    try:
        terms = _terms(factors)
        for _ in range(n):
            terms = differentiate(terms)
        return closed_product({label: terms})
    except NoRule:
        body = sp.Mul(*(_shown(f, label) for f in factors))
        return Average(body, (Jet(label),) * n) if factors else sp.Integer(n == 0)


@lru_cache(maxsize=1024)
def _parity(factor: Factor) -> int:
    """1 for an even function, -1 for an odd one, 0 for others."""
    act, order = factor
    if act.expr is None:
        return 0
    mirrored = act.expr.subs(z, -z)
    return (-1) ** order * (int(mirrored == act.expr) - int(sp.expand(mirrored + act.expr) == 0))


def _terms(factors: tuple[Factor, ...]) -> Terms:
    """The product of the factors as elementary functions."""
    total: Terms = {ONE: sp.S.One}
    for act, order in factors:
        total = multiply(total, read(act, order))
    return total


def check_finite(integrand: Integrand) -> None:
    """Raise for two delta functions of one variable, and for what grows too fast at a kink: the product has no average."""
    for p in (*integrand.products, *(p for p, _ in integrand.regular() or ())):
        for label in integrand.labels:
            plain = [f for f in p.at(label) if not singular(*f)]
            if (found := divergence(plain)) is not None:
                raise NotIntegrable(
                    f"integrand={integrand.expr}: the average is infinite, as it grows like the power {found[1]:.3g} of the "
                    f"distance to {label} = {found[0]}; allowed: powers above -1"
                )
    for p in integrand.products:
        for label in integrand.labels:
            deltas = [(act, k) for act, k in p.at(label) if singular(act, k)]
            if len(deltas) > 1:
                names = " ".join(f"{act.name}{chr(39) * k}({label})" for act, k in deltas)
                raise NotIntegrable(
                    f"integrand={integrand.expr}: the average of {names} diverges at {label} = "
                    f"{', '.join(map(str, deltas[0][0].kinks))}, where it is a product of delta "
                    "functions; allowed: at most one delta function of each variable"
                )
