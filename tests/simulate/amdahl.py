"""The Amdahl Platform: pages, SQL, agents and their events."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import kit
from kit.amdahl import (
    AmdahlClient,
    AsyncAmdahlClient,
    archive_page,
    create_page,
    iter_pages,
    query_data,
    start_agent,
    stream_agent,
    update_page,
    wait_for_agent,
)
from kit.core.errors import KitError

from .running import Op, Run, Scenario

SPEC = {"type": "Section"}
COUNT = "SELECT channel, COUNT(*) AS n FROM interactions GROUP BY channel ORDER BY channel"


class AmdahlScenario(Scenario):
    """What all work with Amdahl has."""

    service = "amdahl"
    error = KitError
    patience = 60.0
    retries = 3

    def prepare(self, run: Run) -> None:
        self.url, self.key = run.env["AMDAHL_URL"], run.env["API_KEY"]
        self.sure = AmdahlClient(self.url, api_key=self.key)
        run.closes(self.sure.close)

    def client(self, run: Run, kind: Any = AsyncAmdahlClient) -> Any:
        made = kind(self.url, api_key=self.key, timeout=3)
        run.closes(made.close)
        return made


class Pages(AmdahlScenario):
    """Pages are made, changed, listed and archived, and questions in SQL are asked."""

    name = "amdahl.pages"
    pieces = 60
    connections = 8

    def ops(self, chance: random.Random) -> list[Op]:
        kinds = ("create", "create", "change", "archive", "list", "query")
        return [
            (chance.randrange(4), chance.choice(kinds), chance.random() * 0.3) for _ in range(chance.randint(4, 18))
        ]

    def prepare(self, run: Run) -> None:
        super().prepare(run)
        for n in range(4):
            create_page(self.sure, {"name": f"kept {n}", "spec": SPEC})
        self.counted = query_data(self.sure, COUNT)["rows"] if any(op[1] == "query" for op in run.ops) else []
        self.tried: list[str] = []
        self.made: dict[str, str] = {}
        self.renamed: dict[str, tuple[str, bool]] = {}
        self.gone: dict[str, bool] = {}

    def work(self, run: Run) -> None:
        async def one(number: int) -> None:
            client = self.client(run)
            mine: list[str] = []
            for n, (whose, kind, pause) in enumerate(run.ops):
                if whose == number:
                    await asyncio.sleep(pause)
                    await self.asked(run, client, n, kind, mine)

        run.together(*(one(number) for number in range(3)))
        client = self.client(run, AmdahlClient)
        for whose, _, pause in run.ops:
            if whose == 3:
                run.world.sleep(pause)
                found = run.tries("iterate", lambda: [page["name"] for page in iter_pages(client, "/pages", limit=3)])
                self.listed(run, found)

    async def asked(self, run: Run, client: Any, n: int, kind: str, mine: list[str]) -> None:
        if kind == "create" or (kind in ("change", "archive") and not mine):
            name = f"page {n}"
            self.tried.append(name)
            page, _ = await run.tried("create", lambda: create_page(client, {"name": name, "spec": SPEC}))
            if page is not None:
                self.made[page["id"]] = name
                mine.append(page["id"])
        elif kind == "change":
            page = mine[-1]
            _, error = await run.tried("change", lambda: update_page(client, page, {"name": f"new {n}"}))
            self.renamed[page] = f"new {n}", error is None
            self.tried.append(f"new {n}")
        elif kind == "archive":
            page = mine.pop()
            _, error = await run.tried("archive", lambda: archive_page(client, page))
            self.gone[page] = error is None
        elif kind == "query":
            found, _ = await run.tried("query", lambda: query_data(client, COUNT))
            run.check(found is None or found["rows"] == self.counted, "the count gave", found)
        else:

            async def names() -> list[str]:
                return [page["name"] async for page in iter_pages(client, "/pages", limit=3)]

            found, _ = await run.tried("iterate", names)
            self.listed(run, found)

    def listed(self, run: Run, found: list[str] | None) -> None:
        if found is not None:
            run.check({f"kept {n}" for n in range(4)} <= set(found), "pages are missing:", found)

    def judge(self, run: Run) -> None:
        pages = list(iter_pages(self.sure, "/pages"))
        there = {page["id"]: page["name"] for page in pages}
        names = [name for name in there.values() if not name.startswith("kept")]
        acknowledged = []
        for page, name in self.made.items():
            if page in self.gone:
                run.check(not (self.gone[page] and page in there), "told to be archived, and is there")
                continue
            run.check(page in there, "told to be made, and is not there:", name)
            new, done = self.renamed.get(page, (name, True))
            run.check(not done or there[page] == new, "told to be changed to", new, "and is", there[page])
            acknowledged.append(there[page])
        run.once(names, acknowledged, self.tried, "pages")


class Agents(AmdahlScenario):
    """Sessions are started and followed: by their events, by a feed, and by asking again and again."""

    name = "amdahl.agents"
    retries = 20  # a stream that breaks is opened again and again
    pieces = 50
    connections = 6
    kinds = (
        "cut",
        "cut",
        "end",
        "stall",
        "swallow",
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
        kinds = ("events", "events", "wait", "feed")
        return [(chance.choice(kinds), chance.choice((0.0, 0.2, 1.5))) for _ in range(chance.randint(1, 5))]

    def work(self, run: Run) -> None:
        explorer = kit.connect("amdahl", environment=run.env, timeout=3)
        run.closes(explorer.close)
        self.seen: list[tuple[str, list[str], bool]] = []
        blocking, awaited = self.client(run, AmdahlClient), self.client(run)
        for n, (kind, seconds) in enumerate(run.ops):
            made = run.tries(
                "start",
                lambda n=n, seconds=seconds: start_agent(
                    blocking, profile_id="researcher", task=f"task {n}", input_params={"seconds": seconds}
                ),
            )
            if made is None:
                continue
            session = made["session_id"]
            if kind == "wait":
                run.tries(
                    "wait", lambda s=session: wait_for_agent(blocking, s, interval_s=0.2, timeout_s=40), patience=60
                )
            elif kind == "events":
                types: list[str] = []

                async def follow(session: str = session, types: list[str] = types) -> None:
                    async for event in stream_agent(awaited, session, silence_s=3):
                        types.append(event["type"])

                _, error = run.wait(run.tried("events", follow, 120))
                self.seen.append((session, types, error is None))
            else:
                self._feed(run, explorer, session)

    def _feed(self, run: Run, explorer: Any, session: str) -> None:
        with run.followed(lambda: kit.Feed(explorer.sessions[session])) as feed:
            for _ in range(400):
                if feed.state in ("ended", "failed", "closed"):
                    break
                run.world.sleep(0.5)
            types = [one for batch in feed.batches()[1] for one in batch.column("type").to_pylist()]
        self.seen.append((session, types, feed.state != "failed"))

    def judge(self, run: Run) -> None:
        for session, types, whole in self.seen:
            wanted = [event["type"] for event in stream_agent(self.sure, session)]
            run.check(types == wanted[: len(types)], "events", types, "not", wanted)
            run.check(not whole or types == wanted, "events ended early:", types, "of", wanted)
