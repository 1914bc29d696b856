"""S2, durable streams: records with sequence numbers, appended and followed.

>>> from kit.s2 import AppendInput, Record, SeqNum

The blocking client; `S2` has the same names, awaited:

>>> import kit
>>> from kit.s2 import CommandRecord, Endpoints, ReadLimit, SyncS2, TailOffset
>>> with kit.Lab("s2", join=False) as lab:
...     env = lab.env()
...     where = Endpoints(env["S2_ACCOUNT_ENDPOINT"], env["S2_BASIN_ENDPOINT"])
...     with SyncS2(env["S2_ACCESS_TOKEN"], endpoints=where) as client:
...         basin = client.basin(client.create_basin("docs-basin").name)  # a SyncS2Basin
...         stream = basin.stream(basin.create_stream("notes").name)  # a SyncS2Stream
...         ack = stream.append(AppendInput([Record(b"one"), Record(b"two", headers=[(b"kind", b"note")])]))
...         print(ack.start.seq_num, ack.end.seq_num, stream.check_tail().seq_num)
...
...         with stream.append_session() as session:  # a SyncAppendSession; it gives a SyncBatchSubmitTicket
...             ticket = session.submit(AppendInput([Record(b"three"), CommandRecord.fence("mine")]))
...             print(ticket.result().end.seq_num)
...         with stream.producer(fencing_token="mine") as producer:  # a SyncProducer; SyncRecordSubmitTicket
...             print(producer.submit(Record(b"four")).result().seq_num)
...
...         print([record.body for record in stream.read(start=SeqNum(0), limit=ReadLimit(count=2)).records])
...         with stream.read_session(start=TailOffset(1), wait=0) as session:  # a SyncReadSession
...             print([record.seq_num for batch in session for record in batch.records])
0 2 2
4
4
[b'one', b'two']
[4]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.lazy import names as _names
from ..core.lazy import shown as _shown
from .checks import metered_bytes
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
from .positions import SeqNum, StreamPosition, TailOffset, Timestamp
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
    SequencedRecord,
)

if TYPE_CHECKING:
    from .append_engine import BatchSubmitTicket
    from .append_session import AppendSession
    from .basin import S2Basin, SyncS2Basin
    from .batching import append_inputs, append_record_batches
    from .client import S2, SyncS2
    from .producer import Producer, RecordSubmitTicket
    from .read_session import ReadSession, SyncReadSession
    from .stream import S2Stream, SyncS2Stream
    from .sync_sessions import SyncAppendSession, SyncBatchSubmitTicket, SyncProducer, SyncRecordSubmitTicket

# The client loads on first use: the transport is most of the import's cost.
_WHERE = {
    "AppendSession": "append_session",
    "BatchSubmitTicket": "append_engine",
    "Producer": "producer",
    "ReadSession": "read_session",
    "RecordSubmitTicket": "producer",
    "S2": "client",
    "S2Basin": "basin",
    "S2Stream": "stream",
    "SyncAppendSession": "sync_sessions",
    "SyncBatchSubmitTicket": "sync_sessions",
    "SyncProducer": "sync_sessions",
    "SyncReadSession": "read_session",
    "SyncRecordSubmitTicket": "sync_sessions",
    "SyncS2": "client",
    "SyncS2Basin": "basin",
    "SyncS2Stream": "stream",
    "append_inputs": "batching",
    "append_record_batches": "batching",
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


__getattr__, __dir__ = _names(__name__, _WHERE, __all__)

for _name in __all__:
    if _name not in _WHERE:
        _shown(__name__, globals()[_name])
del _name
