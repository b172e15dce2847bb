r"""The distribution of one independent entry of a weight matrix, of mean 0 and variance 1: finitely many values, or a density.

Cumulants beyond the second enter wide layers with powers of 1/n. The first layer sums over as many entries as the inputs have
features that do not vanish, and these may be few: its preactivations then have the distribution itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import sympy as sp

from ..language.errors import InvalidArgument
from ..language.symbols import z


@dataclass(frozen=True)
class Values:
    """Finitely many values, symmetric about 0, with their probabilities."""

    values: tuple[sp.Expr, ...]
    probabilities: tuple[sp.Expr, ...]

    def __post_init__(self) -> None:
        _check(self)

    def moment(self, power: int) -> sp.Expr:
        """The average of a power."""
        return sp.Add(*(p * v**power for v, p in zip(self.values, self.probabilities, strict=True)))


@dataclass(frozen=True)
class Density:
    """A density in ``symbols.z``, even, smooth between ``-end`` and ``end``, and zero beyond."""

    expr: sp.Expr
    end: sp.Expr

    def __post_init__(self) -> None:
        _check(self)

    def moment(self, power: int) -> sp.Expr:
        """The average of a power, as a number."""
        function = sp.lambdify(z, z**power * self.expr, "mpmath")
        end = mpmath.mpf(str(sp.N(self.end, 20)))
        return sp.Float(mpmath.quad(function, [-end, 0, end]))


#: How an independent entry is distributed.
EntryLaw = Values | Density


def _check(law: EntryLaw) -> None:
    for power, needed in ((0, 1), (1, 0), (2, 1), (3, 0)):
        found = law.moment(power)
        if abs(float(found) - needed) > 1e-12:
            raise InvalidArgument(
                f"{law!r} has the moment {float(found):.6g} of order {power}; allowed: symmetric distributions of variance 1, for "
                f"which it is {needed}"
            )


def three_values(excess: sp.Expr) -> Values:
    r"""0, or one of two opposite values with probability :math:`1/(3+\kappa_4)`: of an excess kurtosis :math:`\kappa_4` alone."""
    probability = 1 / (3 + excess)
    outer, rest = sp.sqrt(3 + excess), 1 - probability
    if rest == 0:
        return Values((-outer, outer), (probability / 2,) * 2)
    return Values((-outer, sp.S.Zero, outer), (probability / 2, rest, probability / 2))
