"""Time and memory against size, for each verb of a log: python -m tests.bench.growth [--most N] [--rounds N] [--plot FOLDER]

Each verb runs on 100, 1 000, ... records of one S2 stream, each time in a process of its own, after the same verb on few
records: loading and connecting are in none of the figures. Time is the least of the rounds, as what else runs on the
machine only adds to it; memory is what the verb needs at its peak beyond what the process had.

"Straight" says by how much ten times the records take more than ten times the processor's time, where the fixed part
(what a hundred records take) is left out: 1.00 is a straight line. It is told from 10 000 records on, and from where the
fixed part is no longer most of it; the processor's time of this process is less disturbed by others than the clock's.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .bodies import body
from .measure import peak_mb, resident_mb

BASIN = "bench-growth"
STRAIGHT = 1.1
STEP = 10
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#7A5CC2")


def verbs(log: Any, basin: Any, folder: Path) -> dict[str, Callable[[int], Any]]:
    """Return what is done with the first `n` records."""
    import pandas

    import kit

    fresh = (basin.create(f"{folder.name.lower()[-12:].strip('_-')}-{n}") for n in range(1000))
    frame = pandas.DataFrame({"body": []})

    def made(n: int) -> Any:
        nonlocal frame
        if len(frame) != n:
            frame = pandas.DataFrame({"body": [body(k) for k in range(n)]})
        return frame

    def arrow(n: int) -> int:
        import pyarrow as pa

        return sum(batch.num_rows for batch in pa.RecordBatchReader.from_stream(log.arrow(limit=n)))

    return {
        "read": lambda n: len(log.read(limit=n)),
        "read, as bytes": lambda n: len(log.read(limit=n, body="bytes")),
        "arrow": arrow,
        "find": lambda n: log.find("no such text", until=n).kit.scan.records,
        "profile": lambda n: log.profile(until=n).records,
        "to_parquet": lambda n: len(log.to_parquet(folder / f"p{n}-{time.monotonic_ns()}", limit=n)),
        "kit.sql": lambda n: kit.sql("select count(*) as n from s where seq_num < $1", s=log, params=[n])["n"][0],
        "append": lambda n: next(fresh).append(made(n)).end.seq_num,
    }


def side(verb: str, count: int) -> dict[str, float]:
    import kit

    folder = Path(tempfile.mkdtemp())
    try:
        basin = kit.connect("s2")[BASIN]
        deed = verbs(basin["all"], basin, folder)[verb]
        deed(300)
        if verb == "append":
            deed(count)  # the frame is there
        gc.collect()
        forget_peak()
        before, started, used = resident_mb(), time.perf_counter(), time.process_time()
        done = deed(count)
        took, used = time.perf_counter() - started, time.process_time() - used
        assert int(done) == count, (verb, done, count)
    finally:
        shutil.rmtree(folder)
    return {"seconds": took, "cpu": used, "mb": max(0.0, peak_mb() - before)}


def forget_peak() -> None:
    """Let the system count the peak of this process's memory anew: that of loading libraries is larger than a verb's."""
    Path("/proc/self/clear_refs").write_text("5")


def once(verb: str, count: int, env: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.growth", "--side", verb, "--most", str(count)]
    done = subprocess.run(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(most: int, rounds: int) -> dict[str, dict[int, dict[str, float]]]:
    """Return time and memory of each verb at each size."""
    import kit

    sizes = [100]
    while sizes[-1] < most:
        sizes.append(sizes[-1] * STEP)
    found: dict[str, dict[int, dict[str, float]]] = {}
    with kit.Lab("s2", demo=False, join=False) as lab:
        log = lab.s2.create_basin(BASIN).create("all")
        for start in range(0, most, 100_000):
            log.append([body(n) for n in range(start, min(start + 100_000, most))])
        print(f"| verb | {' | '.join(f'{n:,}' for n in sizes)} | straight | MB at the end |")
        print("|---" * (len(sizes) + 3) + "|")
        for verb in verbs(None, None, Path()):
            of = found[verb] = {}
            for n in sizes:
                runs = [once(verb, n, lab.env()) for _ in range(rounds if n < 1_000_000 else max(1, rounds // 2))]
                of[n] = {figure: min(run[figure] for run in runs) for figure in ("seconds", "cpu", "mb")}
            times = " | ".join(f"{of[n]['seconds']:.3g} s" for n in sizes)
            print(f"| {verb} | {times} | {straightness(of):.2f} | {of[sizes[-1]]['mb']:.0f} |", flush=True)
    return found


def straightness(of: dict[int, dict[str, float]]) -> float:
    """Return how far the worst step is from ten times the time for ten times the records."""
    sizes = sorted(of)
    fixed = of[sizes[0]]["cpu"]
    steps = [
        (of[b]["cpu"] - fixed) / STEP / (of[a]["cpu"] - fixed)
        for a, b in itertools.pairwise(sizes)
        if a >= 10_000 and of[a]["cpu"] > 2 * fixed
    ]
    return max(steps, default=1.0)


def plot(found: dict[str, dict[int, dict[str, float]]], folder: Path) -> None:
    """Draw time and memory against size, on white and on dark."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for theme, ground, ink in (("light", "#ffffff", "#222222"), ("dark", "#111111", "#dddddd")):
        figure = Figure(figsize=(9, 4.2), layout="constrained", facecolor=ground)
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        for axes, name, figure_of in ((left, "seconds", "seconds"), (right, "MB beyond the process", "mb")):
            for colour, (verb, of) in zip(COLOURS, found.items(), strict=False):
                sizes = sorted(of)
                values = [max(of[n][figure_of], 0.1 if figure_of == "mb" else 1e-5) for n in sizes]
                axes.plot(sizes, values, marker="o", markersize=3, linewidth=1.5, color=colour, label=verb)
            axes.set(xscale="log", yscale="log", facecolor=ground, xlabel="records")
            axes.set_title(name, loc="left", fontsize=10, color=ink)
            axes.grid(True, color=ink, alpha=0.15)
            axes.tick_params(colors=ink, which="both")
            axes.xaxis.label.set_color(ink)
            for spine in axes.spines.values():
                spine.set_color(ink)
                spine.set_alpha(0.4)
        left.legend(fontsize=8, frameon=False, labelcolor=ink)
        figure.savefig(folder / f"growth-{theme}.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000, help="how many records at the end, a power of ten")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="where growth-light.png and growth-dark.png go")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(side(given.side, given.most)))
        return
    found = measured(given.most, given.rounds)
    bent = [verb for verb, of in found.items() if straightness(of) > STRAIGHT]
    print(f"\nMISSED, more than {STRAIGHT} times straight: {', '.join(bent)}" if bent else "\nall straight")
    if given.plot:
        plot(found, given.plot)


if __name__ == "__main__":
    main()
