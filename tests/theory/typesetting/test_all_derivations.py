"""Every derivation of the package compiles in an article at 10 pt, in one and two columns, without a box that overflows."""

from __future__ import annotations

from functools import cache

import pytest
from typeset import needs_latex, overfull

import widthwise as ww
from widthwise.theory.initialisation.dependencies import names_of_order
from widthwise.theory.networks.activations import ACTIVATIONS

LOSSES = (
    {},
    {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.1},
    {"outputs": 2, "loss": "cross_entropy"},
    {"loss": "logistic", "learning_rate": 0.1},
    {"loss": "(f - y)**4"},
    {"outputs": 3, "loss": "exponential"},
)


@cache
def derivations():
    """By a title: tensors of all ensembles, of one sample and more, and of all activations; skips; training."""
    found = {}
    for weights in ("gaussian", "orthogonal", "uniform"):
        net = ww.MLP(weights=weights)
        for name in names_of_order(net.layer_map, 1):
            for samples in (1, None):
                title = f"{weights} {name} {samples}"
                found[title] = ww.derive(net, name, samples=samples)
                found[f"{title} steps"] = found[title].steps
                found[f"{title} carried out"] = found[title].doit()
    for name in ("K2", "Theta2", "V1", "D1", "F1", "V6", "D6", "F6", "V8"):
        found[name] = ww.derive(ww.MLP(), name, samples=1, order=3)
    for activation in ACTIVATIONS:
        system = ww.derive(ww.MLP(activation, C_W=1.5), samples=1)
        found[f"{activation.name} system"] = system
        for name in ("K", "Theta", "V"):
            if name in system:
                own = ww.derive(ww.MLP(activation, C_W=1.5), name)
                found[f"{activation.name} {name}"], found[f"{activation.name} {name} closed"] = own, own.specialize()
    for title, net in {
        "skips": ww.MLP("tanh", depth=4, residual=0.5),
        "longer skips": ww.MLP("relu", depth=4, residual={(1, 3): 0.5, (2, 4): 0.25}),
    }.items():
        found[title] = ww.derive(net)
        found[f"{title} steps"] = found[title].steps
    for activation in ("tanh", "linear"):
        for depth in (2, 3):
            for options in LOSSES:
                title = f"training {activation} {depth} {options}"
                found[title] = ww.derive(ww.Training(ww.MLP(activation, depth=depth, C_b=0.3, lambda_b=0.2), **options))
                found[f"{title} steps"] = found[title].steps
    return found


@needs_latex
@pytest.mark.slow
@pytest.mark.parametrize("columns", [1, 2])
def test_no_derivation_overflows(columns, tmp_path):
    assert len(derivations()) > 300
    texts = {title: d.latex(width="twocolumn" if columns == 2 else "article") for title, d in derivations().items()}
    assert overfull(tmp_path, texts, columns=columns) == []
