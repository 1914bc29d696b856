"""Kimberlite, an event log with SQL: streams of events per tenant, and tables that remember how they were.

from kit.kimberlite import AsyncClient, Client, Position, StreamId, TenantId
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (
    AlreadyExistsError,
    BusyError,
    ComplianceError,
    InternalError,
    InvalidRequestError,
    KimberliteError,
    KimberliteInputError,
    NetworkError,
    NotFoundError,
    NotLeaderError,
    OffsetError,
    OffsetMismatchError,
    PositionAheadError,
    QueryError,
    QueryExecutionError,
    QuerySyntaxError,
    RateLimitedError,
    ServerError,
    StorageError,
    StreamNotFoundError,
    SubscriptionError,
    TableNotFoundError,
    TenantNotFoundError,
    TimeoutError,
    UnauthorizedError,
    UniqueViolationError,
    WireError,
)
from .types import Event, Position, StreamId, TenantId, Timestamp

if TYPE_CHECKING:
    from .client import AsyncClient, Client
    from .enums import DataClass
    from .listing import StreamRow
    from .sql import ExecuteResult, QueryResult
    from .structs import Audit
    from .subscription import AsyncSubscription, Subscription

# What speaks to a server loads when it is first used; the tables of the wire cost more than all the rest.
_WHERE = {
    "AsyncClient": "client",
    "AsyncSubscription": "subscription",
    "Audit": "structs",
    "Client": "client",
    "DataClass": "enums",
    "ExecuteResult": "sql",
    "QueryResult": "sql",
    "StreamRow": "listing",
    "Subscription": "subscription",
}

__all__ = [
    "AlreadyExistsError",
    "AsyncClient",
    "AsyncSubscription",
    "Audit",
    "BusyError",
    "Client",
    "ComplianceError",
    "DataClass",
    "Event",
    "ExecuteResult",
    "InternalError",
    "InvalidRequestError",
    "KimberliteError",
    "KimberliteInputError",
    "NetworkError",
    "NotFoundError",
    "NotLeaderError",
    "OffsetError",
    "OffsetMismatchError",
    "Position",
    "PositionAheadError",
    "QueryError",
    "QueryExecutionError",
    "QueryResult",
    "QuerySyntaxError",
    "RateLimitedError",
    "ServerError",
    "StorageError",
    "StreamId",
    "StreamNotFoundError",
    "StreamRow",
    "Subscription",
    "SubscriptionError",
    "TableNotFoundError",
    "TenantId",
    "TenantNotFoundError",
    "TimeoutError",
    "Timestamp",
    "UnauthorizedError",
    "UniqueViolationError",
    "WireError",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        import difflib

        near = difflib.get_close_matches(name, __all__, n=1)
        raise AttributeError(f"kit.kimberlite has no {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    import importlib

    value = _public(getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _public(value: Any) -> Any:
    """Tracebacks and help show the name that can be imported."""
    if hasattr(value, "__module__"):
        value.__module__ = __name__
    return value


for _name in __all__:
    if _name not in _WHERE and _name not in ("ServerError", "Timestamp"):  # their examples use their own modules
        _public(globals()[_name])
del _name
