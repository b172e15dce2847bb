"""Commands beside the verbs: averages, kernel matrices, critical points, growth with depth, phase diagrams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import network, results
from .compose import Late, built
from .vocabulary import Form

if TYPE_CHECKING:
    import xarray as xr


def average(integrand: str, *, covariance: Any = None, digits: int | None = None, form: Form = Form.TEXT) -> str:
    """The closed form of a Gaussian average, or with a covariance a number and its error."""
    from ..numerics.averages.gaussian import gaussian_average
    from ..theory.language.latex import tex

    if covariance is None:
        result = gaussian_average(integrand)
        return tex(result) if form is Form.LATEX else str(result)
    if digits is None:
        found = gaussian_average(integrand, covariance)
        return f"{found.value!r} +- {found.error:.1e}"
    from mpmath import nstr

    found = gaussian_average(integrand, covariance, precision="mp", digits=digits)
    return f"{nstr(found.value, digits)} +- {nstr(found.error, 2)}"


def kernel(net: Any, X: Any, *, X2: Any = None, workers: int | None = None) -> xr.Dataset:
    """K and Theta of the last layer for all pairs of inputs."""
    import xarray as xr

    from ..numerics.kernels.kernels import kernel as matrices

    found = matrices(net, X, X2, workers=workers)
    dims = ("sample", "sample2")
    return xr.Dataset({"K": (dims, found.K), "Theta": (dims, found.Theta)}, attrs={"network": net.written})


def critical(activation: Any) -> str:
    """All critical points: C_W, C_b, K*, their class and the reason."""
    from ..numerics.depth.critical import critical_points

    return "\n".join(
        str(point)
        if point.C_W is None
        else (
            f"activation  {point.activation}\nclass       {point.universality}\n"
            f"C_W         {point.C_W:.12g}\nC_b         {point.C_b:.12g}\n"
            f"K*          {'any' if point.K is None else format(point.K, '.12g')}\nbecause     {point.reason}"
        )
        for point in critical_points(activation)
    )


def asymptotics(
    activation: Any, *, quantities: Any = None, weights: Any = "gaussian", residual: float | None = None,
    form: Form = Form.TEXT,
) -> str:  # fmt: skip
    """The growth or decay of every quantity with depth at criticality."""
    from ..numerics.depth.asymptotics import asymptotics as laws_of
    from ..theory.initialisation.layer_maps import residual as layer_with
    from ..theory.networks.architecture import MLP

    layer = None if residual is None else layer_with(residual, weights=weights)
    laws = laws_of(MLP(activation, weights=weights), quantities, layer=layer)
    return str(laws) if form is Form.TEXT else str(laws.latex())


def phase_diagram(activation: Any, *, sigma_w: Any = None, sigma_b: Any = None, start: float = 1.0) -> Any:
    """The phases over standard deviations of weights and biases."""
    from ..validation.reports.phase import phase_diagram as diagram

    return diagram(activation, sigma_w=sigma_w, sigma_b=sigma_b, start=start)


@dataclass(frozen=True)
class Tool:
    """A command beside the verbs: a function, the output of its result, and whether it takes a network and its inputs."""

    about: str
    function: Callable[..., Any]
    show: Callable[..., None] = results.text
    on_networks: bool = False

    def command(self) -> Callable[..., None]:
        """The command, with all its options."""
        if self.on_networks:
            return built(self.function, self.show, subject=network.subject, data=network.data)
        return built(self.function, self.show)


TOOLS = {
    "average": Tool(
        "The average of a function of Gaussian variables: closed form, or a number with its error.", average
    ),
    "kernel": Tool("Compute K and Theta of the last layer for all pairs of inputs.", kernel, results.dataset, True),
    "critical": Tool("Print all critical points of an activation: C_W, C_b, K*, their class and the reason.", critical),
    "asymptotics": Tool("Print how every quantity grows or decays with depth at criticality.", asymptotics),
    "phase_diagram": Tool("Draw where nearby inputs converge or part.", phase_diagram, results.picture),
}


def tools() -> dict[str, Late]:
    """The commands by name."""
    return {name: Late(name, tool.about, tool.command) for name, tool in TOOLS.items()}
