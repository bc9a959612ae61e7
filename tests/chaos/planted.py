"""Runs a program with a bug: `planted.py MODULE OLD NEW PROGRAM`, any number of `MODULE OLD NEW` before the program.

The module's source is changed as it is imported; the words must be there exactly once. PROGRAM is a module or a file.
"""

import importlib.abc
import importlib.machinery
import runpy
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

Change = tuple[str, str, str]


class _Loader(SourceFileLoader):
    changes: Sequence[Change]

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname) or ""
        for module, old, new in self.changes:
            if module == fullname:
                if source.count(old) != 1:
                    sys.exit(f"planted: {module} has {source.count(old)} times {old!r}")
                source = source.replace(old, new)
        return compile(source, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, changes: Sequence[Change]) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in {module for module, _, _ in self._changes}:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
            spec.loader.changes = self._changes
        return spec


*words, program = sys.argv[1:]
sys.argv = [program]
sys.meta_path.insert(0, _Finder([(words[i], words[i + 1], words[i + 2]) for i in range(0, len(words), 3)]))
if program.endswith(".py"):
    runpy.run_path(program, run_name="__main__")
else:
    runpy.run_module(program, run_name="__main__", alter_sys=True)
