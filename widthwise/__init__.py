"""The theory of wide neural networks as software: derive, compile, predict, simulate, validate.

>>> import widthwise as ww
>>> net = ww.MLP("tanh")
>>> print(ww.derive(net, "K", samples=1))
K' = C_W*<sigma**2> + C_b

The names below are loaded when they are first used, so that ``import widthwise`` costs little more than ``import sympy``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .numerics.asymptotics import asymptotics as asymptotics
    from .numerics.codegen import Compiled as Compiled
    from .numerics.critical import CriticalPoint as CriticalPoint
    from .numerics.critical import critical as critical
    from .numerics.critical import critical_points as critical_points
    from .numerics.finite_width import fluctuations as fluctuations
    from .numerics.flow import gradient_flow as gradient_flow
    from .numerics.gaussian import gaussian_average as gaussian_average
    from .numerics.kernels import kernel as kernel
    from .numerics.lazy import dask_kernel as dask_kernel
    from .numerics.regression import NNGPKernel as NNGPKernel
    from .numerics.regression import NTKKernel as NTKKernel
    from .theory import errors as errors
    from .theory.activations import Activation as Activation
    from .theory.architecture import MLP as MLP
    from .theory.depthlaw import DepthLaw as DepthLaw
    from .theory.depthlaw import DepthLaws as DepthLaws
    from .theory.derivation import Derivation as Derivation
    from .theory.derivation import System as System
    from .theory.dynamics import Dynamics as Dynamics
    from .theory.ensembles import Ensemble as Ensemble
    from .theory.ensembles import independent as independent
    from .theory.parametrization import YANG_HU as YANG_HU
    from .theory.parametrization import abc as abc
    from .theory.residual import residual as residual
    from .theory.scaling import depth_scaling as depth_scaling
    from .theory.scaling import fluctuation_slope as fluctuation_slope
    from .theory.scaling import optimal_aspect_ratio as optimal_aspect_ratio
    from .theory.training import Training as Training
    from .validation.learning import TrainingReport as TrainingReport
    from .validation.phase import phase_diagram as phase_diagram
    from .validation.report import Report as Report
    from .verbs import compile as compile
    from .verbs import derive as derive
    from .verbs import predict as predict
    from .verbs import simulate as simulate
    from .verbs import validate as validate

__version__ = "0.1.0"

# In a checkout the folders theory, numerics and validation lie beside this one instead of in it; Python started there
# finds this folder first, installed or not.
_here = Path(__file__).parent
if not (_here / "theory").is_dir() and (_here.parent / "theory").is_dir():
    __path__.append(str(_here.parent))

#: Where each public name lives.
_HOME = {
    "MLP": "theory.architecture",
    "Activation": "theory.activations",
    "Training": "theory.training",
    "Dynamics": "theory.dynamics",
    "TrainingReport": "validation.learning",
    "derive": "verbs",
    "Derivation": "theory.derivation",
    "System": "theory.derivation",
    "compile": "verbs",
    "Compiled": "numerics.codegen",
    "predict": "verbs",
    "gaussian_average": "numerics.gaussian",
    "kernel": "numerics.kernels",
    "dask_kernel": "numerics.lazy",
    "gradient_flow": "numerics.flow",
    "fluctuations": "numerics.finite_width",
    "NNGPKernel": "numerics.regression",
    "NTKKernel": "numerics.regression",
    "critical": "numerics.critical",
    "CriticalPoint": "numerics.critical",
    "critical_points": "numerics.critical",
    "asymptotics": "numerics.asymptotics",
    "DepthLaw": "theory.depthlaw",
    "DepthLaws": "theory.depthlaw",
    "residual": "theory.residual",
    "depth_scaling": "theory.scaling",
    "fluctuation_slope": "theory.scaling",
    "optimal_aspect_ratio": "theory.scaling",
    "Ensemble": "theory.ensembles",
    "independent": "theory.ensembles",
    "YANG_HU": "theory.parametrization",
    "abc": "theory.parametrization",
    "phase_diagram": "validation.phase",
    "simulate": "verbs",
    "validate": "verbs",
    "Report": "validation.report",
}

__all__ = [*_HOME, "__version__", "errors"]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(".theory.errors", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
