"""The REST routes: the same commands as paths, with their own shapes and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from .. import reports
from ..data.queues import MAX_RETRIES
from ..refusal import Refusal
from ..server_state import ServerState
from . import commands, inputs
from .commands import Raw
from .inputs import Payload

Route = Callable[[ServerState, list[str], Payload, dict[str, list[str]]], Any]


class NoSuchRoute(Exception):
    """No such route: 404, or 405 if another method exists."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def run(state: ServerState, method: str, path: str, query: bytes, body: Any) -> Any:
    """Return the answer of a route."""
    parts = inputs.parts_of(path)
    other = False
    for wanted_method, pattern, route in _ROUTES:
        if len(pattern) != len(parts):
            continue
        if any(want != got for want, got in zip(pattern, parts, strict=True) if want != "*"):
            continue
        if wanted_method != method:
            other = True
            continue
        names = [got for want, got in zip(pattern, parts, strict=True) if want == "*"]
        if names and pattern[0] in ("queue", "stream") and names[0] == "list" and len(parts) == 2:
            raise NoSuchRoute(405)
        fields = body if isinstance(body, dict) else {}
        return route(state, names, fields, parse_qs(query.decode("latin-1"), keep_blank_values=True))
    raise NoSuchRoute(405 if other else 404)


def needs_body(method: str, path: str) -> bool:
    """Return whether a route takes a JSON body and refuses to do without."""
    return (
        method == "POST"
        and not path.endswith(("/purge", "/snapshot"))
        and not (path.startswith("/stream/") and path.count("/") == 2)
    )


def _unprocessable(text: str) -> Refusal:
    return Refusal(f"Failed to deserialize the JSON body into the target type: {text}", 422)


def kv_set(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    if "value" not in body or not isinstance(body.get("key"), str):
        raise _unprocessable("missing field `key` or `value`")
    key = inputs.checked(body["key"])
    ttl, expiry = body.get("ttl"), body.get("expiry")
    if ttl is not None and (type(ttl) is not int or ttl < 0):
        raise _unprocessable("ttl: expected u64")
    before = state.kv_store.peek(key)
    answer: dict[str, Any] = {"success": True, "key": key, "written": True}
    if body.get("get") is True:
        answer["old_value"] = inputs.shown(before)
    if (body.get("nx") is True and before is not None) or (body.get("xx") is True and before is None):
        return {**answer, "written": False}
    value = inputs.stored(body["value"])
    end = _end(expiry)
    if end is not None:
        state.kv_store.set_until(key, value, end)
    else:
        state.kv_store.set(key, value, ttl, keep_end=body.get("keepttl") is True and ttl is None)
    return answer


def _end(expiry: Any) -> int | None:
    """Return the time in milliseconds that an `expiry` means."""
    from ..data.kv_store import now_ms

    if expiry is None:
        return None
    fields = expiry if isinstance(expiry, dict) else {}
    kind, value = fields.get("type"), inputs.whole(fields, "value")
    units = {"seconds": 1000, "milliseconds": 1, "unix_seconds": 1000, "unix_milliseconds": 1}
    if value is None or not isinstance(kind, str) or kind not in units:
        raise _unprocessable(f"expiry: expected a value from 0 up and a type, one of {', '.join(units)}")
    return min(value * units[kind] + (0 if kind.startswith("unix") else now_ms()), 2**62)


def kv_get(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    value = state.kv_store.get(names[0])
    if value is None:
        return {"error": "Key not found"}
    return inputs.shown(value, query.get("type", [""])[0])


def queue_create(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    state.queues.create(names[0], inputs.queue_config(body))
    return {"success": True, "queue": names[0]}


def queue_publish(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    payload = body.get("payload")
    if not isinstance(payload, list) or not all(type(item) is int and 0 <= item < 256 for item in payload):
        raise _unprocessable("payload: expected a sequence of u8")
    priority = body.get("priority")
    if priority is not None and not (type(priority) is int and 0 <= priority < 256):
        raise _unprocessable("priority: expected u8")
    retries = body.get("max_retries")
    if retries is not None and not (type(retries) is int and 0 <= retries <= MAX_RETRIES):
        raise _unprocessable("max_retries: expected u32")
    identity = state.queues.publish(names[0], bytes(payload), priority, retries)
    return {"message_id": identity}


def queue_consume(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    message = state.queues.consume(names[0], names[1])
    if message is None:
        return dict.fromkeys(("message_id", "payload", "priority", "retry_count", "max_retries", "headers"))
    return {"message_id": message.id, **commands.delivered(message)}


def queue_ack(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    if not isinstance(body.get("message_id"), str):
        raise _unprocessable("missing field `message_id`")
    state.queues.ack(names[0], body["message_id"])
    return {"success": True}


def queue_nack(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    if not isinstance(body.get("message_id"), str) or not isinstance(body.get("requeue"), bool):
        raise _unprocessable("missing field `message_id` or `requeue`")
    state.queues.nack(names[0], body["message_id"], body["requeue"])
    return {"success": True}


def stream_publish(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    if not isinstance(body.get("event"), str) or "data" not in body:
        raise _unprocessable("missing field `event` or `data`")
    return commands.stream_publish(state, {**body, "room": names[0]})


def stream_consume(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    def number(name: str, default: int) -> int:
        text = query.get(name, [""])[0]
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else default

    return Raw(state.rooms.read_json(names[0], names[1], number("from_offset", 0), number("limit", 100)))


def pubsub_publish(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    if "payload" not in body and "data" not in body:
        raise _unprocessable("missing field `payload`")
    return commands.pubsub_publish(state, {**body, "topic": names[0]})


def _command(name: str, key: str | None = None, **beside: Any) -> Route:
    """Return a route that is a command, its name in the path."""

    def route(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
        payload = {**body, **({key: names[0]} if key else {})}
        answer = commands.run(state, name, payload)
        return {**answer, **beside} if beside else answer

    return route


def _named(name: str, key: str, shown: str) -> Route:
    """Return a route that is a command and tells the name again."""

    def route(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
        answer = commands.run(state, name, {**body, key: names[0]})
        return {**answer, shown: names[0]}

    return route


def stream_delete(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    state.rooms.delete(names[0])
    return {"success": True, "room": names[0]}


def info(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    return reports.info(state, query.get("section", [""])[0])


def memory(state: ServerState, names: list[str], body: Payload, query: dict[str, list[str]]) -> Any:
    try:
        return reports.memory(state, names[0])
    except Refusal:
        return {"key": names[0], "bytes": 0, "human": "0B"}


_ROUTES: list[tuple[str, tuple[str, ...], Route]] = [
    (method, tuple(path.split("/")), route)
    for method, path, route in (
        ("POST", "kv/set", kv_set),
        ("GET", "kv/get/*", kv_get),
        ("DELETE", "kv/del/*", _named("kv.del", "key", "key")),
        ("POST", "kv/msetnx", _command("kv.msetnx")),
        ("GET", "kv/stats", _command("kv.stats")),
        ("GET", "key/*/exists", _named("key.exists", "key", "key")),
        ("GET", "queue/list", _command("queue.list")),
        ("POST", "queue/*", queue_create),
        ("DELETE", "queue/*", _command("queue.delete", "queue", success=True)),
        ("POST", "queue/*/publish", queue_publish),
        ("GET", "queue/*/consume/*", queue_consume),
        ("POST", "queue/*/ack", queue_ack),
        ("POST", "queue/*/nack", queue_nack),
        ("GET", "queue/*/stats", _command("queue.stats", "queue")),
        ("POST", "queue/*/purge", _command("queue.purge", "queue", success=True)),
        ("GET", "stream/list", _command("stream.list")),
        ("POST", "stream/*", _command("stream.create", "room")),
        ("PUT", "stream/*", _command("stream.get_or_create", "room")),
        ("DELETE", "stream/*", stream_delete),
        ("POST", "stream/*/publish", stream_publish),
        ("GET", "stream/*/consume/*", stream_consume),
        ("GET", "stream/*/stats", _command("stream.stats", "room")),
        ("POST", "pubsub/subscribe", _command("pubsub.subscribe")),
        ("POST", "pubsub/unsubscribe", _command("pubsub.unsubscribe")),
        ("GET", "pubsub/topics", _command("pubsub.topics")),
        ("GET", "pubsub/stats", _command("pubsub.stats")),
        ("POST", "pubsub/*/publish", pubsub_publish),
        ("GET", "pubsub/*/info", _command("pubsub.info", "topic")),
        ("GET", "info", info),
        ("GET", "slowlog", _command("slowlog.get")),
        ("GET", "memory/*/usage", memory),
        ("GET", "clients", _command("client.list")),
    )
]
