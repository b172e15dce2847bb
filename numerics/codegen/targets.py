"""Targets of generated code: one row each; everything else follows from the row.

NumPy and SciPy evaluate to a tolerance and refine until it is met. JAX and PyTorch share one text, in the names that
``jax.numpy`` and ``torch`` have in common, with fixed rules of quadrature, so that it can be traced and differentiated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
from scipy.special import roots_legendre

from ...theory.initialisation.derivation import Recursions
from ...theory.initialisation.residual import CrossLayer
from ...theory.language.errors import InvalidArgument, NotAvailable
from ...theory.language.extras import missing
from ...theory.language.quantities import Kind, quantity
from ...theory.networks.activations import Activation
from ..quadrature import tables
from . import evaluation, rounding
from .averages import AverageTable, ClosedForms, Edge, closed_groups, edge_of, with_silent, zero_of
from .embedding import embed, merged
from .header import header, meaning_of
from .narrow import narrowed
from .printing import Text, differentiable_text, numpy_text, staged

#: Nodes of the trapezoid rule: 1e-10 for <sigma'^2> of tanh at K = 10, where its poles are half a standard deviation away.
NODES = 257
#: How often averages by quadrature can be differentiated by the kernel.
DIFFERENTIABLE = 2
#: Nodes on a panel between kinks, coarse and fine.
_PANEL = (12, 16)


Context = dict[str, Any]
#: The place of the modules of quadrature in a text.
_QUADRATURE = "#: <quadrature>"


@dataclass(frozen=True)
class Target:
    """A library that generated code runs with."""

    name: str
    runs_with: str
    template: str
    text: Text
    averaging: Callable[[Activation, Sequence[AverageTable], bool, int], Context]  #: the averages for the template
    most_sites: int  #: how many samples quadrature can couple
    special: tuple[str, ...]  #: names to be imported where the text uses them
    library: str = ""  #: the template of the functions in which libraries with one text differ
    needs: str = ""  #: the package behind the optional extra of the same name as the target

    @property
    def differentiable(self) -> bool:
        """Whether rules of quadrature are fixed, and gradients pass."""
        return bool(self.library)

    def require(self) -> None:
        """An error that names the extra when the library is not installed."""
        if self.needs and find_spec(self.needs) is None:
            raise missing(self.needs, f"target={self.name!r}", "target='numpy' works without it")


def _refined(activation: Activation, found: Sequence[AverageTable], single: bool, nodes: int) -> Context:
    """Quadrature to a tolerance, where closed forms and their limits do not suffice: its modules are copied into the text."""
    edges = {t.name: edge_of(t, activation) for t in found if t.closed is not None}
    numeric = [t for t in found if edges.get(t.name, Edge.OPERATORS) is Edge.OPERATORS]
    groups = closed_groups(found, numpy_text, edges)
    return {
        "quadrature": embed(tables),
        "numeric": numeric,
        "order": _highest(numeric),
        "closed_names": tuple(t.name for t in numeric if t.closed is not None),
        "closed": [with_silent(g, found, activation, numpy_text) if g.edge is Edge.LIMITS else g for g in groups],
    }


def _fixed(activation: Activation, found: Sequence[AverageTable], single: bool, nodes: int) -> Context:
    """Fixed rules: a trapezoid rule for smooth activations, panels between the kinks of the others."""
    at_zero = {t.name: number for t in found if (number := zero_of(t, activation)) is not None}
    numeric = [t for t in found if t.closed is None or (activation.kinks and t.name not in at_zero)]
    for t in numeric:
        if t.closed is None and t.sites > 1 and activation.kinks:
            raise NotAvailable(
                f"the average {t.node.operator_text()} couples two inputs and has no closed form for "
                f"activation={activation.name!r}, which has kinks; the fixed rules of target='jax' and 'torch' split one "
                "axis only; allowed: one input (samples=1), a smooth activation, relu, leaky_relu, abs; or target='numpy'"
            )
    price_rule = bool(numeric) and activation.smooth
    edges = {t.name: _edge(t, activation) for t in found}
    closed = closed_groups(found, differentiable_text, edges, (Edge.LIMITS, Edge.OPERATORS))
    legendre = (roots_legendre(n) for n in _PANEL)
    return {
        "numeric": [(d, [t for t in numeric if t.sites == d]) for d in sorted({t.sites for t in numeric})],
        "order": _highest(numeric) + (2 * DIFFERENTIABLE if price_rule else 0),
        "price_rule": price_rule,
        "closed": closed,
        "rounds": activation.smooth and any(group.rounds for group in closed),
        "at_zero": {name: float(number) for name, number in at_zero.items()},
        "closed_pairs": any(group.sites == 2 for group in closed),
        "one_site": any(t.sites == 1 for t in found),
        "nodes": nodes,
        "gauss_legendre": [(x.tolist(), w.tolist()) for x, w in legendre] if activation.kinks else [],
    }


def _edge(t: AverageTable, activation: Activation) -> Edge:
    """Closed forms without derivatives have limits at parallel samples; those of one sample stand beside a rule on the line."""
    if activation.smooth or t.sites != 2:
        return Edge.NONE
    return Edge.OPERATORS if any(t.derivatives) else Edge.LIMITS


def _highest(numeric: Sequence[AverageTable]) -> int:
    """The highest derivative of sigma that is integrated."""
    return max((k for t in numeric for orders in t.orders for k in orders), default=0)


_SHARED = ("differentiable.py.jinja", differentiable_text, _fixed, 2, ("erf", "erfc"))
TARGETS = {
    target.name: target
    for target in (
        Target("numpy", "NumPy", "module.py.jinja", numpy_text, _refined, 8, ("scipy.special",)),
        Target("jax", "JAX", *_SHARED, "jax.py.jinja", "jax"),
        Target("torch", "PyTorch", *_SHARED, "torch.py.jinja", "torch"),
    )
}


def target_of(name: Any) -> Target:
    """The row of a name."""
    if not isinstance(name, str) or name not in TARGETS:
        raise InvalidArgument(f"target={name!r} is not known; allowed: {', '.join(map(repr, TARGETS))}")
    return TARGETS[name]


def nodes_of(nodes: Any, target: Target) -> int:
    """The number of nodes, rounded up to one whose halves and quarters are rules too."""
    if nodes is None:
        return NODES
    if not target.differentiable:
        raise InvalidArgument(
            f"nodes={nodes!r} with target={target.name!r}, which refines until its tolerance is met; allowed: None"
        )
    if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 9:
        raise InvalidArgument(f"nodes={nodes!r}; allowed: an integer from 9 on (default {NODES})")
    return 4 * -(-(nodes - 1) // 4) + 1


def rendered(
    target: Target,
    activation: Activation,
    found: Sequence[AverageTable],
    nodes: int,
    *,
    of: Recursions | CrossLayer,
    keywords: Mapping[str, Sequence[str]],
    template: str | None = None,
    least: int = 0,
    further: Sequence[str] = (),
    open_ends: Sequence[str] = (),
    tensors: Sequence[str] = (),
    meaning: Sequence[str] = (),
    **context: Any,
) -> str:
    """The text of a module; ``context`` holds the values for all templates, ``least`` the least order of sigma's derivatives."""
    context |= target.averaging(activation, found, context["single"], nodes)
    context["order"] = max(context["order"], least)
    stages = staged([activation.derivative(k) for k in range(context["order"] + 1)], target.text)
    groups = [*context["closed"], *context.get("of_layers", {}).get("closed", [])]
    context |= {
        "target": target,
        "stages": stages,
        "kinks": tuple(map(float, activation.kinks)),
        "activation": activation.expr,
        "kinds": {group.edge.name for group in groups if group.sites == 2},
        "parameters": _by_function(keywords),
        "closed_system": not open_ends,
        "fluctuating": any(quantity(name).kind is not Kind.MEAN for name in of.names),
        "tensors": tuple(tensors),
        "pairwise": _pairwise(context, groups),
        "plain_single": context["single"] and not context["numeric"] and [g.judged for g in groups] == [False],
    }
    render = _templates().get_template(template or target.template).render
    text = render(context, special=(), helpers=[], imports=(), header="")
    # Special functions are imported, and others written out, where the text calls one of them.
    special = tuple(name for name in target.special if re.search(rf"\b{re.escape(name)}[.(]", text))
    helpers = {r"\b(damped_sinh|remainder|conditioned)\(": evaluation, r"\brounded\(": rounding}
    called = [embed(module) for pattern, module in helpers.items() if re.search(pattern, text)]
    quadrature = context["quadrature"] if _QUADRATURE in text else None
    used = (e.imports for e in (quadrature, *called) if e is not None)
    imports = merged(("import numpy as np",), context.get("imports", ()), *used)
    top = header(
        of.subject,
        of.names,
        context["single"],
        keywords,
        further=further,
        open_ends=open_ends,
        tensors=tensors,
        meaning=meaning or meaning_of(of.subject, of.names, keywords),
        library=target.needs,
        runs_with=target.runs_with + " and SciPy" * bool((special or quadrature) and not target.needs),
    )
    whole = render(context, special=special, helpers=[e.text for e in called], imports=imports, header=top)
    text = narrowed(re.sub(r"\n{4,}", "\n\n\n", whole))
    return text.replace(_QUADRATURE, quadrature.text) if quadrature else text


def _pairwise(context: Context, groups: Sequence[ClosedForms]) -> bool:
    """Whether all tensors are functions of the pair, each entry of the entries at its place: these can be taken in blocks."""
    if context["single"] or context["numeric"] or [g.sites for g in groups] != [2] or "fields" in context:
        return False
    first = all(rank == 2 and "overlap2" in value and "[" not in value for _, rank, value in context["first"])
    return first and all(f.rank == 2 and not f.gathers for f in context["functions"])


def _by_function(keywords: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The keywords of each function for the templates, those of a function that there is not, and all."""
    every = tuple(dict.fromkeys(p for function in keywords.values() for p in function))
    return {"recursion": ()} | {name: tuple(p) for name, p in keywords.items()} | {"all": every}


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    return jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
