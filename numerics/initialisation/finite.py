"""Numbers that grew beyond double precision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...theory.language.errors import NotConverged


def check_finite(layer: Mapping[str, NDArray[np.float64]], number: int) -> None:
    """``NotConverged`` for a tensor of a layer that is not finite."""
    for name, value in layer.items():
        if not np.all(np.isfinite(value)):
            raise NotConverged(
                f"{name} is not finite in layer {number}: the recursion grew beyond double precision, or an average "
                "diverged; allowed: a smaller C_W, smaller inputs or fewer layers"
            )
