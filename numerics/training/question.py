r"""The question to a network in training: the subject, its data, and the steps in time, checked and refined once.

Theory and literal networks answer the same question: gradient flow is solved, and networks are trained, with the same two steps,
from which both are extrapolated in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from ...theory.language.errors import InvalidArgument
from ...theory.training.dynamics import Dynamics, dynamics
from ...theory.training.subject import Training
from .data import Data, check_data, losses_of
from .solve import refined
from .times import TimeGrid, check_times

Array = NDArray[np.float64]
Results = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Question:
    """A network in training, its data and its steps; a value that exists is checked.

    Shapes
        ``grids``: the steps of gradient descent; of gradient flow two grids, of which the second has half the step.
    Units
        Those of ``Training``.
    Valid
        ``question`` makes it. The answers of theory and of networks are comparable if they are answers to one question.
    Errors
        ``InvalidArgument`` for grids that gradient flow cannot be extrapolated from.
    """

    flow: Training
    data: Data
    grids: tuple[TimeGrid, ...]
    given: Dynamics | None = None  #: equations in the place of the derived ones

    def __post_init__(self) -> None:
        first, *rest = self.grids
        halves = [(g.rate, g.times.tolist()) for g in rest] == [(first.rate / 2, first.times.tolist())]
        if (not halves) if self.flow.continuous else rest:
            allowed = "a grid and one of half its step" if self.flow.continuous else "one grid"
            raise InvalidArgument(f"grids={self.grids!r}; allowed: {allowed}, with the same times")

    @property
    def equations(self) -> Dynamics:
        """The system that is solved."""
        return dynamics(self.flow) if self.given is None else self.given

    @property
    def times(self) -> Array:
        """The times that are kept: steps times the learning rate."""
        return self.grids[0].times

    @property
    def step(self) -> float:
        """The step: the larger one, where there are two."""
        return self.grids[0].rate

    @property
    def steps(self) -> int:
        """The steps of all grids together, with the time 0 of each."""
        return sum(grid.steps for grid in self.grids)

    @property
    def key(self) -> tuple[Any, ...]:
        """All that an answer depends on, whichever way it is found; ``equations`` enter as the code that they generate."""
        return self.flow, self.data, self.grids

    def extrapolated(self, answers: Sequence[Results]) -> Results:
        r"""The answer at step 0 from the answers of two grids, with errors proportional to the step: :math:`2x(\eta/2)-x(\eta)`.

        The loss is that of the extrapolated predictions: a loss that is extrapolated itself may be negative.
        """
        if len(answers) == 1:
            return answers[0]
        coarse, fine = answers
        found = {name: 2 * fine[name] - coarse[name] for name in fine}
        return found | ({"loss": losses_of(self.flow, self.data)(found["f"])} if "loss" in found else {})


def question(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: Any,
    X_test: ArrayLike | None = None,
    equations: Dynamics | None = None,
) -> Question:
    """The question whose answer ``predict`` gives, ``fluctuations``, ``simulate`` and ``validate``.

    Shapes
        As ``predict``.
    Units
        As ``predict``.
    Valid
        Gradient flow: the step is halved until two solutions of the derived equations agree to a few per cent, and then for
        ``equations`` in their place too, so that networks are never trained in larger steps than the theory that they confront.
    Errors
        Those of ``predict`` for X, y, times; ``NotConverged`` for a flow that is too stiff; ``InvalidArgument`` for equations of
        another flow.
    """
    data = check_data(flow, X, y, X_test)
    _check_equations(flow, equations)
    grid = check_times(flow, data, times)
    if not flow.continuous:
        return Question(flow, data, (grid,), equations)
    derived = dynamics(flow)
    grid = refined(flow, data, grid, derived)
    if equations is not None and equations is not derived:
        grid = refined(flow, data, grid, equations)
    return Question(flow, data, (grid, grid.finer()), equations)


#: The equations that code is generated from, so that a changed one is solved as it stands.
SOLVED = ("h", "z", "g", "f", "u", "r", "Theta")


def _check_equations(flow: Training, equations: Any) -> None:
    """An error unless the equations are those of the flow, changed at most where the solver takes them as they stand."""
    if equations is None:
        return
    derived = dynamics(flow)
    if not isinstance(equations, Dynamics) or equations.subject != flow or set(equations) != set(derived):
        raise InvalidArgument(
            f"equations={_named(equations)} are not those of {flow!r}; allowed: derive(flow).with_(...), whole and of this flow"
        )
    changed = [name for name in equations if equations.system[name] != derived.system[name]]
    letters = {s for eq in derived.system.values() for s in eq.atoms(sp.Symbol)}
    for name in changed:
        if stray := equations.system[name].atoms(sp.Symbol) - letters:
            raise InvalidArgument(
                f"equations= hold {min(map(str, stray))} in that of {name}, which is in none of the derived ones; allowed: "
                f"the letters of derive(flow): {', '.join(sorted(map(str, letters)))}"
            )
    beyond = [name for name in changed if name not in SOLVED]
    beyond += ["Theta"] * ("Theta" in changed and not isinstance(equations.system["Theta"].rhs, sp.Sum))
    if beyond:
        raise InvalidArgument(
            f"equations= change {', '.join(beyond)}, which the solver takes from the loss, from overlaps and from the matrices "
            f"themselves; allowed: other right-hand sides of {', '.join(SOLVED)} (Theta as a sum over layers)"
        )


def _named(equations: Any) -> str:
    """A short name of what was given: a whole system would fill a page."""
    subject = getattr(equations, "subject", None)
    return f"{type(equations).__name__} of {subject!r}" if subject is not None else repr(equations)
