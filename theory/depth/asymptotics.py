r"""How every tensor grows or decays with depth at criticality, derived from its recursion by an ansatz solved order by order.

There are three kinds of critical point with one rule each; the activation and the recursion of K decide the kind.

- *Any K is a fixed point* (scale-invariant activations), and *exactly at* a fixed point K* > 0 with chi_parallel = chi_perp = 1:
  each recursion is X' = X + f(ell) with a polynomial f, and Faulhaber's sums give X exactly, first layer included.
- *K* = 0*: K decays, all recursions become series in K (``taylor``), and X(K) is solved along the orbit of K (``series``). The
  layer number is itself such a series, the solution of tau(F(K)) = tau(K) + 1 (Abel's equation), so that depth comes in last.

An amplitude that the recursion does not fix is a symbol: ``c_X`` in front of the homogeneous solution of X, and ``ell_0``, the
shift of the layer number. Both depend on the first layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import sympy as sp

from ..averages.gaussian import Average
from ..averages.regularity import prepared
from ..averages.taylor import taylor
from ..initialisation.dependencies import closure, dependency_order
from ..initialisation.derivation import Derivation, derive_layer
from ..initialisation.layer_maps import residual
from ..language import symbols
from ..language.checks import check_count, names_of
from ..language.errors import InvalidArgument, NotAvailable, NotIntegrable
from ..language.quantities import TENSORS, Entry, quantity
from ..language.symbols import ell
from ..layers.map import LayerMap
from ..networks.architecture import HYPERPARAMETERS, MLP
from . import memory as skips
from .criticality import runs_into_origin, susceptibilities
from .decay import Decay
from .depthlaw import DepthLaw, DepthLaws, Point, dimension, kernel
from .fixed import Fixed, relations
from .origin import Origin

#: Orders of K, relative to the leading one: at most so many where leading terms cancel, and so many on request.
DEEPEST, MOST = 5, 8
#: How close to the critical ones variances have to be, if they are given.
CLOSE = 1e-9


def asymptotics(
    subject: Any,
    names: str | Iterable[str] | None = None,
    *,
    layer: LayerMap | None = None,
    point: str | None = None,
    orders: int = 3,
) -> DepthLaws:
    r"""The large-depth behaviour of every quantity at criticality, for one input.

    Equation
        .. math:: X^{(\ell)}\simeq c\,\ell^{\,p}\log^j\ell,\qquad X^{(\ell+1)} = a\,X^{(\ell)} + f,
            \qquad a\,\text{and}\,f\ \text{expanded around the fixed point}
    Shapes
        One input, equal hidden widths. ``layer`` is a layer map with further terms, for example a skip connection.
    Units
        As the recursions: a tensor multiplies 1/n.
    Valid
        ``subject`` is an activation or an MLP whose hyperparameters are one number for all layers or not given; C_W and C_b, if
        they are given, are critical. ``point`` chooses between fixed points; by default the one that kernels run into.
        ``orders`` beyond the leading one are kept in series in K. At a finite K* nothing is checked: whether there is one is
        a matter of numbers, see ``numerics.depth.asymptotics``. With skip connections K and Theta are exact, fluctuations leading
        terms, and only those that are known for the whole network (``theory.depth.memory``).
    Errors
        ``InvalidArgument`` for the unspecified activation, hyperparameters by layer, or variances that are not critical;
        ``NotAvailable`` where no power law holds (a kernel that decays like 1/log of the depth, say); ``UnknownName``.
    Source
        Derived here from ``derive``; the classes are those of Roberts, Yaida & Hanin (arXiv:2106.10165), chapter 5.
    """
    net = subject if isinstance(subject, MLP) else MLP(subject)
    net.activation.concrete()
    if layer is not None and not isinstance(layer, LayerMap):
        raise InvalidArgument(f"layer={layer!r}; allowed: a LayerMap such as residual(0.5), or None")
    rates = _rates(net)
    layer = layer or _residual(net)
    where = _point(net, point)
    memory = layer if layer is not None and skips.remembers(net.activation, layer) else None
    known = skips.KNOWN[where] if memory else {row.name for row in TENSORS.values()}
    wanted = tuple(n for n in _available(net, layer) if n in known) if names is None else _listed(names)
    if beyond := sorted(set(wanted) - known):
        raise NotAvailable(skips.forgotten(beyond, where))
    laws = closed_system(net, wanted, layer)
    if where is not Point.FINITE:
        _check_critical(net, laws)
    kept, definitions = check_count("orders", orders, 1, MOST), dict[sp.Symbol, sp.Expr]()
    if where is Point.ORIGIN:
        found = _at_origin(laws, net, rates, kept)
    else:
        found, definitions = _at_fixed(laws, net, where, rates)
    if memory:
        weight = critical_weight(net, laws)
        found = {name: skips.with_memory(law, where, memory, net.activation, weight) for name, law in found.items()}
    ordered = [row.name for row in TENSORS.values() if row.name in wanted]
    return DepthLaws(net, where, tuple(found[name] for name in ordered), definitions)


def _available(net: MLP, layer: LayerMap | None) -> tuple[str, ...]:
    """The quantities of the leading order whose averages exist: with kinks not all of them do."""
    found = []
    for name in dependency_order(layer or net.layer_map):
        with suppress(NotAvailable, NotIntegrable):
            closed_system(net, (name,), layer)
            found.append(name)
    return tuple(found)


def _listed(names: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(quantity(name).name for name in names_of("names", names, TENSORS))


def _rates(net: MLP) -> dict[sp.Symbol, sp.Expr]:
    """The learning rates that are given."""
    for name in HYPERPARAMETERS:
        if isinstance(getattr(net, name), tuple):
            raise InvalidArgument(
                f"{name}={getattr(net, name)} differs by layer; allowed: one number for all layers, or None"
            )
    if isinstance(net.weights, tuple):
        raise InvalidArgument(f"weights={net.weights} differ by layer; allowed: one ensemble for all layers")
    return {s: v for s, v in net.known.items() if s in (symbols.lambda_b, symbols.lambda_W)}


def _residual(net: MLP) -> LayerMap | None:
    """The layer map of a network with the same skip connection into every layer; None without skips."""
    if not net.residual:
        return None
    gammas = {gamma for below, above, gamma in net.residual if above == below + 1}
    if len(gammas) != 1 or len(net.residual) != (net.depth or 1) - 1:
        raise InvalidArgument(
            f"residual={net.residual} differs by layer; allowed: one gamma, from each hidden layer to the next"
        )
    plain = net.with_(depth=None, width=None, residual=None, output_width=None, **dict.fromkeys(HYPERPARAMETERS))
    return residual(gammas.pop(), weights=plain.weights)


def closed_system(net: MLP, names: Iterable[str], layer: LayerMap | None = None) -> dict[str, Derivation]:
    """The derivations of the names and of the quantities in them, in order of dependence; hyperparameters stay symbolic."""
    # With any width the shapes of all layers are alike.
    bare = net.with_(depth=None, width=1, output_width=None, residual=None, **dict.fromkeys(HYPERPARAMETERS))
    # At a kink an average of derivatives that are not functions is written with derivatives in front instead.
    write = partial(prepared, activation=net.activation) if net.activation.kinks else (lambda expr: expr)
    layer = layer or bare.layer_map
    laws = {}
    for name in closure(layer, ("K", "Theta", *(quantity(name).name for name in names))):
        row = quantity(name)
        found = derive_layer(layer, row, ("",) * row.rank, bare)
        laws[name] = replace(found, law=found.law.map(write))
    return laws


def _point(net: MLP, point: Point | str | None) -> Point:
    if point is not None:
        if point not in list(Point):
            raise InvalidArgument(f"point={point!r}; allowed: {', '.join(repr(str(p)) for p in Point)}, or None")
        if (point == Point.LINE) != (net.activation.slopes is not None):
            raise InvalidArgument(
                f"point={str(point)!r} with activation={net.activation.name!r}; every K is a fixed point of those activations "
                "that are linear on both sides of 0, and of no others; allowed: None for what the activation has"
            )
        return Point(point)
    if net.activation.slopes is not None:
        return Point.LINE
    return Point.ORIGIN if runs_into_origin(net.activation) else Point.FINITE


def _check_critical(net: MLP, laws: dict[str, Derivation]) -> None:
    """The variances that are given have to be the critical ones."""
    for name, critical in (("C_W", critical_weight(net, laws)), ("C_b", sp.Integer(0))):
        given = getattr(net, name)
        if (
            given is not None
            and critical.is_number
            and abs(given - float(critical)) > CLOSE * max(1.0, float(critical))
        ):
            raise InvalidArgument(
                f"{name}={given} is not critical: power laws in the depth hold at {name} = {critical} only; "
                f"allowed: {float(critical)!r}, or None"
            )


def critical_weight(net: MLP, laws: dict[str, Derivation]) -> sp.Expr:
    """The C_W at which K of ``closed_system`` has slope one: critical at K* = 0, or where every K is a fixed point."""
    data = taylor(net.activation)
    system = Origin(laws, data.scaled(), sp.Integer(2))  # the term linear in K is enough
    return sp.sympify(system.critical_weight.as_expr()) / data.scale**2


# ---------------------------------------------------------------------- a kernel that does not move


def _at_fixed(
    laws: dict[str, Derivation], net: MLP, point: Point, rates: Mapping[sp.Symbol, sp.Expr]
) -> tuple[dict[str, DepthLaw], dict[sp.Symbol, sp.Expr]]:
    value = (
        _on_the_line(laws, net)
        if point is Point.LINE
        else relations(laws, susceptibilities(laws["K"].layer).parallel, partial(prepared, activation=net.activation))
    )
    system = Fixed(laws, lambda expr: value(expr).xreplace(dict(rates)), letters=point is Point.FINITE)
    solved, definitions = system.solve()
    return {name: _polynomial_law(name, poly, solved) for name, poly in solved.items()}, definitions


def _on_the_line(laws: dict[str, Derivation], net: MLP) -> Callable[[sp.Expr], sp.Expr]:
    """Averages of a scale-invariant activation: one power of K each, exactly."""
    system = Origin(laws, taylor(net.activation), sp.Integer(DEEPEST))
    weight = sp.sympify(system.critical_weight.as_expr())
    domain = system.ring.domain

    def value(expr: sp.Expr) -> sp.Expr:
        averages = {
            node: sp.Add(*(domain.to_sympy(c) * kernel**e for e, c in system.moments(node, system.order).items()))
            for node in expr.atoms(Average)
        }
        fixed = {symbols.C_W: weight, symbols.C_b: sp.S.Zero, Entry("K", ("", "")): kernel}
        return expr.xreplace(averages).xreplace(fixed)

    return value


def _polynomial_law(name: str, poly: sp.Poly, solved: Mapping[str, sp.Poly]) -> DepthLaw:
    leading = lambda p: sp.LT(p.as_expr(), ell) if p.degree() > 0 else p.as_expr()  # noqa: E731
    directions, rest = dimension(name)
    ratio = sp.factor(leading(poly) / leading(solved["Theta"]) ** directions / kernel**rest)
    step = f"{name}' = {name} + f, f a polynomial in ell: summed exactly from the first layer"
    return DepthLaw(name, leading(poly), poly.as_expr(), ratio, None, True, sp.S.Zero, (step,))


# ---------------------------------------------------------------------- a kernel that decays to zero


def _at_origin(
    laws: dict[str, Derivation], net: MLP, rates: Mapping[sp.Symbol, sp.Expr], orders: int
) -> dict[str, DepthLaw]:
    data = taylor(net.activation)
    zero = frozenset(symbol for symbol, value in rates.items() if value == 0)
    s = Decay(Origin({"K": laws["K"]}, data.scaled(), sp.Integer(DEEPEST)), rates, data.scale).check().s
    found: dict[str, DepthLaw] = {}
    for kept in range(orders, max(orders, DEEPEST) + 1):
        system = Origin(laws, data.scaled(), 2 + kept * s, zero).solve()
        found = Decay(system, rates, data.scale).laws()
        if all(law.leading != 0 for law in found.values()):
            break  # else leading terms cancel, and the first one that remains needs more orders
    return found
