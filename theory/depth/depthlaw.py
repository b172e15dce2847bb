r"""Results: the large-depth behaviour of a quantity, and of all of them, as values that print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import sympy as sp

from ..language import latex
from ..language.markup import grid, record, short
from ..language.quantities import Entry, quantity
from ..language.symbols import Parameter, ell
from ..language.values import Written
from ..networks.architecture import MLP
from ..typesetting import environments
from ..typesetting.environments import Display, layout

#: The kernel: the variable of series around K = 0, or the value at which it stays.
kernel = Parameter("K", positive=True)
#: The shift of the layer number, which depends on the first layers.
SHIFT = Parameter("ell_0", real=True)

#: Digits of numbers in LaTeX.
SHOWN = 8


def amplitude(name: str) -> sp.Symbol:
    """The amplitude of the homogeneous solution of a quantity, which depends on the first layers."""
    return Parameter(f"c_{name}", real=True)


def dimension(name: str) -> tuple[int, sp.Expr]:
    """The powers of Theta and K that scale as a tensor does: Theta for each direction, K for the rest of its legs."""
    row = quantity(name)
    directions = len({d for pair in row.pairs for jet, _ in pair for d in jet})
    return directions, sp.Rational(row.rank, 2) - directions


class Point(StrEnum):
    """The kind of fixed point at which the kernel stays, or to which it runs."""

    LINE = "every K is a fixed point"
    ORIGIN = "K* = 0"
    FINITE = "exactly at K* > 0"


@dataclass(frozen=True, repr=False)
class DepthLaw(Written):
    r"""The behaviour of one quantity at large depth.

    Equation
        ``leading`` and ``series`` are functions of ``ell``; for K* = 0 ``in_kernel`` is the same series as a function of K, with
        more orders. ``ratio`` is the leading behaviour of X divided by the powers of K and Theta with its dimension.
    Units
        As the recursions: a tensor multiplies 1/n.
    Valid
        At criticality, for large ``ell``; ``exact`` says whether ``series`` holds at every layer.
    """

    name: str
    leading: sp.Expr
    series: sp.Expr
    ratio: sp.Expr
    in_kernel: sp.Expr | None
    exact: bool  #: whether ``series`` is the whole answer
    homogeneous: sp.Expr  #: the power of ell with which a disturbance of this quantity in an early layer is passed on
    steps: tuple[str, ...]

    @property
    def exponent(self) -> sp.Expr:
        """The power of ell in the leading term (logarithms aside)."""
        return sp.simplify(sp.degree(self.leading, ell) if self.leading.is_polynomial(ell) else _power(self.leading))

    @property
    def constants(self) -> tuple[sp.Symbol, ...]:
        """The symbols in the series that the recursion leaves open: they depend on the first layers."""
        found = {s for s in self.series.free_symbols if s == SHIFT or s.name.startswith("c_")}
        return tuple(sorted(found, key=str))

    def __str__(self) -> str:
        return f"{self.name} {'=' if self.exact else '~'} {self.series if self.exact else self.leading}"

    def __repr__(self) -> str:
        return short(f"<DepthLaw {self}>")

    def _repr_html_(self) -> str:
        entries = {"leading": self.leading, "series": self.series, "exponent": self.exponent, "ratio": self.ratio}
        shown = {name: _formula(expr) for name, expr in entries.items()}
        exact = "holds at every layer" if self.exact else "holds at large depth"
        return record(
            f"{self.name} over depth",
            shown | {"series is exact": exact, "open constants": ", ".join(map(str, self.constants))},
        )


def _formula(expr: sp.Expr) -> str:
    """A formula for a page that sets what stands between dollars."""
    return f"${latex.tex(_rounded(expr))}$"


def _power(expr: sp.Expr) -> sp.Expr:
    return sp.Add(*(f.as_base_exp()[1] for f in sp.Mul.make_args(expr) if f.as_base_exp()[0] == ell))


def _rounded(expr: sp.Expr) -> sp.Expr:
    """The expression with floating-point numbers rounded to as many digits as a paper shows."""
    return expr.xreplace({number: sp.Float(number, SHOWN) for number in expr.atoms(sp.Float)})


@dataclass(frozen=True, repr=False)
class DepthLaws(Written, Mapping[str, DepthLaw]):
    r"""The depth laws of a closed system of quantities, by name.

    Equation
        :math:`X^{(\ell)}\simeq c\,\ell^{\,p}\log^j\ell` for each quantity; ``definitions`` are the values of the letters in the
        coefficients, in order.
    Units
        As the recursions: a tensor multiplies 1/n.
    Valid
        At the fixed point ``point`` of the activation of ``net``, with critical C_W and C_b.
    Errors
        ``UnknownName`` for a name that is no quantity.
    """

    net: MLP
    point: Point
    laws: tuple[DepthLaw, ...]
    definitions: Mapping[sp.Symbol, sp.Expr] = field(default_factory=dict)

    def __getitem__(self, name: str) -> DepthLaw:
        for law in self.laws:
            if law.name == name:
                return law
        quantity(name)  # a clear error for an unknown name
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (law.name for law in self.laws)

    def latex(self, *, width: Any = "article", environment: str = "align", labels: str | None = None) -> str:
        """The leading behaviour of every quantity, and the values of its letters, set as ``Equations.latex`` sets them."""
        return environments.written(self.displays, layout(width, environment, labels))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {environments.aligned(self.displays)}$"

    @property
    def displays(self) -> list[Display]:
        """The laws for print, and the letters in them."""
        found = []
        for law in self.laws:
            relation = "=" if law.exact and law.leading == law.series else r"\simeq"
            left = Entry(law.name, ("",) * quantity(law.name).rank)
            found.append(replace(latex.display(left, [_rounded(law.leading)], law.name), relation=relation))
        shown = set().union(*(law.leading.free_symbols for law in self.laws))
        letters = ((letter, meaning) for letter, meaning in self.definitions.items() if letter in shown)
        return found + [latex.display(letter, [_rounded(meaning)], str(letter)) for letter, meaning in letters]

    def __len__(self) -> int:
        return len(self.laws)

    def __str__(self) -> str:
        rows = [(law.name, str(law.leading), str(law.ratio)) for law in self.laws]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        head = f"{self.net.activation.name}, {self.point}: leading behaviour, and divided by powers of K and Theta"
        shown = set().union(*(law.leading.free_symbols for law in self.laws))
        lines += [f"with {letter} = {meaning}" for letter, meaning in self.definitions.items() if letter in shown]
        return "\n".join([head, *lines])

    def __repr__(self) -> str:
        return short(f"<DepthLaws of {self.net.activation.name}, {self.point}: {', '.join(self)}>")

    def _repr_html_(self) -> str:
        rows = [(law.name, _formula(law.leading), _formula(law.ratio)) for law in self.laws]
        shown = set().union(*(law.leading.free_symbols for law in self.laws))
        letters = {f"{letter}": _formula(meaning) for letter, meaning in self.definitions.items() if letter in shown}
        table = grid(("quantity", "leading behaviour", "by powers of K and Theta"), rows, text=3)
        return record(f"{self.net.activation.name}, {self.point}: large depth", letters) + table
