"""A derivation holds its equation, its steps and its LaTeX; the system is closed and in order."""

from __future__ import annotations

import re

import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.averages.gaussian import Average, price
from widthwise.theory.initialisation.derivation import Recursions
from widthwise.theory.language.errors import InvalidArgument, UnknownName
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.quantities import TENSORS, Entry, Kind, quantity
from widthwise.theory.language.symbols import C_W, C_b

#: All that do not vanish for Gaussian weights.
NAMES = [q.name for q in TENSORS.values() if q.kind is not Kind.LOCAL]
FIRST = [name for name in NAMES if quantity(name).order <= 1]


def titles_of(name):
    """The steps of a quantity: preactivations alone need no Isserlis, and a mean is a law of large numbers."""
    row = quantity(name)
    directed = any(directions for pair in row.pairs for directions, _ in pair)
    return [
        "Definition",
        "Layer map of the jets" if directed else "Layer map",
        "Neuron average",
        *(["Law of large numbers"] if row.kind is Kind.MEAN else ["Law of total cumulance", "Price"]),
        "Isserlis" if directed else "Gaussian averages",
        "Result",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_steps_lead_from_the_definition_to_the_result(name):
    d = ww.derive(ww.MLP(), name, samples=None if name in FIRST else 1)
    assert [step.title for step in d.steps] == titles_of(name)
    assert all(step.reason and step.equations for step in d.steps)
    assert d.steps[-1].equations[0] == d.equation
    assert str(d.steps[0]).startswith("Definition: ")


@pytest.mark.parametrize(("name", "samples"), [*((n, 1) for n in NAMES), *((n, None) for n in FIRST)])
def test_latex_is_an_align_with_balanced_brackets(name, samples):
    d = ww.derive(ww.MLP(), name, samples=samples)
    for text in (d.latex(), d.latex(steps=True), d._repr_latex_()):
        assert text.count(r"\left") == text.count(r"\right")
        assert text.count("{") == text.count("}")
        assert not re.search(r"\^\{[^{}]*\}\^", text), "double superscript"
    assert d.latex().startswith("\\begin{align}")
    assert d.latex().rstrip().endswith("\\end{align}")
    assert r"\langle" in d.latex()


def test_every_row_of_a_long_equation_but_the_last_is_unnumbered():
    rows = ww.derive(ww.MLP(), "A").latex().split("\\\\\n")
    assert all(r"\nonumber" in row for row in rows[:-1])
    assert r"\nonumber" not in rows[-1]


def test_system_is_closed_and_in_dependency_order():
    system = ww.derive(ww.MLP())
    assert isinstance(system, Recursions)
    assert set(system) == set(FIRST)
    assert set(ww.derive(ww.MLP(), order=0)) == {"K", "Theta"}
    assert set(ww.derive(ww.MLP(), samples=1, order=2)) == set(NAMES) - {"V8"}
    seen = set()
    for name, needs in system.depends_on.items():
        assert set(needs) - {name} <= seen
        seen.add(name)


def test_first_layer_is_exactly_gaussian():
    net = ww.MLP()
    assert str(ww.derive(net, "K").first.rhs) == "C_W*(x_1.x_2/n_0) + C_b"
    assert str(ww.derive(net, "Theta").first.rhs) == "lambda_W*(x_1.x_2/n_0) + lambda_b"
    assert all(ww.derive(net, n).first.rhs == 0 for n in FIRST if n not in ("K", "Theta"))


@pytest.mark.parametrize("name", [*FIRST, "V6", "V1", "K2"])
def test_coinciding_labels_are_derived_and_not_substituted(name):
    """V[a,a,b,b] derived with repeated labels equals the general formula with its labels identified."""
    rank = quantity(name).rank
    labels = "aabbbb"[:rank]
    direct = ww.derive(ww.MLP(), name, samples=labels).doit().law.right
    general = ww.derive(ww.MLP(), name, samples="pqrstu"[:rank]).law.right
    mapping = dict(zip("pqrstu", labels, strict=False))
    identified = general.xreplace(
        {n: n.relabel(mapping) for n in general.atoms(Average)}
        | {e: quantity(e.name).entry(tuple(mapping[x] for x in e.labels)) for e in general.atoms(Entry)}
    )
    explicit = [sp.expand(e.xreplace({n: n.explicit() for n in e.atoms(Average)})) for e in (direct, identified)]
    assert sp.expand(explicit[0] - explicit[1]) == 0


def test_price_theorem_takes_derivatives_under_the_average():
    """d<f>/dq_ab = <d_a d_b f>, half of it for a = b; the operators stay in front until they are asked for."""
    a, b = Jet("a"), Jet("b")
    f = Sigma(a, 0) * Sigma(b, 0)
    assert price(f, (a, b)) == Average(f, (a, b))
    assert price(f, (a, a)) == Average(f, (a, a)) / 2
    assert price(f, (a, b), (a, a)) == Average(f, (a, a, a, b)) / 2
    assert price(f, (a, Jet("c"))) == 0
    assert Average(f, (a, a, b)).explicit() == Average(Sigma(a, 2) * Sigma(b, 1))


def test_specialize_puts_closed_forms_in_and_keeps_the_law():
    d = ww.derive(ww.MLP("sin"), "K")
    assert not d.specialize().recursion.right.has(Average)
    assert d.specialize().law == d.law
    tanh = ww.derive(ww.MLP("tanh"), "V").specialize()
    assert tanh.recursion.right.has(Average)
    with pytest.raises(InvalidArgument, match="unspecified"):
        ww.derive(ww.MLP(), "K").specialize()


def test_sin_at_one_input_is_elementary():
    """K' = C_b + C_W exp(-K) sinh(K): the whole closed system of sin has no average left."""
    system = ww.derive(ww.MLP("sin"), samples=1).specialize()
    K = quantity("K").entry(("", ""))
    assert sp.simplify(system["K"].rhs - C_b - C_W * (1 - sp.exp(-2 * K)) / 2) == 0
    assert all(not equation.rhs.has(Average) for equation in system.values())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((ww.MLP(), "G"), UnknownName, "quantity='G' is not known"),
        ((ww.MLP(), "thta"), UnknownName, "did you mean 'Theta'"),
        (("tanh", "K"), InvalidArgument, "subject='tanh' is a str; allowed: MLP, Training"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        ww.derive(*arguments)


@pytest.mark.parametrize("samples", [2, "abc", ("a", "", "b", "c")])
def test_wrong_samples(samples):
    with pytest.raises(InvalidArgument, match="samples="):
        ww.derive(ww.MLP(), "V", samples=samples)


def test_several_names_and_an_order_that_reaches_them():
    """Lists are as good as tuples; an order that is given with a name is not ignored."""
    net = ww.MLP("tanh")
    for names in (["V", "K"], ("V", "K"), iter(["V", "K"])):
        assert tuple(ww.derive(net, names)) == ("V", "K")
    assert ww.derive(net, ["V", "K"], samples=1)["V"] == ww.derive(net, "V", samples=1)["V"]
    assert tuple(ww.derive(net, "V6")) == tuple(ww.derive(net, "V6", order=2)) == ("V6",)
    with pytest.raises(InvalidArgument, match="order=9; allowed: 0"):
        ww.derive(net, "V", order=9)
    with pytest.raises(InvalidArgument, match=r"order=0 with V, which is of order 1 in 1/n; allowed: order=None, or 1"):
        ww.derive(net, "V", order=0)
    with pytest.raises(InvalidArgument, match=r"name=\(\) is empty; allowed"):
        ww.derive(net, ())
    with pytest.raises(InvalidArgument, match="name=3; allowed: a name, several names"):
        ww.derive(net, 3)
    assert ww.derive(ww.MLP("tanh", depth=3, residual=0.5), ["V", "K"]).names == ("K", "V")
