"""Tiles of matrices as NumPy calls that write into buffers, against the expressions themselves."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

from widthwise.numerics.codegen.elementwise import (
    PARALLEL,
    UFUNCS,
    Correlation,
    compile_tile,
    correlation,
    inverse,
)
from widthwise.theory.language.errors import NotAvailable

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(4)
row, column, number = sp.symbols("row column c", positive=True)
K, T = sp.symbols("K T", real=True)
ROWS, COLUMNS = RNG.uniform(0.5, 2, (6, 1)), RNG.uniform(0.5, 2, (1, 5))
rho = Correlation(K / (row * column))

EXPRESSIONS = {
    "sum": row + column + K - 2 * T + 3,
    "product": K * T / (row * column) * 2,
    "negative": -(row * K - T),
    "powers": K**3 + T**2 / row + sp.sqrt(row) ** 3 + 1 / (1 + K**2),
    "no matrix": row**2 - column,
    "a number": number * row * column + number,
    "exponential": sp.exp(-(row**2) / 2 - column**2 / 2 + K / 4),
    "arc": row * column * (sp.sqrt(1 - rho**2) + (sp.pi - sp.acos(rho)) * rho) / (2 * sp.pi),
    "functions": sp.tanh(K) + sp.sin(T) * sp.cosh(K) - sp.erf(T),
    "real power": (2 + K**2) ** number,
}


def evaluated(tile, matrices, **numbers):
    given = [m.copy() for m in matrices]
    work = [np.empty_like(given[0]) for _ in range(tile.buffers)]
    return tile.run(ROWS, COLUMNS, *given, work, **numbers)


def slow(expr, matrices, c):
    """Each entry by itself, in fifteen digits."""
    found = np.empty(matrices[0].shape)
    plain = expr.replace(Correlation, lambda x: x)
    for i, j in np.ndindex(found.shape):
        at = {row: ROWS[i, 0], column: COLUMNS[0, j], K: matrices[0][i, j], T: matrices[1][i, j], number: c}
        found[i, j] = float(plain.subs(at).evalf(17))
    return found


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_tile_is_its_expression_entry_by_entry(name):
    matrices = RNG.uniform(-0.2, 0.2, (2, 6, 5))
    tile = compile_tile([EXPRESSIONS[name]], [row], [column], [K, T])
    numbers = {"c": 1.3} if tile.scalars else {}
    (found,) = evaluated(tile, matrices, **numbers)
    assert_allclose(found, slow(EXPRESSIONS[name], matrices, 1.3), rtol=1e-13, atol=1e-15)


def test_several_expressions_share_what_they_have_in_common():
    """All at once is each alone; no line is computed twice, and memory is lent on."""
    expressions = [EXPRESSIONS[n] for n in ("sum", "arc", "functions")]
    matrices = RNG.uniform(-0.2, 0.2, (2, 6, 5))
    tile = compile_tile(expressions, [row], [column], [K, T])
    alone = [compile_tile([e], [row], [column], [K, T]) for e in expressions]
    for together, one in zip(evaluated(tile, matrices), alone, strict=True):
        assert_allclose(together, evaluated(one, matrices)[0], rtol=1e-15)
    lines = [line.split(" = ")[-1].split(", out=")[0] for line in tile.source.splitlines() if "np." in line]
    pure = [line for line in lines if "(" in line and "b" not in line.split("(", 1)[1]]
    assert len(set(pure)) == len(pure)
    assert tile.buffers <= 8


def test_correlations_end_at_one():
    x = np.array([[0.3, 1 - 1e-16, 1 + 1e-12, -1 - 1e-12, PARALLEL - 1e-15]])
    assert correlation(x).tolist() == [[0.3, 1.0, 1.0, -1.0, PARALLEL - 1e-15]]
    assert inverse(np.array([0.0, 4.0])).tolist() == [0.0, 0.25]


def test_an_input_without_variance_has_no_correlation():
    tile = compile_tile([rho], [row], [column], [K, T])
    given = [np.zeros((6, 5)), np.zeros((6, 5))]
    rows = ROWS.copy()
    rows[2] = 0.0
    (found,) = tile.run(rows, COLUMNS, *given, [np.empty((6, 5)) for _ in range(tile.buffers)])
    assert not found.any()


def test_a_function_without_a_rule_is_refused():
    with pytest.raises(NotAvailable, match="gamma has no elementwise rule; allowed: "):
        compile_tile([sp.gamma(K)], [row], [column], [K])
    assert sp.tanh in UFUNCS
