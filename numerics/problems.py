"""What a solution of the equations of training takes: from a subject, data and steps; and how much memory."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..theory.dynamics import Dynamics, is_linear
from ..theory.errors import InvalidArgument, NotAvailable
from ..theory.symbols import z
from ..theory.training import Training
from .causal import Problem
from .samples import Data, error_function
from .sites import activation_function, generate
from .stepping import Grid

Array = NDArray[np.float64]

#: gamma_0 = 0 is solved as this: results differ by its square.
LAZY = 1e-5
#: What the responses of sites may take, in bytes, and how many sites follow them at most and at least.
TANGENT_BYTES, MOST_TANGENTS, FEWEST_TANGENTS = 1 << 31, 128, 16


def problem_of(
    flow: Training,
    found: Dynamics,
    data: Data,
    grid: Grid,
    samples: int,
    responses: int | None = None,
    most: int = MOST_TANGENTS,
) -> Problem:
    """What the solver takes; ``most``: of sites whose responses are followed, if no number is given."""
    net, L = flow.net, flow.hidden_layers
    assert L is not None
    linear = is_linear(found)
    if L > 1 and not linear:
        for act in net.layer_activations:
            _check_smooth(act, L)
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
        tangents=1 if linear else responses or _tangents(L, grid.steps, flow.outputs, len(data.inputs), most),
        exact=linear,
        kept=frozenset(map(int, grid.kept)),
    )


def _check_smooth(act: Any, layers: int) -> None:
    slope = act.derivative(1)
    for kink in act.kinks:
        low, high = (float(slope.subs(z, kink + side * sp.Rational(1, 10**9))) for side in (-1, 1))
        if abs(high - low) > 1e-6:
            raise NotAvailable(
                f"activation={act.name!r}: its slope jumps at {kink}, and the responses of {layers} hidden layers hold its second "
                "derivative; allowed: one hidden layer (depth=2), or a smooth activation such as 'gelu', 'softplus', 'tanh'"
            )


def _tangent_bytes(layers: int, steps: int, outputs: int, samples: int) -> int:
    """Of the responses of one site: fields by directions, for each layer and source."""
    fields, by_r, by_u = steps * samples * (1 + outputs), steps * samples * outputs, steps * samples
    return 8 * fields * (layers - 1) * (by_r + by_u)


def _tangents(layers: int, steps: int, outputs: int, samples: int, most: int) -> int:
    """How many sites of a replica follow their responses."""
    each = max(_tangent_bytes(layers, steps, outputs, samples), 1)
    return int(np.clip(TANGENT_BYTES // each, FEWEST_TANGENTS, most))


def check_memory(problem: Problem, also: float = 0.0) -> None:
    """Say what a solution takes before it is taken; ``also``: bytes beside it."""
    p = problem
    (T, K, P), L = p.shape, p.layers
    sites = (T * P * (1 + K) + 1) if p.exact else p.samples
    orders = 8 * (T * P) ** 2 * ((L + 1) * (1 + 2 * K) + (L + 2) * K**2)
    fields = 8 * L * T * P * (1 + K) * sites
    tangents = _tangent_bytes(L, T, K, P) * p.tangents
    total, available = orders + fields + tangents + also, _available()
    if total > available:
        gib = 1 << 30
        more = f", fluctuations {also / gib:.1f}" if also else ""
        raise InvalidArgument(
            f"times={T} steps with P={P} samples: a solution takes {total / gib:.1f} GiB (kernels {orders / gib:.1f}, sites "
            f"{fields / gib:.1f}, responses {tangents / gib:.1f}{more}), and {available / gib:.1f} are free; allowed: fewer "
            "steps, samples= or data"
        )


def _available() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return float("inf")
