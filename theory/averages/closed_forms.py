r"""Closed forms of Gaussian averages for concrete activations, derived and not transcribed.

The activation is read as a sum of elementary integrands, whose means ``rules`` knows. No activation is known by name, and an
average without a rule stays as it is.

Derivatives in front of a body are Price's theorem backwards: the closed form of the body is differentiated by entries
of the kernel, so a kinked body is never differentiated by z.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from itertools import product
from typing import Any

import sympy as sp
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, PolyRing

from ..language.jets import Jet, Sigma
from ..language.quantities import Entry
from ..language.symbols import z
from ..networks.activations import Activation
from .elementary import ONE, NoRule, Terms, multiply, read
from .gaussian import Average
from .rules import Covariance, Determinant, ElementaryIntegrand, kernel, mean, spelled_out

#: Highest degree of a moment of three or four samples that is written out.
LONGEST = 16


def closed_form(node: Average, activation: Activation) -> sp.Expr | None:
    r"""The closed form of an average for a concrete activation, or None if no rule applies.

    Equation
        :math:`\langle\partial_x\cdots\prod_i\sigma^{(k_i)}(z_{a_i})\rangle_K` as an expression in the entries of K.
    Valid
        Every positive semidefinite K for smooth activations (no inverse of K is taken); for a kink at z = 0 the limit
        of vanishing determinant has to be taken where the determinant is in a denominator.
    Errors
        None: an average without a rule is None, as that of the second derivative of a kinked activation.
    Source
        ``theory.averages.rules``; each rule holds its derivation.
    """
    if not activation.specified or _too_long(node, activation):
        return None
    return _closed_or_none(node, activation)


def lettered_form(node: Average, activation: Activation) -> sp.Expr | None:
    r"""A closed form of three or more samples in the letters of ``rules``, which are short where their minors are long.

    Equation
        In the entries of K, of :math:`S=K(1+QK)^{-1}` (``Covariance``), and determinants (``Determinant``).
    Valid
        Averages without derivatives in front.
    Errors
        None: without a closed form, derivatives or letters it is None.
    Source
        As in :func:`closed_form`.
    """
    if node.derivatives or len(node.sites) < 3 or not activation.specified or _too_long(node, activation):
        return None
    return _lettered_or_none(node, activation)


@lru_cache(maxsize=1024)
def _lettered_or_none(node: Average, activation: Activation) -> sp.Expr | None:
    try:
        found = _without_derivatives(node.body, activation, spelled=False)
    except NoRule:
        return None
    return found if found.has(Covariance, Determinant) else None


def _too_long(node: Average, activation: Activation) -> bool:
    """Moments of a high power at three or four samples exist, but the sum over pairings has thousands of terms."""
    if len(node.sites) < 3 or not activation.pieces.is_polynomial(z):
        return False
    factors = sum(int(f.as_base_exp()[1]) for f in sp.Mul.make_args(node.body))
    return factors * int(sp.degree(activation.pieces, z)) > LONGEST


@lru_cache(maxsize=4096)
def _closed_or_none(node: Average, activation: Activation) -> sp.Expr | None:
    try:
        return _closed(node, activation)
    except NoRule:
        return None


def specialize(expr: sp.Expr, activation: Activation, longest: int | None = None) -> sp.Expr:
    r"""Every average in ``expr`` that has a closed form, replaced by it; of more than ``longest`` operations none.

    Equation
        As in :func:`closed_form`; for a smooth activation an average without one is also tried term by term after the
        product rule.
    Valid
        As in :func:`closed_form`.
    Errors
        None: averages without a closed form stay.
    Source
        As in :func:`closed_form`.
    """
    return expr.xreplace({node: _specialized(node, activation, longest) for node in expr.atoms(Average)})


def _specialized(node: Average, activation: Activation, longest: int | None) -> sp.Expr:
    if node != (plain := node.general):  # at a covariance of its own
        value = _specialized(plain, activation, longest)
        return node if value == plain else value.xreplace(dict(zip(plain.args[3], node.args[3], strict=True)))
    if longest is not None and not _is_short(_relabelled(node), activation, longest):
        return node
    value = closed_form(node, activation)
    if value is not None:
        return value
    if not (node.derivatives and activation.specified and activation.smooth):
        return node
    explicit = node.explicit()
    known = {n: value for n in explicit.atoms(Average) if (value := closed_form(n, activation)) is not None}
    return explicit.xreplace(known) if known else node


def _relabelled(node: Average) -> Average:
    """The same average of samples a, b, ...: there are few of them in a system, and code is generated for these."""
    if node.sites == (Jet(""),):
        return node
    jets = {site: Jet(label) for site, label in zip(node.sites, "abcdefgh", strict=False)}
    return Average(node.body.xreplace(jets), [jets[site] for site in node.derivatives])


@lru_cache(maxsize=4096)
def _is_short(node: Average, activation: Activation, longest: int) -> bool:
    """Whether there is a closed form of at most so many operations."""
    value = closed_form(node, activation)
    return value is not None and int(sp.count_ops(value)) <= longest


@lru_cache(maxsize=4096)
def _closed(node: Average, activation: Activation) -> sp.Expr:
    if len(node.derivatives) % 2:
        # Price takes derivatives in pairs; one is carried out. At a kink the result may hold an order without a rule.
        first, *others = node.derivatives
        return _sum(sp.diff(node.body, first), activation, tuple(others))
    if not node.derivatives:
        return _without_derivatives(node.body, activation)
    try:
        return _price(node, activation)
    except NoRule:
        if not activation.smooth:
            raise
    return _sum(sp.diff(node.body, *node.derivatives), activation)


def _sum(expr: sp.Expr, activation: Activation, derivatives: tuple[Jet, ...] = ()) -> sp.Expr:
    """The closed form of a sum of products, if all of them have one."""
    terms = (term.as_independent(Jet, as_Add=False) for term in sp.Add.make_args(sp.expand(expr)))
    return tidy(
        sp.Add(
            *(
                constant * (_closed(Average(body, derivatives), activation) if body != 1 else 1)
                for constant, body in terms
                if set(derivatives) <= body.atoms(Jet)
            )
        )
    )


def _price(node: Average, activation: Activation) -> sp.Expr:
    # <d_a d_b f> = d<f>/dK_ab, and 2 d<f>/dK_aa for a = b. The derivatives commute, so that they may be paired in any way.
    value = _closed(Average(node.body), activation)
    jets = node.derivatives
    for x, y in zip(jets[::2], jets[1::2], strict=True):
        value = (2 if x == y else 1) * _by_entry(value, kernel(x.sample, y.sample))
    return tidy(value)


def _by_entry(expr: sp.Expr, entry: Entry) -> sp.Expr:
    # SymPy writes d asin(N/sqrt(P)) with the root of 1 - N^2/P. With the determinant P - N^2 it is
    #     (dN - N dP / 2P) / sqrt(P - N^2).
    letters = {arc: sp.Dummy() for arc in expr.atoms(sp.asin)}
    words = {letter: arc for arc, letter in letters.items()}
    masked = expr.xreplace(letters)
    total = sp.diff(masked, entry)
    for arc, letter in letters.items():
        N, root = sp.fraction(arc.args[0])
        P = root**2
        det = P - N**2 if root.is_Pow else sp.expand(P - N**2)
        total += sp.diff(masked, letter) * (sp.diff(N, entry) - N * sp.diff(P, entry) / (2 * P)) / sp.sqrt(det)
    return total.xreplace(words)


def _without_derivatives(body: sp.Expr, activation: Activation, *, spelled: bool = True) -> sp.Expr:
    """Expand the body into elementary integrands and add their means."""
    samples: dict[str, Terms] = {}
    for base, power in body.as_powers_dict().items():
        jet = base.args[0] if isinstance(base, Sigma) else base
        if not isinstance(jet, Jet) or jet.directions or not (power.is_Integer and power > 0):
            raise NoRule
        factor = read(activation, base.order) if isinstance(base, Sigma) else {(1, *ONE[1:]): sp.S.One}
        for _ in range(int(power)):
            samples[jet.sample] = multiply(samples.get(jet.sample, {ONE: sp.S.One}), factor)
    return closed_product(samples, spelled=spelled)


def closed_product(samples: dict[str, Terms], *, spelled: bool = True) -> sp.Expr:
    """The mean of a product of functions, one of each sample: their expansions multiplied out; ``NoRule`` if a term has none.

    Without ``spelled`` minors and determinants stay letters.
    """
    labels = tuple(sorted(samples))
    terms = []
    for choice in product(*(samples[label].items() for label in labels)):
        steps = tuple((i, w) for i, (key, _) in enumerate(choice) for w in key[3])
        powers = tuple(key[0] for key, _ in choice)
        curvatures = tuple(key[1] for key, _ in choice)
        tilts = tuple(key[2] for key, _ in choice)
        terms.append(
            sp.Mul(*(c for _, c in choice)) * mean(ElementaryIntegrand(labels, powers, curvatures, tilts, steps))
        )
    value = real_part(sp.Add(*terms))
    letters = value.atoms(Covariance)
    if not spelled:
        return value
    value = spelled_out(value)
    # With more than two samples the minors of 1 + QK are long; multiplied out they would be longer.
    return value if letters and len(labels) > 2 else tidy(value)


def real_part(expr: sp.Expr) -> sp.Expr:
    """The real part of a sum of products of complex constants, entries, exponentials and roots of real numbers."""
    if not expr.has(sp.I):
        return expr
    words: dict[sp.Expr, sp.Expr] = {}
    euler = {}
    for wave in expr.atoms(sp.exp):
        exponent = sp.expand(wave.args[0])
        y = exponent.coeff(sp.I)
        euler[wave] = sp.exp(exponent - sp.I * y) * (sp.cos(y) + sp.I * sp.sin(y))
    masked = _mask(expr.xreplace(euler), words)
    i = sp.Dummy()
    ring = PolyRing([i, *masked.atoms(Entry, Covariance, Determinant), *words], sp.QQ, lex)
    real = ring.zero.copy()
    for (power, *others), c in ring.from_expr(masked.xreplace({sp.I: i})).terms():
        if power % 2 == 0:
            real += ring.from_dict({(0, *others): -c if power % 4 else c})
    return real.as_expr().xreplace(words)


def _mask(expr: sp.Expr, words: dict[sp.Expr, sp.Expr]) -> sp.Expr:
    """The expression as a polynomial: a letter for every factor that is not one.

    Of a power, x^(-n) keeps 1/x and x^(n/2) keeps sqrt(x) as the letter.
    """
    if expr.is_Rational or (expr.is_Atom and expr.has(Entry, Covariance, Determinant, sp.I)):
        return expr
    if expr.is_Add or expr.is_Mul:
        return expr.func(*(_mask(x, words) for x in expr.args))
    if expr.is_Pow and expr.exp.is_Integer and expr.exp > 0:
        return _mask(expr.base, words) ** expr.exp
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
    masked = _mask(expr, words)
    powers = [word for word in words.values() if word.is_Pow and word.has(Entry)]
    bases = list(dict.fromkeys(word.base for word in powers if _rational(word.base)))
    ring = PolyRing(entries, sp.QQ, lex)
    divisors = [ring.from_expr(base) for base in bases]
    # Terms with the same dependence on the entries outside arcsines, cosh and sinh go into one bracket.
    brackets: dict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.S.Zero)
    for word, fractions in _paired(_by_word(masked, words, bases, ring)).items():
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
