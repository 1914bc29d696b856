"""Folds over cuts, a killed server and a killed kernel, against queries over the whole log: `python -m tests.live_exact`
does it with a million records."""

import pytest

from tests import live_exact

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


@pytest.mark.parametrize("service", live_exact.SERVICES)
def test_results_equal_the_queries_over_the_log(service, seed):
    line, found = live_exact.run(service, 1500, 3, 1, 2, seed)
    assert not found, line
