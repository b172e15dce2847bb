"""The statements of training against literal networks: passes, update, cavity rule, elimination of linear sites."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose
from training_cases import flow, value_of

from widthwise.theory.language.symbols import C_W, SiteAverage, ell, gamma_0, lambda_W
from widthwise.theory.training import cavity
from widthwise.theory.training.dynamics import dynamics
from widthwise.theory.training.fields import Activated, Memory, OrderParameter, SiteField, Variation, eta
from widthwise.theory.training.program import (
    HERE,
    HERE_OUT,
    PAST,
    PAST_OUT,
    MatrixProduct,
    Outer,
    activity,
    gradient,
    program,
)

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(5)
N = 4


class Literal:
    """x -> h1 = W0 x -> h2 = W1 tanh(h1) + b -> f = w tanh(h2)/(gamma sqrt(N)), for one input, with literal matrices."""

    def __init__(self):
        self.gamma, self.h1 = 1.3, RNG.normal(size=N)
        self.W, self.b, self.w = RNG.normal(size=(N, N)) / 2, RNG.normal(size=N), RNG.normal(size=N) / 2
        self.h2 = self.W @ np.tanh(self.h1) + self.b

    def f(self, h1=None, W=None):
        h2 = (self.W if W is None else W) @ np.tanh(self.h1 if h1 is None else h1) + self.b
        return self.w @ np.tanh(h2) / (self.gamma * np.sqrt(N))

    def slope(self, name):
        """df/d(h1) or df/dW by central differences."""
        at, step = getattr(self, name), 1e-6
        found = np.zeros_like(at)
        for index in np.ndindex(at.shape):
            up, down = at.copy(), at.copy()
            up[index] += step
            down[index] -= step
            found[index] = (self.f(**{name: up}) - self.f(**{name: down})) / (2 * step)
        return found

    @property
    def g2(self):
        return np.sqrt(N) * self.w * (1 - np.tanh(self.h2) ** 2)


def test_the_backward_pass_is_the_chain_rule():
    """g = gamma N df/dh of a layer, from the statements alone and from differences of a literal network."""
    net, statements = Literal(), program()
    (product,) = statements.signal.rhs.atoms(MatrixProduct)
    assert (product.transposed, product.layer, product.vector) == (True, ell, gradient(ell + 1))
    z = net.W.T @ net.g2
    slope = statements.gradient.rhs.xreplace({statements.signal.lhs: sp.S.One})
    assert slope == activity(ell).diff(SiteField("h", ell, ("mu",), "t"))
    g1 = (1 - np.tanh(net.h1) ** 2) * z
    assert_allclose(g1, net.gamma * N * net.slope("h1"), rtol=1e-8)


def test_the_update_is_gradient_descent():
    """W moves by eta gamma^2 N (lambda_W / N) times minus the gradient of the loss, Delta df/dW."""
    net, statements = Literal(), program()
    (memory,) = statements.weights.rhs.atoms(Memory)
    assert memory.vector == Outer(gradient(ell + 1, PAST_OUT), activity(ell, PAST))
    rates = {gamma_0: net.gamma, eta: 0.1, lambda_W: 0.7}
    orders = {o: {"Delta": 0.6, "m": 1.0}[o.name] for o in memory.kernel.atoms(OrderParameter)}
    outer = np.outer(net.g2, np.tanh(net.h1)) / N
    step = float(memory.kernel.xreplace(orders).subs(rates)) * outer
    assert_allclose(step, 0.1 * net.gamma**2 * 0.7 * 0.6 * net.slope("W"), rtol=1e-7)


def test_what_training_adds_multiplies_by_overlaps():
    """(1/N) b a^T times a vector v is b (a.v)/N: Phi where activities meet, G where gradients do."""
    weights = program().weights
    for product, name, out in (
        (MatrixProduct(activity(ell), ell, "t"), "Phi", gradient(ell + 1, PAST_OUT)),
        (MatrixProduct(gradient(ell + 1), ell, "t", transposed=True), "G", activity(ell, PAST)),
    ):
        found = cavity.trained(product, weights)
        (memory,) = found.atoms(Memory)
        (kept,) = found.atoms(MatrixProduct)
        assert (kept.vector, kept.time, memory.vector) == (product.vector, None, out)
        assert [o.name for o in memory.kernel.atoms(OrderParameter) if o.layer is not None] == [name]
    with pytest.raises(ValueError, match="different layers"):
        cavity.overlap(activity(ell), activity(ell + 1))


def test_the_memory_of_the_cavity_rule_is_the_response():
    """gamma_0 C_W B with B = <dg/du>/gamma_0, and A likewise; an activity does not answer to what comes back at its own time."""
    forward, back = (
        MatrixProduct(activity(ell), ell, None),
        MatrixProduct(gradient(ell + 1), ell, None, transposed=True),
    )
    for product, other, source, answers in ((forward, back, "u", ("phi", "r")), (back, forward, "r", ("g", "u"))):
        found = cavity.rule(product, [forward, back])
        (memory,) = found.atoms(Memory)
        (field,) = (found - memory).atoms(SiteField)
        assert field.name == source
        assert memory.strict == (source == "u")
        assert type(memory.vector) is type(other.vector)
        (order,) = memory.kernel.atoms(OrderParameter)
        whole = memory.kernel.xreplace({order: cavity.definition(order)})
        (variation,) = whole.atoms(Variation)
        assert sp.simplify(whole / SiteAverage(variation)) == C_W
        assert isinstance(variation.args[0], Activated) == (answers[0] == "phi")
        assert variation.args[1].name == answers[1]


@pytest.mark.parametrize("remembered", [True, False])
def test_a_literal_matrix_obeys_the_cavity_rule(remembered):
    """W^T phi(W a) = r + C_W <phi'> a with r Gaussian of variance C_W <phi^2>; without its memory it is another vector."""
    rng, n, variance = np.random.default_rng(0), 2000, 1.7
    W, a = rng.normal(size=(n, n)) * np.sqrt(variance / n), rng.normal(size=n)
    u = W @ a
    b = np.tanh(u)
    r = W.T @ b - remembered * variance * (1 - b**2).mean() * a
    independent = abs(r @ a) / n < 5 * np.sqrt(variance * (b**2).mean() * (a @ a)) / n  # five standard errors
    assert independent == remembered
    if remembered:
        assert abs((r @ r) / n / (variance * (b**2).mean()) - 1) < 5 * np.sqrt(2 / n)


def test_memories_of_one_vector_are_gathered():
    vector, x, y = activity(ell, PAST), OrderParameter("A", ell, HERE, PAST), OrderParameter("Phi", ell, HERE, PAST)
    apart = 2 * Memory(gamma_0 * x, vector, PAST) + Memory(3 * gamma_0 * y, vector, PAST) + SiteField("u", ell, *HERE)
    found = cavity.gathered(apart)
    (memory,) = found.atoms(Memory)
    rest = SiteField("u", ell, *HERE)
    factor = (found - rest).as_independent(Memory)[0]
    assert sp.expand(factor * memory.kernel - gamma_0 * (2 * x + 3 * y)) == 0
    assert cavity.gathered(found) == found
    kept = apart + Memory(x, gradient(ell, PAST_OUT), PAST_OUT)
    assert len(cavity.gathered(kept).atoms(Memory)) == 2


def test_places_and_layers_are_put_in():
    h = activity(ell)
    assert cavity.at_layer(h, ell - 1) == activity(ell - 1)
    assert cavity.at_place(h, PAST_OUT) == activity(ell, PAST)
    assert cavity.at_place(gradient(ell, HERE_OUT), PAST_OUT) == gradient(ell, PAST_OUT)


def test_linear_sites_are_eliminated_as_a_system_of_equations_is_solved():
    """h = u + C g, g = r + D h with random operators, solved as one block matrix: the covariances and responses of h and g."""
    n = 5
    blocks = {name: RNG.normal(size=(n, n)) / 4 for name in ("C[ell]", "D[ell]")}
    below, above = (M @ M.T for M in RNG.normal(size=(2, n, n)))
    arrays = blocks | {"Phi[ell-1]": below, "G[ell+1]": above}
    one, zero = np.eye(n), np.zeros((n, n))
    whole = np.linalg.inv(np.block([[one, -blocks["C[ell]"]], [-blocks["D[ell]"], one]]))
    both = whole @ np.block([[below, zero], [zero, above]]) @ whole.T
    gamma = 1.7
    expected = {
        "Phi[ell]": both[:n, :n], "G[ell]": both[n:, n:], "A[ell]": whole[:n, n:] / gamma, "B[ell-1]": whole[n:, :n] / gamma,
    }  # fmt: skip
    found = {e.lhs.name: e.rhs for e in dynamics(flow("linear", 3, gamma=gamma)).closed if e.lhs.name in expected}
    assert found.keys() == expected.keys()
    for name, rhs in found.items():
        assert_allclose(value_of(rhs.subs(gamma_0, gamma), arrays), expected[name], atol=1e-12)
