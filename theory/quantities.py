r"""The dictionary: PDLT's names for cumulants of jets of different neurons.

A pair :math:`q_A` is the covariance of two jets of one neuron given the layer below. Each quantity is a mean of a pair
or :math:`n` times a covariance of two pairs, and that is all the engine needs to derive its recursion. A new tensor is a new row.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import permutations

from .errors import InvalidArgument, unknown_name
from .symbols import Entry, Jet


class Kind(StrEnum):
    """What a quantity is, as a cumulant of the pairs."""

    MEAN = "mean"  #: E[q_A] at infinite width
    CORRECTION = "correction"  #: n (E[q_A] - its limit)
    COVARIANCE = "covariance"  #: n Cov(q_A, q_B)


#: A jet of a pattern: the set of directions as a string, and the array axis of its sample.
Slot = tuple[str, int]
PairPattern = tuple[Slot, Slot]
Pair = tuple[Jet, Jet]


@dataclass(frozen=True)
class Quantity:
    """A row of the dictionary."""

    name: str
    kind: Kind
    pairs: tuple[PairPattern, ...]
    latex: str  #: head; LAYER stands where the layer superscript goes, if not directly behind the head
    print_order: str  #: axes in the order in which they are printed, with brackets
    meaning: str

    @property
    def rank(self) -> int:
        """The number of sample indices."""
        return 2 * len(self.pairs)

    def at(self, labels: tuple[str, ...]) -> tuple[Pair, ...]:
        """The pairs of jets for the samples ``labels``."""
        return tuple((Jet(labels[i], r), Jet(labels[j], s)) for (r, i), (s, j) in self.pairs)

    def entry(self, labels: tuple[str, ...], shift: int = 0) -> Entry:
        """The symbol of this tensor entry, its labels brought to canonical order by the tensor's symmetries."""
        canonical = min(tuple(labels[i] for i in p) for p in symmetries(self.name))
        return Entry(self.name, canonical, shift)


_K = (("", 0), ("", 1))
_H = (("r", 0), ("r", 1))

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("K", Kind.MEAN, (_K,), "K", "01", "kernel at infinite width"),
    Quantity("Theta", Kind.MEAN, (_H,), r"\Theta", "01", "neural tangent kernel at infinite width"),
    Quantity("V", Kind.COVARIANCE, (_K, (("", 2), ("", 3))), "V", "(01)(23)", "four-point vertex of preactivations"),
    Quantity("D", Kind.COVARIANCE, (_K, (("r", 2), ("r", 3))), "D", "0123", "covariance of the kernel and the NTK"),
    Quantity(
        "F", Kind.COVARIANCE, ((("", 0), ("r", 2)), (("", 1), ("r", 3))), "F", "0213",
        "NTK-preactivation correlator that pairs each preactivation with one index of the NTK",
    ),
    Quantity("A", Kind.COVARIANCE, (_H, (("s", 2), ("s", 3))), "A", "(01)(23)", "covariance of the NTK at two different neurons"),
    Quantity(
        "B", Kind.COVARIANCE, ((("r", 0), ("s", 2)), (("r", 1), ("s", 3))), "B", "0213",
        "variance of the NTK between different neurons",
    ),
    Quantity("P", Kind.COVARIANCE, ((("rs", 0), ("", 3)), (("r", 1), ("s", 2))), "P", "0123", "dNTK-preactivation correlator, Hessian with preactivation"),
    Quantity("Q", Kind.COVARIANCE, ((("rs", 0), ("r", 1)), (("s", 2), ("", 3))), "Q", "0123", "dNTK-preactivation correlator, Hessian with gradient"),
    Quantity("R", Kind.COVARIANCE, ((("rst", 0), ("r", 1)), (("s", 2), ("t", 3))), "R", "0123", "mean of the first ddNTK"),
    Quantity("S", Kind.COVARIANCE, ((("rs", 0), ("rt", 1)), (("s", 2), ("t", 3))), "S", "0123", "mean of the second ddNTK, Hessian with Hessian"),
    Quantity("T", Kind.COVARIANCE, ((("rs", 0), ("s", 2)), (("rt", 1), ("t", 3))), "T", "0213", "mean of the second ddNTK, each Hessian with the gradient that it meets"),
    Quantity("U", Kind.COVARIANCE, ((("rs", 0), ("t", 3)), (("rt", 1), ("s", 2))), "U", "0312", "mean of the second ddNTK, each Hessian with the other's gradient"),
    Quantity("K1", Kind.CORRECTION, (_K,), r"K^{\{1\}LAYER}", "01", "1/n correction to the mean kernel"),
    Quantity("Theta1", Kind.CORRECTION, (_H,), r"\Theta^{\{1\}LAYER}", "01", "1/n correction to the mean NTK"),
)  # fmt: skip

BY_NAME = {q.name: q for q in QUANTITIES}


def register(rows: tuple[Quantity, ...]) -> None:
    """Make rows known to the engine and to the printer."""
    for q in rows:
        BY_NAME[q.name] = q
        Entry.styles[q.name] = (q.latex, q.print_order)


register(QUANTITIES)


def quantity(name: str) -> Quantity:
    """The row called ``name``; ``UnknownName`` with the nearest names if there is none."""
    if not isinstance(name, str):
        raise InvalidArgument(f"quantity={name!r} is a {type(name).__name__}; allowed: one of {', '.join(BY_NAME)}")
    if name not in BY_NAME:
        raise unknown_name("quantity", name, BY_NAME)
    return BY_NAME[name]


@cache
def symmetries(name: str) -> tuple[tuple[int, ...], ...]:
    """The permutations of axes that leave the tensor unchanged: those that only rename neurons and directions."""
    q = BY_NAME[name]
    reference = canonical_pattern(tuple(tuple(pair) for pair in q.pairs))
    return tuple(
        p
        for p in permutations(range(q.rank))
        if canonical_pattern(tuple(tuple((r, p[i]) for r, i in pair) for pair in q.pairs)) == reference
    )


def canonical_pattern(pairs: tuple[tuple[Slot, ...], ...]) -> tuple[tuple[Slot, ...], ...]:
    """The same for all ways of writing one cumulant: pairs, slots within a pair and direction names are bound."""
    names = sorted({d for pair in pairs for r, _ in pair for d in r})
    letters = "rstuvw"[: len(names)]
    return min(
        tuple(sorted(tuple(sorted(("".join(sorted(new[d] for d in r)), i) for r, i in pair)) for pair in pairs))
        for new in (dict(zip(names, p, strict=True)) for p in permutations(letters))
    )


@cache
def lookup(kind: Kind, pairs: tuple[Pair, ...]) -> Entry | None:
    """The tensor entry that a cumulant of pairs is; None if no registered quantity has its pattern."""
    slots = [jet for pair in pairs for jet in pair]
    target = canonical_pattern(_bare(pairs))
    for q in list(BY_NAME.values()):
        if q.kind is not kind or len(q.pairs) != len(pairs):
            continue
        for p in permutations(range(q.rank)):
            pattern = tuple(tuple((r, p[i]) for r, i in pair) for pair in q.pairs)
            if canonical_pattern(pattern) == target:
                # axis i of the tensor holds the sample of the p[i]-th jet
                return q.entry(tuple(slots[p[i]].sample for i in range(q.rank)))
    return None


def _bare(pairs: tuple[Pair, ...]) -> tuple[tuple[Slot, ...], ...]:
    """The pattern of concrete pairs: each jet's directions and its place."""
    places = iter(range(99))
    return tuple(tuple(("".join(jet.directions), next(places)) for jet in pair) for pair in pairs)
