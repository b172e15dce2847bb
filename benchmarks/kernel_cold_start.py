"""How long from the start of a process to the first kernel matrix, and how much memory does a large one take?

    python benchmarks/kernel_cold_start.py [--repeat 5] [--inputs 2000]

Medians and ranges over processes: seconds to NNGP and NTK of 200 inputs at depth 10, and the memory of the large matrices over
that of small ones, in units of m^2 doubles (the two matrices themselves are 2).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--inputs", type=int, default=2000)
    given = parser.parse_args()
    print(f"{'activation':10s} {'first kernel [s]':>24s} {'process [MiB]':>14s} {'memory [m^2]':>13s}")
    for activation in ("relu", "erf", "gelu", "tanh"):
        program = PROGRAM.format(activation=activation, inputs=given.inputs)
        rows = [json.loads(subprocess.check_output([sys.executable, "-c", program])) for _ in range(given.repeat)]
        seconds, process, memory = zip(*rows, strict=True)
        shown = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} .. {max(seconds):.2f})"
        print(f"{activation:10s} {shown:>24s} {statistics.median(process):14.0f} {statistics.median(memory):13.2f}")


if __name__ == "__main__":
    main()
