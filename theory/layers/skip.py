r"""Skip connections: which layers hand their preactivations on to which, and the linear map that they make of a neuron.

With :math:`z^{(\ell)}=\xi^{(\ell)}+\sum_{k<\ell}\gamma_{\ell k}z^{(k)}`, :math:`\xi^{(\ell)}=b+W\sigma(z^{(\ell-1)})`, a neuron is
:math:`z^{(\ell)}=\sum_k R_{\ell k}\,\xi^{(k)}` with :math:`R=(1-\gamma)^{-1}`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import sympy as sp

from ..language.errors import InvalidNetwork, NotAvailable
from ..language.jets import Jet
from ..language.symbols import Parameter
from .map import Field

#: (from layer, to layer, gamma), gamma a number, or a symbol for ``derive``
Skips = tuple[tuple[int, int, Any], ...]


def as_skips(residual: Any, depth: int | None) -> Skips:
    """The skips that ``residual=`` means, sorted; skips of strength zero are left out."""
    if residual is None:
        return ()
    if depth is None:
        raise InvalidNetwork(f"residual={residual!r} needs depth= as well; allowed: residual=None without a depth")
    if isinstance(residual, Mapping):
        found = [(*_ends(key, depth), _strength(f"residual[{key!r}]", value)) for key, value in residual.items()]
    else:
        if isinstance(residual, Real | sp.Expr) and not isinstance(residual, bool):
            residual = (residual,) * (depth - 1)
        if isinstance(residual, str | bool) or not isinstance(residual, Iterable):
            raise InvalidNetwork(f"residual={residual!r}; allowed: one gamma, L-1 of them, or {{(k, l): gamma}}")
        values = tuple(residual)
        if len(values) != depth - 1:
            raise InvalidNetwork(
                f"residual={values} has {len(values)} entries, but depth={depth}; allowed: one number, or one for each of "
                f"the layers 2...L"
            )
        found = [(k, k + 1, _strength(f"residual[{k - 1}]", value)) for k, value in enumerate(values, start=1)]
    return tuple(sorted(skip for skip in found if skip[2] != 0))


def _ends(key: Any, depth: int) -> tuple[int, int]:
    pair = tuple(key) if isinstance(key, tuple | list) else (key,)
    integers = len(pair) == 2 and all(isinstance(k, Integral) and not isinstance(k, bool) for k in pair)
    if not integers or not 1 <= pair[0] < pair[1] <= depth:
        raise InvalidNetwork(
            f"residual has the key {key!r}; allowed: pairs (k, l) of layers with 1 <= k < l <= depth={depth}"
        )
    return int(pair[0]), int(pair[1])


def _strength(name: str, value: Any) -> Any:
    if isinstance(value, sp.Expr) and not value.is_number:
        return value
    value = float(value) if isinstance(value, sp.Expr) and value.is_real else value
    strength = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not abs(strength) <= 1:
        raise InvalidNetwork(
            f"{name}={value!r} is the strength gamma of a skip connection; allowed: reals from -1 to 1, or a symbol for derive"
        )
    return strength


def check_widths(skips: Skips, hidden: tuple[int, ...] | None, output: int | None) -> None:
    """A neuron hands on to the neuron of the same number, so that both layers need one width."""
    if not hidden:
        return
    widths = (*hidden, output or hidden[-1])
    for k, m, _ in skips:
        if widths[k - 1] != widths[m - 1]:
            raise InvalidNetwork(
                f"residual joins layer {k} of width {widths[k - 1]} to layer {m} of width {widths[m - 1]}; allowed: equal widths"
            )


def one_layer_skip(skips: Skips, depth: int) -> tuple[Skip, ...]:
    """The skip as a term of the map from one layer to the next: gamma z_i, with a symbol if gamma differs between layers."""
    if not skips:
        return ()
    if any(m != k + 1 for k, m, _ in skips):
        raise NotAvailable(
            f"residual={ {(k, m): gamma for k, m, gamma in skips} } skips over layers, and has no map from one layer to the next; "
            "allowed: skips to the next layer, or predict and simulate"
        )
    values = {gamma for _, _, gamma in skips}
    same = len(values) == 1 and len(skips) == depth - 1
    return (Skip(sp.nsimplify(values.pop(), rational=True)),) if same else (Skip(),)


@dataclass(frozen=True)
class Skip:
    r""":math:`\gamma z_i`: a residual connection from the same neuron below."""

    gamma: sp.Expr = field(default_factory=lambda: Parameter("gamma", real=True))

    def fields(self, jet: Jet) -> Iterator[tuple[Field, sp.Expr]]:
        """No parameters."""
        yield from ()

    def own(self, jet: Jet) -> sp.Expr:
        """Gamma times the same jet."""
        return self.gamma * jet

    def latex(self) -> str:
        """The skip."""
        return sp.latex(self.gamma) + r"\,z_i"
