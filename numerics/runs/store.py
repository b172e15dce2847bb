"""Files to resume from: results by their key, and by the code that made them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from ...theory.language.errors import InvalidArgument
from ...theory.language.values import content, fingerprint
from .moments import Array
from .version import version

#: The floors on whose text a result depends, and the files that hold this text.
FLOORS, TEXTS = ("theory", "numerics", "validation"), (".py", ".jinja")


@content.register
def _(part: np.ndarray) -> str:
    return f"{part.dtype}{part.shape}{np.ascontiguousarray(part).tobytes().hex()}"


@content.register
def _(part: FunctionType) -> str:
    held = tuple(cell.cell_contents for cell in part.__closure__ or ())
    return fingerprint(part.__module__, part.__qualname__, part.__code__, part.__defaults__, held)


@content.register
def _(part: CodeType) -> str:
    return fingerprint(part.co_code, part.co_consts, part.co_names)


@lru_cache(maxsize=8)
def code_of(root: Path | None = None) -> str:
    """A name for the version and the text of the floors below a folder, by default those that are running.

    Results of an older text are not served: a mistake in it may have been corrected since.
    """
    base = Path(__file__).parents[2] if root is None else root
    found = (p for floor in FLOORS for p in (base / floor).rglob("*") if p.suffix in TEXTS)
    return fingerprint(version(), *((p.relative_to(base).as_posix(), p.read_bytes()) for p in sorted(found)))


@dataclass(frozen=True)
class Store:
    """Results by number, in a folder.

    Equation
        A file's name is the fingerprint of the code, the key and the number.
    Shapes
        Results are arrays by name.
    Valid
        ``folder=None`` keeps nothing. A run that is cut off leaves no half a file.
    Errors
        ``InvalidArgument`` for a folder that is a file, and for a file that cannot be read.
    """

    folder: str | Path | None
    key: tuple[Any, ...]  #: all that the results depend on except their number
    code: str | None = None  #: a name for the text that makes them; by default that of the package

    def __post_init__(self) -> None:
        if self.folder is not None and not isinstance(self.folder, str | Path):
            raise InvalidArgument(f"checkpoint={self.folder!r}; allowed: the path of a folder, or None")
        if self.folder is not None and Path(self.folder).exists() and not Path(self.folder).is_dir():
            raise InvalidArgument(
                f"checkpoint={str(self.folder)!r} is a file; allowed: a folder, which is made if it is not there"
            )

    def path(self, number: Any) -> Path:
        """The file of a result."""
        return Path(self.folder or "") / f"{fingerprint(self._name, number)}.npz"

    @cached_property
    def _name(self) -> str:
        """The fingerprint of code and key, taken once: the key may hold large arrays."""
        return fingerprint(self.code or code_of(), *self.key)

    def find(self, number: Any) -> dict[str, Array] | None:
        """The result in the file of a number; None if there is no file."""
        if self.folder is None or not (path := self.path(number)).exists():
            return None
        try:
            with np.load(path) as file:
                return {name: file[name] for name in file.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InvalidArgument(
                f"checkpoint file {path} cannot be read ({error}); allowed: delete it, and it is made anew"
            ) from None

    def keep(self, number: Any, values: Mapping[str, Array]) -> None:
        """Write the file of a result."""
        if self.folder is None:
            return
        path = self.path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(unfinished, **dict[str, Any](values))
        unfinished.replace(path)

    def __call__(self, number: Any, compute: Callable[[], dict[str, Array]]) -> dict[str, Array]:
        """The result in the file of a number; else it is computed, and written there."""
        found = self.find(number)
        if found is None:
            found = compute()
            self.keep(number, found)
        return found
