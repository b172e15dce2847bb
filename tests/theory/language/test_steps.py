"""The steps of a derivation are a sequence that knows titles and reasons, in a notebook, in print and in LaTeX."""

from __future__ import annotations

import pickle
import re
from copy import deepcopy

import pytest

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.language.steps import Step, Steps

SUBJECTS = {
    "network": lambda: ww.derive(ww.MLP("tanh", C_W=1), "V"),
    "network, one input": lambda: ww.derive(ww.MLP("tanh"), "F", samples=1),
    "several quantities": lambda: ww.derive(ww.MLP(), order=0),
    "skips": lambda: ww.derive(ww.MLP("tanh", depth=4, residual=0.5), "D"),
    "training": lambda: ww.derive(ww.Training(ww.MLP("tanh", depth=3))),
}


@pytest.fixture(params=SUBJECTS, scope="module")
def steps(request):
    return SUBJECTS[request.param]().steps


@pytest.mark.quick
def test_a_step_and_a_slice_keep_title_and_reason(steps):
    assert isinstance(steps, Steps)
    assert isinstance(steps[0], Step)
    assert isinstance(steps[1:3], Steps)
    assert [step.title for step in steps[1:3]] == list(steps.titles[1:3])
    assert steps[-1] is [*steps][-1]
    for shown in (steps[0], steps[:1], steps[steps[0].title]):
        for text in (shown._repr_markdown_(), shown.latex(), str(shown)):
            assert steps[0].title in text
        assert steps[0].reason in shown._repr_markdown_()
        assert steps[0].reason in shown.latex()


def test_every_step_is_in_each_view(steps):
    for text in (steps._repr_markdown_(), steps.latex(), str(steps)):
        places = [text.index(step.title) for step in steps]
        assert len(places) == len(steps)
    assert steps._repr_markdown_().count("$$") == 2 * sum(bool(step.equations) for step in steps)
    assert "\\" not in re.sub(r"(?m)^    .*$", "", str(steps))  # the sentences are without markup


def test_notebooks_set_formulas_in_their_own_colours(steps):
    """Nothing of it is a colour, a font, or HTML, which a dark page would not change."""
    text = steps._repr_markdown_()
    assert not re.search(r"<\w+[ >/]|style=|\\color", text)


def test_steps_of_a_title(steps):
    title = steps.titles[-1]
    assert set(steps[title].titles) == {title}
    with pytest.raises(InvalidArgument, match=r"title='Proof' is that of no step; allowed: "):
        steps["Proof"]
    with pytest.raises(IndexError):
        steps[1000]


def test_steps_are_values(steps):
    for again in (pickle.loads(pickle.dumps(steps)), deepcopy(steps)):
        assert again == steps
        assert str(again) == str(steps)
    assert steps != steps[:-1]


def test_steps_say_what_they_derive():
    assert {step.of for step in SUBJECTS["network"]().steps} == {"V"}
    several = SUBJECTS["several quantities"]().steps
    assert "#### K\n" in several._repr_markdown_()
    assert "#### Theta\n" in several._repr_markdown_()
    assert repr(several).endswith("steps of K, Theta>")
