r"""What is true: averages over N random features, :math:`q_N=\frac1N\sum_i\sigma(w_i\cdot x)^2`, and how they fluctuate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import sympy as sp

from widthwise.systems import Subject
from widthwise.theory.averages.closed_forms import specialize
from widthwise.theory.averages.gaussian import average
from widthwise.theory.language import latex
from widthwise.theory.language.equations import equal
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.observables import Named, Table
from widthwise.theory.language.steps import Step
from widthwise.theory.networks.activations import activation
from widthwise.theory.typesetting.environments import layout, written


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


@dataclass(frozen=True)
class FeatureEquations(Mapping[str, sp.Eq], Subject):
    """The equations of a system of one's own, by name."""

    subject: RandomFeatures
    laws: tuple[sp.Eq, ...]

    def __getitem__(self, name: str) -> sp.Eq:
        return {str(law.lhs): law for law in self.laws}[name]

    def __iter__(self) -> Iterator[str]:
        return (str(law.lhs) for law in self.laws)

    def __len__(self) -> int:
        return len(self.laws)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Features are independent given the input, so that cumulants of their mean are those of one."""
        return (Step("Independent features", "Each w.x is Gaussian with variance K.", self.laws),)

    def with_(self, **changes: sp.Expr) -> FeatureEquations:
        """Other right-hand sides."""
        laws = (equal(law.lhs, changes.get(str(law.lhs), law.rhs)) for law in self.laws)
        return FeatureEquations(self.subject, tuple(laws))

    def latex(self, *, steps: bool = False) -> str:
        """Equations to paste, or all steps."""
        if steps:
            return "\n\n".join(step.latex() for step in self.steps)
        return written([latex.display(law.lhs, [law.rhs]) for law in self.laws], layout())

    def __str__(self) -> str:
        return "\n".join(f"{law.lhs} = {law.rhs}" for law in self.laws)


def derive(features: RandomFeatures) -> FeatureEquations:
    """The mean and N times the variance, from the moments of one feature."""
    site = Sigma(Jet(""), 0)
    mean, square = average(site**2), average(site**4)
    put = partial(specialize, activation=activation(features.activation))
    laws = {"q": mean, "noise": square - mean**2}
    return FeatureEquations(features, tuple(equal(sp.Symbol(name), put(right)) for name, right in laws.items()))
