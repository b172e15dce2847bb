r"""One way to do many tasks: by threads, one after the other where no thread can be started, or by an executor that is given.

The result of a task depends on its number and on nothing else, so that results are the same for any number of workers.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from functools import partial
from threading import Event, Lock, Thread
from typing import Any, Protocol, TypeVar

from threadpoolctl import threadpool_limits

from ...theory.language.checks import check_count
from ...theory.language.errors import InvalidArgument
from .progress import Progress
from .store import Store

Number = TypeVar("Number", contravariant=True)
Result = TypeVar("Result", covariant=True)

#: The calling thread waits no longer than these seconds at a time, so that Ctrl-C reaches it on every platform.
LOOK_UP = 0.25


class Stopped(Exception):
    """Raised within a task once another one has failed, or the user has interrupted the run."""


class Tick(Protocol):
    """The function that a task calls after each unit of work: it counts, and raises ``Stopped`` if the run is over."""

    def __call__(self, count: int = 1) -> None:
        """Count some units."""


class Task(Protocol[Number, Result]):
    """A function of a number, that ticks."""

    def __call__(self, number: Number, tick: Tick, /) -> Result:
        """The result for a number."""


def threads_for(workers: int | None) -> int:
    """The number of threads: all cores by default."""
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return check_count("workers", workers, 1)


class _SingleBLAS:
    """One thread for each product of matrices, while any run is on: threads work on tiles, blocks and networks."""

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


single_blas = _SingleBLAS()


def mapped(
    task: Task[Number, Result],
    numbers: Sequence[Number],
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    store: Store | None = None,
) -> list[Result]:
    """The results of a task for each of some numbers, in their order.

    Equation
        ``[task(number, tick) for number in numbers]``.
    Shapes
        ``task(number, tick)`` calls ``tick()`` or ``tick(count)`` after each unit of work. ``store`` keeps results by number, and
        a number whose result it holds is not computed again.
    Units
        ``progress`` counts in those of ``tick``.
    Valid
        ``executor=None``: ``workers`` threads (default: all cores), or as many as can be started; where none can be, one
        number after the other in the calling thread. An executor is used as it is, and is not shut down; the task and its results
        travel to it as pickles. Linear algebra has one thread meanwhile.
    Errors
        The first error of a task, ``KeyboardInterrupt`` too: running tasks stop at their next tick, and no other is begun;
        complete results stay in the store. ``InvalidArgument`` for an executor that the task cannot travel to.
    """
    bar = progress or Progress("", len(numbers), False)
    with single_blas, bar:
        if executor is not None:
            return _by_executor(executor, task, numbers, bar, store)
        return _by_threads(task, numbers, threads_for(workers), bar, store)


def _by_threads(
    task: Task[Number, Result], numbers: Sequence[Number], threads: int, bar: Progress, store: Store | None
) -> list[Result]:
    """Threads that take one number after the other; without threads the calling thread takes them itself."""
    left, lock, stop = iter(enumerate(numbers)), Lock(), Event()
    results, errors, started = dict[int, Result](), list[BaseException](), list[_Worker]()

    def tick(count: int = 1) -> None:
        if stop.is_set():
            raise Stopped
        bar.advance(count)

    def take() -> None:
        try:
            while not stop.is_set():
                with lock:
                    found = next(left, None)
                if found is None:
                    return
                place, number = found
                results[place] = _kept(store, number, partial(task, number, tick))
        except BaseException as error:  # it is raised in the calling thread
            errors.append(error)
            stop.set()

    try:
        _start(started, take, min(threads, len(numbers)))
        if not started:
            take()
        for worker in started:
            while not worker.over.wait(LOOK_UP):
                pass
    finally:
        stop.set()
        for worker in started:
            worker.over.wait()
            worker.join()
    if errors:
        raise errors[0]  # the errors after the first one come from tasks that it has stopped
    return [results[place] for place in range(len(numbers))]


class _Worker(Thread):
    """A thread with an event for its end: in Python 3.11 a ``join`` that Ctrl-C interrupts counts the thread as ended."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.work, self.over = work, Event()

    def run(self) -> None:
        self.work()
        self.over.set()


def _start(started: list[_Worker], work: Callable[[], None], count: int) -> None:
    """As many threads as can be started; none for a single task, which the calling thread does as well."""
    for _ in range(count if count > 1 else 0):
        worker = _Worker(work)
        try:
            worker.start()
        except RuntimeError:  # "can't start new thread"
            return
        started.append(worker)


def _by_executor(
    executor: Executor, task: Task[Number, Result], numbers: Sequence[Number], bar: Progress, store: Store | None
) -> list[Result]:
    """Futures of an executor; the units that they count are added here once they are done."""
    _check_travels(executor, task)
    results, futures = dict[int, Any](), dict[Future[tuple[Any, int]], int]()
    try:
        for place, number in enumerate(numbers):
            known = None if store is None else store.find(number)
            if known is not None:
                results[place] = known
            else:
                futures[executor.submit(_counted, task, number)] = place
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=LOOK_UP, return_when=FIRST_COMPLETED)
            for future in done:
                place = futures[future]
                results[place], count = future.result()
                if store is not None:
                    store.keep(numbers[place], results[place])
                bar.advance(count)
    finally:
        for future in futures:
            future.cancel()
    return [results[place] for place in range(len(numbers))]


def _kept(store: Store | None, number: Any, compute: Callable[[], Any]) -> Any:
    return compute() if store is None else store(number, compute)


def _counted(task: Task[Number, Result], number: Number) -> tuple[Result, int]:
    """A task in a worker of an executor: its result, and the number of its ticks."""
    done = 0

    def tick(count: int = 1) -> None:
        nonlocal done
        done += count

    with single_blas:
        return task(number, tick), done


def _check_travels(executor: Executor, task: Any) -> None:
    if not isinstance(executor, Executor):
        raise InvalidArgument(
            f"executor={executor!r} is a {type(executor).__name__}; allowed: a concurrent.futures.Executor, or None for threads"
        )
    try:
        pickle.dumps(task)
    except Exception as error:
        raise InvalidArgument(
            f"executor={executor!r}: the task cannot be pickled ({error}); allowed: subjects made of expressions, or "
            "executor=None for threads"
        ) from None
