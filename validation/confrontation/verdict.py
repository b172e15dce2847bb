r"""The verdict on a family of comparisons, with a stated false-alarm rate, and on what it says nothing.

A comparison whose error bar is as large as the prediction agrees with almost any theory: it may still fail, but that it does not
fail says nothing. The verdict therefore speaks of the quantities whose error bars are small, and names the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ...theory.language.errors import InvalidArgument
from .fits import ROUNDING

Array = NDArray[np.float64]

#: Quantities with larger error bars, relative to their predictions, are not tested. At a line of four sigmas a quarter is an
#: error bar with which a prediction that is wrong by all of its size is just seen.
RESOLUTION = 0.25

PASSED, FAILED, NOT_TESTED = "PASSED", "FAILED", "NOT TESTED"
#: Of one comparison.
ROW_PASSED, ROW_FAILED, ROW_COARSE, ROW_EQUAL = "passed", "FAILED", "not tested", "equal"


@dataclass(frozen=True)
class Verdict:
    r"""The verdict on a family of comparisons.

    Equation
        Failed if the smallest p-value is below :math:`\alpha/m` (Bonferroni), m the number of comparisons; numbers that have no
        noise and are equal are none. Passed if it is not failed and some comparisons are tests: those of quantities with an
        ``error_bar`` of at most ``resolution``.
    Valid
        A true theory fails with probability at most ``alpha``, whatever the correlations between the comparisons. Comparisons
        with large error bars count among the m, and may fail.
    """

    alpha: float
    comparisons: int
    threshold: float  #: p-value below which a comparison fails
    failures: int
    tested: int  #: comparisons with small error bars
    chance: float  #: m times the smallest p-value: a true theory deviates as far as this with at most this probability
    coarse: tuple[str, ...] = ()  #: the quantities that are not tested
    resolution: float = RESOLUTION

    @property
    def passed(self) -> bool:
        """Whether something was tested, and every comparison is within its line."""
        return self.failures == 0 and self.tested > 0

    @property
    def word(self) -> str:
        """PASSED, FAILED or NOT TESTED."""
        return FAILED if self.failures else PASSED if self.tested else NOT_TESTED

    @property
    def limit(self) -> float:
        """The line in sigmas where standard errors are known well (a normal law)."""
        return float(stats.norm.isf(self.threshold / 2))

    @property
    def left_out(self) -> str:
        """What was not tested and why, as a clause; empty if everything was."""
        if not self.coarse:
            return ""
        why = f"error bars above {100 * self.resolution:.3g} % of the predictions"
        return f"not tested: {', '.join(self.coarse)} ({self.comparisons - self.tested} comparisons; {why})"

    def words(self, p: ArrayLike, tested: ArrayLike) -> NDArray[np.str_]:
        """What is said of each comparison; without noise and difference there is nothing to say."""
        said = np.where(np.asarray(p) < 1, np.where(tested, ROW_PASSED, ROW_COARSE), ROW_EQUAL)
        return np.where(np.asarray(p) < self.threshold, ROW_FAILED, said)

    def __str__(self) -> str:
        word = f"{FAILED} ({self.failures} of {self.comparisons})" if self.failures else self.word
        count = f"{self.tested} tested of {self.comparisons}" if self.coarse else f"{self.comparisons}"
        rest = f"; {self.left_out}" if self.coarse else ""
        return (
            f"{word}: {count} comparisons, family-wise false-alarm rate at most {self.alpha:g} "
            f"(each fails at p < {self.threshold:.1e}: beyond {self.limit:.2f} sigma, or more where networks are few){rest}"
        )


def check_alpha(alpha: float) -> None:
    """A false-alarm rate is a probability."""
    if not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise InvalidArgument(f"alpha={alpha!r} is a probability of false alarm; allowed: 0 < alpha < 1")


def check_resolution(resolution: Any) -> float:
    """The largest error bar of a test, relative to the prediction."""
    if isinstance(resolution, bool) or not isinstance(resolution, int | float | np.number) or not resolution > 0:
        raise InvalidArgument(
            f"resolution={resolution!r} is the largest error bar, relative to the prediction, of a quantity that counts as tested; "
            "allowed: numbers above 0, such as 0.25; math.inf counts all"
        )
    return float(resolution)


def error_bar(predicted: Array, stderr: Array, p: Array, *, scale: float = 0.0) -> float:
    r"""How large the error bars of a quantity are: the one definition of text, page, figures and attributes.

    Equation
        Root mean square of the standard errors over that of the predictions, of all entries that are comparisons.
    Valid
        Where all of these are predicted to be zero, relative to ``scale``, the size of what the quantity is a difference of, if
        there is one; infinite if there is none. Zero without noise.
    """
    noisy = p < 1
    if not noisy.any():
        return 0.0
    size, error = (math.sqrt(float(np.mean(x[noisy] ** 2))) for x in (predicted, stderr))
    size = size if size > ROUNDING * scale else scale
    return error / size if size > 0 else math.inf


def judge(
    p: ArrayLike, alpha: float, *, tested: ArrayLike | None = None, coarse: Sequence[str] = (), resolution: float = RESOLUTION
) -> Verdict:  # fmt: skip
    """The verdict on comparisons with p-values ``p`` at the family-wise false-alarm rate ``alpha``; some are ``tested``."""
    check_alpha(alpha)
    p = np.asarray(p, dtype=float)
    counts = p < 1
    some = counts if tested is None else counts & np.asarray(tested, dtype=bool)
    count = int(counts.sum())
    threshold = alpha / max(count, 1)
    chance = min(1.0, count * float(p.min(initial=1.0)))
    failures = int((p < threshold).sum())
    return Verdict(alpha, count, threshold, failures, int(some.sum()), chance, tuple(coarse), resolution)
