"""The house: imports go one way, without circles; every folder is in the wheel; a class has a name of its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: The floors, and what each may import of ours.
FLOORS = {"theory": set(), "numerics": {"theory"}, "validation": {"theory", "numerics"}}
#: The front door, which lies in the package's own folder.
DOOR = "widthwise"
ARRAYS = {"numpy", "scipy", "xarray", "pandas", "matplotlib"}


def modules(root: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """Dotted names below ``widthwise`` and their files, those of the front door without a floor."""
    for floor in (*FLOORS, DOOR):
        for path in sorted((root / floor).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts[1:] if floor == DOOR else parts
            yield ".".join(p for p in parts if p != "__init__"), path


def imports(name: str, path: Path, known: set[str], *, runtime: bool) -> set[str]:
    """The modules of ours that a module imports, relative levels resolved; ``runtime`` leaves out what only types need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if runtime and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name.removeprefix("widthwise.") for a in node.names if a.name.startswith("widthwise.")}
        if not isinstance(node, ast.ImportFrom) or node in skipped:
            continue
        if node.level:
            base = package[: len(package) - node.level + 1] if node.level <= len(package) + 1 else ["outside"]
        elif (node.module or "").partition(".")[0] == DOOR:
            base = []
        else:
            continue
        parts = (node.module or "").split(".")
        target = ".".join([*base, *(parts[1:] if not node.level else parts)]).strip(".")
        found |= {s if (s := f"{target}.{a.name}".strip(".")) in known or not target else target for a in node.names}
    return found - {""}


def offences(root: Path) -> list[str]:
    """Imports that go up, or from the floors to the front door."""
    known = dict(modules(root))
    wrong = []
    for name, path in known.items():
        floor = name.partition(".")[0]
        if floor in FLOORS:
            for target in imports(name, path, set(known), runtime=False):
                if (other := target.partition(".")[0]) != floor and other not in FLOORS[floor]:
                    wrong.append(f"{name} imports {target}")
    return wrong


@pytest.mark.quick
def test_imports_go_one_way():
    """theory -> numerics -> validation -> front door, at any depth of folders."""
    assert len(dict(modules())) > 100
    assert offences(ROOT) == []


@pytest.mark.parametrize(
    "line",
    [
        "from ...numerics.runs import store",
        "from ....verbs import derive",
        "import widthwise.validation",
        "from widthwise import MLP",
    ],
)
def test_an_import_upward_is_seen(tmp_path, line):
    """The negative control: one line in a wing of theory."""
    for name, path in modules():
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(
            path.read_text(encoding="utf-8") + (f"\n{line}\n" if name == "theory.layers.map" else ""), encoding="utf-8"
        )
    assert len(offences(tmp_path)) == 1


@pytest.mark.quick
def test_there_are_no_circles():
    known = dict(modules())
    graph = {name: imports(name, path, set(known), runtime=True) - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {error.args[1]}")


@pytest.mark.quick
def test_theory_knows_no_arrays():
    for name, path in modules():
        if name.startswith("theory"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            plain = {a.name.partition(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            named = {
                (n.module or "").partition(".")[0]
                for n in ast.walk(tree)
                if isinstance(n, ast.ImportFrom) and not n.level
            }
            assert not (plain | named) & ARRAYS, path


def test_everything_on_disk_is_installed():
    """Each module and each template of the tree lies in the installed package."""
    package = files("widthwise")
    shipped = [
        p
        for floor in (*FLOORS, DOOR)
        for p in (ROOT / floor).rglob("*")
        if p.suffix in (".py", ".pyi", ".jinja") or p.name == "py.typed"
    ]
    assert any(p.suffix == ".jinja" for p in shipped)
    for path in shipped:
        parts = path.relative_to(ROOT).parts
        target = package.joinpath(*(parts[1:] if parts[0] == DOOR else parts))
        assert target.is_file(), path


def test_every_wing_says_what_it_is():
    for name, path in modules():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), name


def namesakes(root: Path) -> dict[str, list[str]]:
    """Names that more than one class of the package has, and the modules of these classes."""
    found: dict[str, list[str]] = {}
    for name, path in modules(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(name)
    return {cls: where for cls, where in found.items() if len(where) > 1}


def test_a_class_has_a_name_of_its_own(tmp_path):
    """Two things have two names; the negative control is one class more."""
    assert namesakes(ROOT) == {}
    (tmp_path / "theory").mkdir()
    for name in ("one", "two"):
        (tmp_path / "theory" / f"{name}.py").write_text("class Series:\n    pass\n", encoding="utf-8")
    assert namesakes(tmp_path) == {"Series": ["theory.one", "theory.two"]}


OURS = {"InvalidArgument", "InvalidInput", "InvalidNetwork", "NotAvailable", "NotConverged", "NotIntegrable"}
ALLOWED = ("allowed", "must be", "needed", "it has", "still available")


def silent(root: Path) -> list[str]:
    """Errors of ours whose message is written out, does not end with a reason put in, and does not say what is allowed."""
    found = []
    for name, path in modules(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
                continue
            message, cls = node.exc.args[0], ast.unparse(node.exc.func)
            reason = isinstance(message, ast.JoinedStr) and isinstance(message.values[-1], ast.FormattedValue)
            written = isinstance(message, ast.JoinedStr | ast.Constant) and not reason
            if cls in OURS and written and not any(word in ast.unparse(message) for word in ALLOWED):
                found.append(f"{name}:{node.lineno} {ast.unparse(message)}")
    return found


def test_an_error_says_what_is_allowed(tmp_path):
    """The negative control is an error that does not."""
    assert silent(ROOT) == []
    (tmp_path / "theory").mkdir()
    text = 'raise InvalidArgument("depth=0 is too small")\nraise InvalidArgument("depth=0; allowed: integers from 1")\n'
    (tmp_path / "theory" / "one.py").write_text(text, encoding="utf-8")
    assert silent(tmp_path) == ["theory.one:1 'depth=0 is too small'"]


PRINTS = """
import sympy as sp
x, y = sp.symbols("x y")
cases = [sp.O(x), x * sp.O(x), 2 + sp.O(x)**2, sp.Mul(2, sp.O(x)), sp.Pow(sp.O(x, (x, 0)), 3, evaluate=False), sp.Integral(x)*y]
show = lambda: [(str(c), sp.latex(c), sp.srepr(c)) for c in cases]
before = show()
import widthwise, pkgutil, importlib
for found in pkgutil.walk_packages(widthwise.__path__, "widthwise."):
    if found.name.startswith("widthwise.theory"):
        importlib.import_module(found.name)
print(before == show())
"""


def test_sympy_prints_as_before():
    """Importing the package changes no printed formula of SymPy's own."""
    shown = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, text=True, check=True, timeout=300)
    assert shown.stdout.strip() == "True"


def wings(root: Path = ROOT) -> list[str]:
    """The folders of each floor, as floor/wing."""
    return sorted(
        p.parent.relative_to(root).as_posix() for floor in FLOORS for p in (root / floor).glob("*/__init__.py")
    )


def is_quick(path: Path) -> bool:
    """Whether a module of tests has the mark, on a test or on the whole of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    on_tests = [d for n in tree.body if isinstance(n, ast.FunctionDef) for d in n.decorator_list]
    on_module = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "pytestmark"]
    return any("mark.quick" in ast.unparse(mark) for mark in (*on_tests, *on_module))


def without_a_quick_test(root: Path) -> list[str]:
    """The wings without a folder of tests of the same name, or without a quick test in it."""
    return [w for w in wings(root) if not any(map(is_quick, (root / "tests" / w).glob("test_*.py")))]


@pytest.mark.quick
def test_every_wing_has_a_quick_test_of_its_own():
    """So that the minute of ``make quick`` names the floor and the wing in which a law is broken."""
    assert len(wings()) > 20
    assert without_a_quick_test(ROOT) == []


def test_a_wing_without_a_quick_test_is_seen(tmp_path):
    """The negative control: a wing whose tests are all slow, and one that has none."""
    for floor in FLOORS:
        for wing, test in (("bare", None), ("slow", "@pytest.mark.slow\n"), ("tested", "@pytest.mark.quick\n")):
            (tmp_path / floor / wing).mkdir(parents=True)
            (tmp_path / floor / wing / "__init__.py").touch()
            (tmp_path / "tests" / floor / wing).mkdir(parents=True)
            if test:
                (tmp_path / "tests" / floor / wing / "test_law.py").write_text(f"{test}def test_law(): ...\n", "utf-8")
    bare = [f"{floor}/{wing}" for floor in sorted(FLOORS) for wing in ("bare", "slow")]
    assert without_a_quick_test(tmp_path) == bare
