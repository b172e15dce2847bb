"""The page of networks in training: curves and heat maps, the settings, and the derived equations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...theory.language import latex
from ...theory.language.equations import page_rows
from ...theory.training.dynamics import dynamics
from ...theory.training.fields import in_order
from ..confrontation.report import Report
from ..reports import figures as common
from ..reports import mathml
from . import figures

TEMPLATE = "training/page.html.jinja"
DRAWINGS: Mapping[str, Any] = {"sigmas": common.histogram, "kernels": figures.kernels}


def figure(report: Report, name: str | None) -> Figure:
    """Quantities against time, theory as lines and networks as points."""
    return figures.curves(report, [name] if name else report.quantities)


def context(report: Report) -> dict[str, Any]:
    """The parts of the page beyond the common ones."""
    found = dynamics(report.subject)
    every = (*found.values(), *found.boundaries, *found.optimizer)
    rows = page_rows([latex.display(eq.lhs, in_order(eq.rhs)) for eq in every])
    return {
        "title": f"Training, theory against networks: {report.subject.net.activation_names}, depth {report.subject.net.depth}",
        "setup": dict(_setup(report)),
        "kernels": common.uri(figures.kernels(report)) if "Phi" in report.quantities else None,
        "equations": mathml.equations(rows),
    }


def _setup(report: Report) -> Iterator[tuple[str, Any]]:
    """The settings of the comparison, as pairs of a label and its text."""
    attrs = report.data.attrs
    yield "network", repr(report.subject)
    yield "widths simulated", ", ".join(f"{n:g}" for n in report.data["width"].values)
    yield "networks at each width", ", ".join(f"{n:,}" for n in np.atleast_1d(attrs["networks"]))
    yield "seeds", ", ".join(map(str, np.atleast_1d(attrs["seeds"])))
    yield "steps", f"{attrs['step']:g} in units of time"
    if not attrs["exact"]:
        yield "sites of the theory", f"{attrs['replicas']} replicas of {attrs['samples']:,}"
