"""The problem of a solution of the equations of training, from a subject, data and steps; and the memory that it needs."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import InvalidArgument
from ...theory.training.dynamics import Dynamics, is_linear
from ...theory.training.subject import Training
from .causal import LAZY, Problem, order_shape
from .data import Data, error_function
from .sites import activation_function, generate
from .times import TimeGrid

Array = NDArray[np.float64]

#: The most memory of responses as derivatives, in bytes; the fewest and the most sites at which they are followed.
TANGENT_BYTES, FEWEST, MOST = 1 << 31, 16, 512


def problem_of(flow: Training, found: Dynamics, data: Data, grid: TimeGrid, samples: int) -> Problem:
    """The problem for the solver."""
    net = flow.net
    numbers = {name: net.per_layer(name)[0] for name in ("C_W", "C_b", "lambda_W", "lambda_b")}
    return Problem(
        sites=generate(found),
        parameters=numbers | {"gamma_0": flow.gamma or LAZY, "eta": grid.rate},
        phi=tuple(activation_function(a) for a in net.layer_activations),
        errors=error_function(flow, data),
        overlaps=data.overlaps,
        steps=grid.steps,
        outputs=flow.outputs,
        momentum=flow.momentum,
        decay=flow.weight_decay,
        samples=samples,
        exact=is_linear(found),
        kept=frozenset(map(int, grid.kept)),
    )


def following(problem: Problem) -> Problem:
    """The problem, with responses as derivatives at as many sites as memory allows.

    Responses of conditioned matrices are coefficients of the vectors sent so far. Their memories, the products with these vectors,
    are the same as those of derivatives. But if vectors of different times depend on each other the coefficients are not unique,
    and a variation of the vectors leaves their span: where responses themselves are wanted, they are derivatives.
    """
    if problem.exact or problem.layers == 1:
        return problem
    return replace(problem, followed=int(np.clip(TANGENT_BYTES // _tangent_bytes(problem), FEWEST, MOST)))


def _tangent_bytes(problem: Problem) -> int:
    """The memory of the derivatives at one site: fields by directions, for each layer and source."""
    T, K, P = problem.shape
    return 8 * (problem.layers - 1) * (T * P * (1 + K)) ** 2


def check_memory(problem: Problem, also: float = 0.0) -> float:
    """The memory of a solution in GiB, before it is allocated; an error if it is not free. ``also``: bytes beside the solution."""
    p = problem
    (T, K, P), L = p.shape, p.layers
    sites = (T * P * (1 + K) + 1) if p.exact else p.samples
    schema = p.sites.schema
    orders = 8 * sum((schema.top(o, L) + 1) * int(np.prod(order_shape(o, p))) for o in schema.orders)
    fields = 8 * L * T * P * (1 + K) * sites
    fields *= 4 if L > 1 else 1  # directions, innovations and received fields beside the vectors sent
    responses = _tangent_bytes(p) * max(1, p.followed)
    total, available, gib = orders + fields + responses + also, _available(), 1 << 30
    if total > available:
        more = f", fluctuations {also / gib:.1f}" if also else ""
        raise InvalidArgument(
            f"times={T} steps with P={P} samples: a solution takes {total / gib:.1f} GiB (kernels {orders / gib:.1f}, sites "
            f"{fields / gib:.1f}, responses {responses / gib:.1f}{more}), and {available / gib:.1f} are free; allowed: fewer "
            "steps, samples= or data"
        )
    return total / gib


def _available() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")
