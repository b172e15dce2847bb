"""Equations of a subject by name."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp


def equal(left: sp.Expr, right: sp.Expr) -> sp.Eq:
    """An equation that stays as it is written."""
    return sp.Eq(left, right, evaluate=False)


def mapped(equation: sp.Eq, change: Callable[[sp.Expr], sp.Expr]) -> sp.Eq:
    """An equation with both sides changed."""
    return equal(change(equation.lhs), change(equation.rhs))
