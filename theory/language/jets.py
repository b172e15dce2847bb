"""Jets, the variables of the single site; derivatives of the activation, overlaps of inputs, and entries of tensors."""

from __future__ import annotations

from typing import Any

import sympy as sp

from .symbols import Variable, label_latex, z


class Jet(Variable):
    r"""The site variable :math:`d_R z_a`: ``Jet("a", "r")`` is :math:`d_r z_a`; ``Jet("a")`` is :math:`z_a`."""

    sample: str
    directions: tuple[str, ...]

    def __new__(cls, sample: str, directions: str | tuple[str, ...] = ()) -> Jet:
        """Structure first: equal structures are equal atoms."""
        obj: Jet = super().__new__(cls)
        obj.sample, obj.directions = sample, tuple(sorted(directions))
        obj.structure = (sample, obj.directions)
        return obj

    def along(self, direction: str) -> Jet:
        """One more derivative of this jet."""
        return Jet(self.sample, (*self.directions, direction))

    def _plain(self) -> str:
        index = f"_{self.sample}" if self.sample else ""
        return f"d{''.join(self.directions)}z{index}" if self.directions else f"z{index}"

    def _latex(self, printer: Any) -> str:
        index = f"_{{{label_latex(self.sample)}}}" if self.sample else ""
        d = f"d_{{{''.join(self.directions)}}}" if self.directions else ""
        return f"{d}z{index}"


class Sigma(sp.Function):
    r"""The k-th derivative of the activation at a site: ``Sigma(z_a, 1)`` is :math:`\sigma'_a`."""

    nargs = 2
    is_real = True
    is_commutative = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """One more derivative of the activation."""
        return Sigma(self.args[0], self.args[1] + 1)

    @property
    def order(self) -> int:
        """How many times the activation is differentiated."""
        return int(self.args[1])

    def _sympystr(self, printer: Any) -> str:
        site, k = self.args
        index = f"_{site.sample}" if isinstance(site, Jet) and site.sample else ""
        name = "sigma" + "'" * int(k)
        return f"{name}{index}" if isinstance(site, Jet) else f"{name}({printer._print(site)})"

    def _latex(self, printer: Any, exp: Any = None) -> str:
        site, k = self.args
        primes = "'" * int(k) if k <= 3 else f"^{{({k})}}"
        index = f"_{{{label_latex(site.sample)}}}" if isinstance(site, Jet) and site.sample else ""
        body = rf"\sigma{index}{primes}"
        if not isinstance(site, Jet) and site != z:
            body += rf"\left({printer._print(site)}\right)"
        if exp is None:
            return body
        return rf"\left({body}\right)^{{{exp}}}" if k else rf"\sigma{index}^{{{exp}}}"


class Overlap(Variable):
    r"""The overlap of two inputs, :math:`x_a\cdot x_b/n_0`."""

    labels: tuple[str, ...]

    def __new__(cls, labels: tuple[str, ...]) -> Overlap:
        """Structure first: equal structures are equal atoms."""
        obj: Overlap = super().__new__(cls)
        obj.labels = tuple(sorted(labels))
        obj.structure = (obj.labels,)
        return obj

    def _plain(self) -> str:
        return "(" + ".".join(f"x_{a}" if a else "x" for a in self.labels) + "/n_0)"

    def _latex(self, printer: Any) -> str:
        xs = [f"x_{{{label_latex(a)}}}" if a else "x" for a in self.labels]
        product = r" \cdot ".join(xs)
        return rf"\frac{{{product}}}{{n_0}}"
