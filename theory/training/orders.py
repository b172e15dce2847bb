r"""The order parameters of a derived system: what each is the average of, at which layers, and its values at the boundaries.

All of it is read off the equations. An *overlap* averages the product of a vector with itself, as
:math:`\Phi^\ell=\langle\phi\phi\rangle`; a *response* averages how a vector answers to a Gaussian source, as
:math:`A^\ell=\gamma_0^{-1}\langle\delta\phi/\delta r\rangle`. The vector may be that of the layer above, as in B.
Below the first and above the last hidden layer a vector is fixed: its overlap is data, and it answers to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from ..language.equations import equal
from ..language.errors import InvalidArgument
from ..language.symbols import SiteAverage, ell, gamma_0
from ..meanfield.protocol import Order
from .fields import Activated, OrderParameter, SiteField, Variation, last, width
from .program import HERE, PAST, MatrixProduct, StepProgram

#: The statements of the fields of a site, which are solved in this order, and of the covariances of its sources.
FIELDS, SOURCES = ("h", "z", "g"), ("u", "r")
#: The overlap of the data, :math:`x\cdot x'/n_0`.
INPUTS = OrderParameter("Kx", None, (HERE[0], ""), (PAST[0], ""))


@dataclass(frozen=True)
class SiteOrder(Order):
    """An order parameter of training; of the layer ``ell``, by a vector of the layer ``ell + shift``."""

    vector: str  #: that is averaged or answers: "phi" or "g"
    shift: int
    source: str | None  #: that a response answers to; None: an overlap
    factor: sp.Expr  #: of the average

    @property
    def ranks(self) -> tuple[int, ...]:
        """How many indices each place has: the outputs, and the sample as the last one."""
        return tuple(len(indices) for indices, _ in self.places)


@dataclass(frozen=True)
class Schema:
    """The order parameters of a system, with their values at the boundaries."""

    orders: tuple[SiteOrder, ...]
    boundaries: tuple[sp.Eq, ...]

    def overlap(self, vector: str) -> SiteOrder:
        """The overlap of a vector of a site."""
        return self._one([o for o in self.orders if o.vector == vector and o.source is None], f"overlap of {vector}")

    def response(self, vector: str) -> SiteOrder:
        """The response of a vector of a site."""
        return self._one([o for o in self.orders if o.vector == vector and o.source], f"response of {vector}")

    def _one(self, found: list[SiteOrder], what: str) -> SiteOrder:
        if len(found) != 1:
            given = ", ".join(o.name for o in self.orders)
            raise InvalidArgument(
                f"the equations define {len(found)} order parameters as {what}: {given}; allowed: one"
            )
        return found[0]

    def top(self, order: SiteOrder, layers: int) -> int:
        """The last layer at which an order parameter has a value, of a network with so many hidden layers."""
        at = [order.final, *(eq.lhs.layer for eq in self.boundaries if eq.lhs.name == order.name)]
        return max(int(layer.subs(last, layers)) for layer in at)


def orders(system: Mapping[str, sp.Eq]) -> tuple[SiteOrder, ...]:
    """The order parameters that a system defines as averages over the sites of a layer."""
    defined = (
        eq
        for eq in system.values()
        if isinstance(eq.lhs, OrderParameter) and eq.rhs.has(SiteAverage) and eq.lhs.layer == ell
    )
    return tuple(_order(eq, system) for eq in defined)


def _order(eq: sp.Eq, system: Mapping[str, sp.Eq]) -> SiteOrder:
    (average,) = eq.rhs.atoms(SiteAverage)
    body, factor = average.args[0], eq.rhs.subs(average, 1)
    source = body.args[1].name if isinstance(body, Variation) else None
    vector = body.args[0]
    (own,) = vector.atoms(SiteField)
    shift = int(own.layer - ell)
    shifts = [shift]  # of the layers that must be hidden: that of the vector
    if source is not None:  # and the one at the other side of the matrix
        (sent,) = system[source].rhs.atoms(OrderParameter)
        shifts.append(shift + int(sent.layer - ell))
    first, final = sp.sympify(1 - min(shifts)), last - max(shifts)
    name = "phi" if isinstance(vector, Activated) else own.name
    return SiteOrder(eq.lhs.name, eq.lhs.places, first, final, name, shift, source, factor)


def boundaries(found: tuple[SiteOrder, ...], program: StepProgram) -> tuple[sp.Eq, ...]:
    r"""The values where a vector is fixed: the inputs below the first hidden layer, and what the output sends back.

    With :math:`f_k=z^{(L+1)}_k/(\gamma_0\sqrt N)` the output sends back :math:`g_k=\gamma_0N\,\partial f/\partial z_k`, which is
    :math:`\sqrt N` in the direction k.
    """
    product = sp.Dummy()
    output = program.output.rhs
    slope = sp.diff(output.xreplace(dict.fromkeys(output.atoms(MatrixProduct), product)), product)
    readout = sp.simplify((gamma_0 * width * slope) ** 2 / width) * sp.KroneckerDelta(*sp.symbols("k k'"))
    fixed: dict[str, tuple[sp.Expr, sp.Expr]] = {"phi": (sp.S.Zero, INPUTS), "g": (last + 1, readout)}
    return tuple(_boundary(order, *fixed[order.vector]) for order in found)


def _boundary(order: SiteOrder, layer: sp.Expr, value: sp.Expr) -> sp.Eq:
    left = OrderParameter(order.name, layer - order.shift, *order.places)
    return equal(left, value if order.source is None else sp.S.Zero)
