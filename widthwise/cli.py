"""The command line: the five verbs and the critical points, with errors as sentences instead of tracebacks."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .arguments import integers, read_activation, read_covariance, read_inputs, read_mlp, read_network, words

if TYPE_CHECKING:
    import xarray as xr

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
    str | None,
    typer.Option(help="Some of K, Theta, V, D, F, A, B, P ... U, K1, Theta1, by commas.", show_default="all"),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write the result to this netCDF file.")]
Ensembles = Annotated[
    str,
    typer.Option(
        "--weights", help="gaussian, orthogonal, uniform, rademacher, truncated_normal, or one a layer, by commas."
    ),
]
SkipOpt = Annotated[
    str | None, typer.Option(help="gamma of skips z' = ... + gamma z: one, or one for each layer from 2.")
]
Order = Annotated[int, typer.Option(help="Power of 1/n: 0 infinite width, 1 leading fluctuations, 2 the next order.")]
Seed = Annotated[int, typer.Option(help="Seed of the random streams.")]


#: Quantities side by side in a table of a terminal of 80 letters.
TABLE_COLUMNS = 4


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
    weights: Ensembles = "gaussian",
    order: Order = 1,
    form: Annotated[Form, typer.Option("--format", help="Plain text, or LaTeX to paste.")] = Form.TEXT,
) -> None:
    """Derive the layer recursions and print them."""
    from .theory.initialisation.derivation import derive

    result = derive(read_mlp(activation, weights), quantity, samples=1 if one_input else None, order=order)
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
def average(
    integrand: Annotated[
        str, typer.Argument(help="Sums of products, primes for derivatives: 'relu(a)*relu(b)', \"tanh'(a)**2\".")
    ],
    covariance: Annotated[
        str | None, typer.Option("--covariance", "-k", help="A variance, or a matrix: 2 or '1,0.5; 0.5,2'.")
    ] = None,
    digits: Annotated[
        int | None, typer.Option(help="So many digits, by mpmath.", show_default="double precision")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="Plain text, or LaTeX to paste.")] = Form.TEXT,
) -> None:
    """The average of a function of Gaussian variables: its closed form, or a number with its error."""
    from .numerics.averages.gaussian import gaussian_average
    from .theory.language.latex import tex

    if covariance is None:
        result = gaussian_average(integrand)
        typer.echo(tex(result) if form is Form.LATEX else str(result))
        return
    K = read_covariance(covariance)
    if digits is None:
        found = gaussian_average(integrand, K)
        typer.echo(f"{found.value!r} +- {found.error:.1e}")
    else:
        from mpmath import nstr

        found = gaussian_average(integrand, K, precision="mp", digits=digits)
        typer.echo(f"{nstr(found.value, digits)} +- {nstr(found.error, 2)}")


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
    weights: Ensembles = "gaussian",
    order: Order = 1,
) -> None:
    """Generate NumPy code that stands on its own."""
    from .numerics.codegen.modules import compile
    from .theory.initialisation.derivation import derive

    system = derive(read_mlp(activation, weights), samples=1 if one_input else None, order=order)
    compiled = compile(system.restrict(words(quantities)) if quantities else system)
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
    weights: Ensembles = "gaussian",
    residual: SkipOpt = None,
    inputs: Inputs = None,
    digits: Digits = "0,1",
    quantities: Quantities = None,
    order: Order = 1,
    output: Output = None,
) -> None:
    """Predict the tensors of every layer from the derived recursions."""
    from .numerics.initialisation.predict import predict

    net = read_network(activation, depth, width, c_w, c_b, lambda_w, lambda_b, weights, residual)
    _show(predict(net, read_inputs(inputs, digits), words(quantities), order=order), f"Predicted: {net}", output)


@app.command()
def simulate(
    activation: ActivationArg,
    depth: Depth = 4,
    width: Width = "64",
    c_w: Weight = None,
    c_b: BiasOpt = None,
    lambda_w: RateW = "1",
    lambda_b: RateB = "0",
    weights: Ensembles = "gaussian",
    residual: SkipOpt = None,
    inputs: Inputs = None,
    digits: Digits = "0,1",
    networks: Annotated[int, typer.Option(help="How many networks to draw.")] = 10_000,
    seed: Seed = 0,
    quantities: Quantities = None,
    output: Output = None,
) -> None:
    """Measure the same tensors on literal finite networks."""
    from .validation.initialisation.simulate import simulate

    net = read_network(activation, depth, width, c_w, c_b, lambda_w, lambda_b, weights, residual)
    data = simulate(net, read_inputs(inputs, digits), networks=networks, seed=seed, quantities=words(quantities))
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
    weights: Ensembles = "gaussian",
    residual: SkipOpt = None,
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
    from .validation.initialisation.validate import validate

    net = read_network(activation, depth, "", c_w, c_b, lambda_w, lambda_b, weights, residual)
    report = validate(
        net, read_inputs(inputs, digits), widths=integers("--widths", widths), networks=networks, seed=seed,
        quantities=words(quantities), alpha=alpha,
    )  # fmt: skip
    typer.echo(str(report))
    for path, write in ((html, report.to_html), (netcdf, report.to_netcdf), (latex, report.to_latex)):
        if path is not None:
            write(path)
            typer.echo(f"wrote {path}")
    raise typer.Exit(0 if report.passed else 1)


@app.command()
def critical(activation: ActivationArg) -> None:
    """Print all critical points of an activation: C_W, C_b, K*, their class and the reason."""
    from .numerics.depth.critical import critical_points

    for point in critical_points(read_activation(activation)):
        if point.C_W is None:
            typer.echo(str(point))
            continue
        typer.echo(f"activation  {point.activation}\nclass       {point.universality}")
        typer.echo(f"C_W         {point.C_W:.12g}\nC_b         {point.C_b:.12g}")
        typer.echo(f"K*          {'any' if point.K is None else format(point.K, '.12g')}\nbecause     {point.reason}")


@app.command()
def asymptotics(
    activation: ActivationArg,
    quantities: Quantities = None,
    weights: Ensembles = "gaussian",
    gamma: Annotated[float | None, typer.Option(help="Strength of a skip connection into every layer.")] = None,
    form: Annotated[Form, typer.Option("--format", help="Plain text, or LaTeX to paste.")] = Form.TEXT,
) -> None:
    """Print how every quantity grows or decays with depth at criticality."""
    from .numerics.depth.asymptotics import asymptotics
    from .theory.initialisation.layer_maps import residual

    layer = None if gamma is None else residual(gamma, weights=weights)
    laws = asymptotics(read_mlp(activation, weights), words(quantities), layer=layer)
    typer.echo(str(laws) if form is Form.TEXT else laws.latex())


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

    from .theory.language.errors import WidthwiseError

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
