r"""Gaussian averages as SymPy objects, with the two theorems that the engine uses.

*Price*: :math:`\partial\langle f\rangle_q/\partial q_{xy} = \langle\partial_x\partial_y f\rangle`, half of it for
:math:`x=y`. No inverse of q appears, so equal and parallel samples need no special case.

*Isserlis*: at infinite width two jets are correlated only if they have the same directions, so the average over the jets
is a sum over pairings, and averages of the preactivations alone remain.

The derivatives of Price's theorem stay an operator in front of the body, as in
:math:`\langle\partial_a^2(\sigma_a\sigma_b)\rangle`: :meth:`Average.explicit` carries them out. For a kinked activation
only the operator form is defined everywhere, because at :math:`z_a=z_b` the single terms of the product rule are not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import sympy as sp

from ..language.jets import Jet
from ..language.pieces import CASES
from ..language.quantities import lookup
from ..language.symbols import label_latex

#: Functions with kinks or jumps, whose derivatives are not carried out.
KINKED = (sp.Piecewise, *CASES)


class Average(sp.Expr):
    r"""The node :math:`\langle\partial_x\cdots\,\mathrm{body}\rangle_K` for one product ``body`` of functions of z.

    Build it with :func:`average`, which is linear and pulls constants out.
    """

    is_commutative = True
    is_real = True

    def __new__(cls, body: sp.Expr, derivatives: Iterable[Jet] = ()) -> Average:
        """The node itself; callers use :func:`average`."""
        ordered = sp.Tuple(*sorted(derivatives, key=lambda jet: jet.structure))
        obj: Average = sp.Expr.__new__(cls, sp.sympify(body), ordered)
        return obj

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
        return tuple(sorted(self.body.atoms(Jet), key=lambda jet: jet.structure))

    def explicit(self) -> sp.Expr:
        """The derivatives carried out: a sum of averages of products."""
        return self if self.body.has(*KINKED) else average(_carried_out(self))

    def doit(self, **hints: Any) -> sp.Expr:
        """Carry the derivatives out."""
        return self.explicit()

    def relabel(self, mapping: dict[str, str]) -> sp.Expr:
        """The average for other samples; derivatives are carried out first, since samples may come to coincide."""
        jets = {jet: Jet(mapping.get(jet.sample, jet.sample)) for jet in self.sites}
        return self.explicit().xreplace(jets) if len(set(jets.values())) < len(jets) else self.xreplace(jets)

    def _sympystr(self, printer: Any) -> str:
        shown = self._shown()
        if shown is not None:
            return f"<{printer._print(shown)}>"
        return self.operator_text()

    def operator_text(self) -> str:
        """Plain text with the derivatives as operators in front, which tells averages apart that print alike."""
        front = f"d[{','.join(map(str, self.derivatives))}]" if self.derivatives else ""
        return f"<{front}({self.body})>" if front else f"<{self.body}>"

    def _latex(self, printer: Any, exp: Any = None) -> str:
        shown = self._shown()
        if shown is not None:
            inside = printer._print(shown)
        else:
            inside = "".join(_partial(j, self.derivatives.count(j)) for j in dict.fromkeys(self.derivatives))
            inside += rf"\left({printer._print(self.body)}\right)"
        text = rf"\left\langle {inside} \right\rangle"
        return text if exp is None else f"{text}^{{{exp}}}"

    def _shown(self) -> sp.Expr | None:
        """The product inside the printed brackets, if the derivatives give a single one; None otherwise."""
        if self.derivatives and self.body.has(*KINKED):
            return None  # SymPy's derivative of a kink leaves the delta functions out
        shown = _carried_out(self)
        return None if isinstance(shown, sp.Add) else shown


@lru_cache(maxsize=4096)
def _carried_out(node: Average) -> sp.Expr:
    return sp.expand(sp.diff(node.body, *node.derivatives)) if node.derivatives else node.body


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


@lru_cache(maxsize=16384)
def isserlis(jets: tuple[Jet, ...]) -> sp.Expr:
    """The average of a product of jets with directions: the sum over pairings of products of covariances."""
    if not jets:
        return sp.Integer(1)
    first, rest = jets[0], jets[1:]
    return sp.Add(
        *(
            covariance * isserlis(rest[:k] + rest[k + 1 :])
            for k, second in enumerate(rest)
            if (covariance := saddle(first, second)) != 0
        )
    )


def expectation(expr: sp.Expr, derivatives: Iterable[Jet] = ()) -> sp.Expr:
    r"""The site average :math:`\langle\partial_x\cdots f\rangle` at infinite width of f, a polynomial in the jets.

    Derivatives by jets with directions are carried out (f is a polynomial in them), those by preactivations stay as operators.
    """
    derivatives = tuple(derivatives)
    on_jets = [jet for jet in derivatives if jet.directions]
    on_z = [jet for jet in derivatives if not jet.directions]
    expr = sp.expand(sp.diff(expr, *on_jets) if on_jets else expr)
    jets = sorted((jet for jet in expr.atoms(Jet) if jet.directions), key=lambda jet: jet.structure)
    if not jets:
        return average(expr, on_z)
    terms = []
    for powers, coefficient in sp.Poly(expr, *jets).terms():
        product = tuple(jet for jet, power in zip(jets, powers, strict=True) for _ in range(power))
        pairings = isserlis(product)
        if pairings != 0:
            terms.append(pairings * average(coefficient, on_z))
    return sp.Add(*terms)


@lru_cache(maxsize=16384)
def price(expr: sp.Expr, *pairs: tuple[Jet, ...]) -> sp.Expr:
    r""":math:`\langle f\rangle_q` differentiated by the order parameters :math:`q_{xy}` of all ``pairs`` (x, y)."""
    halves = sum(x == y for x, y in pairs)
    return sp.Rational(1, 2**halves) * expectation(expr, [jet for pair in pairs for jet in pair])
