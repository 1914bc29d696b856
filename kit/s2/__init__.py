"""S2, durable streams: records with sequence numbers, appended and read as they come.

from kit.s2 import AppendInput, Record, SeqNum
"""

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

__all__ = [
    "AccessTokenInfo",
    "AccessTokenScope",
    "AccountMetricSet",
    "Accumulation",
    "AppendAck",
    "AppendConditionError",
    "AppendInput",
    "AppendRetryPolicy",
    "BasinConfig",
    "BasinInfo",
    "BasinMetricSet",
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
    "ReadBatch",
    "ReadLimit",
    "ReadUnwrittenError",
    "Record",
    "Retry",
    "S2ClientError",
    "S2Error",
    "S2ServerError",
    "Scalar",
    "SeqNum",
    "SeqNumMismatchError",
    "SequencedRecord",
    "StorageClass",
    "StreamConfig",
    "StreamInfo",
    "StreamMetricSet",
    "StreamPosition",
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

for _name in __all__:
    # Tracebacks and help show the name that can be imported.
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = __name__
del _name
