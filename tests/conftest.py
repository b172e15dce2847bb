"""Profiles and shared fixtures."""

from __future__ import annotations

import matplotlib as mpl
import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

mpl.use("Agg")
settings.register_profile(
    "daily", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", deadline=None, max_examples=400)
settings.load_profile("daily")


@pytest.fixture(autouse=True)
def _ambient_precision():
    """Reset mpmath's precision around every test."""
    with mpmath.workdps(15):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20261122)
