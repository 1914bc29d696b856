"""S2: records in and out by every way there is."""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import timedelta
from functools import partial
from typing import Any

import kit
from kit.s2 import (
    S2,
    AppendInput,
    AppendRetryPolicy,
    Endpoints,
    ReadLimit,
    ReadUnwrittenError,
    Record,
    Retry,
    S2Error,
    SeqNum,
    SyncS2,
    Timeout,
)

from .running import Op, Run, Scenario

BASIN = "simulated"
STREAM = "log"
TIMEOUT = Timeout(request=timedelta(seconds=2), connection=timedelta(seconds=1))
RETRY = Retry(3, timedelta(milliseconds=10), timedelta(milliseconds=100), AppendRetryPolicy.NO_SIDE_EFFECTS)


class S2Scenario(Scenario):
    """What all work with S2 has."""

    service = "s2"
    error = S2Error
    patience = 3 * (1 + 2) * 2 + 2
    retries = 2

    def prepare(self, run: Run) -> None:
        ends = Endpoints(run.env["S2_ACCOUNT_ENDPOINT"], run.env["S2_BASIN_ENDPOINT"])
        self.options: dict[str, Any] = {"endpoints": ends, "timeout": TIMEOUT, "retry": RETRY}
        self.token = run.env["S2_ACCESS_TOKEN"]
        self.sure = SyncS2(self.token, endpoints=ends)
        run.closes(self.sure.close)
        self.sure.create_basin(BASIN)
        self.sure.basin(BASIN).create_stream(STREAM)
        self.acknowledged: list[tuple[int, bytes]] = []
        self.tried: list[bytes] = []
        self.count = 0

    def client(self, run: Run) -> Any:
        """Return a new client that is awaited."""
        made = S2(self.token, **self.options)
        run.closes(made.close)
        return made.basin(BASIN).stream(STREAM)

    def blocking(self, run: Run) -> Any:
        """Return a new client that blocks."""
        made = SyncS2(self.token, **self.options)
        run.closes(made.close)
        return made.basin(BASIN).stream(STREAM)

    def bodies(self, count: int, size: int = 0) -> list[bytes]:
        """Return records of which no two are alike."""
        self.count += count
        made = [b"%06d" % n + b"." * (size or n * 7 % 90) for n in range(self.count - count, self.count)]
        self.tried += made
        return made

    def kept(self, ack: Any, bodies: list[bytes]) -> None:
        """Note what was acknowledged."""
        assert ack.end.seq_num - ack.start.seq_num == len(bodies)
        self.acknowledged += list(enumerate(bodies, ack.start.seq_num))

    def there(self) -> list[bytes]:
        """Return what the stream has."""
        found: list[bytes] = []
        tail = self.sure.basin(BASIN).stream(STREAM).check_tail().seq_num
        while len(found) < tail:
            batch = self.sure.basin(BASIN).stream(STREAM).read(start=SeqNum(len(found)))
            assert [one.seq_num for one in batch.records] == list(range(len(found), len(found) + len(batch.records)))
            found += [one.body for one in batch.records]
        return found

    def judge(self, run: Run) -> None:
        there = self.there()
        run.once(there, [body for _, body in self.acknowledged], self.tried, "records")
        for place, body in self.acknowledged:
            run.check(place < len(there) and there[place] == body, "acknowledged at", place, "and not there")


class Unary(S2Scenario):
    """Several clients of both colours append, read and ask for the tail, call by call."""

    name = "s2.unary"
    pieces = 70
    connections = 8

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("append", "append", "append", "read", "tail", "matched")
        return [
            (chance.randrange(4), chance.choice(kinds), chance.choice((1, 1, 2, 7)), chance.random() * 0.3)
            for _ in range(chance.randint(6, 22))
        ]

    def work(self, run: Run) -> None:
        async def one(number: int) -> None:
            stream = self.client(run)
            tail = 0
            for client, kind, count, pause in run.ops:
                if client != number:
                    continue
                await asyncio.sleep(pause)
                if kind in ("append", "matched"):
                    bodies = self.bodies(count)
                    match = tail if kind == "matched" else None
                    given = AppendInput([Record(body) for body in bodies], match_seq_num=match)
                    ack, _ = await run.tried(kind, lambda given=given: stream.append(given))
                    if ack is not None:
                        run.check(match in (None, ack.start.seq_num), "matched", match, "and is at", ack.start.seq_num)
                        self.kept(ack, bodies)
                        tail = ack.end.seq_num
                elif kind == "tail":
                    least = max((place + 1 for place, _ in self.acknowledged), default=0)
                    found, _ = await run.tried(kind, stream.check_tail)
                    if found is not None:
                        run.check(found.seq_num >= least, "the tail is told as", found.seq_num, "after", least)
                        tail = found.seq_num
                else:
                    self.seen(run, *await run.tried(kind, lambda: stream.read(start=SeqNum(0))))

        run.together(*(one(number) for number in range(3)))
        stream = self.blocking(run)
        for client, kind, count, pause in run.ops:
            if client != 3:
                continue
            run.world.sleep(pause)
            if kind in ("append", "matched"):
                bodies = self.bodies(count)
                ack = run.tries(kind, lambda bodies=bodies: stream.append(AppendInput([Record(one) for one in bodies])))
                if ack is not None:
                    self.kept(ack, bodies)
            elif kind == "tail":
                run.tries(kind, stream.check_tail)
            else:
                self.seen(run, run.tries(kind, lambda: stream.read(start=SeqNum(0))), run.error)

    def seen(self, run: Run, batch: Any, error: Any) -> None:
        """Check a read against what was acknowledged before it."""
        if isinstance(error, ReadUnwrittenError):
            return
        if batch is not None:
            run.check([one.seq_num for one in batch.records] == list(range(len(batch.records))), "a read skips")
            places = dict(self.acknowledged)
            for one in batch.records:
                run.check(places.get(one.seq_num, one.body) == one.body, "another record at", one.seq_num)


class Sessions(S2Scenario):
    """An append session or a producer writes, while sessions follow, one of them slowly."""

    name = "s2.sessions"
    pieces = 90
    connections = 6
    kinds = (*Scenario.kinds, "cut", "end")

    def ops(self, chance: random.Random) -> list[Op]:
        how = chance.choice(("session", "session", "producer"))
        size = chance.choice((0, 0, 0, 3000))
        steps = [(chance.choice((1, 1, 3)), chance.choice((0.0, 0.0, 0.05, 0.4))) for _ in range(chance.randint(3, 16))]
        return [("by", how, size), *(("write", *step) for step in steps), ("slow", chance.choice((0.0, 0.02, 0.5)))]

    def work(self, run: Run) -> None:
        how, size = next((op[1:] for op in run.ops if op[0] == "by"), ("session", 0))
        slow = next((op[1] for op in run.ops if op[0] == "slow"), 0.0)
        self.over, self.waited = False, 0

        async def write() -> None:
            stream = self.client(run)
            try:
                # As one call, so that it may be broken off in the middle.
                way = self._session if how == "session" else self._producer
                await run.tried(how, lambda: way(run, stream, size), 200)
            finally:
                self.over = True

        async def follow(pause: float) -> None:
            await run.tried("follow", lambda: self._follow(run, pause), 2000)

        run.together(write(), follow(0.0), follow(slow))

    async def _session(self, run: Run, stream: Any, size: int) -> None:
        tickets: list[tuple[list[bytes], Any]] = []
        with run._timed("append session", 60) as told:
            try:
                async with stream.append_session() as session:
                    for op in run.ops:
                        if op[0] == "write":
                            bodies = self.bodies(op[1], size)
                            given = AppendInput([Record(one) for one in bodies])
                            tickets.append((bodies, await session.submit(given)))
                            await asyncio.sleep(op[2])
            except S2Error as error:
                told[1] = error
        broke = told[1] is not None
        for bodies, ticket in tickets:
            ack, error = await run.tried("ticket", lambda ticket=ticket: ticket)
            broke = broke or error is not None
            if ack is not None:
                self.kept(ack, bodies)
        run.check(broke or len(self.acknowledged) == len(self.tried), "no error, and not all acknowledged")

    async def _producer(self, run: Run, stream: Any, size: int) -> None:
        tickets: list[tuple[bytes, Any]] = []
        with run._timed("producer", 60) as told:
            try:
                async with stream.producer() as producer:
                    for op in run.ops:
                        if op[0] == "write":
                            for body in self.bodies(op[1], size):
                                tickets.append((body, await producer.submit(Record(body))))
                            await asyncio.sleep(op[2])
            except S2Error as error:
                told[1] = error
        for body, ticket in tickets:
            ack, _ = await run.tried("ticket", lambda ticket=ticket: ticket)
            if ack is not None:
                self.acknowledged.append((ack.seq_num, body))

    async def _follow(self, run: Run, slow: float) -> None:
        """Read from the beginning to the end that the writer leaves, each record once and in order."""
        stream = self.client(run)
        seen: list[bytes] = []
        for _ in range(12):
            session = stream.read_session(start=SeqNum(len(seen)))
            try:
                async with session:
                    while True:
                        try:
                            batch = await asyncio.wait_for(anext(session), 1)
                        except TimeoutError:
                            self.waited += self.over
                            if self.over and (len(seen) >= len(self.acknowledged) or self.waited > 100):
                                break
                            continue
                        numbers = [one.seq_num for one in batch.records]
                        wanted = list(range(len(seen), len(seen) + len(numbers)))
                        run.check(numbers == wanted, "a session gave", numbers[:3], "where", len(seen), "is next")
                        seen += [one.body for one in batch.records]
                        await asyncio.sleep(slow)
                break
            except StopAsyncIteration:
                run.check(False, "a session without an end has ended")
            except S2Error as error:
                run.check(isinstance(error, self.error), "raised", error)
                run.network.say(f"follow {type(error).__name__}: {error}")
                if isinstance(error, ReadUnwrittenError):
                    run.check(not seen, "unwritten after", len(seen))
                await asyncio.sleep(0.2)
        for place, body in self.acknowledged:
            run.check(place >= len(seen) or seen[place] == body, "a session gave another record at", place)
        self.seen = seen


class Feeds(S2Scenario):
    """A feed in a notebook, and a session that blocks, while somebody writes."""

    name = "s2.feed"
    pieces = 60
    connections = 4
    kinds = ("cut", "cut", "end", "stall", "swallow", "refuse", "drop", "jump", "freeze", "outage", "cancel")

    def ops(self, chance: random.Random) -> list[Op]:
        return [(chance.choice((1, 2, 5)), chance.choice((0.0, 0.1, 0.7))) for _ in range(chance.randint(2, 10))]

    def work(self, run: Run) -> None:
        explorer = kit.connect("s2", environment=run.env, timeout=TIMEOUT, retry=RETRY)
        run.closes(explorer.close)
        stream = self.blocking(run)
        with run.followed(lambda: kit.Feed(explorer[BASIN][STREAM], start=0)) as feed:
            for count, pause in run.ops:
                bodies = self.bodies(count)
                ack = run.tries("append", lambda bodies=bodies: stream.append(AppendInput([Record(b) for b in bodies])))
                if ack is not None:
                    self.kept(ack, bodies)
                run.world.sleep(pause)
            run.settled()
            tail = stream.check_tail().seq_num
            self.told: list[int] = []
            for _ in range(600):
                self.told = [n for batch in feed.batches()[1] for n in batch.column("seq_num").to_pylist()]
                if len(self.told) >= tail or feed.state == "failed":
                    break
                run.world.sleep(0.5)
            run.check(feed.state != "failed", "the feed failed:", feed.state)
        run.check(self.told == list(range(len(self.told))), "a feed gave", self.told[:6])
        run.check(len(self.told) == tail, "a feed is at", len(self.told), "of", tail)

    def judge(self, run: Run) -> None:
        super().judge(run)
        if self.there():
            got = run.tries(
                "read session",
                lambda: [
                    one.seq_num
                    for batch in self.sure.basin(BASIN)
                    .stream(STREAM)
                    .read_session(start=SeqNum(0), limit=ReadLimit(count=len(self.there())))
                    for one in batch.records
                ],
            )
            run.check(got == list(range(len(self.there()))), "a session that blocks gave", got)


class Blocking(S2Scenario):
    """Sessions and producers of callers that block, whose work is done on the background loop."""

    name = "s2.blocking"
    pieces = 70
    connections = 8

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("session", "producer", "read", "append")
        sizes = (0, 0, 0, 3000, 90_000)
        return [
            (chance.choice(kinds), chance.choice((1, 3, 8)), chance.choice(sizes), chance.choice((0.0, 0.1)))
            for _ in range(chance.randint(2, 7))
        ]

    def work(self, run: Run) -> None:
        stream = self.blocking(run)
        for kind, count, size, pause in run.ops:
            if kind == "session":
                run.tries(kind, partial(self._session, run, stream, count, size, pause), patience=90)
            elif kind == "producer":
                run.tries(kind, partial(self._producer, run, stream, count, size, pause), patience=90)
            elif kind == "append":
                bodies = self.bodies(1, size)
                ack = run.tries(kind, partial(stream.append, AppendInput([Record(one) for one in bodies])))
                if ack is not None:
                    self.kept(ack, bodies)
            else:
                run.tries(kind, partial(self._read, run, stream, pause), patience=90)

    def _session(self, run: Run, stream: Any, count: int, size: int, pause: float) -> None:
        tickets = []
        try:
            with stream.append_session() as session:
                for _ in range(count):
                    bodies = self.bodies(2, size)
                    tickets.append((bodies, session.submit(AppendInput([Record(one) for one in bodies]))))
                    run.world.sleep(pause)
        finally:
            for bodies, ticket in tickets:
                if ticket.done():
                    with contextlib.suppress(S2Error):
                        self.kept(ticket.result(), bodies)
        run.check(all(ticket.done() for _, ticket in tickets), "a session ended with tickets that are open")

    def _producer(self, run: Run, stream: Any, count: int, size: int, pause: float) -> None:
        tickets = []
        try:
            with stream.producer() as producer:
                for body in self.bodies(count, size):
                    tickets.append((body, producer.submit(Record(body))))
                    run.world.sleep(pause)
        finally:
            for body, ticket in tickets:
                if ticket.done():
                    with contextlib.suppress(S2Error):
                        self.acknowledged.append((ticket.result().seq_num, body))
        run.check(all(ticket.done() for _, ticket in tickets), "a producer ended with tickets that are open")

    def _read(self, run: Run, stream: Any, pause: float) -> None:
        least = max((place + 1 for place, _ in self.acknowledged), default=0)
        seen: list[bytes] = []
        try:
            with stream.read_session(start=SeqNum(0), wait=0) as session:
                for batch in session:
                    wanted = list(range(len(seen), len(seen) + len(batch.records)))
                    run.check([one.seq_num for one in batch.records] == wanted, "a session gave", wanted[:3])
                    seen += [one.body for one in batch.records]
                    run.world.sleep(pause)
        except ReadUnwrittenError:
            pass
        run.check(len(seen) >= least, "a session gave", len(seen), "after", least)
        for place, body in self.acknowledged:
            run.check(place >= len(seen) or seen[place] == body, "a session gave another record at", place)
