"""`python -m tests.mutate --count 500`: see the package."""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from pathlib import Path

from . import running
from .running import Calls
from .sites import Change

ROOT = Path(__file__).parents[2]
JUDGED = Path(__file__).parent / "equivalent.txt"
MOST = 10
"""So many files of tests are asked about a change: what they do not see is taken to be seen by none."""
SLOW = 0.3
"""Tests that take so many seconds are asked after all others."""


def judged() -> dict[str, str]:
    """Return the changes that change nothing, with the reason."""
    pairs = [line.split(" ## ", 1) for line in JUDGED.read_text().splitlines() if " ## " in line]
    return {name.strip(): reason for name, reason in pairs}


def survived(log: str) -> set[str]:
    """Return the names of the changes that nothing noticed in a run, by what it printed; lines may have moved since."""
    found = re.findall(r"^ *\d+ (\S+?):\d+: (.*)\n +SURVIVED", log, re.M)
    return {f"{path}: {change}" for path, change in found}


def coming_by(change: Change, calls: Calls) -> list[list[str]]:
    """Return the tests that call the function that is changed, in parts to be run one after the other.

    The module's own file is the first, as importing all of them takes longer than most tests; then those with the most
    tests that come by; slow tests of all files are the last. What runs once, when a module is imported, is guarded by
    the tests that call anything there, and by those of the service.
    """
    wing = f"test_{change.path.split('/')[1]}_"
    files: dict[str, list[tuple[float, str]]] = {}
    for test, (took, called) in calls.items():
        path = test.partition("::")[0]
        once = not change.function and (wing in path or any(there == change.path for there, _ in called))
        if once or (change.path, change.function) in called:
            files.setdefault(path, []).append((took, test))
    own = Path(change.path).stem
    ordered = sorted(files, key=lambda path: (own not in path, -len(files[path])))[:MOST]
    parts = [
        [test for path in some for took, test in sorted(files[path]) if took < SLOW]
        for some in (ordered[:1], ordered[1:4], ordered[4:])
    ]
    parts.append([test for took, test in sorted(one for path in ordered for one in files[path]) if took >= SLOW])
    return [part for part in parts if part]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", default="", help="a part of the path of files")
    parser.add_argument("--survivors", type=Path, help="the log of an earlier run: try only what survived there")
    parser.add_argument("--judged", action="store_true", help="try those too that are judged to change nothing")
    parser.add_argument(
        "--calls", type=Path, default=Path(tempfile.gettempdir()) / "kit-mutate-calls.json",
        help="where to keep which test calls what; delete it when the package has changed much",
    )  # fmt: skip
    asked = parser.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    chance = random.Random(seed)
    known = {} if asked.judged else judged()
    began = time.monotonic()
    running.prepare()
    killed = equal = controls = 0
    survivors: list[Change] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        tree = running.Tree(ROOT, Path(folder))
        possible = [change for change in tree.changes if asked.only in change.path]
        if asked.survivors is not None:
            names = survived(asked.survivors.read_text())
            possible = [change for change in possible if change.name in names]
        chosen = chance.sample(possible, min(asked.count, len(possible)))
        print(f"seed {seed}: {len(chosen)} of {len(possible)} changes", flush=True)
        calls = running.calls(tree, asked.calls)
        print(f"{len(calls)} tests, {time.monotonic() - began:.0f} s", flush=True)
        for n, change in enumerate(chosen, 1):
            if change.name in known:
                equal += 1
                continue
            tests = coming_by(change, calls)
            if n % 25 == 0:
                # The same tests without a change must pass, or the machine is what fails them.
                wrong = running.judge(tree, None, tests, calls)
                controls += 1
                if wrong:
                    print(f"UNCHANGED, and yet: {wrong}", flush=True)
            by = running.judge(tree, change, tests, calls) if tests else ""
            if by:
                killed += 1
            else:
                survivors.append(change)
            print(
                f"{n:4} {change}\n       {by or ('SURVIVED' if tests else 'SURVIVED, as no test comes by')}", flush=True
            )
    print("\nSurvivors:")
    for change in survivors:
        print(f"  {change}")
    tried = killed + len(survivors)
    print(
        f"{len(chosen)} changes from seed {seed}: {killed} of {tried} killed ({killed / max(tried, 1):.1%}),"
        f" {len(survivors)} survived, {equal} judged to change nothing, {controls} controls,"
        f" {time.monotonic() - began:.0f} s"
    )
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
