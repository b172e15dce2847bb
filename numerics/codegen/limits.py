r"""Closed forms of kinked activations where they are not regular: at a preactivation without variance, and at parallel ones.

At K = 0 an average is the integrand at z = 0, where a derivative has the value of its own case. At parallel samples the closed
form of two of them has a limit, or it does not, with inverse powers of the determinant: quadrature along the line tells which.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import sympy as sp

from ...theory.averages.closed_forms import closed_form
from ...theory.averages.gaussian import Average
from ...theory.language.jets import Jet, Sigma
from ...theory.language.quantities import quantity
from ...theory.language.symbols import z
from ...theory.networks.activations import Activation
from ..quadrature.quadrature import gaussian_averages
from .printing import CORRELATION, array_function

Orders = tuple[int, ...]
#: A limit and a quadrature that are this close mean the same number.
AGREED = 1e-10
#: Deviations at which limits are compared.
_DEVIATIONS = ((0.8, 0.8), (0.7, 1.5), (2.5, 0.4))


@dataclass(frozen=True)
class Silent:
    """A product f(z_a) g(z_b) where z_a, or z_b, has no variance: the other average times the value at zero."""

    first: sp.Expr  #: z_a = 0, in K_bb > 0
    second: sp.Expr  #: z_b = 0, in K_aa > 0
    both: sp.Expr


def at_zero(activation: Activation, orders: Orders) -> sp.Expr:
    """The product of derivatives at z = 0."""
    return prod((sp.nsimplify(activation.derivative(k).subs(z, 0)) for k in orders), start=sp.S.One)


def without_variance(activation: Activation, orders: Orders, derivatives: int) -> sp.Expr:
    """An average over one sample at K = 0: there is nothing to differentiate along."""
    return sp.S.Zero if derivatives else at_zero(activation, orders)


def of_one(activation: Activation, orders: Orders, entry: sp.Symbol) -> sp.Expr | None:
    """The closed form of an average over one sample, in its variance; None if it has none."""
    site = Jet("a")
    body = sp.Mul(*(Sigma(site, k) for k in orders))
    value = sp.S.One if body == 1 else closed_form(Average(body, []), activation)
    return None if value is None else value.xreplace({quantity("K").entry(("a", "a")): entry})


def silent(activation: Activation, f: Orders, g: Orders, K_aa: sp.Symbol, K_bb: sp.Symbol) -> Silent | None:
    """What the average of f(z_a) g(z_b) is where one of them has no variance; None where that has no closed form."""
    f_0, g_0 = at_zero(activation, f), at_zero(activation, g)
    mean_f = sp.S.Zero if g_0 == 0 else of_one(activation, f, K_aa)
    mean_g = sp.S.Zero if f_0 == 0 else of_one(activation, g, K_bb)
    if mean_f is None or mean_g is None:
        return None
    return Silent(f_0 * mean_g, g_0 * mean_f, f_0 * g_0)


@lru_cache(maxsize=1024)
def has_limits(form: sp.Expr, activation: Activation, f: Orders, g: Orders) -> bool:
    """Whether a form in ``a``, ``b``, ``K_ab`` and ``correlation`` is the average at parallel and antiparallel samples too."""
    arguments = (*sp.symbols("a b", positive=True), sp.Symbol("K_ab"), CORRELATION)
    points = np.array([(a, b, sign * a * b, sign) for a, b in _DEVIATIONS for sign in (1.0, -1.0)])
    with np.errstate(all="ignore"):
        found = array_function(arguments, form)(*points.T) + np.zeros(len(points))
    a, b, K, _ = points.T
    top = max((*f, *g), default=0)
    functions = [array_function(z, activation.derivative(k)) for k in range(top + 1)]
    covariance = np.array([[a**2, K], [K, b**2]]).transpose(2, 0, 1)
    truth, _ = gaussian_averages(
        lambda x, order: [np.asarray(h(x) + 0 * x, dtype=np.float64) for h in functions[: order + 1]],
        covariance,
        [((f, g), (0, 0))],
        kinks=[float(k) for k in activation.kinks],
    )
    scale = np.abs(truth).max()
    return bool((np.abs(found - truth[0]) <= AGREED * scale).all())  # False where it is not finite
