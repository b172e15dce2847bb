r"""Closed forms of Gaussian averages for concrete activations, derived and not transcribed.

The activation is read as a sum of elementary integrands, whose means ``rules`` knows. No activation is known by name, and an
average without a rule stays as it is.

Derivatives in front of a body are Price's theorem backwards: the closed form of the body is differentiated by entries
of the kernel, so a kinked body is never differentiated by z.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import sympy as sp
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyRing

from ..language.jets import Jet, Sigma
from ..language.quantities import Entry
from ..language.symbols import z
from ..networks.activations import Activation
from .elementary import ONE, NoRule, Terms, multiply, read
from .gaussian import Average
from .rules import Covariance, Determinant, ElementaryIntegrand, kernel, mean, spelled_out
from .tidy import as_polynomial, tidy

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
    polynomial = as_polynomial(expr.xreplace(euler), words)
    i = sp.Dummy()
    ring = PolyRing([i, *polynomial.atoms(Entry, Covariance, Determinant), *words], sp.QQ, lex)
    real = ring.zero.copy()
    for (power, *others), c in ring.from_expr(polynomial.xreplace({sp.I: i})).terms():
        if power % 2 == 0:
            real += ring.from_dict({(0, *others): -c if power % 4 else c})
    return real.as_expr().xreplace(words)
