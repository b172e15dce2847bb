"""A document stands for itself: it says of which network it speaks, defines its symbols, cites, and compiles without overflow."""

from __future__ import annotations

import re

import pytest
from typeset import compiled, needs_latex

import widthwise as ww
from widthwise.theory.language import latex
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.language.sources import SOURCES

NET = ww.MLP("tanh", depth=4, C_W=1, C_b=0.25, lambda_W=1, lambda_b=0)
LINEAR = ww.derive(
    ww.Training(ww.MLP("linear", depth=3), outputs=2, loss="cross_entropy", momentum=0.5, learning_rate=0.1)
)
PARTS = {
    "network": lambda: (ww.derive(NET, samples=1), ww.derive(NET, "D"), ww.derive(NET, "V").steps),
    "ensembles": lambda: (
        ww.derive(ww.MLP("mish", depth=3, weights="orthogonal", width=(30, 40), C_W=[1, 2, 3]), "V"),
    ),
    "skips": lambda: (ww.derive(ww.MLP("relu", depth=4, residual=0.5, C_W=1.5), "F"),),
    "training": lambda: (ww.derive(ww.Training(ww.MLP("gelu", depth=3), loss="(f - y)**4", learning_rate=0.1)),),
    "linear training": lambda: (LINEAR, LINEAR.steps),
}


@pytest.fixture(params=PARTS, scope="module")
def parts(request):
    return PARTS[request.param]()


def test_each_reference_is_defined_and_each_label_is_one(parts):
    text = ww.document(*parts)
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(labels)
    assert set(re.findall(r"\\ref\{(.*?)\}", text)) <= set(labels)
    cited = {key for keys in re.findall(r"\\cite\{(.*?)\}", text) for key in keys.split(",")}
    assert cited == set(re.findall(r"\\bibitem\{(.*?)\}", text)) <= set(SOURCES)
    assert cited
    assert re.findall(r"\\usepackage\{(.*?)\}", text) == ["amsmath"]
    assert {f"eq:{name}" for name in parts[0]} <= set(labels)


def test_the_network_is_stated():
    text = ww.document(*PARTS["network"]())
    for stated in (
        "$L=4$",
        r"\tanh",
        "$C_{W}=1$",
        r"$C_{b}=\frac{1}{4}$",
        r"$\lambda_{b}=0$",
        "independent Gaussians",
    ):
        assert stated in text, stated
    text = ww.document(*PARTS["ensembles"]())
    for stated in ("orthogonal", r"\cite{orthogonal,haar}", "30, 40 neurons", "(1, 2, 3)", "stay symbols"):
        assert stated in text, stated
    text = ww.document(*PARTS["skips"]())
    assert r"$\gamma_{2,1}=\frac{1}{2}$" in text
    assert r"\sum_{k\le\ell} \gamma_{\ell+1,k}" in text
    text = ww.document(*PARTS["training"]())
    for stated in (
        "$L=2$ hidden layers",
        r"$\eta=\frac{1}{10}$",
        r"$\gamma_0=1$",
        r"\left(f - y\right)^{4}",
        r"\cite{dmft}",
    ):
        assert stated in text, stated


def test_every_tensor_of_the_equations_is_in_the_table():
    found = ww.derive(NET, samples=1)
    text = ww.document(found)
    table = text[text.index(r"\begin{tabular}") : text.index(r"\end{tabular}")]
    for name in found:
        assert f"${latex.tex(ww.symbols[name])}$ & " in table, name
    for letter in ("$C_{W}$", r"$\lambda_{W}$", r"$n_{\ell}$", r"\sigma", r"\langle"):
        assert letter in table, letter


@needs_latex
@pytest.mark.parametrize("columns", [1, 2])
def test_documents_compile_without_overflow(parts, columns, tmp_path):
    text = ww.document(*parts, path=tmp_path / "theory.tex", columns=columns)
    assert (tmp_path / "theory.tex").read_text(encoding="utf-8") == text
    compiled(tmp_path, text)
    log = compiled(tmp_path, text)  # once more for the references
    assert r"Overfull \hbox" not in log
    assert "undefined" not in log


def test_equations_make_their_own_document(tmp_path):
    found = ww.derive(NET, "K")
    path = tmp_path / "K.tex"
    text = found.document(path)
    assert path.read_text(encoding="utf-8") == text == ww.document(found, found.steps)
    assert r"\paragraph" not in found.document(steps=False)


@pytest.mark.parametrize(
    ("parts", "options", "told"),
    [
        ((), {}, "0 parts without equations; allowed: equations"),
        ((ww.derive(ww.MLP(), "K").steps,), {}, "1 parts without equations; allowed"),
        ((1,), {}, "part 1 is a int; allowed: derived equations, or their steps"),
        ((ww.derive(ww.MLP(), "K"),), {"columns": 3}, "columns=3; allowed: 1, 2"),
    ],
)
def test_a_wrong_document_says_what_is_allowed(parts, options, told):
    with pytest.raises(InvalidArgument, match=told):
        ww.document(*parts, **options)
