"""Tables of averages over inputs: more sites than quadrature takes, of few inputs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from widthwise.numerics.quadrature.tables import MOST, tables

K = np.array([[0.8, 0.3], [0.3, 0.5]])


def sines(z, order):
    return [np.sin(z + k * np.pi / 2) for k in range(order + 1)]


def moment(at):
    """<sin z_a sin z_b ...> by Euler's formula: an average over signs of exp(-variance/2)."""
    total = 0.0
    for s in product((-1, 1), repeat=len(at)):
        weight = np.zeros(2)
        np.add.at(weight, list(at), s)
        total += np.prod(s) * np.exp(-weight @ K @ weight / 2)
    return total / (2j) ** len(at)


def test_six_sites_of_two_inputs_are_two_sites():
    term = ((0,),) * 6, (0,) * 6
    found, error = tables(sines, K, {"E": term}, diagonal=True)
    assert error < 1e-9
    for at in product((0, 1), repeat=6):
        assert_allclose(found["E"][at], moment(at).real, rtol=1e-9)
    mixed, _ = tables(sines, K, {"E": (((0,), (1,), (0, 0), (0,), (1,)), (0,) * 5)}, diagonal=True)
    pair, _ = tables(sines, K, {"E": (((0, 0, 0), (0, 1, 1)), (0, 0))}, diagonal=True)
    assert_allclose(mixed["E"][0, 1, 0, 1, 1], pair["E"][0, 1], rtol=1e-9)


def test_more_inputs_than_quadrature_couples_are_refused():
    with pytest.raises(ValueError, match="couples 5 of them at once; needed: at most 4"):
        tables(sines, np.eye(5), {"E": (((0,),) * 5, (0,) * 5)}, diagonal=True)
    assert MOST == 4
