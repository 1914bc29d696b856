"""Commands of Synap's HTTP endpoint as calls of SynapRPC, and the answers back."""

import pytest

from kit.synap.errors import SynapInputError, SynapWireError
from kit.synap.wire import rpc_commands as rpc

CALLS = [
    ("kv.get", {"key": "k"}, ("GET", ("k",)), b"v", b"v"),
    ("kv.set", {"key": "k", "value": b"v", "ttl": 60}, ("SET", ("k", b"v", 60)), "OK", {"success": True}),
    ("kv.set", {"key": "k", "value": b"v", "ttl": None}, ("SET", ("k", b"v")), "OK", {"success": True}),
    ("kv.set", {"key": "k", "value": b"v", "ttl": 0}, ("SET", ("k", b"v", 0)), "OK", {"success": True}),
    ("kv.del", {"key": "k"}, ("DEL", ("k",)), 0, {"deleted": False}),
    ("kv.del", {"key": "k"}, ("DEL", ("k",)), 1, {"deleted": True}),
    ("kv.exists", {"key": "k"}, ("EXISTS", ("k",)), True, {"exists": True}),
    ("kv.incr", {"amount": 2, "key": "k"}, ("INCRBY", ("k", 2)), 7, {"value": 7}),
    ("kv.ttl", {"key": "k"}, ("TTL", ("k",)), -1, {"ttl": None}),
    ("kv.ttl", {"key": "k"}, ("TTL", ("k",)), 0, {"ttl": 0}),
    ("kv.ttl", {"key": "k"}, ("TTL", ("k",)), 9, {"ttl": 9}),
    ("kv.scan", {"prefix": "p", "limit": 3}, ("SCAN", ("p", 3)), ["a", b"b"], {"keys": ["a", "b"]}),
    ("queue.publish", {"queue": "q", "payload": b"x", "priority": 5}, ("QPUBLISH", ("q", b"x", 5)), "id",
     {"message_id": "id"}),
    # What stands before a value that is given has its place.
    ("queue.publish", {"queue": "q", "payload": b"x", "max_retries": 2}, ("QPUBLISH", ("q", b"x", None, 2)), "id",
     {"message_id": "id"}),
    ("queue.publish", {"queue": "q", "payload": b"x"}, ("QPUBLISH", ("q", b"x")), "id", {"message_id": "id"}),
    ("queue.consume", {"queue": "q", "consumer_id": "c"}, ("QCONSUME", ("q", "c")), None, {"message": None}),
    ("queue.consume", {"queue": "q", "consumer_id": "c"}, ("QCONSUME", ("q", "c")), {"id": "1"},
     {"message": {"id": "1"}}),
    ("stream.get_or_create", {"room": "r"}, ("SGETORCREATE", ("r",)), "CREATED", {"created": True}),
    ("stream.get_or_create", {"room": "r"}, ("SGETORCREATE", ("r",)), "EXISTS", {"created": False}),
    ("stream.stats", {"room": "r"}, ("SSTATS", ("r",)), {"events": 1}, {"events": 1}),
    ("pubsub.unsubscribe", {"subscriber_id": "s", "topics": ["a", "b"]}, ("UNSUBSCRIBE", ("s", "a", "b")), 2,
     {"unsubscribed": 2}),
    ("pubsub.unsubscribe", {"subscriber_id": "s"}, ("UNSUBSCRIBE", ("s",)), 2, {"unsubscribed": 2}),
    ("kv.stats", {}, ("KVSTATS", ()), {"keys": 2, "gets": 4, "hits": 3, "misses": 1},
     {"keys": 2, "operations": {"gets": 4, "hits": 3, "misses": 1}, "hit_rate": 0.75}),
    ("kv.stats", {}, ("KVSTATS", ()), {"keys": 2}, {"keys": 2, "operations": {}, "hit_rate": 0.0}),
    ("kv.stats", {}, ("KVSTATS", ()), {"misses": 2}, {"operations": {"misses": 2}, "hit_rate": 0.0}),
    ("kv.stats", {}, ("KVSTATS", ()), {"hits": 2}, {"operations": {"hits": 2}, "hit_rate": 1.0}),
]  # fmt: skip


@pytest.mark.parametrize(("command", "payload", "call", "value", "reply"), CALLS)
def test_calls_and_their_answers(command, payload, call, value, reply):
    assert rpc.knows(command)
    assert rpc.call_of(command, payload) == call
    assert rpc.reply_of(command, value) == reply


def test_answers_of_another_form_are_told():
    for command, value in (("kv.del", "x"), ("kv.scan", [5]), ("kv.scan", 5), ("queue.stats", [1]), ("kv.what", 1)):
        with pytest.raises(SynapWireError, match="an answer of an unknown form"):
            rpc.reply_of(command, value)
    assert not rpc.knows("kv.what")
    with pytest.raises(SynapInputError, match="not available over synap://"):
        rpc.call_of("kv.what", {})


def test_which_calls_tell_as_much_as_http():
    assert rpc.tells_all("kv.get", {"key": "k"})
    assert rpc.tells_all("queue.create", {"name": "q", "config": None})
    for command, payload in (
        ("queue.create", {"name": "q", "config": {"max_depth": 1}}),
        ("pubsub.publish", {"topic": "t", "payload": 1, "metadata": {"a": "b"}}),
        ("queue.consume", {}),
        ("stream.stats", {}),
        ("pubsub.stats", {}),
        ("kv.what", {}),
    ):
        assert not rpc.tells_all(command, payload)
