"""The data and the networks that the tests of training share, on all floors."""

from __future__ import annotations

import functools

import numpy as np
import sympy as sp

from widthwise.theory.networks.architecture import MLP
from widthwise.theory.training.subject import Training

#: Three inputs of six features, and their labels: the data of the numbers in the tests.
X = np.random.default_rng(0).standard_normal((6, 3)).T
Y = np.array([1.0, -0.7, 0.5])
#: What belongs to the network among the options of a flow.
NETWORK = ("C_W", "C_b", "lambda_W", "lambda_b", "width", "weights", "residual")


def flow(activation="tanh", depth=3, **options):
    """Training of an MLP, options of the network and of the training in one list."""
    network = {k: options.pop(k) for k in NETWORK if k in options}
    return Training(MLP(activation, depth=depth, **network), **options)


def value_of(expr, arrays):
    """A matrix expression with arrays for its operators, which are square and of one size."""
    if isinstance(expr, sp.MatrixSymbol):
        return arrays[expr.name]
    if isinstance(expr, sp.Identity):
        return np.eye(len(next(a for a in arrays.values() if np.ndim(a) == 2)))
    if not isinstance(expr, sp.MatrixExpr):
        return float(expr)
    parts = [value_of(a, arrays) for a in expr.args if a != -1 or not isinstance(expr, sp.Inverse)]
    if isinstance(expr, sp.MatAdd):
        return sum(parts)
    if isinstance(expr, sp.MatMul):
        return functools.reduce(np.dot, parts)
    if isinstance(expr, sp.Transpose):
        return parts[0].T
    if isinstance(expr, sp.Inverse):
        return np.linalg.inv(parts[0])
    raise TypeError(expr)
