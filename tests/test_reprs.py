"""What a prompt and a notebook show of public values: one line, and HTML that is whole, escaped, and read on any ground."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import widthwise as ww

NET = ww.MLP("tanh", depth=3, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
LONG = ww.MLP("tanh", depth=30, C_W=[1.5] * 30, C_b=0, lambda_W=1, lambda_b=0)
FLOW = ww.Training(NET, learning_rate=0.03, momentum=0.9, weight_decay=0.01)
VOID = ("br", "img", "hr")


def report() -> ww.Report:
    """A small one."""
    return ww.validate(NET, [[1.0, 0.5]], widths=(8, 16), networks=64, quantities=("K", "V"), progress=False)


#: A value of each public class, and of what public functions return.
MADE = {
    "MLP": lambda: NET, "MLP, long": lambda: LONG, "Activation": lambda: NET.activation, "Training": lambda: FLOW,
    "Training, long": lambda: FLOW.with_(net=LONG), "Ensemble": lambda: ww.independent(-1),
    "CriticalPoint": lambda: ww.critical("gelu"), "CriticalPoint, none": lambda: ww.critical("sigmoid"),
    "DepthLaws": lambda: ww.asymptotics("tanh"), "DepthLaws, half-stable": lambda: ww.asymptotics("gelu", "Theta"),
    "DepthLaw": lambda: ww.asymptotics("tanh")["Theta"], "Kernels": lambda: ww.kernel(NET, np.ones((3, 2))),
    "PhaseDiagram": lambda: ww.phase_diagram("erf", sigma_w=[0.5, 1, 2], sigma_b=[0, 1]),
    "LearningRates": lambda: ww.depth_scaling(ww.asymptotics("tanh"), depth=50), "LayerMap": lambda: ww.residual(0.5),
    "SiteFunctions": lambda: ww.compile(ww.derive(FLOW)), "Report": report,
}  # fmt: skip
#: Classes of ``widthwise.__all__`` that show formulas, code or scikit-learn's own table.
OF_OTHERS = {"Equations", "Recursions", "CrossLayer", "Dynamics", "Compiled", "NNGPKernel", "NTKKernel"}


class Tags(HTMLParser):
    """Checks that tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_public_class_is_tried():
    classes = {n for n in ww.__all__ if isinstance(getattr(ww, n), type)}
    assert classes - OF_OTHERS <= {name.partition(",")[0] for name in MADE}


@pytest.mark.parametrize("name", MADE)
def test_one_line_for_a_prompt_and_html_for_a_notebook(name):
    value = MADE[name]()
    assert type(value).__name__ == name.partition(",")[0]
    assert len(repr(value)) <= 120
    assert "\n" not in repr(value)
    page = value._repr_html_()
    Tags(page)
    assert not re.search(r"(?<!-)(background|color)\s*:\s*(#|white|black|rgb)", page)  # a ground of its own, or letters
    assert "array(" not in page
    assert len(page) < 20_000


def test_what_a_value_holds_is_text_and_never_markup():
    wicked = NET.with_(activation=ww.Activation("<script>", NET.activation.expr))
    for value in (wicked, wicked.activation, ww.Training(wicked)):
        assert "<script" not in value._repr_html_()
        assert "&lt;script&gt;" in value._repr_html_()


def test_a_call_that_is_cut_in_a_prompt_is_whole_in_files():
    assert repr(NET) == NET.written
    assert repr(LONG) != LONG.written == LONG.attrs["network"]
    assert eval(LONG.written, {"MLP": ww.MLP}) == LONG
    assert FLOW.attrs["flow"] == FLOW.written
