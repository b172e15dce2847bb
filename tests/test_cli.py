"""The command line: what a newcomer types, and what a wrong argument answers."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
import typer
import xarray as xr
from typer.testing import CliRunner

import widthwise as ww
from widthwise import cli
from widthwise.commands import results
from widthwise.commands.compose import built
from widthwise.commands.tools import TOOLS
from widthwise.commands.vocabulary import WORDS
from widthwise.systems import NETWORK, TRAINING
from widthwise.theory.language.errors import InvalidArgument, WidthwiseError

runner = CliRunner()


def out(*arguments: str) -> str:
    result = runner.invoke(cli.app, list(arguments))
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


COMMANDS = [
    *([verb] for verb in NETWORK.places),
    *([tool] for tool in TOOLS),
    *(["training", verb] for verb in TRAINING.places),
]


def test_help_names_all_commands():
    top, training = out("--help"), out("training", "--help")
    assert all(command[-1] in (training if len(command) == 2 else top) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_a_command_explains_its_options(command):
    """Each option says what it is; flags are shown without a value."""
    text = out(*command, "--help")
    assert "Usage" in text
    assert "<bool>" not in text


def test_version_is_that_of_the_package():
    assert out("--version") == f"widthwise {ww.__version__}\n"
    assert re.fullmatch(r"0\.3\.0(\.dev\d+)?", ww.__version__)


#: Keywords of functions that no text can give: other equations, limits for networks, and executors.
NOT_TYPED = {"equations", "executor", "limits"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_options_are_the_keywords_of_python(command):
    """Each keyword of the function behind a verb is an option of the same name, and has a meaning in the vocabulary."""
    row = TRAINING if command[0] == "training" else NETWORK
    if command[0] in TOOLS or command[-1] in ("derive", "compile"):
        return
    keywords = list(inspect.signature(row.function(command[-1])).parameters)[1:]
    text = out(*command, "--help")
    for keyword in keywords:
        assert (f"--{keyword} " in text) == (keyword not in NOT_TYPED), keyword
        assert keyword in NOT_TYPED or WORDS[keyword].about, keyword


def test_dashes_and_underscores_are_the_same():
    assert out("derive", "-q", "K", "--one-input") == out("derive", "-q", "K", "--one_input")
    assert "Usage" in out("phase-diagram", "--help")


def test_derive_prints_text_latex_and_steps():
    assert out("derive", "tanh", "-q", "K", "--one-input") == "K' = C_W*<sigma**2> + C_b\n"
    assert out("derive", "-q", "V", "--format", "latex").startswith("\\begin{align}")
    assert "Price: " in out("derive", "-q", "V", "--steps")
    assert "sinh" in out("derive", "sin", "-q", "K", "--closed-forms")
    assert out("derive", "--one-input").count("\n") >= 9


def test_average_prints_a_closed_form_or_a_number_with_its_error():
    assert out("average", "relu(a)**2") == "K_aa/2\n"
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


def test_compile_writes_a_module(tmp_path):
    path = tmp_path / "code.py"
    assert "wrote" in out("compile", "sin", "-o", str(path), "--one-input", "--quantities", "K,V")
    compile(path.read_text(), str(path), "exec")
    assert "def V_next" in path.read_text()
    assert "def K_next" in out("compile", "sin", "--quantities", "K")


def test_critical_prints_the_point():
    text = out("critical", "gelu")
    assert "1.98305825744" in text
    assert "0.17292239075" in text
    assert "K* = 0 is unstable" in text
    assert "no critical point" in out("critical", "softplus")


def test_asymptotics_prints_text_and_latex():
    assert "2*ell/3" in out("asymptotics", "tanh", "--quantities", "V")
    assert out("asymptotics", "tanh", "--weights", "orthogonal", "--quantities", "V").count("-2")
    text = out("asymptotics", "relu", "--residual", "0.5", "--quantities", "V", "--format", "latex")
    assert text.startswith("\\begin{align}")
    assert "arcsin" in text


def test_ensembles_orders_and_skips():
    common = ["--depth", "3", "--images", "0", "--quantities"]
    assert "-1.1235" in out("predict", "tanh", "--weights", "orthogonal", *common, "V")
    assert "V1" in out("predict", "sin", "--order", "2", *common, "V1")
    assert "critical C_W = (2.0, 1.5, 1.5)" in out("predict", "relu", "--residual", "0.5", *common, "V")
    assert out("derive", "-q", "K2", "--order", "2", "--one-input").startswith("K2' = ")
    assert "tau" in out("derive", "-q", "V", "--one-input", "--weights", "orthogonal")
    assert "def V1_next" in out("compile", "sin", "--one-input", "--order", "2")


def test_predict_and_simulate_make_tables_and_files(tmp_path):
    np.save(tmp_path / "X.npy", np.eye(2, 3))
    common = ["--depth", "3", "--C_W", "1", "--X", str(tmp_path / "X.npy"), "--quantities", "K,V"]
    assert "layer" in out("predict", "tanh", *common, "-o", str(tmp_path / "theory.nc"))
    assert "±" in out("simulate", "tanh", *common, "--width", "8,10", "--networks", "64", "-o", str(tmp_path / "mc.nc"))
    with xr.open_dataset(tmp_path / "theory.nc", engine="h5netcdf") as theory:
        assert theory["V"].dims == ("layer", "sample", "sample2", "sample3", "sample4")
    with xr.open_dataset(tmp_path / "mc.nc", engine="h5netcdf") as measured:
        assert "V_stderr" in measured


def test_validate_reports_and_its_exit_status_is_the_verdict(tmp_path):
    arguments = ["validate", "linear", "--depth", "2", "--widths", "8,16", "--networks", "512", "--images", "3"]
    arguments += ["--quantities", "K,Theta", "--netcdf", str(tmp_path / "r.nc"), "--latex", str(tmp_path / "r.tex")]
    text = out(*arguments)
    assert "PASSED" in text
    assert (tmp_path / "r.nc").exists()
    assert (tmp_path / "r.tex").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "tahn"], "did you mean 'tanh'"),
        (["predict", "relu", "--C_W=-1"], "C_W=-1.0 is a variance"),
        (["predict", "tanh", "--weights", "orthagonal"], "did you mean 'orthogonal'"),
        (["predict", "tanh", "--order", "4"], "order=4; allowed: 0"),
        (["predict", "gelu", "--residual", "0.5"], "--C_W is needed"),
        (["predict", "relu", "--residual", "2"], "allowed: reals from -1 to 1"),
        (["asymptotics", "softplus"], "no critical point"),
        (["predict", "relu", "--C_W", "one"], "--C_W='one' cannot be read"),
        (["predict", "exp(x**2)", "--C_W", "1"], "not finite under a Gaussian"),
        (["predict", "x*y", "--C_W", "1"], "exactly one symbol"),
        (["predict", "__import__('os')", "--C_W", "1"], "cannot be read"),
        (["predict", "softplus"], "--C_W is needed"),
        (["predict", "tanh", "--quantities", "G"], "quantity='G' is not known"),
        (["predict", "tanh", "--X", "nowhere.npy"], "does not exist"),
        (["predict", "tanh", "--images", "99999"], "allowed: numbers of images"),
        (["predict", "tanh", "--depth", "0"], "depth=0"),
        (["simulate", "tanh", "--width", "8", "--networks", "1"], "at least 2"),
        (["simulate", "tanh"], "width=None: only a network of given width"),
        (["validate", "tanh", "--widths", "32"], "at least two different widths"),
        (["derive", "tanh", "-q", "thta"], "did you mean 'Theta'"),
        (["predict", "tanh", "--depth", "two"], "--depth='two' cannot be read; allowed: an integer"),
        (["validate", "tanh", "--alpha", "small"], "--alpha='small' cannot be read; allowed: a number"),
        (["predict", "tanh", "--no-such-option", "1"], "No such option"),
        (["prdict", "tanh"], "No such command 'prdict'"),
        (["training", "predict", "tanh"], "Missing option '--times'"),
        (["training", "predict", "tanh", "--times", "0,1,x"], "--times='0,1,x' cannot be read"),
        (["training", "predict", "tanh", "--times", "3", "--learning_rate", "0"], "learning_rate=0"),
        (["training", "predict", "tanh", "--times", "3", "--X", "nowhere.npy"], "--X=nowhere.npy does not exist"),
        (["training", "predict", "tanh", "--times", "3", "--classes", "1"], "two different digits"),
        (["training", "predict", "tanh", "--times", "3", "--loss", "f-"], "--loss='f-' cannot be read"),
        (["phase_diagram", "tanh", "--sigma_w", "1,2", "-o", "p.png"], "first, last and number of points"),
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


@pytest.mark.parametrize(
    ("show", "option"),
    [
        (results.dataset, "--output"),
        (results.code, "-o"),
        (results.picture, "-o"),
        *((results.report, file) for file in ("--html", "--netcdf", "--latex")),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_the_work(show, option, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    started = []

    def work(*, seed: int = 0) -> None:
        started.append(seed)
        raise InvalidArgument("work started")

    app = typer.Typer()
    app.command()(built(work, show))
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "file" / "x.nc", "Not a directory|File exists")):
        result = runner.invoke(app, [option, str(path)])
        assert re.search(f"=.*cannot be written: ({reason})", str(result.exception))
        assert not started
    result = runner.invoke(app, [option, str(tmp_path / "new" / "x.nc")])
    assert "cannot be written: No such file or directory" in str(result.exception)
    assert not started
    assert not (tmp_path / "new").exists()  # no folder is made that was not asked for
    runner.invoke(app, [option, str(tmp_path / "x.nc"), "--seed", "3"])
    assert started == [3]
    assert not (tmp_path / "x.nc").exists()


def test_training_goes_through_all_verbs(tmp_path):
    """Small settings: predictions are files with axes, code is a module, a verdict is an exit status."""
    common = ["linear", "--learning_rate", "0.03", "--times", "0,3", "--per_class", "1", "--quantities", "f,loss"]
    assert "gamma_0" in out("training", "derive", "tanh")
    assert out("training", "derive", "linear", "--steps").count("\n\n") > 3
    compile(out("training", "compile", "tanh"), "code", "exec")
    assert "loss" in out("training", "predict", *common, "-o", str(tmp_path / "theory.nc"))
    assert "±" in out(
        "training", "simulate", *common, "--width", "16", "--networks", "4", "-o", str(tmp_path / "mc.nc")
    )
    with xr.open_dataset(tmp_path / "theory.nc", engine="h5netcdf") as theory:
        assert theory["f"].dims == ("time", "sample")
        with xr.open_dataset(tmp_path / "mc.nc", engine="h5netcdf") as measured:
            assert measured["f"].shape == theory["f"].shape == (2, 2)
    widths = ["--widths", "32,64", "--networks", "32", "--html", str(tmp_path / "r.html")]
    assert "PASSED" in out("training", "validate", *common, *widths)
    assert (tmp_path / "r.html").exists()
    assert "f_variance" in out(
        "training", "fluctuations", "tanh", "--depth", "2", *common[1:-1], "f", "--replicas", "2", "--samples", "64"
    )


def test_training_reads_inputs_and_labels(tmp_path):
    np.save(tmp_path / "X.npy", np.eye(2, 3))
    np.savetxt(tmp_path / "y.csv", [1.0, -1.0], delimiter=",")
    files = ["--X", str(tmp_path / "X.npy"), "--y", str(tmp_path / "y.csv")]
    common = ["training", "predict", "linear", "--times", "2", "--learning-rate", "0.1", "--quantities", "f"]
    out(*common, *files, "--X_test", str(tmp_path / "X.npy"), "-o", str(tmp_path / "f.nc"))
    flow = ww.Training(ww.MLP("linear", depth=3), learning_rate=0.1)
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as found:
        expected = ww.predict(flow, np.eye(2, 3), [1.0, -1.0], times=2, X_test=np.eye(2, 3), quantities="f")
        assert np.array_equal(found["f"], expected["f"])
    result = runner.invoke(cli.app, [*common, *files[:2]])
    assert "--y is missing" in str(result.exception)


def test_kernels_and_phases_are_files(tmp_path):
    assert "Theta" in out("kernel", "relu", "--depth", "3", "-o", str(tmp_path / "k.nc"))
    with xr.open_dataset(tmp_path / "k.nc", engine="h5netcdf") as found:
        assert found["K"].dims == ("sample", "sample2")
        assert found["Theta"].shape == (2, 2)
    grids = ["--sigma_w", "0.5,2,8", "--sigma_b", "0,1,6"]
    assert "wrote" in out("phase_diagram", "tanh", *grids, "-o", str(tmp_path / "phases.png"))
    assert (tmp_path / "phases.png").stat().st_size > 1000


def test_the_keyboard_ends_a_command(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("widthwise.verbs.derive", interrupted)
    monkeypatch.setattr("sys.argv", ["widthwise", "derive", "tanh"])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_errors_are_value_errors():
    assert issubclass(WidthwiseError, ValueError)


def test_no_system_can_have_the_name_of_a_command():
    assert set(TOOLS) == set(ww.systems.COMMANDS)
