"""Datasets of results, for any system: the one place where arrays get names, axes, errors, and attributes to make them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...theory.language.observables import Observable, letter
from .version import version

Array = NDArray[np.float64]
Variable = tuple[tuple[str, ...], Array, dict[str, Any]]

#: The axes of a system with one output, which are left out.
SINGLE = ("output", "output2")


class DatasetSubject(Protocol):
    """The subject of a dataset."""

    @property
    def attrs(self) -> dict[str, Any]:
        """The arguments of the subject, as numbers, strings and lists that a file can hold."""


@dataclass(frozen=True)
class Result:
    """The array of an observable, with all its axes, and its errors where it has any."""

    row: Observable
    value: Array
    stderr: Array | None = None
    step_error: Array | None = None  #: the difference between two steps of gradient flow
    dof: float | None = None  #: degrees of freedom of the error, where they are not those that ``groups`` say

    def variables(self, single: bool) -> dict[str, Variable]:
        """The variables of a dataset; ``single``: without the axes of the only output."""
        name, meaning = self.row.name, self.row.meaning
        described = {"long_name": meaning, "latex": letter(self.row), "order": self.row.order, "units": "1"}
        found = {name: (self.value, described)}
        if self.stderr is not None:
            known: dict[str, Any] = {} if self.dof is None else {"dof": self.dof}
            found[f"{name}_stderr"] = (self.stderr, known | {"long_name": f"standard error of {name}"})
        if self.step_error is not None:
            found[f"{name}_step_error"] = (self.step_error, {"long_name": f"difference between two steps of {name}"})
        return {key: _squeezed(self.row.dims, *rest, single) for key, rest in found.items()}


def _squeezed(dims: tuple[str, ...], value: Array, attrs: dict[str, Any], single: bool) -> Variable:
    if single:
        value = value.squeeze(axis=tuple(i for i, d in enumerate(dims) if d in SINGLE))
        dims = tuple(d for d in dims if d not in SINGLE)
    return dims, value, attrs


def dataset(
    subject: DatasetSubject,
    results: Iterable[Result],
    coords: Mapping[str, Any],
    *,
    single: bool = False,
    more: Mapping[str, Variable] | None = None,
    **attrs: Any,
) -> xr.Dataset:
    """The dataset of some results.

    Shapes
        A variable for each observable, ``<name>_stderr`` and ``<name>_step_error`` beside it, on the axes of its row. ``coords``
        without an axis are left out. ``single``: the system has one output, whose axes are left out.
    Units
        ``order`` of a variable is the power of 1/width that multiplies it in the observables of a finite system.
    Valid
        ``attrs`` hold the version, all hyperparameters of the subject, and attributes of the caller: seeds, counts, steps.
    """
    variables: dict[str, Variable] = {}
    for result in results:
        variables |= result.variables(single)
    variables |= dict(more or {})
    used = {d for dims, *_ in variables.values() for d in dims}
    kept = {name: value for name, value in coords.items() if _axes(name, value) <= used}
    return xr.Dataset(variables, kept, {"version": version()} | subject.attrs | attrs)


def left_out(reasons: Mapping[str, str]) -> str:
    """What a result leaves out and why, as text that every file format holds: one line for each name, ``name: reason``."""
    return "\n".join(f"{name}: {' '.join(reason.split())}" for name, reason in reasons.items())


def _axes(name: str, coordinate: Any) -> set[str]:
    """The axes that a coordinate labels: its own, or those that stand beside its values."""
    return {coordinate[0]} if isinstance(coordinate, tuple) else {name}
