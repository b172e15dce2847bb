r"""Closed forms of Gaussian averages for concrete activations, derived and not transcribed.

The activation is read as a sum of elementary integrands; ``gaussian_rules`` knows their means. Nothing here knows an
activation by name, and an average without a rule stays as it is.

Derivatives in front of a body are Price's theorem backwards: the closed form of the body is differentiated by entries of
the kernel, so a kinked body is never differentiated by z.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from itertools import product

import sympy as sp

from .activations import Activation
from .gaussian import Average
from .gaussian_rules import Covariance, Integrand, NoRule, kernel, mean
from .symbols import Entry, Jet, Sigma, z

#: (n, q, j, widths of the steps) of one sample
Key = tuple[int, sp.Expr, sp.Expr, tuple[sp.Expr, ...]]
#: a function of one z as a sum: coefficient of each key
Terms = dict[Key, sp.Expr]

_ONE: Key = (0, sp.S.Zero, sp.S.Zero, ())
_OSCILLATING = (sp.sin, sp.cos, sp.sinh, sp.cosh)


def closed_form(node: Average, activation: Activation) -> sp.Expr | None:
    r"""The closed form of an average for a concrete activation, or None if no rule applies.

    Equation
        :math:`\langle\partial_x\cdots\prod_i\sigma^{(k_i)}(z_{a_i})\rangle_K` as an expression in the entries of K.
    Valid
        Every positive semidefinite K for smooth activations (no inverse of K is taken); for a kink at z = 0 the limit
        of vanishing determinant has to be taken where the determinant is in a denominator.
    Errors
        None: what cannot be done is None, among it the second derivative of a kinked activation.
    Source
        The rules of ``gaussian_rules``; each row holds its derivation.
    """
    if not activation.specified:
        return None
    try:
        return _closed(node, activation)
    except NoRule:
        return None


def specialize(expr: sp.Expr, activation: Activation) -> sp.Expr:
    r"""Every average in ``expr`` that has a closed form, replaced by it.

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
    return expr.xreplace({node: _specialized(node, activation) for node in expr.atoms(Average)})


def _specialized(node: Average, activation: Activation) -> sp.Expr:
    value = closed_form(node, activation)
    if value is not None:
        return value
    if not (node.derivatives and activation.specified and activation.smooth):
        return node
    explicit = node.explicit()
    known = {n: value for n in explicit.atoms(Average) if (value := closed_form(n, activation)) is not None}
    return explicit.xreplace(known) if known else node


@lru_cache(maxsize=None)
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
    # <d_a d_b f> = d<f>/dK_ab, twice that for a = b. Any pairing of the derivatives will do, since they commute.
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


def _without_derivatives(body: sp.Expr, activation: Activation) -> sp.Expr:
    """Expand the body into elementary integrands and add their means."""
    samples: dict[str, Terms] = {}
    for base, power in body.as_powers_dict().items():
        jet = base.args[0] if isinstance(base, Sigma) else base
        if not isinstance(jet, Jet) or jet.directions or not (power.is_Integer and power > 0):
            raise NoRule
        factor = _read(activation, base.order) if isinstance(base, Sigma) else {(1, *_ONE[1:]): sp.S.One}
        for _ in range(int(power)):
            samples[jet.sample] = _multiply(samples.get(jet.sample, {_ONE: sp.S.One}), factor)
    labels = tuple(sorted(samples))
    terms = []
    for choice in product(*(samples[label].items() for label in labels)):
        keys = [key for key, _ in choice]
        steps = tuple((i, w) for i, key in enumerate(keys) for w in key[3])
        powers, curvatures, tilts = (tuple(key[m] for key in keys) for m in range(3))
        terms.append(sp.Mul(*(c for _, c in choice)) * mean(Integrand(labels, powers, curvatures, tilts, steps)))
    value = real_part(sp.Add(*terms))
    letters = value.atoms(Covariance)
    value = value.xreplace({letter: letter.value() for letter in letters})
    # With more than two samples the minors of 1 + QK are long; multiplied out they would be longer.
    return sp.factor_terms(value) if letters and len(labels) > 2 else tidy(value)


def _multiply(left: Terms, right: Terms) -> Terms:
    """The product of two functions of the same z."""
    result: Terms = defaultdict(lambda: sp.S.Zero)
    for (n, q, j, steps), c in left.items():
        for (m, p, i, more), d in right.items():
            together = sorted((*steps, *more), key=float)
            signs = together.count(sp.S.Zero)  # the square of a sign is 1
            result[n + m, q + p, j + i, tuple(together[signs - signs % 2 :])] += c * d
    return dict(result)


@lru_cache(maxsize=None)
def _read(activation: Activation, order: int) -> Terms:
    """The order-th derivative of the activation as a sum of elementary functions of z."""
    if activation.smooth:
        if order:
            _read(activation, 0)  # what cannot be read need not be differentiated
        return _elementary(activation.derivative(order))
    if activation.kinks != (0,) or order > 1:  # sigma'' would hold a delta function
        raise NoRule
    # f = f_+ theta(z) + f_- theta(-z) = (f_+ + f_-)/2 + sign(z) (f_+ - f_-)/2
    plus, minus = (_side(activation.derivative(order), sign) for sign in (1, -1))
    even = _elementary(sp.expand(plus + minus) / 2)
    odd = _elementary(sp.expand(plus - minus) / 2)
    return {**even, **{(n, q, j, (*steps, sp.S.Zero)): c for (n, q, j, steps), c in odd.items()}}


def _side(expr: sp.Expr, sign: int) -> sp.Expr:
    """The piece on the positive (1) or negative (-1) side of the kink at zero."""
    distance = sp.Dummy(positive=True)
    return expr.subs(z, sign * distance).subs(distance, sign * z)


def _elementary(expr: sp.Expr) -> Terms:
    result: Terms = defaultdict(lambda: sp.S.Zero)
    expr = expr.rewrite(sp.erfc, sp.erf).rewrite(_OSCILLATING, sp.exp)
    for term in sp.Add.make_args(sp.expand(expr)):
        constant, function = term.as_independent(z, as_Add=False)
        n, q, j, steps = _ONE
        for factor in sp.Mul.make_args(function):
            base, power = factor.as_base_exp()
            if base == z and power.is_Integer and power > 0:
                n += int(power)
            elif isinstance(factor, sp.exp):
                curvature, tilt, shift = _quadratic(factor.args[0])
                q, j, constant = q + curvature, j + tilt, constant * sp.exp(shift)
            elif isinstance(base, sp.erf) and power.is_Integer and power > 0 and not (base.args[0] / z).has(z):
                c = base.args[0] / z  # positive: SymPy pulls a sign out of erf
                steps = (*steps, *[1 / (2 * c**2)] * int(power))
            elif function != 1:
                raise NoRule
        result[n, q, j, tuple(sorted(steps, key=float))] += constant
    return {key: c for key, c in result.items() if c != 0}


def _quadratic(exponent: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """(q, j, c) of -q z^2/2 + j z + c; a growing Gaussian has no mean for large K."""
    if not exponent.is_polynomial(z) or sp.degree(exponent, z) > 2:
        raise NoRule
    c, j, square = (sp.expand(exponent).coeff(z, k) for k in range(3))
    if not (square.is_real and square <= 0):
        raise NoRule
    return -2 * square, j, c


def real_part(expr: sp.Expr) -> sp.Expr:
    """The real part of a sum of products of complex constants, entries, exponentials and roots of real numbers."""
    if not expr.has(sp.I):
        return expr
    words: dict[sp.Expr, sp.Expr] = {}
    euler = {}
    for wave in expr.atoms(sp.exp):
        x, y = _split(sp.expand(wave.args[0]))
        euler[wave] = sp.exp(x) * (sp.cos(y) + sp.I * sp.sin(y))
    masked = _mask(expr.xreplace(euler), words)
    return _split(sp.expand(masked))[0].xreplace(words)


def _split(expanded: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Real and imaginary part; i occurs at most once in each term, as SymPy knows i^2."""
    imaginary = [term for term in sp.Add.make_args(expanded) if term.has(sp.I)]
    return expanded - sp.Add(*imaginary), sp.Add(*(term / sp.I for term in imaginary))


def _mask(expr: sp.Expr, words: dict[sp.Expr, sp.Expr], *, split: bool = False) -> sp.Expr:
    """Letters for everything that is not rational in the entries; ``split``: for square roots, x^(n/2) = x^k sqrt(x)."""
    if not expr.has(Entry, Covariance) or expr.is_Atom:
        return expr
    if expr.is_Add or expr.is_Mul:
        return expr.func(*(_mask(x, words, split=split) for x in expr.args))
    if expr.is_Pow and expr.exp.is_Integer:
        return _mask(expr.base, words, split=split) ** expr.exp
    whole = expr.base ** (expr.exp - sp.S.Half) if split and expr.is_Pow else sp.S.One
    word = expr / whole
    letter = next((known for known, meaning in words.items() if meaning == word), None) or sp.Dummy(real=True)
    words[letter] = word
    return whole * letter


def tidy(expr: sp.Expr) -> sp.Expr:
    """The same function of the entries, ordered as on paper: rational coefficients factored, exponentials paired.

    Written for sums of (rational function) x (square roots, arcsines, exponentials); anything else is left alone.
    """
    words: dict[sp.Expr, sp.Expr] = {}
    masked = sp.expand(_mask(expr, words, split=True))
    coefficients: dict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.S.Zero)
    for term in sp.Add.make_args(masked):
        coefficient, monomial = term.as_independent(*words, as_Add=False)
        for letter, power in monomial.as_powers_dict().items():
            word = words.get(letter, sp.S.One)
            if word.is_Pow and power not in (0, 1):  # sqrt(x)^power
                coefficient *= word.base ** (power // 2)
                monomial *= letter ** (power % 2 - power)
        coefficients[monomial.xreplace(words)] += coefficient
    roots = [word.base for word in words.values() if word.is_Pow]
    # Terms with the same dependence on the entries outside arcsines, cosh and sinh go into one bracket.
    brackets: dict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.S.Zero)
    for word, coefficient in _paired(coefficients).items():
        number, function = _factor(coefficient, roots)
        outside, inside = sp.S.One, sp.S.One
        for factor in sp.Mul.make_args(word):
            if isinstance(factor, sp.asin | sp.sinh | sp.cosh | sp.sin | sp.cos):
                inside *= factor
            else:
                outside *= factor
        brackets[function * outside] += number * inside
    return sp.Add(*(outside * inside for outside, inside in brackets.items()))


def _factor(coefficient: sp.Expr, roots: list[sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    """Number and function of the entries, factored, with determinants that occur under a root written as they are there, so that their powers merge."""
    if len(coefficient.atoms(Entry)) > 3 and not sp.fraction(sp.together(coefficient))[1].has(Entry):
        return sp.S.One, coefficient  # a long polynomial stays a sum of monomials
    shown = {sp.expand(root).as_content_primitive()[1]: root for root in roots if root.is_Add}
    number = function = sp.S.One
    for factor in sp.Mul.make_args(sp.factor(coefficient)):
        base, power = factor.as_base_exp()
        content, primitive = base.as_content_primitive()
        for sign in (1, -1):
            root = shown.get(sp.expand(sign * primitive))
            if root is not None:
                # root = scale * primitive
                scale = sp.expand(root).as_content_primitive()[0]
                number *= (sign * content / scale) ** power
                factor = root**power
        if factor.has(Entry):
            function *= factor
        else:
            number *= factor
    return number, function


def _paired(coefficients: dict[sp.Expr, sp.Expr]) -> dict[sp.Expr, sp.Expr]:
    """exp(d + x) and exp(d - x), x holding the off-diagonal entries, as exp(d) cosh(x) and exp(d) sinh(x)."""
    result: dict[sp.Expr, sp.Expr] = defaultdict(lambda: sp.S.Zero)
    partner = {word: _reflected(word) for word in coefficients}
    for word, c in coefficients.items():
        other = partner[word]
        if other is None or other not in coefficients:
            result[word] += c
            continue
        diagonal, x = _exponent(word)
        if x.could_extract_minus_sign():
            continue  # done with its partner
        rest, d = word.xreplace({w: sp.S.One for w in word.atoms(sp.exp)}) * sp.exp(diagonal), coefficients[other]
        for function, value in ((sp.cosh, sp.expand(c + d)), (sp.sinh, sp.expand(c - d))):
            if value != 0:
                result[rest * function(x)] += value
    return result


def _exponent(word: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The exponent of the exponential in a product: its diagonal and its off-diagonal entries."""
    exponent = sp.expand(sp.Add(*(w.args[0] for w in word.atoms(sp.exp))))
    crossed = [e for e in exponent.atoms(Entry) if e.labels[0] != e.labels[1]]
    return exponent.as_independent(*crossed, as_Add=True) if crossed else (exponent, sp.S.Zero)


def _reflected(word: sp.Expr) -> sp.Expr | None:
    """The same product with the off-diagonal entries in the exponent reflected; None if there are none."""
    diagonal, x = _exponent(word)
    if x == 0 or not x.is_polynomial():
        return None
    return word.xreplace({w: sp.S.One for w in word.atoms(sp.exp)}) * sp.exp(diagonal - x)

