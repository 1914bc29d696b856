"""Synap: SynapRPC's frames, messages and columns, answers over HTTP, frames of the WebSocket."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

from kit.core.errors import KitError
from kit.core.http.operations import Response
from kit.synap.client import subscription
from kit.synap.client.operations import Do, judged
from kit.synap.client.stream import decoded
from kit.synap.wire import columns, fast_values, rpc_commands
from kit.synap.wire import frames as wire

from .mutate import cuts
from .running import Difference, Target

EVENT = {"offset": 3, "event": "new", "id": "0f99f5a2", "timestamp": 1_700_000_000, "data": b'{"n":1}'}
VALUES: list[Any] = [
    "PONG",
    7,
    -(2**63),
    2.5,
    None,
    True,
    b"bytes",
    [1, "two", b"three", None],
    {"success": True, "list": [{"a": 1}]},
    [{**EVENT, "offset": n, "data": b"x" * n} for n in range(9)],
]


def answers() -> list[bytes]:
    refused = wire.refusal(9, "ERR no such key")[4:]
    return [*(wire.answer(n, value)[4:] for n, value in enumerate(VALUES)), refused]


def asked() -> list[bytes]:
    return [wire.request(1, "SREAD", ["room", 0, 100])[4:], wire.request(2, "AUTH", ["key"])[4:]]


def events() -> list[bytes]:
    return [wire.answer(1, [{**EVENT, "offset": n, "data": b"x" * n} for n in range(count)])[4:] for count in (0, 1, 9)]


def read_frames(data: bytes, chance: random.Random) -> None:
    places = cuts(chance, len(data))
    outcomes = []
    for edges in ([0, len(data)], places):
        reader, told = wire.Frames(1_000_000), list[Any]()
        try:
            for a, b in itertools.pairwise(edges):
                told.extend(reader.feed(data[a:b]))
        except KitError as error:
            told.append(type(error))
        outcomes.append(told)
    if outcomes[0] != outcomes[1]:
        raise Difference(f"cut at {places[:8]}: {outcomes[0]} and {outcomes[1]}"[:400])
    if outcomes[0] and isinstance(outcomes[0][-1], type):
        raise KitError("refused")


def _told(read: Any, *args: Any) -> Any:
    try:
        return read(*args)
    except KitError:
        return KitError


def read_message(data: bytes, chance: random.Random) -> None:
    outcomes = [_told(read, data) for read in (wire.read_answer, wire.peek, wire.read_request)]
    plain, place = outcomes[0], outcomes[1]
    if plain is not KitError and place is KitError:
        raise Difference("an answer that can be read has no number")
    if plain is not KitError and plain[1] and isinstance(plain[2], list) and place[1]:
        values = _told(fast_values.read_values, data, place[1])
        if values is not KitError and repr(values) != repr(plain[2]):
            raise Difference(f"{values!r:.200} and {plain[2]!r:.200}")
    if place is not KitError and place[1]:
        _told(fast_values.read_values, data, place[1])
    if plain is not KitError and plain[1]:
        for command in ("kv.get", "queue.consume", "stream.consume", "kv.stats", "queue.list"):
            if rpc_commands.knows(command):
                _told(rpc_commands.reply_of, command, plain[2])
    if all(one is KitError for one in outcomes):
        raise KitError("refused")


def read_events(data: bytes, chance: random.Random) -> None:
    _, at = wire.peek(data)
    if not at:
        raise KitError("an error was told")
    table = columns.read_events(data, at)
    table.validate(full=True)
    plain = wire.read_answer(data)[2]
    other = columns.from_maps(plain)
    if not table.equals(other):
        raise Difference(f"{table.to_pylist()!r:.200} and {other.to_pylist()!r:.200}")


def read_json(data: bytes, chance: random.Random) -> None:
    told = judged(Response(chance.choice((200, 200, 400, 404, 500)), {}, data), Do("kv.get", {"key": "k"}))
    repr(told)


def read_socket(data: bytes, chance: random.Random) -> None:
    told = subscription._frame(data)
    messages = [subscription._received(told), subscription._pushed(told)]
    columns.topic_table(messages).validate(full=True)


def read_data(data: bytes, chance: random.Random) -> None:
    repr(decoded(data))


PAGES = [
    b'{"success":true,"request_id":"r","payload":{"value":"x","found":true}}',
    b'{"success":false,"error":"Not found: key"}',
    b'{"success":true,"payload":{"events":[{"offset":1,"event":"e","data":[1,2],"timestamp":5,"id":"i"}]}}',
]
PUSHES = [
    b'{"topic":"a.b","payload":{"n":1},"message_id":"m","timestamp":1700000000,"metadata":{"k":"v"}}',
    json.dumps({"topic": "a", "payload": '{"n":1}', "id": "m", "timestamp": 5}).encode(),
]

ALL = (
    Target(
        "synap-frames",
        lambda: [b"".join(wire.frame(one) for one in answers()), *(wire.frame(one) for one in answers())],
        read_frames,
        (KitError,),
        factor=400,
    ),
    Target("synap-messages", lambda: [*answers(), *asked()], read_message, (KitError,), factor=2000),
    Target("synap-events", events, read_events, (KitError,), factor=2000),
    Target("synap-json", lambda: PAGES, read_json, (KitError,), text=True),
    Target("synap-socket", lambda: PUSHES, read_socket, (KitError,), text=True),
    Target("synap-data", lambda: [b'{"n":1}', b"[1,2]", b"text"], read_data, (KitError,), text=True),
)
