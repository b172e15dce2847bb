"""The generated text: it stands on its own, says what it computes, and is what the derivation says."""

from __future__ import annotations

import ast
import subprocess
import sys
import warnings

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose, assert_array_equal

from widthwise.numerics.codegen import modules as codegen
from widthwise.numerics.codegen.modules import compile
from widthwise.numerics.initialisation.predict import predict
from widthwise.theory.averages.gaussian import Average
from widthwise.theory.initialisation.derivation import Recursions
from widthwise.theory.initialisation.derive import derive
from widthwise.theory.language.errors import InvalidArgument
from widthwise.theory.language.jets import Jet, Sigma
from widthwise.theory.language.symbols import C_W, lambda_W
from widthwise.theory.networks.architecture import MLP

#: Those that every sort of activation has for several inputs.
NAMES = ("K", "Theta", "V", "D", "F", "A", "B", "K1", "Theta1")
PARAMETERS = {"C_W": 1.5, "C_b": 0.1, "lambda_W": 1.0, "lambda_b": 0.5}
STEP = PARAMETERS | {"rho": 1.0}
X = np.array([[1.0, 0.5, 0.0], [-0.7, 0.25, 1.0], [0.3, 0.3, -2.0], [0.0, 1.0, 1.0], [1.0, 0.5, 0.0]])

# Closed forms only; a mixture; quadrature only; a kink with closed forms of pairs; a kink without.
SORTS = ("sin", "erf", "tanh", "relu", "elu")
over_sorts = pytest.mark.parametrize("name", SORTS)


def system(name: str, *, single: bool = False, quantities: tuple[str, ...] = NAMES) -> Recursions:
    return derive(MLP(name), samples=1 if single else None).restrict(quantities)


# ------------------------------------------------------------------------------------------------- standing alone

# What a machine without this project would do: anything but NumPy and SciPy fails to import.
ALONE = """
import importlib.util, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"sympy", "mpmath", "widthwise", "xarray", "jinja2", "pandas", "sklearn"}:
            raise ImportError(f"{name} is not to be needed")

sys.meta_path.insert(0, Refuse())
for forbidden in ("sympy", "widthwise"):
    try:
        importlib.import_module(forbidden)
    except ImportError:
        continue
    raise SystemExit(f"{forbidden} could be imported: the test does not test")
spec = importlib.util.spec_from_file_location("generated", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["generated"] = module
spec.loader.exec_module(module)
import numpy as np
result = module.recursion(np.load(sys.argv[2]), 3, C_W=1.5, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
np.savez(sys.argv[3], **result)
"""


@over_sorts
@pytest.mark.parametrize("m", [1, 2])
def test_saved_source_runs_with_numpy_and_scipy_alone(name, m, tmp_path):
    path = compile(system(name, single=m == 1)).save(tmp_path / "generated.py")
    np.save(tmp_path / "X.npy", X[:m])
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        ALONE,
        str(path),
        str(tmp_path / "X.npy"),
        str(tmp_path / "out.npz"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    theory = predict(MLP(name, depth=3, **PARAMETERS), X[:m], NAMES)
    with np.load(tmp_path / "out.npz") as alone:
        for q in NAMES:
            assert_array_equal(alone[q].reshape(theory[q].shape), theory[q].values, err_msg=q)


# ---------------------------------------------------------------------------------------------- the derivation rules


def test_changed_derivation_changes_the_numbers():
    """The code is written from the derivation: a factor in its law arrives in the numbers, and only there."""
    right = system("tanh", quantities=("K", "V"))
    mutated = right.with_(V=3 * right.system["V"].rhs)
    state = {"K": np.array([[1.0, 0.4], [0.4, 0.8]]), "V": np.full((2,) * 4, 0.1)}
    before = compile(right)(state, C_W=1.5, C_b=0.1, rho=1.0)
    after = compile(mutated)(state, C_W=1.5, C_b=0.1, rho=1.0)
    assert_array_equal(after["K"], before["K"])
    assert_allclose(after["V"], 3 * before["V"], rtol=1e-13)
    assert abs(before["V"]).min() > 0


def test_mutated_term_of_a_law_changes_exactly_that_term():
    """K' = C_b + C_W <sigma sigma> with sigma' sigma' added: the difference is that average."""
    K = derive(MLP("sin"), "K")
    a, b = Jet("1"), Jet("2")
    slope = Average(Sigma(a, 1) * Sigma(b, 1))
    mutated = K.with_(K=K.law.right + lambda_W * C_W * slope)
    kernel = np.array([[1.0, 0.4], [0.4, 0.8]])
    before = compile(K)({"K": kernel}, C_W=1.5, C_b=0.1)["K"]
    after = compile(mutated)({"K": kernel}, C_W=1.5, C_b=0.1, lambda_W=2.0)["K"]
    v = np.diag(kernel)
    exact = np.exp(-(v[:, None] + v) / 2) * np.cosh(kernel)  # <cos cos>
    assert_allclose(after - before, 2.0 * 1.5 * exact, rtol=1e-13)


# ------------------------------------------------------------------------------------------------- what the text says


def functions(source: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


@over_sorts
@pytest.mark.parametrize("single", [False, True])
def test_every_function_shows_its_equation(name, single):
    derivations = system(name, single=single)
    found = functions(compile(derivations).source)
    for q in NAMES:
        doc = ast.get_docstring(found[f"{q}_next"], clean=True)
        assert doc is not None
        assert " ".join(doc.split()) == " ".join(str(derivations.statement(q)).split())
    for function in (
        *(["sigma"] if "sigma" in found else []),
        "averages",
        "step",
        "first_layer",
        "recursion",
        *(f for f in found if "closed_forms" in f),
    ):
        assert ast.get_docstring(found[function]), function
    assert str(MLP(name).activation.expr) in ast.get_docstring(ast.parse(compile(derivations).source))


def test_names_of_averages_are_explained():
    """Each table of averages is written out where it is computed."""
    source = compile(system("erf")).source
    assert '"E_0_0_0_0": (((0,), (0,), (0,), (0,)), (0, 0, 0, 0)),  # <sigma_a*sigma_b*sigma_c*sigma_d>' in source
    assert "E_1_3 = <sigma'_a*sigma'''_b>" in source


@over_sorts
def test_common_subexpressions_are_computed_once(name):
    """A temporary is worth its name: each is used at least twice, and the long laws have some."""
    found = functions(compile(system(name)).source)
    for q in ("V", "D", "A", "Theta1"):
        body = [node for node in ast.walk(found[f"{q}_next"]) if isinstance(node, ast.Name)]
        stored = {n.id for n in body if isinstance(n.ctx, ast.Store) and n.id[0] == "x" and n.id[1:].isdigit()}
        assert stored, q
        for temporary in stored:
            assert sum(n.id == temporary and isinstance(n.ctx, ast.Load) for n in body) >= 2, (q, temporary)


def test_closed_forms_leave_no_quadrature():
    """All averages of sin are elementary: no table of terms, no nodes, no weights."""
    for single in (True, False):
        source = compile(system("sin", single=single)).source
        for word in ("gaussian_averages", "tables(", "TERMS", "roots_hermitenorm", "quadrature\n"):
            assert word not in source, word
    assert "gaussian_averages" in compile(system("tanh")).source


@over_sorts
@pytest.mark.parametrize("single", [False, True])
def test_generated_text_passes_the_linter(name, single, tmp_path):
    path = compile(system(name, single=single)).save(tmp_path / "generated.py")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_same_derivation_gives_the_same_text():
    """Nothing in the text depends on the order of a set, the time or the machine."""
    derivations = system("gelu")
    assert codegen.write(derivations) == codegen.write(derivations)
    script = (
        "from widthwise.numerics.codegen.modules import compile\nfrom widthwise.theory.networks.architecture import MLP\n"
        "from widthwise.theory.initialisation.derive import derive\nprint(compile(derive(MLP('gelu'), 'V')).source, end='')"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1")
    }
    assert len(texts) == 1


# ------------------------------------------------------------------------------------------------------- vectorised


@pytest.mark.parametrize("name", ["linear", "quadratic", "sin", "erf"])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_tensors_of_many_inputs_come_in_one_call(name, m):
    """Entry by entry the same as the tensors of the inputs involved, also where a closed form is a constant."""
    net = MLP(name, depth=2, C_W=0.5, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        theory = predict(net, X[:m])
    for q in NAMES:
        assert theory[q].shape == (2,) + (m,) * (theory[q].ndim - 1)
        assert np.isfinite(theory[q]).all()
    pair = [0, m - 1]
    sub, some = predict(net, X[pair]), theory.isel(sample=pair, sample2=pair, sample3=pair, sample4=pair)
    for q in NAMES:
        assert_allclose(some[q].values, sub[q].values, rtol=0, atol=1e-7 * abs(sub[q].values).max() + 1e-12, err_msg=q)


def test_code_for_one_input_takes_arrays_of_kernels():
    """Without sample indices every tensor has the shape of K: a whole grid of networks in one call."""
    compiled = compile(system("tanh", single=True))
    grid = np.linspace(0.1, 2.0, 6).reshape(2, 3)
    state = {q: np.full(grid.shape, 0.3) for q in NAMES} | {"K": grid}
    together = compiled(state, **STEP)
    for q in NAMES:
        assert together[q].shape == grid.shape
        apart = [compiled({n: v.flat[i] for n, v in state.items()}, **STEP)[q] for i in range(grid.size)]
        assert_allclose(together[q].ravel(), apart, rtol=1e-9, err_msg=q)


# ---------------------------------------------------------------------------------------------------------- conduct


def test_known_hyperparameters_are_not_arguments_of_the_laws():
    net = MLP("sin", C_W=2, C_b=0)
    source = compile(derive(net, "K")).source
    assert "def K_next(state, E):" in source
    state = {"K": np.array([[0.5]])}
    assert_allclose(compile(derive(net, "K"))(state)["K"], 2 * np.exp(-0.5) * np.sinh(0.5))


@pytest.mark.parametrize("what", [derive(MLP(), "K"), sp.Integer(1), None], ids=["unspecified", "number", "None"])
def test_what_cannot_be_compiled_is_refused(what):
    with pytest.raises(InvalidArgument, match=r"activation='sigma'|allowed: what derive"):
        compile(what)


def test_compiled_code_can_be_pickled():
    """A pickle holds the text, and loads it again."""
    import pickle

    compiled = compile(derive(MLP("sin"), "K"))
    again = pickle.loads(pickle.dumps(compiled))
    assert again == compiled
    state = {"K": np.array([[0.5, 0.2], [0.2, 0.4]])}
    given = {"C_W": 1.0, "C_b": 0.0}
    assert_array_equal(again(state, **given)["K"], compiled(state, **given)["K"])


@pytest.mark.parametrize(
    ("changes", "name"), [({"C_W": (1, 2, 1.5)}, "C_W"), ({"weights": ["gaussian", "orthogonal", "gaussian"]}, "tau")]
)
def test_a_recursion_with_other_numbers_in_each_layer_is_refused(changes, name):
    """One text of the map between two layers does not know the numbers of all layers."""
    given = {"depth": 3, "C_W": 1, "C_b": 0, "lambda_W": 1, "lambda_b": 0} | changes
    code = compile(derive(MLP("tanh", **given)).restrict(("K", "Theta")))
    with pytest.raises(InvalidArgument, match=f"{name}: the network has another value in each layer"):
        code.recursion([[1.0, 0.5]], 3)
