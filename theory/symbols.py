r"""The letters of the theory: sites, activation derivatives, tensor entries and hyperparameters.

A *jet* :math:`d_R z_a` is the derivative of the preactivation on sample :math:`a` along a set :math:`R` of independent
random directions in parameter space; :math:`R=\varnothing` is the preactivation itself. Jets are the variables of the
single-site Gaussian. A tensor *entry* such as :math:`V_{(ab)(cd)}` is an order parameter of the layer below.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sympy as sp
from sympy.printing.precedence import PRECEDENCE, PRECEDENCE_TRADITIONAL

C_b = sp.Symbol("C_b", nonnegative=True)
C_W = sp.Symbol("C_W", nonnegative=True)
lambda_b = sp.Symbol("lambda_b", nonnegative=True)
lambda_W = sp.Symbol("lambda_W", nonnegative=True)
#: n_l / n_(l-1): a tensor of layer l multiplies 1/n_(l-1), one of layer l+1 multiplies 1/n_l.
rho = sp.Symbol("rho", positive=True)
#: Cumulants of weights beyond the second (``ensembles``): n_l / max(n_l, n_(l+1)) for orthogonal weights, 0 for independent
#: ones; and the excess kurtosis of independent entries.
tau = sp.Symbol("tau", nonnegative=True)
kappa_4 = sp.Symbol("kappa_4", real=True)

#: The argument in which an activation is written.
z = sp.Symbol("z", real=True)

_SYMBOL_LATEX: dict[sp.Symbol, str] = {
    rho: r"\tfrac{n_{\ell}}{n_{\ell-1}}",
    tau: r"\tfrac{n_{\ell}}{\max(n_{\ell}, n_{\ell+1})}",
}
SYMBOL_NAMES = _SYMBOL_LATEX  # passed to sympy.latex(symbol_names=...)

GREEK = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "pi",
    "rho",
    "sigma",
    "tau",
    "upsilon",
    "phi",
    "chi",
    "psi",
    "omega",
]


def label_latex(label: str) -> str:
    r"""LaTeX of a sample index: ``"1"`` is :math:`\alpha_1`, ``"beta"`` is :math:`\beta`, ``""`` is the only input."""
    if label.isdigit():
        return rf"\alpha_{{{label}}}"
    return rf"\{label}" if label in GREEK else label


class Atom(sp.AtomicExpr):
    """A real symbol that carries structure; two atoms are equal when their structure is."""

    is_commutative = True
    is_real = True
    is_extended_real = True
    _diff_wrt = True
    structure: tuple[Any, ...]

    def _hashable_content(self) -> tuple[Any, ...]:
        return self.structure

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.structure

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """Behind numbers, hyperparameters, activations and averages: C_W <sigma'_a sigma'_b> Theta_ab."""
        return 6, 0, cls.__name__

    def sort_key(self, order: Any = None) -> Any:
        """Atoms sort by class name, then by structure, so that printed formulas have a stable order."""
        return self.class_key(), (1, (str(self),)), sp.S.One.sort_key(), sp.S.One

    def _sympystr(self, printer: Any) -> str:
        return self._plain()

    def _plain(self) -> str:
        raise NotImplementedError

    _sympyrepr = _sympystr


class Jet(Atom):
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


class Named(Atom):
    """A letter of the explanations, such as the left-hand side of a definition: how it is written, and nothing more."""

    plain: str
    tex: str

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """In front of everything: sums and parameters stand before what they act on."""
        return 0, 0, cls.__name__

    def __new__(cls, plain: str, tex: str) -> Named:
        """Structure first: equal structures are equal atoms."""
        obj: Named = super().__new__(cls)
        obj.plain, obj.tex = plain, tex
        obj.structure = (plain, tex)
        return obj

    def _plain(self) -> str:
        return self.plain

    def _latex(self, printer: Any) -> str:
        return self.tex


class Overlap(Atom):
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


# In LaTeX an entry has a superscript of its own: its powers take brackets.
PRECEDENCE_TRADITIONAL["Entry"] = PRECEDENCE["Mul"]


class Entry(Atom):
    r"""An entry of a tensor: ``Entry("V", ("a","b","c","d"))`` is :math:`V_{(ab)(cd)}` of the layer below.

    ``shift=1`` is the layer that is being computed. Labels are in the order of the array axes; ``quantities`` says
    how they are grouped in print.
    """

    name: str
    labels: tuple[str, ...]
    shift: int
    #: LaTeX head and the order and grouping of the labels in print; filled from the table of quantities.
    styles: ClassVar[dict[str, tuple[str, str]]] = {}

    def __new__(cls, name: str, labels: tuple[str, ...], shift: int = 0) -> Entry:
        """Structure first: equal structures are equal atoms."""
        obj: Entry = super().__new__(cls)
        obj.name, obj.labels, obj.shift = name, tuple(labels), shift
        obj.structure = (name, obj.labels, shift)
        return obj

    def _plain(self) -> str:
        index = f"[{','.join(self.labels)}]" if any(self.labels) else ""
        return f"{self.name}{chr(39) * self.shift}{index}"

    def _latex(self, printer: Any) -> str:
        head, pattern = self.styles.get(self.name, (self.name, "0123456789"[: len(self.labels)]))
        layer = r"(\ell+1)" if self.shift else r"(\ell)"
        head = head.replace("LAYER", layer) if "LAYER" in head else rf"{head}^{{{layer}}}"
        index = "".join(label_latex(self.labels[int(c)]) + " " if c.isdigit() else c for c in pattern).strip()
        return rf"{head}_{{{index}}}" if any(self.labels) else head


class SiteAverage(sp.Expr):
    r"""The average :math:`\langle\cdot\rangle` over the neurons of a layer, which the single site takes the place of."""

    is_commutative = True
    is_real = True

    def _sympystr(self, printer: Any) -> str:
        return f"<{printer._print(self.args[0])}>"

    def _latex(self, printer: Any) -> str:
        return rf"\left\langle {printer._print(self.args[0])} \right\rangle"
