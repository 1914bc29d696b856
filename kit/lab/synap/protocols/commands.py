"""The commands of `POST /api/v1/command`. A refusal has status 200, as in the service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import reports
from ..data.queues import Message
from ..home import Home
from ..refusal import Refusal
from . import inputs
from .inputs import Payload, text, texts, whole


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is already JSON text."""

    json: str


Command = Callable[[Home, Payload], Any]


def run(home: Home, name: str, payload: Any) -> Any:
    """Return the answer's payload."""
    command = COMMANDS.get(name)
    if command is None:
        raise Refusal(f"Unknown command: {name}")
    return command(home, payload if isinstance(payload, dict) else {})


def kv_set(home: Home, payload: Payload) -> Any:
    key = text(payload, "key")
    if "value" not in payload:
        raise Refusal("Invalid request: Missing 'value' field")
    home.pairs.set(key, inputs.stored(payload["value"]), whole(payload, "ttl"))
    return {"success": True}


def kv_get(home: Home, payload: Payload) -> Any:
    return inputs.shown(home.pairs.get(text(payload, "key")), payload.get("type"))


def kv_mset(home: Home, payload: Payload) -> Any:
    """Store values as JSON, as in the service: a text is stored with its quotes."""
    for key, value in _pairs(payload):
        home.pairs.set(key, inputs.as_json(value))
    return {"success": True}


def kv_msetnx(home: Home, payload: Payload) -> Any:
    return {"success": home.pairs.set_new([(key, inputs.as_json(value)) for key, value in _pairs(payload)])}


def _pairs(payload: Payload) -> list[tuple[str, Any]]:
    items = payload.get("pairs")
    if not isinstance(items, list):
        raise Refusal("Invalid request: Missing 'pairs' field")
    pairs = []
    for pair in items:
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str):
            pairs.append((inputs.checked(pair[0]), pair[1]))
        elif isinstance(pair, dict) and "value" in pair:
            pairs.append((text(pair, "key"), pair["value"]))
        else:
            raise Refusal("Invalid request: a pair needs 'key' and 'value'")
    return pairs


def kv_mget(home: Home, payload: Payload) -> Any:
    """Return values as JSON, and null for plain text, as in the service."""
    import json

    values: list[Any] = []
    for key in texts(payload, "keys"):
        value = home.pairs.get(key)
        try:
            values.append(None if value is None else json.loads(value))
        except (ValueError, RecursionError):
            values.append(None)
    return {"values": values}


def kv_del(home: Home, payload: Payload) -> Any:
    return {"deleted": home.pairs.delete(text(payload, "key"))}


def kv_mdel(home: Home, payload: Payload) -> Any:
    return {"deleted": sum(home.pairs.delete(key) for key in texts(payload, "keys"))}


def kv_exists(home: Home, payload: Payload) -> Any:
    return {"exists": home.pairs.peek(text(payload, "key")) is not None}


def _amount(payload: Payload) -> int:
    amount = payload.get("amount")
    return amount if type(amount) is int else 1


def kv_incr(home: Home, payload: Payload) -> Any:
    return {"value": home.pairs.add(text(payload, "key"), _amount(payload))}


def kv_decr(home: Home, payload: Payload) -> Any:
    return {"value": home.pairs.add(text(payload, "key"), -_amount(payload))}


def kv_expire(home: Home, payload: Payload) -> Any:
    seconds = whole(payload, "ttl")
    if seconds is None:
        raise Refusal("Invalid request: Missing 'ttl' field")
    return {"result": home.pairs.expire(text(payload, "key"), seconds)}


def kv_ttl(home: Home, payload: Payload) -> Any:
    return {"ttl": home.pairs.ttl(text(payload, "key"))}


def kv_persist(home: Home, payload: Payload) -> Any:
    return {"result": home.pairs.persist(text(payload, "key"))}


def kv_scan(home: Home, payload: Payload) -> Any:
    prefix = payload.get("prefix")
    keys = home.pairs.scan(prefix if isinstance(prefix, str) else "", whole(payload, "limit", 100) or 0)
    return {"keys": keys, "count": len(keys)}


def kv_keys(home: Home, payload: Payload) -> Any:
    keys = home.pairs.keys()
    return {"keys": keys, "count": len(keys)}


def _json(payload: Payload) -> bytes:
    """Return a required value as JSON text: these commands store a text with its quotes, as in the service."""
    if "value" not in payload:
        raise Refusal("Invalid request: Missing 'value' field")
    return inputs.as_json(payload["value"])


def _integer(payload: Payload, name: str) -> int:
    value = payload.get(name)
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise Refusal(f"Invalid request: Missing '{name}' field")
    return value


def kv_append(home: Home, payload: Payload) -> Any:
    return {"length": home.pairs.append(text(payload, "key"), _json(payload))}


def kv_getrange(home: Home, payload: Payload) -> Any:
    part = home.pairs.part(text(payload, "key"), _integer(payload, "start"), _integer(payload, "end"))
    return inputs.shown(part or None)


def kv_setrange(home: Home, payload: Payload) -> Any:
    key, offset = text(payload, "key"), whole(payload, "offset")
    if offset is None:
        raise Refusal("Invalid request: Missing 'offset' field")
    return {"length": home.pairs.overwrite(key, offset, _json(payload))}


def kv_strlen(home: Home, payload: Payload) -> Any:
    return {"length": len(home.pairs.get(text(payload, "key")) or b"")}


def kv_getset(home: Home, payload: Payload) -> Any:
    return inputs.shown(home.pairs.swap(text(payload, "key"), _json(payload)))


def flush(home: Home, payload: Payload) -> Any:
    raise Refusal("Forbidden: flush commands are disabled (allow_flush_commands)")


def key_type(home: Home, payload: Payload) -> Any:
    key = text(payload, "key")
    return {"key": key, "type": "none" if home.pairs.peek(key) is None else "string"}


def key_exists(home: Home, payload: Payload) -> Any:
    key = text(payload, "key")
    return {"key": key, "exists": home.pairs.peek(key) is not None}


def key_rename(home: Home, payload: Payload) -> Any:
    return _moved(payload, home.pairs.rename, "")


def key_renamenx(home: Home, payload: Payload) -> Any:
    return _moved(payload, partial(home.pairs.rename, replace=False), "Destination key already exists")


def key_copy(home: Home, payload: Payload) -> Any:
    replace = payload.get("replace") is True
    taken = "Destination key already exists and replace=false"
    return _moved(payload, partial(home.pairs.copy, replace=replace), taken)


def _moved(payload: Payload, move: Callable[[str, str], bool], taken: str) -> Any:
    source, target = text(payload, "source"), text(payload, "destination")
    if not move(source, target):
        raise Refusal(f"Invalid request: {taken}")
    return {"success": True, "source": source, "destination": target}


def queue_create(home: Home, payload: Payload) -> Any:
    home.queues.create(text(payload, "name"), inputs.queue_config(payload.get("config")))
    return {"success": True}


def queue_delete(home: Home, payload: Payload) -> Any:
    return {"deleted": home.queues.delete(text(payload, "queue", "name"))}


def queue_publish(home: Home, payload: Payload) -> Any:
    name = text(payload, "queue")
    content = inputs.payload_bytes(payload)
    return {"message_id": home.queues.publish(name, content, whole(payload, "priority"), whole(payload, "max_retries"))}


def queue_consume(home: Home, payload: Payload) -> Any:
    message = home.queues.consume(text(payload, "queue"), text(payload, "consumer_id"))
    return {"message": None if message is None else {"id": message.id, **delivered(message)}}


def delivered(message: Message) -> dict[str, Any]:
    """Return a message as HTTP shows it, without its id, which has a different name at each route."""
    return {
        "payload": list(message.payload),
        "priority": message.priority,
        "retry_count": message.retries,
        "max_retries": message.max_retries,
        "headers": {},
    }


def queue_ack(home: Home, payload: Payload) -> Any:
    home.queues.ack(text(payload, "queue"), text(payload, "message_id"))
    return {"success": True}


def queue_nack(home: Home, payload: Payload) -> Any:
    requeue = payload.get("requeue")
    home.queues.nack(text(payload, "queue"), text(payload, "message_id"), requeue is not False)
    return {"success": True}


def queue_list(home: Home, payload: Payload) -> Any:
    return {"queues": home.queues.names()}


def queue_stats(home: Home, payload: Payload) -> Any:
    return home.queues.get(text(payload, "queue")).stats()


def queue_purge(home: Home, payload: Payload) -> Any:
    return {"purged": home.queues.purge(text(payload, "queue"))}


def stream_create(home: Home, payload: Payload) -> Any:
    room = text(payload, "room")
    home.rooms.create(room)
    return {"success": True, "room": room}


def stream_get_or_create(home: Home, payload: Payload) -> Any:
    room = text(payload, "room")
    return {"success": True, "room": room, "created": home.rooms.get_or_create(room)}


def stream_publish(home: Home, payload: Payload) -> Any:
    room, event = text(payload, "room"), text(payload, "event")
    if "data" not in payload:
        raise Refusal("Invalid request: Missing 'data' field")
    return {"offset": home.rooms.publish(room, event, inputs.as_json(payload["data"])), "room": room}


def stream_consume(home: Home, payload: Payload) -> Any:
    start, limit = whole(payload, "from_offset", 0) or 0, whole(payload, "limit", 100)
    return Raw(home.rooms.read_json(text(payload, "room"), text(payload, "subscriber_id"), start, limit or 0))


def stream_stats(home: Home, payload: Payload) -> Any:
    return home.rooms.get(text(payload, "room")).stats()


def stream_list(home: Home, payload: Payload) -> Any:
    names = home.rooms.names()
    return {"rooms": names, "count": len(names)}


def stream_delete(home: Home, payload: Payload) -> Any:
    room = text(payload, "room")
    home.rooms.delete(room)
    return {"success": True, "deleted": room}


def pubsub_publish(home: Home, payload: Payload) -> Any:
    topic = text(payload, "topic")
    if "payload" not in payload and "data" not in payload:
        raise Refusal("Invalid request: Missing 'payload' field")
    content = payload.get("payload", payload.get("data"))
    metadata = payload.get("metadata")
    identity, matched = home.topics.publish(
        topic, content, inputs.as_json(content).decode(), metadata if isinstance(metadata, dict) else None
    )
    return {"message_id": identity, "topic": topic, "subscribers_matched": matched}


def pubsub_subscribe(home: Home, payload: Payload) -> Any:
    """Register one to whom nothing can be delivered; over HTTP there is no way."""
    topics = texts(payload, "topics")
    made = home.topics.subscribe(topics)
    return {"subscriber_id": made.id, "topics": topics, "subscription_count": len(made.patterns)}


def pubsub_unsubscribe(home: Home, payload: Payload) -> Any:
    listed = payload.get("topics")
    topics = texts(payload, "topics") if isinstance(listed, list) else None
    return {"unsubscribed": home.topics.unsubscribe(text(payload, "subscriber_id"), topics)}


def pubsub_topics(home: Home, payload: Payload) -> Any:
    names = home.topics.names()
    return {"topics": names, "count": len(names)}


def pubsub_stats(home: Home, payload: Payload) -> Any:
    return home.topics.stats()


def pubsub_info(home: Home, payload: Payload) -> Any:
    return home.topics.info(text(payload, "topic"))


COMMANDS: dict[str, Command] = {
    "kv.set": kv_set,
    "kv.get": kv_get,
    "kv.del": kv_del,
    "kv.exists": kv_exists,
    "kv.incr": kv_incr,
    "kv.decr": kv_decr,
    "kv.mset": kv_mset,
    "kv.mget": kv_mget,
    "kv.mdel": kv_mdel,
    "kv.msetnx": kv_msetnx,
    "kv.scan": kv_scan,
    "kv.keys": kv_keys,
    "kv.dbsize": lambda home, _: {"size": len(home.pairs)},
    "kv.expire": kv_expire,
    "kv.ttl": kv_ttl,
    "kv.persist": kv_persist,
    "kv.stats": lambda home, _: reports.kv(home),
    "kv.append": kv_append,
    "kv.getrange": kv_getrange,
    "kv.setrange": kv_setrange,
    "kv.strlen": kv_strlen,
    "kv.getset": kv_getset,
    "kv.flushdb": flush,
    "kv.flushall": flush,
    "key.type": key_type,
    "key.exists": key_exists,
    "key.rename": key_rename,
    "key.renamenx": key_renamenx,
    "key.copy": key_copy,
    "key.randomkey": lambda home, _: {"key": home.pairs.any_key()},
    "queue.create": queue_create,
    "queue.delete": queue_delete,
    "queue.publish": queue_publish,
    "queue.consume": queue_consume,
    "queue.ack": queue_ack,
    "queue.nack": queue_nack,
    "queue.list": queue_list,
    "queue.stats": queue_stats,
    "queue.purge": queue_purge,
    "stream.create": stream_create,
    "stream.get_or_create": stream_get_or_create,
    "stream.publish": stream_publish,
    "stream.consume": stream_consume,
    "stream.stats": stream_stats,
    "stream.list": stream_list,
    "stream.delete": stream_delete,
    "pubsub.publish": pubsub_publish,
    "pubsub.subscribe": pubsub_subscribe,
    "pubsub.unsubscribe": pubsub_unsubscribe,
    "pubsub.topics": pubsub_topics,
    "pubsub.stats": pubsub_stats,
    "pubsub.info": pubsub_info,
    "info": lambda home, payload: reports.info(home, payload.get("section")),
    "slowlog.get": lambda home, _: {"entries": [], "total": 0},
    "slowlog.reset": lambda home, _: {"success": True},
    "memory.usage": lambda home, payload: reports.memory(home, text(payload, "key")),
    "client.list": lambda home, _: reports.clients(home),
}
