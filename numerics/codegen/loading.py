"""Generated text as modules: the one place where text is run, and where a module is forgotten with its last user."""

from __future__ import annotations

import builtins
import itertools
import linecache
import sys
import types
import weakref
from dataclasses import dataclass, field
from typing import Any

#: The names of generated modules begin with this.
PREFIX = "widthwise_generated_"
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Module:
    """Generated text that has run. It is registered as an imported module would be, for as long as this object lives."""

    source: str = field(repr=False)
    namespace: dict[str, Any] = field(repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the text, and runs it again."""
        return loaded, (self.source,)


def loaded(source: str) -> Module:
    """Run a text as a module.

    Dataclasses, tracebacks and compilers look a module up by its name, and its lines by the name of its file. Both entries are
    removed with the last reference to the result; functions of the text that are still referred to go on working.
    """
    module = types.ModuleType(f"{PREFIX}{next(_NUMBERS)}")
    filename = f"<{module.__name__}>"
    found = Module(source, module.__dict__)
    weakref.finalize(found, _forget, module.__name__, filename).atexit = False
    sys.modules[module.__name__] = module
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(builtins.compile(source, filename, "exec"), module.__dict__)
    return found


def _forget(name: str, filename: str) -> None:
    sys.modules.pop(name, None)
    linecache.cache.pop(filename, None)
