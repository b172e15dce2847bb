"""LaTeX at work: documents compiled by pdflatex, the boxes that overflow, and the widths that TeX finds."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed: widths are not compared with TeX's own"
)
PREAMBLE = "\\usepackage{amsmath}\n\\allowdisplaybreaks\n\\begin{document}\n"


def compiled(folder: Path, text: str) -> str:
    """The log of a document, which has to compile."""
    (folder / "paper.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    found = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    log = (folder / "paper.log").read_text(encoding="utf-8", errors="replace")
    assert found.returncode == 0, [line for line in log.splitlines() if line.startswith("!")]
    return log


def overfull(folder: Path, parts: dict[str, str], *, columns: int = 1) -> list[str]:
    """Which parts of an article at 10 pt overflow, and by how much."""
    options = "10pt,twocolumn" if columns == 2 else "10pt"
    body = "\n\n".join(f"\\typeout{{PART {name}}}\n{text}" for name, text in parts.items())
    log = compiled(folder, f"\\documentclass[{options}]{{article}}\n{PREAMBLE}{body}\n\\end{{document}}\n")
    found, part = [], ""
    for line in log.splitlines():
        part = line.removeprefix("PART ") if line.startswith("PART ") else part
        if r"Overfull \hbox" in line:
            found.append(f"{part}: {line}")
    return found


def widths(folder: Path, formulas: Iterable[str]) -> list[float]:
    """The widths of formulas in points, as TeX sets them in a display."""
    boxes = "\n".join(f"\\setbox0\\hbox{{$\\displaystyle {text}$}}\\typeout{{WIDTH \\the\\wd0}}" for text in formulas)
    log = compiled(folder, f"\\documentclass{{article}}\n{PREAMBLE}{boxes}\n\\end{{document}}\n")
    return [float(found) for found in re.findall(r"WIDTH ([\d.]+)pt", log)]
