r"""Networks in training in words and equations, and the symbols of their dynamics, as a document states them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sympy as sp

from ..language import latex, symbols
from ..language.sources import cited
from ..networks.setting import number
from ..typesetting import environments
from ..typesetting.environments import Display, layout
from .subject import Training

if TYPE_CHECKING:
    from .dynamics import Dynamics

#: What each letter is, by the names of the fields and order parameters that show it.
_LETTERS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("h",), r"h^{\ell}_{\mu}(t)", "preactivation of a neuron; all neurons of a layer obey the same equations"),
    (("z",), r"z^{\ell}_{\mu}(t)", "gradient that comes back to the neuron from the layer above"),
    (("g",), r"g^{\ell}_{\mu}(t)", r"$\gamma_0N\,\partial f/\partial h^{\ell}$, the gradient of the neuron"),
    (("u",), r"u^{\ell}_{\mu}(t)", r"Gaussian field of the initial weights below"),
    (("r",), r"r^{\ell}_{\mu}(t)", r"Gaussian field of the initial weights above"),
    (("h",), r"\phi,\ \dot\phi", "activation and its derivative"),
    (
        ("Phi",),
        r"\Phi^{\ell}_{\mu\alpha}(t,s)",
        "kernel of the activities: their average product over the neurons of a layer",
    ),
    (("G",), r"G^{\ell}_{\mu\alpha}(t,s)", "kernel of the gradients"),
    (("A",), r"A^{\ell}_{\mu\alpha}(t,s)", "how activities answer to the field $r$"),
    (("B",), r"B^{\ell}_{\mu\alpha}(t,s)", "how gradients answer to the field $u$"),
    (("f",), r"f_{\mu}(t)", "prediction"),
    (("Delta",), r"\Delta_{\mu}(t)", r"$-\partial\mathcal{L}/\partial f_{\mu}$, the error that drives training"),
    (("Theta",), r"\Theta_{\mu\alpha}(t,t)", "tangent kernel"),
    (("y",), r"y_{\mu}", "label"),
    (("Kx",), r"K^x_{\mu\alpha}", r"$x_{\mu}\cdot x_{\alpha}/n_0$, overlap of two inputs"),
    (("a",), "a(t)", "share of the initial parameters that is left"),
    (("m",), "m(t,s)", r"share of the step at time $s$ that is in the parameters at time $t$"),
)


def statement(flow: Training, width: float) -> str:
    """The network, the loss and the rule of training, with the numbers that are given."""
    net, how = flow.net, layout(width, "align*")
    layers = "" if flow.hidden_layers is None else f" $L={flow.hidden_layers}$"
    forward = [
        Display(r"h^{1}_{\mu}", r"W^{0}\,x_{\mu} + b^{1}"),
        Display(r"h^{\ell+1}_{\mu}", r"W^{\ell}\,\phi(h^{\ell}_{\mu}) + b^{\ell+1}"),
        Display(r"f_{\mu}", r"\frac{1}{\gamma_0\sqrt{N}}\,h^{L+1}_{\mu}"),
    ]
    one = latex.display(sp.Symbol(r"\mathcal{L}"), [sp.Symbol(r"\sum_{\mu}\ell(f_{\mu},y_{\mu})")])
    loss = Display(r"\ell(f,y)", latex.tex(_loss(flow)))
    activation = net.activation.expr
    shape = r"an activation $\phi$ that is not specified"
    parts = [
        f"The network has{layers} hidden layers of width $N\\to\\infty$, in the mean-field scaling{cited(['dmft'])},",
        environments.written(forward, how),
        r"with weights of variance $C_W/N$ ($C_W/n_0$ in the first layer) and biases of variance $C_b$ at initialisation, and "
        + (shape if activation is None else "the activation"),
    ]
    if activation is not None:
        parts.append(environments.written([latex.display(sp.Symbol(r"\phi(z)"), [activation])], how))
    parts += [_rule(flow), environments.written([one, loss], how), _numbers(flow)]
    return "\n".join(parts)


def _loss(flow: Training) -> sp.Expr:
    loss = flow.loss
    return loss.one if flow.outputs == 1 or loss.several is None else loss.value(flow.outputs)[0]


def _rule(flow: Training) -> str:
    name = "gradient flow" if flow.continuous else "full-batch gradient descent"
    more = [n for n, on in (("momentum", flow.momentum), ("weight decay", flow.weight_decay)) if on]
    return f"It is trained by {name}{' with ' + ' and '.join(more) if more else ''} on the loss"


def _numbers(flow: Training) -> str:
    given = [rf"$\gamma_0={number(flow.gamma)}$"]
    given += [] if flow.learning_rate is None else [rf"$\eta={number(flow.learning_rate)}$"]
    given += [rf"$\beta={number(flow.momentum)}$"] if flow.momentum else []
    given += [rf"$\kappa={number(flow.weight_decay)}$"] if flow.weight_decay else []
    for name in ("C_W", "C_b", "lambda_W", "lambda_b"):
        value = getattr(flow.net, name)
        value = value[0] if isinstance(value, tuple) else value
        given.append(f"${latex.tex(getattr(symbols, name))}={number(value)}$")
    outputs = f" There are {flow.outputs} outputs $k$." if flow.outputs > 1 else ""
    return f"Given are {', '.join(given)}; rates are $\\lambda_W/N$ of weights and $\\lambda_b$ of biases.{outputs}"


def training_symbols(found: Dynamics) -> tuple[tuple[str, str], ...]:
    """What the equations hold."""
    every = [*found.values(), *(sp.Eq(law.left, law.right, evaluate=False) for law in found.further)]
    names = {getattr(atom, "name", "") for eq in every for side in eq.args for atom in side.atoms()}
    rows = [(letter, meaning) for marks, letter, meaning in _LETTERS if names & set(marks)]
    rows += [
        (r"\mu,\ \alpha", "samples"),
        (r"t,\ s", "times, in steps times the learning rate" if not found.subject.continuous else "times"),
        (r"\ell", r"number of a layer, $1\dots L$"),
        (r"\gamma_0", "strength of feature learning; 0 is the lazy limit"),
        (r"\langle\cdots\rangle", "average over the neurons of a layer"),
    ]
    if found.subject.outputs > 1:
        rows.append((r"k,\ k'", "outputs"))
    if found.closed:
        rows.append((r"C^{\ell},\ D^{\ell}", "operators over samples and times that the memories of $h$ and $z$ apply"))
    return tuple(rows)
