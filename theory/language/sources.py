"""The works that derivations rest on, as a bibliography cites them."""

from __future__ import annotations

from collections.abc import Iterable

#: Keys, and entries of a ``thebibliography``.
SOURCES = {
    "pdlt": (
        r"D. A. Roberts, S. Yaida and B. Hanin, \emph{The Principles of Deep Learning Theory}, Cambridge University Press (2022), "
        "arXiv:2106.10165."
    ),
    "price": (
        r"R. Price, A useful theorem for nonlinear devices having Gaussian inputs, \emph{IRE Trans.\ Inf.\ Theory} \textbf{4}, "
        "69 (1958)."
    ),
    "isserlis": (
        "L. Isserlis, On a formula for the product-moment coefficient of any order of a normal frequency distribution in any "
        r"number of variables, \emph{Biometrika} \textbf{12}, 134 (1918)."
    ),
    "brillinger": (
        r"D. R. Brillinger, The calculation of cumulants via conditioning, \emph{Ann.\ Inst.\ Stat.\ Math.} \textbf{21}, "
        "215 (1969)."
    ),
    "orthogonal": (
        "H. Day, Y. Kahn and D. A. Roberts, Feature learning and generalization in deep networks with orthogonal weights, "
        "arXiv:2310.07765."
    ),
    "haar": (
        r"B. Collins and P. \'Sniady, Integration with respect to the Haar measure on unitary, orthogonal and symplectic "
        r"group, \emph{Commun.\ Math.\ Phys.} \textbf{264}, 773 (2006), arXiv:math-ph/0402073."
    ),
    "dmft": (
        "B. Bordelon and C. Pehlevan, Self-consistent dynamical field theory of kernel evolution in wide neural networks, "
        "NeurIPS (2022), arXiv:2205.09653."
    ),
    "finite": (
        "B. Bordelon and C. Pehlevan, Dynamics of finite width kernel and prediction fluctuations in mean field neural "
        "networks, NeurIPS (2023), arXiv:2304.03408."
    ),
    "cavity": r"M. M\'ezard, G. Parisi and M. A. Virasoro, \emph{Spin Glass Theory and Beyond}, World Scientific (1987).",
    "stein": (
        r"C. M. Stein, Estimation of the mean of a multivariate normal distribution, \emph{Ann.\ Stat.} \textbf{9}, 1135 "
        "(1981)."
    ),
}


def cited(keys: Iterable[str]) -> str:
    r"""The command that cites some works, with a space that is not broken in front; nothing for none."""
    names = ",".join(keys)
    return rf"~\cite{{{names}}}" if names else ""


def bibliography(keys: Iterable[str]) -> str:
    """The works of some keys, each once, in the order in which they are first cited."""
    entries = "\n".join(rf"\bibitem{{{key}}} {SOURCES[key]}" for key in dict.fromkeys(keys))
    return f"\\begin{{thebibliography}}{{99}}\n{entries}\n\\end{{thebibliography}}" if entries else ""
