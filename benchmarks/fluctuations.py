"""What do variances and shifts at leading order in 1/N cost, beside networks that give them to the same accuracy?

For each network: seconds of ``fluctuations`` and the relative standard error of N Var f and of the shift of the loss, and how long
it would take to train networks that know them as well, from some that are trained here; both in one run.

    python benchmarks/fluctuations.py [--width 256] [--networks 64]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import xarray as xr

import widthwise as ww

CASES = (
    ("one hidden tanh", "tanh", 2, 4),
    ("two hidden tanh", "tanh", 3, 4),
    ("two hidden ReLU", "relu", 3, 8),
)


def size(values: xr.DataArray) -> float:
    return float(np.sqrt((values**2).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--networks", type=int, default=64)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((10, 20)), np.sign(rng.standard_normal(10))
    print(
        f"{'ten samples, 13 steps':22s} {'of':8s} {'theory s':>9s} {'error':>7s} {'networks s':>11s} {'networks / theory':>18s}"
    )
    for name, activation, depth, replicas in CASES:
        flow = ww.Training(ww.MLP(activation, depth=depth, C_W=2.0), gamma=1.0, learning_rate=0.02)
        times = [0, 6, 12]
        start = time.perf_counter()
        trained = ww.simulate(flow, X, y, times=times, width=given.width, networks=given.networks, quantities="f")
        each = (time.perf_counter() - start) / given.networks
        noise = {"f_variance": size(trained.f_variance_stderr), "loss1": given.width * size(trained.loss_stderr)}
        for quantity, key in (("f", "f_variance"), ("loss1", "loss1")):
            start = time.perf_counter()
            found = ww.fluctuations(flow, X, y, times=times, quantities=quantity, replicas=replicas)
            seconds, error = time.perf_counter() - start, size(found[f"{key}_stderr"])
            needed = each * given.networks * (noise[key] / error) ** 2
            relative = error / size(found[key])
            print(
                f"{name:22s} {quantity:8s} {seconds:9.1f} {relative:7.1%} {needed:11.1f} {needed / seconds:18.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
