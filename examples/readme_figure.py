"""The figure of the README: the tensors of a critical tanh network over depth, theory as a line, literal networks as points.

python examples/readme_figure.py [picture.png] [--networks 40000]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import widthwise as ww

PANELS = {
    "K": r"$K$",
    "Theta": r"$\Theta$",
    "V": r"$V$: $n\,\mathrm{Cov}(z_1^2, z_2^2)$",
    "F": r"$F$: $n\,\mathrm{E}[z_1 z_2 H_{12}]$",
    "A": r"$A$: $n\,\mathrm{Cov}(H_{11}, H_{22})$",
    "B": r"$B$: $n\,\mathrm{E}[H_{12} H_{12}]$",
}


def main(path: Path, networks: int) -> None:
    net = ww.MLP("tanh", depth=8, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    X = np.full((1, 16), np.sqrt(0.5))
    report = ww.validate(net, X, widths=(32, 64, 128), networks=networks, quantities=tuple(PANELS), seed=3)
    data, layers = report.data, report.data["layer"].values

    figure = Figure(figsize=(10, 5.4), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 3).flat, PANELS.items(), strict=True):
        axes.plot(layers, data[name].values.ravel(), color="#0072B2", lw=2, label="derived theory")
        for marker, shift, width in zip("vs^", (-0.15, 0, 0.15), data["width"].values, strict=True):
            measured = data[f"{name}_measured"].sel(width=width).values.ravel()
            axes.plot(
                layers + shift, measured, marker, ms=4, color="#999999", mfc="none", label=f"networks, n = {width:.0f}"
            )
        axes.errorbar(
            layers,
            data[f"{name}_extrapolated"].values.ravel(),
            data[f"{name}_extrapolated_stderr"].values.ravel(),
            fmt="o", ms=4, capsize=3, color="#D55E00", label=r"extrapolated to $1/n = 0$",
        )  # fmt: skip
        axes.set(title=title, xticks=layers)
        axes.grid(alpha=0.25)
    for axes in figure.axes[3:]:
        axes.set_xlabel(r"layer $\ell$")
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle("tanh at criticality, one input: derived recursions and literal networks", fontsize=12)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(report)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", type=Path, default=Path("docs/figure.png"))
    parser.add_argument("--networks", type=int, default=40_000)
    given = parser.parse_args()
    main(given.picture, given.networks)
