"""Kimberlite: events by call, by subscription and by feed, and statements of SQL."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

import kit
from kit.kimberlite import AsyncClient, Client, KimberliteError, OffsetMismatchError, TenantId

from .running import Op, Run, Scenario

T = TenantId(1)
STREAM = "log"
QUICK: dict[str, Any] = {"timeout": 2, "connect_timeout": 1, "max_retries": 2}


class KimberliteScenario(Scenario):
    """What all work with Kimberlite has."""

    service = "kimberlite"
    error = KimberliteError
    # An append may ask how long the stream is, and read what stands where its answer was lost: each so often.
    patience = 60.0
    retries = 2

    def prepare(self, run: Run) -> None:
        self.address, self.key = run.env["KIMBERLITE_ADDRESS"], run.env["KIMBERLITE_API_KEY"]
        self.sure = Client(self.address, T, self.key)
        run.closes(self.sure.close)
        self.sure.create_stream(STREAM)
        self.acknowledged: list[tuple[int, bytes]] = []
        self.tried: list[bytes] = []
        self.count = 0

    async def client(self, run: Run) -> Any:
        """Return a new client that is awaited; None where it cannot be made."""
        made, _ = await run.tried("connect", lambda: AsyncClient.connect(self.address, T, self.key, **QUICK))
        if made is not None:
            run.closes(made.close)
        return made

    def bodies(self, count: int) -> list[bytes]:
        """Return events of which no two are alike."""
        self.count += count
        made = [b"%06d" % n + b"." * (n * 7 % 90) for n in range(self.count - count, self.count)]
        self.tried += made
        return made

    def kept(self, places: Any, bodies: list[bytes]) -> None:
        """Note what was acknowledged."""
        numbers = [int(one) for one in places]
        assert numbers == list(range(numbers[0], numbers[0] + len(bodies)))
        self.acknowledged += zip(numbers, bodies, strict=True)

    def there(self) -> list[bytes]:
        """Return what the stream has."""
        found = self.sure.read_stream(T, STREAM)
        assert [int(one.position) for one in found] == list(range(len(found)))
        return [one.data for one in found]

    def judge(self, run: Run) -> None:
        there = self.there()
        run.once(there, [body for _, body in self.acknowledged], self.tried, "events")
        for place, body in self.acknowledged:
            run.check(place < len(there) and there[place] == body, "acknowledged at", place, "and not there")


class Unary(KimberliteScenario):
    """Several clients of both colours append, read, ask for the length and change a table, call by call."""

    name = "kimberlite.unary"
    pieces = 70
    connections = 6

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("append", "batch", "batch", "expected", "read", "length", "add")
        return [
            (chance.randrange(4), chance.choice(kinds), chance.choice((1, 2, 7)), chance.random() * 0.3)
            for _ in range(chance.randint(6, 20))
        ]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.added = self.asked = 0
        self.tables = any(op[1] == "add" for op in run.ops)
        if self.tables:
            self.sure.execute("CREATE TABLE counts (name TEXT PRIMARY KEY, n BIGINT)")
            self.sure.execute("INSERT INTO counts (name, n) VALUES ('one', 0)")

    def work(self, run: Run) -> None:
        async def one(number: int) -> None:
            mine = [op for op in run.ops if op[0] == number]
            client = await self.client(run) if mine else None
            if client is None:
                return
            tail = 0
            for _, kind, count, pause in mine:
                await asyncio.sleep(pause)
                least = max((place + 1 for place, _ in self.acknowledged), default=0)
                if kind in ("append", "batch", "expected"):
                    bodies = self.bodies(1 if kind == "append" else count)
                    given = {"expected_offset": tail} if kind == "expected" else {}
                    found, error = await run.tried(kind, partial(self._append, client, kind, bodies, given))
                    if found is not None:
                        self.kept([found] if kind == "append" else found, bodies)
                        tail = self.acknowledged[-1][0] + 1
                        run.check(not given or tail - len(bodies) == given["expected_offset"], "written elsewhere")
                    if isinstance(error, OffsetMismatchError) and error.actual is not None:
                        tail = error.actual
                elif kind == "length":
                    found, _ = await run.tried(kind, lambda: client.stream_length(T, STREAM))
                    if found is not None:
                        run.check(int(found) >= least, "the length is told as", found, "after", least)
                        tail = int(found)
                elif kind == "read":
                    found, _ = await run.tried(kind, lambda: client.read_stream(T, STREAM))
                    if found is not None:
                        run.check([int(e.position) for e in found] == list(range(len(found))), "a read skips")
                        run.check(len(found) >= least, "a read gave", len(found), "after", least)
                        for place, body in self.acknowledged[:least]:
                            run.check(place >= len(found) or found[place].data == body, "another event at", place)
                else:
                    self.asked += 1
                    _, error = await run.tried(
                        "add", lambda: client.execute("UPDATE counts SET n = n + 1 WHERE name = 'one'")
                    )
                    self.added += error is None

        run.together(*(one(number) for number in range(3)))
        mine = [op for op in run.ops if op[0] == 3]
        client = run.tries("connect", lambda: Client(self.address, T, self.key, **QUICK)) if mine else None
        if client is None:
            return
        run.closes(client.close)
        for _, kind, count, pause in mine:
            run.world.sleep(pause)
            if kind in ("append", "batch", "expected"):
                bodies = self.bodies(count)
                found = run.tries("batch", lambda bodies=bodies: client.append_batch(T, STREAM, bodies))
                if found is not None:
                    self.kept(found, bodies)
            elif kind == "add":
                self.asked += 1
                run.tries("add", lambda: client.execute("UPDATE counts SET n = n + 1 WHERE name = 'one'"))
                self.added += run.error is None
            else:
                seen = run.tries("iterate", lambda: [int(e.position) for e in client.iter_stream(T, STREAM)])
                run.check(seen is None or seen == list(range(len(seen))), "iterating gave", seen)

    async def _append(self, client: Any, kind: str, bodies: list[bytes], given: dict[str, Any]) -> Any:
        if kind == "append":
            return await client.append(T, STREAM, bodies[0], **given)
        return await client.append_batch(T, STREAM, bodies, **given)

    def judge(self, run: Run) -> None:
        super().judge(run)
        if self.tables:
            there = int(self.sure.query("SELECT n FROM counts WHERE name = 'one'").rows[0][0])
            run.check(self.added <= there <= self.asked, self.added, "confirmed,", there, "done of", self.asked)


class Follow(KimberliteScenario):
    """Subscriptions, one of them slow, and a feed, while somebody writes."""

    name = "kimberlite.follow"
    pieces = 80
    connections = 5
    kinds = (
        "cut",
        "cut",
        "end",
        "stall",
        "swallow",
        "twice",
        "refuse",
        "drop",
        "hang",
        "jump",
        "freeze",
        "outage",
        "cancel",
    )

    def ops(self, chance: random.Random) -> list[Op]:
        steps = [
            ("write", chance.choice((1, 2, 9, 40)), chance.choice((0.0, 0.1, 0.7)))
            for _ in range(chance.randint(2, 10))
        ]
        return [*steps, ("slow", chance.choice((0.0, 0.05, 0.3)), chance.choice((2, 16, 256)))]

    def work(self, run: Run) -> None:
        self.over, self.waited = False, 0

        async def write() -> None:
            try:
                client = await self.client(run)
                for op in run.ops:
                    if op[0] == "write" and client is not None:
                        bodies = self.bodies(op[1])
                        found, _ = await run.tried(
                            "batch", lambda bodies=bodies: client.append_batch(T, STREAM, bodies)
                        )
                        if found is not None:
                            self.kept(found, bodies)
                        await asyncio.sleep(op[2])
            finally:
                self.over = True

        slow, credits = next((op[1:] for op in run.ops if op[0] == "slow"), (0.0, 256))

        async def follow(pause: float, most: int) -> None:
            await run.tried("follow", lambda: self._follow(run, pause, most), 2000)

        run.together(write(), follow(0.0, 256), follow(slow, credits))

    async def _follow(self, run: Run, slow: float, credits: int) -> None:
        seen: list[bytes] = []
        client = await self.client(run)
        for _ in range(12 if client is not None else 0):
            subscription = client.subscribe(T, STREAM, from_position=len(seen), credits=credits)
            try:
                async with subscription:
                    while True:
                        event = await subscription.next_event(timeout=1)
                        if event is None:
                            self.waited += self.over
                            if self.over and (len(seen) >= len(self.acknowledged) or self.waited > 100):
                                break
                            continue
                        run.check(int(event.position) == len(seen), "a subscription gave", event.position, len(seen))
                        seen.append(event.data)
                        await asyncio.sleep(slow)
                break
            except KimberliteError as error:
                run.network.say(f"follow {type(error).__name__}: {error}")
                await asyncio.sleep(0.2)
        for place, body in self.acknowledged:
            run.check(place >= len(seen) or seen[place] == body, "a subscription gave another event at", place)


class Feeds(KimberliteScenario):
    """A feed in a notebook, while somebody writes."""

    name = "kimberlite.feed"
    pieces = 60
    connections = 5
    kinds = ("cut", "cut", "end", "stall", "swallow", "twice", "refuse", "drop", "jump", "freeze", "outage", "cancel")

    def ops(self, chance: random.Random) -> list[Op]:
        return [(chance.choice((1, 2, 9)), chance.choice((0.0, 0.1, 0.7))) for _ in range(chance.randint(2, 10))]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.explorer = kit.connect("kimberlite", environment={**run.env, "KIMBERLITE_TENANT": "1"}, **QUICK)
        run.closes(self.explorer.close)
        self.handle = self.explorer[STREAM]

    def work(self, run: Run) -> None:
        client = run.tries("connect", lambda: Client(self.address, T, self.key, **QUICK))
        if client is not None:
            run.closes(client.close)
        with run.followed(lambda: kit.Feed(self.handle, start=0)) as feed:
            for count, pause in run.ops if client is not None else ():
                bodies = self.bodies(count)
                found = run.tries("batch", lambda bodies=bodies: client.append_batch(T, STREAM, bodies))
                if found is not None:
                    self.kept(found, bodies)
                run.world.sleep(pause)
            run.settled()
            tail = int(self.sure.stream_length(T, STREAM))
            told: list[int] = []
            for _ in range(600):
                told = [n for batch in feed.batches()[1] for n in batch.column("offset").to_pylist()]
                if len(told) >= tail or feed.state == "failed":
                    break
                run.world.sleep(0.5)
            run.check(feed.state != "failed", "the feed failed")
        run.check(told == list(range(len(told))), "a feed gave", told[:6])
        run.check(len(told) == tail, "a feed is at", len(told), "of", tail)


class Blocking(KimberliteScenario):
    """A caller that blocks appends, and takes events of a subscription in between."""

    name = "kimberlite.blocking"
    pieces = 60
    connections = 5
    kinds = Follow.kinds

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("write", "write", "take", "wait")
        steps = [
            (chance.choice(kinds), chance.choice((1, 3, 30)), chance.random() * 0.4)
            for _ in range(chance.randint(3, 14))
        ]
        return [("credits", chance.choice((1, 7, 256)), 0.0), *steps]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.blocking = Client(self.address, T, self.key, **QUICK)
        run.closes(self.blocking.close)

    def work(self, run: Run) -> None:
        client, seen = self.blocking, list[bytes]()
        credits = next((op[1] for op in run.ops if op[0] == "credits"), 256)
        subscription: Any = None
        for kind, count, pause in run.ops:
            run.world.sleep(pause)
            if kind == "write":
                bodies = self.bodies(count)
                found = run.tries("batch", partial(client.append_batch, T, STREAM, bodies))
                if found is not None:
                    self.kept(found, bodies)
            elif kind in ("take", "wait"):
                if subscription is None:
                    make = partial(client.subscribe, T, STREAM, from_position=len(seen), credits=credits)
                    subscription = run.tries("subscribe", make)
                for _ in range(count if subscription is not None else 0):
                    event = run.tries("next", partial(subscription.next_event, 0.5))
                    if run.error is not None and subscription.closed:
                        subscription.close()
                        subscription = None
                    if event is None:
                        break
                    run.check(int(event.position) == len(seen), "a subscription gave", event.position, len(seen))
                    seen.append(event.data)
        if subscription is not None:
            run.tries("close", subscription.close)
            subscription.close()
        for place, body in self.acknowledged:
            run.check(place >= len(seen) or seen[place] == body, "a subscription gave another event at", place)
        self.seen = seen

    def judge(self, run: Run) -> None:
        super().judge(run)
        run.check(self.there()[: len(self.seen)] == self.seen, "a subscription gave what is not there")
