"""The lazy limit is derived: the flow of the predictions, the covariance of the tangent kernel, the modes of gradient flow."""

from __future__ import annotations

import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.language.errors import NotAvailable
from widthwise.theory.language.symbols import lambda_W
from widthwise.theory.training.dynamics import dynamics
from widthwise.theory.training.fields import Memory
from widthwise.theory.training.lazy import along_a_mode, flow_law, frozen, kernel_variance, rate, ridge, time

FOUND = dynamics(ww.Training(ww.MLP("tanh", depth=3), gamma=0.0, learning_rate=0.1))


def test_the_fields_stand_still():
    fields = frozen(FOUND)
    assert [str(fields[name]) for name in "hz"] == ["a(t)*u[ell]_mu(t)", "a(t)*r[ell]_k,mu(t)"]
    assert not any(field.has(Memory) for field in fields.values())


def test_a_step_is_the_tangent_kernel_times_the_errors():
    assert str(flow_law(FOUND)) == "Eq(f_k,mu(t), eta*Delta_k',alpha(s)*Theta_k,mu,k',alpha(t))"


@pytest.mark.parametrize(
    "other",
    [FOUND.without_responses(), FOUND.with_(h=FOUND.system["h"].rhs.subs(lambda_W, 0))],
    ids=["responses", "rate"],
)
def test_a_system_whose_layers_do_not_add_up_to_its_kernel_is_refused(other):
    """The negative control: without responses, or with a frozen layer, the first order in gamma_0 is another one."""
    with pytest.raises(NotAvailable, match="allowed"):
        flow_law(other)


def test_the_kernel_varies_by_A_and_by_B_both_ways():
    assert str(kernel_variance()) == "A_(ab)(cd) + B_acbd + B_adbc"


def test_modes_are_learned_exponentially():
    learned, left = (expr.subs(ridge, 0) for expr in along_a_mode())
    assert sp.simplify(learned - (1 - sp.exp(-rate * time)) / rate) == 0
    assert left == sp.exp(-rate * time)
