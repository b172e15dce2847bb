"""What is typed on the command line, read: activations, networks, lists of numbers, inputs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from .theory.networks.architecture import MLP

#: Letters of an expression; no quotes, so that nothing but mathematics can be written.
EXPRESSION = re.compile(r"[\w\s.+\-*/(),<>=&|~]+")


#: A family with its number: leaky_relu(0.2).
MEMBER = re.compile(r"(\w+)\(\s*[\d./+-]*\s*\)")


def read_activation(text: str | None) -> Any:
    """A name stays a name, and so does a family with its number; anything that is no word is read as an expression."""
    from .theory.language.errors import InvalidArgument
    from .theory.networks.activations import FAMILIES

    if text is None or text.replace("_", "").isalnum():
        return text
    family = MEMBER.fullmatch(text.strip())
    if family and family.group(1).lower() in FAMILIES:
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


def read_mlp(activation: str | None, weights: str = "gaussian") -> MLP:
    """The network of which only the activation and the ensemble are given."""
    from .theory.networks.architecture import MLP

    return MLP(read_activation(activation), weights=_one_or_many(words(weights)))


def read_network(
    activation: str,
    depth: int,
    width: str,
    c_w: str | None,
    c_b: str | None,
    lambda_w: str,
    lambda_b: str,
    weights: str = "gaussian",
    residual: str | None = None,
) -> MLP:
    """The network of the options; without variances, at criticality."""
    from .numerics.depth.critical import Universality, critical
    from .theory.depth.asymptotics import closed_system, critical_weight
    from .theory.initialisation.layer_maps import residual as layer_with
    from .theory.language.errors import InvalidArgument
    from .theory.networks.architecture import MLP

    weight, bias = (_numbers(n, t) if t is not None else None for n, t in (("--c-w", c_w), ("--c-b", c_b)))
    gamma = None if residual is None else _numbers("--residual", residual)
    if weight is None:
        point = critical(read_activation(activation))
        if point.C_W is None or (gamma is not None and point.universality is Universality.HALF_STABLE):
            raise InvalidArgument(f"--c-w is needed: {point}")
        weight, bias = point.C_W, point.C_b if bias is None else bias
        if gamma is not None:  # no skip ends in the first layer
            net = MLP(read_activation(activation), depth=depth, residual=gamma)  # refuses a gamma out of range
            skips = gamma if isinstance(gamma, tuple) else (gamma,) * (depth - 1)
            laws = (closed_system(net, (), layer=layer_with(g)) for g in skips)
            weight = (weight, *(float(critical_weight(net, law)) for law in laws))
        shown = (format(v, ".10g") if isinstance(v, float) else str(v) for v in (weight, bias))
        typer.echo("no --c-w given: critical C_W = {}, C_b = {}".format(*shown), err=True)
    return MLP(
        read_activation(activation), depth=depth, width=_widths(width), C_W=weight, C_b=0.0 if bias is None else bias,
        lambda_W=_numbers("--lambda-w", lambda_w), lambda_b=_numbers("--lambda-b", lambda_b),
        weights=_one_or_many(words(weights)), residual=gamma,
    )  # fmt: skip


def _widths(text: str) -> int | tuple[int, ...] | None:
    return _one_or_many(integers("--width", text)) if text else None


def _one_or_many(values: Any) -> Any:
    """One value for all layers, or one for each."""
    return values[0] if len(values) == 1 else values


def integers(name: str, text: str) -> tuple[int, ...]:
    """Integers separated by commas."""
    return tuple(_parse(name, text, int, "integers"))


def _numbers(name: str, text: str) -> float | tuple[float, ...]:
    return _one_or_many(tuple(_parse(name, text, float, "numbers")))


def _parse(name: str, text: str, kind: Any, noun: str) -> list[Any]:
    from .theory.language.errors import InvalidArgument

    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise InvalidArgument(f"{name}={text!r} cannot be read; allowed: {noun}, separated by commas") from None


def read_covariance(text: str) -> Any:
    """A variance, or rows of a covariance matrix separated by semicolons; fractions and decimals stay exact."""
    from .theory.language.errors import InvalidInput

    rows = [[entry.strip() for entry in row.split(",")] for row in text.split(";")]
    if any(len(row) != len(rows) for row in rows):
        raise InvalidInput(f"--covariance={text!r}; allowed: a variance, or a square matrix such as '1,0.5; 0.5,2'")
    return rows[0][0] if len(rows) == 1 else rows


def words(text: str | None) -> tuple[str, ...] | None:
    """Words separated by commas; None stays None."""
    return None if text is None else tuple(w.strip() for w in text.split(",") if w.strip())


def read_inputs(path: Path | None, digits: str) -> Any:
    """The inputs from a file, or digit images with pixels between 0 and 2."""
    import numpy as np

    from .theory.language.errors import InvalidInput

    if path is None:
        from sklearn.datasets import load_digits

        images = load_digits().data / 8.0
        chosen = integers("--digits", digits)
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
