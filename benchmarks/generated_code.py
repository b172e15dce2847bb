"""Is generated code as fast as what one would write by hand? NNGP and NTK of relu at depth 4, on a million pairs of inputs.

    python benchmarks/generated_code.py [--inputs 1000] [--repeat 15]

All routes start from two lists of inputs and end with both matrices, on one thread, alternating in one run; medians, ranges and
their ratios, and ratios of the fastest runs, to the better of the two written by hand. By hand: the arc-cosine recursion in NumPy
with buffers used again, on the whole matrix and in blocks of rows that stay in the cache. Generated: the code of the tiles of
``ww.kernel`` from layer to layer, ``ww.kernel`` itself, lambdify of the derived recursions with common subexpressions, and the
saved file of ``ww.compile`` in three ways: the last layer alone, as all the others, step by step, and all layers stacked.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import sympy as sp
from threadpoolctl import threadpool_limits

import widthwise as ww
from widthwise.numerics.kernels.pairs import pair_map
from widthwise.theory.language.quantities import Entry

DEPTH = 4
C_W, C_b, lambda_W, lambda_b = 2.0, 0.1, 1.0, 0.5
ROWS = 25
FEATURES = 64

Matrices = tuple[np.ndarray, np.ndarray]


def overlaps(X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return X @ Y.T / FEATURES, (X * X).sum(axis=1) / FEATURES, (Y * Y).sum(axis=1) / FEATURES


def by_hand(X: np.ndarray, Y: np.ndarray, rows: int | None = None) -> Matrices:
    """K' = C_b + C_W <relu relu>, Theta' = lambda_b + lambda_W <relu relu> + C_W <step step> Theta."""
    overlap, a, b = overlaps(X, Y)
    K, Theta = C_b + C_W * overlap, lambda_b + lambda_W * overlap
    a, b = C_b + C_W * a, C_b + C_W * b
    size = rows or len(X)
    rho, angle, root = (np.empty((size, len(Y))) for _ in range(3))
    for i in range(0, len(X), size):
        k, t = K[i : i + size], Theta[i : i + size]
        r, s, w = rho[: len(k)], angle[: len(k)], root[: len(k)]
        p, q = a[i : i + size].copy(), b.copy()
        for _ in range(DEPTH - 1):
            u, v = np.sqrt(p)[:, None], np.sqrt(q)
            np.divide(k, u, out=r)
            r /= v
            np.clip(r, -1.0, 1.0, out=r)
            np.arcsin(r, out=s)
            s *= C_W / (2 * np.pi)
            s += C_W / 4  # C_W <step step>
            r *= r
            np.subtract(1.0, r, out=r)
            np.sqrt(r, out=r)
            np.multiply(r, u * (C_W / (2 * np.pi)), out=w)
            w *= v
            k *= s
            k += w  # C_W <relu relu>
            t *= s
            np.multiply(k, lambda_W / C_W, out=w)
            t += w
            t += lambda_b
            k += C_b
            p, q = C_b + C_W * p / 2, C_b + C_W * q / 2
    return K, Theta


def network() -> ww.MLP:
    return ww.MLP("relu", depth=DEPTH, C_W=C_W, C_b=C_b, lambda_W=lambda_W, lambda_b=lambda_b)


def tiles(X: np.ndarray, Y: np.ndarray) -> Matrices:
    """The generated code of a layer, on blocks of rows."""
    exact = pair_map(network(), FEATURES, ("K", "Theta"))
    layers = [step.tile for step in exact.steps if step.tile is not None]
    overlap, a, b = overlaps(X, Y)
    both = exact.trajectory(np.concatenate([a, b])).deviations
    K, Theta = (np.array(v) for v in exact.first(overlap))
    for i in range(0, len(X), ROWS):
        part = slice(i, min(i + ROWS, len(X)))
        values = [K[part], Theta[part]]
        work = [np.empty_like(values[0]) for _ in range(max(tile.buffers for tile in layers))]
        for tile, d, given in zip(layers, both, exact.parameters[1:], strict=True):
            memory = [*values, *work]
            numbers = {p: given[p] for p in tile.scalars}
            values = list(tile.run(d[: len(X)][part, None], d[None, len(X) :], *values, work, **numbers))
            work = [m for m in memory if not any(m is v for v in values)]
        K[part], Theta[part] = values
    return K, Theta


def kernel(X: np.ndarray, Y: np.ndarray) -> Matrices:
    found = ww.kernel(network(), X, Y, workers=1)
    return found.K, found.Theta


def law(derived: object) -> sp.Expr:
    """The recursion in closed form."""
    assert isinstance(derived, ww.Recursions)
    return derived.specialize().recursion.right


def lambdified() -> Callable[[np.ndarray, np.ndarray], Matrices]:
    """One function for a layer, as ``sympy.lambdify(..., cse=True)`` prints it."""
    laws = [law(ww.derive(network(), q, samples="12")) for q in ("K", "Theta")]
    single = law(ww.derive(network(), "K", samples=1))
    p, q, k, t = sp.symbols("p q k t")
    names = {
        Entry("K", ("1", "1")): p,
        Entry("K", ("2", "2")): q,
        Entry("K", ("1", "2")): k,
        Entry("Theta", ("1", "2")): t,
    }
    layer = sp.lambdify((p, q, k, t), [law.xreplace(names) for law in laws], "numpy", cse=True)
    alone = sp.lambdify(p, single.xreplace({Entry("K", ("", "")): p}), "numpy")

    def run(X: np.ndarray, Y: np.ndarray) -> Matrices:
        overlap, a, b = overlaps(X, Y)
        a, b = C_b + C_W * a, C_b + C_W * b
        K, Theta = C_b + C_W * overlap, lambda_b + lambda_W * overlap
        for _ in range(DEPTH - 1):
            K, Theta = layer(a[:, None], b, K, Theta)
            a, b = alone(a), alone(b)
        return K, Theta

    return run


def compiled() -> dict[str, Callable[[np.ndarray, np.ndarray], Matrices]]:
    """``ww.compile`` knows one list of inputs: it evaluates the pairs of the first list with itself."""
    code = ww.compile(ww.derive(network(), order=0))

    def last_layer(X: np.ndarray, Y: np.ndarray) -> Matrices:
        found = code.last_layer(X, DEPTH)
        return found["K"], found["Theta"]

    def step_by_step(X: np.ndarray, Y: np.ndarray) -> Matrices:
        state = code.first_layer(X)
        for _ in range(DEPTH - 1):
            state = code(state)
        return state["K"], state["Theta"]

    def recursion(X: np.ndarray, Y: np.ndarray) -> Matrices:
        found = code.recursion(X, DEPTH)
        return found["K"][-1], found["Theta"][-1]

    names = ("ww.compile, last layer", "ww.compile, step by step", "ww.compile, all layers")
    return dict(zip(names, (last_layer, step_by_step, recursion), strict=True))


def symmetric(X: np.ndarray) -> Matrices:
    """By hand for one list of inputs; on the diagonal, where the angle is zero, by the recursion of single inputs."""
    K, Theta = by_hand(X, X)
    a = (X * X).sum(axis=1) / FEATURES
    k, t = C_b + C_W * a, lambda_b + lambda_W * a
    for _ in range(DEPTH - 1):
        k, t = C_b + C_W * k / 2, lambda_b + lambda_W * k / 2 + C_W * t / 2
    np.fill_diagonal(K, k)
    np.fill_diagonal(Theta, t)
    return K, Theta


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=15)
    given = parser.parse_args()
    X, Y = np.random.default_rng(0).normal(size=(2, given.inputs, FEATURES))
    routes: dict[str, Callable[[np.ndarray, np.ndarray], Matrices]] = {
        "by hand, whole matrix": by_hand,
        "by hand, blocks of rows": lambda X, Y: by_hand(X, Y, ROWS),
        "generated tiles": tiles,
        "ww.kernel": kernel,
        "lambdify with cse": lambdified(),
        **compiled(),
    }
    times: dict[str, list[float]] = {name: [] for name in routes}
    with threadpool_limits(limits=1):
        reference = {name: run(X, Y) for name, run in routes.items()}
        for _ in range(given.repeat):
            for name, run in routes.items():
                start = time.perf_counter()
                run(X, Y)
                times[name].append(time.perf_counter() - start)
    hand, fastest = (min(f(times[name]) for name in list(routes)[:2]) for f in (statistics.median, min))
    expected = {True: symmetric(X), False: reference["by hand, whole matrix"]}
    print(f"{given.inputs**2} pairs, depth {DEPTH}, median of {given.repeat}")
    print(f"{'route':26s} {'median s':>9s} {'range':>18s} {'ratio':>7s} {'fastest':>8s} {'digits':>8s}")
    for name, seconds in times.items():
        pairs = zip(reference[name], expected[name.startswith("ww.compile")], strict=True)
        digits = max(np.abs(mine / hand_made - 1).max() for mine, hand_made in pairs)
        middle = statistics.median(seconds)
        spread = f"({min(seconds):.3f} .. {max(seconds):.3f})"
        print(
            f"{name:26s} {middle:9.4f} {spread:>18s} {middle / hand:7.2f} {min(seconds) / fastest:8.2f} {digits:8.0e}"
        )


if __name__ == "__main__":
    main()
