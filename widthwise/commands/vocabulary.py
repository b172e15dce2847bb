"""The words of the command line: those of Python, each with its meaning and the reader of its text, for all systems.

An option is a parameter of a Python function; its name, default and meaning are those of the function. A new keyword of a
function is an option at once if it has a row here, or if its type is plain.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from ..theory.language.errors import NotAvailable
from . import reading


@dataclass(frozen=True)
class Word:
    """A word: the type of its text, how it is read, its meaning, and other spellings of the option."""

    kind: Any
    about: str = ""
    read: Callable[[str, Any], Any] | None = None
    flags: tuple[str, ...] = ()
    argument: bool = False


class Form(StrEnum):
    """How formulas are written."""

    TEXT = "text"
    LATEX = "latex"


def _text(about: str, read: Callable[[str, str], Any] | None = None, **more: Any) -> Word:
    return Word(str, about, read, **more)


def _file(about: str, read: Callable[[str, Path], Any] = reading.array, **more: Any) -> Word:
    return Word(Path, about, read, **more)


def _output(about: str, **more: Any) -> Word:
    return Word(Path, about, reading.writable, **more)


WORDS = {
    # subjects
    "activation": _text(
        "A registered name (tanh, relu, gelu, ...), or an expression such as 'tanh(x)+x/2'.", reading.activation, argument=True
    ),
    "depth": Word(int, "L, the number of weight layers."),
    "width": _text("Hidden width, or hidden widths by commas: 64 or 30,60,90.", reading.integers),
    "C_W": _text("Variance of weights times fan-in: one number, or one a layer by commas.", reading.numbers),
    "C_b": _text("Variance of biases.", reading.numbers),
    "lambda_W": _text("Learning rate of weights, times fan-in.", reading.numbers),
    "lambda_b": _text("Learning rate of biases.", reading.numbers),
    "weights": _text(
        "gaussian, orthogonal, uniform, rademacher, truncated_normal, or one a layer by commas.", reading.word_or_words
    ),
    "residual": _text("gamma of skips z' = ... + gamma z: one, or one for each layer from 2.", reading.numbers),
    "gamma": Word(float, "gamma_0, how far features move; 0 is the lazy limit."),
    "learning_rate": Word(float, "Step size eta of gradient descent; left out: gradient flow."),
    "momentum": Word(float, "Momentum, from 0 and below 1."),
    "weight_decay": Word(float, "Weight decay kappa."),
    "loss": _text("mse, logistic, exponential, cross_entropy, or an expression in f and y.", reading.loss),
    "outputs": Word(int, "The number of outputs."),
    # data
    "X": _file("Inputs, one row each: .npy, .csv or text with columns."),
    "y": _file("Labels, one row for each input: .npy, .csv or text with columns.", reading.labels),
    "X2": _file("Other inputs, for the columns of the matrices."),
    "X_test": _file("More inputs, which are predicted and not trained on."),
    "images": _text("Without --X: which of scikit-learn's digit images to take, by commas.", reading.several_integers),
    "classes": _text("Without --X: the two digits that are told apart, labelled -1 and 1.", reading.several_integers),
    "per_class": Word(int, "Without --X: the number of images of each digit."),
    # what is asked
    "name": _text("One quantity; left out: the closed system.", flags=("--quantity", "-q")),
    "quantities": _text("Some of the quantities, by commas.", reading.words),
    "order": Word(int, "Power of 1/n: 0 infinite width, 1 leading fluctuations, 2 the next order."),
    "one_input": Word(bool, "One input, no sample indices."),
    "closed_forms": Word(bool, "Put in closed forms of the activation."),
    "times": _text("Times by commas: steps if there is a learning rate; one number is the last of a range.", reading.numbers),
    "target": _text("What the code is written for: numpy, jax or torch."),
    "nodes": Word(int, "Nodes of a fixed quadrature on each axis (jax, torch)."),
    "centred": Word(bool, "Predictions are f - f(0)."),
    "draws": _text("Quantities of which joint draws are made, by commas.", reading.words),
    # how it is computed and measured
    "samples": Word(int, "Sites that averages are taken over."),
    "replicas": Word(int, "Independent solutions, whose spread is the standard error."),
    "directions": Word(int, "Pairs of solutions that a variance is taken from."),
    "hours": Word(float, "Hours on one core that a run may take, as estimated before it starts."),
    "networks": _text("How many networks to draw, at each width if there are several.", reading.integers),
    "widths": _text("Widths to extrapolate from, by commas.", reading.several_integers),
    "jets": Word(bool, "Measure all tensors by derivatives of the networks along random directions, slowly."),
    "neurons": Word(int, "Neurons that are measured in each layer."),
    "seed": Word(int, "Seed of the random streams."),
    "alpha": Word(float, "Family-wise false-alarm rate of the verdict."),
    "resolution": Word(float, "Largest error bar of a quantity that counts as tested, relative to its predictions."),
    "workers": Word(int, "Threads that share the work."),
    "checkpoint": Word(Path, "Folder in which finished parts are kept, to resume from."),
    "progress": Word(bool, "Show progress; left out: of long work."),
    # what becomes of it
    "steps": Word(bool, "The whole derivation, step by step."),
    "form": Word(Form, "Plain text, or LaTeX to paste.", flags=("--format",)),
    "output": _output("Write the result to this file.", flags=("--output", "-o")),
    "html": _output("Write the report to this HTML file."),
    "netcdf": _output("Write all arrays to this netCDF file."),
    "latex": _output("Write a table for a paper to this file."),
    # tools
    "integrand": _text("Sums of products, primes for derivatives: 'relu(a)*relu(b)', \"tanh'(a)**2\".", argument=True),
    "covariance": _text("A variance, or a matrix: 2 or '1,0.5; 0.5,2'.", reading.covariance, flags=("--covariance", "-k")),
    "digits": Word(int, "So many digits, by mpmath; left out: double precision."),
    "sigma_w": _text("Standard deviations of weights: first, last and number of points, by commas.", reading.grid),
    "sigma_b": _text("Standard deviations of biases, likewise.", reading.grid),
    "picture": _output("Write the picture to this file.", flags=("--output", "-o")),
}  # fmt: skip

#: How numbers are read.
NUMBERS: dict[Any, Callable[[str, str], Any]] = {int: reading.integer, float: reading.number}
#: Types that need no word.
PLAIN = (int, float, str, bool, Path)


#: In the place where help shows the type of a value: a flag has none.
FLAG = " "


@dataclass(frozen=True)
class Option:
    """A parameter of a function, as it is typed and as it is read."""

    parameter: inspect.Parameter  #: with the annotation that typer reads
    label: str  #: how errors name it: as it is typed
    read: Callable[[str, Any], Any] | None

    def value(self, typed: Any) -> Any:
        """The value for the function."""
        return typed if self.read is None else self.read(self.label, typed)


def options_of(function: Callable[..., Any], leave: tuple[str, ...] = ()) -> dict[str, Option]:
    """The options for the parameters of a function; those that no text can give are left out if they have a default."""
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in leave:
            continue
        word = WORDS.get(name) or _plain(function, parameter)
        if word is not None:
            found[name] = option(parameter, word)
        elif parameter.default is parameter.empty:
            raise NotAvailable(
                f"{name} of {function.__name__} cannot be typed on a command line; allowed: a word of the vocabulary, or a "
                f"parameter annotated as {', '.join(kind.__name__ for kind in PLAIN)}"
            )
    return found


def option(parameter: inspect.Parameter, word: Word, *, named: bool = False) -> Option:
    """A word at a place: an argument by its position, or an option; without it the function's own default holds."""
    required = parameter.default is parameter.empty
    argument = word.argument or (required and not named and parameter.name not in WORDS)
    spelt = word.flags or (f"--{parameter.name}",)
    label = parameter.name if argument else spelt[0]
    shown: dict[str, Any] = {"help": _help(word, parameter.default), "show_default": False}
    kind, read = word.kind, word.read
    if kind in NUMBERS:  # read here, so that errors name the value
        shown["metavar"] = f"<{kind.__name__}>"
        kind, read = str, NUMBERS[kind]
    if kind is bool:
        shown["metavar"] = FLAG
        if parameter.default is not False:
            spelt = (f"{spelt[0]}/--no_{parameter.name}",)
    info: Any = typer.Argument(**shown) if argument else typer.Option(*spelt, **shown)
    typed = parameter.replace(
        kind=inspect.Parameter.KEYWORD_ONLY,
        default=parameter.empty if required else None,
        annotation=Annotated[kind if required else kind | None, info],
    )
    return Option(typed, label, read)


def _help(word: Word, default: Any) -> str:
    """The meaning of a word, with the default of the function."""
    if default is inspect.Parameter.empty or default is None or default is False or default in ("", ()):
        return word.about
    written = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"{word.about} (default {written})".strip()


def files(names: list[str]) -> dict[str, Option]:
    """Data of these names, each from a file."""
    words = {name: WORDS.get(name, _file("Numbers: .npy, .csv or text with columns.")) for name in names}
    kind = inspect.Parameter.KEYWORD_ONLY
    return {name: option(inspect.Parameter(name, kind), word, named=True) for name, word in words.items()}


def _plain(function: Callable[..., Any], parameter: inspect.Parameter) -> Word | None:
    """A word without a row, for a parameter of a plain type."""
    try:
        hint = inspect.signature(function, eval_str=True).parameters[parameter.name].annotation
    except NameError:  # a type that is imported for type checkers only
        return None
    kinds = set(get_args(hint) or (hint,)) - {type(None)}
    return Word(kinds.pop()) if len(kinds) == 1 and kinds <= set(PLAIN) else None
