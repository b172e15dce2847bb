r"""Kernels of nearly parallel inputs by the angle between them, where an activation has kinks or jumps.

Near :math:`\theta=0` averages of kinked functions are linear in the angle,
:math:`\langle\sigma'\sigma'\rangle=c_0-c_1\theta+\dots`, and a covariance has lost it: of
:math:`1-\varrho=2\sin^2(\theta/2)` double precision keeps 1e-16, and so 1e-8 of the angle. The inputs know it, by the length
of the difference of two unit vectors. Here the angle goes through the layers in place of the covariance, exact to rounding:

*Sums* of independent fields with deviations :math:`a_k, b_k` and angles :math:`\theta_k` (biases have the angle 0),

.. math:: ab\,\sin^2\tfrac\theta2=\sum_k a_kb_k\sin^2\tfrac{\theta_k}2+\tfrac{ab}4\sum_k\Bigl(\frac{a_k}a-\frac{b_k}b\Bigr)^2,

*activations*, by Price's theorem at fixed a and b, with :math:`r_a^2=\langle\sigma(au)^2\rangle`,

.. math:: \sin^2\tfrac{\theta_\sigma}2=\frac14\Bigl\langle\Bigl(\frac{\sigma(au)}{r_a}-\frac{\sigma(bu)}{r_b}\Bigr)^2\Bigr\rangle
    +\frac{ab}{2r_ar_b}\int_0^\theta\langle\sigma'\sigma'\rangle_t\,\sin t\,dt.

Both sums have positive terms, and likewise from the other end, :math:`\cos^2(\theta/2)`, for nearly opposite inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import special

from ...theory.averages.closed_forms import closed_form
from ...theory.averages.gaussian import Average
from ...theory.language.jets import Jet, Sigma
from ...theory.language.quantities import Entry
from ...theory.networks.activations import Activation
from ..averages import hermite
from ..averages import nearly_parallel as parallel
from .pairs import LayerStep, PairMap, of_overlap

Array = NDArray[np.float64]
Site = tuple[int, ...]

#: Pairs whose sine of half the angle, or cosine, is below this at the first or at the last layer are worked on here: beyond, the
#: rounding of a covariance moves the angle by less than 1e-13.
LOST = 7e-4
#: The range of angles of the rules, from either end.
NEAR = 0.3
#: Nodes of a panel of an integral over angles; panels become short towards the end, where functions change on the scale |a - b|.
NODES, PANELS = 8, np.array([0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1])
#: Nodes of a panel, and panels between -9 and 9, of averages of one variable.
SINGLE, UNIFORM, REACH = 16, 12, 9.0
#: Pairs that are worked on at a time.
BLOCK = 2000


@dataclass(frozen=True)
class AngleRule:
    """An average of two functions of pairs from the deviations a and b and the angle: near 0 and pi, or at every angle."""

    function: Callable[[Array, Array, Array], Array]
    everywhere: bool

    def __call__(self, a: Array, b: Array, angle: Array) -> Array:
        """The averages of some pairs."""
        return np.asarray(np.broadcast_to(self.function(a, b, angle), a.shape))


@dataclass(frozen=True)
class PairFields:
    """Independent fields at pairs of inputs: their deviations a and b, and their angle."""

    a: Array
    b: Array
    angle: Array

    def times(self, factor: float) -> PairFields:
        """The fields times a number."""
        return PairFields(factor * self.a, factor * self.b, self.angle)


def together(parts: Sequence[PairFields]) -> PairFields:
    """The sum of independent fields."""
    a, b = (np.sqrt(sum(getattr(p, name) ** 2 for p in parts)) for name in "ab")
    unequal = sum((p.a / a - p.b / b) ** 2 for p in parts) / 4
    weights = [p.a * p.b / (a * b) for p in parts]
    sine, cosine = (
        sum(w * f(p.angle / 2) ** 2 for w, p in zip(weights, parts, strict=True)) + unequal for f in (np.sin, np.cos)
    )
    return PairFields(a, b, _angle(sine, cosine))


def _angle(sine: Array, cosine: Array) -> Array:
    """The angle from the squares of the sine and the cosine of its half."""
    return np.asarray(2 * np.arctan2(np.sqrt(np.maximum(sine, 0.0)), np.sqrt(np.maximum(cosine, 0.0))))


def needed(exact: PairMap) -> bool:
    """Whether kernels of the network are so sensitive to angles: sigma jumps, or sigma' does and Theta is wanted."""
    most = 1 if "Theta" in exact.names else 0
    return any(
        step.activation.broken is not None and step.activation.broken.order <= most for step in exact.steps
    ) and all(angle_rules(step.activation, step.orders) is not None for step in exact.steps)


def lost(products: Array, rows: Array, columns: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pairs that are nearly parallel or opposite, from a matrix of products and the norms."""
    edge = 1 - 2 * LOST**2
    # Most matrices hold none, which the largest and the smallest entries of their columns tell.
    bound = edge * rows.min(initial=np.inf) * columns
    if (products.max(axis=0) <= bound).all() and (products.min(axis=0) >= -bound).all():
        return (np.empty(0, dtype=np.intp),) * 2
    return np.divmod(np.flatnonzero(np.abs(products) > edge * rows[:, None] * columns), products.shape[1])


def along(
    exact: PairMap,
    left: Sequence[Array],
    right: Sequence[Array],
    units: tuple[Array, Array],
    squares: tuple[Array, Array],
) -> list[Array]:
    """K and Theta of pairs: from their deviations in all layers, unit vectors along the inputs, and |x|^2/n_0."""
    found = [np.empty(len(squares[0])) for _ in exact.names]
    for start in range(0, len(squares[0]), BLOCK):
        part = slice(start, start + BLOCK)
        u, v = units[0][part], units[1][part]
        angle = _angle(np.sum((u - v) ** 2, axis=1) / 4, np.sum((u + v) ** 2, axis=1) / 4)
        deviations = [[d[part] for d in side] for side in (left, right)]
        values = _through(exact, deviations[0], deviations[1], angle, (squares[0][part], squares[1][part]))
        for whole, value in zip(found, values, strict=True):
            whole[part] = value
    return found


def _through(
    exact: PairMap, left: Sequence[Array], right: Sequence[Array], angle: Array, squares: tuple[Array, Array]
) -> list[Array]:
    fields = [exact.first(np.cos(angle) * np.sqrt(squares[0] * squares[1]))]
    # K of the first layer is linear in the overlap of inputs: a field of biases and a field of weights.
    bias = float(of_overlap("K", np.zeros(()), exact.parameters[0]))
    weight = float(of_overlap("K", np.ones(()), exact.parameters[0])) - bias
    made = [_made(bias, weight, PairFields(np.sqrt(squares[0]), np.sqrt(squares[1]), angle))]
    with np.errstate(all="ignore"):
        for layer, (step, a, b, given) in enumerate(zip(exact.steps, left, right, exact.parameters[1:], strict=True)):
            shares = np.sqrt(exact.squares[layer]) if exact.net.residual else np.eye(layer + 1)[layer]
            whole = together([p.times(s) for s, parts in zip(shares, made, strict=False) if s for p in parts])
            averages, after = _step(step, a, b, whole.angle)
            fields.append(step.next(averages, exact.handed_on(fields), given))
            made.append(_made(*_linear(step, given), after))
    return exact.handed_on(fields)


def _made(bias: float, weight: float, part: PairFields) -> list[PairFields]:
    """The fields of a layer: biases, which all inputs share, and weights times what comes from below."""
    same = np.full_like(part.a, np.sqrt(bias))
    return [PairFields(same, same, np.zeros_like(same)), part.times(np.sqrt(weight))]


def _linear(step: LayerStep, given: dict[str, float]) -> tuple[float, float]:
    """K of the next layer is linear in <sigma sigma>: its constant and its coefficient, by the derived law."""
    zero, one = np.zeros(1), np.ones(1)
    at = [
        step.next([v if orders == ((0,), (0,)) else zero for orders in step.orders], [zero] * len(step.names), given)
        for v in (zero, one)
    ]
    return float(at[0][0][0]), float(at[1][0][0] - at[0][0][0])


def _step(step: LayerStep, a: Array, b: Array, angle: Array) -> tuple[list[Array], PairFields]:
    """The averages of a step, and what the activation makes of the fields."""
    rules = angle_rules(step.activation, step.orders)
    assert rules is not None
    near = (angle < NEAR) | (angle > np.pi - NEAR) | all(rules[orders].everywhere for orders in step.orders)
    averages = [np.empty_like(a) for _ in step.orders]
    for total, orders in zip(averages, step.orders, strict=True):
        total[near] = rules[orders](a[near], b[near], angle[near])
    if not near.all():
        far = ~near
        for total, values in zip(averages, step.averages(a[far], b[far], (a * b * np.cos(angle))[far]), strict=True):
            total[far] = values
    root_a, root_b = _roots(step, a, b)
    # Away from the ends, and for functions that jump, the angle is that of <sigma sigma> itself.
    quotient = averages[step.orders.index(((0,), (0,)))] / (root_a * root_b)
    sine, cosine = (1 - quotient) / 2, (1 + quotient) / 2
    if not step.activation.jumps:
        slope = rules[((1,), (1,))]
        for opposite, where in ((False, angle < NEAR), (True, angle > np.pi - NEAR)):
            if where.any():
                at = [v[where] for v in (a, b, root_a, root_b, angle)]
                sine[where], cosine[where] = _bent(step, slope, *at, opposite=opposite)
    return averages, PairFields(root_a, root_b, _angle(sine, cosine))


def _bent(
    step: LayerStep, slope: AngleRule, a: Array, b: Array, root_a: Array, root_b: Array, angle: Array, *, opposite: bool
) -> tuple[Array, Array]:
    """The squares of the sine and the cosine of half the angle behind the activation, near 0 or near pi."""
    sign, one = -1.0 if opposite else 1.0, np.ones(1)
    if step.activation.slopes is None:
        even, odd = _unequal(step, a, b, root_a, root_b, sign)
    else:  # sigma(au)/r_a is the same function for every a
        even, odd = _unequal(step, one, one, root_a[:1] / a[:1], root_b[:1] / b[:1], sign)
    width = np.pi - angle if opposite else angle
    x, w = special.roots_legendre(NODES)[:2]
    panels = PANELS if step.activation.slopes is None else PANELS[[0, -1]]
    half = np.diff(panels)[:, None] / 2
    nodes, weights = (panels[:-1, None] + half * (1 + x)).ravel(), (half * w).ravel()
    t = width[:, None] * nodes
    inside = np.pi - t if opposite else t
    values = slope(np.repeat(a, len(nodes)), np.repeat(b, len(nodes)), inside.ravel()).reshape(t.shape)
    turned = a * b / (2 * root_a * root_b) * width * ((values * np.sin(t)) @ weights)
    return (even - turned, odd + turned) if opposite else (even + turned, odd - turned)


def _unequal(step: LayerStep, a: Array, b: Array, root_a: Array, root_b: Array, sign: float) -> tuple[Array, Array]:
    """A quarter of <(f - g)^2> and of <(f + g)^2> for f(u) = sigma(au)/root_a and g(u) = sigma(sign bu)/root_b."""
    kinks = np.array(step.kinks)
    uniform = np.broadcast_to(np.linspace(-REACH, REACH, UNIFORM + 1), (len(a), UNIFORM + 1))
    edges = np.hstack([uniform, kinks / a[:, None], sign * kinks / b[:, None]])
    edges = np.sort(np.clip(edges, -REACH, REACH), axis=1)
    x, w = special.roots_legendre(SINGLE)[:2]
    half = np.diff(edges, axis=1)[:, :, None] / 2
    u = (edges[:, :-1, None] + half * (1 + x)).reshape(len(a), -1)
    weight = (half * w).reshape(len(a), -1) * np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) / 4
    f = step.sigma(a[:, None] * u, 0)[0] / root_a[:, None]
    g = step.sigma(sign * b[:, None] * u, 0)[0] / root_b[:, None]
    return np.einsum("pu,pu->p", weight, (f - g) ** 2), np.einsum("pu,pu->p", weight, (f + g) ** 2)


def _roots(step: LayerStep, a: Array, b: Array) -> tuple[Array, Array]:
    """The roots of <sigma(au)^2> and <sigma(bu)^2>."""
    rule = (angle_rules(step.activation, step.orders) or {})[((0,), (0,))]
    if rule.everywhere:
        return np.sqrt(rule(a, a, np.zeros_like(a))), np.sqrt(rule(b, b, np.zeros_like(b)))
    values, back = np.unique(np.concatenate([a, b]), return_inverse=True)
    squares = hermite.squares(step.sigma, step.kinks, [(0,)], values)
    here = step.orders.index(((0,), (0,)))
    roots = np.sqrt(step.averages(values, values, values**2)[here] if squares is None else squares[0])[back]
    return roots[: len(a)], roots[len(a) :]


@lru_cache(maxsize=64)
def angle_rules(
    activation: Activation, orders: tuple[tuple[Site, Site], ...]
) -> dict[tuple[Site, Site], AngleRule] | None:
    """A rule for each average, and for <sigma' sigma'>; None if there is none that knows an angle to all digits."""
    wanted = dict.fromkeys([*orders, *([] if activation.jumps else [((1,), (1,))])])
    found = {pair: _closed(activation, pair) or _by_pieces(activation, pair) for pair in wanted}
    return None if None in found.values() else {pair: rule for pair, rule in found.items() if rule is not None}


def _by_pieces(activation: Activation, orders: tuple[Site, Site]) -> AngleRule | None:
    if any(parallel.pieces(activation, site) is None for site in orders):
        return None

    def rule(a: Array, b: Array, angle: Array) -> Array:
        found = parallel.averages(activation, [orders], a, b, np.cos(angle), np.sin(angle))
        assert found is not None
        return found[0]

    return AngleRule(rule, everywhere=False)


def _closed(activation: Activation, orders: tuple[Site, Site]) -> AngleRule | None:
    """The closed form as a function of the angle: arcs and roots of the correlation are angles and sines."""
    a, b = sp.symbols("a b", positive=True)
    angle, rho = sp.symbols("theta rho", real=True)
    factors = [sp.Mul(*(Sigma(Jet(label), k) for k in site)) for label, site in zip("12", orders, strict=True)]
    value = closed_form(Average(sp.Mul(*factors)), activation)
    if value is None:
        return None
    entries = {Entry("K", ("1", "1")): a**2, Entry("K", ("2", "2")): b**2, Entry("K", ("1", "2")): a * b * rho}
    scaled = value.xreplace(entries)
    roots = {p: sp.factor(p.base) ** p.exp for p in scaled.atoms(sp.Pow) if p.exp.is_Rational and p.exp.q == 2}
    scaled = scaled.xreplace(roots)
    sine = {
        p: sp.sin(angle) ** (2 * p.exp) * sp.sqrt(sp.simplify(p.base / (1 - rho**2))) ** (2 * p.exp)
        for p in scaled.atoms(sp.Pow)
        if p.exp.is_Rational and p.exp.q == 2 and p.has(rho)
    }
    scaled = scaled.xreplace(sine).replace(
        sp.asin, lambda x: sp.pi / 2 - angle if sp.simplify(x - rho) == 0 else sp.nan
    )
    scaled = scaled.xreplace({rho: sp.cos(angle)})
    if scaled.has(sp.nan) or not scaled.free_symbols <= {a, b, angle}:
        return None
    return AngleRule(sp.lambdify((a, b, angle), scaled, "numpy"), everywhere=True)
