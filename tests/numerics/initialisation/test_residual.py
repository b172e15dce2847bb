"""Networks with skips: what ``derive`` prints and ``compile`` writes is what ``predict`` computes, at any depth."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

import widthwise as ww
from widthwise.theory.initialisation.derivation import recursions
from widthwise.theory.language.errors import InvalidArgument, NotAvailable

X = np.ones((1, 4))
ONE = np.array([[1.0, 0.3, -0.8, 1.2]])
RATES = {"lambda_W": 1.0, "lambda_b": 0.5}
TENSORS = tuple("VDFABPQRSTU")
gamma = sp.Symbol("gamma", real=True)
RELU = ww.MLP("relu", depth=4, C_W=1.5, C_b=0, residual=0.5, lambda_W=1, lambda_b=0)


def test_generated_code_of_a_residual_network_gives_what_predict_gives():
    """V of layer 4 is 32.39, not the 24.05 of the map of one layer iterated: neurons remember."""
    expected = ww.predict(RELU, X, ("K", "V"))
    code = ww.compile(ww.derive(ww.MLP("relu", depth=4, residual=0.5), samples=1).restrict(("K", "V")))
    found = code.recursion(X, 4, C_W=1.5, C_b=0.0)
    assert_allclose(found["V"].ravel(), expected.V.values.ravel(), rtol=1e-13)
    assert_allclose(found["K"].ravel(), expected.K.values.ravel(), rtol=1e-13)
    assert found["V"][-1] == pytest.approx(32.393, abs=1e-3)
    # the negative control: the map of a single layer
    one = ww.compile(recursions(ww.MLP("relu"), samples=1, layer=ww.residual(0.5)).restrict(("K", "V")))
    wrong = one.recursion(X, 4, C_W=1.5, C_b=0.0)
    assert_allclose(wrong["V"][:2], found["V"][:2], rtol=1e-12)
    assert wrong["V"][-1] == pytest.approx(24.05, abs=0.01)


@pytest.mark.slow
def test_literal_networks_measure_what_generated_code_gives():
    """The theory of all layers passes, that of one layer fails, by more than the resolution of the networks."""
    options = {"widths": (32, 64, 128), "networks": 20_000, "seed": 5, "quantities": ("K", "V"), "alpha": 1e-3}
    report = ww.validate(RELU, X, equations=ww.derive(RELU), **options)
    assert report.passed, str(report)
    last = report.table.query("quantity == 'V' and layer == 4").iloc[0]
    assert abs(last.measured - 24.05) > 5 * last.standard_error


CASES = {
    "relu": ("relu", 0.7, ("V", "D", "F", "A", "B")),
    "tanh": ("tanh", (0.8, 0.3, -0.2, 0.1), TENSORS),
    "several": ("sin", {(1, 2): -0.6, (1, 4): 0.5, (2, 3): 0.8, (3, 5): 0.3}, TENSORS),
}


@pytest.mark.parametrize("case", CASES)
def test_a_symbolic_strength_is_put_in_when_the_code_runs(case):
    activation, residual, names = CASES[case]
    hyper = {"C_W": (1.2, 0.8, 1.0, 1.1, 0.9), "C_b": 0.1, "lambda_W": (1.0, 0.5, 2.0, 0.7, 1.0), "lambda_b": 0.2}
    expected = ww.predict(ww.MLP(activation, depth=5, residual=residual, **hyper), ONE, ("K", "Theta", *names))
    system = ww.derive(ww.MLP(activation, depth=5, residual=gamma), samples=1).restrict(("K", "Theta", *names))
    code = ww.compile(system)
    found = code.recursion(ONE, 5, residual=residual, **hyper)
    for name in ("K", "Theta", *names):
        assert_allclose(found[name].ravel(), expected[name].values.ravel(), rtol=1e-12, atol=1e-14)
    with pytest.raises(TypeError, match="residual"):
        code.recursion(ONE, 5, **hyper)


def test_many_single_inputs_and_kernels_of_several_ones():
    inputs = np.array([[1.0, 0.3, -0.8, 1.2], [0.2, 0.5, 1.0, -1.0]])
    net = ww.MLP("gelu", depth=4, residual={(1, 3): 0.5}, C_W=1.2, C_b=0.1, **RATES)
    single = ww.compile(ww.derive(net, "V")).recursion(inputs, 4)["V"]
    for k in range(2):
        assert_allclose(single[:, k], ww.predict(net, inputs[k : k + 1], "V").V.values.ravel(), rtol=1e-12)
    kernels = ww.compile(ww.derive(net, order=0)).recursion(inputs, 4)
    expected = ww.predict(net, inputs, ("K", "Theta"))
    assert_allclose(kernels["K"], expected.K, rtol=1e-13)
    assert_allclose(kernels["Theta"], expected.Theta, rtol=1e-13)


def test_the_file_stands_on_its_own_and_says_its_equations(tmp_path):
    """NumPy and SciPy alone, without this package; the linter finds nothing unused or undefined."""
    system = ww.derive(ww.MLP("tanh", depth=4, residual=0.5), "D")
    path = ww.compile(system).save(tmp_path / "generated.py")
    text = path.read_text()
    for statement in system.statements:
        assert " ".join(str(statement).split()) in " ".join(text.split())
    expected = ww.predict(ww.MLP("tanh", depth=4, residual=0.5, C_W=1.2, C_b=0.1, **RATES), ONE, "D").D.values.ravel()
    script = (
        "import generated, sys\n"
        f"found = generated.recursion({ONE.tolist()}, 4, C_W=1.2, C_b=0.1, lambda_W=1.0, lambda_b=0.5)\n"
        "assert not any(name.startswith(('widthwise', 'sympy')) for name in sys.modules)\n"
        "print(*map(repr, map(float, found['D'].ravel())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_allclose([float(x) for x in done.stdout.split()], expected, rtol=1e-13)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_other_equations_are_what_is_computed():
    net = ww.MLP("sin", depth=4, residual=0.5, C_W=1.2, C_b=0.1, **RATES)
    system = ww.derive(ww.MLP("sin", depth=4, residual=gamma))
    expected = ww.predict(net, ONE, ("K", "V"))
    assert_allclose(ww.predict(net, ONE, ("K", "V"), equations=system).V, expected.V, rtol=1e-13)
    forgotten = system.with_(G_V=0)  # as if no neuron were one of those that the averages average
    found = ww.predict(net, ONE, ("K", "V"), equations=forgotten)
    assert_allclose(found.K, expected.K, rtol=1e-13)
    assert np.all(found.V.values.ravel()[1:] < 0.9 * expected.V.values.ravel()[1:])
    doubled = ww.predict(net, ONE, "V", equations=system.with_(V=2 * system.system["V"].rhs))
    assert_allclose(doubled.V, 2 * expected.V, rtol=1e-13)
    with pytest.raises(InvalidArgument, match="allowed: numbers, arrays over layers"):
        ww.predict(net, ONE, "V", equations=system.with_(V=sp.Symbol("x")))


@pytest.mark.parametrize(
    ("equations", "message"),
    [
        (lambda: ww.derive(ww.MLP("sin")), "is a Recursions; allowed: what derive"),
        (lambda: ww.derive(ww.MLP("sin", depth=4, residual=0.3)), "derived with residual=0.3"),
        (lambda: ww.derive(ww.MLP("sin", depth=4, residual={(1, 3): 0.5})), "derived with residual={"),
        (lambda: ww.derive(ww.MLP("cos", depth=4, residual=0.5)), "activation='cos'"),
    ],
)
def test_equations_of_other_skips_are_refused(equations, message):
    net = ww.MLP("sin", depth=4, residual=0.5, C_W=1.2, C_b=0.1, **RATES)
    with pytest.raises(InvalidArgument, match=message):
        ww.predict(net, ONE, "V", equations=equations())


def test_other_libraries_are_refused_by_name():
    with pytest.raises(NotAvailable, match="target='jax'"):
        ww.compile(ww.derive(RELU, "V"), target="jax")
