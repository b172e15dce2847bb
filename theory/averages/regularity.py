r"""Which derivatives of a kinked activation are functions, and averages in which the others do not appear.

At a kink some derivative jumps, and the next one holds a delta function. An average over one sample may still exist:
with :math:`u=\sigma^{(k-1)}` and h made of lower derivatives,

.. math::
    \langle h\,u^p\,\sigma^{(k)}\rangle
        = \tfrac1{p+1}\bigl[\langle\partial(h\,u^{p+1})\rangle - \langle h'u^{p+1}\rangle\bigr],

without :math:`\sigma^{(k)}` on the right; the derivative in front, like Price's, needs no derivative of a kink.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import comb

import sympy as sp

from ..language.errors import NotAvailable, NotIntegrable
from ..language.jets import Jet, Sigma
from ..networks.activations import Activation
from .gaussian import Average, average

#: A function of one variable: the derivative of this order of an activation.
Factor = tuple[Activation, int]


#: A function that grows like a lower power of the distance has no integral, or one that no quadrature reaches.
LEAST = -0.97


def singular_order(activation: Activation) -> int | None:
    """The lowest derivative that is not a function, since the one before it breaks at a kink; None if there is none."""
    return None if activation.broken is None else activation.broken.order + 1


def singular(activation: Activation, order: int) -> bool:
    """Whether the derivative of this order holds delta functions."""
    limit = singular_order(activation)
    return limit is not None and order >= limit


def without_deltas(factors: tuple[Factor, ...]) -> list[tuple[int, int, tuple[Factor, ...]]] | None:
    r"""A product of functions of one variable as a sum of :math:`c\,\partial^m(\text{functions})`, as (c, m, functions).

    With the one factor that holds delta functions as :math:`\sigma^{(k)}=\partial^nu`, u its highest derivative that is a
    function, :math:`h\,\partial^nu=\sum_i(-1)^i\binom ni\,\partial^{n-i}(h^{(i)}u)`. None where a derivative of h is
    no function either.
    """
    at = next((i for i, f in enumerate(factors) if singular(*f)), None)
    if at is None:
        return [(1, 0, factors)]
    act, k = factors[at]
    limit = singular_order(act)
    assert limit is not None
    n, function, others = k - limit + 1, (act, limit - 1), factors[:at] + factors[at + 1 :]
    found = []
    for i in range(n + 1):
        for count, product in _differentiated(others, i):
            if any(singular(*f) for f in product):
                return None
            found.append(((-1) ** i * comb(n, i) * count, n - i, (function, *product)))
    return found


def _differentiated(factors: tuple[Factor, ...], times: int) -> list[tuple[int, tuple[Factor, ...]]]:
    """The derivative of a product: how often each product of derivatives occurs in it."""
    found = Counter({factors: 1})
    for _ in range(times):
        following: Counter[tuple[Factor, ...]] = Counter()
        for product, count in found.items():
            for i, (act, order) in enumerate(product):
                following[(*product[:i], (act, order + 1), *product[i + 1 :])] += count
        found = following
    return [(count, product) for product, count in found.items()]


def divergence(factors: Iterable[Factor]) -> tuple[sp.Expr, float] | None:
    """Where a product of functions of one variable has no integral, and the power with which it grows there; None if nowhere."""
    total: dict[tuple[sp.Expr, int], float] = {}
    for activation, order in factors:
        for place, power in activation.growth(order).items():
            total[place] = total.get(place, 0.0) + power
    return next(((at, power) for (at, _), power in total.items() if power < LEAST), None)


def regular(node: Average, activation: Activation) -> sp.Expr:
    """The average without derivatives that are not functions; ``NotAvailable`` when there is no such form."""
    if not any(singular(activation, s.order) for s in node.body.atoms(Sigma)):
        return node
    limit = singular_order(activation)
    assert limit is not None
    if len(node.sites) > 1:
        raise _not_available(node, activation, limit, " at several inputs")
    (site,) = node.sites
    return _one_site(node, site, activation, limit)


def prepared(expr: sp.Expr, activation: Activation) -> sp.Expr:
    """Averages in the form in which they are integrated: products for smooth activations, operators for kinked ones."""
    nodes = sorted(expr.atoms(Average), key=str)  # so that an error names the same average every time
    if activation.smooth:
        return expr.xreplace({node: node.explicit() for node in nodes})
    found = expr.xreplace({node: regular(node, activation) for node in nodes})
    for node in sorted(found.atoms(Average), key=str):
        _check_integrable(node, activation)
    return found


def _check_integrable(node: Average, activation: Activation) -> None:
    """Raise for an average that diverges at a kink, where its inputs are equal: each quantity has entries for which they are."""
    powers = ((s.order, int(p)) for s, p in node.body.as_powers_dict().items() if isinstance(s, Sigma))
    found = divergence((activation, order) for order, p in powers for _ in range(p))
    if found is not None:
        raise NotIntegrable(
            f"the average {node.operator_text()} of activation={activation.name!r} is infinite for equal inputs: at z={found[0]} "
            f"it grows like the power {found[1]:.3g} of the distance; allowed: quantities without it, or smaller slopes"
        )


def _one_site(node: Average, site: Jet, activation: Activation, limit: int) -> sp.Expr:
    powers = node.body.as_powers_dict()
    worst = max((s for s in powers if isinstance(s, Sigma)), key=lambda s: s.order)
    if powers[worst] > 1:
        raise _not_available(node, activation, limit, "")
    u = Sigma(site, worst.order - 1)
    p = powers.get(u, sp.S.Zero)
    h = node.body / (worst * u**p)
    derivatives = node.derivatives
    parts = [
        (h * u ** (p + 1), (*derivatives, site), sp.S.One),
        (sp.diff(h, site) * u ** (p + 1), derivatives, -sp.S.One),
    ]
    total = sp.S.Zero
    for body, by, sign in parts:
        expr = average(body, by) / (p + 1)
        total += sign * expr.xreplace({n: regular(n, activation) for n in expr.atoms(Average)})
    return total


def _not_available(node: Average, activation: Activation, limit: int, where: str) -> NotAvailable:
    return NotAvailable(
        f"the average {node.operator_text()}{where} holds the derivative of order {limit} or higher of "
        f"activation={activation.name!r}, which is not a function: the derivative of order {limit - 1} jumps at a kink "
        f"(z = {', '.join(map(str, activation.kinks))}); allowed: quantities without it, or smoother functions"
    )
