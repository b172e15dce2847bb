"""How does the time of a kernel matrix grow with the number of inputs, and how far is it from the memory's?

    python benchmarks/kernel_scaling.py [--repeat 5] [--depth 10] [--activations relu,erf,tanh]

The floor is what any program needs that hands over both matrices: two arrays of m^2 doubles, allocated and written once by one
thread, measured in turns with the kernels. Medians and ranges.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

import widthwise as ww

SIZES = (500, 1000, 2000, 4000)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def floor(m: int) -> list[np.ndarray]:
    """Two matrices, written once."""
    return [np.full((m, m), value) for value in (1.0, 2.0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--depth", type=int, default=10, help="hidden layers")
    parser.add_argument("--activations", default="relu,erf,tanh")
    given = parser.parse_args()
    print(f"{'activation':10s} {'inputs':>6s} {'kernels [s]':>24s} {'ns a pair':>10s} {'floor [s]':>10s} {'ratio':>7s}")
    for activation in given.activations.split(","):
        net = ww.MLP(activation, depth=given.depth + 1, C_W=1.69, C_b=0.04, lambda_W=1.69, lambda_b=0.04)
        ww.kernel(net, np.random.default_rng(1).normal(size=(SIZES[0], 64)))  # derived and compiled
        for m in SIZES:
            X = np.random.default_rng(0).normal(size=(m, 64))
            mine, least = [], []
            for _ in range(given.repeat):
                mine.append(seconds(partial(ww.kernel, net, X)))
                least.append(seconds(partial(floor, m)))
            middle, under = statistics.median(mine), statistics.median(least)
            shown = f"{middle:.3f} ({min(mine):.3f} .. {max(mine):.3f})"
            print(
                f"{activation:10s} {m:6d} {shown:>24s} {middle / m**2 * 1e9:10.1f} {under:10.4f} {middle / under:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
