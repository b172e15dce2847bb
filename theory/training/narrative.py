"""The derivation of the equations of training, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from ..language.steps import Step, Steps
from ..meanfield.protocol import statement
from .fields import ORDERS
from .program import program

if TYPE_CHECKING:
    from .dynamics import Dynamics


def steps_of(found: Dynamics) -> Steps:
    """The derivation: forward pass, backward pass, update, trained matrices, cavity rule, order parameters, fluctuations."""
    steps, eq = program(), found

    def of(*statements: sp.Eq) -> tuple[sp.Eq, ...]:
        return tuple(map(found.as_printed, statements))

    told = (
        Step("Forward pass", "Every neuron receives a product with a weight matrix.", of(steps.forward, steps.output)),
        Step(
            "Backward pass",
            r"The chain rule gives $g^\ell=\gamma_0N\,\partial f/\partial h^\ell$ from the layer above; $z^\ell$ comes back.",
            of(steps.signal, steps.gradient),
        ),
        Step(
            "Update",
            r"A step adds $-\eta\gamma_0^2N\lambda\,\partial\mathcal L/\partial\theta$ with $\Delta=-\partial\ell/\partial f$: "
            "outer products of what comes back and what was sent.",
            (*of(steps.weights, steps.biases), eq["Delta"], *found.optimizer),
        ),
        Step(
            "Cavity rule",
            "The initial matrix becomes a Gaussian field and a memory of what it was multiplied with in the other direction; the "
            "outer products multiply by overlaps. All neurons of a layer obey the same equations.",
            (eq["h"], eq["z"], eq["g"]),
            sources=("cavity", "dmft"),
        ),
        Step(
            "Gaussian fields",
            "Their covariances are overlaps of the layers below and above.",
            (eq["u"], eq["r"]),
        ),
        Step(
            "Order parameters",
            "Averages over the neurons of a layer close the system.",
            tuple(eq[n] for n in ORDERS),
        ),
        Step(
            "Predictions",
            r"The output's Gaussian field vanishes like $N^{-1/2}$; its memory of the initial readout is, by Stein's identity, an "
            r"average with $r^L$.",
            (eq["f"], eq["Theta"]),
            sources=("stein",),
        ),
        Step(
            "Boundaries",
            "Inputs are fixed and do not answer; nothing is sent back to them; the readout's gradient is constant.",
            found.boundaries,
        ),
        Step(
            "Fluctuations",
            r"At order $1/N$ the order parameters $q$ are averages over finitely many neurons: S is the covariance of one neuron's "
            "contributions, and J how the averages answer to their own fluctuation.",
            (statement(),),
            sources=("finite",),
        ),
    )
    return Steps(told)
