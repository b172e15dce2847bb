r"""The letters of the theory: sites, activation derivatives, tensor entries and hyperparameters.

A *jet* :math:`d_R z_a` is the derivative of the preactivation on sample :math:`a` along a set :math:`R` of independent
random directions in parameter space; :math:`R=\varnothing` is the preactivation itself. Jets are the variables of the
single-site Gaussian. A tensor *entry* such as :math:`V_{(ab)(cd)}` is an order parameter of the layer below.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

C_b = sp.Symbol("C_b", nonnegative=True)
C_W = sp.Symbol("C_W", nonnegative=True)
lambda_b = sp.Symbol("lambda_b", nonnegative=True)
lambda_W = sp.Symbol("lambda_W", nonnegative=True)
#: The strength of feature learning; 0 is the lazy limit.
gamma_0 = sp.Symbol("gamma_0", nonnegative=True)
#: The number of a layer.
ell = sp.Symbol("ell", integer=True, positive=True)
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
