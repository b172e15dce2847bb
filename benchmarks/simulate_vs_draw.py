"""One question: how much dearer than its weights is a literal network, tangent kernels of all layers included?

The yardstick is NumPy's fastest generator of Gaussians (SFC64, float64) filling a buffer that stays in the cache,
with as many threads on the same cores. Repeats are interleaved, so that a change of clock speed hits both; the ratio
is the median over repeats of simulate's time over the draw's next to it, on the wall clock and in CPU seconds (the
same on a quiet machine). `simulate` is the public verb, so its start-up and its statistics are in the time.

    python benchmarks/simulate_vs_draw.py [--seconds 2] [--repeats 7] [--activation tanh]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from widthwise.theory.networks.architecture import MLP
from widthwise.validation.initialisation.simulate import simulate
from widthwise.validation.literal.networks import layer_widths

#: What a forward and a backward pass give; P ... U take tangents of both.
QUANTITIES = ("K", "Theta", "V", "D", "F", "A", "B")

TARGET = 1.5
BUFFER = 1 << 17  # doubles, 1 MiB
INPUTS = np.array([[1.0, 0.3, -0.5, 0.2], [-0.4, 0.9, 0.1, 0.7]])


def draw(weights: int, threads: int) -> None:
    """That many standard normals, a part in each thread, into a buffer that is used again."""

    def part(seed: int) -> None:
        rng, buffer = np.random.Generator(np.random.SFC64(seed)), np.empty(BUFFER)
        for start in range(0, weights // threads, BUFFER):
            rng.standard_normal(out=buffer[: min(BUFFER, weights // threads - start)])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(threads)))


def seconds(action: Callable[..., object], *args: object, **kwargs: object) -> np.ndarray:
    """Wall clock and CPU seconds."""
    start = time.perf_counter(), time.process_time()
    action(*args, **kwargs)
    return np.array([time.perf_counter() - start[0], time.process_time() - start[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one draw")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--activation", default="tanh")
    options = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    print(f"{threads} threads, depth 4, 2 inputs, {options.activation}, all seven tensors with 4 neurons")
    print("width  networks   draw [s]  simulate [s]  networks/s  ns/weight  ratio (min .. max)  ratio in CPU time")
    for width in (64, 128, 256):
        net = MLP(options.activation, depth=4, width=width, C_W=1.5, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
        n = layer_widths(net)
        weights = sum(a * b for a, b in zip(n, (INPUTS.shape[1], *n), strict=False))
        networks = max(2, int(1e5 * options.seconds / seconds(draw, 100_000 * 100, threads)[0] * 100 / weights))
        seconds(simulate, net, INPUTS, networks=64, quantities=QUANTITIES, workers=threads, progress=False)
        drawn, simulated = [], []
        for _ in range(options.repeats):
            drawn.append(seconds(draw, weights * networks, threads))
            run = {"networks": networks, "quantities": QUANTITIES, "workers": threads, "progress": False}
            simulated.append(seconds(simulate, net, INPUTS, **run))
        ratios = np.sort(np.array(simulated) / np.array(drawn), axis=0)
        (ratio, cpu), (t_draw, _), (t_sim, _) = (np.median(x, axis=0) for x in (ratios, drawn, simulated))
        print(
            f"{width:5d} {networks:9d} {t_draw:10.2f} {t_sim:13.2f} {networks / t_sim:11.0f} "
            f"{1e9 * t_draw * threads / networks / weights:10.2f}  "
            f"{ratio:.2f} ({ratios[0, 0]:.2f} .. {ratios[-1, 0]:.2f})"
            f"  {'meets' if ratio <= TARGET else 'misses'} {TARGET}  {cpu:.2f}"
        )


if __name__ == "__main__":
    main()
