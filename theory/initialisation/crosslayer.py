r"""Networks with skips: one mean-field system over all layers, derived.

A neuron of a residual network is one site through all layers, :math:`z^{(\ell)}=\sum_k\mathcal R_{\ell k}\xi^{(k)}` with
:math:`\xi^{(\ell+1)}=b+W\sigma(z^{(\ell)})` (``theory.layers.skip``), its jets alike. Given the order parameters :math:`q^{(k)}`
of all layers the neurons are independent, with the cross-layer kernels
:math:`K^{(\ell m)}=\sum_k\mathcal R_{\ell k}\mathcal R_{mk}q^{(k)}`. So the noise of the neuron averages is correlated between
layers, and

.. math::
    \delta q_A^{(\ell+1)} = \eta_A^{(\ell+1)} + \sum_c J_{Ac}^{(\ell)}\,\delta Q_c^{(\ell)},\qquad
    \delta Q^{(\ell)}=\sum_k\mathcal R_{\ell k}^2\,\delta q^{(k)},\qquad
    n_\ell\,\mathrm{Cov}(\eta_A^{(\ell+1)},\eta_B^{(m+1)}) = \langle f_A^{(\ell)}f_B^{(m)}\rangle^{\rm conn}.

The tensor of layer l is the covariance of the products :math:`g_A=xy` of jets of two different neurons,

.. math::
    M_{AB} = n\,\mathrm{Cov}(\delta Q_A,\delta Q_B) + n\,\mathrm{Cov}(g_A,\delta Q_B) + n\,\mathrm{Cov}(\delta Q_A,g_B),

where the last two say that each neuron is one of those that the averages average. The covariances have a letter each: S of noise
with noise, N of noise with order parameters, C of order parameters with each other, O of own products with noise, G of own products
with order parameters. A recursion of a single layer holds the first step of these sums alone: a network with skips remembers all
of its layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import combinations_with_replacement, product

import sympy as sp

from ..averages.gaussian import Average, price
from ..language import symbols
from ..language.equations import Plain, Statement
from ..language.jets import Jet
from ..language.quantities import TENSORS, Entry, Pair, quantity
from ..layers.map import LayerMap
from ..meanfield.protocol import MeanField, Structure, connected
from ..meanfield.system import MeanFieldSystem
from .keys import Key, closed, keys_of, name_of, pairs_of, responses, turned
from .layered import ELL, LABELS, J, K, Layered, M, handed_on, layered, mixing, width

#: The hyperparameters that may differ from layer to layer: of the map from layer l to l + 1 they are those of layer l + 1.
_BY_LAYER = (symbols.C_b, symbols.C_W, symbols.lambda_b, symbols.lambda_W, symbols.tau)


class Role(StrEnum):
    """The place of an equation in the system over all layers."""

    FIELD = "field"  #: the order parameters q of a layer, from the kernels of the layer below
    KERNEL = "kernel"  #: K^(lm) and Theta^(lm), from the order parameters of all layers below
    RESPONSE = "response"  #: J of one layer
    SOURCE = "source"  #: S of two layers
    OWN_SOURCE = "own source"  #: O of two layers
    NOISE = "noise"  #: N, recursive in its second layer
    COVARIANCE = "covariance"  #: C, recursive in its first layer
    OWN = "own"  #: G, recursive in its second layer
    TENSOR = "tensor"  #: observable: V, D, ...


@dataclass(frozen=True, kw_only=True, repr=False)
class LayerStatement(Statement):
    """An equation over all layers; ``first`` is its value in the first layer, where it has one of its own."""

    role: Role
    first: sp.Expr = sp.S.Zero

    @property
    def needs(self) -> frozenset[str]:
        """The names of the letters on the right-hand side, K included whenever an average is taken."""
        right = self.law.right
        letters = {letter.name for letter in right.atoms(Layered, Entry)}
        return frozenset(letters | ({"K"} if right.has(Average) else set()))


#: An order parameter q of the layer above the one with this label: the average of a function of its neurons' jets.
Above = tuple[Pair, str]


@dataclass(frozen=True)
class Layers(MeanField[Above]):
    r"""The neurons of all layers of one input as one site, for a layer map without its skips.

    The order parameters are :math:`q_A^{(\ell+1)}`; the sources are the jets of a neuron at each layer, of covariances
    :math:`\sum_k\mathcal R_{\ell k}\mathcal R_{mk}q^{(k)}`.
    """

    layer: LayerMap
    known: tuple[tuple[sp.Symbol, sp.Expr], ...]
    numbers: tuple[tuple[str, sp.Expr], ...] = tuple(LABELS.items())  #: the layers by their labels
    structure = Structure.TRIANGULAR

    @property
    def field(self) -> MeanFieldSystem:
        """The map of the part of a layer that is no skip."""
        return MeanFieldSystem(self.layer)

    def number(self, label: str) -> sp.Expr:
        """The layer of a label."""
        return dict(self.numbers)[label]

    def at(self, expr: sp.Expr, label: str) -> sp.Expr:
        """Hyperparameters that are not known, as those of the layer above the layer ``label``."""
        above = {s: layered(s.name, self.number(label) + 1) for s in _BY_LAYER}
        return expr.xreplace(dict(self.known)).xreplace(above)

    def function(self, order: Above) -> sp.Expr:
        """F of a pair, by the jets of the layer below it."""
        pair, label = order
        return self.at(self.field.function(_moved(pair, label)), label)

    def constant(self, order: Above) -> sp.Expr:
        """The bias."""
        pair, label = order
        return self.at(self.field.constant(_moved(pair, label)), label)

    def moment(self, function: sp.Expr, by: tuple[Above, ...] = ()) -> sp.Expr:
        """The average; by an order parameter: Price's theorem for all jets whose covariance it is a part of."""
        total: sp.Expr = sp.S.Zero
        jets = sorted(function.atoms(Jet), key=lambda jet: jet.structure)
        choices = [[pair for pair in combinations_with_replacement(jets, 2) if _alike(pair, c)] for c, _ in by]
        for chosen in product(*choices):
            parts = (
                mixing(self.number(jet.sample), self.number(label) + 1)
                for pair, (_, label) in zip(chosen, by, strict=True)
                for jet in pair
            )
            total += sp.Mul(*parts) * price(function, *chosen)
        return total

    def answers(self, orders: tuple[Above, ...], count: int) -> Iterator[tuple[Above, ...]]:
        """All order parameters of the layers below."""
        pairs = tuple(pair for pair, _ in orders)
        highest = max(self.number(label) for _, label in orders)
        below = [label for label, number in self.numbers if number < highest]
        for found in self.field.answers(pairs, count):
            for labels in product(below, repeat=count):
                yield tuple((_moved(pair, label), label) for pair, label in zip(found, labels, strict=True))

    def noise(self, first: Above, second: Above) -> sp.Expr:
        """Covariances of noise: of averages over the same neurons, and of weights of one layer that are not independent."""
        (pair, label), (other, also) = first, second
        found = sp.expand(self.cumulant((first, second)))
        if (crossed := self.at(self.field.crossed(_moved(pair, label), _moved(other, label)), label)) != 0:
            found += sp.KroneckerDelta(self.number(label), self.number(also)) * crossed
        return found

    def source(self, key: Key) -> LayerStatement:
        """S of two layers."""
        first, second = zip(pairs_of(key), LABELS, strict=True)
        right = sp.expand(over_layers(self.noise(first, second)) / width(ELL))
        return _statement(Role.SOURCE, key, (ELL + 1, M + 1), right)

    def own_source(self, key: Key) -> LayerStatement:
        """Covariances of the products of a neuron's own jets with the average that holds the neuron."""
        own, second = pairs_of(key)
        function = self.function((second, list(LABELS)[1]))
        right = over_layers(sp.expand(connected((sp.Mul(*own), function), self.moment)))
        return _statement(Role.OWN_SOURCE, key, (ELL, M + 1), sp.expand(right / width(M)))

    def responses(self, key: Key) -> Iterator[tuple[Key, LayerStatement]]:
        """J of the second pair, as a function of one layer."""
        for replaced, value in responses(self.layer, key):
            jets = {jet: Jet("ell", jet.directions) for jet in value.atoms(Jet)}
            entries = {e: Entry(e.name, ("ell",) * len(e.labels), e.shift) for e in value.atoms(Entry)}
            name = f"J_{name_of(key)}_{name_of(replaced)}"
            left = layered(name, ELL, head="J", index=f"{_tex(key)},{_tex(replaced)}")
            right = over_layers(self.at(value.xreplace(jets | entries), "ell"))
            yield replaced, LayerStatement(name=name, law=Plain(left, right), role=Role.RESPONSE)


_LETTER = {Role.SOURCE: "S", Role.OWN_SOURCE: "O", Role.NOISE: "N", Role.COVARIANCE: "C", Role.OWN: "G"}


def fluctuations(
    layer: LayerMap, names: Sequence[str], known: Mapping[sp.Symbol, sp.Expr], firsts: Callable[[str], sp.Expr]
) -> tuple[LayerStatement, ...]:
    """The equations of the tensors ``names``, each after those that it needs; ``firsts`` are the tensors of the first layer."""
    return _fluctuations(layer, tuple(names), tuple(known.items()), tuple(firsts(name) for name in TENSORS))


@lru_cache(maxsize=64)
def _fluctuations(
    layer: LayerMap,
    names: tuple[str, ...],
    known: tuple[tuple[sp.Symbol, sp.Expr], ...],
    firsts: tuple[sp.Expr, ...],
) -> tuple[LayerStatement, ...]:
    system = Layers(layer, known)
    wanted = [keys_of(quantity(name)) for name in names]
    covariances = closed(layer, [there for there, _ in wanted], first=True)
    noises = closed(layer, covariances)
    owns = closed(layer, [key for both in wanted for key in both])
    answers: dict[tuple[Key, Key], LayerStatement] = {}
    distinct: dict[sp.Expr, LayerStatement] = {}
    for key in dict.fromkeys((*noises, *owns, *map(turned, covariances))):
        for replaced, answer in system.responses(key):  # one letter for each function
            answers[key, replaced] = distinct.setdefault(answer.law.right, answer)

    def inherited(role: Role, key: Key) -> sp.Expr:
        """The part that the second pair inherits from the layers below it."""
        row = ELL if role is Role.OWN else ELL + 1
        return sp.Add(
            *(_letter(answers[key, c], M) * handed_on(_name(role, c, row, K), M) for c, _ in responses(layer, key))
        )

    def above(key: Key) -> sp.Expr:
        """The part that the first pair inherits from the layers below it."""
        back = turned(key)
        return sp.Add(
            *(
                _letter(answers[back, c], ELL) * handed_on(_name(Role.COVARIANCE, turned(c), K, M + 1), ELL)
                for c, _ in responses(layer, back)
            )
        )

    here, own = (ELL + 1, M + 1), (ELL, M + 1)
    found = [
        *distinct.values(),
        *map(system.source, noises),
        *map(system.own_source, owns),
        *(_statement(Role.NOISE, k, here, _name(Role.SOURCE, k, *here) + inherited(Role.NOISE, k)) for k in noises),
        *(_statement(Role.COVARIANCE, k, here, _name(Role.NOISE, k, *here) + above(k)) for k in covariances),
        *(_statement(Role.OWN, k, own, _name(Role.OWN_SOURCE, k, *own) + inherited(Role.OWN, k)) for k in owns),
        *(_tensor(name) for name in names),
    ]
    values = dict(zip((f"S_{name}" for name in TENSORS), firsts, strict=True))
    values |= {f"S_{name}T": value for name, value in zip(TENSORS, firsts, strict=True)}
    return tuple(_with_first(s, values.get(s.name, sp.S.Zero)) for s in found)


def _with_first(statement: LayerStatement, value: sp.Expr) -> LayerStatement:
    """The value of a source in the first layer, where the weights alone fluctuate."""
    if value == 0:
        return statement
    return LayerStatement(name=statement.name, law=statement.law, role=statement.role, first=value / width(sp.S.Zero))


def _tensor(name: str) -> LayerStatement:
    r""":math:`M_{AB}`: covariances of kernels, and of kernels with own products, both ways round."""
    there, back = keys_of(quantity(name))
    both = sp.Sum(
        mixing(ELL, J) ** 2 * mixing(ELL, K) ** 2 * _name(Role.COVARIANCE, there, J, K), (J, 1, ELL), (K, 1, ELL)
    )
    own = sp.Add(*(handed_on(_name(Role.OWN, key, ELL, K), ELL) for key in (there, back)))
    left = layered(name, ELL, head=TENSORS[name].latex)
    return LayerStatement(name=name, law=Plain(left, width(ELL - 1) * both + width(ELL - 1) * own), role=Role.TENSOR)


def kernel(name: str) -> LayerStatement:
    r""":math:`K^{(\ell m)}=\sum_k \mathcal R^{(\ell k)}\mathcal R^{(mk)}q^{(k)}`, of jets of one neuron at two layers."""
    head = TENSORS[name].latex
    right = sp.Sum(mixing(ELL, K) * mixing(M, K) * order_parameter(name, K), (K, 1, ELL))
    return LayerStatement(name=name, law=Plain(layered(name, ELL, M, head=head), right), role=Role.KERNEL)


def order_parameter(name: str, layer: sp.Expr) -> Layered:
    """The covariance q of two jets of one neuron, given the layer below and without what skips hand on."""
    return layered(f"q_{name}", layer, head="q", index=TENSORS[name].latex)


def _moved(pair: Pair, label: str) -> Pair:
    """Jets of the same directions at another layer."""
    first, second = (Jet(label, jet.directions) for jet in pair)
    return first, second


def _alike(pair: Pair, other: Pair) -> bool:
    """Whether two pairs have the same directions, the layers aside."""
    return sorted(jet.directions for jet in pair) == sorted(jet.directions for jet in other)


def over_layers(expr: sp.Expr) -> sp.Expr:
    """Kernels of jets of the layers l and m, as entries of arrays over layers; averages stay as they are."""
    kept = {node: node for node in expr.atoms(Average)}
    entries = {
        e: layered(e.name, *(LABELS[label] for label in e.labels), head=TENSORS[e.name].latex)
        for e in expr.atoms(Entry)
        if all(label in LABELS for label in e.labels)
    }
    return expr.xreplace(kept | entries)


def _statement(role: Role, key: Key, layers: tuple[sp.Expr, sp.Expr], right: sp.Expr) -> LayerStatement:
    left = _name(role, key, *layers)
    return LayerStatement(name=left.name, law=Plain(left, right), role=role)


def _name(role: Role, key: Key, *layers: sp.Expr) -> Layered:
    letter = _LETTER[role]
    return layered(f"{letter}_{name_of(key)}", *layers, head=letter, index=_tex(key))


def _letter(statement: LayerStatement, layer: sp.Expr) -> Layered:
    left = statement.law.left
    assert isinstance(left, Layered)
    return left.at(layer)


def _tex(key: Key) -> str:
    """A key in print: the letter of its quantity, transposed if its pairs are exchanged."""
    name = name_of(key)
    if name in TENSORS:
        return TENSORS[name].latex
    return rf"{TENSORS[name[:-1]].latex}^{{\top}}" if name[:-1] in TENSORS else rf"\mathrm{{{name.replace('_', ' ')}}}"
