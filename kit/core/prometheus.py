"""The text that Prometheus servers scrape, as tidy rows. Lines that cannot be read are skipped and counted.

# TYPE name counter
name{label="value",other="..."} 12.5 1700000000000
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MOST_ROWS = 100_000
MOST_LABELS = 50
_NAME = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))')
_REST = re.compile(r"\s+(\S+)(?:\s+(-?\d+))?\s*$")
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(slots=True)
class Samples:
    """The samples of a page of metrics."""

    rows: list[tuple[int | None, str, float, dict[str, str]]] = field(default_factory=list)
    """Time in milliseconds where the page states one, name, value, labels."""
    labels: list[str] = field(default_factory=list)
    """The names of labels, in the order in which they come."""
    unread: int = 0
    """The number of lines that are not samples, or that exceed the limit."""


def parse(text: str) -> Samples:
    """Return the samples of a page.

    >>> page = parse('# TYPE up gauge\\nup{zone="a"} 1\\nerrors_total 2 1700000000000\\nwhat?\\n')
    >>> page.rows, page.labels, page.unread
    ([(None, 'up', 1.0, {'zone': 'a'}), (1700000000000, 'errors_total', 2.0, {})], ['zone'], 1)
    """
    samples = Samples()
    known: dict[str, None] = {}
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        sample = _sample(line.strip())
        if sample is None or len(samples.rows) >= MOST_ROWS or len(known.keys() | sample[3].keys()) > MOST_LABELS:
            samples.unread += 1
            continue
        known.update(dict.fromkeys(sample[3]))
        samples.rows.append(sample)
    samples.labels = list(known)
    return samples


def _sample(line: str) -> tuple[int | None, str, float, dict[str, str]] | None:
    name = _NAME.match(line)
    if name is None:
        return None
    at, labels = name.end(), dict[str, str]()
    if line[at : at + 1] == "{":
        at += 1
        while line[at : at + 1] != "}":
            label = _LABEL.match(line, at)
            if label is None:
                if line[at:].lstrip()[:1] == "}":
                    at = line.index("}", at)
                    break
                return None
            labels[label[1]] = re.sub(r"\\.", lambda mark: _ESCAPES.get(mark[0], mark[0]), label[2])
            at = label.end()
        at += 1
    rest = _REST.match(line, at)
    if rest is None:
        return None
    try:
        value = float(rest[1])
        time = int(rest[2]) if rest[2] else None
    except ValueError:
        return None
    if time is not None and abs(time) >= 2**53:
        return None
    return time, name[0], value, labels


def unit_of(name: str) -> str:
    """Return the unit that a metric's name tells.

    >>> unit_of("kimberlite_storage_bytes_written_total"), unit_of("kimberlite_request_duration_seconds_bucket")
    ('bytes', 'count')
    """
    if name.endswith(("_bucket", "_count")):
        return "count"
    for part, unit in (("_bytes", "bytes"), ("_seconds", "s"), ("_total", "count")):
        if part in name:
            return unit
    return "value"
