"""All five services for a long while: `python -m tests.soak --minutes 20 --seed 1`.

Feeds, figures folded from them and live queries stay open while others read, write, query, join, search and copy from
service to service, and while servers are ended now and then, gently or with SIGKILL, and started again on their data. Memory, file descriptors, threads and tasks of this process and of the servers
are sampled; they must stay flat once warm, and at the end every row must be accounted for.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import kit
from kit.amdahl import create_page, iter_pages
from kit.core import loop
from kit.core.errors import KitError
from kit.s2 import Retry, Timeout

from .chaos.house import House

SERVICES = ("s2", "kimberlite", "synap", "claude", "amdahl")
KEYS = 7
GROWTH = 1.12, 24e6
"""Memory in the last quarter, against the second: so many times as much and so many bytes more are taken for flat."""
MORE = 6
"""So many more descriptors, threads or tasks are taken for flat."""


def row(n: int) -> bytes:
    return b'{"n":%d,"k":%d}' % (n, n % KEYS)


class Soak:
    """The servers, the workers on them, and what they count."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.stop = threading.Event()
        self.count: Counter[str] = Counter()
        self.problems: list[str] = []
        self.samples: list[dict[str, float]] = []
        self.houses = {}
        for name in SERVICES:
            place = folder / name
            place.mkdir()
            self.houses[name] = House(name, place, demo=name == "amdahl")
        self.at = {name: self._connect(name) for name in SERVICES}
        self._locks = {name: threading.Lock() for name in SERVICES}

    def _connect(self, name: str) -> Any:
        env = {**self.houses[name].env, "KIMBERLITE_TENANT": "1"}
        if name == "s2":
            retry = Retry(8, timedelta(milliseconds=50), timedelta(seconds=1))
            return kit.connect("s2", environment=env, timeout=Timeout(request=timedelta(seconds=10)), retry=retry)
        return kit.connect(name, environment=env)

    # --- workers ----------------------------------------------------------------------------------------------------

    def worker(self, what: str, pause: float, work: Callable[[], None]) -> threading.Thread:
        """Does a piece of work again and again; a service that is away is no problem, anything else is."""

        def run() -> None:
            while not self.stop.wait(pause):
                try:
                    work()
                    self.count[what] += 1
                except (KitError, TimeoutError):
                    self.count[f"{what}, raised"] += 1
                except Exception as error:
                    self.problems.append(f"{what}: {type(error).__name__}: {error}\n{traceback.format_exc()[-800:]}")
                    return

        thread = threading.Thread(target=run, name=f"soak-{what}", daemon=True)
        thread.start()
        return thread

    def s2_write(self) -> None:
        stream = self.at["s2"]["soak-basin"]["numbers"]
        # After a doubtful end the stream says what was written, and the writer goes on from there.
        tail = stream.position().seq_num
        self.s2_rows = max(self.s2_rows, tail)
        stream.append([row(n) for n in range(tail, tail + 50)], match_seq_num=tail)
        self.s2_rows = tail + 50

    def kimberlite_write(self) -> None:
        k = self.at["kimberlite"]
        tail = len(k["numbers"])
        k.append("numbers", [row(n) for n in range(tail, tail + 50)], expected_offset=tail)
        self.kimberlite_rows = max(self.kimberlite_rows, tail + 50)

    def kimberlite_sql(self) -> None:
        k = self.at["kimberlite"]
        assert len(k.query("SELECT COUNT(*) AS n FROM things")) == 1
        self.asked += 1
        k.execute("UPDATE things SET n = n + 1 WHERE name = $1", "soak")
        self.confirmed += 1

    def synap_write(self) -> None:
        c = self.at["synap"].client
        self.numbered += 1
        name = f"m{self.numbered}"
        self.tried.add(name)
        c.queue.publish("soak", name)
        self.sent.add(name)

    def synap_take(self) -> None:
        c = self.at["synap"].client
        for _ in range(5):
            message = c.queue.consume("soak", "soak")
            if message is None:
                return
            self.taken[message.payload.decode()] += 1
            c.queue.ack("soak", message.message_id)

    def claude_ask(self) -> None:
        self.at["claude"].ask(f"question {self.count['claude']}", model="haiku")

    def amdahl_ask(self) -> None:
        a = self.at["amdahl"]
        assert len(a.query("SELECT channel, COUNT(*) AS n FROM interactions GROUP BY channel")) > 1
        name = f"soak {self.count['amdahl']}-{self.chance.random()}"
        self.pages_tried.add(name)
        create_page(a.client, {"name": name, "spec": {"type": "Section"}})
        self.pages.add(name)

    def join(self) -> None:
        orders = self.at["s2"]["soak-basin"]["numbers"].read("tail-200")
        events = self.at["kimberlite"].read("numbers", limit=200)
        found = kit.sql("select count(*) as n from o join e using (n)", o=orders, e=events)
        assert 0 <= found["n"].iloc[0] <= 200

    def find(self) -> None:
        """Look for one number among the newest: it is there once."""
        log = self.chance.choice(self.logs())
        wanted = int(log.tail(1, body="json")["n"].iloc[0]) - self.chance.randrange(1000)
        if wanted >= 0:
            found = log.find(path=f"$.n == {wanted}", start="tail-5000")
            assert found["n"].tolist() == [wanted] and found.kit.scan.complete, (wanted, found, found.kit.scan)

    def copy(self) -> None:
        """Copy what is new to the other service; what was broken off goes on where it was."""
        for n, (log, other) in enumerate(zip(self.logs(), self.copies(), strict=True)):
            log.copy_to(other, checkpoint=self.folder / f"copied-{n}")

    def logs(self) -> list[Any]:
        return [self.at["s2"]["soak-basin"]["numbers"], self.at["kimberlite"]["numbers"]]

    def copies(self) -> list[Any]:
        return [self.at["kimberlite"]["copied"], self.at["s2"]["soak-basin"]["copied"]]

    # --- the whole --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.s2_rows = self.kimberlite_rows = self.asked = self.confirmed = self.numbered = 0
        self.tried, self.sent, self.taken = set[str](), set[str](), Counter[str]()
        self.pages_tried, self.pages = set[str](), set[str]()
        basin = self.at["s2"].create_basin("soak-basin")
        for name in ("numbers", "copied"):
            basin.create(name)
            self.at["kimberlite"].create(name)
        self.at["kimberlite"].execute("CREATE TABLE things (name TEXT PRIMARY KEY, n BIGINT)")
        self.at["kimberlite"].execute("INSERT INTO things (name, n) VALUES ($1, $2)", "soak", 0)
        self.at["synap"].client.queue.create("soak", ack_deadline_secs=3600, max_depth=1_000_000)
        self.feeds = {
            "seq_num": kit.Feed(self.at["s2"]["soak-basin"]["numbers"], start=0, max_rows=5000),
            "offset": kit.Feed(self.at["kimberlite"]["numbers"], start=0, max_rows=5000),
        }
        self.next = dict.fromkeys(self.feeds, 0)
        for name, feed in self.feeds.items():
            feed.on(lambda frame, name=name: self._came(name, frame))
        self.s2_write()
        self.kimberlite_write()
        self.figures = {name: feed.per("k", rows="count", total="sum:n") for name, feed in self.feeds.items()}
        self.newest = {name: feed.newest_by("k") for name, feed in self.feeds.items()}
        self.live = kit.live_sql(
            "select a.k, count(*) as rows, max(a.n) as newest, max(b.n) as other from a join b using (k) group by 1",
            a=self.newest["seq_num"], b=self.newest["offset"],
        )  # fmt: skip
        self.threads = [
            self.worker("s2 writes", 0.1, self.s2_write),
            self.worker("kimberlite writes", 0.1, self.kimberlite_write),
            self.worker("kimberlite sql", 0.2, self.kimberlite_sql),
            self.worker("synap writes", 0.05, self.synap_write),
            self.worker("synap reads", 0.1, self.synap_take),
            self.worker("claude", 0.2, self.claude_ask),
            self.worker("amdahl", 0.4, self.amdahl_ask),
            self.worker("joins", 1.0, self.join),
            self.worker("finds", 1.0, self.find),
            self.worker("copies", 2.0, self.copy),
        ]

    def _came(self, name: str, frame: Any) -> None:
        places = frame[name].tolist()
        if places != list(range(self.next[name], self.next[name] + len(places))):
            self.problems.append(f"the feed of {name} jumped from {self.next[name]} to {places[:3]}")
        self.next[name] += len(places)

    def restart(self) -> None:
        """One server ends, one way or the other, and comes back on its data."""
        name = self.chance.choice(SERVICES)
        house = self.houses[name]
        if self.chance.random() < 0.5:
            house.kill()
        else:
            house.close()
        house.start()
        self.count[f"restarts of {name}"] += 1

    def sample(self) -> None:
        async def tasks() -> int:
            return len(asyncio.all_tasks())

        found = {"tasks": float(loop.call(tasks)), "python threads": float(threading.active_count())}
        found |= {f"own {name}": value for name, value in of_process(os.getpid()).items()}
        for name, house in self.houses.items():
            found |= {f"{name} {what}": value for what, value in of_process(house.pid).items()}
        self.samples.append(found)

    def run(self, seconds: float) -> None:
        started = time.monotonic()
        every = max(20.0, seconds / 40)
        due = started + every
        self.begin()
        while time.monotonic() - started < seconds and not self.problems:
            self.stop.wait(min(2.0, seconds / 60))
            self.sample()
            # The last quarter is left in peace: what it holds is what stays.
            if due < time.monotonic() < started + seconds * 0.75:
                self.restart()
                due = time.monotonic() + every
        self.stop.set()
        for thread in self.threads:
            thread.join(40)
            if thread.is_alive():
                self.problems.append(f"{thread.name} hangs")
        self.account()

    def account(self) -> None:
        """Every row, once the workers have ended."""
        check = self.check
        tail = self.at["s2"]["soak-basin"]["numbers"].position().seq_num
        check(tail >= self.s2_rows, f"s2: {self.s2_rows} rows were acknowledged, {tail} are there")
        ends = {"seq_num": tail, "offset": len(self.at["kimberlite"]["numbers"])}
        check(
            ends["offset"] >= self.kimberlite_rows, f"kimberlite: {self.kimberlite_rows} rows, {ends['offset']} there"
        )
        for name, feed in self.feeds.items():
            try:
                feed.wait(ends[name], timeout=30)
            except TimeoutError as error:
                self.problems.append(f"the feed of {name}: {error}")
            until = time.monotonic() + 10
            while self.next[name] < ends[name] and time.monotonic() < until:
                time.sleep(0.05)
            check(feed.total == ends[name] == self.next[name], f"{name}: {feed.total}, {self.next[name]}, {ends[name]}")
            self.count[f"rows of the feed of {name}"] = feed.total
            self.count[f"reconnects of the feed of {name}"] = feed.stats()["reconnects"]
            self.folded(name, ends[name])
        self.answered(ends)
        for feed in self.feeds.values():
            feed.close()
        whole = self.at["s2"]["soak-basin"]["numbers"].read(body="json")
        check(whole["n"].tolist() == list(range(tail)), "s2: the rows are not what was written")
        there = self.at["kimberlite"].read("numbers", body="json", times=False)
        check(there["n"].tolist() == list(range(ends["offset"])), "kimberlite: the rows are not what was written")
        self.copy()
        for n, (other, end) in enumerate(zip(self.copies(), ends.values(), strict=True)):
            there = other.read(body="json")
            check(there["n"].tolist() == list(range(end)), f"copy {n}: {len(there)} records of {end}, or another order")
        self.count["records copied"] = sum(ends.values())
        done = int(self.at["kimberlite"].query("SELECT n FROM things WHERE name = $1", "soak")["n"].iloc[0])
        check(self.confirmed <= done <= self.asked, f"{self.confirmed} statements confirmed, {done} done")
        c = self.at["synap"].client
        unsure = self.count["synap reads, raised"]
        while (message := c.queue.consume("soak", "soak")) is not None:
            self.taken[message.payload.decode()] += 1
            c.queue.ack("soak", message.message_id)
        lost = self.sent - set(self.taken)
        # What a broken connection had given out comes again after its deadline, an hour, and is not waited for.
        check(len(lost) <= unsure, f"{len(lost)} messages are gone, {unsure} calls were in doubt")
        check(set(self.taken) <= self.tried, "messages that nobody sent")
        pages = Counter(page["name"] for page in iter_pages(self.at["amdahl"].client, "/pages"))
        check(not self.pages - set(pages), "pages that were made are gone")
        check(max(pages.values()) == 1 and set(pages) <= self.pages_tried | set(pages), "pages twice")
        spent, told = self.at["claude"].client.spent, self.at["claude"].client.get_usage()
        most = spent.tokens + spent.unknown * 500
        check(spent.tokens <= told.total_tokens <= most, f"{spent} and the service says {told.total_tokens} tokens")
        self.count["rows"] = tail + ends["offset"] + len(self.sent) + len(self.pages) + spent.calls

    def folded(self, name: str, end: int) -> None:
        """The figures folded from a feed cover its whole stream, whatever was restarted."""
        wanted = {k: (len(range(k, end, KEYS)), sum(range(k, end, KEYS))) for k in range(min(KEYS, end))}
        found: dict[int, tuple[int, int]] = {}
        until = time.monotonic() + 10
        while found != wanted and time.monotonic() < until:
            time.sleep(0.1)
            frame = self.figures[name].df
            found = {
                int(k): (int(r), int(t)) for k, r, t in zip(frame["k"], frame["rows"], frame["total"], strict=True)
            }
        self.check(found == wanted, f"figures of {name}: {found} for {wanted}")

    def answered(self, ends: dict[str, int]) -> None:
        """The live query over the newest rows of both has the last of each key."""
        wanted = {k: tuple(range(k, end, KEYS)[-1] for end in (ends["seq_num"], ends["offset"])) for k in range(KEYS)}
        found: dict[int, tuple[int, ...]] = {}
        until = time.monotonic() + 15
        while found != wanted and time.monotonic() < until:
            time.sleep(0.2)
            frame = self.live.df
            found = {
                int(k): (int(a), int(b)) for k, a, b in zip(frame["k"], frame["newest"], frame["other"], strict=True)
            }
        self.check(found == wanted, f"the live query: {found} for {wanted}")
        self.check(not len(self.live.problems), f"the live query had problems: {self.live.problems}")

    def check(self, held: bool, told: str) -> None:
        if not held:
            self.problems.append(told)

    def flat(self) -> str:
        """What the samples say, quarter by quarter; growth beyond what is taken for flat is a problem."""
        quarter = len(self.samples) // 4
        if not quarter:
            return "too short to say what grows"
        lines = [f"{'':<26}{'2nd quarter':>14}{'3rd':>14}{'4th':>14}"]
        for name in self.samples[0]:
            parts = [
                statistics.median(one[name] for one in self.samples[n * quarter : (n + 1) * quarter]) for n in (1, 2, 3)
            ]
            lines.append(f"{name:<26}" + "".join(f"{part:>14,.0f}" for part in parts))
            most = parts[0] * GROWTH[0] + GROWTH[1] if "memory" in name else parts[0] + MORE
            self.check(parts[2] <= most, f"{name} grew from {parts[0]:,.0f} to {parts[2]:,.0f}")
        return "\n".join(lines)

    def close(self) -> None:
        self.stop.set()
        for feed in getattr(self, "feeds", {}).values():
            feed.close()
        if hasattr(self, "live"):
            self.live.close()
        for one in self.at.values():
            one.close()
        for house in self.houses.values():
            house.close()


def of_process(number: int) -> dict[str, float]:
    """Bytes of memory, open files and threads of a process, as Linux tells them."""
    try:
        pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
        files = len(os.listdir(f"/proc/{number}/fd"))
        threads = len(os.listdir(f"/proc/{number}/task"))
    except (OSError, IndexError):
        return {"memory": 0.0, "files": 0.0, "threads": 0.0}
    return {"memory": float(pages * os.sysconf("SC_PAGE_SIZE")), "files": float(files), "threads": float(threads)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="kit-soak-", ignore_cleanup_errors=True) as folder:
        soak = Soak(args.seed, Path(folder))
        try:
            soak.run(60 * args.minutes)
            told = soak.flat()
        finally:
            soak.close()
    print(f"{args.minutes:g} minutes, seed {args.seed}, {len(soak.samples)} samples")
    print("\n".join(f"  {name}: {number:,}" for name, number in sorted(soak.count.items())))
    print(told)
    print(f"{len(soak.problems)} problems")
    print("\n".join(soak.problems))
    return 1 if soak.problems else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
