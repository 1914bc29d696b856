"""What all services share below their own forms: events of servers, chunked bodies, JSON in columns, metrics."""

from __future__ import annotations

import itertools
import random
from typing import Any

import h11
import pyarrow as pa

from kit.core import prometheus
from kit.core.errors import KitError
from kit.core.http.chunked import Chunked, Malformed
from kit.core.http.sse import EventParser
from kit.core.tables.frames import expand_bodies
from kit.core.tables.json.columns import ObjectColumns

from .mutate import cuts
from .running import Difference, Target


def read_events(data: bytes, chance: random.Random) -> None:
    places = cuts(chance, len(data))
    outcomes = []
    for edges in ([0, len(data)], places):
        parser, told = EventParser("", 50_000), list[Any]()
        try:
            for a, b in itertools.pairwise(edges):
                told.extend(parser.feed(data[a:b]))
        except KitError as error:
            told = [type(error)]  # how much came before it depends on the pieces
        outcomes.append((told, parser.retry))
    if outcomes[0] != outcomes[1]:
        raise Difference(f"cut at {places[:8]}: {outcomes[0]} and {outcomes[1]}"[:400])
    if outcomes[0][0] == [KitError]:
        raise KitError("refused")


def read_chunks(data: bytes, chance: random.Random) -> None:
    places = cuts(chance, len(data))
    outcomes = []
    for edges in ([0, len(data)], places):
        body, told = Chunked(), b""
        try:
            for a, b in itertools.pairwise(edges):
                if body.over:
                    break
                told += b"".join(body.feed(data[a:b]))
            outcomes.append((told, body.over))
        except Malformed:
            outcomes.append((b"", None))
    if outcomes[0] != outcomes[1]:
        raise Difference(f"cut at {places[:8]}: {outcomes[0]} and {outcomes[1]}"[:400])
    ours, over = outcomes[0]
    # A library that others rely on must not read another body: two readings of one answer are an attack.
    theirs = b""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    connection.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + data)
    ended = False
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                break
            if isinstance(event, h11.Data):
                theirs += event.data
            if isinstance(event, h11.EndOfMessage):
                ended = True
                break
    except h11.RemoteProtocolError:
        ended = None  # type: ignore[assignment]
    if over and ended and ours != theirs:
        raise Difference(f"{ours!r:.150}, and by h11 {theirs!r:.150}")
    if over is None:
        raise KitError("refused")


def read_rows(data: bytes, chance: random.Random) -> None:
    # As with all that is handed to it, each line begins like an object, if it is none.
    lines = [line if line.startswith(b"{") else b"{" + line for line in data.split(b"\n")]
    outcomes: list[Any] = []
    for fast in (True, False):
        found = ObjectColumns(max_keys=200, fast=fast)
        try:
            half = len(lines) // 2
            for part in (lines[:half], lines[half:]):
                if part:
                    found.add_lines(b"\n".join(part) + b"\n", len(part))
            table = found.table()
            table.validate(full=True)
            outcomes.append((table.schema, _shown(table), found.bad))
        except KitError as error:
            outcomes.append(type(error))
    if repr(outcomes[0]) != repr(outcomes[1]):
        raise Difference(f"{outcomes[0]!r:.300} and plainly {outcomes[1]!r:.300}")
    if isinstance(outcomes[0], type):
        raise KitError("refused")


def _shown(table: pa.Table) -> Any:
    # Python objects for millions of cells would take longer than all that is tried here.
    return table.to_pylist() if table.get_total_buffer_size() < 500_000 else table.num_rows


def read_bodies(data: bytes, chance: random.Random) -> None:
    bodies = pa.array(data.split(b"\n"), pa.binary())
    for mode in ("auto", "bytes", "text", "json"):
        expanded = expand_bodies(pa.chunked_array([bodies]), mode)  # type: ignore[arg-type]
        for column in expanded.columns.values():
            if len(column) != len(bodies):
                raise Difference(f"{len(bodies)} bodies gave {len(column)} rows as {mode}")


def read_metrics(data: bytes, chance: random.Random) -> None:
    found = prometheus.parse(data.decode("utf-8", "replace"))
    for _, name, value, labels in found.rows:
        assert name and isinstance(value, float) and isinstance(labels, dict)
        prometheus.unit_of(name)


EVENTS = [
    b"id: 7\r\nevent: session.completed\r\ndata: {}\r\n\r\n",
    b": ping\n\ndata: a\ndata: b\nid\nretry: 500\n\nevent: x\ndata: {}\n\n",
    b"\xef\xbb\xbfdata:first\r\rdata:second\r\n\r\n",
]
CHUNKS = [b"5\r\nhello\r\n6; a=b\r\n world\r\n0\r\nx: y\r\n\r\n", b"1\r\na\r\n" * 40 + b"0\r\n\r\n", b"0\r\n\r\n"]
ROWS = [
    b'{"n":1,"s":"a","f":1.5,"b":true,"l":[1,2],"o":{"x":1}}\n{"n":2,"s":null}\n{"n":3,"t":"2024-01-01T00:00:00Z"}\n',
    b'{"a":1}\n{"a":2.5}\n{"a":"x"}\n{"a":null}\n{"b":[]}\n',
    b'{"n":9007199254740993,"f":0.1}\n{"n":-5,"f":1e300}\n' * 20,
    b"not json\n[1]\n{}\n",
    b'{"a":' * 800 + b"1" + b"}" * 800 + b"\n" + b'{"\\ud800":{"\\udfff":[{"\\ud800":1}]}}\n',
]
WIDE = [
    b'{"a":[' + b",".join(b'{"k%d":1}' % n for n in range(512)) + b"]}\n",
    b'{"a":[' + b",".join(b'{"k%d":1}' % (n % 512) for n in range(800)) + b"]}\n",
    b'{"a":[' + b",".join(b'{"k%d":1}' % n for n in range(500)) + b",{}" * 3_000 + b"]}\n",
    b"".join(b'{"a":{"k%d":%d}}\n' % (n, n) for n in range(400)),
    b'{"a":{'
    + b",".join(b'"k%d":{%s}' % (n, b",".join(b'"j%d":1' % m for m in range(30))) for n in range(30))
    + b"}}\n",
]
"""Objects whose columns would be far larger than they are."""
METRICS = [
    b'# HELP up x\n# TYPE up gauge\nup{zone="a",b="c\\"d\\n"} 1 1700000000000\nerrors_total 2\n',
    b'h_bucket{le="+Inf"} 5\nh_sum 1e9\nh_count NaN\n',
]

ALL = (
    Target("sse", lambda: EVENTS, read_events, (KitError,), text=True, factor=400),
    Target("chunked", lambda: CHUNKS, read_chunks, (KitError,), text=True, factor=400),
    Target("json-columns", lambda: ROWS + WIDE, read_rows, (KitError,), text=True, factor=5000, pace=10e-6),
    Target("bodies", lambda: ROWS + WIDE, read_bodies, (KitError,), text=True, factor=5000, pace=10e-6),
    Target("prometheus", lambda: METRICS, read_metrics, (KitError,), text=True),
)
