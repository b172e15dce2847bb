"""Symbols by name: of the theory, and of derived equations; what is substituted for them; how indices print."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import sympy as sp

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument, UnknownName
from widthwise.theory.language.latex import tex
from widthwise.theory.language.quantities import TENSORS, Entry
from widthwise.theory.language.symbols import C_W, MEANINGS, ell, escaped, gamma_0, label_latex

V = ww.derive(ww.MLP(), "V", samples=1)
FLOW = ww.Training(ww.MLP("tanh", depth=3))


@pytest.mark.quick
@pytest.mark.parametrize("key", ["C_W", sp.Symbol("C_W"), sp.Symbol("C_W", positive=True), C_W], ids=repr)
def test_a_letter_is_found_by_its_name(key):
    """In an equation, in all equations, and in any expression of SymPy made of them."""
    right = V.equation.rhs
    expected = right.xreplace({C_W: sp.Integer(2)})
    assert V.equation.subs(key, 2).rhs == V.subs(key, 2).equation.rhs == right.subs(key, 2) == expected != right
    assert V.subs({key: 2}).equation == V.equation.subs([(key, 2)])


@pytest.mark.parametrize("name", ["C_w", "q", "Theta", "V_(12)(34)"])
def test_a_letter_that_does_not_occur_is_an_error(name):
    for subs in (V.subs, V.equation.subs, V.steps[-1].equations[0].subs):
        with pytest.raises(UnknownName, match=f"{re.escape(repr(name))} is not known.*Allowed: C_W, K, V, V', rho"):
            subs(name, 2)
    with pytest.raises(UnknownName):
        V.equation.subs(sp.Symbol(name), 2)
    with pytest.raises(InvalidArgument, match="allowed: old and new, a mapping"):
        V.equation.subs("C_W")


@pytest.mark.quick
def test_what_is_substituted_is_printed_generated_and_predicted():
    """One object: the law itself, its first layer, and the numbers of the network."""
    found = ww.derive(ww.MLP("relu"), order=0, samples=1).subs({"C_W": 2, "C_b": sp.Rational(1, 10)})
    assert str(found["K"].rhs) == "K + 1/10"
    assert found.subject == ww.MLP("relu", C_W=2, C_b=0.1)
    assert found.statement("K").first == ww.derive(found.subject, "K", samples=1).first
    step = ww.compile(found)
    assert step({"K": 1.0, "Theta": 0.0}, lambda_W=1.0, lambda_b=0.0)["K"] == pytest.approx(1.1)
    assert pickle.loads(pickle.dumps(found)) == found


def test_derivatives_by_name():
    equation = ww.derive(ww.MLP(), "Theta", samples=1).equation
    assert equation.diff("Theta") == equation.rhs.diff(ww.symbols.Theta) != 0
    assert equation.diff("K", 2) == equation.rhs.diff(ww.symbols.K, 2) != 0
    assert equation.diff(sp.Symbol("C_W")) == equation.rhs.diff(C_W) != 0
    with pytest.raises(UnknownName, match="symbol='V' is not known"):
        equation.diff("V")


def test_letters_of_depth_laws_and_training_are_found_by_name():
    law = ww.asymptotics("tanh", ("K", "Theta"))["K"]
    assert law.series.subs({"ell": 10, "ell_0": 1}).is_number
    assert ww.derive(FLOW).subs("gamma_0", 2) != ww.derive(FLOW)


def test_restrict_is_the_same_for_every_subject():
    """As many equations as are asked for, in the order of the system; code takes what they need from behind."""
    for net in (ww.MLP("tanh"), ww.MLP("tanh", residual=0.5, depth=3)):
        system = ww.derive(net, samples=1)
        found = system.restrict(("V", "K"))
        assert tuple(found) == tuple(found.system) == tuple(found.depends_on) == ("K", "V")
        assert set(found.names) == {"K", "V"}
        assert system.restrict("V").equation == system["V"]
        assert "Theta" not in found
        with pytest.raises(UnknownName):
            found.restrict("Theta")
        assert str(found).startswith("K")
    code = ww.compile(ww.derive(ww.MLP("relu", depth=4, residual=0.5), samples=1).restrict("V"))
    assert "V" in code.names


def test_entries_are_substituted_where_they_stand_as_factors():
    assert V.subs("V", 0).equation.rhs == V.law.born
    assert V.subs("V", 0).law.inherited == ()
    two = ww.derive(ww.MLP(), "Theta")
    assert two.subs("Theta_12", 3).equation.rhs.coeff(3 * C_W) != 0
    assert two.equation.rhs.subs("Theta_12", 3) == two.subs("Theta_12", 3).equation.rhs


@pytest.mark.parametrize(
    "make",
    [
        lambda: ww.derive(FLOW),
        lambda: ww.derive(ww.MLP("tanh", depth=4, residual=0.5), "V"),
        lambda: ww.derive(ww.MLP(), samples=1),
    ],
    ids=["training", "skips", "network"],
)
def test_every_subject_has_symbols_and_takes_them(make):
    found = make()
    assert len(found.symbols) > 4
    for name, letter in list(found.symbols.items())[:6]:
        assert str(letter) == name
        assert found.symbols[name] == letter
    with pytest.raises(UnknownName, match="symbol='nothing' is not known"):
        found.subs("nothing", 1)
    name = (
        "C_W[ell + 1]"
        if "C_W[ell + 1]" in found.symbols
        else "C_W"
        if "C_W" in found.symbols
        else next(iter(found.symbols))
    )
    assert found.subs(name, 7) != found


def test_a_parameter_equals_a_symbol_with_its_assumptions():
    plain = sp.Symbol("C_W", nonnegative=True)
    assert plain == C_W
    assert not plain != C_W  # noqa: SIM202  the other way round
    assert {C_W: 1}[plain] == 1
    assert C_W * plain == plain**2
    assert sp.diff(C_W**2, plain) == 2 * C_W
    assert sp.Symbol("C_W") != C_W
    assert pickle.loads(pickle.dumps(C_W)) == C_W


@pytest.mark.quick
def test_all_symbols_have_a_meaning_and_a_name_that_completes():
    for name, letter in ww.symbols.items():
        assert str(letter) == name
        assert ww.symbols.meaning(name)
        assert getattr(ww.symbols, name) == ww.symbols[name]
        assert name in dir(ww.symbols)
        assert f"<code>{name}</code></td><td>${tex(letter)}$" in ww.symbols._repr_html_()
    assert {s.name for s in MEANINGS} | set(TENSORS) == set(ww.symbols)
    assert "n_l/n_(l-1)" in ww.symbols.meaning("rho")
    assert V.symbols.K == ww.symbols.K
    assert "kernel at infinite width" in str(V.symbols)
    with pytest.raises(UnknownName, match="did you mean 'C_W'"):
        _ = ww.symbols.C_w


@pytest.mark.parametrize("row", TENSORS.values(), ids=lambda row: row.name)
@pytest.mark.parametrize("labels", ["12345678", ["a1", "b2", "c3", "d4", "e5", "f6", "g7", "h8"], "11223344"], ids=str)
def test_text_and_latex_write_indices_in_the_order_of_the_book(row, labels):
    """One pattern, and the text is a name by which the entry is found."""
    entry = row.entry(tuple(labels[: row.rank]))
    digits = [int(c) for c in row.print_order if c.isdigit()]
    order = [entry.labels[i] for i in digits]
    assert re.findall(r"[a-h]?\d", str(entry).partition("_")[2]) == order
    assert re.findall(r"\\alpha_\{(\d)\}|([a-h])_\{\d\}", sp.latex(entry).rpartition("^")[2].partition("_")[2])
    assert str(entry).count("(") == row.print_order.count("(") == sp.latex(entry).rpartition(")}_")[2].count("(")
    assert ww.symbols[str(entry)] == entry
    assert ww.symbols[f"{row.name}[{','.join(labels[: row.rank])}]"] == entry
    assert ww.symbols[str(row.entry(tuple(labels[: row.rank]), 1))].shift == 1


def test_indices_of_the_book():
    """F_1324 pairs z_1 with index 3 of the NTK, z_2 with 4: F[1,2,3,4] of the arrays."""
    assert str(Entry("F", tuple("1234"))) == "F_1324"
    assert str(Entry("V", tuple("1234"))) == "V_(12)(34)"
    assert str(Entry("U", tuple("abcd"))) == "U_adbc"
    assert str(Entry("K", ("cat", "dog"))) == "K_{cat,dog}"


@pytest.mark.parametrize(
    ("label", "tex"),
    [
        ("$", r"\text{\$}"),
        ("a b", r"\text{a b}"),
        ("x_1", "x_{1}"),
        ("a_b_c", r"\text{a\_b\_c}"),
        ("beta", r"\beta"),
        ("7", r"\alpha_{7}"),
        ("%", r"\text{\%}"),
        ("q", "q"),
    ],
)
def test_labels_of_any_signs_are_latex(label, tex):
    assert label_latex(label) == tex
    text = ww.derive(ww.MLP(), "K", samples=(label, "b")).latex(steps=True)
    assert tex in text
    assert text.replace(r"\$", "").count("$") % 2 == 0
    assert escaped("50%_#") == r"50\%\_\#"


@pytest.mark.parametrize("labels", [("a,b", "c"), ("[", "c"), ("a\n", "b"), ("'", "b")])
def test_labels_that_cannot_be_read_are_refused(labels):
    with pytest.raises(InvalidArgument, match="with which an index cannot be read; allowed: letters"):
        ww.derive(ww.MLP(), "K", samples=labels)


def test_the_page_holds_every_symbol_with_its_meaning():
    page = (Path(__file__).parents[3] / "docs" / "symbols.md").read_text(encoding="utf-8")
    for name in ww.symbols:
        assert f"| `{name}` | ${tex(ww.symbols[name])}$ | {ww.symbols.meaning(name)} |" in page


def test_a_symbol_of_the_user_that_is_equal_meets_the_parameter_in_sums():
    """Equal symbols are ordered alike, so that terms cancel whatever stands beside them."""
    K = Entry("K", ("", ""))
    for parameter in (C_W, ell, gamma_0):
        own = sp.Symbol(parameter.name, **parameter._assumptions_orig)
        assert own == parameter
        assert sp.expand(4 * own**2 * K**2 * sp.Symbol("a") - 4 * parameter**2 * K**2 * sp.Symbol("a")) == 0
        assert sp.Add(*(own**2 * K**2, -(parameter**2) * K**2)) == 0
