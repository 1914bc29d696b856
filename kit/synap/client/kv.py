"""Keys and values: `client.kv`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ...core.faces import AsyncFace, SyncFace, verb
from .. import inputs
from ..errors import SynapError, SynapWireError, refusal
from ..types import Stats
from ..wire import fast_values
from ..wire import frames as wire
from .operations import Bulk, Calls, Do, Many, Operation, member, raised, stats_of, text_or_bytes
from .state import ClientState, Part

_TOGETHER = 5000
"""Keys in one call."""
_ALL = 2**31
_LOSSY = "<binary data: "

Value = str | bytes
"""A value: text, or bytes where they are not UTF-8."""


class KV(Part):
    """Values by key. Texts are stored as they are and come back as they are: `"42"` stays text."""

    @verb
    def set(self, key: str, value: Any, ttl: int | None = None) -> Operation[bool]:
        """Store a value; return True. Text and bytes are stored unchanged, everything else as JSON; `ttl` is in
        seconds.

        Without `ttl` the key never expires, even if it had an expiry before.
        """
        payload = _set(key, value, inputs.optional(ttl, "ttl"))
        yield payload
        return True

    @verb
    def get(self, key: str) -> Operation[str | bytes | None]:
        """Return the value as text, as bytes if it is not UTF-8, or None if there is none."""
        key = inputs.name(key, "a key")
        return (yield from _shown(key, (yield Do("kv.get", {"key": key}))))

    @verb
    def get_json(self, key: str) -> Operation[Any]:
        """Return the value read as JSON, or None if there is none."""
        key = inputs.name(key, "a key")
        value = yield from _shown(key, (yield Do("kv.get", {"key": key})))
        try:
            return None if value is None else json.loads(value)
        except (ValueError, RecursionError):
            raise SynapError("the value is not JSON", op="kv.get", resource=key) from None

    @verb
    def delete(self, key: str) -> Operation[bool]:
        """Return whether it was there."""
        answer = yield Do("kv.del", {"key": inputs.name(key, "a key")}, safe=False)
        return member(answer, "deleted", bool)

    @verb
    def exists(self, key: str) -> Operation[bool]:
        """Return whether there is a value."""
        answer = yield Do("kv.exists", {"key": inputs.name(key, "a key")})
        return member(answer, "exists", bool)

    @verb
    def mset(self, pairs: Iterable[tuple[str, Any]] | Mapping[str, Any]) -> Operation[bool]:
        """Store all pairs; return True. It is not atomic: the server's command for that does not keep text unchanged.

        Where some fail, the first error is raised, and says in `done` how many were stored.
        """
        items = inputs.pairs(pairs.items() if isinstance(pairs, Mapping) else pairs, "mset() takes", "key", "value")
        # Of values for one key the last counts; under way at once, any of them could arrive last.
        commands = [*{command.payload["key"]: command for command in (_set(*item, None) for item in items)}.values()]
        if len(commands) > 1 and (yield Bulk()):
            flat = [part for command in commands for part in (command.payload["key"], command.payload["value"])]
            step = 2 * _TOGETHER
            calls = [("MSET", tuple(flat[n : n + step])) for n in range(0, len(flat), step)]
            raised((yield Calls(calls, safe=False)), [len(arguments) // 2 for _, arguments in calls], "stored")
        elif commands:
            raised((yield Many(commands)), [1] * len(commands), "stored")
        return True

    @verb
    def mget(self, keys: Iterable[str]) -> Operation[list[str | bytes | None]]:
        """Return the values in the order of the keys; None for each that is not there."""
        names = inputs.names(keys, "key")
        if len(names) > 1 and (yield Bulk()):
            return (yield from _bulk(names))
        answers = raised((yield Many([Do("kv.get", {"key": key}) for key in names]))) if names else []
        values: list[str | bytes | None] = []
        for key, value in zip(names, answers, strict=True):
            values.append((yield from _shown(key, value)))
        return values

    @verb
    def incr(self, key: str) -> Operation[int]:
        """Add one to a stored number; return the new one. A missing key counts from 0."""
        return (yield from _add("kv.incr", key, 1))

    @verb
    def incrby(self, key: str, amount: int) -> Operation[int]:
        """Add to a stored number; return the new one."""
        return (yield from _add("kv.incr", key, amount))

    @verb
    def decr(self, key: str) -> Operation[int]:
        """Subtract one from a stored number; return the new one."""
        return (yield from _add("kv.decr", key, 1))

    @verb
    def decrby(self, key: str, amount: int) -> Operation[int]:
        """Subtract from a stored number; return the new one."""
        return (yield from _add("kv.decr", key, amount))

    @verb
    def scan(self, prefix: str = "", limit: int | None = None) -> Operation[list[str]]:
        """Return the keys with this prefix, sorted; `limit` takes that many of them, any. The server has no cursor."""
        if prefix != "":
            inputs.name(prefix, "prefix")
        most = _ALL if limit is None else inputs.whole(limit, "limit")
        answer = yield Do("kv.scan", {"prefix": prefix, "limit": most})
        return sorted(str(key) for key in member(answer, "keys", list))

    @verb
    def ttl(self, key: str) -> Operation[int | None]:
        """Return seconds that a key has left, or None where it has no end. A key that is not there is an error
        (404)."""
        answer = yield Do("kv.ttl", {"key": inputs.name(key, "a key")})
        if isinstance(answer, Mapping) and "ttl" in answer and answer["ttl"] is None:
            return None
        return member(answer, "ttl", int)

    @verb
    def expire(self, key: str, seconds: int) -> Operation[bool]:
        """Return whether the key is there, and ends after that many seconds now."""
        payload = {"key": inputs.name(key, "a key"), "ttl": inputs.whole(seconds, "seconds")}
        return member((yield Do("kv.expire", payload, safe=False)), "result", bool)

    @verb
    def persist(self, key: str) -> Operation[bool]:
        """Return whether the key had an end, and has none now."""
        payload = {"key": inputs.name(key, "a key")}
        return member((yield Do("kv.persist", payload, safe=False)), "result", bool)

    @verb
    def stats(self) -> Operation[Stats]:
        """Return how many keys and bytes, and how often they were read and written."""
        return stats_of((yield Do("kv.stats", {})))


class SyncKV(KV, SyncFace[ClientState]):
    """The keys of a client whose calls block."""


class AsyncKV(KV, AsyncFace[ClientState]):
    """The keys of a client whose calls are awaited."""


def _set(key: Any, value: Any, ttl: int | None) -> Do:
    stored = inputs.value(value)
    payload = {"key": inputs.name(key, "a key"), "value": stored}
    if ttl is not None:
        payload["ttl"] = ttl  # type: ignore[assignment]
    # A retry may arrive after another client's write, and would undo it.
    return Do("kv.set", payload, safe=False, binary=isinstance(stored, bytes))


def _add(command: str, key: str, amount: int) -> Operation[int]:
    payload = {"key": inputs.name(key, "a key"), "amount": inputs.whole(amount, "amount", -(2**63))}
    return member((yield Do(command, payload, safe=False)), "value", int)


def _shown(key: str, value: Any) -> Operation[str | bytes | None]:
    """Return a value from either transport. HTTP replaces bytes that are not UTF-8 by a note; then they are
    requested."""
    if isinstance(value, str) and value.startswith(_LOSSY) and value.endswith(" bytes>"):
        raw = yield Do("kv.get", {"key": key, "type": "bytes"})
        value = None if raw is None else wire.as_bytes(raw)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return text_or_bytes(value)
    raise SynapWireError("a value of an unknown form", op="kv.get", resource=key)


def _bulk(keys: list[str]) -> Operation[list[str | bytes | None]]:
    parts = [keys[n : n + _TOGETHER] for n in range(0, len(keys), _TOGETHER)]
    bodies = raised((yield Calls([("MGET", tuple(part)) for part in parts], raw=True)))
    results: list[Any] = []
    for part, body in zip(parts, bodies, strict=True):
        values = values_of(body, "MGET")
        if len(values) != len(part):
            raise SynapWireError(f"{len(values)} values arrived for {len(part)} keys", op="MGET")
        results += [text_or_bytes(value) if isinstance(value, bytes) else value for value in values]
    return results


def values_of(body: bytes, op: str) -> list[Any]:
    """Return the values of a good answer."""
    _, at = wire.peek(body)
    if not at:
        _, _, value = wire.read_answer(body)
        raise refusal(str(value), op=op)
    return fast_values.read_values(body, at)
