"""The problem of a solution of the equations of training, from a subject, data and steps; and the memory that it needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...theory.language.checks import handled
from ...theory.language.errors import TooCostly
from ...theory.training.dynamics import Dynamics, is_linear
from ...theory.training.subject import Training
from ..runs.costs import available, size
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
    with handled("equations", ", ".join(found), "equations with the structure of the derived ones"):
        sites = generate(found)
    return Problem(
        sites=sites,
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
    """The memory of a solution in bytes, before it is allocated; an error if it is not free. ``also``: bytes beside it."""
    p = problem
    (T, K, P), L = p.shape, p.layers
    sites = (T * P * (1 + K) + 1) if p.exact else p.samples
    schema = p.sites.schema
    orders = 8 * sum((schema.top(o, L) + 1) * int(np.prod(order_shape(o, p))) for o in schema.orders)
    fields = 8 * L * T * P * (1 + K) * sites
    fields *= 4 if L > 1 else 1  # directions, innovations and received fields beside the vectors sent
    responses = _tangent_bytes(p) * max(1, p.followed)
    total, free = orders + fields + responses + also, available()
    if total > free:
        more = f", fluctuations {size(also)}" if also else ""
        raise TooCostly(
            f"times={T} steps with P={P} samples: a solution takes {size(total)} (kernels {size(orders)}, sites {size(fields)}, "
            f"responses {size(responses)}{more}), and {size(free)} are free; allowed: fewer steps, samples= or data"
        )
    return total


#: Seconds on one core of a laptop: of a step of a layer, of a product over sites within a layer and through a matrix between two
#: (measured for tanh and relu, P = 2 ... 10, T = 10 ... 100, 256 to 4096 sites: within a factor of 1.5), and along a direction.
STEP_SECONDS, SITE_SECONDS, MATRIX_SECONDS, TANGENT_SECONDS = 5e-3, 0.8e-9, 8e-9, 1e-9
#: The share of these products where sites are coefficients.
EXACT_SHARE = 0.15


def seconds(problem: Problem) -> float:
    """The time of a solution, as estimated: products of all vectors with all earlier ones, over the sites."""
    p = problem
    (T, K, P), L = p.shape, p.layers
    pairs = (T * P * (1 + K) / 2) ** 2
    sites = EXACT_SHARE * (T * P * (1 + K) + 1) if p.exact else p.samples
    followed = TANGENT_SECONDS * (L - 1) * p.followed * pairs * T * P * (1 + K)
    return STEP_SECONDS * T * L + sites * pairs * (SITE_SECONDS * L + MATRIX_SECONDS * (L - 1)) + followed
