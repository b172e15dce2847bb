r"""Text as mathematics: a formula is read node by node from a list of what may stand in one, and is never run as a program.

Numbers stay exact, decimals too. Every number on the way is bounded, so that ``9**9**9**9`` is refused before it is computed.
"""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import sympy as sp
from sympy.logic.boolalg import Boolean

from .errors import InvalidArgument, WidthwiseError, unknown_name

#: The longest text, and the deepest nesting of brackets and functions.
LONGEST, DEEPEST = 2000, 40
#: The largest number, and the most bits of a fraction's numerator and denominator.
LARGEST, BITS = 1e300, 4000
#: The largest power of a variable.
POWER = 1000


def _where(condition: sp.Expr, value: sp.Expr, otherwise: sp.Expr) -> sp.Expr:
    return sp.Piecewise((value, condition), (otherwise, True))


def _piecewise(*cases: Any) -> sp.Expr:
    return sp.Piecewise(*cases)


#: Functions by their names, each with the numbers of arguments that it takes.
FUNCTIONS: dict[str, tuple[Callable[..., Any], range]] = {
    **{name: (getattr(sp, name), range(1, 2)) for name in (
        "exp", "log", "sqrt", "cbrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "sech", "csch", "coth",
        "asinh", "acosh", "atanh", "erf", "erfc", "sign", "Abs", "Heaviside",
    )},
    **{name: (getattr(sp, of), range(1, 2)) for name, of in {
        "abs": "Abs", "ln": "log", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh",
        "arctanh": "atanh",
    }.items()},
    **{name: (of, range(1, 30)) for name, of in {"Max": sp.Max, "Min": sp.Min, "max": sp.Max, "min": sp.Min}.items()},
    "Piecewise": (_piecewise, range(1, 30)),
    "where": (_where, range(3, 4)),
}  # fmt: skip
CONSTANTS = {"pi": sp.pi, "E": sp.E}
#: Words that mean something that is no real number.
NO_NUMBERS = ("I", "oo", "zoo", "nan", "inf", "None")

_SIGNS = {ast.Lt: sp.Lt, ast.LtE: sp.Le, ast.Gt: sp.Gt, ast.GtE: sp.Ge}
#: A function with its primes, "relu'(b)" or "leaky_relu(0.2)''(b)": primes are written as an index while the text is parsed.
_PRIMES = re.compile(r"(?<=[\w)])('+)(?=\s*\()")

_DECIMAL = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_NUMBER = re.compile(rf"{_DECIMAL}\s*(/\s*{_DECIMAL})?", re.ASCII)

#: Of a function's name, its parameter and the number of its primes: the function, or None where there is none.
Named = Callable[[str, str | None, int], Callable[[sp.Expr], sp.Expr] | None]


@dataclass(frozen=True)
class Language:
    """What may stand in a text, beside the functions and constants of this module."""

    argument: str  #: the name of the argument, for errors
    allowed: str  #: what would be allowed, for errors
    variables: tuple[str, ...] | None = None  #: None: every word that is no function
    named: Named | None = None  #: more functions
    names: tuple[str, ...] = ()  #: their names, from which the nearest is proposed
    constants: Mapping[str, sp.Expr] = field(default_factory=lambda: CONSTANTS)

    def read(self, text: str) -> sp.Expr:
        """The expression; its variables are real symbols. ``InvalidArgument`` for any text that is none."""
        return _Formula(self, text).read()


def read_number(argument: str, text: str) -> sp.Rational:
    """A number, exactly: an integer, a fraction or a decimal."""
    allowed = "a number such as '2', '0.25', '1e-3' or '1/3'"
    if not _NUMBER.fullmatch(text.strip()):
        raise InvalidArgument(f"{argument}={_shown(text)} cannot be read; allowed: {allowed}")
    found = Language(argument, allowed, variables=()).read(text)
    assert isinstance(found, sp.Rational)
    return found


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 80 else f"{text[:60]!r}... ({len(text)} letters)"


class _Formula:
    """One text, read."""

    def __init__(self, language: Language, text: str) -> None:
        self.language, self.text = language, text

    def refuse(self, why: str) -> NoReturn:
        raise InvalidArgument(
            f"{self.language.argument}={_shown(self.text)} {why}; allowed: {self.language.allowed}"
        ) from None

    def read(self) -> sp.Expr:
        if len(self.text) > LONGEST:
            self.refuse(f"is longer than {LONGEST} letters")
        if found := re.search(r"[^\w\s.+\-*/^(),<>=&|~']", self.text):
            self.refuse(f"cannot be read: it holds {found.group(0)!r}")
        written = re.sub(r"\s+", " ", self.text).replace("^", "**").strip()
        self.written = _PRIMES.sub(lambda m: f"[{len(m.group(1))}]", written)
        if "'" in self.written:
            self.refuse("cannot be read: primes stand between a function and its argument, as in tanh'(a)")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(self.written, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            self.refuse(f"cannot be read: {getattr(error, 'msg', None) or 'it is nested too deeply'}")
        found = self.sized(lambda: self.node(tree, 0))
        if not isinstance(found, sp.Expr):
            self.refuse("is a condition and no function")
        return found

    def sized(self, make: Callable[[], Any]) -> Any:
        """What ``make`` returns; an error of SymPy about the text is an error of the text."""
        try:
            return make()
        except WidthwiseError:
            raise
        except Exception as error:  # SymPy raises errors of many kinds for what it cannot build
            self.refuse(f"cannot be read ({type(error).__name__}: {str(error)[:80]})")

    # ------------------------------------------------------------------------------------------------------ the grammar

    def node(self, node: ast.expr, depth: int) -> Any:
        """The value of a node."""
        if depth > DEEPEST:
            self.refuse(f"is nested deeper than {DEEPEST} brackets and functions")
        rule = getattr(self, f"_{type(node).__name__}", None)
        if rule is None:
            self.refuse(f"cannot be read: {ast.unparse(node)[:40]!r} is no part of a formula")
        return self.bounded(rule(node, depth + 1))

    def number(self, node: ast.expr, depth: int) -> sp.Expr:
        """The value of a node that is no condition."""
        found = self.node(node, depth)
        if not isinstance(found, sp.Expr):
            self.refuse(f"cannot be read: {ast.unparse(node)[:40]!r} is no number")
        return found

    def bounded(self, value: Any) -> Any:
        """The value itself, if it is no number or one that is real and neither too large nor too long."""
        if isinstance(value, sp.Rational) and max(value.p.bit_length(), value.q.bit_length()) > BITS:
            self.refuse("holds a number with too many digits")
        if isinstance(value, sp.Expr) and not value.free_symbols:
            size = value.evalf(15)
            if not size.is_Float and not size.is_Rational:
                self.refuse("holds a number that is not real and finite")
            if abs(size) > LARGEST:
                self.refuse(f"holds a number beyond {LARGEST:g}")
        return value

    def _Constant(self, node: ast.Constant, depth: int) -> Any:
        if isinstance(node.value, bool):
            return sp.true if node.value else sp.false
        if isinstance(node.value, int):
            return sp.Integer(node.value)
        if not isinstance(node.value, float):
            self.refuse(f"cannot be read: it holds {node.value!r}")
        digits = (ast.get_source_segment(self.written, node) or "").replace("_", "")
        zero = not re.search(r"[1-9]", re.split("[eE]", digits)[0])
        if node.value > LARGEST or len(digits) > BITS // 4 or (node.value < 1 / LARGEST and not zero):
            self.refuse(f"holds a number beyond {LARGEST:g} or 1/{LARGEST:g}")
        return sp.S.Zero if zero else sp.Rational(digits)

    def _Name(self, node: ast.Name, depth: int) -> sp.Expr:
        language, word = self.language, node.id
        if language.variables is not None and word in language.variables:
            return sp.Symbol(word, real=True)
        if word in language.constants:
            return language.constants[word]
        known = word in FUNCTIONS or word in language.names
        if known:
            letter = language.variables[0] if language.variables else "a"
            raise InvalidArgument(
                f"{language.argument}={_shown(self.text)}: {word} is a function; allowed: {word}({letter})"
            )
        if language.variables is not None:
            every = [*language.variables, *language.constants]
            near = difflib.get_close_matches(word, every, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            self.refuse(f"is no function of {' and '.join(language.variables) or 'nothing'}: it holds {word!r}{hint}")
        if word in NO_NUMBERS or "__" in word:
            self.refuse(f"cannot be read: {word} is no real variable")
        return sp.Symbol(word, real=True)

    def _UnaryOp(self, node: ast.UnaryOp, depth: int) -> Any:
        if isinstance(node.op, ast.Invert | ast.Not):
            return sp.Not(self.condition(node.operand, depth))
        value = self.number(node.operand, depth)
        return -value if isinstance(node.op, ast.USub) else value

    def _BinOp(self, node: ast.BinOp, depth: int) -> Any:
        if isinstance(node.op, ast.BitAnd | ast.BitOr):
            both = (self.condition(side, depth) for side in (node.left, node.right))
            return (sp.And if isinstance(node.op, ast.BitAnd) else sp.Or)(*both)
        if isinstance(node.op, ast.Pow):
            return self.power(self.number(node.left, depth), self.number(node.right, depth))
        kinds = (ast.Add, ast.Sub) if isinstance(node.op, ast.Add | ast.Sub) else (ast.Mult, ast.Div)
        # A long sum is a deep tree, which is walked in a loop.
        parts: list[tuple[ast.operator, ast.expr]] = []
        first: ast.expr = node
        while isinstance(first, ast.BinOp) and isinstance(first.op, kinds):
            parts.append((first.op, first.right))
            first = first.left
        if not parts:
            self.refuse(f"cannot be read: {ast.unparse(node)[:40]!r} is no part of a formula")
        values = [self.number(first, depth)]
        for op, part in reversed(parts):
            value = self.number(part, depth)
            if isinstance(op, ast.Div):
                if value.is_zero:
                    self.refuse("divides by zero")
                value = 1 / value
            values.append(-value if isinstance(op, ast.Sub) else value)
        return (sp.Add if kinds[0] is ast.Add else sp.Mul)(*values)

    def power(self, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
        """A power, if it is small enough to be computed."""
        if not exponent.free_symbols and abs(exponent.evalf(15)) > POWER:
            self.refuse(f"holds a power above {POWER}")
        if isinstance(base, sp.Rational) and isinstance(exponent, sp.Rational):
            if base == 0 and exponent < 0:
                self.refuse("divides by zero")
            bits = max(base.p.bit_length(), base.q.bit_length())
            if bits * abs(exponent) > BITS or exponent.q > POWER:
                self.refuse("holds a number with too many digits")
        found = base**exponent
        inner = found.as_base_exp()[1]
        if isinstance(inner, sp.Rational) and max(abs(inner), inner.q) > POWER:
            self.refuse(f"holds a power above {POWER}, or a root above the {POWER}th")
        return found

    def _Call(self, node: ast.Call, depth: int) -> Any:
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            self.refuse(f"cannot be read: {ast.unparse(node)[:40]!r} is no part of a formula")
        word, parameter, primes = self.called(node.func)
        own = self.language.named(word, parameter, primes) if self.language.named else None
        if own is not None:
            if len(node.args) != 1:
                self.refuse(
                    f"cannot be read: {word} has {len(node.args)} arguments; it has one, and parameters in brackets of their "
                    "own, as in leaky_relu(0.2)(a)"
                )
            return own(self.number(node.args[0], depth))
        if word not in FUNCTIONS:
            raise unknown_name(
                f"{self.language.argument}={_shown(self.text)}: function", word, [*FUNCTIONS, *self.language.names]
            )
        if parameter is not None or primes:
            self.refuse(f"cannot be read: {word} takes neither a parameter nor primes here")
        function, counts = FUNCTIONS[word]
        if len(node.args) not in counts:
            self.refuse(f"cannot be read: {word} takes {counts.start} arguments, not {len(node.args)}")
        if word == "Piecewise":
            return function(*(self.case(a, depth) for a in node.args))
        if word == "where":
            return function(self.condition(node.args[0], depth), *(self.number(a, depth) for a in node.args[1:]))
        return function(*(self.number(a, depth) for a in node.args))

    def called(self, function: ast.expr) -> tuple[str, str | None, int]:
        """The name of a function, its parameter as text, and the number of its primes."""
        primes, parameter = 0, None
        if isinstance(function, ast.Subscript) and isinstance(function.slice, ast.Constant):
            primes, function = int(str(function.slice.value)), function.value
        if isinstance(function, ast.Call) and len(function.args) == 1 and not function.keywords:
            parameter, function = ast.get_source_segment(self.written, function.args[0]), function.func
        if isinstance(function, ast.Attribute):
            self.refuse(f"cannot be read: write {function.attr} instead of {ast.unparse(function)[:40]}")
        if not isinstance(function, ast.Name):
            self.refuse(f"cannot be read: {ast.unparse(function)[:40]!r} is no function")
        return function.id, parameter, primes

    def case(self, node: ast.expr, depth: int) -> tuple[sp.Expr, Any]:
        """A value and its condition."""
        if not isinstance(node, ast.Tuple) or len(node.elts) != 2:
            self.refuse("cannot be read: Piecewise takes pairs, as in Piecewise((x, x > 0), (0, True))")
        return self.number(node.elts[0], depth), self.condition(node.elts[1], depth)

    def condition(self, node: ast.expr, depth: int) -> Any:
        """The value of a condition."""
        found = self.node(node, depth)
        if not isinstance(found, Boolean) or isinstance(found, sp.Expr):  # a symbol is both to SymPy
            self.refuse(f"cannot be read: {ast.unparse(node)[:40]!r} is no condition")
        return found

    def _Compare(self, node: ast.Compare, depth: int) -> Any:
        values = [self.number(part, depth) for part in (node.left, *node.comparators)]
        if any(type(op) not in _SIGNS for op in node.ops):
            self.refuse("cannot be read: conditions are made of < and >")
        pairs = zip(node.ops, values, values[1:], strict=False)
        return sp.And(*(_SIGNS[type(op)](left, right) for op, left, right in pairs))

    def _BoolOp(self, node: ast.BoolOp, depth: int) -> Any:
        parts = (self.condition(part, depth) for part in node.values)
        return (sp.And if isinstance(node.op, ast.And) else sp.Or)(*parts)

    def _IfExp(self, node: ast.IfExp, depth: int) -> sp.Expr:
        condition = self.condition(node.test, depth)
        return _where(condition, self.number(node.body, depth), self.number(node.orelse, depth))
