"""The Gaussian averages of a generated module: their names, their orders for quadrature, and their closed forms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations_with_replacement
from typing import Any

import sympy as sp

from ...theory.averages.gaussian import Average
from ...theory.averages.rules import Covariance, Determinant
from ...theory.language.errors import InvalidArgument, NotAvailable
from ...theory.language.jets import Jet, Sigma
from ...theory.language.quantities import quantity
from ...theory.networks.activations import Activation
from ..quadrature.tables import MOST
from . import limits
from .grouping import grouped
from .printing import CORRELATION, Text, assignments
from .stable import evaluated_form

AXES = "abcdefgh"
#: The most samples at which quadrature differentiates an average.
SITES_IN_FRONT = 2


@dataclass(frozen=True)
class AverageTable:
    """A Gaussian average as a table over samples: its name, its orders for the quadrature, and its closed form if there is one."""

    name: str
    orders: tuple[tuple[int, ...], ...]
    derivatives: tuple[int, ...]
    node: Average
    closed: Any  #: a SymPy expression, or None

    @property
    def sites(self) -> int:
        """The number of samples that the average couples."""
        return len(self.orders)


def sites_of(node: Average) -> list[Jet]:
    """The sites in the order of the table: sorted by their factors, unless operators tell them apart."""
    if node.derivatives:
        return list(node.sites)
    return sorted(node.sites, key=lambda site: tuple(sorted(orders_at(node.body, site))))


def table(node: Average, activation: Activation, most_sites: int, target: str) -> AverageTable:
    """The table of an average; ``NotAvailable`` when it has no closed form and couples more samples than quadrature can."""
    if not node.at_K:
        raise NotAvailable(
            f"the average {node} is taken at a kernel of its own, which generated code does not know; allowed: averages at the "
            "kernel of the layer below, as derived"
        )
    sites = sites_of(node)
    orders = tuple(tuple(sorted(orders_at(node.body, site))) for site in sites)
    derivatives = tuple(node.derivatives.count(site) for site in sites)
    name = "E_" + "_".join("".join(map(str, o)) for o in orders)
    if any(derivatives):
        name += "_d" + "".join(map(str, derivatives))
    standard = _standard(sites, orders, derivatives)
    form = evaluated_form(standard, activation, always=len(sites) > min(most_sites, MOST))
    closed = grouped(form) if form is not None and activation.smooth else form
    if closed is None and (len(sites) > most_sites or (any(derivatives) and len(sites) > SITES_IN_FRONT)):
        raise NotAvailable(
            f"the average {node.operator_text()} couples {len(sites)} inputs and has no closed form for "
            f"activation={activation.name!r}; quadrature with target={target!r} goes up to {most_sites}; allowed: one input, "
            "an activation such as sin or a polynomial, or only the quantities that do without it, e.g. "
            "derive(net).restrict(('K', 'Theta', 'K1', 'Theta1'))"
            + ("" if target == "numpy" else "; or target='numpy'")
        )
    return AverageTable(name, orders, derivatives, standard, closed)


def orders_at(body: sp.Expr, site: sp.Expr) -> Iterable[int]:
    """The derivative orders of the sigma factors at a site, with multiplicity."""
    for factor in sp.Mul.make_args(body):
        base, power = factor.as_base_exp()
        if not isinstance(base, Sigma):
            raise InvalidArgument(
                f"no NumPy rule for the factor {factor} of an average; allowed: powers of sigma's derivatives"
            )
        if base.args[0] == site:
            yield from [base.order] * int(power)


def _standard(sites: list[Jet], orders: tuple[tuple[int, ...], ...], derivatives: tuple[int, ...]) -> Average:
    """The average with its sites called a, b, ... in the order of the table (or "" for the only site of one input)."""
    jets = [Jet("")] if sites == [Jet("")] else [Jet(label) for label in AXES[: len(sites)]]
    body = sp.Mul(*(Sigma(jet, k) for jet, group in zip(jets, orders, strict=True) for k in group))
    return Average(body, [jet for jet, n in zip(jets, derivatives, strict=True) for _ in range(n)])


class Edge(StrEnum):
    """What closed forms are worth at parallel samples, and at samples without variance."""

    NONE = "regular everywhere"
    LIMITS = "limits at parallel samples"
    OPERATORS = "no limits"


@dataclass(frozen=True)
class ClosedForms:
    """The function of the closed forms over some number of sites, with their common subexpressions."""

    sites: int
    edge: Edge
    arguments: tuple[str, ...]
    gathers: tuple[str, ...]
    lines: tuple[str, ...]
    tables: tuple[tuple[str, str], ...]
    rounds: bool  #: whether more is rounded than a product of entries
    divides: bool = False  #: whether a form of one sample divides by its variance
    #: values at samples without variance, where the forms have others
    silent: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def name(self) -> str:
        """The name of the function."""
        return f"closed_forms_{self.sites}" + ("_operators" if self.edge is Edge.OPERATORS else "")

    @property
    def judged(self) -> bool:
        """Whether the rounding of each operation is followed; that of kinked activations is tried at pairs instead."""
        return self.rounds and self.edge is Edge.NONE

    @property
    def axes(self) -> str:
        """The letters of the sites."""
        return AXES[: self.sites]


def edge_of(t: AverageTable, activation: Activation) -> Edge:
    """The kind of a closed form; of a kinked activation quadrature confirms its limits at parallel samples."""
    if activation.smooth:
        return Edge.NONE
    if t.sites == 1:
        return Edge.LIMITS
    if t.sites > 2 or any(t.derivatives) or limits.silent(activation, *t.orders, *_VARIANCES) is None:
        return Edge.OPERATORS
    form = _by_correlation(t.closed.xreplace(_letters(2)))
    return Edge.LIMITS if limits.has_limits(form, activation, *t.orders) else Edge.OPERATORS


def closed_groups(
    found: Iterable[AverageTable],
    text: Text,
    edges: Mapping[str, Edge],
    by_correlation: Collection[Edge] = (Edge.LIMITS,),
) -> list[ClosedForms]:
    """Closed forms, grouped by the number of sites and by what they are worth at singular samples; ``edges`` by name.

    Those of two sites with an edge in ``by_correlation`` are functions of deviations, covariance and correlation.
    """
    keys = {t: (t.sites, edges[t.name]) for t in found if t.closed is not None}
    return [
        _group([t for t in keys if keys[t] == (sites, edge)], sites, edge, text, sites == 2 and edge in by_correlation)
        for sites, edge in sorted(set(keys.values()))
    ]


_VARIANCES = sp.symbols("K_aa K_bb")


def _letters(sites: int) -> dict[sp.Expr, sp.Symbol]:
    entries = [quantity("K").entry(pair) for pair in combinations_with_replacement(AXES[:sites], 2)]
    return {e: sp.Symbol("K_" + "".join(e.labels)) for e in entries} | {
        quantity("K").entry(("", "")): sp.Symbol("K_aa")
    }


def _group(group: list[AverageTable], sites: int, edge: Edge, text: Text, by_correlation: bool) -> ClosedForms:
    names = _letters(sites)
    entries = [e for e in names if any(e.labels)]
    conditioned, letters = _conditioned([t.closed for t in group], AXES[:sites], text)
    forms = [t.closed.xreplace(names | letters) for t in group]
    arguments = [str(names[e]) for e in entries]
    if by_correlation:
        forms, arguments = [_by_correlation(form) for form in forms], ["a", "K_ab", "b", "correlation"]
    elif sites == 2:
        forms = [_of_one_root(form) for form in forms]
    lines, results = assignments(forms, text, prefix="y")
    return ClosedForms(
        sites,
        edge,
        tuple(arguments),
        tuple(f"K[{', '.join(e.labels)}]" for e in entries),
        (*conditioned, *lines),
        tuple((t.name, result) for t, result in zip(group, results, strict=True)),
        bool(conditioned) or any(form.has(sp.Add, sp.exp) for form in forms),
        sites == 1 and edge is Edge.LIMITS and any(map(_divides, forms)),
    )


def _divides(form: sp.Expr) -> bool:
    """Whether a form is infinite, or not defined, at K_aa = 0."""
    return any(p.exp.is_negative and p.base.subs(_VARIANCES[0], 0) == 0 for p in form.atoms(sp.Pow))


def with_silent(group: ClosedForms, found: Iterable[AverageTable], activation: Activation, text: Text) -> ClosedForms:
    """The closed forms of a kinked activation with their values where a sample has no variance."""
    tables = {t.name: t for t in found}
    return replace(
        group, silent=tuple((n, v) for n, _ in group.tables if (v := _silent(tables[n], activation, text)) is not None)
    )


def _silent(t: AverageTable, activation: Activation, text: Text) -> tuple[str, ...] | None:
    """The values at K_aa = 0, at K_bb = 0 and at both; None where the closed form has them by itself."""
    form = t.closed.xreplace(_letters(t.sites))
    if t.sites == 1:
        value = limits.without_variance(activation, t.orders[0], t.derivatives[0])
        return None if not _divides(form) and form.subs(_VARIANCES[0], 0) == value else (text(value),)
    found = limits.silent(activation, *t.orders, *_VARIANCES)
    assert found is not None
    a, b = sp.symbols("a b", positive=True)
    squared, plain = dict(zip(_VARIANCES, (a**2, b**2), strict=True)), _by_correlation(form)
    nothing = {sp.Symbol("K_ab"): 0, CORRELATION: 0}
    sites = (({a: 0}, found.first), ({b: 0}, found.second), ({a: 0, b: 0}, found.both))
    ends = ((plain.subs(nothing | zero), v.xreplace(squared)) for zero, v in sites)
    if all(sp.expand(mine - other) == 0 for mine, other in ends):
        return None
    return tuple(text(sp.powdenest(v.xreplace(squared), force=True)) for v in (found.first, found.second, found.both))


def _conditioned(forms: list[sp.Expr], axes: str, text: Text) -> tuple[list[str], dict[sp.Expr, sp.Symbol]]:
    """Lines that compute S and det(1 + QK) for each Q that occurs, and the names of their letters."""
    pairs = list(combinations_with_replacement(range(len(axes)), 2))
    found = sorted({x for form in forms for x in form.atoms(Covariance, Determinant)}, key=sp.default_sort_key)
    lines: list[str] = []
    names: dict[sp.Expr, sp.Symbol] = {}
    for number, curvatures in enumerate(dict.fromkeys(x.content[1] for x in found)):
        S = {(i, j): f"S{number}_{axes[i]}{axes[j]}" for i, j in pairs}
        entries = ", ".join(f"K_{axes[i]}{axes[j]}" for i, j in pairs)
        lines.append(
            f"{', '.join(S.values())}, det{number} = conditioned(({', '.join(map(text, curvatures))}), {entries})"
        )
        for x in found:
            if x.content[1] == curvatures:
                names[x] = sp.Symbol(f"det{number}" if isinstance(x, Determinant) else S[x.content[2:]])
    return lines, names


def zero_of(t: AverageTable, activation: Activation) -> sp.Expr | None:
    """The value of a closed form of a kinked activation where a sample has no variance, if it is one number."""
    if t.closed is None or activation.smooth or (t.sites == 2 and any(t.derivatives)):
        return None
    if t.sites == 1:
        return limits.without_variance(activation, t.orders[0], t.derivatives[0])
    found = limits.silent(activation, *t.orders, *_VARIANCES) if t.sites == 2 else None
    return found.both if found is not None and found.first == found.second == found.both else None


def _of_one_root(form: sp.Expr) -> sp.Expr:
    r"""Arcs as :math:`\arcsin\frac nd=\operatorname{atan2}(n,\sqrt{d^2-n^2})` where the form holds that root, the determinant's.

    At nearly parallel samples the rounding of the root, eps/angle, then cancels between the terms as its slope does.
    """
    roots = {sp.expand(p.base): sp.sqrt(p.base) for p in form.atoms(sp.Pow) if p.exp.is_Rational and p.exp.q == 2}

    def arc(node: sp.asin) -> sp.Expr:
        n, d = sp.fraction(node.args[0])
        root = roots.get(sp.expand(d**2 - n**2))
        return node if root is None else sp.atan2(n, root)

    return form.replace(lambda e: isinstance(e, sp.asin), arc)


def _by_correlation(form: sp.Expr) -> sp.Expr:
    """Arcs and roots of the same correlation, so that their slopes stop together at parallel samples; K_ab elsewhere."""
    a, b = sp.symbols("a b", positive=True)
    rho = CORRELATION
    K_aa, K_ab, K_bb = sp.symbols("K_aa K_ab K_bb")
    # the determinant is the only polynomial under a root that holds K_ab
    inside = {K_aa: a**2, K_bb: b**2, K_ab: a * b * rho}
    edges = (sp.asin, sp.acos, sp.Pow)
    found = [x for x in form.atoms(*edges) if x.has(K_ab) and not (x.is_Pow and x.exp.is_Integer)]
    masks = {x: sp.Dummy() for x in sorted(found, key=sp.count_ops, reverse=True)}
    values = {masks[x]: x.func(*(sp.factor(arg.xreplace(inside)) for arg in x.args)) for x in masks}
    return form.xreplace(masks).xreplace({K_aa: a**2, K_bb: b**2}).xreplace(values)
