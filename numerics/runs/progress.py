"""Progress of long runs: a bar on a terminal and in a notebook, and lines elsewhere, from time to time."""

from __future__ import annotations

import logging
import sys
import threading
import time
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar, Protocol

from ...theory.language.errors import InvalidArgument
from .costs import Cost, duration

#: Where the lines go if logging is set up; where it is not, they are written to stderr.
LOGGER = logging.getLogger("widthwise")


@dataclass(frozen=True)
class Stand:
    """How far a run is."""

    what: str
    unit: str
    done: int
    total: int
    elapsed: float

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.done / max(self.elapsed, 1e-9)

    def __str__(self) -> str:
        left = duration((self.total - self.done) / self.rate) + " left" if self.done else "not begun"
        return f"{self.what}: {self.done}/{self.total} {self.unit}, {self.rate:,.3g} {self.unit}/s, {left}"


class Surface(Protocol):
    """Where progress is shown: seconds after which a run is long, and from one drawing to the next."""

    long: ClassVar[float]
    every: ClassVar[float]

    def draw(self, stand: Stand) -> None:
        """Show how far the run is."""

    def close(self, stand: Stand) -> None:
        """The run is over, or has failed."""


class TerminalBar:
    """A bar of rich on stderr."""

    long: ClassVar[float] = 2.0
    every: ClassVar[float] = 0.1

    def __init__(self) -> None:
        self.bar: Any = None
        self.task: Any = None

    def draw(self, stand: Stand) -> None:
        """Move the bar."""
        if self.bar is None:
            self.bar = _bar(stand.unit)
            self.bar.start()
            self.task = self.bar.add_task(stand.what, total=stand.total, rate=0.0)
        self.bar.update(self.task, completed=stand.done, rate=stand.rate, refresh=True)

    def close(self, stand: Stand) -> None:
        """Leave the bar as it is."""
        self.draw(stand)
        self.bar.stop()


class NotebookBar:
    """An output of the cell that is replaced: HTML, so that no widgets have to be installed, and dark pages stay dark."""

    long: ClassVar[float] = 2.0
    every: ClassVar[float] = 0.5

    def __init__(self) -> None:
        self.handle: Any = None

    def draw(self, stand: Stand) -> None:
        """Replace the output."""
        text = str(stand)
        bar = f'<progress max="{stand.total}" value="{min(stand.done, stand.total)}"></progress>'
        shown = {"text/plain": text, "text/html": f"{bar} <code>{escape(text)}</code>"}
        if self.handle is None:
            from IPython.display import display

            self.handle = display(shown, raw=True, display_id=True)
        else:
            self.handle.update(shown, raw=True)

    def close(self, stand: Stand) -> None:
        """Leave the output as it is."""
        self.draw(stand)


class LogLines:
    """A line from time to time, where nothing can be redrawn: scripts whose output goes to a file, and batch systems."""

    long: ClassVar[float] = 10.0
    every: ClassVar[float] = 30.0

    def draw(self, stand: Stand) -> None:
        """Say how far the run is."""
        say(str(stand))

    def close(self, stand: Stand) -> None:
        """Say how long it took."""
        say(f"{stand.what}: {stand.done}/{stand.total} {stand.unit} in {duration(stand.elapsed)}")


def say(text: str) -> None:
    """A line to the logger "widthwise" where it has a level or is heard, else to stderr: logging keeps such lines by default."""
    heard = LOGGER.isEnabledFor(logging.INFO) and LOGGER.hasHandlers()
    if heard or LOGGER.level != logging.NOTSET:
        LOGGER.info(text)
    else:
        print(text, file=sys.stderr, flush=True)


def surface() -> Surface:
    """Where this process can show progress."""
    if sys.stderr.isatty():
        return TerminalBar()
    return NotebookBar() if in_notebook() else LogLines()


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this process; IPython on a terminal has none."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and (hasattr(shell, "kernel") or type(shell).__name__ == "ZMQInteractiveShell")


class Progress:
    """Counts the units of work, from any thread, and shows them once a run turns out long, or is known to be.

    The thread that counts draws, so that no thread of its own is needed. ``wanted``: False is silent, True shows at once; None
    shows what takes longer than a few seconds, and from the start what will by its ``cost``.
    """

    def __init__(
        self, what: str, total: int, wanted: bool | None, *, unit: str = "steps", cost: Cost | None = None
    ) -> None:
        if wanted is not None and not isinstance(wanted, bool):
            raise InvalidArgument(f"progress={wanted!r}; allowed: True, False, or None (of long runs)")
        self.what = what if cost is None else f"{what}, {cost}"
        self.unit, self.total, self.done, self.start = unit, total, 0, time.monotonic()
        self.surface, self.drawn = surface(), False
        long = cost is not None and cost.seconds > self.surface.long
        self.after = {None: 0.0 if long else self.surface.long, True: 0.0, False: float("inf")}[wanted]
        self._lock = threading.Lock()

    def advance(self, count: int = 1) -> None:
        """Count, and draw if the run is long enough."""
        with self._lock:
            self.done += count
            self._look()

    def _look(self) -> None:
        elapsed = time.monotonic() - self.start
        if elapsed >= self.after:
            self.drawn, self.after = True, elapsed + self.surface.every
            self.surface.draw(self._stand(elapsed))

    def _stand(self, elapsed: float) -> Stand:
        return Stand(self.what, self.unit, self.done, self.total, elapsed)

    def __enter__(self) -> Progress:
        with self._lock:
            if self.after <= 0:  # what is known to be long is announced before it starts
                self._look()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.drawn:
            self.surface.close(self._stand(time.monotonic() - self.start))
            self.drawn = False


def _bar(unit: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn(f"{{task.fields[rate]:,.1f}} {unit}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False)
