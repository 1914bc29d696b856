"""S2 in trouble: unary and session reads and writes, frames, Arrow, Parquet, feeds, and the account's verbs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import kit
from kit.core.errors import KitError
from kit.s2 import (
    S2,
    AppendInput,
    AppendRetryPolicy,
    Endpoints,
    ReadLimit,
    Record,
    Retry,
    S2Error,
    SeqNum,
    SyncS2,
    Timeout,
)

from .running import Bench, Run

ROWS = 1200
QUICK = Timeout(request=timedelta(seconds=0.6), connection=timedelta(seconds=0.6))


def body(n: int) -> bytes:
    return b"%06d" % n + b"." * (n * 7 % 90)


def patience(policy: AppendRetryPolicy = AppendRetryPolicy.NO_SIDE_EFFECTS, attempts: int = 4) -> Retry:
    return Retry(attempts, timedelta(milliseconds=1), timedelta(milliseconds=10), policy)


class S2Bench(Bench):
    service = "s2"

    def open(self) -> None:
        env, direct = self.environment(), self.house.env
        token = env["S2_ACCESS_TOKEN"]
        ends = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
        options: dict[str, Any] = {"endpoints": ends, "timeout": QUICK, "retry": patience()}
        self.clients = {"sync": SyncS2(token, **options), "async": S2(token, **options)}
        self.explorer = kit.connect("s2", environment=env, timeout=QUICK, retry=patience())
        self.sure = kit.connect("s2", environment=direct)
        name = f"chaos-{self.house.pid}-{self.seed}"
        self.sure.create_basin(name)
        self.basin = name
        self.sure[name].create("full").append([body(n) for n in range(ROWS)])

    def close(self) -> None:
        self.explorer.close()
        self.sure.close()
        super().close()

    def again(self, run: Run) -> None:
        assert run.do(run.client[self.basin]["full"].check_tail()).seq_num == ROWS
        assert self.explorer[self.basin]["full"].position().seq_num == ROWS

    def verbs(self) -> dict[str, Callable[[Run], None]]:
        names = (
            "read",
            "read_session",
            "frame",
            "arrow",
            "parquet",
            "read_many",
            "append",
            "append_matched",
            "append_session",
            "producer",
            "append_frame",
            "feed",
            "lists",
            "create",
            "metrics",
        )
        return {name: getattr(self, name) for name in names}

    def _stream(self, run: Run) -> tuple[str, Any]:
        """A new stream, and a sure way to it."""
        return run.name, self.sure[self.basin].create(run.name)

    def _there(self, stream: Any) -> list[bytes]:
        frame = stream.read(body="bytes")
        assert frame["seq_num"].tolist() == list(range(len(frame)))
        return [bytes(one) for one in frame["body"]]

    # --- reads ------------------------------------------------------------------------------------------------------

    def read(self, run: Run) -> None:
        start, limit = run.chance.randrange(ROWS), run.chance.choice((1, 10, 1000))
        with run.under():
            got = run.attempt(
                lambda: run.client[self.basin]["full"].read(start=SeqNum(start), limit=ReadLimit(count=limit))
            )
        if run.error is None:
            told = [(record.seq_num, record.body) for record in got.records]
            wanted = [(n, body(n)) for n in range(start, min(start + limit, ROWS))]
            run.check(told == wanted, "read", start, limit, "gave", len(told), told[:2])

    def read_session(self, run: Run) -> None:
        start = run.chance.choice((0, 0, run.chance.randrange(ROWS)))
        seen: list[Any] = []

        async def follow() -> None:
            session = run.client[self.basin]["full"].read_session(
                start=SeqNum(start), limit=ReadLimit(count=ROWS - start)
            )
            async with session:
                async for batch in session:
                    seen.extend(batch.records)

        def read() -> Any:
            if run.colour == "async":
                return follow()
            with run.client[self.basin]["full"].read_session(
                start=SeqNum(start), limit=ReadLimit(count=ROWS - start)
            ) as session:
                for batch in session:
                    seen.extend(batch.records)
            return None

        with run.under():
            run.attempt(read)
        told = [(record.seq_num, record.body) for record in seen]
        wanted = [(n, body(n)) for n in range(start, ROWS)]
        run.check(told == wanted[: len(told)], "a session from", start, "gave", len(told), "records, not in order")
        run.check(run.error is not None or len(told) == len(wanted), "a session ended early", len(told), start)

    def _whole(self, run: Run, got: Any, what: str) -> None:
        if run.error is None:
            run.check(got["seq_num"].tolist() == list(range(ROWS)), what, "gave", len(got), "rows")
            run.check([bytes(one) for one in got["body"]] == [body(n) for n in range(ROWS)], what, "bodies differ")

    def frame(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer[self.basin]["full"].read(body="bytes"))
        self._whole(run, got, "read")

    def arrow(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer[self.basin]["full"].arrow(body="bytes").read_all().to_pandas())
        self._whole(run, got, "arrow")

    def parquet(self, run: Run) -> None:
        path = self.folder / run.name
        stream = self.explorer[self.basin]["full"]
        with run.under():
            run.attempt(lambda: stream.to_parquet(path, body="bytes"))
        run.error = None
        # Whatever became of the first try, the same call completes it.
        got = stream.to_parquet(path, body="bytes").read().sort_values("seq_num").reset_index(drop=True)
        self._whole(run, got, "parquet")
        shutil.rmtree(path)

    def read_many(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer[self.basin].read_many(streams=["full"], body="bytes"))
        if run.error is None and got.attrs["failed"]:
            # What could not be read is told by name, and what was read of it is kept.
            run.check(got["seq_num"].tolist() == list(range(len(got))), "read_many kept", len(got), "out of order")
            return
        self._whole(run, got, "read_many")

    def feed(self, run: Run) -> None:
        name, sure = self._stream(run)
        sure.append([body(n) for n in range(100)])
        run.follow(
            self.explorer[self.basin].stream(name),
            400,
            lambda: [sure.append([body(n) for n in range(first, first + 100)]) for first in (100, 200, 300)],
            "seq_num",
            method="GET",
        )

    # --- writes -----------------------------------------------------------------------------------------------------

    def append(self, run: Run) -> None:
        name, sure = self._stream(run)
        acknowledged, tried = [], []
        wide = run.wide().encode()
        with run.under():
            for n in range(3):
                one = body(n) + wide
                tried.append(one)
                run.attempt(lambda one=one: run.client[self.basin][name].append(AppendInput([Record(one)])))
                if run.error is None:
                    acknowledged.append(one)
        run.once(self._there(sure), acknowledged, tried, what="records")

    def append_matched(self, run: Run) -> None:
        name, sure = self._stream(run)
        acknowledged = 0
        env = self.environment()
        ends = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
        with run.under():
            with SyncS2(
                env["S2_ACCESS_TOKEN"], endpoints=ends, timeout=QUICK, retry=patience(AppendRetryPolicy.ALL)
            ) as s2:
                for n in range(3):
                    ack = run.attempt(
                        lambda n=n: s2[self.basin][name].append(AppendInput([Record(body(n))], match_seq_num=n))
                    )
                    if run.error is not None:
                        break
                    run.check(ack.start.seq_num == n, "acknowledged at", ack.start.seq_num, "not", n)
                    acknowledged += 1
        there = self._there(sure)
        run.check(there == [body(n) for n in range(len(there))], "matched appends out of order", there)
        run.check(acknowledged <= len(there) <= acknowledged + 1, acknowledged, "acknowledged,", len(there), "there")

    def append_session(self, run: Run) -> None:
        name, sure = self._stream(run)
        acknowledged: list[bytes] = []
        tried: list[bytes] = []

        async def write() -> None:
            tickets = []
            problem = None
            client = self.clients["async"]
            try:
                async with client[self.basin][name].append_session() as session:
                    for n in range(12):
                        bodies = [b"%d/%d" % (n, m) for m in range(3)]
                        tried.extend(bodies)
                        tickets.append((bodies, await session.submit(AppendInput([Record(one) for one in bodies]))))
                        await asyncio.sleep(0)
            except S2Error as error:
                problem = error
            for bodies, ticket in tickets:
                try:
                    ack = await ticket
                except S2Error as error:
                    problem = error
                    continue
                places.append((ack.start.seq_num, bodies))
                acknowledged.extend(bodies)
            if problem is not None:
                raise problem

        places: list[tuple[int, list[bytes]]] = []
        with run.under():
            run.attempt(write)
        there = self._there(sure)
        run.once(there, acknowledged, tried, what="records")
        for start, bodies in places:
            run.check(there[start : start + len(bodies)] == bodies, "a ticket says", start, "which is not so")
        run.check(run.error is not None or len(acknowledged) == 36, "no error, and acknowledged", len(acknowledged))

    def producer(self, run: Run) -> None:
        name, sure = self._stream(run)
        acknowledged: list[bytes] = []
        tried: list[bytes] = []

        async def write() -> None:
            tickets = []
            problem: KitError | None = None
            try:
                async with self.clients["async"][self.basin][name].producer() as producer:
                    for n in range(40):
                        tried.append(body(n))
                        tickets.append((n, await producer.submit(Record(body(n)))))
            except S2Error as error:
                problem = error
            for n, ticket in tickets:
                try:
                    await ticket
                    acknowledged.append(body(n))
                except S2Error as error:
                    problem = error
            if problem is not None:
                raise problem

        with run.under():
            run.attempt(write)
        run.once(self._there(sure), acknowledged, tried, what="records")

    def append_frame(self, run: Run) -> None:
        name, sure = self._stream(run)
        bodies = [body(n) for n in range(2500)]
        with run.under():
            run.attempt(lambda: self.explorer[self.basin].stream(name).append(bodies))
        there = self._there(sure)
        run.check(there == bodies[: len(there)], "a frame was appended out of order or twice", len(there))
        run.check(run.error is not None or len(there) == len(bodies), "no error, and there are", len(there))

    # --- the account ------------------------------------------------------------------------------------------------

    def lists(self, run: Run) -> None:
        with run.under():
            basins = run.attempt(lambda: run.client.list_basins())
            if run.error is None:
                run.check(self.basin in [one.name for one in basins.items], "the basin is not listed")
            found = run.attempt(lambda: self.explorer.streams(self.basin, prefix="full"))
            if run.error is None:
                run.check(found["name"].tolist() == ["full"], "streams gave", found["name"].tolist())
            tail = run.attempt(lambda: run.client[self.basin]["full"].check_tail())
            if run.error is None:
                run.check(tail.seq_num == ROWS, "the tail is told as", tail)

    def create(self, run: Run) -> None:
        with run.under():
            run.attempt(lambda: run.client[self.basin].create_stream(run.name))
        there = self.sure.streams(self.basin, prefix=run.name)["name"].tolist()
        run.check(there.count(run.name) <= 1, "made twice")
        run.check(run.error is not None or there == [run.name], "told to be made, and is not there")
        with run.under():
            run.attempt(lambda: run.client[self.basin].delete_stream(run.name, ignore_not_found=True))

    def metrics(self, run: Run) -> None:
        with run.under():
            got = run.attempt(lambda: self.explorer.metrics("storage", basin=self.basin))
        if run.error is None:
            run.check({"time", "metric", "value", "unit"} <= set(got.columns), "metrics gave", list(got.columns))

    # --- kills ------------------------------------------------------------------------------------------------------

    def kill_ready(self, run: Run) -> None:
        self._stream(run)

    def kill_work(self, run: Run) -> Callable[[], None]:
        name, sure = run.name, self.sure[self.basin].stream(run.name)
        acknowledged: list[bytes] = []
        tried: list[bytes] = []
        n = 0
        while run.error is None and n < 3000:
            bodies = [b"%d/%d" % (n, m) for m in range(run.chance.choice((1, 1, 20)))]
            tried += bodies
            ack = run.attempt(
                lambda bodies=bodies: run.client[self.basin][name].append(AppendInput([Record(one) for one in bodies]))
            )
            if ack is not None:
                acknowledged += bodies
            n += 1

        def verdict() -> None:
            run.once(self._there(sure), acknowledged, tried, what="records")

        return verdict
