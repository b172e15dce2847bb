"""The routes to fluctuations and shifts: the results that each gives, the networks for which it does, and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import NotConverged
from ...theory.networks.architecture import kinked, smooth
from ...theory.training.subject import Training
from ..runs.costs import Cost
from ..training.causal import Problem
from ..training.predict import THREADS
from ..training.problem import check_memory, problem_of
from ..training.question import Question
from ..training.results import MEASURED
from ..training.solve import power_of_two
from . import one_layer, resampled
from . import several_layers as deep_fluctuations
from .interfaces import resolved
from .one_layer import Options, fluctuate
from .resampled import DRAW

Array = NDArray[np.float64]
Results = dict[str, Array]

SHIFTS = ("f1", "loss1")
#: What costs the least by any route: the predictions alone.
PREDICTED = {"f_variance", "f_covariance"}
DRAWS = tuple(name + DRAW for name in MEASURED)


@dataclass(frozen=True)
class Route:
    """A method that estimates some of the results."""

    gives: Callable[[Training, str], bool]
    estimate: Callable[[Problem, np.random.Generator, Options], Results]
    sites: Callable[[Problem], int]  #: unless they are given
    seconds: Callable[[Problem, Options], float]  #: of an estimate
    ticks: Callable[[Problem, Options], int]
    prepare: Callable[[Problem], Problem] = lambda problem: problem
    memory: Callable[[Problem, Options], float] = lambda problem, options: 0.0
    threads: int | None = None  #: of linear algebra, where more of them are slower


def _of_neurons(flow: Training, name: str) -> bool:
    return flow.hidden_layers == 1 and name not in DRAWS and not (name in SHIFTS and kinked(flow.net))


def _of_influences(flow: Training, name: str) -> bool:
    return flow.gamma > 0 and smooth(flow.net) and name not in (*SHIFTS, *DRAWS)


#: The routes by name, from accurate ones to cheap ones.
ROUTES = {
    "neurons": Route(_of_neurons, fluctuate, lambda p: 4096, one_layer.seconds, lambda p, options: p.steps),
    "influences": Route(
        _of_influences,
        deep_fluctuations.fluctuate_deep,
        lambda p: deep_fluctuations.SITES,
        deep_fluctuations.seconds,
        deep_fluctuations.ticks,
        resolved,
        deep_fluctuations.memory,
    ),
    "resampling": Route(
        lambda flow, name: True,
        resampled.resample,
        lambda p: max(1024, 2 * int(np.prod(p.shape))),
        resampled.seconds,
        resampled.ticks,
        threads=THREADS,
    ),
}


def assignments(flow: Training, wanted: Sequence[str]) -> Iterator[dict[str, tuple[str, ...]]]:
    """The wanted results by the route that gives them: the most accurate ones first, then cheaper ones for some, then for all."""
    rest = set(wanted) - PREDICTED
    seen = list[dict[str, tuple[str, ...]]]()
    for cheap in (set[str](), rest, set(wanted)):
        plan: dict[str, tuple[str, ...]] = {}
        for name in wanted:
            giving = [key for key, route in ROUTES.items() if route.gives(flow, name)]
            key = giving[-1 if name in cheap else 0]
            plan[key] = (*plan.get(key, ()), name)
        if plan not in seen:
            seen.append(plan)
            yield plan


class PreparedRoute:
    """A route with its problems and options: for gradient flow two problems, from whose results the answer is extrapolated."""

    def __init__(
        self,
        route: str,
        names: tuple[str, ...],
        asked: Question,
        samples: int | None,
        options: Options,
    ) -> None:
        self.name, self.route, self.names, self.asked = route, ROUTES[route], names, asked
        grids = asked.grids
        kernels = tuple(k for k in options.kernels if f"{k}_variance" in names)
        draws = tuple(n for n in options.draws if n + DRAW in names)
        options = replace(options, kernels=kernels, draws=draws, shifts=not set(SHIFTS).isdisjoint(names))
        self.options = [replace(options, kept=grid.kept) for grid in grids]
        problem = partial(problem_of, asked.flow, asked.equations, asked.data)
        sites = self.route.sites(problem(grids[-1], 1)) if samples is None else samples
        self.sites = power_of_two("samples", sites, asked.data, asked.flow)
        self.problems = [self.route.prepare(replace(problem(g, self.sites), exact=False)) for g in grids]
        self.ticks = sum(map(self.route.ticks, self.problems, self.options))
        memory = check_memory(self.problems[-1], self.route.memory(self.problems[-1], self.options[-1]))
        self.cost = Cost(sum(map(self.route.seconds, self.problems, self.options)), memory)
        first = self.problems[0]
        of = (options.kernels, options.centred, options.directions, self.sites, first.least, first.sites.source)
        self.key = ("fluctuations", route, asked.key, *of)

    def __call__(self, seed: Sequence[int], tick: Callable[[], None]) -> Results:
        """One independent estimate; the same random numbers for both problems."""
        pairs = zip(self.problems, self.options, strict=True)
        results = [self.route.estimate(p, np.random.default_rng(seed), replace(o, tick=tick)) for p, o in pairs]
        found = self.asked.extrapolated(results)
        for name in self.names:
            if not np.isfinite(found[name]).all():
                raise NotConverged(
                    f"{name} is not finite: training diverges; allowed: a smaller learning_rate or gamma"
                )
        return {name: found[name] for name in self.names}
