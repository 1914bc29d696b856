"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import kit

NEEDS_LAB = {"kit.lab.lab", "kit.amdahl.explorer"}
MODULES = [
    module.name
    for module in pkgutil.walk_packages(kit.__path__, "kit.")
    if module.name not in NEEDS_LAB and not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
