"""Kimberlite in trouble: events in and out, SQL, subscriptions, and what the server tells of itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import kit
from kit.kimberlite import AsyncClient, Client, TenantId

from .running import Bench, Run

ROWS = 3000
T = TenantId(1)
QUICK: dict[str, Any] = {"timeout": 0.6, "connect_timeout": 0.6, "max_retries": 3}


def body(n: int) -> bytes:
    return b"%06d" % n + b"." * (n * 7 % 90)


class KimberliteBench(Bench):
    service = "kimberlite"
    http = False

    def open(self) -> None:
        env, direct = self.environment(), self.house.env
        key, address = env["KIMBERLITE_API_KEY"], env["KIMBERLITE_ADDRESS"]

        async def connected() -> Any:
            return await AsyncClient.connect(address, T, key, **QUICK)

        self.clients = {"sync": Client(address, T, key, **QUICK), "async": self.desk.wait(connected())}
        self.explorer = kit.connect("kimberlite", environment={**env, "KIMBERLITE_TENANT": "1"}, **QUICK)
        self.sure = kit.connect("kimberlite", environment={**direct, "KIMBERLITE_TENANT": "1"})
        self.sure.append("full", [body(n) for n in range(ROWS)])
        self.sure.execute("CREATE TABLE counts (name TEXT PRIMARY KEY, n BIGINT)")

    def close(self) -> None:
        self.explorer.close()
        self.sure.close()
        super().close()

    def again(self, run: Run) -> None:
        assert int(run.do(run.client.stream_length(T, "full"))) == ROWS
        assert len(self.explorer.read("full", limit=1)) == 1

    def verbs(self) -> dict[str, Callable[[Run], None]]:
        names = (
            "append",
            "append_batch",
            "append_expected",
            "append_frame",
            "read_stream",
            "iter_stream",
            "frame",
            "arrow",
            "parquet",
            "query",
            "execute",
            "feed",
            "subscribe",
            "lists",
            "create",
            "server",
            "connect",
        )
        return {name: getattr(self, name) for name in names}

    def _there(self, stream: str) -> list[bytes]:
        found = self.sure.read(stream, body="bytes", times=False)
        assert found["offset"].tolist() == list(range(len(found)))
        return [bytes(one) for one in found["body"]]

    # --- events in --------------------------------------------------------------------------------------------------

    def append(self, run: Run) -> None:
        self.sure.create(run.name)
        acknowledged, tried = [], []
        with run.under():
            for n in range(3):
                tried.append(body(n))
                told = run.attempt(lambda n=n: run.client.append(T, run.name, body(n)))
                if run.error is None:
                    acknowledged.append((int(told), body(n)))
        there = self._there(run.name)
        run.once(there, [one for _, one in acknowledged], tried, what="events")
        for place, one in acknowledged:
            run.check(there[place] == one, "acknowledged at", place, "and not there")

    def append_batch(self, run: Run) -> None:
        self.sure.create(run.name)
        bodies = [body(n) for n in range(run.chance.choice((2, 50, 400)))]
        with run.under():
            told = run.attempt(lambda: run.client.append_batch(T, run.name, bodies))
        there = self._there(run.name)
        run.check(there in ([], bodies), "a batch is there in part, or twice:", len(there))
        if run.error is None:
            run.check([int(one) for one in told] == list(range(len(bodies))), "positions", told[:3])
            run.check(there == bodies, "acknowledged and not there")

    def append_expected(self, run: Run) -> None:
        self.sure.create(run.name)
        acknowledged = 0
        with run.under():
            for n in range(3):
                told = run.attempt(lambda n=n: run.client.append(T, run.name, body(n), expected_offset=n))
                if run.error is not None:
                    break
                run.check(int(told) == n, "acknowledged at", told, "not", n)
                acknowledged += 1
        there = self._there(run.name)
        run.check(there == [body(n) for n in range(len(there))], "conditional appends out of order", len(there))
        run.check(acknowledged <= len(there) <= acknowledged + 1, acknowledged, "acknowledged,", len(there), "there")

    def append_frame(self, run: Run) -> None:
        self.sure.create(run.name)
        bodies = [body(n) for n in range(3000)]
        with run.under():
            run.attempt(lambda: self.explorer.append(run.name, bodies))
        there = self._there(run.name)
        run.check(there == bodies[: len(there)], "a frame was appended out of order or twice", len(there))
        run.check(run.error is not None or len(there) == len(bodies), "no error, and there are", len(there))

    # --- events out -------------------------------------------------------------------------------------------------

    def read_stream(self, run: Run) -> None:
        start, limit = run.chance.randrange(ROWS), run.chance.choice((1, 100, None))
        with run.under():
            got = run.attempt(lambda: run.client.read_stream(T, "full", from_position=start, limit=limit))
        if run.error is None:
            stop = ROWS if limit is None else min(ROWS, start + limit)
            told = [(int(event.position), event.data) for event in got]
            run.check(told == [(n, body(n)) for n in range(start, stop)], "read", start, limit, "gave", len(told))

    def iter_stream(self, run: Run) -> None:
        seen: list[Any] = []

        async def follow() -> None:
            async for event in run.client.iter_stream(T, "full"):
                seen.append(event.data)

        def read() -> Any:
            if run.colour == "async":
                return follow()
            seen.extend(event.data for event in run.client.iter_stream(T, "full"))
            return None

        with run.under():
            run.attempt(read)
        run.check(seen == [body(n) for n in range(len(seen))], "iterating gave", len(seen), "not in order")
        run.check(run.error is not None or len(seen) == ROWS, "iterating ended early", len(seen))

    def _whole(self, run: Run, got: Any, what: str) -> None:
        if run.error is None:
            run.check(got["offset"].tolist() == list(range(ROWS)), what, "gave", len(got), "rows")
            run.check([bytes(one) for one in got["body"]] == [body(n) for n in range(ROWS)], what, "bodies differ")

    def frame(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.read("full", body="bytes"))
        self._whole(run, got, "read")

    def arrow(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer["full"].arrow(body="bytes").read_all().to_pandas())
        self._whole(run, got, "arrow")

    def parquet(self, run: Run) -> None:
        path = self.folder / run.name
        with run.under():
            run.attempt(lambda: self.explorer["full"].to_parquet(path, body="bytes"))
        run.error = None
        got = self.explorer["full"].to_parquet(path, body="bytes").read().sort_values("offset").reset_index(drop=True)
        self._whole(run, got, "parquet")
        shutil.rmtree(path)

    def feed(self, run: Run) -> None:
        self.sure.create(run.name)
        self.sure.append(run.name, [body(n) for n in range(100)])
        run.follow(
            self.explorer[run.name],
            400,
            lambda: [self.sure.append(run.name, [body(n) for n in range(at, at + 100)]) for at in (100, 200, 300)],
            "offset",
            path=run.chance.choice(("Push/*", "Subscribe*")),
        )

    def subscribe(self, run: Run) -> None:
        seen: list[bytes] = []

        def follow() -> None:
            with self.clients["sync"].subscribe(T, "full", from_position=0, credits=200) as subscription:
                for event in subscription:
                    seen.append(event.data)
                    if len(seen) == ROWS:
                        return

        with run.under():
            run.attempt(follow)
        run.check(seen == [body(n) for n in range(len(seen))], "a subscription gave", len(seen), "not in order")
        run.check(run.error is not None or len(seen) == ROWS, "a subscription ended early", len(seen))

    # --- SQL --------------------------------------------------------------------------------------------------------

    def query(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: run.client.query("SELECT name FROM counts WHERE name = $1", ["nobody"]))
            if run.error is None:
                run.check(list(got.rows) == [], "rows of nobody", got.rows)
            frame = run.attempt(lambda: self.explorer.query("SELECT COUNT(*) AS n FROM counts"))
            if run.error is None:
                run.check(len(frame) == 1, "a count gave", len(frame), "rows")

    def execute(self, run: Run) -> None:
        self.sure.execute("INSERT INTO counts (name, n) VALUES ($1, $2)", run.name, 0)
        acknowledged = 0
        with run.under():
            for _ in range(3):
                run.attempt(lambda: run.client.execute("UPDATE counts SET n = n + 1 WHERE name = $1", [run.name]))
                acknowledged += run.error is None
        there = int(self.sure.query("SELECT n FROM counts WHERE name = $1", run.name)["n"].iloc[0])
        run.check(acknowledged <= there <= 3, acknowledged, "of 3 statements acknowledged,", there, "done")

    # --- the server -------------------------------------------------------------------------------------------------

    def lists(self, run: Run) -> None:
        with run.under():
            found = run.attempt(lambda: self.explorer.streams())
            if run.error is None:
                run.check("full" in set(found["name"]), "the stream is not listed")
            run.attempt(lambda: run.client.list_tables())
            place = run.attempt(lambda: run.client.position())
            if run.error is None:
                run.check(int(place) >= 0, "position", place)

    def create(self, run: Run) -> None:
        with run.under():
            run.attempt(lambda: run.client.create_stream(run.name))
        there = self.sure.streams()["name"].tolist()
        run.check(there.count(run.name) <= 1, "made twice")
        run.check(run.error is not None or run.name in there, "told to be made, and is not there")

    def server(self, run: Run) -> None:
        with run.under():
            run.attempt(lambda: run.client.server_info())
            run.attempt(lambda: self.explorer.server())
            run.attempt(lambda: run.client.sync())

    def connect(self, run: Run) -> None:
        env = self.environment()

        def all_of_it() -> None:
            with Client(env["KIMBERLITE_ADDRESS"], T, env["KIMBERLITE_API_KEY"], **QUICK) as client:
                run.check(int(client.stream_length(T, "full")) == ROWS, "the length is told wrong")

        with run.under():
            run.attempt(all_of_it)

    # --- kills ------------------------------------------------------------------------------------------------------

    def kill_ready(self, run: Run) -> None:
        self.sure.create(run.name)
        self.sure.execute("INSERT INTO counts (name, n) VALUES ($1, $2)", run.name, 0)

    def kill_work(self, run: Run) -> Callable[[], None]:
        acknowledged: list[bytes] = []
        tried: list[bytes] = []
        added, asked, n = 0, 0, 0
        while run.error is None and n < 3000:
            bodies = [b"%d/%d" % (n, m) for m in range(run.chance.choice((1, 1, 20)))]
            tried += bodies
            told = run.attempt(lambda bodies=bodies: run.client.append_batch(T, run.name, bodies))
            if told is not None:
                acknowledged += bodies
            if n % 5 == 0 and run.error is None:
                asked += 1
                run.attempt(lambda: run.client.execute("UPDATE counts SET n = n + 1 WHERE name = $1", [run.name]))
                added += run.error is None
            n += 1

        def verdict() -> None:
            self.sure.close()
            self.sure = kit.connect("kimberlite", environment={**self.house.env, "KIMBERLITE_TENANT": "1"})
            run.once(self._there(run.name), acknowledged, tried, what="events")
            there = int(self.sure.query("SELECT n FROM counts WHERE name = $1", run.name)["n"].iloc[0])
            run.check(added <= there <= asked, added, "statements acknowledged,", there, "done")

        return verdict
