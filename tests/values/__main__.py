"""`python -m tests.values --examples 100000 --seed 1 --service all`: see the package."""

from __future__ import annotations

import argparse
import random
import sys
import warnings

import kit

from . import running, table
from .paths import Services

LOGS = ["s2", "kimberlite", "synap"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.values", description="What goes in comes out, by examples.")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--service", default="all", choices=[*LOGS, "all"])
    parser.add_argument("--part", type=int, default=500, help="examples before the first finding is shown")
    parser.add_argument("--without", nargs="*", default=[], help="readers to leave out, as sql")
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
    with kit.Lab(*chosen, join=False, demo=False) as lab:
        services = Services(**{name: getattr(lab, name) for name in chosen})
        found = running.campaign(
            services, chosen, asked.examples, seed, lambda text: print(text, flush=True), asked.part
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
