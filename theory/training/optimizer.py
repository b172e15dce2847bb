r"""Linear optimizers: gradient descent with momentum and weight decay, as a recursion of the parameters.

Whatever the gradients are, :math:`\theta(t)=a(t)\,\theta(0)+\eta\sum_{s<t}m(t,s)\,\mathrm{push}(s)`: the update

.. math:: v(t)=\beta v(t-1)+\mathrm{push}(t)-\kappa\theta(t),\qquad\theta(t+1)=\theta(t)+\eta v(t),\qquad v(-1)=0

is linear. Without the velocity it is a recursion of the parameters alone, which a and m obey.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from ..language.equations import equal
from ..language.symbols import Parameter
from .fields import OrderParameter, eta
from .program import initial, optimizer

beta, kappa = Parameter("beta", nonnegative=True), Parameter("kappa", nonnegative=True)


@dataclass(frozen=True)
class Update:
    r"""A parameter's next value: keep :math:`\theta(t)` + back :math:`\theta(t-1)` + take push(t); :math:`\theta(-1)=\theta(0)`."""

    keep: sp.Expr
    back: sp.Expr
    take: sp.Expr


@lru_cache(maxsize=1)
def update() -> Update:
    """The recursion of the parameters, by elimination of the velocity."""
    above, here, below, v, before, push = sp.symbols("theta_+ theta theta_- v v_- push")
    statements = (v - (beta * before + push - kappa * here), above - (here + eta * v), here - (below + eta * before))
    (solved,) = sp.solve(statements, (above, v, before), dict=True)
    right = sp.expand(solved[above])
    return Update(*(right.coeff(x) for x in (here, below, push)))


def kernels(momentum: float, decay: float, *, continuous: bool) -> tuple[sp.Eq, ...]:
    """What a(t) and m(t, s) are; none where both are one."""
    if not (momentum or decay):
        return ()
    numbers = {beta: sp.nsimplify(momentum, rational=True), kappa: sp.nsimplify(decay, rational=True)}
    law = update()
    if continuous:
        t, s = sp.symbols("t s", real=True)
        left = sp.limit(law.keep.subs(beta, 0) ** (1 / eta), eta, 0).xreplace(numbers)
        return equal(initial(), left**t), equal(optimizer(), left ** (t - s))
    keep, back = (x.xreplace(numbers) for x in (law.keep, law.back))
    first = sp.expand((law.take / eta).xreplace(numbers))
    a0, a1, a2, a3 = (OrderParameter(initial().name, None, ((), time)) for time in ("0", "t+1", "t", "t-1"))
    m0, m1, m2, m3 = (
        OrderParameter(optimizer().name, None, ((), time), ((), "s")) for time in ("s+1", "t+1", "t", "t-1")
    )
    return equal(a0, sp.S.One), equal(a1, keep * a2 + back * a3), equal(m0, first), equal(m1, keep * m2 + back * m3)
