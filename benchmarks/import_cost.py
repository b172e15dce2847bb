"""How much more than ``import sympy`` does ``import widthwise`` cost, and the first derivation?

Medians over fresh processes, interleaved; the ratio is to ``import sympy`` in the same run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

CASES = {
    "import sympy": "import sympy",
    "import widthwise": "import widthwise",
    "import widthwise; derive V": "import widthwise as ww; ww.derive(ww.MLP('tanh'), 'V').latex()",
    "import widthwise; predict": """
import widthwise as ww
ww.predict(ww.MLP("tanh", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0), [[1.0]])
""",
}


def main(repeats: int = 7) -> None:
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(repeats):
        for name, code in CASES.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times[name].append(time.perf_counter() - start)
    base = statistics.median(times["import sympy"])
    print(f"{'median of ' + str(repeats):30}{'seconds':>10}{'ratio':>8}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:30}{median:10.3f}{median / base:8.2f}")


if __name__ == "__main__":
    main()
