"""Formulas read, measured and broken: nothing is lost, every line fits, and what is rewritten has the same value."""

from __future__ import annotations

import math
import re
from functools import cache

import pytest
from typeset import needs_latex, overfull, widths

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.language.latex import display
from widthwise.theory.typesetting.boxes import Box, Boxes, Fence, Fraction, MathClass, Root, Scripts
from widthwise.theory.typesetting.breaking import lines, terms
from widthwise.theory.typesetting.environments import Display, layout, rows, written
from widthwise.theory.typesetting.plain import formula, prose
from widthwise.theory.typesetting.reading import read

WRITTEN = (
    r"\frac{1}{n_{\ell}}\sum_j C_{W}\,\sigma^{2} + C_{b}",
    r"\left\langle \left(\sigma'\right)^{2} \right\rangle - \tfrac{3}{4}\,\operatorname{erf}^{2}{\left(\frac{x}{2} \right)}",
    r"\int_0^t\! ds\, \sum_{\alpha} \left[A^{\ell - 1}_{\mu \alpha}(t,s) + \Delta_{\alpha}(s)\right]\, g^{\ell}_{\alpha}(s)",
    r"\begin{cases} a & \text{for}\: b < c \\ \sqrt[3]{c} & \text{otherwise} \end{cases}",
    r"\bigl(K^{(\ell)}\bigr)^{2}\,e^{- \frac{K^{2}}{2}} \cdot \left|{x}\right|",
    r"\sum_{\substack{1 \leq j \leq \ell\\1 \leq k \leq \ell}} C_{V}^{(j,k)}",
    r"\lim_{n\to\infty} n_{\ell}\,\mathrm{Cov}\left(q'_{z\,z},\, q'_{z\,z}\right)",
    r"\text{lower orders} (a] b",
)


@cache
def formulas() -> dict[str, Display]:
    """Long and short right-hand sides: closed forms of smooth and kinked activations, tensors, training, skips."""
    found = {}
    for name in ("gelu", "relu", "gabor", "erf"):
        net = ww.MLP(name, C_W=1.5)
        for quantity, samples in (("Theta", None), ("V", 1), ("K1", 1)):
            law = ww.derive(net, quantity, samples=samples).specialize().recursion
            found[f"{name} {quantity}"] = display(law.left, law.terms)
    for quantity in ("V", "B", "P"):
        law = ww.derive(ww.MLP(), quantity).recursion
        found[quantity] = display(law.left, law.terms)
    for title, equations in (
        ("training", ww.derive(ww.Training(ww.MLP("tanh", depth=3), outputs=2, loss="cross_entropy"))),
        ("skips", ww.derive(ww.MLP("tanh", depth=4, residual=0.5), "F")),
    ):
        found |= {f"{title} {d.name}": d for d in equations.displays}
    return found


@pytest.mark.quick
@pytest.mark.parametrize("text", WRITTEN)
def test_a_formula_is_read_as_it_was_written(text):
    assert read(text).text == text.replace("{\\left", "\\left").replace("\\right)}", "\\right)")
    assert read(text).width() > 0


@pytest.mark.quick
@pytest.mark.parametrize("width", [150.0, 229.0, 345.0])
def test_every_line_fits(width):
    for name, found in formulas().items():
        for i, line in enumerate(lines(found.right, 20.0, width)):
            used = read(line).width() + (10.0 if i else 20.0)
            assert used <= width + 0.01, (name, line)
            assert line.count(r"\left") == line.count(r"\right"), (name, line)


@pytest.mark.parametrize("width", [150.0, 345.0, 1e5])
def test_broken_formulas_have_the_value_of_the_whole(width):
    """Prefactors for fractions, powers for roots, exp for exponents, signs of multiplication at the ends of lines."""
    for name, found in formulas().items():
        whole, broken = read(found.right), read(" ".join(lines(found.right, 20.0, width)).replace(r"\quad", ""))
        assert value(broken) == pytest.approx(value(whole), rel=1e-9), name


def test_a_wrong_break_has_another_value():
    """The negative control: brackets, a sign or a power less."""
    whole = value(read(r"C\,\left(K + \frac{1}{2}\right)^{2} - K"))
    for wrong in (
        r"C\,K + \frac{1}{2} - K",
        r"C\,\left(K + \frac{1}{2}\right) - K",
        r"C\,\left(K + \frac{1}{2}\right)^{2} + K",
    ):
        assert value(read(wrong)) != pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (r"\frac{a_{1} + %s}{2}", [r"\frac{1}{2}", r"\bigl(", r"\bigr)"]),
        (r"\sqrt{a_{1} + %s}", [r"\bigl(", r"\bigr)^{1/2}"]),
        (r"e^{a_{1} + %s}", [r"\exp", r"\bigl(", r"\bigr)"]),
        (r"\frac{x}{a_{1} + %s}", [r"\bigr)^{-1}"]),
        (r"\left\langle a_{1} + %s \right\rangle^{2}", [r"\bigl\langle", r"\bigr\rangle^{2}"]),
        (r"\frac{x}{\sqrt{a_{1} + %s}}", [r"\bigr)^{-1/2}"]),
    ],
)
def test_what_no_line_can_hold_is_opened(text, pieces):
    long = " + ".join(rf"a_{{{i}}}\,b_{{{i}}}" for i in range(2, 30))
    found = lines(text % long, 0.0, 200.0)
    assert len(found) > 2
    for piece in pieces:
        assert any(piece in line for line in found), piece


def test_products_go_on_with_a_sign_of_multiplication():
    product = r"\,".join(f"x_{{{i}}}" for i in range(40))
    first, *more = lines(product, 0.0, 150.0)
    assert not first.startswith(r"\times")
    assert all(line.removeprefix(r"\quad").strip().startswith(r"\times x_") for line in more)


def test_wide_left_sides_stand_at_the_margin_or_are_broken():
    short, long = Display("V", "a + b"), Display("M_{" + "x" * 12 + "}", "a + b")
    assert rows([short], 300.0) == [["V &= a + b"]]
    assert rows([short, long], 150.0)[0] == ["&V = a + b"]
    wide = Display(" + ".join(f"x_{{{i}}}" for i in range(20)), "a")
    assert len(rows([wide], 150.0)[0]) > 2


@pytest.mark.quick
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "\\begin{align}\nV &= a \\label{eq:V}\n\\end{align}"),
        (
            {"environment": "split"},
            "\\begin{equation}\\label{eq:V}\n\\begin{split}\nV &= a\n\\end{split}\n\\end{equation}",
        ),
        ({"environment": "multline"}, "\\begin{equation}\\label{eq:V}\nV = a\n\\end{equation}"),
        ({"environment": "align*", "labels": None}, "\\begin{align*}\nV &= a\n\\end{align*}"),
        ({"environment": "multline*", "labels": None}, "\\begin{equation*}\nV = a\n\\end{equation*}"),
        ({"environment": "aligned", "labels": None}, "\\begin{aligned}\nV &= a\n\\end{aligned}"),
    ],
)
def test_environments_and_labels(asked, found):
    assert written([Display("V", "a", "V")], layout(**{"labels": "eq:", **asked})) == found


def test_an_equation_of_several_lines_has_one_number():
    long = " + ".join(f"x_{{{i}}}" for i in range(60))
    text = written([Display("V", long, "V"), Display("K", "1", "K")], layout(labels="eq:"))
    *first, last = text.splitlines()[1:-1]
    assert [r"\nonumber" in row for row in first] == [True] * (len(first) - 1) + [False]
    assert r"\label{eq:V}" in first[-1]
    assert last == r"K &= 1 \label{eq:K}"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"width": 20}, "width=20; allowed: points from 120, or one of article"),
        ({"width": "a4"}, "width='a4'; allowed: points"),
        ({"width": True}, "width=True; allowed"),
        ({"environment": "eqnarray"}, "environment='eqnarray'; allowed: align"),
        ({"labels": "e q"}, "labels='e q'; allowed: None"),
        ({"labels": "eq:", "environment": "align*"}, "has no numbers; allowed: align, multline, split"),
    ],
)
def test_a_wrong_layout_says_what_is_allowed(asked, told):
    with pytest.raises(InvalidArgument, match=re.escape(told)):
        layout(**asked)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"$\langle f_Af_B\rangle-\langle f_A\rangle\langle f_B\rangle$", "<f_A f_B>-<f_A><f_B>"),
        (r"$p\to p+\sum_r s_r\sqrt\lambda\,\epsilon^r$ so", "p->p+sum_r s_r sqrt(lambda) eps^r so"),
        (r"of $\xi^{(\ell+1)}=b+W\sigma(z^{(\ell)})$", "of xi^(l+1)=b+W sigma(z^(l))"),
        (r"like $N^{-1/2}$", "like N^(-1/2)"),
        (r"the covariance $q'_{xy}$", "the covariance q'_xy"),
    ],
)
def test_sentences_read_in_a_terminal(text, plain):
    assert prose(text).replace(" ", "") == plain.replace(" ", "")
    assert "\\" not in prose(text)
    assert "$" not in prose(text)


def test_names_do_not_run_together():
    assert formula(r"\lambda\sigma") == "lambda sigma"
    assert formula("xy") == "xy"


# TeX's own widths


@needs_latex
def test_no_width_is_underestimated(tmp_path):
    """Sign by sign as the fonts have them: not below what TeX sets, and a fifth above it at most."""
    texts = [part for d in formulas().values() for part in (d.left, d.right)]
    texts += [text for text in WRITTEN if "]" not in text or "sqrt" in text]
    for text, width in zip(texts, widths(tmp_path, texts), strict=True):
        assert 0.999 * width <= read(text).width() <= 1.2 * width + 4, text


@needs_latex
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("environment", ["align", "multline", "split"])
def test_nothing_overflows(tmp_path, columns, environment):
    how = layout("twocolumn" if columns == 2 else "article", environment)
    short = {name: written([d], how) for name, d in formulas().items() if "gabor" not in name}
    assert overfull(tmp_path, short, columns=columns) == []


@needs_latex
def test_an_overflow_is_seen(tmp_path):
    """The negative control: lines as wide as a page, in two columns."""
    parts = {"V": written([formulas()["V"]], layout("page"))}
    assert len(overfull(tmp_path, parts, columns=2)) == 1


# The value of a formula whose letters are numbers


def value(row: Boxes) -> float:
    """The value of a sum; every letter, with its indices, is a number of its own."""
    total = 0.0
    for term in terms(row):
        sign = -1.0 if term.sign is not None and term.sign.text.strip() == "-" else 1.0
        total += sign * _product(term.boxes)
    return total


def _product(boxes: tuple[Box, ...]) -> float:
    found, digits, pending = 1.0, "", None
    for box in boxes:
        text = box.text.strip()
        if text.isdigit():
            digits += text
            continue
        found, digits = found * float(digits or 1), ""
        if box.kind in (MathClass.SPACE, MathClass.FACTOR):
            continue
        if box.kind is MathClass.OPERATOR:
            pending = text
            continue
        inside = _factor(box)
        found, pending = found * (inside if pending is None else _applied(pending, inside)), None
    return found * float(digits or 1) * (1.0 if pending is None else _letter(pending))


def _factor(box: Box) -> float:
    if isinstance(box, Fraction):
        return value(box.top) / value(box.bottom)
    if isinstance(box, Root):
        return abs(value(box.inside)) ** (1 / (value(box.index) if box.index else 2))
    if isinstance(box, Fence):
        return value(box.inside)
    if isinstance(box, Scripts) and isinstance(box.base, Fence) and box.low is None and box.high is not None:
        inside, power = value(box.base.inside), _power(box.high)
        return inside**power if power == round(power) else abs(inside) ** power
    if isinstance(box, Scripts) and box.base.text.strip() == "e" and box.high is not None:
        return _applied(r"\exp", value(box.high))
    if isinstance(box, Scripts) and box.high is not None and box.high.text.strip().isdigit():
        return _letter(box.base.text + (box.low.text if box.low else "")) ** int(box.high.text)
    return _letter(box.text)


def _power(row: Boxes) -> float:
    sign, _, text = row.text.strip().rpartition("-")
    if "/" in text:
        top, bottom = map(float, text.split("/"))
        return (top / bottom) * (-1 if "-" in row.text and not sign else 1)
    return value(row)


def _applied(function: str, inside: float) -> float:
    return math.exp(math.sin(inside)) if function == r"\exp" else math.sin(inside + _letter(function))


def _letter(text: str) -> float:
    """A number between one and two for a name."""
    name = re.sub(r"[\s{}]|\\(?:big|Big|bigg|Bigg)[lr]|\\left|\\right", "", text)
    return 1.0 + (sum(ord(c) * (i + 7) for i, c in enumerate(name)) % 9973) / 9973
