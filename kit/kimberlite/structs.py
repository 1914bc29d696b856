"""What requests and responses are made of. The order of the fields, and of the variants of a choice, is the wire's."""

from __future__ import annotations

from dataclasses import dataclass

from .enums import (
    BreachSeverity,
    ConsentPurpose,
    ConsentScope,
    DataClass,
    ErasureExemptionBasis,
    ExportFormat,
    GdprArticle,
)
from .schema import U8, U32, U64


@dataclass(slots=True)
class Audit:
    """Who asks, and why; travels with a request into the server's audit log."""

    actor: str | None = None
    reason: str | None = None
    correlation_id: str | None = None
    idempotency_key: str | None = None


# --- where a stream lives -------------------------------------------------------------------------------------------


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


# --- tables, tenants, keys ------------------------------------------------------------------------------------------


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
    """What may be told of an API key."""

    key_id: str
    subject: str
    tenant_id: U64
    roles: list[str]
    expires_at_nanos: U64 | None


# --- consent and erasure --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ConsentBasis:
    """The ground of a consent."""

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


@dataclass(slots=True, frozen=True)
class ErasurePending:
    """Not begun."""


@dataclass(slots=True, frozen=True)
class ErasureInProgress:
    """Under way."""

    streams_remaining: U32


@dataclass(slots=True, frozen=True)
class ErasureDone:
    """All is erased."""

    erased_at_nanos: U64
    total_records: U64


@dataclass(slots=True, frozen=True)
class ErasureFailed:
    """It did not work out."""

    reason: str
    retry_at_nanos: U64


@dataclass(slots=True, frozen=True)
class ErasureExempted:
    """Nothing has to be erased."""

    basis: ErasureExemptionBasis


ErasureStatus = ErasurePending | ErasureInProgress | ErasureDone | ErasureFailed | ErasureExempted


@dataclass(slots=True)
class ErasureRequestInfo:
    """A request to erase a subject's data."""

    request_id: str
    subject_id: str
    requested_at_nanos: U64
    deadline_nanos: U64
    status: ErasureStatus
    records_erased: U64
    streams_affected: list[U64]


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


# --- audit and export -----------------------------------------------------------------------------------------------


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
class PortabilityExportInfo:
    """A subject's data, for the subject to take along."""

    export_id: str
    subject_id: str
    requester_id: str
    requested_at_nanos: U64
    completed_at_nanos: U64
    format: ExportFormat
    streams_included: list[U64]
    record_count: U64
    content_hash_hex: str
    signature_hex: str | None
    body_base64: str


# --- breaches -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class MassDataExport:
    """Much was exported."""

    records: U64
    data_classes: list[DataClass]


@dataclass(slots=True)
class UnauthorizedAccessPattern:
    """Much was denied."""

    denied_attempts: U64
    window_secs: U64


@dataclass(slots=True)
class PrivilegeEscalation:
    """Someone got another role."""

    from_role: str
    to_role: str


@dataclass(slots=True)
class AnomalousQueryVolume:
    """More queries than usual."""

    queries_per_min: U64
    baseline: U64


@dataclass(slots=True)
class UnusualAccessTime:
    """Access at an unusual hour."""

    hour: U8


@dataclass(slots=True)
class DataExfiltrationPattern:
    """Data leaves."""

    bytes_exported: U64
    data_classes: list[DataClass]


BreachIndicator = (
    MassDataExport
    | UnauthorizedAccessPattern
    | PrivilegeEscalation
    | AnomalousQueryVolume
    | UnusualAccessTime
    | DataExfiltrationPattern
)


@dataclass(slots=True, frozen=True)
class BreachDetected:
    """Seen, not looked at."""


@dataclass(slots=True, frozen=True)
class BreachUnderInvestigation:
    """Being looked at."""


@dataclass(slots=True, frozen=True)
class BreachConfirmed:
    """It is one."""

    notification_sent_at_nanos: U64 | None


@dataclass(slots=True, frozen=True)
class BreachFalsePositive:
    """It is none."""

    dismissed_by: str
    reason: str


@dataclass(slots=True, frozen=True)
class BreachResolved:
    """Dealt with."""

    resolved_at_nanos: U64
    remediation: str


BreachStatus = BreachDetected | BreachUnderInvestigation | BreachConfirmed | BreachFalsePositive | BreachResolved


@dataclass(slots=True)
class BreachEventInfo:
    """A breach, or what looked like one."""

    event_id: str
    detected_at_nanos: U64
    indicator: BreachIndicator
    severity: BreachSeverity
    affected_subjects: U64 | None
    affected_data_classes: list[DataClass]
    notification_deadline_nanos: U64
    status: BreachStatus


@dataclass(slots=True)
class BreachReportInfo:
    """What is known of a breach."""

    event: BreachEventInfo
    timeline: list[str]
    affected_subject_count: U64
    data_categories: list[DataClass]
    remediation_steps: list[str]
    notification_status: str


# --- masking --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class MaskRedact:
    """Replaces what has this pattern: SSN, PHONE, EMAIL, CC, CUSTOM."""

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
