"""What does the theory of a network in training cost, beside training networks of width 2000 to the same accuracy?

For each case: seconds of ``predict``, the standard error that it reaches for Phi (relative to its mean size), how many networks
of width 2000 would reach it, and what they would take, from a few that are trained here; both in one run. Then how both grow with
the number of steps T and of samples P.

    python benchmarks/training.py [--width 2000] [--networks 4] [--quick]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import widthwise as ww


def data(P: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((P, 20))
    return X / np.linalg.norm(X, axis=1, keepdims=True) * np.sqrt(20), np.sign(rng.standard_normal(P))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def relative(found: Any, name: str = "Phi") -> float:
    """Standard errors beside the mean size, both root mean squares."""
    return float(np.sqrt((found[f"{name}_stderr"] ** 2).mean() / (found[name] ** 2).mean()))


def measure(
    name: str, activation: str, depth: int, P: int, T: int, given: argparse.Namespace, replicas: int = 8
) -> None:
    X, y = data(P)
    flow = ww.Training(ww.MLP(activation, depth=depth), gamma=1.0, learning_rate=0.2 / (P * (depth - 1)))
    times = np.unique(np.linspace(0, T, 11).astype(int))
    theory, found = timed(lambda: ww.predict(flow, X, y, times=times, replicas=replicas))
    networks, trained = timed(lambda: ww.simulate(flow, X, y, times=times, width=given.width, networks=given.networks))
    error = relative(found)
    needed = max(1.0, given.networks * (relative(trained) / error) ** 2) if error else np.inf
    other = networks / given.networks * needed
    ratio = f"{other / theory:8.1f}" if error else "   exact"
    print(
        f"{name:34s} {theory:9.2f} {error:10.2%} {networks / given.networks:12.2f} {needed:10.0f} {ratio}", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2000)
    parser.add_argument("--networks", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="without the growth with T and P")
    given = parser.parse_args()
    ww.derive(ww.Training(ww.MLP("tanh", depth=2)))
    print(f"{'case':34s} {'theory s':>9s} {'error':>10s} {'s a network':>12s} {'networks':>10s} {'ratio':>8s}")
    measure("deep linear, depth 5, P=10, T=100", "linear", 5, 10, 100, given)
    measure("two-layer tanh, P=25, T=200", "tanh", 2, 25, 200, given, replicas=4)
    measure("two-layer relu, P=25, T=200", "relu", 2, 25, 200, given, replicas=4)
    measure("three hidden tanh, P=10, T=50", "tanh", 4, 10, 50, given, replicas=4)
    if given.quick:
        return
    for T in (15, 30, 60):
        measure(f"two hidden tanh, P=5, T={T}", "tanh", 3, 5, T, given)
    for P in (3, 6, 12):
        measure(f"two hidden tanh, P={P}, T=25", "tanh", 3, P, 25, given)


if __name__ == "__main__":
    main()
