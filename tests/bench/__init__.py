"""Benchmarks, run by hand: `python -m tests.bench.amdahl`. Each prints ratios of two things measured in one run."""

import os

# A package that is installed has its files compiled; without this a side of ours would compile them in each process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
