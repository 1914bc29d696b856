"""The lab answers as the real servers do, where these are; `python -m tests.differential` asks more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.__main__ import PROGRAMS, run
from tests.differential.kimberlite import KNOWN
from tests.real import ABSENT

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.mark.parametrize("service", PROGRAMS)
def test_the_lab_answers_as_the_real_server(service, seed):
    if PROGRAMS[service]() is None:
        pytest.skip(ABSENT)
    report = run(service, 300, seed)
    assert not report.findings, "\n".join(map(str, report.findings))


@pytest.mark.parametrize("service", PROGRAMS)
def test_what_is_asked_and_compared_does_not_hang_on_chance(service, seed):
    # The second seed brings worlds of several sorts, which two worlds of another need not.
    for some in (seed, 3):
        report = run(service, 200, some, lab_twice=True)
        assert not report.findings, "\n".join(map(str, report.findings))
    assert len(report.kinds) > 5 and report.errors


def test_where_the_lab_is_not_the_real_server_is_in_the_docs():
    page = (Path(__file__).parents[2] / "notebooks" / "reliability.md").read_text()
    for what, why in KNOWN.items():
        assert f"| {what} | {why.removeprefix('the real server ')} |" in page
