"""The call log: bounded, cheap, and a frame when asked."""

import time

import kit
from kit.core import calls


def test_an_empty_log_has_columns_and_types():
    calls.forget()
    frame = kit.calls()
    assert len(frame) == 0
    assert str(frame["started"].dtype) == "datetime64[ms, UTC]"
    assert [str(frame[c].dtype) for c in ("service", "ms", "bytes_in", "status")] == [
        "str",
        "float64",
        "int64",
        "Int64",
    ]


def test_rows_become_columns_and_a_missing_status_is_missing():
    calls.forget()
    calls.record("amdahl", "query", 1_750_000_000.25, 0.5, bytes_in=10, bytes_out=3, status=200, retries=1)
    calls.record("amdahl", "query", 1_750_000_001.0, 0.1, error="Lost")
    frame = kit.calls()
    assert frame["ms"].tolist() == [500.0, 100.0]
    assert frame["started"].iloc[0].isoformat() == "2025-06-15T15:06:40.250000+00:00"
    assert frame["status"].isna().tolist() == [False, True]
    assert frame.dtypes.astype(str).tolist() == kit.calls().iloc[:0].dtypes.astype(str).tolist()
    calls.forget()


def test_it_is_bounded_and_costs_under_10_us():
    calls.forget()
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(5000):
            calls.record("s", "op", 0.0, 0.0, bytes_in=1, bytes_out=1, status=200)
        best = min(best, (time.perf_counter() - started) / 5000)
    assert best < 10e-6
    assert len(kit.calls()) == calls.KEPT
    calls.forget()
