"""Digits by a Gaussian process with the kernel of an infinitely wide network: accuracy, calibration, and a picture.

The kernel's hyperparameters are fitted to the marginal likelihood by scikit-learn; nothing else is ours but the kernel.

    python examples/gaussian_process.py [picture.png] [--activation erf] [--depth 3] [--train 400]
"""

from __future__ import annotations

import argparse

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel

import widthwise as ww


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", default="gaussian_process.png")
    parser.add_argument("--activation", default="erf")
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--train", type=int, default=400)
    given = parser.parse_args()

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.data))
    X, labels = digits.data[order] / 8, digits.target[order]
    targets = np.eye(10)[labels] - 0.1  # one output for each digit, of mean zero
    train, test = slice(given.train), slice(given.train, None)
    network = ww.NNGPKernel(given.activation, depth=given.depth, C_W=1.0, C_b=0.1, C_b_bounds="fixed")
    kernel = network + WhiteKernel(1e-3, "fixed")
    process = GaussianProcessRegressor(kernel).fit(X[train], targets[train])
    print(f"fitted: {process.kernel_}")
    mean, spread = process.predict(X[test], return_std=True)
    right = mean.argmax(axis=1) == labels[test]
    print(f"{given.train} training images, {right.size} test images: {right.mean():.1%} right")

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    axes[0].imshow(process.kernel_.k1(X[:100][np.argsort(labels[:100], kind="stable")]), cmap="viridis")
    axes[0].set_title("kernel of 100 images, sorted by digit")
    width = spread[:, 0] if spread.ndim > 1 else spread
    bins = np.quantile(width, np.linspace(0, 1, 9))
    place = np.clip(np.digitize(width, bins) - 1, 0, 7)
    rate = np.array([1 - right[place == b].mean() for b in range(8)])
    count = np.array([(place == b).sum() for b in range(8)])
    error = np.sqrt(np.maximum(rate * (1 - rate), 1 / count) / count)
    axes[1].errorbar((bins[1:] + bins[:-1]) / 2, rate, error, fmt="o")
    axes[1].set_xlabel("standard deviation of the posterior")
    axes[1].set_ylabel("share of mistakes")
    axes[1].set_title("mistakes are where the process is unsure")
    figure.savefig(given.picture, dpi=110)
    print(f"wrote {given.picture}")


if __name__ == "__main__":
    main()
