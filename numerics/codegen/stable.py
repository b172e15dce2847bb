r"""Closed forms of Gaussian averages as they are evaluated: the same functions, without overflow and without cancellation.

A closed form is a sum of coefficients times exponentials, :math:`F=\sum_iC_i\,e^{E_i}`. Two things are done to it.

*One exponent.* Products such as :math:`\cosh(x)\,e^{-y}` become exponentials of one exponent each, so that a large factor never
meets a small one; a difference :math:`e^{y+x}-e^{y-x}` becomes :math:`2\sinh(x)\,e^y`, evaluated as one function.

*Remainders.* Where the functions in the average vanish at z = 0, F vanishes like :math:`K^n` while its terms do not: with the
degree :math:`d_i` of :math:`C_i` and the remainder :math:`r_m(E)=e^E-\sum_{k<m}E^k/k!`,

.. math:: F=\sum_iC_i\,r_{n-d_i}(E_i)\qquad\text{if}\qquad \sum_iC_i\sum_{k<n-d_i}E_i^k/k!=0 ,

which is tried with numbers. The terms are then as small as F. This holds for every K; for large ones the plain sum is as good.
Where the last sum is not zero, but over one denominator has no lower powers than :math:`K^n` either, it is added.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from math import factorial
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from sympy.codegen.cfunctions import expm1

from ...theory.averages.closed_forms import closed_form, lettered_form
from ...theory.averages.gaussian import Average
from ...theory.averages.rules import Covariance, Determinant
from ...theory.language.jets import Sigma
from ...theory.language.quantities import Entry
from ...theory.language.symbols import z
from ...theory.networks.activations import Activation
from .waves import WAVES, DampedCosh, DampedSinh, Letter, Remainder, Waves, collected, summed

#: Digits with which identities are tried, and below which a sum counts as zero.
DIGITS, ZERO = 60, mpmath.mpf(10) ** -40
#: The lowest powers of functions at z = 0 that are told apart.
HIGHEST = 24
#: Operations up to which a sum is put over one denominator.
LONG = 500
#: Variances at which a sum that could not be rewritten is tried in double precision, and the relative error that it may have.
TRIED, ACCURATE = (1e-12, 1e-6, 1e-3, 0.1), 1e-12


def closed_law(law: sp.Expr, activation: Activation) -> sp.Expr:
    """A law with the averages that are evaluated in closed form as they are evaluated; the others stay."""
    found = {node: evaluated_form(node, activation) for node in law.atoms(Average)}
    return law.xreplace({node: form for node, form in found.items() if form is not None})


@lru_cache(maxsize=4096)
def evaluated_form(node: Average, activation: Activation, *, always: bool = False) -> sp.Expr | None:
    """The closed form of an average as it is evaluated, of three or more samples in the letters of ``rules``; or None.

    None where there is none, or where it has no digits at small K, so that quadrature is better, unless it is wanted ``always``.
    """
    closed = closed_form(node, activation)
    if closed is None or not closed.has(Entry) or not activation.smooth:
        return closed
    short = lettered_form(node, activation) if _quotient(closed) else None
    form = closed if short is None or short.has(sp.asin) else short
    waves, exponential = collected(form), form.has(*WAVES)
    several = form.is_Add or len(waves) > 1
    least = lowest_power(node, activation) if several and not form.is_polynomial(*_letters(form)) else 0
    plain = summed(waves) if exponential else form
    if not least or (exponential and _all_sinh(waves, least)):
        return plain
    found = _with_remainders(waves, least) if exponential else None
    if found is not None:
        return found
    return plain if always or len(node.sites) > 2 or _accurate(plain, closed) else None


def _quotient(expr: sp.Expr) -> bool:
    """Whether entries of K stand in a denominator or under a root."""
    return any(p.base.has(Entry) and not (p.exp.is_Integer and p.exp > 0) for p in expr.atoms(sp.Pow))


def lowest_power(node: Average, activation: Activation) -> int:
    """A power of K as which the average vanishes at least, from the powers of z as which its factors do."""
    powers = 0
    for factor, times in node.body.as_powers_dict().items():
        powers += int(times) * (vanishing(activation, factor.order) if isinstance(factor, Sigma) else 1)
    return max(0, -(-(powers - len(node.derivatives)) // 2))


@lru_cache(maxsize=1024)
def vanishing(activation: Activation, order: int) -> int:
    """The power of z as which a derivative of a smooth activation vanishes at 0."""
    slopes = (activation.derivative(order + k).subs(z, 0) for k in range(HIGHEST))
    return next((k for k, slope in enumerate(slopes) if abs(slope.evalf(DIGITS)) > ZERO), HIGHEST)


def _all_sinh(waves: Waves, least: int) -> bool:
    """Whether every term is a difference of two exponentials, which vanishes like K by itself."""
    return least == 1 and all(isinstance(f, DampedSinh) or f.has(DampedSinh) for f in sp.Add.make_args(summed(waves)))


def _with_remainders(waves: Waves, least: int) -> sp.Expr | None:
    """The sum with remainders in place of exponentials, if what is left out is zero."""
    entries = sorted({e for pair in waves.items() for x in pair for e in _letters(x)}, key=sp.default_sort_key)
    terms = [
        (c, exponent, least - degree) for exponent, sum_ in waves.items() for degree, c in _by_degree(sum_, entries)
    ]
    if all(m <= 0 for *_, m in terms):  # each term is small by itself
        return summed(waves)
    if any(m > HIGHEST for *_, m in terms):
        return None
    rest = sp.S.Zero if _vanishes(terms, entries) else _rest(terms, entries, least)
    if rest is None:
        return None
    loud = [(c, exponent, m) for c, exponent, m in terms if exponent != 0]
    if least == 1 and len({exponent for _, exponent, _ in loud}) == 1:
        return rest + sp.Add(*(c * (expm1(e) if m > 0 else sp.exp(e)) for c, e, m in terms if e != 0 or m <= 0))
    size = _size(waves, entries, max(m for *_, m in terms))
    rest *= 1 - Remainder(sp.S.Zero, sp.S.One, size)
    return rest + sp.Add(*(c * (Remainder(e, sp.Integer(m), size) if m > 0 else sp.exp(e)) for c, e, m in terms))


def _rest(terms: list[tuple[sp.Expr, sp.Expr, int]], entries: list[Letter], least: int) -> sp.Expr | None:
    """What the remainders leave out, over one denominator, if its numerator has no lower powers of K than F; else None."""
    left_out = sp.Add(*(c * e**k / factorial(k) for c, e, m in terms for k in range(m) if k == 0 or e != 0))
    if left_out.atoms(Covariance, Determinant) or sp.count_ops(left_out) > LONG:
        return None
    numerator, denominator = sp.fraction(sp.together(left_out))
    numerator = sp.expand(numerator)
    if not numerator.is_polynomial(*entries) or any(
        sp.Poly(term, *entries).total_degree() < least for term in sp.Add.make_args(numerator)
    ):
        return None
    return sp.factor_terms(numerator) / denominator


def _letters(expr: sp.Expr) -> set[Letter]:
    return set(expr.atoms(Entry, Covariance))


def _by_degree(coefficient: sp.Expr, entries: list[Letter]) -> list[tuple[int, sp.Expr]]:
    """The homogeneous parts of a polynomial; of other functions the power as which they vanish."""
    if coefficient.is_polynomial(*entries):
        return [(degree, part) for degree, part in _homogeneous(coefficient).items() if part != 0]
    return [(_power(term, entries), term) for term in sp.Add.make_args(coefficient)]


def _homogeneous(polynomial: sp.Expr) -> dict[int, sp.Expr]:
    """The homogeneous parts by degree; nothing is multiplied out."""
    if polynomial.is_Add:
        total: dict[int, list[sp.Expr]] = defaultdict(list)
        for term in polynomial.args:
            for degree, part in _homogeneous(term).items():
                total[degree].append(part)
        return {degree: sp.Add(*parts) for degree, parts in total.items()}
    if polynomial.is_Pow or polynomial.is_Mul:
        base, power = polynomial.as_base_exp()
        factors = (
            polynomial.args if polynomial.is_Mul else (base,) * int(power) if power.is_Integer and power > 0 else ()
        )
        product: dict[int, sp.Expr] = {0: sp.S.One if factors else polynomial}
        for factor in factors:
            parts, before, product = _homogeneous(factor), product, defaultdict(lambda: sp.S.Zero)
            for (i, x), (j, y) in itertools.product(before.items(), parts.items()):
                product[i + j] += x * y
        return product
    return {int(isinstance(polynomial, Entry | Covariance)): polynomial}


def _power(term: sp.Expr, entries: list[Letter]) -> int:
    function = _function(entries, term, "mpmath")
    with mpmath.workdps(DIGITS):
        near, nearer = (
            abs(function(*(scale * x for x in _covariance(entries))))
            for scale in (mpmath.mpf("1e-20"), mpmath.mpf("1e-21"))
        )
        return 0 if not near or not nearer else max(0, int(mpmath.nint(mpmath.log10(near / nearer))))


def _function(entries: list[Letter], expressions: Any, modules: Any) -> Callable[..., Any]:
    letters = {e: sp.Symbol(f"K{i}") for i, e in enumerate(entries)}
    whole = sp.Tuple(*expressions) if isinstance(expressions, list) else expressions
    letters |= {
        det: sp.Integer(i + 2) for i, det in enumerate(sorted(whole.atoms(Determinant), key=sp.default_sort_key))
    }
    several = isinstance(expressions, list)
    written = [e.xreplace(letters) for e in expressions] if several else expressions.xreplace(letters)
    found: Callable[..., Any] = sp.lambdify([letters[e] for e in entries], written, modules)
    return found


def _covariance(entries: list[Letter], seed: int = 0) -> list[Any]:
    """Covariance matrices of numbers between 1/2 and 3, one for K and one for each S, entry by entry."""
    labels = sorted({label for e in entries for label in e.labels})
    kinds = {_kind(e): number for number, e in enumerate(entries)}
    matrices = {}
    for kind, number in kinds.items():
        factor = np.random.default_rng((seed, number)).uniform(-1, 1, (len(labels), len(labels)))
        matrices[kind] = factor @ factor.T + np.eye(len(labels)) / 2
    return [mpmath.mpf(matrices[_kind(e)][labels.index(e.labels[0]), labels.index(e.labels[1])]) for e in entries]


def _kind(entry: Letter) -> Any:
    return entry.structure[1] if isinstance(entry, Covariance) else ()


def _vanishes(terms: list[tuple[sp.Expr, sp.Expr, int]], entries: list[Letter]) -> bool:
    """Whether what the remainders leave out adds up to zero."""
    kept = [(c, e, m) for c, e, m in terms if m > 0]
    function = _function(entries, [x for c, e, _ in kept for x in (c, e)], "mpmath")
    with mpmath.workdps(DIGITS):
        for seed in (1, 2):
            numbers = function(*_covariance(entries, seed))
            left_out = [
                c * e**k / factorial(k)
                for c, e, (_, _, m) in zip(numbers[::2], numbers[1::2], kept, strict=True)
                for k in range(m)
            ]
            if abs(mpmath.fsum(left_out)) > ZERO * mpmath.fsum(map(abs, left_out)):
                return False
    return True


def _size(waves: Waves, entries: list[Letter], first: int) -> sp.Expr:
    """A sum of variances that is one where the largest exponent is so large that its remainders are as large as itself."""
    labels = sorted({label for e in entries for label in e.labels})
    steepest = max(_steepest(exponent, labels) for exponent in waves)
    turn = factorial(first) ** (1 / first)
    variances = [e for e in entries if len(set(e.labels)) == 1]
    return sp.Float(float(f"{steepest / turn:.3g}")) * sp.Add(*variances)


def _steepest(exponent: sp.Expr, labels: list[str]) -> float:
    """The most by which an exponent changes with one of the variances, from K = 0 on: |K_ab| is at most (K_aa + K_bb)/2."""
    zero = dict.fromkeys(_letters(exponent), sp.S.Zero)
    slopes, linear = dict.fromkeys(labels, 0.0), exponent.as_coefficients_dict()
    for entry in zero:
        known = set(linear) <= set(zero)
        slope = abs(float(linear[entry] if known else sp.diff(exponent, entry).xreplace(zero)))
        for label in entry.labels:
            slopes[label] += slope / len(entry.labels)
    return max(slopes.values())


def _accurate(written: sp.Expr, closed: sp.Expr) -> bool:
    """Whether a form keeps its digits at small K in double precision."""
    entries = sorted(closed.atoms(Entry), key=str)
    plain = written.replace(DampedSinh, lambda x, y: sp.sinh(x) * sp.exp(y))
    plain = plain.replace(DampedCosh, lambda x, y: sp.cosh(x) * sp.exp(y))
    double, exact = _function(entries, plain, ["scipy", "numpy"]), _function(entries, closed, "mpmath")
    for variance in TRIED:
        K = [float(variance * x) for x in _covariance(entries)]
        with mpmath.workdps(DIGITS + 10 * HIGHEST):
            truth = exact(*map(mpmath.mpf, K))
            if not abs(mpmath.mpf(float(double(*K))) - truth) <= ACCURATE * abs(truth):
                return False
    return True
