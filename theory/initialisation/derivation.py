r"""Derivations: an equation, the quantities in it, and the steps that lead to it.

The steps are the ones by which the engine computes the equation, written down: they hold the same objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import sympy as sp

from ..averages.gaussian import Average
from ..language import latex
from ..language.document import Setting
from ..language.equation import letters, pairs_of, resolved
from ..language.equations import Change, Equations, Law, Statement, mapped
from ..language.errors import InvalidArgument, NotAvailable
from ..language.quantities import TENSORS, Entry, Quantity, quantity
from ..language.steps import Steps
from ..layers.map import LayerMap
from ..meanfield.expansion import Recursion
from ..meanfield.system import MeanFieldSystem
from ..networks.activations import Activation
from ..networks.architecture import HYPERPARAMETERS, MLP
from ..networks.setting import statement
from .bottom import first_of
from .dependencies import check_asked, layer_recursion, names_of_order
from .existence import DISTINCT, missing
from .narrative import steps_of
from .notation import InLetters, check_one_input, check_word, definitions, susceptibility_letters
from .printed import READABLE, Specialized, explicit
from .setting import first_layer, recursion_symbols

DEFAULT_LABELS = DISTINCT


@dataclass(frozen=True, kw_only=True, repr=False)
class Derivation(Statement):
    r"""The recursion of one quantity from layer :math:`\ell` to :math:`\ell+1`, derived from a layer map.

    Equation
        ``equation`` is a ``sympy.Eq``; ``first`` is the value in the first layer, where inputs take the place of neurons.
    Units
        A tensor of layer :math:`\ell` multiplies :math:`1/n_{\ell-1}`.
    Valid
        Leading order in 1/width of the named quantity, any activation, any samples (labels may coincide). With a skip
        connection a fluctuation's map from one layer to the next is exact for the second layer only.
    Source
        Derived here from the definition of the layer; notation of Roberts, Yaida & Hanin (arXiv:2106.10165).
    """

    quantity: Quantity
    labels: tuple[str, ...]
    law: Recursion
    first: sp.Eq
    layer: LayerMap
    known: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()  #: the numbers of the network

    @property
    def recursion(self) -> Law:
        """The law as it is printed: with closed forms after ``specialize``, with derivatives carried out after ``doit``."""
        return self.printed

    @property
    def needs(self) -> frozenset[str]:
        """The quantities of the layer below that enter, K included whenever an average is taken."""
        right = self.law.right
        return frozenset({e.name for e in right.atoms(Entry)} | ({"K"} if right.has(Average) else set()))

    @property
    def averages(self) -> tuple[Average, ...]:
        """The Gaussian averages in the equation."""
        return tuple(sorted(self.printed.right.atoms(Average), key=str))

    @property
    def steps(self) -> Steps:
        """The derivation: definition, layer map of the jets, neuron average, cumulance, Price, Isserlis, result."""
        return steps_of(MeanFieldSystem(self.layer), self.quantity, self.labels, self.derived, self.printed, self.told)

    @property
    def derived(self) -> Recursion:
        """The law with all symbols, before any number is put in."""
        return layer_recursion(self.layer, self.quantity, self.labels)

    @property
    def told(self) -> list[str]:
        """What the network puts into the result: numbers, and its activation."""
        gone = self.derived.right.free_symbols - self.law.right.free_symbols
        numbers = (pair for pair in self.known if pair[0] in gone)
        changed = latex.tex(self.law.right) != latex.tex(self.printed.right)
        changes = (getattr(change, "told", "") for change in self.shown if changed)
        return [*(f"${latex.tex(letter)}={latex.tex(value)}$" for letter, value in numbers), *filter(None, changes)]

    def specialize(self, activation: Activation, longest: int | None = None) -> Self:
        """The same with closed forms of an activation wherever they exist (and are not too long); other averages stay."""
        return replace(self.general, shown=(Specialized(activation, longest),))

    def put_in(self, change: Change) -> Self:
        """The same with letters replaced, in the first layer too."""
        return replace(super().put_in(change), first=mapped(self.first, change))

    @property
    def letters(self) -> dict[str, sp.Expr]:
        """The letters of the recursion and of its first layer."""
        return super().letters | letters(self.first.lhs, self.first.rhs)

    def doit(self) -> Self:
        """The same with the derivatives of Price's theorem carried out under the averages."""
        return replace(self, shown=(*self.shown, explicit))


@dataclass(frozen=True, repr=False)
class Recursions(Equations):
    r"""The recursions of a network at initialisation, from layer :math:`\ell` to :math:`\ell+1`, by quantity.

    Equation
        .. math:: \mathrm{tensor}^{(\ell+1)} = \mathrm{function}(\mathrm{tensors}^{(\ell)},\ \langle\cdots\rangle_{K^{(\ell)}})
    Shapes
        A mapping name → ``sympy.Eq``. A mapping of one, as ``derive(net, "V")``, has ``equation``, ``law`` (as derived),
        ``recursion`` (as printed), ``first`` (the first layer), ``labels``, ``averages`` as well.
    Units
        A tensor of layer :math:`\ell` multiplies :math:`1/n_{\ell-1}`.
    Valid
        Leading order in 1/width of each quantity, any activation, any samples (labels may coincide).
    Errors
        Those of ``Equations``.
    Source
        Derived here from the definition of the layer; notation of Roberts, Yaida & Hanin (arXiv:2106.10165).
    """

    subject: MLP
    statements: tuple[Derivation, ...]
    left_out: tuple[
        tuple[str, str], ...
    ] = ()  #: quantities that kinks of the activation make infinite, and which average

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities."""
        return tuple(self)

    @property
    def single(self) -> bool:
        """Whether the recursions are those of one input, without index."""
        return not any(label for d in self.statements for label in d.labels)

    @property
    def one(self) -> Derivation:
        """The recursion of a mapping of one."""
        found = super().one
        assert isinstance(found, Derivation)
        return found

    def statement(self, name: str) -> Derivation:
        """The derivation of that name."""
        found = super().statement(name)
        assert isinstance(found, Derivation)
        return found

    @property
    def depends_on(self) -> dict[str, tuple[str, ...]]:
        """For each name the quantities of the layer below that enter, K included whenever an average is taken."""
        needs = {d.name: d.needs for d in self.statements}
        return {name: tuple(other for other in TENSORS if other in needs[name]) for name in self}

    @property
    def quantity(self) -> Quantity:
        """The row of a single quantity."""
        return self.one.quantity

    @property
    def labels(self) -> tuple[str, ...]:
        """The sample labels of a single quantity."""
        return self.one.labels

    @property
    def law(self) -> Recursion:
        """The recursion of a single quantity as derived, with the averages as operators."""
        return self.one.law

    @property
    def recursion(self) -> Law:
        """The recursion of a single quantity as printed."""
        return self.one.recursion

    @property
    def first(self) -> sp.Eq:
        """A single quantity in the first layer, where inputs take the place of neurons."""
        return self.one.first

    @property
    def averages(self) -> tuple[Average, ...]:
        """The Gaussian averages in the equation of a single quantity."""
        return self.one.averages

    @cached_property
    def steps(self) -> Steps:
        """The derivations one after the other."""
        return Steps(tuple(step for derivation in self.statements for step in derivation.steps))

    @property
    def layer(self) -> LayerMap:
        """The layer map of the recursions."""
        return self.statements[0].layer

    @cached_property
    def hyperparameters(self) -> tuple[str, ...]:
        """The names of the hyperparameters of a network that occur in the equations."""
        sides = (e for d in self.statements for e in (d.law.right, d.first.rhs))
        found = {s.name for e in sides for s in e.atoms(sp.Symbol)}
        return tuple(name for name in HYPERPARAMETERS if name in found)

    def closed(self, names: Iterable[str]) -> Self:
        """The recursions of some names and of all that they need; ``InvalidArgument`` if one is missing."""
        needed, todo = set[str](), set(names)
        while todo:
            name = todo.pop()
            needed.add(name)
            needs = self.statement(name).needs
            if missing := needs - set(self):
                raise InvalidArgument(
                    f"equations= hold {name}, which needs {min(missing)}, and not {min(missing)}; allowed: closed systems, such "
                    "as derive(net)"
                )
            todo |= needs - needed
        return self.restrict(needed)

    def of(self, activation: Activation) -> Self:
        """The same equations for a network with that activation and no numbers, which laws do not depend on."""
        return replace(self, subject=MLP(activation))

    def specialize(self) -> Self:
        """The same with closed forms of the network's activation wherever they exist; other averages stay.

        Raises ``InvalidArgument`` for the unspecified activation.
        """
        activation = self.subject.activation.concrete()
        return replace(self, statements=tuple(d.specialize(activation) for d in self.statements))

    def subs(self, *arguments: Any) -> Self:
        """As ``Equations.subs``; numbers for hyperparameters are those of the network from then on."""
        found = super().subs(*arguments)
        return replace(found, subject=with_numbers(self.subject, resolved(pairs_of(*arguments), self.symbols)))

    def in_notation(self, notation: str) -> Self:
        """The same in print with chi_parallel, chi_perp and h ("chi"), defined below, or as averages ("averages")."""
        if check_word(notation) == "averages":
            return self.general
        check_one_input(self.single)
        change = InLetters(susceptibility_letters(self.layer, tuple(self.subject.known.items())))
        found = (concretely(d, self.subject.activation) for d in self.statements)
        return replace(self, statements=tuple(replace(d, shown=(change, *d.shown)) for d in found))

    @property
    def further(self) -> tuple[Law, ...]:
        """The definitions of susceptibilities, where they are letters."""
        return tuple(definitions(sp.Tuple(*(d.printed.right for d in self.statements))))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is left out."""
        return remarks(self.left_out)

    @property
    def heading(self) -> str:
        """The title of their section in a document."""
        return "Layer recursions" + (" of one input" if self.single else "")

    def setting(self, width: float) -> Setting:
        """The network, and the symbols of its recursions."""
        return Setting(statement(self.subject, width), recursion_symbols(self.statements, self.subject.known))

    def section(self, width: float, labels: str) -> str:
        """The recursions and the first layer, with labels."""
        return f"{self.latex(width=width, labels=labels)}\n{first_layer(self.statements, width, labels)}"

    def doit(self) -> Self:
        """The same with the derivatives of Price's theorem carried out under the averages."""
        return replace(self, statements=tuple(d.doit() for d in self.statements))


def recursions(
    net: MLP,
    name: str | Sequence[str] | None = None,
    *,
    samples: int | Sequence[str] | None = None,
    order: int | None = None,
    layer: LayerMap | None = None,
) -> Recursions:
    """The recursions of some quantities, or the closed system of all of them, by the map of one layer to the next."""
    layer, names = layer or net.layer_map, check_asked(name, order)
    if names is None:
        if samples not in (None, 1):
            raise InvalidArgument(f"samples={samples!r} with all quantities; allowed: None (different samples) or 1")
        rows = [quantity(n) for n in names_of_order(layer, 1 if order is None else order)]
    else:
        rows = [quantity(n) for n in names]
    labels = {row.name: labels_for(row, samples) for row in rows}
    left_out = left_out_of(net, layer, labels, one=name is not None)
    found = {row for row in rows if row.name not in dict(left_out)}
    derived = (derive_layer(layer, row, labels[row.name], net) for row in rows if row in found)
    return Recursions(net, tuple(concretely(d, net.activation) for d in derived), left_out)


def left_out_of(
    net: MLP, layer: LayerMap, labels: Mapping[str, tuple[str, ...]], *, one: bool
) -> tuple[tuple[str, str], ...]:
    """The quantities that do not exist for the network's activation, and why; ``NotAvailable`` if ``one`` is asked for."""
    if not any(a.kinks for a in net.distinct_activations):
        return ()
    reasons = {n: missing(net.distinct_activations, layer, n, not any(own), own) for n, own in labels.items()}
    found = tuple((name, reason) for name, reason in reasons.items() if reason is not None)
    if found and one:
        name, reason = found[0]
        raise NotAvailable(f"{name}: {reason}; allowed: quantities without it, or MLP() without activation")
    return found


def remarks(left_out: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What a system leaves out, in a line of print."""
    names = ", ".join(name for name, _ in left_out)
    return (
        (f"({names}: left out, since kinks of the activation make averages infinite; .left_out says which)",)
        if names
        else ()
    )


def concretely(derivation: Derivation, activation: Activation) -> Derivation:
    """The derivation as it is printed for an activation: with closed forms where these are short."""
    return derivation.specialize(activation, READABLE) if activation.specified else derivation


def with_numbers(net: MLP, pairs: Iterable[tuple[sp.Expr, sp.Expr]]) -> MLP:
    """The network with numbers for its hyperparameters."""
    values = {str(old): float(new) for old, new in pairs if str(old) in HYPERPARAMETERS and new.is_number}
    return net.with_(**values) if values else net


def derive_layer(layer: LayerMap, row: Quantity, labels: tuple[str, ...], net: MLP | None = None) -> Derivation:
    """The derivation for any layer map; ``net`` supplies the values of known hyperparameters."""
    net = net or MLP()
    known = net.known
    law = layer_recursion(layer, row, labels).map(lambda part: part.xreplace(known))
    first = first_of(layer, row, labels, known)
    return Derivation(
        name=row.name, quantity=row, labels=labels, law=law, first=first, layer=layer, known=tuple(known.items())
    )


def labels_for(row: Quantity, samples: int | Sequence[str] | None) -> tuple[str, ...]:
    """Sample labels for the indices of a quantity."""
    if samples is None:
        return tuple(DEFAULT_LABELS[: row.rank])
    if isinstance(samples, int):
        if samples != 1:
            raise InvalidArgument(f"samples={samples}; allowed: None, 1 (one input), or {row.rank} labels")
        return ("",) * row.rank
    if not isinstance(samples, Iterable):
        raise InvalidArgument(f"samples={samples!r}; allowed: None, 1 (one input), or {row.rank} labels")
    labels = tuple(str(s) for s in samples)
    if len(labels) != row.rank or not all(labels):
        raise InvalidArgument(
            f"samples={samples!r} gives {len(labels)} labels; {row.name} has {row.rank} indices; "
            f"allowed: {row.rank} labels"
        )
    if wrong := sorted({c for label in labels for c in label if c in "()[]{},'\"\\|" or not c.isprintable()}):
        raise InvalidArgument(
            f"samples={samples!r} hold {' '.join(map(repr, wrong))}, with which an index cannot be read; allowed: letters, digits "
            "and other signs, without brackets, commas and quotes"
        )
    return labels
