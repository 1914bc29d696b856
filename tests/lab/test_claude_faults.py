"""Claude under faults: what the server has charged is what the client reports, and nothing runs twice.

`KIT_FAULTS=2000 python -m pytest tests/lab/test_claude_faults.py` makes that many calls; the default is fewer.
"""

import collections
import concurrent.futures
import os
import random

import pytest

from kit.claude import ClaudeAPIError, RateLimitError, TimeoutError
from tests.lab.claudelite import ClaudeLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CALLS = int(os.environ.get("KIT_FAULTS", "300"))
KINDS = ("429", "503", "reset", "drop", "truncate", "stall", "503", "429")


def plan(chance, calls):
    """About one fault in four requests, each after a few that pass."""
    faults = []
    while sum(skip + 1 for _, skip, _ in faults) < calls:
        faults.append((chance.choice(KINDS), chance.randint(0, 6), chance.choice((0, 1, 40, 200))))
    return faults


def test_usage_is_what_was_reported(tmp_path):
    lab = ClaudeLab(tmp_path, workers=20)
    chance = random.Random(2)
    for kind, skip, after in plan(chance, CALLS):
        lab.fault(kind, "/v1/[cb]*", skip=skip, after=after, seconds=3.0)
    key = lab.make_key("campaign")
    outcomes = collections.Counter()
    reported = []

    def one(n):
        try:
            if n % 10 == 9:
                results = client.batch([f"{n} {m}" for m in range(3)], model="haiku")
                reported.extend(result.cost for result in results if result.status == "completed")
                outcomes["batch"] += 1
                return
            # Some run out of time at the service, and some only after the client has given up waiting.
            late = {3: " [lab fail=timeout]", 7: " [lab delay=0.9]"}.get(n % 50, "")
            response = client.complete(f"call {n}{late}", model=chance.choice(("haiku", "sonnet", "opus")), timeout=1)
            reported.append(response.cost)
            outcomes["completed"] += 1
        except RateLimitError:
            outcomes["429"] += 1
        except TimeoutError:
            outcomes["timeout"] += 1
        except ClaudeAPIError as error:
            outcomes["refused" if error.paid is False else "lost"] += 1

    try:
        with lab.client(api_key=key, max_retries=4) as client:
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                list(pool.map(one, range(CALLS)))
            spent, lines = client.spent, client.book.lines()
            settled(lab, client)
            told = client.get_usage()
        rows = lab.rows()
    finally:
        lab.close()
    assert all(outcomes[kind] for kind in ("completed", "429", "timeout", "lost", "batch")), outcomes

    # By request: what is completed here was charged there, once; what is lost, once or not at all; the rest, not.
    there = collections.defaultdict(list)
    for row in rows:
        there[row["request_id"]].append(row)
    completed, unknown = collections.defaultdict(list), collections.Counter()
    for line in lines:
        if line.status == "completed":
            completed[line.request_id].append(line.cost)
        else:
            unknown[line.request_id] += 1
    assert not set(completed) & set(unknown)
    assert set(there) <= set(completed) | set(unknown)
    for name, costs in completed.items():
        assert sorted(row["cost"] for row in there[name]) == sorted(costs)
    for name, most in unknown.items():
        assert len(there[name]) <= most
    # In sum: the server's usage is what was reported, and of what is lost no more than was told to be.
    lost = [row for name in unknown for row in there[name]]
    assert sum(reported) == pytest.approx(spent.cost)
    assert told.total_cost == pytest.approx(spent.cost + sum(row["cost"] for row in lost))
    assert told.total_tokens == spent.tokens + sum(row["input_tokens"] + row["output_tokens"] for row in lost)
    assert len(lost) <= spent.unknown == sum(unknown.values())
    if not lost:
        assert told.total_cost == pytest.approx(spent.cost)


def settled(lab, client):
    """Waits until nothing runs any more, as what clients gave up on goes on for a while, and all is on disk."""
    while True:
        pool = client.health()["services"]["worker_pool"]["detail"]
        if not pool["active_workers"] and not pool["queued_tasks"]:
            break
    for _ in range(3):
        lab.on_loop(lab.server._store.write(lambda db: None))
