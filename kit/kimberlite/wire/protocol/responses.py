"""The responses. The order of `ALL` is the wire's numbering, the order of the fields is the wire's order.

The number of an answer is that of its request plus one up to 9, 10 for both ways to change a subscription, and equal
from 11 on; 0 is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from ...errors import ServerError, server_error
from ...types import Value
from ..values import ROWS, Rows
from .enums import ClusterMode
from .schema import U16, U32, U64, Events, unread
from .structs import (
    ApiKeyInfo,
    AuditEventInfo,
    ColumnInfo,
    ConsentRecord,
    ErasureAuditInfo,
    IndexInfo,
    MaskingAttachmentInfo,
    MaskingPolicyInfo,
    TableInfo,
    TenantInfo,
)

Cells = Annotated[Rows | Sequence[Sequence[Value]], ROWS]


@dataclass(slots=True)
class Error:
    """The server refused. Codes newer than `errors.CODES` are kept as they are."""

    code: U32
    message: str

    def exception(self, request_id: int | None = None) -> ServerError:
        """Return the exception for this error."""
        return server_error(self.code, self.message, request_id)


@dataclass(slots=True)
class Handshake:
    """The server's version. `authenticated` is False where a key is needed and none was given."""

    server_version: U16
    authenticated: bool
    capabilities: list[str]


@dataclass(slots=True)
class CreateStream:
    """The stream's id."""

    stream_id: U64


@dataclass(slots=True)
class AppendEvents:
    """The offset of the first event."""

    first_offset: U64
    count: U32


@dataclass(slots=True)
class Query:
    """Rows; for other statements than SELECT one row of `rows_affected` and `log_offset`."""

    columns: list[str]
    rows: Cells


@dataclass(slots=True)
class QueryAt:
    """Rows as they were at the position."""

    columns: list[str]
    rows: Cells


@dataclass(slots=True)
class ReadEvents:
    """Events from the offset asked for; none, and no next offset, at the end."""

    events: Events
    next_offset: U64 | None


@dataclass(slots=True)
class StreamInfo:
    """The stream's length."""

    length: U64


@dataclass(slots=True)
class Subscribe:
    """The subscription, valid on this connection only."""

    subscription_id: U64
    start_offset: U64
    credits: U32


@dataclass(slots=True)
class Sync:
    """Whether everything is on disk."""

    success: bool


@dataclass(slots=True)
class SubscriptionAck:
    """The credits that are left; 0 after the subscription was ended."""

    subscription_id: U64
    credits_remaining: U32


@dataclass(slots=True)
class ListTables:
    """The tables."""

    tables: list[TableInfo]


@dataclass(slots=True)
class DescribeTable:
    """The columns."""

    table_name: str
    columns: list[ColumnInfo]


@dataclass(slots=True)
class ListIndexes:
    """The indexes."""

    indexes: list[IndexInfo]


@dataclass(slots=True)
class TenantCreate:
    """The tenant, and whether it is new."""

    tenant: TenantInfo
    created: bool


@dataclass(slots=True)
class TenantList:
    """The tenants."""

    tenants: list[TenantInfo]


@dataclass(slots=True)
class TenantDelete:
    """Whether there was one, and how many tables it had."""

    deleted: bool
    tables_dropped: U32


@dataclass(slots=True)
class TenantGet:
    """The tenant."""

    tenant: TenantInfo


@dataclass(slots=True)
class ApiKeyRegister:
    """The key; the server shows it only here."""

    key: str = field(repr=False)
    info: ApiKeyInfo


@dataclass(slots=True)
class ApiKeyRevoke:
    """Whether it was revoked."""

    revoked: bool


@dataclass(slots=True)
class ApiKeyList:
    """The keys, without their secrets."""

    keys: list[ApiKeyInfo]


@dataclass(slots=True)
class ApiKeyRotate:
    """The new key; the server shows it only here."""

    new_key: str = field(repr=False)
    info: ApiKeyInfo


@dataclass(slots=True)
class GetServerInfo:
    """What the server is."""

    build_version: str
    protocol_version: U16
    capabilities: list[str]
    uptime_secs: U64
    cluster_mode: ClusterMode
    tenant_count: U32


@dataclass(slots=True)
class ConsentGrant:
    """The consent's id."""

    consent_id: str
    granted_at_nanos: U64


@dataclass(slots=True)
class ConsentWithdraw:
    """When the consent was withdrawn."""

    withdrawn_at_nanos: U64


@dataclass(slots=True)
class ConsentCheck:
    """Whether there is a consent."""

    is_valid: bool


@dataclass(slots=True)
class ConsentList:
    """The consents."""

    consents: list[ConsentRecord]


@dataclass(slots=True)
class ErasureList:
    """The erasure log."""

    audit: list[ErasureAuditInfo]


@dataclass(slots=True)
class AuditQuery:
    """The entries found."""

    events: list[AuditEventInfo]


@dataclass(slots=True)
class VerifyAuditChain:
    """Whether the audit log is intact, and the first place where it is not."""

    ok: bool
    event_count: U64
    chain_head_hex: str
    mismatch_at_index: U64 | None
    error_message: str | None


@dataclass(slots=True)
class MaskingPolicyList:
    """The policies, and the columns that they mask."""

    policies: list[MaskingPolicyInfo]
    attachments: list[MaskingAttachmentInfo]


ALL: tuple[type[Any], ...] = (
    Error,
    Handshake,
    CreateStream,
    AppendEvents,
    Query,
    QueryAt,
    ReadEvents,
    StreamInfo,
    Subscribe,
    Sync,
    SubscriptionAck,
    ListTables,
    DescribeTable,
    ListIndexes,
    TenantCreate,
    TenantList,
    TenantDelete,
    TenantGet,
    ApiKeyRegister,
    ApiKeyRevoke,
    ApiKeyList,
    ApiKeyRotate,
    GetServerInfo,
    ConsentGrant,
    ConsentWithdraw,
    ConsentCheck,
    ConsentList,
    unread("ErasureRequest"),
    unread("ErasureMarkProgress"),
    unread("ErasureMarkStreamErased"),
    unread("ErasureComplete"),
    unread("ErasureExempt"),
    unread("ErasureStatus"),
    ErasureList,
    AuditQuery,
    VerifyAuditChain,
    unread("ExportSubject"),
    unread("VerifyExport"),
    unread("BreachReportIndicator"),
    unread("BreachQueryStatus"),
    unread("BreachConfirm"),
    unread("BreachResolve"),
    MaskingPolicyList,
)
