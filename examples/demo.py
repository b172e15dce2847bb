"""The main job, end to end: two digit images, tanh at criticality, theory against literal networks of widths 32, 64, 128.

    python examples/demo.py [folder] [--networks 8000]

leaves report.html, theory.tex, generated.py and results.nc in the folder (default: out).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from sklearn.datasets import load_digits

import widthwise as ww


def main(folder: Path, networks: int) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    start = time.perf_counter()

    # 1. The subject: tanh at its critical point, four weight layers; a zero and a one, pixels between 0 and 2.
    point = ww.critical("tanh")
    net = ww.MLP("tanh", depth=4, C_W=point.C_W, C_b=point.C_b, lambda_W=1, lambda_b=0)
    X = load_digits().data[:2] / 8
    console.print(f"critical point: {point}")

    # 2. Derive and print.
    system = ww.derive(net)
    one_input = ww.derive(net, samples=1)
    console.print(f"derived {', '.join(system)}; for one input, for instance:\n{one_input['V']}")
    theory = folder / "theory.tex"
    ww.document(one_input, system, ww.derive(net, "V").steps, path=theory)

    # 3. Generate code: the file runs with NumPy and SciPy alone.
    generated = ww.compile(system).save(folder / "generated.py")

    # 4. - 6. Predict, simulate, compare.
    report = ww.validate(net, X, widths=(32, 64, 128), networks=networks, seed=1)
    console.print(str(report))
    files = [report.to_html(folder / "report.html"), theory, generated, report.to_netcdf(folder / "results.nc")]
    console.print(f"wrote {', '.join(map(str, files))} in {time.perf_counter() - start:.0f} s")
    return report.passed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("out"))
    parser.add_argument("--networks", type=int, default=8_000)
    given = parser.parse_args()
    sys.exit(0 if main(given.folder, given.networks) else 1)
