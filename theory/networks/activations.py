r"""Activations: one row each, an expression in one symbol; everything else follows from the expression.

A new activation is a new row of :data:`ACTIVATIONS`, or any expression handed to ``MLP``, of SymPy or as text. Nothing else in
the project knows an activation by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import sympy as sp
from sympy.core.function import UndefinedFunction

from ..language.checks import handled
from ..language.errors import InvalidArgument, unknown_name
from ..language.markup import record, short
from ..language.pieces import Break, as_cases, breakpoints, differ, first_break, growth, limits, merged, sides
from ..language.reading import FUNCTIONS, Language, read_number
from ..language.stable import stable
from ..language.symbols import z
from .admissible import check


@dataclass(frozen=True, repr=False)
class Activation:
    r"""An activation :math:`\sigma(z)`; ``expr=None`` is the unspecified function.

    Equation
        ``expr`` as a SymPy expression in the real symbol ``z``.
    Units
        None: preactivations are pure numbers.
    Valid
        :math:`\sigma` is real, finite on the real line, smooth but for finitely many kinks and jumps, and smaller than every
        :math:`e^{\epsilon z^2}`, so that its Gaussian averages exist. Where it jumps, or a
        slope grows like the root of the distance to a kink or faster, the tangent kernel does not.
    Errors
        ``NotIntegrable`` otherwise.
    """

    name: str
    expr: sp.Expr | None
    checked: bool = field(
        default=False, repr=False, compare=False
    )  #: registered ones are checked by a test, not at import

    def __post_init__(self) -> None:
        if self.expr is not None and not self.checked:
            object.__setattr__(self, "expr", _in_z(self.name, self.expr))
            with handled(
                "activation", self.name, "functions whose kinks and derivatives can be found, or a simpler form"
            ):
                check(self.name, self.expr)
                assert self.broken is None or self.kinks

    def __repr__(self) -> str:
        return short(f"Activation({self.name!r}, {self.expr})")

    def _repr_html_(self) -> str:
        return record(f"Activation {self.name}", {"sigma(z)": self.expr if self.specified else "unspecified"})

    @property
    def specified(self) -> bool:
        """Whether this is a concrete function."""
        return self.expr is not None

    def concrete(self) -> Activation:
        """The activation itself; ``InvalidArgument`` for the unspecified one."""
        if not self.specified and self.name != "sigma":
            raise InvalidArgument(
                f"activation={self.name!r} differs from layer to layer; allowed here: one activation for all hidden layers"
            )
        if not self.specified:
            raise InvalidArgument("activation='sigma' is unspecified; allowed: a concrete activation, e.g. 'tanh'")
        return self

    def __call__(self, at: sp.Expr, order: int = 0) -> sp.Expr:
        """The ``order``-th derivative at ``at``, away from the kinks."""
        return self.derivative(order).subs(z, at)

    def derivative(self, order: int) -> sp.Expr:
        r""":math:`\sigma^{(k)}(z)` between the kinks (delta functions at the kinks are not part of it)."""
        if self.expr is None:
            raise InvalidArgument("activation is the unspecified function sigma; allowed: a concrete one, e.g. 'tanh'")
        return _derivative(self.pieces, order)

    @cached_property
    def pieces(self) -> sp.Expr:
        """The expression in a form that can be evaluated, with Max, Min, Abs, sign and Heaviside written as cases."""
        return None if self.expr is None else merged(stable(as_cases(self.expr)))

    @cached_property
    def kinks(self) -> tuple[sp.Expr, ...]:
        """The points between which the activation is smooth."""
        return () if self.expr is None else breakpoints(self.pieces)

    @cached_property
    def jumps(self) -> tuple[sp.Expr, ...]:
        """The kinks at which the activation itself is discontinuous."""
        return tuple(kink for kink in self.kinks if differ(*limits(self.pieces, kink, self.kinks)))

    @cached_property
    def broken(self) -> Break | None:
        """The lowest derivative that jumps at a kink or is infinite there; None if all are continuous."""
        return first_break(self.derivative, self.kinks)

    def growth(self, order: int) -> dict[tuple[sp.Expr, int], float]:
        r"""The powers of the distance with which :math:`\sigma^{(k)}` grows without bound, by kink and side (-1 and 1)."""
        found = {at: growth(self.derivative(order), at, self.kinks) for at in self.kinks}
        return {(at, side): p for at, both in found.items() for side, p in zip((-1, 1), both, strict=True) if p < 0}

    @property
    def smooth(self) -> bool:
        """No kinks: every derivative is an ordinary function."""
        return not self.kinks

    @cached_property
    def slopes(self) -> tuple[sp.Expr, sp.Expr] | None:
        r""":math:`(a_+, a_-)` when :math:`\sigma=a_+z` for :math:`z>0` and :math:`a_-z` for :math:`z<0`; else None."""
        if self.expr is None or any(k != 0 for k in self.kinks):
            return None
        minus, plus = sides(self.pieces, sp.S.Zero, self.kinks)
        a_plus, a_minus = sp.simplify(plus / z), sp.simplify(minus / z)
        return None if (a_plus.free_symbols or a_minus.free_symbols) else (a_plus, a_minus)


def _in_z(name: str, given: Any) -> sp.Expr:
    """The expression, or the text of one, with its one symbol as z."""
    expr = _TEXT.read(given) if isinstance(given, str) else given
    if not isinstance(expr, sp.Expr) or len(expr.free_symbols - {z}) > (z not in expr.free_symbols):
        raise InvalidArgument(f"expr={given!r} of activation={name!r}; allowed: an expression in one symbol")
    return expr.subs(dict.fromkeys(expr.free_symbols, z))


@lru_cache(maxsize=4096)
def _derivative(expr: sp.Expr, order: int) -> sp.Expr:
    if order == 0:
        return expr
    return _factored(stable(sp.diff(_derivative(expr, order - 1), z)))


def _factored(expr: sp.Expr) -> sp.Expr:
    """A quotient of polynomials in z and one tanh in factors: its derivatives would grow threefold each time."""
    waves, t = expr.atoms(sp.tanh), sp.Dummy(real=True)
    if len(waves) != 1:
        return expr
    (wave,) = waves
    masked = expr.xreplace({wave: t})
    quotient = masked.is_rational_function(z, t) and not masked.is_polynomial(z, t)
    return sp.factor(masked).xreplace({t: wave}) if quotient else expr


SIGMA = Activation("sigma", None)

# tanh(z/2) rather than 1/(1 + exp(-z)): the same function, and its derivatives are polynomials that never overflow.
_logistic = (1 + sp.tanh(z / 2)) / 2


def _hardshrink(cut: Any) -> sp.Expr:
    return sp.Piecewise((z, z > cut), (z, z < -cut), (0, True))


def _softshrink(cut: Any) -> sp.Expr:
    return sp.Max(z - cut, 0) + sp.Min(z + cut, 0)


_softplus = sp.log(2 * sp.cosh(z / 2)) + z / 2
#: The fixed point of mean 0 and variance 1, by its published digits.
_SELU = (sp.Rational("1.0507009873554804934193349852946"), sp.Rational("1.6732632423543772848170429916717"))

_ROWS: dict[str, sp.Expr] = {
    "linear": z,
    "quadratic": z**2,
    "cubic": z**3,
    "relu": sp.Max(z, 0),
    "leaky_relu": sp.Piecewise((z, z > 0), (z / 100, True)),
    "abs": sp.Abs(z),
    "elu": sp.Piecewise((z, z > 0), (sp.exp(z) - 1, True)),
    "selu": _SELU[0] * sp.Piecewise((z, z > 0), (_SELU[1] * (sp.exp(z) - 1), True)),
    "hard_tanh": sp.Max(sp.Min(z, 1), -1),
    "hard_sigmoid": sp.Max(sp.Min(z / 6 + sp.Rational(1, 2), 1), 0),
    "hard_swish": z * sp.Max(sp.Min(z / 6 + sp.Rational(1, 2), 1), 0),
    "relu6": sp.Max(sp.Min(z, 6), 0),
    "prelu": sp.Piecewise((z, z > 0), (z / 4, True)),
    "celu": sp.Piecewise((z, z > 0), (sp.exp(z) - 1, True)),
    "hardshrink": _hardshrink(sp.Rational(1, 2)),
    "softshrink": _softshrink(sp.Rational(1, 2)),
    "softsign": z / (1 + sp.Abs(z)),
    "sign": sp.sign(z),
    "step": sp.Heaviside(z, sp.Rational(1, 2)),
    "tanh": sp.tanh(z),
    "sigmoid": _logistic,
    "swish": z * _logistic,
    "softplus": _softplus,
    "logsigmoid": z / 2 - sp.log(2 * sp.cosh(z / 2)),
    "tanhshrink": z - sp.tanh(z),
    # tanh(softplus(z)), with the logistic function s = 1/(1 + exp(-z)) as the only transcendental one
    "mish": z * _logistic * (2 - _logistic) / (1 + (1 - _logistic) ** 2),
    "erf": sp.erf(z),
    "gelu": z * (1 + sp.erf(z / sp.sqrt(2))) / 2,
    "sin": sp.sin(z),
    "cos": sp.cos(z),
    "snake": z + sp.sin(z) ** 2,
    "exp": sp.exp(z),
    "gaussian": sp.exp(-(z**2) / 2),
    "gabor": sp.exp(-(z**2)) * sp.sin(z),
}

ACTIVATIONS: tuple[Activation, ...] = tuple(Activation(name, expr, checked=True) for name, expr in _ROWS.items())

_BY_NAME = {a.name: a for a in ACTIVATIONS} | {
    alias: next(a for a in ACTIVATIONS if a.name == name)
    for alias, name in {"identity": "linear", "silu": "swish", "rbf": "gaussian", "heaviside": "step"}.items()
}


@dataclass(frozen=True)
class Family:
    """Activations with one parameter, written "name(parameter)"."""

    expr: Callable[[Any], sp.Expr]
    allowed: str
    accepts: Callable[[Any], bool]


_power = Family(lambda n: z**n, "an integer from 1", lambda n: bool(n.is_Integer and n >= 1))
_number = ("a real number", lambda a: bool(a.is_real))
_positive = ("a positive number", lambda a: bool(a.is_positive))

FAMILIES: dict[str, Family] = {
    "monomial": _power,
    # orthonormal under a standard Gaussian
    "hermite": replace(_power, expr=lambda n: sp.hermite_prob(n, z) / sp.sqrt(sp.factorial(n))),
    "rectified": replace(_power, expr=lambda n: sp.Max(z, 0) ** n),
    "leaky_relu": Family(lambda a: sp.Piecewise((z, z > 0), (a * z, True)), *_number),
    "elu": Family(lambda a: sp.Piecewise((z, z > 0), (a * (sp.exp(z) - 1), True)), *_number),
    "prelu": Family(lambda a: sp.Piecewise((z, z > 0), (a * z, True)), *_number),
    "celu": Family(lambda a: sp.Piecewise((z, z > 0), (a * (sp.exp(z / a) - 1), True)), *_positive),
    "hardshrink": Family(_hardshrink, *_positive),
    "softshrink": Family(_softshrink, *_positive),
    "snake": Family(lambda a: z + sp.sin(a * z) ** 2 / a, *_positive),
    "softplus": Family(lambda b: (sp.log(2 * sp.cosh(b * z / 2)) + b * z / 2) / b, *_positive),
    "swish": Family(lambda b: z * (1 + sp.tanh(b * z / 2)) / 2, *_positive),
    "erf": Family(lambda a: sp.erf(a * z), *_positive),
    "sin": Family(lambda w: sp.sin(w * z), *_positive),
    "cos": Family(lambda w: sp.cos(w * z), *_positive),
    "gabor": Family(lambda w: sp.exp(-(z**2)) * sp.sin(w * z), *_positive),
    "gaussian": Family(lambda a: sp.exp(-a * z**2 / 2), *_positive),
}


@lru_cache(maxsize=256)
def _member(name: str, parameter: str) -> Activation:
    """The member of a family."""
    family = FAMILIES[name]
    try:
        number: sp.Expr = read_number("parameter", parameter)
    except InvalidArgument:
        number = sp.nan
    if not family.accepts(number):
        raise InvalidArgument(f"activation={f'{name}({parameter})'!r}: the parameter must be {family.allowed}")
    return Activation(f"{name}({parameter})", family.expr(number))


def activation(source: Any = None) -> Activation:
    r"""The activation that ``source`` names or is.

    Equation
        A registered name (``"tanh"``), a member of a family (``"leaky_relu(0.2)"``, ``"hermite(3)"`` for
        :math:`He_3/\sqrt{3!}`, ``"rectified(2)"`` for :math:`\max(z,0)^2`; see :data:`FAMILIES`), an expression in one
        symbol, of SymPy or as text (``"tanh(x) + x/2"``, ``"relu(x) - 0.1*softplus(2)(x)"``), a
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
        return _by_name(source) if _NAME.fullmatch(source) else _of_expression(_TEXT.read(source))
    if isinstance(source, sp.Expr):
        return _of_expression(source)
    raise InvalidArgument(
        f"activation={source!r} is a {type(source).__name__}; allowed: a registered name, "
        "an expression in one symbol, a sympy.Function without definition, or None"
    )


def _of_expression(expr: sp.Expr) -> Activation:
    if len(expr.free_symbols) != 1:
        names = ", ".join(sorted(map(str, expr.free_symbols))) or "none"
        raise InvalidArgument(
            f"activation={expr} must be an expression in exactly one symbol; its free symbols are: {names}; allowed: one, as "
            "in tanh(x) + x/2"
        )
    (symbol,) = expr.free_symbols
    return Activation(str(expr), expr.subs(symbol, z))


#: A name, or one with a parameter in brackets: anything else is read as an expression.
_NAME = re.compile(r"\s*[^\W\d]\w*\s*(\([\s\d./e+-]*\))?\s*|\w*", re.ASCII)


def named(name: str, parameter: str | None, primes: int) -> Callable[[sp.Expr], sp.Expr] | None:
    """In a text, a registered activation or a derivative of it as a function; None for another name."""
    if name.lower() not in (_BY_NAME if parameter is None else FAMILIES):
        return None
    if name in FUNCTIONS and parameter is None and not primes:
        return None
    known = _by_name(name if parameter is None else f"{name}({parameter})")
    if known.broken is not None and primes > known.broken.order:
        raise InvalidArgument(
            f"{name}{chr(39) * primes} holds a delta function; allowed: derivatives that are functions, up to order "
            f"{known.broken.order}"
        )
    return lambda at: known(at, primes) if primes else sp.sympify(known.expr).subs(z, at)


#: The names of activations in a text.
NAMES = (*_BY_NAME, *FAMILIES)
_TEXT = Language(
    "activation", 'a registered name, or an expression in one symbol such as "tanh(x) + x/2"', None, named, NAMES
)


def _by_name(source: str) -> Activation:
    name, _, parameter = source.lower().replace(" ", "").partition("(")
    if parameter.endswith(")") and name in FAMILIES:
        return _member(name, parameter[:-1])
    if name == SIGMA.name and not parameter:
        return SIGMA
    if parameter or name not in _BY_NAME:
        families = [f"{family}(...)" for family in FAMILIES]
        raise unknown_name("activation", source, [*_BY_NAME, *families, SIGMA.name])
    return _BY_NAME[name]


def as_activations(source: Any, depth: int | None) -> tuple[Activation, tuple[Activation, ...] | None]:
    """One activation for all hidden layers; or, for a sequence, the unspecified one and those of the layers 1 ... L-1."""
    if not isinstance(source, list | tuple):
        return activation(source), None
    several = tuple(activation(item) for item in source)
    if depth is None or len(several) != depth - 1:
        raise InvalidArgument(
            f"activation={[a.name for a in several]} has {len(several)} entries, but depth={depth}; allowed: one, or one for "
            "each hidden layer 1...L-1"
        )
    if len(set(several)) <= 1:
        return (several[0] if several else SIGMA), None
    return Activation(", ".join(a.name for a in several), None), several
