r"""A report's table for a paper, in LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...theory.language.observables import letter
from ...theory.language.symbols import escaped

if TYPE_CHECKING:
    from ..confrontation.report import Report

#: A LaTeX table with more rows than this is set with the package longtable.
ONE_PAGE = 42
#: Numbers outside of these powers of ten are written with a power of ten.
SMALLEST, LARGEST = -4, 5
#: Smaller numbers are rounding errors of zero, where there is no noise.
ZERO = 1e-12


def table(report: Report) -> str:
    """The table: a line for each quantity and each place along its first axis, such as a layer or a time."""
    rows = list(_lines(report))
    several = _several(report)
    head = f"& {_first_axis(report) or 'place'} & {'entry & ' if several else ''}predicted & measured & $\\sigma$"
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


def _several(report: Report) -> bool:
    """Whether a quantity has more than one entry at a place."""
    counts = report.table.groupby(["quantity", *report.axes], dropna=False).size()
    return bool((counts > 1).any())


def _first_axis(report: Report) -> str | None:
    """The axis that all quantities have in front, if it is one."""
    first = {next((a for a in report.axes if a in report.observable(name).dims), "") for name in report.quantities}
    return (first.pop() or None) if len(first) == 1 else None


def _lines(report: Report) -> Iterator[str]:
    """A row for each quantity and place; the name of a quantity stands in its first row."""
    several, common = _several(report), _first_axis(report)
    rows: Any
    place: Any
    for k, name in enumerate(report.quantities):
        own = report.table[report.table["quantity"] == name]
        axis = common or next((a for a in report.axes if a in report.observable(name).dims), None)
        places = own.groupby(axis) if axis else [("", own)]
        for i, (place, rows) in enumerate(places):
            first = rows.iloc[0]  # equal samples: the entry 00 or 0000
            predicted, measured = compact(
                first["predicted"], first["measured"], first["standard_error"], first["sigmas"]
            )
            at = "" if axis is None else format(place, "g") if common else f"{axis} {format(place, 'g')}"
            cells = [f"${letter(report.observable(name))}$" if i == 0 else "", at]
            cells += [first["entry"]] if several else []
            cells += [f"${predicted}$", f"${measured}$", _sigma(first["sigmas"])]
            if several:
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
    failed = f"failed in {verdict.failures} of {verdict.comparisons} comparisons"
    outcome = "passed" if verdict.passed else failed if verdict.failures else "nothing was tested"
    left_out = f" {escaped(verdict.left_out[0].upper() + verdict.left_out[1:])}." if verdict.coarse else ""
    return (
        rf"Theory and simulation of {_escape(repr(report.subject))} at the widths {widths} with {networks} networks each, "
        rf"extrapolated to $1/n\to0$. Verdict: {outcome}, with {verdict.comparisons} comparisons and a family-wise "
        rf"false-alarm rate of at most {verdict.alpha:g}.{left_out} Standard errors of the last digits in parentheses; "
        r"$\sigma$ is the deviation in standard errors."
    )


def _escape(text: str) -> str:
    """Text that LaTeX sets as it is, in the letters of a typewriter."""
    return rf"\texttt{{{escaped(text)}}}"


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
