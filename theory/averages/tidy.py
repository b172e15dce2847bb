"""Closed forms as on paper: fractions of polynomials in the entries of K cancelled, exponentials paired, like terms together."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sympy as sp
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, PolyRing

from ..language.quantities import Entry
from .rules import Covariance, Determinant


def as_polynomial(expr: sp.Expr, words: dict[sp.Expr, sp.Expr]) -> sp.Expr:
    """The expression as a polynomial: a letter for every factor that is not one.

    Of a power, x^(-n) keeps 1/x and x^(n/2) keeps sqrt(x) as the letter.
    """
    if expr.is_Rational or (expr.is_Atom and expr.has(Entry, Covariance, Determinant, sp.I)):
        return expr
    if expr.is_Add or expr.is_Mul:
        return expr.func(*(as_polynomial(x, words) for x in expr.args))
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        return as_polynomial(expr.base, words) ** expr.exp
    word, power = expr, 1
    if expr.is_Pow and expr.exp.is_Rational:
        word, power = expr.base ** (expr.exp / abs(expr.exp.p)), abs(expr.exp.p)
    letter = next((known for known, meaning in words.items() if meaning == word), None) or sp.Dummy(real=True)
    words[letter] = word
    return letter**power


#: numerators by the exponents of the bases in front of them
Fractions = dict[tuple[int, ...], PolyElement]


def tidy(expr: sp.Expr) -> sp.Expr:
    """The same function of the entries, ordered as on paper: denominators cancelled, exponentials paired.

    Written for sums of (rational function) x (square roots, arcsines, exponentials). The denominators are known, powers
    of determinants: trial division by them is fast, where a search for common factors takes seconds.
    """
    entries = sorted(expr.atoms(Entry), key=str)
    if not entries:
        return expr
    words: dict[sp.Expr, sp.Expr] = {}
    polynomial = as_polynomial(expr, words)
    powers = [word for word in words.values() if word.is_Pow and word.has(Entry)]
    bases = list(dict.fromkeys(word.base for word in powers if _rational(word.base)))
    ring = PolyRing(entries, sp.QQ, lex)
    divisors = [ring.from_expr(base) for base in bases]
    # Terms with the same dependence on the entries outside arcsines, cosh and sinh go into one bracket.
    brackets: dict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.S.Zero)
    for word, fractions in _paired(_by_word(polynomial, words, bases, ring)).items():
        constant, function = word.as_independent(Entry, as_Add=False)
        inside, outside = _divided(function, (sp.asin, sp.sinh, sp.cosh, sp.sin, sp.cos))
        waves, outside = _divided(outside, (sp.exp,))
        diagonal, crossed = _exponent(waves)
        inside, outside = inside * sp.exp(crossed), outside * sp.exp(diagonal)
        for number, exponents, numerator in _quotients(*_over_common_denominator(fractions, divisors), divisors):
            scale = sp.Mul(numerator, *(base**e for base, e in zip(bases, exponents, strict=True)))
            brackets[outside * scale] += number * constant * inside
    return sp.Add(*(_merged(outside * inside) for outside, inside in brackets.items()))


def _rational(expr: sp.Expr) -> bool:
    """Whether this is a polynomial with rational coefficients."""
    if expr.is_Add or expr.is_Mul:
        return all(_rational(x) for x in expr.args)
    if expr.is_Pow:
        return bool(expr.exp.is_Integer and expr.exp > 0 and _rational(expr.base))
    return bool(expr.is_Rational or isinstance(expr, Entry))


def _by_word(
    masked: sp.Expr, words: dict[sp.Expr, sp.Expr], bases: list[sp.Expr], ring: PolyRing
) -> dict[sp.Expr, Fractions]:
    """The terms of the polynomial, by their factor that is not rational in the entries."""
    n = ring.ngens
    table: dict[sp.Expr, Fractions] = {}
    parts: dict[tuple[int, ...], PolyElement] = {}
    for monomial, c in PolyRing([*ring.symbols, *words], sp.QQ, lex).from_expr(masked).terms():
        part = parts.setdefault(monomial[n:], ring.zero.copy())
        part[monomial[:n]] = c
    for powers, part in parts.items():
        word, halves = sp.S.One, [0] * len(bases)
        for meaning, power in zip(words.values(), powers, strict=True):
            if meaning.is_Pow and meaning.base in bases and abs(meaning.exp) in (1, sp.S.Half):
                halves[bases.index(meaning.base)] += int(2 * meaning.exp * power)
            else:
                word *= meaning**power
        word = _merged(word) * sp.Mul(*(sp.sqrt(base) for base, h in zip(bases, halves, strict=True) if h % 2))
        rational, word = word.as_coeff_Mul(rational=True)
        _add(table.setdefault(word, {}), {tuple(h // 2 for h in halves): part}, sp.QQ(rational.p, rational.q))
    return table


def _add(total: Fractions, more: Fractions, factor: Any) -> None:
    for exponents, part in more.items():
        total[exponents] = total[exponents] + part * factor if exponents in total else part * factor


def _over_common_denominator(fractions: Fractions, divisors: list[PolyElement]) -> tuple[tuple[int, ...], PolyElement]:
    lowest = tuple(min(column) for column in zip(*fractions, strict=True))
    total: Any = 0
    for exponents, part in fractions.items():
        for divisor, e, low in zip(divisors, exponents, lowest, strict=True):
            part = part * divisor ** (e - low)
        total = part + total
    return lowest, total


def _quotients(
    exponents: tuple[int, ...], total: PolyElement, divisors: list[PolyElement]
) -> list[tuple[sp.Expr, tuple[int, ...], sp.Expr]]:
    """Numbers, exponents and numerators: the fraction cancelled, and cut at a determinant where that is shorter."""
    if total == 0:
        return []
    powers = list(exponents)
    for i, divisor in enumerate(divisors):
        while not total.rem(divisor):
            total, powers[i] = total.quo(divisor), powers[i] + 1
    for i, divisor in enumerate(divisors):
        multiple, rest = total.div(divisor)
        if len(divisor) > 2 and multiple and len(multiple) + len(rest) < len(total):
            raised = (*powers[:i], powers[i] + 1, *powers[i + 1 :])
            return _quotients(raised, multiple, divisors) + _quotients(tuple(powers), rest, divisors)
    monomial = tuple(min(column) for column in zip(*total.monoms(), strict=True))
    content, primitive = total.quo(total.ring.from_dict({monomial: sp.QQ(1)})).primitive()
    sign = -1 if primitive.LC < 0 else 1
    powers_of_entries = sp.Mul(*(x**e for x, e in zip(total.ring.symbols, monomial, strict=True)))
    number = sp.Rational(int(content.numerator), int(content.denominator)) * sign
    return [(number, tuple(powers), powers_of_entries * (sign * primitive).as_expr())]


def _paired(table: dict[sp.Expr, Fractions]) -> dict[sp.Expr, Fractions]:
    """exp(d + x) and exp(d - x), x odd in the off-diagonal entries, as exp(d) cosh(x) and exp(d) sinh(x)."""
    result: dict[sp.Expr, Fractions] = {}
    for word, plus in table.items():
        waves, rest = _divided(word, (sp.exp,))
        even, x, mirrored = _reflected(waves)
        minus = table.get(rest * mirrored) if x != 0 else None
        if minus is None:
            _add(result.setdefault(word, {}), plus, 1)
        elif not x.could_extract_minus_sign():  # else it is done with its partner
            for function, sign in ((sp.cosh, 1), (sp.sinh, -1)):
                both = result.setdefault(rest * sp.exp(even) * function(x), {})
                _add(both, plus, 1)
                _add(both, minus, sign)
    return result


def _reflected(wave: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """The parts of an exponent N/D even and odd in the off-diagonal entries, and the wave with the odd part reversed."""
    exponent = wave.args[0] if wave != 1 else sp.S.Zero
    N, D = sp.fraction(exponent)
    flip = {e: -e for e in exponent.atoms(Entry) if e.labels[0] != e.labels[1]}
    if not flip or (D != 1 and sp.expand(D - D.xreplace(flip)) != 0):
        return exponent, sp.S.Zero, wave
    N = sp.expand(N)
    mirrored = sp.expand(N.xreplace(flip))
    even, odd = (sp.expand((N + sign * mirrored) / 2) / D for sign in (1, -1))
    return even, odd, sp.exp(mirrored / D)


def _exponent(wave: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The exponent of a polynomial wave: its diagonal and its off-diagonal entries. Others are not taken apart."""
    exponent = wave.args[0] if wave != 1 else sp.S.Zero
    if not exponent.is_polynomial(*exponent.atoms(Entry)):
        return exponent, sp.S.Zero
    exponent = sp.expand(exponent)
    crossed = [e for e in exponent.atoms(Entry) if e.labels[0] != e.labels[1]]
    return exponent.as_independent(*crossed, as_Add=True) if crossed else (exponent, sp.S.Zero)


def _merged(product_: sp.Expr) -> sp.Expr:
    """One exponential in place of a product of several."""
    waves, others = _divided(product_, (sp.exp,))
    return others * sp.exp(sp.Add(*(wave.args[0] for wave in sp.Mul.make_args(waves) if wave != 1)))


def _divided(product_: sp.Expr, functions: tuple[Any, ...]) -> tuple[sp.Expr, sp.Expr]:
    """The factors that are one of the functions, and the others."""
    factors = sp.Mul.make_args(product_)
    chosen = [f for f in factors if isinstance(f, functions)]
    return sp.Mul(*chosen), sp.Mul(*(f for f in factors if f not in chosen))
