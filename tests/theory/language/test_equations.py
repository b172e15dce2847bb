"""One mapping of equations for every subject: names, print, steps, other right-hand sides, pickles."""

from __future__ import annotations

import pickle
import re
from copy import deepcopy
from dataclasses import replace

import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, UnknownName
from widthwise.theory.typesetting.environments import WIDTHS
from widthwise.theory.typesetting.reading import read

FLOW = ww.Training(ww.MLP("tanh", depth=3))
SUBJECTS = {
    "network": (lambda: ww.derive(ww.MLP("tanh")), "V"),
    "network, one input": (lambda: ww.derive(ww.MLP("relu", C_W=2), samples=1), "K1"),
    "one quantity": (lambda: ww.derive(ww.MLP(), "D"), "D"),
    "skips": (lambda: ww.derive(ww.MLP("tanh", depth=4, residual=0.5), "D"), "C_D"),
    "skips of a symbolic strength": (lambda: ww.derive(ww.MLP("relu"), order=0, layer=ww.residual()), "q_Theta"),
    "training": (lambda: ww.derive(FLOW), "h"),
    "linear training": (
        lambda: ww.derive(ww.Training(ww.MLP("linear", depth=3), learning_rate=0.1, momentum=0.5)),
        "z",
    ),
}


@pytest.fixture(params=SUBJECTS, scope="module")
def subject(request):
    make, name = SUBJECTS[request.param]
    return make(), name


@pytest.mark.quick
def test_values_are_equations_by_name(subject):
    found, name = subject
    assert isinstance(found, ww.Equations)
    assert all(isinstance(equation, sp.Eq) for equation in found.values())
    assert name in found
    assert "nothing" not in found
    assert found.get("nothing") is None
    assert set(found.depends_on) == set(found) == set(found.system)
    assert list(found.restrict(name)) == [name]
    assert found.restrict(name)[name] == found[name]
    with pytest.raises(UnknownName, match="name='nothing' is not known"):
        found["nothing"]


def test_print_holds_each_equation(subject):
    found, _ = subject
    for text in (found.latex(), found._repr_latex_()):
        assert text.count(r"\left") == text.count(r"\right")
    assert all(f"{equation.lhs} = " in str(found) for equation in found.values())
    assert found.steps
    assert found.latex(steps=True).count("\\paragraph") == len(found.steps)


@pytest.mark.quick
def test_another_right_hand_side_stands_where_the_derived_one_stood(subject):
    found, name = subject
    changed = found.with_(**{name: 2 * found.system[name].rhs})
    assert changed.system[name].rhs == 2 * found.system[name].rhs
    assert all(changed[other] == found[other] for other in found if other != name)
    assert changed != found
    assert type(changed) is type(found)
    with pytest.raises(InvalidArgument, match="nothing= is no equation of the system; allowed: "):
        found.with_(nothing=0)


def test_equations_are_values(subject):
    found, _ = subject
    assert found == replace(found, statements=tuple(found.statements))
    for again in (pickle.loads(pickle.dumps(found)), deepcopy(found)):
        assert again == found
        assert hash(again) == hash(found)
        assert str(again) == str(found)
    assert (
        pickle.loads(pickle.dumps(ww.derive(ww.MLP("sin"), "K").specialize()))
        == ww.derive(ww.MLP("sin"), "K").specialize()
    )


def test_several_equations_have_no_single_one():
    with pytest.raises(InvalidArgument, match="the equations are 2: K, Theta; allowed: one of them"):
        _ = ww.derive(ww.MLP(), order=0).equation


def test_numbers_of_the_subject_stand_in_print_and_indices_in_the_system():
    flow = ww.derive(FLOW)
    assert "k" not in str(flow["h"])
    assert "k'" in str(flow.system["h"])
    law = ww.derive(ww.MLP("sin", C_W=2), "K").specialize()
    assert not law.equation.rhs.has(sp.Symbol("C_W", nonnegative=True))
    assert law.law == ww.derive(ww.MLP("sin", C_W=2), "K").law


def test_a_repr_is_one_line_and_print_is_the_whole(subject):
    found, name = subject
    steps = found.steps
    for shown in (found, found.statement(name), steps, steps[0], steps[:1]):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 250
        assert repr(shown) != str(shown)
    assert f"{len(found)} equation" in repr(found)
    assert type(found).__name__ in repr(found)


def test_each_equation_has_a_label_of_its_own(subject):
    found, _ = subject
    text = found.latex(labels="eq:")
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(labels) == len(found) + len(found.further)
    assert {f"eq:{name}" for name in found} <= set(labels)
    steps = re.findall(r"\\label\{(.*?)\}", found.latex(steps=True, labels="step:"))
    assert len(set(steps)) == len(steps) == sum(len(step.equations) for step in found.steps)


def test_a_single_equation_prints_as_it_does_among_others(subject):
    found, name = subject
    one = found.statement(name)
    assert one.latex(labels="eq:").count(r"\label") == 1
    assert one.latex(width="slide") != one.latex(width=2000) or len(one.latex(width=2000)) < 400
    assert one._repr_latex_().startswith(r"$\displaystyle \begin{aligned}")


def test_equations_for_a_notebook_are_no_wider_than_it(subject):
    found, _ = subject
    for shown in (found, *(found.statement(name) for name in found)):
        body = re.search(r"\\begin\{aligned\}(.*)\\end\{aligned\}\$$", shown._repr_latex_(), flags=re.S)
        assert body is not None
        assert all(read(row.replace("&", "")).width() <= WIDTHS["notebook"] for row in body[1].split(" \\\\\n"))
