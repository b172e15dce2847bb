r"""The symbols of the equations at initialisation, with their meanings, as the table of a document lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

from ..language import latex
from ..language.dictionary import symbols
from ..language.quantities import TENSORS
from ..language.symbols import MEANINGS, escaped
from ..typesetting import environments
from ..typesetting.environments import layout
from .crosslayer import Role

Rows = tuple[tuple[str, str], ...]

_SITE: Rows = (
    (r"\ell", r"number of a layer; the layer $\ell+1$ follows from the layer $\ell$"),
    (r"n_{\ell}", r"number of neurons of the layer $\ell$; $n_0$ is that of the features of an input"),
    (r"z^{(\ell)}_{i}", r"preactivation of the neuron $i$ of the layer $\ell$; of one neuron: $z$"),
    (r"\sigma,\ \sigma',\ \sigma''", "activation and its derivatives at $z$; an index is that of the input"),
    (
        r"\langle\cdots\rangle",
        "average over preactivations of a layer: centred Gaussians, whose covariance is the kernel",
    ),
    (r"\partial", "derivative of what an average holds by the preactivation, of the input in the index"),
    (r"d_r z", "derivative of the preactivation along a random direction $r$ in parameter space"),
)
_INPUTS: Rows = ((r"\alpha_1,\alpha_2,\dots", "inputs"),)
_LAYERED: dict[Role, tuple[str, str]] = {
    Role.FIELD: (
        r"q^{(\ell)}_A",
        "covariance of two jets of one neuron, given the layer below, without what skips hand on",
    ),
    Role.RESPONSE: (r"J^{(\ell)}_{A,c}", r"how the average $A$ answers to the kernel $c$ of its layer"),
    Role.SOURCE: (
        r"S^{(\ell,m)}_A",
        "covariance of the noise of neuron averages of two layers, for the pairs of the tensor $A$",
    ),
    Role.NOISE: (r"N^{(\ell,m)}_A", "covariance of noise with averages"),
    Role.COVARIANCE: (r"C^{(\ell,m)}_A", "covariance of averages with averages"),
    Role.OWN_SOURCE: (r"O^{(\ell,m)}_A", "covariance of a neuron's own products with noise"),
    Role.OWN: (r"G^{(\ell,m)}_A", r"covariance of a neuron's own products with averages; $\top$ exchanges the pairs"),
}


def parameters(used: Iterable[sp.Symbol], known: Mapping[sp.Symbol, sp.Expr]) -> Rows:
    """Parameters that occur or are given, with their values."""
    found = []
    for letter, meaning in MEANINGS.items():
        if letter in known:
            found.append((latex.tex(letter), f"{_sentence(meaning)}; here ${latex.tex(known[letter])}$"))
        elif letter in used and str(letter) != "ell":
            found.append((latex.tex(letter), _sentence(meaning)))
    return tuple(found)


def tensors(names: Iterable[str], labelled: bool) -> Rows:
    """The tensors of some names."""
    rows = (TENSORS[name] for name in names if name in TENSORS)
    labels = "12345678"
    return tuple(
        (
            latex.tex(row.entry(tuple(labels[: row.rank]) if labelled else ("",) * row.rank)),
            _sentence(symbols.meaning(row.name)),
        )
        for row in rows
    )


def recursion_symbols(derivations: Iterable[Any], known: Mapping[sp.Symbol, sp.Expr]) -> Rows:
    """What the recursions hold, on both sides."""
    held = list(derivations)
    labelled = any(label for d in held for label in d.labels)
    names = dict.fromkeys([*(d.name for d in held), *(name for d in held for name in TENSORS if name in d.needs)])
    used = set().union(*(d.law.right.free_symbols | d.first.rhs.free_symbols for d in held))
    return (*_SITE, *(_INPUTS if labelled else ()), *parameters(used, known), *tensors(names, labelled))


def layered_symbols(roles: Iterable[Role], names: Iterable[str], known: Mapping[sp.Symbol, sp.Expr]) -> Rows:
    """What the equations over all layers hold."""
    mixing = (
        r"\mathcal{R}^{(\ell,k)}",
        r"share of what the layer $k$ makes in a neuron of the layer $\ell$, through skips",
    )
    width = (r"n^{(\ell)}", r"number of neurons of the layer $\ell$, where it stands in a sum over layers")
    return (
        *_SITE,
        mixing,
        width,
        *(_LAYERED[r] for r in roles if r in _LAYERED),
        *parameters((), known),
        *tensors(names, False),
    )


def first_layer(derivations: Iterable[Any], width: float, labels: str) -> str:
    """The values of the first layer that are not zero."""
    firsts = {d.name: d.first for d in derivations}
    shown = {name: eq for name, eq in firsts.items() if eq.rhs != 0}
    if not shown:
        return "In the first layer all of them vanish."
    displays = [latex.display(eq.lhs, [eq.rhs], f"{name}:first") for name, eq in shown.items()]
    text = environments.written(displays, layout(width, "align", labels)).replace(r"(\ell)", "(1)")
    others = " All others vanish there." if len(shown) < len(firsts) else ""
    return f"In the first layer, where inputs take the place of neurons,\n{text}{others}"


def _sentence(text: str) -> str:
    """Words of a table of plain text, with widths and powers of 1/n as formulas."""
    text = escaped(text)
    text = re.sub(r"n\\_\(?l([+-]1)?\)?", lambda m: rf"$n_{{\ell{m[1] or ''}}}$", text)
    return re.sub(
        r"1/n(?:\\textasciicircum\{\}(\d))?(?![\w$])", lambda m: rf"$1/n^{{{m[1]}}}$" if m[1] else "$1/n$", text
    )
