"""Functions of generated modules: an equation in averages, tensors and hyperparameters as lines of NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp

from ...theory.averages.gaussian import Average
from ...theory.language.jets import Overlap
from ...theory.language.quantities import Entry
from .averages import AXES, AverageTable, sites_of
from .printing import Text, assignments

PARAMETERS = ("C_b", "C_W", "lambda_b", "lambda_W", "rho", "tau", "kappa_4")
#: An array of the state, and where it is read: its name in ``state``, and its labels.
Place = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Function:
    """The parts from which the template writes one function."""

    name: str
    rank: int
    equation: str
    parameters: tuple[str, ...]
    gathers: tuple[str, ...]
    lines: tuple[str, ...]
    result: str


def entries(law: sp.Expr) -> dict[sp.Expr, Place]:
    """The entries of tensors in a law."""
    return {entry: (entry.name, entry.labels) for entry in sorted(law.atoms(Entry), key=str)}


def function(
    name: str,
    labels: tuple[str, ...],
    law: sp.Expr,
    equation: str,
    found: Mapping[Average, AverageTable],
    text: Text,
    places: Callable[[sp.Expr], dict[sp.Expr, Place]] = entries,
) -> Function:
    """The function of a right-hand side; ``places`` says which of its atoms are entries of arrays of the state."""
    axes = axes_of(labels)
    gathers: dict[str, str] = {}
    names: dict[sp.Expr, sp.Symbol] = {}
    for node in sorted(law.atoms(Average), key=str):
        table = found[node]
        sites = [axes[site.sample] for site in sites_of(node)]
        names[node] = _gather(gathers, f'E["{table.name}"]', table.name, sites, labels)
    law = law.xreplace(names)  # the kernels that averages depend on are not read by the law itself
    arrays = {
        atom: _gather(gathers, f'state["{array}"]', array, [axes[a] for a in at], labels)
        for atom, (array, at) in places(law).items()
    }
    lines, (result,) = assignments([law.xreplace(arrays)], text)
    said, read = " ".join(equation.split()), tuple(gathers.values())
    return Function(name, len(labels), said, parameters_of(law), read, tuple(lines), result)


def parameters_of(*laws: sp.Expr) -> tuple[str, ...]:
    """The hyperparameters that stand in some laws as symbols."""
    names = {s.name for law in laws for s in law.atoms(sp.Symbol)}
    return tuple(p for p in PARAMETERS if p in names)


def axes_of(labels: tuple[str, ...]) -> dict[str, str]:
    """The letters of the axes of an array whose indices have these labels."""
    return {label: AXES[i] for i, label in enumerate(sorted(set(labels)))}


def _gather(gathers: dict[str, str], source: str, name: str, sites: list[str], labels: tuple[str, ...]) -> sp.Symbol:
    if not any(labels) or _whole(sites, labels):
        return sp.Symbol(source)
    variable = f"{name}_{''.join(sites)}"
    gathers[variable] = f"{variable} = {source}[{', '.join(sites)}]"
    return sp.Symbol(variable)


def _whole(sites: list[str], labels: tuple[str, ...]) -> bool:
    """Whether the indices are those of the result, all of them in order."""
    return sites == list(AXES[: len(labels)]) and len(set(labels)) == len(labels)


def of_inputs(right: sp.Expr, labels: tuple[str, ...], text: Text) -> str:
    """A value of the first layer, from the overlaps of the inputs."""
    axes = axes_of(labels)

    def gathered(overlap: Overlap) -> sp.Symbol:
        sites = [axes[a] for a in overlap.labels] if any(labels) else []
        index = f"[{', '.join(sites)}]" if sites and not _whole(sites, labels) else ""
        return sp.Symbol(f"overlap{len(overlap.labels)}{index}")

    return text(right.xreplace({o: gathered(o) for o in right.atoms(Overlap)}))
