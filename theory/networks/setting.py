"""A network in words and equations, as the first section of a document states it."""

from __future__ import annotations

import sympy as sp

from ..language import latex, symbols
from ..language.sources import cited
from ..typesetting import environments
from ..typesetting.environments import Display, layout
from .architecture import HYPERPARAMETERS, MLP
from .ensembles import Ensemble


def statement(net: MLP, width: float) -> str:
    """The definition of the network: its layers, activation, weights, learning rates, and the numbers that are given."""
    sentences = [
        f"The network is a multilayer perceptron{_depth(net)},",
        environments.written(_layers(net), layout(width, "align*")),
        _activation(net, width),
        _weights(net),
        _rates(width),
        _numbers(net),
    ]
    return "\n".join(sentence for sentence in sentences if sentence)


def _depth(net: MLP) -> str:
    if net.depth is None:
        return r" of layers $\ell=1,2,\dots$ of weights"
    widths = ""
    if net.hidden_widths:
        equal = len(set(net.hidden_widths)) == 1
        shown = str(net.hidden_widths[0]) if equal else ", ".join(map(str, net.hidden_widths))
        widths = f", with hidden layers of {shown} neurons"
    return f" of $L={net.depth}$ layers of weights{widths}"


def _layers(net: MLP) -> list[Display]:
    further = r"b^{(\ell+1)}_i + \sum_{j=1}^{n_{\ell}} W^{(\ell+1)}_{ij}\,\sigma\bigl(z^{(\ell)}_{j}\bigr)"
    if net.residual:
        further += r" + \sum_{k\le\ell} \gamma_{\ell+1,k}\,z^{(k)}_{i}"
    first = r"b^{(1)}_i + \sum_{j=1}^{n_0} W^{(1)}_{ij}\,x_{j}"
    return [Display("z^{(1)}_{i}", first), Display(r"z^{(\ell+1)}_{i}", further)]


def _activation(net: MLP, width: float) -> str:
    if net.activations:
        names = ", ".join(rf"\texttt{{{symbols.escaped(a.name)}}}" for a in net.activations)
        return f"with the activations {names} of its hidden layers."
    if net.activation.expr is None:
        return r"with an activation $\sigma$ that is not specified."
    shown = latex.display(sp.Symbol(r"\sigma(z)"), [net.activation.expr])
    return (
        rf"with the activation \texttt{{{symbols.escaped(net.activation.name)}}},"
        + "\n"
        + environments.written([shown], layout(width, "align*"))
    )


def _weights(net: MLP) -> str:
    kinds = net.weights if isinstance(net.weights, tuple) else (net.weights,)
    drawn = "; ".join(dict.fromkeys(map(_drawn, kinds)))
    return (
        r"At initialisation biases are independent Gaussians of variance $C_b$, and the weights of the layer $\ell+1$ "
        rf"have mean zero and variance $C_W/n_{{\ell}}$: {drawn}. Notation and orders in $1/n$ are those of the "
        rf"book{cited(['pdlt'])}."
    )


def _drawn(weights: Ensemble) -> str:
    if weights.crossed != 0:
        return f"they are orthogonal matrices{cited(['orthogonal', 'haar'])}"
    if weights.gaussian:
        return "they are independent Gaussians"
    return rf"they are independent, of excess kurtosis $\kappa_4={latex.tex(weights.excess)}$"


def _rates(width: float) -> str:
    kernel = Display("H_{ij}", r"\sum_\theta\lambda_\theta\,\partial_\theta z_i\,\partial_\theta z_j")
    return (
        "The tangent kernel of two neurons is\n"
        + environments.written([kernel], layout(width, "align*"))
        + "\n"
        + r"with the rates $\lambda_b$ of biases and $\lambda_W/n_{\ell}$ of weights."
    )


def _numbers(net: MLP) -> str:
    given = []
    for name in HYPERPARAMETERS:
        value, letter = getattr(net, name), latex.tex(getattr(symbols, name))
        if isinstance(value, tuple):
            given.append(f"${letter}=({', '.join(f'{v:.6g}' for v in value)})$ in the layers")
        elif value is not None:
            given.append(f"${letter}={number(value)}$")
    given += [rf"$\gamma_{{{m},{k}}}={latex.tex(sp.nsimplify(gamma, rational=True))}$" for k, m, gamma in net.residual]
    if not given:
        return "No numbers are given: all parameters stay symbols."
    rest = "" if all(getattr(net, name) is not None for name in HYPERPARAMETERS) else "; other parameters stay symbols"
    return f"Given are {', '.join(given)}{rest}."


def number(value: float) -> str:
    """A number as an equation holds it."""
    return latex.tex(sp.nsimplify(value, rational=True))
