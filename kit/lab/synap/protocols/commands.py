"""The commands of `POST /api/v1/command`. A refusal has status 200, as in the service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import reports
from ..data.queues import Message
from ..refusal import Refusal
from ..server_state import ServerState
from . import inputs
from .inputs import Payload, text, texts, whole


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is already JSON text."""

    json: str


Command = Callable[[ServerState, Payload], Any]


def run(state: ServerState, name: str, payload: Any) -> Any:
    """Return the answer's payload."""
    command = COMMANDS.get(name)
    if command is None:
        raise Refusal(f"Unknown command: {name}")
    return command(state, payload if isinstance(payload, dict) else {})


def kv_set(state: ServerState, payload: Payload) -> Any:
    key = text(payload, "key")
    if "value" not in payload:
        raise Refusal("Invalid request: Missing 'value' field")
    state.kv_store.set(key, inputs.stored(payload["value"]), whole(payload, "ttl"))
    return {"success": True}


def kv_get(state: ServerState, payload: Payload) -> Any:
    return inputs.shown(state.kv_store.get(text(payload, "key")), payload.get("type"))


def kv_mset(state: ServerState, payload: Payload) -> Any:
    """Store values as JSON, as in the service: a text is stored with its quotes."""
    for key, value in [(key, inputs.as_json(value)) for key, value in _pairs(payload)]:
        state.kv_store.set(key, value)
    return {"success": True}


def kv_msetnx(state: ServerState, payload: Payload) -> Any:
    return {"success": state.kv_store.set_new([(key, inputs.as_json(value)) for key, value in _pairs(payload)])}


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


def kv_mget(state: ServerState, payload: Payload) -> Any:
    """Return values as JSON, and null for plain text, as in the service."""
    values: list[Any] = []
    for key in texts(payload, "keys"):
        value = state.kv_store.get(key)
        try:
            values.append(None if value is None else inputs.as_stored(value))
        except (ValueError, RecursionError):
            values.append(None)
    return {"values": values}


def kv_del(state: ServerState, payload: Payload) -> Any:
    return {"deleted": state.kv_store.delete(text(payload, "key"))}


def kv_mdel(state: ServerState, payload: Payload) -> Any:
    return {"deleted": sum(state.kv_store.delete(key) for key in texts(payload, "keys"))}


def kv_exists(state: ServerState, payload: Payload) -> Any:
    return {"exists": state.kv_store.peek(text(payload, "key")) is not None}


def _amount(payload: Payload) -> int:
    amount = payload.get("amount")
    return amount if type(amount) is int else 1


def kv_incr(state: ServerState, payload: Payload) -> Any:
    return {"value": state.kv_store.add(text(payload, "key"), _amount(payload))}


def kv_decr(state: ServerState, payload: Payload) -> Any:
    return {"value": state.kv_store.add(text(payload, "key"), -_amount(payload))}


def kv_expire(state: ServerState, payload: Payload) -> Any:
    seconds = whole(payload, "ttl")
    if seconds is None:
        raise Refusal("Invalid request: Missing 'ttl' field")
    return {"result": state.kv_store.expire(text(payload, "key"), seconds)}


def kv_ttl(state: ServerState, payload: Payload) -> Any:
    return {"ttl": state.kv_store.ttl(text(payload, "key"))}


def kv_persist(state: ServerState, payload: Payload) -> Any:
    return {"result": state.kv_store.persist(text(payload, "key"))}


def kv_scan(state: ServerState, payload: Payload) -> Any:
    prefix = payload.get("prefix")
    keys = state.kv_store.scan(prefix if isinstance(prefix, str) else "", whole(payload, "limit", 100) or 0)
    return {"keys": keys, "count": len(keys)}


def kv_keys(state: ServerState, payload: Payload) -> Any:
    keys = state.kv_store.keys()
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


def kv_append(state: ServerState, payload: Payload) -> Any:
    return {"length": state.kv_store.append(text(payload, "key"), _json(payload))}


def kv_getrange(state: ServerState, payload: Payload) -> Any:
    part = state.kv_store.part(text(payload, "key"), _integer(payload, "start"), _integer(payload, "end"))
    return inputs.shown(part or None)


def kv_setrange(state: ServerState, payload: Payload) -> Any:
    key, offset = text(payload, "key"), whole(payload, "offset")
    if offset is None:
        raise Refusal("Invalid request: Missing 'offset' field")
    return {"length": state.kv_store.overwrite(key, offset, _json(payload))}


def kv_strlen(state: ServerState, payload: Payload) -> Any:
    return {"length": len(state.kv_store.get(text(payload, "key")) or b"")}


def kv_getset(state: ServerState, payload: Payload) -> Any:
    return inputs.shown(state.kv_store.swap(text(payload, "key"), _json(payload)))


def flush(state: ServerState, payload: Payload) -> Any:
    raise Refusal("Forbidden: flush commands are disabled (allow_flush_commands)")


def key_type(state: ServerState, payload: Payload) -> Any:
    key = text(payload, "key")
    return {"key": key, "type": "none" if state.kv_store.peek(key) is None else "string"}


def key_exists(state: ServerState, payload: Payload) -> Any:
    key = text(payload, "key")
    return {"key": key, "exists": state.kv_store.peek(key) is not None}


def key_rename(state: ServerState, payload: Payload) -> Any:
    return _moved(payload, state.kv_store.rename, "")


def key_renamenx(state: ServerState, payload: Payload) -> Any:
    return _moved(payload, partial(state.kv_store.rename, replace=False), "Destination key already exists")


def key_copy(state: ServerState, payload: Payload) -> Any:
    replace = payload.get("replace") is True
    taken = "Destination key already exists and replace=false"
    return _moved(payload, partial(state.kv_store.copy, replace=replace), taken)


def _moved(payload: Payload, move: Callable[[str, str], bool], taken: str) -> Any:
    source, target = text(payload, "source"), text(payload, "destination")
    if not move(source, target):
        raise Refusal(f"Invalid request: {taken}")
    return {"success": True, "source": source, "destination": target}


def queue_create(state: ServerState, payload: Payload) -> Any:
    state.queues.create(text(payload, "name"), inputs.queue_config(payload.get("config")))
    return {"success": True}


def queue_delete(state: ServerState, payload: Payload) -> Any:
    return {"deleted": state.queues.delete(text(payload, "queue", "name"))}


def queue_publish(state: ServerState, payload: Payload) -> Any:
    name = text(payload, "queue")
    content = inputs.payload_bytes(payload)
    return {
        "message_id": state.queues.publish(name, content, whole(payload, "priority"), whole(payload, "max_retries"))
    }


def queue_consume(state: ServerState, payload: Payload) -> Any:
    message = state.queues.consume(text(payload, "queue"), text(payload, "consumer_id"))
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


def queue_ack(state: ServerState, payload: Payload) -> Any:
    state.queues.ack(text(payload, "queue"), text(payload, "message_id"))
    return {"success": True}


def queue_nack(state: ServerState, payload: Payload) -> Any:
    requeue = payload.get("requeue")
    state.queues.nack(text(payload, "queue"), text(payload, "message_id"), requeue is not False)
    return {"success": True}


def queue_list(state: ServerState, payload: Payload) -> Any:
    return {"queues": state.queues.names()}


def queue_stats(state: ServerState, payload: Payload) -> Any:
    return state.queues.get(text(payload, "queue")).stats()


def queue_purge(state: ServerState, payload: Payload) -> Any:
    return {"purged": state.queues.purge(text(payload, "queue"))}


def stream_create(state: ServerState, payload: Payload) -> Any:
    room = text(payload, "room")
    state.rooms.create(room)
    return {"success": True, "room": room}


def stream_get_or_create(state: ServerState, payload: Payload) -> Any:
    room = text(payload, "room")
    return {"success": True, "room": room, "created": state.rooms.get_or_create(room)}


def stream_publish(state: ServerState, payload: Payload) -> Any:
    room, event = text(payload, "room"), text(payload, "event")
    if "data" not in payload:
        raise Refusal("Invalid request: Missing 'data' field")
    return {"offset": state.rooms.publish(room, event, inputs.as_json(payload["data"])), "room": room}


def stream_consume(state: ServerState, payload: Payload) -> Any:
    start, limit = whole(payload, "from_offset", 0) or 0, whole(payload, "limit", 100)
    return Raw(state.rooms.read_json(text(payload, "room"), text(payload, "subscriber_id"), start, limit or 0))


def stream_stats(state: ServerState, payload: Payload) -> Any:
    return state.rooms.get(text(payload, "room")).stats()


def stream_list(state: ServerState, payload: Payload) -> Any:
    names = state.rooms.names()
    return {"rooms": names, "count": len(names)}


def stream_delete(state: ServerState, payload: Payload) -> Any:
    room = text(payload, "room")
    state.rooms.delete(room)
    return {"success": True, "deleted": room}


def pubsub_publish(state: ServerState, payload: Payload) -> Any:
    topic = text(payload, "topic")
    if "payload" not in payload and "data" not in payload:
        raise Refusal("Invalid request: Missing 'payload' field")
    content = payload.get("payload", payload.get("data"))
    metadata = payload.get("metadata")
    identity, matched = state.topics.publish(
        topic, content, inputs.as_json(content).decode(), metadata if isinstance(metadata, dict) else None
    )
    return {"message_id": identity, "topic": topic, "subscribers_matched": matched}


def pubsub_subscribe(state: ServerState, payload: Payload) -> Any:
    """Register one to whom nothing can be delivered; over HTTP there is no way."""
    topics = texts(payload, "topics")
    made = state.topics.subscribe(topics)
    return {"subscriber_id": made.id, "topics": topics, "subscription_count": len(made.patterns)}


def pubsub_unsubscribe(state: ServerState, payload: Payload) -> Any:
    listed = payload.get("topics")
    topics = texts(payload, "topics") if isinstance(listed, list) else None
    return {"unsubscribed": state.topics.unsubscribe(text(payload, "subscriber_id"), topics)}


def pubsub_topics(state: ServerState, payload: Payload) -> Any:
    names = state.topics.names()
    return {"topics": names, "count": len(names)}


def pubsub_stats(state: ServerState, payload: Payload) -> Any:
    return state.topics.stats()


def pubsub_info(state: ServerState, payload: Payload) -> Any:
    return state.topics.info(text(payload, "topic"))


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
    "kv.dbsize": lambda state, _: {"size": len(state.kv_store)},
    "kv.expire": kv_expire,
    "kv.ttl": kv_ttl,
    "kv.persist": kv_persist,
    "kv.stats": lambda state, _: reports.kv(state),
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
    "key.randomkey": lambda state, _: {"key": state.kv_store.any_key()},
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
    "info": lambda state, payload: reports.info(state, payload.get("section")),
    "slowlog.get": lambda state, _: {"entries": [], "total": 0},
    "slowlog.reset": lambda state, _: {"success": True},
    "memory.usage": lambda state, payload: reports.memory(state, text(payload, "key")),
    "client.list": lambda state, _: reports.clients(state),
}
