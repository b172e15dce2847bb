"""What to do after a verdict: tell chance from error, and make error bars small enough for a test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .verdict import FAILED

if TYPE_CHECKING:
    from .report import Report

#: Below this a deviation is no chance.
NO_CHANCE = 1e-4
#: How many times as many networks make the sigmas of an error twice as large.
MORE = 4


@dataclass(frozen=True)
class Advice:
    """A sentence with arguments of ``validate`` in it, to be written as they are typed in Python or on a command line."""

    text: str  #: with {} for each argument
    arguments: tuple[tuple[str, Any], ...] = ()

    def written(self, *, command: bool = False) -> str:
        """The sentence."""
        return self.text.format(*(_argument(*pair, command=command) for pair in self.arguments))

    def __str__(self) -> str:
        return self.written()


def _argument(name: str, value: Any, *, command: bool) -> str:
    if isinstance(value, float) and math.isinf(value):
        return f"--{name} inf" if command else f"{name}=math.inf"
    if command:
        return f"--{name} {','.join(map(str, value)) if isinstance(value, tuple) else value}"
    return f"{name}={value!r}"


def advice(report: Report) -> tuple[Advice, ...]:
    """What to do next: about failures, and about quantities that were not tested."""
    return (*(_about_failure(report) if report.verdict.word == FAILED else ()), *_about_error_bars(report))


def _about_failure(report: Report) -> Iterator[Advice]:
    """How to tell chance from a wrong theory, and both from the next order in 1/n."""
    verdict, networks = report.verdict, _each(report.data.attrs["networks"])
    seed = 1 + max(np.atleast_1d(report.data.attrs.get("seeds", 0)).tolist())
    if verdict.chance < NO_CHANCE:
        yield Advice(f"Of a true theory this is no chance (probability at most {verdict.chance:.1g}).")
    else:
        yield Advice(
            f"By chance a true theory deviates so far in at most {verdict.chance:.2g} of all runs. Draw other networks, with {{}}: "
            f"what was chance fails again with probability at most {verdict.alpha:g}.",
            (("seed", seed),),
        )
        yield Advice(
            "Or draw more, with {}: the sigmas of an error double, those of chance do not.",
            (("networks", _scaled(networks, MORE)),),
        )
    if (widths := _wider(report)) is not None:
        yield Advice(
            "Take wider networks, with {}: terms that the fit in 1/n leaves out fall to a quarter or less, an error stays.",
            (("widths", widths),),
        )


def _about_error_bars(report: Report) -> Iterator[Advice]:
    """How many networks make the error bars of quantities that were not tested small enough."""
    target, networks = report.verdict.resolution, _each(report.data.attrs["networks"])
    wanted: dict[str, float] = {}
    noisy = list[str]()
    for name in report.verdict.coarse:
        if not math.isfinite(report.resolution[name]):
            zero = f"{name} is predicted to be zero, which is no size that an error bar could be small beside; {{}} counts it."
            yield Advice(zero, (("resolution", math.inf),))
            continue
        own, theory = _shares(report, name)
        if theory > target / math.sqrt(2):
            noisy.append(name)
        else:
            wanted[name] = own**2 / (target**2 - theory**2)
    if wanted:
        order = sorted(wanted, key=wanted.__getitem__)
        arguments = tuple(("networks", _scaled(networks, wanted[name])) for name in order)
        text = ", ".join(f"{{}} for {name}" for name in order)
        yield Advice(f"Error bars of {100 * target:.3g} % take about {text}.", arguments)
    if noisy:
        worst = max(_shares(report, name)[1] for name in noisy)
        replicas = math.ceil(int(report.data.attrs["replicas"]) * 2 * (worst / target) ** 2)
        yield Advice(
            f"The theory of {', '.join(noisy)} is noisy itself: take {{}}, or more samples.", (("replicas", replicas),)
        )


def _shares(report: Report, name: str) -> tuple[float, float]:
    """The error bar of a quantity, as the networks and as the theory contribute to it."""
    data = report.data
    squares = [
        float(np.mean(data[key].values ** 2))
        for key in (f"{name}_extrapolated_stderr", f"{name}_stderr")
        if key in data
    ]
    total, bar = sum(squares), float(report.resolution[name])
    parts = [bar * math.sqrt(s / total) if total else 0.0 for s in squares]
    return parts[0], parts[1] if len(parts) > 1 else 0.0


def _each(networks: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in np.atleast_1d(networks))


def _scaled(networks: tuple[int, ...], factor: float) -> int | tuple[int, ...]:
    """So many times the networks, to two digits; one number if all are equal."""
    more = tuple(_two_digits(n * factor) for n in networks)
    return more[0] if len(set(more)) == 1 else more


def _two_digits(number: float) -> int:
    power = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / power) * power


def _wider(report: Report) -> Any:
    """Widths twice as large; None where there is nothing to extrapolate."""
    widths = (
        report.data["hidden_widths"].values if "hidden_widths" in report.data else report.data["width"].values[:, None]
    )
    if widths.shape[0] < 2 or widths.shape[1] == 0:
        return None
    rows = [tuple(int(2 * n) for n in row) for row in widths]
    return tuple(row[0] if len(set(row)) == 1 else row for row in rows)
