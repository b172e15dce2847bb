"""The verb ``validate`` for training: theory and literal networks on the same axes, extrapolated in 1/N, judged in sigmas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ...numerics.fluctuations.predict import fluctuations
from ...numerics.training.predict import predict_training
from ...numerics.training.results import MEASURED
from ...theory.language.checks import check_names
from ...theory.language.errors import InvalidArgument
from ...theory.training.dynamics import Dynamics
from ...theory.training.subject import Training
from ..confrontation.report import Judged
from ..confrontation.verdict import Extrapolation, check_alpha, extrapolate, judge, p_values, sigmas
from .simulate import simulate_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
#: What is confronted with the theory of fluctuations, by what it is the scatter or the shift of.
VARIANCES = {"f_variance": "f", "NTK_variance": "NTK"}
SHIFTS = {"f1": "f", "loss1": "loss"}
COMPARED = (*MEASURED, *VARIANCES, *SHIFTS)
DEFAULT_WIDTHS = (128, 256, 512)
#: With this many widths two orders are left free instead of one.
ENOUGH_FOR_TWO = 4


@dataclass(frozen=True)
class TrainingReport(Judged):
    """What ``validate`` found for a network in training.

    Shapes
        table: one row for each comparison. data: the theory, and ``<name>_measured`` (width, ...), ``<name>_extrapolated``,
        each with its ``_stderr``; ``<name>_sigmas``.
    Units
        Those of ``predict``.
    Valid
        As ``verdict`` says: the false-alarm rate is that of the whole family of comparisons.
    """

    flow: Training

    @property
    def quantities(self) -> tuple[str, ...]:
        """The quantities compared."""
        return tuple(name for name in COMPARED if f"{name}_sigmas" in self.data)

    def plot(self, name: str | None = None) -> Figure:
        """Loss, predictions and kernels, theory beside networks; ``"kernels"``: heat maps; ``"sigmas"``: their histogram."""
        from . import page as figures

        drawings = {None: figures.curves, "kernels": figures.kernels, "sigmas": figures.histogram}
        if name not in drawings:
            raise InvalidArgument(f"name={name!r}; allowed: None, 'kernels', 'sigmas'")
        return drawings[name](self)

    def to_html(self, path: str | Path) -> Path:
        """One self-contained page: verdict, figures, derived equations and the table."""
        from . import page as figures

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(figures.page(self), encoding="utf-8")
        return path


def validate_training(
    flow: Training,
    X: ArrayLike,
    y: ArrayLike,
    *,
    times: Any,
    X_test: ArrayLike | None = None,
    widths: Sequence[int] = DEFAULT_WIDTHS,
    networks: int | Sequence[int] = 32,
    quantities: str | Sequence[str] = MEASURED,
    samples: int = 4096,
    replicas: int = 16,
    seed: int = 0,
    alpha: float = 0.01,
    centred: bool = True,
    equations: Dynamics | None = None,
    workers: int | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> TrainingReport:
    r"""Confront the derived equations of training with literal networks.

    Equation
        Numbers are measured at several widths N and extrapolated, :math:`y(N)=c_0+c_1/N` (and :math:`c_2/N^2` from four on);
        :math:`(c_0-\mathrm{theory})/\mathrm{stderr}` is judged, with the errors of both. For shifts of the mean :math:`c_1`, with
        :math:`c_2/N^2` left free and the prediction as the measurement at infinite width.
    Shapes
        As ``predict`` and ``simulate``; ``networks`` at each width, or one number for each. ``quantities`` beside theirs:
        "f_variance", "NTK_variance", N times the variance over initialisations, and "f1", "loss1", N times the shift of the mean,
        confronted with ``fluctuations``.
    Units
        Those of ``predict``.
    Valid
        A true theory fails with probability at most ``alpha``; for variances, whose estimates are skewed, about that from some
        hundred networks on. Shifts want thousands of narrow networks, and ``samples`` times ``replicas`` above their number times
        the width, so that the noise of the prediction stays below theirs. Where networks or replicas are few, only
        large deviations are failed. ``equations`` puts another system in the place of the derived one: a negative control.
    Errors
        Those of ``predict`` and ``simulate``; ``InvalidArgument`` for fewer than two widths, and for variances or shifts with
        ``equations``.
    Source
        Student's t for errors from several samples (Cochran and Cox, Experimental Designs, 1950); Bonferroni.
    """
    check_alpha(alpha)
    counts = [networks] * len(widths) if isinstance(networks, int) else list(networks)
    if len(set(widths)) < 2 or len(counts) != len(widths):
        raise InvalidArgument(
            f"widths={tuple(widths)!r}, networks={networks!r}; allowed: at least two different widths, and one number of "
            "networks or one for each"
        )
    names = check_names("quantities", quantities, COMPARED, "cannot be measured")
    means, finite = (tuple(n for n in names if (n in MEASURED) == is_mean) for is_mean in (True, False))
    if finite and equations is not None:
        raise InvalidArgument(
            f"quantities={quantities!r} with equations=: {finite[0]} is that of derive(flow); allowed: {', '.join(MEASURED)}"
        )
    common: dict[str, Any] = {"times": times, "X_test": X_test, "seed": seed}
    common |= {"checkpoint": checkpoint, "progress": progress}
    measured = tuple(dict.fromkeys((VARIANCES | SHIFTS).get(n, n) for n in names))
    theory = predict_training(
        flow, X, y, quantities=means, samples=samples, replicas=replicas, equations=equations, **common
    )
    if finite:
        asked = tuple(VARIANCES.get(n, n) for n in finite)
        found = fluctuations(flow, X, y, quantities=asked, centred=centred, replicas=replicas, **common)
        theory = theory.assign(found[[key for n in finite for key in (n, f"{n}_stderr")]].data_vars)
    simulations = [
        simulate_training(
            flow, X, y, quantities=measured, width=n, networks=c, centred=centred, workers=workers, **common
        )
        for n, c in zip(widths, counts, strict=True)
    ]
    return compare(flow, theory, simulations, alpha=alpha)


def compare(flow: Training, theory: xr.Dataset, simulations: Sequence[xr.Dataset], *, alpha: float) -> TrainingReport:
    """The report on a theory and simulations at several widths."""
    widths = np.array([s.attrs["width"] for s in simulations], dtype=float)
    tables, arrays = [], dict[str, Any]()
    for name in (n for n in COMPARED if n in theory and SHIFTS.get(n, n) in simulations[0]):
        predicted, noise = theory[name].values, theory[f"{name}_stderr"].values.ravel()
        measured, errors, fit = _measured(name, theory, simulations)
        stderr = np.hypot(fit.stderr, noise)
        variances, dof = np.vstack([fit.variances, noise**2]), [*fit.dof, max(1, theory.attrs["replicas"] - 1)]
        sigma = sigmas(predicted.ravel(), fit.value, stderr)
        columns = {"measured": fit.value, "standard_error": stderr, "sigmas": sigma}
        columns["p_value"] = p_values(sigma, variances, dof)
        tables.append(_rows(name, theory[name], columns))
        dims = theory[name].dims
        arrays |= {name: theory[name], f"{name}_stderr": theory[f"{name}_stderr"]}
        arrays |= {
            f"{name}_measured": (("width", *dims), measured),
            f"{name}_measured_stderr": (("width", *dims), errors),
        }
        for key, values in (("extrapolated", fit.value), ("extrapolated_stderr", fit.stderr), ("sigmas", sigma)):
            arrays[f"{name}_{key}"] = (dims, values.reshape(predicted.shape))
    table = pd.concat(tables, ignore_index=True)
    verdict = judge(table["p_value"].to_numpy(), alpha)
    table["passed"] = table["p_value"] >= verdict.threshold
    data = xr.Dataset(arrays, {"width": widths.astype(int)}).assign_attrs(theory.attrs)
    data.attrs |= {"alpha": alpha, "networks": [int(s.attrs["networks"]) for s in simulations]}
    return TrainingReport(table, verdict, data, flow)


def _measured(name: str, theory: xr.Dataset, simulations: Sequence[xr.Dataset]) -> tuple[Array, Array, Extrapolation]:
    """A quantity at each width with its errors, (width, ...), and the fit in 1/N."""
    widths = np.array([s.attrs["width"] for s in simulations], dtype=float)
    groups = np.array([s.attrs["groups"] for s in simulations], dtype=float)
    mean = SHIFTS.get(name, name)
    y, errors = (np.stack([s[key].values for s in simulations]) for key in (mean, f"{mean}_stderr"))
    flat = [x.reshape(len(widths), -1) for x in (y, errors)]
    if name not in SHIFTS:
        powers = (0, -1) if len(widths) < ENOUGH_FOR_TWO else (0, -1, -2)
        return y, errors, extrapolate(widths, *flat, groups=groups, powers=powers)
    limit = [theory[key].values for key in (mean, f"{mean}_stderr")]
    flat = [np.vstack([x, at.reshape(1, -1)]) for x, at in zip(flat, limit, strict=True)]
    widths, groups = np.append(widths, np.inf), np.append(groups, max(2, theory.attrs["replicas"]))
    fit = extrapolate(widths, *flat, groups=groups, powers=(0, -1, -2), power=-1)
    scale = widths[:-1].reshape(-1, *[1] * limit[0].ndim)
    return scale * (y - limit[0]), scale * errors, fit


def _rows(name: str, theory: xr.DataArray, columns: dict[str, Array]) -> pd.DataFrame:
    """One row for each entry that symmetry leaves different: kernels are symmetric under exchange of their places."""
    index = np.indices(theory.shape).reshape(theory.ndim, -1)
    where = dict(zip(map(str, theory.dims), index, strict=True))
    keep = np.ones(index.shape[1], dtype=bool)
    seconds = [d for d in where if d.endswith("2")]
    if seconds:
        sizes = [theory.sizes[d] for d in seconds]
        first, second = (
            np.ravel_multi_index([where[d] for d in ds], sizes) for ds in ([d[:-1] for d in seconds], seconds)
        )
        keep = first <= second
    labels = {d: theory[d].values[i[keep]] if d in theory.coords else i[keep] for d, i in where.items()}
    rows = zip(*labels.values(), strict=True)
    described = [", ".join(f"{d}={v:g}" for d, v in zip(labels, row, strict=True)) for row in rows]
    data = {"quantity": name, "entry": described, "predicted": theory.values.ravel()[keep]}
    return pd.DataFrame(data | {k: v[keep] for k, v in columns.items()})
