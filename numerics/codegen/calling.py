"""Calls of generated functions: the keywords that each takes, and an error of the package for whatever does not fit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...theory.language.errors import InvalidArgument, InvalidCall, MissingTensor, WidthwiseError
from .refusals import infinite

#: The functions of a module that take hyperparameters.
CALLED = ("step", "first_layer", "recursion", "last_layer")


def keywords_of(namespace: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """For each function of a module its keywords, and whether they have to be given."""
    return {
        name: {
            p.name: p.default is p.empty
            for p in inspect.signature(namespace[name]).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }
        for name in CALLED
        if name in namespace
    }


def called(
    name: str, function: Callable[..., Any], keywords: Mapping[str, bool], *arguments: Any, **given: Any
) -> dict[str, Any]:
    """What a generated function returns; its own errors, which name what is allowed, as those of the package."""
    allowed = ", ".join(keywords) or "no keyword"
    unknown = [p for p in given if p not in keywords]
    missing = [p for p, needed in keywords.items() if needed and p not in given]
    if unknown:
        values = ", ".join(f"{p}={given[p]!r}" for p in unknown)
        raise InvalidCall(
            f"{values}: {name} has no such argument, because its equations hold no such symbol (numbers of the network are written "
            f"into them); allowed: {allowed}"
        )
    if missing:
        raise InvalidCall(
            f"{', '.join(missing)} of {name}: the equations hold the symbol, and no value is given; allowed: values for {allowed}"
        )
    try:
        return dict(function(*arguments, **given))
    except ValueError as error:
        if isinstance(error, WidthwiseError):
            raise
        raise infinite(error) or InvalidArgument(str(error)) from error


def check_state(state: Any, tensors: Sequence[str]) -> None:
    """``MissingTensor`` for a state that lacks a tensor."""
    if not isinstance(state, Mapping):
        raise InvalidArgument(
            f"state={state!r} is a {type(state).__name__}; allowed: a mapping from names to arrays, with {', '.join(tensors)}"
        )
    missing = [name for name in tensors if name not in state]
    if missing:
        raise MissingTensor(
            f"state holds {', '.join(map(str, state)) or 'nothing'}, and not {', '.join(missing)}; allowed: the tensors of one "
            f"layer, {', '.join(tensors)}"
        )
