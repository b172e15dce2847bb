r"""Sums grouped so that what cancels for equal samples does so exactly: :math:`K_{aa}-K_{ab}` and :math:`K_{aa}K_{bb}-K_{ab}^2`.

The difference of two numbers that are close to each other has no rounding error.
"""

from __future__ import annotations

import sympy as sp
from sympy.codegen.cfunctions import expm1

from ...theory.language.quantities import Entry
from .waves import DampedCosh, DampedSinh, Remainder


class Difference(sp.Function):
    """x - y, which SymPy leaves together."""

    is_real = True


def grouped(form: sp.Expr) -> sp.Expr:
    """A closed form with its exponents and determinants in differences."""
    form = form.replace(DampedCosh, lambda x, y: sp.exp(y + x) / 2 + sp.exp(y - x) / 2)
    form = form.replace(DampedSinh, lambda x, y: DampedSinh(x, exponent(y + x), exponent(y - x)))
    form = form.replace(Remainder, lambda x, first, size: Remainder(exponent(x), first, size))
    form = form.replace(lambda e: isinstance(e, sp.exp | expm1), lambda e: e.func(exponent(e.args[0])))
    return determinants(form)


def exponent(expr: sp.Expr) -> sp.Expr:
    """A linear function of the entries of K in differences of them; other functions as they are."""
    entries = sorted(expr.atoms(Entry), key=sp.default_sort_key)
    if not entries or not expr.is_polynomial(*entries) or sp.Poly(expr, *entries).total_degree() > 1:
        return expr
    rest = {e: expr.coeff(e) for e in entries}
    crossed = [e for e in entries if len(set(e.labels)) == 2]
    total = expr.xreplace(dict.fromkeys(entries, sp.S.Zero))
    # Variances first, half of a covariance with each of its two; then covariances with each other.
    pairs = [(d, e, sp.Abs(rest[e]) / 2) for e in crossed for d in entries if d.labels in [(x, x) for x in e.labels]]
    pairs += [(d, e, sp.oo) for d in crossed for e in crossed if d != e and set(d.labels) & set(e.labels)]
    for first, second, most in pairs:
        amount = min(abs(rest[first]), abs(rest[second]), most)
        if amount and rest[first] * rest[second] < 0:
            signed = sp.sign(rest[first]) * amount
            total += signed * Difference(first, second)
            rest[first], rest[second] = rest[first] - signed, rest[second] + signed
    return total + sp.Add(*(c * e for e, c in rest.items()))


def determinants(expr: sp.Expr) -> sp.Expr:
    """The same expression, with K_aa K_bb - K_ab^2 together in its polynomials."""
    crossed = {e for e in expr.atoms(Entry) if len(set(e.labels)) == 2}
    if len(crossed) != 1:
        return expr
    (entry,) = crossed
    found = [x for x in expr.atoms(sp.Add) if x.is_polynomial(*x.atoms(Entry)) and x.has(entry)]
    return expr.xreplace({x: _determinant(x, entry) for x in found})


def _determinant(polynomial: sp.Expr, entry: Entry) -> sp.Expr:
    a, b = (type(entry)(entry.name, (label, label)) for label in entry.labels)
    expanded = sp.expand(polynomial)
    mixed, square = expanded.coeff(a, 1).coeff(b, 1).coeff(entry, 0), expanded.coeff(entry, 2)
    if not (mixed.is_number and square.is_number and mixed != 0 and square == -mixed):
        return polynomial
    return sp.expand(expanded - mixed * a * b - square * entry**2) + mixed * Difference(a * b, entry**2)
