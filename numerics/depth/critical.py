r"""Critical points of an activation: where the kernel neither grows nor decays with depth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy.optimize import brentq

from ...theory.depth.criticality import OriginPoint, exact_half_stable, origin, susceptibilities
from ...theory.initialisation.derivation import recursions
from ...theory.language.errors import NotConverged
from ...theory.language.markup import record, short
from ...theory.language.symbols import C_W, C_b
from ...theory.language.values import Written
from ...theory.networks.activations import Activation
from ...theory.networks.activations import activation as as_activation
from ...theory.networks.architecture import MLP
from ..codegen.modules import compile

Kernels = NDArray[np.float64]
Function = Callable[[Kernels], Kernels]

#: Where critical kernels are looked for.
KERNELS = np.geomspace(1e-4, 1e4, 161)
#: Below this chi_parallel - chi_perp is rounding.
NOISE = 1e-12
#: Average errors above this make a root meaningless.
TOLERANCE = 1e-8


class Universality(StrEnum):
    """The class of a critical point."""

    SCALE_INVARIANT = "scale-invariant"
    ORIGIN = "K* = 0"
    HALF_STABLE = "half-stable"
    NONE = "none"


class Stability(StrEnum):
    """The fate of kernels near a fixed point."""

    MARGINAL = "every K stays"
    STABLE = "stable"
    UNSTABLE = "unstable"
    ABOVE = "stable from above, unstable from below"
    BELOW = "stable from below, unstable from above"


@dataclass(frozen=True, repr=False)
class CriticalPoint(Written):
    r"""Critical hyperparameters of an activation.

    Equation
        :math:`h=\tfrac12\,d\chi_\perp/dK` at K*; ``bend`` is :math:`a` in :math:`K'-K^*=(K-K^*)+a\,(K-K^*)^2+\dots`
    Units
        C_W and C_b are variances.
    Valid
        ``K`` is None where every K is a fixed point; all numbers are None for class none; ``h`` and ``bend`` are None where they
        diverge or vary with K. ``exact`` holds (C_W, C_b, K*) as SymPy expressions where they have a closed form.
    Source
        The classes are those of Roberts, Yaida & Hanin (arXiv:2106.10165), chapter 5.
    """

    activation: str
    universality: Universality
    C_W: float | None
    C_b: float | None
    K: float | None
    reason: str
    stability: Stability | None = None
    exact: tuple[sp.Expr, ...] | None = None
    h: float | None = None
    bend: float | None = None

    def __str__(self) -> str:
        if self.universality is Universality.NONE:
            return f"{self.activation}: no critical point: {self.reason}"
        kernel = "any K" if self.K is None else f"K* = {self.K:.10g}"
        return f"{self.activation}: C_W = {self.C_W:.10g}, C_b = {self.C_b:.10g}, {kernel} ({self.universality}): {self.reason}"

    def __repr__(self) -> str:
        return short(f"<CriticalPoint {str(self).removesuffix(f': {self.reason}')}>")

    def _repr_html_(self) -> str:
        numbers = {name: getattr(self, name) for name in ("C_W", "C_b", "K", "h", "bend")}
        entries = {name: None if value is None else f"{value:.12g}" for name, value in numbers.items()}
        if self.exact is not None:
            entries["C_W, C_b, K* exactly"] = ", ".join(map(str, self.exact))
        if self.K is None and self.C_W is not None:
            entries["K"] = "any"
        return record(
            f"Critical point of {self.activation}",
            entries | {"class": self.universality, "stability": self.stability, "because": self.reason},
        )


def critical(activation: Any) -> CriticalPoint:
    r"""The critical initialisation of an activation.

    Equation
        :math:`\chi_\parallel(K^*)=\chi_\perp(K^*)=1` with :math:`K^*=C_b+C_W\langle\sigma^2\rangle_{K^*}`, where
        :math:`\chi_\parallel=\partial K'/\partial K,\ \chi_\perp=\partial\Theta'/\partial\Theta`.
    Units
        C_W and C_b are variances.
    Valid
        One input, infinite width; K* between 1e-4 and 1e4, or 0. Of several points the one that kernels run into: K* = 0 if
        it is stable, else the half-stable one of the smallest K*; see ``critical_points`` for all of them.
    Errors
        ``UnknownName``, ``NotIntegrable`` for the activation; ``InvalidArgument`` for the unspecified one;
        ``NotConverged`` if the averages are too inaccurate to decide.
    Source
        Roberts, Yaida & Hanin (arXiv:2106.10165), chapter 5.
    """
    subject = specified(activation)
    points = _points(subject)
    attracting = (p for p in points if p.stability is not Stability.UNSTABLE)
    return next(attracting, None) or _none(subject, bool(points))


def critical_points(activation: Any) -> tuple[CriticalPoint, ...]:
    r"""All critical points of an activation: K* = 0 first, stable or not, then the half-stable ones by K*.

    Equation
        :math:`\chi_\parallel(K^*)=\chi_\perp(K^*)=1` with :math:`K^*=F(K^*)`: at K* > 0 the zeros of
        :math:`\langle\sigma\sigma''\rangle_K`, with :math:`C_W=1/\langle\sigma'^2\rangle` and
        :math:`C_b=K^*-C_W\langle\sigma^2\rangle\ge 0`.
    Shapes
        A tuple; one point of class none, with the reason, if there is no other.
    Units
        C_W and C_b are variances.
    Valid
        As ``critical``. Zeros closer than a tenth of a decade in K may be missed.
    Errors
        As ``critical``.
    Source
        Roberts, Yaida & Hanin (arXiv:2106.10165), chapter 5.
    """
    subject = specified(activation)
    return _points(subject) or (_none(subject, False),)


def specified(activation: Any) -> Activation:
    """The activation, if it is a concrete one."""
    return as_activation(activation).concrete()


@dataclass(frozen=True)
class Responses:
    """The susceptibilities of an activation as functions of K, with C_W = 1; ``gap`` is chi_parallel - chi_perp."""

    subject: Activation

    def __post_init__(self) -> None:
        unit = susceptibilities(MLP(self.subject).layer_map)
        for name in ("parallel", "perpendicular", "kernel", "h", "bend"):
            object.__setattr__(self, name, function(self.subject, getattr(unit, name)))

    parallel: Function = field(init=False)
    perpendicular: Function = field(init=False)
    kernel: Function = field(init=False)
    h: Function = field(init=False)
    bend: Function = field(init=False)

    def gap(self, K: Kernels) -> Kernels:
        """Zero at critical kernels."""
        with np.errstate(invalid="ignore"):  # inf - inf, where both outgrow double precision, is no root
            return self.parallel(K) - self.perpendicular(K)


@lru_cache(maxsize=64)
def responses(subject: Activation) -> Responses:
    """The compiled susceptibilities."""
    return Responses(subject)


@lru_cache(maxsize=64)
def _points(subject: Activation) -> tuple[CriticalPoint, ...]:
    at_origin = origin(subject)
    if subject.slopes is not None:
        return () if at_origin is None else (_line(subject, at_origin),)
    first = () if at_origin is None else (_origin(subject, at_origin),)
    found = (_half_stable(subject, K) for K in _roots(responses(subject).gap))
    return (*first, *(point for point in found if point is not None))


def _line(subject: Activation, point: OriginPoint) -> CriticalPoint:
    return CriticalPoint(
        subject.name, Universality.SCALE_INVARIANT, float(point.C_W), 0.0, None,
        "chi_parallel = chi_perp = C_W (a_+^2 + a_-^2)/2 for every K",
        Stability.MARGINAL, (point.C_W, sp.Integer(0)), 0.0, 0.0,
    )  # fmt: skip


def _origin(subject: Activation, point: OriginPoint) -> CriticalPoint:
    weight = float(point.C_W)
    stable = point.stable if point.stable is not None else _attracts(weight, responses(subject).parallel)
    if point.s is None:
        how = f"chi_parallel {'<' if stable else '>'} 1 above it, by less than every power of K"
    elif stable:
        # K' = K + alpha K^(1+s) with chi_parallel - 1 = (1+s) alpha K^s, so K^-s grows by s |alpha| in each layer.
        rate = float(-point.parallel * point.s / (1 + point.s))
        base = f"1/({rate:.6g} depth)"
        how = f"K decays like {base if point.s == 1 else f'({base})^({1 / point.s})'}"
    else:
        how = "K* = 0 is unstable (chi_parallel > 1 above it)"
    return CriticalPoint(
        subject.name, Universality.ORIGIN, weight, 0.0, 0.0, f"sigma(0) = 0, sigma'(0) != 0; {how}",
        Stability.STABLE if stable else Stability.UNSTABLE, (point.C_W, sp.Integer(0), sp.Integer(0)),
        None if point.h is None else float(point.h), None if point.a_1 is None else float(point.a_1),
    )  # fmt: skip


def _half_stable(subject: Activation, root: float) -> CriticalPoint | None:
    """The point at a zero of the gap; None if it would need a negative variance of the biases."""
    exact = exact_half_stable(subject, root)
    K = root if exact is None else float(exact[2])
    perpendicular, kernel, h, bend = (
        float(f(np.array(K)))
        for f in (getattr(responses(subject), n) for n in ("perpendicular", "kernel", "h", "bend"))
    )
    weight = 1 / perpendicular
    bias = K - weight * kernel
    if bias < 0:
        return None
    side = Stability.ABOVE if bend < 0 else Stability.BELOW
    return CriticalPoint(
        subject.name, Universality.HALF_STABLE, weight, bias, K,
        f"chi_parallel = chi_perp = 1 at a finite K*, {side}", side, exact, weight * h, weight * bend / 2,
    )  # fmt: skip


def _none(subject: Activation, unstable_origin: bool) -> CriticalPoint:
    if subject.slopes is not None:
        reason = "sigma is zero, so that no C_W makes chi_parallel = 1; <sigma sigma''>_K has no zero of its own"
    else:
        reason = _why_not(unstable_origin, responses(subject).gap)
    return CriticalPoint(subject.name, Universality.NONE, None, None, None, reason)


def function(subject: Activation, expr: sp.Expr) -> Function:
    """An expression in averages as a function of K, with C_W = 1 and no bias, through the generated code."""
    base = recursions(MLP(subject, C_W=1, C_b=0), "K", samples=1)
    compiled = compile(base.with_(K=expr.subs({C_W: 1, C_b: 0})))

    def value(K: Kernels) -> Kernels:
        result = compiled({"K": np.asarray(K, dtype=float)})
        error, scale = float(result["average_error"]), float(np.max(np.abs(K), initial=1.0))
        if error > TOLERANCE * scale:
            raise NotConverged(
                f"an average of {subject.name} at K up to {scale:.3g} has an error of {error:.1e}; "
                f"allowed for critical points: {TOLERANCE * scale:.0e}"
            )
        return result["K"]

    return value


def _roots(gap: Function) -> list[float]:
    """The kernels at which chi_parallel = chi_perp."""
    values = gap(KERNELS)
    values = np.where(np.abs(values) > NOISE, values, 0.0)  # hard_tanh: exp(-1/2K), which is rounding alone at small K
    return [
        float(brentq(lambda K: float(gap(np.asarray(K))), a, b, xtol=1e-14, rtol=1e-14))
        for a, b, u, v in zip(KERNELS, KERNELS[1:], values, values[1:], strict=False)
        if np.isfinite(u) and np.isfinite(v) and np.sign(u) * np.sign(v) < 0
    ]


def _attracts(weight: float, parallel: Function) -> bool:
    """Whether kernels slightly above K* = 0 shrink: the sign of chi_parallel - 1 where it first shows."""
    excess = weight * parallel(KERNELS[KERNELS <= 1]) - 1
    return next((bool(e < 0) for e in excess if abs(e) > TOLERANCE), False)


def _why_not(unstable_origin: bool, gap: Function) -> str:
    start = (
        "K* = 0 is unstable (chi_parallel > 1 above it)"
        if unstable_origin
        else "K = 0 is not a fixed point with C_b = 0 and a slope (sigma(0) != 0, or sigma'(0) = 0 or undefined)"
    )
    sign = "positive" if gap(np.array(1.0)) > 0 else "negative"
    return (
        f"{start}, and <sigma sigma''>_K = (chi_parallel - chi_perp)/C_W has no zero with C_b >= 0 "
        f"for K in [{KERNELS[0]:g}, {KERNELS[-1]:g}] (it is {sign} at K = 1)"
    )
