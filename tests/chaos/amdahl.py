"""The Amdahl Platform in trouble: SQL, pages, agents, events and webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kit
from kit.amdahl import (
    AmdahlClient,
    AsyncAmdahlClient,
    archive_page,
    create_page,
    get_agent_status,
    get_page,
    iter_pages,
    list_pages,
    query_data,
    register_webhook,
    start_agent,
    stream_agent,
    update_page,
    wait_for_agent,
)

from .running import Bench, Run

COUNT = "SELECT channel, COUNT(*) AS n FROM interactions GROUP BY channel ORDER BY channel"
SPEC = {"type": "Section"}


class AmdahlBench(Bench):
    service = "amdahl"
    demo = True

    def open(self) -> None:
        env = self.environment()
        given: dict[str, Any] = {"api_key": env["API_KEY"], "timeout": 0.8}
        self.clients = {
            "sync": AmdahlClient(env["AMDAHL_URL"], **given),
            "async": AsyncAmdahlClient(env["AMDAHL_URL"], **given),
        }
        self.explorer = kit.connect("amdahl", environment=env, timeout=0.8)
        self.sure = kit.connect("amdahl", environment=self.house.env)
        for _ in range(3):
            # The first questions build what the later ones are answered from.
            self.counted = self.sure.query(COUNT)
        self.columns = self.sure.query("SELECT * FROM interactions LIMIT 1").columns.tolist()
        self.many = self.sure.query(self._many())
        for n in range(30):
            create_page(self.sure.client, {"name": f"kept {n}", "spec": SPEC})
        self.kept = {f"kept {n}" for n in range(30)}

    def _many(self) -> str:
        return f"SELECT * FROM interactions ORDER BY {self.columns[0]} LIMIT 1500"

    def close(self) -> None:
        self.explorer.close()
        self.sure.close()
        super().close()

    def again(self, run: Run) -> None:
        assert run.do(run.client.get("/me"))
        assert self.explorer.me()

    def verbs(self) -> dict[str, Callable[[Run], None]]:
        names = (
            "query_data",
            "query",
            "bulk",
            "arrow",
            "create_page",
            "change_page",
            "list_pages",
            "iter_pages",
            "agent",
            "stream",
            "feed",
            "webhooks",
            "tells",
            "metrics",
        )
        return {name: getattr(self, name) for name in names}

    # --- data -------------------------------------------------------------------------------------------------------

    def query_data(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: query_data(run.client, COUNT))
        if run.error is None:
            run.check([row["n"] for row in got["rows"]] == self.counted["n"].tolist(), "the count gave", got["rows"])

    def query(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.query(COUNT))
        run.check(run.error is not None or got.equals(self.counted), "the count gave", got)

    def bulk(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.query(self._many()))
        run.check(run.error is not None or got.equals(self.many), "a long result differs")

    def arrow(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.arrow(self._many()).read_all())
        run.check(run.error is not None or got.num_rows == len(self.many), "arrow gave another number of rows")

    # --- pages ------------------------------------------------------------------------------------------------------

    def _named(self, name: str) -> list[str]:
        return [page["id"] for page in iter_pages(self.sure.client, "/pages") if page["name"] == name]

    def create_page(self, run: Run) -> None:
        with run.under():
            spec = {**SPEC, "text": run.wide()}
            page = run.attempt(lambda: create_page(run.client, {"name": run.name, "spec": spec}))
        there = self._named(run.name)
        run.check(len(there) <= 1, "made", len(there), "times")
        run.check(run.error is not None or there == [page["id"]], "told to be made, and is not there")
        for one in there:
            archive_page(self.sure.client, one)

    def change_page(self, run: Run) -> None:
        page = create_page(self.sure.client, {"name": run.name, "spec": SPEC})["id"]
        with run.under():
            run.attempt(lambda: update_page(run.client, page, {"name": f"{run.name} new"}))
            changed = run.error is None
            got = run.attempt(lambda: get_page(run.client, page))
            run.check(run.error is not None or got["id"] == page, "another page came")
        name = get_page(self.sure.client, page)["name"]
        run.check(name in (run.name, f"{run.name} new"), "the name is", name)
        run.check(not changed or name.endswith(" new"), "told to be changed, and is not")
        with run.under():
            run.attempt(lambda: archive_page(run.client, page))
            gone = run.error is None
        there = page in [one["id"] for one in iter_pages(self.sure.client, "/pages")]
        run.check(not (gone and there), "told to be archived, and is there")
        if there:
            archive_page(self.sure.client, page)

    def list_pages(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: list_pages(run.client))
            run.check(run.error is not None or isinstance(got["items"], list), "a list gave", got)
            frame = run.attempt(lambda: self.explorer.pages())
            run.check(run.error is not None or self.kept <= set(frame["name"]), "pages are missing")

    def iter_pages(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: run.items(iter_pages(run.client, "/pages", limit=7)))
        if run.error is None:
            ids = [page["id"] for page in got]
            run.check(len(set(ids)) == len(ids), "a page came twice")
            run.check(self.kept <= {page["name"] for page in got}, "pages are missing")

    # --- agents -----------------------------------------------------------------------------------------------------

    def agent(self, run: Run) -> None:
        with run.under():
            made = run.attempt(
                lambda: start_agent(run.client, profile_id="researcher", task=run.name, input_params={"seconds": 0.05})
            )
            if run.error is None:
                run.attempt(lambda: get_agent_status(run.client, made["session_id"]))
                got = run.attempt(lambda: wait_for_agent(run.client, made["session_id"], interval_s=0.02, timeout_s=10))
                run.check(run.error is not None or got["status"] == "complete", "a session ended as", got)

    def _events(self, session: str) -> list[str]:
        return [str(one) for one in self.sure.events(session)["id"]]

    def stream(self, run: Run) -> None:
        session = self.sure.start("researcher", run.name, seconds=0.2).id
        seen: list[dict[str, Any]] = []

        async def follow() -> None:
            async for event in stream_agent(run.client, session, silence_s=0.8):
                seen.append(event)

        def read() -> Any:
            if run.colour == "async":
                return follow()
            seen.extend(stream_agent(run.client, session, silence_s=0.8))
            return None

        with run.under():
            run.attempt(read)
        if run.error is None:
            wanted = [event["type"] for event in stream_agent(self.sure.client, session)]
            run.check([event["type"] for event in seen] == wanted, "events", [event["type"] for event in seen], wanted)

    def feed(self, run: Run) -> None:
        session = self.sure.start("researcher", run.name, seconds=0.2)
        with run.under(path="*/stream"):
            feed = run.attempt(lambda: kit.Feed(self.explorer.sessions[session.id]))
            if feed is None:
                return
            with feed:
                run.attempt(lambda: feed.wait(timeout=20))
                told = [str(one) for one in feed.df["id"]] if "id" in feed.df else []
        wanted = self._events(session.id)
        run.check(told == wanted[: len(told)], "a feed gave", told, "not", wanted)
        run.check(run.error is not None or told == wanted, "a feed ended early", told, "of", wanted)

    # --- webhooks and the rest --------------------------------------------------------------------------------------

    def webhooks(self, run: Run) -> None:
        url = f"http://127.0.0.1:9/{run.name}"
        with run.under():
            made = run.attempt(lambda: register_webhook(run.client, url=url, events=["session.completed"]))
            if run.error is not None and getattr(run.error, "status", None) == 400:
                made = None
        there = [hook["id"] for hook in iter_pages(self.sure.client, "/webhooks") if hook["url"] == url]
        run.check(len(there) <= 1, "registered", len(there), "times")
        run.check(made is None or there == [made["id"]], "told to be registered, and is not there")
        for one in there:
            self.sure.client.delete(f"/webhooks/{one}")

    def tells(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: run.client.get("/me"))
            run.check(run.error is not None or bool(got), "nobody", got)
            run.attempt(lambda: self.explorer.explore())

    def metrics(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.metrics())
        if run.error is None:
            run.check({"time", "metric", "value", "unit"} <= set(got.columns), "metrics gave", list(got.columns))

    # --- kills ------------------------------------------------------------------------------------------------------

    def kill_work(self, run: Run) -> Callable[[], None]:
        acknowledged, tried = [], []
        n = 0
        while run.error is None and n < 400:
            name = f"{run.name} {n}"
            tried.append(name)
            run.attempt(lambda name=name: create_page(run.client, {"name": name, "spec": SPEC}))
            if run.error is None:
                acknowledged.append(name)
            n += 1

        def verdict() -> None:
            self.sure.close()
            self.sure = kit.connect("amdahl", environment=self.house.env)
            pages = [page for page in iter_pages(self.sure.client, "/pages") if page["name"].startswith(run.name)]
            run.once([page["name"] for page in pages], acknowledged, tried, what="pages")
            run.check(self.sure.query(COUNT).equals(self.counted), "the data differ")
            for page in pages:
                archive_page(self.sure.client, page["id"])

        return verdict
