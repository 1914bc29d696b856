"""The enums of the protocol; a member's value is its number on the wire."""

from __future__ import annotations

from enum import IntEnum


class DataClass(IntEnum):
    """How sensitive a stream's events are. The official Python package numbers the members differently."""

    PHI = 0
    DEIDENTIFIED = 1
    PII = 2
    SENSITIVE = 3
    PCI = 4
    FINANCIAL = 5
    CONFIDENTIAL = 6
    PUBLIC = 7


class ClusterMode(IntEnum):
    """Whether a server stands alone or is part of a cluster."""

    STANDALONE = 0
    CLUSTERED = 1


class ConsentPurpose(IntEnum):
    """The purpose of a consent."""

    MARKETING = 0
    ANALYTICS = 1
    CONTRACTUAL = 2
    LEGAL_OBLIGATION = 3
    VITAL_INTERESTS = 4
    PUBLIC_TASK = 5
    RESEARCH = 6
    SECURITY = 7
    TREATMENT = 8
    PAYMENT = 9
    OPERATIONS = 10
    PUBLIC_HEALTH = 11
    EMERGENCY = 12


class ConsentScope(IntEnum):
    """The scope of a consent."""

    ALL_DATA = 0
    CONTACT_INFO = 1
    ANALYTICS_ONLY = 2
    CONTRACTUAL_NECESSITY = 3


class GdprArticle(IntEnum):
    """The legal basis for processing data."""

    CONSENT = 0
    CONTRACT = 1
    LEGAL_OBLIGATION = 2
    VITAL_INTERESTS = 3
    PUBLIC_TASK = 4
    LEGITIMATE_INTERESTS = 5


class CloseReason(IntEnum):
    """Why a subscription ended."""

    CLIENT_CANCELLED = 0
    SERVER_SHUTDOWN = 1
    STREAM_DELETED = 2
    BACKPRESSURE_TIMEOUT = 3
    PROTOCOL_ERROR = 4
