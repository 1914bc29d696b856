"""The commands of SynapRPC: each takes a list of values and returns a value, or a refusal.

Arguments are read as the service does: where the service ignores a number sent as text, so does the lab.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ....synap.wire.frames import NULL, packed
from .. import reports
from ..data.kv_store import whole_number
from ..refusal import Refusal
from ..server_state import WATCH, ServerState
from . import inputs

Args = list[Any]
Call = Callable[[ServerState, Args], "Any"]


class Packed(bytes):
    """An already encoded value."""


class Pieces(tuple[bytes, ...]):
    """An encoded value in pieces."""


OK = "OK"


def text(args: Args, n: int) -> str:
    """Return an argument that must be a text."""
    if n >= len(args):
        raise Refusal(f"ERR missing argument {n}")
    value = args[n]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    if not isinstance(value, str):
        raise Refusal(f"ERR argument {n} must be a string")
    return value


def content(args: Args, n: int) -> bytes:
    """Return an argument as bytes."""
    if n >= len(args):
        raise Refusal(f"ERR missing argument {n}")
    value = args[n]
    if isinstance(value, bytes):
        return value
    if isinstance(value, list | dict):
        raise Refusal(f"ERR argument {n} must be a string or bytes")
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def number(args: Args, n: int) -> int | None:
    """Return an optional argument that counts only as an Int from 0 up."""
    value = args[n] if n < len(args) else None
    return value if type(value) is int and value >= 0 else None


def loose(args: Args, n: int) -> int:
    """Return a whole number, also where it was sent as text."""
    if n >= len(args):
        raise Refusal(f"ERR missing argument {n}")
    value = args[n]
    if type(value) is int:
        return value
    try:
        return whole_number(value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b"")
    except ValueError:
        raise Refusal("ERR value is not an integer or out of range") from None


def keys(args: Args) -> list[str]:
    """Return the text arguments; others are skipped, as in the service."""
    return [arg for arg in args if isinstance(arg, str)]


def get(state: ServerState, args: Args) -> Any:
    return state.kv_store.get(text(args, 0))


def set_(state: ServerState, args: Args) -> Any:
    state.kv_store.set(text(args, 0), content(args, 1), number(args, 2))
    return OK


def mset(state: ServerState, args: Args) -> Any:
    if len(args) % 2:
        raise Refusal("ERR wrong number of arguments for MSET")
    # All are checked before the first is stored.
    for key, value in _pairs(args):
        state.kv_store.set(key, value)
    return OK


def msetnx(state: ServerState, args: Args) -> Any:
    if len(args) % 2:
        raise Refusal("ERR wrong number of arguments for 'MSETNX'")
    return state.kv_store.set_new(_pairs(args))


def _pairs(args: Args) -> list[tuple[str, bytes]]:
    return [(text(args, n), content(args, n + 1)) for n in range(0, len(args), 2)]


def setrange(state: ServerState, args: Args) -> Any:
    offset = loose(args, 1)
    if offset < 0:
        raise Refusal("ERR offset is out of range")
    return state.kv_store.overwrite(text(args, 0), offset, content(args, 2))


def copy(state: ServerState, args: Args) -> Any:
    replace = len(args) > 2 and str(args[2]).upper() == "REPLACE"
    return state.kv_store.copy(text(args, 0), text(args, 1), replace=replace)


def rename(state: ServerState, args: Args) -> Any:
    state.kv_store.rename(text(args, 0), text(args, 1))
    return OK


def mget(state: ServerState, args: Args) -> Any:
    from ....synap.wire.frames import array_head

    names = keys(args)
    values = [state.kv_store.get(key) for key in names]
    return Pieces(
        (array_head(len(values)), b"".join([NULL if value is None else _packed_bytes(value) for value in values]))
    )


def _packed_bytes(value: bytes) -> bytes:
    size = len(value)
    if size < 256:
        return b"\x81\xa5Bytes\xc4%c%b" % (size, value)
    return packed(value)


def delete(state: ServerState, args: Args) -> Any:
    return sum(state.kv_store.delete(key) for key in keys(args))


def expire(state: ServerState, args: Args) -> Any:
    return state.kv_store.expire(text(args, 0), max(0, loose(args, 1)))


def ttl(state: ServerState, args: Args) -> Any:
    key = text(args, 0)
    if state.kv_store.peek(key) is None:
        raise Refusal("ERR key does not exist")
    left = state.kv_store.ttl(key)
    return -1 if left is None else left


def scan(state: ServerState, args: Args) -> Any:
    prefix = args[0] if args and isinstance(args[0], str) else ""
    limit = number(args, 1)
    return state.kv_store.scan(prefix, 100 if limit is None else limit)


def kvstats(state: ServerState, args: Args) -> Any:
    figures = reports.kv(state)
    return {
        "total_keys": figures["total_keys"],
        "total_memory_bytes": figures["total_memory_bytes"],
        **figures["operations"],
    }


def qcreate(state: ServerState, args: Args) -> Any:
    state.queues.create(text(args, 0))
    return OK


def qpublish(state: ServerState, args: Args) -> Any:
    return state.queues.publish(text(args, 0), content(args, 1), number(args, 2), number(args, 3))


def qconsume(state: ServerState, args: Args) -> Any:
    message = state.queues.consume(text(args, 0), text(args, 1))
    if message is None:
        return None
    return {"id": message.id, "payload": message.payload, "priority": message.priority, "retry_count": message.retries}


def qack(state: ServerState, args: Args) -> Any:
    state.queues.ack(text(args, 0), text(args, 1))
    return OK


def qnack(state: ServerState, args: Args) -> Any:
    requeue = args[2] if len(args) > 2 and isinstance(args[2], bool | int) else True
    state.queues.nack(text(args, 0), text(args, 1), bool(requeue))
    return OK


def spublish(state: ServerState, args: Args) -> Any:
    return state.rooms.publish(text(args, 0), text(args, 1), content(args, 2))


def sread(state: ServerState, args: Args) -> Any:
    limit = number(args, 3)
    start = max(0, loose(args, 2))
    return Pieces(state.rooms.read_encoded(text(args, 0), text(args, 1), start, 100 if limit is None else limit))


def screate(state: ServerState, args: Args) -> Any:
    state.rooms.create(text(args, 0))
    return OK


def sdelete(state: ServerState, args: Args) -> Any:
    state.rooms.delete(text(args, 0))
    return OK


def sstats(state: ServerState, args: Args) -> Any:
    figures = state.rooms.get(text(args, 0)).stats()
    return {name: value for name, value in figures.items() if name not in ("total_consumed", "dropped")}


def publish(state: ServerState, args: Args) -> Any:
    payload_value = content(args, 1)
    try:
        payload = inputs.as_stored(payload_value)
        message = payload_value.decode()
    except (ValueError, RecursionError):
        payload = payload_value.decode("utf-8", "replace")
        message = json.dumps(payload)
    identity, matched = state.topics.publish(text(args, 0), payload, message)
    return {"message_id": identity, "subscribers_matched": matched}


def unsubscribe(state: ServerState, args: Args) -> Any:
    return state.topics.unsubscribe(text(args, 0), keys(args[1:]) or None)


def psstats(state: ServerState, args: Args) -> Any:
    figures = state.topics.stats()
    figures.pop("slow_consumers_dropped")
    return figures


def flush(state: ServerState, args: Args) -> Any:
    raise Refusal("ERR flush commands are disabled (allow_flush_commands)")


CALLS: dict[str, Call] = {
    "GET": get,
    "SET": set_,
    "MSET": mset,
    "MGET": mget,
    "DEL": delete,
    "EXISTS": lambda state, args: state.kv_store.peek(text(args, 0)) is not None,
    "EXPIRE": expire,
    "PERSIST": lambda state, args: state.kv_store.persist(text(args, 0)),
    "TTL": ttl,
    "INCR": lambda state, args: state.kv_store.add(text(args, 0), 1),
    "DECR": lambda state, args: state.kv_store.add(text(args, 0), -1),
    "INCRBY": lambda state, args: state.kv_store.add(text(args, 0), loose(args, 1)),
    "DECRBY": lambda state, args: state.kv_store.add(text(args, 0), -loose(args, 1)),
    "APPEND": lambda state, args: state.kv_store.append(text(args, 0), content(args, 1)),
    "GETRANGE": lambda state, args: state.kv_store.part(text(args, 0), loose(args, 1), loose(args, 2)),
    "SETRANGE": setrange,
    "STRLEN": lambda state, args: len(state.kv_store.get(text(args, 0)) or b""),
    "GETSET": lambda state, args: state.kv_store.swap(text(args, 0), content(args, 1)),
    "SETNX": lambda state, args: state.kv_store.set_new([(text(args, 0), content(args, 1))]),
    "MSETNX": msetnx,
    "TYPE": lambda state, args: "none" if state.kv_store.peek(text(args, 0)) is None else "string",
    "RENAME": rename,
    "RENAMENX": lambda state, args: state.kv_store.rename(text(args, 0), text(args, 1), replace=False),
    "COPY": copy,
    "RANDOMKEY": lambda state, args: state.kv_store.any_key(),
    "KEYS": lambda state, args: state.kv_store.keys(),
    "SCAN": scan,
    "DBSIZE": lambda state, args: len(state.kv_store),
    "KVSTATS": kvstats,
    "FLUSHDB": flush,
    "FLUSHALL": flush,
    "QCREATE": qcreate,
    "QPUBLISH": qpublish,
    "QCONSUME": qconsume,
    "QACK": qack,
    "QNACK": qnack,
    "QLIST": lambda state, args: state.queues.names(),
    "QDELETE": lambda state, args: state.queues.delete(text(args, 0)),
    "QPURGE": lambda state, args: state.queues.purge(text(args, 0)),
    "QSTATS": lambda state, args: state.queues.get(text(args, 0)).stats(),
    "SCREATE": screate,
    "SGETORCREATE": lambda state, args: "CREATED" if state.rooms.get_or_create(text(args, 0)) else "EXISTS",
    "SPUBLISH": spublish,
    "SREAD": sread,
    "SDELETE": sdelete,
    "SLIST": lambda state, args: state.rooms.names(),
    "SSTATS": sstats,
    "PUBLISH": publish,
    "UNSUBSCRIBE": unsubscribe,
    "KV.UNWATCH": unsubscribe,
    "TOPICS": lambda state, args: state.topics.names(),
    "PSSTATS": psstats,
}

__all__ = ["CALLS", "OK", "WATCH", "Packed", "Pieces", "keys", "text"]
