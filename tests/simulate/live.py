"""Feeds and what is folded from them, over S2: each record counts once, whatever becomes of the connections."""

from __future__ import annotations

import json
import random
from typing import Any

import kit
from kit.s2 import AppendInput, Record

from .running import Op, Run
from .s2 import BASIN, RETRY, STREAM, TIMEOUT, S2Scenario

_KEYS = 4


class Folds(S2Scenario):
    """Figures per key, and the newest row of each key, of a feed."""

    name = "live.folds"
    pieces = 60
    connections = 4
    kinds = ("cut", "cut", "end", "stall", "swallow", "refuse", "drop", "jump", "freeze", "outage", "cancel")

    def ops(self, chance: random.Random) -> list[Op]:
        steps = [
            ("append", chance.choice((1, 2, 7)), chance.choice((0.0, 0.1, 0.7))) for _ in range(chance.randint(2, 9))
        ]
        for what in ("pause", "resume"):
            if chance.random() < 0.3:
                steps.insert(chance.randrange(len(steps)), (what, 0, 0.1))
        return steps

    def work(self, run: Run) -> None:
        explorer = kit.connect("s2", environment=run.env, timeout=TIMEOUT, retry=RETRY)
        run.closes(explorer.close)
        stream = self.blocking(run)
        with run.followed(lambda: kit.Feed(explorer[BASIN][STREAM], start=0)) as feed:
            figures, newest = feed.per("k", n="count", total="sum:v", last="max:v"), feed.newest_by("k")
            for what, count, pause in run.ops:
                if what == "append":
                    bodies = self.records(count)
                    given = AppendInput([Record(one) for one in bodies])
                    ack = run.tries(what, lambda given=given: stream.append(given))
                    if ack is not None:
                        self.kept(ack, bodies)
                else:
                    getattr(feed, what)()
                run.world.sleep(pause)
            run.settled()
            feed.resume()
            wanted = self.wanted()
            for _ in range(300):
                if feed.state == "failed" or (self.figures(figures) == wanted and self.newest(newest) == wanted):
                    break
                run.world.sleep(0.5)
            run.check(feed.state != "failed", "the feed failed")
            run.check(self.figures(figures) == wanted, "figures are", self.figures(figures), "not", wanted)
            run.check(self.newest(newest) == wanted, "the newest are", self.newest(newest), "not", wanted)
            figures.close()
            newest.close()

    def records(self, count: int) -> list[bytes]:
        """Return records of which each has a number of its own."""
        made = [json.dumps({"k": f"k{n % _KEYS}", "v": n}).encode() for n in range(self.count, self.count + count)]
        self.count += count
        self.tried += made
        return made

    def wanted(self) -> dict[str, tuple[int, int, int]]:
        """Return what the stream says: how many of each key, their sum, and the last of them."""
        found: dict[str, list[int]] = {}
        for body in self.there():
            record = json.loads(body)
            found.setdefault(record["k"], []).append(record["v"])
        self.last = {key: values[-1] for key, values in found.items()}
        return {key: (len(values), sum(values), max(values)) for key, values in found.items()}

    def figures(self, feed: Any) -> dict[str, tuple[int, int, int]]:
        """Return what was folded."""
        rows = [row for batch in feed.batches()[1] for row in batch.to_pylist()]
        return {row["k"]: (int(row["n"]), int(row["total"]), int(row["last"])) for row in rows}

    def newest(self, feed: Any) -> dict[str, tuple[int, int, int]]:
        """Return what was folded to the newest row of each key, in the form of the figures where it is right."""
        rows = [row for batch in feed.batches()[1] for row in batch.to_pylist()]
        right = {row["k"]: int(row["v"]) for row in rows} == self.last
        return self.wanted() if right else {"wrong": (0, 0, 0)}
