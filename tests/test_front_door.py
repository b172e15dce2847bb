"""The narrow front door: its names, what importing it costs, and that the README's example runs."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import widthwise as ww

ROOT = Path(__file__).parents[1]
HEAVY = ("numpy", "scipy", "xarray", "pandas", "matplotlib", "hypothesis", "sklearn", "rich", "typer", "jinja2")


def run(code: str, cwd: Path | None = None) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_loads_nothing_heavy():
    """The names are loaded when they are first used."""
    loaded = run("import sys, widthwise; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_deriving_needs_sympy_and_nothing_numeric():
    loaded = run("import sys, widthwise as ww; ww.derive(ww.MLP('tanh'), 'V').latex(); print(*sys.modules)").split()
    assert "sympy" in loaded
    assert not {"scipy", "xarray", "pandas", "matplotlib", "sklearn"} & set(loaded)


@pytest.mark.parametrize("name", ww.__all__)
def test_every_public_name_exists(name):
    assert getattr(ww, name) is not None
    assert name in dir(ww)


def test_examples_of_the_docstring_run():
    assert doctest.testmod(ww).failed == 0
    assert doctest.testmod(ww).attempted > 0


def test_wrong_calls_are_told_by_the_name_of_the_verb():
    flow = ww.Training(ww.MLP("tanh", depth=2), learning_rate=0.1)
    with pytest.raises(
        TypeError, match=r"predict: too many positional arguments; allowed: predict\(flow, X, y, \*, times, "
    ):
        ww.predict(flow, [[1.0]], [1.0], 3)
    with pytest.raises(
        TypeError, match=r"validate: missing a required argument: 'times'; allowed: validate\(flow, X, y"
    ):
        ww.validate(flow, [[1.0]], [1.0])
    with pytest.raises(
        TypeError, match=r"simulate: got an unexpected keyword argument 'network'; allowed: simulate\(net, X, "
    ):
        ww.simulate(ww.MLP("tanh", depth=2, width=4), [[1.0]], network=3)


def test_unknown_name_lists_what_there_is():
    with pytest.raises(AttributeError, match="it has MLP, "):
        _ = ww.sample


ORDER = ["Equation", "Shapes", "Units", "Valid", "Errors", "Source"]
PUBLIC = [
    "MLP",
    "derive",
    "compile",
    "predict",
    "simulate",
    "validate",
    "critical",
    "Activation",
    "Derivation",
    "Compiled",
    "Training",
    "Dynamics",
    "fluctuations",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_have_their_parts_in_order(name):
    """Equation, shapes, units, validity, errors, source: those that apply, in this order."""
    found = re.findall(rf"^\s*({'|'.join(ORDER)})$", getattr(ww, name).__doc__, flags=re.M)
    assert found[0] == "Equation"
    assert "Valid" in found
    assert found == sorted(found, key=ORDER.index)


def test_example_of_the_readme_runs(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    out = run(code, cwd=tmp_path)
    assert r"\begin{align}" in out
    assert "comparisons, family-wise false-alarm rate" in out
    assert (tmp_path / "recursion.py").exists()
