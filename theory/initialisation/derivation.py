r"""Derivations: an equation, what it depends on, and the steps that lead to it.

The steps are the ones by which the engine computes the equation, written down: they hold the same objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sympy as sp

from ..averages.closed_forms import specialize
from ..averages.gaussian import Average
from ..language import latex
from ..language.errors import InvalidArgument
from ..language.jets import Jet, Overlap, Sigma
from ..language.quantities import TENSORS, Entry, Kind, Quantity, quantity
from ..language.steps import Step
from ..language.values import Written
from ..layers.map import LayerMap
from ..meanfield.expansion import Recursion
from ..meanfield.system import MeanFieldSystem, crossed, local
from ..networks.activations import Activation
from ..networks.architecture import MLP
from .dependencies import layer_recursion, names_of_order
from .narrative import steps_of

DEFAULT_LABELS = "12345678"


@dataclass(frozen=True)
class Specialized:
    """The change of an expression that puts in what the averages of an activation are; equal for equal activations."""

    activation: Activation

    def __call__(self, expr: sp.Expr) -> sp.Expr:
        """The expression with closed forms for averages."""
        return specialize(expr, self.activation)


@dataclass(frozen=True)
class Derivation(Written):
    r"""The recursion of one quantity from layer :math:`\ell` to :math:`\ell+1`, derived.

    Equation
        ``equation`` is a ``sympy.Eq``; ``first`` is the value in the first layer, where inputs take the place of neurons.
    Units
        A tensor of layer :math:`\ell` multiplies :math:`1/n_{\ell-1}`.
    Valid
        Leading order in 1/width of the named quantity, any activation, any samples (labels may coincide). With a skip
        connection a fluctuation's map from one layer to the next is exact for the second layer only; ``predict`` adds the
        covariances between all layers.
    Source
        Derived here from the definition of the layer; notation of Roberts, Yaida & Hanin (arXiv:2106.10165).
    """

    net: MLP
    quantity: Quantity
    labels: tuple[str, ...]
    law: Recursion  #: as derived, with the averages as operators; code is generated from this
    first: sp.Eq
    layer: LayerMap
    shown: tuple[Callable[[sp.Expr], sp.Expr], ...] = ()  #: what has been asked for to be put in or carried out

    @cached_property
    def recursion(self) -> Recursion:
        """The law as it is shown: with closed forms after ``specialize``, with derivatives carried out after ``doit``."""
        law = self.law
        for change in self.shown:
            law = law.map(change)
        return law

    @property
    def subject(self) -> MLP:
        """The network whose equation this is."""
        return self.net

    @property
    def name(self) -> str:
        """The public name of the quantity."""
        return self.quantity.name

    @property
    def equation(self) -> sp.Eq:
        """The recursion as an equation."""
        return sp.Eq(self.recursion.left, self.recursion.right, evaluate=False)

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The quantities of the layer below that enter, K included whenever an average is taken."""
        right = self.recursion.right
        names = {e.name for e in right.atoms(Entry)} | ({"K"} if right.has(Average) else set())
        return tuple(q.name for q in TENSORS.values() if q.name in names) + tuple(
            sorted(names - {q.name for q in TENSORS.values()})
        )

    @property
    def averages(self) -> tuple[Average, ...]:
        """The Gaussian averages in the equation."""
        return tuple(sorted(self.recursion.right.atoms(Average), key=str))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The derivation: definition, layer map of the jets, neuron average, cumulance, Price, Isserlis, result."""
        return steps_of(MeanFieldSystem(self.layer), self.quantity, self.labels, self.recursion)

    def specialize(self) -> Derivation:
        """The same with closed forms of the network's activation wherever they exist; other averages stay.

        Raises ``InvalidArgument`` for the unspecified activation.
        """
        activation = self.net.activation
        if not activation.specified:
            raise InvalidArgument("activation='sigma' is unspecified; give the network a concrete one to specialize")
        return replace(self, shown=(*self.shown, Specialized(activation)))

    def doit(self) -> Derivation:
        """The same with the derivatives of Price's theorem carried out under the averages."""
        return replace(self, shown=(*self.shown, _explicit))

    def latex(self, *, steps: bool = False) -> str:
        """An ``align`` environment with the equation; with ``steps=True`` the whole derivation, ready to be pasted."""
        if not steps:
            return latex.align(self._rows())
        return "\n\n".join(step.latex() for step in self.steps)

    def _rows(self) -> list[str]:
        return latex.equation_lines(self.recursion.left, self.recursion.terms)

    def _repr_latex_(self) -> str:
        return latex.aligned(self._rows())

    def __str__(self) -> str:
        text = "\n    + ".join(str(term) for term in self.recursion.terms) or "0"
        return f"{self.recursion.left} = {text}"

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class System(Mapping[str, Derivation]):
    """The closed system of recursions, in an order in which each can be computed."""

    net: MLP
    derivations: tuple[Derivation, ...]

    @property
    def subject(self) -> MLP:
        """The network whose equations these are."""
        return self.net

    @property
    def steps(self) -> tuple[Step, ...]:
        """All derivations, one after the other."""
        return tuple(step for derivation in self.derivations for step in derivation.steps)

    def __getitem__(self, name: str) -> Derivation:
        for derivation in self.derivations:
            if derivation.name == name:
                return derivation
        quantity(name)  # a clear error for an unknown name
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (d.name for d in self.derivations)

    def __len__(self) -> int:
        return len(self.derivations)

    def restrict(self, names: Sequence[str]) -> System:
        """Only some of the derivations, in the same order."""
        return replace(self, derivations=tuple(d for d in self.derivations if d.name in names))

    def specialize(self) -> System:
        """Closed forms wherever they exist."""
        return replace(self, derivations=tuple(d.specialize() for d in self.derivations))

    def latex(self, *, steps: bool = False) -> str:
        """All equations in one ``align``; with ``steps=True`` all derivations one after the other."""
        if steps:
            return "\n\n".join(d.latex(steps=True) for d in self.derivations)
        return latex.align(row for d in self.derivations for row in d._rows())

    def _repr_latex_(self) -> str:
        return latex.aligned(row for d in self.derivations for row in d._rows())

    def __str__(self) -> str:
        return "\n".join(map(str, self.derivations))

    __repr__ = __str__


def derive(net: MLP, name: str | None = None, *, samples: int | Sequence[str] | None = None, order: int = 1) -> Any:
    r"""Derive the recursion of a quantity, or the closed system of all of them.

    Equation
        .. math:: \mathrm{tensor}^{(\ell+1)} = \mathrm{function}(\mathrm{tensors}^{(\ell)},\ \langle\cdots\rangle_{K^{(\ell)}})
    Shapes
        ``samples=None``: as many different samples as the quantity has indices. ``samples=1``: one input, no index.
        A sequence of labels, one for each index, chooses them; labels may repeat: ``samples="aabb"``. Without a name:
        the system of all quantities up to ``order`` in 1/n.
    Units
        A tensor of layer :math:`\ell` multiplies :math:`1/n_{\ell-1}`; K1 and Theta1 are the corrections to the mean.
    Valid
        Leading order of each quantity in 1/width; hyperparameters that ``net`` does not give stay symbolic.
    Errors
        ``UnknownName`` for a quantity that does not exist; ``InvalidArgument`` for labels of the wrong number.
    Source
        Derived from the layer map; see ``Derivation.steps``.
    """
    if not isinstance(net, MLP):
        raise InvalidArgument(f"net={net!r} is a {type(net).__name__}; allowed: an MLP")
    if name is None:
        if samples not in (None, 1):
            raise InvalidArgument(f"samples={samples!r} with all quantities; allowed: None (different samples) or 1")
        names = names_of_order(net.layer_map, order)
        return System(net, tuple(derive(net, n, samples=samples) for n in names))
    row = quantity(name)
    return derive_layer(net.layer_map, row, labels_for(row, samples), net)


def derive_layer(layer: LayerMap, row: Quantity, labels: tuple[str, ...], net: MLP | None = None) -> Derivation:
    """The derivation for any layer map; ``net`` supplies the activation and the values of known hyperparameters."""
    net = net or MLP()
    known = net.known
    law = layer_recursion(layer, row, labels).map(lambda part: part.xreplace(known))
    return Derivation(net, row, labels, law, _first(layer, row, labels, known), layer)


def labels_for(row: Quantity, samples: int | Sequence[str] | None) -> tuple[str, ...]:
    """Sample labels for the indices of a quantity."""
    if samples is None:
        return tuple(DEFAULT_LABELS[: row.rank])
    if isinstance(samples, int):
        if samples != 1:
            raise InvalidArgument(f"samples={samples}; allowed: None, 1 (one input), or {row.rank} labels")
        return ("",) * row.rank
    labels = tuple(str(s) for s in samples)
    if len(labels) != row.rank or not all(labels):
        raise InvalidArgument(f"samples={samples!r} gives {len(labels)} labels; {row.name} has {row.rank} indices")
    return labels


def _first(layer: LayerMap, row: Quantity, labels: tuple[str, ...], known: Mapping[sp.Symbol, sp.Expr]) -> sp.Eq:
    """The first layer: its neurons below are the inputs, which have no jets and do not fluctuate; only the weights do."""
    left = Entry(row.name, row.entry(labels).labels, 0)
    pairs = row.at(labels)
    right = sp.Integer(0)
    if row.kind is Kind.MEAN:
        observable = layer.observable(pairs[0])
        right = observable.constant + input_average(observable.site)
    elif row.kind is Kind.COVARIANCE:
        right = crossed(layer, pairs[0], pairs[1], input_average)
    elif row.kind is Kind.LOCAL:
        right = local(layer, pairs[0], input_average)
    return sp.Eq(left, right.xreplace(dict(known)), evaluate=False)


def input_average(site: sp.Expr) -> sp.Expr:
    r""":math:`\frac1{n_0}\sum_k f(x_k)`: the identity replaces the activation, and inputs have no jets."""
    site = site.xreplace({jet: sp.Integer(0) for jet in site.atoms(Jet) if jet.directions})
    sigmas = sorted(site.atoms(Sigma), key=str)
    if not sigmas:
        return sp.Integer(0)
    terms = []
    for powers, coefficient in sp.Poly(site, *sigmas).terms():
        labels = (s.args[0].sample for s, k in zip(sigmas, powers, strict=True) for _ in range(k))
        # the slope of the identity is 1, and its higher derivatives vanish
        factor = coefficient if all(s.order == 0 for s, k in zip(sigmas, powers, strict=True) if k) else sp.Integer(0)
        terms.append(factor * Overlap(tuple(labels)))
    return sp.Add(*terms)


def _explicit(expr: sp.Expr) -> sp.Expr:
    return expr.xreplace({node: node.explicit() for node in expr.atoms(Average)})
