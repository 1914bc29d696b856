"""What is appended and read: records, batches, positions; and pages of listings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from .limits import check_fencing_token, check_u64
from .positions import StreamPosition

if TYPE_CHECKING:
    from .configs import StreamConfig

T = TypeVar("T")


@dataclass(slots=True)
class Record:
    """A record to append."""

    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    timestamp: int | None = None
    """Milliseconds since 1970; the stream's `Timestamping` says whether it is used."""


@dataclass(slots=True)
class SequencedRecord:
    """A record that was read, with its place in the stream."""

    seq_num: int
    body: bytes
    headers: list[tuple[bytes, bytes]]
    timestamp: int

    def is_command_record(self) -> bool:
        """Return whether it is a command to the service, such as a fence or a trim, and not data."""
        return len(self.headers) == 1 and not self.headers[0][0]


class CommandRecord:
    """Makes command records, which instruct the service; they are appended like any other record."""

    @staticmethod
    def fence(token: str) -> Record:
        """Return a record that sets a fencing token: later appends with another token fail. An empty token lifts it.

        >>> CommandRecord.fence("writer-2")
        Record(body=b'writer-2', headers=[(b'', b'fence')], timestamp=None)
        """
        return Record(check_fencing_token(token).encode(), [(b"", b"fence")])

    @staticmethod
    def trim(desired_first_seq_num: int) -> Record:
        """Remove the records before this sequence number, some time after it was appended."""
        first = check_u64("the sequence number to trim to", desired_first_seq_num)
        return Record(first.to_bytes(8, "big"), [(b"", b"trim")])


@dataclass(slots=True)
class AppendInput:
    """Records to append together: all of them or none."""

    records: list[Record]
    """1 to 1000 records of at most 1 MiB in metered bytes."""
    match_seq_num: int | None = None
    """The sequence number that the first record must get; otherwise nothing is appended."""
    fencing_token: str | None = None
    """The fencing token that the stream must have; otherwise nothing is appended."""
    stream_config: StreamConfig | None = None
    """Settings for a stream that this append creates, if the service supports them."""


@dataclass(slots=True)
class AppendAck:
    """The positions of appended records."""

    start: StreamPosition
    """The first of them."""
    end: StreamPosition
    """The sequence number after the last of them, and the last one's timestamp."""
    tail: StreamPosition
    """The end of the stream; it is after `end` if others append too."""


@dataclass(slots=True)
class IndexedAppendAck:
    """The position of one record of a producer."""

    seq_num: int
    batch: AppendAck
    """The acknowledgement of the whole batch that the record was in."""


@dataclass(slots=True)
class ReadLimit:
    """How much to read at most."""

    count: int | None = None
    bytes: int | None = None
    """In metered bytes, see `metered_bytes`."""


@dataclass(slots=True)
class ReadBatch:
    """Records that were read together."""

    records: list[SequencedRecord]
    tail: StreamPosition | None = None
    """The end of the stream; the service tells it with recent records."""


@dataclass(slots=True)
class Page(Generic[T]):
    """One page of a listing."""

    items: list[T]
    has_more: bool
    """Whether there are more items after the last of these."""
