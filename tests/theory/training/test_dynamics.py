"""The equations of training, derived, against those of Bordelon and Pehlevan (arXiv:2205.09653)."""

from __future__ import annotations

from functools import partial

import pytest
import sympy as sp
import training_cases

from widthwise.theory.language.errors import InvalidArgument, NotAvailable, UnknownName
from widthwise.theory.language.symbols import SiteAverage, ell, gamma_0, lambda_W
from widthwise.theory.networks.architecture import MLP
from widthwise.theory.training.dynamics import dynamics
from widthwise.theory.training.fields import Activated, Memory, OrderParameter, SiteField, last
from widthwise.theory.training.losses import LOSSES, as_loss, f, y
from widthwise.theory.training.subject import Training

flow = partial(training_cases.flow, depth=4)
HERE, PAST = (("mu",), "t"), (("alpha",), "s")
DELTA = OrderParameter("Delta", None, PAST)


def field(name, layer=ell, place=HERE):
    return SiteField(name, layer, *place)


def order(name, layer):
    return OrderParameter(name, layer, HERE, PAST)


def past(kernel, vector):
    return Memory(kernel, vector, PAST, continuous=True)


@pytest.mark.quick
def test_gradient_flow_of_bordelon_and_pehlevan():
    """Their equations for h, z, g, f and the order parameters, transcribed."""
    found = {name: eq.rhs for name, eq in dynamics(flow()).items()}
    phi = Activated(field("h", place=PAST), 0)
    h = field("u") + gamma_0 * past(order("A", ell - 1) + DELTA * order("Phi", ell - 1), field("g", place=PAST))
    z = field("r") + gamma_0 * past(order("B", ell) + DELTA * order("G", ell + 1), phi)
    assert sp.expand(found["h"] - h) == 0
    assert sp.expand(found["z"] - z) == 0
    assert found["g"] == Activated(field("h"), 1) * field("z")
    readout = SiteAverage(SiteField("r", last, (), "") * Activated(field("h", last), 0)) / gamma_0
    assert sp.expand(found["f"] - readout - past(DELTA * order("Phi", last), sp.S.One)) == 0
    equal = OrderParameter("G", ell + 1, HERE, (("alpha",), "t")) * OrderParameter("Phi", ell, HERE, (("alpha",), "t"))
    assert found["Theta"] == sp.Sum(equal, (ell, 0, last))
    assert found["u"] == order("Phi", ell - 1)
    assert found["r"] == order("G", ell + 1)
    assert found["Delta"] == OrderParameter("y", None, (("mu",), "")) - OrderParameter("f", None, HERE)


def test_boundaries():
    below, above, A, B = dynamics(flow()).boundaries
    assert below.rhs == OrderParameter("Kx", None, (("mu",), ""), (("alpha",), ""))
    assert (above.rhs, A.rhs, B.rhs) == (1, 0, 0)


def test_an_activity_does_not_answer_to_the_present_and_a_gradient_does():
    """In discrete time A is strictly causal, and B has a part at equal times that must not be lost."""
    found = dynamics(flow(learning_rate=0.1)).system
    ranges = {
        name: {m.strict for m in found[n].rhs.atoms(Memory) if m.has(*_named(m, name))}
        for n, name in (("h", "A"), ("z", "B"))
    }
    assert ranges == {"A": {True}, "B": {False}}


def _named(memory, name):
    return [o for o in memory.atoms(OrderParameter) if o.name == name]


def test_hyperparameters_stand_where_the_update_and_the_variance_put_them():
    """C_W in front of fields and responses, rates in front of what training adds, both with their biases."""
    net = MLP("tanh", depth=3, C_W=2, C_b=3, lambda_W=5, lambda_b=7)
    found = dynamics(Training(net))
    (memory,) = found["h"].rhs.atoms(Memory)
    assert sp.expand(memory.kernel - 2 * order("A", ell - 1) - DELTA * (5 * order("Phi", ell - 1) + 7)) == 0
    assert found["u"].rhs == 3 + 2 * order("Phi", ell - 1)
    (memory,) = found["f"].rhs.atoms(Memory)
    assert sp.expand(memory.kernel - DELTA * (5 * order("Phi", last) + 7)) == 0
    Phi = OrderParameter("Phi", ell, HERE, (("alpha",), "t"))
    assert (
        sp.expand(found["Theta"].rhs.function - OrderParameter("G", ell + 1, HERE, (("alpha",), "t")) * (5 * Phi + 7))
        == 0
    )


def test_several_outputs_share_one_network():
    found = dynamics(flow(outputs=3, loss="cross_entropy"))
    (memory,) = found["h"].rhs.atoms(Memory)
    assert memory.place == (("k'", "alpha"), "s")
    kernel = OrderParameter("G", ell + 1, (("k", "mu"), "t"), (("k'", "alpha"), "s"))
    assert kernel in found["z"].rhs.atoms(OrderParameter)
    assert dynamics(flow(outputs=3)).boundaries[1].rhs == sp.KroneckerDelta(*sp.symbols("k k'"))


def test_latex_is_what_a_paper_prints():
    text = dynamics(flow()).latex(width="page")
    assert (
        r"h^{\ell}_{\mu}(t) &= u^{\ell}_{\mu}(t) + \gamma_{0}\,\int_0^t\! ds\, \sum_{\alpha} \left[A^{\ell - 1}_{\mu \alpha}(t,s) "
        r"+ \Delta_{\alpha}(s)\,\Phi^{\ell - 1}_{\mu \alpha}(t,s)\right]\, g^{\ell}_{\alpha}(s) \\"
    ) in text
    assert text.count(r"\begin{align}") == 1
    discrete = dynamics(flow(learning_rate=0.1)).latex()
    assert r"\sum_{s\le t}" in discrete
    assert r"\int" not in discrete


def test_linear_networks_close_algebraically():
    """Phi = (1 - CD)^-1 [Phi + C G C^T] (1 - CD)^-T and so on (Bordelon & Pehlevan, deep linear networks)."""
    text = str(dynamics(Training(MLP("linear", depth=3))))
    assert "A[ell] = 1/gamma_0*(I - C[ell]*D[ell])**(-1)*C[ell]" in text
    assert "B[ell-1] = 1/gamma_0*(I - D[ell]*C[ell])**(-1)*D[ell]" in text
    assert "(I - C[ell]*D[ell])**(-1)*Phi[ell-1]*(I - D[ell].T*C[ell].T)**(-1)" in text
    assert dynamics(flow()).closed == ()
    assert r"\left(I - C^{\ell} D^{\ell}\right)^{-1}" in dynamics(Training(MLP("linear", depth=3))).latex()


def test_steps_lead_from_the_network_to_the_equations():
    steps = dynamics(flow()).steps
    assert [s.title for s in steps][:4] == ["Forward pass", "Backward pass", "Update", "Cavity rule"]
    assert all(s.latex() and str(s) for s in steps)
    assert "align" in dynamics(flow()).latex(steps=True)


def test_an_equation_can_be_changed_by_name_only():
    found = dynamics(flow())
    assert found.with_(z=sp.S.Zero).system["z"].rhs == 0
    assert not [o for o in found.without_responses().system["z"].rhs.atoms(OrderParameter) if o.name == "B"]
    with pytest.raises(InvalidArgument, match="x= is no equation of the system; allowed: h, z, g"):
        found.with_(x=sp.S.Zero)


def test_momentum_and_decay_are_defined_where_they_are_used():
    """a(t), m(t, s) of the printed recursion are those of the solver."""
    from widthwise.numerics.training.optimizer import kernels

    found = dynamics(flow(learning_rate=0.1, momentum=0.7, weight_decay=0.3))
    keep = (
        found.optimizer[1]
        .rhs.coeff(OrderParameter("a", None, ((), "t")))
        .subs("eta", 0.1)
        .subs(found.optimizer[1].rhs.free_symbols.pop(), 0.1)
    )
    a, m = kernels(6, 0.1, 0.7, 0.3)
    before = 1.0  # a(-1) = a(0): no velocity at the start
    for t in range(5):
        assert abs(a[t + 1] - (float(keep) * a[t] - 0.7 * (a[t - 1] if t else before))) < 1e-14
        assert abs(m[t + 1, 0] - (1 if t == 0 else float(keep) * m[t, 0] - 0.7 * m[t - 1, 0])) < 1e-14
    assert "m(t+1,s) = " in str(found)
    assert dynamics(flow(learning_rate=0.1)).optimizer == ()


@pytest.mark.parametrize("name", LOSSES)
def test_errors_are_minus_the_slope_of_the_loss(name):
    value, fs, ys = LOSSES[name].value(2)
    labels = dict(zip(ys, (sp.Integer(1), sp.Integer(0)), strict=True))
    at = dict(zip(fs, (sp.Rational(1, 3), sp.Rational(-2, 5)), strict=True))
    for k, error in enumerate(LOSSES[name].errors(2)):
        step = sp.Rational(1, 10**6)
        up, down = (value.subs(labels).subs(at | {fs[k]: at[fs[k]] + s}) for s in (step, -step))
        assert abs(float(error.subs(labels).subs(at)) + float((up - down) / (2 * step))) < 1e-9


def test_losses_of_a_user():
    assert as_loss("log(1 + exp(-y*f))").errors(1) == LOSSES["logistic"].errors(1)
    assert sp.simplify(as_loss((f - y) ** 4).errors(1)[0] + 4 * (f - y) ** 3) == 0
    for wrong, text in (
        ("sign(f - y)", "no derivative"),
        ("'f'", "cannot be read"),
        ("__import__('os').getcwd()", "cannot be read"),
        ("f.real", "cannot be read"),
    ):
        with pytest.raises(InvalidArgument, match=text):
            as_loss(wrong)
    with pytest.raises(UnknownName, match="function='gamma' is not known"):
        as_loss("gamma(f)")
    assert as_loss("Max(0, 1 - y*f)**2").separate
    for wrong, text in (
        ("abs(f - y)", "no derivative"),
        ("abs(f - y - 0.1)", "no derivative"),  # a kink at no round number
        ("y**2", "no function of f"),
        ("f*q", "no function of f"),
        ("f +* y", "cannot be read"),
    ):
        with pytest.raises(InvalidArgument, match=text):
            as_loss(wrong)
    with pytest.raises(UnknownName, match="did you mean 'mse'"):
        as_loss("mss")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"gamma": -1}, "gamma=-1; allowed: real numbers from 0"),
        ({"learning_rate": 0}, "learning_rate=0 trains nothing"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1"),
        ({"momentum": 1.0, "learning_rate": 0.1}, "momentum=1.0"),
        ({"momentum": 0.5}, "without learning_rate"),
        ({"weight_decay": 20, "learning_rate": 0.1}, "overshoots; allowed: below 10"),
        ({"outputs": 0}, "outputs=0; allowed: integers from 1"),
    ],
)
def test_wrong_arguments(options, text):
    with pytest.raises(InvalidArgument, match=text):
        flow(**options)


def test_networks_that_cannot_be_trained():
    with pytest.raises(InvalidArgument, match="allowed: an MLP"):
        Training("tanh")
    with pytest.raises(InvalidArgument, match="no hidden layer"):
        Training(MLP("tanh", depth=1))
    for options in ({"residual": 0.5}, {"weights": "orthogonal"}, {"C_W": [1, 2, 3]}):
        with pytest.raises(NotAvailable, match="allowed"):
            Training(MLP("tanh", depth=3, **options))
    assert Training(MLP("tanh", depth=3)).net.C_W == 1.0


def test_a_neuron_adds_z_times_its_activity_to_the_predictions():
    found = dynamics(flow())
    assert str(found.share) == "phi(h[ell]_mu(t))*z[ell]_k,mu(t)/gamma_0"
    other = found.with_(z=found.system["z"].rhs.subs(lambda_W, 2 * lambda_W))
    assert other.share is None  # the negative control: what comes back is no longer what the predictions hold
