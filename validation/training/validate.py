"""The verb ``validate`` for training: theory and literal networks on the same axes, extrapolated in 1/N, judged in sigmas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from ...numerics.fluctuations.predict import fluctuating
from ...numerics.training.data import Data
from ...numerics.training.predict import predicted
from ...numerics.training.question import question
from ...numerics.training.results import MEASURED
from ...theory.language.checks import check_counts, check_names
from ...theory.language.errors import InvalidArgument
from ...theory.training.dynamics import Dynamics
from ...theory.training.observables import TRAINING
from ...theory.training.subject import Training
from ..confrontation.again import alike, arguments
from ..confrontation.compare import compare
from ..confrontation.report import Report
from ..confrontation.verdict import RESOLUTION, check_alpha, check_resolution
from .simulate import simulated

#: Of the theory of fluctuations, those that networks can be confronted with.
VARIANCES = {"f_variance": "f", "Theta_variance": "Theta"}
SHIFTS = {name: row.slope_of for name, row in TRAINING.items() if row.slope_of}
COMPARED = (*MEASURED, *VARIANCES, *SHIFTS)
DEFAULT_WIDTHS = (128, 256, 512)
#: The module with the figures and texts of the report.
PAGE = "widthwise.validation.training.page"


def validate_training(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: ArrayLike,
    X_test: ArrayLike | None = None,
    widths: Sequence[int] = DEFAULT_WIDTHS,
    networks: int | Sequence[int] = 32,
    quantities: str | Sequence[str] = MEASURED,
    samples: int = 4096,
    replicas: int = 16,
    seed: int = 0,
    alpha: float = 0.01,
    resolution: float = RESOLUTION,
    centred: bool = True,
    equations: Dynamics | None = None,
    hours: float | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> Report:
    r"""Confront the derived equations of training with literal networks.

    Equation
        Numbers are measured at several widths N and extrapolated, :math:`y(N)=c_0+c_1/N` (and :math:`c_2/N^2` from four on);
        :math:`(c_0-\mathrm{theory})/\mathrm{stderr}` is judged, with the errors of both. For shifts of the mean :math:`c_1`, with
        :math:`c_2/N^2` left free and the prediction as the measurement at infinite width.
    Shapes
        As ``predict`` and ``simulate``; ``networks`` at each width, or one number for each. ``quantities`` beside theirs:
        "f_variance", "Theta_variance", N times the variance over initialisations, and "f1", "loss1", N times the shift of the mean,
        confronted with ``fluctuations``.
    Units
        Those of ``predict``.
    Valid
        A true theory fails with probability at most ``alpha``; for variances, whose estimates are skewed, about that from some
        hundred networks on. Shifts want thousands of narrow networks, and ``samples`` times ``replicas`` above their number times
        the width, so that the noise of the prediction stays below theirs. Where networks or replicas are few, only
        large deviations are failed. A quantity with error bars above ``resolution``, relative to its predictions, may fail but
        not pass: it is not tested. ``hours`` are those of ``predict`` and ``fluctuations``. ``equations`` puts another system in
        the place of the derived one: a negative control.
    Errors
        Those of ``predict`` and ``simulate``; ``InvalidArgument`` for fewer than two widths, and for variances or shifts with
        ``equations``.
    Source
        Student's t for errors from several samples (Cochran and Cox, Experimental Designs, 1950); Bonferroni.
    """
    check_alpha(alpha)
    check_resolution(resolution)
    if isinstance(widths, str) or not isinstance(widths, Iterable) or len(set(widths)) < 2:
        raise InvalidArgument(f"widths={widths!r}; allowed: at least two different widths")
    counts = check_counts("networks", networks, len(widths), 2, of="widths", why="a standard error needs at least 2")
    names = check_names("quantities", quantities, COMPARED, "cannot be measured")
    means, finite = (tuple(n for n in names if (n in MEASURED) == is_mean) for is_mean in (True, False))
    if finite and equations is not None:
        raise InvalidArgument(
            f"quantities={quantities!r} with equations=: {finite[0]} is that of derive(flow); allowed: {', '.join(MEASURED)}"
        )
    asked = question(flow, X, y, times=times, X_test=X_test, equations=equations)
    common: dict[str, Any] = {"seed": seed, "checkpoint": checkpoint, "progress": progress}
    crew: dict[str, Any] = {"workers": workers, "executor": executor}
    measured = tuple(dict.fromkeys((VARIANCES | SHIFTS).get(n, n) for n in names))
    theory = predicted(asked, quantities=means, samples=samples, replicas=replicas, hours=hours, **common)
    if finite:
        rows = tuple(VARIANCES.get(n, n) for n in finite)
        found = fluctuating(asked, quantities=rows, centred=centred, replicas=replicas, hours=hours, **common)
        theory = theory.assign(found[[key for n in finite for key in (n, f"{n}_stderr")]].data_vars)
    simulations = [
        simulated(asked, quantities=measured, width=n, networks=c, centred=centred, **crew, **common)
        for n, c in zip(widths, counts, strict=True)
    ]
    return confront(flow, theory, simulations, alpha=alpha, resolution=resolution, data=asked.data, equations=equations)


def confront(
    flow: Training, theory: xr.Dataset, simulations: Sequence[xr.Dataset], *, alpha: float, resolution: float = RESOLUTION,
    data: Data | None = None, equations: Dynamics | None = None,
) -> Report:  # fmt: skip
    """The report on a theory and simulations at several widths, as ``validate`` makes it, with the data that were trained on."""
    runs = {
        "seeds": [int(s.attrs["seed"]) for s in simulations],
        "centred": int(simulations[0].attrs.get("centred", 1)),
    }
    return compare(
        TRAINING.values(), theory, simulations, subject=flow, alpha=alpha, resolution=resolution, page=PAGE,
        arrays={} if data is None else _arrays(data), attrs=theory.attrs | {"source": "theory and networks"} | runs
        | {"arguments": _arguments(flow, theory, simulations, alpha, resolution)},
        equations=equations,
    )  # fmt: skip


def _arrays(data: Data) -> dict[str, Any]:
    """Inputs and labels: samples that are not trained on have none, and come last."""
    labels = np.full((len(data.inputs), len(data.labels)), np.nan)
    labels[: data.trained] = data.labels.T
    return {
        "X": (("input", "feature"), data.inputs, {"long_name": "inputs, those without a label last"}),
        "y": (("input", "label"), labels, {"long_name": "labels"}),
    }


def _arguments(
    flow: Training, theory: xr.Dataset, simulations: Sequence[xr.Dataset], alpha: float, resolution: float
) -> str:
    """Those of ``validate`` that make the report again; times are steps where there is a learning rate."""
    runs, rate = [s.attrs for s in simulations], flow.learning_rate
    times = theory["time"].values.tolist()
    return arguments(
        times=times if rate is None else [round(t / rate) for t in times], widths=tuple(a["width"] for a in runs),
        networks=alike([a["networks"] for a in runs]), seed=runs[0]["seed"],
        quantities=tuple(str(n) for n in theory.data_vars if n in COMPARED), samples=theory.attrs.get("samples"),
        replicas=theory.attrs["replicas"], centred=bool(runs[0].get("centred", 1)), alpha=alpha, resolution=resolution,
    )  # fmt: skip
