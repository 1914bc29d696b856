"""Two ways of doing one thing, in processes of their own, in turn, after a warm-up; ratios pair by pair."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass


@dataclass
class Row:
    """What came of one comparison. A ratio below 1 means that ours takes less."""

    name: str
    ratios: list[float]
    goal: float
    what: str = "time"
    ours: float = 0.0
    theirs: float = 0.0

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    def line(self) -> str:
        verdict = "met" if self.median <= self.goal else "MISSED"
        spread = f"{min(self.ratios):.3f}..{max(self.ratios):.3f}"
        return (
            f"| {self.name} | {self.what} | {self.median:.3f} | {spread} | <= {self.goal:g} | {verdict} | "
            f"{self.ours:.4g} / {self.theirs:.4g} |"
        )


HEAD = "| comparison | of | ours / theirs (median) | spread | goal | | ours / theirs |\n|---|---|---|---|---|---|---|"


def once(module: str, side: str, env: dict[str, str]) -> dict[str, float]:
    """Runs one side in a process of its own; it prints one line of JSON figures."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--side", side],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(
    module: str, name: str, ours: str, theirs: str, goals: dict[str, float], env: dict[str, str], rounds: int = 5
) -> list[Row]:
    """The two sides in turn, who goes first changing; a row for each figure that has a goal."""
    once(module, ours, env)
    once(module, theirs, env)
    pairs = []
    for number in range(rounds):
        order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        figures = {side: once(module, side, env) for side in order}
        pairs.append((figures[ours], figures[theirs]))
    rows = []
    for figure, goal in goals.items():
        ratios = [a[figure] / b[figure] for a, b in pairs]
        a, b = (statistics.median(side[figure] for side in sides) for sides in zip(*pairs, strict=True))
        rows.append(Row(name, ratios, goal, figure, a, b))
    return rows


def peak_mb() -> float:
    """The most memory this process has had, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def show(rows: list[Row]) -> None:
    print(HEAD)
    for row in rows:
        print(row.line())
