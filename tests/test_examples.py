"""The scripts in ``examples/`` run, with short settings, and leave the files that they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
#: Arguments that make a script take seconds, what it then leaves, and words that it prints.
SHORT = {
    "demo.py": (
        ["out", "--networks", "200"],
        ["out/report.html", "out/theory.tex", "out/generated.py", "out/results.nc"],
        "PASSED",
    ),
    "feature_learning.py": (
        [
            *("p.png", "--steps", "5", "--networks", "4", "--widths", "16", "32", "64"),
            *("--replicas", "4", "--scatter", "8", "--samples", "256"),
        ],
        ["p.png"],
        "gamma = 2: PASSED",
    ),
    "gaussian_process.py": (["p.png", "--train", "60"], ["p.png"], "training images"),
    "gaussian_vs_orthogonal.py": (
        ["p.png", *["--depth", "6", "--width", "16", "--networks", "40"]],
        ["p.png"],
        "wrote p.png",
    ),
    "readme_figure.py": (["p.png", "--networks", "200"], ["p.png"], "PASSED"),
}


def test_every_script_has_short_settings():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SHORT)


@pytest.mark.parametrize("name", SHORT)
def test_a_script_runs(name, tmp_path):
    arguments, files, words = SHORT[name]
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert found.returncode == 0, found.stdout + found.stderr
    assert words in found.stdout
    for file in files:
        assert (tmp_path / file).stat().st_size > 1000, file


@pytest.mark.parametrize("name", SHORT)
def test_a_script_says_how_it_is_called(name):
    """Its docstring names each option."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    options = re.findall(r'add_argument\("(--\w+)"', text)
    assert options
    assert [option for option in options if f"[{option} " not in text.split('"""')[1]] == []
