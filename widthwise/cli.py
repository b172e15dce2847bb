"""The command line: the five verbs and the critical points, with errors as sentences instead of tracebacks."""

from __future__ import annotations

import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import xarray as xr

    from .theory.architecture import MLP

app = typer.Typer(
    name="widthwise",
    help="The theory of wide neural networks: derive it, print it, generate NumPy code, predict, simulate, and compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

ActivationArg = Annotated[
    str, typer.Argument(help="A registered name (tanh, relu, gelu, ...), or an expression such as 'tanh(x)+x/2'.")
]
OptionalActivation = Annotated[
    str | None,
    typer.Argument(help="A registered name or an expression in one symbol; left out: the unspecified function sigma."),
]
Depth = Annotated[int, typer.Option(help="L, the number of weight layers.")]
Width = Annotated[str, typer.Option(help="Hidden width, or hidden widths separated by commas: 64 or 30,60,90.")]
Weight = Annotated[
    str | None,
    typer.Option("--c-w", help="C_W, variance of weights times fan-in: one number or one a layer, by commas."),
]
BiasOpt = Annotated[str | None, typer.Option("--c-b", help="C_b, variance of biases.")]
RateW = Annotated[str, typer.Option("--lambda-w", help="Learning rate of weights, times fan-in.")]
RateB = Annotated[str, typer.Option("--lambda-b", help="Learning rate of biases.")]
Inputs = Annotated[
    Path | None,
    typer.Option(help="Inputs X, one row each: .npy, .csv or whitespace text.", show_default="two digit images"),
]
Digits = Annotated[str, typer.Option(help="Without --inputs: which of scikit-learn's digit images to take, by commas.")]
Quantities = Annotated[
    str | None, typer.Option(help="Some of K,Theta,V,D,F,A,B,K1,Theta1 by commas.", show_default="all")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write the result to this netCDF file.")]
Seed = Annotated[int, typer.Option(help="Seed of the random streams.")]


#: Quantities side by side in a table of a terminal of 80 letters.
TABLE_COLUMNS = 4
#: Letters of an expression; no quotes, so that nothing but mathematics can be written.
EXPRESSION = re.compile(r"[\w\s.+\-*/(),<>=&|~]+")


class Form(StrEnum):
    """How formulas are written."""

    TEXT = "text"
    LATEX = "latex"


@app.command()
def derive(
    activation: OptionalActivation = None,
    quantity: Annotated[
        str | None, typer.Option("--quantity", "-q", help="One quantity; left out: the closed system.")
    ] = None,
    one_input: Annotated[bool, typer.Option("--one-input", help="One input, no sample indices.")] = False,
    steps: Annotated[bool, typer.Option("--steps", help="The whole derivation, step by step.")] = False,
    closed_forms: Annotated[
        bool, typer.Option("--closed-forms", help="Put in closed forms of the activation.")
    ] = False,
    form: Annotated[Form, typer.Option("--format", help="Plain text, or LaTeX to paste.")] = Form.TEXT,
) -> None:
    """Derive the layer recursions and print them."""
    from .theory.derivation import derive

    result = derive(_mlp(activation), quantity, samples=1 if one_input else None)
    if closed_forms:
        result = result.specialize()
    if form is Form.LATEX:
        typer.echo(result.latex(steps=steps))
    elif steps:
        for derivation in [result] if quantity else result.values():
            typer.echo("\n\n".join(map(str, derivation.steps)) + "\n")
    else:
        typer.echo(str(result))


@app.command()
def generate(
    activation: ActivationArg,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write.", show_default="standard output")
    ] = None,
    one_input: Annotated[
        bool, typer.Option("--one-input", help="Code for single inputs, elementwise over an array.")
    ] = False,
    quantities: Quantities = None,
) -> None:
    """Generate NumPy code that stands on its own."""
    from .numerics.codegen import compile
    from .theory.derivation import derive

    system = derive(_mlp(activation), samples=1 if one_input else None)
    compiled = compile(system.restrict(_words(quantities)) if quantities else system)
    if output is None:
        typer.echo(compiled.source)
    else:
        typer.echo(f"wrote {compiled.save(output)} ({len(compiled.source.splitlines())} lines)")


@app.command()
def predict(
    activation: ActivationArg,
    depth: Depth = 4,
    width: Width = "",
    c_w: Weight = None,
    c_b: BiasOpt = None,
    lambda_w: RateW = "1",
    lambda_b: RateB = "0",
    inputs: Inputs = None,
    digits: Digits = "0,1",
    quantities: Quantities = None,
    output: Output = None,
) -> None:
    """Predict the tensors of every layer from the derived recursions."""
    from .numerics.predict import predict

    net = _network(activation, depth, width, c_w, c_b, lambda_w, lambda_b)
    _show(predict(net, _inputs(inputs, digits), _words(quantities)), f"Predicted: {net}", output)


@app.command()
def simulate(
    activation: ActivationArg,
    depth: Depth = 4,
    width: Width = "64",
    c_w: Weight = None,
    c_b: BiasOpt = None,
    lambda_w: RateW = "1",
    lambda_b: RateB = "0",
    inputs: Inputs = None,
    digits: Digits = "0,1",
    networks: Annotated[int, typer.Option(help="How many networks to draw.")] = 10_000,
    seed: Seed = 0,
    quantities: Quantities = None,
    output: Output = None,
) -> None:
    """Measure the same tensors on literal finite networks."""
    from .validation.simulate import simulate

    net = _network(activation, depth, width, c_w, c_b, lambda_w, lambda_b)
    data = simulate(net, _inputs(inputs, digits), networks=networks, seed=seed, quantities=_words(quantities))
    _show(data, f"Measured on {networks} networks: {net}", output)


@app.command()
def validate(
    activation: ActivationArg,
    depth: Depth = 4,
    widths: Annotated[str, typer.Option(help="Widths to extrapolate from, by commas.")] = "32,64,128",
    c_w: Weight = None,
    c_b: BiasOpt = None,
    lambda_w: RateW = "1",
    lambda_b: RateB = "0",
    inputs: Inputs = None,
    digits: Digits = "0,1",
    networks: Annotated[int, typer.Option(help="How many networks to draw at each width.")] = 10_000,
    seed: Seed = 0,
    quantities: Quantities = None,
    alpha: Annotated[float, typer.Option(help="Family-wise false-alarm rate of the verdict.")] = 0.01,
    html: Annotated[Path | None, typer.Option(help="Write the report to this HTML file.")] = None,
    netcdf: Annotated[Path | None, typer.Option(help="Write all arrays to this netCDF file.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write a table for a paper to this file.")] = None,
) -> None:
    """Confront the theory with literal networks; the exit status is 1 if they disagree."""
    from .validation.validate import validate

    net = _network(activation, depth, "", c_w, c_b, lambda_w, lambda_b)
    report = validate(
        net, _inputs(inputs, digits), widths=_integers("--widths", widths), networks=networks, seed=seed,
        quantities=_words(quantities), alpha=alpha,
    )  # fmt: skip
    typer.echo(str(report))
    for path, write in ((html, report.to_html), (netcdf, report.to_netcdf), (latex, report.to_latex)):
        if path is not None:
            write(path)
            typer.echo(f"wrote {path}")
    raise typer.Exit(0 if report.passed else 1)


@app.command()
def critical(activation: ActivationArg) -> None:
    """Print the critical C_W, C_b and K* of an activation."""
    from .numerics.critical import critical

    point = critical(_activation(activation))
    if point.C_W is None:
        typer.echo(str(point))
        return
    typer.echo(f"activation  {point.activation}\nclass       {point.universality}")
    typer.echo(f"C_W         {point.C_W:.10g}\nC_b         {point.C_b:.10g}")
    typer.echo(f"K*          {'any' if point.K is None else format(point.K, '.10g')}\nbecause     {point.reason}")


def _activation(text: str | None) -> Any:
    """A name stays a name; anything that is no word is read as an expression."""
    from .theory.errors import InvalidArgument

    if text is None or text.replace("_", "").isalnum():
        return text
    from sympy import parse_expr

    try:
        if not EXPRESSION.fullmatch(text):
            raise ValueError("only letters, numbers and the signs + - * / ( ) , < > occur in an expression")
        return parse_expr(text)
    except Exception as error:
        raise InvalidArgument(
            f"activation={text!r} cannot be read: {error}; allowed: a name, or an expression such as 'tanh(x)+x/2'"
        ) from error


def _mlp(activation: str | None) -> MLP:
    from .theory.architecture import MLP

    return MLP(_activation(activation))


def _network(
    activation: str, depth: int, width: str, c_w: str | None, c_b: str | None, lambda_w: str, lambda_b: str
) -> MLP:
    """The network of the options; without variances, at criticality."""
    from .numerics.critical import critical
    from .theory.architecture import MLP
    from .theory.errors import InvalidArgument

    weight, bias = (_numbers(n, t) if t is not None else None for n, t in (("--c-w", c_w), ("--c-b", c_b)))
    if weight is None:
        point = critical(_activation(activation))
        if point.C_W is None:
            raise InvalidArgument(f"--c-w is needed: {point}")
        weight, bias = point.C_W, point.C_b if bias is None else bias
        typer.echo(
            f"no --c-w given: critical C_W = {weight:.10g}, C_b = {bias if isinstance(bias, tuple) else format(bias, '.10g')}",
            err=True,
        )
    return MLP(
        _activation(activation), depth=depth, width=_widths(width), C_W=weight, C_b=0.0 if bias is None else bias,
        lambda_W=_numbers("--lambda-w", lambda_w), lambda_b=_numbers("--lambda-b", lambda_b),
    )  # fmt: skip


def _widths(text: str) -> int | tuple[int, ...] | None:
    values = _integers("--width", text) if text else ()
    return (values[0] if len(values) == 1 else values) if values else None


def _integers(name: str, text: str) -> tuple[int, ...]:
    return tuple(_parse(name, text, int, "integers"))


def _numbers(name: str, text: str) -> float | tuple[float, ...]:
    values = tuple(_parse(name, text, float, "numbers"))
    return values[0] if len(values) == 1 else values


def _parse(name: str, text: str, kind: Any, noun: str) -> list[Any]:
    from .theory.errors import InvalidArgument

    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise InvalidArgument(f"{name}={text!r} cannot be read; allowed: {noun}, separated by commas") from None


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(w.strip() for w in text.split(",") if w.strip())


def _inputs(path: Path | None, digits: str) -> Any:
    """The inputs from a file, or digit images with pixels between 0 and 2."""
    import numpy as np

    from .theory.errors import InvalidInput

    if path is None:
        from sklearn.datasets import load_digits

        images = load_digits().data / 8.0
        chosen = _integers("--digits", digits)
        if any(not 0 <= i < len(images) for i in chosen):
            raise InvalidInput(f"--digits={digits}: allowed: numbers of images, 0 to {len(images) - 1}")
        return images[list(chosen)]
    if not path.exists():
        raise InvalidInput(f"--inputs={path} does not exist; allowed: a .npy, .csv or text file with one input a row")
    try:
        return (
            np.load(path)
            if path.suffix == ".npy"
            else np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)
        )
    except ValueError as error:
        raise InvalidInput(f"--inputs={path} cannot be read as numbers: {error}") from None


def _show(data: xr.Dataset, title: str, output: Path | None) -> None:
    """A table of the last layer on the terminal; everything in the file."""
    from rich.console import Console
    from rich.table import Table

    names = [
        str(n)
        for n in data.data_vars
        if "layer" in data[n].dims and len(data[n].dims) > 1 and not str(n).endswith("_stderr")
    ]
    typer.echo(title)
    for part in (names[i : i + TABLE_COLUMNS] for i in range(0, len(names), TABLE_COLUMNS)):
        table = Table("layer", *part)
        for layer in data["layer"].values:
            table.add_row(str(layer), *(_cell(data.sel(layer=layer), name) for name in part))
        Console().print(table)
    if any(size > 1 for dim, size in data.sizes.items() if dim != "layer"):
        typer.echo("shown: the first input; all entries are in the file that --output writes")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        data.to_netcdf(output, engine="h5netcdf")
        typer.echo(f"wrote {output}")


def _cell(layer: xr.Dataset, name: str) -> str:
    """The first entry of a tensor, with its standard error if it has one."""
    value = float(layer[name].values.ravel()[0])
    error = layer.get(f"{name}_stderr")
    return f"{value:.5g}" if error is None else f"{value:.4g} ± {float(error.values.ravel()[0]):.1g}"


def main() -> None:
    """Run the command line; a wrong argument is a sentence and exit status 2."""
    import warnings

    from .theory.errors import WidthwiseError

    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
    try:
        app()
    except WidthwiseError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
