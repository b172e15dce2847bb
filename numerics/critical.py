r"""Critical points of an activation: where the kernel neither grows nor decays with depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.optimize import brentq

from ..theory.activations import Activation
from ..theory.activations import activation as as_activation
from ..theory.architecture import MLP
from ..theory.criticality import origin, susceptibilities
from ..theory.derivation import derive
from ..theory.errors import InvalidArgument, NotConverged
from ..theory.expansion import Recursion
from ..theory.symbols import C_W, C_b
from .codegen import compile

Kernels = NDArray[np.float64]
Function = Callable[[Kernels], Kernels]

#: Where critical kernels are looked for.
KERNELS = np.geomspace(1e-4, 1e4, 161)
#: Average errors above this make a root meaningless.
TOLERANCE = 1e-8


class Universality(StrEnum):
    """The class of a critical point."""

    SCALE_INVARIANT = "scale-invariant"
    ORIGIN = "K* = 0"
    HALF_STABLE = "half-stable"
    NONE = "none"


@dataclass(frozen=True)
class CriticalPoint:
    """Critical hyperparameters of an activation; ``K`` is None where every K is a fixed point, all are None for class none."""

    activation: str
    universality: Universality
    C_W: float | None
    C_b: float | None
    K: float | None
    reason: str

    def __str__(self) -> str:
        if self.universality is Universality.NONE:
            return f"{self.activation}: no critical point: {self.reason}"
        kernel = "any K" if self.K is None else f"K* = {self.K:.10g}"
        return f"{self.activation}: C_W = {self.C_W:.10g}, C_b = {self.C_b:.10g}, {kernel} ({self.universality}): {self.reason}"


def critical(activation: Any) -> CriticalPoint:
    r"""The critical initialisation of an activation.

    Equation
        :math:`\chi_\parallel(K^*)=\chi_\perp(K^*)=1` with :math:`K^*=C_b+C_W\langle\sigma^2\rangle_{K^*}`, where
        :math:`\chi_\parallel=\partial K'/\partial K,\ \chi_\perp=\partial\Theta'/\partial\Theta`.
    Units
        C_W and C_b are variances.
    Valid
        One input, infinite width; K* between 1e-4 and 1e4, or 0. If several points are half-stable, that of the smallest K*.
    Errors
        ``UnknownName``, ``NotIntegrable`` for the activation; ``InvalidArgument`` for the unspecified one;
        ``NotConverged`` if the averages are too inaccurate to decide.
    Source
        Roberts, Yaida & Hanin (arXiv:2106.10165), chapter 5.
    """
    subject = as_activation(activation)
    if not subject.specified:
        raise InvalidArgument("activation='sigma' is unspecified; allowed: a concrete activation, e.g. 'tanh'")
    return _critical(subject)


@lru_cache(maxsize=64)
def _critical(subject: Activation) -> CriticalPoint:
    unit = susceptibilities(MLP(subject).layer_map)
    perpendicular, parallel, square = (_function(subject, e) for e in (unit.perpendicular, unit.parallel, unit.kernel))

    def gap(K: Kernels) -> Kernels:
        with np.errstate(invalid="ignore"):  # inf - inf, where both outgrow double precision, is no root
            return parallel(K) - perpendicular(K)

    if subject.slopes is not None:
        slope = float(perpendicular(np.array(1.0)))
        return CriticalPoint(
            subject.name, Universality.SCALE_INVARIANT, 1 / slope, 0.0, None,
            "chi_parallel = chi_perp = C_W (a_+^2 + a_-^2)/2 for every K",
        )  # fmt: skip
    at_origin = origin(subject)
    if at_origin is not None and _attracts(float(at_origin[0]), parallel):
        decay = at_origin[1]
        how = (
            f"K decays like 1/({float(-decay):.6g} depth)"
            if decay is not None and decay < 0
            else "and chi_parallel < 1 above it"
        )
        return CriticalPoint(
            subject.name, Universality.ORIGIN, float(at_origin[0]), 0.0, 0.0, f"sigma(0) = 0, sigma'(0) != 0; {how}"
        )  # fmt: skip
    for K in _roots(gap):
        weight = 1 / float(perpendicular(np.array(K)))
        bias = K - weight * float(square(np.array(K)))
        if bias >= 0:
            return CriticalPoint(
                subject.name, Universality.HALF_STABLE, weight, bias, K,
                "chi_parallel = chi_perp = 1 at a finite K*, stable from one side",
            )  # fmt: skip
    return CriticalPoint(subject.name, Universality.NONE, None, None, None, _why_not(at_origin, gap))


def _function(subject: Activation, expr: sp.Expr) -> Function:
    """An expression in averages as a function of K, with C_W = 1 and no bias, through the generated code."""
    base = derive(MLP(subject, C_W=1, C_b=0), "K", samples=1)
    compiled = compile(replace(base, law=Recursion(base.law.left, expr.subs({C_W: 1, C_b: 0}), ())))

    def value(K: Kernels) -> Kernels:
        result = compiled({"K": np.asarray(K, dtype=float)})
        error, scale = float(result["average_error"]), float(np.max(np.abs(K), initial=1.0))
        if error > TOLERANCE * scale:
            raise NotConverged(
                f"an average of {subject.name} at K up to {scale:.3g} has an error of {error:.1e}; "
                f"critical points need {TOLERANCE * scale:.0e}"
            )
        return result["K"]

    return value


def _roots(gap: Function) -> list[float]:
    """The kernels at which chi_parallel = chi_perp."""
    values = gap(KERNELS)
    return [
        float(brentq(lambda K: float(gap(np.asarray(K))), a, b, xtol=1e-14, rtol=1e-14))
        for a, b, u, v in zip(KERNELS, KERNELS[1:], values, values[1:], strict=False)
        if np.isfinite(u) and np.isfinite(v) and np.sign(u) * np.sign(v) < 0
    ]


def _attracts(weight: float, parallel: Function) -> bool:
    """Whether kernels slightly above K* = 0 shrink: the sign of chi_parallel - 1 where it first shows."""
    excess = weight * parallel(KERNELS[KERNELS <= 1]) - 1
    return next((bool(e < 0) for e in excess if abs(e) > TOLERANCE), False)


def _why_not(at_origin: tuple[sp.Expr, sp.Expr | None] | None, gap: Function) -> str:
    start = (
        "K = 0 is not a fixed point with C_b = 0 and a slope (sigma(0) != 0, or sigma'(0) = 0 or undefined)"
        if at_origin is None
        else "K* = 0 is unstable (chi_parallel > 1 above it)"
    )
    sign = "positive" if gap(np.array(1.0)) > 0 else "negative"
    return (
        f"{start}, and <sigma sigma''>_K = (chi_parallel - chi_perp)/C_W has no zero with C_b >= 0 "
        f"for K in [{KERNELS[0]:g}, {KERNELS[-1]:g}] (it is {sign} at K = 1)"
    )
