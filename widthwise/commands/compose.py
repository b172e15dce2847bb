"""A command for each verb of each row: the options of the subject, of its data, of the verb, and of the output."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from ..systems import VERBS, Row
from . import results
from .vocabulary import FLAG, Option, files, options_of

#: For each verb its line in the list of commands, and the output of its result.
ABOUT: dict[str, tuple[str, Callable[..., None]]] = {
    "derive": ("Derive the equations and print them.", results.equations),
    "compile": ("Generate code that stands on its own from the equations.", results.code),
    "predict": ("Predict numbers from the derived equations.", results.dataset),
    "simulate": ("Measure the same numbers on literal finite systems.", results.dataset),
    "validate": (
        "Confront the theory with literal systems; the exit status is 0 if they agree and something was tested, else 1.",
        results.report,
    ),
    "fluctuations": ("Predict fluctuations over initialisations, at leading order in 1/width.", results.dataset),
}


class FlagHelp:
    """Of commands and groups: ``--help`` is a flag, and is shown as one."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option, without a value."""
        found = super().get_help_option(ctx)  # type: ignore[misc]
        if found is not None:
            found.metavar = FLAG
        return found


class Command(FlagHelp, TyperCommand):
    """A command of a verb or tool."""


class Group(FlagHelp, TyperGroup):
    """Commands behind a name."""


class Late(FlagHelp, TyperCommand):
    """A command that is made when it is called: to list commands loads no functions."""

    def __init__(self, name: str, about: str, make: Callable[[], Callable[..., None]]) -> None:
        super().__init__(name, help=about)
        self._make = make

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself."""
        app = typer.Typer(add_completion=False)
        app.command(self.name, help=self.help, cls=Command)(self._make())
        return get_command(app).make_context(info_name, args, parent, **extra)


def verbs_of(row: Row) -> dict[str, Late]:
    """The commands of a system by name."""
    return {verb: Late(verb, ABOUT[verb][0], partial(command, row, verb)) for verb in VERBS if verb in row.places}


def group(row: Row) -> Group:
    """The commands of a system behind its name."""
    return Group(name=row.name, commands=verbs_of(row), help=row.about, no_args_is_help=True)  # type: ignore[arg-type]


def command(row: Row, verb: str) -> Callable[..., None]:
    """The command that is a verb of a system.

    The module ``row.commands`` may hold ``subject`` and ``data``, functions of options that make the subject and a mapping of its
    data, ``formula`` in the place of ``subject`` for equations, and functions named as verbs in the place of the row's. Without
    them the options are the parameters of the subject's constructor, and data come from files.
    """
    own = import_module(row.commands) if row.commands else None
    function = getattr(own, verb, None) or (_code_of(row) if verb == "compile" else row.function(verb))
    subject = getattr(own, "subject", None) or row.type()
    if verb in ("derive", "compile"):
        subject = getattr(own, "formula", subject)
    return built(function, ABOUT[verb][1], subject=subject, data=getattr(own, "data", None))


def _code_of(row: Row) -> Callable[..., Any]:
    """Code from the equations of a subject."""
    return lambda subject: row.function("compile")(row.function("derive")(subject))


@dataclass(frozen=True)
class Part:
    """A function of a command, and those of its parameters that are options."""

    function: Callable[..., Any]
    options: dict[str, Option]

    def read(self, typed: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the function: those not typed have its defaults."""
        return {n: o.value(typed[n]) for n, o in self.options.items() if typed[n] is not None}


def built(
    function: Callable[..., Any], show: Callable[..., None], *, subject: Callable[..., Any] | None = None,
    data: Callable[..., dict[str, Any]] | None = None,
) -> Callable[..., None]:  # fmt: skip
    """A command: ``show(function(subject(...), **data(...), ...), ...)``, each with its own options.

    All options are read, the subject and the data made, before work starts. What the function needs by position besides the
    subject is data.
    """
    others = list(inspect.signature(function).parameters.values())
    taken = [others.pop(0).name] if subject else []
    needed = [p.name for p in others if subject and p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    reader = Part(data, options_of(data)) if data and needed else Part(dict, files(needed))
    parts = (
        Part(subject, options_of(subject)) if subject else Part(dict, {}),
        reader,
        Part(function, options_of(function, leave=(*taken, *needed))),
        Part(show, options_of(show, leave=("result",))),
    )

    def run(**typed: Any) -> None:
        of_subject, of_data, of_function, of_result = (part.read(typed) for part in parts)
        given = reader.function(**of_data)
        chosen = [subject(**of_subject)] if subject else []
        if chosen and given:
            typer.echo(repr(chosen[0]), err=True)
        show(function(*chosen, **given, **of_function), **of_result)

    options = {name: option.parameter for part in parts for name, option in part.options.items()}
    run.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]  # read by typer
    run.__annotations__ = {}
    return run
