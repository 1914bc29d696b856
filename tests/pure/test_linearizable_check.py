"""The search for an order, against all orders there are."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from tests.linearizable.check import Operation, check
from tests.linearizable.history import History, operations
from tests.linearizable.models import MODELS, chained, record_hash

INITIAL, STEP = MODELS["synap"]


def any_order(ops):
    """Whether one of all orders of all subsets explains the answers."""
    known = [one for one in ops if one.finish is not None]
    unknown = [one for one in ops if one.finish is None]
    for count in range(len(unknown) + 1):
        for some in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *some]):
                if any(later.ended < one.began for n, one in enumerate(order) for later in order[n + 1 :]):
                    continue
                states = {INITIAL}
                for one in order:
                    states = {after for state in states for after in STEP(state, one.start, one.finish)}
                if states:
                    return True
    return False


def made(chance):
    """A history of a few calls at once, whose answers may or may not be those of a key."""
    ops, places = [], list(range(12))
    chance.shuffle(places)
    for client in range(chance.randint(3, 5)):
        began, ended = sorted((places.pop(), places.pop()))
        value = str(chance.randint(1, 2))
        kind = chance.choice(("get", "set", "delete", "add"))
        start, finish = {
            "get": ({"Get": {}}, {"Success": {"value": chance.choice((None, "1", "2"))}}),
            "set": ({"Set": {"value": value}}, {"Success": {}}),
            "delete": ({"Delete": {}}, {"Success": {"there": chance.random() < 0.5}}),
            "add": ({"Add": {"by": 1}}, {"Success": {"value": chance.randint(1, 3)}}),
        }[kind]
        lost = chance.random() < 0.2 and kind != "get"
        ops.append(Operation(client, start, None if lost else finish, began, math.inf if lost else ended))
    return ops


def test_the_search_finds_an_order_where_there_is_one(seed):
    chance, found = random.Random(seed), {True: 0, False: 0}
    for _ in range(1500):
        ops = made(chance)
        verdict = check(ops, INITIAL, STEP).linearizable
        assert verdict == any_order(ops), ops
        found[verdict] += 1
    assert min(found.values()) > 200


def history(*events):
    lines = History()
    ops = {}
    for client, told in events:
        if client not in ops:
            ops[client] = lines.start(client, told)
        else:
            lines.finish(client, ops.pop(client), told)
    return operations(lines.lines().splitlines())


HASHES = [record_hash(b"a"), record_hash(b"b")]


def append(match=None, token=None, fence=None, hashes=HASHES[:1]):
    return {
        "Append": {
            "num_records": len(hashes),
            "record_hashes": hashes,
            "set_fencing_token": fence,
            "fencing_token": token,
            "match_seq_num": match,
        }
    }


@pytest.mark.parametrize(
    ("events", "good"),
    [
        ([(0, append()), (1, "CheckTail"), (1, {"CheckTailSuccess": {"tail": 1}}), (0, {"AppendSuccess": {"tail": 1}})], True),
        ([(0, append()), (0, {"AppendSuccess": {"tail": 1}}), (1, "CheckTail"), (1, {"CheckTailSuccess": {"tail": 0}})], False),
        ([(0, append()), (0, "AppendIndefiniteFailure"), (1, "CheckTail"), (1, {"CheckTailSuccess": {"tail": 0}})], True),
        ([(0, append()), (0, "AppendIndefiniteFailure"), (1, "CheckTail"), (1, {"CheckTailSuccess": {"tail": 1}})], True),
        ([(0, append()), (0, "AppendIndefiniteFailure"), (1, "CheckTail"), (1, {"CheckTailSuccess": {"tail": 2}})], False),
        ([(0, append(match=1)), (0, {"AppendSuccess": {"tail": 2}})], False),
        ([(0, append(match=0)), (0, {"AppendDefiniteFailure": {"condition": True}})], False),
        ([(0, append(match=3)), (0, {"AppendDefiniteFailure": {"condition": True}})], True),
        ([(0, append(fence="x")), (0, {"AppendSuccess": {"tail": 1}}), (1, append(token="y")), (1, {"AppendSuccess": {"tail": 2}})], False),
        ([(0, append(fence="x")), (0, {"AppendSuccess": {"tail": 1}}), (1, append(token="x")), (1, {"AppendSuccess": {"tail": 2}})], True),
        ([(0, append(hashes=HASHES)), (0, {"AppendSuccess": {"tail": 2}}), (1, "Read"), (1, {"ReadSuccess": {"tail": 2, "stream_hash": chained(0, HASHES)}})], True),
        ([(0, append(hashes=HASHES)), (0, {"AppendSuccess": {"tail": 2}}), (1, "Read"), (1, {"ReadSuccess": {"tail": 2, "stream_hash": chained(0, HASHES[::-1])}})], False),
    ],
)  # fmt: skip
def test_a_stream_of_s2(events, good):
    assert check(history(*events), *MODELS["s2"]).linearizable is good
