r"""Weight ensembles, as objects that supply the cumulants of the weights beyond the second.

Every ensemble here is symmetric with :math:`E[W_{ij}W_{kl}]=\frac{C_W}{n}\delta_{ik}\delta_{jl}`, n the fan-in. The fourth
cumulants that count at leading order in 1/n are of two kinds:

.. math::
    \kappa(W_{i_1j_1},W_{i_2j_2},W_{i_3j_3},W_{i_4j_4}) = -\tau\,\frac{C_W^2}{n^3}\sum_{p\ne q}\delta_p(i)\,\delta_q(j)
        + \kappa_4\,\frac{C_W^2}{n^2}\,\delta_{i_1i_2i_3i_4}\,\delta_{j_1j_2j_3j_4},

p and q among the three pairings of four. The first is that of orthogonal matrices, whose entries are not independent; the
second is the excess kurtosis of independent entries. Higher cumulants enter at higher orders.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any

import sympy as sp
from sympy.utilities.iterables import multiset_partitions

from ..language.errors import InvalidArgument, unknown_name
from ..language.markup import record
from ..language.pieces import cut_moments
from ..language.symbols import z
from .entries import Density, EntryLaw, three_values

#: The dimension of the orthogonal group.
N = sp.Symbol("N", positive=True)


@dataclass(frozen=True)
class Ensemble:
    r"""An ensemble of weight matrices: its cumulants of fourth order, in units of :math:`C_W^2`.

    Equation
        See the module: ``crossed`` is :math:`-\tau` at equal fan-in and fan-out, ``excess`` is :math:`\kappa_4`. ``entries`` is how
        an independent entry is distributed, which the first layer sees where inputs have few features; by default that of
        ``independent(excess)``.
    Units
        Both are pure numbers; the second cumulant is :math:`C_W/n` for every ensemble.
    Valid
        At leading order in 1/width; in the first layer at any number of features.
    Errors
        ``InvalidArgument`` for an excess kurtosis below -2, which no distribution has, or another than that of ``entries``.
    Source
        Gaussian and orthogonal: Day, Kahn & Roberts (arXiv:2310.07765); crossed cumulants from :func:`weingarten`.
    """

    name: str
    crossed: sp.Expr = sp.S.Zero
    excess: sp.Expr = sp.S.Zero
    meaning: str = ""
    entries: EntryLaw | None = None

    def __post_init__(self) -> None:
        if not self.excess >= -2:
            raise InvalidArgument(
                f"excess_kurtosis={self.excess}: no distribution has less than -2; allowed: reals from -2"
            )
        if self.entries is not None and abs(float(found := self.entries.moment(4) - 3) - float(self.excess)) > 1e-12:
            raise InvalidArgument(f"excess={self.excess} of weights={self.name}; allowed: {found}, which entries= have")

    @property
    def gaussian(self) -> bool:
        """Whether there is no cumulant beyond the second."""
        return self.crossed == 0 and self.excess == 0 and self.entries is None

    @property
    def entry(self) -> EntryLaw | None:
        """How an independent entry is distributed; None where the preactivations of few features are Gaussian all the same.

        So they are for normal entries, and for orthogonal matrices of a fixed number of columns and ever more rows.
        """
        if self.entries is not None or self.excess == 0:
            return self.entries
        return three_values(self.excess)

    def tau(self, fan_in: int, fan_out: int) -> float:
        r"""The coefficient :math:`\tau` of a rectangular matrix.

        Rows (or columns, if there are more rows) are part of an orthogonal matrix of dimension N = max(fan_in, fan_out), scaled
        to the variance C_W/fan_in: the cumulant :math:`-1/N^3` times :math:`(C_WN/n)^2` is :math:`-(n/N)\,C_W^2/n^3`.
        """
        return float(-self.crossed) * fan_in / max(fan_in, fan_out)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name

    def _repr_html_(self) -> str:
        entries = {
            "fourth cumulant, pairs crossed": self.crossed,
            "excess kurtosis": self.excess,
            "meaning": self.meaning,
        }
        return record(f"Weights: {self.name}", entries)


def pairings(count: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """All ways to pair up ``count`` things."""
    every = multiset_partitions(list(range(count)), count // 2)
    return tuple(tuple(map(tuple, p)) for p in every if all(len(block) == 2 for block in p))


@lru_cache(maxsize=8)
def weingarten(count: int) -> sp.Matrix:
    r"""The Weingarten matrix of the orthogonal group, for the ``pairings(count)`` of rows and of columns.

    Equation
        :math:`E[O_{i_1j_1}\cdots O_{i_kj_k}]=\sum_{pq}\mathrm{Wg}_{pq}\,\delta_p(i)\,\delta_q(j)`. Summing over columns with the
        deltas of a third pairing, :math:`OO^T=1` gives :math:`\mathrm{Wg}\,G=1` with :math:`G_{pq}=N^{\text{loops of }p\cup q}`.
    Shapes
        (k-1)!! by (k-1)!!, k = ``count``, in the symbol ``ensembles.N``.
    Valid
        Exact, N at least k/2.
    Errors
        ``InvalidArgument`` for an odd or too large count.
    Source
        Derived from invariance; Collins & Sniady (arXiv:math-ph/0402073).
    """
    if count not in (2, 4, 6):
        raise InvalidArgument(f"count={count!r}: moments of 2, 4 or 6 entries are tabulated; allowed: 2, 4, 6")
    every = pairings(count)
    gram = sp.Matrix(len(every), len(every), lambda a, b: N ** _loops(every[a], every[b]))
    return sp.Matrix(gram.to_DM().to_field().inv().to_Matrix()).applyfunc(sp.factor)


def _loops(p: tuple[tuple[int, ...], ...], q: tuple[tuple[int, ...], ...]) -> int:
    groups = [set(pair) for pair in p]
    for pair in q:
        touched = [g for g in groups if g & set(pair)]
        groups = [g for g in groups if not g & set(pair)] + [set().union(*touched)]
    return len(groups)


@lru_cache(maxsize=1)
def _crossed() -> sp.Expr:
    """N^3 times the fourth moment of an orthogonal matrix with differently paired rows and columns, for large N."""
    return sp.limit(N**3 * weingarten(4)[0, 1], N, sp.oo)


def independent(excess_kurtosis: float) -> Ensemble:
    r"""Independent symmetric entries of a given excess kurtosis.

    Equation
        :math:`\kappa_4=E[W^4]/E[W^2]^2-3`. Drawn as three values: 0, or one of two opposite values with probability
        :math:`1/(3+\kappa_4)`.
    Units
        A pure number: 0 for a Gaussian, -2 for signs.
    Valid
        Wide layers know no more of the entries than this number, at leading order in 1/width; the first layer, where inputs
        have few features, sees the three values.
    Errors
        ``InvalidArgument`` below -2 or for no number.
    Source
        Definition.
    """
    if isinstance(excess_kurtosis, bool) or not isinstance(excess_kurtosis, Real | sp.Expr):
        raise InvalidArgument(f"excess_kurtosis={excess_kurtosis!r}; allowed: reals from -2")
    value = sp.nsimplify(excess_kurtosis, rational=True)
    if not value.is_finite:
        raise InvalidArgument(f"excess_kurtosis={excess_kurtosis!r}; allowed: finite reals from -2")
    return Ensemble(f"independent({value})", excess=value, meaning=f"independent entries of excess kurtosis {value}")


def _uniform() -> Ensemble:
    end, meaning = sp.sqrt(3), "independent, uniform on an interval around 0"
    return Ensemble("uniform", excess=-sp.Rational(6, 5), meaning=meaning, entries=Density(1 / (2 * end), end))


def _truncated() -> Ensemble:
    a = sp.Integer(TRUNCATION)
    density = sp.exp(-(a**2) / 2)
    mass = sp.sqrt(2 * sp.pi) * sp.erf(a / sp.sqrt(2))
    moments = cut_moments(mass, lambda i: ((-a) ** i * density, a**i * density), 4)
    deviation = sp.sqrt(moments[2] / mass)
    return Ensemble(
        "truncated_normal",
        excess=sp.simplify(moments[4] * mass / moments[2] ** 2 - 3),
        meaning="independent, normal cut at 2 standard deviations, rescaled",
        entries=Density(deviation * sp.exp(-((deviation * z) ** 2) / 2) / mass, a / deviation),
    )


#: Where a truncated normal is cut, in standard deviations of the normal that is cut.
TRUNCATION = 2


def _rows() -> dict[str, Any]:
    """Names, and functions that make their ensembles on first use."""
    return {
        "gaussian": lambda: Ensemble("gaussian", meaning="independent normal entries"),
        "orthogonal": lambda: Ensemble("orthogonal", crossed=_crossed(), meaning="Haar; orthonormal rows or columns"),
        "uniform": _uniform,
        "rademacher": lambda: Ensemble(
            "rademacher", excess=sp.Integer(-2), meaning="independent signs", entries=three_values(sp.Integer(-2))
        ),
        "truncated_normal": _truncated,
    }


#: Names of the ensembles that the engine holds.
WEIGHTS = tuple(_rows())


@lru_cache(maxsize=64)
def ensemble(name: str) -> Ensemble:
    """The ensemble called ``name``; ``UnknownName`` with the nearest names if there is none."""
    rows = _rows()
    if name not in rows:
        raise unknown_name("weights", name, WEIGHTS)
    made: Ensemble = rows[name]()
    return made


def written(weights: Ensemble | tuple[Ensemble, ...]) -> str:
    """The argument ``weights=`` as it is typed."""
    if isinstance(weights, tuple):
        return f"({', '.join(map(written, weights))})"
    return repr(weights.name) if weights.name in WEIGHTS else weights.name


def as_ensembles(weights: Any, depth: int | None) -> Ensemble | tuple[Ensemble, ...]:
    """The ensembles that ``weights=`` means: a name, an :class:`Ensemble`, or one of these for each layer 1 ... L."""
    if isinstance(weights, Ensemble):
        return weights
    if isinstance(weights, str):
        return ensemble(weights)
    if not isinstance(weights, Iterable):
        raise InvalidArgument(
            f"weights={weights!r}; allowed: one of {', '.join(WEIGHTS)}, independent(excess_kurtosis), or one for each layer"
        )
    several = tuple(w if isinstance(w, Ensemble) else ensemble(str(w)) for w in weights)
    if depth is None or len(several) != depth:
        raise InvalidArgument(
            f"weights={[w.name for w in several]} has {len(several)} entries, but depth={depth}; allowed: one for each layer 1...L"
        )
    return several[0] if len(set(several)) == 1 else several
