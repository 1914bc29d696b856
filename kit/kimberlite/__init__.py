"""Kimberlite, an event log with SQL: streams of events per tenant, and tables that remember how they were.

from kit.kimberlite import TenantId, StreamId, Position
"""

from .errors import (
    KimberliteError,
    NetworkError,
    TimeoutError,
    UnauthorizedError,
)
from .types import Event, Position, StreamId, TenantId, Timestamp

__all__ = [
    "Event",
    "KimberliteError",
    "NetworkError",
    "Position",
    "StreamId",
    "TenantId",
    "TimeoutError",
    "Timestamp",
    "UnauthorizedError",
]
