"""The campaign from the command line; see the package."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from .broken import BROKEN
from .running import Outcome, execute, smaller
from .scenarios import SCENARIOS, services


@dataclass
class Tally:
    """What came of the runs of one service."""

    seeds: int = 0
    calls: int = 0
    raised: int = 0
    hours: float = 0.0
    met: Counter[str] = field(default_factory=Counter)
    failing: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.calls += outcome.calls
        self.raised += outcome.failed
        self.hours += outcome.seconds / 3600
        self.met += outcome.met
        if outcome.violation:
            self.failing.append(f"{outcome.plan.scenario} {outcome.plan.seed}")

    def row(self, name: str) -> str:
        met = ", ".join(f"{count} {kind}" for kind, count in sorted(self.met.items()))
        return (
            f"{name:<12}{self.seeds:>9,} seeds{self.calls:>12,} calls{self.raised:>10,} raised"
            f"{self.hours:>9,.1f} h made up{len(self.failing):>4} failing   {met}"
        )


def told(outcome: Outcome) -> str:
    """Return a run in full."""
    plan = outcome.plan
    return "\n".join(
        [
            f"--scenario {plan.scenario} --first {plan.seed}{f' --broken {plan.broken!r}' if plan.broken else ''}",
            *(f"  operation {op}" for op in plan.ops),
            *(f"  {fault}" for fault in plan.faults),
            *(f"  {line}" for line in outcome.lines),
            f"  {outcome.violation or 'nothing is wrong'}",
        ]
    )


def differs(one: Outcome, other: Outcome) -> str:
    """Return where two traces of one plan part; empty where they are the same."""
    for n, (this, that) in enumerate(zip(one.lines, other.lines, strict=False)):
        if this != that:
            return f"the same seed did something else at line {n}: {this!r}, then {that!r} {other.violation}"
    return "" if len(one.lines) == len(other.lines) else "the same seed ended elsewhere"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many, shared by the scenarios")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--scenario", default="", help="one of them, or a service: " + ", ".join(SCENARIOS))
    parser.add_argument("--minutes", type=float, default=0.0, help="stop then, if it is earlier")
    parser.add_argument("--broken", choices=BROKEN, default="", help="break a client so: this must be found")
    parser.add_argument("--trace", action="store_true", help="print the first seed in full, and no more")
    parser.add_argument("--twice", action="store_true", help="run each seed twice, and compare the traces")
    asked = parser.parse_args()
    wanted = BROKEN[asked.broken][0] if asked.broken else asked.scenario
    names = [name for name in SCENARIOS if name == wanted or name.startswith(f"{wanted}.") or not wanted]
    if not names:
        parser.error(f"no scenario is called {wanted!r}")
    tallies = {service: Tally() for service in services(names)}
    began = told_at = time.monotonic()
    first: Outcome | None = None
    for seed in range(asked.first, asked.first + asked.seeds):
        if asked.minutes and time.monotonic() - began > asked.minutes * 60:
            break
        # One scenario after the other, so that any range of seeds has all of them.
        scenario = SCENARIOS[names[seed % len(names)]]()
        outcome = execute(scenario, scenario.plan(seed, asked.broken))
        if asked.trace:
            print(told(outcome))
            return bool(outcome.violation)
        if asked.twice and not outcome.violation:
            outcome.violation = differs(outcome, execute(SCENARIOS[scenario.name](), outcome.plan))
        tallies[scenario.service].add(outcome)
        if outcome.violation:
            print(f"FAILED {scenario.name} {seed}: {outcome.violation[:1000]}", flush=True)
            if first is None:
                first = outcome
        if asked.broken and first is not None:
            break
        if time.monotonic() - told_at > 60:
            told_at = time.monotonic()
            print(f"  seed {seed}", *(tally.row(name) for name, tally in tallies.items()), sep="\n  ", flush=True)
    for name, tally in tallies.items():
        print(tally.row(name))
    count, failing = sum(one.seeds for one in tallies.values()), sum(len(one.failing) for one in tallies.values())
    print(f"{count:,} seeds from {asked.first} on, {failing} failing, {time.monotonic() - began:.0f} s")
    for tally in tallies.values():
        for one in tally.failing[:50]:
            print("failing:", one)
    if first is not None:
        scenario = SCENARIOS[first.plan.scenario]()
        print("the first of them, made as small as it goes:")
        print(told(execute(scenario, smaller(scenario, first.plan))))
    return bool(failing) != bool(asked.broken)


if __name__ == "__main__":
    sys.exit(main())
