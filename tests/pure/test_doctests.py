"""The examples in docstrings run."""

import pytest

from .. import examples


@pytest.mark.parametrize("name", examples.modules(with_lab=False))
def test_examples(name):
    examples.run(name)
