"""The handlers of requests."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ...kimberlite import requests as ask
from ...kimberlite import responses as told
from ...kimberlite.blobs import Blobs
from ...kimberlite.enums import CloseReason, ClusterMode
from ...kimberlite.framing import MAX_PAYLOAD, OFFICIAL_LIMIT, VERSION
from ...kimberlite.messages import Request
from ...kimberlite.postcard import U64, option, varint
from ...kimberlite.sqltypes import TYPES_MARK
from ...kimberlite.structs import ColumnInfo, IndexInfo, TableInfo
from ...kimberlite.types import MAX_U32
from ...kimberlite.wire import payload_of
from ...version import __version__
from .access import Identity, Keys
from .audit import AuditLog
from .consents import Consents
from .refusal import EXECUTION, INVALID, NO_SUBSCRIPTION, SYNTAX, TENANT_TOO_LARGE, UNAUTHORIZED, Refusal
from .sql.workers import Workers
from .streams import Stream, Streams
from .subscriptions import Subscriptions
from .tenants import Registry

HANDSHAKE = ["query", "append", "subscribe"]
EXTENSIONS = ["kit.events.v1", "kit.streams.v1", TYPES_MARK, "kit.batch.v1"]
"""What this server has beyond the real one: the tables kit_events and kit_streams, the types of a result's columns
after its rows, and several events in one push for clients that ask for it."""
_INFO = ["query", "append", "subscribe.v2", "admin.v1", "schema.v1", "server_info.v1"]
_OVERHEAD = 64
"""The largest number of bytes in a page's frame that are not events."""
_SMALL_PAGE = 1024 * 1024
"""A client that asks for no more than the official client's default is assumed to accept no larger frames either."""
_MAX_SQL = 4 * 1024 * 1024
_BEGINNING = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*(\w+|\()?", re.DOTALL)
_READING = ("SELECT", "SHOW", "WITH", "EXPLAIN", "VALUES", "(")
_NEXT = option(U64)


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


Handler = Callable[[Call, Any], Awaitable[Any]]


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
    ) -> None:
        self._streams = streams
        self._workers = workers
        self._ready = ready
        self._keys = keys
        self._registry = registry
        self._audit = audit
        self._consents = consents
        self._started = time.monotonic()
        self._handlers: dict[type[Any], Handler] = {
            ask.CreateStream: self._create_stream,
            ask.AppendEvents: self._append,
            ask.ReadEvents: self._read,
            ask.StreamInfo: self._stream_info,
            ask.Sync: self._sync,
            ask.Subscribe: self._subscribe,
            ask.SubscribeCredit: self._credit,
            ask.Unsubscribe: self._unsubscribe,
            ask.Query: self._query,
            ask.QueryAt: self._query_at,
            ask.ListTables: self._tables,
            ask.DescribeTable: self._describe,
            ask.ListIndexes: self._indexes,
            ask.GetServerInfo: self._info,
            ask.TenantCreate: self._tenant_create,
            ask.TenantList: self._tenant_list,
            ask.TenantGet: self._tenant_get,
            ask.TenantDelete: self._tenant_delete,
            ask.ApiKeyRegister: self._key_register,
            ask.ApiKeyRevoke: self._key_revoke,
            ask.ApiKeyRotate: self._key_rotate,
            ask.ApiKeyList: self._key_list,
            ask.ConsentGrant: self._consent_grant,
            ask.ConsentWithdraw: self._consent_withdraw,
            ask.ConsentCheck: self._consent_check,
            ask.ConsentList: self._consent_list,
            ask.AuditQuery: self._audit_query,
            ask.VerifyAuditChain: self._audit_verify,
            ask.ErasureList: self._erasure_list,
            ask.MaskingPolicyList: self._masking_list,
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
        return await handler(call, request.payload)

    # --- streams ----------------------------------------------------------------------------------------------------

    async def _create_stream(self, call: Call, asked: ask.CreateStream) -> told.CreateStream:
        await self._registry.note(call.tenant)
        stream = await self._streams.create(call.tenant, asked.name, int(asked.data_class))
        if call.request.audit is not None:
            await self._record(call, "StreamCreate", asked.name)
        return told.CreateStream(stream.id)

    async def _append(self, call: Call, asked: ask.AppendEvents) -> told.AppendEvents:
        stream = self._stream(call, asked.stream_id)
        events = Blobs.of(asked.events)
        first = await self._streams.append(stream, events, asked.expected_offset)
        if call.request.audit is not None:
            await self._record(call, "StreamAppend", stream.name)
        return told.AppendEvents(first, len(events))

    async def _read(self, call: Call, asked: ask.ReadEvents) -> Raw:
        # As on the real server, a stream that is not there has no events, whatever its id.
        found = None if self._streams.get(asked.stream_id) is None else self._stream(call, asked.stream_id)
        count, pieces = 0, list[bytes]()
        if found is not None and asked.max_bytes:
            frame = (OFFICIAL_LIMIT if asked.max_bytes <= _SMALL_PAGE else MAX_PAYLOAD) - _OVERHEAD
            work = (found, asked.from_offset, asked.max_bytes, frame)
            if frame > OFFICIAL_LIMIT:
                # Some MiB take longer than others should wait.
                count, pieces = await asyncio.get_running_loop().run_in_executor(None, self._streams.read, *work)
            else:
                count, pieces = self._streams.read(*work)
        out = bytearray()
        _NEXT.write(out, asked.from_offset + count if count else None)
        return Raw(told.ALL.index(told.ReadEvents), [varint(count), *pieces, bytes(out)])

    async def _stream_info(self, call: Call, asked: ask.StreamInfo) -> told.StreamInfo:
        return told.StreamInfo(self._stream(call, asked.stream_id).length)

    async def _sync(self, call: Call, asked: ask.Sync) -> told.Sync:
        return told.Sync(True)  # what was answered is on disk already

    def _stream(self, call: Call, id: int) -> Stream:
        """Return the stream with this id; refuse one that is not there, and one of another tenant."""
        found = self._streams.require(id)
        _check_owner(call, id)
        call.identity.reads_stream(found.name)
        return found

    # --- subscriptions ----------------------------------------------------------------------------------------------

    async def _subscribe(self, call: Call, asked: ask.Subscribe) -> told.Subscribe:
        # Another tenant's stream may come to be later: its events must not be pushed then.
        _check_owner(call, asked.stream_id)
        found = self._streams.get(asked.stream_id)
        if found is not None:
            call.identity.reads_stream(found.name)
        if len(call.subscriptions) >= 1000:
            raise Refusal(INVALID, "a connection has at most 1000 subscriptions")
        made = call.subscriptions.add(
            call.tenant, asked.stream_id, asked.from_offset, asked.initial_credits, asked.consumer_group
        )
        call.after = made.start
        return told.Subscribe(made.id, asked.from_offset, asked.initial_credits)

    async def _credit(self, call: Call, asked: ask.SubscribeCredit) -> told.SubscriptionAck:
        found = call.subscriptions.get(asked.subscription_id)
        if found is None:
            raise Refusal(NO_SUBSCRIPTION, f"subscription {asked.subscription_id} not found")
        return told.SubscriptionAck(found.id, found.grant(asked.additional_credits))

    async def _unsubscribe(self, call: Call, asked: ask.Unsubscribe) -> told.SubscriptionAck:
        found = call.subscriptions.get(asked.subscription_id)
        if found is None:
            raise Refusal(NO_SUBSCRIPTION, f"subscription {asked.subscription_id} not found")
        await call.subscriptions.end(found.id)
        call.push(found.closed(CloseReason.CLIENT_CANCELLED))
        return told.SubscriptionAck(found.id, 0)

    # --- SQL --------------------------------------------------------------------------------------------------------

    async def _query(self, call: Call, asked: ask.Query) -> Raw:
        return Raw(told.ALL.index(told.Query), [await self._run(call, asked, None)])

    async def _query_at(self, call: Call, asked: ask.QueryAt) -> Raw:
        return Raw(told.ALL.index(told.QueryAt), [await self._run(call, asked, asked.position)])

    async def _run(self, call: Call, asked: ask.Query | ask.QueryAt, position: int | None) -> bytes:
        await asyncio.shield(self._ready)
        if len(asked.sql) > _MAX_SQL:
            raise Refusal(SYNTAX, f"a statement has at most {_MAX_SQL:,} characters")
        beginning = _BEGINNING.match(asked.sql)
        verb = (beginning[1] or "").upper() if beginning else ""
        request = payload_of(call.request)
        if verb in _READING or position is not None:
            if "BREAK_GLASS" in asked.sql[:200].upper() or asked.break_glass_reason:
                await self._record(call, "BreakGlass", (asked.break_glass_reason or asked.sql)[:500], done=False)
            return await self._workers.query(call.tenant, request, position)
        if not call.identity.writes:
            raise Refusal(UNAUTHORIZED, f"role {', '.join(sorted(call.identity.roles))} may not change data")
        await self._registry.note(call.tenant)
        body = await self._workers.execute(call.tenant, request)
        await self._record(call, verb.title())
        return body

    async def _tables(self, call: Call, asked: ask.ListTables) -> told.ListTables:
        await asyncio.shield(self._ready)
        found = await self._workers.ask("tables", call.tenant)
        return told.ListTables([TableInfo(one["name"], one["columns"]) for one in found])

    async def _describe(self, call: Call, asked: ask.DescribeTable) -> told.DescribeTable:
        await asyncio.shield(self._ready)
        found = await self._workers.ask("describe", call.tenant, name=asked.table_name)
        return told.DescribeTable(found["name"], [ColumnInfo(*column) for column in found["columns"]])

    async def _indexes(self, call: Call, asked: ask.ListIndexes) -> told.ListIndexes:
        await asyncio.shield(self._ready)
        found = await self._workers.ask("indexes", call.tenant, name=asked.table_name)
        return told.ListIndexes([IndexInfo(one["name"], one["columns"]) for one in found])

    # --- the server, tenants, keys ----------------------------------------------------------------------------------

    async def _info(self, call: Call, asked: ask.GetServerInfo) -> told.GetServerInfo:
        return told.GetServerInfo(
            build_version=f"kit {__version__}",
            protocol_version=VERSION,
            capabilities=[*_INFO, *EXTENSIONS],
            uptime_secs=int(time.monotonic() - self._started),
            cluster_mode=ClusterMode.STANDALONE,
            tenant_count=len(self._registry),
        )

    async def _tenant_create(self, call: Call, asked: ask.TenantCreate) -> told.TenantCreate:
        await asyncio.shield(self._ready)
        made = told.TenantCreate(*await self._registry.create(_tenant(asked.tenant_id), asked.name))
        await self._record(call, "TenantCreate", str(asked.tenant_id))
        return made

    async def _tenant_list(self, call: Call, asked: ask.TenantList) -> told.TenantList:
        await asyncio.shield(self._ready)
        return told.TenantList(await self._registry.list())

    async def _tenant_get(self, call: Call, asked: ask.TenantGet) -> told.TenantGet:
        await asyncio.shield(self._ready)
        return told.TenantGet(await self._registry.get(_tenant(asked.tenant_id)))

    async def _tenant_delete(self, call: Call, asked: ask.TenantDelete) -> told.TenantDelete:
        await asyncio.shield(self._ready)
        deleted, dropped = await self._registry.delete(_tenant(asked.tenant_id))
        await self._streams.drop_tenant(asked.tenant_id)
        await self._record(call, "TenantDelete", str(asked.tenant_id))
        return told.TenantDelete(deleted, dropped)

    async def _key_register(self, call: Call, asked: ask.ApiKeyRegister) -> told.ApiKeyRegister:
        tenant = _tenant(asked.tenant_id)
        made = await self._keys.register(asked.subject, tenant, asked.roles, asked.expires_at_nanos)
        await self._record(call, "ApiKeyRegister", asked.subject)
        return told.ApiKeyRegister(*made)

    async def _key_revoke(self, call: Call, asked: ask.ApiKeyRevoke) -> told.ApiKeyRevoke:
        await self._keys.revoke(asked.key)
        await self._record(call, "ApiKeyRevoke")
        return told.ApiKeyRevoke(True)

    async def _key_rotate(self, call: Call, asked: ask.ApiKeyRotate) -> told.ApiKeyRotate:
        made = await self._keys.rotate(asked.old_key)
        await self._record(call, "ApiKeyRotate", made[1].subject)
        return told.ApiKeyRotate(*made)

    async def _key_list(self, call: Call, asked: ask.ApiKeyList) -> told.ApiKeyList:
        return told.ApiKeyList(self._keys.list(asked.tenant_id))

    # --- consents, the audit log, and what there is none of ---------------------------------------------------------

    async def _consent_grant(self, call: Call, asked: ask.ConsentGrant) -> told.ConsentGrant:
        made = await self._consents.grant(call.tenant, asked)
        await self._record(call, "ConsentGranted", asked.subject_id)
        return made

    async def _consent_withdraw(self, call: Call, asked: ask.ConsentWithdraw) -> told.ConsentWithdraw:
        made = await self._consents.withdraw(call.tenant, asked.consent_id)
        await self._record(call, "ConsentWithdrawn")
        return made

    async def _consent_check(self, call: Call, asked: ask.ConsentCheck) -> told.ConsentCheck:
        return self._consents.check(call.tenant, asked.subject_id, asked.purpose)

    async def _consent_list(self, call: Call, asked: ask.ConsentList) -> told.ConsentList:
        return self._consents.list(call.tenant, asked.subject_id, asked.valid_only)

    async def _audit_query(self, call: Call, asked: ask.AuditQuery) -> told.AuditQuery:
        return self._audit.find(call.tenant, asked)

    async def _audit_verify(self, call: Call, asked: ask.VerifyAuditChain) -> told.VerifyAuditChain:
        return self._audit.verify()

    async def _erasure_list(self, call: Call, asked: ask.ErasureList) -> told.ErasureList:
        return told.ErasureList([])

    async def _masking_list(self, call: Call, asked: ask.MaskingPolicyList) -> told.MaskingPolicyList:
        return told.MaskingPolicyList([], [])

    async def _record(self, call: Call, action: str, subject: str | None = None, *, done: bool = True) -> None:
        await self._audit.add(action, call.tenant, call.request.audit, call.identity.subject, subject, done=done)


def _check_owner(call: Call, id: int) -> None:
    if id >> 32 != call.tenant:
        raise Refusal(UNAUTHORIZED, f"stream {id} does not belong to tenant {call.tenant}")


def _tenant(id: int) -> int:
    if id > MAX_U32:
        raise Refusal(TENANT_TOO_LARGE, f"tenant id {id} is larger than {MAX_U32}")
    return id
