"""The structs in requests and responses. The order of the fields, and of the variants of a choice, is the wire's."""

from __future__ import annotations

from dataclasses import dataclass

from .enums import ConsentPurpose, ConsentScope, GdprArticle
from .schema import U32, U64


@dataclass(slots=True)
class Audit:
    """Who sends a request, and why; the server writes it to its audit log."""

    actor: str | None = None
    reason: str | None = None
    correlation_id: str | None = None
    idempotency_key: str | None = None


@dataclass(slots=True, frozen=True)
class USEast1:
    """The region us-east-1."""


@dataclass(slots=True, frozen=True)
class APSoutheast2:
    """The region ap-southeast-2."""


@dataclass(slots=True, frozen=True)
class CustomRegion:
    """Another region."""

    name: str


Region = USEast1 | APSoutheast2 | CustomRegion


@dataclass(slots=True, frozen=True)
class Regional:
    """In one region."""

    region: Region


@dataclass(slots=True, frozen=True)
class Global:
    """Anywhere."""


Placement = Regional | Global


@dataclass(slots=True)
class TableInfo:
    """A table of a listing."""

    name: str
    column_count: U32


@dataclass(slots=True)
class ColumnInfo:
    """A column of a table, with its declared type."""

    name: str
    data_type: str
    nullable: bool
    primary_key: bool


@dataclass(slots=True)
class IndexInfo:
    """An index of a table."""

    name: str
    columns: list[str]


@dataclass(slots=True)
class TenantInfo:
    """A tenant of a listing."""

    tenant_id: U64
    name: str | None
    table_count: U32
    created_at_nanos: U64 | None


@dataclass(slots=True)
class ApiKeyInfo:
    """An API key without its secret."""

    key_id: str
    subject: str
    tenant_id: U64
    roles: list[str]
    expires_at_nanos: U64 | None


@dataclass(slots=True)
class ConsentBasis:
    """The legal basis of a consent."""

    article: GdprArticle
    justification: str | None


@dataclass(slots=True)
class ConsentRecord:
    """A consent that was given."""

    consent_id: str
    subject_id: str
    purpose: ConsentPurpose
    scope: ConsentScope
    granted_at_nanos: U64
    withdrawn_at_nanos: U64 | None
    expires_at_nanos: U64 | None
    notes: str | None
    basis: ConsentBasis | None
    terms_version: str | None
    accepted: bool


@dataclass(slots=True)
class ErasureAuditInfo:
    """An erasure that was done."""

    request_id: str
    subject_id: str
    requested_at_nanos: U64
    completed_at_nanos: U64
    records_erased: U64
    streams_affected: list[U64]
    erasure_proof_hex: str | None


@dataclass(slots=True)
class AuditEventInfo:
    """An entry of the audit log."""

    event_id: str
    timestamp_nanos: U64
    action: str
    subject_id: str | None
    actor: str | None
    tenant_id: U64 | None
    ip_address: str | None
    correlation_id: str | None
    request_id: str | None
    reason: str | None
    source_country: str | None
    changed_field_names: list[str]


@dataclass(slots=True)
class MaskRedact:
    """Replaces text that matches this pattern: SSN, PHONE, EMAIL, CC, CUSTOM."""

    pattern: str
    replacement: str | None


@dataclass(slots=True)
class MaskHash:
    """Shows a hash."""


@dataclass(slots=True)
class MaskTokenize:
    """Shows a token."""


@dataclass(slots=True)
class MaskTruncate:
    """Shows the beginning."""

    max_chars: U64


@dataclass(slots=True)
class MaskNull:
    """Shows nothing."""


MaskingStrategy = MaskRedact | MaskHash | MaskTokenize | MaskTruncate | MaskNull


@dataclass(slots=True)
class MaskingPolicyInfo:
    """A masking policy."""

    name: str
    strategy: MaskingStrategy
    exempt_roles: list[str]
    default_masked: bool
    attachment_count: U32


@dataclass(slots=True)
class MaskingAttachmentInfo:
    """The column that a policy masks."""

    table_name: str
    column_name: str
    policy_name: str
