"""The handlers of requests."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from ...kimberlite.types import MAX_U32
from ...kimberlite.wire.blobs import Blobs
from ...kimberlite.wire.extensions import BATCH_GROUP, Extensions
from ...kimberlite.wire.framing import MAX_PAYLOAD, OFFICIAL_LIMIT, VERSION
from ...kimberlite.wire.protocol import requests, responses
from ...kimberlite.wire.protocol.codec import payload_of
from ...kimberlite.wire.protocol.enums import CloseReason, ClusterMode
from ...kimberlite.wire.protocol.messages import Request
from ...kimberlite.wire.protocol.postcard import U64, option, varint
from ...kimberlite.wire.protocol.structs import ColumnInfo, IndexInfo, TableInfo
from ...version import __version__
from ..common.unbroken import Unbroken
from .accounts.access import Identity, Keys
from .accounts.audit import AuditLog
from .accounts.consents import Consents
from .accounts.tenants import Registry
from .refusal import EXECUTION, INVALID, NO_SUBSCRIPTION, SYNTAX, TENANT_TOO_LARGE, UNAUTHORIZED, Refusal
from .sql.workers import Workers
from .streams import OVERHEAD, Stream, Streams
from .subscriptions import Subscriptions

HANDSHAKE = ["query", "append", "subscribe"]
_INFO = ["query", "append", "subscribe.v2", "admin.v1", "schema.v1", "server_info.v1"]
_SMALL_PAGE = 1024 * 1024
"""A client that asks for no more than the official client's default is assumed to accept no larger frames either."""
_MAX_SQL = 4 * 1024 * 1024
_MAX_PARAMS = 32_766
"""More than these the engine of the tables does not take."""
_BEGINNING = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*(\w+|\()?", re.DOTALL)
_READING = ("SELECT", "SHOW", "WITH", "EXPLAIN", "VALUES", "(")
_NEXT = option(U64)
_CHANGES = (
    requests.CreateStream,
    requests.TenantCreate,
    requests.TenantDelete,
    requests.ApiKeyRegister,
    requests.ApiKeyRevoke,
    requests.ApiKeyRotate,
    requests.ConsentGrant,
    requests.ConsentWithdraw,
)
"""Requests that change something, beside those to append and to run a statement."""
T = TypeVar("T")


@dataclass(slots=True)
class Raw:
    """A response whose fields are already in their wire form."""

    variant: int
    pieces: list[bytes]


@dataclass(slots=True)
class Call:
    """A request, with its sender and connection."""

    request: Request
    identity: Identity
    subscriptions: Subscriptions
    push: Callable[[bytes], None]
    """Writes a frame before the response."""
    after: Callable[[], None] | None = None
    """Runs after the response is written."""

    @property
    def tenant(self) -> int:
        return self.request.tenant_id


Handler = Callable[[Call, Any], Coroutine[Any, Any, Any]]


class Calls:
    """Handles the requests that this server answers."""

    def __init__(
        self,
        streams: Streams,
        workers: Workers,
        ready: asyncio.Future[None],
        keys: Keys,
        registry: Registry,
        audit: AuditLog,
        consents: Consents,
        extensions: Extensions,
    ) -> None:
        self.extensions = extensions
        self._streams = streams
        self._workers = workers
        self._ready = ready
        self._keys = keys
        self._registry = registry
        self._audit = audit
        self._consents = consents
        self._started = time.monotonic()
        # A change ends with its entry in the audit log, also for a client that goes away.
        self._unbroken = Unbroken()
        self._handlers: dict[type[Any], Handler] = {
            requests.CreateStream: self._create_stream,
            requests.AppendEvents: self._append,
            requests.ReadEvents: self._read,
            requests.StreamInfo: self._stream_info,
            requests.Sync: self._sync,
            requests.Subscribe: self._subscribe,
            requests.SubscribeCredit: self._credit,
            requests.Unsubscribe: self._unsubscribe,
            requests.Query: self._query,
            requests.QueryAt: self._query_at,
            requests.ListTables: self._tables,
            requests.DescribeTable: self._describe,
            requests.ListIndexes: self._indexes,
            requests.GetServerInfo: self._info,
            requests.TenantCreate: self._tenant_create,
            requests.TenantList: self._tenant_list,
            requests.TenantGet: self._tenant_get,
            requests.TenantDelete: self._tenant_delete,
            requests.ApiKeyRegister: self._key_register,
            requests.ApiKeyRevoke: self._key_revoke,
            requests.ApiKeyRotate: self._key_rotate,
            requests.ApiKeyList: self._key_list,
            requests.ConsentGrant: self._consent_grant,
            requests.ConsentWithdraw: self._consent_withdraw,
            requests.ConsentCheck: self._consent_check,
            requests.ConsentList: self._consent_list,
            requests.AuditQuery: self._audit_query,
            requests.VerifyAuditChain: self._audit_verify,
            requests.ErasureList: self._erasure_list,
            requests.MaskingPolicyList: self._masking_list,
        }

    async def answer(self, call: Call) -> Any:
        """Return the response's payload; a `Refusal` is raised."""
        request = call.request
        if request.tenant_id > MAX_U32:
            raise Refusal(TENANT_TOO_LARGE, f"tenant id {request.tenant_id} is larger than {MAX_U32}")
        call.identity.check(request.tenant_id, request.payload)
        handler = self._handlers.get(type(request.payload))
        if handler is None:
            raise Refusal(EXECUTION, f"{type(request.payload).__name__} is not supported by this server")
        if isinstance(request.payload, _CHANGES):
            return await self._unbroken.run(handler(call, request.payload))
        return await handler(call, request.payload)

    async def close(self) -> None:
        """Wait for changes that are under way."""
        await self._unbroken.close()

    async def _create_stream(self, call: Call, request: requests.CreateStream) -> responses.CreateStream:
        await self._registry.note(call.tenant)
        stream = await self._streams.create(call.tenant, request.name, int(request.data_class))
        if call.request.audit is not None:
            await self._record(call, "StreamCreate", request.name)
        return responses.CreateStream(stream.id)

    async def _append(self, call: Call, request: requests.AppendEvents) -> responses.AppendEvents:
        stream = self._stream(call, request.stream_id)
        events = Blobs.of(request.events)
        append = self._streams.append(stream, events, request.expected_offset)
        if call.request.audit is not None:
            append = self._recorded(append, call, "StreamAppend", stream.name)
        return responses.AppendEvents(await self._unbroken.run(append), len(events))

    async def _recorded(self, change: Coroutine[Any, Any, T], call: Call, action: str, subject: str | None = None) -> T:
        done = await change
        await self._record(call, action, subject)
        return done

    async def _read(self, call: Call, request: requests.ReadEvents) -> Raw:
        # As in the real server, a stream that does not exist has no events, whatever its id.
        stream = None if self._streams.get(request.stream_id) is None else self._stream(call, request.stream_id)
        count, pieces = 0, list[bytes]()
        if stream is not None and request.max_bytes:
            frame = (OFFICIAL_LIMIT if request.max_bytes <= _SMALL_PAGE else MAX_PAYLOAD) - OVERHEAD
            work = (stream, request.from_offset, request.max_bytes, frame)
            if frame > OFFICIAL_LIMIT:
                # Some MiB take too long for the event loop.
                count, pieces = await asyncio.get_running_loop().run_in_executor(None, self._streams.read, *work)
            else:
                count, pieces = self._streams.read(*work)
        out = bytearray()
        _NEXT.write(out, request.from_offset + count if count else None)
        return Raw(responses.ALL.index(responses.ReadEvents), [varint(count), *pieces, bytes(out)])

    async def _stream_info(self, call: Call, request: requests.StreamInfo) -> responses.StreamInfo:
        return responses.StreamInfo(self._stream(call, request.stream_id).length)

    async def _sync(self, call: Call, request: requests.Sync) -> responses.Sync:
        return responses.Sync(True)  # everything that was answered is already on disk

    def _stream(self, call: Call, id: int) -> Stream:
        """Return the stream with this id; refuse one that is not there, and one of another tenant."""
        stream = self._streams.require(id)
        _check_owner(call, id)
        call.identity.reads_stream(stream.name)
        return stream

    async def _subscribe(self, call: Call, request: requests.Subscribe) -> responses.Subscribe:
        # A stream that does not exist may be created later, by another tenant or under any name.
        _check_owner(call, request.stream_id)
        stream = self._streams.get(request.stream_id)
        call.identity.reads_stream("" if stream is None else stream.name)
        if len(call.subscriptions) >= 1000:
            raise Refusal(INVALID, "a connection has at most 1000 subscriptions")
        batch = self.extensions.batches and request.consumer_group == BATCH_GROUP
        made = call.subscriptions.add(
            call.tenant, request.stream_id, request.from_offset, request.initial_credits, batch
        )
        call.after = made.start
        return responses.Subscribe(made.id, request.from_offset, request.initial_credits)

    async def _credit(self, call: Call, request: requests.SubscribeCredit) -> responses.SubscriptionAck:
        subscription = call.subscriptions.get(request.subscription_id)
        if subscription is None:
            raise Refusal(NO_SUBSCRIPTION, f"subscription {request.subscription_id} not found")
        return responses.SubscriptionAck(subscription.id, subscription.grant(request.additional_credits))

    async def _unsubscribe(self, call: Call, request: requests.Unsubscribe) -> responses.SubscriptionAck:
        subscription = call.subscriptions.get(request.subscription_id)
        if subscription is None:
            raise Refusal(NO_SUBSCRIPTION, f"subscription {request.subscription_id} not found")
        await call.subscriptions.end(subscription.id)
        call.push(subscription.closed(CloseReason.CLIENT_CANCELLED))
        return responses.SubscriptionAck(subscription.id, 0)

    async def _query(self, call: Call, request: requests.Query) -> Raw:
        return Raw(responses.ALL.index(responses.Query), [await self._run(call, request, None)])

    async def _query_at(self, call: Call, request: requests.QueryAt) -> Raw:
        return Raw(responses.ALL.index(responses.QueryAt), [await self._run(call, request, request.position)])

    async def _run(self, call: Call, query: requests.Query | requests.QueryAt, position: int | None) -> bytes:
        await asyncio.shield(self._ready)
        if len(query.sql) > _MAX_SQL:
            raise Refusal(SYNTAX, f"a statement has at most {_MAX_SQL:,} characters")
        if len(query.params) > _MAX_PARAMS:
            raise Refusal(EXECUTION, f"a statement has at most {_MAX_PARAMS:,} parameters, not {len(query.params):,}")
        beginning = _BEGINNING.match(query.sql)
        verb = (beginning[1] or "").upper() if beginning else ""
        request = payload_of(call.request)
        if verb in _READING or position is not None:
            if "BREAK_GLASS" in query.sql[:200].upper() or query.break_glass_reason:
                await self._record(call, "BreakGlass", (query.break_glass_reason or query.sql)[:500], done=False)
            return await self._workers.query(call.tenant, request, position)
        if not call.identity.writes:
            raise Refusal(UNAUTHORIZED, f"role {', '.join(sorted(call.identity.roles))} may not change data")
        await self._registry.note(call.tenant)
        change = self._workers.execute(call.tenant, request)
        return await self._unbroken.run(self._recorded(change, call, verb.title()))

    async def _tables(self, call: Call, request: requests.ListTables) -> responses.ListTables:
        await asyncio.shield(self._ready)
        tables = await self._workers.ask("tables", call.tenant)
        return responses.ListTables([TableInfo(table["name"], table["columns"]) for table in tables])

    async def _describe(self, call: Call, request: requests.DescribeTable) -> responses.DescribeTable:
        await asyncio.shield(self._ready)
        columns = await self._workers.ask("describe", call.tenant, name=request.table_name)
        return responses.DescribeTable(columns["name"], [ColumnInfo(*column) for column in columns["columns"]])

    async def _indexes(self, call: Call, request: requests.ListIndexes) -> responses.ListIndexes:
        await asyncio.shield(self._ready)
        indexes = await self._workers.ask("indexes", call.tenant, name=request.table_name)
        return responses.ListIndexes([IndexInfo(index["name"], index["columns"]) for index in indexes])

    async def _info(self, call: Call, request: requests.GetServerInfo) -> responses.GetServerInfo:
        return responses.GetServerInfo(
            build_version=f"kit {__version__}",
            protocol_version=VERSION,
            capabilities=[*_INFO, *self.extensions.names()],
            uptime_secs=int(time.monotonic() - self._started),
            cluster_mode=ClusterMode.STANDALONE,
            tenant_count=len(self._registry),
        )

    async def _tenant_create(self, call: Call, request: requests.TenantCreate) -> responses.TenantCreate:
        await asyncio.shield(self._ready)
        made = responses.TenantCreate(*await self._registry.create(_tenant(request.tenant_id), request.name))
        await self._record(call, "TenantCreate", str(request.tenant_id))
        return made

    async def _tenant_list(self, call: Call, request: requests.TenantList) -> responses.TenantList:
        await asyncio.shield(self._ready)
        return responses.TenantList(await self._registry.list())

    async def _tenant_get(self, call: Call, request: requests.TenantGet) -> responses.TenantGet:
        await asyncio.shield(self._ready)
        return responses.TenantGet(await self._registry.get(_tenant(request.tenant_id)))

    async def _tenant_delete(self, call: Call, request: requests.TenantDelete) -> responses.TenantDelete:
        await asyncio.shield(self._ready)
        deleted, dropped = await self._registry.delete(_tenant(request.tenant_id))
        await self._streams.drop_tenant(request.tenant_id)
        await self._record(call, "TenantDelete", str(request.tenant_id))
        return responses.TenantDelete(deleted, dropped)

    async def _key_register(self, call: Call, request: requests.ApiKeyRegister) -> responses.ApiKeyRegister:
        tenant = _tenant(request.tenant_id)
        made = await self._keys.register(request.subject, tenant, request.roles, request.expires_at_nanos)
        await self._record(call, "ApiKeyRegister", request.subject)
        return responses.ApiKeyRegister(*made)

    async def _key_revoke(self, call: Call, request: requests.ApiKeyRevoke) -> responses.ApiKeyRevoke:
        await self._keys.revoke(request.key)
        await self._record(call, "ApiKeyRevoke")
        return responses.ApiKeyRevoke(True)

    async def _key_rotate(self, call: Call, request: requests.ApiKeyRotate) -> responses.ApiKeyRotate:
        made = await self._keys.rotate(request.old_key)
        await self._record(call, "ApiKeyRotate", made[1].subject)
        return responses.ApiKeyRotate(*made)

    async def _key_list(self, call: Call, request: requests.ApiKeyList) -> responses.ApiKeyList:
        return responses.ApiKeyList(self._keys.list(request.tenant_id))

    async def _consent_grant(self, call: Call, request: requests.ConsentGrant) -> responses.ConsentGrant:
        made = await self._consents.grant(call.tenant, request)
        await self._record(call, "ConsentGranted", request.subject_id)
        return made

    async def _consent_withdraw(self, call: Call, request: requests.ConsentWithdraw) -> responses.ConsentWithdraw:
        made = await self._consents.withdraw(call.tenant, request.consent_id)
        await self._record(call, "ConsentWithdrawn")
        return made

    async def _consent_check(self, call: Call, request: requests.ConsentCheck) -> responses.ConsentCheck:
        return self._consents.check(call.tenant, request.subject_id, request.purpose)

    async def _consent_list(self, call: Call, request: requests.ConsentList) -> responses.ConsentList:
        return self._consents.list(call.tenant, request.subject_id, request.valid_only)

    async def _audit_query(self, call: Call, request: requests.AuditQuery) -> responses.AuditQuery:
        return self._audit.find(call.tenant, request)

    async def _audit_verify(self, call: Call, request: requests.VerifyAuditChain) -> responses.VerifyAuditChain:
        # Many entries take too long for the event loop.
        return await asyncio.get_running_loop().run_in_executor(None, self._audit.verify)

    async def _erasure_list(self, call: Call, request: requests.ErasureList) -> responses.ErasureList:
        return responses.ErasureList([])

    async def _masking_list(self, call: Call, request: requests.MaskingPolicyList) -> responses.MaskingPolicyList:
        return responses.MaskingPolicyList([], [])

    async def _record(self, call: Call, action: str, subject: str | None = None, *, done: bool = True) -> None:
        await self._audit.add(action, call.tenant, call.request.audit, call.identity.subject, subject, done=done)


def _check_owner(call: Call, id: int) -> None:
    if id >> 32 != call.tenant:
        raise Refusal(UNAUTHORIZED, f"stream {id} does not belong to tenant {call.tenant}")


def _tenant(id: int) -> int:
    if id > MAX_U32:
        raise Refusal(TENANT_TOO_LARGE, f"tenant id {id} is larger than {MAX_U32}")
    return id
