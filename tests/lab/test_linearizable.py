"""What several clients saw at once over a bad network has an order that explains it; what broken ones saw has none.

`python -m tests.linearizable` is the campaign.
"""

from __future__ import annotations

import pytest

from tests.linearizable.models import MODELS
from tests.linearizable.running import place, run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.mark.parametrize("service", list(MODELS))
def test_clients_of_the_lab(service, seed, tmp_path):
    with place(service, 1, tmp_path) as there:
        for one in range(seed, seed + 3):
            lines, verdict = run(there, one, clients=4, ops=25)
            assert verdict.linearizable is not False, f"seed {one}\n{lines}"
        found = []
        for one in range(40):  # whether a broken client is caught hangs on who was quicker
            found.append(run(there, one, 3, 15, ("skips", "stale", "repeats", "loses")[one % 4])[1].linearizable)
            if found.count(False) >= 2:
                break
        assert found.count(False) >= 2, found
