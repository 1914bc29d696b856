"""Results that are folded from a feed, against the same query over the whole log: nothing twice, nothing missing.

    python -m tests.live_exact [--records 1000000] [--cuts 200] [--restarts 20] [--processes 4] [--service s2 ...]

Of each service that has positions: records are appended, shuffled in time and some of them late, while a process of
its own folds a feed of them. Its connections are cut, the server is killed in the middle of an append and started again
on its data, and the process itself is killed after a checkpoint, from which the next one goes on. At the end every
figure has to equal that of a query over the log as it is: figures per key, windows with the late rows counted, and the
latest row per key. Prints one line per service; ends with status 1 where one differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import kit
from kit.core.errors import KitError

from .chaos.house import House

SERVICES = ("s2", "kimberlite", "synap")
KEYS = 1000
EVERY, LATE = 10, 30
"""Seconds: how long a window is, and how late a record may be."""
CUTS: dict[str, list[dict[str, Any]]] = {
    "s2": [
        {"kind": kind, "path": "*/records", "method": "GET"}
        for kind in ("reset", "truncate", "drop", "reset", "truncate", "503")
    ],
    "kimberlite": [{"kind": "reset", "path": "Push/*"}],
    "synap": [{"kind": "drop", "path": "/rpc/SREAD"}],
}
BEGAN = 1_780_000_000_000
PATIENCE, STUCK = 600.0, 15.0


def bodies(dice: random.Random, first: int, count: int) -> list[bytes]:
    """Records whose times are out of order by some seconds, and every twentieth by up to two minutes."""
    found = []
    for n in range(first, first + count):
        back = dice.randrange(120_000) if dice.random() < 0.05 else dice.randrange(3000)
        at = BEGAN + n - back
        row = {
            "n": n,
            "user": f"u{dice.randrange(KEYS)}",
            "qty": dice.randrange(-(2**40), 2**50),
            "price": dice.randrange(4000) / 4,
            "at": f"{np.datetime64(at, 'ms')}Z",
            "op": "gone" if dice.random() < 0.01 else "set",
        }
        found.append(json.dumps(row).encode())
    return found


def opened(service: str, env: dict[str, str], *, make: bool = False) -> Any:
    """The log of a service."""
    there = kit.connect(service, environment=env)
    if service == "s2":
        return (there.create_basin("exact-basin").create("log") if make else there["exact-basin"]["log"]), there
    if service == "kimberlite":
        if make:
            there.create("log")
        return there["log"], there
    if make:
        there.client.stream.create("log")
    return there["log"], there


# --- the process that follows ------------------------------------------------------------------------------------------


def follow(service: str, place: str, resume: bool) -> None:
    """Fold the log's feed; answer what is asked on stdin."""
    log, _ = opened(service, dict(os.environ))
    start: dict[str, Any] = {"from_checkpoint": place} if resume else {}
    with kit.Feed(log, start="earliest", body="json", max_rows=200_000, **start) as feed:
        folds = {
            "users": feed.per(
                "user", rows="count", qty="sum:qty", price="sum:price", low="min:qty", high="max:qty", first="first:n",
                last="last:n",
            ),
            "windows": feed.per(None, every=f"{EVERY}s", time="at", late=f"{LATE}s", rows="count", qty="sum:qty"),
            "newest": feed.newest_by("user", deletes={"op": "gone"}),
        }  # fmt: skip
        print("ready", flush=True)
        for line in sys.stdin:
            order, _, count = line.strip().partition(" ")
            if order == "checkpoint":
                told = feed.checkpoint(place)
                answer: Any = {"position": told["position"], "bytes": os.path.getsize(place)}
            elif order == "at":
                answer = {name: fold.stats()["folded"] for name, fold in folds.items()}
            else:
                all_of_them = partial(folded, int(count))
                for fold in folds.values():
                    fold.wait(until=all_of_them, timeout=PATIENCE)
                answer = {name: json.loads(shown(fold.df).to_json(orient="columns")) for name, fold in folds.items()}
                answer["stats"] = {name: {**fold.stats(), "caught_up": None} for name, fold in folds.items()}
                answer["reconnects"] = feed.reconnects
            print(json.dumps(answer, default=str), flush=True)


def shown(frame: Any) -> Any:
    """A frame whose windows are milliseconds, without other times."""
    if "window" in frame:
        frame["window"] = frame["window"].astype("int64")
    return frame.select_dtypes(exclude="datetimetz")


def folded(count: int, feed: kit.Feed) -> bool:
    """Whether so many rows are in a result."""
    return bool(feed.stats()["folded"] >= count)


class Follower:
    """That process, as seen from here."""

    def __init__(self, service: str, env: dict[str, str], place: Path, resume: bool) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.live_exact", "--follow", service, str(place), *(["--resume"] if resume else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **env},
        )  # fmt: skip
        assert self._process.stdout is not None and self._process.stdout.readline().strip() == "ready"

    def ask(self, order: str) -> Any:
        """What it answers."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the process that follows ended with {self._process.wait()}")
        return json.loads(line)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


# --- what must hold ----------------------------------------------------------------------------------------------------


def expected(log: Any) -> dict[str, Any]:
    """The same figures by queries over the whole log."""
    position = log.source().position
    whole = kit.sql(f'select "{position}" as position, n, "user", qty, price, "at", op from log order by 1', log=log)
    users = kit.sql(
        'select "user", count(*) as rows, sum(qty)::int64 as qty, sum(price) as price, min(qty) as low, max(qty) as high,'
        " arg_min(n, position) as first, arg_max(n, position) as last from whole group by 1",
        whole=whole,
    )
    moments = whole["at"].str.removesuffix("Z").to_numpy().astype("datetime64[ms]").astype(np.int64)
    newest = np.maximum.accumulate(moments)
    starts = moments // (EVERY * 1000)
    kept = (starts + 1) * EVERY * 1000 + LATE * 1000 > newest
    windows: dict[int, list[int]] = {}
    for start, qty in zip(starts[kept].tolist(), whole["qty"].to_numpy()[kept].tolist(), strict=True):
        found = windows.setdefault(start * EVERY * 1000, [0, 0])
        found[0] += 1
        found[1] += qty
    latest: dict[str, int] = {}
    for user, n, op in zip(whole["user"], whole["n"].tolist(), whole["op"], strict=True):
        latest.pop(user, None)
        if op != "gone":
            latest[user] = n
    return {
        "rows": len(whole),
        "late": int((~kept).sum()),
        "users": {row.pop("user"): row for row in users.to_dict("records")},
        "windows": dict(sorted(windows.items())),
        "newest": latest,
    }


def differences(told: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What of the folds is not as the queries say."""
    columns = told["users"]
    users = {
        user: {name: columns[name][row] for name in columns if name != "user"} for row, user in columns["user"].items()
    }
    windows = {
        at: [told["windows"]["rows"][row], told["windows"]["qty"][row]] for row, at in told["windows"]["window"].items()
    }
    newest = {told["newest"]["user"][row]: told["newest"]["n"][row] for row in told["newest"]["user"]}
    found = []
    for name, one, other in (
        ("figures per key", users, wanted["users"]),
        ("windows", windows, wanted["windows"]),
        ("the latest rows", newest, wanted["newest"]),
        ("the order of the latest rows", list(newest), list(wanted["newest"])),
        ("late records", told["stats"]["windows"]["late"], wanted["late"]),
        *((f"rows of {name}", stats["folded"], wanted["rows"]) for name, stats in told["stats"].items()),
        *((f"rows that {name} missed", stats["missed"], 0) for name, stats in told["stats"].items()),
    ):
        if one != other:
            odd = (
                [key for key in {**one, **other} if one.get(key) != other.get(key)][:3] if isinstance(one, dict) else []
            )
            found.append(f"{name} differ: {[(key, one.get(key), other.get(key)) for key in odd] or (one, other)}"[:600])
    in_windows = sum(count for count, _ in wanted["windows"].values())
    if in_windows + wanted["late"] != wanted["rows"]:
        found.append("a record is in no window and not late")
    return found


# --- one service -------------------------------------------------------------------------------------------------------


def run(service: str, records: int, cuts: int, restarts: int, processes: int, seed: int) -> tuple[str, list[str]]:
    """A line of figures, and what differs."""
    began = time.monotonic()
    dice = random.Random(seed)
    room = {"KIT_SYNAP_EVENTS": str(2 * records + 10_000), "KIT_SYNAP_UNREAD": str(2 * records + 10_000)}
    with tempfile.TemporaryDirectory() as folder:
        house = House(service, Path(folder), **room)
        try:
            place = Path(folder) / "checkpoint.json"
            log, there = opened(service, house.env, make=True)
            append: Callable[[Sequence[Any]], Any] = log.publish if service == "synap" else log.append
            follower = Follower(service, house.env, place, False)
            armed = killed = replaced = at = 0
            size = max(20, min(2000, records // 50))
            checkpoint_bytes = 0
            while at < records:
                some = bodies(dice, at, min(size, records - at))
                given: Sequence[Any] = [json.loads(one) for one in some] if service == "synap" else some
                if at * restarts >= killed * records + records // 2 and killed < restarts:
                    killed += 1
                    killer = threading.Timer(dice.random() * 0.02, house.kill)
                    killer.start()
                    sent = attempt(append, given)
                    killer.join()
                    house.start()
                    there.close()
                    log, there = opened(service, house.env)
                    append = log.publish if service == "synap" else log.append
                    if not sent:
                        append(given)  # some of them may be there twice now: the log is what counts
                else:
                    append(given)
                at += len(some)
                while armed * records < at * cuts and armed < cuts:
                    house.fault(**{"after": dice.randrange(60_000), "skip": 0, **dice.choice(CUTS[service])})
                    armed += 1
                if at * processes >= (replaced + 1) * records and replaced < processes - 1:
                    replaced += 1
                    checkpoint_bytes = follower.ask("checkpoint")["bytes"]
                    time.sleep(dice.random() * 0.2)  # what it takes in now is forgotten
                    follower.kill()
                    follower = Follower(service, house.env, place, True)
            deadline = time.monotonic() + PATIENCE
            waiting, since = house.waiting(), time.monotonic()
            while waiting and time.monotonic() < deadline:
                append(given[:1])
                time.sleep(0.01)
                before, waiting = waiting, house.waiting()
                if waiting < before:
                    since = time.monotonic()
                elif time.monotonic() - since > STUCK:
                    # Cuts are met by connections that are made after them, and none is made any more.
                    checkpoint_bytes = follower.ask("checkpoint")["bytes"]
                    follower.kill()
                    follower = Follower(service, house.env, place, True)
                    replaced, since = replaced + 1, time.monotonic()
            left = waiting
            house.clear()
            wanted = expected(log)
            told = follower.ask(f"result {wanted['rows']}")
            follower.kill()
            there.close()
            found = differences(told, wanted)
            if left:
                found.append(f"{left} cuts were met by nothing")
        finally:
            house.close()
    line = (
        f"{service}: {wanted['rows']:,} records, {wanted['late']:,} late, {armed - left} cuts, {killed} restarts,"
        f" {replaced + 1} processes (a checkpoint of {checkpoint_bytes:,} bytes; the last reconnected {told['reconnects']} times),"
        f" {len(told['users']['user']):,} keys, {len(told['windows']['window']):,} windows,"
        f" {time.monotonic() - began:.0f} s: {'DIFFERENT' if found else 'equal'}"
    )
    return line, found


def attempt(append: Callable[[Sequence[Any]], Any], given: Sequence[Any]) -> bool:
    """Whether it was acknowledged."""
    try:
        append(given)
    except KitError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--service", action="append", choices=SERVICES)
    parser.add_argument("--follow", nargs=2, metavar=("SERVICE", "CHECKPOINT"), help=argparse.SUPPRESS)
    parser.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.follow:
        follow(*given.follow, given.resume)
        return
    bad = False
    for service in given.service or SERVICES:
        line, found = run(service, given.records, given.cuts, given.restarts, given.processes, given.seed)
        print(line, *found, sep="\n  ", flush=True)
        bad = bad or bool(found)
    sys.exit(int(bad))


if __name__ == "__main__":
    main()
