"""A slow writer for each service, so that live views have something to show.

It continues the demo data through the public clients, with a few records a second.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from itertools import count

from ..core.errors import KitError

_CITIES = ("Lisbon", "Ghent", "Turin", "Malmö", "Graz", "Brno", "Porto", "Delft")
_ITEMS = (("espresso", 2.2), ("flat white", 3.1), ("beans 1 kg", 18.5), ("grinder", 129.0), ("filters", 4.9))
_PAGES = ("/", "/beans", "/beans/house", "/grinders", "/cart", "/checkout", "/help")
_STATES = ("loading", "driving", "driving", "delivering", "waiting")
_KINDS = ("label", "invoice", "route", "photo")
_RETRY = 1.0

Step = Callable[[], Awaitable[object]]


class DemoWriter:
    """The writers of one lab, in a thread of their own. They can be started and stopped any number of times."""

    def __init__(self, env: Mapping[str, str], services: tuple[str, ...]) -> None:
        self._env = dict(env)
        self._services = [name for name in services if name in _WRITERS]
        self._ended: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None

    @property
    def moving(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        """Start writing, and continue after failures."""
        if self._thread is None:
            ready = threading.Event()
            self._thread = threading.Thread(target=asyncio.run, args=(self._main(ready),), name="mover", daemon=True)
            self._thread.start()
            ready.wait()

    def stop(self) -> None:
        """End the writers. It waits for them, so it must not be called on the loop of the servers they write to."""
        thread, self._thread = self._thread, None
        if thread is not None and self._ended is not None:
            self._ended()
            thread.join(5)

    async def _main(self, ready: threading.Event) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def end() -> None:
            loop.call_soon_threadsafe(ended.set)

        self._ended = end
        ready.set()
        tasks = [asyncio.ensure_future(self._keep_on(name)) for name in self._services]
        await ended.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_on(self, service: str) -> None:
        while True:
            try:
                async with AsyncExitStack() as stack:
                    steps = await _WRITERS[service](self._env, stack)
                    async with asyncio.TaskGroup() as group:
                        for step, every in steps:
                            group.create_task(_repeat(step, every))
            except* (KitError, OSError):
                # For example a requested fault, or a stream that the user deleted.
                await asyncio.sleep(_RETRY)


async def _repeat(step: Step, every: float) -> None:
    rng = random.Random()
    while True:
        await step()
        await asyncio.sleep(every * rng.uniform(0.4, 1.6))


Steps = list[tuple[Step, float]]


async def _s2(env: Mapping[str, str], stack: AsyncExitStack) -> Steps:
    from ..s2 import S2, AppendInput, Endpoints, Record

    rng = random.Random()
    client = await stack.enter_async_context(
        S2(env["S2_ACCESS_TOKEN"], endpoints=Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"]))
    )
    basin = client["demo-shop"]
    # Orders are numbered from 1, so the next number is the position plus one.
    numbers = count((await basin["orders"].check_tail()).seq_num + 1)
    celsius = 88.0

    async def append(stream: str, *bodies: bytes, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        await basin[stream].append(AppendInput(records=[Record(body=body, headers=headers or []) for body in bodies]))

    async def order() -> None:
        item, price = rng.choice(_ITEMS)
        amount = rng.choice((1, 1, 1, 2, 3))
        sold = {
            "id": next(numbers),
            "customer": f"c-{rng.randrange(400):03}",
            "city": rng.choice(_CITIES),
            "item": item,
            "amount": amount,
            "total": round(amount * price, 2),
            "paid": rng.random() < 0.94,
        }
        await append("orders", _json(sold))

    async def clicks() -> None:
        await append("clicks", *(next(_clicks(rng)) for _ in range(rng.randrange(1, 6))))

    async def reading() -> None:
        nonlocal celsius
        celsius += rng.uniform(-0.4, 0.4) + (88 - celsius) / 20
        body = f"{celsius:.2f},{rng.gauss(1.4, 0.02):.3f}".encode()
        await append("sensors/boiler-1", body, headers=[(b"unit", b"celsius,bar"), (b"quality", b"good")])

    return [(order, 0.7), (clicks, 0.3), (reading, 2.0)]


def _clicks(rng: random.Random) -> Iterator[bytes]:
    while True:
        yield _json({"session": rng.randrange(3_000), "page": rng.choice(_PAGES), "ms": rng.randrange(20, 900)})


async def _kimberlite(env: Mapping[str, str], stack: AsyncExitStack) -> Steps:
    from ..core.environment import Environment
    from ..kimberlite.explore.explorer import connect

    rng = random.Random()
    explorer = connect(Environment(env))
    stack.callback(explorer.close)
    claims = count(10_000 + len(explorer["claims"]))

    async def claim() -> None:
        event = {
            "event": "submitted",
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "claim": f"C{next(claims)}",
            "account": rng.randrange(1, 41),
            "treatment": rng.choice(("consultation", "imaging", "laboratory")),
            "amount": rng.randrange(2_000, 90_000) / 100,
        }
        await asyncio.to_thread(explorer.append, "claims", [_json(event)])

    async def login() -> None:
        result = "denied" if rng.random() < 0.07 else "ok"
        line = f"user{rng.randrange(25):02d} from 10.0.{rng.randrange(4)}.{rng.randrange(250)}: {result}".encode()
        await asyncio.to_thread(explorer.append, "logins", [line])

    return [(claim, 1.5), (login, 0.8)]


async def _synap(env: Mapping[str, str], stack: AsyncExitStack) -> Steps:
    from ..synap import AsyncSynapClient

    rng = random.Random()
    client = AsyncSynapClient(env["SYNAP_URL"], api_key=env["SYNAP_API_KEY"])
    stack.push_async_callback(client.close)
    jobs = count((await client.queue.stats("jobs")).published)

    async def report() -> None:
        van = rng.randrange(1, 41)
        event = {
            "van": van,
            "state": rng.choice(_STATES),
            "speed": rng.randrange(900) / 10,
            "battery": rng.randrange(20, 100),
        }
        await client.stream.publish("vans", "report", event)
        await client.pubsub.publish(f"vans.{van:02d}", event)

    async def publish() -> None:
        job = {"job": next(jobs), "kind": rng.choice(_KINDS), "van": rng.randrange(1, 41)}
        await client.queue.publish("jobs", _json(job), priority=9 if rng.random() < 0.1 else 5)

    async def work() -> None:
        message = await client.queue.consume("jobs", "demo-worker")
        if message is not None:
            await client.queue.ack("jobs", message.message_id)

    async def deliver() -> None:
        await client.kv.incr(f"delivered:{rng.choice(('leipzig', 'porto', 'gent', 'tampere'))}")

    return [(report, 0.4), (publish, 1.0), (work, 1.0), (deliver, 3.0)]


async def _claude(env: Mapping[str, str], stack: AsyncExitStack) -> Steps:
    from ..claude import AsyncClaudeClient

    rng = random.Random()
    client = await stack.enter_async_context(AsyncClaudeClient(env["CLAUDE_API_URL"], env["CLAUDE_API_KEY"]))

    async def ask() -> None:
        await client.complete(f"Classify ticket {rng.randrange(1000)}", model=rng.choice(("haiku", "haiku", "sonnet")))

    return [(ask, 20.0)]


async def _amdahl(env: Mapping[str, str], stack: AsyncExitStack) -> Steps:
    from ..amdahl import AsyncAmdahlClient

    client = await stack.enter_async_context(AsyncAmdahlClient(env["AMDAHL_URL"], env["API_KEY"]))

    async def run() -> None:
        body = {"profile_id": "researcher", "task": "What changed in the last hour?", "async": True}
        await client.post("/agents/run", json_body=body)

    return [(run, 60.0)]


_WRITERS: dict[str, Callable[[Mapping[str, str], AsyncExitStack], Awaitable[Steps]]] = {
    "s2": _s2,
    "kimberlite": _kimberlite,
    "synap": _synap,
    "claude": _claude,
    "amdahl": _amdahl,
}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
