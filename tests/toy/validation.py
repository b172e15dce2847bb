"""Literal features, drawn; and their confrontation with the theory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp
import xarray as xr

from widthwise.numerics.runs.inputs import check_inputs
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import activation
from widthwise.validation.confrontation.compare import compare
from widthwise.validation.confrontation.report import Report

from .numerics import predict
from .theory import OBSERVABLES, FeatureEquations, RandomFeatures

#: Independent estimates, whose spread is the error.
GROUPS = 20


def simulate(features: RandomFeatures, X: Any, *, width: int = 64, networks: int = 1000, seed: int = 0) -> xr.Dataset:
    """The mean over literal features, and N times its variance over draws, from groups of draws."""
    inputs, rng = check_inputs(X), np.random.default_rng([seed, width])
    phi = sp.lambdify(z, activation(features.activation).expr, "numpy")
    W = rng.normal(0, np.sqrt(features.C_W / inputs.shape[1]), (networks, width, inputs.shape[1]))
    q = np.mean(phi(W @ inputs.T) ** 2, axis=1).reshape(GROUPS, -1, len(inputs))
    found = {"q": q.mean(axis=1), "noise": width * q.var(axis=1, ddof=1)}
    arrays = {name: ("sample", values.mean(axis=0)) for name, values in found.items()}
    arrays |= {f"{n}_stderr": ("sample", v.std(axis=0, ddof=1) / np.sqrt(GROUPS)) for n, v in found.items()}
    return xr.Dataset(arrays, attrs={"width": width, "groups": GROUPS, "networks": networks})


def validate(
    features: RandomFeatures, X: Any, *, widths: Sequence[int] = (16, 32, 64), networks: int = 1000, seed: int = 0,
    alpha: float = 0.01, equations: FeatureEquations | None = None,
) -> Report:  # fmt: skip
    """The verdict on the theory, or on other equations."""
    theory = predict(features, X, equations=equations)
    simulations = [simulate(features, X, width=n, networks=networks, seed=seed) for n in widths]
    attrs = {"alpha": alpha, "networks": [networks] * len(widths)}
    return compare(OBSERVABLES.values(), theory, simulations, subject=features, alpha=alpha, attrs=attrs)
