"""How long does it take to derive the complete first-order system, K ... U with K1 and Theta1?

Each line is measured in a fresh interpreter, imports not counted; "again" asks the same interpreter a second time. "specialised"
puts the closed forms of the activation in and prints the result. Median and range over the repeats.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

REPEATS = 5
CODE = """
import json, sys, time
import sympy
import widthwise as ww
ww.derive, ww.MLP
activation, samples = sys.argv[1], {"one": 1, "many": None}[sys.argv[2]]
times = []
for _ in range(2):
    start = time.perf_counter()
    system = ww.derive(ww.MLP(activation), samples=samples)
    laws = list((system if activation == "sigma" else system.specialize()).values())
    times.append(time.perf_counter() - start)
print(json.dumps(times))
"""


def main() -> None:
    print(f"{'activation':12}{'inputs':>8}{'first [s]':>24}{'again [s]':>12}")
    for activation in ("sigma", "tanh", "sin", "gelu", "relu"):
        for inputs in ("many", "one") if activation == "sigma" else ("one",):
            runs = [
                json.loads(
                    subprocess.run(
                        [sys.executable, "-c", CODE, activation, inputs], capture_output=True, check=True
                    ).stdout
                )
                for _ in range(REPEATS)
            ]
            first, again = ([run[k] for run in runs] for k in (0, 1))
            spread = f"{statistics.median(first):.2f} ({min(first):.2f} .. {max(first):.2f})"
            print(f"{activation:12}{inputs:>8}{spread:>24}{statistics.median(again):12.4f}")


if __name__ == "__main__":
    main()
