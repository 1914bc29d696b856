"""How pages are asked for, and that none is held longer than it is needed."""

from __future__ import annotations

import sys
from itertools import chain
from typing import Any

import pyarrow as pa
import pytest

from kit.core.http.drivers import BlockingDriver
from kit.kimberlite.client.address import Settings
from kit.kimberlite.client.operations import Post, Take
from kit.kimberlite.client.reading import Page, Run, pages
from kit.kimberlite.client.stream_registry import StreamRegistry
from kit.kimberlite.explore.bulk import SCHEMA, part, timed
from kit.kimberlite.wire.blobs import Blobs
from kit.kimberlite.wire.protocol.codec import Response, payload_of, requests, responses

STREAM = 1 << 32 | 7


def held(one: bytes) -> int:
    """How often something is referred to; what that is for something in one list only is told by trying."""
    return sys.getrefcount(one)


class Server(BlockingDriver):
    """Answers as a server whose pages hold so many of the events; it notes what was asked, and who holds its answers."""

    def __init__(self, events: list[bytes], at_once: int) -> None:
        self.events, self.at_once = events, at_once
        self.sizes: list[int] = []
        self.answers: list[bytes] = []
        self.held: list[int] = []

    def do(self, wanted: Any, held_open: Any) -> Any:
        if isinstance(wanted, Post):
            self.answers.append(payload_of(Response(1, self._answer(wanted.payload))))
            return len(self.answers) - 1
        assert isinstance(wanted, Take)
        self.held.append(sum(map(held, self.answers)) - sum(map(held, [bytes([1, 2]) for _ in self.answers])))
        return self.answers[wanted.number]

    def _answer(self, asked: Any) -> Any:
        if isinstance(asked, requests.StreamInfo):
            return responses.StreamInfo(len(self.events))
        self.sizes.append(asked.max_bytes)
        taken, size = list[bytes](), 0
        for event in self.events[asked.from_offset : asked.from_offset + self.at_once]:
            if size >= asked.max_bytes:
                break
            taken.append(event)
            size += len(event)
        return responses.ReadEvents(taken, None)


def book() -> StreamRegistry:
    return StreamRegistry(Settings.of("localhost:3000", 1, None, 30, 5, 3))


def read(server: Server, of: StreamRegistry, start: int = 0, limit: int | None = None) -> list[pa.RecordBatch]:
    return list(server.walk(pages(of, STREAM, start, limit, part)))


@pytest.mark.parametrize("limit", [None, 950])
def test_a_page_is_not_held_while_the_next_one_is_received(limit: int | None) -> None:
    server = Server([b"%04d" % n for n in range(1000)], 100)
    found = read(server, book(), limit=limit)
    assert len(server.held) > 9 and set(server.held) == {0}
    table = pa.Table.from_batches(timed(found, []), SCHEMA)
    count = limit or 1000
    assert table["time"].null_count == count
    assert table["body"].to_pylist() == server.events[:count] and table["offset"].to_pylist() == list(range(count))


def test_so_much_is_asked_for_as_the_events_of_the_stream_take() -> None:
    server, known = Server([b"x" * 200] * 5000, 5000), book()
    for _ in range(2):
        assert sum(one.num_rows for one in read(server, known, limit=100)) == 100
    assert server.sizes[0] == 65_536 and 100 * 202 <= server.sizes[1] <= 100 * 202 * 1.2
    server, known = Server([b"x" * 20_000] * 500, 500), book()
    assert sum(one.num_rows for one in read(server, known, limit=100)) == 100
    assert len(server.sizes) == 2, "after the first page it is known how large they are"
    read(server, known, limit=100)
    assert len(server.sizes) == 3
    server, known = Server([b""] * 10 + [b"x" * 60_000] * 30, 40), book()
    assert [one.num_rows for one in read(server, known, limit=10)] == [10]
    assert sum(one.num_rows for one in read(server, known, start=10, limit=30)) == 30
    assert max(server.sizes) <= 4 * 1024 * 1024 and min(server.sizes) >= 16 * 1024


def test_columns_of_no_page_one_page_and_many() -> None:
    for count in (0, 1, 5):
        found = [*chain(*(part(Page(3 + 2 * n, Blobs.of([b"a", b"b"]))) for n in range(count)))]
        runs = [Run(3, 2 * count, 0, 5_000_000_000)] if count else []
        table = pa.Table.from_batches(timed(found, runs), SCHEMA)
        bodies = table["body"]
        assert table["offset"].to_pylist() == list(range(3, 3 + 2 * count)) and bodies.type == pa.binary()
        assert table["offset"].type == pa.uint64() and bodies.to_pylist() == [b"a", b"b"] * count
        assert [when.timestamp() for when in table["time"].to_pylist()] == [5] * 2 * count
