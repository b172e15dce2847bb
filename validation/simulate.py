"""The verb ``simulate``: Monte Carlo over literal finite networks, on all cores, with a standard error for every number."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..theory.architecture import MLP
from ..theory.errors import InvalidArgument, NotAvailable
from ..theory.quantities import quantity
from .estimators import CORRECTIONS, NEEDS_NTK, Plan, Record, estimate
from .inputs import check_inputs
from .networks import LiteralNetworks, layer_widths
from .progress import Meter

Array = NDArray[np.float64]

#: Upper end of the number of groups; Student's t with 255 degrees of freedom is a Gaussian for all purposes.
MAX_GROUPS = 256
#: Rather this many groups than full batches, when networks are few.
MIN_GROUPS = 32
#: Weights of one batch. They should stay in a core's cache from the draw to the last backward product.
BATCH_BYTES = 1 << 20
MAX_BATCH = 64
#: Networks whose records are held before they are reduced to means.
MAX_RECORD = 512
DEFAULT_NEURONS = 4


@dataclass(frozen=True)
class Task:
    """All that a worker needs to know."""

    net: MLP
    X: Array
    plan: Plan
    neurons: int
    batch: int
    seed: int
"""
"""
