"""How accurate and how fast is the average <sigma sigma> and <sigma' sigma'> of each activation?

    python benchmarks/averages.py --output docs/averages.md

Random covariances of two variables (variances from 0.1 to 10, every third correlation within 0.01 ... 0.1 of 1; for the times
from 0.01 to 100, and within 1e-4). The reference is mpmath: closed forms, or panels of Gauss-Legendre rules to 13 digits. Errors
are relative to sqrt(<f^2><g^2>), the worst of all covariances and of both averages: of the quadrature, which never uses closed
forms, and of the map behind ``ww.kernel``. "honest" is the largest ratio of the true error of the quadrature to the reported one
(beyond 4e-16 of the scale, the rounding of the result). Times are medians a pair, for both averages together.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sympy as sp
from rich.progress import track

from widthwise.numerics.averages.gaussian import gaussian_average
from widthwise.numerics.kernels.pairs import pair_map
from widthwise.numerics.quadrature.quadrature import gaussian_averages
from widthwise.theory.averages.closed_forms import closed_form
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.averages.reading import read_integrand
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.networks.activations import ACTIVATIONS, Activation, activation
from widthwise.theory.networks.architecture import MLP

FAMILIES = ("hermite(3)", "monomial(4)", "rectified(2)", "leaky_relu(0.2)")
DIGITS = 13
HEAD = """# Gaussian averages, activation by activation

Made by `python benchmarks/averages.py --output docs/averages.md`; its head says what is measured.

Closed forms: **1** of averages of one input, **2** of two inputs (NNGP and NTK), **4** of four (the vertices of several inputs),
**d** those with delta functions, in the sense of distributions. Without one an average is integrated. A blank means that there is
none.

| activation | sigma(z) | closed | quadrature: worst error | honest | us/pair | kernel map: worst error | us/pair |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """What is printed of an activation."""

    act: Activation
    closed: str
    quadrature: tuple[float, float, float]
    kernel: tuple[float, float]

    def __str__(self) -> str:
        q, k = self.quadrature, self.kernel
        text = str(self.act.expr)
        cells = [self.act.name, f"`{text if len(text) < 80 else sp.N(self.act.expr, 4)}`", self.closed]
        cells += [f"{q[0]:.0e}", f"{q[1]:.2g}", f"{q[2]:.2g}", f"{k[0]:.0e}", f"{k[1]:.2g}"]
        return f"| {' | '.join(cells)} |"


def has_closed_forms(act: Activation) -> str:
    """The kinds of averages that have closed forms."""
    a, b, c, d = map(Jet, "abcd")
    kinds = {
        "2": Sigma(a, 0) * Sigma(b, 0),
        "4": Sigma(a, 0) * Sigma(b, 0) * Sigma(c, 0) * Sigma(d, 0),
    }
    if act.kinks:
        kinds["d"] = Sigma(a, 2) * Sigma(b, 2)
    one = "1" if read_integrand(act(sp.Symbol("a", real=True)) ** 2).closed() is not None else ""
    return " ".join(
        [one, *(kind for kind, body in kinds.items() if closed_form(Average(body), act) is not None)]
    ).strip()


def covariances(count: int, rng: np.random.Generator, spread: float, nearest: float) -> np.ndarray:
    """Two variables, (count, 2, 2)."""
    deviations = 10 ** rng.uniform(-spread, spread, (count, 2))
    rho = rng.uniform(-1, 1, count)
    rho[::3] = np.sign(rho[::3]) * (1 - 10 ** rng.uniform(nearest, -1, len(rho[::3])))
    K = deviations[:, :, None] * deviations[:, None, :]
    K[:, 0, 1] = K[:, 1, 0] = K[:, 0, 1] * rho
    return K


def integrands(act: Activation) -> list[int]:
    """Orders of the derivatives whose averages are taken."""
    return [0] if act.jumps else [0, 1]


def reference(act: Activation, K: np.ndarray) -> np.ndarray:
    """The averages, (orders, count)."""
    z = {k: act.derivative(k) for k in integrands(act)}
    symbol = next(iter(act.derivative(0).free_symbols))
    a, b = (type(symbol)(name, real=True) for name in "ab")
    found = []
    for expr in z.values():
        body = expr.subs(symbol, a) * expr.subs(symbol, b)
        if body.free_symbols != {a, b}:  # the derivative of a linear function
            found.append([float(body)] * len(K))
            continue
        found.append([float(gaussian_average(body, k, precision="mp", digits=DIGITS).value) for k in K])
    return np.array(found)


def median_time(run: Callable[[], object], pairs: int) -> float:
    """Microseconds a pair."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) / pairs * 1e6)
    return statistics.median(times)


def measure(act: Activation, few: np.ndarray, many: np.ndarray) -> Row:
    """All numbers of one activation."""
    orders = integrands(act)
    truth = reference(act, few)
    step = pair_map(MLP(act, depth=2, C_W=1, C_b=0, lambda_W=1, lambda_b=0), 1, ("K", "Theta")[: len(orders)]).steps[0]
    kinks = [float(k) for k in act.kinks]
    terms = [(((k,), (k,)), (0, 0)) for k in orders]
    values, errors = gaussian_averages(step.sigma, few, terms, kinks=kinks)
    squares = [
        gaussian_averages(step.sigma, few[:, [i], [i]][:, :, None], [(((k, k),), (0,)) for k in orders], kinks=kinks)[0]
        for i in (0, 1)
    ]
    scale = np.sqrt(squares[0] * squares[1])
    off = np.abs(values - truth)
    quadrature = (
        float((off / scale).max()),
        float((np.maximum(off - 4e-16 * scale, 0) / np.maximum(errors, 1e-300)).max()),
        median_time(lambda: gaussian_averages(step.sigma, many, terms, kinks=kinks), len(many)),
    )
    return Row(act, has_closed_forms(act), quadrature, kernel_map(act, few, many, truth, scale))


def kernel_map(
    act: Activation, few: np.ndarray, many: np.ndarray, truth: np.ndarray, scale: np.ndarray
) -> tuple[float, float]:
    """Error and time of the map behind ``ww.kernel``: one layer with C_W = lambda_W = 1, Theta = <ss> + <s's'> Theta_1."""
    names = ("K", "Theta")[: len(truth)]
    exact = pair_map(MLP(act, depth=2, C_W=1, C_b=0, lambda_W=1, lambda_b=0), 1, names)

    def run(K: np.ndarray) -> list[np.ndarray]:
        squares = np.einsum("nii->ni", K)
        return exact.bulk(squares[:, 0], squares[:, 1], K[:, 0, 1] / np.sqrt(squares.prod(axis=1)))

    found = run(few)
    off = [np.abs(found[0] - truth[0]) / scale[0]]
    if len(truth) > 1:
        size = np.sqrt(few[:, 0, 0] * few[:, 1, 1])
        off.append(np.abs(found[1] - truth[0] - truth[1] * few[:, 0, 1]) / (scale[0] + scale[1] * size))
    return float(np.max(off)), median_time(lambda: run(many), len(many))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="write the table to this file too")
    parser.add_argument("--covariances", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=300, help="covariances for the times")
    parser.add_argument("--only", default="", help="activations by commas")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    few, many = covariances(given.covariances, rng, 0.5, -2), covariances(given.pairs, rng, 1.0, -4)
    names = [n for n in given.only.split(",") if n]
    chosen = [activation(n) for n in names] or [*ACTIVATIONS, *map(activation, FAMILIES)]
    text = HEAD
    for act in track(chosen, "activations"):
        text += f"{measure(act, few, many)}\n"
        print(text.splitlines()[-1], flush=True)
    if given.output:
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
