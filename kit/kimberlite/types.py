"""The values that Kimberlite's calls take and give: ids, positions, events, timestamps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import total_ordering
from typing import Any

from .errors import KimberliteInputError

MAX_U32 = 2**32 - 1
MAX_U64 = 2**64 - 1
MAX_I64 = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _checked(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise KimberliteInputError(f"{name} must be a whole number, not {value!r}")
    number = int(value.__index__())
    if not 0 <= number <= most:
        raise KimberliteInputError(f"{name} must be from 0 to {most}, not {number}")
    return number


def tenant_number(tenant: TenantId | int) -> int:
    """Return a tenant's id as a number."""
    return _checked("a tenant's id", tenant, MAX_U32)


@total_ordering
@dataclass(frozen=True, slots=True)
class TenantId:
    """A tenant.

    >>> TenantId(1).value
    1
    """

    value: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _checked("a tenant's id", self.value, MAX_U32))

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __lt__(self, other: object) -> bool:
        return self.value < other.value if isinstance(other, TenantId) else NotImplemented


@total_ordering
@dataclass(frozen=True, slots=True)
class StreamId:
    """A stream of a tenant. On the wire both are packed into one number.

    >>> StreamId(1, 7).to_u64()
    4294967303
    >>> StreamId.from_u64(4294967303)
    StreamId(tenant_id=1, stream_number=7)
    """

    tenant_id: int
    stream_number: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "tenant_id", _checked("a tenant's id", self.tenant_id, MAX_U32))
        object.__setattr__(self, "stream_number", _checked("a stream's number", self.stream_number, MAX_U32))

    def to_u64(self) -> int:
        """Return the number that names the stream on the wire."""
        return self.tenant_id << 32 | self.stream_number

    @classmethod
    def from_u64(cls, packed: int) -> StreamId:
        """Return the stream that a number on the wire names."""
        number = _checked("a packed stream id", packed, MAX_U64)
        return cls(number >> 32, number & MAX_U32)

    __int__ = to_u64
    __index__ = to_u64

    def __lt__(self, other: object) -> bool:
        return self.to_u64() < other.to_u64() if isinstance(other, StreamId) else NotImplemented


@total_ordering
@dataclass(frozen=True, slots=True)
class Position:
    """A place in a stream, counted from 0.

    >>> Position(1000).value
    1000
    """

    value: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _checked("a position", self.value, MAX_U64))

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __lt__(self, other: object) -> bool:
        return self.value < other.value if isinstance(other, Position) else NotImplemented


@dataclass(frozen=True, slots=True)
class Event:
    """An event that was read."""

    position: Position
    tenant_id: TenantId
    stream_id: StreamId
    timestamp: datetime
    """See `timestamp_source`: Kimberlite's protocol does not carry the time of an event."""
    data: bytes
    timestamp_source: str = "received"
    """`received`: when it arrived here; `appended`: when its append was acknowledged to this client; `server`: when the
    server stored it, which only the lab's server reports."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time in SQL, in nanoseconds since 1970 (UTC).

    >>> Timestamp.of(datetime(2021, 1, 1, tzinfo=UTC))
    Timestamp(nanoseconds=1609459200000000000)
    """

    nanoseconds: int

    def __post_init__(self) -> None:
        value = self.nanoseconds
        if isinstance(value, bool) or not isinstance(value, int) or not -MAX_I64 - 1 <= value <= MAX_I64:
            raise KimberliteInputError(f"a timestamp must be a number of nanoseconds in 64 bits, not {value!r}")

    @classmethod
    def of(cls, time: datetime) -> Timestamp:
        """Return the timestamp of a datetime, which must have a time zone."""
        if time.tzinfo is None:
            raise KimberliteInputError(
                f"{time!r} has no time zone", hint="give one: datetime(..., tzinfo=UTC), or time.astimezone()"
            )
        nanoseconds = getattr(time, "nanosecond", 0)  # pandas' Timestamp is a datetime with more digits
        return cls((time - _EPOCH) // timedelta(microseconds=1) * 1000 + nanoseconds)

    def datetime(self) -> datetime:
        """Return the time, truncated to microseconds."""
        return _EPOCH + timedelta(microseconds=self.nanoseconds // 1000)

    def __lt__(self, other: object) -> bool:
        return self.nanoseconds < other.nanoseconds if isinstance(other, Timestamp) else NotImplemented


Value = None | bool | int | str | Timestamp
"""The values of a SQL cell on the wire, and of a parameter."""
