"""Jets of literal networks against differences of the same networks, and the tangent kernel as their average over directions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from widthwise.theory.networks.architecture import MLP
from widthwise.theory.networks.ensembles import independent
from widthwise.validation.literal.jets import LiteralJets, closed, faa_di_bruno
from widthwise.validation.literal.networks import LiteralNetworks

pytestmark = pytest.mark.quick

X = np.array([[1.0, 0.3, -0.5], [-0.4, 0.9, 0.1]])
RATES = {"C_W": (1.5, 1.2, 1.1, 1.3), "C_b": 0.2, "lambda_W": (1.0, 0.7, 1.4, 0.6), "lambda_b": (0.5, 0.3, 0.2, 0.9)}
NETWORKS = {
    "unequal widths": MLP("tanh", depth=4, width=(4, 6, 3), output_width=2, **RATES),
    "several activations": MLP(("tanh", "gelu", "sin"), depth=4, width=5, **RATES),
    "skips": MLP("sin", depth=4, width=4, residual={(1, 2): 0.5, (1, 4): -0.3, (3, 4): 0.2}, **RATES),
    "other ensembles": MLP(
        "tanh", depth=4, width=4, weights=("uniform", "orthogonal", independent(2), "rademacher"), **RATES
    ),
}


def test_all_that_the_chain_rule_needs_is_there():
    assert closed(["rt", "s"]) == ("", "r", "s", "t", "rt")
    assert closed([]) == ("",)
    assert set(map(frozenset, faa_di_bruno("rst"))) == {
        frozenset(p) for p in (("rst",), ("r", "st"), ("s", "rt"), ("t", "rs"), ("r", "s", "t"))
    }


def along(nets: LiteralNetworks, jets: LiteralJets, draw: int, steps: dict[str, float]) -> list[np.ndarray]:
    """z of all layers (network, sample, neuron) with the parameters moved along one draw of the directions."""
    net, kept = nets.net, [(W.copy(), b.copy()) for W, b in zip(nets.W, nets.b, strict=True)]
    for k in range(len(nets.W)):
        for r, s in steps.items():
            nets.W[k] += (
                s * np.sqrt(net.per_layer("lambda_W")[k] / net.per_layer("C_W")[k]) * jets.weights[k][r][:, draw]
            )
            nets.b[k] += (
                s * np.sqrt(net.per_layer("lambda_b")[k] / net.per_layer("C_b")[k]) * jets.biases[k][r][:, draw]
            )
    nets.forward()
    moved = [z.transpose(1, 0, 2).copy() for z in nets.z]
    for k, (W, b) in enumerate(kept):
        nets.W[k][...], nets.b[k][...] = W, b
    nets.forward()
    return moved


def differences(nets: LiteralNetworks, jets: LiteralJets, draw: int, jet: str, h: float) -> list[np.ndarray]:
    """The central difference in all s_r of a jet, its error of second order in h removed."""

    def central(h: float) -> list[np.ndarray]:
        total = [np.zeros_like(z.transpose(1, 0, 2)) for z in nets.z]
        for signs in product((1, -1), repeat=len(jet)):
            for t, z in zip(
                total, along(nets, jets, draw, {r: s * h for r, s in zip(jet, signs, strict=True)}), strict=True
            ):
                t += np.prod(signs) * z / (2 * h) ** len(jet)
        return total

    return [(4 * fine - coarse) / 3 for fine, coarse in zip(central(h), central(2 * h), strict=True)]


@pytest.mark.parametrize("case", NETWORKS)
def test_jets_are_derivatives_along_the_directions(case, rng):
    """d_r, d_rs and d_rst of every layer, sample and neuron are differences of the literal network in s_r, s_s, s_t."""
    nets = LiteralNetworks(NETWORKS[case], X, 3, 0)
    jets = LiteralJets(nets, ["rst"], draws=2)
    nets.forward(rng)
    jets.forward(rng)
    values = [{jet: v.copy() for jet, v in layer.items()} for layer in jets.values]
    for jet in ("r", "rs", "rst"):
        found = differences(nets, jets, 1, jet, 2e-3)
        for k in range(4):
            assert_allclose(values[k][jet][:, 1], found[k], rtol=1e-5, atol=1e-6, err_msg=f"d_{jet} z of layer {k + 1}")
    # control: the jets along the other draw of the directions are others
    assert not np.allclose(values[3]["rs"][:, 0], differences(nets, jets, 1, "rs", 2e-3)[3], atol=1e-3)
    assert np.abs(values[0]["rs"]).max() == 0


def test_fourth_order(rng):
    """Four labels, with a polynomial activation of degree two."""
    net = MLP("monomial(2)", depth=3, width=3, C_W=1.0, C_b=0.2, lambda_W=1.0, lambda_b=0.5)
    nets = LiteralNetworks(net, X, 2, 0)
    jets = LiteralJets(nets, ["rstu"])
    nets.forward(rng)
    jets.forward(rng)
    assert_allclose(jets.values[1]["rstu"], 0, atol=1e-12)  # layer 2 is of degree three in s
    value = jets.values[2]["rstu"][:, 0].copy()
    assert_allclose(value, differences(nets, jets, 0, "rstu", 0.02)[2], rtol=1e-4, atol=1e-5)
    assert np.abs(value).max() > 0.1


def basis(jets: LiteralJets, labels: str) -> None:
    """Directions that are unit vectors of parameter space, all of them for each label and all combinations of labels."""
    sizes = [w[labels[0]][0, 0].size + b[labels[0]][0, 0].size for w, b in zip(jets.weights, jets.biases, strict=True)]
    numbers = np.stack([i.ravel() for i in np.indices([sum(sizes)] * len(labels))])
    for r, number in zip(labels, numbers, strict=True):
        unit = np.split(np.eye(sum(sizes))[number], np.cumsum(sizes)[:-1], axis=1)
        for k, part in enumerate(unit):
            shape = jets.weights[k][r].shape[1:]
            jets.weights[k][r][...] = part[:, : -shape[1]].reshape(shape)
            jets.biases[k][r][...] = part[:, -shape[1] :]


@pytest.mark.parametrize("case", ["unequal widths", "skips"])
def test_tangent_kernel_is_the_average_over_directions(case, rng):
    """Over an orthonormal basis instead of random directions it is a sum, and exact: backpropagation gives the same."""
    net = NETWORKS[case]
    s = min(net.all_widths(3)[1:])
    nets = LiteralNetworks(net, X, 2, s, probes=False)
    parameters = sum(n * (f + 1) for n, f in zip(nets.widths, nets.fan_in, strict=True))
    jets = LiteralJets(nets, ["r"], draws=parameters)
    nets.forward(rng)
    nets.backward()
    basis(jets, "r")
    jets.forward()
    for k in range(4):
        first = jets.values[k]["r"][..., :s]
        assert_allclose(np.einsum("gpai,gpbj->giajb", first, first), nets.ntk[k], rtol=1e-12, atol=1e-13)


def test_random_directions_average_to_the_tangent_kernel(rng):
    """40 000 random directions of one network: no entry of d_r z d_r z is further from H than five standard errors."""
    nets = LiteralNetworks(NETWORKS["unequal widths"], X, 1, 2, probes=False)
    jets = LiteralJets(nets, ["r"], draws=40_000)
    nets.forward(rng)
    nets.backward()
    jets.forward(rng)
    first = jets.values[3]["r"][0]
    products = np.einsum("pai,pbj->piajb", first, first).reshape(len(first), -1)
    score = (products.mean(axis=0) - nets.ntk[3][0].ravel()) / (products.std(axis=0) / np.sqrt(len(first)))
    assert np.abs(score).max() < 5
    wrong = (products.mean(axis=0) - 1.1 * nets.ntk[3][0].ravel()) / (products.std(axis=0) / np.sqrt(len(first)))
    assert np.abs(wrong).max() > 5
