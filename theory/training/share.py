r"""What one neuron of the last hidden layer adds to a prediction, :math:`z\,\phi(h)/\gamma_0`, read off the equations.

The prediction is :math:`\gamma_0^{-1}\langle r\phi\rangle` and a memory of the errors with the overlap
:math:`\Phi^L(t,s)=\langle\phi(t)\phi(s)\rangle`. Both have a factor :math:`\phi(t)` inside one average over the neurons; the other
factor is the right-hand side of z.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from ..language.symbols import SiteAverage, ell, gamma_0
from .fields import Activated, Memory, OrderParameter, SiteField, last
from .orders import Schema
from .program import HERE_OUT


def share(system: Mapping[str, sp.Eq], schema: Schema) -> sp.Expr | None:
    """The function of z and of the activity whose average is the prediction, but for the output's bias; None if there is none."""
    overlap, f, z = schema.overlap("phi").name, system["f"].rhs, system["z"]
    averages = f.atoms(SiteAverage)
    own = _kernel(z.rhs).xreplace(_ends(schema, z.rhs))
    taken = _kernel(f)
    with_overlap = [o for o in taken.atoms(OrderParameter) if o.name == overlap]
    if len(averages) != 1 or len(with_overlap) != 1:
        return None
    (average,) = averages
    sources = [term for term in sp.Add.make_args(z.rhs) if not term.has(Memory)]
    activity = next(iter(average.atoms(Activated)))
    (readout,) = average.atoms(SiteField) - activity.atoms(SiteField)
    source = sp.Add(*sources).xreplace(dict.fromkeys(sp.Add(*sources).atoms(SiteField), readout))
    same_source = f.coeff(average) * average.args[0] - source * activity / gamma_0
    same_memory = taken.coeff(with_overlap[0]) - own / gamma_0
    if sp.expand(same_source) != 0 or sp.expand(same_memory) != 0:
        return None
    return z.lhs * activity.xreplace({x: SiteField(x.name, ell, *x.place) for x in activity.atoms(SiteField)}) / gamma_0


def _kernel(expr: sp.Expr) -> sp.Expr:
    """The sum of the kernels of all memories, with their factors."""
    found: sp.Expr = sp.S.Zero
    for memory in expr.atoms(Memory):
        letter = sp.Dummy()
        found += sp.diff(expr.xreplace({memory: letter}), letter) * memory.kernel
    return sp.expand(found)


def _ends(schema: Schema, expr: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """Order parameters of the layers around the last hidden one, and the errors of the own output for all others."""
    known: dict[sp.Expr, sp.Expr] = {}
    values = {
        (eq.lhs.name, sp.expand(eq.lhs.layer - last)): eq.rhs for eq in schema.boundaries if eq.lhs.layer.has(last)
    }
    own = HERE_OUT[0][0]
    for order in expr.atoms(OrderParameter):
        if order.layer is None:
            places = ((tuple(own if i == f"{own}'" else i for i in indices), time) for indices, time in order.places)
            known[order] = OrderParameter(order.name, None, *places)
        elif (key := (order.name, sp.expand(order.layer - ell))) in values:
            # the readout sends back to its own output alone: the sum over outputs leaves that one
            known[order] = values[key].replace(sp.KroneckerDelta, lambda *_: sp.S.One)
    return known
