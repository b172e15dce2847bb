"""Ten digit images, 0 against 1: kernels before and after training, lazy against rich, theory beside literal networks.

Three strengths of feature learning; for each the equations are derived and solved, networks of three widths are trained, and the
extrapolation of the networks is judged; so is the scatter over initialisations.

    python examples/feature_learning.py [picture.png] [--steps 30] [--networks 24] [--widths 256 512 1024]
        [--replicas 16] [--scatter 300] [--samples 4096]
"""

from __future__ import annotations

import argparse

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import widthwise as ww

GAMMAS = (0.1, 1.0, 2.0)


def images() -> tuple[np.ndarray, np.ndarray]:
    """Five zeros and five ones, of squared length 64 features, and labels of -1 and 1."""
    digits = load_digits()
    chosen = np.concatenate([np.flatnonzero(digits.target == k)[:5] for k in (0, 1)])
    X = digits.data[chosen] - digits.data[digits.target < 2].mean(axis=0)
    return X / np.linalg.norm(X, axis=1, keepdims=True) * 8, np.repeat([-1.0, 1.0], 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", default="feature_learning.png")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--replicas", type=int, default=16, help="independent solutions of the theory")
    parser.add_argument("--scatter", type=int, default=300, help="networks for the scatter over initialisations")
    parser.add_argument("--samples", type=int, default=4096, help="sites of the theory of the scatter")
    given = parser.parse_args()
    X, y = images()
    times = np.linspace(0, given.steps, 6).astype(int)
    reports = {}
    for gamma in GAMMAS:
        flow = ww.Training(ww.MLP("tanh", depth=3), gamma=gamma, learning_rate=0.03)
        reports[gamma] = ww.validate(
            flow, X, y, times=times, widths=given.widths, networks=given.networks, replicas=given.replicas
        )
        print(f"gamma = {gamma:g}: {reports[gamma].verdict}")
        scatter(flow, X, y, times[:3], given)
    print(ww.derive(flow))
    picture(reports, given.picture)
    print(f"wrote {given.picture}")


def scatter(flow: ww.Training, X: np.ndarray, y: np.ndarray, times: np.ndarray, given: argparse.Namespace) -> None:
    """N Var f, predicted and measured."""
    theory = ww.fluctuations(flow, X, y, times=times, quantities="f", samples=given.samples, replicas=4)
    found = ww.simulate(flow, X, y, times=times, width=given.widths[0], networks=given.scatter, quantities="f")
    off = (found.f_variance - theory.f_variance) / np.hypot(found.f_variance_stderr, theory.f_variance_stderr)
    print(
        f"    N Var f: networks / theory = {float((found.f_variance / theory.f_variance)[1:].mean()):.3f}, "
        f"root mean square deviation {float(np.sqrt((off[1:] ** 2).mean())):.2f} standard errors"
    )


def picture(reports: dict[float, ww.Report], path: str) -> None:
    """Losses, and the last hidden layer's kernel before and after, theory above networks."""
    figure = plt.figure(figsize=(12, 5.6), layout="constrained")
    axes = figure.subplot_mosaic(
        [["loss", "s", "a", "b", "c"], ["loss", "t", "d", "e", "f"]], width_ratios=[2.2, 1, 1, 1, 1]
    )
    for (gamma, report), colour in zip(reports.items(), ("C0", "C1", "C3"), strict=True):
        data = report.data
        axes["loss"].plot(data.time, data.loss, color=colour, label=rf"$\gamma_0$ = {gamma:g}")
        axes["loss"].errorbar(
            data.time, data.loss_extrapolated, data.loss_extrapolated_stderr, fmt="o", ms=4, color=colour
        )
    axes["loss"].set_yscale("log")
    axes["loss"].set_xlabel(r"time $\eta\times$ steps")
    axes["loss"].set_title("loss: theory, and networks extrapolated in 1/N")
    axes["loss"].legend(frameon=False)
    last = next(iter(reports.values())).data.layer.values[-1]
    scale = max(float(r.data.Phi.isel(layer=-1, time=-1, time2=-1).max()) for r in reports.values())
    columns = [("st", 0, GAMMAS[0]), *(((up, down), -1, g) for up, down, g in zip("abc", "def", GAMMAS, strict=True))]
    for (up, down), time, gamma in columns:
        data = reports[gamma].data.isel(layer=-1, time=time, time2=time)
        for place, kernel in ((up, data.Phi), (down, data.Phi_measured.isel(width=-1))):
            image = axes[place].imshow(kernel, vmin=-scale, vmax=scale, cmap="RdBu_r")
            axes[place].set_xticks([])
            axes[place].set_yticks([])
        axes[up].set_title("start" if time == 0 else rf"end, $\gamma_0$ = {gamma:g}")
    axes["s"].set_ylabel(rf"$\Phi^{{{last}}}$, theory")
    axes["t"].set_ylabel(rf"$\Phi^{{{last}}}$, N = {data.width.values[-1]:g}")
    figure.colorbar(image, ax=[axes[k] for k in "cf"], shrink=0.6)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
