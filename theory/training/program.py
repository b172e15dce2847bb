r"""The training of a network as a program: forward pass, backward pass and update, as products with the weight matrices.

Each statement is an equation for one neuron; a product :math:`W a` stands for the component :math:`\sum_jW_{ij}a_j` that this
neuron receives. The backward pass and the update are derivatives of the forward statement, taken here; nothing of them is written
down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..language.symbols import Atom, ell, gamma_0, lambda_b, lambda_W
from .fields import Activated, Memory, OrderParameter, Place, SiteField, eta, last, width

#: The outputs and samples of a statement, and of a sum over the past.
HERE: Place = (("mu",), "t")
HERE_OUT: Place = (("k", "mu"), "t")
PAST: Place = (("alpha",), "s")
PAST_OUT: Place = (("k'", "alpha"), "s")


class Weight(Atom):
    r"""The matrix :math:`W^\ell(t)` of a layer; ``time="0"`` is its initial value."""

    layer: sp.Expr
    time: str

    def __new__(cls, layer: Any, time: str) -> Weight:
        """Structure first: equal structures are equal atoms."""
        obj: Weight = super().__new__(cls)
        obj.layer, obj.time = sp.sympify(layer), time
        obj.structure = (obj.layer, time)
        return obj

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """The order in products: in front of parameters and vectors."""
        return 1, 0, cls.__name__

    def _plain(self) -> str:
        return f"W^{self.layer}({self.time})"

    def _latex(self, printer: Any) -> str:
        return rf"W^{{{printer._print(self.layer)}}}({self.time})"


class MatrixProduct(sp.Expr):
    r"""The component of :math:`W^\ell(t)\,a`, or of :math:`W^{\ell\top}(t)\,a`; ``time=None`` is the matrix at initialisation.

    :math:`W^\ell` maps layer :math:`\ell` to :math:`\ell+1`.
    """

    is_commutative = True
    is_real = True
    layer: sp.Expr
    time: str | None
    transposed: bool

    def __new__(cls, vector: Any, layer: Any, time: str | None, *, transposed: bool = False) -> Any:
        """The vector is the only argument of the expression; the matrix is held beside it."""
        obj = super().__new__(cls, vector)
        obj.layer, obj.time, obj.transposed = sp.sympify(layer), time, transposed
        return obj

    @property
    def vector(self) -> sp.Expr:
        """The vector that the matrix multiplies."""
        return self.args[0]

    @property
    def func(self) -> Any:
        """Rebuilds with the same matrix."""
        return lambda v: MatrixProduct(v, self.layer, self.time, transposed=self.transposed)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (*self.args, self.layer, self.time or "", self.transposed)  # of parts that SymPy can sort

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.vector, self.layer, self.time), {"transposed": self.transposed}

    def _sympystr(self, printer: Any) -> str:
        when = "(0)" if self.time is None else f"({self.time})"
        return f"(W[{self.layer}]{when}{'^T' if self.transposed else ''} {printer._print(self.vector)})"

    def _latex(self, printer: Any) -> str:
        top = r"\top" if self.transposed else ""
        when = "(0)" if self.time is None else f"({self.time})"
        return rf"\bigl[W^{{{printer._print(self.layer)}{top}}}{when}\, {printer._print(self.vector)}\bigr]"


class Outer(sp.Expr):
    r"""The matrix :math:`\frac1N\,b\,a^\top`, by its two vectors."""

    is_commutative = True

    def _sympystr(self, printer: Any) -> str:
        b, a = self.args
        return f"(1/N {printer._print(b)} {printer._print(a)}^T)"

    def _latex(self, printer: Any) -> str:
        b, a = self.args
        return rf"\tfrac1N\, {printer._print(b)}\, {printer._print(a)}^\top"


@dataclass(frozen=True)
class StepProgram:
    """The statements of one training step, for a layer and the one above it."""

    forward: sp.Eq  #: h of layer ell
    signal: sp.Eq  #: z, the gradient that comes back to layer ell from above
    gradient: sp.Eq  #: g of layer ell
    weights: sp.Eq  #: W of layer ell, at time t
    biases: sp.Eq  #: b of layer ell
    output: sp.Eq  #: f


def preactivation(layer: Any, place: Place = HERE) -> SiteField:
    """The field h."""
    return SiteField("h", layer, place[0][-1:], place[1])


def activity(layer: Any, place: Place = HERE) -> sp.Expr:
    r"""The activity :math:`\phi(h)`, which a layer sends to the next one."""
    return Activated(preactivation(layer, place), 0)


def gradient(layer: Any, place: Place = HERE_OUT) -> SiteField:
    """The field g."""
    return SiteField("g", layer, *place)


def error(place: Place = PAST_OUT) -> OrderParameter:
    r"""The error :math:`\Delta`."""
    return OrderParameter("Delta", None, place)


def program() -> StepProgram:
    r"""Forward pass; backward pass and update by the chain rule.

    With :math:`g^\ell=\gamma_0N\,\partial f/\partial h^\ell` the chain rule gives :math:`g^\ell=\gamma_0N\,(\partial
    h^{\ell+1}/\partial h^\ell)^\top \partial f/\partial h^{\ell+1}`, and the gradient of the loss is :math:`\partial\mathcal
    L/\partial W=-\sum\Delta\,\partial f/\partial W =-\frac1{\gamma_0N}\sum\Delta\,g\,a^\top`, of which a step takes
    :math:`-\eta\,\gamma_0^2N\cdot\frac{\lambda_W}N`.
    """
    h = preactivation(ell)
    forward = _forward(ell)
    above = _forward(ell + 1)
    (product,) = above.rhs.atoms(MatrixProduct)
    slope = product.vector.diff(h)
    z = SiteField("z", ell, *HERE_OUT)
    returned = MatrixProduct(gradient(ell + 1), product.layer, product.time, transposed=True)
    step = gamma_0 * eta * optimizer() * error()
    sent = product.vector.xreplace({h: preactivation(ell, PAST)})
    weights = sp.Eq(
        Weight(ell, "t"),
        initial() * Weight(ell, "0") + Memory(lambda_W * step, Outer(gradient(ell + 1, PAST_OUT), sent), PAST_OUT),
        evaluate=False,
    )
    biases = sp.Eq(
        SiteField("b", ell, (), "t"),
        initial() * SiteField("b", ell, (), "0") + Memory(lambda_b * step, gradient(ell, PAST_OUT), PAST_OUT),
        evaluate=False,
    )
    output = sp.Eq(
        OrderParameter("f", None, HERE_OUT),
        (MatrixProduct(activity(last), last, "t") + SiteField("b", last + 1, (), "t")) / (gamma_0 * sp.sqrt(width)),
        evaluate=False,
    )
    return StepProgram(
        forward,
        sp.Eq(z, returned, evaluate=False),
        sp.Eq(gradient(ell), slope * z, evaluate=False),
        weights,
        biases,
        output,
    )


def _forward(layer: sp.Expr) -> sp.Eq:
    return sp.Eq(
        preactivation(layer),
        MatrixProduct(activity(layer - 1), layer - 1, "t") + SiteField("b", layer, (), "t"),
        evaluate=False,
    )


def initial() -> OrderParameter:
    """a(t): the share of the initial parameters that is left at time t."""
    return OrderParameter("a", None, ((), "t"))


def optimizer() -> OrderParameter:
    """m(t, s): the share of the step at time s that is in the parameters at time t."""
    return OrderParameter("m", None, ((), "t"), ((), "s"))
