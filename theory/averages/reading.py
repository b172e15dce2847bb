"""The text of an average, read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import sympy as sp
from sympy.core.function import UndefinedFunction

from ..language.errors import InvalidArgument, WidthwiseError
from ..networks.activations import ACTIVATIONS, activation
from .integrands import Integrand, _integrand
from .regularity import Factor

#: Letters of an integrand; without double quotes and brackets a text holds mathematics and no other Python.
_LETTERS = re.compile(r"[\w\s.+\-*/(),<>=&|~']+")


_PRIMED = re.compile(r"\b([A-Za-z]\w*)(\([\s\d./+-]+\))?('*)\s*\(")


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
    from sympy import parse_expr

    named: dict[UndefinedFunction, Factor] = {}
    words: dict[str, UndefinedFunction] = {}

    def placeholder(match: re.Match[str]) -> str:
        name, number, primes = match.groups()
        if name not in {a.name for a in ACTIVATIONS} and not (primes or number) and hasattr(sp, name):
            return match.group(0)
        act = activation(name + (number or ""))
        if not act.specified:
            raise InvalidArgument(
                f"integrand={text!r} holds sigma, which is unspecified; allowed: registered activations, e.g. 'tanh' "
                "(derive(net, ...) holds averages of sigma)"
            )
        word = f"{name}_{len(named)}"
        words[word] = sp.Function(word, real=True)
        named[words[word]] = (act, len(primes))
        return f"{word}("

    try:
        if not _LETTERS.fullmatch(text) or "__" in text:
            raise ValueError("only letters, numbers and the signs + - * / ( ) , < > ' occur in it")
        written = _PRIMED.sub(placeholder, text)
        expr = parse_expr(written, local_dict=dict(words) | _variables(written, words))
        if not isinstance(expr, sp.Expr):
            raise ValueError(f"it is a {type(expr).__name__}")
    except WidthwiseError:
        raise
    except Exception as error:
        raise InvalidArgument(
            f'integrand={text!r} cannot be read: {error}; allowed: sums of products such as "relu(a)*relu\'(b)"'
        ) from error
    return _integrand(expr, named)


def _variables(text: str, words: Mapping[str, UndefinedFunction]) -> dict[str, sp.Symbol]:
    """Every word that is no function is a real variable, even E and S, which mean something else to SymPy."""
    return {name: sp.Symbol(name, real=True) for name in _free_words(text) if name not in words}


def _free_words(text: str) -> Iterator[str]:
    for match in re.finditer(r"\b[A-Za-z]\w*\b(?!\s*\()", text):
        if match.group(0) in {a.name for a in ACTIVATIONS}:
            raise InvalidArgument(
                f"integrand={text!r}: {match.group(0)} is an activation; allowed: {match.group(0)}(a)"
            )
        if match.group(0) not in ("pi", "True", "False", "I"):
            yield match.group(0)
