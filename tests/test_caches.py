"""What is kept has a bound, and generated modules leave with their last user."""

from __future__ import annotations

import ast
import gc
import linecache
import sys
import traceback
import weakref
from pathlib import Path

import numpy as np
import pytest

import widthwise as ww
from widthwise.numerics.codegen import elementwise, loading, modules
from widthwise.numerics.codegen.loading import PREFIX, loaded
from widthwise.numerics.training import sites
from widthwise.theory.depth.series import Orbit, Series

ROOT = Path(__file__).parents[1]
FLOORS = ("theory", "numerics", "validation", "widthwise")


def unbounded(source: str) -> list[str]:
    """The caches of a text without a bound, and those on methods, which would keep their objects alive."""
    tree = ast.parse(source)
    methods = {m for c in ast.walk(tree) if isinstance(c, ast.ClassDef) for m in c.body}
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "functools":
            wrong += [f"line {node.lineno}: functools.cache" for a in node.names if a.name == "cache"]
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "functools.cache":
            wrong.append(f"line {node.lineno}: functools.cache")
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("lru_cache"):
            bounds = [k.value for k in node.keywords if k.arg == "maxsize"] + node.args[:1]
            if any(isinstance(b, ast.Constant) and b.value is None for b in bounds):
                wrong.append(f"line {node.lineno}: lru_cache(maxsize=None)")
        if isinstance(node, ast.FunctionDef) and node in methods:
            wrong += [
                f"line {node.lineno}: {node.name} is a method"
                for d in node.decorator_list
                if "cache(" in ast.unparse(d)
            ]
    return wrong


def test_every_cache_has_a_bound():
    found = {path: unbounded(path.read_text(encoding="utf-8")) for f in FLOORS for path in (ROOT / f).rglob("*.py")}
    assert len(found) > 100
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "text",
    [
        "from functools import cache",
        "import functools\n@functools.cache\ndef f(): ...",
        "from functools import lru_cache\n@lru_cache(maxsize=None)\ndef f(): ...",
        "from functools import lru_cache\n@lru_cache(None)\ndef f(): ...",
        "from functools import lru_cache\nclass A:\n    @lru_cache(maxsize=2)\n    def f(self): ...",
    ],
)
def test_a_cache_without_bound_is_seen(text):
    """The negative control."""
    assert len(unbounded(text)) == 1


def test_one_place_runs_generated_text():
    for path in (p for f in FLOORS for p in (ROOT / f).rglob("*.py")):
        calls = {ast.unparse(n.func) for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)}
        assert "exec" not in calls or path.name == "loading.py", path


def registered() -> int:
    gc.collect()
    return sum(name.startswith(PREFIX) for name in sys.modules)


def remembered() -> int:
    gc.collect()
    return sum(name.startswith(f"<{PREFIX}") for name in linecache.cache)


@pytest.fixture
def alone():
    """Without what other tests have left in the caches of generated code."""
    for made in (modules._compile, sites.generate):
        made.cache_clear()
    return registered(), remembered()


def test_fifty_compilations_leave_no_more_than_is_used(alone):
    """Each network is another text; its module leaves with the compiled code, the last ones stay in the cache of ``compile``."""
    systems = [ww.derive(ww.MLP("tanh", C_W=1 + k / 64), "K", samples=1) for k in range(50)]
    for system in systems:
        assert ww.compile(system).source
    bound = modules._compile.cache_info().maxsize
    assert registered() <= alone[0] + min(bound, 50)
    modules._compile.cache_clear()
    assert (registered(), remembered()) == alone


def test_more_compilations_than_the_cache_holds(alone):
    bound = modules._compile.cache_info().maxsize
    for k in range(bound + 20):
        ww.compile(ww.derive(ww.MLP("linear", C_W=1 + k / 256), "K", samples=1))
    assert registered() - alone[0] <= bound
    modules._compile.cache_clear()
    assert (registered(), remembered()) == alone


def test_a_module_stays_while_it_is_used(alone):
    compiled = ww.compile(ww.derive(ww.MLP("tanh"), "K", samples=1))
    modules._compile.cache_clear()
    step = compiled.namespace["step"]
    assert step.__module__ in sys.modules
    with pytest.raises(KeyError) as caught:
        step({}, C_W=1.0, C_b=0.0)
    lines = [
        frame.line
        for frame in traceback.extract_tb(caught.value.__traceback__)
        if frame.filename[1:].startswith(PREFIX)
    ]
    assert lines
    assert all(line in compiled.source for line in lines)
    assert any("state[name]" in line for line in lines)
    del compiled, caught
    assert registered() == alone[0]
    assert step({"K": np.array([0.5])}, C_W=1.0, C_b=0.0)["K"].shape == (1,)  # what somebody holds goes on working


def test_a_text_that_fails_leaves_nothing():
    before = registered(), remembered()
    with pytest.raises(ZeroDivisionError):
        loaded("1 / 0")
    assert (registered(), remembered()) == before
    assert loaded is loading.loaded is elementwise.loaded is sites.loaded is modules.loaded


def test_an_orbit_is_not_kept_alive():
    from sympy import QQ, S, ring

    R, _ = ring("t", QQ)
    orbit = Orbit(Series.of([((S.One, 0), R(-1))], S(4)), R(1))
    assert orbit.monomial(S(2), 1) is orbit.monomial(S(2), 1)  # kept as long as the orbit is
    other = Orbit(Series.of([((S.One, 0), R(-2))], S(4)), R(1))
    assert other.monomial(S(2), 1) != orbit.monomial(S(2), 1)
    reference = weakref.ref(orbit)
    del orbit
    gc.collect()
    assert reference() is None
