"""Gaussian against orthogonal weights: every tensor K ... U of a critical tanh network down to depth 50.

Lines are the derived recursions, iterated; points are literal networks with their standard errors. With Gaussian weights the
fluctuations grow linearly with depth, with orthogonal ones they level off by depth 20 or so: V/K^2 -> -2 whatever the depth.

    python examples/gaussian_vs_orthogonal.py [picture.png] [--depth 50] [--width 128] [--networks 120]
"""

from __future__ import annotations

import argparse
import warnings

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

import widthwise as ww
from widthwise.theory.depth.depthlaw import dimension

TENSORS = ("V", "D", "F", "A", "B", "P", "Q", "R", "S", "T", "U")
COLOURS = {"gaussian": "#c1440e", "orthogonal": "#1f5a99"}


def scale(name: str, data: xr.Dataset) -> np.ndarray:
    """The dimensionless combination: powers of K and Theta as the jets of the tensor have them, one Theta for each direction."""
    directions, rest = dimension(name)
    K, Theta = (data[q].values.ravel() for q in ("K", "Theta"))
    return np.asarray(K ** int(rest) * Theta**directions)


def title(name: str) -> str:
    directions, _ = dimension(name)
    return {
        0: rf"${name}/K^2$", 1: rf"${name}/K\Theta$", 2: rf"${name}/\Theta^2$", 3: rf"$K{name}/\Theta^3$",
    }[directions]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", default="gaussian_vs_orthogonal.png")
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--networks", type=int, default=120)
    given = parser.parse_args()

    features = given.width  # a square first layer
    X = np.full((1, features), np.sqrt(0.5))
    layers = np.arange(1, given.depth + 1)
    shown = np.unique(np.linspace(2, given.depth, 14).astype(int)) - 1
    figure, axes = plt.subplots(3, 4, figsize=(15, 9), sharex=True, layout="constrained")
    for weights, colour in COLOURS.items():
        net = ww.MLP(
            "tanh", depth=given.depth, width=given.width, C_W=1, C_b=0, lambda_W=1, lambda_b=0, weights=weights
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # depth / width is of order one here, and that is the point
            theory = ww.predict(net, X)
        # P ... U differentiate every layer anew, a cost of depth squared; V ... B come from one sweep.
        measured = ww.simulate(net, X, networks=20 * given.networks, seed=1, quantities=TENSORS[:5], progress=True)
        measured = measured.merge(
            ww.simulate(net, X, networks=given.networks, seed=2, quantities=TENSORS[5:], progress=True),
            combine_attrs="override",
        )
        for name, ax in zip(TENSORS, axes.flat, strict=False):
            unit = scale(name, theory)
            ax.plot(layers, theory[name].values.ravel() / unit, color=colour, label=f"{weights}, theory")
            value, error = (measured[q].values.ravel() / unit for q in (name, f"{name}_stderr"))
            ax.errorbar(
                layers[shown], value[shown], error[shown], fmt="o", ms=3, lw=1, color=colour,
                label=f"{weights}, networks of width {given.width}",
            )  # fmt: skip
            ax.set_title(title(name))
    for ax in axes.flat[: len(TENSORS)]:  # networks that leave the range of the expansion may leave the panel
        values = np.concatenate([line.get_ydata() for line in ax.lines if len(line.get_ydata()) == given.depth])
        margin = 0.6 * np.ptp(values)
        ax.set_ylim(values.min() - margin, values.max() + margin)
    for ax in axes[-1]:
        ax.set_xlabel("layer")
    axes.flat[-1].axis("off")
    axes.flat[-1].legend(*axes.flat[0].get_legend_handles_labels(), loc="center", frameon=False)
    axes[-2, -1].set_xlabel("layer")
    axes[-2, -1].tick_params(labelbottom=True)
    figure.suptitle(r"tanh, $C_W=1$, $C_b=0$, $\lambda_b=0$, $\lambda_W=1$: tensors at leading order in $1/n$")
    figure.savefig(given.picture, dpi=110)
    print(f"wrote {given.picture}")


if __name__ == "__main__":
    main()
