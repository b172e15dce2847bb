"""The narrow front door: its names, what importing it costs, and that the README's example runs."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import widthwise as ww
from widthwise.theory.language.errors import InvalidArgument

ROOT = Path(__file__).parents[1]
_found = importlib.util.spec_from_file_location("signatures", ROOT / "tests" / "signatures.py")
signatures = importlib.util.module_from_spec(_found)
_found.loader.exec_module(signatures)
HEAVY = ("numpy", "scipy", "xarray", "pandas", "matplotlib", "hypothesis", "sklearn", "rich", "typer", "jinja2")


def run(code: str, cwd: Path | None = None) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.quick
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


def test_a_subject_of_no_system_is_told_which_there_are():
    with pytest.raises(InvalidArgument, match=r"subject=3 is a int; allowed: MLP, Training"):
        ww.predict(3, [[1.0]])
    with pytest.raises(InvalidArgument, match=r"allowed: what derive\(\) returns for MLP or Training"):
        ww.compile(ww.MLP("tanh"))
    with pytest.raises(InvalidArgument, match=r"fluctuations: the system 'network' has no such verb; it has derive, "):
        ww.fluctuations(ww.MLP("tanh"), [[1.0]])


def test_verbs_ask_no_types():
    """F4: what a verb does is in the row of its subject, never in a ladder of types; commands go over the rows too."""
    door = ROOT / "widthwise"
    for path in (door / "verbs.py", door / "cli.py", *(door / "commands").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
        asked = [
            ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "isinstance"
        ]
        assert not [call for call in asked if "MLP" in call or "Training" in call or "subject" in call], path
        assert path.parent.name == "commands" or not imported & {"MLP", "Training"}, path


def test_a_subclass_of_a_subject_has_its_row():
    class Mine(ww.MLP):
        """A network of one's own."""

    assert ww.systems.system(Mine("tanh")) is ww.systems.NETWORK
    assert str(ww.derive(Mine("tanh"), "K", samples=1)) == str(ww.derive(ww.MLP("tanh"), "K", samples=1))


@pytest.mark.quick
@pytest.mark.parametrize("row", ww.systems.ROWS, ids=lambda row: row.name)
def test_rows_of_the_package_hold(row):
    assert row.check() is row


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "predict"}, "name='predict'; allowed: a word of small letters that is no verb"),
        ({"name": "My System"}, "name='My System'; allowed"),
        ({"predict": "nowhere"}, "predict='nowhere'; allowed: a place, 'package.module:name'"),
        ({"subject": "widthwise:MLP"}, "subject='widthwise:MLP' is widthwise.theory.networks.architecture:MLP"),
        ({"simulate": "widthwise.nowhere:simulate"}, "'widthwise.nowhere:simulate' cannot be loaded"),
        ({"simulate": "widthwise:nothing"}, "'widthwise:nothing' cannot be loaded"),
        ({"simulate": "widthwise:__version__"}, "is a str; allowed: a function"),
        ({"name": "kernel"}, "no verb and no command"),
        ({"simulate": None}, "simulate=None; allowed: a place"),
        ({"commands": "nowhere"}, "commands of the system 'network': 'nowhere' cannot be loaded"),
        ({"name": "other"}, "belongs to the system 'network'"),
        ({}, "name='network' is the name of another system"),
    ],
)
def test_rows_that_do_not_hold_are_refused(changes, message):
    with pytest.raises(InvalidArgument, match=message):
        ww.systems.register(replace(ww.systems.NETWORK, **({"about": "other"} | changes)))


@pytest.mark.quick
def test_signatures_are_those_of_the_functions():
    """``verbs.pyi`` is what ``python tests/signatures.py`` writes from the functions that the rows name."""
    assert signatures.STUB.read_text(encoding="utf-8") == signatures.text(), "run python tests/signatures.py"


def test_a_changed_keyword_changes_the_signatures(tmp_path, monkeypatch):
    """The negative control: another function in a row is another text."""
    (tmp_path / "renamed.py").write_text(
        "def predict(net: int, X: int, *, quantites: str = 'V') -> int: ...\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = signatures.text((replace(ww.systems.NETWORK, predict="renamed:predict"), ww.systems.TRAINING))
    assert "quantites" in text
    assert text != signatures.text()


CALLS = {
    'ww.predict(net, X, quantites="V")': 'No overload variant of "predict" matches',
    "ww.predict(net)": 'No overload variant of "predict" matches',
    "ww.simulate(net, X, network=3)": 'No overload variant of "simulate" matches',
    "ww.validate(flow, X, y)": 'No overload variant of "validate" matches',
    "ww.predict(flow, X, y, times=3, width=3)": 'No overload variant of "predict" matches',
    "ww.derive(flow, samples=1)": 'No overload variant of "derive" matches',
    "ww.fluctuations(net, X, y, times=3)": 'No overload variant of "fluctuations" matches',
    "ww.compile(net)": 'No overload variant of "compile" matches',
    "ww.derive(3)": 'No overload variant of "derive" matches',
    'ww.predict(net, X, "V", order=1)': None,
    "ww.validate(net, X, widths=(8, 16), networks=10, alpha=0.1).passed": None,
    "ww.predict(flow, X, y, times=[0, 1], samples=10)": None,
    "ww.validate(flow, X, y, times=3, widths=(8, 16)).to_html('r.html')": None,
    "ww.compile(ww.derive(flow)).source": None,
    "ww.compile(ww.derive(net), target='jax').source": None,
    "ww.fluctuations(flow, X, y, times=3, draws='f')": None,
    "ww.simulate(mine, 1, anything=2)": None,
}
TYPED = """
import widthwise as ww
class Mine(ww.systems.Subject): ...
net, X, y, mine = ww.MLP("tanh"), [[1.0]], [1.0], Mine()
flow = ww.Training(net)
"""
#: What the types of other libraries are does not matter here, and reading them takes a minute.
QUICK = """
[mypy]
strict = True
[mypy-numpy.*,scipy.*,pandas.*,xarray.*,matplotlib.*,sympy.*,mpmath.*,sklearn.*,hypothesis.*]
follow_imports = skip
ignore_missing_imports = True
"""


def test_a_type_checker_knows_the_keywords(tmp_path):
    (tmp_path / "calls.py").write_text(TYPED + "\n".join(CALLS) + "\n", encoding="utf-8")
    (tmp_path / "mypy.ini").write_text(QUICK, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", str(tmp_path), "calls.py"]
    package = Path(ww.__file__).parents[1]  # an installed one the type checker finds by itself, and wants to
    where = {} if package.name == "site-packages" else {"MYPYPATH": str(package)}
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | where, timeout=300)
    assert found.stdout, found.stderr
    told = {int(line.split(":")[1]): line for line in found.stdout.splitlines() if ": error:" in line}
    start = TYPED.count("\n") + 1
    for number, (call, message) in enumerate(CALLS.items(), start):
        assert (number in told) == (message is not None), (call, found.stdout)
        assert message is None or message in told.pop(number), call
    assert not told, found.stdout


def test_unknown_name_lists_what_there_is():
    with pytest.raises(AttributeError, match="it has MLP, "):
        _ = ww.sample


ORDER = ["Equation", "Shapes", "Units", "Valid", "Errors", "Source"]
PUBLIC = [name for name in ww.__all__ if inspect.isfunction(getattr(ww, name)) or inspect.isclass(getattr(ww, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_have_their_parts_in_order(name):
    """Equation, shapes, units, validity, errors, source: those that apply, in this order."""
    found = re.findall(rf"^\s*({'|'.join(ORDER)})$", getattr(ww, name).__doc__, flags=re.M)
    assert found[0] == "Equation"
    assert "Valid" in found
    assert found == sorted(found, key=ORDER.index)


def test_all_public_functions_and_classes_are_looked_at():
    """The others are modules, tables and the version."""
    assert len(PUBLIC) > 30
    assert {type(getattr(ww, name)).__name__ for name in set(ww.__all__) - set(PUBLIC)} <= {
        "module",
        "dict",
        "str",
        "Names",
    }
