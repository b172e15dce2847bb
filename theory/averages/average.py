r"""The Gaussian average as a SymPy object: a function of its covariance, with the preactivations bound.

It is differentiated by Price's theorem, :math:`\partial\langle f\rangle_K/\partial K_{ab}=\langle\partial_a\partial_bf\rangle`,
half of it for :math:`a=b`, and expanded, substituted into and evaluated as any other function of K.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from itertools import combinations_with_replacement
from typing import Any

import sympy as sp

from ..language.errors import InvalidArgument, NotAvailable
from ..language.jets import Jet, Sigma
from ..language.pieces import CASES
from ..language.quantities import lookup, quantity
from ..language.symbols import label_latex
from ..networks.activations import Activation
from .chosen import Chosen

#: Functions with kinks or jumps, whose derivatives are not carried out.
KINKED = (sp.Piecewise, *CASES)
#: The lowest orders in which the leading term of an expansion is looked for.
ORDERS = 8
INFINITE = (sp.oo, -sp.oo, sp.zoo, sp.nan)


class Average(sp.Expr):
    r"""The node :math:`\langle\partial_x\cdots\,\mathrm{body}\rangle_K` for one product ``body`` of functions of z.

    Build it with :func:`average`, which is linear and pulls constants out. The preactivations are bound as the variable of an
    integral is; what the average depends on is its covariance, the entries of K on and above the diagonal of its sites. So it can
    be differentiated by them (Price's theorem), expanded, substituted into; with numbers for all of them, and an activation, it is
    a number.
    """

    is_commutative = True
    is_real = True

    def __new__(
        cls,
        body: sp.Expr,
        derivatives: Iterable[Jet] = (),
        sites: Iterable[Jet] | None = None,
        covariance: Iterable[sp.Expr] = (),
        activation: Chosen | None = None,
    ) -> Any:
        """The node itself; callers use :func:`average`. Without ``sites`` the covariance is K at the sites of the body."""
        body = sp.sympify(body)
        ordered = sp.Tuple(*sorted(derivatives, key=_structure))
        if sites is None:
            places, entries = _standard(body)
        else:
            places, entries = _in_order(tuple(sites), tuple(covariance))
        obj: Average = sp.Expr.__new__(cls, body, ordered, places, entries, *([activation] if activation else []))
        return obj if sites is None else obj._collapsed()

    @property
    def body(self) -> sp.Expr:
        """The product that is averaged, without the derivatives in front."""
        return self.args[0]

    @property
    def derivatives(self) -> tuple[Jet, ...]:
        """The site variables by which the body is differentiated, repeated as often."""
        return tuple(self.args[1])

    @property
    def sites(self) -> tuple[Jet, ...]:
        """The preactivations in the body, sorted."""
        return tuple(self.args[2])

    @property
    def covariance(self) -> dict[tuple[Jet, Jet], sp.Expr]:
        """The covariance of each two sites, each two once."""
        return dict(zip(combinations_with_replacement(self.sites, 2), self.args[3], strict=True))

    @property
    def activation(self) -> Activation | None:
        """The activation that sigma stands for; None for any."""
        return self.args[4].activation if len(self.args) > 4 else None

    @property
    def general(self) -> Average:
        """The same average of any activation, at the kernel K."""
        return Average(self.body, self.derivatives)

    @property
    def at_K(self) -> bool:
        """Whether the covariance is the kernel of the sites, by whatever letter of that name."""
        pairs = zip(self.args[3], _standard(self.body)[1], strict=True)
        return all(c == k or str(c) == str(k) for c, k in pairs)

    def of(self, activation: Activation) -> Average:
        """The average for this activation."""
        return Average(self.args[0], self.args[1], self.args[2], self.args[3], Chosen(activation))

    def _like(self, body: sp.Expr, derivatives: Iterable[Jet], sites: Iterable[Jet], entries: Iterable[sp.Expr]) -> Any:
        """An average of the same activation."""
        return Average(body, derivatives, sites, entries, self.args[4] if len(self.args) > 4 else None)

    @property
    def free_symbols(self) -> set[sp.Basic]:
        """What the covariance depends on; the preactivations are bound."""
        return set().union(*(c.free_symbols for c in self.args[3]))

    @property
    def is_number(self) -> bool:
        """Whether this is a number: a function is averaged, with numbers for a covariance."""
        return self.concrete and all(c.is_number for c in self.args[3])

    @property
    def concrete(self) -> bool:
        """Whether the function that is averaged is known."""
        return self.activation is not None or not self.body.has(Sigma)

    @property
    def kinked(self) -> bool:
        """Whether derivatives of the body are not all functions."""
        return self.body.has(*KINKED) or (self.activation is not None and not self.activation.smooth)

    def _with(self, body: sp.Expr, derivatives: Iterable[Jet] = ()) -> sp.Expr:
        """The average of another function of the same sites."""
        found = average(body, derivatives)
        if self == self.general:
            return found
        known = dict(zip(_standard(self.body)[1], self.args[3], strict=True))
        nodes = {
            n: self._like(n.body, n.derivatives, n.sites, (known[k] for k in n.args[3])) for n in found.atoms(Average)
        }
        return found.xreplace(known | nodes)

    def explicit(self) -> sp.Expr:
        """The derivatives carried out: a sum of averages of products. Those of a kinked function stay in front."""
        return self if self.kinked or not self.derivatives else self._with(_carried_out(self.body, self.derivatives))

    def doit(self, **hints: Any) -> sp.Expr:
        """Carry the derivatives out."""
        return self.explicit()

    def closed(self) -> sp.Expr:
        """The closed form, of an activation that has one; the average itself where there is none."""
        if self.activation is None:
            return self
        found = _closed_forms().specialize(self, self.activation)
        return found.xreplace({n: n.of(self.activation) for n in found.atoms(Average)})

    def relabel(self, mapping: dict[str, str]) -> sp.Expr:
        """The average for other samples; derivatives are carried out first, since samples may come to coincide."""
        jets = {jet: Jet(mapping.get(jet.sample, jet.sample)) for jet in self.sites}
        start = self.explicit() if len(set(jets.values())) < len(jets) else self
        pairs = combinations_with_replacement(self.sites, 2)
        entries = {_entry(a, b): _entry(jets[a], jets[b]) for a, b in pairs}
        return start.xreplace(jets | entries)

    # ------------------------------------------------------------------ as a function of its covariance

    def _eval_derivative(self, s: sp.Expr) -> sp.Expr:
        """Price's theorem: by K_ab the operator d_a d_b in front, half of it for a = b; and the chain rule."""
        total = sp.S.Zero
        for (a, b), entry in self.covariance.items():
            if (slope := sp.diff(entry, s)) != 0:
                half = sp.Rational(1, 2 if a == b else 1)
                total += half * slope * self._like(self.body, (*self.derivatives, a, b), self.args[2], self.args[3])
        return total

    def _eval_subs(self, old: sp.Expr, new: sp.Expr) -> sp.Expr:
        """In the covariance alone."""
        entries = tuple(c._subs(old, new) for c in self.args[3])
        return (
            self if entries == tuple(self.args[3]) else self._like(self.body, self.derivatives, self.args[2], entries)
        )

    def _collapsed(self) -> sp.Expr:
        """Sites without variance at 0, where the function is smooth there."""
        gone = {a: sp.S.Zero for (a, b), c in self.covariance.items() if a == b and c == 0}
        if not gone or self._broken:
            return self
        if self.derivatives:  # near z = 0 the function is smooth
            return self._with(_carried_out(self.body, self.derivatives))
        kept = [jet for jet in self.sites if jet not in gone]
        body = self.body.xreplace(gone)
        if self.activation is not None:
            at = self.activation
            body = body.replace(
                lambda e: isinstance(e, Sigma) and not isinstance(e.args[0], Jet), lambda e: at(e.args[0], e.order)
            )
        constant, rest = body.as_independent(Jet, as_Add=False)
        if not kept or rest == 1:
            return constant
        pairs = combinations_with_replacement(kept, 2)
        return constant * self._like(rest, (), kept, (self.covariance[pair] for pair in pairs))

    def _eval_nseries(self, x: sp.Symbol, n: Any, logx: Any = None, cdir: Any = 0) -> sp.Expr:
        """Taylor's series, by Price's theorem; at a vanishing variance and a kink there that of ``taylor``, in roots of it."""
        if x not in self.free_symbols:
            return self
        count = max(int(sp.ceiling(n)), 1)
        return sp.Add(*self._summands(x, count)) + sp.Order(x**count, x)

    def _eval_as_leading_term(self, x: sp.Symbol, logx: Any = None, cdir: Any = 0) -> sp.Expr:
        if x not in self.free_symbols:
            return self
        if self._unbounded_at(x, sp.S.Zero):
            return _roots().at_infinity(self)
        found = next((term for term in self._summands(x, ORDERS) if term != 0), None)
        if found is None:
            raise NotImplementedError(f"the first {ORDERS} orders of {self} in {x} vanish")
        return found.as_leading_term(x)

    def _eval_is_meromorphic(self, x: sp.Symbol, a: sp.Expr) -> bool | None:
        """Whether there are leading terms: at finite covariances, and of one sample of an activation at an infinite one."""
        return True if not self._unbounded_at(x, a) or (len(self.sites) == 1 and self.activation is not None) else None

    def _unbounded_at(self, x: sp.Symbol, a: sp.Expr) -> bool:
        """Whether a covariance has no finite value there."""
        return any((value := c.subs(x, a)).has(*INFINITE) or value.is_infinite for c in self.args[3])

    def _summands(self, x: sp.Symbol, count: int) -> Iterator[sp.Expr]:
        """The terms of the expansion in x, below the power ``count``, in order."""
        if self._broken_at(x):
            if len(self.sites) > 1 or self.activation is None:
                raise NotAvailable(
                    f"{self} at a variance of zero: the function has a kink there, and the average may hold roots of its variance; "
                    "allowed: one sample, or expansions around positive variances"
                )
            yield from _roots().at_origin(self, sp.Integer(count))
            return
        slope: sp.Expr = self
        for k in range(count):
            value = slope.subs(x, 0)
            if value.has(*INFINITE):
                raise NotImplementedError(f"{self} is no power series in {x}")
            yield value * x**k / sp.factorial(k)
            slope = sp.diff(slope, x)

    def _broken_at(self, x: sp.Symbol) -> bool:
        """Whether a variance vanishes with x, and a derivative breaks at z = 0."""
        vanishing = any(a == b and c.subs(x, 0) == 0 for (a, b), c in self.covariance.items())
        return vanishing and self._broken

    @property
    def _broken(self) -> bool:
        """Whether derivatives of the function at z = 0 differ on its two sides."""
        return self.body.has(*KINKED) or (self.activation is not None and 0 in self.activation.kinks)

    # ------------------------------------------------------------------ numbers, asked of the floor of numbers

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        return _numbers().number(self, prec) if self.is_number else None

    def _code(self, printer: Any) -> str:
        """For ``lambdify``: a call that looks the average up in this process."""
        if not self.concrete:
            raise InvalidArgument(
                f"{self} is an average of the unspecified function sigma; allowed: equations of a concrete activation"
            )
        arguments = ", ".join(printer._print(c) for c in self.args[3])
        return f"__import__({_numbers().__name__!r}, fromlist=['value']).value({_numbers().key(self)!r}, {arguments})"

    _numpycode = _scipycode = _pythoncode = _mpmathcode = _code

    # ------------------------------------------------------------------ print

    def _sympystr(self, printer: Any) -> str:
        shown = self._shown()
        if shown is not None:
            return f"<{printer._print(shown)}>{self._place(printer)}"
        return self.operator_text() + self._place(printer)

    def operator_text(self) -> str:
        """Plain text with the derivatives as operators in front, which tells averages apart that print alike."""
        front = f"d[{','.join(map(str, self.derivatives))}]" if self.derivatives else ""
        return f"<{front}({self.body})>" if front else f"<{self.body}>"

    def _place(self, printer: Any) -> str:
        """The covariance, where it is not the kernel."""
        if self.at_K:
            return ""
        pairs = zip(_standard(self.body)[1], self.args[3], strict=True)
        return "[" + ", ".join(f"{printer._print(k)}={printer._print(c)}" for k, c in pairs if k != c) + "]"

    def _latex(self, printer: Any, exp: Any = None) -> str:
        shown = self._shown()
        if shown is not None:
            inside = printer._print(shown)
        else:
            inside = "".join(_partial(j, self.derivatives.count(j)) for j in dict.fromkeys(self.derivatives))
            inside += rf"\left({printer._print(self.body)}\right)"
        text = rf"\left\langle {inside} \right\rangle"
        if not self.at_K:
            pairs = zip(_standard(self.body)[1], self.args[3], strict=True)
            text += "_{" + ",\\, ".join(f"{printer._print(k)}={printer._print(c)}" for k, c in pairs if k != c) + "}"
        return text if exp is None else f"{text}^{{{exp}}}"

    def _shown(self) -> sp.Expr | None:
        """The product inside the printed brackets, if the derivatives give a single one; None otherwise."""
        if self.derivatives and self.body.has(*KINKED):
            return None  # SymPy's derivative of a kink leaves the delta functions out
        shown = _carried_out(self.body, self.derivatives)
        return None if isinstance(shown, sp.Add) else shown


def _numbers() -> Any:
    # The numbers of averages are made one floor above. Print and calculus do without them, so that this floor does not import
    # that one: it is asked for when a number is.
    return import_module("...numerics.averages.nodes", __package__)


def _roots() -> Any:
    # Expansions and closed forms of averages are made from averages, so that their modules import this one.
    return import_module(".taylor", __package__)


def _closed_forms() -> Any:
    return import_module(".closed_forms", __package__)


def _structure(jet: Jet) -> Any:
    return jet.structure


@lru_cache(maxsize=16384)
def _standard(body: sp.Expr) -> tuple[sp.Tuple, sp.Tuple]:
    """The sites of a body, and the entries of K at each two of them."""
    sites = sorted(body.atoms(Jet), key=_structure)
    return sp.Tuple(*sites), sp.Tuple(*(_entry(a, b) for a, b in combinations_with_replacement(sites, 2)))


@lru_cache(maxsize=4096)
def _entry(a: Jet, b: Jet) -> sp.Expr:
    return quantity("K").entry((a.sample, b.sample))


def _in_order(sites: tuple[Jet, ...], covariance: tuple[sp.Expr, ...]) -> tuple[sp.Tuple, sp.Tuple]:
    """Sites sorted, and each once, with the covariance of each two."""
    found: dict[tuple[Jet, Jet], sp.Expr] = {}
    for (a, b), c in zip(combinations_with_replacement(sites, 2), covariance, strict=True):
        pair = (a, b) if a.structure <= b.structure else (b, a)
        if found.setdefault(pair, sp.sympify(c)) != c:
            raise InvalidArgument(
                f"two samples called {a.sample!r} have the covariances {found[pair]} and {c}; allowed: one, as of equal samples"
            )
    places = sorted(set(sites), key=_structure)
    return sp.Tuple(*places), sp.Tuple(*(found[pair] for pair in combinations_with_replacement(places, 2)))


@lru_cache(maxsize=4096)
def _carried_out(body: sp.Expr, derivatives: tuple[Jet, ...]) -> sp.Expr:
    return sp.expand(sp.diff(body, *derivatives)) if derivatives else body


def _partial(jet: Jet, power: int) -> str:
    index = f"_{{{label_latex(jet.sample)}}}" if jet.sample else ""
    return rf"\partial{index}" + (f"^{{{power}}}" if power > 1 else "")


def average(expr: sp.Expr, derivatives: Iterable[Jet] = ()) -> sp.Expr:
    """The average of any function of the preactivations z: linear, constants pulled out, bare factors z by Stein, <1> = 1."""
    derivatives = tuple(derivatives)
    terms = []
    for term in sp.Add.make_args(sp.expand(expr)):
        constant, body = term.as_independent(Jet, as_Add=False)
        if not set(derivatives) <= body.atoms(Jet):
            continue
        if body == 1:
            terms.append(constant)
        elif (bare := _bare_factor(body)) is not None:
            terms.append(constant * _stein(bare, body / bare, derivatives))
        else:
            terms.append(constant * Average(body, derivatives))
    return sp.Add(*terms)


def _bare_factor(body: sp.Expr) -> Jet | None:
    bases = (factor.as_base_exp()[0] for factor in sp.Mul.make_args(body))
    return next((base for base in bases if isinstance(base, Jet)), None)


def _stein(bare: Jet, rest: sp.Expr, derivatives: tuple[Jet, ...]) -> sp.Expr:
    # Stein's identity E[z_a g] = sum_b K_ab E[d_b g], for g = D(rest) with the operators D of Price's theorem; moving z_a in
    # front of them leaves one term for each operator that hits it:
    # D(z_a rest) = z_a D(rest) + sum_(x = z_a in D) (D without x)(rest).
    hit = [average(rest, derivatives[:i] + derivatives[i + 1 :]) for i, x in enumerate(derivatives) if x == bare]
    sites = sorted(rest.atoms(Jet), key=lambda jet: jet.structure)
    return sp.Add(*hit, *(saddle(bare, site) * average(rest, (*derivatives, site)) for site in sites))


def saddle(first: Jet, second: Jet) -> sp.Expr:
    """The covariance of two jets of one neuron at infinite width: zero unless their directions agree."""
    if first.directions != second.directions:
        return sp.Integer(0)
    entry = lookup(((first, second),))
    if entry is None:
        raise NotImplementedError(f"no quantity is registered for the mean of {first} {second}")
    return entry
