"""The output of a result: printed equations, a file of code, a table and a netCDF file, a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..theory.language.extras import require
from .vocabulary import Form

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

#: Quantities side by side in a table of a terminal of 80 letters.
COLUMNS = 4
#: First axes that have a row of the table for each of their places.
AXES = ("layer", "time")


def equations(result: Any, *, steps: bool = False, form: Form = Form.TEXT) -> None:
    """Equations as text or LaTeX, or all steps that lead to them."""
    if form is Form.LATEX:
        typer.echo(result.latex(steps=steps))
    elif steps:
        typer.echo("\n\n".join(map(str, result.steps)) + "\n")
    else:
        typer.echo(str(result))


def code(result: Any, *, output: Path | None = None) -> None:
    """The text of generated code, on the terminal or in a file."""
    if output is None:
        typer.echo(result.source)
        return
    typer.echo(f"wrote {result.save(output)} ({len(result.source.splitlines())} lines)")


def dataset(result: xr.Dataset, *, output: Path | None = None) -> None:
    """Tables of first entries on the terminal, a row for each layer or time; everything in the file."""
    from rich.console import Console

    names = [str(n) for n in result.data_vars if not str(n).endswith(("_stderr", "_error"))]
    by_axis: dict[str | None, list[str]] = {}
    for name in names:
        first = next(iter(result[name].dims), None)
        by_axis.setdefault(str(first) if first in AXES else None, []).append(name)
    for axis, those in by_axis.items():
        for start in range(0, len(those), COLUMNS):
            Console().print(_table(result, axis, those[start : start + COLUMNS]))
    if any(result[n].size > (result.sizes[axis] if axis else 1) for axis, those in by_axis.items() for n in those):
        typer.echo("shown: the first entries; all are in the file that --output writes")
    if output is not None:
        require("h5netcdf", "a netCDF file")
        result.to_netcdf(output, engine="h5netcdf")
        typer.echo(f"wrote {output}")


def _table(result: xr.Dataset, axis: str | None, names: list[str]) -> Table:
    """First entries of some arrays, with a row for each place on their first axis."""
    from rich.table import Table

    if axis is None:
        table = Table(*names)
        table.add_row(*(_cell(result, name) for name in names))
        return table
    table = Table(axis, *names)
    for i in range(result.sizes[axis]):
        row = result.isel({axis: i})
        table.add_row(f"{row[axis].item() if axis in row.coords else i:g}", *(_cell(row, name) for name in names))
    return table


def _cell(row: xr.Dataset, name: str) -> str:
    """The first entry of an array, with its standard error if it has one."""
    value = float(row[name].values.ravel()[0])
    error = row.get(f"{name}_stderr")
    return f"{value:.5g}" if error is None else f"{value:.4g} ± {float(error.values.ravel()[0]):.1g}"


def text(result: str) -> None:
    """Text as it is."""
    typer.echo(result)


def picture(result: Any, *, picture: Path) -> None:
    """A picture in a file."""
    result.figure().savefig(picture)
    typer.echo(f"wrote {picture}")


def report(result: Any, *, html: Path | None = None, netcdf: Path | None = None, latex: Path | None = None) -> None:
    """The verdict, and files; the exit status is 1 if theory and systems disagree, or if nothing was tested."""
    typer.echo(result.text(command=True) if hasattr(result, "text") else str(result))
    for path, write in ((html, "to_html"), (netcdf, "to_netcdf"), (latex, "to_latex")):
        if path is not None:
            getattr(result, write)(path)
            typer.echo(f"wrote {path}")
    raise typer.Exit(0 if result.passed else 1)
