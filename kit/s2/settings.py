"""How a client behaves: timeouts, retries, batches, compression."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from .limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS

MAX_UNACKED_BYTES = 5 * 1024 * 1024
"""The default limit of a session for metered bytes under way."""


class Compression(Enum):
    """How requests and answers are compressed."""

    NONE = "none"
    ZSTD = "zstd"
    GZIP = "gzip"


class AppendRetryPolicy(Enum):
    """When a failed append is retried."""

    ALL = "all"
    """After any temporary failure; a batch whose acknowledgement was lost may be written twice."""
    NO_SIDE_EFFECTS = "no-side-effects"
    """Only if the failure proves that nothing was written."""


@dataclass(slots=True)
class Timeout:
    """How long to wait."""

    request: timedelta = field(default_factory=lambda: timedelta(seconds=5))
    """For the head of an answer, for each next piece of it, and for the acknowledgement of an append."""
    connection: timedelta = field(default_factory=lambda: timedelta(seconds=3))
    """For a connection."""


@dataclass(slots=True)
class Retry:
    """How often, and after what pauses, a failed call is retried."""

    max_attempts: int = 3
    """All tries together, the first one included; 1 means that nothing is retried."""
    min_base_delay: timedelta = field(default_factory=lambda: timedelta(milliseconds=100))
    """The first pause; each later one is twice as long. A random time of up to the same length is added to each."""
    max_base_delay: timedelta = field(default_factory=lambda: timedelta(seconds=1))
    """The longest pause, without the random part."""
    append_retry_policy: AppendRetryPolicy = AppendRetryPolicy.ALL


@dataclass(slots=True)
class Batching:
    """When single records are sent as a batch."""

    max_records: int = MAX_BATCH_RECORDS
    """1 to 1000."""
    max_bytes: int = MAX_BATCH_BYTES
    """In metered bytes, 8 to 1 MiB. A single record that is larger makes a batch of its own."""
    linger: timedelta = field(default_factory=lambda: timedelta(milliseconds=5))
    """How long the first record of a batch waits for others; 0: until the batch is full."""
