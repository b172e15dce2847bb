"""How fast are kernel matrices, beside neural-tangents in the same run?

    python benchmarks/kernels.py [--incumbent /path/to/python] [--inputs 2000] [--depth 10] [--repeat 5]

The incumbent is measured by a Python that has it, alternating with ours; without one, ours alone. To make its environment:

    python -m venv nt && nt/bin/pip install "jax==0.4.30" "jaxlib==0.4.30" "neural-tangents==0.6.5" "numpy<2"

Times are of warm calls (jitted there, derived and compiled here) for NNGP and NTK together, medians and ranges; "digits" is the
largest relative difference of the first entries of both kernels. For tanh the incumbent sums 625 points for every pair and asks
for 45 GB of memory at 1,000 inputs: it is measured at 500, and the last row holds our time for all inputs beside its time in
proportion to the number of pairs, marked "~".
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from typing import Any

import numpy as np

import widthwise as ww

ACTIVATIONS = ("relu", "erf", "gelu", "tanh")
#: More inputs of tanh than this do not fit in memory there.
MOST_TANH = 500
#: Seconds after which the threads of the other do not wait in a loop any more.
REST = 0.3

INCUMBENT = r"""
import sys, json, time, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from neural_tangents import stax
layers = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu,
          "tanh": lambda: stax.ElementwiseNumerical(jax.numpy.tanh, deg=25)}
kernels = {}
for line in sys.stdin:
    job = json.loads(line)
    X = np.random.default_rng(0).normal(size=(job["inputs"], 64))
    if job["activation"] not in kernels:
        parts = []
        for _ in range(job["depth"]):
            parts += [stax.Dense(1, W_std=job["W_std"], b_std=job["b_std"]), layers[job["activation"]]()]
        _, _, k = stax.serial(*parts, stax.Dense(1, W_std=job["W_std"], b_std=job["b_std"]))
        kernels[job["activation"]] = jax.jit(lambda x, k=k: tuple(k(x, None, ("nngp", "ntk"))))
        jax.block_until_ready(kernels[job["activation"]](X))
    start = time.perf_counter()
    nngp, ntk = jax.block_until_ready(kernels[job["activation"]](X))
    seconds = time.perf_counter() - start
    rows = [[float(v) for v in np.asarray(m)[0, :5]] for m in (nngp, ntk)]
    print(json.dumps({"seconds": seconds, "rows": rows}), flush=True)
"""


def ours(activation: str, inputs: int, depth: int, W_std: float, b_std: float) -> tuple[float, np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(size=(inputs, 64))
    # the NTK parametrization: learning rate 1 multiplies the gradients of unit Gaussians
    net = ww.MLP(
        activation, depth=depth + 1, C_W=W_std**2, C_b=b_std**2, lambda_W=W_std**2, lambda_b=b_std**2
    )  # fmt: skip
    start = time.perf_counter()
    found = ww.kernel(net, X)
    return time.perf_counter() - start, found.K, found.Theta


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--incumbent", help="a Python with neural-tangents")
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--depth", type=int, default=10, help="hidden layers")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--activations", default=",".join(ACTIVATIONS))
    given = parser.parse_args()
    other = None
    if given.incumbent:
        other = subprocess.Popen(
            [given.incumbent, "-c", INCUMBENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
    print(f"{'activation':10s} {'inputs':>6s} {'ours s':>24s} {'incumbent s':>24s} {'ratio':>7s} {'digits':>8s}")
    for activation in given.activations.split(","):
        m = min(given.inputs, MOST_TANH) if activation == "tanh" and other else given.inputs
        job = {"activation": activation, "inputs": m, "depth": given.depth, "W_std": 1.3, "b_std": 0.2}
        mine, theirs, digits = measured(job, other, given.repeat)
        print(
            f"{activation:10s} {m:6d} {_shown(mine)} {_shown(theirs)} {_ratio(theirs, mine)} {digits:8.0e}", flush=True
        )
        if m < given.inputs:
            mine, _, _ = measured(job | {"inputs": given.inputs}, None, given.repeat)
            more = [t * (given.inputs / m) ** 2 for t in theirs]
            print(
                f"{activation:10s} {given.inputs:6d} {_shown(mine)} {'~' + _shown(more).strip():>24s} {_ratio(more, mine)}"
            )
    if other is not None:
        assert other.stdin is not None
        other.stdin.close()
        other.wait()


def measured(job: dict[str, Any], other: Any, repeat: int) -> tuple[list[float], list[float], float]:
    """Our times, the incumbent's in turns with them, and the largest relative difference of the first entries."""
    ours(**job)
    mine, theirs, digits = [], [], float("nan")
    for _ in range(repeat):
        time.sleep(REST)
        seconds, nngp, ntk = ours(**job)
        mine.append(seconds)
        if other is not None:
            time.sleep(REST)
            other.stdin.write(json.dumps(job) + "\n")
            other.stdin.flush()
            answer = json.loads(other.stdout.readline())
            theirs.append(answer["seconds"])
            rows = zip(answer["rows"], (nngp, ntk), strict=True)
            digits = max(np.abs(np.array(row) / matrix[0, :5] - 1).max() for row, matrix in rows)
    return mine, theirs, digits


def _ratio(theirs: list[float], mine: list[float]) -> str:
    return f"{statistics.median(theirs) / statistics.median(mine):7.2f}" if theirs else "      -"


def _shown(seconds: list[float]) -> str:
    if not seconds:
        return f"{'-':>24s}"
    return f"{statistics.median(seconds):8.3f} ({min(seconds):.3f} .. {max(seconds):.3f})"


if __name__ == "__main__":
    main()
