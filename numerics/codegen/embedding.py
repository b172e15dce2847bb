"""Modules of this package as one text that stands on its own, for generated files."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from types import ModuleType

from .narrow import narrowed


@dataclass(frozen=True)
class Embedded:
    """The imports of all modules, and the text of each without its docstring and imports, after the modules that it uses."""

    imports: tuple[str, ...]
    text: str


@lru_cache(maxsize=4)
def embed(module: ModuleType) -> Embedded:
    """A module and its relatives, found through their relative imports."""
    plain: set[str] = set()
    names: defaultdict[str, set[str]] = defaultdict(set)
    parts = []
    for member in _with_relatives(module):
        source = inspect.getsource(member)
        lines = source.splitlines()
        for position, node in enumerate(ast.parse(source).body):
            if isinstance(node, ast.Import):
                plain.add(ast.unparse(node))
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__":
                names[node.module or ""] |= {ast.unparse(alias) for alias in node.names}
            if isinstance(node, ast.Import | ast.ImportFrom) or (position == 0 and isinstance(node, ast.Expr)):
                lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
        parts.append("\n".join(lines).strip())
    imports = plain | {f"from {source} import {', '.join(sorted(n))}" for source, n in names.items()}
    return Embedded(tuple(sorted(imports, key=_import_order)), narrowed("\n\n\n".join(parts)))


def imports_of(*modules: ModuleType) -> tuple[str, ...]:
    """The imports of several modules, each line once."""
    return merged(*(embed(module).imports for module in modules))


def merged(*imports: tuple[str, ...]) -> tuple[str, ...]:
    """Several lists of imports as one, each name once."""
    lines = {line for part in imports for line in part}
    names: defaultdict[str, set[str]] = defaultdict(set)
    for line in lines:
        if line.startswith("from "):
            source, _, found = line.removeprefix("from ").partition(" import ")
            names[source] |= set(found.split(", "))
    plain = {line for line in lines if not line.startswith("from ")}
    return tuple(
        sorted(plain | {f"from {m} import {', '.join(sorted(n))}" for m, n in names.items()}, key=_import_order)
    )


def _import_order(line: str) -> tuple[int, int, str]:
    third_party = line.split()[1].split(".")[0] in ("numpy", "scipy")
    return int(third_party), int(line.startswith("from")), line


def _with_relatives(module: ModuleType) -> list[ModuleType]:
    """The module behind the modules that it imports, each once."""
    found: list[ModuleType] = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            relative = import_module("." * node.level + (node.module or ""), module.__package__)
            found += [m for m in _with_relatives(relative) if m not in found]
    return [*found, module]
