"""Independent solutions: their mean and spread, files to resume from, and progress."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..theory.errors import InvalidArgument
from ..theory.training import Training

Array = NDArray[np.float64]

#: Seconds after which a run counts as long and shows its progress.
LONG = 2.0


class Moments:
    """Running means and squares (Welford)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, Array] = {}
        self._squares: dict[str, Array] = {}

    def add(self, values: dict[str, Array]) -> None:
        """One more solution."""
        self.count += 1
        for name, value in values.items():
            if self.count == 1:
                self.mean[name], self._squares[name] = value.copy(), np.zeros_like(value)
            else:
                off = value - self.mean[name]
                self.mean[name] += off / self.count
                self._squares[name] += off * (value - self.mean[name])

    def stderr(self, name: str) -> Array:
        """The standard error of the mean; zero for a single solution, which has no randomness."""
        if self.count < 2:
            return np.zeros_like(self.mean[name])
        return np.asarray(np.sqrt(self._squares[name] / (self.count * (self.count - 1))))


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


class Progress:
    """Counts what is done, from any thread; shows rate and time left on stderr once a run turns out long."""

    def __init__(self, what: str, total: int, wanted: bool | None, *, unit: str = "steps") -> None:
        self.what, self.unit, self.total, self.done, self.start = what, unit, total, 0, time.monotonic()
        self.after = {None: LONG if sys.stderr.isatty() else float("inf"), True: 0.0, False: float("inf")}[wanted]
        self._lock = threading.Lock()
        self._bar: Any = None
        self._task: Any = None

    def advance(self, count: int = 1) -> None:
        """Count, and draw if the run is long enough."""
        with self._lock:
            self.done += count
            elapsed = time.monotonic() - self.start
            if elapsed < self.after:
                return
            if self._bar is None:
                self._bar = _bar(self.unit)
                self._bar.start()
                self._task = self._bar.add_task(self.what, total=self.total, rate=0.0)
            self._bar.update(self._task, completed=self.done, rate=self.done / max(elapsed, 1e-9))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar(unit: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn(f"{{task.fields[rate]:,.1f}} {unit}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))
