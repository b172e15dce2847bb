"""The pages: their code runs, block after block, and the names, files and commands that they mention are there."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from typer.testing import CliRunner

import widthwise as ww
from widthwise.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.M | re.S)
#: Settings of the pages that take minutes, and those that stand for them here; each has to be on its page.
SHORT = {
    "README.md": {
        "networks=30_000": "networks=200",
        "times=30, width=512": "times=3, width=32, networks=4",
        "widths=(256, 512, 1024)": "widths=(32, 64, 128), networks=8, replicas=4",
        "ww.fluctuations(flow, X, y, times=30)": "ww.fluctuations(flow, X, y, times=2, samples=128, replicas=2, directions=4)",
    },
    "first_day.ipynb": {
        "networks=1000": "networks=100",
        "data[:200]": "data[:20]",
        "target[:200]": "target[:20]",
        "times=30": "times=3, samples=256, replicas=2",
    },
    "training.md": {
        "times=[0, 5, 10], quantities=()": "times=[0, 2, 4], samples=256, replicas=2, quantities=()",
    },
}


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """Line, language and text of each fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(text[: m.start()].count("\n") + 1, *m.groups()) for m in FENCE.finditer(text)]


def python(page: Path) -> list[tuple[int, str]]:
    """The blocks that are Python, with short settings put in."""
    found = [(line, text) for line, language, text in blocks(page) if language == "python"]
    for long, short in SHORT.get(page.name, {}).items():
        assert any(long in text for _, text in found), f"{page.name} has no {long!r} any more"
        found = [(line, text.replace(long, short)) for line, text in found]
    return found


def run(page: Path, code: list[tuple[int, str]]) -> None:
    """One block after the other, in one namespace; a traceback shows the line of the page."""
    names: dict[str, object] = {"__name__": page.stem}
    for line, text in code:
        exec(compile("\n" * line + text, str(page), "exec"), names)
    plt.close("all")


@pytest.mark.parametrize("page", [p for p in PAGES if python(p)], ids=lambda p: p.name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(page, python(page))
    out = capsys.readouterr().out
    if page.name == "README.md":
        assert r"\begin{align}" in out
        assert "comparisons, family-wise false-alarm rate" in out
        assert (tmp_path / "recursion.py").exists()


NOTEBOOKS = sorted((ROOT / "docs").glob("*.ipynb"))


def cells(notebook: Path) -> list[tuple[int, str]]:
    """The code of a notebook, cell by cell, with short settings put in."""
    held = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    found = [(0, "".join(cell["source"])) for cell in held if cell["cell_type"] == "code"]
    for long, short in SHORT.get(notebook.name, {}).items():
        assert any(long in text for _, text in found), f"{notebook.name} has no {long!r} any more"
        found = [(line, text.replace(long, short)) for line, text in found]
    return found


def shown(text: str) -> str:
    """The code of a cell, whose last expression is shown in every way that a notebook knows."""
    tree = ast.parse(text)
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        tree.body[-1] = ast.parse(f"show({ast.unparse(tree.body[-1].value)})").body[0]
    return ast.unparse(tree)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.name)
def test_the_code_of_a_notebook_runs(notebook, tmp_path, monkeypatch):
    """And what it shows is one line as text, or the like in Markdown, LaTeX or HTML."""
    views: list[str] = []

    def show(value: object) -> None:
        found = [getattr(value, f"_repr_{kind}_", lambda: None)() for kind in ("markdown", "latex", "html")]
        views.extend(view for view in found if isinstance(view, str))
        views.append(repr(value))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr("builtins.show", show, raising=False)
    run(notebook, [(line, shown(text)) for line, text in cells(notebook)])
    assert any("**Price.**" in view for view in views)
    assert any(r"\begin{aligned}" in view for view in views)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.name)
def test_a_notebook_is_kept_without_its_results(notebook):
    held = json.loads(notebook.read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in held["cells"])
    assert sum("ww." in line for cell in held["cells"] for line in cell["source"]) > 10


def test_a_wrong_name_on_a_page_is_caught():
    """The negative control, with the line of the page."""
    page = ROOT / "README.md"
    (first, text), *_ = python(page)
    with pytest.raises(AttributeError, match="has no attribute 'deriv'"):
        run(page, [(first, text.replace("ww.derive(net, ", "ww.deriv(net, "))])


def test_ten_lines_are_ten_lines():
    (_, text), *_ = python(ROOT / "README.md")
    assert len([line for line in text.splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_code_hides_in_a_block_that_does_not_run(page):
    for line, language, text in blocks(page):
        assert language == "python" or "ww." not in text, f"{page.name}:{line}"


#: Places of earlier versions, in the changelog.
HISTORY = ("CHANGELOG.md",)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in HISTORY], ids=lambda p: p.name)
def test_names_and_files_of_a_page_are_there(page):
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"\bww\.(\w+)", text)):
        assert name in ww.__all__, name
    for path in set(re.findall(r"\b(?:benchmarks|docs|examples|tests|theory|numerics|validation)/[\w/]+\.\w+", text)):
        assert (ROOT / path).exists(), path


COMMANDS = [
    pytest.param(command, id=command)
    for page in PAGES
    if page.name not in HISTORY
    for command in re.findall(r"`widthwise ([^`]+)`", page.read_text(encoding="utf-8"))
]


def unknown(command: str) -> list[str]:
    """The words of a command that are no options of it; the command itself if there is none."""
    words = shlex.split(command)
    options = [word for word in words if re.match(r"--?[A-Za-z]", word)]
    path = list(itertools.takewhile(lambda word: word not in options, words))
    told = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    if told.exit_code:
        return path
    known = set(re.findall(r"--?[A-Za-z]\w*", told.output))
    return [word for word in options if word not in known]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_page_is_one(command):
    assert unknown(command) == []


def test_a_command_that_is_none_is_seen():
    """The negative control."""
    assert unknown("derives tanh") == ["derives", "tanh"]
    assert unknown("training derive tanh --steps --learningrate 0.1") == ["--learningrate"]


def test_the_readme_shows_commands():
    assert len(COMMANDS) >= 6
