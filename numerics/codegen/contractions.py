r"""Sums over layers as lines of NumPy: each term of an equation that is linear in arrays over layers is one contraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp

from ...theory.initialisation.layered import Layered
from ...theory.language.errors import InvalidArgument

#: Arrays start with layer 1, widths with layer 0.
_START = {"n": 0}


@dataclass(frozen=True)
class Contraction:
    """How the layers of the left-hand side become indices: a whole axis each, or one index of a loop."""

    axes: Mapping[sp.Symbol, str]  #: the letter of the axis
    fixed: Mapping[sp.Symbol, str] = field(default_factory=dict)  #: the number of a layer, as text
    rest: str = ""  #: "..." for arrays with further axes, of samples
    arrays: Mapping[str, str] = field(default_factory=dict)  #: the text of an array, if it is not its name

    def text(self, left: sp.Expr, right: sp.Expr) -> str:
        """The right-hand side as text."""
        terms = [self._term(left, term) for term in sp.Add.make_args(sp.expand(right))]
        return " + ".join(term for term in terms if term) or "0.0"

    def _term(self, left: sp.Expr, term: sp.Expr) -> str:
        numbers, scalars, operands = sp.S.One, list[str](), list[tuple[str, str]]()
        for factor in sp.Mul.make_args(term):
            inside, limits = (factor.function, factor.limits) if isinstance(factor, sp.Sum) else (factor, ())
            summed = {symbol: str(symbol) for symbol, *_ in limits}
            for part in sp.Mul.make_args(inside):
                base, power = part.as_base_exp()
                if part.is_number:
                    numbers *= part
                elif isinstance(base, Layered):
                    array, letters = self._array(left, base, summed)
                    array += f"**{power}" if power != 1 else ""
                    (operands.append((array, letters)) if letters else scalars.append(array))
                else:
                    raise InvalidArgument(
                        f"{left} = ... {term} holds {part}; allowed: numbers, arrays over layers and their sums over layers"
                    )
        if numbers == 0:
            return ""
        out = "".join(self.axes.values())
        factors = [repr(float(numbers))] * (numbers != 1) + scalars
        if len(operands) == 1 and operands[0][1] == out:
            return "*".join([*factors, operands[0][0]])
        inputs = ",".join(letters + (self.rest if array.startswith("q[") else "") for array, letters in operands)
        return "*".join([*factors, f'np.einsum("{inputs}->{out}{self.rest}", {", ".join(a for a, _ in operands)})'])

    def _array(self, left: sp.Expr, array: Layered, summed: Mapping[sp.Symbol, str]) -> tuple[str, str]:
        """An array with its indices, and the letters of the axes that stay."""
        start, letters, indices = _START.get(array.name, 1), "", list[str]()
        for layer in array.layers:
            symbols = layer.free_symbols
            if len(symbols) != 1:
                raise InvalidArgument(f"{array} on the right of {left}; allowed: layers such as ell, m + 1")
            (symbol,) = symbols
            shift = int(layer - symbol) - start
            if symbol in self.fixed:
                indices.append(
                    f"{self.fixed[symbol]} {'-' if shift < 0 else '+'} {abs(shift)}" if shift else self.fixed[symbol]
                )
                continue
            if symbol not in summed and (symbol not in self.axes or shift != _shift(left, symbol) - 1):
                raise InvalidArgument(f"{array} on the right of {left}; allowed: the layers of the left-hand side")
            letters += summed.get(symbol) or self.axes[symbol]
            indices.append(":")
        name = self.arrays.get(array.name, array.name)
        while indices and indices[-1] == ":":
            indices.pop()
        return name + (f"[{', '.join(indices)}]" if indices else ""), letters


def _shift(left: sp.Expr, symbol: sp.Symbol) -> int:
    assert isinstance(left, Layered)
    return next(int(layer - symbol) for layer in left.layers if symbol in layer.free_symbols)
