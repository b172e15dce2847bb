r"""From derivations to NumPy source that stands on its own.

The text of a module is written from the derived equations: one function for the activation and its derivatives, one for the
Gaussian averages that occur, one for each quantity, and ``step``, which maps the tensors of a layer to those of the next. What
``predict`` runs is this text.
"""

from __future__ import annotations

import builtins
import itertools
import linecache
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..theory.activations import Activation
from ..theory.closed_forms import closed_form
from ..theory.derivation import Derivation, System
from ..theory.errors import InvalidArgument, NotAvailable
from ..theory.gaussian import Average
from ..theory.quantities import quantity
from ..theory.regularity import prepared
from ..theory.symbols import Entry, Jet, Overlap, Sigma
from . import tables
from .embedding import embed
from .printing import assignments, numpy_text, staged

PARAMETERS = ("C_b", "C_W", "lambda_b", "lambda_W", "rho", "tau", "kappa_4")
AXES = "abcdefgh"
#: The number of different samples that quadrature can couple.
MOST_SITES = 4
State = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Table:
    """A Gaussian average as a table over samples: its name, what the quadrature needs, and its closed form if there is one."""

    name: str
    orders: tuple[tuple[int, ...], ...]
    derivatives: tuple[int, ...]
    node: Average
    closed: Any  #: a SymPy expression, or None

    @property
    def sites(self) -> int:
        """The number of samples that the average couples."""
        return len(self.orders)


@dataclass(frozen=True)
class Compiled:
    r"""Generated code for one derivation or a system of them.

    Equation
        ``compiled(state, C_W=..., ...)`` evaluates the right-hand sides at the tensors ``state`` of a layer.
    Shapes
        state["K"]: (m, m), four-index tensors (m, m, m, m); after ``samples=1`` every tensor has one common shape.
    Units
        A tensor of layer l multiplies 1/n_(l-1); ``rho`` is n_l/n_(l-1) (1 by default).
    Valid
        As the derivations; quadrature errors are in the result under "average_error".
    Errors
        ``TypeError`` from Python for a missing hyperparameter, ``KeyError`` for a tensor that ``state`` lacks.
    """

    names: tuple[str, ...]
    source: str
    single: bool
    namespace: dict[str, Any] = field(repr=False, compare=False)

    def __call__(self, state: State, **parameters: float) -> dict[str, NDArray[np.float64]]:
        """The tensors of the next layer."""
        return dict(self.namespace["step"](state, **parameters))

    def first_layer(self, X: NDArray[np.float64], **parameters: float) -> dict[str, NDArray[np.float64]]:
        """The tensors of the first layer, from the inputs."""
        return dict(self.namespace["first_layer"](X, **parameters))

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the text, and loads it again."""
        return _load, (self.names, self.source, self.single)

    def save(self, path: str | Path) -> Path:
        """Write the source to a file that runs with NumPy and SciPy alone."""
        path = Path(path)
        path.write_text(self.source, encoding="utf-8")
        return path


def compile(derivation: Derivation | System) -> Compiled:
    r"""Generate NumPy source for a derivation or a whole system, and load it.

    Equation
        The text evaluates exactly the derived equations; each function carries its equation in the docstring.
    Shapes
        See :class:`Compiled`.
    Valid
        For a concrete activation. Averages with a closed form are that closed form, the others go to quadrature.
    Errors
        ``InvalidArgument`` for the unspecified activation, or for anything that is not a derivation.
    """
    derivations = (derivation,) if isinstance(derivation, Derivation) else getattr(derivation, "derivations", None)
    if not derivations:
        raise InvalidArgument(
            f"derivation={derivation!r} is a {type(derivation).__name__}; allowed: what derive() returns"
        )
    if not derivations[0].net.activation.specified:
        raise InvalidArgument("activation='sigma' is unspecified: numbers need a concrete one, e.g. MLP('tanh')")
    return _compile(tuple(derivations))


@lru_cache(maxsize=64)
def _compile(derivations: tuple[Derivation, ...]) -> Compiled:
    return _load(tuple(d.name for d in derivations), write(derivations), _single(derivations))


def _load(names: tuple[str, ...], source: str, single: bool) -> Compiled:
    # A registered module, as an import would make it: dataclasses and tracebacks look their module up by name.
    module = types.ModuleType(f"widthwise_generated_{next(_NUMBERS)}")
    sys.modules[module.__name__] = module
    filename = f"<{module.__name__}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(builtins.compile(source, filename, "exec"), module.__dict__)
    return Compiled(names, source, single, module.__dict__)


_NUMBERS = itertools.count(1)


def _single(derivations: tuple[Derivation, ...]) -> bool:
    return not any(label for d in derivations for label in d.labels)


def write(derivations: tuple[Derivation, ...]) -> str:
    """The text of the module."""
    activation = derivations[0].net.activation
    laws = [prepared(d.law.right, activation) for d in derivations]
    found = {node: _table(node, activation) for law in laws for node in sorted(law.atoms(Average), key=str)}
    by_name = {table.name: table for table in found.values()}
    order = max(
        (k for t in by_name.values() if t.closed is None or activation.kinks for o in t.orders for k in o), default=0
    )
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((Path(__file__).parent / "module.py.jinja").read_text(encoding="utf-8"))
    render = partial(
        template.render,
        title=_title(derivations),
        equations=[str(d) for d in derivations],
        quadrature=embed(tables),
        activation=activation.expr,
        stages=staged([activation.derivative(k) for k in range(order + 1)]),
        order=order,
        kinks=tuple(float(k) for k in activation.kinks),
        single=_single(derivations),
        numeric=[t for t in by_name.values() if t.closed is None or activation.kinks],
        closed_names=tuple(t.name for t in by_name.values() if t.closed is not None),
        closed=_closed_groups(by_name.values()),
        kinked=bool(activation.kinks),
        functions=[_function(d, law, found) for d, law in zip(derivations, laws, strict=True)],
        first=[_first(d) for d in derivations],
        quartic=any(len(o.labels) == 4 for d in derivations for o in d.first.rhs.atoms(Overlap)),
        parameters=PARAMETERS,
        legend={t.name: t.node.operator_text() for t in by_name.values()},
    )
    text = render(special="")
    # SciPy's special functions are imported where the text calls one of them.
    text = render(special="import scipy.special") if "scipy.special." in text else text
    return re.sub(r"\n{4,}", "\n\n\n", text)


def _sites(node: Average) -> list[Jet]:
    """The sites in the order of the table: sorted by their factors, unless operators tell them apart."""
    if node.derivatives:
        return list(node.sites)
    return sorted(node.sites, key=lambda site: tuple(sorted(orders_at(node.body, site))))


def _table(node: Average, activation: Activation) -> Table:
    sites = _sites(node)
    orders = tuple(tuple(sorted(orders_at(node.body, site))) for site in sites)
    derivatives = tuple(node.derivatives.count(site) for site in sites)
    name = "E_" + "_".join("".join(map(str, o)) for o in orders)
    if any(derivatives):
        name += "_d" + "".join(map(str, derivatives))
    standard = _standard(sites, orders, derivatives)
    closed = closed_form(standard, activation)
    if closed is None and len(sites) > MOST_SITES:
        raise NotAvailable(
            f"the average {node.operator_text()} couples {len(sites)} inputs and has no closed form for "
            f"activation={activation.name!r}; quadrature goes up to {MOST_SITES}; allowed: one input, or an activation such as "
            "sin or a polynomial"
        )
    return Table(name, orders, derivatives, standard, closed)


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


def _axis(labels: tuple[str, ...]) -> dict[str, str]:
    return {label: AXES[i] for i, label in enumerate(sorted(set(labels)))}


@dataclass(frozen=True)
class Function:
    """What the template needs to write the function of one quantity."""

    name: str
    rank: int
    equation: str
    parameters: tuple[str, ...]
    gathers: tuple[str, ...]
    lines: tuple[str, ...]
    result: str


def _function(derivation: Derivation, law: sp.Expr, found: Mapping[Average, Table]) -> Function:
    axes = _axis(derivation.labels)
    gathers: dict[str, str] = {}
    names: dict[sp.Expr, sp.Symbol] = {}
    for node in sorted(law.atoms(Average), key=str):
        table = found[node]
        sites = [axes[site.sample] for site in _sites(node)]
        names[node] = _gather(gathers, f'E["{table.name}"]', table.name, sites, derivation)
    for entry in sorted(law.atoms(Entry), key=str):
        names[entry] = _gather(
            gathers, f'state["{entry.name}"]', entry.name, [axes[a] for a in entry.labels], derivation
        )
    lines, (result,) = assignments([law.xreplace(names)])
    used = tuple(p for p in PARAMETERS if p in {s.name for s in law.atoms(sp.Symbol)})
    return Function(
        derivation.name, derivation.quantity.rank, str(derivation), used, tuple(gathers.values()), tuple(lines), result
    )


def _gather(gathers: dict[str, str], source: str, name: str, sites: list[str], derivation: Derivation) -> sp.Symbol:
    single = not any(derivation.labels)
    variable = name if single else f"{name}_{''.join(sites)}"
    gathers[variable] = f"{variable} = {source}" + ("" if single else f"[{', '.join(sites)}]")
    return sp.Symbol(variable)


def _closed_groups(found: Iterable[Table]) -> list[dict[str, Any]]:
    """Closed forms, grouped by the number of sites, with their common subexpressions."""
    groups = []
    closed = [t for t in found if t.closed is not None]
    for sites in sorted({t.sites for t in closed}):
        group = [t for t in closed if t.sites == sites]
        labels = AXES[:sites]
        entries = [quantity("K").entry(pair) for pair in combinations_with_replacement(labels, 2)]
        names = {e: sp.Symbol("K_" + "".join(e.labels)) for e in entries} | {
            quantity("K").entry(("", "")): sp.Symbol("K_aa")
        }
        lines, results = assignments([t.closed.xreplace(names) for t in group], prefix="y")
        groups.append(
            {
                "sites": sites,
                "axes": labels,
                "arguments": [str(names[e]) for e in entries],
                "gathers": [f"K[{', '.join(e.labels)}]" for e in entries],
                "lines": lines,
                "tables": [(t.name, r) for t, r in zip(group, results, strict=True)],
            }
        )
    return groups


def _first(derivation: Derivation) -> tuple[str, int, str]:
    right = derivation.first.rhs
    axes = _axis(derivation.labels)

    def gathered(overlap: Overlap) -> sp.Symbol:
        index = "" if _single((derivation,)) else f"[{', '.join(axes[a] for a in overlap.labels)}]"
        return sp.Symbol(f"overlap{len(overlap.labels)}{index}")

    return (
        derivation.name,
        derivation.quantity.rank,
        numpy_text(right.xreplace({o: gathered(o) for o in right.atoms(Overlap)})),
    )


def _title(derivations: tuple[Derivation, ...]) -> str:
    names = ", ".join(d.name for d in derivations)
    return f"Layer recursion of {names} for a wide network with activation {derivations[0].net.activation.name}"
