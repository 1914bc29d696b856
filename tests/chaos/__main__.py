"""`python -m tests.chaos`: the campaign from the command line."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import random
import sys
import threading
import time
import warnings

from .faults import Trouble
from .running import Bench, Report, Run, judged, one_run, works_again

SERVICES = {
    "s2": "S2Bench",
    "kimberlite": "KimberliteBench",
    "synap": "SynapBench",
    "claude": "ClaudeBench",
    "amdahl": "AmdahlBench",
}


def bench_of(service: str, seed: int) -> Bench:
    """The bench of a service, its server running."""
    made: Bench = getattr(importlib.import_module(f"tests.chaos.{service}"), SERVICES[service])(seed)
    return made


def campaign(
    service: str, runs: int, kills: int, seed: int, report: Report, *, only: str = "", until: float = 1e18
) -> None:
    """So many runs and kills of one service, into the report."""
    bench = bench_of(service, seed)
    try:
        verbs = list(bench.verbs())
        for verb in [only.split("/")[1]] if only else verbs:
            told = judged(lambda verb=verb: bench.bounds(verb))  # type: ignore[misc]
            if told:
                report.violations.append(f"FAILED --service {service} without any fault: {verb} {told}")
                return
        for n in range(runs):
            if time.monotonic() > until or len(report.violations) > 20:
                break
            verb = only.split("/")[1] if only else verbs[n % len(verbs)]
            one_run(bench, verb, only or f"{seed}/{verb}/{n}", report)
        for n in range(kills):
            if time.monotonic() > until or len(report.violations) > 20:
                break
            one_kill(bench, f"{seed}/kill/{n}", report)
    finally:
        bench.close()


def one_kill(bench: Bench, seed: str, report: Report) -> None:
    """The server is killed in the middle of work, and started again on its data."""
    chance = random.Random(seed)
    run = Run(bench, "kill", seed, Trouble(), chance.choice(list(bench.clients)), chance)
    verdicts: list[object] = []
    done = threading.Event()

    def work() -> None:
        try:
            verdicts.append(bench.kill_work(run))
        finally:
            done.set()

    told = ""
    worker: list[str] = []
    bench.kill_ready(run)
    thread = threading.Thread(target=lambda: worker.append(judged(work, 40)), daemon=True)
    thread.start()
    time.sleep(chance.random() * 0.3 + 0.02)
    bench.house.kill()
    bench.house.start()
    thread.join(60)
    told = worker[0] if worker else "the work never ended"
    if not told:
        told = judged(verdicts[0], 25) or judged(lambda: works_again(bench, run), 15)  # type: ignore[arg-type]
    report.kills[bench.service] += 1
    if told:
        report.violations.append(f"FAILED --service {bench.service} {seed} {run.colour} (kill) {told}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="for each service")
    parser.add_argument("--kills", type=int, default=0, help="for each service")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--service", choices=SERVICES, action="append")
    parser.add_argument("--only", default="", metavar="SEED/VERB/N", help="one run again, as a failure names it")
    parser.add_argument("--quick", action="store_true", help="a few runs of each verb, and a kill")
    parser.add_argument("--minutes", type=float, default=60.0, help="no new run after so long")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it tells of every write to a connection that was cut
    os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")
    report = Report()
    until = time.monotonic() + 60 * args.minutes
    runs, kills = (30, 1) if args.quick else (args.runs, args.kills)
    for service in args.service or SERVICES:
        started = time.monotonic()
        campaign(service, 1 if args.only else runs, kills, args.seed, report, only=args.only, until=until)
        print(f"{service}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"seed {args.seed}\n{report.table()}", flush=True)
    return 1 if report.violations else 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a call that hangs must not keep the campaign from ending
