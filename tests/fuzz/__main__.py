"""`python -m tests.fuzz`: fuzzing from the command line."""

from __future__ import annotations

import argparse
import sys
import warnings

from .running import fuzz, keep
from .targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("decoder", nargs="*", default=["all"], help=f"all, or some of {', '.join(TARGETS)}")
    parser.add_argument("--count", type=int, default=20_000, help="inputs for each decoder")
    parser.add_argument("--seconds", type=float, default=1e9, help="no more than so long for each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true", help="let new lines that are reached lead (slow)")
    parser.add_argument("--keep", action="store_true", help="write what is found into the corpus")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    names = list(TARGETS) if "all" in args.decoder else args.decoder
    failed = False
    print(f"{'decoder':<22}{'inputs':>10}{'refused':>10}{'seconds':>9}{'slowest':>10}{'memory':>14}  seed {args.seed}")
    for name in names:
        found = fuzz(TARGETS[name], args.count, args.seed, seconds=args.seconds, guided=args.guided)
        print(
            f"{name:<22}{found.inputs:>10,}{found.refused:>10,}{found.seconds:>9.1f}{found.slowest:>9.3f}s"
            f"{found.most:>14,}  {len(found.found)} found" + (f", pool {found.pool}" if args.guided else ""),
            flush=True,
        )
        for told, case in zip(found.found, found.cases, strict=True):
            failed = True
            print(f"  {told}\n    {case[:300]!r}", flush=True)
            if args.keep:
                print(f"    kept as {keep(name, case)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
