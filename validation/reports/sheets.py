"""What plots are drawn on: Axes that the caller gives, or a new figure, known to pyplot or not; and how they look.

As in pandas, a ``plot`` returns its Axes, one or an array of them, and takes others as ``ax=``. Without these it makes a figure of
pyplot, so that a notebook and ``plt.show()`` show it. A ``figure`` returns a Matplotlib figure that pyplot does not know, which
stays out of the way in a thread, on a server or in a loop over hundreds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...theory.language.errors import InvalidArgument

#: The colours of Okabe and Ito, which the colour-blind can tell apart, each with a marker of its own.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
DASHES = ("-", "--", "-.", ":")
FAILED = "#B00020"
GREY = "#666666"
#: Lines that stand out, on a ground of any colour where the caller gives the Axes.
INK = "#1d2329"

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "widthwise",
}


class Picture(Figure):
    """A figure that a notebook shows, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        return png(self)


@dataclass(frozen=True)
class Sheet:
    """Where a plot is drawn.

    ``given``: the caller's Axes; ``known``: whether pyplot knows the new figure, if there is one; ``small``: whether it is one of
    many beside each other on a page, which explains the signs.
    """

    given: tuple[Axes, ...] = ()
    known: bool = False
    small: bool = False

    def panels(self, count: int, *, size: tuple[float, float], columns: int = 3) -> list[Axes]:
        """So many Axes, each of a size in inches, in rows of a new figure; those given, if any are.

        Errors
            ``InvalidArgument`` for another number of Axes.
        """
        if self.given:
            return list(self.checked(count))
        across = min(columns, count)
        down = -(-count // across)
        figure = self.figure(size[0] * across, size[1] * down)
        found = figure.subplots(down, across, squeeze=False).ravel()
        for empty in found[count:]:
            empty.remove()
        return list(found[:count])

    def checked(self, count: int) -> tuple[Axes, ...]:
        """The Axes given, if they are so many."""
        if len(self.given) != count:
            raise InvalidArgument(
                f"ax= are {len(self.given)} Axes for {count} panels; allowed: {count}, or one quantity by its name"
            )
        return self.given

    def figure(self, width: float, height: float) -> Figure:
        """A new figure."""
        if not self.known:
            return Picture(figsize=(width, height), layout="constrained")
        from matplotlib import pyplot

        return pyplot.figure(figsize=(width, height), layout="constrained")

    def legend(self, axes: Axes, **where: Any) -> None:
        """A legend: beside the Axes of a new figure, inside of those that are given."""
        if self.given:
            axes.legend()
        else:
            axes.figure.legend(**({"loc": "outside right upper"} | where))


Drawing = Callable[[Sheet], Sequence[Axes]]


def plotted(draw: Drawing, ax: Any = None) -> Any:
    """The Axes on which something was drawn: one, or an array of several."""
    given = tuple(np.ravel(ax)) if ax is not None else ()
    if not all(isinstance(a, Axes) for a in given):
        raise InvalidArgument(f"ax={ax!r}; allowed: Axes of Matplotlib, or a sequence of them")
    with nullcontext() if given else rc_context(STYLE):
        found = list(draw(Sheet(given, known=not given)))
    return found[0] if len(found) == 1 else np.array(found, dtype=object)


def drawn(draw: Drawing, *, small: bool = False) -> Figure:
    """A figure that pyplot does not know."""
    with rc_context(STYLE):
        figure = draw(Sheet(small=small))[0].figure
    assert isinstance(figure, Figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
