"""What `import kit` costs over a bare interpreter: whole processes, in turn. Run: python -m tests.bench.imports"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from .measure import Pairs, Row, Side
from .measure import main as run

GOAL_MS = 60


def _seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def rows(pairs: Pairs) -> None:
    taken = [(_seconds("import kit"), _seconds("pass")) for _ in range(3 if pairs.quick else 21)][1:]
    extra = [(ours - bare) * 1000 for ours, bare in taken]
    ours, bare = (statistics.median(side) for side in zip(*taken, strict=True))
    ratios = [one / GOAL_MS for one in extra]
    pairs.add(Row(f"import kit, over a bare interpreter, of {GOAL_MS} ms", ratios, 1.0, "time", ours, bare))


SIDES: dict[str, Side] = {}

if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
