"""The text of an average, read."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp
from sympy.core.function import UndefinedFunction

from ..language.errors import InvalidArgument
from ..language.reading import FUNCTIONS, Language
from ..networks.activations import ACTIVATIONS, NAMES, SIGMA, activation
from .integrands import Integrand, _integrand
from .regularity import Factor

#: Words that are functions of a text even where SymPy has one of the same name.
_REGISTERED = {a.name for a in ACTIVATIONS}


def read_integrand(source: sp.Expr | str) -> Integrand:
    """The integrand of an expression or a text; ``InvalidArgument`` if it is no sum of products."""
    if isinstance(source, str):
        return _from_text(source)
    if not isinstance(source, sp.Expr):
        raise InvalidArgument(
            f'integrand={source!r} is a {type(source).__name__}; allowed: a SymPy expression, or text such as "relu(a)*relu\'(b)"'
        )
    return _integrand(source, {})


def _from_text(text: str) -> Integrand:
    """The integrand, its activations and their derivatives as functions of their own."""
    known: dict[UndefinedFunction, Factor] = {}

    def named(name: str, parameter: str | None, primes: int) -> Callable[[sp.Expr], sp.Expr] | None:
        if name == SIGMA.name:
            raise InvalidArgument(
                f"integrand={text!r} holds sigma, which is unspecified; allowed: registered activations, e.g. 'tanh' "
                "(derive(net, ...) holds averages of sigma)"
            )
        if name not in _REGISTERED and parameter is None and not primes and name in FUNCTIONS:
            return None
        if name.lower() not in NAMES:
            return None
        factor = activation(name if parameter is None else f"{name}({parameter})"), primes
        word = next((w for w, f in known.items() if f == factor), None) or sp.Function(
            f"{name}_{len(known)}", real=True
        )
        known[word] = factor
        return word

    language = Language(
        "integrand", 'sums of products such as "relu(a)*relu\'(b)"', None, named, NAMES, constants={"pi": sp.pi}
    )
    return _integrand(language.read(text), known)
