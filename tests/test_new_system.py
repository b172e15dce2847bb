"""A new system is a module on each floor and one row: ``tests/toy`` goes through all verbs and has its commands.

Nothing in the package knows of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import widthwise as ww
from widthwise import cli, systems
from widthwise.theory.language.errors import InvalidArgument, NotAvailable, UnknownName
from widthwise.validation.confrontation.report import Report

TESTS = Path(__file__).parent
X = np.array([[1.0, 2.0, 0.5], [0.3, -0.4, 1.0]])
runner = CliRunner()


@pytest.fixture
def toy(monkeypatch):
    """The subject's class, registered."""
    monkeypatch.syspath_prepend(TESTS)
    from toy.row import ROW

    systems.register(ROW)
    yield ROW.type()
    systems.unregister("toy")


def test_all_verbs_serve_it(toy, tmp_path):
    """Squares of a ReLU: <phi^2> = K/2 and <phi^4> = 3 K^2/2, so that the noise is 5 K^2/4."""
    features = toy("relu", C_W=2.0)
    equations = ww.derive(features)
    assert list(equations) == ["q", "noise"]
    assert str(equations) == "q = K/2\nnoise = 5*K**2/4"
    assert equations.latex(steps=True).startswith("\\paragraph{Independent features.}")
    code = ww.compile(equations)
    assert "def quantities" in code.save(tmp_path / "code.py").read_text(encoding="utf-8")
    K = 2 * np.sum(X**2, axis=1) / 3
    assert np.allclose(code(K)["noise"], 5 * K**2 / 4)
    theory, measured = ww.predict(features, X), ww.simulate(features, X, width=50, networks=400)
    assert np.allclose(theory["q"], K / 2)
    assert theory["q"].dims == measured["q"].dims == measured["q_stderr"].dims
    report = ww.validate(features, X)
    assert isinstance(report, Report)
    assert report.passed, report
    assert set(report.table["quantity"]) == {"q", "noise"}
    assert report.to_html(tmp_path / "report.html").stat().st_size > 1000
    assert "q" in report.to_latex()


def test_a_wrong_theory_of_it_fails(toy):
    """The negative control: features that would not be squared, at a noise of three quarters."""
    features = toy("relu", C_W=2.0)
    equations = ww.derive(features)
    wrong = equations.with_(noise=equations["noise"].rhs * 3 / 4)
    report = ww.validate(features, X, equations=wrong)
    assert not report.passed
    assert set(report.table.loc[~report.table["passed"], "quantity"]) == {"noise"}


def test_its_errors_are_those_of_the_verbs(toy):
    with pytest.raises(
        TypeError, match=r"validate: got an unexpected keyword argument 'width'; allowed: validate\(features, X"
    ):
        ww.validate(toy("relu"), X, width=3)
    with pytest.raises(InvalidArgument, match=r"the system 'toy' has no such verb; it has derive, "):
        ww.fluctuations(toy("relu"), X)
    with pytest.raises(InvalidArgument, match="allowed: MLP, Training, RandomFeatures"):
        ww.predict("relu", X)
    systems.unregister("toy")
    with pytest.raises(InvalidArgument, match=r"allowed: MLP, Training$"):
        ww.predict(toy("relu"), X)
    with pytest.raises(UnknownName, match="system='network' is not known"):
        systems.unregister("network")
    from toy.row import ROW

    systems.register(ROW)


def test_it_has_commands(toy, tmp_path):
    """Options are the parameters of the subject's constructor and of the functions; data come from files."""
    np.save(tmp_path / "X.npy", X)
    given = ["relu", "--C_W", "2", "--X", str(tmp_path / "X.npy")]

    def out(*arguments: str) -> str:
        result = runner.invoke(cli.app, ["toy", *arguments])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    assert "Averages over random features." in runner.invoke(cli.app, ["--help"]).output
    assert out("derive", "relu") == "q = K/2\nnoise = 5*K**2/4\n"
    assert "Independent features" in out("derive", "relu", "--steps")
    assert "def quantities" in out("compile", "relu")
    assert "wrote" in out("predict", *given, "-o", str(tmp_path / "theory.nc"))
    with xr.open_dataset(tmp_path / "theory.nc", engine="h5netcdf") as theory:
        assert np.array_equal(theory["q"], ww.predict(toy("relu", C_W=2.0), X)["q"])
    assert "±" in out("simulate", *given, "--networks", "100", "--width", "8")
    assert "PASSED" in out("validate", *given, "--widths", "16,32", "--html", str(tmp_path / "r.html"))
    assert "--equations" not in out("validate", "--help")
    result = runner.invoke(cli.app, ["toy", "predict", "relu"])
    assert result.exit_code == 2
    assert "--X" in result.output


def test_a_package_brings_its_row_by_an_entry_point(tmp_path):
    """In a fresh process the row of an installed package is found, in Python and on the command line."""
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[widthwise.systems]\ntoy = toy.row:ROW\n", encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(tmp_path), str(TESTS), os.environ.get("PYTHONPATH")]))

    def run(*arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": path}
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=300
        ).stdout

    assert run("-m", "widthwise.cli", "toy", "derive", "relu") == "q = K/2\nnoise = 5*K**2/4\n"
    assert "toy" in run("-m", "widthwise.cli", "--help")
    code = "import widthwise as ww; from toy.theory import RandomFeatures; print(ww.derive(RandomFeatures('sin'))['q'].rhs)"
    assert "exp(-2*K)" in run("-c", code)


def test_parameters_that_no_text_can_give_are_told(toy):
    """A system whose subject takes an object by position has no command line without a module of its own."""
    from widthwise.commands.vocabulary import options_of

    def subject(matrix: np.ndarray, count: int = 3) -> None: ...

    with pytest.raises(NotAvailable, match="matrix of subject cannot be typed on a command line; allowed: "):
        options_of(subject)
