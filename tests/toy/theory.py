r"""What is true: averages over N random features, :math:`q_N=\frac1N\sum_i\sigma(w_i\cdot x)^2`, and how they fluctuate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import sympy as sp

from widthwise.systems import Subject
from widthwise.theory.averages.closed_forms import specialize
from widthwise.theory.averages.gaussian import average
from widthwise.theory.language.equations import Equations, Plain, Statement, equal
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.observables import Named, Table
from widthwise.theory.language.steps import Step
from widthwise.theory.networks.activations import activation


@dataclass(frozen=True)
class RandomFeatures(Subject):
    r"""N features :math:`\sigma(w_i\cdot x)` with :math:`w_i\sim N(0,C_W/n_0)`."""

    activation: Any
    C_W: float = 1.0


OBSERVABLES = Table(
    "quantity",
    (
        Named("q", "q", "mean of the squared features", ("sample",)),
        Named("noise", r"N\,\mathrm{Var}\,q_N", "N times the variance of that mean", ("sample",), order=1),
    ),
)


class FeatureEquations(Equations, Subject):
    """The equations of a system of one's own."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Features are independent given the input, so that cumulants of their mean are those of one."""
        shown = tuple(equal(sp.Symbol(name), law.rhs) for name, law in self.system.items())
        return (Step("Independent features", "Each w.x is Gaussian with variance K.", shown),)


def derive(features: RandomFeatures) -> FeatureEquations:
    """The mean and N times the variance, from the moments of one feature."""
    site = Sigma(Jet(""), 0)
    mean, square = average(site**2), average(site**4)
    put = partial(specialize, activation=activation(features.activation))
    laws = {"q": mean, "noise": square - mean**2}
    statements = (Statement(name=name, law=Plain(sp.Symbol(name), right), shown=(put,)) for name, right in laws.items())
    return FeatureEquations(features, tuple(statements))
