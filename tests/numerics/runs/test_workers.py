"""One way to do many tasks: the same results for threads, none, and executors; the first error stops the rest."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from widthwise.numerics.runs.progress import Progress
from widthwise.numerics.runs.store import Store
from widthwise.numerics.runs.workers import Stopped, mapped
from widthwise.theory.language.errors import InvalidArgument


def squared(number, tick):
    """A task that travels, and counts its number."""
    tick(number)
    return {"value": np.array(number**2)}


def values(results):
    return [int(r["value"]) for r in results]


@pytest.mark.parametrize("workers", [None, 1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_results_are_in_order_for_any_number_of_workers(workers, count):
    bar = Progress("test", 100, False)
    assert values(mapped(squared, range(count), workers=workers, progress=bar)) == [n**2 for n in range(count)]
    assert bar.done == sum(range(count))


def test_a_single_task_starts_no_thread():
    assert mapped(lambda n, tick: threading.current_thread(), [0]) == [threading.main_thread()]
    assert set(mapped(lambda n, tick: threading.current_thread(), range(4), workers=1)) == {threading.main_thread()}
    assert threading.main_thread() not in mapped(lambda n, tick: threading.current_thread(), range(4), workers=2)


def test_an_executor_is_used_and_left_open(tmp_path):
    """One of processes: ``test_an_executor_draws_the_same_networks``."""
    bar, store = Progress("test", 10, False), Store(tmp_path, ("test",))
    store.keep(3, {"value": np.array(-1)})
    with ThreadPoolExecutor(2) as pool:
        assert values(mapped(squared, range(5), executor=pool, progress=bar, store=store)) == [0, 1, 4, -1, 16]
        assert bar.done == 0 + 1 + 2 + 4
        assert values(mapped(squared, range(2), executor=pool)) == [0, 1]
    assert len(list(tmp_path.glob("*.npz"))) == 5


def test_a_task_that_cannot_travel_is_refused_by_name():
    with ThreadPoolExecutor(1) as pool, pytest.raises(InvalidArgument, match=r"cannot be pickled .* executor=None"):
        mapped(lambda n, tick: n, [1], executor=pool)
    with pytest.raises(InvalidArgument, match=r"executor=2 is a int; allowed: a concurrent.futures.Executor"):
        mapped(squared, [1], executor=2)
    with pytest.raises(InvalidArgument, match=r"workers=0; allowed: integers from 1"):
        mapped(squared, [1], workers=0)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, StopIteration])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_error_stops_what_runs_and_what_waits(error, workers, tmp_path):
    """Tasks beside the one that fails are stopped at their next tick; complete ones stay in the store."""
    begun, stopped, store = [], [], Store(tmp_path, ("test",))

    def task(number, tick):
        begun.append(number)
        if number == 0:
            return {"value": np.array(7)}
        if number == 1:
            while workers > 1 and len(begun) < workers:
                time.sleep(1e-3)
            raise error
        try:
            while True:
                tick()
                time.sleep(1e-3)
        except Stopped:
            stopped.append(number)
            raise

    before = threading.active_count()
    with pytest.raises(error):
        mapped(task, range(100), workers=workers, store=store)
    assert threading.active_count() == before
    assert len(begun) <= workers + 1
    assert sorted(stopped) == sorted(set(begun) - {0, 1})
    assert int(store.find(0)["value"]) == 7
    assert store.find(2) is None


class Failing(ThreadPoolExecutor):
    """An executor of which the second future fails, and the others wait until they are cancelled."""

    def __init__(self):
        super().__init__(1)
        self.given: list[Future] = []

    def submit(self, *arguments):
        future: Future = Future()
        if len(self.given) == 1:
            future.set_exception(ZeroDivisionError())
        self.given.append(future)
        return future


def test_an_error_cancels_what_waits_in_an_executor():
    with Failing() as pool, pytest.raises(ZeroDivisionError):
        mapped(squared, range(5), executor=pool)
    assert [future.cancelled() for future in pool.given] == [True, False, True, True, True]


# ------------------------------------------------------------------------------------------------- without threads

RUN = """
import hashlib, sys, threading, warnings
warnings.simplefilter("ignore")
import numpy as np
started = []
def start(self, original=threading.Thread.start):
    started.append(self)
    if sys.argv[1] == "none" or (sys.argv[1] == "one" and len(started) > 1 and started[0] is not self):
        raise RuntimeError("can't start new thread")
    original(self)
threading.Thread.start = start
import widthwise as ww
X = np.random.default_rng(0).standard_normal((250, 3))
net = ww.MLP("tanh", depth=3, width=8, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
flow = ww.Training(ww.MLP("tanh", depth=3, width=8), learning_rate=0.1)
found = list(ww.kernel(net, X, workers=3))
options = {"networks": 40, "seed": 1, "workers": 3, "progress": len(sys.argv) > 2}
found += [ww.simulate(net, X[:2], quantities=("K", "V"), **options)[k].values for k in ("K", "V", "V_stderr")]
report = ww.validate(net, X[:1], widths=(8, 16), quantities=("K", "V"), **options)
found.append(report.table["p_value"].to_numpy())
del options["networks"]
trained = ww.simulate(flow, X[:2], [1.0, -1.0], times=3, networks=4, **options)
found += [trained[k].values for k in ("f", "Theta", "Theta_stderr")]
del options["seed"]
report = ww.validate(flow, X[:2], [1.0, -1.0], times=3, networks=4, widths=(8, 16), samples=64, replicas=2, **options)
found.append(report.table["p_value"].to_numpy())
print(len(started), hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in found)).hexdigest())
"""


def run(*arguments):
    command = [sys.executable, "-c", RUN, *arguments]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    return (*shown.stdout.split(), shown.stderr)


def test_without_threads_the_numbers_are_the_same_to_the_bit():
    """Where no thread can be started, or only a first one, kernel, simulate and validate run, with their progress."""
    free, none, one = run("all"), run("none", "shown"), run("one")
    assert int(free[0]) > 5
    assert free[1] == none[1] == one[1]
    assert "networks/s" in none[2]
    assert "steps/s" in none[2]
