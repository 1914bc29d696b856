"""The campaign from the command line; see the package."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .clients import BROKEN
from .models import MODELS
from .running import place, run


@dataclass
class Tally:
    """What came of the histories of one service."""

    what: str
    first: int
    began: float = field(default_factory=time.monotonic)
    calls: int = 0
    unknown: int = 0
    failed: int = 0
    verdicts: Counter[bool | None] = field(default_factory=Counter)

    def __str__(self) -> str:
        yes, no, open_ = self.verdicts[True], self.verdicts[False], self.verdicts[None]
        return (
            f"{self.what}: {yes + no + open_} histories from seed {self.first} on, {self.calls:,} calls,"
            f" {self.unknown:,} with unknown outcome, {self.failed:,} looks failed: {yes} linearizable, {no} not, {open_} not decided,"
            f" {time.monotonic() - self.began:.0f} s"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.linearizable", description=__doc__)
    parser.add_argument("--service", choices=[*MODELS, "all"], default="all")
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--ops", type=int, default=200, help="calls of each client")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--real", action="store_true", help="on the real `s2 lite` that is on this machine")
    parser.add_argument("--broken", choices=BROKEN, default="", help="break one client so: this must be found")
    parser.add_argument("--no-faults", action="store_false", dest="faults", help="leave the network alone")
    parser.add_argument("--keep", type=Path, help="write the histories into this folder")
    asked = parser.parse_args()
    bad = 0
    for service in MODELS if asked.service == "all" else [asked.service]:
        if asked.real and service != "s2":
            continue
        tally = Tally(f"{service}{' (real)' if asked.real else ''}", asked.first)
        told = tally.began
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            with place(service, asked.first, Path(folder), real=asked.real, faults=asked.faults) as there:
                for seed in range(asked.first, asked.first + asked.seeds):
                    lines, verdict = run(there, seed, asked.clients, asked.ops, asked.broken)
                    tally.verdicts[verdict.linearizable] += 1
                    tally.calls += lines.count('"Start"')
                    tally.unknown += lines.count("IndefiniteFailure")
                    tally.failed += sum(lines.count(f'"{what}Failure"') for what in ("Read", "CheckTail", "Length", ""))
                    if asked.keep or (verdict.linearizable is False and not asked.broken):
                        where = asked.keep or Path(tempfile.gettempdir())
                        where.mkdir(parents=True, exist_ok=True)
                        (where / f"{service}-{seed}.jsonl").write_text(lines)
                    if verdict.linearizable is False and not asked.broken:
                        print(f"NOT LINEARIZABLE: {service}, seed {seed}: {len(verdict.longest)} calls fit", flush=True)
                    if time.monotonic() > told + 60:
                        told = time.monotonic()
                        print(f"  so far {tally}", flush=True)
        bad += tally.verdicts[bool(asked.broken)]
        print(tally, flush=True)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
