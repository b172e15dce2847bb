r"""The composed map of all layers as one interpolant in two norms and an angle, at a cost that does not grow with depth.

The interpolant represents kernels relative to their natural scale, :math:`K_{ab}/\sqrt{K_{aa}K_{bb}}` and likewise for Theta: by
Cauchy and Schwarz these quotients lie between -1 and 1 whatever the norms. The degrees are raised until the tails of the series
vanish; the coefficients left out are summed into a bound, and the interpolant is compared with the recursions themselves at pairs
of the data and at random points of the whole range. Where a comparison fails there is no interpolant, and pairs go through layers.

With kinked activations the kernel of nearly parallel inputs is a smooth function of the angle, not of the cosine; and of neither
if their norms differ. The range of the interpolant then ends before, and the few pairs beyond it go through the layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ..averages.chebyshev import ANGLES, EQUAL, Interpolant, Range, angles, fit
from .pairs import PairMap

Array = NDArray[np.float64]
#: Two vectors of |x|^2/n_0 and one of cosines.
Pairs = tuple[Array, Array, Array]

#: The accuracy of a kernel: relative to itself if it is larger than SMALL_VALUE times its natural scale, else to that.
ACCURACY, SMALL_VALUE = 1e-12, 0.1
#: Random points, and their norms, at which the interpolant is compared with the map in bulk; points at which the map in bulk is
#: compared with quadrature.
RANDOM, NORMS, QUADRATURE = 500, 12, 16
#: Angles at which the range may end, counted from parallel and from antiparallel.
NEAR = (0.1, 0.2, 0.4)
#: The range of nearly all cosines is tried if its length is below this share of the range of all.
COMMON = 0.9
#: Ranges are rounded outward to multiples of this, so that matrices of similar data share an interpolant; so many are kept.
STEP, KEPT = 1 / 16, 32
#: Most pairs that are evaluated for a fit.
BUDGET = 1e6
#: Terms of a series that cost less than a layer with closed forms.
PER_LAYER = 16


def compose(
    exact: PairMap, squares: Array, cosines: Range, sample: Pairs, pairs: float = 1e6, common: Range | None = None
) -> Interpolant | None:
    """The interpolant for inputs with these |x|^2/n_0 and cosines, checked at a sample of pairs; None if there is none.

    ``pairs`` is the number of pairs in demand: no interpolant may cost more. ``common`` is the range of nearly all cosines.
    """
    norms = _outward(Range(float(np.log(squares.min())), float(np.log(squares.max()))))
    most = max(ANGLES[1], PER_LAYER * len(exact.steps)) if exact.closed else ANGLES[-1]
    budget = min(BUDGET, pairs * (1.0 if exact.closed else 0.25))
    for part in _attempts(cosines, common or cosines):
        found = _fitted(exact, norms, part, most, 4 ** int(np.ceil(np.log2(max(budget, 1.0)) / 2)))
        if found is not None and _agrees_with_data(exact, found, sample):
            return found
    return None


@lru_cache(maxsize=KEPT)
def _fitted(exact: PairMap, norms: Range, cosines: Range, most: int, budget: int) -> Interpolant | None:
    """The interpolant on a range, which other matrices of the same network share; None if it fails."""
    found = fit(partial(_on_nodes, exact.bulk), norms, cosines, most=most, budget=budget)
    return found if found is not None and found.bound <= ACCURACY and _agrees_inside(exact, found) else None


def _outward(norms: Range) -> Range:
    """The range of log s with its ends rounded outward, so that more data share it; equal norms remain equal."""
    if norms.high - norms.low <= EQUAL:
        return norms
    return Range(float(np.floor(norms.low / STEP) * STEP), float(np.ceil(norms.high / STEP) * STEP))


def _beyond_angles(whole: Range) -> Range:
    """The cosines of a range of angles whose ends are rounded outward, so that more data share it; not near 0 and pi."""
    low, high = np.floor(whole.low / STEP) * STEP, np.ceil(whole.high / STEP) * STEP
    low, high = (low if low >= NEAR[0] else whole.low), (high if high <= np.pi - NEAR[0] else whole.high)
    return Range(float(np.cos(high)), float(np.cos(low)))


def _attempts(cosines: Range, common: Range) -> Iterator[Range]:
    """Ranges of cosines, from the whole to parts of it."""
    yield _beyond_angles(angles(cosines))
    if common.high - common.low < COMMON * (cosines.high - cosines.low):
        yield _beyond_angles(angles(common))
    whole = angles(cosines)
    for near in NEAR:
        if whole.low < near or whole.high > np.pi - near:
            low, high = max(whole.low, near), min(whole.high, np.pi - near)
            if low < high:
                yield Range(float(np.cos(high)), float(np.cos(low)))


def scales(last: Sequence[Array]) -> list[Array]:
    """The roots of the kernels of single inputs; one where they vanish."""
    return [np.sqrt(np.where(v > 0, v, 1.0)) for v in last]


def _on_nodes(exact: PairMap, s: Array, x: Array) -> list[Array]:
    """The kernels at all nodes relative to their scale, (p, p, d); they are symmetric in the norms."""
    c = np.cos(x)
    i, j = np.triu_indices(len(s))
    values = []
    flats = exact(np.repeat(s[i], len(c)), np.repeat(s[j], len(c)), np.tile(c, len(i)))
    for flat, scale in zip(flats, scales(exact.trajectory(s).last), strict=True):
        full = np.empty((len(s), len(s), len(c)))
        full[i, j] = full[j, i] = np.reshape(flat, (len(i), len(c)))
        values.append(full / np.multiply.outer(scale, scale)[:, :, None])
    return values


def _agrees_with_data(exact: PairMap, found: Interpolant, sample: Pairs) -> bool:
    """Whether the interpolant agrees with the map at pairs of the data."""
    inside = (sample[2] >= found.cosines.low) & (sample[2] <= found.cosines.high)
    data: Pairs = sample[0][inside], sample[1][inside], sample[2][inside]
    return agrees(exact.bulk, data, found.pairs(*data), relative=True)


def _agrees_inside(exact: PairMap, found: Interpolant) -> bool:
    """Whether the interpolant agrees with the map at random points of its range."""
    rng = np.random.default_rng(0)
    # Few norms and many angles: without closed forms each norm has a series of its own.
    few = np.exp(rng.uniform(found.norms.low, found.norms.high, size=NORMS))
    squares = few[rng.integers(NORMS, size=(2, RANDOM))]
    x = np.cos(rng.uniform(found.variable.low, found.variable.high, size=RANDOM))
    box: Pairs = squares[0], squares[1], np.clip(x, found.cosines.low, found.cosines.high)
    if not agrees(exact.bulk, box, found.pairs(*box), relative=True):
        return False
    if exact.closed:
        return True
    # ``tiles`` compares the map in bulk with adaptive quadrature at pairs of the data; here at a few points of the range.
    some = box[0][:QUADRATURE], box[1][:QUADRATURE], box[2][:QUADRATURE]
    return agrees(exact, some, exact.bulk(*some), relative=False)


def agrees(exact: PairMap, at: Pairs, values: Sequence[Array], *, relative: bool) -> bool:
    """Whether values are the kernels of pairs, relative to their scale or not."""
    first, second, cosine = at
    count = len(first)
    both = exact.trajectory(np.concatenate([first, second]))
    truths = exact.along(both.part(slice(count)), both.part(slice(count, None)), cosine * np.sqrt(first * second))
    for v, truth, root in zip(values, truths, scales(both.last), strict=True):
        scale = root[:count] * root[count:]
        error = np.abs((v * scale if relative else v) - truth)
        if not (error <= ACCURACY * np.maximum(np.abs(truth), SMALL_VALUE * scale)).all():
            return False
    return True
