r"""The letters of the theory: sites, activation derivatives, tensor entries and hyperparameters.

A *jet* :math:`d_R z_a` is the derivative of the preactivation on sample :math:`a` along a set :math:`R` of independent
random directions in parameter space; :math:`R=\varnothing` is the preactivation itself. Jets are the variables of the
single-site Gaussian. A tensor *entry* such as :math:`V_{(ab)(cd)}` is an order parameter of the layer below.
"""

from __future__ import annotations

import re
from typing import Any

import sympy as sp


class Parameter(sp.Symbol):
    """A parameter of the equations: a symbol of SymPy that ``subs`` finds by its name too, whatever is assumed of that.

    It equals a symbol with the same name and the same assumptions.
    """

    _mhash: int | None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, sp.Symbol) or self.name != other.name:
            return False
        return bool(self._hashable_content() == other._hashable_content())

    def __hash__(self) -> int:
        if self._mhash is None:
            self._mhash = hash(("Symbol", *self._hashable_content()))
        return self._mhash

    def _eval_subs(self, old: sp.Basic, new: sp.Basic) -> sp.Basic | None:
        return new if isinstance(old, sp.Symbol) and old.name == self.name else None


# SymPy orders factors by the names of their classes. What is equal has to be ordered alike, or terms of a sum do not meet.
Parameter.__name__ = sp.Symbol.__name__


C_b = Parameter("C_b", nonnegative=True)
C_W = Parameter("C_W", nonnegative=True)
lambda_b = Parameter("lambda_b", nonnegative=True)
lambda_W = Parameter("lambda_W", nonnegative=True)
#: The strength of feature learning; 0 is the lazy limit.
gamma_0 = Parameter("gamma_0", nonnegative=True)
#: The number of a layer.
ell = Parameter("ell", integer=True, positive=True)
#: n_l / n_(l-1): a tensor of layer l multiplies 1/n_(l-1), one of layer l+1 multiplies 1/n_l.
rho = Parameter("rho", positive=True)
#: Cumulants of weights beyond the second (``ensembles``): n_l / max(n_l, n_(l+1)) for orthogonal weights, 0 for independent
#: ones; and the excess kurtosis of independent entries.
tau = Parameter("tau", nonnegative=True)
kappa_4 = Parameter("kappa_4", real=True)

#: What each of them is.
MEANINGS = {
    C_W: "variance of a weight, times the number of weights that a neuron adds up",
    C_b: "variance of a bias",
    lambda_W: "learning rate of weights, times that number",
    lambda_b: "learning rate of biases",
    gamma_0: "strength of feature learning; 0 is the lazy limit",
    ell: "number of a layer",
    rho: "n_l/n_(l-1), the width of the layer below divided by that of the layer below it: 1 for equal widths",
    tau: "fourth cumulant of orthogonal weights: n_l/max(n_l, n_(l+1)); 0 for independent ones",
    kappa_4: "excess kurtosis of independent weights; 0 for Gaussian ones",
}

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
    "ell",
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
    if label in GREEK:
        return rf"\{label}"
    if re.fullmatch(r"([A-Za-z](=\d+)?)?", label):
        return label
    if found := re.fullmatch(r"([A-Za-z])_?(\d+)", label):
        return rf"{found[1]}_{{{found[2]}}}"
    return rf"\text{{{escaped(label)}}}"


#: Signs with a meaning in LaTeX, as themselves.
_MARKS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_MARKS |= {mark: rf"\{mark}" for mark in "&%$#_{}"}


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_MARKS.get(c, c) for c in text)


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

    def _eval_subs(self, old: sp.Basic, new: sp.Basic) -> sp.Basic | None:
        """A symbol of SymPy's own that is called as this one stands for it, and so does an array over layers."""
        named = isinstance(old, sp.Symbol) or hasattr(old, "layers")
        return new if named and str(old).replace(" ", "") == self._plain() else None

    def _sympystr(self, printer: Any) -> str:
        return self._plain()

    def _plain(self) -> str:
        raise NotImplementedError

    _sympyrepr = _numpycode = _scipycode = _pythoncode = _mpmathcode = _sympystr


class Variable(Atom):
    """An atom that is a symbol to SymPy: equations are differentiated by it, expanded in it, and depend on it."""

    is_symbol = True

    @property
    def free_symbols(self) -> set[sp.Basic]:
        """Itself."""
        return {self}


class Letter(Atom):
    """A letter of the explanations, such as the left-hand side of a definition: how it is written, and nothing more."""

    plain: str
    tex: str

    @classmethod
    def class_key(cls) -> tuple[int, int, str]:
        """In front of everything: sums and parameters stand before the fields on which they act."""
        return 0, 0, cls.__name__

    def __new__(cls, plain: str, tex: str) -> Letter:
        """Structure first: equal structures are equal atoms."""
        obj: Letter = super().__new__(cls)
        obj.plain, obj.tex = plain, tex
        obj.structure = (plain, tex)
        return obj

    def _plain(self) -> str:
        return self.plain

    def _latex(self, printer: Any) -> str:
        return self.tex


class SiteAverage(sp.Expr):
    r"""The average :math:`\langle\cdot\rangle` over the neurons of a layer, which the single site takes the place of."""

    is_commutative = True
    is_real = True

    def _sympystr(self, printer: Any) -> str:
        return f"<{printer._print(self.args[0])}>"

    def _latex(self, printer: Any) -> str:
        return rf"\left\langle {printer._print(self.args[0])} \right\rangle"
