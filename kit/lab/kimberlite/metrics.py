"""Counts and times of the server, in the format of Prometheus."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "kimberlite_"


class Metrics:
    """The counters of the server."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[str] = Counter()
        self.auth: Counter[tuple[str, str]] = Counter()
        self.in_flight = 0
        self.connections = 0
        self.active = 0
        self.pushed = 0
        self._times: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def took(self, method: str, seconds: float) -> None:
        """Note how long a request took."""
        counts = self._times.setdefault(method, [0] * (len(BUCKETS) + 1))
        counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self._seconds[method] = self._seconds.get(method, 0.0) + seconds

    def text(self, *, records: int, written: int, position: int, subscribed: int) -> str:
        """Return all of it in Prometheus' text format 0.0.4."""
        lines = [line for block in self._blocks(records, written, position, subscribed) for line in block]
        return "\n".join(lines) + "\n"

    def _blocks(self, records: int, written: int, position: int, subscribed: int) -> Iterator[list[str]]:
        yield _block(
            "requests_total",
            "counter",
            "Requests by method and status",
            {(("method", method), ("status", status)): n for (method, status), n in sorted(self.requests.items())},
        )
        yield self._durations()
        yield _block("requests_in_flight", "gauge", "Requests being answered", {(): self.in_flight})
        yield _block("connections_total", "counter", "Connections accepted", {(): self.connections})
        yield _block("connections_active", "gauge", "Connections open", {(): self.active})
        yield _block(
            "connections_by_state",
            "gauge",
            "Connections open, by state",
            {(("state", "idle"),): self.active - subscribed, (("state", "subscribed"),): subscribed},
        )
        errors = {(("type", kind),): n for kind, n in sorted(self.errors.items())}
        yield _block("errors_total", "counter", "Error answers, by type", errors)
        yield _block("rate_limited_total", "counter", "Requests refused by a rate limit", {(): 0})
        yield _block("events_pushed_total", "counter", "Events pushed to subscriptions", {(): self.pushed})
        yield _block("storage_bytes_written_total", "counter", "Bytes of events appended", {(): written})
        yield _block("storage_records_total", "counter", "Events appended", {(): records})
        yield _block("storage_checkpoints_total", "counter", "Checkpoints", {(): 0})
        yield _block(
            "auth_attempts_total",
            "counter",
            "Handshakes, by method and result",
            {(("method", method), ("result", result)): n for (method, result), n in sorted(self.auth.items())},
        )
        yield _block("committed_offset", "gauge", "Newest position of the tables", {(): position})
        yield _block("is_leader", "gauge", "Whether this server leads its cluster", {(): 1})
        yield _block("replication_lag_seconds", "gauge", "How far behind the leader", {(): 0})
        yield _block("view_number", "gauge", "View of the cluster", {(): 0})

    def _durations(self) -> list[str]:
        name = f"{PREFIX}request_duration_seconds"
        lines = [f"# HELP {name} How long requests took", f"# TYPE {name} histogram"]
        for method, counts in sorted(self._times.items()):
            total = 0
            for bound, count in zip((*BUCKETS, "+Inf"), counts, strict=True):
                total += count
                lines.append(f'{name}_bucket{{method="{method}",le="{bound}"}} {total}')
            lines.append(f'{name}_sum{{method="{method}"}} {self._seconds[method]:.9g}')
            lines.append(f'{name}_count{{method="{method}"}} {total}')
        return lines


def _block(name: str, kind: str, description: str, values: Mapping[Any, float]) -> list[str]:
    """Return a metric with its values by labels; labels are names of this server and need no escapes."""
    lines = [f"# HELP {PREFIX}{name} {description}", f"# TYPE {PREFIX}{name} {kind}"]
    for labels, value in values.items():
        shown = ",".join(f'{key}="{label}"' for key, label in labels)
        lines.append(f"{PREFIX}{name}{'{' + shown + '}' if shown else ''} {value:.17g}")
    return lines
