r"""Deep linear networks: predictions against moments that are known exactly at any width.

A linear network is a product of Gaussian matrices, so every moment is a finite sum over pairings (Isserlis) and a polynomial
in 1/n with rational coefficients. The oracle below does that sum; it shares no line and no idea (no jets, no law of total
cumulance) with the engine, and is itself checked against the literal expansion of networks of width two.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose
from scipy import stats

from widthwise.numerics.initialisation.predict import predict
from widthwise.theory.language.quantities import symmetries
from widthwise.theory.networks.architecture import MLP
from widthwise.validation.initialisation.simulate import simulate

# Widths are small, and the next order is extrapolated away or exact.
pytestmark = pytest.mark.filterwarnings("ignore::widthwise.theory.language.errors.ExpansionWarning")

TENSORS = ("V", "D", "F", "A", "B")
FALSE_ALARM = 1e-4

# ------------------------------------------------------------------------------------------------------- the oracle
#
# Written out, z_i = sum over paths from the neuron i down to an input or a bias, and
#
#     H_ij;ab = sum_k [lambda_b + (lambda_W/n_(k-1)) sum_q z^(k-1)_q;a z^(k-1)_q;b] sum_p (dz_i/dz^(k)_p) (dz_j/dz^(k)_p).
#
# So a moment is a sum of products of entries W_ij, b_i, x_j. Pair the entries of each matrix: a pair is C_W/n and makes
# its two rows equal and its two columns equal. What is left is to count: a class of equal hidden neurons gives n_l, two
# inputs that meet give n_0 (x_a . x_b)/n_0, and a class that holds both outer neurons i and j gives 0.

Index = tuple[int, object]  # (layer, name); the outer neurons are (L, "i") and (L, "j")
Factor = tuple[object, ...]  # ("W", layer, row, column), ("b", layer, row), ("x", index, sample), ("=", index, index)
Term = tuple[Fraction, Counter[int], list[Factor]]  # coefficient, layers whose width divides, factors
Series = dict[int, Fraction]  # powers of N and their coefficients, for the widths n_l = shape_l N


@dataclass(frozen=True)
class Linear:
    """A deep linear network with rational everything; hidden widths are ``shape`` times N."""

    X: tuple[tuple[Fraction, ...], ...]
    shape: tuple[int, ...]
    C_W: tuple[Fraction, ...]
    C_b: tuple[Fraction, ...]
    lambda_W: tuple[Fraction, ...]
    lambda_b: tuple[Fraction, ...]

    @property
    def depth(self) -> int:
        return len(self.shape) + 1

    def mlp(self, N: int) -> MLP:
        values = {p: [float(v) for v in getattr(self, p)] for p in ("C_W", "C_b", "lambda_W", "lambda_b")}
        return MLP("linear", depth=self.depth, width=[s * N for s in self.shape], **values)

    @property
    def inputs(self) -> np.ndarray:
        return np.array(self.X, dtype=float)


_numbers = itertools.count()


def new(layer: int) -> Index:
    return layer, next(_numbers)


def z(net: Linear, layer: int, i: Index, a: int) -> list[Term]:
    """The preactivation of a neuron on the input a; layer 0 is the input itself."""
    if layer == 0:
        return [(Fraction(1), Counter(), [("x", i, a)])]
    j = new(layer - 1)
    below = [(c, d, [("W", layer, i, j), *f]) for c, d, f in z(net, layer - 1, j, a)]
    return below + ([(Fraction(1), Counter(), [("b", layer, i)])] if net.C_b[layer - 1] else [])


def path(top: int, i: Index, bottom: int) -> tuple[list[Factor], Index]:
    """dz_i/dz^(bottom)_p as factors, with the index p."""
    factors: list[Factor] = []
    for layer in range(top, bottom, -1):
        j = new(layer - 1)
        factors.append(("W", layer, i, j))
        i = j
    return factors, i


def ntk(net: Linear, layer: int, i: Index, j: Index, a: int, b: int) -> list[Term]:
    terms: list[Term] = []
    for k in range(1, layer + 1):
        (left, p), (right, p_), q = path(layer, i, k), path(layer, j, k), new(k - 1)
        legs = [*left, *right, ("=", p, p_)]
        terms.append((net.lambda_b[k - 1], Counter(), legs))
        for (_, _, first), (_, _, second) in itertools.product(z(net, k - 1, q, a), z(net, k - 1, q, b)):
            terms.append((net.lambda_W[k - 1], Counter([k - 1]), [*legs, *first, *second]))
    return [t for t in terms if t[0]]


def pairings(items: list[Factor]) -> list[list[tuple[Factor, Factor]]]:
    if not items:
        return [[]]
    first, *rest = items
    return [[(first, x), *more] for k, x in enumerate(rest) for more in pairings(rest[:k] + rest[k + 1 :])]


def moment(net: Linear, *sums: list[Term]) -> Series:
    """E of a product of sums of terms, as a polynomial in 1/N."""
    total: Series = defaultdict(Fraction)
    for chosen in itertools.product(*sums):
        coefficient = prod((c for c, _, _ in chosen), start=Fraction(1))
        divided = sum((d for _, d, _ in chosen), Counter())
        factors = [f for _, _, fs in chosen for f in fs]
        groups: defaultdict[object, list[Factor]] = defaultdict(list)
        for f in factors:
            if f[0] in ("W", "b"):
                groups[f[:2]].append(f)
        for choice in itertools.product(*(pairings(g) for g in groups.values())):
            power, value = count(net, [pair for pairs in choice for pair in pairs], factors, divided)
            total[power] += coefficient * value
    return {p: v for p, v in total.items() if v}


def count(
    net: Linear, pairs: list[tuple[Factor, Factor]], factors: list[Factor], divided: Counter[int]
) -> tuple[int, Fraction]:
    parent: dict[Index, Index] = {}

    def find(i: Index) -> Index:
        while (up := parent.setdefault(i, i)) != i:
            i = up
        return i

    value, widths = Fraction(1), Counter({layer: -times for layer, times in divided.items()})
    for first, second in pairs:
        layer = first[1]
        if first[0] == "W":
            value *= net.C_W[layer - 1]
            widths[layer - 1] -= 1
        else:
            value *= net.C_b[layer - 1]
        for i, j in zip(first[2:], second[2:], strict=True):
            parent[find(i)] = find(j)
    for f in factors:
        if f[0] == "=":
            parent[find(f[1])] = find(f[2])
        elif f[0] == "x":
            find(f[1])
    inputs: defaultdict[Index, list[int]] = defaultdict(list)
    for f in factors:
        if f[0] == "x":
            inputs[find(f[1])].append(f[2])
    for a, b in inputs.values():
        value *= sum(x * y for x, y in zip(net.X[a], net.X[b], strict=True))
    names = [index for index in list(parent) if index[0] == net.depth and index[1] in ("i", "j", "k")]
    outer = {find(index) for index in names}
    if len(outer) < len(names):
        return 0, Fraction(0)
    for root in {find(i) for i in parent} - outer - set(inputs):
        widths[root[0]] += 1
    n_0 = len(net.X[0])
    value *= prod((Fraction(net.shape[layer - 1]) ** k for layer, k in widths.items() if layer), start=Fraction(1))
    return sum(k for layer, k in widths.items() if layer), value * Fraction(n_0) ** widths[0]


def times(a: Series, b: Series) -> Series:
    total: Series = defaultdict(Fraction)
    for (p, x), (q, y) in itertools.product(a.items(), b.items()):
        total[p + q] += x * y
    return total


def minus(a: Series, b: Series) -> Series:
    return {p: v for p in {*a, *b} if (v := a.get(p, Fraction(0)) - b.get(p, Fraction(0)))}


def exact(net: Linear, name: str, index: tuple[int, ...]) -> Series:
    """A tensor of the last layer at finite N: n_(L-1) times the cumulant that the name stands for."""
    L = net.depth
    i, j = (L, "i"), (L, "j")
    one, H = (lambda k, a: z(net, L, k, a)), (lambda k, l_, a, b: ntk(net, L, k, l_, a, b))
    a, b, *cd = index
    if name in ("K", "Theta"):
        return moment(net, one(i, a), one(i, b)) if name == "K" else moment(net, H(i, i, a, b))
    c, d = cd
    full, first, second = {
        "V": lambda: ([one(i, a), one(i, b), one(j, c), one(j, d)], ("K", (a, b)), ("K", (c, d))),
        "D": lambda: ([one(i, a), one(i, b), H(j, j, c, d)], ("K", (a, b)), ("Theta", (c, d))),
        "F": lambda: ([one(i, a), one(j, b), H(i, j, c, d)], None, None),
        "A": lambda: ([H(i, i, a, b), H(j, j, c, d)], ("Theta", (a, b)), ("Theta", (c, d))),
        "B": lambda: ([H(i, j, a, b), H(i, j, c, d)], None, None),
    }[name]()
    cumulant = moment(net, *full)
    if first is not None:
        cumulant = minus(cumulant, times(exact(net, *first), exact(net, *second)))
    fan_in = {1: Fraction(net.shape[-1])} if net.shape else {0: Fraction(len(net.X[0]))}
    return {p: v for p, v in times(cumulant, fan_in).items() if v}


def at(series: Series, N: int) -> Fraction:
    return sum((v * Fraction(N) ** p for p, v in series.items()), start=Fraction(0))


def unique(name: str, m: int) -> list[tuple[int, ...]]:
    rank = 2 if name in ("K", "Theta") else 4
    every = itertools.product(range(m), repeat=rank)
    return [x for x in every if x == min(tuple(x[k] for k in p) for p in symmetries(name))]


def fractions(*values: str | int) -> tuple[Fraction, ...]:
    return tuple(Fraction(v) for v in values)


ONE = (fractions(1, "1/2"),)
TWO = (fractions(1, "1/2"), fractions("-1/2", "3/4"))
DEPENDENT = (fractions(1, "1/2"), fractions(-2, -1), fractions(0, 0))

PLAIN = Linear(TWO, (1, 1), *(fractions(1, 1, 1), fractions(0, 0, 0)) * 2)
NETS = [
    pytest.param(Linear(TWO, (1,), *(fractions(1, 1), fractions(0, 0)) * 2), id="depth 2"),
    pytest.param(PLAIN, id="depth 3"),
    pytest.param(
        Linear(
            TWO, (2, 3), fractions("5/4", "3/4", "3/2"), fractions(0, 0, 0), fractions("1/2", 1, 2), fractions(0, 0, 0)
        ),
        id="depth 3, widths 2:3, rates of their own",
    ),
    pytest.param(
        Linear(TWO, (3,), fractions("5/4", "3/4"), fractions("1/4", "1/2"), fractions(1, "1/2"), fractions("1/4", 2)),
        id="depth 2, biases",
    ),
    pytest.param(
        Linear(ONE, (3, 2), *(fractions("5/4", "3/4", 1), fractions("1/4", "1/2", 1)) * 2),
        id="depth 3, widths 3:2, biases, one input",
    ),
    pytest.param(Linear(DEPENDENT, (2,), *(fractions(1, "3/2"), fractions(0, 1)) * 2), id="parallel and zero inputs"),
    pytest.param(
        Linear(ONE, (2, 1, 3), *(fractions(1, 1, 1, 1), fractions(0, 0, 0, 0)) * 2),
        id="depth 4, widths 2:1:3, one input",
    ),
    pytest.param(
        Linear(TWO, (1, 2), fractions(1, 1, 1), fractions(0, 0, 0), fractions(0, 1, 0), fractions(1, 0, 0)),
        id="frozen layers",
    ),
]


# -------------------------------------------------------------------------------------------- the oracle is checked


def literal(net: Linear, name: str, index: tuple[int, ...]) -> Fraction:
    """The moment of a network with N = 1, from its output written out as a polynomial in all its parameters."""
    n = (len(net.X[0]), *net.shape, 2)
    names, variance, rate = [], [], []
    for layer in range(1, net.depth + 1):
        names += [f"W{layer}_{i}_{j}" for i in range(n[layer]) for j in range(n[layer - 1])]
        variance += [net.C_W[layer - 1] / n[layer - 1]] * (n[layer] * n[layer - 1])
        rate += [net.lambda_W[layer - 1] / n[layer - 1]] * (n[layer] * n[layer - 1])
        names += [f"b{layer}_{i}" for i in range(n[layer])]
        variance += [net.C_b[layer - 1]] * n[layer]
        rate += [net.lambda_b[layer - 1]] * n[layer]
    ring, *parameters = sp.ring(names, sp.QQ)
    by_name = dict(zip(names, parameters, strict=True))
    rational = lambda v: sp.QQ(v.numerator, v.denominator)  # noqa: E731

    def output(a):
        signal = [ring(rational(x)) for x in net.X[a]]
        for layer in range(1, net.depth + 1):
            signal = [
                by_name[f"b{layer}_{i}"] + sum(by_name[f"W{layer}_{i}_{j}"] * s for j, s in enumerate(signal))
                for i in range(n[layer])
            ]
        return signal

    zs = [output(a) for a in range(len(net.X))]

    def H(i, j, a, b):
        terms = (zs[a][i].diff(p) * zs[b][j].diff(p) * rational(r) for p, r in zip(parameters, rate, strict=True) if r)
        return sum(terms, start=ring(0))

    def mean(polynomial):
        total = Fraction(0)
        for powers, c in polynomial.terms():
            if all(k % 2 == 0 for k in powers):
                gauss = (prod(range(k - 1, 0, -2)) * v ** (k // 2) for k, v in zip(powers, variance, strict=True) if k)
                total += Fraction(int(c.numerator), int(c.denominator)) * prod(gauss, start=Fraction(1))
        return total

    a, b, c, d = (*index, 0, 0)[:4]
    zz = lambda i, a, b: zs[a][i] * zs[b][i]  # noqa: E731
    first, second = {
        "K": lambda: (zz(0, a, b), None),
        "Theta": lambda: (H(0, 0, a, b), None),
        "V": lambda: (zz(0, a, b), zz(1, c, d)),
        "D": lambda: (zz(0, a, b), H(1, 1, c, d)),
        "F": lambda: (zs[a][0] * zs[b][1] * H(0, 1, c, d), None),
        "A": lambda: (H(0, 0, a, b), H(1, 1, c, d)),
        "B": lambda: (H(0, 1, a, b) * H(0, 1, c, d), None),
    }[name]()
    value = mean(first) if second is None else mean(first * second) - mean(first) * mean(second)
    return value if name in ("K", "Theta") else value * n[-2]


TINY = [
    pytest.param(
        Linear(TWO, (2,), fractions("5/4", 1), fractions("1/4", 1), fractions(1, 2), fractions(1, "1/2")), id="2"
    ),
    pytest.param(
        Linear(TWO, (2, 2), fractions("5/4", 1, "1/2"), fractions(0, 0, 0), fractions(1, 2, 1), fractions(0, 1, 0)),
        id="2-2",
    ),
    pytest.param(Linear(((Fraction(1),),), (3, 2), *(fractions(1, 1, 1), fractions(0, 0, 0)) * 2), id="3-2"),
]


@pytest.mark.parametrize("name", ["K", "Theta", *TENSORS])
@pytest.mark.parametrize("net", TINY)
def test_sum_over_pairings_is_the_moment_of_the_literal_network(net, name):
    m = len(net.X)
    index = {1: [(0,) * 4], 2: [(0, 1, 0, 1), (0, 1, 1, 0), (0, 0, 0, 1)]}[m]
    for x in index:
        x = x[:2] if name in ("K", "Theta") else x
        assert at(exact(net, name, x), 1) == literal(net, name, x), x


# ------------------------------------------------------------------------------------------------- the predictions


@pytest.mark.parametrize("net", NETS)
def test_prediction_is_the_leading_order_of_the_exact_cumulant(net):
    """V, D, F, A, B: the limit of n times the cumulant, entry by entry, to rounding."""
    theory = predict(net.mlp(1000), net.inputs).sel(layer=net.depth)
    for name in TENSORS:
        for index in unique(name, len(net.X)):
            series = exact(net, name, index)
            assert max(series, default=0) <= 0, (name, index)
            assert_allclose(
                theory[name].values[index], float(series.get(0, 0)), rtol=1e-12, atol=1e-12, err_msg=f"{name}{index}"
            )


@pytest.mark.parametrize("net", NETS)
def test_means_have_no_correction_at_any_width(net):
    """E[z z] and E[H] of a linear network are those of infinite width, so K1 = Theta1 = 0."""
    theory = predict(net.mlp(1000), net.inputs).sel(layer=net.depth)
    for name in ("K", "Theta"):
        for index in unique(name, len(net.X)):
            series = exact(net, name, index)
            assert set(series) <= {0}
            assert_allclose(theory[name].values[index], float(series.get(0, 0)), rtol=1e-13, atol=1e-14)
        assert not theory[f"{name}1"].any()


@pytest.mark.parametrize("widths", [(100,) * 4, (30, 60, 20), (7, 5, 11, 13, 17)], ids=str)
def test_vertex_is_the_first_order_of_the_product_formula(widths):
    """E[z_i^2 z_j^2] = K^2 prod_k (1 + 2/n_k) for C_W = 1, C_b = 0: V^(l) = 2 K^2 sum_k n_(l-1)/n_k."""
    net = MLP("linear", depth=len(widths) + 1, width=widths, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    t = sp.Symbol("t")  # counts orders of 1/n
    V = predict(net, [[1.0, 0.5, -2.0]], "V").V.values.ravel()
    K = sp.Rational(21, 4) / 3
    for layer in range(1, len(widths) + 2):
        moment_ = K**2 * sp.prod([1 + 2 * t / n for n in widths[: layer - 1]])
        order = sp.diff(moment_, t).subs(t, 0) * (widths[layer - 2] if layer > 1 else 1)
        assert order == 2 * K**2 * sum((sp.Rational(widths[layer - 2], n) for n in widths[: layer - 1]), sp.S.Zero)
        assert_allclose(V[layer - 1], float(order), rtol=1e-13)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3)], ids=str)
def test_vertex_of_many_inputs_follows_from_the_three_pairings(shape, rng):
    r"""The full four-point function is M_(12)(34) d_12 d_34 + M_(13)(24) d_13 d_24 + M_(14)(23) d_14 d_23 at any width.

    Over the top matrix, E[z'_1 z'_2 z'_3 z'_4] = (C_W/n)^2 sum over pairings; that of (12)(34) is
    d_12 d_34 sum_jk E[z_j;1 z_j;2 z_k;3 z_k;4], where j = k everywhere in M_(13)(24) and M_(14)(23):

        M'_(12)(34) = C_W^2 [M_(12)(34) + (M_(13)(24) + M_(14)(23))/n],     M^(1)_(12)(34) = K_12 K_34.
    """
    X = np.round(rng.normal(size=(4, 5)) * 4) / 4
    C_W = (1.0, 1.5, 0.5, 1.25)
    net = MLP("linear", depth=4, width=[60 * s for s in shape], C_W=C_W, C_b=0, lambda_W=1, lambda_b=0)
    t = sp.Symbol("t")  # t = 1/N
    overlap = sp.Matrix([[sp.Rational(str(x)) for x in row] for row in X])
    K = overlap * overlap.T / 5
    M = {
        tuple(p): K[p[0], p[1]] * K[p[2], p[3]] * sp.Rational(C_W[0]) ** 2
        for p in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))
    }
    V = predict(net, X, "V").V.values
    for layer in range(2, 5):
        n, C = shape[layer - 2], sp.Rational(C_W[layer - 1])
        M = {p: sp.expand(C**2 * (M[p] + t * sum(M[q] for q in M if q != p) / n)) for p in M}
        for p, value in M.items():
            first = n * sp.diff(value, t).subs(t, 0)
            assert_allclose(V[(layer - 1, *p)], float(first), rtol=1e-12)


# -------------------------------------------------------------------------------------------------- the simulation


def off(ds, name: str, layer: int, truth: np.ndarray, comparisons: int) -> bool:
    """Some entry is further from the truth than Student's t allows at the false-alarm rate shared by all comparisons."""
    value, error = (ds[key].sel(layer=layer).values for key in (name, f"{name}_stderr"))
    limit = stats.t.isf(FALSE_ALARM / 2 / comparisons, ds.attrs["groups"] - 1)
    return bool((np.abs(value - truth) > limit * error + 1e-12).any())


def test_simulation_agrees_with_the_product_formula_and_not_with_a_wrong_one():
    """n_(l-1) K^2 (prod_k (1 + 2/n_k) - 1), which is no expansion; with 3 in place of 2 it has to fail."""
    widths = (5, 4, 6)
    net = MLP("linear", depth=4, width=widths, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    ds = simulate(net, [[1.0, 0.5]], networks=60_000, seed=1, quantities="V")
    K = 1.25 / 2
    for layer in (2, 3, 4):
        right, wrong = (
            widths[layer - 2] * K**2 * (np.prod([1 + c / n for n in widths[: layer - 1]]) - 1) for c in (2, 3)
        )
        assert not off(ds, "V", layer, right, 3), layer
        assert off(ds, "V", layer, wrong, 3), layer


def test_simulation_agrees_with_the_exact_tensors_of_a_narrow_network():
    """All tensors of two inputs at widths 6 and 8, where the leading order is not enough."""
    zero = fractions(0, 0, 0)
    net = Linear(TWO, (6, 8), fractions(1, "5/4", "3/4"), zero, fractions(1, "1/2", 1), zero)
    ds = simulate(net.mlp(1), net.inputs, networks=80_000, seed=2)
    theory = predict(net.mlp(10**6), net.inputs).sel(layer=3)
    m = len(net.X)
    for name in TENSORS:
        truth = np.empty((m,) * 4)
        for index in itertools.product(range(m), repeat=4):
            truth[index] = at(exact(net, name, min(tuple(index[k] for k in p) for p in symmetries(name))), 1)
        assert not off(ds, name, 3, truth, 5 * truth.size), name
        assert off(ds, name, 3, theory[name].values, 1), name  # negative control: the leading order


# ------------------------------------------------------------------------------------------------------ the next order


def six_point(net: Linear) -> Series:
    """n^2 times the third cumulant of z_i^2, z_j^2, z_k^2, all different, for one input."""
    L = net.depth
    square = {name: [z(net, L, (L, name), 0), z(net, L, (L, name), 0)] for name in "ijk"}
    one = moment(net, *square["i"])
    two = moment(net, *square["i"], *square["j"])
    three = moment(net, *square["i"], *square["j"], *square["k"])
    # kappa_3 = <abc> - 3 <ab><c> + 2 <a><b><c> for variables of one law
    minus_three = {p: -3 * v for p, v in times(two, one).items()}
    cumulant = three
    for part in (minus_three, {p: 2 * v for p, v in times(times(one, one), one).items()}):
        cumulant = {p: cumulant.get(p, Fraction(0)) + part.get(p, Fraction(0)) for p in {*cumulant, *part}}
    n = {1: Fraction(net.shape[-1])}
    return {p: v for p, v in times(times(cumulant, n), n).items() if v}


NEXT = {"V1": ("V", 1), "D1": ("D", 1), "F1": ("F", 1), "K2": ("K", 2), "Theta2": ("Theta", 2)}
ONE_INPUT_NETS = [
    pytest.param(Linear(ONE, (1, 1), *(fractions(1, 1, 1), fractions(0, 0, 0)) * 2), id="depth 3"),
    pytest.param(
        Linear(
            ONE,
            (3, 2),
            fractions("5/4", "3/4", 1),
            fractions("1/4", "1/2", 1),
            fractions(1, 2, 1),
            fractions("1/2", 1, 0),
        ),
        id="depth 3, widths 3:2, biases and rates of their own",
    ),
]


@pytest.mark.parametrize("net", ONE_INPUT_NETS)
def test_next_order_is_that_of_the_exact_cumulant(net):
    """V1, D1, F1, K2, Theta2 are the next coefficients of the exact polynomials in 1/n, V6 the leading one of the sixth."""
    predicted = predict(net.mlp(8), net.inputs, (*NEXT, "V6"), order=2).isel(layer=-1)
    for name, (base, power) in NEXT.items():
        series = exact(net, base, (0,) * (2 if base in ("K", "Theta") else 4))
        expected = float(series.get(-power, Fraction(0)) * Fraction(net.shape[-1]) ** power)
        assert_allclose(predicted[name].values.ravel(), expected, rtol=1e-11, atol=1e-12, err_msg=name)
    assert_allclose(predicted["V6"].values.ravel(), float(six_point(net)[0]), rtol=1e-11)
    assert float(abs(predicted["V1"]).max()) > 0


def test_next_order_of_several_inputs_is_that_of_the_exact_cumulant():
    net = Linear(TWO, (1,), *(fractions(1, 1), fractions(0, 0)) * 2)
    predicted = predict(net.mlp(8), net.inputs, ("V1", "F1"), order=2).isel(layer=-1)
    for name in ("V1", "F1"):
        for index in unique(name[0], 2):
            expected = float(exact(net, name[0], index).get(-1, Fraction(0)))
            assert_allclose(predicted[name].values[index], expected, rtol=1e-11, atol=1e-12, err_msg=f"{name}{index}")


def test_eight_point_function_of_a_linear_network_is_that_of_a_product_of_chi_squares():
    """One hidden layer: q = K chi^2_n / n, whose fourth cumulant is 48 K^4 / n^3."""
    net = MLP("linear", depth=2, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
    V8 = predict(net, [[1.0, 0.5]], "V8", order=3)["V8"].values.ravel()
    assert V8[1] == pytest.approx(48 * 0.625**4, rel=1e-12)
