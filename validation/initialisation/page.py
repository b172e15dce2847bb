"""The report of a validation: table, verdict, figures and equations, and the files that it leaves."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from ...theory.language import latex
from ...theory.language.errors import InvalidArgument
from ...theory.language.quantities import TENSORS, quantity
from ...theory.networks.architecture import HYPERPARAMETERS, MLP
from ..confrontation.report import Judged
from ..reports import mathml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A LaTeX table with more rows than this is set with the package longtable.
ONE_PAGE = 42
#: Numbers outside of these powers of ten are written with a power of ten.
SMALLEST, LARGEST = -4, 5
#: Smaller numbers are rounding errors of zero, where there is no noise.
ZERO = 1e-12


@dataclass(frozen=True)
class Report(Judged):
    """What ``validate`` found.

    Shapes
        table: one row for each comparison. data: ``K`` (layer, a, b), ``K_measured`` (width, layer, a, b),
        ``K_extrapolated`` (layer, a, b) and so on, each with its ``_stderr``; ``K_sigmas``.
    Units
        Tensors of layer l multiply 1/n_(l-1); indices in the table count from 0, in the order of the array's axes.
    Valid
        As ``verdict`` says: the false-alarm rate is that of the whole family of comparisons.
    """

    net: MLP
    X: NDArray[np.float64]

    @property
    def quantities(self) -> tuple[str, ...]:
        """The quantities compared."""
        return tuple(q.name for q in TENSORS.values() if q.name in self.data)

    def plot(self, name: str | None = None) -> Figure:
        """Theory and simulation over depth, with residuals in sigmas; ``"sigmas"`` gives their histogram.

        Equation
            Lines are the theory. A point at distance x left of its layer is a measurement at width n, x proportional to
            1/n, so that a straight line through such points meets the layer at 1/n = 0, where the extrapolation stands.
        Shapes
            ``name=None``: a panel for each quantity. With several inputs, representative entries in array order.
        Units
            Error bars are one standard error; the dashed lines are the rejection threshold of the verdict.
        Errors
            ``UnknownName`` for a name that no quantity has, ``InvalidArgument`` for one that was not validated.
        """
        from ..reports import figures

        if name == "sigmas":
            return figures.histogram(self)
        if name is not None and quantity(name).name not in self.data:
            raise InvalidArgument(
                f"name={name!r} was not validated; allowed: {', '.join(self.quantities)}, 'sigmas', or None for all"
            )
        return figures.overview(self, [name] if name else list(self.quantities))

    def to_html(self, path: str | Path) -> Path:
        """One self-contained page: verdict, figures, derived equations, table and generated code.

        Valid
            The page needs no network, no script and no fonts; equations are MathML, figures are embedded.
        """
        return _write(path, _template().render(_page(self)))

    def to_latex(self, path: str | Path | None = None) -> str:
        r"""A table for a paper: one row for each quantity and layer, with its worst entry beside it.

        Units
            1.234(5) is 1.234 with a standard error of 0.005. For several inputs, the entry of equal samples 0 is shown.
        Valid
            Needs the LaTeX package booktabs, and longtable if there are more than 42 rows.
        """
        text = _latex_table(self)
        if path is not None:
            _write(path, text)
        return text


def _write(path: str | Path, text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# The page


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    # StrictUndefined: a name that the page does not get is an error, never a gap in a report.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.jinja")


def _page(report: Report) -> dict[str, Any]:
    """All that the template shows."""
    from ..reports import figures
    from . import equations

    X, single = report.X, len(report.X) == 1
    return {
        "title": f"Theory against simulation: {report.net.activation_names}, depth {report.net.depth}",
        "report": report,
        "setup": dict(_setup(report)),
        "pictures": figures.uri(figures.pictures(X), "png") if figures.drawable(X) else None,
        "inputs": [", ".join(f"{x:.4g}" for x in row) for row in X] if X.size <= 64 else [],
        "overview": figures.uri(report.plot()),
        "histogram": figures.uri(report.plot("sigmas")),
        "threshold": figures.threshold(report),
        "summary": [_summary(report, name) for name in report.quantities],
        "rows": report.ranked.to_dict("records"),
        "equations": list(equations.shown(report.net, report.quantities, single)),
        "remark": equations.remark(report.net),
        "single": single,
        "code": equations.code(report.net, report.quantities, single),
        "versions": {"Python": platform.python_version()}
        | {p: _version(p) for p in ("widthwise", "sympy", "numpy", "scipy")},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _setup(report: Report) -> Iterator[tuple[str, Any]]:
    """What was done, as pairs of a label and its text."""
    net, attrs = report.net, report.data.attrs
    yield "network", repr(net)
    for activation in net.distinct_activations:
        label = f"activation {activation.name}" if net.activations else "activation"
        yield label, mathml.math(rf"\sigma(z) = {latex.tex(activation.expr)}")
    yield "layers of weights", net.depth
    for name in HYPERPARAMETERS:
        values = net.per_layer(name)
        text = f"{values[0]:g} in every layer" if len(set(values)) == 1 else ", ".join(f"{v:g}" for v in values)
        yield name, text
    yield "weights", attrs["weights"]
    yield "widths simulated", ", ".join(_widths(row) for row in report.data["hidden_widths"].values)
    yield "networks at each width", ", ".join(f"{n:,}" for n in np.atleast_1d(attrs["networks"]))
    yield "seeds", ", ".join(map(str, np.atleast_1d(attrs["seeds"])))
    yield "neurons of each layer that enter the NTK", attrs.get("neurons", "all")
    yield "inputs", f"{len(report.X)} of {report.X.shape[1]} features"
    yield "largest estimated error of a Gaussian average", f"{attrs['average_error']:.1e}"


def _widths(hidden: NDArray[np.float64]) -> str:
    """One number for equal hidden widths, all of them in brackets otherwise."""
    if len(set(hidden)) == 1:
        return f"{hidden[0]:g}"
    return "(" + ", ".join(f"{n:g}" for n in hidden) + ")"


def _summary(report: Report, name: str) -> dict[str, Any]:
    """One line for each quantity: how many comparisons, how sharp, how far off."""
    rows = report.table[report.table["quantity"] == name]
    noisy, largest = rows[rows["sigmas"] != 0], float(rows["predicted"].abs().max())
    error = float(noisy["standard_error"].median()) / largest if len(noisy) and largest > ZERO else math.nan
    return {
        "name": name,
        "symbol": mathml.math(quantity(name).latex.replace("LAYER", "")),
        "meaning": quantity(name).meaning,
        "comparisons": len(rows),
        "error": "–" if math.isnan(error) else f"{error:.1%}" if error < 1 else "> 100%",
        "worst": float(rows["sigmas"].abs().max()),
        "failures": int((~rows["passed"]).sum()),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a source tree
        return "not installed"


# The table for a paper


def _latex_table(report: Report) -> str:
    rows = list(_latex_rows(report))
    several = len(report.X) > 1
    head = f"& layer & {'entry & ' if several else ''}predicted & measured & $\\sigma$"
    head += r" & worst entry & $\sigma$ \\" if several else r" \\"
    columns = "lrlrrrlr" if several else "lrrrr"
    caption = rf"\caption{{{_caption(report)}}}"
    if len(rows) > ONE_PAGE:
        top = [rf"\begin{{longtable}}{{{columns}}}", caption + r" \\", r"\toprule", head, r"\midrule", r"\endfirsthead"]
        top += [r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot"]
        lines = [r"% needs \usepackage{booktabs,longtable}", *top, *rows, r"\end{longtable}"]
    else:
        top = [r"\begin{table}", r"\centering", caption, r"\smallskip", rf"\begin{{tabular}}{{{columns}}}"]
        body = [r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]
        lines = [r"% needs \usepackage{booktabs}", *top, *body, r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex_rows(report: Report) -> Iterator[str]:
    """A row for each quantity and layer; the name of a quantity stands in its first row."""
    rows: Any
    for k, name in enumerate(report.quantities):
        for i, (layer, rows) in enumerate(report.table[report.table["quantity"] == name].groupby("layer")):
            first = rows.iloc[0]  # equal samples: the entry 00 or 0000
            predicted, measured = compact(
                first["predicted"], first["measured"], first["standard_error"], first["sigmas"]
            )
            cells = [f"${quantity(name).latex.replace('LAYER', '')}$" if i == 0 else "", str(layer)]
            cells += [first["entry"]] if len(report.X) > 1 else []
            cells += [f"${predicted}$", f"${measured}$", _sigma(first["sigmas"])]
            if len(report.X) > 1:
                worst = rows.loc[rows["sigmas"].abs().idxmax()]
                cells += [worst["entry"], _sigma(worst["sigmas"])]
            space = "\\addlinespace\n" if k and i == 0 else ""
            yield space + " & ".join(cells) + r" \\"


def _sigma(value: float) -> str:
    if value == 0:  # no noise, no difference
        return "$0$"
    return f"${value:+.2f}$" if math.isfinite(value) else rf"${'-' if value < 0 else '+'}\infty$"


def _caption(report: Report) -> str:
    verdict, attrs = report.verdict, report.data.attrs
    widths = ", ".join(f"{n:g}" for n in report.data["width"].values)
    networks = ", ".join(f"{n:,}".replace(",", r"\,") for n in np.unique(attrs["networks"]))
    outcome = "passed" if verdict.passed else f"failed in {verdict.failures} of {verdict.comparisons} comparisons"
    return (
        rf"Theory and simulation of {_escape(repr(report.net))} at the widths {widths} with {networks} networks each, "
        rf"extrapolated to $1/n\to0$. Verdict: {outcome}, with {verdict.comparisons} comparisons and a family-wise "
        rf"false-alarm rate of at most {verdict.alpha:g}. Standard errors of the last digits in parentheses; $\sigma$ is the "
        r"deviation in standard errors."
    )


def _escape(text: str) -> str:
    """Text that LaTeX sets as it is."""
    marks = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return rf"\texttt{{{''.join(marks.get(c, f'{chr(92)}{c}' if c in '&%$#_{}' else c) for c in text)}}}"


def compact(predicted: float, measured: float, error: float, sigma: float) -> tuple[str, str]:
    """The predicted and the measured number as LaTeX, with the error of the last digits in parentheses: 0.1387(2).

    Valid
        The error has one digit, two if the first is 1. Numbers without noise are written to six digits.
    """
    if sigma == 0 or not math.isfinite(sigma) or not error > 0:
        return _plain(predicted), _plain(measured)
    power = math.floor(math.log10(max(abs(predicted), abs(measured), error)))
    power = 0 if SMALLEST <= power < LARGEST else power
    p, m, e = (v / 10.0**power for v in (predicted, measured, error))
    leading = math.floor(math.log10(e))
    digits = max(0, (1 if e / 10.0**leading < 1.95 else 0) - leading)
    times = rf"\times10^{{{power}}}" if power else ""
    return f"{p:z.{digits + 1}f}{times}", f"{m:z.{digits}f}({round(e * 10**digits):d}){times}"


def _plain(value: float) -> str:
    text = f"{0.0 if abs(value) < ZERO else value:.6g}"
    number, _, power = text.partition("e")
    return rf"{number}\times10^{{{int(power)}}}" if power else number
