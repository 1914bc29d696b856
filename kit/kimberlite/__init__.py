"""Kimberlite, an event log with SQL: streams of events per tenant, and tables that keep their history.

>>> from kit.kimberlite import AsyncClient, Client, Position

>>> import asyncio, kit
>>> with kit.Lab("kimberlite", join=False) as lab:
...     where, options = lab.env()["KIMBERLITE_ADDRESS"], {"tenant_id": 1, "api_key": lab.env()["KIMBERLITE_API_KEY"]}
...     with Client(where, **options) as client:
...         print([client.append(None, "notes", event) for event in (b"one", b"two")])
...         print([event.data for event in client.read_stream(None, "notes")])
...         with client.subscribe(None, "notes", from_position=Position(1)) as subscription:  # a Subscription
...             print(next(subscription).data)
...         print(client.query("SELECT COUNT(*) AS n FROM accounts"))
...
...     async def read():
...         async with AsyncClient(where, **options) as client:
...             async with client.subscribe(None, "notes", from_position=0) as subscription:  # an AsyncSubscription
...                 return (await anext(subscription)).data
...
...     print(asyncio.run(read()))
[Position(value=0), Position(value=1)]
[b'one', b'two']
b'two'
<1 rows of n>
b'one'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import names as _names
from ..core.lazy import shown as _shown
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
    from .client.client import AsyncClient, Client
    from .client.listing import StreamRow
    from .client.sql import ExecuteResult, QueryResult
    from .client.subscription import AsyncSubscription, Subscription
    from .wire.protocol.enums import DataClass
    from .wire.protocol.structs import Audit

# The client loads on first use: the tables of the wire format are most of the import's cost.
_WHERE = {
    "AsyncClient": "client.client",
    "AsyncSubscription": "client.subscription",
    "Audit": "wire.protocol.structs",
    "Client": "client.client",
    "DataClass": "wire.protocol.enums",
    "ExecuteResult": "client.sql",
    "QueryResult": "client.sql",
    "StreamRow": "client.listing",
    "Subscription": "client.subscription",
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


__getattr__, __dir__ = _names(__name__, _WHERE, __all__)

for _name in __all__:
    if _name not in _WHERE and _name not in ("ServerError", "Timestamp"):  # their examples use their own modules
        _shown(__name__, globals()[_name])
del _name
