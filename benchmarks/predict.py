"""How long does ``predict`` take, for one input and for ten, and how does it grow with depth?

All nine quantities. "first" includes deriving, generating and loading the code of the activation; "again" is the median of the
calls after it. The ratio in the last column is to the same activation at half the depth, side by side in one run.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from sklearn.datasets import load_digits

import widthwise as ww

ACTIVATIONS = {"tanh": (1.0, 0.0), "relu": (2.0, 0.0), "gelu": (1.983, 0.1729), "sin": (1.0, 0.0)}
REPEATS = 5


def clock(net: ww.MLP, X: np.ndarray, repeats: int = REPEATS) -> tuple[float, float]:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        ww.predict(net, X)
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def main() -> None:
    images = load_digits().data / 8
    print(f"{'activation':12}{'inputs':>7}{'depth':>7}{'first s':>10}{'again s':>10}{'ratio':>8}")
    for name, (C_W, C_b) in ACTIVATIONS.items():
        for m, depths in ((1, (10, 20, 40)), (2, (5, 10)), (10, (2, 4))):
            before = None
            for depth in depths:
                net = ww.MLP(name, depth=depth, C_W=C_W, C_b=C_b, lambda_W=1, lambda_b=0)
                first, again = clock(net, images[:m], REPEATS if m < 10 else 1)
                ratio = "" if before is None else f"{again / before:8.2f}"
                print(f"{name:12}{m:7}{depth:7}{first:10.3f}{again:10.3f}{ratio}")
                before = again


if __name__ == "__main__":
    main()
