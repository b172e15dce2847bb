"""Subjects, derivations and results are values: copies of them are equal, in this process and in another one."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.numerics.runs.values import same
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.language import symbols
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.language.jets import Jet, Overlap, Sigma
from widthwise.theory.language.quantities import Entry
from widthwise.theory.language.symbols import Letter, SiteAverage
from widthwise.theory.networks import parametrization
from widthwise.theory.networks.activations import ACTIVATIONS
from widthwise.theory.training import dynamics, linear, program
from widthwise.theory.training import fields as letters
from widthwise.theory.training.losses import LOSSES, Loss, as_loss, f, y

X = np.array([[1.0, 0.2], [-0.4, 0.9]])
Y = np.array([1.0, -1.0])
NUMBERS = dict(C_W=1.3, C_b=0.1, lambda_W=1, lambda_b=1)


def net(activation="tanh", **given):
    return ww.MLP(activation, **{"depth": 3, "width": 8, **NUMBERS, **given})


def flow(**given):
    return ww.Training(ww.MLP("tanh", depth=2), **given)


SUBJECTS = {
    "symbolic net": lambda: ww.MLP("relu"),
    "numeric net": lambda: net("gelu", weights="orthogonal", residual=0.5),
    "net by layer": lambda: net(["tanh", "relu"], weights=["gaussian", ww.independent(1), "uniform"], width=(8, 4)),
    "own activation": lambda: net(sp.tanh(sp.Symbol("x")) + sp.Symbol("x") / 2),
    "mean-field net": lambda: ww.MLP("relu", depth=3, width=8, parametrization="mup", gamma_0=0.5),
    "abc net": lambda: ww.MLP("relu", depth=3, width=8, parametrization=ww.YANG_HU["muP"], features=2),
    "flow": flow,
    "descent": lambda: flow(learning_rate=0.1, momentum=0.9, weight_decay=0.1, outputs=2, loss="cross_entropy"),
    "own loss": lambda: flow(loss="(f - y)**4 + log(1 + exp(f))"),
}
DERIVED = {
    "derivation": lambda: ww.derive(net(), "V"),
    "specialized": lambda: ww.derive(net("relu"), "K", samples=1).specialize(),
    "explicit": lambda: ww.derive(net(), "Theta1", samples=1).doit(),
    "system": lambda: ww.derive(net(residual=0.5, weights="orthogonal"), samples=1),
    "dynamics": lambda: ww.derive(flow()),
    "linear dynamics": lambda: ww.derive(ww.Training(ww.MLP("linear", depth=3), learning_rate=0.1, weight_decay=0.1)),
    "several outputs": lambda: ww.derive(flow(learning_rate=0.1, outputs=2, loss="cross_entropy")),
}
RESULTS = {
    "compiled": lambda: ww.compile(ww.derive(net(), "V", samples=1)),
    "critical point": lambda: ww.critical("tanh"),
    "depth laws of tanh": lambda: ww.asymptotics(ww.MLP("tanh")),
    "depth laws of a kink": lambda: ww.asymptotics(ww.MLP("elu"), ("K", "Theta")),
    "depth laws": lambda: ww.asymptotics(ww.MLP("relu", **NUMBERS | dict(C_W=2, C_b=0)), ("K", "Theta")),
    "learning rates": lambda: ww.depth_scaling(ww.asymptotics(ww.MLP("relu", C_W=2, C_b=0)), 5),
    "phase diagram": lambda: ww.phase_diagram("tanh", sigma_w=[0.5, 1.5], sigma_b=[0.1, 0.2]),
    "kernels": lambda: ww.kernel(net(), X),
    "prediction": lambda: ww.predict(net(), X, quantities="K"),
    "report": lambda: ww.validate(net(), X, quantities="K", widths=(4, 8), networks=200, progress=False),
    "training report": lambda: ww.validate(
        flow(learning_rate=0.1), X, Y, times=[0, 1], widths=(8, 16), networks=8, samples=256, progress=False
    ),
}
ALL = SUBJECTS | DERIVED | RESULTS


@pytest.fixture(scope="module")
def made():
    """Values by name, each made once."""
    found = {}

    def make(name):
        if name not in found:
            found[name] = ALL[name]()
        return found[name]

    return make


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("copied", [lambda v: pickle.loads(pickle.dumps(v)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_a_copy_is_equal(made, name, copied):
    value = made(name)
    other = copied(value)
    assert type(other) is type(value)
    assert same(other, value)
    if not hasattr(value, "identical"):  # of datasets == compares element by element
        assert other == value
    if name in SUBJECTS | DERIVED:
        assert hash(other) == hash(value)
        assert str(other) == str(value)


@pytest.mark.parametrize("act", ACTIVATIONS, ids=str)
def test_activations_are_values(act):
    for copied in (pickle.loads(pickle.dumps(act)), copy.deepcopy(act)):
        assert copied == act
        assert hash(copied) == hash(act)
        assert copied.kinks == act.kinks
    assert sum(copied == other for other in ACTIVATIONS) == 1


@pytest.mark.parametrize("name", SUBJECTS | DERIVED)
def test_made_again_it_is_equal(made, name):
    assert ALL[name]() == made(name)
    assert hash(ALL[name]()) == hash(made(name))


@pytest.mark.parametrize("name", SUBJECTS | DERIVED | {"critical point": None, "phase diagram": None})
def test_another_one_is_not(made, name):
    """The negative control: no two of the values above are equal, and one changed field makes a value another one."""
    value = made(name)
    assert all(made(other) != value for other in SUBJECTS | DERIVED if other != name)
    assert not same(value, made("symbolic net" if name != "symbolic net" else "flow"))


def test_a_changed_number_in_an_array_is_seen(made):
    report = pickle.loads(pickle.dumps(made("report")))
    report.data["K"][0, 0, 0] += 1e-9
    assert report != made("report")
    other = made("kernels")
    assert other._replace(K=other.K * (1 + 1e-15) + 1e-15) != other
    report = pickle.loads(pickle.dumps(made("training report")))
    report.table.loc[0, "passed"] = not report.table.loc[0, "passed"]
    assert report != made("training report")


def test_what_is_copied_works(made):
    copied = pickle.loads(pickle.dumps(made("dynamics")))
    assert copied.latex(steps=True) == made("dynamics").latex(steps=True)
    changed = copied.with_(z=copied.system["z"].rhs)
    assert changed == copied
    state = {"K": np.array([0.7]), "V": np.array([0.2])}
    compiled = made("compiled")
    given = compiled.arguments("step", {"C_W": 1.3, "rho": 1.0})
    assert copy.deepcopy(compiled)(state, **given)["V"] == compiled(state, **given)["V"]
    assert made("report").passed == pickle.loads(pickle.dumps(made("report"))).passed


ATOMS = [
    Jet("a", ("s", "r")),
    Sigma(Jet("a"), 2),
    Overlap(("b", "a")),
    Entry("V", ("a", "b", "c", "d"), 1),
    Letter("W", r"\mathbf W"),
    SiteAverage(Jet("a")),
    Average(Sigma(Jet("a"), 0) ** 2, (Jet("a"), Jet("a"))),
    letters.SiteField("h", symbols.ell + 1, ("mu",), "t"),
    letters.OrderParameter("Phi", symbols.ell, (("mu",), "t"), (("alpha",), "s")),
    letters.OrderParameter("f", None, (("mu",), "t")),
    letters.Activated(letters.SiteField("h", 1, (), "t"), 1),
    letters.Variation(letters.SiteField("h", 1, (), "t"), letters.SiteField("r", 1, (), "s")),
    letters.Memory(symbols.C_W, Jet("a"), (("alpha",), "s"), strict=False, continuous=True),
    program.MatrixProduct(Jet("a"), symbols.ell, None, transposed=True),
    program.MatrixProduct(Jet("a"), symbols.ell, "t"),
    program.Outer(Jet("a"), Jet("b")),
    program.Weight(symbols.ell, "0"),
    linear.operator("Phi", symbols.ell - 1) * linear.operator("C"),
]


@pytest.mark.parametrize("atom", ATOMS, ids=str)
def test_the_letters_of_formulas_are_values(atom):
    for expr in (atom, 2 * atom if atom.is_commutative else atom):
        for other in (pickle.loads(pickle.dumps(expr)), copy.deepcopy(expr)):
            assert other == expr
            assert hash(other) == hash(expr)
            assert str(other) == str(expr)
            assert sp.latex(other) == sp.latex(expr)
            assert not other.args or other.func(*other.args) == expr


def test_structure_makes_a_letter():
    """Negative controls: letters that differ in what is beside their arguments differ."""
    place = (("alpha",), "s")
    memory = letters.Memory(symbols.C_W, Jet("a"), place)
    assert memory != letters.Memory(symbols.C_W, Jet("a"), place, strict=False)
    assert memory != letters.Memory(symbols.C_W, Jet("a"), place, continuous=True)
    assert program.Weight(symbols.ell, "0") != program.Weight(symbols.ell, "t")
    assert program.MatrixProduct(Jet("a"), symbols.ell, "t") != program.MatrixProduct(
        Jet("a"), symbols.ell, "t", transposed=True
    )
    assert linear.operator("C") != linear.operator("C", symbols.ell - 1)


def test_losses_are_expressions():
    assert as_loss("(f-y)**4") == as_loss((f - y) ** 4) == as_loss((sp.Symbol("f") - sp.Symbol("y")) ** 4)
    assert hash(as_loss("(f-y)**4")) == hash(as_loss((f - y) ** 4))
    assert as_loss("(f-y)**4") != as_loss("(f-y)**6")
    assert flow(loss="(f-y)**4") == flow(loss=(f - y) ** 4) != flow(loss="(f-y)**6")
    for loss in LOSSES.values():
        assert not any(callable(getattr(loss, field.name)) for field in fields(loss) if field.name == "one")
        assert isinstance(loss.one, sp.Expr)


def test_a_loss_holds_no_function():
    with pytest.raises(InvalidArgument, match=r"one=<function .* is a function; allowed: an expression"):
        Loss("own", lambda f, y: f - y)
    with pytest.raises(InvalidArgument, match="several='f' is a str"):
        Loss("own", f - y, "f")


@pytest.mark.parametrize("K", [2, 3])
def test_cross_entropy_is_that_of_the_softmax(K):
    value, fs, ys = LOSSES["cross_entropy"].value(K)
    assert len(fs) == len(ys) == K
    total = sp.Add(*map(sp.exp, fs))
    expected = -sp.Add(*(b * (a - sp.log(total)) for a, b in zip(fs, ys, strict=True)))
    assert sp.expand(value - expected) == 0
    summed, fs, ys = LOSSES["mse"].value(K)
    assert summed == sp.Add(*((a - b) ** 2 / 2 for a, b in zip(fs, ys, strict=True)))


def test_one_letter_each():
    """The strength of feature learning and the number of a layer are one symbol each, wherever they stand."""
    named = {"gamma_0": set(), "ell": set()}
    for owner in (symbols, letters, program, linear, dynamics, parametrization):
        for value in vars(owner).values():
            if isinstance(value, sp.Symbol) and value.name in named:
                named[value.name].add(value)
    equations = ww.derive(ww.Training(ww.MLP("linear", depth=3)))
    laws = ww.asymptotics(ww.MLP("relu", C_W=2, C_b=0, lambda_W=1, lambda_b=1), ("K", "Theta"))
    held = [*equations.system.values(), *equations.closed, *(law.series for law in laws.values())]
    held += [f for place in parametrization.PLACES for f in parametrization.rows()["mup"].formulas(place).values()]
    for symbol in set().union(*(expr.free_symbols for expr in held)):
        if symbol.name in named:
            named[symbol.name].add(symbol)
    assert named == {"gamma_0": {symbols.gamma_0}, "ell": {symbols.ell}}


def test_a_matrix_is_matched_by_an_object():
    """No matrix of the program is a symbol that is known by its text."""
    steps = program.program()
    for statement in (getattr(steps, field.name) for field in fields(steps)):
        assert not any("W" in s.name for s in statement.free_symbols if s not in (symbols.C_W, symbols.lambda_W))
    assert steps.weights.atoms(program.Weight) == {program.Weight(symbols.ell, t) for t in ("0", "t")}


def test_subjects_are_changed_by_one_method():
    for name in SUBJECTS:
        subject = SUBJECTS[name]()
        assert subject.with_() == subject
        if name not in ("net by layer", "symbolic net"):
            assert subject.at_width(16) != subject
            assert subject.at_width(16).at_width(16) == subject.at_width(16)
    assert flow().at_width(16).net.width == 16


PRINT = "import sys, pickle; [print(v.fingerprint, sep='') for v in pickle.load(sys.stdin.buffer)]"


def test_a_fingerprint_is_of_the_content():
    subjects = [make() for make in SUBJECTS.values()]
    own = [s.fingerprint for s in subjects]
    assert own == [make().fingerprint for make in SUBJECTS.values()]
    assert len(set(own)) == len(own)
    assert flow().fingerprint == flow(gamma=np.float64(1.0)).fingerprint
    assert flow().fingerprint != flow(gamma=1 + 1e-15).fingerprint
    for seed in ("1", "2"):  # another order of sets and dictionaries
        shown = subprocess.run(
            [sys.executable, "-c", PRINT],
            input=pickle.dumps(subjects),
            capture_output=True,
            check=True,
            timeout=300,
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
        )
        assert shown.stdout.decode().split() == own


def test_records_of_the_front_door_are_frozen(made):
    for name in ALL:
        value = made(name)
        if is_dataclass(value):
            with pytest.raises(AttributeError):
                setattr(value, fields(value)[0].name, None)
