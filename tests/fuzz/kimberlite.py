"""Kimberlite: frames, messages of both sides, pages of events, results in columns."""

from __future__ import annotations

import itertools
import random
from typing import Any

from kit.core.errors import KitError
from kit.kimberlite.client.reading import Page
from kit.kimberlite.explore.bulk import part
from kit.kimberlite.types import Timestamp
from kit.kimberlite.wire.protocol.codec import (
    FrameReader,
    Push,
    Request,
    Response,
    SubscriptionClosed,
    SubscriptionEvents,
    decode,
    event_count,
    frame,
    payload_of,
    peek,
    requests,
    responses,
)
from kit.kimberlite.wire.results import result_columns

from .mutate import cuts
from .running import Difference, Target

EVENTS = [b"event %d" % n * (n % 5) for n in range(40)]
ROWS = [(n, f"name {n}", n % 2 == 0, None, Timestamp(1_700_000_000_000_000_000 + n)) for n in range(60)]
COLUMNS = ["id", "name", "good", "gap", "at"]


def messages() -> list[bytes]:
    said: list[Any] = [
        Request(1, 1, requests.AppendEvents(7, EVENTS, 0)),
        Request(2, 1, requests.ListTables()),
        Request(3, 1, requests.ReadEvents(7, 0, 65536)),
        Request(4, 1, requests.Query("SELECT 1", [])),
        Request(5, 1, requests.Handshake(5, "key")),
        Response(1, responses.ReadEvents(EVENTS, 40)),
        Response(1, responses.Error(3, "no such stream")),
        Response(1, responses.Query(COLUMNS, ROWS)),
        Response(1, responses.Handshake(5, True, ["sql", "push"])),
        Response(1, responses.GetServerInfo("1.0", 5, ["a"], 9, next(iter(responses.ClusterMode)), 1))
        if hasattr(responses, "ClusterMode")
        else Response(1, responses.Sync(True)),
        Response(1, responses.AppendEvents(0, 40)),
    ]
    out = []
    for one in said:
        try:
            out.append(payload_of(one))
        except (KitError, TypeError):
            continue
    return out


def pushes() -> list[bytes]:
    out = []
    for make in (
        lambda: Push(SubscriptionEvents(1, 0, EVENTS, 5)),
        lambda: Push(SubscriptionClosed(1, list(SubscriptionClosed.__annotations__) and 0)),  # type: ignore[arg-type]
    ):
        try:
            out.append(payload_of(make()))
        except (KitError, TypeError, AttributeError):
            continue
    return out


def read_frames(data: bytes, chance: random.Random) -> None:
    places = cuts(chance, len(data))
    outcomes = []
    for edges in ([0, len(data)], places):
        reader, told = FrameReader(), list[Any]()
        try:
            for a, b in itertools.pairwise(edges):
                told.extend(reader.feed(data[a:b]))
            reader.finish()
        except KitError as error:
            told.append(type(error))
        outcomes.append(told)
    if outcomes[0] != outcomes[1]:
        raise Difference(f"cut at {places[:8]}: {outcomes[0]} and {outcomes[1]}"[:400])
    if outcomes[0] and isinstance(outcomes[0][-1], type):
        raise KitError("refused")


def reframed(data: bytes) -> bytes:
    """The payload of a damaged frame in a frame that is right."""
    return frame(data[14:])


def read_message(data: bytes, chance: random.Random) -> None:
    try:
        peek(data)
        event_count(data)
    except KitError:
        pass
    found = decode(data)
    repr(found)
    # What was understood is written so that it is understood the same.
    again = decode(payload_of(found))
    if again != found and "nan" not in repr(found):
        raise Difference(f"{str(found)[:200]} became {str(again)[:200]}")
    body = getattr(found, "payload", None)
    events = getattr(body, "events", None)
    if events is not None and hasattr(events, "to_arrow"):
        [columns] = part(Page(0, events))
        columns.validate(full=True)
        if columns.column("body").to_pylist() != list(events):
            raise Difference("events as columns are others")


def read_result(data: bytes, chance: random.Random) -> None:
    told: Any
    try:
        found = result_columns(data)
        found.table.validate(full=True)
        told = found.table.num_rows
    except KitError as error:
        told = type(error)
    try:
        plain = decode(data).payload
        rows = getattr(plain, "rows", None)
        wanted: Any = len(rows) if rows is not None else None
    except KitError as error:
        wanted = type(error)
    if isinstance(told, int) and told != wanted:
        raise Difference(f"{told} rows in columns, {wanted} as objects")
    if isinstance(told, type):
        raise KitError("refused")


def results() -> list[bytes]:
    few = payload_of(Response(1, responses.Query(COLUMNS, ROWS[:3])))
    many = payload_of(Response(1, responses.Query(COLUMNS, ROWS)))
    words = payload_of(Response(1, responses.Query(["a", "a"], [(f"{n}" * n, n) for n in range(50)])))
    empty = payload_of(Response(1, responses.Query(["a", "b"], [])))
    return [few, many, words, empty, payload_of(Response(1, responses.Error(3, "no")))]


ALL = (
    Target(
        "kimberlite-frames", lambda: [frame(one) for one in messages()], read_frames, (KitError,), reframed, factor=400
    ),
    Target("kimberlite-messages", lambda: [*messages(), *pushes()], read_message, (KitError,), factor=800),
    Target("kimberlite-results", results, read_result, (KitError,), factor=2000),
)
