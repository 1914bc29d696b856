"""What `import kit` costs over a bare interpreter. Run: python -m tests.bench.import_cost"""

import statistics
import subprocess
import sys
import time


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def main() -> None:
    pairs = [(seconds("import kit"), seconds("pass")) for _ in range(21)][1:]
    extra = [(with_kit - bare) * 1000 for with_kit, bare in pairs]
    print(f"import kit: {statistics.median(extra):.1f} ms over a bare interpreter ", end="")
    print(f"({min(extra):.1f}..{max(extra):.1f} over {len(extra)} pairs; goal: under 60)")
    print(f"as a ratio of whole processes: {statistics.median(a / b for a, b in pairs):.2f}")


if __name__ == "__main__":
    main()
