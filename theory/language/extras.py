"""Extras: libraries that a part of the package needs and the rest does without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from .errors import NotAvailable

#: The extra of ``pyproject.toml`` that installs a library, and what the library is called there.
EXTRAS = {
    "matplotlib": ("report", "matplotlib"),
    "latex2mathml": ("report", "latex2mathml"),
    "sklearn": ("sklearn", "scikit-learn"),
    "typer": ("cli", "typer"),
    "h5netcdf": ("netcdf", "h5netcdf h5py"),
    "h5py": ("netcdf", "h5netcdf h5py"),
    "dask": ("dask", "'dask[array]'"),
    "jax": ("jax", "jax"),
    "torch": ("torch", "torch"),
}


@contextmanager
def needed(what: str) -> Iterator[None]:
    """``NotAvailable`` in the place of the ``ImportError`` of a library that belongs to an extra."""
    try:
        yield
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise missing(library, what) from error


def require(library: str, what: str) -> None:
    """``NotAvailable`` unless a library that another one loads by name can be imported."""
    with needed(what):
        import_module(library)


def missing(library: str, what: str, without: str = "the rest of the package works without it") -> NotAvailable:
    """The error that says which library is missing, and how it is installed."""
    extra, package = EXTRAS[library]
    return NotAvailable(
        f"{what} needs {library}, which is not installed; allowed: pip install {package}, or in a checkout of widthwise "
        f"pip install '.[{extra}]'; {without}"
    )
