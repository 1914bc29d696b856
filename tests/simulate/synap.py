"""Synap: keys, queues, rooms and topics, over HTTP and over SynapRPC."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections import Counter
from functools import partial
from typing import Any

import kit
from kit.synap import AsyncSynapClient, SynapClient, SynapError

from .running import Op, Run, Scenario

QUICK: dict[str, Any] = {"timeout": 2, "connect_timeout": 1}


class SynapScenario(Scenario):
    """What all work with Synap has."""

    service = "synap"
    error = SynapError
    patience = 40.0
    retries = 3

    def prepare(self, run: Run) -> None:
        self.key = run.env["SYNAP_API_KEY"]
        self.sure = SynapClient(run.env["SYNAP_URL"], api_key=self.key)
        run.closes(self.sure.close)
        self.acknowledged: list[str] = []
        self.tried: list[str] = []

    def client(self, run: Run, number: int, kind: Any = AsyncSynapClient) -> Any:
        """Return a new client: of HTTP, of SynapRPC, of both."""
        url, rpc = run.env["SYNAP_URL"], run.env["SYNAP_RPC_URL"]
        made = [
            lambda: kind(url, api_key=self.key, **QUICK),
            lambda: kind(rpc, api_key=self.key, **QUICK),
            lambda: kind(url, rpc_url=rpc, api_key=self.key, **QUICK),
        ][number % 3]()
        run.closes(made.close)
        return made


class Queues(SynapScenario):
    """Messages are published, given out, acknowledged and given back."""

    name = "synap.queue"
    pieces = 60
    connections = 6

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("publish", "publish", "many", "consume", "consume")
        return [
            (chance.randrange(4), chance.choice(kinds), chance.random() * 0.3) for _ in range(chance.randint(6, 24))
        ]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.sure.queue.create("jobs", ack_deadline_secs=3600)
        self.out: list[str] = []
        self.acked = self.unsure = 0

    def texts(self, count: int) -> list[str]:
        made = [str(len(self.tried) + n) for n in range(count)]
        self.tried += made
        return made

    def work(self, run: Run) -> None:
        async def one(number: int) -> None:
            mine = [op for op in run.ops if op[0] == number]
            queue = self.client(run, number).queue if mine else None
            for _, kind, pause in mine:
                await asyncio.sleep(pause)
                if kind == "publish":
                    [text] = self.texts(1)
                    told, _ = await run.tried(kind, lambda text=text: queue.publish("jobs", text))
                    self.acknowledged += [] if told is None else [text]
                elif kind == "many":
                    texts = self.texts(5)
                    told, error = await run.tried(kind, lambda texts=texts: queue.publish_many("jobs", texts))
                    names = told if error is None else getattr(error, "published", None) or []
                    self.acknowledged += [t for t, name in zip(texts, names, strict=False) if name is not None]
                else:
                    found, error = await run.tried(kind, lambda: queue.consume("jobs", f"c{number}"))
                    self.unsure += error is not None
                    if found is not None:
                        self.out.append(found.payload.decode())
                        _, error = await run.tried("ack", lambda f=found: queue.ack("jobs", f.message_id))
                        self.acked += error is None

        run.together(*(one(number) for number in range(3)))
        mine = [op for op in run.ops if op[0] == 3]
        queue = self.client(run, run.plan.seed, SynapClient).queue if mine else None
        for _, _, pause in mine:
            run.world.sleep(pause)
            [text] = self.texts(1)
            told = run.tries("publish", lambda text=text: queue.publish("jobs", text))
            self.acknowledged += [] if told is None else [text]

    def judge(self, run: Run) -> None:
        left = []
        while (message := self.sure.queue.consume("jobs", "sure")) is not None:
            left.append(message.payload.decode())
            self.sure.queue.ack("jobs", message.message_id)
        seen = [*self.out, *left]
        twice = [text for text, n in Counter(seen).items() if n > 1]
        run.check(not twice, "messages twice:", twice)
        run.check(not set(seen) - set(self.tried), "messages that nobody wrote")
        lost = set(self.acknowledged) - set(seen)
        run.check(len(lost) <= self.unsure, "acknowledged and not there:", sorted(lost), "unsure", self.unsure)


class Rooms(SynapScenario):
    """Events are published to a room, and read by call and by a feed."""

    name = "synap.room"
    pieces = 60
    connections = 6
    kinds = ("cut", "cut", "end", "stall", "swallow", "refuse", "drop", "hang", "jump", "freeze", "outage", "cancel")

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("publish", "many", "consume")
        return [
            (chance.randrange(3), chance.choice(kinds), chance.random() * 0.4) for _ in range(chance.randint(3, 12))
        ]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.sure.stream.create("room")
        self.places: list[tuple[int, int]] = []
        self.numbers: list[int] = []

    def events(self, count: int) -> list[int]:
        made = [len(self.numbers) + n for n in range(count)]
        self.numbers += made
        return made

    def work(self, run: Run) -> None:
        explorer = kit.connect("synap", environment=run.env, **QUICK)
        run.closes(explorer.close)
        rooms = [self.client(run, number, SynapClient).stream for number in range(3)]
        with run.followed(lambda: kit.Feed(explorer["room"], start=0)) as feed:
            for number, kind, pause in run.ops:
                run.world.sleep(pause)
                room = rooms[number]
                if kind == "publish":
                    [n] = self.events(1)
                    place = run.tries(kind, lambda room=room, n=n: room.publish("room", "event", {"n": n}))
                    self.places += [] if place is None else [(place, n)]
                elif kind == "many":
                    some = self.events(5)
                    given = [("event", {"n": n}) for n in some]
                    places = run.tries(kind, lambda room=room, given=given: room.publish_many("room", given))
                    if run.error is not None:
                        places = getattr(run.error, "published", None) or []
                    self.places += [(p, n) for p, n in zip(places, some, strict=False) if p is not None]
                else:
                    found = run.tries(kind, lambda room=room: room.consume("room", "reader", 0, 100))
                    if found is not None:
                        run.check([one.offset for one in found] == list(range(len(found))), "a read skips")
                        least = max((place + 1 for place, _ in self.places), default=0)
                        run.check(len(found) >= min(100, least), "a read gave", len(found), "after", least)
            run.settled()
            self.there = self.sure.stream.consume("room", "sure", 0, 10_000)
            told: list[int] = []
            for _ in range(600):
                told = [n for batch in feed.batches()[1] for n in batch.column("offset").to_pylist()]
                if len(told) >= len(self.there) or feed.state == "failed":
                    break
                run.world.sleep(0.5)
            run.check(feed.state != "failed", "the feed failed")
        run.check(told == list(range(len(self.there))), "a feed gave", told[:6], len(told), "of", len(self.there))

    def judge(self, run: Run) -> None:
        there = [one.data["n"] for one in self.there]
        run.once(there, [n for _, n in self.places], self.numbers, "events")
        for place, n in self.places:
            run.check(place < len(there) and there[place] == n, "confirmed at", place, "and not there")


class Topics(SynapScenario):
    """Messages of topics: each at most once, in order, and those that come after a break too."""

    name = "synap.topics"
    pieces = 60
    connections = 6
    kinds = ("cut", "cut", "end", "stall", "swallow", "refuse", "drop", "hang", "jump", "freeze", "outage", "cancel")

    def ops(self, chance: random.Random) -> list[Op]:
        return [(chance.randrange(3), chance.random() * 0.6) for _ in range(chance.randint(3, 15))]

    def work(self, run: Run) -> None:
        late: set[int] = set()

        async def follow(number: int, publisher: Any) -> None:
            seen: list[int] = []
            subscription = self.client(run, number).pubsub.subscribe(["news.*"])

            async def listen() -> None:
                for _ in range(20):
                    try:
                        async for message in subscription:
                            seen.append(message.payload["n"])
                            if message.payload["n"] == 10_000:
                                return
                    except SynapError as error:
                        # The first connection is not made again by itself.
                        run.check(not seen, "a subscription that stood has ended:", error)
                        await asyncio.sleep(0.5)

            listening = asyncio.ensure_future(listen())
            try:
                await publisher()
                for _ in range(400):
                    if listening.done():
                        break
                    await run.tried("last", lambda: sure.pubsub.publish("news.one", {"n": 10_000}))
                    await asyncio.wait([listening], timeout=0.5)
                run.check(listening.done(), "a subscription never came back")
                listening.result()
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                subscription.close()
            first = [n for n in seen if n < 10_000]
            run.check(len(set(first)) == len(first), "messages twice:", first)
            # One whose call failed may still be on its way when the next is sent.
            sure_ones = [n for n in first if n not in late]
            run.check(sure_ones == sorted(sure_ones), "messages out of order:", first)

        sure = AsyncSynapClient(run.env["SYNAP_URL"], api_key=self.key, **QUICK)
        run.closes(sure.close)

        async def publish() -> None:
            for n, (number, pause) in enumerate(run.ops):
                await asyncio.sleep(pause)
                _, error = await run.tried(
                    "publish", lambda n=n, number=number: clients[number].pubsub.publish("news.one", {"n": n})
                )
                if error is not None:
                    late.add(n)
            run.house.calm()

        clients = [self.client(run, number) for number in range(3)]
        run.wait(follow(run.plan.seed % 3, publish))


class Keys(SynapScenario):
    """Many keys at once, over HTTP and SynapRPC, by callers that block; the newest of each is known."""

    name = "synap.keys"
    pieces = 60
    connections = 6

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("mset", "mset", "mget", "set", "incr", "delete")
        return [
            (chance.randrange(3), chance.choice(kinds), chance.choice((1, 5, 60)), chance.random() * 0.2)
            for _ in range(chance.randint(4, 16))
        ]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        self.now: dict[str, str | None] = {}
        self.late: dict[str, set[str | None]] = {}
        """What a call may have left there whose outcome is not known, at once or at any later time."""
        self.counted: set[str] = set()
        """Keys that may have been counted so."""

    def work(self, run: Run) -> None:
        # A caller that blocks asks over HTTP in several threads at once, so here only SynapRPC is asked like that.
        clients = [self.client(run, n, SynapClient if n == 1 else AsyncSynapClient) for n in range(3)]
        for n, (number, kind, count, pause) in enumerate(run.ops):
            run.world.sleep(pause)
            keys = clients[number].kv
            names = [f"k{m}" for m in range(count)]
            if kind == "mset":
                self.asked(run, kind, partial(keys.mset, dict.fromkeys(names, str(n))))
                self.put(run, names, str(n))
            elif kind == "set":
                self.asked(run, kind, partial(keys.set, "k0", str(n)))
                self.put(run, ["k0"], str(n))
            elif kind == "delete":
                self.asked(run, kind, partial(keys.delete, "k0"))
                self.put(run, ["k0"], None)
            elif kind == "incr":
                found = self.asked(run, kind, partial(keys.incr, "k0"))
                if run.error is not None:
                    self.counted.add("k0")
                else:
                    self.check(run, "k0", str(found - 1), nothing="0")
                    self.now["k0"] = str(found)
            else:
                found = self.asked(run, kind, partial(keys.mget, names))
                for name, value in zip(names, found or [], strict=False):
                    self.check(run, name, value)

    def asked(self, run: Run, kind: str, call: partial[Any]) -> Any:
        """Return what a call of either colour gives."""
        if not inspect.iscoroutinefunction(call.func):
            return run.tries(kind, call)
        found, run.error = run.wait(run.tried(kind, call))
        return found

    def put(self, run: Run, names: list[str], value: str | None) -> None:
        """Note what was put there, or may have been."""
        for name in names:
            if run.error is None:
                self.now[name] = value
            else:
                self.late.setdefault(name, set()).add(value)

    def check(self, run: Run, name: str, value: str | None, nothing: str | None = None) -> None:
        """Check that a value can be there."""
        if name not in self.counted:
            may_be = {self.now.get(name), *self.late.get(name, ())}
            may_be = {nothing if one is None else one for one in may_be}
            run.check(value in may_be, name, "is", value, "and may be", may_be)

    def judge(self, run: Run) -> None:
        for name in sorted({*self.now, *self.late})[:5]:
            self.check(run, name, self.sure.kv.get(name))
