"""The version in results and checkpoints."""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata


@lru_cache(maxsize=8)
def version(package: str = "widthwise") -> str:
    """The version of a package that is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from a source tree
        return "not installed"
