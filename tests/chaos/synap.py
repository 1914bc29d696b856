"""Synap in trouble: keys, queues, rooms and topics, over HTTP and over SynapRPC."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import kit
from kit.synap import AsyncSynapClient, SynapClient

from .running import Bench, Run

ROWS = 1500


class SynapBench(Bench):
    service = "synap"

    def targets(self) -> list[int]:
        return [self.house.ports["synap"], self.house.ports["synap-rpc"]]

    def open(self) -> None:
        env, direct = self.environment(), self.house.env
        key = env["SYNAP_API_KEY"]
        quick: dict[str, Any] = {"api_key": key, "timeout": 0.6, "connect_timeout": 0.6}
        self.clients = {
            "sync": SynapClient(env["SYNAP_URL"], rpc_url=env["SYNAP_RPC_URL"], **quick),
            "async": AsyncSynapClient(env["SYNAP_URL"], rpc_url=env["SYNAP_RPC_URL"], **quick),
            "sync-rpc": SynapClient(env["SYNAP_RPC_URL"], **quick),
            "async-rpc": AsyncSynapClient(env["SYNAP_RPC_URL"], **quick),
        }
        self.explorer = kit.connect("synap", environment=env, timeout=0.6, connect_timeout=0.6)
        self.sure = kit.connect("synap", environment=direct)
        self.fill()

    def fill(self) -> None:
        """The room that is read; it is made once, as rooms outlive the embedded server."""
        c = self.sure.client
        if "full" not in c.stream.list():
            c.stream.create("full")
            c.stream.publish_many("full", [("event", {"n": n}) for n in range(ROWS)], ordered=False)
            self.order = [event.data for event in self._events("full")]
        c.kv.set("always", "there")

    def _events(self, room: str) -> list[Any]:
        found: list[Any] = []
        while True:
            page = self.sure.client.stream.consume(room, "sure", len(found), 1000)
            if not page:
                return found
            found += page

    def close(self) -> None:
        self.explorer.close()
        self.sure.close()
        super().close()

    def arm(self, wanted: Any) -> None:
        # Which of the two roads a call takes is the client's affair: the trouble waits on both.
        for proxy in self.proxies:
            proxy.fired.clear()
            proxy.arm(*wanted.bytes)
        for rule in wanted.lab:
            self.house.fault(**rule)

    def calm(self) -> None:
        super().calm()
        self.proxies[0].fired += self.proxies[1].fired
        self.proxies[1].fired.clear()

    def again(self, run: Run) -> None:
        assert run.do(run.client.kv.get("always")) == "there"
        assert self.explorer.get("always")["key"].tolist() == ["always"]

    def verbs(self) -> dict[str, Callable[[Run], None]]:
        names = (
            "get",
            "mset",
            "incr",
            "keys",
            "queue_publish",
            "queue_publish_many",
            "queue_consume",
            "drain",
            "room_publish",
            "room_publish_many",
            "room_consume",
            "frame",
            "arrow",
            "feed",
            "topics",
            "lists",
            "metrics",
        )
        return {name: getattr(self, name) for name in names}

    # --- keys -------------------------------------------------------------------------------------------------------

    def get(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: run.client.kv.get("always"))
            run.check(run.error is not None or got == "there", "get gave", got)
            new = "new" + run.wide()
            run.attempt(lambda: run.client.kv.set(run.name, new))
            done = run.error is None
        there = self.sure.client.kv.get(run.name)
        run.check(there in (new, None) and (there == new or not done), "set was confirmed, and there is", there)

    def mset(self, run: Run) -> None:
        pairs = {f"{run.name}-{n}": str(n) for n in range(40)}
        with run.under():
            run.attempt(lambda: run.client.kv.mset(pairs))
            done = run.error is None
        there = self.sure.client.kv.mget(pairs)
        run.check(not done or there == list(pairs.values()), "mset was confirmed, and there is", there)
        if done:
            with run.under():
                got = run.attempt(lambda: run.client.kv.mget(list(pairs)))
            run.check(run.error is not None or got == list(pairs.values()), "mget gave", got)

    def incr(self, run: Run) -> None:
        acknowledged = 0
        with run.under():
            for _ in range(4):
                run.attempt(lambda: run.client.kv.incr(run.name))
                acknowledged += run.error is None
        there = int(self.sure.client.kv.get(run.name) or 0)
        run.check(acknowledged <= there <= 4, acknowledged, "of 4 confirmed,", there, "done")

    def keys(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.keys("always"))
        run.check(run.error is not None or got["key"].tolist() == ["always"], "keys gave", got)

    # --- queues -----------------------------------------------------------------------------------------------------

    def _left(self, queue: str) -> list[str]:
        found = []
        while (message := self.sure.client.queue.consume(queue, "sure")) is not None:
            found.append(message.payload.decode())
            self.sure.client.queue.ack(queue, message.message_id)
        return found

    def queue_publish(self, run: Run) -> None:
        self.sure.client.queue.create(run.name)
        acknowledged, tried = [], []
        with run.under():
            for n in range(3):
                tried.append(str(n))
                run.attempt(lambda n=n: run.client.queue.publish(run.name, str(n)))
                if run.error is None:
                    acknowledged.append(str(n))
        run.once(self._left(run.name), acknowledged, tried, what="messages")

    def queue_publish_many(self, run: Run) -> None:
        self.sure.client.queue.create(run.name)
        texts = [str(n) for n in range(60)]
        with run.under():
            run.attempt(lambda: run.client.queue.publish_many(run.name, texts))
        acknowledged = texts
        if run.error is not None:
            told = getattr(run.error, "published", None) or []
            acknowledged = [text for text, name in zip(texts, told, strict=False) if name is not None]
        run.once(self._left(run.name), acknowledged, texts, what="messages")

    def queue_consume(self, run: Run) -> None:
        self.sure.client.queue.create(run.name, ack_deadline_secs=3600)
        for n in range(4):
            self.sure.client.queue.publish(run.name, str(n))
        seen, acked, unsure = [], 0, 0
        with run.under():
            for _ in range(4):
                message = run.attempt(lambda: run.client.queue.consume(run.name, "one"))
                if message is None:
                    unsure += run.error is not None
                    continue
                seen.append(message.payload.decode())
                run.attempt(lambda message=message: run.client.queue.ack(run.name, message.message_id))
                acked += run.error is None
        left = self._left(run.name)
        run.check(len(set(seen)) == len(seen), "given out twice:", seen)
        run.check(not set(seen) & set(left), "given out and still there")
        run.check(len(seen) + len(left) >= 4 - unsure, "lost:", seen, left, "unsure", unsure)
        told = self.sure.client.queue.stats(run.name)
        run.check(told.acked >= acked + len(left), "acknowledged", acked, "and the server knows of", told.acked)

    def drain(self, run: Run) -> None:
        self.sure.client.queue.create(run.name, ack_deadline_secs=3600)
        self.sure.client.queue.publish_many(run.name, [str(n) for n in range(30)])
        with run.under():
            got = run.attempt(lambda: self.explorer.drain(run.name, 30, body="text"))
        if run.error is None:
            column = "payload" if "payload" in got.columns else "body"
            told = [str(one) for one in got[column]]
            run.check(len(set(told)) == len(told), "given out twice", told)

    # --- rooms ------------------------------------------------------------------------------------------------------

    def room_publish(self, run: Run) -> None:
        self.sure.client.stream.create(run.name)
        acknowledged, tried = [], []
        with run.under():
            for n in range(3):
                tried.append(n)
                place = run.attempt(lambda n=n: run.client.stream.publish(run.name, "event", {"n": n}))
                if run.error is None:
                    acknowledged.append((place, n))
        there = [event.data["n"] for event in self._events(run.name)]
        run.once(there, [n for _, n in acknowledged], tried, what="events")
        for place, n in acknowledged:
            run.check(there[place] == n, "confirmed at", place, "and not there")

    def room_publish_many(self, run: Run) -> None:
        self.sure.client.stream.create(run.name)
        events = [("event", {"n": n}) for n in range(60)]
        with run.under():
            places = run.attempt(lambda: run.client.stream.publish_many(run.name, events))
        if run.error is not None:
            places = getattr(run.error, "published", None) or [None] * 60
        there = [event.data["n"] for event in self._events(run.name)]
        run.once(there, [n for n, place in enumerate(places) if place is not None], list(range(60)), what="events")
        for n, place in enumerate(places):
            run.check(place is None or there[place] == n, "confirmed at", place, "and not there")

    def room_consume(self, run: Run) -> None:
        start, limit = run.chance.randrange(ROWS), run.chance.choice((1, 50, 2000))
        with run.under():
            got = run.attempt(lambda: run.client.stream.consume("full", "chaos", start, limit))
        if run.error is None:
            told = [(event.offset, event.data) for event in got]
            wanted = list(enumerate(self.order))[start : start + limit]
            run.check(told == wanted[: len(told)] and told, "read", start, limit, "gave", len(told), told[:2])

    def frame(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.read("full", decode="text"))
        self._whole(run, got, "read")

    def _whole(self, run: Run, got: Any, what: str) -> None:
        if run.error is None:
            run.check(got["offset"].tolist() == list(range(ROWS)), what, "gave", len(got), "rows")
            bodies = [json.loads(one) for one in got["data"]]
            run.check(bodies == self.order, what, "bodies differ")

    def arrow(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer["full"].arrow(body="text").read_all().to_pandas())
        self._whole(run, got, "arrow")

    def feed(self, run: Run) -> None:
        c = self.sure.client
        c.stream.create(run.name)
        c.stream.publish_many(run.name, [("event", {"n": n}) for n in range(100)])
        more = [("event", {"n": n}) for n in range(100)]
        run.follow(
            self.explorer[run.name],
            300,
            lambda: [c.stream.publish_many(run.name, more) for _ in range(2)],
            "offset",
            path="/rpc/SREAD*",
        )

    # --- topics and the rest ----------------------------------------------------------------------------------------

    def topics(self, run: Run) -> None:
        topic = f"{run.name}.new"
        with run.under(path="/rpc/SUBSCRIBE"):
            with self.explorer.live(topics=[topic]) as view:
                view.wait(until=lambda feed: feed.state == "live", timeout=20)
                for n in range(20):
                    self.sure.client.pubsub.publish(topic, {"n": n})

                self.bench_calm()
                # Topics have no positions: a break loses what was said meanwhile, so it is said on until it is heard.
                for _ in range(200):
                    if 1000 in (view.df["n"].tolist() if "n" in view.df else []):
                        break
                    self.sure.client.pubsub.publish(topic, {"n": 1000})
                    try:
                        view.wait(len(view.df) + 1, timeout=0.1)
                    except TimeoutError:
                        pass
                told = view.df["n"].tolist()
        run.calls += 1
        run.check(1000 in told, "the subscription never came back")
        first = [n for n in told if n < 20]
        # Messages of topics have no positions, so one that the network says twice cannot be told from two.
        repeated = any(fault.kind == "twice" for fault in run.trouble.bytes)
        run.check(repeated or first == sorted(set(first)), "messages twice or out of order", first)

    def bench_calm(self) -> None:
        for proxy in self.proxies:
            proxy.calm()

    def lists(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: run.client.stream.list())
            run.check(run.error is not None or "full" in got, "the room is not listed")
            run.attempt(lambda: run.client.queue.list())
            run.attempt(lambda: self.explorer.streams())

    def metrics(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.metrics())
            if run.error is None:
                run.check({"time", "metric", "value", "unit"} <= set(got.columns), "metrics gave", list(got.columns))
            run.attempt(lambda: run.client.kv.stats())
            run.attempt(lambda: self.explorer.server())

    # --- kills ------------------------------------------------------------------------------------------------------

    def kill_ready(self, run: Run) -> None:
        self.sure.client.queue.create(run.name, ack_deadline_secs=3600)

    def kill_work(self, run: Run) -> Callable[[], None]:
        acknowledged: list[str] = []
        tried: list[str] = []
        counted, asked, n = 0, 0, 0
        while run.error is None and n < 3000:
            tried.append(str(n))
            run.attempt(lambda n=n: run.client.queue.publish(run.name, str(n)))
            if run.error is None:
                acknowledged.append(str(n))
                asked += 1
                run.attempt(lambda: run.client.kv.incr(f"{run.name}-count"))
                counted += run.error is None
            n += 1

        def verdict() -> None:
            self.sure.close()
            self.sure = kit.connect("synap", environment=self.house.env)
            self.fill()
            run.once(self._left(run.name), acknowledged, tried, what="messages")
            there = int(self.sure.client.kv.get(f"{run.name}-count") or 0)
            run.check(counted <= there <= asked, counted, "confirmed,", there, "counted")

        return verdict
