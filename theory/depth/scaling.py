r"""Choices of a network by its depth laws: learning rates by layer, and the ratio of depth to width."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import sympy as sp

from ..language.checks import check_count
from ..language.errors import InvalidArgument, NotAvailable
from ..language.markup import grid, short
from ..language.symbols import ell
from .depthlaw import DepthLaws
from .memory import tidied


@dataclass(frozen=True, repr=False)
class LearningRates:
    """Learning rates for the layers 1 ... L, ready for ``MLP(lambda_b=..., lambda_W=...)``, and the exponents behind them."""

    lambda_b: tuple[float, ...]
    lambda_W: tuple[float, ...]
    p: sp.Expr  #: Theta of layer l reaches layer L as (l/L)^p
    q: sp.Expr  #: the kernel decays as l^-q
    steps: tuple[str, ...]

    def __repr__(self) -> str:
        ends = (
            f"{name} {rates[0]:.4g} ... {rates[-1]:.4g}"
            for name, rates in (("lambda_b", self.lambda_b), ("lambda_W", self.lambda_W))
        )
        return short(f"<LearningRates of {len(self.lambda_b)} layers: {', '.join(ends)}; p = {self.p}, q = {self.q}>")

    def _repr_html_(self) -> str:
        rows = enumerate(zip(self.lambda_b, self.lambda_W, strict=True), start=1)
        return grid(
            ("layer", "lambda_b", "lambda_W"), [(layer, f"{b:.6g}", f"{w:.6g}") for layer, (b, w) in rows], text=0
        )


def depth_scaling(laws: DepthLaws, depth: int, *, lambda_b: float = 1.0, lambda_W: float = 1.0) -> LearningRates:
    r"""Learning rates that keep the tangent kernel of order one at any depth, every layer contributing alike.

    Equation
        .. math::
            \Theta^{(L)} \simeq \sum_\ell \Big[\lambda_b^{(\ell)}+\lambda_W^{(\ell)}\langle\sigma^2\rangle_{K^{(\ell-1)}}\Big]
            \Big(\frac\ell L\Big)^{p},\qquad K^{(\ell)}\propto\ell^{-q},\qquad
            \lambda_b^{(\ell)}=\frac{\tilde\lambda_b}{L}\Big(\frac L\ell\Big)^{p},\quad
            \lambda_W^{(\ell)}=\frac{\tilde\lambda_W}{L}\Big(\frac L\ell\Big)^{p}\ell^{\,q}
    Shapes
        Two tuples of ``depth`` numbers.
    Units
        ``lambda_b``, ``lambda_W``: the rates with a tilde, of order one.
    Valid
        At criticality; ``laws`` are those of an activation or network, with K and Theta among them. The exponents p and q come
        from them: both are 0 where the kernel stays; at K* = 0 they are b_1/a_1 and 1 for smooth activations.
    Errors
        ``InvalidArgument`` for a depth below 1, or a rate that is negative or infinite.
    Source
        Derived here; the published scalings are those of Roberts, Yaida & Hanin (arXiv:2106.10165).
    """
    _check_laws(laws, "K", "Theta")
    depth = check_count("depth", depth, 1)
    for name, rate in (("lambda_b", lambda_b), ("lambda_W", lambda_W)):
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= rate < float("inf"):
            raise InvalidArgument(f"{name}={rate!r} is a learning rate; allowed: finite real numbers from 0")
    p, q = -laws["Theta"].homogeneous, -laws["K"].exponent
    carried = [(depth / layer) ** float(p) / depth for layer in range(1, depth + 1)]
    steps = (
        *laws["Theta"].steps,
        f"a change of Theta in layer l reaches layer L as (l/L)^({p}); the kernel decays as l^(-{q})",
        f"so lambda_b = c L^({p}-1) l^(-({p})) and lambda_W = c L^({p}-1) l^({q}-({p})) contribute alike from every layer",
    )
    return LearningRates(
        tuple(lambda_b * c for c in carried),
        tuple(lambda_W * c * layer ** float(q) for layer, c in enumerate(carried, start=1)),
        p,
        q,
        steps,
    )


def fluctuation_slope(laws: DepthLaws) -> sp.Expr:
    r"""The growth per layer of the relative fluctuation of the kernel.

    Equation
        :math:`\nu=\lim_{\ell\to\infty}V^{(\ell)}/(\ell\,K^{(\ell)\,2})`
    Units
        A pure number; the variance of the kernel, relative to its square, is nu times depth/width.
    Valid
        At criticality, equal widths. With skip connections it includes the fluctuations of all layers, for relu as a sum over the
        distance d of two layers; ``sympy.N`` gives the number.
    Errors
        ``InvalidArgument`` if V is not among the laws.
    Source
        Derived here, see ``asymptotics``. For residual layers this is the published slope (arXiv:2106.10165) where
        sigma^2 is proportional to z^2 and for K* = 0, and not the published one for relu (``theory.depth.memory`` says why).
    """
    _check_laws(laws, "V")
    slope = sp.expand(laws["V"].ratio).coeff(ell, 1)  # V/K^2 is a polynomial in ell at a fixed kernel, c ell^p else
    for letter, meaning in reversed(list(laws.definitions.items())):
        slope = slope.subs(letter, meaning)
    return tidied(slope)


def _check_laws(laws: Any, *names: str) -> None:
    if not isinstance(laws, DepthLaws) or any(name not in laws for name in names):
        raise InvalidArgument(
            f"laws={laws!r}; allowed: asymptotics(activation), with the law{'s' * (len(names) > 1)} of {' and '.join(names)}"
        )


def optimal_aspect_ratio(laws: DepthLaws, *, output_width: int = 1) -> sp.Expr:
    r"""The ratio of depth to width at which the published criterion puts the optimum.

    Equation
        .. math:: r^* = \Big(\frac Ln\Big)^* = \frac{4}{20+3n_L}\,\frac1\nu,\qquad
            \nu=\lim_{\ell\to\infty}\frac{V^{(\ell)}}{\ell\,K^{(\ell)\,2}}
    Units
        Layers per neuron of width; ``output_width`` is n_L.
    Valid
        At criticality, equal widths. nu is derived, for any activation, weights and layer map. The factor 4/(20 + 3 n_L) is
        taken from the published criterion, on the mutual information of the outputs in the order 1/n; it is not derived here.
    Errors
        ``InvalidArgument`` for an output width below 1; ``NotAvailable`` where nu is not positive, so that fluctuations do not
        grow with depth (odd activations with orthogonal weights, say).
    Source
        Roberts, Yaida & Hanin (arXiv:2106.10165), the appendices on information and on residual learning.
    """
    output_width = check_count("output_width", output_width, 1)
    nu = fluctuation_slope(laws)
    if nu.is_number and not nu > 0:
        raise NotAvailable(
            f"V/K^2 grows by {nu} per layer, so that no depth is too large for the criterion; allowed: networks in "
            "which it grows with depth"
        )
    return sp.Rational(4, 20 + 3 * int(output_width)) / nu
