"""The version in results and checkpoints."""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import metadata

#: The package that this module belongs to, which says its version itself.
OWN = __name__.partition(".")[0]


@lru_cache(maxsize=8)
def version(package: str = OWN) -> str:
    """The version of a package: of this one the version of the code that runs, of others the installed one."""
    if package == OWN:
        return str(sys.modules[OWN].__version__)
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
