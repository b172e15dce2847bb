r"""The second layer above a first one whose neurons are independent: what fluctuates with the number of neurons is born there.

Given the inputs, neurons of the first layer with independent weights are independent copies of one random vector, whatever its
distribution. So all tensors that say how they fluctuate together vanish exactly, as do corrections to means, and the map to
the second layer is what is left of the recursion, with averages over that distribution in the place of the Gaussian. Jets along
random directions are Gaussian in the first layer: directions are, whatever the weights.
"""

from __future__ import annotations

from ..language.quantities import Entry, Kind, quantity
from .derivation import Recursions


def above_independent_neurons(equations: Recursions) -> Recursions:
    """The recursions without the fluctuations of the layer below, and without fourth cumulants, which averages hold."""
    entries = {e for right in (s.law.right for s in equations.statements) for e in right.atoms(Entry)}
    gone = {e: 0 for e in entries if quantity(e.name).kind is not Kind.MEAN}
    return equations.with_(**{s.name: s.law.right.xreplace(gone) for s in equations.statements})
