"""The retry rule, as a table."""

import pytest

from kit.core.http.retry import ONCE, Outcome, Policy, pause_before_retry, retry_after

P = Policy(attempts=4, base=1.0, cap=5.0)
FULL = {"jitter": lambda: 1.0}


@pytest.mark.parametrize(
    ("outcome", "attempt", "safe", "expected"),
    [
        (Outcome(500), 1, True, 1.0),
        (Outcome(503), 2, True, 2.0),
        (Outcome(503), 3, True, 4.0),
        (Outcome(503), 4, True, None),
        (Outcome(400), 1, True, None),
        (Outcome(404), 1, True, None),
        (Outcome(429), 1, True, 1.0),
        (Outcome(429), 1, False, 1.0),
        (Outcome(500), 1, False, None),
        (Outcome(0, maybe_received=True), 1, True, 1.0),
        (Outcome(0, maybe_received=True), 1, False, None),
        (Outcome(0, maybe_received=False), 1, False, 1.0),
        (Outcome(429, asked_pause=3.0), 1, True, 3.0),
        (Outcome(429, asked_pause=0.1), 1, True, 1.0),
        (Outcome(429, asked_pause=1e9), 1, True, None),
    ],
)
def test_pause(outcome, attempt, safe, expected):
    assert pause_before_retry(P, outcome, attempt=attempt, safe=safe, **FULL) == expected


def test_full_jitter_stays_between_nothing_and_the_whole():
    assert pause_before_retry(P, Outcome(500), attempt=1, jitter=lambda: 0.0) == 0.0
    pauses = [pause_before_retry(P, Outcome(500), attempt=3) for _ in range(200)]
    assert 0 <= min(pauses) < max(pauses) <= 4.0
    assert max(pauses) - min(pauses) > 1.0


def test_the_cap_holds_for_many_attempts():
    patient = Policy(attempts=2000, base=1.0, cap=5.0)
    assert pause_before_retry(patient, Outcome(500), attempt=1000, **FULL) == 5.0


def test_a_deadline_covers_all_tries():
    hurried = Policy(attempts=9, base=1.0, deadline=10.0)
    assert pause_before_retry(hurried, Outcome(500), attempt=1, elapsed=8.9, **FULL) == 1.0
    assert pause_before_retry(hurried, Outcome(500), attempt=1, elapsed=9.1, **FULL) is None


def test_once_is_once():
    assert pause_before_retry(ONCE, Outcome(503), attempt=1) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [("3", 3.0), ("0.5", 0.5), ("-4", 0.0), ("", None), ("soon", None), ("nan", None), ("inf", None)],
)
def test_retry_after_seconds(header, expected):
    assert retry_after({"retry-after": header}) == expected


def test_retry_after_date_by_the_clock_of_the_service():
    asked = {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:50 GMT"}
    for here in (0.0, 1792567670.0 - 3600, 1792567670.0 + 3600):
        assert retry_after(asked, now=lambda here=here: here) == pytest.approx(10.0)
    assert retry_after({**asked, "date": "soon"}, now=lambda: 1792567670.0) == pytest.approx(10.0)


def test_retry_after_date():
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert retry_after({"retry-after": date}, now=lambda: 1792567670.0) == pytest.approx(10.0)
    assert retry_after({"retry-after": date}, now=lambda: 2e9) == 0.0
    assert retry_after({"retry-after": "Wed, 99 Oct 2026 07:28:00 GMT"}) is None


def test_a_very_long_row_of_failures_waits_for_the_longest_pause():
    patient = Policy(attempts=5000, base=0.5, cap=8.0)
    assert pause_before_retry(patient, Outcome(), attempt=2000, jitter=lambda: 1.0) == 8.0
