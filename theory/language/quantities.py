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
from .jets import Entry, Jet


class Kind(StrEnum):
    """What a quantity is, as a cumulant of the pairs."""

    MEAN = "mean"  #: E[q_A] at infinite width
    COVARIANCE = "covariance"  #: n Cov(q_A, q_B) at leading order
    CUMULANT = "cumulant"  #: n^(r-1) times the joint cumulant of r pairs at leading order
    CORRECTION = "correction"  #: the coefficient of a higher power of 1/n in one of the above
    LOCAL = "local"  #: n times the joint cumulant of four jets of one and the same neuron, beyond what the pairs give


#: A jet of a pattern: the set of directions as a string, and the array axis of its sample.
Slot = tuple[str, int]
PairPattern = tuple[Slot, ...]
Pair = tuple[Jet, ...]


@dataclass(frozen=True)
class Quantity:
    """A row of the dictionary."""

    name: str
    pairs: tuple[PairPattern, ...]  #: the slots of one neuron each; four slots in one for a LOCAL cumulant
    latex: str  #: head; LAYER stands where the layer superscript goes, if not directly behind the head
    print_order: str  #: axes in the order in which they are printed, with brackets
    meaning: str
    correction: int = 0  #: the power of 1/n beyond the leading one

    @property
    def kind(self) -> Kind:
        """What it is, as a cumulant of the pairs."""
        if self.correction:
            return Kind.CORRECTION
        if len(self.pairs[0]) > 2:
            return Kind.LOCAL
        return {1: Kind.MEAN, 2: Kind.COVARIANCE}.get(len(self.pairs), Kind.CUMULANT)

    @property
    def rank(self) -> int:
        """The number of sample indices."""
        return sum(map(len, self.pairs))

    @property
    def order(self) -> int:
        """The power of 1/n_(l-1) that multiplies the tensor of layer l."""
        return self.rank // 2 - 1 + self.correction

    def at(self, labels: tuple[str, ...]) -> tuple[Pair, ...]:
        """The pairs of jets for the samples ``labels``."""
        return tuple(tuple(Jet(labels[i], r) for r, i in pair) for pair in self.pairs)

    def entry(self, labels: tuple[str, ...], shift: int = 0) -> Entry:
        """The symbol of this tensor entry, its labels brought to canonical order by the tensor's symmetries."""
        canonical = min(tuple(labels[i] for i in p) for p in symmetries(self.name))
        return Entry(self.name, canonical, shift)


_K, _K2, _K3, _K4 = ((("", i), ("", i + 1)) for i in (0, 2, 4, 6))
_H, _H2, _H3 = ((("r", i), ("r", i + 1)) for i in (0, 2, 4))
_F = ((("", 0), ("r", 2)), (("", 1), ("r", 3)))
_F2 = ((("", 2), ("r", 4)), (("", 3), ("r", 5)))

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("K", (_K,), "K", "01", "kernel at infinite width"),
    Quantity("Theta", (_H,), r"\Theta", "01", "neural tangent kernel at infinite width"),
    Quantity("V", (_K, _K2), "V", "(01)(23)", "four-point vertex of preactivations"),
    Quantity("D", (_K, _H2), "D", "0123", "covariance of the kernel and the NTK"),
    Quantity(
        "F", _F, "F", "0213",
        "NTK-preactivation correlator that pairs each preactivation with one index of the NTK",
    ),
    Quantity("A", (_H, (("s", 2), ("s", 3))), "A", "(01)(23)", "covariance of the NTK at two different neurons"),
    Quantity(
        "B", ((("r", 0), ("s", 2)), (("r", 1), ("s", 3))), "B", "0213",
        "variance of the NTK between different neurons",
    ),
    Quantity(
        "P", ((("rs", 0), ("", 3)), (("r", 1), ("s", 2))), "P", "0123",
        "dNTK-preactivation correlator that pairs the Hessian with the preactivation",
    ),
    Quantity(
        "Q", ((("rs", 0), ("r", 1)), (("s", 2), ("", 3))), "Q", "0123",
        "dNTK-preactivation correlator that pairs the Hessian with a gradient",
    ),
    Quantity("R", ((("rst", 0), ("r", 1)), (("s", 2), ("t", 3))), "R", "0123", "mean of the first ddNTK"),
    Quantity(
        "S", ((("rs", 0), ("rt", 1)), (("s", 2), ("t", 3))), "S", "0123",
        "mean of the second ddNTK, Hessian paired with Hessian",
    ),
    Quantity(
        "T", ((("rs", 0), ("s", 2)), (("rt", 1), ("t", 3))), "T", "0213",
        "mean of the second ddNTK, each Hessian paired with the gradient that it meets",
    ),
    Quantity(
        "U", ((("rs", 0), ("t", 3)), (("rt", 1), ("s", 2))), "U", "0312",
        "mean of the second ddNTK, each Hessian paired with the gradient of the other",
    ),
    Quantity("K1", (_K,), r"K^{\{1\}LAYER}", "01", "1/n correction to the mean kernel", 1),
    Quantity("Theta1", (_H,), r"\Theta^{\{1\}LAYER}", "01", "1/n correction to the mean NTK", 1),
    # where the entries of W are independent and not Gaussian
    Quantity("X4", ((*_K, *_K2),), "X", "0123", "fourth cumulant of the preactivations of one neuron beyond 3V"),
    Quantity("Y4", ((*_K, *_H2),), "Y", "0123", "cumulant of two preactivations and two gradients of one neuron beyond D + 2F"),
    # the next order
    Quantity("V6", (_K, _K2, _K3), r"\mathcal{V}", "(01)(23)(45)", "connected six-point function of preactivations"),
    Quantity("D6", (_K, _K2, _H3), r"\mathcal{D}", "(01)(23)45", "cumulant of two kernels and the NTK"),
    Quantity("F6", (_K, *_F2), r"\mathcal{F}", "(01)2435", "six-point cumulant that pairs preactivations with the NTK"),
    Quantity("V1", (_K, _K2), r"V^{\{1\}LAYER}", "(01)(23)", "1/n correction to V", 1),
    Quantity("D1", (_K, _H2), r"D^{\{1\}LAYER}", "0123", "1/n correction to D", 1),
    Quantity("F1", _F, r"F^{\{1\}LAYER}", "0213", "1/n correction to F", 1),
    Quantity("K2", (_K,), r"K^{\{2\}LAYER}", "01", "1/n^2 correction to the mean kernel", 2),
    Quantity("Theta2", (_H,), r"\Theta^{\{2\}LAYER}", "01", "1/n^2 correction to the mean NTK", 2),
    Quantity("V8", (_K, _K2, _K3, _K4), r"\mathcal{W}", "(01)(23)(45)(67)", "connected eight-point function of preactivations"),
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


def lookup(pairs: tuple[Pair, ...], correction: int = 0) -> Entry | None:
    """The tensor entry that a cumulant of pairs is; None if no registered quantity has its pattern."""
    slots = [jet for pair in pairs for jet in pair]
    places = iter(range(len(slots)))
    found = _row_of(tuple(tuple(("".join(jet.directions), next(places)) for jet in pair) for pair in pairs), correction)
    if found is None:
        return None
    row, axes = found
    return row.entry(tuple(slots[i].sample for i in axes))


def _numbers(pattern: tuple[PairPattern, ...]) -> list[list[int]]:
    """How many directions the jets of each pair have: what two patterns must share before anything else is compared."""
    return sorted(sorted(len(r) for r, _ in pair) for pair in pattern)


@cache
def _row_of(pattern: tuple[PairPattern, ...], correction: int) -> tuple[Quantity, tuple[int, ...]] | None:
    """The quantity with this pattern, and which slot of the pattern is on which of its axes."""
    target = canonical_pattern(pattern)
    for q in BY_NAME.values():
        if q.correction != correction or _numbers(q.pairs) != _numbers(pattern):
            continue
        for p in permutations(range(q.rank)):
            renamed = tuple(tuple((r, p[i]) for r, i in pair) for pair in q.pairs)
            if canonical_pattern(renamed) == target:
                return q, p
    return None
