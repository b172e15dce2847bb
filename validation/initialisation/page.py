"""The page of networks at initialisation: figures over depth, the settings, the derived recursions and the generated code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ...theory.language import latex
from ...theory.networks.architecture import HYPERPARAMETERS
from ..confrontation.report import Report
from ..reports import figures as common
from ..reports import mathml
from ..reports.sheets import Sheet
from . import equations, figures

TEMPLATE = "initialisation/page.html.jinja"
DRAWINGS: Mapping[str, Any] = common.DRAWINGS


def draw(report: Report, names: list[str], sheet: Sheet) -> list[Axes]:
    """Theory and simulation over depth, with residuals in sigmas.

    Equation
        Lines are the theory. A point at distance x left of its layer is a measurement at width n, x proportional to
        1/n, so that a straight line through such points meets the layer at 1/n = 0, where the extrapolation stands.
    Shapes
        A panel for each quantity. With several inputs, representative entries in array order.
    Units
        Error bars are one standard error; red marks are the lines beyond which a comparison fails.
    """
    return figures.overview(report, names, sheet)


def context(report: Report) -> dict[str, Any]:
    """The parts of the page beyond the common ones."""
    net, single = report.subject, len(report.X) == 1
    return {
        "title": f"Theory against simulation: {net.activation_names}, depth {net.depth}",
        "setup": dict(_setup(report)),
        "equations": list(equations.shown(net, report.quantities, single, report.equations)),
        "given": report.equations is not None,
        "remark": equations.remark(net),
        "single": single,
        "code": equations.code(net, report.quantities, single, report.equations),
    }


def _setup(report: Report) -> Iterator[tuple[str, Any]]:
    """The settings of the comparison, as pairs of a label and its text."""
    net, attrs = report.subject, report.data.attrs
    yield "network", net.written
    for activation in net.distinct_activations:
        label = f"activation {activation.name}" if net.activations else "activation"
        yield label, mathml.math(rf"\sigma(z) = {latex.tex(activation.expr)}")
    yield "layers of weights", net.depth
    for name in (n for n in HYPERPARAMETERS if getattr(net, n) is not None):
        values = net.per_layer(name)
        text = f"{values[0]:g} in every layer" if len(set(values)) == 1 else ", ".join(f"{v:g}" for v in values)
        yield name, text
    yield "weights", attrs["weights"]
    yield "widths simulated", ", ".join(_widths(row) for row in report.data["hidden_widths"].values)
    yield "networks at each width", ", ".join(f"{n:,}" for n in np.atleast_1d(attrs["networks"]))
    yield "seeds", ", ".join(map(str, np.atleast_1d(attrs["seeds"])))
    yield "neurons of each layer that enter the NTK", attrs.get("neurons", "all")
    yield "inputs", f"{len(report.X)} of {report.X.shape[1]} features"
    error = attrs["average_error"]
    yield "largest estimated error of a Gaussian average", f"{error:.1e}" if error else "none: closed forms"
    if attrs.get("left_out"):
        yield "left out", "; ".join(str(attrs["left_out"]).splitlines())


def _widths(hidden: NDArray[np.float64]) -> str:
    """One number for equal hidden widths, all of them in brackets otherwise."""
    if len(set(hidden)) == 1:
        return f"{hidden[0]:g}"
    return "(" + ", ".join(f"{n:g}" for n in hidden) + ")"
