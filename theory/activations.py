r"""Activations: one row each, an expression in one symbol; everything else follows from the expression.

A new activation is a new row of :data:`ACTIVATIONS`, or any SymPy expression handed to ``MLP``. Nothing else in the
project knows an activation by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import mpmath
import sympy as sp
from sympy.core.function import AppliedUndef, UndefinedFunction

from .errors import InvalidArgument, NotIntegrable, unknown_name
from .symbols import z

#: Far enough out for log|sigma(z)|/z^2 to show whether sigma grows like a Gaussian.
_FAR = 10**6
#: How far from a kink its sides are looked at.
KINK_STEP = sp.Rational(1, 10**10)


@dataclass(frozen=True)
class Activation:
    r"""An activation :math:`\sigma(z)`; ``expr=None`` is the unspecified function.

    Equation
        ``expr`` as a SymPy expression in the real symbol ``z``.
    Units
        None: preactivations are pure numbers.
    Valid
        :math:`\sigma` is real, finite on the real line, continuous, and smaller than every
        :math:`e^{\epsilon z^2}`, so that all its Gaussian averages exist.
    Errors
        ``NotIntegrable`` otherwise.
    """

    name: str
    expr: sp.Expr | None

    def __post_init__(self) -> None:
        if self.expr is not None:
            _check_elementary(self.name, self.expr)
            _check_poles(self.name, self.expr)
            _check_integrable(self.name, self.expr)
            _check_continuous(self)

    @property
    def specified(self) -> bool:
        """Whether this is a concrete function."""
        return self.expr is not None

    def __call__(self, at: sp.Expr, order: int = 0) -> sp.Expr:
        """The ``order``-th derivative at ``at``, away from the kinks."""
        return self.derivative(order).subs(z, at)

    def derivative(self, order: int) -> sp.Expr:
        r""":math:`\sigma^{(k)}(z)` between the kinks (delta functions at the kinks are not part of it)."""
        if self.expr is None:
            raise InvalidArgument("activation is the unspecified function sigma; give a concrete one, e.g. 'tanh'")
        return _derivative(self.pieces, order)

    @cached_property
    def pieces(self) -> sp.Expr:
        """The expression with Max, Min, Abs, sign and Heaviside written as cases, so that kinks can be read off."""
        expr = self.expr
        if expr is not None and expr.has(sp.Max, sp.Min, sp.Abs, sp.sign, sp.Heaviside):
            expr = sp.piecewise_fold(expr.rewrite(sp.Piecewise))
        return expr

    @cached_property
    def kinks(self) -> tuple[sp.Expr, ...]:
        """The points between which the activation is smooth."""
        if self.expr is None:
            return ()
        points: set[sp.Expr] = set()
        for piecewise in self.pieces.atoms(sp.Piecewise):
            for _, condition in piecewise.args:
                for relation in condition.atoms(sp.core.relational.Relational):
                    points.update(sp.solve(relation.lhs - relation.rhs, z))
        return tuple(sorted((p for p in points if p.is_real), key=float))

    @property
    def smooth(self) -> bool:
        """No kinks: every derivative is an ordinary function."""
        return not self.kinks

    @cached_property
    def slopes(self) -> tuple[sp.Expr, sp.Expr] | None:
        r""":math:`(a_+, a_-)` when :math:`\sigma=a_+z` for :math:`z>0` and :math:`a_-z` for :math:`z<0`; else None."""
        if self.expr is None or any(k != 0 for k in self.kinks):
            return None
        plus, minus = (_branch(self.pieces, s) for s in (1, -1))
        a_plus, a_minus = sp.simplify(plus / z), sp.simplify(minus / z)
        return None if (a_plus.free_symbols or a_minus.free_symbols) else (a_plus, a_minus)


@cache
def _derivative(expr: sp.Expr, order: int) -> sp.Expr:
    if order == 0:
        return expr
    slope = sp.diff(_derivative(expr, order - 1), z)
    # sinh/cosh is tanh, which does not overflow.
    return sp.simplify(slope) if slope.has(sp.sinh, sp.cosh) else slope


def _branch(expr: sp.Expr, sign: int) -> sp.Expr:
    """The piece of a one-kink expression on the positive (1) or negative (-1) side."""
    side = sp.Symbol("side", positive=True)
    return sp.simplify(expr.subs(z, sign * side)).subs(side, sign * z)


def _check_elementary(name: str, expr: sp.Expr) -> None:
    """Raise for functions that have no derivative or no NumPy text."""
    refused = (sp.floor, sp.ceiling, sp.frac, sp.Mod, sp.DiracDelta, sp.Integral, sp.Derivative, sp.Sum, AppliedUndef)
    found = expr.atoms(*refused)
    if found:
        raise InvalidArgument(
            f"activation={name!r} holds {', '.join(sorted(map(str, found)))}; allowed: elementary functions, erf, Max, Min, "
            "Abs and Piecewise, or sympy.Function('sigma') itself for the unspecified activation"
        )


def _check_poles(name: str, expr: sp.Expr) -> None:
    """Raise for a pole on the real line: tan and its relatives, and rational functions by the roots of the denominator."""
    periodic = expr.atoms(sp.tan, sp.cot, sp.sec, sp.csc)
    poles = [f"the poles of {f}" for f in sorted(map(str, periodic))]
    if expr.is_rational_function(z):
        denominator = sp.fraction(sp.together(expr))[1]
        poles += [f"z={root}" for root in (sp.real_roots(denominator) if denominator.has(z) else [])]
    if poles:
        raise NotIntegrable(
            f"activation={name!r} is not real and finite at {poles[0]}; "
            "its Gaussian averages need a function that is finite on the whole real line"
        )


def _check_continuous(activation: Activation) -> None:
    """Raise for a jump or an unbounded slope at a kink: the tangent kernel has an infinite mean there."""
    for kink in activation.kinks:
        left, at, right = (float(activation(kink + h).evalf()) for h in (-KINK_STEP, 0, KINK_STEP))
        slopes = [abs(float(activation(kink + h, 1).evalf())) for h in (-KINK_STEP, KINK_STEP)]
        scale = 1 + abs(at)
        if max(abs(left - at), abs(right - at)) > 1e-4 * scale:
            what = f"jumps at z={kink} (from {left:.6g} by {at:.6g} to {right:.6g})"
        elif max(slopes) > 1e4 * scale:
            what = f"has an unbounded slope at z={kink}"
        else:
            continue
        raise NotIntegrable(
            f"activation={activation.name!r} {what}: <sigma'^2>, and with it the tangent kernel, is infinite; "
            "allowed: continuous functions with bounded slopes (kinks are fine)"
        )


def _check_integrable(name: str, expr: sp.Expr) -> None:
    """Raise unless sigma is real and finite on a grid, and o(exp(eps z^2)) at both ends."""
    f = sp.lambdify(z, expr, "mpmath")
    with mpmath.workdps(20):
        for x in [mpmath.mpf(k) / 8 for k in range(-80, 81)]:
            value = _evaluate(f, x)
            if value is None:
                raise NotIntegrable(
                    f"activation={name!r} is not real and finite at z={float(x):g}; "
                    "its Gaussian averages need a function that is finite on the whole real line"
                )
        # Nearer points first: there a function that grows out of all bounds shows it before its digits fill the memory.
        for x, limit in ((50, 1), (-50, 1), (_FAR, 1e-4), (-_FAR, 1e-4)):
            value = _evaluate(f, mpmath.mpf(x))
            if value is None or (value != 0 and mpmath.log(abs(value)) / x**2 > limit):
                raise NotIntegrable(
                    f"activation={name!r} is not finite under a Gaussian: it grows like exp(c z^2) or faster as "
                    f"z -> {'+' if x > 0 else '-'}oo, so <sigma^2>_K diverges for large K; "
                    "allowed: functions smaller than every exp(c z^2), c > 0"
                )


def _evaluate(f: Any, x: Any) -> Any:
    try:
        value = mpmath.mpmathify(f(x))
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        return None
    if isinstance(value, mpmath.mpc):
        if abs(value.imag) > 1e-12 * (1 + abs(value.real)):
            return None
        value = value.real
    return value if mpmath.isfinite(value) else None


SIGMA = Activation("sigma", None)

# tanh(z/2) rather than 1/(1 + exp(-z)): the same function, and its derivatives are polynomials that never overflow.
_logistic = (1 + sp.tanh(z / 2)) / 2

ACTIVATIONS: tuple[Activation, ...] = (
    Activation("linear", z),
    Activation("quadratic", z**2),
    Activation("cubic", z**3),
    Activation("relu", sp.Max(z, 0)),
    Activation("leaky_relu", sp.Piecewise((z, z > 0), (z / 100, True))),
    Activation("abs", sp.Abs(z)),
    Activation("elu", sp.Piecewise((z, z > 0), (sp.exp(z) - 1, True))),
    Activation("hard_tanh", sp.Max(sp.Min(z, 1), -1)),
    Activation("tanh", sp.tanh(z)),
    Activation("sigmoid", _logistic),
    Activation("swish", z * _logistic),
    Activation("softplus", sp.log(2 * sp.cosh(z / 2)) + z / 2),
    Activation("erf", sp.erf(z)),
    Activation("gelu", z * (1 + sp.erf(z / sp.sqrt(2))) / 2),
    Activation("sin", sp.sin(z)),
    Activation("cos", sp.cos(z)),
    Activation("exp", sp.exp(z)),
    Activation("gaussian", sp.exp(-(z**2) / 2)),
)

_BY_NAME = {a.name: a for a in ACTIVATIONS} | {
    alias: next(a for a in ACTIVATIONS if a.name == name)
    for alias, name in {"identity": "linear", "silu": "swish", "rbf": "gaussian"}.items()
}


def activation(source: Any = None) -> Activation:
    r"""The activation that ``source`` names or is.

    Equation
        A registered name (``"tanh"``), a SymPy expression in one symbol (``sp.tanh(x) + x/2``), a
        ``sympy.Function`` without definition or None (the unspecified :math:`\sigma`).
    Valid
        See :class:`Activation`.
    Errors
        ``UnknownName`` with the nearest registered names; ``InvalidArgument`` for an expression without exactly one
        symbol; ``NotIntegrable`` for one whose Gaussian averages diverge.
    """
    if isinstance(source, Activation):
        return source
    if source is None or isinstance(source, UndefinedFunction):
        return SIGMA
    if isinstance(source, str):
        if source == SIGMA.name:
            return SIGMA
        if source.lower() not in _BY_NAME:
            raise unknown_name("activation", source, [*_BY_NAME, SIGMA.name])
        return _BY_NAME[source.lower()]
    if isinstance(source, sp.Expr):
        if len(source.free_symbols) != 1:
            names = ", ".join(sorted(map(str, source.free_symbols))) or "none"
            raise InvalidArgument(
                f"activation={source} must be an expression in exactly one symbol; its free symbols are: {names}"
            )
        (symbol,) = source.free_symbols
        return Activation(str(source), source.subs(symbol, z))
    raise InvalidArgument(
        f"activation={source!r} is a {type(source).__name__}; allowed: a registered name, "
        "a SymPy expression in one symbol, a sympy.Function without definition, or None"
    )


def as_activations(source: Any, depth: int | None) -> tuple[Activation, tuple[Activation, ...] | None]:
    """One activation for all hidden layers; or, for a sequence, the unspecified one and those of the layers 1 ... L-1."""
    if not isinstance(source, list | tuple):
        return activation(source), None
    several = tuple(activation(item) for item in source)
    if depth is None or len(several) != depth - 1:
        raise InvalidArgument(
            f"activation={[a.name for a in several]} has {len(several)} entries, but depth={depth}: give one, or one for "
            "each hidden layer 1...L-1"
        )
    if len(set(several)) <= 1:
        return (several[0] if several else SIGMA), None
    return Activation(", ".join(a.name for a in several), None), several
