"""The requests. The order of `ALL` is the wire's numbering, the order of the fields is the wire's order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .enums import ConsentPurpose, ConsentScope, DataClass
from .schema import U16, U32, U64, Cell, Events, unread
from .structs import ConsentBasis, Global, Placement


@dataclass(slots=True)
class Handshake:
    """The first request: the protocol's version and the credential."""

    client_version: U16 = 5
    auth_token: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class CreateStream:
    """Makes a stream, or finds the one of that name."""

    name: str
    data_class: DataClass = DataClass.PUBLIC
    placement: Placement = field(default_factory=Global)


@dataclass(slots=True)
class AppendEvents:
    """Adds events to a stream whose length is `expected_offset`. Never send an empty list: it crashes the server."""

    stream_id: U64
    events: Events
    expected_offset: U64


@dataclass(slots=True)
class Query:
    """Runs SQL, reading or writing."""

    sql: str
    params: list[Cell] = field(default_factory=list)
    break_glass_reason: str | None = None


@dataclass(slots=True)
class QueryAt:
    """Runs a SELECT over the tables as they were at a position."""

    sql: str
    params: list[Cell]
    position: U64
    break_glass_reason: str | None = None


@dataclass(slots=True)
class ReadEvents:
    """Reads events until those read are `max_bytes` or more."""

    stream_id: U64
    from_offset: U64 = 0
    max_bytes: U64 = 8 * 1024 * 1024


@dataclass(slots=True)
class StreamInfo:
    """Asks for a stream's length."""

    stream_id: U64


@dataclass(slots=True)
class Subscribe:
    """Asks the server to push events from an offset on, at most `initial_credits` of them before more are granted."""

    stream_id: U64
    from_offset: U64
    initial_credits: U32
    consumer_group: str | None = None


@dataclass(slots=True)
class Sync:
    """Asks the server to write everything to disk."""


@dataclass(slots=True)
class SubscribeCredit:
    """Grants more events."""

    subscription_id: U64
    additional_credits: U32


@dataclass(slots=True)
class Unsubscribe:
    """Ends a subscription."""

    subscription_id: U64


@dataclass(slots=True)
class ListTables:
    """Lists the tenant's tables."""


@dataclass(slots=True)
class DescribeTable:
    """Lists a table's columns."""

    table_name: str


@dataclass(slots=True)
class ListIndexes:
    """Lists a table's indexes."""

    table_name: str


@dataclass(slots=True)
class TenantCreate:
    """Registers a tenant."""

    tenant_id: U64
    name: str | None = None


@dataclass(slots=True)
class TenantList:
    """Lists the tenants."""


@dataclass(slots=True)
class TenantDelete:
    """Removes a tenant with its tables."""

    tenant_id: U64


@dataclass(slots=True)
class TenantGet:
    """Looks a tenant up."""

    tenant_id: U64


@dataclass(slots=True)
class ApiKeyRegister:
    """Makes an API key."""

    subject: str
    tenant_id: U64
    roles: list[str]
    expires_at_nanos: U64 | None = None


@dataclass(slots=True)
class ApiKeyRevoke:
    """Revokes an API key."""

    key: str = field(repr=False)


@dataclass(slots=True)
class ApiKeyList:
    """Lists API keys, of one tenant or of all."""

    tenant_id: U64 | None = None


@dataclass(slots=True)
class ApiKeyRotate:
    """Replaces an API key by a new one."""

    old_key: str = field(repr=False)


@dataclass(slots=True)
class GetServerInfo:
    """Asks what the server is."""


@dataclass(slots=True)
class ConsentGrant:
    """Records a consent."""

    subject_id: str
    purpose: ConsentPurpose
    scope: ConsentScope | None = None
    basis: ConsentBasis | None = None
    terms_version: str | None = None
    accepted: bool = True


@dataclass(slots=True)
class ConsentWithdraw:
    """Withdraws a consent."""

    consent_id: str


@dataclass(slots=True)
class ConsentCheck:
    """Asks whether someone consents."""

    subject_id: str
    purpose: ConsentPurpose


@dataclass(slots=True)
class ConsentList:
    """Lists someone's consents."""

    subject_id: str
    valid_only: bool = False


@dataclass(slots=True)
class ErasureList:
    """Lists the erasures that were done."""


@dataclass(slots=True)
class AuditQuery:
    """Searches the audit log."""

    subject_id: str | None = None
    action_type: str | None = None
    time_from_nanos: U64 | None = None
    time_to_nanos: U64 | None = None
    actor: str | None = None
    limit: U32 | None = None


@dataclass(slots=True)
class VerifyAuditChain:
    """Asks the server to check the audit log's hashes."""


@dataclass(slots=True)
class MaskingPolicyList:
    """Lists the masking policies."""

    include_attachments: bool = False


ALL: tuple[type[Any], ...] = (
    Handshake,
    CreateStream,
    AppendEvents,
    Query,
    QueryAt,
    ReadEvents,
    StreamInfo,
    Subscribe,
    Sync,
    SubscribeCredit,
    Unsubscribe,
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
