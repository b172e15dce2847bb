"""Files to resume from: a name holds all that a result depends on, the code that made it too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import widthwise as ww
from widthwise.numerics.runs.store import FLOORS, TEXTS, Store, code_of
from widthwise.numerics.training.question import question
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.language.values import fingerprint
from widthwise.validation.training.simulate import simulated

FLOW = ww.Training(ww.MLP("tanh", depth=2, width=8), learning_rate=0.1)
ASKED = question(FLOW, np.eye(2), [1.0, -1.0], times=2)


def test_results_of_other_code_are_not_served(tmp_path):
    """Two versions, two files; the same version finds its own."""
    old, new = (Store(tmp_path, ("key",), code=version) for version in ("0.2", "0.3"))
    old(0, lambda: {"value": np.array(1.0)})
    assert new(0, lambda: {"value": np.array(2.0)})["value"] == 2.0
    assert old(0, lambda: {"value": np.array(3.0)})["value"] == 1.0
    assert len(list(tmp_path.glob("*.npz"))) == 2


@pytest.fixture
def tree(tmp_path):
    """A copy of the package's text."""
    import widthwise.numerics.runs.store as module

    root = Path(module.__file__).parents[2]
    for floor in FLOORS:
        for path in (root / floor).rglob("*"):
            if path.suffix in TEXTS:
                copy = tmp_path / path.relative_to(root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["theory/training/losses.py", "numerics/codegen/templates/module.py.jinja", "validation/literal/trained.py"]
)
def test_the_name_of_the_code_is_that_of_its_text(name, tree):
    """Any file of the floors counts, templates too; a copy somewhere else is the same code."""
    same = code_of(tree)
    assert same == code_of()
    code_of.cache_clear()
    path = tree / name
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert code_of(tree) != same


def test_networks_are_made_anew_after_a_change_of_the_code(tmp_path, monkeypatch):
    """A checkpoint of another version does not serve its networks; of this version it does."""
    import widthwise.numerics.runs.store as module

    options = {"networks": 2, "checkpoint": tmp_path}
    first = simulated(ASKED, **options)
    for path in tmp_path.glob("*.npz"):
        with np.load(path) as file:
            spoiled = {name: file[name] + 1.0 for name in file.files}
        np.savez(path, **spoiled)
    assert not simulated(ASKED, **options).equals(first)  # it is served
    monkeypatch.setattr(module, "code_of", lambda: "another text")
    assert simulated(ASKED, **options).equals(first)


PRINT = """
import numpy as np, sympy as sp, widthwise as ww
from widthwise.numerics.runs.store import fingerprint
flow = ww.Training(ww.MLP("leaky_relu(0.3)", depth=3, C_W=1.5), loss="(f - y)**4", gamma=0.5)
print(fingerprint(flow, flow.net.activation, np.eye(3), sp.Symbol("x", positive=True), {"a": (1, None, 2.5)}, {"b", "c"}))
"""


def test_names_are_the_same_in_every_process():
    runs = [subprocess.run([sys.executable, "-c", PRINT], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout.strip()) == 24


def test_contents_that_differ_have_other_names():
    x, positive = sp.Symbol("x"), sp.Symbol("x", positive=True)
    scaled = lambda a: lambda z: a * z  # noqa: E731
    contents = [
        1, 1.0, True, "1", None, (1,), (1, 1), ((1,), 1), {1: 1}, {1: 2}, x, positive, x + 1, scaled(1), scaled(2),
        np.eye(2), np.eye(2, dtype=np.float32), np.eye(2).ravel(), FLOW, FLOW.net, FLOW.with_(gamma=1 + 1e-12),
        FLOW.with_(loss="logistic"), FLOW.with_(loss="(f - y)**4"), ASKED.key,
    ]  # fmt: skip
    names = [fingerprint(content) for content in contents]
    assert len(set(names)) == len(names)
    assert fingerprint(scaled(1)) == fingerprint(scaled(1))
    assert fingerprint(FLOW.with_(loss="(f - y)**4")) == fingerprint(FLOW.with_(loss="(f-y)**4"))


class Subject:
    """With a fingerprint of its own."""

    def __init__(self, own):
        self.fingerprint = own


def test_a_subject_may_know_its_own_name():
    assert fingerprint(Subject("a")) == fingerprint(Subject("a")) != fingerprint(Subject("b"))
    with pytest.raises(InvalidArgument, match=r"is a object, which has no content to be known by"):
        fingerprint(object())


def test_files_that_cannot_be_read(tmp_path):
    store = Store(tmp_path, ("key",))
    store.path(0).write_bytes(b"no archive")
    with pytest.raises(InvalidArgument, match=r"cannot be read .*; allowed: delete it"):
        store.find(0)
    with pytest.raises(InvalidArgument, match=r"is a file; allowed: a folder"):
        Store(store.path(0), ("key",))
    assert Store(None, ("key",)).find(0) is None
