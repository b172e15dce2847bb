"""dNTK and ddNTKs of literal networks against their definitions, summed over every pair and triple of parameters."""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose
from scipy import stats

from widthwise.theory.language.errors import InvalidArgument, NotAvailable
from widthwise.theory.language.symbols import z as argument
from widthwise.theory.networks.activations import activation
from widthwise.theory.networks.architecture import MLP
from widthwise.validation.initialisation.estimators import MeasurementPlan, Record, estimate, symmetrised
from widthwise.validation.initialisation.simulate import simulate
from widthwise.validation.literal.descendants import BRACKETS, DERIVATIVES, Descendants
from widthwise.validation.literal.networks import LiteralNetworks

SAMPLES = np.array([[1.0, 0.3], [-0.4, 0.9], [0.7, -0.8]])
X = SAMPLES[:2]
NET = MLP(
    "tanh", depth=3, width=(3, 4), output_width=3,
    C_W=(1.5, 1.2, 2.0), C_b=(0.1, 0.3, 0.2), lambda_W=(1.0, 0.5, 2.0), lambda_b=(0.7, 0.2, 1.1),
)  # fmt: skip
NAMES = tuple(DERIVATIVES)
FALSE_ALARM = 1e-4


# ---------------------------------------------------------------- the reference


def partitions(items: tuple[int, ...]):
    """All ways to divide the items into blocks."""
    if not items:
        yield ()
        return
    first, *rest = items
    for size in range(len(items)):
        for others in combinations(rest, size):
            for remaining in partitions(tuple(r for r in rest if r not in others)):
                yield ((first, *others), *remaining)


def parameter_derivatives(
    net: MLP, X: np.ndarray, W: list[np.ndarray], b: list[np.ndarray]
) -> list[dict[tuple[int, ...], np.ndarray]]:
    r"""All first, second and third derivatives of z of every layer by all parameters; no backward pass, no direction.

    The network is evaluated at theta + e_0 E_mu + e_1 E_nu + e_2 E_rho with e^2 = 0, for all triples of parameters at
    once: z is a sum over subsets of {0, 1, 2}, and the coefficient of a subset is the derivative. A layer multiplies two
    such sums; the activation takes one by the chain rule, a sum over the partitions of the subset.
    """
    jets = [
        [sp.lambdify(argument, sp.diff(a.expr, argument, q), modules=["scipy", "numpy"]) for q in range(4)]
        for a in (*net.layer_activations, activation("linear"))  # the last is of no use
    ]
    subsets = [c for r in range(4) for c in combinations(range(3), r)]
    total, start = sum(w.size + v.size for w, v in zip(W, b, strict=True)), 0
    signal = {s: X.T if s == () else np.zeros((1, 1, 1, *X.T.shape)) for s in subsets}
    layers = []
    for sigma, Wk, bk in zip(jets, W, b, strict=True):
        dW, db = np.zeros((total, *Wk.shape)), np.zeros((total, len(bk), 1))
        dW[start : start + Wk.size] = np.eye(Wk.size).reshape(-1, *Wk.shape)
        db[start + Wk.size : start + Wk.size + bk.size] = np.eye(len(bk))[..., None]
        start += Wk.size + bk.size
        along = [[np.expand_dims(e, [q for q in range(3) if q != r]) for r in range(3)] for e in (dW, db)]
        z = {}
        for s in subsets:
            z[s] = Wk @ signal[s] + (bk[:, None] if s == () else 0)
            for r in s:
                z[s] = z[s] + along[0][r] @ signal[tuple(q for q in s if q != r)] + (along[1][r] if s == (r,) else 0)
            for low, high, gamma in net.residual:
                z[s] = z[s] + (gamma * layers[low - 1][s] if high == len(layers) + 1 else 0)
        layers.append(z)
        signal = {s: sum(_product(sigma, z, p) for p in partitions(s)) for s in subsets}
    return layers


def _product(sigma, z, blocks) -> np.ndarray:
    result = sigma[len(blocks)](z[()])
    for block in blocks:
        result = result * z[block]
    return result


@cache
def reference(net: MLP, seed: int, batch: int, inputs: int) -> list[list[tuple[np.ndarray, ...]]]:
    """z, dH, ddI and ddII of all neurons, for every network and layer, from the definitions."""
    nets = LiteralNetworks(net, SAMPLES[:inputs], batch, 2)
    nets.forward(np.random.default_rng(seed))
    result = []
    for g in range(batch):
        W = [np.sqrt(C / f) * w[g] for C, f, w in zip(nets.C_W, nets.fan_in, nets.W, strict=True)]
        b = [
            np.sqrt(C) * v[g] if v.size else np.zeros(n) for C, v, n in zip(nets.C_b, nets.b, nets.widths, strict=True)
        ]
        rates = np.concatenate([
            np.r_[np.full(w.size, lambda_W / w.shape[1]), np.full(v.size, lambda_b)]
            for w, v, lambda_W, lambda_b in zip(W, b, net.per_layer("lambda_W"), net.per_layer("lambda_b"), strict=True)
        ])  # fmt: skip
        tensors = []
        for z in parameter_derivatives(net, SAMPLES[:inputs], W, b):
            first, second, third = z[0,][:, 0, 0], z[0, 1][:, :, 0], z[0, 1, 2]
            lowered = rates.reshape(-1, 1, 1) * first
            hessian = np.einsum("mnia,nkc->miakc", second, lowered)  # H_ia g_kc
            dH = np.einsum("miakc,mjb->iajbkc", hessian, lowered)
            ddI = np.einsum("mnria,mjb,nkc,rld->iajbkcld", third, lowered, lowered, lowered, optimize=True)
            ddII = np.einsum("miakc,m,mjbld->iajbkcld", hessian, rates, hessian, optimize=True)
            tensors.append((z[()], dH, ddI, ddII))
        result.append(tensors)
    return result


def brute_force(net: MLP, seed: int, batch: int, neurons: int, inputs: int = 2) -> dict[str, np.ndarray]:
    """The mean over ordered pairs of neurons of what P, Q, R, S, T, U are the expectations of; (layer, a, b, c, d)."""
    pairs = list(permutations(range(neurons), 2))
    total = {name: np.zeros((len(net.per_layer("C_W")), *[inputs] * 4)) for name in NAMES}
    for tensors in reference(net, seed, batch, inputs):
        for layer, (z, dH, ddI, ddII) in enumerate(tensors):
            for i, j in pairs:
                total["P"][layer] += np.multiply.outer(dH[i, :, j, :, j], z[i])
                total["Q"][layer] += np.multiply.outer(dH[i, :, i, :, j], z[j])
                total["R"][layer] += ddI[i, :, i, :, j, :, j]
                total["S"][layer] += ddII[i, :, i, :, j, :, j]
                total["T"][layer] += ddII[i, :, j, :, i, :, j]
                total["U"][layer] += ddII[i, :, j, :, j, :, i]
    return {name: value / len(pairs) for name, value in total.items()}


def measured(net: MLP, seed: int, batch: int, neurons: int, names=NAMES, inputs: int = 2) -> dict[str, np.ndarray]:
    nets = LiteralNetworks(net, SAMPLES[:inputs], batch, neurons)
    nets.forward(np.random.default_rng(seed))
    nets.backward()
    return Descendants(nets, names).sums()


# ---------------------------------------------------------------- against it

SMOOTH = {
    "tanh": NET,
    "sin, some rates and biases are zero": MLP(
        "sin", depth=3, width=(4, 3), output_width=3,
        C_W=(1.0, 1.7, 0.6), C_b=(0.2, 0.0, 0.3), lambda_W=(0.0, 0.8, 1.5), lambda_b=(1.1, 0.0, 0.4),
    ),
    "cubic": MLP("cubic", depth=3, width=3, C_W=1.0, C_b=0.1, lambda_W=1.0, lambda_b=0.5),
    "an activation for each layer": NET.with_(activation=("gelu", "sin")),
    "a skip": MLP(
        "tanh", depth=3, width=3, C_W=1.5, C_b=0.1, lambda_W=(1.0, 0.5, 2.0), lambda_b=0.5, residual={(1, 2): 0.8}
    ),
}  # fmt: skip
#: To the next layer, over two and over three layers, to the output; one activation for each hidden layer.
SKIPS = MLP(
    ("tanh", "gelu", "sin"), depth=4, width=3, C_W=(1.5, 1.2, 2.0, 0.8), C_b=(0.1, 0.3, 0.2, 0.0),
    lambda_W=(1.0, 0.5, 2.0, 1.5), lambda_b=(0.7, 0.2, 1.1, 0.4),
    residual={(1, 2): 0.8, (1, 3): -0.5, (2, 3): 0.7, (2, 4): 0.6, (3, 4): 0.9, (1, 4): 0.3},
)  # fmt: skip
DEEP = MLP(
    ("tanh", "gelu", "sin", "erf"), depth=5, width=2, C_W=(1.5, 1.2, 2.0, 0.8, 1.1), C_b=0.1,
    lambda_W=(1.0, 0.5, 2.0, 1.5, 0.7), lambda_b=(0.7, 0.2, 1.1, 0.4, 0.3),
    residual={(1, 4): 0.8, (2, 4): -0.5, (2, 3): 0.6},
)  # fmt: skip


@pytest.mark.parametrize("neurons", [2, 3])
@pytest.mark.parametrize("case", SMOOTH)
def test_sums_are_those_over_all_pairs_and_triples_of_parameters(case, neurons):
    """Every entry of every layer: the mean over ordered pairs of neurons, summed over two networks."""
    got, expected = measured(SMOOTH[case], 0, 2, neurons), brute_force(SMOOTH[case], 0, 2, neurons)
    for name in NAMES:
        assert_allclose(got[name], expected[name], rtol=1e-10, atol=1e-12 * np.abs(expected[name]).max(), err_msg=name)
        assert_allclose(got[name][0], 0, atol=0)
        assert np.abs(expected[name][1:]).max() > 1e-3


@pytest.mark.parametrize("inputs", [1, 3])
def test_any_number_of_inputs(inputs):
    got, expected = measured(NET, 2, 1, 2, inputs=inputs), brute_force(NET, 2, 1, 2, inputs)
    for name in NAMES:
        assert_allclose(got[name], expected[name], rtol=1e-10, atol=1e-12 * np.abs(expected[name]).max(), err_msg=name)


def test_output_of_four_layers_and_one_neuron_left_out():
    net = MLP("tanh", depth=4, width=2, output_width=3, C_W=1.5, C_b=0.1, lambda_W=(1, 2, 3, 4), lambda_b=0.5)
    got, expected = measured(net, 1, 1, 2), brute_force(net, 1, 1, 2)
    for name in NAMES:
        assert_allclose(got[name], expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("net", "neurons", "inputs"), [(SKIPS, 2, 2), (SKIPS, 3, 1), (DEEP, 2, 2)])
def test_skips_over_one_two_and_three_layers(net, neurons, inputs):
    got, expected = measured(net, 1, 2, neurons, inputs=inputs), brute_force(net, 1, 2, neurons, inputs)
    for name in NAMES:
        assert_allclose(got[name], expected[name], rtol=1e-10, atol=1e-12 * np.abs(expected[name]).max(), err_msg=name)


@pytest.mark.parametrize("names", ["P", "Q", "R", "S", "T", "U", "PR", "QU", "ST"])
def test_one_alone_is_as_among_all(names):
    alone, expected = measured(NET, 0, 2, 3, tuple(names)), brute_force(NET, 0, 2, 3)
    assert tuple(alone) == tuple(names)
    for name in names:
        assert_allclose(alone[name], expected[name], rtol=1e-10, atol=1e-12)


def test_memory_that_is_used_again_leaves_nothing_behind():
    nets = LiteralNetworks(NET, X, 2, 3)
    descendants = Descendants(nets, NAMES)
    for seed in (5, 0):
        nets.forward(np.random.default_rng(seed))
        nets.backward()
        again = descendants.sums()
    for name in NAMES:
        assert_allclose(again[name], brute_force(NET, 0, 2, 3)[name], rtol=1e-10, atol=1e-12)


def test_group_means_are_the_means_over_networks():
    plan = MeasurementPlan(NAMES)
    nets = LiteralNetworks(NET, X, 2, 3, probes=plan.probes)
    descendants, record = Descendants(nets, plan.descendants), Record(nets, 4, plan)
    for seed in (0, 1):
        nets.forward(np.random.default_rng(seed))
        nets.backward()
        record.add(nets, descendants.sums())
    means = record.means()
    for name in NAMES:
        expected = sum(brute_force(NET, seed, 2, 3)[name] for seed in (0, 1)) / 4
        assert_allclose(means[name], expected, rtol=1e-10, atol=1e-12)
        value, _ = estimate(name, {name: np.stack([means[name]] * 2)}, np.array([4, 4]), np.array([2.0, 3.0, 4.0]))
        symmetric = symmetrised(name, expected)
        assert_allclose(value, np.array([2.0, 3.0, 4.0]).reshape(-1, 1, 1, 1, 1) * symmetric, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------- negative controls


def agrees(net: MLP, expected: dict[str, np.ndarray], rtol: float = 1e-4) -> dict[str, bool]:
    got = measured(net, 0, 2, 3)
    return {name: np.allclose(got[name], expected[name], rtol=rtol, atol=1e-8) for name in NAMES}


@pytest.mark.parametrize(("name", "number"), [(name, q) for name in NAMES for q in range(len(BRACKETS[name]))])
def test_every_row_of_the_table_is_needed(name, number, monkeypatch):
    """Without one product of dot products, its quantity is wrong, and no other."""
    rows = tuple(row for q, row in enumerate(BRACKETS[name]) if q != number)
    monkeypatch.setitem(BRACKETS, name, rows)
    assert [n for n, right in agrees(NET, brute_force(NET, 0, 2, 3)).items() if not right] == [name]


@pytest.mark.parametrize("step", ["_second", "_third", "_squares"])
def test_every_other_term_is_needed(step, monkeypatch):
    monkeypatch.setattr(Descendants, step, lambda *_: None)
    affected = {"_second": ["P", "Q"], "_third": ["R"], "_squares": ["S", "T", "U"]}[step]
    assert [n for n, right in agrees(NET, brute_force(NET, 0, 2, 3)).items() if not right] == affected


@pytest.mark.parametrize(
    ("change", "unaffected"),
    [
        ({"lambda_W": (0.5, 1.0, 2.0)}, ""),
        ({"lambda_W": (1.0, 0.5, 2.02)}, "PU"),  # they take no weight of their own layer twice
        ({"lambda_b": (0.2, 0.7, 1.1)}, ""),
    ],
)
def test_rates_of_the_wrong_layer_are_caught(change, unaffected):
    right = agrees(NET.with_(**change), brute_force(NET, 0, 2, 3))
    assert {name for name in NAMES if right[name]} == set(unaffected)


def test_every_skip_is_needed():
    """One gamma that is off by a percent makes all six wrong."""
    expected, gammas = brute_force(SKIPS, 1, 2, 2), {(low, high): gamma for low, high, gamma in SKIPS.residual}
    for skip, gamma in gammas.items():
        got = measured(SKIPS.with_(residual=gammas | {skip: 1.01 * gamma}), 1, 2, 2)
        assert not any(np.allclose(got[name][3], expected[name][3], rtol=1e-4, atol=1e-8) for name in NAMES), skip


@pytest.mark.parametrize("attribute", ["into", "onward"])
def test_variations_pass_through_skips_both_ways(attribute):
    """Without the skips of the signals' variations, or of the gradients' (which P and Q do not take), the rest is wrong."""
    expected = brute_force(SKIPS, 1, 2, 2)
    nets = LiteralNetworks(SKIPS, X, 2, 2)
    nets.forward(np.random.default_rng(1))
    nets.backward()
    setattr(nets, attribute, [[] for _ in nets.widths])
    got = Descendants(nets, NAMES).sums()
    right = {name for name in NAMES if np.allclose(got[name], expected[name], rtol=1e-4, atol=1e-8)}
    assert right == {"into": set(), "onward": {"P", "Q"}}[attribute]


def test_gradients_of_wrong_neurons_are_caught():
    """The pairing is what tells S, T and U apart."""
    expected = brute_force(NET, 0, 2, 3)
    assert not any(
        agrees(NET, expected | {"S": expected["U"], "T": expected["S"], "U": expected["T"]})[n] for n in "STU"
    )


# ---------------------------------------------------------------- known in closed form

LINEAR = MLP("linear", depth=2, width=7, output_width=5, C_W=1.0, C_b=0.0, lambda_W=1.0, lambda_b=0.0)


def test_linear_networks_have_the_second_derivative_of_a_product_of_matrices():
    r"""z_i = W_i . h, h = V x, with G = x.x / n_0 and n = n_1: along grad z_jc, dW_i = delta_ij h_c / n and dh_a = G_ac W_j, so
    dH_ijk;abc = (delta_ij G_ac h_b.W_k + delta_ik G_ab h_c.W_j) / n, and there is no third derivative. For i != j

        P = R = U = 0,   n Q = G_ac z_jb z_jd,   n S = G_ac G_bd |W_j|^2,   n^2 T = G_ab h_c.h_d.
    """
    nets = LiteralNetworks(LINEAR, X, 3, 5)
    nets.forward(np.random.default_rng(0))
    nets.backward()
    got, G, n = Descendants(nets, NAMES).sums(), X @ X.T / 2, 7
    z, h, W2 = nets.z[1], nets.z[0], nets.W[1] ** 2 / n
    assert_allclose([got[name][1] for name in "PRU"], 0, atol=1e-14)
    assert_allclose(got["Q"][1], np.einsum("ac,bgj,dgj->abcd", G, z, z) / 5 / n, rtol=1e-12)
    assert_allclose(got["S"][1], np.einsum("ac,bd->abcd", G, G) * W2.sum() / 5 / n, rtol=1e-12)
    assert_allclose(got["T"][1], np.einsum("ab,cgp,dgp->abcd", G, h, h) / n**2, rtol=1e-12)


def test_simulated_linear_networks_pair_as_the_definitions_say():
    """The means of the test above, times n: Q = S = G_ac G_bd and T = G_ab G_cd; no axis is out of place."""
    ds, G = simulate(LINEAR, X, networks=8_000, seed=1, quantities=NAMES, workers=1), X @ X.T / 2
    crossed, straight = np.einsum("ac,bd->abcd", G, G), np.einsum("ab,cd->abcd", G, G)
    exact = {"P": 0 * G[..., None, None], "Q": crossed, "R": 0 * crossed, "S": crossed, "T": straight, "U": 0 * crossed}
    t = stats.t.isf(FALSE_ALARM / 2 / 96, ds.attrs["groups"] - 1)
    for name, value in exact.items():
        deviation = np.abs(ds[name].values[1] - value)
        assert np.all(deviation <= t * ds[f"{name}_stderr"].values[1] + 1e-12), name
    for name in ("Q", "S", "T"):  # negative control
        deviation = np.abs(ds[name].values[1] - exact[name].transpose(0, 2, 1, 3))
        assert np.any(deviation > t * ds[f"{name}_stderr"].values[1]), name


# ---------------------------------------------------------------- published

#: n times the correlators at layer 4 of tanh networks, all widths 24, one input with x.x / n_0 = 1/2; (value, error).
PUBLISHED = {
    "gaussian": {
        "P": (-0.1002, 0.0007), "Q": (0.0083, 0.0003), "R": (-0.6528, 0.0029), "S": (0.6608, 0.0020), "T": (0.0246, 0.0002),
        "U": (0.0853, 0.0004), "F": (0.0576, 0.0011), "B": (0.3655, 0.0020),
    },
    "orthogonal": {
        "P": (-0.0628, 0.0004), "Q": (0.0099, 0.0002), "R": (-0.4134, 0.0008), "S": (0.4553, 0.0005), "T": (0.0039, 0.0001),
        "U": (0.0590, 0.0001), "F": (-0.0339, 0.0005), "B": (0.0406, 0.0002),
    },
}  # fmt: skip


@pytest.mark.parametrize("weights", PUBLISHED)
def test_monte_carlo_of_others_is_reproduced(weights):
    """In combined standard errors; the eight together alarm falsely with probability 1e-3 at most (Bonferroni).

    R of the table is the average over its three placements of equal neurons, which have one expectation: the third
    derivative is symmetric in its directions. Negative control: the numbers of the other ensemble fail, Q's excepted.
    """
    net = MLP("tanh", depth=4, width=24, output_width=24, C_W=1, C_b=0, lambda_W=1, lambda_b=0, weights=weights)
    X = np.full((1, 24), np.sqrt(0.5))
    ds = simulate(net, X, networks=8_000, seed=1, quantities=tuple(PUBLISHED[weights]), neurons=6, workers=1)
    bound = stats.norm.isf(1e-3 / 2 / 8)
    for source, table in PUBLISHED.items():
        for name, (value, error) in table.items():
            combined = np.hypot(ds[f"{name}_stderr"].values[3].item(), error)
            sigmas = abs(ds[name].values[3].item() - value) / combined
            if source == weights:
                assert sigmas < bound, name
            elif name != "Q":  # whose two values are too close
                assert sigmas > bound, name


# ---------------------------------------------------------------- conduct


def test_only_what_is_asked_for_is_differentiated(monkeypatch):
    monkeypatch.setattr(Descendants, "_pull_back", lambda *_: pytest.fail("tangents of gradients for P and Q"))
    assert set(simulate(NET, X, networks=8, quantities=("P", "Q"))) == {"P", "Q", "P_stderr", "Q_stderr"}
    monkeypatch.setattr(Descendants, "__init__", lambda *_: pytest.fail("dNTK for the NTK"))
    simulate(NET, X, networks=8, quantities=("K", "Theta", "V", "D", "F", "A", "B"))


@pytest.mark.parametrize(
    ("activation", "left_out", "reason"),
    [
        ("relu", "PQRSTU", "sigma'' is not a function: sigma' jumps from 0 to 1 at z=0; allowed: K, Theta"),
        ("elu", "R", "sigma''' is not a function: sigma'' jumps from 1 to 0 at z=0; allowed: K, Theta"),
        (sp.Abs(sp.Symbol("x")) ** sp.Rational(3, 2), "PQRSTU", "sigma'' is not bounded at z=0"),
        ("gelu", "", ""),
    ],
)
def test_quantities_whose_derivatives_do_not_exist_are_left_out_and_refused(activation, left_out, reason):
    net = NET.with_(activation=activation)
    assert set("PQRSTU") - set(simulate(net, X, networks=4)) == set(left_out)
    for name in left_out:
        with pytest.raises(NotAvailable, match=f"quantities: {name} cannot be measured for .*") as caught:
            simulate(net, X, networks=4, quantities=("K", name))
        assert reason in str(caught.value)


def test_two_neurons_are_needed():
    with pytest.raises(InvalidArgument, match="output_width"):
        simulate(NET.with_(output_width=1), X, networks=4, quantities="P")


def test_one_layer_has_none():
    ds = simulate(MLP("tanh", depth=1, C_W=1, C_b=0, lambda_W=1, lambda_b=0), X, networks=4, quantities=NAMES)
    assert all((ds[name] == 0).all() for name in ds)
