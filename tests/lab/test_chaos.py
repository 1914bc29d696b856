"""A few runs of the fault campaign for each service; `python -m tests.chaos --runs 2000 --kills 20` is the campaign."""

import logging
import random
import time

import pytest

from tests.chaos.__main__ import SERVICES, bench_of, one_kill
from tests.chaos.faults import Trouble
from tests.chaos.running import Report, Run, Violation, judged, one_run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("service", SERVICES)
def test_every_verb_keeps_its_promises_under_faults(service, seed, monkeypatch):
    monkeypatch.setattr(logging.getLogger("asyncio"), "level", logging.CRITICAL)  # it tells of every cut connection
    report = Report()
    bench = bench_of(service, seed)
    try:
        for n, verb in enumerate(bench.verbs()):
            one_run(bench, verb, f"{seed}/{verb}/{n}", report)
        one_kill(bench, f"{seed}/kill/0", report)
    finally:
        bench.close()
    assert not report.violations, report.table()
    assert sum(one.met for one in report.tallies.values()) >= 5 and report.kills[service] == 1


def test_what_comes_twice_is_read_once():
    """A frame of a read session was delivered two times, and its records were taken two times."""
    bench, report = bench_of("s2", 999235), Report()
    try:
        one_run(bench, "feed", "999235/feed/11", report)
    finally:
        bench.close()
    assert not report.violations, report.table()


def test_the_verdict_sees_what_it_is_there_to_see():
    run = Run(None, "append", "1/append/0", Trouble(), "sync", random.Random(1))
    run.once([1, 2], [1], [1, 2, 3])
    for found, acknowledged, tried, told in (
        ([1, 1], [1], [1], "twice"),
        ([2], [1], [1, 2], "acknowledged and not there"),
        ([1, 5], [1], [1], "nobody wrote"),
    ):
        with pytest.raises(Violation, match=told):
            run.once(found, acknowledged, tried)
    assert judged(lambda: time.sleep(5), 0.05).startswith("hangs")
    assert judged(lambda: {}["x"]).startswith("undeclared KeyError")
    assert judged(lambda: run.check(False, "it broke")) == "violated: it broke"
