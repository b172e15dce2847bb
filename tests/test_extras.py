"""What the package needs, and what only parts of it need: extras are imported where they are used, and named where they lack."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from widthwise.theory.language.extras import EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: SciPy looks at the targets of generated code if they are loaded: they are blocked last.
TARGETS = ("jax", "torch")
BLOCK = f"import sys\nfor name in {tuple(name for name in EXTRAS if name not in TARGETS)!r}: sys.modules[name] = None\n"
SETUP = """
import numpy as np, widthwise as ww
from widthwise.theory.language.errors import NotAvailable
def told(run):
    try:
        run()
    except NotAvailable as error:
        return str(error)
    raise AssertionError("no error")
net = ww.MLP("erf", depth=2, width=4, C_W=1, C_b=0, lambda_W=1, lambda_b=0)
X = [[1.0, 0.5]]
"""
WORKS = """
ww.derive(net, "V").latex()
assert ww.predict(net, X).K.shape == (2, 1, 1)
ww.kernel(net, X), ww.compile(ww.derive(net, "K")).source, ww.critical_points("tanh")
report = ww.validate(net, X, widths=(4, 8), networks=40, quantities="K", progress=False)
assert "K" in str(report)
flow = ww.Training(net, learning_rate=0.1)
assert ww.predict(flow, X, [1.0], times=2, samples=32, replicas=2).f.shape == (3, 1)
"""
#: What is asked for, the library that is missing, and its extra.
ASKED = [
    ("report.to_html('never.html')", "the page of a report needs matplotlib", "report"),
    ("report.plot()", "a figure of a report needs matplotlib", "report"),
    ("report.to_netcdf('never.nc')", "a netCDF file needs h5netcdf", "netcdf"),
    ("ww.phase_diagram('tanh').plot()", "a figure of phases needs matplotlib", "report"),
    ("ww.NNGPKernel('erf')", "NNGPKernel needs sklearn", "sklearn"),
    ("ww.dask_kernel(net, X)", "dask_kernel needs dask", "dask"),
    ("ww.compile(ww.derive(net, 'K'), target='jax')", "target='jax' needs jax", "jax"),
    ("ww.compile(ww.derive(net, 'K'), target='torch')", "target='torch' needs torch", "torch"),
    ("__import__('widthwise.cli')", "the command line needs typer", "cli"),
]


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT / "tests")


@pytest.mark.quick
def test_without_extras_theory_and_numbers_work_and_the_rest_says_what_it_needs():
    lines = [f"print(told(lambda: {call}))" for call, *_ in ASKED]
    found = run(BLOCK + SETUP + WORKS + f"sys.modules |= dict.fromkeys({TARGETS!r})\n" + "\n".join(lines))
    assert found.returncode == 0, found.stderr
    for (call, text, extra), line in zip(ASKED, found.stdout.splitlines(), strict=True):
        assert text in line, call
        assert "which is not installed; allowed: pip install " in line
        assert f"pip install '.[{extra}]'" in line


def test_the_command_without_its_library_is_a_sentence():
    found = run(BLOCK + "from widthwise.__main__ import main\nmain()")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: the command line needs typer")
    assert "Traceback" not in found.stderr


def test_extras_are_those_of_the_project():
    required = {name.split(">")[0] for name in PROJECT["dependencies"]}
    extras = PROJECT["optional-dependencies"]
    for library, (extra, package) in EXTRAS.items():
        assert any(part.split("[")[0] in " ".join(extras[extra]) for part in package.strip("'").split()), library
        assert not required & {part.split(">")[0] for part in extras[extra]}
    assert len(required) <= 10
