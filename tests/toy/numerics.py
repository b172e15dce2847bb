"""From formula to number: NumPy text of the equations, and its values for inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
import xarray as xr

from widthwise.numerics.codegen.printing import numpy_text
from widthwise.numerics.runs.inputs import check_inputs
from widthwise.theory.language.quantities import Entry

from .theory import FeatureEquations, RandomFeatures
from .theory import derive as derived


@dataclass(frozen=True)
class Code:
    """Text that runs with NumPy and SciPy alone."""

    source: str

    def __call__(self, K: Any) -> dict[str, Any]:
        """All quantities at kernels K."""
        space: dict[str, Any] = {}
        exec(self.source, space)
        return dict(space["quantities"](K))

    def save(self, path: Path) -> Path:
        """Write the text to a file."""
        path.write_text(self.source, encoding="utf-8")
        return path


def compile(equations: FeatureEquations) -> Code:
    """A function of K."""
    K = sp.Symbol("K", positive=True)
    texts = {n: numpy_text(eq.rhs.subs(dict.fromkeys(eq.rhs.atoms(Entry), K))) for n, eq in equations.items()}
    rows = "".join(f'        "{name}": {text},\n' for name, text in texts.items())
    return Code(f"import numpy\nimport scipy\n\n\ndef quantities(K):\n    return {{\n{rows}    }}\n")


def predict(features: RandomFeatures, X: Any, *, equations: FeatureEquations | None = None) -> xr.Dataset:
    """The quantities for each input."""
    inputs = check_inputs(X)
    K = features.C_W * np.sum(inputs**2, axis=1) / inputs.shape[1]
    values = compile(equations or derived(features))(K)
    return xr.Dataset({name: ("sample", np.broadcast_to(v, K.shape)) for name, v in values.items()})
