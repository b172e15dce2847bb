"""How much memory does a kernel matrix take that is reduced block by block?

    python benchmarks/outofcore.py [--inputs 20000] [--chunks 2000] [--activation erf] [--depth 4] [--zarr DIRECTORY]

Prints the time to plan and to reduce (K.sum() and K @ v in one pass), and the peak of the process's resident memory beyond what it
had before, beside the size of the matrix. Needs the extra ``dask``; ``--zarr`` needs zarr as well.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from dask.base import compute

import widthwise as ww


def peak() -> float:
    """The largest resident memory so far, in MB (kilobytes are what Linux counts)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--chunks", type=int, default=2000)
    parser.add_argument("--activation", default="erf")
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--zarr", help="write the matrix to this directory as well")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    X, v = rng.normal(size=(given.inputs, given.features)), rng.normal(size=given.inputs)
    net = ww.MLP(given.activation, depth=given.depth, C_W=1.3, C_b=0.05, lambda_W=1, lambda_b=0.5)
    ww.kernel(net, X[:400])  # derived and compiled
    before, start = peak(), time.perf_counter()
    K = ww.dask_kernel(net, X, get="K", chunks=given.chunks)
    print(f"plan {time.perf_counter() - start:.1f} s, {peak() - before:.0f} MB")
    start = time.perf_counter()
    total, product = compute(K.sum(), K @ v)
    print(
        f"K.sum(), K @ v: {time.perf_counter() - start:.1f} s, {peak() - before:.0f} MB; the matrix is {K.nbytes / 2**20:.0f} MB"
    )
    few = ww.kernel(net, X[:50], X, get="K", workers=1)
    print(
        f"largest relative difference of 50 entries of K @ v: {np.abs(product[:50] / (few @ v) - 1).max():.0e}; sum {total:.6g}"
    )
    if given.zarr:
        start = time.perf_counter()
        K.to_zarr(given.zarr, overwrite=True)
        print(f"to_zarr: {time.perf_counter() - start:.1f} s, {peak() - before:.0f} MB")


if __name__ == "__main__":
    main()
