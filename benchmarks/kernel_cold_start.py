"""How long from the start of a process to the first kernel matrix, and how much memory does a large one take?

    python benchmarks/kernel_cold_start.py [--incumbent /path/to/python] [--repeat 5] [--inputs 2000]

Medians and ranges over processes: seconds to NNGP and NTK of 200 inputs at depth 10, and the memory of the large matrices over
that of small ones, in units of m^2 doubles (the two matrices themselves are 2). With a Python that has neural-tangents (see
``kernels.py``) its processes alternate with ours, and the ratio of the times is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

PROGRAM = """
import time; start = time.perf_counter()
import json, resource, sys
import numpy as np
import widthwise as ww
X = np.random.default_rng(0).normal(size=({inputs}, 64))
net = ww.MLP("{activation}", depth=11, C_W=1.69, C_b=0.04, lambda_W=1.69, lambda_b=0.04)
ww.kernel(net, X[:200])
seconds = time.perf_counter() - start
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = ww.kernel(net, X)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, before / 1024, (after - before) * 1024 / (8 * len(X) ** 2)]))
"""


INCUMBENT = """
import time; start = time.perf_counter()
import json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from neural_tangents import stax
layer = {{"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu,
         "tanh": lambda: stax.ElementwiseNumerical(jax.numpy.tanh, deg=25)}}["{activation}"]
parts = [part for _ in range(10) for part in (stax.Dense(1, W_std=1.3, b_std=0.2), layer())]
_, _, kernel = stax.serial(*parts, stax.Dense(1, W_std=1.3, b_std=0.2))
X = np.random.default_rng(0).normal(size=(200, 64))
jax.block_until_ready(tuple(kernel(X, None, ("nngp", "ntk"))))
print(json.dumps(time.perf_counter() - start))
"""


def answer(python: str, program: str) -> Any:
    """What a fresh process prints."""
    return json.loads(subprocess.check_output([python, "-c", program], stderr=subprocess.DEVNULL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--incumbent", help="a Python with neural-tangents")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--inputs", type=int, default=2000)
    given = parser.parse_args()
    titles = f"{'activation':10s} {'first kernel [s]':>24s} {'process [MiB]':>14s} {'memory [m^2]':>13s}"
    print(titles + (f" {'incumbent [s]':>24s} {'ratio':>6s}" if given.incumbent else ""))
    for activation in ("relu", "erf", "gelu", "tanh"):
        rows, theirs = [], []
        for _ in range(given.repeat):
            rows.append(answer(sys.executable, PROGRAM.format(activation=activation, inputs=given.inputs)))
            if given.incumbent:
                theirs.append(answer(given.incumbent, INCUMBENT.format(activation=activation)))
        seconds, process, memory = zip(*rows, strict=True)
        line = f"{activation:10s} {shown(seconds):>24s} {statistics.median(process):14.0f} {statistics.median(memory):13.2f}"
        if theirs:
            line += f" {shown(theirs):>24s} {statistics.median(theirs) / statistics.median(seconds):6.2f}"
        print(line, flush=True)


def shown(seconds: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} .. {max(seconds):.2f})"


if __name__ == "__main__":
    main()
