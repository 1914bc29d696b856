"""Logs of all services keep one contract, and a fourth one in memory does; broken ones are found."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import kit
from kit.core.log.log import Log
from kit.core.log.source import Outgoing, Piece, Ranged, Sent
from kit.core.tables.encode import bodies_of
from kit.core.tables.frames import TIME
from kit.live.feed.source import Chunk, Source
from kit.testing import LOG_CHECKS, check_log

pytestmark = pytest.mark.lab
NUMBERS = itertools.count()
NOW = int(time.time() * 1000)
SCHEMA = pa.schema([("at", pa.uint64()), ("time", TIME), ("body", pa.binary())])


class Memory(Ranged):
    """A list as a log."""

    label, position, head = "memory", "at", pa.schema(list(SCHEMA)[:2])

    def __init__(self, records: list[bytes]) -> None:
        self.records = records

    def bounds(self):
        return 0, len(self.records)

    def place(self, moment, *, last=False):
        return 0 if moment <= NOW else len(self.records)

    def pieces(self, first, stop):
        for begin in range(first, stop, 16):
            end = min(stop, begin + 16)
            yield Piece(begin, end, self.batch(begin, end))

    def batch(self, begin, end):
        columns = [pa.array(range(begin, end), pa.uint64()), pa.array([NOW] * (end - begin), TIME)]
        return pa.RecordBatch.from_arrays([*columns, pa.array(self.records[begin:end], pa.binary())], schema=SCHEMA)

    def outgoing(self, data, *, body=None):
        given = bodies_of(data, self.refuse, body=body).bodies
        values = given.to_pylist() if hasattr(given, "to_pylist") else list(given)

        def send(seen):
            self.records += [one.encode() if isinstance(one, str) else one for one in values]
            return Sent(len(self.records) - len(values), len(values), len(values))

        return Outgoing(len(values), send)

    def follow(self, start, body, types):
        return Followed(self, self.at(start), body, types)

    def recipe(self):
        return type(self), (self.records,), {}


class Followed(Source):
    begins = True

    def __init__(self, log, start, body, types):
        self.log, self.start, self.options = log, start, (body, types or {})

    async def open(self, after):
        import asyncio

        at = self.start if after is None else after + 1
        yield Chunk(self.log.batch(at, at), at - 1)
        while True:
            stop = len(self.log.records)
            yield Chunk(self.log.batch(at, stop), stop - 1)
            at = stop
            await asyncio.sleep(0.01)

    def shape(self, batches, *, preview=False):
        return self.log.shown(batches, *self.options)


def memory(source: type[Memory] = Memory) -> Log[Any]:
    records: list[bytes] = []
    return Log("memory", lambda: source(records))


@pytest.fixture
def make(request, lab):
    def create() -> Log[Any]:
        name = f"contract-{next(NUMBERS)}"
        if request.param == "s2":
            return lab.s2["demo-shop"].create(name)
        if request.param == "kimberlite":
            lab.kimberlite.create(name)
            return lab.kimberlite[name]
        if request.param == "synap":
            lab.synap.client.stream.create(name)
            return lab.synap[name]
        return memory()

    return create


@pytest.mark.parametrize("check", LOG_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("make", ["s2", "kimberlite", "synap", "memory"], indirect=True)
def test_a_log_keeps(make, check):
    check(make)


class UntilIncluded(Memory):
    def between(self, bounds, first, limit, until):
        return super().between(
            bounds,
            first,
            limit,
            until if until is None or not hasattr(until, "position") else type(until)(until.position + 1),
        )


class LosesTheLast(Memory):
    def pieces(self, first, stop):
        return super().pieces(first, max(first, stop - 1) if stop - first > 20 else stop)


class Doubles(Followed):
    async def open(self, after):
        async for chunk in super().open(after):
            yield chunk
            if chunk.batch.num_rows:
                yield chunk


class FollowsTwice(Memory):
    def follow(self, start, body, types):
        return Doubles(self, self.at(start), body, types)


class Trims(Memory):
    def outgoing(self, data, *, body=None):
        sent = super().outgoing(data, body=body)
        self.records[:] = [one.strip(b'"') for one in self.records]
        return sent


class WritesBeforeItRefuses(Memory):
    def outgoing(self, data, *, body=None):
        if isinstance(data, list) and len(data) == 2:
            self.records.append(b"{}")
        return super().outgoing(data, body=body)


class NoTimes(Memory):
    def place(self, moment, *, last=False):
        return 0


@pytest.mark.parametrize("broken", [UntilIncluded, LosesTheLast, FollowsTwice, WritesBeforeItRefuses, NoTimes])
def test_a_log_that_breaks_its_promise_is_found(broken):
    with pytest.raises(AssertionError):
        check_log(lambda: memory(broken))


def gaps_table() -> str:
    """What each log takes beside the rest, and what it lacks, as the reference shows it."""
    from kit.kimberlite.explore.handle import Stream as OfKimberlite
    from kit.s2.explore.handle import Stream as OfS2
    from kit.synap.explore.handle import Room

    kinds = {"S2 stream": OfS2, "Kimberlite stream": OfKimberlite, "Synap room": Room}
    lines = ["| verb | " + " | ".join(kinds) + " |", "|---|" + "---|" * len(kinds)]
    for verb in ("read", "head", "tail", "append", "live", "arrow", "to_parquet", "to_dask"):
        cells = [f"`{verb}`"]
        for kind in kinds.values():
            if verb in kind.lacks:
                cells.append(f"no: {kind.lacks[verb].why}; `{kind.lacks[verb].instead}`")
                continue
            takes = [f"`{one.name}={one.default!r}`" for one in kind.extras if verb in one.verbs]
            cells.append("also " + ", ".join(takes) if takes else "the same")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_reference_tells_what_logs_take_and_lack():
    page = (Path(kit.__file__).parents[1] / "notebooks" / "reference.md").read_text("utf-8")
    told = gaps_table()
    assert told in page, f"the table of logs in notebooks/reference.md is to be:\n{told}"


def test_tab_offers_verbs_and_what_they_are_called_on(lab):
    logs = lab.s2["demo-shop"]["orders"], lab.kimberlite["claims"], lab.synap["vans"]
    common = {one for one in dir(memory()) if not one.startswith("_")}
    assert {"read", "append", "live", "name"} <= common
    assert not {one for one in common - {"name"} if not callable(getattr(Log, one))}
    for log in logs:
        assert common <= set(dir(log))
    for one in (*logs, lab.s2, lab.kimberlite, lab.synap, lab.claude, lab.amdahl):
        offered = {name for name in dir(one) if not name.startswith("_")}
        told = {name for name in offered if isinstance(getattr(type(one), name, None), str | tuple | dict | type)}
        assert not told
