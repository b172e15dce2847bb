"""Gaussian averages as tables over inputs: every average at all tuples of samples, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations_with_replacement, product

import numpy as np
from numpy.typing import NDArray

from .quadrature import Sigma, Term, gaussian_averages

Array = NDArray[np.float64]
#: The most samples that quadrature couples.
MOST = 4
#: Samples count as parallel when their correlation is this close to 1 or -1.
PARALLEL = 1e-13
#: A closed form and a quadrature that are this close mean the same number.
AGREED = 1e-10


#: So many covariances of two, three and four samples are integrated together.
TOGETHER = {1: 1 << 14, 2: 1 << 12, 3: 1024, 4: 1024}


def watch(count: int) -> None:
    """Called after every so many averages: whoever runs this module may put a function in its place that counts them."""


def tables(
    sigma: Sigma,
    K: Array,
    terms: Mapping[str, Term],
    kinks: Sequence[float] = (),
    closed: Collection[str] = (),
    *,
    diagonal: bool = False,
) -> tuple[dict[str, Array], float]:
    r"""Tables of :math:`\langle\partial\cdots\prod_i\sigma^{(k_i)}(z_{a_i})\rangle_K` over index tuples :math:`(a_1, ..., a_d)`.

    Equation
        ``tables[name][a, b, ...]`` is the average ``terms[name]`` with site i at sample number i of the index.
    Shapes
        K: (m, m); a table of d sites: (m,) * d. Without ``diagonal``, averages of one site take the entries of K for
        independent variances, in any shape.
    Units
        Those of the product of activations.
    Valid
        All averages with d sites share one call, so that the activation is evaluated once at each node. Only
        index tuples in increasing order are integrated; the others follow by permuting the sites. Averages of two sites
        that are ``closed`` have a closed form at regular pairs: they are integrated at singular pairs only, and hold
        numbers without meaning elsewhere (see ``where_regular``).
    Errors
        Those of ``gaussian_averages``. The second value returned is the largest estimated error, relative to
        averages above one.
    """
    values: dict[str, Array] = {}
    worst = 0.0
    for d in sorted({len(orders) for orders, _ in terms.values()}):
        for only_singular in (False, True):
            group = {
                name: term
                for name, term in terms.items()
                if len(term[0]) == d and (name in closed and d == 2) == only_singular
            }
            if not group:
                continue
            if d == 1:
                found, error = _one_site(sigma, np.diagonal(K) if diagonal else K, group, kinks)
            elif only_singular:
                found, error = _singular_pairs(sigma, K, group, kinks)
            else:
                found, error = _many_sites(sigma, K, group, kinks, d)
            values |= found
            worst = max(worst, error)
    return values, worst


def _one_site(
    sigma: Sigma, K: Array, group: Mapping[str, Term], kinks: Sequence[float]
) -> tuple[dict[str, Array], float]:
    variances = np.asarray(K, dtype=float)
    found, errors = gaussian_averages(sigma, variances.reshape(-1, 1, 1), list(group.values()), kinks=kinks)
    return {name: found[i].reshape(variances.shape) for i, name in enumerate(group)}, _largest(errors, found)


def _many_sites(
    sigma: Sigma, K: Array, group: Mapping[str, Term], kinks: Sequence[float], d: int
) -> tuple[dict[str, Array], float]:
    # Terms with Price operators keep the order of their sites: at parallel samples all derivatives belong to the
    # first site by convention, so the two orders are not the same function. The others are integrated once.
    ordered = {name: term for name, term in group.items() if any(term[1])}
    symmetric = {name: term for name, term in group.items() if name not in ordered}
    values: dict[str, Array] = {}
    worst = 0.0
    m = len(K)
    for part, every in (
        (ordered, product(range(m), repeat=d)),
        (symmetric, combinations_with_replacement(range(m), d)),
    ):
        if part and d > MOST:
            found, error = _merged(sigma, K, part, kinks)
            values |= found
            worst = max(worst, error)
        elif part:
            found, error = _fill(sigma, K, part, kinks, np.array(list(every)), d)
            values |= found
            worst = max(worst, error)
    return values, worst


def _singular_pairs(
    sigma: Sigma, K: Array, group: Mapping[str, Term], kinks: Sequence[float]
) -> tuple[dict[str, Array], float]:
    """The tables at parallel pairs and zero variances, and zeros elsewhere."""
    at = np.nonzero(~regular(K))
    index = np.stack(at, axis=1)
    covariance = K[index[:, :, None], index[:, None, :]]
    # These pairs become parallel to the last digit, so that the quadrature finds them singular as ``regular`` did.
    parallel = np.sqrt(covariance[:, 0, 0] * covariance[:, 1, 1])
    covariance[:, 0, 1] = covariance[:, 1, 0] = np.copysign(parallel, covariance[:, 0, 1])
    found, errors = gaussian_averages(sigma, covariance, list(group.values()), kinks=kinks)
    values = {name: np.zeros(K.shape) for name in group}
    for table, value in zip(values.values(), found, strict=True):
        table[at] = value
    return values, _largest(errors, found)


def _largest(errors: Array, values: Array) -> float:
    """The largest error, absolute for averages up to one and relative for larger ones."""
    return float((errors / np.maximum(1.0, np.abs(values))).max(initial=0.0))


def regular(K: Array) -> NDArray[np.bool_]:
    """Which pairs of samples are neither parallel nor without variance."""
    variance = np.diagonal(K)
    return np.asarray(np.abs(K) < (1.0 - PARALLEL) * np.sqrt(np.outer(variance, variance)))


def _fill(
    sigma: Sigma,
    K: Array,
    part: Mapping[str, Term],
    kinks: Sequence[float],
    index: NDArray[np.intp],
    d: int,
) -> tuple[dict[str, Array], float]:
    m = len(K)
    arrangements: dict[Term, int] = {}
    for orders, derivatives in part.values():
        if any(derivatives):
            arrangements.setdefault((orders, derivatives), len(arrangements))
            continue
        for p in _permutations(orders):
            arrangements.setdefault((p, derivatives), len(arrangements))
    covariance = K[index[:, :, None], index[:, None, :]]
    found, errors = _in_parts(sigma, covariance, list(arrangements), kinks)
    number = np.zeros((m,) * d, dtype=np.intp)
    number[tuple(index.T)] = np.arange(len(index))
    every = np.indices((m,) * d).reshape(d, -1)
    values = {}
    for name, (orders, derivatives) in part.items():
        if any(derivatives):
            values[name] = found[arrangements[orders, derivatives], number[tuple(every)]].reshape((m,) * d)
            continue
        by = np.argsort(every, axis=0, kind="stable")
        row = _arrangement_numbers(orders, derivatives, by, arrangements)
        values[name] = found[row, number[tuple(np.take_along_axis(every, by, axis=0))]].reshape((m,) * d)
    return values, _largest(errors, found)


def _merged(sigma: Sigma, K: Array, part: Mapping[str, Term], kinks: Sequence[float]) -> tuple[dict[str, Array], float]:
    """Averages over more sites than quadrature takes, of few samples: equal samples are one site with all of their factors."""
    m = len(K)
    values = {name: np.empty((m,) * len(orders)) for name, (orders, _) in part.items()}
    wanted: dict[tuple[int, ...], dict[Term, list[tuple[str, tuple[int, ...]]]]] = {}
    for name, (orders, _) in part.items():
        for at in product(range(m), repeat=len(orders)):
            samples = tuple(sorted(set(at)))
            if len(samples) > MOST:
                raise ValueError(
                    f"K is of {m} samples, and the average {name} couples {len(samples)} of them at once; needed: at most {MOST}"
                )
            sites = (
                tuple(sorted(k for group, a in zip(orders, at, strict=True) if a == s for k in group)) for s in samples
            )
            term: Term = (tuple(sites), (0,) * len(samples))
            wanted.setdefault(samples, {}).setdefault(term, []).append((name, at))
    worst = 0.0
    for samples, terms in wanted.items():
        found, errors = gaussian_averages(sigma, K[np.ix_(samples, samples)][None], list(terms), kinks=kinks)
        worst = max(worst, _largest(errors, found))
        for value, places in zip(found[:, 0], terms.values(), strict=True):
            for name, at in places:
                values[name][at] = value
    return values, worst


def _in_parts(sigma: Sigma, covariance: Array, terms: Sequence[Term], kinks: Sequence[float]) -> tuple[Array, Array]:
    """The averages over many covariances, some at a time."""
    step = TOGETHER[covariance.shape[1]]
    both = []
    for start in range(0, len(covariance), step):
        part = covariance[start : start + step]
        both.append(gaussian_averages(sigma, part, terms, kinks=kinks))
        watch(len(part) * len(terms))
    values, errors = zip(*both, strict=True)
    return np.concatenate(values, axis=1), np.concatenate(errors, axis=1)


def _permutations(orders: tuple[tuple[int, ...], ...]) -> list[tuple[tuple[int, ...], ...]]:
    """The different arrangements of the sites."""
    if not orders:
        return [()]
    return [(first, *rest) for first in sorted(set(orders)) for rest in _permutations(_without(orders, first))]


def arrangements(orders: tuple[tuple[int, ...], ...]) -> int:
    """The number of different arrangements of the sites."""
    return len(_permutations(orders))


def _without(orders: tuple[tuple[int, ...], ...], one: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    i = orders.index(one)
    return orders[:i] + orders[i + 1 :]


def _arrangement_numbers(
    orders: tuple[tuple[int, ...], ...], derivatives: tuple[int, ...], by: NDArray[np.intp], known: Mapping[Term, int]
) -> NDArray[np.intp]:
    """For each index tuple, the arrangement of the term when the tuple is sorted by the permutation in its column."""
    kinds = sorted(set(orders))
    code = np.array([kinds.index(o) for o in orders])[by]
    weights = len(kinds) ** np.arange(len(orders))
    number_of = np.zeros(len(kinds) ** len(orders), dtype=np.intp)
    for (arranged, d), number in known.items():
        if d == derivatives and all(o in kinds for o in arranged):
            number_of[int(weights @ np.array([kinds.index(o) for o in arranged]))] = number
    return np.asarray(number_of[weights @ code])


def where_regular(
    formulas: Callable[..., Mapping[str, Array]], K: Array, singular: Mapping[str, Array]
) -> tuple[dict[str, Array], float]:
    """Closed forms of two sites, at regular pairs and where their limit is the value of the tables by quadrature; and rounding.

    The closed forms of kinked activations are functions of the correlation with branch points at parallel samples, and
    of quotients by the variances. Near parallel samples their derivatives are large, and cancel in the tensors: the
    rounding of the single terms remains. At parallel samples the limit is taken just beyond correlation 1, where roots and
    arcs are clipped: it has more digits than quadrature, and no trace of the angle.
    """
    good = regular(K)
    variance = np.diagonal(K)
    lively = np.where(variance > 0, variance, 1.0)
    eps = float(np.finfo(float).eps)
    edge = np.sign(K) * np.sqrt(np.outer(lively, lively)) * (1 + 4 * eps)
    edge = np.where((lively == K) & (lively[:, None] == K), K, edge)  # equal samples: the determinant is exactly 0
    values, rounding = {}, 0.0
    with np.errstate(all="ignore"):  # at singular pairs
        found = formulas(lively[:, None], np.where(good, K, edge), lively[None, :])
        shaken = formulas(lively[:, None], K * (1 - 2 * eps), lively[None, :])
        for name, value in found.items():
            limit = np.abs(value - singular[name]) <= AGREED * np.abs(singular[name])
            values[name] = np.where(good | limit, value, singular[name])
            # The values are inverse powers of the angle between the samples, which cancel in the tensors. Measured for the
            # 1/n correction to relu's tangent kernel between angles of 1e-3 and 1e-6: right to a factor of ten.
            cancelled = 8 * eps * np.abs(value) / max(1.0, float(variance.max()))
            moved = np.abs(shaken[name] - value) / np.maximum(1.0, np.abs(value))  # by the rounding of K itself
            rounding = max(rounding, float(np.maximum(cancelled, moved).max(initial=0.0, where=good)))
    return values, rounding
