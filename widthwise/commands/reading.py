"""Text of the command line, read: numbers, words, activations, files. Formulas are read in ``theory.language.reading``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..theory.language.errors import InvalidArgument, InvalidInput


def activation(name: str, text: str) -> Any:
    """An activation by its name, or from an expression."""
    from ..theory.networks.activations import activation as known

    return known(text)


def loss(name: str, text: str) -> Any:
    """A loss by its name, or from an expression in f and y."""
    from ..theory.training.losses import TEXT, as_loss

    return as_loss(text if text.isidentifier() else replace(TEXT, argument=name).read(text))


def integer(name: str, text: str) -> int:
    """An integer."""
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"{name}={text!r} cannot be read; allowed: an integer") from None


def number(name: str, text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise InvalidArgument(f"{name}={text!r} cannot be read; allowed: a number") from None


def integers(name: str, text: str) -> int | tuple[int, ...]:
    """An integer, or several separated by commas."""
    return one_or_many(_parsed(name, text, int, "integers"))


def several_integers(name: str, text: str) -> tuple[int, ...]:
    """Integers separated by commas, or one of them."""
    return _parsed(name, text, int, "integers")


def numbers(name: str, text: str) -> float | tuple[float, ...]:
    """A number, or several separated by commas."""
    return one_or_many(_parsed(name, text, float, "numbers"))


def grid(name: str, text: str) -> Any:
    """Points from a first to a last number."""
    import numpy as np

    found = _parsed(name, text, float, "numbers")
    if len(found) != 3 or not found[2].is_integer() or found[2] < 2:
        raise InvalidArgument(f"{name}={text!r}; allowed: first, last and number of points, such as 0.1,3,60")
    return np.linspace(found[0], found[1], int(found[2]))


def words(name: str, text: str) -> tuple[str, ...]:
    """Words separated by commas."""
    found = tuple(w.strip() for w in text.split(",") if w.strip())
    if not found:
        raise InvalidArgument(f"{name}={text!r} holds no word; allowed: words, separated by commas")
    return found


def word_or_words(name: str, text: str) -> str | tuple[str, ...]:
    """A word, or several separated by commas."""
    return one_or_many(words(name, text))


def one_or_many(values: tuple[Any, ...]) -> Any:
    """One value for all layers, or one for each."""
    return values[0] if len(values) == 1 else values


def _parsed(name: str, text: str, kind: Callable[[str], Any], noun: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise InvalidArgument(f"{name}={text!r} cannot be read; allowed: {noun}, separated by commas") from None


def covariance(name: str, text: str) -> Any:
    """A variance, or rows of a covariance matrix separated by semicolons; fractions and decimals stay exact."""
    rows = [[entry.strip() for entry in row.split(",")] for row in text.split(";")]
    if any(len(row) != len(rows) for row in rows):
        raise InvalidInput(f"{name}={text!r}; allowed: a variance, or a square matrix such as '1,0.5; 0.5,2'")
    return rows[0][0] if len(rows) == 1 else rows


def array(name: str, path: Path) -> Any:
    """The numbers of a file: .npy, .csv or text with columns."""
    import numpy as np

    if not path.is_file():
        raise InvalidInput(
            f"{name}={path} does not exist; allowed: a .npy, .csv or text file of numbers, one sample a row"
        )
    try:
        if path.suffix == ".npy":
            return np.load(path)
        return np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)
    except ValueError as error:
        raise InvalidInput(
            f"{name}={path} cannot be read as numbers: {error}; allowed: a .npy, .csv or text file of numbers"
        ) from None


def labels(name: str, path: Path) -> Any:
    """The labels of a file, one column for each output."""
    found = array(name, path)
    return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found


def writable(name: str, path: Path) -> Path:
    """A path at which a file can be written, tried before the work whose result it takes."""
    new = not path.exists()
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise InvalidArgument(
            f"{name}={path} cannot be written: {error.strerror}; allowed: a file in a folder of yours"
        ) from None
    if new:
        path.unlink()
    return path
