"""The signatures of the verbs, one for each system; written by tests/signatures.py from the functions themselves."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, overload

import xarray as xr
from numpy.typing import ArrayLike

from .numerics.codegen.modules import Compiled
from .numerics.initialisation.given import Given
from .numerics.training.sites import SiteFunctions
from .systems import Subject
from .theory.initialisation.derivation import Recursions
from .theory.initialisation.residual import CrossLayer
from .theory.layers.map import LayerMap
from .theory.networks.architecture import MLP
from .theory.training.dynamics import Dynamics
from .theory.training.subject import Training
from .validation.confrontation.report import Report

@overload
def derive(
    net: MLP,
    /,
    name: str | Sequence[str] | None = None,
    *,
    samples: int | Sequence[str] | None = None,
    order: int | None = None,
    layer: LayerMap | None = None,
) -> Recursions | CrossLayer: ...
@overload
def derive(flow: Training, /) -> Dynamics: ...
@overload
def derive(subject: Subject, /, *arguments: Any, **options: Any) -> Any: ...
@overload
def compile(equations: Recursions | CrossLayer, /, *, target: str = "numpy", nodes: int | None = None) -> Compiled: ...
@overload
def compile(found: Dynamics, /) -> SiteFunctions: ...
@overload
def compile(subject: Subject, /, *arguments: Any, **options: Any) -> Any: ...
@overload
def predict(
    net: MLP,
    /,
    X: ArrayLike,
    quantities: str | Sequence[str] | None = None,
    *,
    order: int = 1,
    equations: Given | None = None,
    hours: float | None = None,
    progress: bool | None = None,
) -> xr.Dataset: ...
@overload
def predict(
    flow: Training,
    /,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: ArrayLike,
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = ...,
    samples: int = 4096,
    replicas: int = 8,
    seed: int = 0,
    equations: Dynamics | None = None,
    hours: float | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset: ...
@overload
def predict(subject: Subject, /, *arguments: Any, **options: Any) -> Any: ...
@overload
def simulate(
    net: MLP,
    /,
    X: Any,
    *,
    networks: int = 1000,
    seed: int = 0,
    quantities: str | Iterable[str] | None = None,
    neurons: int | None = None,
    limits: Mapping[str, Any] | None = None,
    jets: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset: ...
@overload
def simulate(
    flow: Training,
    /,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: ArrayLike,
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = ...,
    networks: int = 16,
    width: int | None = None,
    seed: int = 0,
    centred: bool = True,
    workers: int | None = None,
    executor: Executor | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset: ...
@overload
def simulate(subject: Subject, /, *arguments: Any, **options: Any) -> Any: ...
@overload
def validate(
    net: MLP,
    /,
    X: ArrayLike,
    *,
    widths: Sequence[int | Sequence[int]] | None = None,
    networks: int | Sequence[int] = 10000,
    seed: int = 0,
    quantities: str | Sequence[str] | None = None,
    alpha: float = ...,
    resolution: float = ...,
    neurons: int | None = None,
    equations: Given | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Report: ...
@overload
def validate(
    flow: Training,
    /,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: ArrayLike,
    X_test: ArrayLike | None = None,
    widths: Sequence[int] = ...,
    networks: int | Sequence[int] = 32,
    quantities: str | Sequence[str] = ...,
    samples: int = 4096,
    replicas: int = 16,
    seed: int = 0,
    alpha: float = 0.01,
    resolution: float = ...,
    centred: bool = True,
    equations: Dynamics | None = None,
    hours: float | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> Report: ...
@overload
def validate(subject: Subject, /, *arguments: Any, **options: Any) -> Any: ...
@overload
def fluctuations(
    flow: Training,
    /,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: ArrayLike,
    X_test: ArrayLike | None = None,
    quantities: str | Sequence[str] = ("f", "Theta", "f1", "loss1"),
    centred: bool = True,
    samples: int | None = None,
    directions: int | None = None,
    draws: str | Sequence[str] = (),
    replicas: int = 8,
    seed: int = 0,
    equations: Dynamics | None = None,
    hours: float | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset: ...
@overload
def fluctuations(subject: Subject, /, *arguments: Any, **options: Any) -> Any: ...
