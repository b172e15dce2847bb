r"""Susceptibilities as letters: the equations of one input in the notation of Roberts, Yaida & Hanin (arXiv:2106.10165).

.. math::
    \chi_\parallel=\frac{\partial K'}{\partial K}=C_W\langle\sigma\sigma''+\sigma'^2\rangle,\qquad
    \chi_\perp=\frac{\partial\Theta'}{\partial\Theta}=C_W\langle\sigma'^2\rangle,\qquad
    h=\tfrac12\,\frac{d\chi_\perp}{dK}.

They are derived from the layer map as its responses, and put in the place of the averages that they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.core.symbol import Str

from ..averages.gaussian import Average
from ..language.equations import Plain
from ..language.errors import InvalidArgument, NotAvailable
from ..language.jets import Jet
from ..language.quantities import quantity
from ..layers.map import LayerMap
from ..meanfield.system import MeanFieldSystem

#: The words of ``notation=``.
WORDS = ("averages", "chi")

_Z, _DZ = Jet(""), Jet("", "r")
_K, _THETA = (_Z, _Z), (_DZ, _DZ)


class Susceptibility(sp.Expr):
    """A susceptibility: a letter with its definition, at some kernel. As a function it is its definition."""

    is_commutative = True
    is_real = True

    @property
    def meaning(self) -> sp.Expr:
        """The average that it is."""
        return self.args[3]

    @property
    def free_symbols(self) -> set[sp.Basic]:
        """Those of the definition."""
        return self.args[3].free_symbols | self.args[2].free_symbols

    def doit(self, **hints: Any) -> sp.Expr:
        """The definition, carried out."""
        return self.meaning.doit(**hints)

    def _eval_derivative(self, s: sp.Expr) -> sp.Expr:
        return self.meaning.diff(s)

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return self.meaning._eval_evalf(prec)

    def _at(self, printer: Any) -> str:
        return "" if self.args[2] == _kernel() else f"({printer._print(self.args[2])})"

    def _sympystr(self, printer: Any) -> str:
        return f"{self.args[0].name}{self._at(printer)}"

    def _latex(self, printer: Any) -> str:
        return f"{self.args[1].name}{self._at(printer)}"


def _kernel() -> sp.Expr:
    return quantity("K").entry(("", ""))


def _letter(name: str, tex: str, meaning: sp.Expr) -> Susceptibility:
    return Susceptibility(Str(name), Str(tex), _kernel(), meaning)


@lru_cache(maxsize=64)
def susceptibility_letters(
    layer: LayerMap, known: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
) -> tuple[Susceptibility, ...]:
    """The letters of a layer map, with the numbers of a network."""
    system, numbers = MeanFieldSystem(layer), dict(known)
    perpendicular = system.response(_THETA)[_THETA].xreplace(numbers)
    return (
        _letter("chi_parallel", r"\chi_{\parallel}", system.response(_K)[_K].xreplace(numbers)),
        _letter("chi_perp", r"\chi_{\perp}", perpendicular),
        _letter("h", "h", sp.diff(perpendicular, _kernel()) / 2),
    )


@dataclass(frozen=True)
class InLetters:
    """An expression with letters in the place of the averages of one input that they are."""

    letters: tuple[Susceptibility, ...]
    told = "susceptibilities as letters"

    def __call__(self, expr: sp.Expr) -> sp.Expr:
        """The expression, changed."""
        return expr.xreplace({node: self._of(node) for node in expr.atoms(Average)})

    def _of(self, node: Average) -> sp.Expr:
        for letter in self.letters:
            constant, term = letter.meaning.as_independent(Average, as_Add=True)
            factor, own = term.as_independent(Average, as_Add=False)
            # <d(sigma sigma')> is half of <d^2 sigma^2>: what counts is what they are when the derivatives are carried out.
            ratio = sp.cancel(_plain(node) / _plain(own)) if node.sites == own.sites else sp.S.NaN
            if ratio.is_Rational:
                return ratio * (letter - constant) / factor
        return node


@lru_cache(maxsize=4096)
def _plain(node: Average) -> sp.Expr:
    return sp.expand(node.general.explicit())


def definitions(used: sp.Basic) -> Iterator[Plain]:
    """What the letters are that occur."""
    found = sorted(used.atoms(Susceptibility), key=str)
    return (Plain(letter, sp.expand(letter.meaning.doit())) for letter in found)


def check_word(notation: str) -> str:
    """A word of ``notation=``."""
    if notation not in WORDS:
        raise InvalidArgument(f"notation={notation!r}; allowed: {', '.join(map(repr, WORDS))}")
    return notation


def check_one_input(single: bool) -> None:
    """Susceptibilities are those of one input."""
    if not single:
        raise NotAvailable(
            "notation='chi' of equations of several samples; allowed: equations of one, as of derive(net, samples=1)"
        )
