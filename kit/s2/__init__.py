"""S2, durable streams: records with sequence numbers, appended and read as they come.

from kit.s2 import AppendInput, Record, SeqNum
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .batching import append_inputs, append_record_batches
from .configs import (
    BasinConfig,
    BasinInfo,
    Encryption,
    EnsuredBasinInfo,
    EnsuredStreamInfo,
    EnsureStatus,
    LocationInfo,
    StorageClass,
    StreamConfig,
    StreamInfo,
    Timestamping,
    TimestampingMode,
)
from .endpoints import Endpoints
from .errors import (
    AppendConditionError,
    FencingTokenMismatchError,
    ReadUnwrittenError,
    S2ClientError,
    S2Error,
    S2ServerError,
    SeqNumMismatchError,
)
from .limits import metered_bytes
from .metrics import (
    AccountMetricSet,
    Accumulation,
    BasinMetricSet,
    Gauge,
    Label,
    MetricUnit,
    Scalar,
    StreamMetricSet,
    TimeseriesInterval,
)
from .settings import AppendRetryPolicy, Batching, Compression, Retry, Timeout
from .tokens import (
    AccessTokenInfo,
    AccessTokenScope,
    ExactMatch,
    Operation,
    OperationGroupPermissions,
    Permission,
    PrefixMatch,
)
from .types import (
    AppendAck,
    AppendInput,
    CommandRecord,
    IndexedAppendAck,
    Page,
    ReadBatch,
    ReadLimit,
    Record,
    SeqNum,
    SequencedRecord,
    StreamPosition,
    TailOffset,
    Timestamp,
)

if TYPE_CHECKING:
    from .append_session import AppendSession, BatchSubmitTicket
    from .basin import S2Basin, SyncS2Basin
    from .blocking import SyncAppendSession, SyncBatchSubmitTicket, SyncProducer, SyncRecordSubmitTicket
    from .client import S2, SyncS2
    from .producer import Producer, RecordSubmitTicket
    from .read_session import ReadSession, SyncReadSession
    from .stream import S2Stream, SyncS2Stream

# What speaks to a service loads when it is first used: the transport costs more than all the rest.
_WHERE = {
    "AppendSession": "append_session",
    "BatchSubmitTicket": "append_session",
    "Producer": "producer",
    "ReadSession": "read_session",
    "RecordSubmitTicket": "producer",
    "S2": "client",
    "S2Basin": "basin",
    "S2Stream": "stream",
    "SyncAppendSession": "blocking",
    "SyncBatchSubmitTicket": "blocking",
    "SyncProducer": "blocking",
    "SyncReadSession": "read_session",
    "SyncRecordSubmitTicket": "blocking",
    "SyncS2": "client",
    "SyncS2Basin": "basin",
    "SyncS2Stream": "stream",
}

__all__ = [
    "S2",
    "AccessTokenInfo",
    "AccessTokenScope",
    "AccountMetricSet",
    "Accumulation",
    "AppendAck",
    "AppendConditionError",
    "AppendInput",
    "AppendRetryPolicy",
    "AppendSession",
    "BasinConfig",
    "BasinInfo",
    "BasinMetricSet",
    "BatchSubmitTicket",
    "Batching",
    "CommandRecord",
    "Compression",
    "Encryption",
    "Endpoints",
    "EnsureStatus",
    "EnsuredBasinInfo",
    "EnsuredStreamInfo",
    "ExactMatch",
    "FencingTokenMismatchError",
    "Gauge",
    "IndexedAppendAck",
    "Label",
    "LocationInfo",
    "MetricUnit",
    "Operation",
    "OperationGroupPermissions",
    "Page",
    "Permission",
    "PrefixMatch",
    "Producer",
    "ReadBatch",
    "ReadLimit",
    "ReadSession",
    "ReadUnwrittenError",
    "Record",
    "RecordSubmitTicket",
    "Retry",
    "S2Basin",
    "S2ClientError",
    "S2Error",
    "S2ServerError",
    "S2Stream",
    "Scalar",
    "SeqNum",
    "SeqNumMismatchError",
    "SequencedRecord",
    "StorageClass",
    "StreamConfig",
    "StreamInfo",
    "StreamMetricSet",
    "StreamPosition",
    "SyncAppendSession",
    "SyncBatchSubmitTicket",
    "SyncProducer",
    "SyncReadSession",
    "SyncRecordSubmitTicket",
    "SyncS2",
    "SyncS2Basin",
    "SyncS2Stream",
    "TailOffset",
    "Timeout",
    "TimeseriesInterval",
    "Timestamp",
    "Timestamping",
    "TimestampingMode",
    "append_inputs",
    "append_record_batches",
    "metered_bytes",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        import difflib

        near = difflib.get_close_matches(name, __all__, n=1)
        raise AttributeError(f"kit.s2 has no {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
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
    if _name not in _WHERE:
        _public(globals()[_name])
del _name
