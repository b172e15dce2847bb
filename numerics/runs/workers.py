"""Threads: how many, and linear algebra that leaves them alone."""

from __future__ import annotations

import os
from numbers import Integral
from threading import Lock

from threadpoolctl import threadpool_limits

from ...theory.language.errors import InvalidArgument


def threads_for(workers: int | None) -> int:
    """The number of threads: all cores by default."""
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, Integral) or workers < 1:
        raise InvalidArgument(f"workers={workers!r}; allowed: integers from 1")
    return int(workers)


class _SingleBLAS:
    """One thread for each product of matrices, while any matrix is evaluated: threads work on tiles, and on blocks."""

    def __init__(self) -> None:
        self.users, self.lock, self.limits = 0, Lock(), None

    def __enter__(self) -> None:
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.limits = threadpool_limits(limits=1, user_api="blas")

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0 and self.limits is not None:
                self.limits.restore_original_limits()


_single_blas = _SingleBLAS()
