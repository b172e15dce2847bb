"""The literal network against its own finite differences: the reference for everything that is simulated."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose

from widthwise.theory.language.errors import InvalidNetwork
from widthwise.theory.language.symbols import z as argument
from widthwise.theory.networks.activations import Activation
from widthwise.theory.networks.architecture import MLP
from widthwise.validation.literal.networks import OUTPUT_WIDTH, LiteralNetworks, layer_widths

pytestmark = pytest.mark.quick

X = np.array([[1.0, 0.3, -0.5], [-0.4, 0.9, 0.1]])
NET = MLP(
    "tanh", depth=4, width=(5, 4, 6), output_width=3,
    C_W=(1.5, 1.2, 0.7, 2.0), C_b=(0.1, 0.0, 0.3, 0.2), lambda_W=(1.0, 0.5, 2.0, 0.3), lambda_b=(0.7, 0.2, 0.0, 1.1),
)  # fmt: skip
#: To the next layer, over two and over three layers, to the output; one activation for each hidden layer.
SKIPS = MLP(
    ("tanh", "gelu", "sin", "swish"), depth=5, width=4, output_width=4,
    C_W=(1.5, 1.2, 0.7, 2.0, 0.9), C_b=(0.1, 0.0, 0.3, 0.2, 0.1), lambda_W=(1.0, 0.5, 2.0, 0.3, 0.8),
    lambda_b=(0.7, 0.2, 0.0, 1.1, 0.4), residual={(1, 2): 0.8, (1, 3): -0.5, (2, 4): 0.6, (3, 4): 0.9, (2, 5): 0.3},
)  # fmt: skip
NETS = {
    "plain": NET,
    "skips": SKIPS,
    "skips where widths are equal": NET.with_(residual={(1, 4): 0.7}, output_width=5),
    "an activation for each layer": NET.with_(activation=("relu", "tanh", "softplus")),
}


def drawn(net: MLP, batch: int, neurons: int, seed: int = 0, *, probes: bool = True) -> LiteralNetworks:
    nets = LiteralNetworks(net, X, batch, neurons, probes=probes)
    nets.forward(np.random.default_rng(seed))
    nets.backward()
    return nets


@cache
def function(activation: Activation):
    return sp.lambdify(argument, activation.expr, modules=["scipy", "numpy"])


def plain_layers(net: MLP, W: list[np.ndarray], b: list[np.ndarray]) -> list[np.ndarray]:
    """One network from the definition, (n_l, m) for each layer."""
    z = [b[0][:, None] + W[0] @ X.T]
    for sigma, Wk, bk in zip(net.layer_activations, W[1:], b[1:], strict=True):
        z.append(bk[:, None] + Wk @ function(sigma)(z[-1]))
        for low, high, gamma in net.residual:
            if high == len(z):
                z[-1] += gamma * z[low - 1]
    return z


def parameters(nets: LiteralNetworks, g: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The weights and biases of network g, with their variances."""
    W = [np.sqrt(C / f) * w[g] for C, f, w in zip(nets.C_W, nets.fan_in, nets.W, strict=True)]
    b = [np.sqrt(C) * v[g] if v.size else np.zeros(n) for C, v, n in zip(nets.C_b, nets.b, nets.widths, strict=True)]
    return W, b


def finite_difference_ntk(net: MLP, nets: LiteralNetworks, g: int) -> list[np.ndarray]:
    """H_ij;ab = sum over every parameter of lambda dz_i;a dz_j;b, for all neurons of all layers; slow and obvious."""
    W, b = parameters(nets, g)
    lambda_b, lambda_W = net.per_layer("lambda_b"), net.per_layer("lambda_W")
    H = [np.zeros((n, len(X), n, len(X))) for n in nets.widths]
    step = 1e-5
    for k in range(len(W)):
        for array, rate in ((W[k], lambda_W[k] / nets.fan_in[k]), (b[k], lambda_b[k])):
            for index in np.ndindex(array.shape):
                before, sides = array[index], []
                for sign in (1, -1):
                    array[index] = before + sign * step
                    sides.append(plain_layers(net, W, b))
                array[index] = before
                for layer, (up, down) in enumerate(zip(*sides, strict=True)):
                    dz = (up - down) / (2 * step)
                    H[layer] += rate * np.multiply.outer(dz, dz)
    return H


@pytest.mark.parametrize("case", NETS)
def test_forward_is_the_definition(case):
    nets = drawn(NETS[case], batch=3, neurons=2)
    for g in range(3):
        for z, plain in zip(nets.z, plain_layers(NETS[case], *parameters(nets, g)), strict=True):
            assert_allclose(z[:, g].T, plain, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("neurons", [1, 3])
@pytest.mark.parametrize("case", NETS)
def test_backpropagated_ntk_is_the_sum_over_every_parameter(case, neurons):
    """All layers, a rate of its own in each; and the probes are the sums over all neurons."""
    nets = drawn(NETS[case], batch=2, neurons=neurons)
    for g in range(2):
        for k, H in enumerate(finite_difference_ntk(NETS[case], nets, g)):
            assert_allclose(nets.ntk[k, g, ..., :neurons, :], H[:neurons, :, :neurons], rtol=1e-7, atol=1e-9)
            probes = np.einsum("cj,iajb->iacb", nets.z[k][:, g], H)[:neurons]
            assert_allclose(nets.ntk[k, g, ..., neurons:, :], probes, rtol=1e-7, atol=1e-9)


def test_a_wrong_rate_is_caught():
    """Negative control: the reference sees a single layer's rate that is off by one percent."""
    nets = drawn(NET, batch=1, neurons=3)
    wrong = finite_difference_ntk(NET.with_(lambda_W=(1.0, 0.5, 2.02, 0.3)), nets, 0)
    assert not np.allclose(nets.ntk[3, 0, ..., :3, :], wrong[3], rtol=1e-4)


@pytest.mark.parametrize("skip", [low_high[:2] for low_high in SKIPS.residual])
def test_a_wrong_skip_is_caught(skip):
    """Negative control: the reference sees a single gamma that is off by one percent."""
    gammas = {(low, high): gamma for low, high, gamma in SKIPS.residual}
    nets = drawn(SKIPS, batch=1, neurons=3)
    wrong = finite_difference_ntk(SKIPS.with_(residual=gammas | {skip: 1.01 * gammas[skip]}), nets, 0)
    assert not np.allclose(nets.ntk[4, 0, ..., :3, :], wrong[4][:3, :, :3], rtol=1e-4)


@pytest.mark.parametrize("net", [NET, SKIPS], ids=["plain", "skips"])
def test_networks_of_a_batch_do_not_mix_and_probes_change_nothing(net):
    many, bare = drawn(net, batch=4, neurons=3), drawn(net, batch=4, neurons=3, probes=False)
    assert_allclose(many.ntk[..., :3, :], bare.ntk, rtol=1e-12)
    one = LiteralNetworks(net, X, 1, 3)
    for k in range(len(net.ensembles)):
        one.W[k][...], one.b[k][...] = many.W[k][2:3], many.b[k][2:3]
    one.forward()
    one.backward()
    assert_allclose(one.ntk[:, 0], many.ntk[:, 2], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("net", "widths"),
    [
        (MLP("tanh", depth=1, width=7, output_width=3), (3,)),
        (MLP("tanh", depth=1, weights="orthogonal"), (9,)),
        (MLP("tanh", depth=3, width=(7, 5)), (7, 5, 5)),
        (MLP("tanh", depth=3, width=(7, 5), weights="orthogonal"), (7, 5, 5)),
        (MLP("tanh", depth=2, width=7, output_width=2), (7, 2)),
    ],
)
def test_output_width_defaults_to_that_of_theory(net, widths):
    """The last hidden width; in a network of one layer, the number of features."""
    assert layer_widths(net, 9) == widths
    assert net.all_widths(9)[1:] == widths


@pytest.mark.parametrize("weights", ["gaussian", "uniform", "rademacher"])
def test_one_layer_of_independent_weights_has_many_outputs(weights):
    """Theory does not depend on their number there."""
    net = MLP("tanh", depth=1, C_W=1, C_b=0, lambda_W=1, lambda_b=0, weights=weights)
    assert layer_widths(net, 3) == LiteralNetworks(net, X, 1, 0).widths == (OUTPUT_WIDTH,)
    assert net.scales(3) == net.with_(output_width=OUTPUT_WIDTH).scales(3)


def test_one_orthogonal_layer_is_square():
    net = MLP("tanh", depth=1, C_W=1, C_b=0, lambda_W=1, lambda_b=0, weights="orthogonal")
    nets = LiteralNetworks(net, X, 5, 0)
    nets.forward(np.random.default_rng(0))
    assert_allclose((nets.z[0] ** 2).sum(axis=-1), np.broadcast_to((X**2).sum(axis=1)[:, None], (2, 5)), rtol=1e-12)


def test_what_is_not_given_cannot_be_drawn():
    with pytest.raises(InvalidNetwork, match="width=None"):
        layer_widths(MLP("tanh", depth=3))
    with pytest.raises(InvalidNetwork, match="depth=None"):
        layer_widths(MLP("tanh", width=3))
