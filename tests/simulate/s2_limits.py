"""S2: read sessions with bounds."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from kit.s2 import AppendInput, ReadLimit, ReadUnwrittenError, Record, SeqNum, TailOffset

from .running import Op, Run
from .s2 import BASIN, STREAM, S2Scenario


class Limits(S2Scenario):
    """Read sessions with bounds: so many records, so many bytes, from a place, across what breaks."""

    name = "s2.limits"
    pieces = 40
    connections = 6

    def ops(self, chance: random.Random) -> list[Op]:
        return [
            (chance.choice(("count", "bytes", "tail", "many")), chance.randrange(60), chance.randrange(1, 40))
            for _ in range(chance.randint(2, 8))
        ]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.full = self.bodies(60)
        self.sure.basin(BASIN).stream(STREAM).append(AppendInput([Record(one) for one in self.full]))

    def work(self, run: Run) -> None:
        stream = self.client(run)
        for kind, start, size in run.ops:
            seen: list[Any] = []
            found = run.wait(run.tried(kind, partial(self._read, stream, kind, start, size, seen), 120))
            numbers = [one.seq_num for one in seen]
            first = max(0, 60 - size) if kind == "tail" else start
            run.check(numbers == list(range(first, first + len(numbers))), kind, "from", first, "gave", numbers)
            run.check([one.body for one in seen] == self.full[first : first + len(seen)], kind, "gave other records")
            most = min(60 - first, size) if kind in ("count", "tail") else 60 - first
            if kind == "bytes":
                sizes = [8 + len(one) for one in self.full[first:]]
                most = sum(sum(sizes[: n + 1]) <= size * 100 for n in range(len(sizes)))
            run.check(len(seen) <= most, kind, "gave", len(seen), "records, more than", most)
            run.check(not isinstance(found[1], ReadUnwrittenError), kind, "from", start, "is told to be unwritten")
            run.check(found[1] is not None or len(seen) == most, kind, "ended after", len(seen), "of", most)

    async def _read(self, stream: Any, kind: str, start: int, size: int, seen: list[Any]) -> None:
        given: dict[str, Any] = {
            "count": {"start": SeqNum(start), "limit": ReadLimit(count=size), "wait": 0},
            "bytes": {"start": SeqNum(start), "limit": ReadLimit(bytes=size * 100), "wait": 0},
            "tail": {"start": TailOffset(size), "wait": 0},
            "many": {"start": SeqNum(start), "wait": 0},
        }[kind]
        async with stream.read_session(**given) as session:
            async for batch in session:
                seen += batch.records
