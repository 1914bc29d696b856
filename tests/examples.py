"""Which modules have examples in their docstrings, and which of those want a lab."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import kit


def modules(*, with_lab: bool) -> list[str]:
    """The modules that have examples, those that start a lab or the others."""
    found = []
    for module in pkgutil.walk_packages(kit.__path__, "kit."):
        if module.name.endswith("__main__"):
            continue
        examples = [
            example.source
            for test in doctest.DocTestFinder().find(importlib.import_module(module.name))
            for example in test.examples
        ]
        if examples and any("Lab(" in source for source in examples) == with_lab:
            found.append(module.name)
    return found


def run(name: str) -> None:
    """Runs a module's examples; fails where one gives something else."""
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
