"""The simulation: no seed fails, the same seed does the same, and what is broken on purpose is found.

`python -m tests.simulate` is the campaign.
"""

import gc
import json
import os
import subprocess
import sys

import pytest

from tests.simulate.broken import BROKEN
from tests.simulate.faults import Fault
from tests.simulate.running import Plan, execute, smaller
from tests.simulate.scenarios import SCENARIOS

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

FOUND_WITHIN = 400


@pytest.fixture(scope="module", autouse=True)
def _memory():
    yield
    gc.unfreeze()


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_seed_fails_and_each_does_the_same_again(name, seed):
    for one in range(seed, seed + 5):
        scenario = SCENARIOS[name]()
        outcome = execute(scenario, scenario.plan(one))
        assert not outcome.violation, (
            f"{outcome.violation}: python -m tests.simulate --scenario {name} --first {one} --trace"
        )
    again = execute(SCENARIOS[name](), outcome.plan)
    pairs = enumerate(zip(outcome.lines, again.lines, strict=False))
    assert not next((pair for pair in pairs if pair[1][0] != pair[1][1]), None), f"seed {one} did something else"
    assert len(again.lines) == len(outcome.lines)
    assert (again.calls, again.failed, again.met) == (outcome.calls, outcome.failed, outcome.met)


def digests(seed):
    """Return a hash of the trace of each scenario."""
    return {name: execute(kind(), kind().plan(seed)).digest for name, kind in SCENARIOS.items()}


def test_another_process_does_the_same(seed):
    code = f"import json; from tests.lab.test_simulate import digests; print(json.dumps(digests({seed})))"
    environment = {**os.environ, "PYTHONHASHSEED": str(seed % 1000)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == digests(seed)


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_broken_on_purpose_is_found(how):
    kind = SCENARIOS[BROKEN[how][0]]
    for seed in range(FOUND_WITHIN):
        outcome = execute(kind(), kind().plan(seed, how))
        if outcome.violation:
            break
    assert outcome.violation.startswith("violated"), outcome.violation
    assert not execute(kind(), kind().plan(seed)).violation, "it is the breaking that was found"


def test_a_failure_is_made_small():
    kind, how = SCENARIOS["s2.sessions"], "s2 skips"
    plans = (kind().plan(seed, how) for seed in range(FOUND_WITHIN))
    plan = next(plan for plan in plans if execute(kind(), plan).violation)
    small = smaller(kind(), plan)
    assert len(small.ops) < len(plan.ops)
    assert len(small.faults) <= len(plan.faults)
    outcome = execute(kind(), small)
    assert outcome.violation
    assert any("fault" in line for line in outcome.lines), "the trace tells what went wrong"


def test_an_append_whose_first_try_was_written_does_not_say_that_it_never_left():
    """Of Kimberlite: the answer is lost, and then nobody can be reached."""
    mine = [(0, "append", 2, 0.0), (0, "append", 1, 0.2), (0, "append", 2, 0.01), (0, "append", 1, 0.2)]
    ops = (*mine[:3], (2, "append", 1, 0.0), mine[3])
    plan = Plan("kimberlite.history", 26, ops, (Fault("outage", 516, seconds=1.0),))
    outcome = execute(SCENARIOS[plan.scenario](), plan)
    assert outcome.failed, "it is to fail"
    assert not outcome.violation, outcome.violation


@pytest.mark.parametrize(
    ("scenario", "seed", "fault"),
    [
        # A feed is given up while its connection for SynapRPC is being made.
        ("synap.room", 206, Fault("cancel", 1, seconds=0.0012813597513570557)),
        # A feed is given up in the moment in which its connection is there.
        ("kimberlite.feed", 241, Fault("cancel", 2, seconds=0.006184930189276068)),
    ],
)
def test_who_is_interrupted_leaves_no_connection(scenario, seed, fault):
    outcome = execute(SCENARIOS[scenario](), Plan(scenario, seed, (), (fault,)))
    assert outcome.met["cancel"]
    assert not outcome.violation, outcome.violation


def test_a_session_that_has_read_all_ends_well_where_its_end_was_lost():
    """Of S2: nothing more comes, it connects again, and the service has nothing at the tail."""
    plan = Plan("s2.limits", 6057, (("count", 54, 26),), (Fault("swallow", 2, 2926),))
    outcome = execute(SCENARIOS[plan.scenario](), plan)
    assert outcome.met["swallow"]
    assert not outcome.violation, outcome.violation
    assert not outcome.failed
