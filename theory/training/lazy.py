r"""The lazy limit of training, :math:`\gamma_0\to0`, derived from the equations of feature learning.

The memories in h and z carry a factor :math:`\gamma_0`. Without them h = u and z = r stand still, and so do :math:`\Phi`, G and
the tangent kernel :math:`\Theta`. The predictions, which hold :math:`1/\gamma_0`, see the first order of h alone: with the memory's
kernel :math:`\gamma_0k^\ell(t,s)`,

.. math::
    \gamma_0^{-1}\langle r\,\phi(h^L)\rangle=\sum_sk^LG^L,\qquad A^\ell=\langle\dot\phi\dot\phi\rangle k^\ell,\qquad
    G^\ell=C_W\langle\dot\phi\dot\phi\rangle G^{\ell+1},

so that the part of :math:`k^L` with :math:`C_WA^{L-1}` is :math:`k^{L-1}G^{L-1}`, and so on down to the inputs, which do not
answer: what is left of each layer is its summand of :math:`\eta\Theta\Delta`.
"""

from __future__ import annotations

from functools import lru_cache

import sympy as sp

from ..language.equations import equal
from ..language.errors import NotAvailable
from ..language.jets import Jet
from ..language.quantities import lookup
from ..language.symbols import SiteAverage, ell, gamma_0
from .dynamics import Dynamics
from .fields import Memory, OrderParameter, SiteField, eta, last
from .orders import FIELDS
from .program import HERE_OUT, PAST_OUT, error, initial, optimizer

#: A prediction at the start and its label along an eigenvector of the tangent kernel, the eigenvalue, and time.
prediction, label = sp.symbols("f y", real=True)
rate, time = sp.symbols("theta t", positive=True)
#: The penalty on what training adds to parameters.
ridge = sp.Symbol("rho", nonnegative=True)


def frozen(found: Dynamics) -> dict[str, sp.Expr]:
    """The fields of a site in the limit: their right-hand sides without memories."""
    return {name: found.system[name].rhs.subs(gamma_0, 0) for name in FIELDS}


@lru_cache(maxsize=16)
def flow_law(found: Dynamics) -> sp.Eq:
    r"""What one step adds to a prediction, :math:`\sum_\alpha\eta\Theta_{\mu\alpha}\Delta_\alpha`: the summand.

    Derived for plain steps (a = m = 1), layer by layer as above; ``NotAvailable`` for a system whose kernels do not add up to its
    tangent kernel.
    """
    plain = {initial(): sp.S.One, optimizer(): sp.S.One}
    Theta = found.system["Theta"]
    summand = {layer: _at(Theta.rhs.function, layer) for layer in (ell - 1, last)}
    hidden = _of_one_layer(found.system["h"].rhs.xreplace(plain), found)
    top = _readout(found.system["f"].rhs.xreplace(plain))
    step = eta * error()
    for layer, given in ((ell - 1, hidden), (last, top)):
        if sp.expand(_same_time(given - step * _boundary(summand[layer], found))) != 0:
            raise NotAvailable(
                f"the first order in gamma_0 of layer {layer} is {given}, which is no part of the tangent kernel times the errors; "
                "allowed: the derived equations"
            )
    left = OrderParameter("f", None, HERE_OUT)
    kernel = OrderParameter(Theta.lhs.name, None, HERE_OUT, (PAST_OUT[0], ""))
    return equal(left, step * kernel)


def _at(expr: sp.Expr, layer: sp.Expr) -> sp.Expr:
    """Order parameters about layer ell for another layer."""
    orders = expr.atoms(OrderParameter)
    return expr.xreplace({o: OrderParameter(o.name, o.layer.subs(ell, layer), *o.places) for o in orders})


def _of_one_layer(statement: sp.Expr, found: Dynamics) -> sp.Expr:
    """The kernel of h, over gamma_0, times G of the same layer; the response of the layer below has gone on to it."""
    (memory,) = statement.atoms(Memory)
    factor = sp.diff(statement.xreplace({memory: sp.Symbol("memory")}), sp.Symbol("memory"))
    kernel = sp.expand(factor * memory.kernel / gamma_0).subs(gamma_0, 0)
    response, overlap = found.schema.response("phi"), found.schema.overlap("g")
    (covariance,) = found.system["r"].rhs.atoms(OrderParameter)
    handed_on = found.system["r"].rhs.coeff(covariance)
    below = [o for o in kernel.atoms(OrderParameter) if o.name == response.name]
    # C_W A^(l-1) G^l = C_W <phi' phi'> k^(l-1) G^l = k^(l-1) G^(l-1): the term of the layer below, if both hold the same C_W
    if [sp.expand(kernel.coeff(o) - handed_on) for o in below] != [0]:
        raise NotAvailable(
            f"h remembers {kernel}, and r has the covariance {handed_on} times {covariance}; allowed: {response.name} times "
            "the same factor"
        )
    rest = sp.expand(kernel.xreplace(dict.fromkeys(below, sp.S.Zero)))
    return rest * OrderParameter(overlap.name, ell, HERE_OUT, PAST_OUT)


def _readout(statement: sp.Expr) -> sp.Expr:
    """What training adds to the readout, times its constant gradient."""
    memories = statement.atoms(Memory)
    (average,) = statement.atoms(SiteAverage)
    assert average.has(SiteField)
    rest = statement.xreplace({average: sp.S.Zero})
    return sp.expand(rest.xreplace({m: m.kernel for m in memories}))


def _boundary(summand: sp.Expr, found: Dynamics) -> sp.Expr:
    """Without the gradient of the readout, which is one for its own output."""
    ends = {eq.lhs.name: eq for eq in found.schema.boundaries if eq.lhs.layer == last + 1}
    outer = {o: sp.S.One for o in summand.atoms(OrderParameter) if o.name in ends and o.layer == last + 1}
    return summand.xreplace(outer)


def _same_time(expr: sp.Expr) -> sp.Expr:
    """Order parameters that stand still have no times; those of one output are told apart by nothing else."""
    changed = {
        o: OrderParameter(
            o.name, o.layer, *(((*(i for i in indices if i not in ("k", "k'")),), "") for indices, _ in o.places)
        )
        for o in expr.atoms(OrderParameter)
    }
    return expr.xreplace(changed)


def kernel_variance() -> sp.Expr:
    r""":math:`N\,\mathrm{Cov}(\Theta_{ab},\Theta_{cd})` of one output at initialisation, by the tensors of its layer.

    :math:`\Theta_{ab}` is the average over directions of :math:`d_rz_a\,d_rz_b`. Of one neuron the jets along r and along s are
    Gaussian given the averages below: by Isserlis the covariance is a sum over their pairings.
    """
    a, b, c, d = Jet("a", "r"), Jet("b", "r"), Jet("c", "s"), Jet("d", "s")
    pairings = (((a, b), (c, d)), ((a, c), (b, d)), ((a, d), (b, c)))
    return sp.Add(*(lookup(pairing) for pairing in pairings))


@lru_cache(maxsize=1)
def along_a_mode() -> tuple[sp.Expr, sp.Expr]:
    r"""Gradient flow on the squared loss along an eigenvector of :math:`\Theta`: what is learned of a label, over the eigenvalue,
    and what is left of an error.

    With the penalty :math:`\tfrac\rho2|\delta\theta|^2` on what training adds to parameters, in units of their rates, and with
    :math:`f-f(0)=J\delta\theta` the flow is :math:`\dot f=\theta\,(y-f)-\rho\,(f-f(0))`, which SymPy solves.
    """
    f, total = sp.Function("f"), sp.Symbol("s", positive=True)  # the rate of both forces together
    law = sp.Eq(f(time).diff(time), rate * label + ridge * prediction - total * f(time))
    solved = sp.expand(sp.dsolve(law, f(time), ics={f(0): prediction}).rhs)
    learned = sp.factor_terms(solved.coeff(label) / rate)
    left = sp.expand(1 - (total - ridge) * learned)  # written without differences of what is nearly equal
    return learned.xreplace({total: rate + ridge}), left.xreplace({total: rate + ridge})
