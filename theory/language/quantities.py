r"""The observables of networks at initialisation: PDLT's names for cumulants of jets of different neurons.

A pair :math:`q_A` is the covariance of two jets of one neuron given the layer below. Each quantity is a mean of a pair
or :math:`n` times a covariance of two pairs, and that is all the engine needs to derive its recursion. A new tensor is a new row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import permutations
from typing import Any

from sympy.printing.precedence import PRECEDENCE, PRECEDENCE_TRADITIONAL

from .errors import InvalidArgument
from .jets import Jet
from .observables import Permutation, Table
from .symbols import Variable, label_latex

# In LaTeX an entry has a superscript of its own: its powers take brackets.
PRECEDENCE_TRADITIONAL["Entry"] = PRECEDENCE["Mul"]


class Entry(Variable):
    r"""An entry of a tensor: ``Entry("V", ("a","b","c","d"))`` is :math:`V_{(ab)(cd)}` of the layer below.

    ``shift=1`` is the layer that is being computed. Labels are in the order of the array axes. In print, as text and as LaTeX, they
    are in the order of the book, with its brackets: ``F_1324`` is the entry ``F[1,2,3,4]`` of the array.
    """

    name: str
    labels: tuple[str, ...]
    shift: int

    def __new__(cls, name: str, labels: tuple[str, ...], shift: int = 0) -> Entry:
        """Structure first: equal structures are equal atoms."""
        obj: Entry = super().__new__(cls)
        obj.name, obj.labels, obj.shift = name, tuple(labels), shift
        obj.structure = (name, obj.labels, shift)
        return obj

    def _plain(self) -> str:
        short = all(len(label) < 2 for label in self.labels)
        index = self._index(self.labels, "" if short else ",").replace(",(", "(").replace(",)", ")").rstrip(",")
        index = index if short else f"{{{index}}}"
        return f"{self.name}{chr(39) * self.shift}" + (f"_{index}" if any(self.labels) else "")

    def _latex(self, printer: Any) -> str:
        # The letter and the grouping of the labels are those of the table; a name that is in none prints as it is.
        row = TENSORS.get(self.name)
        head = row.latex if row else self.name
        layer = r"(\ell+1)" if self.shift else r"(\ell)"
        head = head.replace("LAYER", layer) if "LAYER" in head else rf"{head}^{{{layer}}}"
        index = self._index(tuple(map(label_latex, self.labels)), " ").strip()
        return rf"{head}_{{{index}}}" if any(self.labels) else head

    def _index(self, labels: tuple[str, ...], behind: str) -> str:
        """The labels in the order of the book, with its brackets: one pattern for text and for LaTeX."""
        row = TENSORS.get(self.name)
        pattern = row.print_order if row else "0123456789"[: len(labels)]
        return "".join(labels[int(c)] + behind if c.isdigit() else c for c in pattern)


class Kind(StrEnum):
    """The kind of a quantity: which cumulant of the pairs it is."""

    MEAN = "mean"  #: E[q_A] at infinite width
    COVARIANCE = "covariance"  #: n Cov(q_A, q_B) at leading order
    CUMULANT = "cumulant"  #: n^(r-1) times the joint cumulant of r pairs at leading order
    CORRECTION = "correction"  #: the coefficient of a higher power of 1/n in one of the above
    LOCAL = "local"  #: n times the joint cumulant of four jets of one and the same neuron, beyond those of the pairs


#: The axes of the samples of a correlator.
AXES = ("sample", *(f"sample{i}" for i in range(2, 9)))
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
        """Which cumulant of the pairs it is."""
        if self.correction:
            return Kind.CORRECTION
        if len(self.pairs[0]) > 2:
            return Kind.LOCAL
        return {1: Kind.MEAN, 2: Kind.COVARIANCE}.get(len(self.pairs), Kind.CUMULANT)

    @property
    def dims(self) -> tuple[str, ...]:
        """The layer, and a sample for each slot, in the order of the correlator."""
        return ("layer", *AXES[: self.rank])

    @property
    def symmetries(self) -> tuple[Permutation, ...]:
        """The permutations of axes that only rename neurons and directions; the layer stays."""
        return tuple((0, *(i + 1 for i in p)) for p in _symmetries(self.pairs))

    @property
    def slope_of(self) -> str | None:
        """None: corrections to means are measured from their limits, network by network."""
        return None

    def scale(self, largest: Mapping[str, float]) -> float:
        """The size of the products of kernels that a cumulant is a difference of: K for z, Theta for d_r z."""
        size = 1.0
        for pair in self.pairs:
            for directions, _ in pair:
                size *= largest.get("Theta" if directions else "K", 0.0) ** 0.5
        return size

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
        canonical = min(tuple(labels[i] for i in p) for p in _symmetries(self.pairs))
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


class Tensors(Table[Quantity]):
    """The dictionary, which finds a cumulant's name too."""

    def _check_symmetries(self, row: Quantity) -> None:
        """Nothing: they follow from the pattern, as a group."""

    def _check(self, row: Quantity) -> None:
        super()._check(row)
        axes = sorted(axis for pair in row.pairs for _, axis in pair)
        if axes != list(range(row.rank)):
            raise InvalidArgument(
                f"quantity {row.name!r}: pairs={row.pairs}; allowed: each axis 0 ... {row.rank - 1} once"
            )
        if sorted(c for c in row.print_order if c.isdigit()) != [str(i) for i in axes]:
            raise InvalidArgument(
                f"quantity {row.name!r}: print_order={row.print_order!r}; allowed: each of the digits 0 ... {row.rank - 1} once, "
                "with brackets"
            )
        counts = [sum(r.count(d) for pair in row.pairs for r, _ in pair) for d in "rstuvw"]
        if any(n % 2 for n in counts):
            raise InvalidArgument(
                f"quantity {row.name!r}: pairs={row.pairs} hold a direction an odd number of times, so that it vanishes; "
                "allowed: each direction in an even number of jets"
            )
        for other in self.values():
            if other.name != row.name and other.correction == row.correction and _same(other.pairs, row.pairs):
                raise InvalidArgument(
                    f"quantity {row.name!r} is {other.name} with its axes in another order; allowed: a new cumulant"
                )

    def find(self, pattern: tuple[PairPattern, ...], correction: int) -> tuple[Quantity, Permutation] | None:
        """The quantity with this pattern, and which slot of the pattern is on which of its axes."""
        return _row_of(self, self.version, pattern, correction)


def quantity(name: str) -> Quantity:
    """The row called ``name``; ``UnknownName`` with the nearest names if there is none."""
    return TENSORS[name]


def symmetries(name: str) -> tuple[Permutation, ...]:
    """The permutations of sample axes that leave the tensor unchanged: those that only rename neurons and directions."""
    return _symmetries(TENSORS[name].pairs)


@lru_cache(maxsize=256)
def _symmetries(pairs: tuple[PairPattern, ...]) -> tuple[Permutation, ...]:
    reference = canonical_pattern(tuple(tuple(pair) for pair in pairs))
    return tuple(
        p
        for p in permutations(range(sum(map(len, pairs))))
        if canonical_pattern(tuple(tuple((r, p[i]) for r, i in pair) for pair in pairs)) == reference
    )


def _same(one: tuple[PairPattern, ...], other: tuple[PairPattern, ...]) -> bool:
    """Whether two patterns are one cumulant but for the order of their axes."""
    if _numbers(one) != _numbers(other):
        return False
    target = canonical_pattern(other)
    renamed = (
        tuple(tuple((r, p[i]) for r, i in pair) for pair in one) for p in permutations(range(sum(map(len, one))))
    )
    return any(canonical_pattern(pattern) == target for pattern in renamed)


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
    pattern = tuple(tuple(("".join(jet.directions), next(places)) for jet in pair) for pair in pairs)
    found = TENSORS.find(pattern, correction)
    if found is None:
        return None
    row, axes = found
    return row.entry(tuple(slots[i].sample for i in axes))


def _numbers(pattern: tuple[PairPattern, ...]) -> list[list[int]]:
    """How many directions the jets of each pair have: only patterns with equal numbers can be equal."""
    return sorted(sorted(len(r) for r, _ in pair) for pair in pattern)


@lru_cache(maxsize=4096)
def _row_of(
    table: Tensors, version: int, pattern: tuple[PairPattern, ...], correction: int
) -> tuple[Quantity, Permutation] | None:
    target = canonical_pattern(pattern)
    for q in table.values():
        if q.correction != correction or _numbers(q.pairs) != _numbers(pattern):
            continue
        for p in permutations(range(q.rank)):
            renamed = tuple(tuple((r, p[i]) for r, i in pair) for pair in q.pairs)
            if canonical_pattern(renamed) == target:
                return q, p
    return None


#: The table; ``register`` makes a row known to the engine and to the printer.
TENSORS = Tensors("quantity", QUANTITIES)
