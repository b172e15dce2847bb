"""One object, three instances: a layer at initialisation, a residual network, a network in training obey the same laws."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.initialisation.crosslayer import Layers
from widthwise.theory.initialisation.layered import Layered
from widthwise.theory.language import symbols
from widthwise.theory.language.errors import NotAvailable
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.quantities import Entry
from widthwise.theory.language.symbols import SiteAverage
from widthwise.theory.meanfield.protocol import MeanField, Structure, connected, fluctuation, statement
from widthwise.theory.meanfield.system import MeanFieldSystem
from widthwise.theory.training.dynamics import dynamics
from widthwise.theory.training.fields import OrderParameter, eta
from widthwise.theory.training.unrolled import Unrolled

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(160)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
NET = ww.MLP("tanh", depth=3, C_W=1.3, C_b=0.2, lambda_W=0.7, lambda_b=0.4)
NUMBERS = {
    symbols.C_W: sp.Float(1.3),
    symbols.C_b: sp.Float(0.2),
    symbols.lambda_W: sp.Float(0.7),
    symbols.lambda_b: sp.Float(0.4),
}
GAMMA = 0.5


@functools.cache
def compiled(body: sp.Expr) -> tuple[list[sp.Expr], Callable[..., Any]]:
    """An expression as a function of its atoms; the activation is that of ``NET``."""
    atoms = sorted((x for x in body.atoms(sp.AtomicExpr) if not x.is_number), key=str)
    letters = [sp.Dummy() for _ in atoms]
    functions = {k: sp.lambdify(symbols.z, NET.activation.derivative(k), "numpy") for k in range(5)}
    modules = [{"Activated": lambda h, k: functions[k](h)}, "numpy"]
    return atoms, sp.lambdify(letters, body.xreplace(dict(zip(atoms, letters, strict=True))), modules, cse=True)


def gaussian(
    body: sp.Expr, sources: Sequence[sp.Expr], covariance: np.ndarray, values: Callable[[sp.Expr], float]
) -> float:
    """The average of a function of a few Gaussians by quadrature, for any positive semidefinite covariance."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    grid = np.stack(np.meshgrid(*[NODES] * len(covariance), indexing="ij")).reshape(len(covariance), -1)
    weights = functools.reduce(np.multiply.outer, [WEIGHTS] * len(covariance)).ravel()
    at = dict(zip(sources, (vectors * np.sqrt(np.maximum(eigenvalues, 0))) @ grid, strict=True))
    atoms, function = compiled(body)
    return float(np.sum(weights * function(*(at[x] if x in at else values(x) for x in atoms))))


@dataclass
class Case:
    """An instance, its order parameters in the order of solution, and how an expression is evaluated at values of them."""

    system: MeanField[Any]
    orders: list[Any]
    evaluate: Callable[[sp.Expr, dict[Any, float]], float]
    fixed: dict[Any, float]

    def F(self, order: Any, values: dict[Any, float]) -> float:
        return self.evaluate(self.system.mean(order), values)

    @functools.cached_property
    def saddle(self) -> dict[Any, float]:
        """One order parameter after the other: no instance here is implicit."""
        values = dict(self.fixed)
        for order in self.orders:
            values[order] = self.F(order, values)
        return values

    @functools.cached_property
    def J(self) -> np.ndarray:
        rows = [self.system.response(order) for order in self.orders]
        return np.array([[self.evaluate(row.get(c, sp.S.Zero), self.saddle) for c in self.orders] for row in rows])

    @functools.cached_property
    def S(self) -> np.ndarray:
        n = len(self.orders)
        found = np.zeros((n, n))
        for i, j in zip(*np.triu_indices(n), strict=True):
            noise = self.system.noise(self.orders[i], self.orders[j])
            found[i, j] = found[j, i] = self.evaluate(noise, self.saddle)
        return found

    @property
    def covariance(self) -> np.ndarray:
        return np.array(fluctuation(sp.Matrix(self.J), sp.Matrix(self.S)), dtype=float)


K, THETA = (Jet("a"), Jet("a")), (Jet("a", "r"), Jet("a", "r"))


def at_jets(expr: sp.Expr, entries: dict[sp.Expr, float]) -> float:
    """Averages over preactivations by quadrature, with the kernels as numbers."""

    def average(node: Average) -> float:
        body = node.body.replace(Sigma, lambda jet, k: NET.activation.derivative(int(k)).subs(symbols.z, jet))
        body = sp.diff(body, *node.derivatives) if node.derivatives else body
        covariance = [
            [entries[Entry("K", tuple(sorted((x.sample, y.sample))))] for y in node.sites] for x in node.sites
        ]
        return gaussian(body, node.sites, np.array(covariance, dtype=float), float)

    expr = expr.xreplace({node: sp.Float(average(node)) for node in expr.atoms(Average)})
    return float(expr.xreplace(entries).xreplace(NUMBERS))


def layer() -> Case:
    """K and Theta of one input, from those of the layer below."""
    system = MeanFieldSystem(NET.layer_map)

    def evaluate(expr: sp.Expr, values: dict[Any, float]) -> float:
        below = {Entry("K", ("a", "a")): values["K"], Entry("Theta", ("a", "a")): values["Theta"]}
        return at_jets(expr, {k: sp.Float(v) for k, v in below.items()})

    return Case(system, [K, THETA], evaluate, {"K": 0.9, "Theta": 1.7})


def residual(gamma: float = GAMMA) -> Case:
    """q of the second and third layer of a network with skips, one input; that of the first layer is data."""
    system = Layers(NET.layer_map, (), (("0", sp.S.Zero), ("1", sp.S.One), ("2", sp.Integer(2))))

    def moved(pair: Any, label: str) -> Any:
        return tuple(Jet(label, jet.directions) for jet in pair), label

    def evaluate(expr: sp.Expr, values: dict[Any, float]) -> float:
        entries = {}
        for name, pair in (("K", K), ("Theta", THETA)):
            for i in (1, 2):
                for j in (1, 2):
                    parts = (
                        gamma ** (i - k + j - k) * values.get(moved(pair, str(k - 1)), 0.0)
                        for k in range(1, min(i, j) + 1)
                    )
                    entries[Entry(name, (str(i), str(j)))] = sp.Float(sum(parts))
        given = {s.name: value for s, value in NUMBERS.items()}
        letters = {}
        for node in expr.atoms(Layered):
            if node.name == "mix":
                up, down = map(int, node.layers)
                letters[node] = sp.Float(gamma ** (up - down) if up >= down else 0.0)
            else:
                letters[node] = sp.Float(given[node.name])
        return at_jets(expr.xreplace(letters), entries)

    orders = [moved(pair, label) for label in "12" for pair in (K, THETA)]
    return Case(system, orders, evaluate, {moved(K, "0"): 0.9, moved(THETA, "0"): 1.1})


@functools.cache
def training(steps: int = 3) -> Case:
    """A network with one hidden layer after two steps of gradient descent on one sample."""
    flow = ww.Training(NET.with_(depth=2, C_b=0.0), gamma=1.2, learning_rate=0.3)
    system = Unrolled(dynamics(flow), steps, 1)
    numbers = {**NUMBERS, symbols.C_b: sp.S.Zero, symbols.gamma_0: sp.Float(1.2), eta: sp.Float(0.3)}

    def evaluate(expr: sp.Expr, values: dict[Any, float]) -> float:
        def value(atom: sp.Expr) -> float:
            if isinstance(atom, OrderParameter):  # no momentum, no decay
                return values[atom] if atom in values else {"a": 1.0, "m": 1.0, "y": 0.8}[atom.name]
            return float(numbers[atom]) if atom in numbers else {"Kx": 1.5}[atom.name[:2]]

        def number(part: sp.Expr) -> float:
            atoms, function = compiled(part)
            return float(function(*map(value, atoms)))

        covariance = np.array([[number(system.covariance(x, y)) for y in system.sources] for x in system.sources])
        nodes = {
            node: sp.Float(gaussian(node.args[0], system.sources, covariance, value))
            for node in expr.atoms(SiteAverage)
        }
        return number(expr.xreplace(nodes))

    return Case(system, list(system.orders), evaluate, {})


CASES = {"layer": layer, "residual": residual, "training": training}


@pytest.fixture(params=CASES, scope="module")
def case(request) -> Case:
    return CASES[request.param]()


def test_the_response_is_the_derivative_of_the_saddle_point_equation(case):
    """By differences of F, each average anew; an entry that the instance leaves out is zero."""
    step = 1e-4
    rows = [case.system.response(order) for order in case.orders]
    names = {"K": K, "Theta": THETA}  # of the layer below, which a single layer's order parameters answer to
    variables = (
        case.orders
        if case.system.structure is Structure.CAUSAL or not isinstance(case.system, MeanFieldSystem)
        else list(names)
    )
    for order, row in zip(case.orders, rows, strict=True):
        for c in variables:
            moved = [case.saddle | {c: case.saddle[c] + sign * step} for sign in (1, -1)]
            difference = (case.F(order, moved[0]) - case.F(order, moved[1])) / (2 * step)
            entry = case.evaluate(row.get(names.get(c, c) if isinstance(c, str) else c, sp.S.Zero), case.saddle)
            assert_allclose(entry, difference, rtol=1e-6, atol=1e-8)


def test_the_noise_is_a_covariance(case):
    values = np.linalg.eigvalsh(case.S)
    assert values.min() > -1e-10 * values.max()
    assert values.max() > 0


def test_the_response_has_the_structure_that_the_instance_states(case):
    """Of two order parameters the later one answers to the earlier one, never the other way round."""
    if isinstance(case.system, MeanFieldSystem):
        assert case.system.structure is Structure.TRIANGULAR  # its J leads from one layer to the next by definition
        return
    assert case.system.structure is {Layers: Structure.TRIANGULAR, Unrolled: Structure.CAUSAL}[type(case.system)]
    assert np.abs(np.triu(case.J)).max() == 0
    assert np.abs(np.tril(case.J, -1)).max() > 0.01


def test_fluctuations_of_a_plain_network_are_those_of_the_recursion():
    """(1 - J)^-1 S (1 - J)^-T over two layers without skips is V, D and A of predict, which go from layer to layer."""
    case = residual(0.0)
    flow = ww.MLP("tanh", depth=3, C_W=1.3, C_b=0.2, lambda_W=0.7, lambda_b=0.4)
    scale = np.sqrt((0.9 - 0.2) / 1.3)
    found = ww.predict(flow, np.full((1, 5), scale), ("V", "D", "K", "Theta"))
    # the first layer: Theta = lambda_b + lambda_W x.x/n
    case.fixed[next(c for c in case.fixed if c[0][0].directions)] = float(found.Theta.values[0].item())
    for name, i, j in (("V", 2, 2), ("D", 2, 3)):
        assert_allclose(case.covariance[i, j], found[name].values[-1].item(), rtol=1e-10)
    alone = case.S[2, 2]  # the negative control: noise of one layer, without what it inherits
    assert abs(alone - found.V.values[-1].item()) > 0.05 * abs(alone)


def test_fluctuations_of_a_residual_network_are_those_of_predict():
    """V: from N Cov(q, q), and by the same equation from the covariance of own products with the noise of q."""
    case = residual()
    found = ww.predict(NET.with_(residual=GAMMA), np.full((1, 5), np.sqrt((0.9 - 0.2) / 1.3)), ("V",))
    q = [i for i, (pair, _) in enumerate(case.orders) if not pair[0].directions]  # q^(2) and q^(3)
    J, covariance = case.J[np.ix_(q, q)], case.covariance[np.ix_(q, q)]
    own = {2: sp.Mul(Jet("2"), Jet("2"))}
    for number, product in own.items():
        functions = [case.system.function(case.orders[i]) for i in q]
        noise = [case.evaluate(connected((product, f), case.system.moment), case.saddle) for f in functions]
        answer = np.linalg.solve(np.eye(len(q)) - J, noise)
        V = covariance[0, 0] + 2 * answer[0]  # K^(2) holds q^(2) with weight one, and of q^(1) what is data
        assert_allclose(V, found.V.values[number - 1].item(), rtol=1e-9)


def test_fluctuations_of_training_are_those_of_the_solver():
    case = training()
    flow = case.system.found.subject
    X = np.full((1, 4), np.sqrt(1.5))
    f = [i for i, order in enumerate(case.orders) if order.name == "f"]
    theory = ww.predict(flow, X, [0.8], times=2, samples=1 << 14, replicas=4, progress=False)
    assert_allclose([case.saddle[case.orders[i]] for i in f], theory.f.values[:, 0], atol=2e-4)
    scatter = ww.fluctuations(
        flow, X, [0.8], times=2, quantities="f", centred=False, samples=1 << 13, replicas=8, progress=False
    )
    variance, error = scatter.f_variance.values[:, 0], scatter.f_variance_stderr.values[:, 0]
    assert (np.abs(np.diag(case.covariance)[f] - variance) < 4 * error + 5e-3 * variance).all()
    alone = np.diag(case.S)[f]  # the negative control: neurons without what the errors feed back
    assert np.abs(alone - variance)[-1] > 20 * error[-1] + 0.1 * variance[-1]


def test_the_statement_stands_once_and_prints():
    assert str(statement()) == "Eq(N Cov(q, q), (1 - J)^-1 S (1 - J)^-T)"


def test_training_is_unrolled_for_one_hidden_layer_alone():
    with pytest.raises(NotAvailable, match="gradient descent of one hidden layer"):
        Unrolled(dynamics(ww.Training(ww.MLP("tanh", depth=3), learning_rate=0.1)), 2, 1)
