"""The command line: what a newcomer types, and what a wrong argument answers."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from widthwise import cli
from widthwise.theory.language.errors import WidthwiseError

runner = CliRunner()


def out(*arguments: str) -> str:
    result = runner.invoke(cli.app, list(arguments))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


COMMANDS = ["derive", "average", "generate", "predict", "simulate", "validate", "critical", "asymptotics"]


def test_help_names_all_commands():
    text = out("--help")
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_explains_its_options(command):
    assert "Usage" in out(command, "--help")


def test_derive_prints_text_latex_and_steps():
    assert out("derive", "tanh", "-q", "K", "--one-input") == "K' = C_W*<sigma**2> + C_b\n"
    assert out("derive", "-q", "V", "--format", "latex").startswith("\\begin{align}")
    assert "Price: " in out("derive", "-q", "V", "--steps")
    assert "sinh" in out("derive", "sin", "-q", "K", "--closed-forms")
    assert out("derive", "--one-input").count("\n") >= 9


def test_average_prints_a_closed_form_or_a_number_with_its_error():
    assert out("average", "relu(a)**2") == "K[a,a]/2\n"
    assert "\\arcsin" in out("average", "erf(a)*erf(b)", "--format", "latex")
    assert out("average", "tanh(a)**2", "-k", "1").startswith("0.39429449039784")
    assert out("average", "sin(a)**2", "-k", "1/2", "--digits", "30").startswith("0.316060279414278839202238114919 +- ")
    assert out("average", "relu'(a)*relu'(b)", "-k", "1,1/2; 1/2,1").startswith("0.33333333333333")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tanh(a+b)",), "couples a, b"),
        (("relu''(a)**2",), "diverges at a = 0"),
        (("relu(a)*relu(b)", "-k", "1,2;2,1"), "not positive semi-definite"),
        (("relu(a)*relu(b)", "-k", "1,2;2"), "square matrix"),
        (("rleu(a)",), "did you mean 'relu'"),
    ],
)
def test_average_says_what_is_wrong(arguments, message):
    result = runner.invoke(cli.app, ["average", *arguments])
    assert result.exit_code
    assert isinstance(result.exception, WidthwiseError)
    assert message in str(result.exception)


def test_a_family_is_an_activation_too():
    assert out("derive", "leaky_relu(0.2)", "-q", "K", "--one-input", "--closed-forms") == "K' = 13*C_W*K/25 + C_b\n"


def test_generate_writes_a_module(tmp_path):
    path = tmp_path / "code.py"
    assert "wrote" in out("generate", "sin", "-o", str(path), "--one-input", "--quantities", "K,V")
    compile(path.read_text(), str(path), "exec")
    assert "def V_next" in path.read_text()
    assert "def K_next" in out("generate", "sin", "--quantities", "K")


def test_critical_prints_the_point():
    text = out("critical", "gelu")
    assert "1.98305825744" in text
    assert "0.17292239075" in text
    assert "K* = 0 is unstable" in text
    assert "no critical point" in out("critical", "softplus")


def test_asymptotics_prints_text_and_latex():
    assert "2*ell/3" in out("asymptotics", "tanh", "--quantities", "V")
    assert out("asymptotics", "tanh", "--weights", "orthogonal", "--quantities", "V").count("-2")
    text = out("asymptotics", "relu", "--gamma", "0.5", "--quantities", "V", "--format", "latex")
    assert text.startswith("\\begin{align}")
    assert "arcsin" in text


def test_ensembles_orders_and_skips():
    common = ["--depth", "3", "--digits", "0", "--quantities"]
    assert "-1.1235" in out("predict", "tanh", "--weights", "orthogonal", *common, "V")
    assert "V1" in out("predict", "sin", "--order", "2", *common, "V1")
    assert "critical C_W = (2.0, 1.5, 1.5)" in out("predict", "relu", "--residual", "0.5", *common, "V")
    assert out("derive", "-q", "K2", "--order", "2", "--one-input").startswith("K2' = ")
    assert "tau" in out("derive", "-q", "V", "--one-input", "--weights", "orthogonal")
    assert "def V1_next" in out("generate", "sin", "--one-input", "--order", "2")


def test_predict_and_simulate_make_tables_and_files(tmp_path):
    np.save(tmp_path / "X.npy", np.eye(2, 3))
    common = ["--depth", "3", "--c-w", "1", "--inputs", str(tmp_path / "X.npy"), "--quantities", "K,V"]
    assert "layer" in out("predict", "tanh", *common, "-o", str(tmp_path / "new" / "theory.nc"))
    assert "±" in out("simulate", "tanh", *common, "--width", "8,10", "--networks", "64", "-o", str(tmp_path / "mc.nc"))
    with xr.open_dataset(tmp_path / "new" / "theory.nc", engine="h5netcdf") as theory:
        assert theory["V"].dims == ("layer", "sample", "sample2", "sample3", "sample4")
    with xr.open_dataset(tmp_path / "mc.nc", engine="h5netcdf") as measured:
        assert "V_stderr" in measured


def test_validate_reports_and_its_exit_status_is_the_verdict(tmp_path):
    arguments = ["validate", "linear", "--depth", "2", "--widths", "8,16", "--networks", "512", "--digits", "3"]
    arguments += ["--quantities", "K,Theta", "--netcdf", str(tmp_path / "r.nc"), "--latex", str(tmp_path / "r.tex")]
    text = out(*arguments)
    assert "PASSED" in text
    assert (tmp_path / "r.nc").exists()
    assert (tmp_path / "r.tex").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "tahn"], "did you mean 'tanh'"),
        (["predict", "relu", "--c-w=-1"], "C_W=-1.0 is a variance"),
        (["predict", "tanh", "--weights", "orthagonal"], "did you mean 'orthogonal'"),
        (["predict", "tanh", "--order", "4"], "order=4; allowed: 0"),
        (["predict", "gelu", "--residual", "0.5"], "--c-w is needed"),
        (["predict", "relu", "--residual", "2"], "allowed: reals from -1 to 1"),
        (["asymptotics", "softplus"], "no critical point"),
        (["predict", "relu", "--c-w", "one"], "--c-w='one' cannot be read"),
        (["predict", "exp(x**2)", "--c-w", "1"], "not finite under a Gaussian"),
        (["predict", "x*y", "--c-w", "1"], "exactly one symbol"),
        (["predict", "__import__('os')", "--c-w", "1"], "cannot be read"),
        (["predict", "softplus"], "--c-w is needed"),
        (["predict", "tanh", "--quantities", "G"], "quantity='G' is not known"),
        (["predict", "tanh", "--inputs", "nowhere.npy"], "does not exist"),
        (["predict", "tanh", "--digits", "99999"], "allowed: numbers of images"),
        (["predict", "tanh", "--depth", "0"], "depth=0"),
        (["simulate", "tanh", "--networks", "1"], "at least 2"),
        (["validate", "tanh", "--widths", "32"], "at least two different widths"),
        (["derive", "tanh", "-q", "thta"], "did you mean 'Theta'"),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else "",
)
def test_a_wrong_argument_is_one_sentence_and_status_two(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["widthwise", *arguments])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 2
    captured = capsys.readouterr()
    error = captured.err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in captured.err + captured.out


def test_errors_are_value_errors():
    assert issubclass(WidthwiseError, ValueError)
