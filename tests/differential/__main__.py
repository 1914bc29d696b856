"""`python -m tests.differential --service s2 --ops 100000 --seed 1`: see the package."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import time
from typing import Any

import kit
from kit.kimberlite import Client
from kit.s2 import Endpoints, SyncS2
from tests.real import ABSENT, kimberlite_program, running_kimberlite, running_s2, s2_program

from .kimberlite import KimberliteWorld
from .running import Report, campaign
from .s2 import S2World

PROGRAMS = {"s2": s2_program, "kimberlite": kimberlite_program}


def s2_client(env: dict[str, str]) -> SyncS2:
    """Return a client for the server that the variables name."""
    ends = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
    return SyncS2(env["S2_ACCESS_TOKEN"], endpoints=ends)


def of_lab(service: str, stack: contextlib.ExitStack) -> Any:
    """Return a client of a lab of its own."""
    lab = stack.enter_context(kit.Lab(service, join=False, demo=False))
    if service == "s2":
        return stack.enter_context(s2_client(lab.env()))
    env = lab.env()
    return stack.enter_context(Client(env["KIMBERLITE_ADDRESS"], api_key=env["KIMBERLITE_API_KEY"], numbering="native"))


def of_real(service: str, stack: contextlib.ExitStack) -> Any:
    """Return a client of a real server of its own."""
    if service == "s2":
        return stack.enter_context(s2_client(stack.enter_context(running_s2())))
    return stack.enter_context(Client(stack.enter_context(running_kimberlite()), numbering="native"))


def run(service: str, ops: int, seed: int, *, lab_twice: bool = False) -> Report:
    """Ask a lab and the real server of a service the same."""
    with contextlib.ExitStack() as stack:
        lab = of_lab(service, stack)
        other = of_lab(service, stack) if lab_twice else of_real(service, stack)
        return campaign(S2World if service == "s2" else KimberliteWorld, lab, other, ops, seed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--service", choices=list(PROGRAMS), required=True)
    parser.add_argument("--ops", type=int, default=1000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--show", type=int, default=20, help="so many findings are shown")
    parser.add_argument("--lab-twice", action="store_true", help="ask two labs: this must find nothing")
    asked = parser.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    if not asked.lab_twice and PROGRAMS[asked.service]() is None:
        print(ABSENT)
        return 2
    began = time.monotonic()
    report = run(asked.service, asked.ops, seed, lab_twice=asked.lab_twice)
    for finding in report.findings[: asked.show]:
        print(finding)
    print(f"calls: {dict(report.kinds.most_common())}")
    print(f"errors: {dict(report.errors.most_common())}")
    print(
        f"{asked.service}: {report.calls:,} calls in {report.worlds:,} worlds from seed {seed}:"
        f" {len(report.findings)} differences, {time.monotonic() - began:.0f} s"
    )
    return bool(report.findings)


if __name__ == "__main__":
    sys.exit(main())
