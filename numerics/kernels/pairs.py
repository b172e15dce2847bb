r"""The map of a pair of inputs through all layers at infinite width: the derived recursions of K and Theta, for pairs in bulk.

A pair is three numbers, :math:`|x_a|^2/n_0`, :math:`|x_b|^2/n_0` and the cosine of the angle between the inputs. Where averages
have no closed form there are two maps: one by adaptive quadrature, and a faster one in bulk, compared with the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ...theory.averages.gaussian import Average
from ...theory.averages.regularity import divergence
from ...theory.initialisation.derivation import recursions
from ...theory.language import symbols
from ...theory.language.errors import NotIntegrable
from ...theory.language.jets import Jet, Overlap
from ...theory.language.quantities import Entry
from ...theory.language.symbols import z
from ...theory.networks.activations import Activation
from ...theory.networks.architecture import HYPERPARAMETERS, MLP
from ..averages import hermite
from ..averages import nearly_parallel as parallel
from ..codegen.averages import orders_at
from ..codegen.elementwise import Correlation, Tile, compile_tile
from ..codegen.modules import Compiled, compile
from ..codegen.printing import array_function
from ..codegen.refusals import refused
from ..codegen.stable import closed_law
from ..initialisation.skips import mixing
from ..quadrature.quadrature import gaussian_averages

Array = NDArray[np.float64]

_ROW, _COLUMN = (sp.Symbol(name, positive=True) for name in ("row", "column"))
_MATRICES = {name: sp.Symbol(name, real=True) for name in ("K", "Theta")}
#: Relative accuracy that quadrature is asked for.
ACCURACY = 1e-13


#: Pairs that are worth a table.
TABLED = 20_000
#: The cost of a pair by other rules, in multiplications of a Hermite series.
WORTH = {"parallel": 3e4, "quadrature": 1e6}


@dataclass(frozen=True)
class Trajectory:
    """Single inputs: the standard deviations sqrt(K_aa) at the layers 1 ... L-1, and K_aa, Theta_aa at the last one."""

    deviations: tuple[Array, ...]
    last: tuple[Array, ...]

    def part(self, which: Any) -> list[Array]:
        """The deviations of some of the inputs."""
        return [d[which] for d in self.deviations]


@dataclass(frozen=True, eq=False)
class PairMap:
    """The derived recursions of a network; ``names`` is ("K",) or ("K", "Theta")."""

    net: MLP
    names: tuple[str, ...]
    features: int
    parameters: tuple[dict[str, float], ...]  #: of the layers 1 ... L
    steps: tuple[LayerStep, ...]  #: from the layers 1 ... L-1
    squares: Array  #: (L, L), the weights of the fields of lower layers in a layer: R^2 of ``theory.layers.skip``

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the network, and derives the map again."""
        return _again, (self.net, self.features, self.names, any(step.in_bulk for step in self.steps))

    @property
    def closed(self) -> bool:
        """Whether every average has a closed form."""
        return all(step.tile is not None for step in self.steps)

    @property
    def kinked(self) -> bool:
        """Whether an activation has kinks."""
        return any(step.activation.kinks for step in self.steps)

    @cached_property
    def bulk(self) -> PairMap:
        """The same map with fast averages, where the map itself has adaptive quadrature."""
        return self if self.closed else replace(self, steps=tuple(replace(s, in_bulk=True) for s in self.steps))

    @cached_property
    def tabled(self) -> PairMap:
        """The map in bulk with averages from tables, which serve all hyperparameters and depths of an activation."""
        return replace(self.bulk, steps=tuple(replace(s, tabled=s.in_bulk) for s in self.bulk.steps))

    def first(self, overlap: Array) -> list[Array]:
        """The first layer from x.x'/n_0, for each name."""
        return [of_overlap(name, overlap, self.parameters[0]) for name in self.names]

    def handed_on(self, fields: Sequence[Sequence[Array]]) -> list[Array]:
        r"""The kernels of a layer from the fields made in it and in those below: :math:`\sum_kR_{\ell k}^2\,F^{(k)}`."""
        if not self.net.residual:
            return list(fields[-1])
        weights = self.squares[len(fields) - 1]
        kept = [(w, field) for w, field in zip(weights, fields, strict=False) if w != 0]
        return [sum((w * field[n] for w, field in kept), np.zeros(())) for n in range(len(fields[-1]))]

    def trajectory(self, squares: Array) -> Trajectory:
        """The recursions of single inputs with these |x|^2/n_0; equal ones are computed once."""
        values, back = np.unique(squares, return_inverse=True)
        fields = [[of_overlap(name, values, self.parameters[0]) for name in self.names]]
        state = dict(zip(self.names, self.handed_on(fields), strict=True))
        deviations = []
        for step, given in zip(self.steps, self.parameters[1:], strict=True):
            deviations.append(np.sqrt(state["K"])[back])
            made = step.alone(state, given)
            fields.append([made[name] for name in self.names])
            state = dict(zip(self.names, self.handed_on(fields), strict=True))
        return Trajectory(tuple(deviations), tuple(state[name][back] for name in self.names))

    def __call__(self, first: Array, second: Array, cosine: Array) -> list[Array]:
        """K and Theta of pairs at the last layer: three vectors of equal length, one vector for each name."""
        both = self.trajectory(np.concatenate([first, second])).deviations  # equal norms are computed once
        left, right = ([d[part] for d in both] for part in (slice(len(first)), slice(len(first), None)))
        return self.along(left, right, cosine * np.sqrt(first * second))

    def along(self, left: Sequence[Array], right: Sequence[Array], overlap: Array) -> list[Array]:
        """K and Theta of pairs whose deviations in all layers are known."""
        fields = [self.first(overlap)]
        with np.errstate(all="ignore"):
            for step, a, b, given in zip(self.steps, left, right, self.parameters[1:], strict=True):
                fields.append(step.pairs(a, b, self.handed_on(fields), given))
        return self.handed_on(fields)


@dataclass(frozen=True)
class LayerStep:
    """The map from one layer to the next for an activation: code for tiles if all averages are closed, and the laws."""

    activation: Activation
    names: tuple[str, ...]
    tile: Tile | None
    single: Tile | None
    law: Callable[..., Sequence[Array]]  #: of K, Theta, the averages and the hyperparameters
    orders: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  #: of the averages
    in_bulk: bool = False  #: fast averages instead of adaptive quadrature
    tabled: bool = False  #: fast averages from tables that are kept

    @property
    def sigma(self) -> Callable[[Array, int], list[Array]]:
        """The activation and its derivatives as NumPy functions."""
        return _sigma(self.activation)

    @property
    def kinks(self) -> list[float]:
        """The points between which the activation is smooth."""
        return [float(k) for k in self.activation.kinks]

    def alone(self, state: dict[str, Array], given: dict[str, float]) -> dict[str, Array]:
        """The next layer of single inputs."""
        loud = bool((state["K"] > 0).all())
        # Three ways: averages in bulk <f^2>, closed forms as a tile, or the generated recursion, which integrates.
        if self.in_bulk and loud and all(f == g for f, g in self.orders):
            averages = self.squares(np.sqrt(state["K"]))
            if averages is not None:
                return dict(
                    zip(self.names, self.next(list(averages), [state[n] for n in self.names], given), strict=True)
                )
        if self.single is None or not loud:
            step = _single(self.activation, self.names)
            return step(state, **step.arguments("step", given))
        work = [np.empty((len(state["K"]), 1)) for _ in range(self.single.buffers)]
        numbers = {p: given[p] for p in self.single.scalars}
        found = self.single.run(*(np.array(state[name])[:, None] for name in self.names), work, **numbers)
        return {name: v[:, 0] for name, v in zip(self.names, found, strict=True)}

    def pairs(self, a: Array, b: Array, values: list[Array], given: dict[str, float]) -> list[Array]:
        """The next layer of pairs with the standard deviations a and b."""
        loud = bool((a > 0).all() and (b > 0).all())  # else inputs at z = 0, where a kink has the slope of its own case
        if self.tile is not None and loud:
            work = [np.empty((len(a), 1)) for _ in range(self.tile.buffers)]
            columns = [np.array(v, dtype=float)[:, None] for v in values]
            numbers = {p: given[p] for p in self.tile.scalars}
            return [v[:, 0] for v in self.tile.run(a[:, None], b[:, None], *columns, work, **numbers)]
        averages = self.averages(a, b, values[0]) if loud else self._integrated(a, b, values[0])
        return self.next(averages, values, given)

    def averages(self, a: Array, b: Array, K: Array) -> Sequence[Array]:
        """The averages at pairs of positive standard deviations a, b and covariance K."""
        return self._fast(a, b, K) if self.in_bulk else self._integrated(a, b, K)

    def squares(self, deviations: Array) -> Array | None:
        """The averages at single inputs in bulk; None if no grid resolves the activation."""
        return hermite.squares(self.sigma, self.kinks, [f for f, _ in self.orders], deviations, tabled=self.tabled)

    def next(self, averages: Sequence[Array], values: Sequence[Array], given: dict[str, float]) -> list[Array]:
        """The next layer from its averages, by the derived law."""
        everything = dict.fromkeys(HYPERPARAMETERS, 0.0) | given | dict(zip(self.names, values, strict=True))
        found = self.law(*averages, *(everything[name] for name in (*self.names, *HYPERPARAMETERS)))
        return [np.broadcast_to(v, np.shape(values[0])) for v in found]

    def _fast(self, a: Array, b: Array, K: Array) -> list[Array]:
        """Hermite series; where they are too long, the rule for nearly parallel inputs, or else quadrature."""
        rho = np.clip(K / (a * b), -1.0, 1.0)
        by_pieces = all(parallel.pieces(self.activation, site) for pair in self.orders for site in pair)
        worth = WORTH["parallel" if by_pieces else "quadrature"]
        # Mehler's series; then the pairs that it leaves open, which are nearly parallel.
        averages, known = hermite.averages(self.sigma, self.kinks, self.orders, a, b, rho, worth, tabled=self.tabled)
        if not known.all():
            rest = ~known
            near = None
            if by_pieces and rest.sum() > TABLED:
                near = parallel.tabled(self.activation, self.orders, self.sigma, a[rest], b[rest], rho[rest])
            if near is None:
                near = parallel.averages(self.activation, self.orders, a[rest], b[rest], rho[rest])
            others = self._integrated(a[rest], b[rest], K[rest]) if near is None else near
            for total, part in zip(averages, others, strict=True):
                total[rest] = part
        return averages

    def _integrated(self, a: Array, b: Array, K: Array) -> Sequence[Array]:
        covariance = np.empty((len(a), 2, 2))
        covariance[:, 0, 0], covariance[:, 1, 1] = a**2, b**2
        covariance[:, 0, 1] = covariance[:, 1, 0] = np.clip(K, -a * b, a * b)
        terms = [(orders, (0, 0)) for orders in self.orders]
        with refused():
            averages, _ = gaussian_averages(self.sigma, covariance, terms, kinks=self.kinks, rtol=ACCURACY)
        return list(averages)


def _again(net: MLP, features: int, names: tuple[str, ...], bulk: bool) -> PairMap:
    exact = pair_map(net, features, names)
    return exact.bulk if bulk else exact


@lru_cache(maxsize=64)
def pair_map(net: MLP, features: int, names: tuple[str, ...]) -> PairMap:
    """The map of a network, for inputs of so many features."""
    for activation in net.distinct_activations:
        activation.concrete()
    jumping = next((a for a in net.layer_activations if a.jumps), None)
    if jumping is not None and "Theta" in names:
        raise NotIntegrable(
            f"activation={jumping.name!r} jumps at z={', '.join(map(str, jumping.jumps))}: <sigma'^2>, and with it the tangent "
            "kernel, is infinite; allowed: get='K'"
        )
    for steep in net.layer_activations if "Theta" in names else ():
        if (found := divergence(((steep, 1), (steep, 1)))) is not None:
            raise NotIntegrable(
                f"activation={steep.name!r} has too steep a slope at z={found[0]}: <sigma'^2>, and with it the tangent kernel, is "
                "infinite; allowed: get='K'"
            )
    net.all_widths(features)  # an error if the network has other features
    wanted = {p for name in names for p in recursions(MLP(), name).hyperparameters}
    given = {p: net.per_layer(p) for p in HYPERPARAMETERS if p in wanted}
    parameters = tuple({p: v[i] for p, v in given.items()} for i in range(net.depth or 1))
    steps = tuple(_step(a, names) for a in net.layer_activations)
    return PairMap(net, names, features, parameters, steps, mixing(net) ** 2)


@lru_cache(maxsize=64)
def _step(activation: Activation, names: tuple[str, ...]) -> LayerStep:
    derived = [recursions(MLP(activation), name, samples="12") for name in names]
    closed = [closed_law(d.law.right, activation) for d in derived]
    entries = {
        Entry("K", ("1", "1")): _ROW**2,
        Entry("K", ("2", "2")): _COLUMN**2,
        **{Entry(name, ("1", "2")): symbol for name, symbol in _MATRICES.items()},
    }
    tile = None
    if not any(law.has(Average) for law in closed):
        written = [
            _by_correlation(law.xreplace(entries)) if activation.kinks else law.xreplace(entries) for law in closed
        ]
        tile = compile_tile(written, [_ROW], [_COLUMN], [_MATRICES[n] for n in names])
    laws = [d.law.right for d in derived]
    nodes = sorted({node for law in laws for node in law.atoms(Average)}, key=str)
    letters = {node: sp.Symbol(f"E{i}") for i, node in enumerate(nodes)}
    arguments = [*letters.values(), *(_MATRICES[n] for n in names), *(getattr(symbols, p) for p in HYPERPARAMETERS)]
    law = sp.lambdify(arguments, [law.xreplace(letters | entries) for law in laws], "numpy")
    return LayerStep(activation, names, tile, _single_tile(activation, names), law, tuple(map(_orders, nodes)))


def _single_tile(activation: Activation, names: tuple[str, ...]) -> Tile | None:
    """The closed recursion of single inputs; None if an average has no closed form."""
    laws = [closed_law(recursions(MLP(activation), name, samples=1).law.right, activation) for name in names]
    if any(law.has(Average) for law in laws):
        return None
    entries = {Entry(name, ("", "")): symbol for name, symbol in _MATRICES.items()}
    return compile_tile([law.xreplace(entries) for law in laws], [], [], [_MATRICES[name] for name in names])


def _by_correlation(law: sp.Expr) -> sp.Expr:
    """Arcs and roots of the same correlation: where inputs are parallel, their rounding errors cancel."""
    rho = sp.Symbol("rho", real=True)
    scaled = law.xreplace({_MATRICES["K"]: _ROW * _COLUMN * rho})
    roots = {p: sp.factor(p.base) ** p.exp for p in scaled.atoms(sp.Pow) if p.exp.is_Rational and p.exp.q == 2}
    quotient = Correlation(_MATRICES["K"] / (_ROW * _COLUMN))
    # the correlation stands in arcs and roots, K itself elsewhere
    inner = {
        node: node.xreplace({rho: quotient})
        for node in scaled.xreplace(roots).atoms(sp.asin, sp.acos, sp.Pow)
        if node.has(rho) and not (isinstance(node, sp.Pow) and node.exp.is_Integer)
    }
    return scaled.xreplace(roots).xreplace(inner).xreplace({rho: _MATRICES["K"] / (_ROW * _COLUMN)})


def _orders(node: Average) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The orders of sigma's derivatives at the two sites."""
    first, second = (tuple(sorted(orders_at(node.body, Jet(label)))) for label in "12")
    return first, second


@lru_cache(maxsize=64)
def _sigma(activation: Activation) -> Callable[[Array, int], list[Array]]:
    functions = [array_function(z, activation.derivative(k)) for k in range(2)]
    return lambda x, order: [
        np.broadcast_to(np.asarray(f(x), dtype=np.float64), x.shape) for f in functions[: order + 1]
    ]


def of_overlap(name: str, overlap: Array, given: dict[str, float]) -> Array:
    """A kernel of the first layer from overlaps x.x'/n_0."""
    function, wants = _first(name)
    return np.asarray(function(overlap, **{p: given[p] for p in wants}))


@lru_cache(maxsize=8)
def _first(name: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The first layer as a function of x.x'/n_0, and the hyperparameters that it takes."""
    right = recursions(MLP(), name, samples="12").first.rhs
    (overlap,) = right.atoms(Overlap)
    x = sp.Symbol("x")
    expr = right.xreplace({overlap: x})
    wants = sorted(expr.free_symbols - {x}, key=str)
    return sp.lambdify((x, *wants), expr, "numpy"), tuple(map(str, wants))


@lru_cache(maxsize=64)
def _single(activation: Activation, names: tuple[str, ...]) -> Compiled:
    """The recursion of single inputs."""
    net = MLP(activation)
    return compile(recursions(net, order=0, samples=1).restrict(names))
