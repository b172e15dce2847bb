"""What a run will take, before it starts: time and memory, and whether they are there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...theory.language.errors import InvalidArgument, TooCostly

GIB = float(1 << 30)
#: Runs that take longer are refused unless ``hours=`` allows them.
HOURS = 1.0


@dataclass(frozen=True)
class Cost:
    """The time on one core of a laptop and the largest memory, as estimated before a run."""

    seconds: float = 0.0
    bytes: float = 0.0

    def __add__(self, after: Cost) -> Cost:
        """The cost of two runs, one after the other."""
        return Cost(self.seconds + after.seconds, max(self.bytes, after.bytes))

    def __str__(self) -> str:
        return f"about {duration(self.seconds)}, {size(self.bytes)}"

    def check(self, what: str, *, hours: float, allowed: str) -> Cost:
        """The cost, if there is so much memory, and the time is allowed; ``TooCostly`` with the numbers if not."""
        free = available()
        if self.bytes > free:
            raise TooCostly(f"{what} takes {size(self.bytes)} of memory, and {size(free)} are free; allowed: {allowed}")
        if self.seconds > 3600 * hours:
            raise TooCostly(
                f"{what} takes about {duration(self.seconds)} on one core, and {duration(3600 * hours)} are allowed "
                f"(hours={hours:g}); allowed: {allowed}, or hours={_above(self.seconds / 3600)}"
            )
        return self


def check_hours(hours: Any) -> float:
    """The hours that a run may take: by default one."""
    if hours is None:
        return HOURS
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not hours > 0:
        raise InvalidArgument(f"hours={hours!r}; allowed: a number above 0, or None for {HOURS:g}")
    return float(hours)


def duration(seconds: float) -> str:
    """A time in the unit that fits, to two digits."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{_rounded(seconds / length)} {unit}"
    return f"{_rounded(seconds)} s"


def size(count: float) -> str:
    """A number of bytes in GiB or MiB."""
    return f"{_rounded(count / GIB)} GiB" if count >= GIB / 10 else f"{_rounded(count * 1024 / GIB)} MiB"


def _rounded(x: float) -> str:
    return f"{x:.2g}" if x < 10 else f"{x:.0f}"


def _above(hours: float) -> str:
    """A round number above the estimate."""
    return f"{1.2 * hours:.1f}" if hours < 10 else f"{1.2 * hours:.0f}"


def available() -> float:
    """The bytes that are free; infinity where the system does not say."""
    return min(_of_system(), _of_group())


def _of_system() -> float:
    try:  # memory that the kernel can take back from caches counts as free
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        return 1024.0 * float(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        pass
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            return float(os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE"))
        except (ValueError, OSError, AttributeError):
            continue
    return float("inf")


def _of_group() -> float:
    """What a container may still take: limits of control groups do not show in the numbers of the system."""
    try:
        limit, used = (float(Path("/sys/fs/cgroup", f"memory.{name}").read_text()) for name in ("max", "current"))
        kept = dict(line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines())
        return limit - used + float(kept.get("inactive_file", 0))
    except (OSError, ValueError):  # no group, or "max": no limit
        return float("inf")
