"""The examples in docstrings that want a lab."""

import doctest
import importlib

import pytest

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("name", ["kit.lab.lab", "kit.amdahl.explorer"])
def test_examples(lab, name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0
