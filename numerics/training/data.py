"""Samples and labels, and the loss on them as functions of arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray

from ...theory.language.errors import InvalidArgument, InvalidInput, InvalidNetwork, NotAvailable
from ...theory.training.subject import Training
from ..runs.inputs import check_inputs

Array = NDArray[np.float64]

#: Predictions at which the error of a label is tried: it may not vanish at all of them.
PROBES = (-1.0, 0.0, 0.5)
#: How far beside a prediction a jump of a derivative of the loss is looked for, and the smallest that counts, relative to one and
#: to the derivative.
BESIDE, JUMP = 1e-9, 1e-3


@dataclass(frozen=True)
class Data:
    """Samples: those that are trained on come first."""

    inputs: Array
    labels: Array  #: (K, P), of the samples that are trained on
    trained: int

    @property
    def overlaps(self) -> Array:
        """x.x'/n_0."""
        return np.asarray(self.inputs @ self.inputs.T / self.inputs.shape[1])


def check_data(flow: Training, X: ArrayLike, y: ArrayLike, X_test: ArrayLike | None = None) -> Data:
    """The samples and labels as arrays of the right shapes."""
    if not isinstance(flow, Training):
        raise InvalidArgument(f"flow={flow!r} is a {type(flow).__name__}; allowed: a Training")
    if flow.net.depth is None:
        raise InvalidNetwork("depth=None: only a network of given depth can be trained; allowed: integers from 2")
    for activation in flow.net.distinct_activations:
        activation.concrete()
    inputs = check_inputs(X)
    try:
        labels = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"y={y!r} holds no numbers; allowed: shape ({len(inputs)},) of real numbers") from None
    K = flow.outputs
    allowed = [(len(inputs),), (len(inputs), 1)] if K == 1 else [(len(inputs), K)]
    if labels.shape not in allowed:
        raise InvalidInput(
            f"y has shape {labels.shape} for {len(inputs)} samples and outputs={K}; allowed: {' or '.join(map(str, allowed))}"
            f"{one_hot(labels, K)}"
        )
    if not np.isfinite(labels).all():
        first = tuple(map(int, np.argwhere(~np.isfinite(labels))[0]))
        raise InvalidInput(
            f"y[{', '.join(map(str, first))}]={labels[first]}: y holds entries that are not finite; allowed: finite real numbers"
        )
    labels = np.ascontiguousarray(labels.reshape(len(inputs), K).T)
    start = float(loss_function(flow)(np.zeros_like(labels), labels))
    if not np.isfinite(start):
        raise InvalidArgument(f"loss={flow.loss} is {start} at f = 0, where training starts; allowed: a finite loss")
    _check_labels(flow, labels)
    if X_test is None:
        return Data(inputs, labels, len(inputs))
    test = check_inputs(X_test)
    if test.shape[1] != inputs.shape[1]:
        raise InvalidInput(f"X_test has {test.shape[1]} features, and X has {inputs.shape[1]}; allowed: as many")
    return Data(np.vstack([inputs, test]), labels, len(inputs))


def one_hot(labels: Array, outputs: int | None = None) -> str:
    """What to do with labels that are numbers of classes; nothing for others."""
    whole = labels.ndim == 1 and (labels == np.rint(labels)).all() and labels.min() >= 0
    count = max(outputs or 0, int(labels.max()) + 1) if whole else 0
    if not whole or (outputs is None and count < 3):
        return ""
    how = f"np.eye({count})[y] with outputs={count}"
    return f". Numbers of classes have no order: write them one-hot, {how}" + (
        " and loss='cross_entropy'" if count > 2 else ""
    )


def _check_labels(flow: Training, labels: Array) -> None:
    """Refuse labels outside of the loss's domain, and labels for which it is constant, as a cross-entropy of zeros."""
    allowed = {value: flow.loss.labels.contains(value) == sp.true for value in np.unique(labels).tolist()}
    for sample, own in enumerate(labels.T):
        if not all(allowed[value] for value in own.tolist()):
            hint = one_hot(labels[0]) if len(labels) == 1 else ""
            raise InvalidInput(
                f"y[{sample}]={_shown(own)} with loss={flow.loss}; allowed: labels in {flow.loss.labels}{hint}"
            )
    data = Data(np.zeros((labels.shape[1], 1)), labels, labels.shape[1])
    errors = error_function(flow, data)
    with np.errstate(all="ignore"):
        seen = sum(np.abs(errors(np.full_like(labels, f))).max(axis=0) for f in PROBES)
    for idle in np.flatnonzero(np.asarray(seen) == 0):
        raise InvalidInput(
            f"y[{idle}]={_shown(labels[:, idle])} with loss={flow.loss}: this loss does not depend on the prediction, so "
            "that the sample is not trained on; allowed: labels that it answers to (one-hot for cross_entropy), or X_test for "
            "samples without a label"
        )


def _shown(label: Array) -> str:
    return f"{label[0]:g}" if len(label) == 1 else f"({', '.join(f'{x:g}' for x in label)})"


def error_function(flow: Training, data: Data) -> Callable[[Array], Array]:
    """F (K, P) -> Delta (K, P); zero for samples that are not trained on."""
    exprs = flow.loss.errors(flow.outputs)
    _, fs, ys = flow.loss.value(flow.outputs)
    functions = [sp.lambdify([*fs, *ys], e, "numpy") for e in exprs]

    def errors(f: Array) -> Array:
        out = np.zeros_like(f)
        arguments = [*f[:, : data.trained], *data.labels]
        with np.errstate(over="ignore", invalid="ignore"):
            for k, function in enumerate(functions):
                out[k, : data.trained] = function(*arguments)
        return out

    return errors


def loss_function(flow: Training) -> Callable[[Array, Array], Array]:
    """F (K, P), y (K, P) -> the loss, summed over samples."""
    expr, fs, ys = flow.loss.value(flow.outputs)
    function = sp.lambdify([*fs, *ys], expr, "numpy")

    def loss(f: Array, labels: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.sum(function(*f, *labels), axis=-1))

    return loss


def losses_of(flow: Training, data: Data) -> Callable[[Array], Array]:
    """F (T, K, P) -> the losses (T,)."""
    loss = loss_function(flow)
    return lambda f: np.array([loss(x[:, : data.trained], data.labels) for x in f])


def _check_kinks(flow: Training, order: int, f: Array, *sides: dict[tuple[int, ...], Any]) -> None:
    """An error where a prediction sits at a kink of the loss, at which the derivative of this order jumps."""
    right, left = sides
    for some, high in right.items():
        low = left[some]
        jumps = ~(np.abs(high - low) <= JUMP * (1 + np.abs(high)))
        if np.any(jumps):
            time, sample = map(int, np.argwhere(np.broadcast_to(jumps, f[:, 0].shape))[0])
            at = f[time, some[0], sample]
            raise NotAvailable(
                f"loss={flow.loss}: its derivative of order {order}, which fluctuations need, jumps at the prediction {at:.6g} of "
                f"sample {sample} at step {time}; allowed: labels and times at which no prediction sits at a kink of the loss, or "
                "a smoother loss"
            )


def loss_derivative(flow: Training, data: Data, order: int) -> Callable[[Array], Array]:
    """F (T, K, P) -> the derivative of the loss by the outputs of a sample, (T, K, P, K, ...); zero for those not trained on."""
    _, fs, ys = flow.loss.value(flow.outputs)
    n, K = data.trained, len(fs)
    indices = list(itertools.product(range(K), repeat=order))
    functions = {  # derivatives commute: one for all orders of the same outputs
        some: sp.lambdify([*fs, *ys], flow.loss.derivative(K, *some), "numpy")
        for some in itertools.combinations_with_replacement(range(K), order)
    }

    def values_at(f: Array) -> dict[tuple[int, ...], Any]:
        with np.errstate(all="ignore"):  # both formulas of a choice are evaluated
            return {
                some: function(*f.transpose(1, 0, 2)[:, :, :n], *data.labels) for some, function in functions.items()
            }

    def derivative(f: Array) -> Array:
        values = values_at(f)
        if flow.loss.kinked:
            _check_kinks(
                flow, order, f[:, :, :n], values_at(f * (1 + BESIDE) + BESIDE), values_at(f * (1 - BESIDE) - BESIDE)
            )
        out = np.zeros((*f.shape, *[K] * (order - 1)))
        for k, *rest in indices:
            place: tuple[Any, ...] = (slice(None), k, slice(n), *rest)
            out[place] = values[tuple(sorted((k, *rest)))]
        return out

    return derivative
