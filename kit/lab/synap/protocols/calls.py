"""The commands of SynapRPC: each takes a list of values and returns a value, or a refusal.

Arguments are read as the service does: where the service ignores a number sent as text, so does the lab.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ....synap.wire.frames import NULL, packed
from .. import reports
from ..home import WATCH, Home
from ..refusal import Refusal

Args = list[Any]
Call = Callable[[Home, Args], "Any"]


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
    return (value if isinstance(value, str) else json.dumps(value)).encode()


def number(args: Args, n: int) -> int | None:
    """Return an optional argument that counts only as an Int from 0 up."""
    value = args[n] if n < len(args) else None
    return value if type(value) is int and value >= 0 else None


def loose(args: Args, n: int) -> int:
    """Return a number, also where it was sent as text."""
    if n >= len(args):
        raise Refusal(f"ERR missing argument {n}")
    try:
        return int(args[n])
    except (TypeError, ValueError):
        raise Refusal("ERR value is not an integer or out of range") from None


def keys(args: Args) -> list[str]:
    """Return the text arguments; others are skipped, as in the service."""
    return [arg for arg in args if isinstance(arg, str)]


def get(home: Home, args: Args) -> Any:
    return home.pairs.get(text(args, 0))


def set_(home: Home, args: Args) -> Any:
    home.pairs.set(text(args, 0), content(args, 1), number(args, 2))
    return OK


def mset(home: Home, args: Args) -> Any:
    if len(args) % 2:
        raise Refusal("ERR wrong number of arguments for MSET")
    # All are checked before the first is stored.
    for key, value in _pairs(args):
        home.pairs.set(key, value)
    return OK


def msetnx(home: Home, args: Args) -> Any:
    if len(args) % 2:
        raise Refusal("ERR wrong number of arguments for 'MSETNX'")
    return home.pairs.set_new(_pairs(args))


def _pairs(args: Args) -> list[tuple[str, bytes]]:
    return [(text(args, n), content(args, n + 1)) for n in range(0, len(args), 2)]


def setrange(home: Home, args: Args) -> Any:
    offset = loose(args, 1)
    if offset < 0:
        raise Refusal("ERR offset is out of range")
    return home.pairs.overwrite(text(args, 0), offset, content(args, 2))


def copy(home: Home, args: Args) -> Any:
    replace = len(args) > 2 and str(args[2]).upper() == "REPLACE"
    return home.pairs.copy(text(args, 0), text(args, 1), replace=replace)


def rename(home: Home, args: Args) -> Any:
    home.pairs.rename(text(args, 0), text(args, 1))
    return OK


def mget(home: Home, args: Args) -> Any:
    from ....synap.wire.frames import array_head

    names = keys(args)
    values = [home.pairs.get(key) for key in names]
    return Pieces(
        (array_head(len(values)), b"".join([NULL if value is None else _packed_bytes(value) for value in values]))
    )


def _packed_bytes(value: bytes) -> bytes:
    size = len(value)
    if size < 256:
        return b"\x81\xa5Bytes\xc4%c%b" % (size, value)
    return packed(value)


def delete(home: Home, args: Args) -> Any:
    return sum(home.pairs.delete(key) for key in keys(args))


def expire(home: Home, args: Args) -> Any:
    return home.pairs.expire(text(args, 0), max(0, loose(args, 1)))


def ttl(home: Home, args: Args) -> Any:
    key = text(args, 0)
    if home.pairs.peek(key) is None:
        raise Refusal("ERR key does not exist")
    left = home.pairs.ttl(key)
    return -1 if left is None else left


def scan(home: Home, args: Args) -> Any:
    prefix = args[0] if args and isinstance(args[0], str) else ""
    limit = number(args, 1)
    return home.pairs.scan(prefix, 100 if limit is None else limit)


def kvstats(home: Home, args: Args) -> Any:
    figures = reports.kv(home)
    return {
        "total_keys": figures["total_keys"],
        "total_memory_bytes": figures["total_memory_bytes"],
        **figures["operations"],
    }


def qcreate(home: Home, args: Args) -> Any:
    home.queues.create(text(args, 0))
    return OK


def qpublish(home: Home, args: Args) -> Any:
    return home.queues.publish(text(args, 0), content(args, 1), number(args, 2), number(args, 3))


def qconsume(home: Home, args: Args) -> Any:
    message = home.queues.consume(text(args, 0), text(args, 1))
    if message is None:
        return None
    return {"id": message.id, "payload": message.payload, "priority": message.priority, "retry_count": message.retries}


def qack(home: Home, args: Args) -> Any:
    home.queues.ack(text(args, 0), text(args, 1))
    return OK


def qnack(home: Home, args: Args) -> Any:
    requeue = args[2] if len(args) > 2 and isinstance(args[2], bool | int) else True
    home.queues.nack(text(args, 0), text(args, 1), bool(requeue))
    return OK


def spublish(home: Home, args: Args) -> Any:
    return home.rooms.publish(text(args, 0), text(args, 1), content(args, 2))


def sread(home: Home, args: Args) -> Any:
    limit = number(args, 3)
    start = max(0, loose(args, 2))
    return Pieces(home.rooms.read_encoded(text(args, 0), text(args, 1), start, 100 if limit is None else limit))


def screate(home: Home, args: Args) -> Any:
    home.rooms.create(text(args, 0))
    return OK


def sdelete(home: Home, args: Args) -> Any:
    home.rooms.delete(text(args, 0))
    return OK


def sstats(home: Home, args: Args) -> Any:
    figures = home.rooms.get(text(args, 0)).stats()
    return {name: value for name, value in figures.items() if name not in ("total_consumed", "dropped")}


def publish(home: Home, args: Args) -> Any:
    payload_value = content(args, 1)
    try:
        payload = json.loads(payload_value)
        message = payload_value.decode()
    except (ValueError, RecursionError):
        payload = payload_value.decode("utf-8", "replace")
        message = json.dumps(payload)
    identity, matched = home.topics.publish(text(args, 0), payload, message)
    return {"message_id": identity, "subscribers_matched": matched}


def unsubscribe(home: Home, args: Args) -> Any:
    return home.topics.unsubscribe(text(args, 0), keys(args[1:]) or None)


def psstats(home: Home, args: Args) -> Any:
    figures = home.topics.stats()
    figures.pop("slow_consumers_dropped")
    return figures


def flush(home: Home, args: Args) -> Any:
    raise Refusal("ERR flush commands are disabled (allow_flush_commands)")


CALLS: dict[str, Call] = {
    "GET": get,
    "SET": set_,
    "MSET": mset,
    "MGET": mget,
    "DEL": delete,
    "EXISTS": lambda home, args: home.pairs.peek(text(args, 0)) is not None,
    "EXPIRE": expire,
    "PERSIST": lambda home, args: home.pairs.persist(text(args, 0)),
    "TTL": ttl,
    "INCR": lambda home, args: home.pairs.add(text(args, 0), 1),
    "DECR": lambda home, args: home.pairs.add(text(args, 0), -1),
    "INCRBY": lambda home, args: home.pairs.add(text(args, 0), loose(args, 1)),
    "DECRBY": lambda home, args: home.pairs.add(text(args, 0), -loose(args, 1)),
    "APPEND": lambda home, args: home.pairs.append(text(args, 0), content(args, 1)),
    "GETRANGE": lambda home, args: home.pairs.part(text(args, 0), loose(args, 1), loose(args, 2)),
    "SETRANGE": setrange,
    "STRLEN": lambda home, args: len(home.pairs.get(text(args, 0)) or b""),
    "GETSET": lambda home, args: home.pairs.swap(text(args, 0), content(args, 1)),
    "SETNX": lambda home, args: home.pairs.set_new([(text(args, 0), content(args, 1))]),
    "MSETNX": msetnx,
    "TYPE": lambda home, args: "none" if home.pairs.peek(text(args, 0)) is None else "string",
    "RENAME": rename,
    "RENAMENX": lambda home, args: home.pairs.rename(text(args, 0), text(args, 1), replace=False),
    "COPY": copy,
    "RANDOMKEY": lambda home, args: home.pairs.any_key(),
    "KEYS": lambda home, args: home.pairs.keys(),
    "SCAN": scan,
    "DBSIZE": lambda home, args: len(home.pairs),
    "KVSTATS": kvstats,
    "FLUSHDB": flush,
    "FLUSHALL": flush,
    "QCREATE": qcreate,
    "QPUBLISH": qpublish,
    "QCONSUME": qconsume,
    "QACK": qack,
    "QNACK": qnack,
    "QLIST": lambda home, args: home.queues.names(),
    "QDELETE": lambda home, args: home.queues.delete(text(args, 0)),
    "QPURGE": lambda home, args: home.queues.purge(text(args, 0)),
    "QSTATS": lambda home, args: home.queues.get(text(args, 0)).stats(),
    "SCREATE": screate,
    "SGETORCREATE": lambda home, args: "CREATED" if home.rooms.get_or_create(text(args, 0)) else "EXISTS",
    "SPUBLISH": spublish,
    "SREAD": sread,
    "SDELETE": sdelete,
    "SLIST": lambda home, args: home.rooms.names(),
    "SSTATS": sstats,
    "PUBLISH": publish,
    "UNSUBSCRIBE": unsubscribe,
    "KV.UNWATCH": unsubscribe,
    "TOPICS": lambda home, args: home.topics.names(),
    "PSSTATS": psstats,
}

__all__ = ["CALLS", "OK", "WATCH", "Packed", "Pieces", "keys", "text"]
