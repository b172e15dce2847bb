"""The page of networks in training: curves and heat maps, the settings, and the derived equations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ...theory.language import latex
from ...theory.language.equations import page_rows
from ...theory.networks.architecture import HYPERPARAMETERS
from ...theory.training.dynamics import dynamics
from ...theory.training.fields import in_order
from ..confrontation.report import Report
from ..reports import figures as common
from ..reports import mathml
from ..reports.sheets import Sheet, drawn
from . import figures

#: Up to so many labels are written out.
FEW_LABELS = 20
TEMPLATE = "training/page.html.jinja"
DRAWINGS: dict[str, Any] = common.DRAWINGS | {"kernels": figures.kernels}


def draw(report: Report, names: list[str], sheet: Sheet) -> list[Axes]:
    """Quantities against time, theory as lines and networks as points."""
    return figures.curves(report, names, sheet)


def context(report: Report) -> dict[str, Any]:
    """The parts of the page beyond the common ones."""
    found = dynamics(report.subject) if report.equations is None else report.equations
    every = (*found.values(), *found.boundaries, *found.optimizer)
    rows = page_rows([latex.display(eq.lhs, in_order(eq.rhs)) for eq in every])
    return {
        "title": f"Training, theory against networks: {report.subject.net.activation_names}, depth {report.subject.net.depth}",
        "setup": dict(_setup(report)),
        "kernels": common.uri(drawn(lambda sheet: figures.kernels(report, sheet)))
        if "Phi" in report.quantities
        else None,
        "given": report.equations is not None,
        "equations": mathml.equations(rows),
    }


def _setup(report: Report) -> Iterator[tuple[str, Any]]:
    """The settings of the comparison, as pairs of a label and its text."""
    flow, data, attrs = report.subject, report.data, report.data.attrs
    yield "training", flow.written
    yield "activation", mathml.math(rf"\sigma(z) = {latex.tex(flow.net.activation.expr)}")
    yield "hidden layers", flow.hidden_layers
    yield ", ".join(HYPERPARAMETERS), ", ".join(f"{getattr(flow.net, name):g}" for name in HYPERPARAMETERS)
    yield "strength of feature learning", f"gamma = {flow.gamma:g}"
    yield "loss", flow.loss.name + (f", {flow.outputs} outputs" if flow.outputs > 1 else "")
    rate = "gradient flow" if flow.continuous else f"gradient descent, learning rate {flow.learning_rate:g}"
    extra = [
        f"{name.replace('_', ' ')} {getattr(flow, name):g}"
        for name in ("momentum", "weight_decay")
        if getattr(flow, name)
    ]
    yield "rule", ", ".join([rate, *extra])
    yield "times", ", ".join(f"{t:g}" for t in data["time"].values) + f"; steps of {attrs['step']:g}"
    yield "widths simulated", ", ".join(f"{n:g}" for n in data["width"].values)
    yield "networks at each width", ", ".join(f"{n:,}" for n in np.atleast_1d(attrs["networks"]))
    yield "seeds", ", ".join(map(str, dict.fromkeys(np.atleast_1d(attrs["seeds"]).tolist())))
    yield "predictions of networks", "f - f(0)" if attrs["centred"] else "f"
    if not attrs["exact"]:
        yield "sites of the theory", f"{attrs['replicas']} replicas of {attrs['samples']:,}"
    if "y" in data:
        yield "data", _data(report)


def _data(report: Report) -> str:
    """How many inputs there are, how many of them are trained on, and the labels of these if they are few."""
    y = report.data["y"].values
    labels = y[~np.isnan(y).all(axis=1)]
    told = f"{len(y)} inputs of {report.X.shape[1]} features, {len(labels)} of them trained on"
    if labels.size <= FEW_LABELS:
        told += f", labels {', '.join(f'{v:g}' for v in labels.ravel())}"
    return told
