r"""The letters of training: single-site fields, order parameters, and sums over the past.

A *field* :math:`h^\ell_\mu(t)` is what one neuron of a layer holds for one sample at one time; fields that carry a gradient have
an output too, :math:`g^\ell_{k\mu}(t)`. An *order parameter* such as :math:`\Phi^\ell_{\mu\alpha}(t,s)` has two such places. The
names are those of Bordelon and Pehlevan (arXiv:2205.09653); their A and B are responses, and not the tensors A and B of a
network at initialisation.
"""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE, PRECEDENCE_TRADITIONAL

from ..language.symbols import Atom, Parameter, SiteAverage, label_latex

#: The step of gradient descent, and the width N, which goes to infinity.
eta = Parameter("eta", positive=True)
width = Parameter("N", positive=True)
#: The number of hidden layers.
last = Parameter("L", integer=True, positive=True)

#: The place of a field: the indices of output and sample, and the time.
Place = tuple[tuple[str, ...], str]

#: The order parameters that close the system.
ORDERS = ("Phi", "G", "A", "B")

_HEADS = {"Phi": r"\Phi", "Delta": r"\Delta", "Theta": r"\Theta", "Kx": "K^x"}
PRECEDENCE_TRADITIONAL["SiteField"] = PRECEDENCE_TRADITIONAL["OrderParameter"] = PRECEDENCE["Mul"]


def _index(indices: tuple[str, ...], tex: bool) -> str:
    return " ".join(map(label_latex, indices)) if tex else ",".join(indices)


class SiteField(Atom):
    r"""A field of one neuron: ``SiteField("h", ell, ("mu",), "t")`` is :math:`h^\ell_\mu(t)`."""

    name: str
    layer: sp.Expr
    indices: tuple[str, ...]
    time: str

    def __new__(cls, name: str, layer: Any, indices: tuple[str, ...], time: str) -> SiteField:
        """Structure first: equal structures are equal atoms."""
        obj: SiteField = super().__new__(cls)
        obj.name, obj.layer, obj.indices, obj.time = name, sp.sympify(layer), tuple(indices), time
        obj.structure = (name, obj.layer, obj.indices, time)
        return obj

    def at(self, indices: tuple[str, ...], time: str) -> SiteField:
        """The same field at another place."""
        return type(self)(self.name, self.layer, indices, time)

    @property
    def place(self) -> Place:
        """The place at which the field is taken."""
        return self.indices, self.time

    def _plain(self) -> str:
        index = f"_{_index(self.indices, tex=False)}" if self.indices else ""
        return f"{self.name}[{self.layer}]{index}" + (f"({self.time})" if self.time else "")

    def _latex(self, printer: Any) -> str:
        index = f"_{{{_index(self.indices, tex=True)}}}" if self.indices else ""
        return f"{self.name}^{{{printer._print(self.layer)}}}{index}" + (f"({self.time})" if self.time else "")


class OrderParameter(Atom):
    r"""An order parameter: ``OrderParameter("Phi", ell, (("mu",), "t"), (("alpha",), "s"))`` is :math:`\Phi^\ell_{\mu\alpha}(t,s)`.

    With one place it belongs to one sample, as :math:`\Delta_\alpha(s)`; ``layer=None`` if it belongs to no layer.
    """

    name: str
    layer: sp.Expr | None
    places: tuple[Place, ...]

    def __new__(cls, name: str, layer: Any, *places: Place) -> OrderParameter:
        """Structure first: equal structures are equal atoms."""
        obj: OrderParameter = super().__new__(cls)
        obj.name, obj.layer = name, None if layer is None else sp.sympify(layer)
        obj.places = tuple((tuple(i), t) for i, t in places)
        obj.structure = (name, obj.layer, *obj.places)
        return obj

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.name, str(self.layer), self.places)  # of parts that SymPy can sort

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """The order in products: behind the parameters, in front of fields."""
        return 5, 0, cls.__name__

    @property
    def indices(self) -> tuple[str, ...]:
        """All indices, place by place."""
        return tuple(i for indices, _ in self.places for i in indices)

    def _arguments(self, tex: bool) -> tuple[str, str]:
        times = ",".join(time for _, time in self.places if time)
        return _index(self.indices, tex), f"({times})" if times else ""

    def _plain(self) -> str:
        index, times = self._arguments(tex=False)
        layer = "" if self.layer is None else f"[{self.layer}]"
        return f"{self.name}{layer}" + (f"_{index}" if index else "") + times

    def _latex(self, printer: Any) -> str:
        index, times = self._arguments(tex=True)
        head = _HEADS.get(self.name, self.name)
        layer = "" if self.layer is None else f"^{{{printer._print(self.layer)}}}"
        return f"{head}{layer}" + (f"_{{{index}}}" if index else "") + times


class Activated(sp.Function):
    r"""The activation of a field or its k-th derivative: :math:`\phi(h)`, :math:`\dot\phi(h)`, :math:`\ddot\phi(h)`."""

    nargs = 2
    is_real = True
    is_commutative = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """One more derivative of the activation."""
        return Activated(self.args[0], self.args[1] + 1)

    @property
    def order(self) -> int:
        """How many times the activation is differentiated."""
        return int(self.args[1])

    def _sympystr(self, printer: Any) -> str:
        return f"phi{chr(39) * self.order}({printer._print(self.args[0])})"

    def _latex(self, printer: Any, exp: Any = None) -> str:
        accent = (r"\phi", r"\dot{\phi}", r"\ddot{\phi}", r"\dddot{\phi}")
        head = accent[self.order] if self.order < len(accent) else rf"\phi^{{({self.order})}}"
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"{head}{power}({printer._print(self.args[0])})"


class Variation(sp.Expr):
    r"""How a field answers to a source: :math:`\delta a(t)/\delta r(s)`."""

    is_commutative = True
    is_real = True

    def _sympystr(self, printer: Any) -> str:
        return f"d({printer._print(self.args[0])})/d({printer._print(self.args[1])})"

    def _latex(self, printer: Any) -> str:
        return rf"\frac{{\delta {printer._print(self.args[0])}}}{{\delta {printer._print(self.args[1])}}}"


class Memory(sp.Expr):
    r"""A sum over the past: :math:`\sum_{s<t}\sum_\alpha\mathrm{kernel}\cdot\mathrm{vector}`.

    ``place`` holds the indices and the time that are summed over; ``strict=False`` includes the present, s = t. Indices of the
    kernel that stand in neither place are summed over too. In continuous time it prints as an integral.
    """

    is_commutative = True
    is_real = True
    kernel: sp.Expr
    vector: sp.Expr
    place: Place
    strict: bool
    continuous: bool

    def __new__(cls, kernel: Any, vector: Any, place: Place, *, strict: bool = True, continuous: bool = False) -> Any:
        """Zero for a kernel of zero."""
        kernel, vector = sp.sympify(kernel), sp.sympify(vector)
        if kernel == 0 or vector == 0:
            return sp.S.Zero
        obj = super().__new__(cls, kernel, vector)
        obj.kernel, obj.vector = kernel, vector
        obj.place, obj.strict, obj.continuous = place, strict, continuous
        return obj

    @property
    def func(self) -> Any:
        """Rebuilds with the same range of summation."""
        return lambda k, v: Memory(k, v, self.place, strict=self.strict, continuous=self.continuous)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (*self.args, self.place, self.strict, self.continuous)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.kernel, self.vector, self.place), {"strict": self.strict, "continuous": self.continuous}

    def _sympystr(self, printer: Any) -> str:
        indices, s = self.place
        relation = "<" if self.strict else "<="
        over = ", ".join([f"{s}{relation}t", *indices])
        head = f"{'int' if self.continuous else 'sum'}_[{over}]"
        vector = "" if self.vector == 1 else f"*{printer.parenthesize(self.vector, PRECEDENCE['Mul'])}"
        return f"{head} {printer.parenthesize(self.kernel, PRECEDENCE['Mul'])}{vector}"

    def _latex(self, printer: Any) -> str:
        indices, s = self.place
        inner = {i for order in self.kernel.atoms(OrderParameter) for i in order.indices if i.endswith("'")} - set(
            indices
        )
        sums = rf"\sum_{{{' '.join(map(label_latex, (*indices, *sorted(inner))))}}}" if indices or inner else ""
        kernel = printer._print(self.kernel)
        if isinstance(self.kernel, sp.Add):
            kernel = rf"\left[{kernel}\right]"
        vector = "" if self.vector == 1 else printer._print(self.vector)
        if self.continuous:
            return rf"\int_0^t\! d{s}\, {sums} {kernel}\, {vector}".removesuffix("\\, ")
        relation = "<" if self.strict else r"\le "
        return rf"\sum_{{{s}{relation}t}} {sums} {kernel}\, {vector}".removesuffix("\\, ")


PRECEDENCE_TRADITIONAL["Memory"] = PRECEDENCE["Mul"]


def in_order(expr: sp.Expr) -> list[sp.Expr]:
    """The summands in the order of print: the source of a field first, then its memories."""
    return sorted(sp.Add.make_args(expr), key=lambda term: (term.has(Memory), not term.has(SiteAverage), str(term)))
