"""The command line: the verbs of every system and a few tools, with errors as sentences instead of tracebacks.

The verbs of networks stand at the top, ``widthwise predict tanh``; those of another system behind its name, ``widthwise training
predict tanh``. Everything follows from the rows of ``systems`` and the words of ``commands.vocabulary``.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

from .systems import NETWORK, rows
from .theory.language.errors import InvalidArgument, WidthwiseError
from .theory.language.extras import needed

with needed("the command line"):
    import typer

    from .commands.compose import Group, group, verbs_of
    from .commands.tools import tools
    from .commands.vocabulary import FLAG

#: Usage errors of typer, whichever library of options lies behind it.
UsageError: Any = typer.BadParameter.__bases__[0]


class Door(Group):
    """Verbs of networks, tools, and the names of other systems."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order in which they are listed."""
        systems = [row.name for row in rows() if row is not NETWORK]
        own = {**verbs_of(NETWORK), **tools()}
        if taken := own.keys() & set(systems):
            raise InvalidArgument(f"name={min(taken)!r} of a system is that of a command; allowed: another name")
        return [*own, *systems]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, made when it is wanted."""
        own = {**verbs_of(NETWORK), **tools()}
        if cmd_name in own:
            return own[cmd_name]
        return next((group(row) for row in rows() if row.name == cmd_name), None)


#: The exit status of what the keyboard ends.
INTERRUPTED = 130
#: Dashes in the names of options and commands are underscores, as in Python.
PYTHON = {"token_normalize_func": lambda name: name.replace("-", "_")}

app = typer.Typer(
    name="widthwise",
    cls=Door,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings=PYTHON,
)


def _version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(f"widthwise {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, metavar=FLAG, help="Print the version.")
    ] = False,
) -> None:
    """The theory of wide neural networks: derive it, print it, generate code, predict, simulate, and compare."""


def main() -> None:
    """Run the command line; a wrong argument is a sentence and exit status 2."""
    import warnings

    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    try:
        status = app(standalone_mode=False)
    except (WidthwiseError, UsageError) as error:
        message = error.format_message() if isinstance(error, UsageError) else error
        typer.echo(f"error: {message}", err=True)
        sys.exit(2)
    except typer.Abort:
        status = INTERRUPTED
    if status == INTERRUPTED:
        typer.echo("interrupted", err=True)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
