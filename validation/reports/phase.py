"""Phase diagrams that can be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...numerics.depth.phase import Phases, phases
from ...theory.language.extras import needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .sheets import Sheet

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class PhaseDiagram(Phases):
    """The phases of an activation, with a picture."""

    def plot(self, *, ax: Any = None) -> Any:
        """The diagram: chi_perp at the fixed point, the edge of chaos and the critical points.

        Shapes
            Returns the Axes: ``ax`` if it is given, else those of a new figure of pyplot, which ``plt.show()`` shows.
        """
        with needed("a figure of phases"):
            from .sheets import plotted

        return plotted(self._draw, ax)

    def figure(self) -> Figure:
        """The diagram as a figure of its own that pyplot does not know."""
        with needed("a figure of phases"):
            from .sheets import drawn

        return drawn(self._draw)

    def _draw(self, sheet: Sheet) -> list[Axes]:
        from .phase_figure import draw

        return draw(self, sheet)


def phase_diagram(
    activation: Any,
    *,
    sigma_w: Sequence[float] | Array | None = None,
    sigma_b: Sequence[float] | Array | None = None,
    start: float = 1.0,
) -> PhaseDiagram:
    r"""The phases of deep networks with this activation.

    Equation
        .. math:: K^*=\sigma_b^2+\sigma_w^2\langle\sigma^2\rangle_{K^*},\qquad \chi_\perp=\sigma_w^2\langle\sigma'^2\rangle_{K^*}
    Shapes
        ``sigma_w``, ``sigma_b``: one-dimensional, at least two values each; by default from near 0 to twice the critical
        sigma_w (or 3), and from 0 to 1.5.
    Units
        Standard deviations, not variances. ``start`` is the kernel of the first layer.
    Valid
        One input at infinite width; of several stable fixed points the one that the kernel runs into from ``start``.
    Errors
        ``InvalidArgument`` for grids that are not increasing or have negative values, or for the unspecified activation.
    Source
        Poole, Lahiri, Raghu, Sohl-Dickstein & Ganguli (arXiv:1606.05340); susceptibilities derived here.
    """
    found = phases(activation, sigma_w=sigma_w, sigma_b=sigma_b, start=start)
    return PhaseDiagram(**{f.name: getattr(found, f.name) for f in fields(found)})
