"""The file that a user saves: its keywords, its header and example, its length; and what ``Compiled`` says of itself."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.numerics.codegen import limits
from widthwise.numerics.codegen.averages import Edge, edge_of, table
from widthwise.numerics.codegen.loading import loaded
from widthwise.numerics.codegen.narrow import COLUMNS, narrowed
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.averages.regularity import prepared
from widthwise.theory.language.errors import InvalidArgument, InvalidCall, MissingTensor, WidthwiseError
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS

KNOWN = {"C_W": 2.0, "C_b": 0.1, "lambda_W": 1.0, "lambda_b": 0.5}
ONE = np.array([[1.0, 0.5]])
STATE = {"K": np.array([[0.5, 0.2], [0.2, 0.4]]), "Theta": np.array([[1.0, 0.3], [0.3, 2.0]])}


def systems() -> dict[str, object]:
    """One of each kind of text: one input, several ones, all layers."""
    skips = ww.MLP("relu", depth=4, residual=0.5, C_W=1.5)
    gamma = sp.Symbol("gamma", real=True)
    return {
        "numbers": ww.derive(ww.MLP("relu", depth=3, **KNOWN), samples=1).restrict(("K", "Theta")),
        "symbols": ww.derive(ww.MLP("relu"), samples=1).restrict(("K", "Theta", "V")),
        "pairs": ww.derive(ww.MLP("relu", C_W=2.0), order=0),
        "pairs by quadrature": ww.derive(ww.MLP("tanh", C_b=0.0), order=0),
        "four samples": ww.derive(ww.MLP("sin", weights="orthogonal")).restrict(("K", "V")),
        "rademacher": ww.derive(ww.MLP("sin", weights="rademacher"), samples=1),
        "open": ww.derive(ww.MLP("erf"), "Theta1"),
        "skips": ww.derive(skips, samples=1).restrict(("K", "V")),
        "symbolic skips": ww.derive(ww.MLP("tanh", depth=4, residual=gamma), order=0),
    }


SYSTEMS = systems()
over_systems = pytest.mark.parametrize("kind", SYSTEMS)


# ------------------------------------------------------------------------------------------------------ keywords


@over_systems
def test_a_function_takes_exactly_the_symbols_of_its_equations(kind):
    """Keyword-only and without defaults; numbers of the network are no arguments."""
    code = ww.compile(SYSTEMS[kind])
    known = set(SYSTEMS[kind].subject.known)
    for name, function in code.namespace.items():
        if name in ("step", "first_layer", "recursion"):
            found = inspect.signature(function).parameters.values()
            keywords = {p.name for p in found if p.kind is p.KEYWORD_ONLY and p.name not in ("n", "steps")}
            assert not any(p.default is not p.empty for p in found if p.name not in ("n", "steps"))
            assert not keywords & {s.name for s in known}
            assert set(code.parameters[name]) == keywords


@pytest.mark.quick
@pytest.mark.parametrize("target", ["numpy", "jax", "torch"])
def test_a_number_of_the_network_is_not_ignored(target):
    """C_W = 5 is not answered with the kernel of C_W = 2."""
    if target != "numpy":
        pytest.importorskip(target)
    code = ww.compile(ww.derive(ww.MLP("relu", **KNOWN), "K"), target=target)
    with pytest.raises(TypeError, match="C_W"):
        code(STATE, C_W=5.0, C_b=0.7)
    with pytest.raises(InvalidCall, match=r"C_W=5.0: recursion has no such argument.*allowed: no keyword"):
        code.recursion(ONE, 4, C_W=5.0)
    with pytest.raises(TypeError, match="C_W"):
        code.namespace["recursion"](ONE, 4, C_W=5.0)


def test_symbols_that_are_left_out_are_asked_for():
    code = ww.compile(ww.derive(ww.MLP("relu", C_W=2), order=0))
    with pytest.raises(InvalidCall, match=r"C_b of recursion.*allowed: values for C_b, lambda_b, lambda_W"):
        code.recursion(ONE, 4, lambda_W=1.0, lambda_b=0.0)
    with pytest.raises(TypeError, match="C_b"):
        code.namespace["first_layer"](ONE, lambda_W=1.0, lambda_b=0.0)
    skips = ww.compile(ww.derive(ww.MLP("relu", depth=4, residual=0.5, C_W=1.5), "K", samples=1))
    with pytest.raises(InvalidCall, match=r"residual=0.3: recursion has no such argument"):
        skips.recursion(ONE, 4, C_b=0.0, residual=0.3)


def test_the_numbers_given_are_those_of_a_network_with_them():
    """Substituted and given, in one input and several: the same numbers, by either way."""
    for samples in (None, 1):
        given = ww.compile(ww.derive(ww.MLP("relu"), "K", samples=samples)).recursion(ONE, 4, C_W=5.0, C_b=0.7)["K"]
        written = ww.compile(ww.derive(ww.MLP("relu", C_W=5, C_b=0.7), "K", samples=samples)).recursion(ONE, 4)["K"]
        assert_allclose(given, written, rtol=1e-14)
        K = 0.7 + 5 * 0.625
        for layer in written:
            assert layer.item() == pytest.approx(K, rel=1e-14)
            K = 0.7 + 5 * K / 2


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, "1.5", None, True, [1.0, np.nan]])
def test_what_is_no_variance_is_refused(value):
    code = ww.compile(ww.derive(ww.MLP("relu", C_b=0), "K"))
    with pytest.raises(WidthwiseError, match=r"C_W=.*allowed: finite real numbers from 0"):
        code({"K": np.eye(2)}, C_W=value)
    with pytest.raises(ValueError, match=r"C_W=.*allowed"):
        code.namespace["recursion"](ONE, 2, C_W=value)


def test_numbers_of_all_layers_are_checked():
    """Those that stand in the equations over all layers alone, and the strengths of skips."""
    gamma = sp.Symbol("gamma", real=True)
    code = ww.compile(ww.derive(ww.MLP("sin", depth=4, residual=gamma, weights="orthogonal"), "V"))
    given = {"C_W": [1.0, 1.2, 0.8, 1.0], "C_b": 0.1, "tau": 1.0, "residual": {(1, 3): 0.5}}
    assert np.isfinite(code.recursion(ONE, 4, **code.arguments("recursion", given))["V"]).all()
    for wrong in ({"tau": np.nan}, {"C_W": [1.0, -1.0, 1.0, 1.0]}, {"residual": {(1, 7): 0.5}}, {"residual": np.nan}):
        with pytest.raises(WidthwiseError, match=rf"(?s){next(iter(wrong))}=.*allowed"):
            code.recursion(ONE, 4, **code.arguments("recursion", given | wrong))


@pytest.mark.parametrize("target", ["jax", "torch"])
@pytest.mark.parametrize("value", [np.nan, -1.0, "1.5"])
def test_what_is_no_variance_is_refused_by_every_target(target, value):
    library = pytest.importorskip(target)
    code = ww.compile(ww.derive(ww.MLP("relu", C_b=0), "K"), target=target)
    before = library.config.read("jax_enable_x64") if target == "jax" else None
    if target == "jax":
        library.config.update("jax_enable_x64", True)
    try:
        with pytest.raises(WidthwiseError, match=r"C_W=.*allowed: finite real numbers from 0"):
            code.first_layer(ONE, C_W=value)
    finally:
        if target == "jax":
            library.config.update("jax_enable_x64", before)


def test_an_excess_kurtosis_may_be_negative():
    code = ww.compile(ww.derive(ww.MLP("sin", weights=ww.independent(0.5)), samples=1))
    assert all("kappa_4" not in p for p in code.parameters.values())  # a number of the network
    code = ww.compile(ww.derive(ww.MLP("sin", weights=["uniform", "rademacher"], depth=2), samples=1))
    assert "kappa_4" in code.parameters["step"]
    given = {"C_W": 1.0, "C_b": 0.1, "lambda_W": 1.0, "lambda_b": 0.5, "kappa_4": -1.2}
    code.first_layer(ONE, **code.arguments("first_layer", given))
    with pytest.raises(WidthwiseError, match=r"kappa_4=-3.*from -2"):
        code.first_layer(ONE, **code.arguments("first_layer", given | {"kappa_4": -3}))


# -------------------------------------------------------------------------------------------- inputs and states


@pytest.mark.parametrize("samples", [None, 1])
@pytest.mark.parametrize("X", [[[np.nan, 1.0]], [["a", "b"]], [[]], 1.0, [[1j, 2.0]]])
def test_inputs_that_are_none_are_refused_in_the_file_itself(X, samples):
    code = ww.compile(ww.derive(ww.MLP("sin", C_W=1, C_b=0), "K", samples=samples))
    with pytest.raises(ValueError, match=r"X.*allowed|axis"):
        code.namespace["recursion"](X, 2)
    with pytest.raises(WidthwiseError):
        code.recursion(X, 2)


def test_several_inputs_are_rows():
    code = ww.compile(ww.derive(ww.MLP("sin", C_W=1, C_b=0), "K"))
    with pytest.raises(WidthwiseError, match=r"X has shape \(2,\); allowed: \(m, n_0\)"):
        code.first_layer([1.0, 2.0])
    for depth in (0, 2.5, "3"):
        with pytest.raises(WidthwiseError, match="depth"):
            code.recursion(ONE, depth)


def test_a_tensor_that_is_missing_is_named():
    code = ww.compile(ww.derive(ww.MLP("sin"), "Theta"))
    with pytest.raises(MissingTensor, match=r"state holds K, and not Theta; allowed:.*K, Theta"):
        code({"K": np.eye(2)}, C_W=1.0, lambda_W=1.0, lambda_b=0.0)
    with pytest.raises(KeyError):
        code({}, C_W=1.0, lambda_W=1.0, lambda_b=0.0)
    with pytest.raises(InvalidArgument, match=r"(?s)state=.*allowed: a mapping"):
        code(np.eye(2), C_W=1.0, lambda_W=1.0, lambda_b=0.0)


def test_a_kernel_is_taken_along():
    """<...> is over z ~ N(0, K): the code of Theta alone gives K as well, and has its recursion."""
    code = ww.compile(ww.derive(ww.MLP("relu", **KNOWN), "Theta"))
    expected = ww.predict(ww.MLP("relu", depth=3, **KNOWN), ONE, "Theta").Theta.values
    assert_allclose(code.recursion(ONE, 3)["Theta"], expected, rtol=1e-14)


def test_what_does_not_close_has_no_recursion():
    code = ww.compile(SYSTEMS["open"])
    assert "recursion" not in code.namespace
    assert "There is no recursion over layers" in code.source
    with pytest.raises(InvalidArgument, match=r"need Theta, V.* of the layer below.*allowed: "):
        code.recursion(ONE, 3)


def test_entries_of_a_tensor_are_refused():
    with pytest.raises(InvalidArgument, match=r"V at samples=\('a', 'a', 'b', 'b'\).*allowed: all of them"):
        ww.compile(ww.derive(ww.MLP("sin"), "V", samples="aabb"))


# ------------------------------------------------------------------------------------------------------- the text


@over_systems
def test_the_example_in_the_header_runs(kind, tmp_path, monkeypatch):
    text = ww.compile(SYSTEMS[kind]).source
    assert max(map(len, text.splitlines())) <= COLUMNS
    said = ast.get_docstring(ast.parse(text))
    assert "Apache-2.0" in said
    assert f"widthwise {ww.__version__}" in said
    assert f"sigma(z) = {SYSTEMS[kind].subject.activation.expr}" in " ".join(said.split())
    example = textwrap.dedent("\n".join(line for line in said[said.index("    from generated") :].splitlines()))
    (tmp_path / "generated.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "generated", raising=False)
    names: dict[str, object] = {}
    *calls, last = example.splitlines()
    while "(" in "".join(calls) and not calls[-1].rstrip().endswith(")"):
        calls, last = calls[:-1], f"{calls[-1]}\n{last}"
    exec("\n".join(calls), names)
    if "layers" in names:
        found, _, shape = last.partition("  # ")
        assert eval(found, names) == ast.literal_eval(shape.partition(":")[0])
    monkeypatch.delitem(sys.modules, "generated", raising=False)


def test_relu_of_one_input_is_read_in_a_minute():
    """K, Theta and V in fewer than 80 lines: no quadrature, no other library."""
    for kind in ("numbers", "symbols"):
        text = ww.compile(SYSTEMS[kind]).source
        assert len(text.splitlines()) < 80
        imported = [ast.unparse(n) for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Import | ast.ImportFrom)]
        assert imported == ["import numpy as np"]
        assert "depth = 3; C_W = 2; C_b = 0.1; lambda_W = 1; lambda_b = 0.5" in text or kind == "symbols"


@pytest.mark.parametrize("name", ["relu", "abs", "leaky_relu", "rectified(2)"])
def test_pairs_of_kinked_activations_need_no_quadrature(name):
    """Parallel, antiparallel and zero inputs from the limits of the closed forms, as predict has them."""
    X = np.array([[1.0, 0.5], [2.0, 1.0], [-3.0, -1.5], [0.0, 0.0], [1.0, 0.5], [0.2, -1.0]])
    code = ww.compile(ww.derive(ww.MLP(name, C_W=1.5, C_b=0.0, lambda_W=1.0, lambda_b=0.5), order=0))
    assert "gaussian_averages" not in code.source
    assert len(code.source.splitlines()) < 190
    state = {"K": X @ X.T / 2, "Theta": X @ X.T / 2 + 1}
    found = code(state)
    activation = ww.MLP(name).activation
    functions = [sp.lambdify(z, activation.derivative(k), "numpy") for k in range(2)]
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    for i, j in [(0, 0), (0, 1), (0, 2), (0, 3), (3, 3), (0, 4), (1, 2)]:
        s, t = np.sqrt(state["K"][i, i]), np.sign(state["K"][i, j]) * np.sqrt(state["K"][j, j])
        u = nodes  # on one line, and the kink at its middle, where no node of an even rule lies
        f, g = ([np.broadcast_to(h(a * u), u.shape) for h in functions] for a in (s, t))
        ss, slopes = (float(weights @ (x * y)) for x, y in zip(f, g, strict=True))
        assert found["K"][i, j] == pytest.approx(1.5 * ss, rel=1e-12, abs=1e-14)
        assert found["Theta"][i, j] == pytest.approx(0.5 + ss + 1.5 * slopes * state["Theta"][i, j], rel=1e-12)
    assert found["average_error"] < 1e-14


@pytest.mark.parametrize("name", ["relu", "sin"])
def test_blocks_of_pairs_are_the_pairs(name):
    """More inputs than a block holds, equal, parallel and zero ones among them: the last layer alone is that of all layers."""
    X = np.random.default_rng(1).normal(size=(450, 3))
    X[70], X[430], X[9] = X[3], -2 * X[3], 0
    given = {"C_W": 1.7, "C_b": 0.0, "lambda_W": 1.0, "lambda_b": 0.5}
    code = ww.compile(ww.derive(ww.MLP(name), order=0))
    found, every = code.last_layer(X, 3, **given), code.recursion(X, 3, **given)
    some = [0, 3, 9, 70, 430, 449]
    expected = ww.predict(ww.MLP(name, depth=3, **given), X[some], ("K", "Theta"))
    for q in ("K", "Theta"):
        assert np.array_equal(found[q], found[q].T)
        assert_allclose(found[q], every[q][-1], rtol=1e-13, atol=1e-15)
        assert_allclose(found[q][np.ix_(some, some)], expected[q].values[-1], rtol=1e-12, atol=1e-14)
    assert found["average_error"] <= every["average_error"].max() < 1e-13


def test_pairs_that_are_all_parallel_have_no_error():
    X = np.array([[1.0, 2.0, 2.0], [0.5, 1.0, 1.0], [-2.0, -4.0, -4.0], [0.0, 0.0, 0.0]])
    found = ww.compile(ww.derive(ww.MLP("relu", C_W=2, C_b=0), "K")).last_layer(X, 2)
    assert found["average_error"] == 0.0
    assert_allclose(found["K"], 2 / 3 * np.maximum(X @ X.T, 0.0), rtol=1e-14)


def test_a_tensor_without_symmetry_is_taken_as_it_is():
    """Theta of any matrix, entry by entry: the shortcut of symmetric tensors is not taken."""
    code = ww.compile(ww.derive(ww.MLP("relu", C_W=1.5, C_b=0.0, lambda_W=0.0, lambda_b=0.0), order=0))
    X = np.random.default_rng(1).normal(size=(70, 3))
    K, Theta = X @ X.T / 3, np.random.default_rng(2).normal(size=(70, 70))
    found, ones = code({"K": K, "Theta": Theta})["Theta"], code({"K": K, "Theta": np.ones((70, 70))})["Theta"]
    assert_allclose(found, ones * Theta, rtol=1e-13, atol=1e-15)


def test_the_last_layer_of_any_other_code_is_that_of_its_recursion():
    code = ww.compile(SYSTEMS["symbols"])
    given = code.arguments("recursion", KNOWN)
    assert code.last_layer(ONE, 3, **given)["V"] == code.recursion(ONE, 3, **given)["V"][-1]


def test_a_limit_that_differs_is_no_limit():
    """The negative control: a form that is off at antiparallel samples goes to quadrature."""
    correlation = sp.Symbol("correlation", real=True)
    relu = ww.MLP("relu").activation
    right = sp.Rational(1, 4) + sp.asin(correlation) / (2 * sp.pi)
    assert limits.has_limits(right, relu, (1,), (1,))
    assert not limits.has_limits(right + (1 - correlation) / 1000, relu, (1,), (1,))
    assert not limits.has_limits(right / (1 - correlation**2), relu, (1,), (1,))


def test_averages_with_inverse_powers_of_the_angle_stay_with_quadrature():
    relu = ww.MLP("relu").activation
    found = {t.name: edge_of(t, relu) for t in tables_of("relu", "K1") if t.closed is not None}
    assert Edge.OPERATORS in found.values()


def tables_of(name: str, quantity: str):
    derivation = ww.derive(ww.MLP(name), quantity).one
    activation = ww.MLP(name).activation
    nodes = prepared(derivation.law.right, activation).atoms(Average)
    return [table(node, activation, 4, "numpy") for node in nodes]


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if a.kinks], ids=lambda a: a.name)
def test_at_zero_an_average_is_the_integrand(activation):
    """Where z = 0, sigma and its slope are those of its own case at zero."""
    assert float(limits.without_variance(activation, (0, 0), 0)) == pytest.approx(float(activation(sp.S.Zero)) ** 2)
    assert limits.without_variance(activation, (0, 0), 2) == 0


def test_narrowed_text_is_the_same_program():
    long = "def f(a, b):\n    return " + " + ".join(f"a[{k}]*b**{k}*(a[0] - b)" for k in range(30)) + "\n"
    long += '\n\ndef g(x):\n    raise ValueError(f"' + "a word {x!r:.80} " * 12 + '")\n'
    long += '\n\nTABLE = {\n    "name": (' + "1.5, " * 30 + "2.0),  # a comment behind it\n}\n"
    short = narrowed(long)
    assert max(map(len, short.splitlines())) <= COLUMNS
    assert ast.dump(ast.parse(short)) == ast.dump(ast.parse(long))
    assert narrowed("x = 1\n") == "x = 1\n"


# ------------------------------------------------------------------------------------------------------ the object


def test_the_object_is_one_line_and_folds_its_text():
    code = ww.compile(SYSTEMS["pairs by quadrature"])
    assert repr(code).startswith("<Compiled K, Theta of tanh for several inputs, target 'numpy', ")
    assert len(repr(code)) < 120
    page = code._repr_html_()
    assert page.startswith("<details><summary>&lt;Compiled K, Theta of tanh")
    assert "&lt;sigma_a*sigma_b&gt;" in page
    assert "<sigma" not in page


def test_code_of_training_says_where_it_comes_from():
    code = ww.compile(ww.derive(ww.Training(ww.MLP("tanh", depth=3), gamma=1.0, learning_rate=0.03)))
    assert f"widthwise {ww.__version__}; runs with NumPy alone. Licence: Apache-2.0." in code.source
    assert max(map(len, code.source.splitlines())) <= COLUMNS


def test_texts_of_networks_load_as_they_are():
    text = ww.compile(SYSTEMS["numbers"]).source
    assert_allclose(loaded(text).namespace["recursion"](ONE, 3)["K"][:, 0], [1.35, 1.45, 1.55], rtol=1e-14)
