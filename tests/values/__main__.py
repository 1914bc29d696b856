"""`python -m tests.values --examples 100000 --seed 1 --service all`: see the package.

With `--real` the examples go to the real servers that `python -m tests.real build` made, instead of the lab.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import warnings
from typing import Any

import kit
from tests.real import kimberlite_program, running_kimberlite, running_s2, s2_program

from . import running, table
from .paths import Services

LOGS = ["s2", "kimberlite", "synap"]


def of_lab(stack: contextlib.ExitStack, chosen: list[str]) -> dict[str, Any]:
    """Return explorers of a lab."""
    lab = stack.enter_context(kit.Lab(*chosen, join=False, demo=False))
    return {name: getattr(lab, name) for name in chosen}


def real(stack: contextlib.ExitStack, chosen: list[str]) -> dict[str, Any]:
    """Return explorers of the real servers that there are."""
    found: dict[str, Any] = {}
    if "s2" in chosen and s2_program():
        env = stack.enter_context(running_s2())
        os.environ.update({name: env[name] for name in env if name.startswith("S2_")})
        print(f"s2 at {env['S2_ACCOUNT_ENDPOINT']}", flush=True)
        found["s2"] = kit.connect("s2")
    if "kimberlite" in chosen and kimberlite_program():
        address = stack.enter_context(running_kimberlite())
        print(f"kimberlite at {address}", flush=True)
        found["kimberlite"] = kit.connect("kimberlite", address=address, tenant_id=7)
    if not found:
        raise SystemExit("there is no real server for this")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.values", description="What goes in comes out, by examples.")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--service", default="all", choices=[*LOGS, "all"])
    parser.add_argument("--part", type=int, default=500, help="examples before the first finding is shown")
    parser.add_argument("--without", nargs="*", default=[], help="readers to leave out, as sql")
    parser.add_argument("--real", action="store_true", help="on the real servers that are on this machine")
    parser.add_argument("--table", action="store_true", help="write notebooks/values.md anew")
    asked = parser.parse_args()
    if asked.table:
        with kit.Lab(*LOGS, join=False, demo=False) as lab:
            table.FILE.write_text(table.page(Services(**{name: getattr(lab, name) for name in LOGS})))
        return 0
    running.SLOW = tuple(one for one in running.SLOW if one.__name__ not in asked.without)
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    chosen = LOGS if asked.service == "all" else [asked.service]
    warnings.simplefilter("ignore")
    print(f"seed {seed}", flush=True)
    with contextlib.ExitStack() as stack:
        explorers = real(stack, chosen) if asked.real else of_lab(stack, chosen)
        services, chosen = Services(**explorers, real=asked.real), list(explorers)
        found = running.campaign(
            services, chosen, asked.examples, seed, lambda text: print(text, flush=True), asked.part
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
