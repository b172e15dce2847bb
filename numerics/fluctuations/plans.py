"""The plan of a run: which route gives which result, with how many half-samples, so that it takes no longer than is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

from ...theory.language.errors import TooCostly
from ..runs.costs import Cost, check_hours
from ..training.question import Question
from .one_layer import Options
from .routes import PreparedRoute, assignments

#: By default the most accurate plan is taken that takes so many seconds; where none does, the cheapest.
QUICK = 300.0
#: Half-samples of an estimate, from accurate to cheap: 8 replicas of 8 give a variance to 18 %.
DIRECTIONS = (32, 16, 8)
CHEAPER = "fewer times, inputs, quantities, replicas= or samples="


@dataclass(frozen=True)
class Plan:
    """Routes that are ready to run, and what all their replicas take."""

    tasks: tuple[PreparedRoute, ...]
    directions: int
    cost: Cost

    @property
    def routes(self) -> dict[str, tuple[str, ...]]:
        """The results by the route that gives them."""
        return {task.name: task.names for task in self.tasks}


def planned(
    asked: Question,
    wanted: Sequence[str],
    samples: int | None,
    options: Options,
    *,
    directions: int | None,
    replicas: int,
    hours: float | None,
) -> Plan:
    """The most accurate plan within the hours that are given, by default within minutes; ``TooCostly`` if none is allowed."""
    most, found, refused = QUICK if hours is None else 3600 * hours, list[Plan](), list[TooCostly]()
    for count in DIRECTIONS if directions is None else (directions,):
        for plan in _plans(asked, wanted, samples, replace(options, directions=count), replicas, refused):
            if plan.cost.seconds <= most:
                return plan
            found.append(plan)
    if not found:
        raise refused[-1]
    cheapest = min(found, key=lambda plan: plan.cost.seconds)
    cheapest.cost.check("fluctuations", hours=check_hours(hours), allowed=CHEAPER)
    return cheapest


def _plans(
    asked: Question,
    wanted: Sequence[str],
    samples: int | None,
    options: Options,
    replicas: int,
    refused: list[TooCostly],
) -> Iterator[Plan]:
    for routes in assignments(asked.flow, wanted):
        try:
            tasks = tuple(PreparedRoute(name, names, asked, samples, options) for name, names in routes.items())
        except TooCostly as error:  # its memory: another route may do with less
            refused.append(error)
            continue
        one = reduce(add, (task.cost for task in tasks), Cost())
        yield Plan(tasks, options.directions, Cost(replicas * one.seconds, one.bytes))
