"""Which modules have examples in their docstrings, and which of those want a lab."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any

import kit


class _Finder(doctest.DocTestFinder):
    """Finds also what tells the package as its module, as public names do once they were used."""

    def _from_module(self, module: ModuleType | None, object: Any) -> bool:
        if super()._from_module(module, object):  # type: ignore[misc]
            return True
        if module is None or not module.__name__.startswith(f"{getattr(object, '__module__', None)}."):
            return False
        return getattr(object, "__name__", None) in _defined(module)


@cache
def _defined(module: ModuleType) -> set[str]:
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.parse(inspect.getsource(module)).body if isinstance(node, kinds)}


def _examples(name: str) -> list[doctest.DocTest]:
    return [test for test in _Finder().find(importlib.import_module(name)) if test.examples]


def modules(*, with_lab: bool) -> list[str]:
    """The modules that have examples, those that start a lab or the others."""
    found = []
    for module in pkgutil.walk_packages(kit.__path__, "kit."):
        if module.name.endswith("__main__"):
            continue
        sources = [example.source for test in _examples(module.name) for example in test.examples]
        if sources and any("Lab(" in source for source in sources) == with_lab:
            found.append(module.name)
    return found


def run(name: str) -> None:
    """Runs a module's examples; fails where one gives something else."""
    runner = doctest.DocTestRunner()
    for test in _examples(name):
        runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0
