"""The commands of the HTTP endpoint as calls of SynapRPC, and their answers back: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import SynapInputError, SynapWireError
from ..inputs import as_text

Payload = Mapping[str, Any]
Call = tuple[str, tuple[Any, ...]]


def call_of(command: str, payload: Payload) -> Call:
    """Return what a command is over SynapRPC."""
    made = _CALLS.get(command)
    if made is None:
        raise SynapInputError(f"{command} is not available over synap://", hint="use a client with an http:// address")
    return made[0](payload)


def knows(command: str) -> bool:
    """Return whether there is such a call."""
    return command in _CALLS


def tells_all(command: str, payload: Payload) -> bool:
    """Return whether a call answers as fully as HTTP does.

    It makes no queue with settings, publishes no metadata, and tells less of a message and in two kinds of figures.
    """
    if command in ("queue.consume", "stream.stats", "pubsub.stats"):
        return False
    return command in _CALLS and not payload.get("config") and not payload.get("metadata")


def reply_of(command: str, value: Any) -> Any:
    """Return the answer's payload in the form of the HTTP endpoint."""
    try:
        return _CALLS[command][1](value)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise SynapWireError(f"{command}: an answer of an unknown form: {type(error).__name__}") from None


def _key(name: str, *fields: str) -> Callable[[Payload], Call]:
    """Return a call whose arguments are fields of the payload, in this order."""
    return lambda payload: (name, tuple(payload[field] for field in fields))


def _optional(payload: Payload, *fields: str) -> tuple[Any, ...]:
    """Return arguments at the end without the missing ones; one missing before one that is given is Null."""
    values = [payload.get(field) for field in fields]
    while values and values[-1] is None:
        values.pop()
    return tuple(values)


def _field(name: str) -> Callable[[Any], Any]:
    return lambda value: {name: value}


def _same(value: Any) -> Any:
    return value


def _map(value: Any) -> Any:
    return dict(value.items())


def _names(name: str) -> Callable[[Any], Any]:
    return lambda value: {name: [item if isinstance(item, str) else item.decode() for item in value]}


def _done(value: Any) -> Any:
    return {"success": True}


def _message(value: Any) -> Any:
    return {"message": None if value is None else dict(value.items())}


def _kv_stats(value: Any) -> Any:
    figures = dict(value.items())
    counts = {name: figures.pop(name) for name in ("gets", "sets", "dels", "hits", "misses") if name in figures}
    reads = counts.get("hits", 0) + counts.get("misses", 0)
    return {**figures, "operations": counts, "hit_rate": counts.get("hits", 0) / reads if reads else 0.0}


def _data(value: Any) -> Any:
    """Return what SPUBLISH and PUBLISH take: JSON text, as readers over HTTP expect it."""
    return as_text(value)


_CALLS: dict[str, tuple[Callable[[Payload], Call], Callable[[Any], Any]]] = {
    "kv.get": (_key("GET", "key"), _same),
    "kv.set": (lambda p: ("SET", (p["key"], p["value"], *_optional(p, "ttl"))), _done),
    "kv.del": (_key("DEL", "key"), lambda value: {"deleted": value > 0}),
    "kv.exists": (_key("EXISTS", "key"), _field("exists")),
    "kv.incr": (_key("INCRBY", "key", "amount"), _field("value")),
    "kv.decr": (_key("DECRBY", "key", "amount"), _field("value")),
    "kv.expire": (_key("EXPIRE", "key", "ttl"), _field("result")),
    "kv.persist": (_key("PERSIST", "key"), _field("result")),
    "kv.ttl": (_key("TTL", "key"), lambda value: {"ttl": None if value < 0 else value}),
    "kv.scan": (_key("SCAN", "prefix", "limit"), _names("keys")),
    "kv.stats": (_key("KVSTATS"), _kv_stats),
    "queue.create": (_key("QCREATE", "name"), _done),
    "queue.publish": (lambda p: ("QPUBLISH", (p["queue"], p["payload"], *_optional(p, "priority", "max_retries"))),
                      _field("message_id")),
    "queue.consume": (_key("QCONSUME", "queue", "consumer_id"), _message),
    "queue.ack": (_key("QACK", "queue", "message_id"), _done),
    "queue.nack": (_key("QNACK", "queue", "message_id", "requeue"), _done),
    "queue.list": (_key("QLIST"), _names("queues")),
    "queue.delete": (_key("QDELETE", "queue"), _field("deleted")),
    "queue.purge": (_key("QPURGE", "queue"), _field("purged")),
    "queue.stats": (_key("QSTATS", "queue"), _map),
    "stream.create": (_key("SCREATE", "room"), _done),
    "stream.get_or_create": (_key("SGETORCREATE", "room"), lambda value: {"created": value == "CREATED"}),
    "stream.publish": (lambda p: ("SPUBLISH", (p["room"], p["event"], _data(p["data"]))), _field("offset")),
    "stream.consume": (_key("SREAD", "room", "subscriber_id", "from_offset", "limit"), _field("events")),
    "stream.list": (_key("SLIST"), _names("rooms")),
    "stream.delete": (_key("SDELETE", "room"), _done),
    "stream.stats": (_key("SSTATS", "room"), _map),
    "pubsub.publish": (lambda p: ("PUBLISH", (p["topic"], _data(p["payload"]))), _map),
    "pubsub.topics": (_key("TOPICS"), _names("topics")),
    "pubsub.stats": (_key("PSSTATS"), _map),
    "pubsub.unsubscribe": (lambda p: ("UNSUBSCRIBE", (p["subscriber_id"], *(p.get("topics") or ()))),
                           _field("unsubscribed")),
}  # fmt: skip
