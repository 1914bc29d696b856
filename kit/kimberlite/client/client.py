"""The client of the reference, blocking and async: events of streams, subscriptions, and SQL over tables.

What the reference describes and the protocol lacks is done as closely as possible, and documented where it shows:
positions are per stream (see `read_from_position`), and the time of an event is that of its arrival, unless more is
known (see `Event.timestamp_source`).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, Self, TypeVar

from ...core.clock import Clock, clocked
from ...core.errors import CLOSED, CLOSED_HINT
from ...core.faces import AsyncFace, SyncFace, coloured, state_of, verb, walk
from ...core.secrets import Secret, hidden, masked
from ..errors import KimberliteInputError
from ..types import Event, Position, StreamId, TenantId
from ..wire.protocol.codec import requests
from ..wire.protocol.enums import DataClass
from ..wire.protocol.structs import Audit, ColumnInfo, IndexInfo, TableInfo
from . import appending, reading, sql
from .address import Settings
from .async_connection import AsyncConnection, Crossing
from .listing import StreamRow, list_streams
from .operations import Operation, Post, Walk, asked, responses
from .sql import ExecuteResult, QueryResult
from .state import ClientState
from .stream_registry import StreamLike, StreamRegistry, create, resolve
from .subscription import CREDITS, AsyncSubscription, Flow, Subscription
from .sync_connection import SyncConnection

Numbering = Literal["named", "native"]
T = TypeVar("T")


class _Calls:
    """The verbs of both clients."""

    _state: ClientState
    _driven: Callable[[Settings], Any]
    """Makes the driver of this client, blocking or async."""

    def __init__(
        self,
        address: str | Sequence[str] | None = None,
        tenant_id: TenantId | int | None = None,
        api_key: str | Secret | None = None,
        timeout: float | None = 30,
        max_retries: int = 3,
        compression: bool = False,
        *,
        connect_timeout: float | None = 5.0,
        tls: bool | ssl.SSLContext | None = None,
        numbering: Numbering = "named",
        default_data_class: DataClass = DataClass.PUBLIC,
        clock: Clock | None = None,
    ) -> None:
        address, api_key = masked(address), hidden(api_key)
        settings = Settings.of(address, tenant_id, api_key, timeout, connect_timeout, max_retries, tls)
        settings = clocked(settings, clock, KimberliteInputError)
        registry = _registry(settings, numbering, default_data_class)
        self._state = ClientState(self._driven(settings), settings, registry)

    @verb
    def append(
        self,
        tenant_id: TenantId | int | None,
        stream_id: StreamLike,
        data: bytes,
        *,
        expected_offset: Position | int | None = None,
        audit: Audit | None = None,
    ) -> Operation[Position]:
        """Return the position of the event, which is stored when this returns.

        A stream that is not there is made. `expected_offset` is the length that the stream must have: if another
        writer was quicker, that is an `OffsetMismatchError` and nothing is written; without it the event goes to the
        end, wherever that is. A lost answer never leads to a second write. `audit` says who writes and why, with an
        idempotency key for the server's log.
        """
        _check_bytes(data)
        first = yield from self._append(tenant_id, stream_id, [data], expected_offset, audit)
        return Position(first[0][0])

    @verb
    def append_batch(
        self,
        tenant_id: TenantId | int | None,
        stream_id: StreamLike,
        events: Sequence[bytes],
        *,
        expected_offset: Position | int | None = None,
        audit: Audit | None = None,
    ) -> Operation[list[Position]]:
        """Return the position of each event. Up to a megabyte is stored all or nothing; more is cut into such pieces,
        and an error says in `appended` how many events had been stored. No events give no positions, without a
        request."""
        batch: list[Any] = _several(events)
        for item in batch:
            _check_bytes(item)
        first_position = yield from self._append(tenant_id, stream_id, batch, expected_offset, audit)
        return [Position(first + n) for first, count in first_position for n in range(count)]

    def _append(
        self,
        tenant_id: TenantId | int | None,
        stream: StreamLike,
        events: Sequence[bytes],
        expected: Position | int | None,
        audit: Audit | None,
    ) -> Operation[list[tuple[int, int]]]:
        position = None if expected is None else reading.offset_of(expected, "expected_offset")
        self._state.registry.tenant(tenant_id, stream)
        if not events:
            return []
        packed = yield from resolve(self._state.registry, tenant_id, stream)
        batches = appending.batches_of(events)
        return (yield from appending.append(self._state.registry, packed, batches, position, audit))

    @verb
    def read_stream(
        self,
        tenant_id: TenantId | int | None,
        stream_id: StreamLike,
        *,
        from_position: Position | int = 0,
        limit: int | None = None,
    ) -> Operation[list[Event]]:
        """Return the events of a stream, from its beginning or from a position, up to its end as it is now.

        The protocol does not carry the time of an event. `event.timestamp` is the server's where it tells it otherwise
        (the lab's does), else when this client's append was acknowledged, else when it arrived here;
        `event.timestamp_source` says which. Do not take the last for the time of writing.
        """
        packed = yield from resolve(self._state.registry, tenant_id, stream_id)
        start = reading.offset_of(from_position, "from_position")
        return (yield from self._events(packed, start, limit))

    def _events(self, packed: int, start: int, limit: int | None) -> Operation[list[Event]]:
        pages: list[reading.Page] = []

        def keep(page: reading.Page) -> tuple[()]:
            pages.append(page)
            return ()

        yield from reading.pages(self._state.registry, packed, start, limit, keep)
        if not pages:
            return []
        stop = pages[-1].first + len(pages[-1].events)
        runs = yield from reading.stored(self._state.registry, self._state.extensions, packed, pages[0].first, stop)
        return reading.events_of(self._state.registry, packed, pages, runs)

    @walk
    def iter_stream(
        self,
        tenant_id: TenantId | int | None,
        stream_id: StreamLike,
        *,
        from_position: Position | int = 0,
        limit: int | None = None,
    ) -> Walk:
        """Return the events one after the other, with only one page of them in memory."""
        packed = yield from resolve(self._state.registry, tenant_id, stream_id)
        start = reading.offset_of(from_position, "from_position")
        yield from reading.pages(
            self._state.registry,
            packed,
            start,
            limit,
            lambda page: reading.events_of(self._state.registry, packed, [page]),
        )

    @verb
    def read_from_position(
        self,
        position: Position | int,
        limit: int | None = None,
        *,
        stream_id: StreamLike | None = None,
        tenant_id: TenantId | int | None = None,
    ) -> Operation[list[Event]]:
        """Return the events at and after a position, of a stream or of all streams of the tenant.

        Kimberlite counts positions per stream; there is no position in the whole log that could be read from. So this
        reads each stream from that position on: `stream_id`, or else all those of `tenant_id`, or of the client's
        tenant. They come in the order in which they were stored where the server tells it (the lab's does), else in
        that of their positions.
        """
        start = reading.offset_of(position)
        if stream_id is not None:
            packed = yield from resolve(self._state.registry, tenant_id, stream_id)
            return (yield from self._events(packed, start, limit))
        tenant = self._state.tenant(tenant_id)
        if tenant is None:
            raise KimberliteInputError(
                "positions are counted per stream, so a stream or a tenant is needed",
                hint="give stream_id= for one stream, or tenant_id= for all of a tenant's",
            )
        rows = yield from list_streams(self._state.registry, self._state.extensions, tenant)
        chosen = [row.id for row in rows if not row.hidden]
        ordered: list[tuple[tuple[int, int], Event]] = []
        for packed in chosen:
            events = yield from self._events(packed, start, limit)
            runs: list[reading.Run] = []
            if events:
                first, last = events[0].position.value, events[-1].position.value
                runs = yield from reading.stored(self._state.registry, self._state.extensions, packed, first, last + 1)
            order = {run.first + n: run.position + n for run in runs for n in range(run.length)}
            for event in events:
                at = event.position.value
                ordered.append(((order.get(at, at), packed), event))
        ordered.sort(key=lambda pair: pair[0])
        return [event for _, event in ordered[: None if limit is None else limit]]

    @verb
    def create_stream(
        self, name: str, data_class: DataClass | None = None, *, tenant_id: TenantId | int | None = None
    ) -> Operation[StreamId]:
        """Return the stream of that name, created if it does not exist. The server assigns its number."""
        tenant = self._state.tenant(tenant_id)
        if tenant is None:
            raise KimberliteInputError("the stream's tenant is missing", hint="give tenant_id=, here or to the client")
        packed = yield from create(self._state.registry, tenant, name, data_class)
        self._state.registry.native.add(packed)
        return StreamId.from_u64(packed)

    @verb
    def stream_length(self, tenant_id: TenantId | int | None, stream_id: StreamLike) -> Operation[Position]:
        """Return the position that the next event of the stream will get."""
        packed = yield from resolve(self._state.registry, tenant_id, stream_id)
        return Position((yield from appending.length(self._state.registry, packed)))

    @verb
    def list_streams(self, *, tenant_id: TenantId | int | None = None) -> Operation[list[StreamRow]]:
        """Return the streams of the tenant: id, number, length, and the name if it is known.

        The real server does not list streams: their numbers are tried one after the other, and a name is known only
        where this client made or used the stream. `hidden` marks what looks like a table's own log.
        """
        rows = yield from list_streams(self._state.registry, self._state.extensions, self._state.tenant(tenant_id))
        self._state.registry.native.update(row.id for row in rows)
        return rows

    @verb
    def query(
        self,
        sql_text: str,
        params: Sequence[Any] = (),
        *,
        at: Position | int | Any = None,
        tenant_id: TenantId | int | None = None,
        audit: Audit | None = None,
    ) -> Operation[QueryResult]:
        """Return the rows of a SELECT. Parameters are `$1`, `$2` in the text: None, bool, int, str, datetime.

        `at` reads the tables as they were: at a position as `position()` tells it, or at a time. Numbers with a
        fraction, dates and bytes come as text, as the protocol has no others.
        """
        return (yield from sql.query(self._state.registry, sql_text, params, at, self._state.tenant(tenant_id), audit))

    @verb
    def execute(
        self,
        sql_text: str,
        params: Sequence[Any] = (),
        *,
        tenant_id: TenantId | int | None = None,
        audit: Audit | None = None,
    ) -> Operation[ExecuteResult]:
        """Run a statement; return how many rows it changed. It is never sent again once the server may have it: a
        `NetworkError` or `TimeoutError` says in `maybe_received` whether to look before trying again."""
        return (yield from sql.execute(self._state.registry, sql_text, params, self._state.tenant(tenant_id), audit))

    @verb
    def position(self, *, tenant_id: TenantId | int | None = None) -> Operation[Position]:
        """Return the current position for `at=`, to see the tables later as they are now."""
        return (yield from sql.position(self._state.registry, self._state.tenant(tenant_id)))

    @verb
    def list_tables(self, *, tenant_id: TenantId | int | None = None) -> Operation[list[TableInfo]]:
        """Return the tables, each with its number of columns."""
        post = Post("list_tables", requests.ListTables(), self._state.tenant(tenant_id))
        return (yield from asked(self._state.settings, post, responses.ListTables)).tables

    @verb
    def describe_table(self, name: str, *, tenant_id: TenantId | int | None = None) -> Operation[list[ColumnInfo]]:
        """Return the columns of a table."""
        post = Post("describe_table", requests.DescribeTable(name), self._state.tenant(tenant_id), resource=name)
        return (yield from asked(self._state.settings, post, responses.DescribeTable)).columns

    @verb
    def list_indexes(self, name: str, *, tenant_id: TenantId | int | None = None) -> Operation[list[IndexInfo]]:
        """Return the indexes of a table."""
        post = Post("list_indexes", requests.ListIndexes(name), self._state.tenant(tenant_id), resource=name)
        return (yield from asked(self._state.settings, post, responses.ListIndexes)).indexes

    @verb
    def server_info(self) -> Operation[responses.GetServerInfo]:
        """Return the server's version, capabilities and uptime."""
        post = Post("server_info", requests.GetServerInfo())
        return (yield from asked(self._state.settings, post, responses.GetServerInfo))

    @verb
    def sync(self) -> Operation[bool]:
        """Return whether everything is on disk now. An acknowledged append always is."""
        return (yield from asked(self._state.settings, Post("sync", requests.Sync()), responses.Sync)).success

    @coloured(Subscription, AsyncSubscription)
    def subscribe(
        self,
        tenant_id: TenantId | int | None,
        stream_id: StreamLike,
        *,
        from_position: Position | int | None = None,
        credits: int = CREDITS,
        consumer_group: str | None = None,
    ) -> Flow:
        """Return the events that are appended from now on, or from a position on, as they come; each once and in order.

        The server sends at most `credits` events before some are taken. A connection that breaks is made again.
        Awaited, as an async client's may be, it begins at once; going through it begins it too.
        """
        if self._state.driver.closed:
            raise KimberliteInputError(CLOSED, hint=CLOSED_HINT)
        self._state.registry.tenant(tenant_id, stream_id)
        first = None if from_position is None else reading.offset_of(from_position, "from_position")
        find = partial(resolve, self._state.registry, tenant_id, stream_id)
        return Flow(self._state.settings, self._state.registry, find, first, credits, consumer_group)

    def _about(self) -> str:
        tenant = "" if self._state.settings.tenant_id is None else f", tenant {self._state.settings.tenant_id}"
        return f"<{type(self).__name__} at {self._state.settings.where}{tenant}>"


def _blocking(settings: Settings) -> SyncConnection:
    connection = SyncConnection(settings)
    connection.connect()
    return connection


def _awaited(settings: Settings) -> Crossing:
    return Crossing(AsyncConnection(settings))


class _Constructor:
    """The constructor under the reference's other name, `connect`."""

    def __get__(self, client: object, owner: type[T]) -> type[T]:
        return owner


class Client(_Calls, SyncFace[ClientState]):
    """A client whose calls block. It connects at once, and reconnects after a lost connection.

    client = Client("localhost:3000", tenant_id=TenantId(1), api_key="...")

    Arguments that are not given are read from `KIMBERLITE_ADDRESS`, `KIMBERLITE_TENANT` and `KIMBERLITE_API_KEY`; that
    key and tenant go to that address only. `timeout` is how long the server may be silent, `connect_timeout` how long
    connecting may take, both in seconds. `tls=True`, or an address that begins with `kimberlites://`, uses TLS and
    checks the server's certificate; an `ssl.SSLContext` says which ones are trusted. Calls that are safe to repeat are
    retried up to `max_retries` times. `compression` is accepted as in the reference and has no effect: the protocol
    has none. `numbering="native"` takes each `StreamId` as the server's own number; by default `StreamId(1, 100)` is
    the stream named `stream_100`. Several addresses are tried in turn.
    """

    _driven = staticmethod(_blocking)

    connect = _Constructor()

    def __del__(self) -> None:
        if state := getattr(self, "_state", None):
            state.driver.close()


class AsyncClient(_Calls, AsyncFace[ClientState]):
    """A client whose calls are awaited, on any loop: `client = await AsyncClient.connect("localhost:3000")`.

    Many calls may be under way at once. The arguments are those of `Client`.
    """

    _driven = staticmethod(_awaited)

    @classmethod
    async def connect(
        cls,
        address: str | Sequence[str] | None = None,
        tenant_id: TenantId | int | None = None,
        api_key: str | Secret | None = None,
        timeout: float | None = 30,
        max_retries: int = 3,
        compression: bool = False,
        *,
        connect_timeout: float | None = 5.0,
        tls: bool | ssl.SSLContext | None = None,
        numbering: Numbering = "named",
        default_data_class: DataClass = DataClass.PUBLIC,
    ) -> Self:
        """Return a client that is connected."""
        address, api_key = masked(address), hidden(api_key)
        client = cls(
            address,
            tenant_id,
            api_key,
            timeout,
            max_retries,
            compression,
            connect_timeout=connect_timeout,
            tls=tls,
            numbering=numbering,
            default_data_class=default_data_class,
        )
        await state_of(client).driver.connect()
        return client

    async def __aenter__(self) -> Self:
        await self._state.driver.connect()
        return self

    def __del__(self) -> None:
        if state := getattr(self, "_state", None):
            state.driver.abandon()


def _registry(settings: Settings, numbering: Numbering, data_class: DataClass) -> StreamRegistry:
    if numbering not in ("named", "native"):
        raise KimberliteInputError(f"numbering={numbering!r} is not a numbering", hint='choose "named" or "native"')
    try:
        return StreamRegistry(settings, numbering, DataClass(data_class))
    except ValueError:
        names = ", ".join(DataClass.__members__)
        raise KimberliteInputError(
            f"default_data_class={data_class!r} is not a DataClass", hint=f"DataClass.PUBLIC, say, of {names}"
        ) from None


def _several(events: Any) -> list[Any]:
    if isinstance(events, bytes | bytearray | memoryview | str):
        raise KimberliteInputError("events must be a list of bytes", hint="use append() for one event")
    try:
        return list(events)
    except TypeError:
        raise KimberliteInputError(f"events must be a list of bytes, not {type(events).__name__}") from None


def _check_bytes(data: Any) -> None:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise KimberliteInputError(
            f"an event must be bytes, not {type(data).__name__}",
            hint="encode it first: text.encode(), json.dumps(...).encode()",
        )
