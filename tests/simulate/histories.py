"""Clients at work on one thing at once; what they saw must have an order that explains it (`tests/linearizable`)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from kit.core.errors import KitError, TransportError
from kit.kimberlite import OffsetMismatchError
from kit.s2 import AppendInput, CommandRecord, ReadUnwrittenError, Record, SeqNum
from kit.s2.client.sessions.reading import SILENCE
from kit.s2.errors import AppendConditionError, no_side_effects
from tests.linearizable.check import check
from tests.linearizable.history import History, operations
from tests.linearizable.models import MODELS, chained, record_hash

from .kimberlite import STREAM, KimberliteScenario, T
from .running import Op, Run, Scenario
from .s2 import S2Scenario
from .synap import SynapScenario

_SECONDS = 20.0
"""Of real time, for the search."""


class Histories(Scenario):
    """Operations are noted with their starts and ends, and judged together."""

    kinds_of_call: tuple[str, ...]
    hows: tuple[str, ...] = ("regular", "match")
    pieces = 90
    connections = 8
    clients = 4
    kinds = (
        "cut",
        "cut",
        "end",
        "swallow",
        "stall",
        "refuse",
        "drop",
        "hang",
        "jump",
        "freeze",
        "outage",
        "cancel",
        "503",
    )

    def ops(self, chance: random.Random) -> list[Op]:
        calls = [
            (chance.randrange(self.clients), chance.choice(self.kinds_of_call), chance.choice((1, 1, 2, 7)))
            for _ in range(chance.randint(8, 40))
        ]
        return [("how", chance.choice(self.hows)), *((*call, chance.choice((0.0, 0.0, 0.01, 0.2))) for call in calls)]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.history = History()
        self.how = next((op[1] for op in run.ops if op[0] == "how"), "regular")
        self.bodies_made = 0

    def work(self, run: Run) -> None:
        run.together(*(self._one(run, number) for number in range(self.clients)))

    async def _one(self, run: Run, number: int) -> None:
        mine = [op for op in run.ops if op[0] == number]
        client = await self.joined(run, number) if mine else None
        seen: dict[str, Any] = {"id": self.history.client(), "tail": 0, "token": f"t{number}"}
        for _, kind, count, pause in mine if client is not None else ():
            await asyncio.sleep(pause)
            await self.asked(run, client, seen, kind, count)

    async def joined(self, run: Run, number: int) -> Any:
        """Return a client."""
        raise NotImplementedError

    async def asked(self, run: Run, client: Any, seen: dict[str, Any], kind: str, count: int) -> None:
        """Make a call and note it."""
        raise NotImplementedError

    async def noted(
        self,
        run: Run,
        seen: dict[str, Any],
        start: Any,
        call: Callable[[], Awaitable[Any]],
        failed: Callable[[KitError], Any],
    ) -> Any:
        """Make a call, and note when it began and what came of it."""
        op = self.history.start(seen["id"], start)
        # Whoever reads takes a silent service for dead after a while of its own.
        most = self.patience + 3 * SILENCE if start == "Read" else 0.0
        told, error = await run.tried(start if isinstance(start, str) else next(iter(start)), call, most)
        if error is not None:
            told = failed(error)
        seen["id"] = self.history.finish(seen["id"], op, told)
        return told

    def new(self, count: int) -> list[bytes]:
        """Return bodies of which no two are alike."""
        self.bodies_made += count
        return [b"%d" % n for n in range(self.bodies_made - count, self.bodies_made)]

    def judge(self, run: Run) -> None:
        initial, step = MODELS[self.service]
        lines = self.history.lines()
        verdict = check(operations(lines.splitlines()), initial, step, _SECONDS)
        run.check(verdict.linearizable is not False, "no order explains what was seen:", lines[-3000:])


class S2History(Histories, S2Scenario):
    """A stream of S2: appends as they come, at an expected end, under a fencing token; reads, tails."""

    name = "s2.history"
    kinds_of_call = ("append", "append", "read", "tail")
    hows = ("regular", "match", "fencing")

    async def joined(self, run: Run, number: int) -> Any:
        return self.client(run)

    async def asked(self, run: Run, client: Any, seen: dict[str, Any], kind: str, count: int) -> None:
        if kind == "tail":

            async def tail() -> Any:
                seen["tail"] = (await client.check_tail()).seq_num
                return {"CheckTailSuccess": {"tail": seen["tail"]}}

            await self.noted(run, seen, "CheckTail", tail, lambda error: "CheckTailFailure")
        elif kind == "read":
            await self.noted(run, seen, "Read", lambda: self._read(client, seen), lambda error: "ReadFailure")
        else:
            await self._append(run, client, seen, count)

    async def _read(self, client: Any, seen: dict[str, Any]) -> Any:
        bodies: list[bytes] = []
        try:
            async with client.read_session(start=SeqNum(0), wait=0) as session:
                async for batch in session:
                    bodies += [record.body for record in batch.records]
        except ReadUnwrittenError:
            assert not bodies
        seen["tail"] = len(bodies)
        return {"ReadSuccess": {"tail": len(bodies), "stream_hash": chained(0, map(record_hash, bodies))}}

    async def _append(self, run: Run, client: Any, seen: dict[str, Any], count: int) -> None:
        fences = self.how == "fencing" and seen.setdefault("turn", 0) % 6 == 0
        seen["turn"] = seen.get("turn", 0) + 1
        bodies = [seen["token"].encode()] if fences else self.new(count)
        records = [CommandRecord.fence(seen["token"])] if fences else [Record(body) for body in bodies]
        match = seen["tail"] if self.how == "match" or fences else None
        token = seen["token"] if self.how == "fencing" and not fences else None
        asked = {
            "num_records": len(records),
            "record_hashes": [record_hash(body) for body in bodies],
            "set_fencing_token": seen["token"] if fences else None,
            "fencing_token": token,
            "match_seq_num": match,
        }

        async def append() -> Any:
            ack = await client.append(AppendInput(records, match_seq_num=match, fencing_token=token))
            seen["tail"] = ack.end.seq_num
            return {"AppendSuccess": {"tail": ack.end.seq_num}}

        def refused(error: KitError) -> Any:
            if isinstance(error, AppendConditionError):
                return {"AppendDefiniteFailure": {"condition": True}}
            return {"AppendDefiniteFailure": {}} if no_side_effects(error) else "AppendIndefiniteFailure"

        await self.noted(run, seen, {"Append": asked}, append, refused)

    def judge(self, run: Run) -> None:
        Histories.judge(self, run)


class KimberliteHistory(Histories, KimberliteScenario):
    """An event log of Kimberlite: appends at the end or at an expected length; reads, lengths."""

    name = "kimberlite.history"
    kinds_of_call = ("append", "append", "read", "length")

    async def joined(self, run: Run, number: int) -> Any:
        return await self.client(run)

    async def asked(self, run: Run, client: Any, seen: dict[str, Any], kind: str, count: int) -> None:
        if kind == "length":

            async def length() -> Any:
                seen["tail"] = int(await client.stream_length(T, STREAM))
                return {"LengthSuccess": {"length": seen["tail"]}}

            await self.noted(run, seen, "Length", length, lambda error: "LengthFailure")
        elif kind == "read":

            async def read() -> Any:
                bodies = [event.data for event in await client.read_stream(T, STREAM)]
                seen["tail"] = len(bodies)
                return {"ReadSuccess": {"length": len(bodies), "log_hash": chained(0, map(record_hash, bodies))}}

            await self.noted(run, seen, "Read", read, lambda error: "ReadFailure")
        else:
            bodies = self.new(count)
            expected = seen["tail"] if self.how == "match" else None
            asked = {"expected_offset": expected, "record_hashes": [record_hash(body) for body in bodies]}

            async def append() -> Any:
                places = await client.append_batch(T, STREAM, bodies, expected_offset=expected)
                seen["tail"] = int(places[-1]) + 1
                return {"AppendSuccess": {"first": int(places[0])}}

            def refused(error: KitError) -> Any:
                if isinstance(error, OffsetMismatchError):
                    return {"AppendDefiniteFailure": {"condition": True}}
                definite = isinstance(error, TransportError) and not error.maybe_received
                return {"AppendDefiniteFailure": {}} if definite else "AppendIndefiniteFailure"

            await self.noted(run, seen, {"Append": asked}, append, refused)

    def judge(self, run: Run) -> None:
        Histories.judge(self, run)


class SynapHistory(Histories, SynapScenario):
    """A key of Synap, over HTTP and SynapRPC at once."""

    name = "synap.history"
    kinds_of_call = ("set", "get", "get", "add", "delete")
    hows = ("regular",)

    async def joined(self, run: Run, number: int) -> Any:
        return self.client(run, number).kv

    async def asked(self, run: Run, client: Any, seen: dict[str, Any], kind: str, count: int) -> None:
        def failed(error: KitError) -> Any:
            definite = isinstance(error, TransportError) and not error.maybe_received
            return {"DefiniteFailure": {}} if definite else "IndefiniteFailure"

        async def get() -> Any:
            return {"Success": {"value": await client.get("key")}}

        async def add() -> Any:
            return {"Success": {"value": await client.incrby("key", count)}}

        async def delete() -> Any:
            return {"Success": {"there": await client.delete("key")}}

        if kind == "get":
            await self.noted(run, seen, "Get", get, lambda error: "Failure")
        elif kind == "add":
            await self.noted(run, seen, {"Add": {"by": count}}, add, failed)
        elif kind == "delete":
            await self.noted(run, seen, "Delete", delete, failed)
        else:
            [body] = self.new(1)
            value = body.decode()

            async def put() -> Any:
                await client.set("key", value)
                return {"Success": {}}

            await self.noted(run, seen, {"Set": {"value": value}}, put, failed)
