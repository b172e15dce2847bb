"""A step of a derivation: its title, the reason, and the equations that it gives."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from . import latex


@dataclass(frozen=True)
class Step:
    """One step: its title, the reason for which it is allowed, and the equations that it gives."""

    title: str
    reason: str
    equations: tuple[sp.Eq, ...]
    terms: tuple[sp.Expr, ...] = ()  #: the summands of a single equation in the order of print, if it matters

    def latex(self) -> str:
        """A heading, the reason and an ``align*``."""
        rows = [row for eq in self.equations for row in latex.equation_lines(eq.lhs, self.terms or [eq.rhs])]
        return (
            rf"\paragraph{{{self.title}.}} {self.reason}" "\n\\begin{align*}\n" + latex.join(rows) + "\n\\end{align*}"
        )

    def _repr_latex_(self) -> str:
        return latex.aligned(
            row for eq in self.equations for row in latex.equation_lines(eq.lhs, self.terms or [eq.rhs])
        )

    def __str__(self) -> str:
        lines = [f"    {eq.lhs} = {eq.rhs}" for eq in self.equations]
        return "\n".join([f"{self.title}: {_plain(self.reason)}", *lines])


#: How the mathematics of the reasons reads without its markup.
_PLAIN = {
    "$": "", r"\,": " ", r"\to": " -> ", r"\sum": "sum", r"\sqrt": " sqrt ", r"\lambda": "lambda", r"\epsilon": "eps",
    r"\sigma": "sigma", r"\langle ": "<", r"\langle": "<", r"\rangle": ">", r"\partial": "d", r"\mathrm": "", r"\ell": "l",
    r"\infty": "oo", r"\Theta": "Theta", "{": "", "}": "",
}  # fmt: skip


def _plain(text: str) -> str:
    """A reason without its mathematics markup, for a terminal."""
    for old, new in _PLAIN.items():
        text = text.replace(old, new)
    return text
