"""Benchmarks, run by hand: `python -m tests.bench.amdahl`. Each prints ratios of two things measured in one run."""
