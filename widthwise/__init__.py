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
    from . import systems as systems
    from .numerics.averages.gaussian import gaussian_average as gaussian_average
    from .numerics.codegen.modules import Compiled as Compiled
    from .numerics.depth.asymptotics import asymptotics as asymptotics
    from .numerics.depth.critical import CriticalPoint as CriticalPoint
    from .numerics.depth.critical import critical as critical
    from .numerics.depth.critical import critical_points as critical_points
    from .numerics.kernels.kernels import kernel as kernel
    from .numerics.kernels.out_of_core import dask_kernel as dask_kernel
    from .numerics.kernels.regression import NNGPKernel as NNGPKernel
    from .numerics.kernels.regression import NTKKernel as NTKKernel
    from .numerics.training.lazy import gradient_flow as gradient_flow
    from .theory.depth.depthlaw import DepthLaw as DepthLaw
    from .theory.depth.depthlaw import DepthLaws as DepthLaws
    from .theory.depth.scaling import depth_scaling as depth_scaling
    from .theory.depth.scaling import fluctuation_slope as fluctuation_slope
    from .theory.depth.scaling import optimal_aspect_ratio as optimal_aspect_ratio
    from .theory.initialisation.derivation import Recursions as Recursions
    from .theory.initialisation.layer_maps import residual as residual
    from .theory.initialisation.residual import CrossLayer as CrossLayer
    from .theory.language import errors as errors
    from .theory.language.dictionary import symbols as symbols
    from .theory.language.document import document as document
    from .theory.language.equations import Equations as Equations
    from .theory.networks.activations import Activation as Activation
    from .theory.networks.architecture import MLP as MLP
    from .theory.networks.ensembles import Ensemble as Ensemble
    from .theory.networks.ensembles import independent as independent
    from .theory.networks.parametrization import YANG_HU as YANG_HU
    from .theory.networks.parametrization import abc as abc
    from .theory.training.dynamics import Dynamics as Dynamics
    from .theory.training.subject import Training as Training
    from .validation.confrontation.report import Report as Report
    from .validation.reports.phase import phase_diagram as phase_diagram
    from .verbs import compile as compile
    from .verbs import derive as derive
    from .verbs import fluctuations as fluctuations
    from .verbs import predict as predict
    from .verbs import simulate as simulate
    from .verbs import validate as validate

#: The one place of the version: ``pyproject.toml`` and ``widthwise --version`` read it here.
__version__ = "0.3.0.dev0"

# In a checkout the folders theory, numerics and validation lie beside this one instead of in it; Python started there
# finds this folder first, installed or not.
_here = Path(__file__).parent
if not (_here / "theory").is_dir() and (_here.parent / "theory").is_dir():
    __path__.append(str(_here.parent))

from .theory.language.provided import provide  # noqa: E402  the floors lie where the lines above say

provide("critical_variances", f"{__name__}.numerics.depth.initial:critical_variances")

#: Where each public name lives.
_HOME = {
    "MLP": "theory.networks.architecture",
    "Activation": "theory.networks.activations",
    "Training": "theory.training.subject",
    "Dynamics": "theory.training.dynamics",
    "derive": "verbs",
    "Equations": "theory.language.equations",
    "document": "theory.language.document",
    "Recursions": "theory.initialisation.derivation",
    "CrossLayer": "theory.initialisation.residual",
    "compile": "verbs",
    "Compiled": "numerics.codegen.modules",
    "predict": "verbs",
    "gaussian_average": "numerics.averages.gaussian",
    "kernel": "numerics.kernels.kernels",
    "dask_kernel": "numerics.kernels.out_of_core",
    "gradient_flow": "numerics.training.lazy",
    "fluctuations": "verbs",
    "NNGPKernel": "numerics.kernels.regression",
    "NTKKernel": "numerics.kernels.regression",
    "critical": "numerics.depth.critical",
    "CriticalPoint": "numerics.depth.critical",
    "critical_points": "numerics.depth.critical",
    "asymptotics": "numerics.depth.asymptotics",
    "DepthLaw": "theory.depth.depthlaw",
    "DepthLaws": "theory.depth.depthlaw",
    "residual": "theory.initialisation.layer_maps",
    "depth_scaling": "theory.depth.scaling",
    "fluctuation_slope": "theory.depth.scaling",
    "optimal_aspect_ratio": "theory.depth.scaling",
    "Ensemble": "theory.networks.ensembles",
    "independent": "theory.networks.ensembles",
    "YANG_HU": "theory.networks.parametrization",
    "abc": "theory.networks.parametrization",
    "phase_diagram": "validation.reports.phase",
    "symbols": "theory.language.dictionary",
    "simulate": "verbs",
    "validate": "verbs",
    "Report": "validation.confrontation.report",
}

#: Modules that are public as a whole.
_MODULES = {"errors": "theory.language.errors", "systems": "systems"}

__all__ = [*_HOME, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    from .theory.language.extras import needed

    with needed(f"widthwise.{name}"):
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
