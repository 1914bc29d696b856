"""Two ways of doing one thing, in processes of their own, in turn, after a warm-up; ratios pair by pair.

A benchmark is a module with `SIDES`, functions that do a thing once and give their figures, and `rows(pairs)`, which
says what is compared with what. `size()` is how much a side is to do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

Figures = dict[str, float]
Side = Callable[[], Figures]
_SIZE, _ROUND = "KIT_BENCH_SIZE", "KIT_BENCH_ROUND"


@dataclass
class Row:
    """What came of one comparison. A ratio below 1 means that ours takes less."""

    name: str
    ratios: list[float]
    goal: float | None
    what: str = "time"
    ours: float = 0.0
    theirs: float = 0.0
    size: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        return "" if self.goal is None else "met" if self.median <= self.goal else "MISSED"

    def line(self) -> str:
        spread = f"{min(self.ratios):.3f}..{max(self.ratios):.3f}"
        goal = "" if self.goal is None else f"<= {self.goal:.3g}"
        theirs = f" / {self.theirs:.4g}" if self.theirs else ""
        return f"| {self.name} | {self.what} | {self.median:.3f} | {spread} | {goal} | {self.verdict} | {self.ours:.4g}{theirs} |"

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name, "figure": self.what, "size": self.size, "ratio": self.median, "ratios": self.ratios,
            "goal": self.goal, "verdict": self.verdict, "ours": self.ours, "theirs": self.theirs,
        }  # fmt: skip


HEAD = "| comparison | of | ours / theirs (median) | spread | goal | | ours / theirs |\n|---|---|---|---|---|---|---|"


@dataclass
class Pairs:
    """Runs the comparisons of one module. `quick` does a hundredth of the work, once, and judges nothing."""

    module: str
    rounds: int = 3
    quick: bool = False
    only: str = ""
    """Rows whose names do not hold this are left out."""
    rows: list[Row] = field(default_factory=list)

    def of(self, module: str) -> Pairs:
        """Return the same for sides of another module; its rows are these."""
        return replace(self, module=module)

    def size(self, full: int) -> int:
        """How much is to be done: all of it, or a hundredth."""
        return max(200, full // 100) if self.quick else full

    def growth(self, *sizes: int) -> tuple[int, ...]:
        """Sizes at which the same is compared, to see how it grows."""
        return sizes[:1] if self.quick else sizes

    def compare(
        self,
        name: str,
        ours: str,
        theirs: str,
        env: Mapping[str, str],
        *,
        goal: float | None = None,
        figures: Mapping[str, float | None] | None = None,
        size: int = 0,
        rounds: int | None = None,
    ) -> None:
        """The two sides in turn, who goes first changing, after one round that is thrown away unless there is one only;
        a row per figure."""
        if self.only not in name:
            return
        size = self.size(size) if size else 0
        if not self.quick and rounds != 1:
            self._once(ours, env, size)
            self._once(theirs, env, size)
        pairs = []
        for number in range(1 if self.quick else rounds or self.rounds):
            order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
            found = {side: self._once(side, env, size, number) for side in order}
            pairs.append((found[ours], found[theirs]))
        for figure, its_goal in (figures or {"time": goal}).items():
            ratios = [a[figure] / b[figure] for a, b in pairs]
            a, b = (statistics.median(side[figure] for side in sides) for sides in zip(*pairs, strict=True))
            self.add(Row(name, ratios, its_goal, figure, a, b, size))

    def alone(
        self, name: str, side: str, env: Mapping[str, str], figures: Mapping[str, float | None], *, size: int = 0
    ) -> None:
        """Figures that are ratios by themselves, with their goals."""
        if self.only not in name:
            return
        size = self.size(size) if size else 0
        runs = [self._once(side, env, size) for _ in range(1 if self.quick else self.rounds)]
        for figure, goal in figures.items():
            found = [run[figure] for run in runs]
            self.add(Row(name, found, goal, figure, statistics.median(found), 0.0, size))

    def add(self, row: Row) -> None:
        if self.quick:
            row.goal = None
        self.rows.append(row)
        print(row.line(), flush=True)

    def _once(self, side: str, env: Mapping[str, str], size: int, number: int = 0) -> Figures:
        """One side in a process of its own; it prints one line of figures. `process` is the time of all of it."""
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", self.module, "--side", side],
            env={**os.environ, **env, _SIZE: str(size), _ROUND: str(number)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        took = time.perf_counter() - began
        figures: Figures = json.loads(done.stdout.splitlines()[-1])
        return {"process": took, **figures}


def size() -> int:
    """How much the side that runs is to do."""
    return int(os.environ[_SIZE])


def round_number() -> int:
    """Which round the side that runs is in, from 0."""
    return int(os.environ[_ROUND])


def timed(deed: Callable[[], object], times: int, warm: int = 20) -> Figures:
    """The median of many repeats of something small."""
    for _ in range(min(warm, times)):
        deed()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        deed()
        took.append(time.perf_counter() - began)
    return {"time": statistics.median(took)}


def small_frame() -> Figures:
    """What pandas alone takes for a frame of a hundred rows, of columns that are there: the bound of a small read."""
    import numpy
    import pandas

    numbers, bodies = numpy.arange(100, dtype="uint64"), pandas.array([b"x" * 200] * 100, dtype="object")
    times = pandas.array(numpy.arange(100, dtype="int64").view("datetime64[ms]"))
    return timed(lambda: pandas.DataFrame({"at": numbers, "time": times, "body": bodies}, copy=False), size())


def asked_bare(address: tuple[str, int], request: bytes, whole: Callable[[bytes], bool]) -> Figures:
    """The same request on a bare socket, its answer thrown away: what the server and the way to it take."""
    import socket

    with socket.create_connection(address, timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask() -> None:
            sock.sendall(request)
            data = sock.recv(2**20)
            while not whole(data):
                data += sock.recv(2**20)

        return timed(ask, size())


def peak_mb() -> float:
    """The most memory this program has had, in MB; what `getrusage` says may be that of the process that started it."""
    with open("/proc/self/status") as file:
        return int(file.read().partition("VmHWM:")[2].split()[0]) / 1024


def resident_mb() -> float:
    """The memory this process has now, in MB."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(module: str, rows: Callable[[Pairs], None], sides: Mapping[str, Side], about: str | None) -> None:
    """What `python -m tests.bench.NAME` does."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=sides, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the work, to see that it runs")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names hold this")
    chosen = parser.parse_args()
    if chosen.side:
        print(json.dumps(sides[chosen.side]()))
        return
    print(HEAD)
    rows(Pairs(module, chosen.rounds, chosen.quick, chosen.only))
