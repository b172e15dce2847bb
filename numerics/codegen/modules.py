r"""From derivations to source that stands on its own, for NumPy, JAX or PyTorch.

The text of a module is written from the derived equations: one function for the activation and its derivatives, one for the
Gaussian averages that occur, one for each quantity, and ``step``, which maps the tensors of a layer to those of the next.
``predict`` runs this text, for NumPy. The libraries are rows of ``targets``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, singledispatch
from pathlib import Path
from typing import Any

from ...theory.averages.gaussian import Average
from ...theory.averages.regularity import prepared
from ...theory.initialisation.derivation import Recursions
from ...theory.initialisation.residual import CrossLayer
from ...theory.language.errors import InvalidArgument
from ...theory.language.jets import Overlap
from ...theory.networks.architecture import HYPERPARAMETERS, MLP
from ..firstlayer.warning import warn_about_cumulants
from .averages import table
from .functions import PARAMETERS, function, of_inputs
from .layers import write_layers
from .loading import Module, loaded
from .targets import NODES, TARGETS, Target, nodes_of, rendered, target_of

#: Tensors by name: arrays of NumPy or JAX, or tensors of PyTorch.
State = Mapping[str, Any]


@dataclass(frozen=True)
class Compiled:
    r"""Generated code for the equations of a network at initialisation.

    Equation
        ``compiled(state, C_W=..., ...)`` evaluates the right-hand sides at the tensors ``state`` of a layer.
    Shapes
        state["K"]: (m, m), four-index tensors (m, m, m, m); after ``samples=1`` every tensor has one common shape.
    Units
        A tensor of layer l multiplies 1/n_(l-1); ``rho`` is n_l/n_(l-1) (1 by default).
    Valid
        As the derivations; "average_error" holds the errors of averages, of quadrature and of rounding. With ``target="jax"`` or
        ``"torch"`` the results can be differentiated by tensors and hyperparameters: through closed forms as often as wanted,
        through quadrature twice by the kernel (by Price's theorem). A kinked activation at parallel inputs has one-sided slopes:
        finite ones of averages without derivatives in front (K, Theta) are right there, infinite ones count as 0, and so do
        those at inputs of zero variance; averages with derivatives in front (K1, Theta1) have the slope along pairs that
        stay parallel.
    Errors
        ``TypeError`` from Python for a missing hyperparameter, ``KeyError`` for a tensor that ``state`` lacks; for JAX and
        PyTorch ``ValueError`` for any precision other than float64, and for a third derivative through quadrature.
    """

    names: tuple[str, ...]
    module: Module
    single: bool
    target: str
    varying: tuple[
        str, ...
    ] = ()  #: hyperparameters that the network has layer by layer, and that the text therefore does not know
    excess: float = 0.0  #: excess kurtosis of the network's weights in the first layer

    @property
    def source(self) -> str:
        """The text."""
        return self.module.source

    @property
    def namespace(self) -> dict[str, Any]:
        """The functions of the text by name."""
        return self.module.namespace

    def __call__(self, state: State, **parameters: Any) -> dict[str, Any]:
        """The tensors of the next layer."""
        return dict(self.namespace["step"](state, **parameters))

    def first_layer(self, X: Any, **parameters: Any) -> dict[str, Any]:
        """The tensors of the first layer, from the inputs; its preactivations count as Gaussian up to X4/n_0."""
        return dict(self.namespace["first_layer"](X, **parameters))

    def recursion(self, X: Any, depth: int, **parameters: Any) -> dict[str, Any]:
        """The tensors of the layers 1 ... depth, stacked; with skips ``residual=`` as in ``MLP``.

        ``InvalidArgument`` where the network's numbers differ from layer to layer and are not given here. Weights that are not
        Gaussian enter by cumulants alone, in the first layer too: an ``ExpansionWarning`` where this is not enough.
        """
        if excess := parameters.get("kappa_4", self.excess):
            warn_about_cumulants(float(excess), X, stacklevel=2)
        missing = [name for name in self.varying if name not in parameters]
        if missing:
            raise InvalidArgument(
                f"{', '.join(missing)}: the network has another value in each layer, which one recursion does not know; allowed: "
                "a call for each layer with its own values, with skips one sequence of them, or predict"
            )
        return dict(self.namespace["recursion"](X, depth, **parameters))

    def save(self, path: str | Path) -> Path:
        """Write the source to a file that runs with the target alone (NumPy with SciPy, JAX, or PyTorch)."""
        path = Path(path)
        path.write_text(self.source, encoding="utf-8")
        return path


def compile(equations: Recursions | CrossLayer, *, target: str = "numpy", nodes: int | None = None) -> Compiled:
    r"""Generate source for the equations of a network at initialisation, and load it.

    Equation
        The text evaluates exactly the derived equations; each function carries its equation in the docstring. ``target`` is
        "numpy", "jax" or "torch"; code for the last two can be differentiated, traced and vectorized, and keeps devices.
    Shapes
        See :class:`Compiled`. ``nodes``: of a fixed rule on each axis, over 18 standard deviations ("jax", "torch");
        two-site averages of m inputs hold m^2 nodes^2 numbers in memory.
    Valid
        For a concrete activation. Averages with a closed form are that closed form, the others go to quadrature: for NumPy
        to a tolerance and over up to four inputs; for JAX and PyTorch by a fixed rule over up to two inputs (one, if the
        activation has kinks), whose error is reported (1e-11 for tanh at K = 10, less below).
    Errors
        ``InvalidArgument`` for the unspecified activation, for anything that is not a derivation, an unknown target, or
        nodes that do not fit; ``NotAvailable`` for a target that is not installed, or an average beyond its quadrature.
    Source
        The rule and its error: Trefethen and Weideman, The Exponentially Convergent Trapezoidal Rule, SIAM Review 56 (2014).
    """
    if not isinstance(equations, Recursions | CrossLayer) or not equations:
        raise InvalidArgument(
            f"equations={equations!r} is a {type(equations).__name__}; allowed: what derive() returns"
        )
    equations.subject.activation.concrete()
    row = target_of(target)
    return _compile(equations, row.name, nodes_of(nodes, row))


@lru_cache(maxsize=64)
def _compile(equations: Recursions | CrossLayer, target: str, nodes: int) -> Compiled:
    row = TARGETS[target]
    row.require()
    net = equations.subject
    excess = float(net.ensembles[0].excess) if row.name == "numpy" else 0.0
    return Compiled(
        equations.names, loaded(write(equations, row, nodes)), equations.single, target, _varying(net), excess
    )


def _varying(net: MLP) -> tuple[str, ...]:
    """What a network has layer by layer: hyperparameters, or weights of several ensembles (``tau``)."""
    found = [name for name in HYPERPARAMETERS if isinstance(getattr(net, name), tuple)]
    return tuple(found + ["tau"] * (isinstance(net.weights, tuple) and len(set(net.weights)) > 1))


@singledispatch
def write(equations: Any, target: Target = TARGETS["numpy"], nodes: int = NODES) -> str:
    """The text of the module of equations of some kind."""
    raise InvalidArgument(f"equations={equations!r} is a {type(equations).__name__}; allowed: what derive() returns")


write.register(CrossLayer, write_layers)


@write.register
def _(equations: Recursions, target: Target = TARGETS["numpy"], nodes: int = NODES) -> str:
    activation, derivations = equations.subject.activation, equations.statements
    laws = [prepared(d.law.right, activation) for d in derivations]
    found = {
        node: table(node, activation, target.most_sites, target.name)
        for law in laws
        for node in sorted(law.atoms(Average), key=str)
    }
    by_name = {table.name: table for table in found.values()}
    return rendered(
        target,
        activation,
        list(by_name.values()),
        nodes,
        title=_title(equations),
        equations=[str(d) for d in derivations],
        single=equations.single,
        functions=[
            function(d.name, d.labels, law, str(d), found, target.text)
            for d, law in zip(derivations, laws, strict=True)
        ],
        first=[(d.name, d.quantity.rank, of_inputs(d.first.rhs, d.labels, target.text)) for d in derivations],
        quartic=any(len(o.labels) == 4 for d in derivations for o in d.first.rhs.atoms(Overlap)),
        parameters=PARAMETERS,
        legend={t.name: t.node.operator_text() for t in by_name.values()},
    )


def _title(equations: Recursions) -> str:
    names = ", ".join(equations)
    return f"Layer recursion of {names} for a wide network with activation {equations.subject.activation.name}"
