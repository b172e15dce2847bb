r"""Fluctuations of residual networks: one mean-field system over all layers.

A neuron of a residual network is one site through all layers, :math:`z^{(\ell)}=\sum_k R_{\ell k}\xi^{(k)}`
(``theory.layers.skip``), its jets alike. Given the order parameters :math:`q^{(k)}` of all layers the neurons are independent, with
the cross-layer kernels :math:`K^{(\ell m)}=\sum_k R_{\ell k}R_{mk}q^{(k)}`. So the noise of the neuron averages is correlated
between layers, and

.. math::
    \delta q_A^{(\ell+1)} = \eta_A^{(\ell+1)} + \sum_c J_{Ac}^{(\ell)}\,\delta Q_c^{(\ell)},\qquad
    \delta Q^{(\ell)}=\sum_k R_{\ell k}^2\,\delta q^{(k)},\qquad
    n\,\mathrm{Cov}(\eta_A^{(\ell+1)},\eta_B^{(m+1)}) = \langle f_A^{(\ell)}f_B^{(m)}\rangle^{\rm conn}.

The tensor of layer l is the covariance of the products :math:`g_A=xy` of jets of two different neurons,

.. math::
    M_{AB} = n\,\mathrm{Cov}(\delta Q_A,\delta Q_B) + n\,\mathrm{Cov}(g_A,\delta Q_B) + n\,\mathrm{Cov}(\delta Q_A,g_B),

where the last two say that each neuron is one of those that the averages average. The recursion of a single layer
(``derive``) holds the first step of this sum alone: a network with skips remembers all of its layers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.averages.gaussian import expectation
from ...theory.initialisation.derivation import Derivation, Recursions
from ...theory.language import symbols
from ...theory.language.errors import NotAvailable
from ...theory.language.jets import Jet
from ...theory.language.quantities import Entry, Kind, Pair, Quantity, lookup, quantity
from ...theory.layers.dense import Bias, Weights
from ...theory.layers.map import LayerMap
from ...theory.meanfield.expansion import Recursion
from ...theory.meanfield.system import MeanFieldSystem
from ...theory.networks.activations import Activation
from ...theory.networks.architecture import MLP
from ..codegen.modules import Compiled, compile

Array = NDArray[np.float64]
#: The directions of the jets of two pairs, up to the names of the directions.
Key = tuple[tuple[str, ...], tuple[str, ...]]

_LAYER = LayerMap((Bias(), Weights(crossed=-symbols.tau)))
_SYSTEM = MeanFieldSystem(_LAYER)
#: What differs from layer to layer.
_BY_LAYER = (symbols.C_b, symbols.C_W, symbols.lambda_b, symbols.lambda_W, symbols.tau)


def key_of(first: Pair, second: Pair) -> Key | None:
    """The canonical form of an ordered couple of pairs; None if a direction occurs an odd number of times."""
    counts = Counter(d for jet in (*first, *second) for d in jet.directions)
    if any(n % 2 for n in counts.values()):
        return None
    names = sorted(counts)
    renamed = (dict(zip(names, p, strict=True)) for p in permutations("rstuvw"[: len(names)]))
    one = lambda pair, new: tuple(sorted("".join(sorted(new[d] for d in jet.directions)) for jet in pair))  # noqa: E731
    return min((one(first, new), one(second, new)) for new in renamed)


def pairs_of(key: Key) -> tuple[Pair, Pair]:
    """Jets of the layers "1" and "2" for a key."""
    first, second = (tuple(Jet(label, r) for r in directions) for label, directions in zip("12", key, strict=True))
    return first, second


@lru_cache(maxsize=1024)
def responses(key: Key, side: int) -> tuple[tuple[Key, sp.Expr], ...]:
    """J of the first or second pair of a key: the keys with that pair replaced, and their factors (of its own layer)."""
    pairs = pairs_of(key)
    found: dict[Key, sp.Expr] = {}
    for c, value in _SYSTEM.jacobian(pairs[side]).items():
        replaced = key_of(c, pairs[1]) if side == 0 else key_of(pairs[0], c)
        if replaced is not None:
            found[replaced] = found.get(replaced, sp.Integer(0)) + value
    return tuple(found.items())


def closure(keys: set[Key], sides: tuple[int, ...]) -> list[Key]:
    """The keys and all that they inherit from, through the responses of the given sides."""
    done: list[Key] = []
    todo = sorted(keys)
    while todo:
        key = todo.pop()
        if key not in done:
            done.append(key)
            todo += [k for side in sides for k, _ in responses(key, side)]
    return sorted(done)


@dataclass(frozen=True)
class Program:
    """Compiled functions of the layers, for each key: S and G of two layers, X and J of one."""

    keys: tuple[Key, ...]  #: of covariances of order parameters
    own: tuple[Key, ...]  #: of covariances of own products with order parameters
    compiled: Compiled

    def evaluate(self, state: dict[str, Array]) -> dict[str, Array]:
        """All functions at all layers."""
        return self.compiled(state)


@lru_cache(maxsize=32)
def program(activation: Activation, names: tuple[str, ...]) -> Program:
    """The code for the tensors ``names`` of one input."""
    wanted = {key for name in names for key in keys_of(quantity(name))}
    own = closure(wanted, (1,))
    keys = closure(wanted, (0, 1))
    net = MLP(activation)
    parts: list[Derivation] = []
    for i, key in enumerate(keys):
        first, second = pairs_of(key)
        f, h = (_at(_SYSTEM.observable(pair).total, label) for pair, label in zip((first, second), "12", strict=True))
        parts.append(_part(f"S{i}", _covariance(f, h), 2))
        same = (tuple(Jet("1", jet.directions) for jet in pair) for pair in (first, second))
        parts.append(_part(f"X{i}", _at(_SYSTEM.crossed(*same), "1"), 1))
        if key in own:
            parts.append(_part(f"G{i}", _covariance(sp.Mul(*first), h), 2))
        for side, label in enumerate("12"):
            for k, (_, factor) in enumerate(responses(key, side)):
                parts.append(_part(f"J{i}_{side}_{k}", _moved(_at(factor, label), label), 1))
    return Program(tuple(keys), tuple(own), compile(Recursions(net, tuple(parts))))


def _covariance(f: sp.Expr, h: sp.Expr) -> sp.Expr:
    return expectation(sp.expand(f * h)) - expectation(f) * expectation(h)


def _at(expr: sp.Expr, label: str) -> sp.Expr:
    """Hyperparameters become entries of the layer ``label``."""
    return expr.xreplace({symbol: Entry(symbol.name, (label,)) for symbol in _BY_LAYER})


def _moved(expr: sp.Expr, label: str) -> sp.Expr:
    """An expression of the layer ``label`` alone, written for the layer "1"."""
    if label == "1":
        return expr
    jets = {jet: Jet("1", jet.directions) for jet in expr.atoms(Jet)}
    entries = {e: Entry(e.name, ("1",) * len(e.labels), e.shift) for e in expr.atoms(Entry)}
    return expr.xreplace(jets | entries)


def _part(name: str, right: sp.Expr, layers: int) -> Derivation:
    """A function of one or two layers in the form in which code is generated."""
    labels = tuple("12"[:layers])
    row = Quantity(name, (tuple(("", i) for i in range(layers)),), name, "01"[:layers], "cross-layer function")
    left = Entry(name, labels, 1)
    return Derivation(
        name=name,
        quantity=row,
        labels=labels,
        law=Recursion(left, right, ()),
        first=sp.Eq(left, sp.Integer(0), evaluate=False),
        layer=_LAYER,
    )


def keys_of(row: Quantity) -> tuple[Key, Key]:
    """The key of a covariance, both ways round."""
    first, second = row.at(("",) * row.rank)
    there, back = key_of(first, second), key_of(second, first)
    assert there is not None
    assert back is not None
    return there, back


def mixing(net: MLP) -> Array:
    """R = (1 - gamma)^-1, of shape (L, L)."""
    gamma = np.zeros((net.depth or 1, net.depth or 1))
    for k, m, strength in net.residual:
        gamma[m - 1, k - 1] = strength
    return np.asarray(np.linalg.inv(np.eye(len(gamma)) - gamma))


def check(net: MLP, inputs: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """The fluctuating ones among the names; ``NotAvailable`` for what is not derived for skips."""
    rows = [quantity(name) for name in names]
    beyond = [q.name for q in rows if q.kind not in (Kind.MEAN, Kind.COVARIANCE)]
    if beyond:
        raise NotAvailable(
            f"{', '.join(beyond)}: corrections and higher cumulants of networks with residual= are not derived; "
            "allowed: K, Theta, V, D, F, A, B, P, Q, R, S, T, U"
        )
    fluctuating = tuple(q.name for q in rows if q.kind is Kind.COVARIANCE)
    if fluctuating and inputs > 1:
        raise NotAvailable(
            f"{', '.join(fluctuating)}: fluctuations of networks with residual= are computed for one input; X has {inputs}; "
            "allowed: one input, or quantities=('K', 'Theta')"
        )
    if fluctuating and net.activations:
        raise NotAvailable("activation: fluctuations of networks with residual= need one activation for all layers")
    return fluctuating


def fluctuations(
    net: MLP, fields: dict[str, Array], first: dict[str, float], names: tuple[str, ...], features: int
) -> tuple[dict[str, Array], float]:
    """The tensors ``names`` of all layers for one input.

    ``fields`` holds the order parameters q of shape (L,) for "K" and "Theta", ``first`` the tensors of the first layer.
    """
    code = program(net.activation, names)
    R = mixing(net)
    L = len(R)
    state = {name: (R * q) @ R.T for name, q in fields.items()}
    scales = net.scales(features)
    # The map from layer l to l + 1 has the hyperparameters of layer l + 1; the last layer maps no further.
    for symbol in _BY_LAYER:
        given = [scale["tau"] for scale in scales] if symbol is symbols.tau else net.per_layer(symbol.name)
        state[symbol.name] = np.array([*given[1:], 0.0])
    values = code.evaluate(state)
    n = np.array(net.all_widths(features)[:L], dtype=float)  # the fan-in of the layers 1 ... L
    solved = _solve(code, values, R, n, first)
    squares = R**2
    result = {}
    for name in names:
        there, back = keys_of(quantity(name))
        both = np.einsum("li,lj,ij->l", squares, squares, solved["C", there])
        own = sum(np.einsum("lj,lj->l", squares, solved["G", key]) for key in (there, back))
        result[name] = n * (both + own)
    return result, float(values["average_error"])


def _solve(
    code: Program, values: dict[str, Array], R: Array, n: Array, first: dict[str, float]
) -> dict[tuple[str, Key], Array]:
    """Covariances, layer by layer: N of noise with q, G of own products with q, C of q with q; each of shape (L, L)."""
    L, squares, number = len(R), R**2, {key: i for i, key in enumerate(code.keys)}
    weight = 1.0 / np.concatenate([n[1:], [1.0]])  # of averages over the neurons of the layers 1 ... L-1
    noise = {}
    for key, i in number.items():
        S = np.zeros((L, L))
        # Layers that are not joined by skips share no neurons, and their sites are independent: S vanishes there.
        S[1:, 1:] = (values[f"S{i}"] * weight)[:-1, :-1]
        S[range(1, L), range(1, L)] += (values[f"X{i}"] * weight)[:-1]
        S[0, 0] = first.get(_name(key), 0.0) / n[0]
        noise[key] = S
    own = {key: np.zeros((L, L)) for key in code.own}
    for key in code.own:
        own[key][:, 1:] = (values[f"G{number[key]}"] * weight)[:, :-1]
    N = {key: S.copy() for key, S in noise.items()}
    for table in (N, own):
        for m in range(1, L):
            for key in table:
                for k, (below, _) in enumerate(responses(key, 1)):
                    factor = values[f"J{number[key]}_1_{k}"][m - 1]
                    table[key][:, m] += factor * table[below][:, :m] @ squares[m - 1, :m]
    C = {key: S.copy() for key, S in N.items()}
    for m in range(1, L):
        for key in C:
            for k, (below, _) in enumerate(responses(key, 0)):
                C[key][m] += values[f"J{number[key]}_0_{k}"][m - 1] * squares[m - 1, :m] @ C[below][:m]
    return {("C", key): c for key, c in C.items()} | {("G", key): g for key, g in own.items()}


def _name(key: Key) -> str:
    """The quantity that a key is, if it has a name."""
    entry = lookup(pairs_of(key))
    return entry.name if entry is not None else ""
