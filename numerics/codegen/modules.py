r"""From derivations to source that stands on its own, for NumPy, JAX or PyTorch.

The text of a module is written from the derived equations: one function for the activation and its derivatives, one for the
Gaussian averages that occur, one for each quantity, and ``step``, which maps the tensors of a layer to those of the next.
``predict`` runs this text, for NumPy. The libraries are rows of ``targets``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, singledispatch
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ...theory.averages.gaussian import Average
from ...theory.averages.regularity import prepared
from ...theory.initialisation.derivation import Recursions, derive_layer, labels_for
from ...theory.initialisation.residual import CrossLayer
from ...theory.language.checks import check_count
from ...theory.language.errors import InvalidArgument
from ...theory.language.jets import Overlap
from ...theory.language.quantities import TENSORS, quantity
from ...theory.networks.architecture import HYPERPARAMETERS, MLP
from ..firstlayer.warning import warn_about_cumulants
from .averages import table
from .calling import called, check_state, keywords_of
from .functions import PARAMETERS, Function, function, of_inputs, parameters_of
from .layers import tensors_of, write_layers
from .loading import Module, loaded
from .targets import NODES, TARGETS, Target, nodes_of, rendered, target_of

#: Tensors by name: arrays of NumPy or JAX, or tensors of PyTorch.
State = Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class Compiled:
    r"""Generated code for the equations of a network at initialisation.

    Equation
        ``compiled(state, C_W=..., ...)`` evaluates the right-hand sides at the tensors ``state`` of a layer. The keywords are the
        hyperparameters that stand in the equations as symbols, all of them (``.parameters``): numbers that the network gave are
        written into the equations.
    Shapes
        state["K"]: (m, m), four-index tensors (m, m, m, m); after ``samples=1`` every tensor has one common shape.
    Units
        A tensor of layer l multiplies 1/n_(l-1); ``rho`` is n_l/n_(l-1), 1 for equal widths.
    Valid
        As the derivations; "average_error" holds the errors of averages, of quadrature and of rounding. With ``target="jax"`` or
        ``"torch"`` the results can be differentiated by tensors and hyperparameters: through closed forms as often as wanted,
        through quadrature twice by the kernel (by Price's theorem). A kinked activation at parallel inputs has one-sided slopes:
        finite ones of averages without derivatives in front (K, Theta) are right there, infinite ones count as 0, and so do
        those at inputs of zero variance; averages with derivatives in front (K1, Theta1) have the slope along pairs that
        stay parallel.
    Errors
        ``InvalidCall``, a ``TypeError``, for a hyperparameter that is missing or that the equations do not hold as a symbol;
        ``MissingTensor``, a ``KeyError``, for a tensor that ``state`` lacks; ``InvalidArgument`` for numbers that no variance can
        be, for inputs, for other precisions than float64 (JAX and PyTorch), and for a third derivative through quadrature.
    """

    names: tuple[str, ...]
    module: Module
    single: bool
    target: str
    activation: str
    tensors: tuple[str, ...]  #: what a state has to hold
    open: tuple[str, ...] = ()  #: tensors of the layer below that the equations need and do not give
    varying: tuple[str, ...] = ()  #: hyperparameters that the network has layer by layer
    excess: float = 0.0  #: excess kurtosis of the network's weights in the first layer

    @property
    def source(self) -> str:
        """The text."""
        return self.module.source

    @property
    def namespace(self) -> dict[str, Any]:
        """The functions of the text by name."""
        return self.module.namespace

    @property
    def parameters(self) -> dict[str, tuple[str, ...]]:
        """The keywords of each function that have to be given: the hyperparameters in its equations."""
        return {name: tuple(p for p, needed in found.items() if needed) for name, found in self._keywords.items()}

    def arguments(self, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of some hyperparameters that a function takes."""
        return {name: given[name] for name in self.parameters[function]}

    @cached_property
    def _keywords(self) -> dict[str, dict[str, bool]]:
        return keywords_of(self.namespace)

    def __call__(self, state: State, **parameters: Any) -> dict[str, Any]:
        """The tensors of the next layer."""
        check_state(state, self.tensors)
        return self._called("step", state, **parameters)

    def first_layer(self, X: Any, **parameters: Any) -> dict[str, Any]:
        """The tensors of the first layer, from the inputs; its preactivations count as Gaussian up to X4/n_0."""
        return self._called("first_layer", X, **parameters)

    def recursion(self, X: Any, depth: int, **parameters: Any) -> dict[str, Any]:
        """The tensors of the layers 1 ... depth, stacked; with skips of symbolic strength ``residual=`` as in ``MLP``.

        ``InvalidArgument`` where the network's numbers differ from layer to layer and are not given here, and where the equations
        need tensors that they do not give. Weights that are not Gaussian enter by cumulants alone, in the first layer too: an
        ``ExpansionWarning`` where this is not enough.
        """
        self._closed(parameters)
        found = self._called("recursion", X, check_count("depth", depth, 1), **parameters)
        excess = parameters.get("kappa_4", self.excess) if self.target == "numpy" else 0.0
        if np.any(excess):
            warn_about_cumulants(float(np.ravel(excess)[0]), X, stacklevel=2)
        return found

    def last_layer(self, X: Any, depth: int, **parameters: Any) -> dict[str, Any]:
        """The tensors of layer ``depth`` alone, as :meth:`recursion` has them.

        Where all averages of K and Theta have closed forms, blocks of pairs go through all layers, and no other layer is kept.
        """
        if "last_layer" not in self.namespace:
            return {name: value[-1] for name, value in self.recursion(X, depth, **parameters).items()}
        self._closed(parameters)
        return self._called("last_layer", X, check_count("depth", depth, 1), **parameters)

    def _closed(self, parameters: Mapping[str, Any]) -> None:
        if self.open:
            raise InvalidArgument(
                f"the equations of {', '.join(self.names)} need {', '.join(self.open)} of the layer below, and do not give it; "
                "allowed: a call for each layer with these in state, or the code of a closed system, such as derive(net)"
            )
        missing = [name for name in self.varying if name not in parameters]
        if missing:
            raise InvalidArgument(
                f"{', '.join(missing)}: the network has another value in each layer, which one recursion does not know; allowed: "
                "a call for each layer with its own values, with skips one sequence of them, or predict"
            )

    def _called(self, name: str, *arguments: Any, **given: Any) -> dict[str, Any]:
        return called(name, self.namespace[name], self._keywords[name], *arguments, **given)

    def save(self, path: str | Path) -> Path:
        """Write the source to a file that runs with the target alone (NumPy with SciPy, JAX, or PyTorch)."""
        path = Path(path)
        path.write_text(self.source, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        inputs = "one input" if self.single else "several inputs"
        lines = len(self.source.splitlines())
        return f"<Compiled {', '.join(self.names)} of {self.activation} for {inputs}, target {self.target!r}, {lines} lines>"

    def _repr_html_(self) -> str:
        return f"<details><summary>{escape(repr(self))}</summary><pre>{escape(self.source)}</pre></details>"


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


def _with_kernel(equations: Recursions | CrossLayer) -> Recursions | CrossLayer:
    """The equations with that of K, where they are averages over a kernel and do not give it; ``InvalidArgument`` for entries."""
    if isinstance(equations, CrossLayer):
        return equations
    for d in equations.statements:
        if any(d.labels) and len(set(d.labels)) < len(d.labels):
            raise InvalidArgument(
                f"equations= are those of {d.name} at samples={d.labels}, some entries of the tensor; allowed: all of them "
                "(samples=None), or those of one input (samples=1)"
            )
    if "K" in equations or not any("K" in d.needs for d in equations.statements):
        return equations
    row = quantity("K")
    kernel = derive_layer(equations.layer, row, labels_for(row, 1 if equations.single else None), equations.subject)
    return replace(equations, statements=(kernel, *equations.statements))


@lru_cache(maxsize=64)
def _compile(equations: Recursions | CrossLayer, target: str, nodes: int) -> Compiled:
    row, net = TARGETS[target], equations.subject
    row.require()
    equations = _with_kernel(equations)
    text = write(equations, row, nodes)
    return Compiled(
        equations.names,
        loaded(text),
        equations.single,
        target,
        net.activation.name,
        *_tensors(equations),
        _varying(net),
        float(net.ensembles[0].excess) if row.name == "numpy" else 0.0,
    )


def _tensors(equations: Recursions | CrossLayer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tensors that a state has to hold, K among them, which gives the shape; and those that the equations do not give."""
    if isinstance(equations, CrossLayer):
        return tensors_of(equations), ()
    needed = {name for d in equations.statements for name in d.needs}
    return tuple(name for name in TENSORS if name in needed | {"K"}), tuple(
        name for name in TENSORS if name in needed - set(equations)
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
    functions = [
        function(d.name, d.labels, law, str(d), found, target.text) for d, law in zip(derivations, laws, strict=True)
    ]
    tensors, open_ends = _tensors(equations)
    return rendered(
        target,
        activation,
        list(by_name.values()),
        nodes,
        of=equations,
        keywords=_keywords(equations, functions, closed=not open_ends),
        open_ends=open_ends,
        tensors=tensors,
        single=equations.single,
        functions=functions,
        first=[(d.name, d.quantity.rank, of_inputs(d.first.rhs, d.labels, target.text)) for d in derivations],
        quartic=any(len(o.labels) == 4 for d in derivations for o in d.first.rhs.atoms(Overlap)),
        legend={t.name: t.node.operator_text() for t in by_name.values()},
    )


def _keywords(equations: Recursions, functions: Sequence[Function], *, closed: bool) -> dict[str, tuple[str, ...]]:
    """The hyperparameters of each function; all widths of ``recursion`` are equal, so that it has no rho."""
    used = {p for f in functions for p in f.parameters}
    step = tuple(p for p in PARAMETERS if p in used)
    first = parameters_of(*(d.first.rhs for d in equations.statements))
    every = tuple(p for p in PARAMETERS if p in {*step, *first} - {"rho"})
    return {"step": step, "first_layer": first} | ({"recursion": every} if closed else {})
