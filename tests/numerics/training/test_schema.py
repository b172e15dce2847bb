"""The solver takes its schema from the derived system: names, axes, layers, boundaries and responses of the order parameters."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

from widthwise import MLP, Training
from widthwise.numerics.fluctuations.interfaces import resolved
from widthwise.numerics.fluctuations.one_layer import Options, fluctuate
from widthwise.numerics.fluctuations.several_layers import fluctuate_deep
from widthwise.numerics.training.causal import Run
from widthwise.numerics.training.data import loss_derivative, losses_of
from widthwise.numerics.training.problem import following, problem_of
from widthwise.numerics.training.question import question
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.training.dynamics import Dynamics, dynamics
from widthwise.theory.training.fields import OrderParameter, last

X = np.random.default_rng(3).standard_normal((2, 4))
Y = np.array([[1.0, -0.5], [0.3, 0.8]])
NAMES = {"Phi": "C", "G": "H", "A": "R", "B": "Q"}


def flow(depth: int) -> Training:
    net = MLP("tanh", depth=depth, C_W=1.2, C_b=0.1, lambda_b=0.3)
    return Training(net, outputs=2, learning_rate=0.1, momentum=0.5, weight_decay=0.2)


def renamed(found: Dynamics, names: dict[str, str]) -> Dynamics:
    """The same system with other letters of its order parameters."""

    def change(expr: sp.Expr) -> sp.Expr:
        orders = (o for o in expr.atoms(OrderParameter) if o.name in names)
        return expr.xreplace({o: OrderParameter(names[o.name], o.layer, *o.places) for o in orders})

    statements = (replace(s, name=names.get(s.name, s.name), law=s.law.map(change)) for s in found.statements)
    return replace(found, statements=tuple(statements))


def problem(depth: int, names: dict[str, str]):
    asked = question(flow(depth), X, Y, times=4)
    return problem_of(asked.flow, renamed(asked.equations, names), asked.data, asked.grids[0], 64), asked


def test_the_schema_is_read_off_the_equations():
    schema = dynamics(flow(3)).schema
    read = {o.name: (o.vector, o.shift, o.source, o.ranks, o.first, o.final) for o in schema.orders}
    assert read == {
        "Phi": ("phi", 0, None, (1, 1), 1, last),
        "G": ("g", 0, None, (2, 2), 1, last),
        "A": ("phi", 0, "r", (1, 2), 1, last - 1),
        "B": ("g", 1, "u", (2, 1), 1, last - 1),
    }
    assert [str(eq.lhs.layer) for eq in schema.boundaries] == ["0", "L + 1", "0", "L"]
    assert [str(eq.rhs) for eq in schema.boundaries] == ["Kx_mu,alpha", "KroneckerDelta(k, k')", "0", "0"]


@pytest.mark.parametrize("prepared", [lambda p: p, following])
@pytest.mark.parametrize("depth", [2, 3])
def test_other_letters_of_the_order_parameters_change_no_number(depth, prepared):
    solved = [Run(prepared(problem(depth, n)[0]), np.random.default_rng(0)).solve() for n in ({}, NAMES)]
    assert_allclose(solved[0].f, solved[1].f, rtol=1e-12)
    assert_allclose(solved[0].Theta, solved[1].Theta, rtol=1e-12)
    for old, new in NAMES.items():
        for one, other in zip(solved[0].q[old], solved[1].q[new], strict=True):
            assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert depth == 2 or np.abs(solved[0].q["A"][1]).max() > 0


@pytest.mark.parametrize("depth", [2, 3])
def test_nor_do_they_change_fluctuations(depth):
    results = []
    for names in ({}, NAMES):
        plain, asked = problem(depth, names)
        options = Options(
            asked.grids[0].kept, 2, True, ("Theta", "Phi", "G"), False, partial(loss_derivative, asked.flow, asked.data),
            losses_of(asked.flow, asked.data),
        )  # fmt: skip
        way = fluctuate if depth == 2 else fluctuate_deep
        results.append(way(plain if depth == 2 else resolved(plain), np.random.default_rng(0), options))
    assert results[0].keys() == results[1].keys()
    for name, value in results[0].items():
        assert_allclose(value, results[1][name], rtol=1e-8, atol=1e-10 * np.abs(value).max())


def test_a_system_with_two_overlaps_of_a_vector_is_refused():
    found = dynamics(flow(2))
    twice = next(s for s in found.statements if s.name == "Phi")
    other = renamed(replace(found, statements=(twice,)), {"Phi": "C"}).statements
    with pytest.raises(InvalidArgument, match="2 order parameters as overlap of phi"):
        replace(found, statements=(*found.statements, *other)).schema.overlap("phi")
