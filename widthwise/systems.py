"""Rows of systems: where the subject, the verbs and the commands of each system live, as text that is loaded on use.

A new system is a folder on each floor and a row here. A row of a user's own is given to ``register``, or stands in the
``pyproject.toml`` of a package, so that its commands are on the command line of whoever installs it:

    [project.entry-points."widthwise.systems"]
    toy = "toy.row:ROW"
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from .theory.language.errors import InvalidArgument, unknown_name

#: The verbs; the first five are those of every system.
VERBS = ("derive", "compile", "predict", "simulate", "validate", "fluctuations")
#: Commands beside the verbs (``commands.tools``), whose names no system can have.
COMMANDS = ("average", "kernel", "critical", "asymptotics", "phase_diagram")
#: The group of entry points in which packages name their rows.
GROUP = "widthwise.systems"

_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Subject:
    """Base of subjects of a user's own, and of their equations, for type checkers: signatures take it with any arguments.

    The verbs themselves look up the row of a type, and need no base.
    """

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """A system: its name, the type of its subjects, and the functions that are its verbs.

    Shapes
        Places are text, "package.module:name". ``subject`` is the type by which a row is found; equations belong to the row of
        their ``.subject``. ``commands`` is the module of the options by which a
        subject and its data are given on the command line; without one they are the arguments of the subject's constructor.
    Valid
        A function takes the subject first (``compile``: the equations), and everything optional by keyword.
    Errors
        ``InvalidArgument`` for a name or a place that cannot be one, when the row is made; for a place where nothing is, or no
        function, when the verb is used or ``check`` is called.
    """

    name: str
    about: str  #: a few words for the list of commands
    subject: str
    derive: str
    compile: str
    predict: str
    simulate: str
    validate: str
    fluctuations: str | None = None
    commands: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or self.name in (*VERBS, *COMMANDS):
            raise InvalidArgument(
                f"name={self.name!r}; allowed: a word of small letters that is no verb and no command ({', '.join(COMMANDS)}), "
                "such as 'training'"
            )
        for field in ("subject", *VERBS[:5]):
            if getattr(self, field) is None:
                raise InvalidArgument(
                    f"{field}=None; allowed: a place, 'package.module:name', as every system has this"
                )
        for field, place in {"subject": self.subject, **self.places}.items():
            if not isinstance(place, str) or not _PLACE.fullmatch(place):
                raise InvalidArgument(f"{field}={place!r}; allowed: a place, 'package.module:name'")

    @property
    def places(self) -> dict[str, str]:
        """Where the functions of the verbs are."""
        return {verb: place for verb in VERBS if (place := getattr(self, verb)) is not None}

    def function(self, verb: str) -> Callable[..., Any]:
        """The function that is a verb of this system, loaded."""
        if verb not in self.places:
            raise InvalidArgument(f"{verb}: the system {self.name!r} has no such verb; it has {', '.join(self.places)}")
        found = _at(f"{verb} of the system {self.name!r}", self.places[verb])
        if not callable(found):
            raise InvalidArgument(f"{verb}={self.places[verb]!r} is a {type(found).__name__}; allowed: a function")
        return found

    def type(self) -> type:
        """The type of the subjects, loaded."""
        found = _at(f"subject of the system {self.name!r}", self.subject)
        if not isinstance(found, type) or _place_of(found) != self.subject:
            is_one = _place_of(found) if isinstance(found, type) else f"a {type(found).__name__}"
            raise InvalidArgument(f"subject={self.subject!r} is {is_one}; allowed: the place where a class is defined")
        return found

    def check(self) -> Row:
        """Load everything, and see that each verb takes a subject; returns the row."""
        self.type()
        if self.commands is not None:
            _at(f"commands of the system {self.name!r}", self.commands)
        for verb in self.places:
            parameters = list(inspect.signature(self.function(verb)).parameters.values())
            if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
                raise InvalidArgument(
                    f"{verb}={self.places[verb]!r} takes no subject; allowed: a function of a subject"
                )
        return self


def _at(what: str, place: str) -> Any:
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name) if name else import_module(module)
    except (ImportError, AttributeError) as error:
        form = "'module:name', which" if name else "a module that"
        raise InvalidArgument(
            f"{what}: {place!r} cannot be loaded: {error}; allowed: {form} can be imported"
        ) from error


NETWORK = Row(
    name="network",
    about="Networks at initialisation.",
    subject="widthwise.theory.networks.architecture:MLP",
    derive="widthwise.theory.initialisation.derive:derive",
    compile="widthwise.numerics.codegen.modules:compile",
    predict="widthwise.numerics.initialisation.predict:predict",
    simulate="widthwise.validation.initialisation.simulate:simulate",
    validate="widthwise.validation.initialisation.validate:validate",
    commands="widthwise.commands.network",
)

TRAINING = Row(
    name="training",
    about="Networks in training, where they learn features.",
    subject="widthwise.theory.training.subject:Training",
    derive="widthwise.theory.training.dynamics:dynamics",
    compile="widthwise.numerics.training.sites:generate",
    predict="widthwise.numerics.training.predict:predict_training",
    simulate="widthwise.validation.training.simulate:simulate_training",
    validate="widthwise.validation.training.validate:validate_training",
    fluctuations="widthwise.numerics.fluctuations.predict:fluctuations",
    commands="widthwise.commands.training",
)

#: The systems of the package.
ROWS = (NETWORK, TRAINING)
_registered: dict[str, Row] = {row.name: row for row in ROWS}


def register(row: Row) -> Row:
    """Make the verbs and the command line know a system of one's own, once all its places are seen to hold; returns the row.

    ``InvalidArgument`` for anything that is no row, for a place where nothing is, and for the name of another system.
    """
    if not isinstance(row, Row):
        raise InvalidArgument(f"row={row!r} is a {type(row).__name__}; allowed: a Row")
    return _put(row.check())


def unregister(name: str) -> None:
    """Forget a system of one's own."""
    own = [key for key in _registered if key not in {row.name for row in ROWS}]
    if name not in own:
        raise unknown_name("system", name, own)
    del _registered[name]


def rows() -> tuple[Row, ...]:
    """All systems: those of the package, of installed packages, and those registered."""
    _installed()
    return tuple(_registered.values())


def system(subject: Any) -> Row:
    """The system of a subject, by its type or the nearest of its bases; ``InvalidArgument`` says which there are."""
    found = _row_of(type(subject))
    if found is None:
        allowed = ", ".join(row.subject.partition(":")[2] for row in rows())
        raise InvalidArgument(f"subject={subject!r} is a {type(subject).__name__}; allowed: {allowed}")
    return found


def system_of_equations(equations: Any) -> Row:
    """The system whose ``derive`` returned the equations: that of their subject."""
    found = _row_of(type(getattr(equations, "subject", None)))
    if found is None:
        subjects = " or ".join(row.subject.partition(":")[2] for row in rows())
        kind = type(equations).__name__
        raise InvalidArgument(f"equations={equations!r} is a {kind}; allowed: what derive() returns for {subjects}")
    return found


def _row_of(kind: type) -> Row | None:
    """The row that names a type or the nearest of its bases; nothing is loaded, and installed packages are asked last."""

    def among(known: Iterable[Row]) -> Row | None:
        by_place = {row.subject: row for row in known}
        return next((by_place[text] for base in kind.__mro__ if (text := _place_of(base)) in by_place), None)

    return among(_registered.values()) or among(rows())


def _place_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


@lru_cache(maxsize=1)  # one entry: the packages that are installed do not change
def _installed() -> None:
    for point in entry_points(group=GROUP):
        try:
            row = point.load()
        except Exception as error:
            raise InvalidArgument(f"entry point {point.name} = {point.value} of {GROUP}: {error}") from error
        _put(row)


def _put(row: Row) -> Row:
    taken = next((r.name for r in _registered.values() if r.subject == row.subject and r.name != row.name), None)
    if taken is not None:
        raise InvalidArgument(
            f"subject={row.subject!r} belongs to the system {taken!r}; allowed: a class of its own, or unregister({taken!r}) first"
        )
    if _registered.setdefault(row.name, row) != row:
        raise InvalidArgument(
            f"name={row.name!r} is the name of another system; allowed: names beside {', '.join(_registered)}"
        )
    return row
