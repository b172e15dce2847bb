r"""Means of elementary integrands under a Gaussian, by rules as rows.

An integrand is a product over samples of the terms of ``elementary``: :math:`z^n e^{-qz^2/2+jz}` and *steps*. One calculus serves
kinks and error functions, because a step becomes a Gaussian when it is differentiated; for w = 0 the Gaussian is a delta
function, a curvature q without bound.

Only determinants and minors of 1 + QK appear, never an inverse of K; they are denominators where there are delta functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sympy as sp

from ..language.quantities import Entry, quantity
from ..language.symbols import Atom
from .elementary import NoRule

Numbers = tuple[sp.Expr, ...]
Rows = tuple[Numbers, ...]


@dataclass(frozen=True)
class ElementaryIntegrand:
    r""":math:`\prod_i z_i^{n_i} g_i(z_i) e^{j_iz_i}\prod_k s_{w_k}(z_{i_k})`; g = exp(-qz^2/2), delta(z) for q = oo."""

    labels: tuple[str, ...]
    powers: tuple[int, ...]  #: n; for q = oo minus the order of the derivative of delta
    curvatures: Numbers  #: q
    tilts: Numbers  #: j, may be complex
    steps: tuple[tuple[int, sp.Expr], ...] = ()  #: (index of the label, w)

    @property
    def tilted(self) -> bool:
        """Whether the reflection z -> -z changes more than the sign."""
        return any(j != 0 for j in self.tilts)

    def lower(self, i: int) -> ElementaryIntegrand:
        """One power of z_i less."""
        return replace(self, powers=(*self.powers[:i], self.powers[i] - 1, *self.powers[i + 1 :]))

    def higher(self, i: int) -> ElementaryIntegrand:
        """One power of z_i more, or one derivative of a delta function less."""
        return replace(self, powers=(*self.powers[:i], self.powers[i] + 1, *self.powers[i + 1 :]))

    def differentiate_step(self, k: int) -> tuple[sp.Expr, ElementaryIntegrand]:
        """The k-th step replaced by its derivative 2 exp(-z^2/2w) / sqrt(2 pi w): the constant, and the rest."""
        i, w = self.steps[k]
        constant = 2 / sp.sqrt(2 * sp.pi * w) if w != 0 else sp.Integer(2)
        return constant, replace(self, curvatures=self.stiffened(i, w), steps=self.steps[:k] + self.steps[k + 1 :])

    def stiffened(self, i: int, w: sp.Expr) -> Numbers:
        """The curvatures with 1/w more at the label i."""
        q = self.curvatures[i] + 1 / w if w != 0 else sp.oo
        return (*self.curvatures[:i], q, *self.curvatures[i + 1 :])


def kernel(a: str, b: str) -> Entry:
    """The entry K_ab, its labels in canonical order."""
    return quantity("K").entry((a, b))


class Covariance(Atom):
    r"""The entry :math:`S_{ab}` of :math:`S=K(1+QK)^{-1}`, kept as one letter while the rules multiply polynomials."""

    def __new__(cls, labels: tuple[str, ...], curvatures: Numbers, a: int, b: int) -> sp.Expr:
        """The letter, or its value where the value is as short."""
        if sp.oo in (curvatures[a], curvatures[b]):  # a variable that is pinned to zero does not vary
            return sp.Integer(0)
        if not any(curvatures):
            return kernel(labels[a], labels[b])
        obj: Covariance = super().__new__(cls)
        obj.content = (labels, curvatures, min(a, b), max(a, b))
        # SymPy sorts letters by their structure, whose parts Python has to be able to order.
        obj.structure = (labels, _spelled(curvatures), min(a, b), max(a, b))
        return obj

    content: tuple[tuple[str, ...], Numbers, int, int]

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.content

    def _plain(self) -> str:
        labels, _, a, b = self.structure
        return f"S[{labels[a]},{labels[b]}]"

    @property
    def labels(self) -> tuple[str, str]:
        """Those of the two samples."""
        labels, _, a, b = self.content
        return labels[a], labels[b]

    def numerator(self) -> sp.Expr:
        """The minor above det(1 + QK)."""
        return _numerator(*self.content)

    def denominator(self) -> sp.Expr:
        """det(1 + QK)."""
        labels, curvatures, _, _ = self.content
        return _norm_squared(labels, curvatures)


class Determinant(Atom):
    """det(1 + QK) of more than two samples, kept as one letter."""

    is_positive = True

    def __new__(cls, labels: tuple[str, ...], curvatures: Numbers) -> sp.Expr:
        """The letter; the determinant itself where it has few terms, or a row without a bound."""
        if len(labels) <= 2 or sp.oo in curvatures or not any(curvatures):
            return _norm_squared(labels, curvatures)
        obj: Determinant = super().__new__(cls)
        obj.content, obj.structure = (labels, curvatures), (labels, _spelled(curvatures))
        return obj

    content: tuple[tuple[str, ...], Numbers]

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.content

    def _plain(self) -> str:
        return f"det[{','.join(self.structure[0])}]"

    def written(self) -> sp.Expr:
        """The determinant."""
        return _norm_squared(*self.content)


@lru_cache(maxsize=4096)
def _spelled(curvatures: Numbers) -> tuple[str, ...]:
    return tuple(sp.srepr(q) for q in curvatures)


@lru_cache(maxsize=4096)
def _matrix(labels: tuple[str, ...], curvatures: Numbers) -> Rows:
    # Rows of 1 + QK; a row with q = oo is divided by q, and the limit is the row of K.
    return tuple(
        tuple(kernel(a, b) if q == sp.oo else (q * kernel(a, b) + (1 if i == j else 0)) for j, b in enumerate(labels))
        for i, (a, q) in enumerate(zip(labels, curvatures, strict=True))
    )


@lru_cache(maxsize=4096)
def _norm_squared(labels: tuple[str, ...], curvatures: Numbers) -> sp.Expr:
    return _det(_matrix(labels, curvatures))


@lru_cache(maxsize=4096)
def _numerator(labels: tuple[str, ...], curvatures: Numbers, a: int, b: int) -> sp.Expr:
    # S_ab = sum_c K_ac [(1+QK)^-1]_cb, and by Cramer's rule [(1+QK)^-1]_cb = cofactor_bc / det. The sum over c is the
    # Laplace expansion of the matrix whose row b has been replaced by the row a of K. If q_a is not 0, that row is
    # (row a of 1+QK - e_a) / q_a, and for a != b only the unit vector counts, because the row a stands there already.
    if curvatures[a] == 0:
        a, b = b, a
    rows = list(_matrix(labels, curvatures))
    sparse = a != b and curvatures[a] != 0
    rows[b] = tuple(
        (-1 / curvatures[a] if c == a else sp.S.Zero) if sparse else kernel(labels[a], label)
        for c, label in enumerate(labels)
    )
    return _det(tuple(rows))


def _det(rows: Rows) -> sp.Expr:
    """Laplace's expansion along the row with most zeros; products stay as they are, which prints best."""
    if len(rows) <= 1:
        return rows[0][0] if rows else sp.Integer(1)
    r = max(range(len(rows)), key=lambda i: rows[i].count(sp.Integer(0)))
    rest = rows[:r] + rows[r + 1 :]
    return sp.Add(
        *(
            (-1) ** (r + c) * x * _det(tuple(row[:c] + row[c + 1 :] for row in rest))
            for c, x in enumerate(rows[r])
            if x != 0
        )
    )


def _pinned(f: ElementaryIntegrand) -> sp.Expr | None:
    """delta(z) z = 0 and delta(z) s(z) = 0: a step is odd."""
    pinned = [i for i, q in enumerate(f.curvatures) if q == sp.oo]
    vanishes = any(f.powers[i] > 0 for i in pinned) or any(i in pinned for i, _ in f.steps)
    return sp.Integer(0) if vanishes else None


def _parity(f: ElementaryIntegrand) -> sp.Expr | None:
    """The mean of an odd function vanishes."""
    odd = (sum(f.powers) + len(f.steps)) % 2 == 1
    return sp.Integer(0) if odd and not f.tilted else None


def _price(f: ElementaryIntegrand) -> sp.Expr | None:
    """E[d_a d_b F] = dE[F]/dK_ab, and 2 dE[F]/dK_aa for a = b: delta functions lose two derivatives."""
    open_ = [i for i, n in enumerate(f.powers) for _ in range(-n)]
    if len(open_) < 2:
        return None
    a, b, *_ = open_
    value = spelled_out(mean(f.higher(a).higher(b)))
    return (2 if a == b else 1) * sp.diff(value, kernel(f.labels[a], f.labels[b]))


def _slope_of_delta(f: ElementaryIntegrand) -> sp.Expr | None:
    """E[delta'(z_a) G] = - sum_b S_ab / S_aa E[delta(z_a) dG/dz_b], with S for the curvatures without the pin at a."""
    # Stein's identity for z_a delta(z_a) G = 0: S_aa E[delta'_a G] + sum_(b != a) S_ab E[delta_a d_b G] = 0.
    a = next((i for i, n in enumerate(f.powers) if n < 0), None)
    if a is None:
        return None
    free = replace(f, curvatures=(*f.curvatures[:a], sp.S.Zero, *f.curvatures[a + 1 :]))
    total = sp.Add(*(_S(free, a, b) * _gradient(f.higher(a), b) for b in range(len(f.labels)) if b != a))
    return -total / _S(free, a, a)


def _exponential(f: ElementaryIntegrand) -> sp.Expr | None:
    """E[g exp(Jz)] = det(1 + QK)^(-1/2) exp(J^T S J / 2), a delta function contributing (2 pi)^(-1/2)."""
    if any(f.powers) or f.steps:
        return None
    tilted = [i for i, j in enumerate(f.tilts) if j != 0]
    exponent = sp.Add(*(f.tilts[a] * f.tilts[b] * _S(f, a, b) / 2 for a in tilted for b in tilted))
    deltas = (2 * sp.pi) ** (-sp.Rational(f.curvatures.count(sp.oo), 2))
    return deltas * sp.exp(exponent) / sp.sqrt(Determinant(f.labels, f.curvatures))


def _arcsine(f: ElementaryIntegrand) -> sp.Expr | None:
    r"""E[s_v(z_a) s_w(z_b)] = (2/pi) asin(S_ab / sqrt((S_aa + v)(S_bb + w))), times E[g]."""
    # Price's theorem: the derivative by S_ab is E[s_v' s_w'] = (2/pi) / sqrt((S_aa + v)(S_bb + w) - S_ab^2) by the
    # exponential rule (both steps turned into Gaussians), and at S_ab = 0 the mean is a product of two vanishing ones.
    # Integrating from there gives the arcsine; for v = w = 0 this is Sheppard's 1/4 + asin/(2 pi) for an orthant.
    # The noises in the two steps are independent, so a = b is no exception.
    if any(f.powers) or len(f.steps) != 2 or f.tilted:
        return None
    (a, v), (b, w) = f.steps
    if sp.S.Zero in (v, w) and len(f.labels) > 2:
        return None  # correct, but not for equal samples: their determinants would stand in denominators
    # det(1 + QK) (S_aa + v) is the determinant with a pin of curvature 1/v more, times v, which cancels for v = 0.
    scales = [noise if noise != 0 else sp.S.One for noise in (v, w)]
    widths = [_norm_squared(f.labels, f.stiffened(i, noise)) for i, noise in ((a, v), (b, w))]
    denominator = widths[0] if widths[0] == widths[1] else sp.sqrt(widths[0] * widths[1])
    letter = _S(f, a, b)
    numerator = sp.expand(letter.numerator()) if isinstance(letter, Covariance) else letter
    return 2 / sp.pi * sp.asin(numerator / sp.sqrt(scales[0] * scales[1]) / denominator) * mean(replace(f, steps=()))


def _stein(f: ElementaryIntegrand) -> sp.Expr | None:
    """E[z_a G g exp(Jz)] = sum_b S_ab E[g d(G exp(Jz))/dz_b]: z_a loses one power."""
    a = next((i for i, n in enumerate(f.powers) if n), None)
    if a is None:
        return None
    rest = f.lower(a)
    return sp.Add(*(_S(f, a, b) * _gradient(rest, b) for b in range(len(f.labels)) if _S(f, a, b) != 0))


def _gradient(f: ElementaryIntegrand, b: int) -> sp.Expr:
    """The mean of the derivative by z_b of all but the Gaussian factors."""
    terms = [f.tilts[b] * mean(f)] if f.tilts[b] != 0 else []
    if f.powers[b] > 0:
        terms.append(f.powers[b] * mean(f.lower(b)))
    for k, (i, _) in enumerate(f.steps):
        if i == b:
            constant, differentiated = f.differentiate_step(k)
            terms.append(constant * mean(differentiated))
    return sp.Add(*terms)


# Left out on purpose: E[s_w(z)] with a tilt, exp(K/2) erf(sqrt(K/2)) and its like. It would close elu for one sample,
# but exp(8K) erfc(sqrt(8K)) overflows in double precision for kernels where the average itself is harmless.

#: In this order; the first row that knows the mean gives it.
RULES: tuple[Callable[[ElementaryIntegrand], sp.Expr | None], ...] = (
    _pinned,
    _parity,
    _price,
    _slope_of_delta,
    _exponential,
    _arcsine,
    _stein,
)


@lru_cache(maxsize=4096)
def mean(f: ElementaryIntegrand) -> sp.Expr:
    r"""The mean of an integrand under N(0, K).

    Equation
        :math:`\langle f\rangle_K`: :class:`Covariance` letters, arcsines, exponentials, square roots of determinants.
    Valid
        Every positive semidefinite K, if no curvature is negative and none is infinite.
    Errors
        ``NoRule`` when no row of :data:`RULES` applies.
    Source
        Price's theorem, Stein's identity and Sheppard's orthant probability, each derived beside its row.
    """
    for rule in RULES:
        value = rule(f)
        if value is not None:
            return value
    raise NoRule


def _S(f: ElementaryIntegrand, a: int, b: int) -> sp.Expr:
    return Covariance(f.labels, f.curvatures, a, b)


def spelled_out(expr: sp.Expr) -> sp.Expr:
    """The letters for covariances replaced by minors of 1 + QK, exponents over one denominator."""
    waves = {}
    for wave in expr.atoms(sp.exp):
        letters = wave.atoms(Covariance)
        if letters:
            numerator = wave.args[0].xreplace({letter: letter.numerator() for letter in letters})
            waves[wave] = sp.exp(sp.expand(numerator) / next(iter(letters)).denominator())
    expr = expr.xreplace(waves)
    letters = {letter: letter.numerator() / letter.denominator() for letter in expr.atoms(Covariance)}
    return expr.xreplace(letters | {det: det.written() for det in expr.atoms(Determinant)})
