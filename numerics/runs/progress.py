"""Progress of long runs."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

#: Seconds after which a run counts as long and shows its progress, and from one drawing to the next.
LONG, REDRAWN = 2.0, 0.1


class Progress:
    """Counts the units of work, from any thread; shows rate and time left on stderr once a run turns out long.

    The thread that counts draws it, so that no thread of its own is needed.
    """

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
            self.after = elapsed + REDRAWN
            self._draw(elapsed)

    def _draw(self, elapsed: float) -> None:
        self._bar.update(self._task, completed=self.done, rate=self.done / max(elapsed, 1e-9), refresh=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._draw(time.monotonic() - self.start)
            self._bar.stop()
            self._bar = None


def _bar(unit: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn(f"{{task.fields[rate]:,.1f}} {unit}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), auto_refresh=False)
