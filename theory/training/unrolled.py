r"""The equations of training, written out for a few steps: a mean-field system with one site and finitely many order parameters.

A network with one hidden layer is N independent neurons that the errors alone couple. Its single site is a function of the
Gaussian sources u and r, and of the order parameters: the predictions f, which decide the errors, and the overlap of activities,
through which training has changed the readout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, product

import sympy as sp

from ..language.errors import NotAvailable
from ..language.symbols import SiteAverage, ell
from ..meanfield.protocol import MeanField, Structure, by_chain_rule
from .dynamics import Dynamics
from .fields import Memory, OrderParameter, Place, SiteField, last
from .orders import FIELDS, SOURCES
from .program import error

Where = Mapping[str, str]


@dataclass(frozen=True)
class Unrolled(MeanField[OrderParameter]):
    r"""A network with one hidden layer after a few steps of gradient descent.

    Equation
        The statements of ``system`` with numbers for samples, outputs and times, all sums carried out; the activation stays a
        letter.
    Shapes
        ``orders``: f of every output, sample and time, then the overlap of activities at two times.
    Units
        Those of the equations; parameters stay symbols.
    Valid
        One hidden layer: there every order parameter is an average over neurons. With more layers responses are not; what a matrix
        remembers then fluctuates by itself (``numerics.fluctuations.interfaces``). The output's bias is left out.
    Errors
        ``NotAvailable`` for more hidden layers, and for gradient flow.
    Source
        The derived system.
    """

    found: Dynamics
    steps: int
    samples: int
    structure = Structure.CAUSAL

    def __post_init__(self) -> None:
        flow = self.found.subject
        if flow.hidden_layers != 1 or flow.continuous:
            raise NotAvailable(f"flow={flow!r}; allowed: gradient descent of one hidden layer")

    @cached_property
    def orders(self) -> tuple[OrderParameter, ...]:
        """The order parameters that are averages, in the order of time."""
        overlap = self.found.schema.overlap("phi").name
        f = self.found.system["f"].lhs.name
        samples, outputs = map(_numbers, (self.samples, self.found.subject.outputs))
        found = []
        for t in _numbers(self.steps):
            for s, a, b in product(_numbers(int(t) + 1), samples, samples):
                if (s, b) <= (t, a) and (s != t or b <= a):
                    found.append(OrderParameter(overlap, 1, ((a,), t), ((b,), s)))
            found += [OrderParameter(f, None, ((k, a), t)) for k, a in product(outputs, samples)]
        return tuple(found)

    @cached_property
    def fields(self) -> dict[SiteField, sp.Expr]:
        """The fields of the site as functions of its sources."""
        found: dict[SiteField, sp.Expr] = {}
        for t in _numbers(self.steps):
            for name in FIELDS:
                left = self.found.system[name].lhs
                for where in self._everywhere(left.place, t):
                    value = self._put(self.found.system[name].rhs, where)
                    found[self._field(left, where)] = explicit(value, found)
        return found

    @cached_property
    def sources(self) -> tuple[SiteField, ...]:
        """The Gaussian sources u and r."""
        atoms = set[SiteField]().union(*(value.atoms(SiteField) for value in self.fields.values()))
        return tuple(sorted((x for x in atoms if x.name in SOURCES), key=str))

    def covariance(self, first: sp.Expr, second: sp.Expr) -> sp.Expr:
        """Of two sources."""
        if first.name != second.name:
            return sp.S.Zero
        law = self.found.system[first.name]
        where: dict[str, str] = {}
        for source, place in zip((first, second), self._places(first.name), strict=True):
            kept = [i for i in place[0] if i in self._kept[first.name]]
            where |= dict(zip(kept, source.indices, strict=True))
        return self._put(law.rhs, where)

    def function(self, order: OrderParameter) -> sp.Expr:
        """The definition of an overlap, or the prediction, of one site."""
        return self._functions[order]

    @cached_property
    def _functions(self) -> dict[OrderParameter, sp.Expr]:
        found = {}
        for order in self.orders:
            law = self.found.system[order.name]
            where: dict[str, str] = {}
            for (indices, time), (given, at) in zip(law.lhs.places, order.places, strict=True):
                where |= dict(zip((*indices, time), (*given, at), strict=True))
            body = law.rhs.xreplace({average: average.args[0] for average in law.rhs.atoms(SiteAverage)})
            found[order] = explicit(self._put(body, where), self.fields)
        return found

    def average(self, function: sp.Expr) -> sp.Expr:
        """The average over the sources, which stays as it is."""
        return SiteAverage(function) if function.has(SiteField) else function

    def moment(self, function: sp.Expr, by: tuple[OrderParameter, ...] = ()) -> sp.Expr:
        """The average; by order parameters: through the errors that the site is trained with."""
        return by_chain_rule(self.average, self.covariance, function, by, self.sources)

    def answers(self, orders: tuple[OrderParameter, ...], count: int) -> Iterator[tuple[OrderParameter, ...]]:
        """Those on which the functions depend; covariances of sources are data here."""
        present = set[OrderParameter]().union(*(self.function(order).atoms(OrderParameter) for order in orders))
        return combinations_with_replacement([o for o in self.orders if o in present], count)

    @cached_property
    def _kept(self) -> dict[str, set[str]]:
        """The indices that the covariance of a source has: that of data has no time, and a readout no sample."""
        found = {}
        for name in SOURCES:
            value = self._put(self.found.system[name].rhs, {})
            letters = {i for symbol in value.free_symbols for i in symbol.name.split(" ")}
            found[name] = {i for indices, _ in self._places(name) for i in indices if i in letters}
        return found

    def _places(self, name: str) -> list[Place]:
        """Of the two factors of a covariance, that of the time t first."""
        fields = self.found.system[name].lhs.atoms(SiteField)
        return [x.place for x in sorted(fields, key=lambda x: x.time, reverse=True)]

    def _everywhere(self, place: Place, t: str) -> Iterator[dict[str, str]]:
        sizes = {
            **dict.fromkeys(("k", "k'"), self.found.subject.outputs),
            **dict.fromkeys(("mu", "alpha"), self.samples),
        }
        indices, time = place
        for values in product(*(_numbers(sizes[i]) for i in indices)):
            yield {**dict(zip(indices, values, strict=True)), time: t}

    def _put(self, expr: sp.Expr, where: Where) -> sp.Expr:
        """A statement at the first hidden layer with numbers for its indices and times."""
        memories = {m: self._sum(m, where) for m in expr.atoms(Memory)}
        expr = expr.xreplace(memories)
        expr = expr.xreplace({x: self._field(x, where) for x in expr.atoms(SiteField)})
        return expr.xreplace({o: self._value(o, where) for o in expr.atoms(OrderParameter)})

    def _field(self, field: SiteField, where: Where) -> SiteField:
        """A field of the hidden layer; a source by the indices that its covariance has."""
        indices, time = field.indices, where.get(field.time, field.time)
        if field.name in SOURCES:
            indices, time = tuple(i for i in indices if i in self._kept[field.name]), ""
        return SiteField(field.name, 1, tuple(where.get(i, i) for i in indices), time)

    def _sum(self, memory: Memory, where: Where) -> sp.Expr:
        times = int(where["t"]) + (0 if memory.strict else 1)
        inner = {i for o in memory.kernel.atoms(OrderParameter) for i in o.indices} - {*where, *memory.place[0]}
        place = ((*memory.place[0], *sorted(inner)), memory.place[1])
        return sp.Add(
            *(
                self._put(memory.kernel * memory.vector, {**where, **more})
                for s in _numbers(times)
                for more in self._everywhere(place, s)
            )
        )

    def _value(self, order: OrderParameter, where: Where) -> sp.Expr:
        places = [(tuple(where.get(i, i) for i in indices), where.get(time, time)) for indices, time in order.places]
        layer = None if order.layer is None else order.layer.subs({ell: 1, last: 1})
        for law in self.found.schema.boundaries:
            if (law.lhs.name, law.lhs.layer.subs(last, 1)) == (order.name, layer):
                names = [i for indices, _ in law.lhs.places for i in indices]
                values = dict(zip(names, (i for indices, _ in places for i in indices), strict=True))
                return self._boundary(law.rhs, values)
        if order.name == error().name:
            ((indices, time),) = places
            law = self.found.system[order.name]
            ((letters, _),) = law.lhs.places
            return self._put(law.rhs, {**dict(zip(letters, indices, strict=True)), "t": time})
        found = OrderParameter(order.name, layer, *places)
        turned = OrderParameter(order.name, layer, *places[::-1])
        return turned if len(places) == 2 and turned in self.orders else found

    def _boundary(self, value: sp.Expr, where: Where) -> sp.Expr:
        known: dict[sp.Expr, sp.Expr] = {}
        for delta in value.atoms(sp.KroneckerDelta):
            first, second = (where[str(i)] for i in delta.args)
            known[delta] = sp.KroneckerDelta(*map(_index, (first, second)))
        for order in value.atoms(OrderParameter):
            known[order] = sp.Symbol(" ".join((order.name, *sorted(where[i] for i in order.indices))), real=True)
        return value.xreplace(known)


def explicit(expr: sp.Expr, known: Mapping[SiteField, sp.Expr]) -> sp.Expr:
    """Fields by the sources."""
    return expr.xreplace({x: known[x] for x in expr.atoms(SiteField) if x in known})


def _index(index: str) -> sp.Expr:
    return sp.Integer(index) if index.isdigit() else sp.Symbol(index)


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
