r"""Residual layers: the fluctuations that the map of a single layer leaves out, as a neuron with a skip remembers layers below.

With :math:`z'=b+W\sigma(z)+\gamma z` the preactivations of a neuron at layers :math:`\ell` and :math:`m` have the covariance
:math:`\gamma^{|\ell-m|}K`, so that the averages over the neurons of different layers fluctuate together. At a kernel that does
not move, :math:`\delta K^{(\ell+1)}=\delta K^{(\ell)}+\eta^{(\ell+1)}` is a random walk with correlated steps, and the variance
grows per layer by the sum over all distances of layers

.. math::
    S = \sum_{d=-\infty}^{\infty} C_W^2\,\mathrm{Cov}\big(\sigma(u)^2,\sigma(v)^2\big),\qquad
    \langle u^2\rangle=\langle v^2\rangle=K,\quad\langle uv\rangle=\gamma^{|d|}K.

In the recursion of one layer (``derive_layer``) a neuron hands on its :math:`z^2` to the layers above, and no other function of z;
``theory.initialisation.crosslayer`` has all layers at once. The recursion is complete where :math:`\sigma^2\propto z^2`, as for
linear and abs, and in the leading order of small K; for relu it is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import sympy as sp

from ..averages.closed_forms import specialize
from ..initialisation.layer_maps import strength
from ..language.jets import Jet
from ..language.quantities import TENSORS, Entry, Kind
from ..language.symbols import C_W, ell, tau
from ..layers.map import LayerMap
from ..layers.skip import Skip
from ..meanfield.protocol import connected
from ..meanfield.system import MeanFieldSystem
from ..networks.activations import Activation
from .depthlaw import DepthLaw, Point, kernel

#: The distance of two layers.
DISTANCE = sp.Symbol("d", integer=True, positive=True)
#: Exact in any residual network.
_MEANS = {"K", "Theta"}
_FIRST_ORDER = {row.name for row in TENSORS.values() if row.kind is Kind.COVARIANCE}
#: The quantities whose depth laws are known where neurons remember. Near K = 0 the recursion of one layer gives the leading term
#: of all of them but U, to which sigma'' of different layers contributes alike (compared with ``predict`` in the tests).
KNOWN = {
    Point.LINE: _MEANS | {"V"},
    Point.ORIGIN: _MEANS | (_FIRST_ORDER - {"U"}),
    Point.FINITE: _MEANS,
}


def remembers(activation: Activation, layer: LayerMap) -> bool:
    """Whether fluctuations of all layers enter those of the next: with skips, unless sigma^2 is proportional to z^2."""
    slopes = activation.slopes
    return layer.skips and (slopes is None or slopes[0] ** 2 != slopes[1] ** 2)


def forgotten(names: Iterable[str], point: Point) -> str:
    """Why there is no depth law."""
    allowed = [row.name for row in TENSORS.values() if row.name in KNOWN[point]]
    laws = "" if point is Point.FINITE else ", ".join(allowed) + ", or "
    return (
        f"{', '.join(names)}: a neuron with a skip connection remembers all layers below, and the recursion of one layer does "
        f"not give the depth law ({point}); allowed: {laws}predict for a given depth"
    )


def with_memory(law: DepthLaw, point: Point, layer: LayerMap, activation: Activation, weight: sp.Expr) -> DepthLaw:
    """The law of a whole network from the law that the recursion of one layer gives."""
    if law.name in _MEANS:
        return law
    if point is Point.ORIGIN:
        return replace(
            law, series=law.leading, in_kernel=None, steps=(*law.steps, "leading term only: neurons remember")
        )
    slope = tidied(accumulated_noise(layer, activation).xreplace({C_W: weight}) / kernel**2)
    grown = slope * kernel**2 * ell
    step = "V' = V + S far from the first layer: S the covariances with the averages over all layers, by distance"
    return replace(law, leading=grown, series=grown, ratio=slope * ell, exact=False, steps=(step,))


def accumulated_noise(layer: LayerMap, activation: Activation) -> sp.Expr:
    r"""The growth per layer of the variance of the kernel, far from the first layer, at a kernel K that does not move.

    Equation
        :math:`S=X_0+\sum_{d=-\infty}^\infty C_W^2\,\mathrm{Cov}(\sigma(u)^2,\sigma(v)^2)` with
        :math:`\langle uv\rangle=\gamma^{|d|}K`; :math:`X_0` is the cumulant of the weights of one layer beyond Gaussian ones.
    Units
        As V, in terms of K, C_W and gamma; powers of gamma are summed, the rest stays a sum over the distance d.
    Valid
        Leading order in 1/n, one input, equal widths, critical C_W and C_b, activations with a closed form.
    Source
        Derived here; for sigma^2 proportional to z^2 the published slope (arXiv:2106.10165, appendix on residual learning).
    """
    plain = MeanFieldSystem(LayerMap(tuple(term for term in layer.terms if not isinstance(term, Skip))))
    first, second = (plain.observable((Jet(label), Jet(label))).site for label in "12")
    covariance = specialize(connected((first, second), plain.moment), activation)
    own = (Jet("1"), Jet("1"))
    same = specialize(plain.noise(own, own), activation)
    # Everything scales as K^2, so that K = 1 is enough.
    gamma = sp.Symbol("gamma", real=True)
    at = {Entry("K", labels): sp.S.One for labels in (("1", "1"), ("2", "2"))}
    apart = {**at, Entry("K", ("1", "2")): gamma**DISTANCE}
    total = same.xreplace(at) + 2 * _summed(sp.expand(covariance.xreplace(apart)))
    return kernel**2 * total.xreplace({gamma: strength(layer), tau: sp.S.One})


def _summed(expr: sp.Expr) -> sp.Expr:
    """The sum over the distances 1, 2, ...: powers of gamma^d are geometric series, the rest stays together as one sum."""
    geometric, rest = sp.S.Zero, sp.S.Zero
    for term in sp.Add.make_args(expr):
        factor, power = term.as_independent(DISTANCE)
        step = power.subs(DISTANCE, 1)
        if power != 1 and sp.simplify(power - step**DISTANCE) == 0:
            geometric += factor * step / (1 - step)
        else:
            rest += term
    factor, summand = sp.factor_terms(rest).as_independent(DISTANCE, as_Add=False)
    return geometric + (factor * sp.Sum(summand, (DISTANCE, 1, sp.oo)) if rest != 0 else sp.S.Zero)


def tidied(expr: sp.Expr) -> sp.Expr:
    """Factored; if it holds a sum over distances, the factor of the sum and the other terms are factored each."""
    sums = {node: sp.Dummy() for node in expr.atoms(sp.Sum)}
    if not sums:
        return sp.factor(expr)
    parts = sp.collect(sp.expand(expr.xreplace(sums)), list(sums.values()), evaluate=False)
    back = {letter: node for node, letter in sums.items()}
    return sp.Add(*(sp.factor(c) * letter for letter, c in parts.items())).xreplace(back)
