"""The way of a record through the package: the files and functions of a warm call, and how many calls it takes.

`python -m tests.bench.way` prints them beside what is kept in `way.json`; `--keep` writes them there. No clock is read,
so a machine that others use gives the same figures, and a test sees that no way gets longer unnoticed.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import kit

PACKAGE = str(Path(kit.__file__).parent)
KEPT = Path(__file__).with_name("way.json")
LEEWAY = 1.1
"""So much longer than kept may a way be: versions of Python and of libraries differ."""


def way(call: Callable[[], Any]) -> dict[str, int]:
    """Return what a warm call takes: files, functions and calls, in this package and in this thread."""
    for _ in range(4):
        call()
    files: set[str] = set()
    functions: set[Any] = set()
    calls = 0

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls += 1
            files.add(frame.f_code.co_filename)
            functions.add(frame.f_code)

    found: list[dict[str, int]] = []
    gc.disable()  # what is collected meanwhile is no part of the way
    try:
        for _ in range(5):
            files.clear(), functions.clear()
            calls = 0
            sys.setprofile(note)
            try:
                call()
            finally:
                sys.setprofile(None)
            found.append({"files": len(files), "functions": len(functions), "calls": calls})
    finally:
        gc.enable()
    return min(found, key=lambda one: one["calls"])


def operations(lab: Any) -> dict[str, Callable[[], Any]]:
    """Return the calls that are counted, on a lab with demo data."""
    import pandas as pd

    stream = lab.s2["demo-shop"]["orders"]
    mine = lab.s2["demo-shop"].create("way")
    rows = [{"n": n, "city": "Oslo"} for n in range(10)]
    frame = pd.DataFrame(rows)
    k, syn, claude, amdahl = lab.kimberlite, lab.synap, lab.claude, lab.amdahl
    syn.client.kv.set("way", "x")
    syn.client.queue.create("way")
    return {
        "S2: read(limit=100)": lambda: stream.read(0, 100),
        "S2: read(limit=1000)": lambda: stream.read(0, 1000),
        "S2: tail(10)": lambda: stream.tail(10),
        "S2: position()": stream.position,
        "S2: append ten dicts": lambda: mine.append(rows),
        "S2: append a frame of ten": lambda: mine.append(frame),
        "Kimberlite: read(limit=100)": lambda: k.read("claims", limit=100),
        "Kimberlite: query": lambda: k.query("SELECT id, name FROM accounts LIMIT 50"),
        "Kimberlite: append ten dicts": lambda: k.append("way", rows),
        "Kimberlite: one event, plain client": lambda: k.client.stream_length(None, "claims"),
        "Synap: read(limit=100)": lambda: syn.read("vans", limit=100),
        "Synap: get of one key": lambda: syn.get(["way"]),
        "Synap: one key, plain client": lambda: syn.client.kv.get("way"),
        "Synap: set, plain client": lambda: syn.client.kv.set("way", "x"),
        "Synap: publish ten messages": lambda: syn.publish("way", rows),
        "Claude: one answer, plain client": lambda: claude.client.complete("Say hello", model="haiku"),
        "Claude: batch of five": lambda: claude.batch(["a", "b", "c", "d", "e"], model="haiku", cache=False),
        "Amdahl: query": lambda: amdahl.query("select channel, count(*) as n from interactions group by 1"),
        "Amdahl: one small call, plain client": lambda: amdahl.client.get("/me"),
        "kit.sql over a frame": lambda: kit.sql("select city, count(*) n from rows group by 1", rows=frame),
    }


def measured() -> dict[str, dict[str, int]]:
    """Return the ways of all operations, on a lab of its own."""
    with kit.Lab(join=False) as lab:
        return {name: way(call) for name, call in operations(lab).items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.way", description=__doc__)
    parser.add_argument("--keep", action="store_true", help=f"write the figures to {KEPT.name}")
    asked = parser.parse_args()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    found = measured()
    print(f"{'a warm call':<40}{'files':>7}{'functions':>11}{'calls':>7}{'kept':>7}")
    for name, one in found.items():
        before = kept.get(name, {}).get("calls", "")
        print(f"{name:<40}{one['files']:>7}{one['functions']:>11}{one['calls']:>7}{before:>7}")
    if asked.keep:
        KEPT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
