"""``widthwise/verbs.pyi``: one signature of a verb for each system, copied from the functions that the rows name.

``python tests/signatures.py`` writes the file; a test compares it with what this module would write.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from widthwise.systems import ROWS, VERBS, Row

STUB = Path(__file__).parents[1] / "widthwise" / "verbs.pyi"
HEAD = '''"""The signatures of the verbs, one for each system; written by tests/signatures.py from the functions themselves."""

from typing import Any, overload

from .systems import Subject
'''
#: Of a user's own subject.
OPEN = "@overload\ndef {verb}(subject: Subject, /, *arguments: Any, **options: Any) -> Any: ...\n"
BUILTIN = {"int", "float", "str", "bool", "None"}


class Imports(dict[str, str]):
    """Which line of the stub imports a name; no name may mean two things."""

    def need(self, name: str, line: str) -> None:
        """Import a name."""
        if self.setdefault(name, line) != line:
            raise ValueError(f"{name} is {self[name]!r} and {line!r}: give one of the classes another name")


def signatures(row: Row, verb: str, imports: Imports) -> Iterator[str]:
    """The overloads of a verb for a system: those of its function, or else the function's own signature."""
    function = inspect.unwrap(row.function(verb))
    tree = ast.parse(Path(inspect.getfile(function)).read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function.__name__]
    overloads = [node for node in found if node.decorator_list and "overload" in ast.unparse(node.decorator_list[0])]
    origins = origins_of(tree, function.__module__)
    for node in overloads or found:
        arguments = node.args
        arguments.posonlyargs.append(arguments.args.pop(0))  # the verb takes its subject by position
        arguments.defaults = [shown(default) for default in arguments.defaults]
        arguments.kw_defaults = [default and shown(default) for default in arguments.kw_defaults]
        annotations = [a.annotation for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        assert node.returns is not None
        for used in ast.walk(ast.Tuple([node.returns, *(a for a in annotations if a is not None)])):
            if isinstance(used, ast.Name) and used.id not in BUILTIN:
                imports.need(used.id.partition(".")[0], origins[used.id])
        yield f"@overload\ndef {verb}({ast.unparse(arguments)}) -> {ast.unparse(node.returns)}: ...\n"


def shown(default: ast.expr) -> ast.expr:
    """A default that says what it is; the name of a constant becomes an ellipsis."""
    try:
        ast.literal_eval(default)
    except ValueError:
        return ast.Constant(...)
    return default


def origins_of(tree: ast.Module, module: str) -> dict[str, str]:
    """The line that imports each name of a module into the stub."""
    package = module.split(".")[1:-1]
    lines = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                lines[alias.asname or alias.name] = f"from {'.' if node.level else ''}{origin} import {alias.name}" + (
                    f" as {alias.asname}" if alias.asname else ""
                )
        elif isinstance(node, ast.Import):
            lines |= {
                a.asname or a.name: f"import {a.name}" + (f" as {a.asname}" if a.asname else "") for a in node.names
            }
    here = ".".join(module.split(".")[1:])
    own = [n.name for n in tree.body if isinstance(n, ast.ClassDef)]
    own += [t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]
    return {name: f"from .{here} import {name}" for name in own} | lines


def text(rows: tuple[Row, ...] = ROWS) -> str:
    """The stub, formatted."""
    imports = Imports()
    parts = [
        signature
        for verb in VERBS
        for signature in (
            *(s for row in rows if verb in row.places for s in signatures(row, verb, imports)),
            OPEN.format(verb=verb),
        )
    ]
    lines = [line for name, line in imports.items() if name not in ("Any", "overload")]
    unformatted = "\n".join([HEAD, *lines, "", *parts])
    for command in (["check", "--fix", "--select", "I"], ["format"]):
        ruff = [sys.executable, "-m", "ruff", *command, "-q", "--stdin-filename", str(STUB), "-"]
        unformatted = subprocess.run(ruff, input=unformatted, capture_output=True, text=True, check=True).stdout
    return unformatted


if __name__ == "__main__":
    STUB.write_text(text(), encoding="utf-8")
