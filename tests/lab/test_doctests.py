"""The examples in docstrings that want a lab."""

import pytest

from .. import examples

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("name", examples.modules(with_lab=True))
def test_examples(lab, name):
    examples.run(name)
