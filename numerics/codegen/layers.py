"""Modules over all layers: the text of the equations of networks with skips, for NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from ...theory.averages.gaussian import Average
from ...theory.averages.regularity import prepared
from ...theory.initialisation.crosslayer import LayerStatement, Role
from ...theory.initialisation.layered import ELL, LABELS, Layered, M, width
from ...theory.initialisation.residual import CrossLayer
from ...theory.language.errors import InvalidArgument, NotAvailable
from ...theory.language.jets import Overlap
from ...theory.language.quantities import Entry
from ..quadrature import tables
from . import mixing
from .averages import AverageTable, table
from .contractions import Contraction
from .embedding import embed, imports_of
from .functions import PARAMETERS, Place, function, of_inputs, parameters_of
from .targets import NODES, Context, Target, rendered

#: The labels of the layers that the functions of each role depend on.
_OF_LAYERS = {Role.RESPONSE: ("ell",), Role.SOURCE: ("ell", "m"), Role.OWN_SOURCE: ("ell", "m")}
#: Hyperparameters are those of the layer above.
_ABOVE = ("C_b", "C_W", "lambda_b", "lambda_W", "tau")
_MEANING = (
    "<...> averages over the preactivations of one neuron in the layers ell and m, whose covariances are the kernels K of these "
    "layers; n[0], n[1], ... are the widths, and a tensor of layer l multiplies 1/n[l-1]",
)


@dataclass(frozen=True)
class Line:
    """An assignment to an array over layers."""

    name: str
    start: str  #: in the first layer, below which nothing is summed
    text: str


def write_layers(equations: CrossLayer, target: Target, nodes: int = NODES) -> str:
    """The text of the module."""
    if target.differentiable:
        raise NotAvailable(
            f"target={target.name!r}: equations over all layers, of networks with residual=, have NumPy code only; "
            "allowed: target='numpy'"
        )
    activation = equations.subject.activation
    fields, functions = (_Averaged.of(equations, target, *roles) for roles in ((Role.FIELD,), tuple(_OF_LAYERS)))
    one = target.averaging(activation, fields.tables, equations.single, nodes)
    two = target.averaging(activation, functions.tables, False, nodes)
    numeric = bool(one["numeric"] or two["numeric"])
    residual = equations.skips.value
    context: dict[str, Any] = {
        "single": equations.single,
        "names": equations.names,
        "kernels": [
            (s.name, _kernel(s, {}), _kernel(s, {ELL: "number", M: "number"})) for s in equations.of_role(Role.KERNEL)
        ],
        "functions": [
            (
                _shifts(s),
                s.role,
                function(s.name, _OF_LAYERS[s.role], law, str(s), functions.found, target.text, _places),
            )
            for s, law in zip(functions.statements, functions.laws, strict=True)
        ],
        "noises": [_line(s, "[:, m]", {ELL: "i"}, {M: "m"}) for s in equations.of_role(Role.NOISE)],
        "owns": [_line(s, "[:, m]", {ELL: "i"}, {M: "m"}) for s in equations.of_role(Role.OWN)],
        "covariances": [_line(s, "[m]", {M: "i"}, {ELL: "m"}) for s in equations.of_role(Role.COVARIANCE)],
        "tensors_of_layers": [_line(s, "", {ELL: "i"}, {}) for s in equations.of_role(Role.TENSOR)],
        "hyperparameters": _above(equations),
        "residual": residual,
        "of_layers": two,
        "mixing": embed(mixing).text,
        "imports": imports_of(*([tables] if numeric else []), mixing),
        "legend": {t.name: t.node.operator_text() for t in (*fields.tables, *functions.tables)},
    }
    context |= _first_layer(equations, fields, target)
    shown = {f.name for f in context["fields"]} | {f.name for _, _, f in context["functions"]}
    written = [str(s) for s in equations.statements if s.name not in shown]
    return rendered(
        target,
        activation,
        fields.tables,
        nodes,
        template="layers.py.jinja",
        least=two["order"],
        of=equations,
        keywords=_keywords(equations, context, residual is None),
        further=[*written, *(f"{law.left} = {law.right}" for law in equations.further)],
        tensors=tensors_of(equations),
        meaning=_MEANING,
        **context,
    )


def tensors_of(equations: CrossLayer) -> tuple[str, ...]:
    """What the order parameters of a layer need of the one below."""
    laws = [s.law.right for s in equations.of_role(Role.FIELD)]
    return tuple(sorted({e.name for law in laws for e in law.atoms(Entry)} | {"K"}))


def _above(equations: CrossLayer) -> tuple[str, ...]:
    """The hyperparameters that stand in the equations with the number of a layer."""
    arrays = {x.name for s in equations.statements for x in s.law.right.atoms(Layered)}
    return tuple(p for p in PARAMETERS if p in arrays)


def _keywords(equations: CrossLayer, context: Context, symbolic: bool) -> dict[str, tuple[str, ...]]:
    """The hyperparameters of each function; a strength of skips that is a number is no argument."""
    used = {p for f in context["fields"] for p in f.parameters}
    step = tuple(p for p in PARAMETERS if p in used)
    first = parameters_of(*(s.first for s in equations.statements))
    every = tuple(p for p in PARAMETERS if p in {*step, *first, *_above(equations)})
    return {"step": step, "first_layer": first, "recursion": (*every, *("residual",) * symbolic)}


def _first_layer(equations: CrossLayer, fields: _Averaged, target: Target) -> Context:
    """The order parameters of one layer, and their values in the first one; sources are multiplied by the number of features."""
    samples = equations.labels * (2 // len(equations.labels))
    sources = [s for s in equations.of_role(Role.SOURCE) if s.first != 0]
    return {
        "fields": [
            function(s.name, samples, law, str(s), fields.found, target.text)
            for s, law in zip(fields.statements, fields.laws, strict=True)
        ],
        "first": [(s.name, of_inputs(s.first, samples, target.text)) for s in fields.statements],
        "first_sources": [
            (s.name, of_inputs(sp.expand(s.first * width(sp.S.Zero)), samples, target.text)) for s in sources
        ],
        "quartic": any(len(o.labels) == 4 for s in equations.statements for o in s.first.atoms(Overlap)),
    }


@dataclass(frozen=True)
class _Averaged:
    """Equations with Gaussian averages: their laws as they are integrated, and the tables of their averages."""

    statements: tuple[LayerStatement, ...]
    laws: tuple[sp.Expr, ...]
    found: dict[Average, AverageTable]

    @classmethod
    def of(cls, equations: CrossLayer, target: Target, *roles: Role) -> _Averaged:
        """Those in some places of the system."""
        statements, activation = equations.of_role(*roles), equations.subject.activation
        laws = tuple(prepared(s.law.right, activation) for s in statements)
        nodes = [node for law in laws for node in sorted(law.atoms(Average), key=str)]
        return cls(statements, laws, {n: table(n, activation, target.most_sites, target.name) for n in nodes})

    @property
    def tables(self) -> list[AverageTable]:
        """The tables, each once."""
        return list({t.name: t for t in self.found.values()}.values())


def _places(law: sp.Expr) -> dict[sp.Expr, Place]:
    """Arrays over layers: kernels of two layers, hyperparameters of the layer above, widths; and whether two layers are one."""
    names = {layer: label for label, layer in LABELS.items()}
    places: dict[sp.Expr, Place] = {}
    for array in sorted(law.atoms(Layered), key=str):
        shift = 1 if array.name in _ABOVE else 0
        try:
            places[array] = (array.name, tuple(names[layer - shift] for layer in array.layers))
        except KeyError:
            raise InvalidArgument(
                f"{array} in {law}; allowed: kernels at layers ell and m, C_W and others at ell + 1, m + 1"
            ) from None
    for delta in law.atoms(sp.KroneckerDelta):
        places[delta] = ("same", tuple(LABELS))
    return places


def _shifts(statement: LayerStatement) -> tuple[int, ...]:
    """By how many layers the left-hand side is above the layers of the averages."""
    left = statement.law.left
    assert isinstance(left, Layered)
    return tuple(int(layer - symbol) for layer in left.layers for symbol in layer.free_symbols)


def _kernel(statement: LayerStatement, fixed: dict[sp.Symbol, str]) -> str:
    axes = {symbol: letter for symbol, letter in ((ELL, "i"), (M, "l")) if symbol not in fixed}
    q = {f"q_{name}": f'q["q_{name}"]' for name in ("K", "Theta")}
    return Contraction(axes, fixed, "...", q).text(statement.law.left, statement.law.right)


def _line(statement: LayerStatement, index: str, axes: dict[sp.Symbol, str], fixed: dict[sp.Symbol, str]) -> Line:
    left, right = statement.law.left, sp.expand(statement.law.right)
    alone = sp.Add(*(term for term in sp.Add.make_args(right) if not term.has(sp.Sum)))
    start, text = (Contraction(axes, fixed).text(left, expr) for expr in (alone, right))
    return Line(statement.name, f"{statement.name}{index} = {start}", f"{statement.name}{index} = {text}")
