r"""Linear networks: sites that are linear in their Gaussian sources close the equations of training algebraically.

With :math:`\phi(h)=h` the equations of a site are linear, :math:`h=u+C\,g,\ g=r+D\,h`, with operators over samples and times
that hold the memories. They are solved here by elimination, for any such system; averages of products of h and g follow from
the covariances of u and r.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from ..language import latex
from ..language.symbols import ell, gamma_0
from .fields import Activated, Memory, SiteField

_SIZE = sp.Symbol("n", integer=True, positive=True)
Rows = dict[str, dict[str, sp.MatrixExpr]]


class Operator(sp.MatrixSymbol):
    """A matrix over samples and times, with a name of its own in print."""

    def __new__(cls, name: str, tex: str) -> Any:
        """A square matrix."""
        obj = super().__new__(cls, name, _SIZE, _SIZE)
        obj.tex = tex
        return obj

    def _hashable_content(self) -> tuple[Any, ...]:
        return (*super()._hashable_content(), self.tex)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.name, self.tex

    def _latex(self, printer: Any) -> str:
        return str(self.tex)

    @property
    def func(self) -> Any:
        """Rebuilds with the same name."""
        return lambda *_: self


def operator(name: str, layer: sp.Expr = ell) -> sp.MatrixSymbol:
    """An order parameter, or C or D, of a layer."""
    head, place = {"Phi": r"\Phi"}.get(name, name), str(layer).replace(" ", "")
    return Operator(f"{name}[{place}]", rf"{head}^{{{latex.tex(layer)}}}".replace(" ", ""))


def closed_equations(system: Mapping[str, sp.Eq], slope: sp.Expr) -> tuple[sp.Eq, ...]:
    """The algebraic equations for Phi, G, A, B of a linear activation of that slope, and the operators in them."""
    kernels = []
    rows: Rows = {}
    for field, name in (("h", "C"), ("z", "D")):
        rows[field], kernel = _linear(system[field].rhs, operator(name), slope)
        kernels.append(sp.Eq(operator(name), kernel, evaluate=False))
    solved = _eliminated(rows)
    sources = {"u": _source(system["u"].rhs), "r": _source(system["r"].rhs)}
    found = []
    for left, field, response, at in (("Phi", "h", "r", ell), ("G", "z", "u", ell - 1)):
        covariance = sp.Add(*(solved[field][s] * K * solved[field][s].T for s, K in sources.items()))
        found.append(sp.Eq(operator(left), slope**2 * covariance, evaluate=False))
        name = "A" if field == "h" else "B"
        answer = slope * solved[field][response] / gamma_0
        found.append(sp.Eq(operator(name, at), answer, evaluate=False))
    return (*kernels, *found)


def _linear(expr: sp.Expr, memory: sp.MatrixSymbol, slope: sp.Expr) -> tuple[dict[str, sp.MatrixExpr], sp.Expr]:
    """An equation of a site as coefficients of fields, and the memory's kernel.

    The source has the identity, or with weight decay the diagonal operator a(t); the other field has the memory.
    """
    terms: dict[str, sp.MatrixExpr] = {}
    kernel = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(expr)):
        factor, rest = term.as_independent(Memory, SiteField)
        if isinstance(rest, Memory):
            other = "h" if rest.vector.has(Activated) else "z"
            terms[other] = slope * memory
            kernel += factor * rest.func(rest.kernel, sp.S.One)
        else:
            assert isinstance(rest, SiteField)
            terms[rest.name] = sp.Identity(_SIZE) if factor == 1 else Operator(str(factor), latex.tex(factor))
    return terms, kernel


def _eliminated(rows: Rows) -> Rows:
    """Each field by the sources: x = s + M y, y = s' + M' x gives x = (1 - M M')^-1 (s + M s')."""
    solved: Rows = {}
    for x, y, s, t in (("h", "z", "u", "r"), ("z", "h", "r", "u")):
        M, N = rows[x][y], rows[y][x]
        inverse = sp.Inverse(sp.Identity(_SIZE) - M * N)
        solved[x] = {s: inverse * rows[x][s], t: inverse * M * rows[y][t]}
    return solved


def _source(expr: sp.Expr) -> sp.MatrixExpr:
    """The covariance of a source as an operator: a multiple of an order parameter plus a multiple of the matrix of ones."""
    (order,) = expr.atoms(sp.AtomicExpr) - expr.free_symbols - expr.atoms(sp.Number)
    neighbour = operator(order.name, order.layer)
    weight = sp.expand(expr).coeff(order)
    constant = sp.expand(expr - weight * order)
    ones = Operator("ones", r"\mathbf 1\mathbf 1^\top")
    return weight * neighbour + constant * ones if constant else weight * neighbour
