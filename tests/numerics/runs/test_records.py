"""Running moments, datasets of results, and values that hold arrays."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import sympy as sp
import xarray as xr
from numpy.testing import assert_allclose

from widthwise.numerics.runs.inputs import check_inputs
from widthwise.numerics.runs.moments import RunningMoments
from widthwise.numerics.runs.progress import Progress
from widthwise.numerics.runs.results import Result, dataset
from widthwise.numerics.runs.store import Store
from widthwise.numerics.runs.values import Value, same
from widthwise.numerics.runs.version import version
from widthwise.theory.language.errors import InvalidArgument, InvalidInput
from widthwise.theory.language.quantities import TENSORS
from widthwise.theory.training.observables import TRAINING

pytestmark = pytest.mark.quick

RNG = np.random.default_rng(0)


def test_running_moments_are_those_of_all_values():
    """Far from zero too, where a sum of squares would have lost its digits."""
    values = 1e8 + RNG.normal(size=(50, 3, 2))
    moments = RunningMoments()
    for value in values:
        moments.add({"f": value})
    assert_allclose(moments.mean["f"], values.mean(axis=0), rtol=1e-15)
    assert_allclose(moments.stderr("f"), values.std(axis=0, ddof=1) / np.sqrt(50), rtol=1e-7)
    naive = np.sqrt(np.maximum((values**2).mean(axis=0) - values.mean(axis=0) ** 2, 0) / 49)
    assert not np.allclose(naive, moments.stderr("f"), rtol=1e-3)  # the negative control
    single = RunningMoments()
    single.add({"f": values[0]})
    assert not single.stderr("f").any()


class Subject:
    attrs = {"depth": 3}


def test_a_dataset_has_the_axes_of_its_rows_and_their_errors():
    row = TENSORS["K"]
    value = RNG.normal(size=tuple(range(2, 2 + len(row.dims))))
    coords = {row.dims[0]: np.arange(value.shape[0]), "nothing": [1, 2]}
    found = dataset(Subject(), [Result(row, value, value / 9, value / 99)], coords, seed=5)
    assert found.K.dims == found.K_stderr.dims == found.K_step_error.dims == row.dims
    assert_allclose(found.K_stderr, value / 9)
    assert found.attrs == {"version": version(), "depth": 3, "seed": 5}
    assert "nothing" not in found.coords
    assert (found.K.attrs["long_name"], found.K.attrs["order"]) == (row.meaning, row.order)


def test_the_axes_of_a_single_output_are_left_out():
    row = TRAINING["f"]
    value = RNG.normal(size=[1 if d == "output" else 3 for d in row.dims])
    whole, single = (dataset(Subject(), [Result(row, value)], {}, single=s) for s in (False, True))
    assert "output" in whole.f.dims
    assert "output" not in single.f.dims
    assert_allclose(single.f.values, value.squeeze())


def test_a_store_keeps_what_was_computed(tmp_path):
    calls = []
    store = Store(tmp_path, ("a", np.arange(3)), code="1")
    for _ in range(2):
        assert store(7, lambda: calls.append(1) or {"x": np.eye(2)})["x"].tolist() == np.eye(2).tolist()
    assert len(calls) == 1
    assert Store(tmp_path, ("a", np.arange(4)), code="1").find(7) is None
    assert Store(None, (), code="1").find(7) is None
    store.path(7).write_bytes(b"half")
    with pytest.raises(InvalidArgument, match="cannot be read"):
        store.find(7)


@dataclass(eq=False)
class Held(Value):
    array: np.ndarray
    table: pd.DataFrame
    data: xr.Dataset
    more: tuple


def held(x=1.0):
    return Held(
        np.array([x, np.nan]), pd.DataFrame({"a": [x]}), xr.Dataset({"b": ("t", [x])}), ({"c": sp.Symbol("s")}, x)
    )


def test_values_compare_by_what_they_hold():
    assert held() == held()
    assert held() != held(2.0)
    assert same(float("nan"), float("nan"))
    assert not same(np.array([1]), np.array([1.0]))
    assert not same((1, 2), [1, 2])
    assert not same({"a": 1}, {"b": 1})
    with pytest.raises(TypeError, match="unhashable"):
        hash(held())


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1.0, 2.0], r"X has shape \(2,\); allowed: \(m, n_0\)"),
        ([[1.0, float("inf")]], r"X\[0, 1\]=inf is not finite"),
        ([["a"]], "allowed: real numbers"),
        ([[1.0], [1.0, 2.0]], "is not rectangular"),
        (np.zeros((0, 3)), r"shape \(0, 3\)"),
    ],
)
def test_inputs_are_matrices_of_finite_numbers(X, message):
    with pytest.raises(InvalidInput, match=message):
        check_inputs(X)


def test_inputs_are_taken_as_floats():
    found = check_inputs([[1, 2], [3, 4]])
    assert (found.dtype, found.flags.c_contiguous) == (np.float64, True)


def test_progress_counts_and_is_silent_unless_asked(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Progress("work", 3, False) as progress:
            for _ in range(3):
                progress.advance()
    assert progress.done == 3
    assert capsys.readouterr().err == ""
