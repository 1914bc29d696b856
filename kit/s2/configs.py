"""Basins, streams and locations: their settings, and what the service reports about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Literal


class Encryption(Enum):
    """How records are encrypted in storage."""

    AEGIS_256 = "aegis-256"
    """AEGIS-256."""
    AES_256_GCM = "aes-256-gcm"
    """AES-256-GCM."""


# A str too: newer servers name classes of their own, so a plain "express" must equal the member.
class StorageClass(StrEnum):
    """How quickly a stream takes recent appends."""

    STANDARD = "standard"
    """Appends within 500 ms."""
    EXPRESS = "express"
    """Appends within 50 ms."""


class TimestampingMode(Enum):
    """Which time a record gets, in milliseconds since 1970."""

    CLIENT_PREFER = "client-prefer"
    """The client's time if there is one, else the time of arrival."""
    CLIENT_REQUIRE = "client-require"
    """The client's time; a record without one is refused."""
    ARRIVAL = "arrival"
    """The time of arrival, whatever the client gave."""


class EnsureStatus(Enum):
    """What was done to ensure a basin or a stream."""

    CREATED = "created"
    """It did not exist and was created."""
    CONFIG_UPDATED = "config-updated"
    """It existed with other settings, which were changed."""
    CONFIG_UNCHANGED = "config-unchanged"
    """It existed with these settings."""


@dataclass(slots=True)
class Timestamping:
    """How records get their times."""

    mode: TimestampingMode | None = None
    """The default is `CLIENT_PREFER`."""
    uncapped: bool | None = None
    """Whether a record's time may be in the future."""


@dataclass(slots=True)
class StreamConfig:
    """The settings of a stream; a setting that is None stays unchanged, or has the default of the basin."""

    storage_class: StorageClass | str | None = None
    """The default is `EXPRESS`."""
    retention_policy: int | Literal["infinite"] | None = None
    """Seconds that records are kept, or "infinite". The default is 7 days."""
    timestamping: Timestamping | None = None
    delete_on_empty_min_age: int | None = None
    """Seconds after which the stream is deleted if it is empty; 0: never."""


@dataclass(slots=True)
class BasinConfig:
    """The settings of a basin; a setting that is None stays unchanged."""

    default_stream_config: StreamConfig | None = None
    """The settings of streams created from now on, where their own are None."""
    stream_cipher: Encryption | None = None
    """How streams created from now on are encrypted."""
    create_stream_on_append: bool | None = None
    create_stream_on_read: bool | None = None


@dataclass(slots=True)
class LocationInfo:
    """A location for basins."""

    name: str
    is_private: bool
    """Whether it belongs to this account alone."""
    storage_classes: list[str] | None = None
    """The storage classes for streams there, if the service tells them."""
    default_storage_class: str | None = None


@dataclass(slots=True)
class BasinInfo:
    """A basin."""

    name: str
    location: str | None
    """Where it is, for as long as it exists."""
    created_at: datetime
    deleted_at: datetime | None
    """When its deletion began, if it did."""


@dataclass(slots=True)
class StreamInfo:
    """A stream."""

    name: str
    created_at: datetime
    deleted_at: datetime | None
    """When its deletion began, if it did."""
    cipher: Encryption | None = None
    """How its records are encrypted, if they are."""


@dataclass(slots=True)
class EnsuredBasinInfo:
    """A basin, and what was done to ensure it."""

    basin: BasinInfo
    status: EnsureStatus


@dataclass(slots=True)
class EnsuredStreamInfo:
    """A stream, and what was done to ensure it."""

    stream: StreamInfo
    status: EnsureStatus
