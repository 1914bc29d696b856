"""Events of a room as Arrow columns: from SynapRPC without a Python object per event, from JSON with few objects.

An answer to SREAD repeats one template for each event. All occurrences are found at once, every byte of the template
is compared, and each event must begin where the one before it ends; an answer that differs in any way is read value
by value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...core.tables.frames import TIME
from ..errors import SynapWireError
from ..types import TopicMessage
from . import fast_values
from . import frames as wire
from .event_template import DATA, EVENT, HEAD, ID, OFFSET, STAMP

SCHEMA = pa.schema(
    [
        ("offset", pa.int64()),
        ("time", TIME),
        ("event", pa.string()),
        ("id", pa.string()),
        ("data", pa.binary()),
    ]
)
_FIND = re.compile(re.escape(HEAD))
TOPIC_SCHEMA = pa.schema([("time", TIME), ("topic", pa.string()), ("id", pa.string()), ("data", pa.binary())])
Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


class _Other(Exception):
    """The answer is not in the expected layout; it may still be valid."""


def read_events(body: bytes, at: int) -> pa.Table:
    """Return the events of an answer to SREAD, whose value begins at `at`."""
    length = fast_values.array_length(body, at)
    if length is None:
        raise wire.Refused("an answer to SREAD that is not an Array")
    count, start = length
    if not count:
        return SCHEMA.empty_table()
    try:
        return _at_once(body, start, count)
    except _Other:
        values, stop = fast_values.flat_values(body, start, count)
        if stop != len(body):
            raise wire.Refused(f"{len(body) - stop} bytes too many after a message") from None
        return from_maps(values)


def _at_once(body: bytes, start: int, count: int) -> pa.Table:
    places = np.fromiter((match.start() for match in _FIND.finditer(body, start)), np.int64)
    if len(places) != count or places[0] != start:
        raise _Other  # for example, the head occurs in the data of an event
    # Reading a little beyond the end is cheaper than checking at every step.
    raw: Bytes = np.frombuffer(body + b"\0" * 64, np.uint8)
    ids = places + len(HEAD)
    offsets, at = _integers(raw, _past(raw, ids + ID, OFFSET))
    events, event_stops = _lengths(raw, _past(raw, at, EVENT), _STR_WIDTH, 0x1F)
    data, data_stops = _lengths(raw, _past(raw, event_stops, DATA), _BIN_WIDTH, 0)
    stamps, stops = _integers(raw, _past(raw, data_stops, STAMP))
    if stops[-1] != len(body) or not np.array_equal(stops[:-1], places[1:]):
        raise _Other
    # One array of all pieces over the original bytes; then the needed ones are taken.
    marks = np.stack([ids, ids + ID, events, event_stops, data, data_stops], axis=1).ravel()
    bounds = np.concatenate([marks, marks[-1:]]).astype(np.int32)
    pieces = pa.Array.from_buffers(pa.binary(), len(marks), [None, pa.py_buffer(bounds), pa.py_buffer(body)])
    steps = np.arange(count, dtype=np.int64) * 6
    try:
        return pa.table(
            {
                "offset": pa.array(offsets),
                "time": pa.array(stamps).cast(pa.timestamp("s", "UTC")).cast(TIME),
                "event": pieces.take(pa.array(steps + 2)).cast(pa.string()),
                "id": pieces.take(pa.array(steps)).cast(pa.string()),
                "data": pieces.take(pa.array(steps + 4)),
            },
            schema=SCHEMA,
        )
    except pa.ArrowInvalid as error:
        raise wire.Refused(f"events that cannot be read: {error}") from None


def _past(raw: Bytes, at: Places, template: bytes) -> Places:
    """Return the places behind a template that must stand at each."""
    if int(at.max()) + len(template) > len(raw):
        raise _Other
    expected = np.frombuffer(template, np.uint8)
    for n, byte in enumerate(expected):
        if not (raw[at + n] == byte).all():
            raise _Other
    return at + len(template)


def _table(widths: Mapping[int, int]) -> npt.NDArray[np.int64]:
    table = np.full(256, -1, np.int64)
    for code, width in widths.items():
        table[code] = width
    return table


# Numbers in a form with a sign, which the server writes for those below 0 only, are read one by one.
_INT_WIDTH = _table({**dict.fromkeys(range(128), 0), 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8})
_STR_WIDTH = _table({**dict.fromkeys(range(0xA0, 0xC0), 0), 0xD9: 1, 0xDA: 2, 0xDB: 4})
_BIN_WIDTH = _table({0xC4: 1, 0xC5: 2, 0xC6: 4})


def _big_endian(raw: Bytes, at: Places, width: Places) -> Places:
    """Return unsigned numbers of different widths; those of no width are 0."""
    value = np.zeros(len(at), np.int64)
    for size in np.unique(width):
        if size == 0:
            continue
        these = np.flatnonzero(width == size)
        part = np.zeros(len(these), np.int64)
        for n in range(int(size)):
            part = part << 8 | raw[at[these] + n]
        value[these] = part
    return value


def _integers(raw: Bytes, at: Places) -> tuple[Places, Places]:
    """Return the integers at these places, which are behind a template and so not in the zeros at the end, and where
    they end."""
    first = raw[at]
    width = _INT_WIDTH[first]
    if (width < 0).any():
        raise _Other
    value = _big_endian(raw, at + 1, width)
    if (value < 0).any():
        raise _Other
    return np.where(width == 0, first.astype(np.int64), value), at + 1 + width


def _lengths(raw: Bytes, at: Places, widths: npt.NDArray[np.int64], mask: int) -> tuple[Places, Places]:
    """Return where the texts or bytes at these places begin and end."""
    first = raw[at]
    width = widths[first]
    if (width < 0).any():
        raise _Other
    size = np.where(width == 0, first.astype(np.int64) & mask, _big_endian(raw, at + 1, width))
    begin = at + 1 + width
    stop = begin + size
    if int(stop.max()) > len(raw) - 64:
        raise _Other
    return begin, stop


def from_maps(events: Sequence[Any]) -> pa.Table:
    """Return events that were read one by one, from either transport."""
    try:
        return pa.table(
            {
                "offset": pa.array([event["offset"] for event in events], pa.int64()),
                "time": pa.array([event["timestamp"] for event in events], pa.timestamp("s", "UTC")).cast(TIME),
                "event": pa.array([event["event"] for event in events], pa.string()),
                "id": pa.array([event["id"] for event in events], pa.string()),
                "data": pa.array([wire.as_bytes(event["data"]) for event in events], pa.binary()),
            },
            schema=SCHEMA,
        )
    except (LookupError, TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        raise SynapWireError(f"events that cannot be read: {type(error).__name__}: {error}") from None


def topic_table(messages: Sequence[TopicMessage]) -> pa.Table:
    """Return messages of topics as columns; what was published is JSON again."""
    try:
        data = [
            json.dumps(message.message, ensure_ascii=False).encode("utf-8", "backslashreplace") for message in messages
        ]
        return pa.table(
            {
                "time": pa.array([message.timestamp for message in messages], pa.timestamp("s", "UTC")).cast(TIME),
                "topic": pa.array([message.topic for message in messages], pa.string()),
                "id": pa.array([message.id for message in messages], pa.string()),
                "data": pa.array(data, pa.binary()),
            },
            schema=TOPIC_SCHEMA,
        )
    except (TypeError, ValueError, OverflowError, RecursionError, pa.ArrowException) as error:
        raise SynapWireError(f"messages that cannot be read: {type(error).__name__}: {error}") from None


def join(tables: Iterable[pa.Table]) -> pa.Table:
    """Return all pages as one table."""
    return pa.concat_tables([SCHEMA.empty_table(), *tables])
