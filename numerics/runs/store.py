"""Files to resume from: results by what they depend on."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

from ...theory.language.errors import InvalidArgument
from ...theory.training.subject import Training
from .moments import Array


def fingerprint(*parts: Any) -> str:
    """A name for what a result depends on: arrays by shape and bytes, records by their fields, expressions by their structure."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{type(part).__name__}:{_content(part)};".encode())
    return digest.hexdigest()[:24]


def _content(part: Any) -> str:
    if isinstance(part, np.ndarray):
        return f"{part.dtype}{part.shape}{np.ascontiguousarray(part).tobytes().hex()}"
    if isinstance(part, Training):
        subject = [sp.srepr(a.derivative(0)) for a in part.net.layer_activations] + [
            sp.srepr(part.loss.value(part.outputs)[0])
        ]
        return fingerprint(repr(part), *subject)
    if is_dataclass(part) and not isinstance(part, type):
        return fingerprint(*(getattr(part, f.name) for f in fields(part)))
    if isinstance(part, tuple | list):
        return fingerprint(*part)
    return repr(part)


def stored(folder: str | Path | None, key: Sequence[Any], compute: Callable[[], dict[str, Array]]) -> dict[str, Array]:
    """A result from the folder, if it lies there; else computed, and laid there."""
    if folder is None:
        return compute()
    if Path(folder).exists() and not Path(folder).is_dir():
        raise InvalidArgument(
            f"checkpoint={str(folder)!r} is a file; allowed: a folder, which is made if it is not there"
        )
    path = Path(folder) / f"{fingerprint(*key)}.npz"
    if path.exists():
        try:
            with np.load(path) as file:
                return {name: file[name] for name in file.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InvalidArgument(
                f"checkpoint file {path} cannot be read ({error}); allowed: delete it, and it is made anew"
            ) from None
    values = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(unfinished, **dict[str, Any](values))
    unfinished.replace(path)  # a run that is cut off leaves no half a file
    return values
