"""Generated code for JAX and PyTorch: the numbers of the NumPy program, and slopes that Price's theorem and differences confirm."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

from widthwise.numerics.codegen import targets
from widthwise.numerics.codegen.modules import Compiled, compile
from widthwise.numerics.codegen.printing import differentiable_text
from widthwise.numerics.initialisation.predict import predict
from widthwise.numerics.quadrature.quadrature import gaussian_averages
from widthwise.theory.initialisation.derivation import Recursions
from widthwise.theory.initialisation.derive import derive
from widthwise.theory.language.errors import InvalidArgument, NotAvailable
from widthwise.theory.language.symbols import z
from widthwise.theory.networks.activations import ACTIVATIONS, activation
from widthwise.theory.networks.architecture import MLP

NAMES = ("K", "Theta", "V", "D", "F", "A", "B", "K1", "Theta1")
RANK = {"K": 2, "Theta": 2, "K1": 2, "Theta1": 2}
PARAMETERS = {"C_W": 1.5, "C_b": 0.1, "lambda_W": 1.0, "lambda_b": 0.5}
EVERY = PARAMETERS | {"rho": 1.0}
#: Regular, equal, antiparallel and zero inputs.
X = np.array([[1.0, 0.5, 0.0], [-0.7, 0.25, 1.0], [1.0, 0.5, 0.0], [-2.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
#: What has at most two sites, or closed forms for more.
SEVERAL = {
    "sin": NAMES,
    "erf": ("K", "Theta", "F", "B", "K1", "Theta1"),
    "tanh": ("K", "Theta", "K1", "Theta1"),
    "relu": ("K", "Theta", "K1", "Theta1"),
}
#: The text is the same for both libraries. JAX compiles it for seconds, so that it is asked for less of several inputs, and
#: for all quantities of one input with these activations only.
COMPILED = {"sin": ("K", "F"), "erf": ("K", "F"), "tanh": ("K", "K1"), "relu": ("K", "Theta", "K1")}
WHOLE = ("relu", "tanh")
NO_TORCH = "PyTorch is not installed: pip install '.[torch]'"


@dataclass(frozen=True)
class Library:
    """What the tests need of a library."""

    name: str
    array: Callable[[Any], Any]
    jacobian: Callable[[Callable[[Any], Any]], Callable[[Any], Any]]
    vmap: Callable[[Callable[..., Any]], Callable[..., Any]]
    single: Any  #: a number in float32


@pytest.fixture(scope="module")
def jax_library() -> Iterator[Library]:
    import jax

    settings = {"jax_enable_x64": True, "jax_disable_most_optimizations": True}  # compiled to be run once
    before = {name: jax.config.read(name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    yield Library("jax", jax.numpy.asarray, lambda f: jax.jit(jax.jacrev(f)), jax.vmap, jax.numpy.float32(1.5))
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(params=["jax", "torch"])
def library(request: pytest.FixtureRequest, jax_library: Library) -> Library:
    if request.param == "jax":
        return jax_library
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    return Library("torch", torch.as_tensor, torch.func.jacrev, torch.func.vmap, torch.tensor(1.5))


def system(name: str, quantities: tuple[str, ...] = NAMES, *, single: bool = False) -> Recursions:
    return derive(MLP(name), samples=1 if single else None).restrict(quantities)


def state_of(K: np.ndarray, *, single: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    m = len(K)
    state = {name: rng.normal(size=K.shape if single else (m,) * RANK.get(name, 4)) for name in NAMES}
    return state | {"K": K}


def as_arrays(library: Library, state: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: library.array(value) for name, value in state.items()}


def stepped(code: Compiled, state: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """The next layer at our numbers, of which the code takes what stands in its equations."""
    return code(state, **code.arguments("step", EVERY | changed))


def differences(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """The Jacobian to fourth order in h."""
    columns = []
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = h
        columns.append((8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h))
    return np.stack(columns, axis=-1).reshape(*columns[0].shape, *x.shape)


# --------------------------------------------------------------------------------------------- the numbers of NumPy


@pytest.mark.parametrize("name", [a.name for a in ACTIVATIONS])
def test_one_input_equals_numpy(library, name):
    """All quantities of all activations, over an array of kernels that holds zero."""
    everything = library.name == "torch" or name in WHOLE
    quantities = NAMES if everything else ("K", "Theta", "V")
    if activation(name).jumps:
        quantities = ("K", "V")
    derivations = system(name, quantities, single=True)
    state = state_of(np.array([0.3, 1.0, 2.0, 0.0]), single=True)
    found = stepped(compile(derivations, target=library.name), as_arrays(library, state))
    expected = stepped(compile(derivations), state)
    # of the zeros of smooth activations at K = 0 nothing but rounding is left
    for q in quantities:
        assert np.asarray(found[q]).dtype == np.float64
        assert_allclose(found[q], expected[q], rtol=1e-10, atol=1e-12 * abs(expected[q]).max() + 1e-15, err_msg=q)
    assert float(found["average_error"]) < 1e-10


@pytest.mark.parametrize("name", SEVERAL)
def test_several_inputs_equal_numpy(library, name):
    """Equal, parallel and zero inputs among them."""
    quantities = SEVERAL[name] if library.name == "torch" else COMPILED[name]
    derivations = system(name, quantities)
    state = state_of(X @ X.T / 3)
    found = stepped(compile(derivations, target=library.name), as_arrays(library, state))
    expected = stepped(compile(derivations), state)
    for q in quantities:
        assert_allclose(found[q], expected[q], rtol=1e-10, atol=1e-11 * abs(expected[q]).max(), err_msg=q)
    assert float(found["average_error"]) < 1e-10


def test_closed_forms_equal_numpy_to_the_last_digits(library):
    derivations = system("sin", ("K", "Theta", "V"))
    state = state_of(X @ X.T / 3)
    found = stepped(compile(derivations, target=library.name), as_arrays(library, state))
    expected = stepped(compile(derivations), state)
    assert 0.0 < float(found["average_error"]) < 1e-13
    for q in derivations:
        assert_allclose(found[q], expected[q], rtol=1e-12, atol=1e-14 * abs(expected[q]).max(), err_msg=q)


def test_recursion_over_layers_is_what_predict_says(library):
    names = ("K", "Theta")
    compiled = compile(system("gelu", names), target=library.name)
    found = compiled.namespace["recursion"](library.array(X), 3, **PARAMETERS)
    theory = predict(MLP("gelu", depth=3, **PARAMETERS), X, names)
    for q in names:
        assert_allclose(found[q], theory[q].values, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_every_activation_and_its_derivatives_have_a_text(library, activation):
    namespace = compile(system("erf", ("V",), single=True), target=library.name).namespace
    points = np.array([-2.3, -0.7, -0.01, 0.4, 1.7])
    for k in range(5):
        text = differentiable_text(activation.derivative(k))
        function = sp.lambdify(z, activation.derivative(k), ["scipy", "numpy"])
        found = np.asarray(eval(text, {**namespace, "z": library.array(points)})) + 0 * points
        assert_allclose(found, function(points) + 0 * points, rtol=1e-13, atol=1e-14, err_msg=text)


@pytest.mark.parametrize("nodes", [33, 129])
def test_reported_error_bounds_the_error(library, nodes):
    """Too few nodes are told, not hidden: the error reported is at least the error made."""
    K = 10 * np.array([[1.0, 0.5, 0.99], [0.5, 1.0, -0.4], [0.99, -0.4, 1.0]])
    derivations = system("tanh", ("K",))
    found = compile(derivations, target=library.name, nodes=nodes)({"K": library.array(K)}, C_W=1.0, C_b=0.0)
    error = np.abs(np.asarray(found["K"]) - compile(derivations)({"K": K}, C_W=1.0, C_b=0.0)["K"]).max()
    assert error <= float(found["average_error"]) < 1e6 * error + 1e-12


# --------------------------------------------------------------------------------------------------------- slopes

NAMES_OF_SLOPES = ("K", "Theta")


@pytest.mark.parametrize("name", ["sin", "tanh", "relu"])
def test_slopes_are_those_of_the_numpy_program(library, name):
    """By the kernel and by a hyperparameter, against differences of fourth order."""
    derivations = system(name, NAMES_OF_SLOPES)
    inputs = np.array([[1.0, 0.5, 0.3], [-0.7, 0.25, 1.0]])
    state = state_of(inputs @ inputs.T / 3 + 0.2 * np.eye(2))
    generated, arrays = compile(derivations, target=library.name), as_arrays(library, state)
    numpy_program = compile(derivations)

    def results(K, C_W):
        step = stepped(generated, arrays | {"K": (K + K.T) / 2}, C_W=C_W)
        return {q: step[q] for q in NAMES_OF_SLOPES}

    def expected(q, K, C_W):
        return stepped(numpy_program, state | {"K": (K + K.T) / 2}, C_W=C_W)[q]

    by_kernel = library.jacobian(lambda K: results(K, 1.5))(arrays["K"])
    by_weights = library.jacobian(lambda C_W: results(arrays["K"], C_W))(library.array(np.float64(1.5)))
    for q in NAMES_OF_SLOPES:
        slope = differences(lambda K, q=q: expected(q, K, 1.5), state["K"])
        assert_allclose(by_kernel[q], slope, rtol=1e-7, atol=1e-9 * abs(slope).max(), err_msg=q)
        slope = differences(lambda C_W, q=q: expected(q, state["K"], float(C_W)), np.array(1.5))
        assert_allclose(by_weights[q], slope, rtol=1e-8, atol=1e-10, err_msg=q)


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_slope_at_equal_inputs_is_prices_theorem(library, name):
    """dK'_ab/dK_ab = C_W <sigma'_a sigma'_b> and dK'_ab/dK_aa = C_W <sigma''_a sigma_b>/2, at equal and parallel inputs too."""
    K = (X @ X.T / 3)[:4, :4]
    compiled = compile(derive(MLP(name), "K"), target=library.name)
    J = np.asarray(library.jacobian(lambda K: compiled({"K": K}, C_W=1.5, C_b=0.1)["K"])(library.array(K)))
    sigma = MLP(name).activation
    functions = [sp.lambdify(z, sigma.derivative(k), "numpy") for k in range(3)]
    pairs = [(0, 1), (0, 2), (0, 3), (2, 0)]
    covariances = np.array([K[np.ix_(pair, pair)] for pair in pairs])
    (crossed, alone), _ = gaussian_averages(
        lambda x, order: [f(x) + 0 * x for f in functions[: order + 1]],
        covariances,
        [(((1,), (1,)), (0, 0)), (((2,), (0,)), (0, 0))],
        kinks=[float(k) for k in sigma.kinks],
    )
    for i, (a, b) in enumerate(pairs):
        assert_allclose(J[a, b, a, b], 1.5 * crossed[i], rtol=1e-10, atol=1e-14)
        if sigma.smooth:  # sigma'' of a kink is not a function
            assert_allclose(J[a, b, a, a], 1.5 * alone[i] / 2, rtol=1e-10)


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_slopes_by_inputs_are_finite_at_equal_parallel_and_zero_inputs(library, name):
    names = ("K", "Theta", "K1") if name == "relu" else ("K", "Theta")
    compiled = compile(system(name, names), target=library.name)
    rest = {q: v for q, v in as_arrays(library, state_of(np.eye(len(X)))).items() if q not in ("K", "Theta")}

    def total(inputs):
        first = compiled.first_layer(inputs, **compiled.arguments("first_layer", EVERY))
        result = stepped(compiled, rest | first)
        return sum(result[q].sum() for q in names)

    slope = np.asarray(library.jacobian(total)(library.array(X)))
    assert np.isfinite(slope).all()
    assert abs(slope).max() > 0


def test_slope_of_a_kinked_average_by_quadrature(library):
    """hard_tanh has no closed form, and its kinks move over the nodes when the variance changes."""
    derivations = derive(MLP("hard_tanh"), "Theta", samples=1)
    compiled, numpy_program = compile(derivations, target=library.name), compile(derivations)
    state = {"Theta": np.array([0.5, 1.0, 2.0]), "K": np.array([0.3, 1.0, 4.0])}
    arrays = as_arrays(library, state)

    def expected(K):
        return stepped(numpy_program, state | {"K": K})["Theta"]

    found = library.jacobian(lambda K: stepped(compiled, arrays | {"K": K})["Theta"])(arrays["K"])
    assert_allclose(found, differences(expected, state["K"]), rtol=1e-7, atol=1e-9)


def test_averages_by_quadrature_are_differentiated_twice(library):
    """The second slope of K' is that of closed forms' theory, and a third one is refused instead of being wrong."""
    compiled = compile(derive(MLP("tanh"), "K", samples=1), target=library.name)

    def kernel(K):
        return compiled({"K": K}, C_W=1.0, C_b=0.0)["K"]

    twice = library.jacobian(library.jacobian(kernel))
    square = sp.tanh(z) ** 2  # d^2<f>/dK^2 = <f''''>/4
    fourth = sp.lambdify(z, sp.diff(square, z, 4), "numpy")
    expected, _ = gaussian_averages(lambda x, order: [fourth(x)], np.array([[[0.7]]]), [(((0,),), (0,))])
    assert_allclose(float(twice(library.array(np.float64(0.7)))), expected[0, 0] / 4, rtol=1e-10)
    with pytest.raises(ValueError, match=r"order=6.*allowed: derivatives of sigma up to 4"):
        library.jacobian(twice)(library.array(np.float64(0.7)))


# -------------------------------------------------------------------------------------------------- transformations


def test_vectorized_over_states(library):
    """A batch of kernels, and of a hyperparameter, is what each gives alone."""
    compiled = compile(derive(MLP("erf"), "Theta"), target=library.name)
    batch = np.array([(1 + k) * X[:3] @ X[:3].T / 3 for k in range(3)])
    C_W = np.array([0.5, 1.0, 2.0])

    def step(K, C_W):
        return stepped(compiled, {"K": K, "Theta": K}, C_W=C_W)["Theta"]

    found = library.vmap(step)(library.array(batch), library.array(C_W))
    for together, K, c in zip(found, batch, C_W, strict=True):
        assert_allclose(together, step(library.array(K), float(c)), rtol=1e-13, atol=1e-15)


def test_traced_by_jax_jit_with_forward_and_reverse_slopes(jax_library):
    import jax

    compiled = compile(derive(MLP("tanh"), "K", samples=1), target="jax")
    K = jax.numpy.asarray([0.5, 1.0])
    jitted = jax.jit(compiled)
    assert_allclose(jitted({"K": K}, C_W=2.0, C_b=0.0)["K"], compiled({"K": K}, C_W=2.0, C_b=0.0)["K"], rtol=1e-13)

    def kernel(K):
        return compiled({"K": K}, C_W=2.0, C_b=0.0)["K"]

    assert_allclose(jax.jacfwd(kernel)(K), jax.jacrev(kernel)(K), rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")  # from torch's own rules of forward slopes
def test_torch_backward_and_forward_slopes():
    torch = pytest.importorskip("torch", reason=NO_TORCH)
    compiled = compile(derive(MLP("tanh"), "K"), target="torch")
    K = torch.tensor(X[:2] @ X[:2].T / 3, requires_grad=True)

    def kernel(K):
        return compiled({"K": K}, C_W=2.0, C_b=0.0)["K"]

    kernel(K).sum().backward()
    forward = torch.func.jacfwd(kernel)(K.detach())
    assert_allclose(K.grad, forward.sum((0, 1)), rtol=1e-12)


# -------------------------------------------------------------------------------------------------- standing alone


@pytest.mark.parametrize("name", ["sin", "tanh", "gelu", "elu"])
def test_saved_text_imports_the_target_alone_and_passes_the_linter(library, name, tmp_path):
    path = compile(system(name, single=True), target=library.name).save(tmp_path / "generated.py")
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert library.name in imported <= {"__future__", "math", "functools", library.name}
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compiled_code_for_a_target_can_be_pickled(library):
    import pickle

    compiled = compile(derive(MLP("sin"), "K"), target=library.name)
    again = pickle.loads(pickle.dumps(compiled))
    assert again == compiled
    assert again.target == library.name


# ---------------------------------------------------------------------------------------------------------- conduct


def test_single_precision_is_refused(library):
    compiled = compile(derive(MLP("sin"), "K"), target=library.name)
    K = np.array([[0.5, 0.2], [0.2, 0.4]])
    with pytest.raises(ValueError, match=r'state\["K"\] has dtype float32.*allowed: float64'):
        compiled({"K": K.astype(np.float32)}, C_W=1.0, C_b=0.0)
    with pytest.raises(ValueError, match=r"C_W has dtype float32.*allowed: float64"):
        compiled({"K": library.array(K)}, C_W=library.single, C_b=0.0)
    with pytest.raises(ValueError, match=r"X has dtype float32"):
        compiled.first_layer(X.astype(np.float32), C_W=1.0, C_b=0.0)


def test_jax_without_float64_is_refused(jax_library):
    import jax

    compiled = compile(derive(MLP("sin"), "K"), target="jax")
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match=r'jax.config.update\("jax_enable_x64", True\)'):
            compiled({"K": np.eye(2)}, C_W=1.0, C_b=0.0)
    finally:
        jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("target", ["tensorflow", "JAX", None])
def test_unknown_target_names_the_known_ones(target):
    with pytest.raises(InvalidArgument, match=r"target=.* is not known; allowed: 'numpy', 'jax', 'torch'"):
        compile(derive(MLP("sin"), "K"), target=target)


@pytest.mark.parametrize("target", ["jax", "torch"])
def test_missing_library_names_the_extra(target, monkeypatch):
    monkeypatch.setattr(targets, "find_spec", lambda name: None)
    with pytest.raises(NotAvailable, match=rf"pip install '\.\[{target}\]'; target='numpy' works"):
        compile(derive(MLP("cos"), "K"), target=target)


@pytest.mark.parametrize("nodes", [8, 2.5, True, "many"])
def test_nodes_that_do_not_fit_are_refused(nodes):
    with pytest.raises(InvalidArgument, match=r"nodes=.*allowed: an integer from 9 on"):
        compile(derive(MLP("sin"), "K"), target="jax", nodes=nodes)
    with pytest.raises(InvalidArgument, match=r"target='numpy'.*allowed: None"):
        compile(derive(MLP("sin"), "K"), nodes=65)


def test_averages_beyond_the_fixed_rules_are_refused():
    with pytest.raises(NotAvailable, match=r"couples 4 inputs.*activation='tanh'.*target='jax' goes up to 2.*'numpy'"):
        compile(derive(MLP("tanh"), "V"), target="jax")
    with pytest.raises(NotAvailable, match=r"couples two inputs.*activation='elu', which has kinks.*samples=1"):
        compile(derive(MLP("elu"), "K"), target="jax")


def test_function_without_a_text_is_refused():
    with pytest.raises(NotAvailable, match=r"loggamma has no text.*allowed there: Abs, .*tanh"):
        differentiable_text(sp.loggamma(z))
