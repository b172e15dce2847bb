"""Laws of the prediction: what its tensors must obey for any network and any inputs.

A law runs over a few activations of each sort: polynomial, smooth with and without closed forms, kinked.
"""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from widthwise.numerics.initialisation.predict import predict
from widthwise.numerics.kernels.kernels import kernel
from widthwise.theory.language.errors import AccuracyWarning, ExpansionWarning
from widthwise.theory.language.quantities import symmetries
from widthwise.theory.networks.architecture import MLP
from widthwise.validation.strategies import activations, inputs, networks

#: Those that every sort of activation has for several inputs.
NAMES = ("K", "Theta", "V", "D", "F", "A", "B", "K1", "Theta1")
RATES = {"K": 0, "Theta": 1, "V": 0, "D": 1, "F": 1, "A": 2, "B": 2, "K1": 0, "Theta1": 1}
NTK = tuple(n for n in NAMES if RATES[n])

over = lambda *names: pytest.mark.parametrize("name", names)  # noqa: E731
EVERY_SORT = over("linear", "sin", "gelu", "tanh", "relu", "elu")
#: The seconds that a law may take are shared by its activations; `--hypothesis-profile=long` draws more of all.
few = settings(max_examples=max(1, settings.default.max_examples // 8))


def nets(name: str, **fixed: object) -> st.SearchStrategy[MLP]:
    """Three layers, as a tensor is born in the second and carried on in the third; shallower ones now and then."""
    return networks(activation=st.just(name), depth=st.sampled_from([3, 3, 2]), fixed=fixed)


def rows(
    name: str, kinds: tuple[str, ...] = ("generic", "parallel", "repeated", "zero")
) -> st.SearchStrategy[np.ndarray]:
    # Averages over three independent inputs without a closed form take a second, and are good to fewer digits.
    return inputs(m=3 if name in ("linear", "sin") else 2, kinds=kinds)


def theory(net: MLP, X: np.ndarray) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExpansionWarning)  # laws hold at any width
        warnings.simplefilter("ignore", AccuracyWarning)
        return predict(net, X, NAMES)


def natural(ds: xr.Dataset, name: str) -> np.ndarray:
    """The scale of a tensor in each layer, K^2 for V, K Theta for D, ...: that of the terms which may cancel in it."""
    K, Theta = (abs(ds[q].values).max(axis=(1, 2)) for q in ("K", "Theta"))
    squares = 1 if name.endswith("1") or name in ("K", "Theta") else 2
    scale: np.ndarray = K ** (squares - RATES[name]) * Theta ** RATES[name]
    return np.maximum(scale, 1e-200)


def agree(first: xr.Dataset, second: xr.Dataset, *, names: tuple[str, ...] = NAMES, rtol: float = 1e-7) -> None:
    """Equal up to rounding and quadrature, on the scale of the layer."""
    for name in names:
        a, b = first[name].values, second[name].values
        assert a.shape == b.shape
        for layer, scale in enumerate(natural(second, name)):
            scale = max(scale, abs(b[layer]).max())
            assert_allclose(a[layer], b[layer], rtol=0, atol=rtol * scale, err_msg=f"{name}, layer {layer + 1}")


def taken(ds: xr.Dataset, index: list[int]) -> xr.Dataset:
    """The tensors at these inputs."""
    return ds.isel(sample=index, sample2=index, sample3=index, sample4=index)


def scaled(ds: xr.Dataset, factors: np.ndarray) -> xr.Dataset:
    """Each tensor multiplied by one factor for each of its indices."""
    out = ds.copy()
    for name in NAMES:
        for axis in ds[name].dims[1:]:
            out[name] = out[name] * xr.DataArray(factors, dims=axis)
    return out.transpose(*ds.dims)


# ------------------------------------------------------------------------------------------- symmetry and positivity


@EVERY_SORT
@few
@given(data=st.data())
def test_tensors_have_the_symmetries_of_their_definition(name, data):
    """Renaming neurons and directions changes nothing: V_(ab)(cd) = V_(ba)(cd) = V_(cd)(ab), F_abcd = F_badc, ..."""
    ds = theory(data.draw(nets(name)), data.draw(rows(name)))
    for q in NAMES:
        for p in symmetries(q):
            permuted = ds[q].values.transpose(0, *(i + 1 for i in p))
            agree(ds.assign({q: (ds[q].dims, permuted)}), ds, names=(q,), rtol=1e-9)


def assert_positive(matrix: np.ndarray, what: str) -> None:
    eigenvalues = np.linalg.eigvalsh((matrix + matrix.swapaxes(-1, -2)) / 2)
    assert (eigenvalues[..., 0] >= -1e-8 * np.maximum(eigenvalues[..., -1], 1)).all(), f"{what}: {eigenvalues}"


@EVERY_SORT
@few
@given(data=st.data())
def test_covariances_are_positive_semidefinite(name, data):
    """K, Theta; the joint covariance [[V, D], [D^T, A]] of kernels and NTKs; F and B, which pair a with c and b with d."""
    ds = theory(data.draw(nets(name)), data.draw(rows(name)))
    L, m = ds.K.shape[:2]
    unit = {q: ds[q].values / natural(ds, q).reshape(L, *[1] * (ds[q].ndim - 1)) for q in NAMES}
    for q in ("K", "Theta"):
        assert_positive(unit[q], q)
    V, D, A = (unit[q].reshape(L, m * m, m * m) for q in "VDA")
    assert_positive(np.block([[V, D], [D.swapaxes(1, 2), A]]), "V, D, A")
    for q in "FB":
        assert_positive(unit[q].transpose(0, 1, 3, 2, 4).reshape(L, m * m, m * m), q)


# ------------------------------------------------------------------------------------------------- choice of inputs


@EVERY_SORT
@few
@given(data=st.data())
def test_permuted_inputs_permute_the_tensors(name, data):
    net, X = data.draw(nets(name)), data.draw(rows(name))
    p = data.draw(st.permutations(range(len(X))))
    agree(theory(net, X[p]), taken(theory(net, X), p))


@EVERY_SORT
@few
@given(data=st.data())
def test_fewer_inputs_give_the_sub_tensors(name, data):
    """In particular one input, for which other code is generated."""
    net, X = data.draw(nets(name)), data.draw(rows(name))
    index = sorted(data.draw(st.sets(st.integers(0, len(X) - 1), min_size=1, max_size=2)))
    agree(theory(net, X[index]), taken(theory(net, X), index))


@EVERY_SORT
@few
@given(data=st.data())
def test_repeated_inputs_repeat_the_entries(name, data):
    net, X = data.draw(nets(name)), data.draw(rows(name, ("generic", "parallel")))[:2]
    index = data.draw(st.lists(st.integers(0, len(X) - 1), min_size=2, max_size=3))
    agree(theory(net, X[index]), taken(theory(net, X), index))


@few
@given(net=networks(activation=activations(), depth=st.just(2)), x=inputs(m=1, n_0=2, kinds=("generic",)))
def test_one_input_and_its_copy_agree_for_random_activations(net, x):
    agree(theory(net, np.concatenate([x, x])), taken(theory(net, x), [0, 0]))


# ------------------------------------------------------------------------------------------------------- scalings


@over("linear", "relu", "leaky_relu", "abs")
@few
@given(data=st.data(), s=st.floats(0.25, 4.0))
def test_homogeneous_activation_without_biases_scales_with_the_inputs(name, data, s):
    """X -> sX multiplies every index of every tensor by s."""
    net, X = data.draw(nets(name, C_b=0, lambda_b=0)), data.draw(rows(name))
    agree(theory(net, s * X), scaled(theory(net, X), np.full(len(X), s)))


@EVERY_SORT
@few
@given(data=st.data(), c=st.floats(0.25, 4.0))
def test_rates_scale_with_the_number_of_tangent_kernels(name, data, c):
    """Theta, D, F, Theta1 are linear and A, B quadratic in the rates; K, V, K1 do not know them."""
    net, X = data.draw(nets(name)), data.draw(rows(name))
    faster = net.with_(**{p: np.multiply(net.per_layer(p), c).tolist() for p in ("lambda_W", "lambda_b")})
    reference = theory(net, X)
    agree(theory(faster, X), reference.assign({n: reference[n] * c ** RATES[n] for n in NAMES}))


@EVERY_SORT
@few
@given(data=st.data())
def test_frozen_network_has_no_tangent_kernel(name, data):
    ds = theory(data.draw(nets(name, lambda_W=0, lambda_b=0)), data.draw(rows(name)))
    for q in NTK:
        assert not ds[q].any(), q


@EVERY_SORT
@few
@given(data=st.data(), factor=st.integers(2, 5))
def test_only_ratios_of_widths_matter(name, data, factor):
    net, X = data.draw(nets(name)), data.draw(rows(name))
    widths = data.draw(st.tuples(*[st.integers(8, 64)] * (net.depth - 1)))
    agree(theory(net.at_width(widths), X), theory(net.at_width([n * factor for n in widths]), X), rtol=1e-12)


@EVERY_SORT
@few
@given(data=st.data())
def test_every_hidden_layer_adds_its_own_share(name, data):
    """A tensor over its fan-in is linear in (1/n_1, 1/n_2): widths (12, 4) and (4, 12) add up to (3, 3)."""
    net, X = data.draw(nets(name)).with_(width=None), data.draw(rows(name))
    if net.depth != 3:
        net = net.with_(depth=3, C_W=1.0, C_b=0.1, lambda_W=1.0, lambda_b=0.5)
    first, second, both = (theory(net.at_width(w), X).sel(layer=[3]) for w in ((12, 4), (4, 12), (3, 3)))
    shares = {n: 3 * (first[n] / 4 + second[n] / 12) for n in NAMES if n not in ("K", "Theta")}
    agree(both, both.assign(shares), rtol=1e-10)


# ---------------------------------------------------------------------------------------- signs, zeros, parallels


@over("linear", "sin", "tanh", "erf")
@few
@given(data=st.data())
def test_odd_activation_hands_on_the_sign_of_an_input(name, data):
    """x_a -> -x_a gives a factor -1 for each index a, without biases."""
    net, X = data.draw(nets(name, C_b=0, lambda_b=0)), data.draw(rows(name))
    signs = np.array(data.draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=len(X), max_size=len(X))))
    agree(theory(net, signs[:, None] * X), scaled(theory(net, X), signs))


@over("linear", "sin", "tanh", "gelu", "relu", "elu", "abs")
@few
@given(data=st.data(), m=st.integers(1, 2))
def test_zero_inputs_give_zeros(name, data, m):
    """sigma(0) = 0 and no biases: whatever has an index at x = 0 vanishes."""
    net = data.draw(nets(name, C_b=0, lambda_b=0))
    ds = theory(net, np.zeros((m, 2)))
    for q in NAMES:
        assert_array_equal(ds[q], 0, err_msg=q)
    mixed = theory(net, np.array([[0.0, 0.0], [1.0, 0.5]]))
    for q in NAMES:
        values = mixed[q].values
        for index in product((0, 1), repeat=values.ndim - 1):
            if 0 in index:
                assert_allclose(values[(slice(None), *index)], 0, atol=1e-12 * abs(values).max(), err_msg=f"{q}{index}")


@over("linear", "relu", "leaky_relu", "abs")
@few
@given(data=st.data(), s=st.floats(0.25, 4.0))
def test_parallel_inputs_of_a_homogeneous_activation_have_one_tensor(name, data, s):
    """With x_b = s x_a, s > 0, every entry is that of x_a times s for each index b; abs does not see the sign of s."""
    net, x = data.draw(nets(name, C_b=0, lambda_b=0)), data.draw(inputs(m=1, kinds=("generic",)))
    single = theory(net, x)
    agree(theory(net, np.concatenate([x, s * x])), scaled(taken(single, [0, 0]), np.array([1, s])))
    if name == "abs":
        above = {"layer": slice(2, None)}
        opposite = theory(net, np.concatenate([x, -s * x])).sel(above)
        agree(opposite, scaled(taken(single, [0, 0]), np.array([1, s])).sel(above))


def test_parallel_inputs_of_critical_relu_have_the_arc_cosine_kernel():
    """K_ab = (2/n_0) |x_a||x_b| c; c' = (sqrt(1 - c^2) + (pi - arccos c) c)/pi starts at 1 and stays, or -1, 0, 1/pi, ..."""
    X = np.array([[1.0, 2.0, 2.0], [0.5, 1.0, 1.0], [-2.0, -4.0, -4.0], [0.0, 0.0, 0.0]])
    K = predict(MLP("relu", depth=4, C_W=2, C_b=0, lambda_W=1, lambda_b=0), X, "K").K.values
    norms = np.linalg.norm(X, axis=1)
    same = np.outer([1, 1, -1, 0], [1, 1, -1, 0]) > 0
    c = -1.0
    for layer in range(4):
        assert_allclose(K[layer], 2 / 3 * np.outer(norms, norms) * np.where(same, 1, c), rtol=1e-12, atol=1e-14)
        c = (np.sqrt(1 - c**2) + (np.pi - np.arccos(c)) * c) / np.pi


def distance_from_parallel(name: str, angle: float) -> dict[str, float]:
    """The largest change of each tensor when the second of two parallel inputs is turned, relative to its scale."""
    net = MLP(name, depth=3, C_W=1.5, C_b=0, lambda_W=1, lambda_b=0.5)
    parallel, turned = (theory(net, np.array([[1.0, 0.0], [1.5 * np.cos(t), 1.5 * np.sin(t)]])) for t in (0.0, angle))
    scale = {n: abs(parallel[n.removesuffix("1")].values).max() for n in NAMES}
    return {n: abs(turned[n] - parallel[n]).values.max() / scale[n] for n in NAMES}


@over("relu", "leaky_relu", "abs", "elu", "hard_tanh")
def test_parallel_inputs_are_the_limit_of_nearly_parallel_ones(name):
    """At parallel inputs averages of derivatives of kinks are a convention; the tensors must not be."""
    for angle, names in ((1e-2, NAMES), (1e-3, NAMES), (1e-4, [n for n in NAMES if n != "Theta1"])):
        off = distance_from_parallel(name, angle)
        for n in names:
            assert off[n] <= 2 * angle, (n, angle, off[n])


@over("relu", "abs", "leaky_relu")
def test_kernel_of_nearly_parallel_inputs_keeps_its_digits(name):
    """K' = C <s s> is smooth enough in the angle t: its slope in t vanishes at t = 0, so rounding of the angle must not show."""
    net, turn = MLP(name, depth=4, C_W=2, C_b=0, lambda_W=1, lambda_b=0), np.array([[0.6, 0.8], [-0.8, 0.6]])
    for angle in (1e-3, 1e-5, 1e-6):
        X = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]]) @ turn
        found, exact = predict(net, X, ("K", "Theta")), kernel(net, X, get=("K", "Theta"))
        assert_allclose(found.K[-1], exact.K, rtol=3e-15)
        assert_allclose(found.Theta[-1], exact.Theta, rtol=2e-15 / angle)


def test_lost_digits_of_nearly_parallel_inputs_are_reported():
    """Terms of size 1/angle^3 cancel in Theta1 of relu, and their rounding stays: the prediction says so."""
    net = MLP("relu", depth=3, C_W=1.5, C_b=0, lambda_W=1, lambda_b=0.5)

    def prediction(angle):
        return predict(net, np.array([[1.0, 0.0], [1.5 * np.cos(angle), 1.5 * np.sin(angle)]]))

    exact = prediction(0.0).Theta1.values
    assert float(prediction(1e-2).average_error[-1]) < 1e-8
    for angle in (1e-4, 1e-5):
        with pytest.warns(AccuracyWarning, match="average_error"):
            near = prediction(angle)
        assert abs(near.Theta1.values - exact).max() <= 10 * float(near.average_error[-1]) + 2 * angle
