"""Text becomes a function, exactly, in one reader; any other text is an error of the package, and quickly."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import widthwise as ww
from widthwise.theory.averages.reading import read_integrand
from widthwise.theory.language.errors import InvalidArgument, UnknownName, WidthwiseError
from widthwise.theory.language.reading import FUNCTIONS, Language, read_number
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS, activation
from widthwise.theory.training.losses import as_loss

x, a, b = sp.symbols("x a b", real=True)
FREE = Language("text", "a formula")

MEANINGS = {
    "tanh(x)+x/2": sp.tanh(x) + x / 2,
    "0.1*x": x / 10,
    "1e-3 + .5*x": sp.Rational(1, 1000) + x / 2,
    "1_000*x": 1000 * x,
    "x^2": x**2,
    "-x**2": -(x**2),
    "2**-x": 2**-x,
    "x - 1 - 2 - 3": x - 6,
    "x/2/3": x / 6,
    "Max(x, 0)**3": sp.Max(x, 0) ** 3,
    "x if x > 0 else 0.1*x": sp.Piecewise((x, x > 0), (x / 10, True)),
    "where(x > 0, x, exp(x) - 1)": sp.Piecewise((x, x > 0), (sp.exp(x) - 1, True)),
    "Piecewise((x, x > 0), (0, True))": sp.Piecewise((x, x > 0), (0, True)),
    "where((x > -1) & (x < 1), x, sign(x))": sp.Piecewise((x, (x > -1) & (x < 1)), (sp.sign(x), True)),
    "arctan(pi*x) + ln(E)": sp.atan(sp.pi * x) + 1,
    "abs(a)*b": sp.Abs(a) * b,
    "+".join(["x"] * 400): 400 * x,
}


@pytest.mark.quick
@pytest.mark.parametrize("text", MEANINGS, ids=lambda t: t[:40])
def test_a_text_means_what_it_says(text):
    assert sp.simplify(FREE.read(text) - MEANINGS[text]) == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_a_text_is_one_of_sympy(name):
    body = {"Piecewise": "Piecewise((x, x > 1), (2, True))", "where": "where(x > 1, x, 2)"}.get(name, f"{name}(x)")
    assert FREE.read(body).free_symbols == {x}


def test_text_and_expression_are_one_network():
    assert ww.MLP("tanh(x)+x/2").activation == ww.MLP(sp.tanh(x) + x / 2).activation
    assert sp.expand(ww.MLP("x*sigmoid(1.5*x)").activation.pieces - activation("swish(1.5)").pieces) == 0
    slope = activation("relu(x) + leaky_relu(0.2)(x)").derivative(1)
    assert [slope.subs(z, at) for at in (-1, 1)] == [sp.Rational(1, 5), 2]
    assert activation("tanh'(x)").expr == 1 - sp.tanh(z) ** 2
    assert sp.simplify((as_loss("softplus(-y*f)").errors(1)[0] - as_loss("logistic").errors(1)[0]).rewrite(sp.exp)) == 0


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: act.name)
def test_a_registered_activation_in_a_text_is_that_activation(act):
    assert sp.simplify(activation(f"{act.name}(x) + x/7").expr - act.expr - z / 7) == 0


#: Texts that are no functions, and what the error says.
WRONG = {
    "__import__('os').getcwd()": "cannot be read",
    "().__class__": "cannot be read",
    "x.real + x": "no part of a formula",
    "np.tanh(x)": "write tanh instead of np.tanh",
    "(lambda: x)()": "cannot be read",
    "[x for x in x]": "cannot be read",
    "x := 2": "cannot be read",
    'f"{x}"': "cannot be read",
    "x @ x": "cannot be read",
    "x % 2": "it holds '%'",
    "x // 2": "no part of a formula",
    "x == 2": "cannot be read",
    "x > 2": "a condition and no function",
    "x + (x > 2)": "is no number",
    "where(x, x, x)": "is no condition",
    "tanh(x, x)": "takes 1 arguments, not 2",
    "tanh(x=x)": "cannot be read",
    "tanh + x": r"allowed: tanh\(a\)",
    "relu''(x) + x": "delta function",
    "1/0 + x": "divides by zero",
    "x/(x - x)": "divides by zero",
    "sqrt(-1)*x": "not real",
    "log(0)*x": "not real and finite",
    "1j*x": "holds 1j",
    "oo*x": "no real variable",
    "9**9**9**9 + x": "power above",
    "9**9**9": "power above",
    "x**(10**6)": "power above",
    "((x**999)**999)": "power above",
    "exp(exp(exp(9)))*x": "a number beyond",
    "1e999999999*x": "a number beyond",
    "1e-999999999*x": "a number beyond",
    "3.3**900*3.3**900*x": "too many digits",
    "9" * 5000: "longer than",
    "9" * 1500 + "*x": "too many digits|beyond",
    "(" * 150 + "x" + ")" * 150: "",
    "-" * 1500 + "x": "nested",
    "sin(" * 60 + "x" + ")" * 60: "nested",
    "x\0": "cannot be read",
    "": "cannot be read",
    "x; x": "cannot be read",
    "x\nx": "cannot be read",
    "x)(x": "cannot be read",
    "\ud800": "cannot be read",
}  # fmt: skip


@pytest.mark.quick
@pytest.mark.parametrize("text", WRONG, ids=lambda t: ascii(t[:24]))
def test_a_wrong_text_is_refused_at_once_with_the_reason(text):
    start = time.perf_counter()
    language = Language("text", "a formula", named=activation_names, names=("relu",))
    if text.startswith("(((("):
        assert language.read(text) == x
        return
    with pytest.raises(InvalidArgument, match=WRONG[text]):
        language.read(text)
    assert time.perf_counter() - start < 2


def activation_names(name, parameter, primes):
    """Those of activations."""
    from widthwise.theory.networks.activations import named

    return named(name, parameter, primes)


def test_an_unknown_function_is_told_the_nearest():
    for read in (FREE.read, activation, as_loss, read_integrand, ww.gaussian_average):
        with pytest.raises(UnknownName, match="did you mean 'tanh'"):
            read("tanhh(f) + f")
    with pytest.raises(InvalidArgument, match="no function of f and y: it holds 'q'"):
        as_loss("f*q")


def test_numbers_are_exact_and_bounded():
    assert read_number("K", " 1/3 ") == sp.Rational(1, 3)
    assert read_number("K", "-2.5e-1") == -sp.Rational(1, 4)
    for wrong in ("1/0", "1e99999999", "one", "", "1/3/4", "2**9", "9" * 3000):
        with pytest.raises(InvalidArgument, match=r"K=.*allowed: a number"):
            read_number("K", wrong)


SIGNS = re.split(
    " ", """( ) (( )) , + - * ** ^ / // < > <= == & | ~ ' " . = [ ] { } @ % ; : # \\ é ∞ ½ if else and not lambda"""
)
WORDS = re.split(" ", "relu swish(2) sigma x y f a _ I E pi oo nan True 0 1 2.5 1e400 .5 9 1/3")
TOKENS = st.sampled_from([*FUNCTIONS, *WORDS, *SIGNS, " ", "\n", "\0"])
TEXTS = st.one_of(st.lists(TOKENS, max_size=12).map("".join), st.text(max_size=30))
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@FUZZ
@given(TEXTS)
def test_any_text_is_read_or_refused(text):
    for read in (FREE.read, lambda t: read_number("K", t), read_integrand):
        with suppress(WidthwiseError):
            read(text)


ATOMS = st.sampled_from(["x", "2", "0.5", "1/3", "pi", "3"])


def _grown(inner):
    one = st.sampled_from(
        [f for f in FUNCTIONS if f not in ("Piecewise", "where")] + ["relu", "swish(2)", "gelu", "relu'"]
    )
    return st.one_of(
        st.builds("{}({})".format, one, inner),
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner),
        st.builds("where({} > {}, {}, {})".format, inner, inner, inner, inner),
    )


FORMULAS = st.recursive(ATOMS, _grown, max_leaves=5)


@settings(FUZZ, max_examples=60)
@given(FORMULAS)
def test_any_formula_is_an_activation_or_refused(text):
    with suppress(WidthwiseError):
        found = activation(text)
        assert found.derivative(1) is not None
        assert found.broken is None or found.kinks


@settings(FUZZ, max_examples=60)
@given(
    FORMULAS.map(
        lambda t: t.replace("x", "f").replace("maf", "max").replace("Maf", "Max").replace("ef", "ex") + "*(f - y)**2"
    )
)
def test_any_formula_is_a_loss_or_refused(text):
    with suppress(WidthwiseError):
        as_loss(text).errors(2)
