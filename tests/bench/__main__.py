"""All comparisons, or those named: python -m tests.bench [NAME ...] [--rounds N] [--quick] [--json FILE] [--plot FILE] [--readme FILE]

Both sides of a comparison work on the same embedded server and the same data, in processes of their own, in turn. Peers
are the official clients, used as their documentation says; how each is set up stands in its module.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path

from .measure import HEAD, Pairs, Row

NAMES = (
    "imports", "cold", "s2", "kimberlite", "real", "synap", "claude", "prompts", "amdahl", "bodies", "many", "live",
    "find",
)  # fmt: skip


def plot(rows: list[Row], path: Path) -> None:
    """The ratios as bars, on a scale on which twice as fast is as far from 1 as twice as slow."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.theirs][::-1]
    figure = Figure(figsize=(8, 0.3 * len(shown) + 1), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.barh(range(len(shown)), [row.median for row in shown], color="#0072B2", left=0)
    axes.set_yticks(range(len(shown)), [f"{row.name} ({row.what})" for row in shown], fontsize=8)
    for place, row in enumerate(shown):
        if row.goal is not None:
            axes.plot([row.goal] * 2, [place - 0.4, place + 0.4], color="#D55E00")
    axes.axvline(1.0, color="#888888", linewidth=1)
    axes.set_xscale("log")
    axes.set_title("ours / theirs: less is better; orange is the goal", loc="left", fontsize=10)
    figure.savefig(path, dpi=120)


_BETWEEN = ("<!-- figures -->\n", "<!-- /figures -->\n")


def tell(rows: list[Row], path: Path) -> None:
    """Puts the table where a page has its figures."""
    before, _, rest = path.read_text().partition(_BETWEEN[0])
    _, _, after = rest.partition(_BETWEEN[1])
    lines = ["| comparison | of | ours / theirs | spread | goal | |", "|---|---|---|---|---|---|"]
    for row in rows:
        goal = "" if row.goal is None else f"{row.goal:.3g}"
        spread = f"{min(row.ratios):.2g} to {max(row.ratios):.2g}"
        lines.append(f"| {row.name} | {row.what} | {row.median:.3g} | {spread} | {goal} | {row.verdict.lower()} |")
    path.write_text(f"{before}{_BETWEEN[0]}\n" + "\n".join(lines) + f"\n\n{_BETWEEN[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the work, to see that it runs")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names hold this")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--readme", type=Path, help="a page whose table of figures is to be these")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    began = time.monotonic()
    print(HEAD, flush=True)
    for name in chosen.names or NAMES:
        pairs = Pairs(f"tests.bench.{name}", chosen.rounds, chosen.quick, chosen.only)
        importlib.import_module(f"tests.bench.{name}").rows(pairs)
        rows += pairs.rows
    missed = [row for row in rows if row.verdict == "MISSED"]
    print(f"\n{len(rows)} rows in {time.monotonic() - began:.0f} s; {len(missed)} goals missed")
    if chosen.json:
        chosen.json.write_text(json.dumps([row.as_json() for row in rows], indent=1))
    if chosen.plot:
        plot(rows, chosen.plot)
    if chosen.readme:
        tell(rows, chosen.readme)


if __name__ == "__main__":
    main()
