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
from .client.endpoints import Endpoints
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
from .errors import (
    AppendConditionError,
    FencingTokenMismatchError,
    ReadUnwrittenError,
    S2ClientError,
    S2Error,
    S2ServerError,
    SeqNumMismatchError,
)
from .positions import SeqNum, StreamPosition, TailOffset, Timestamp
from .settings import AppendRetryPolicy, Batching, Compression, Retry, Timeout
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
from .wire.metrics import (
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
from .wire.tokens import (
    AccessTokenInfo,
    AccessTokenScope,
    ExactMatch,
    Operation,
    OperationGroupPermissions,
    Permission,
    PrefixMatch,
)

if TYPE_CHECKING:
    from .client.basin import S2Basin, SyncS2Basin
    from .client.client import S2, SyncS2
    from .client.sessions.append_engine import BatchSubmitTicket
    from .client.sessions.append_session import AppendSession
    from .client.sessions.batching import append_inputs, append_record_batches
    from .client.sessions.producer import Producer, RecordSubmitTicket
    from .client.sessions.read_session import ReadSession, SyncReadSession
    from .client.sessions.sync_sessions import (
        SyncAppendSession,
        SyncBatchSubmitTicket,
        SyncProducer,
        SyncRecordSubmitTicket,
    )
    from .client.stream import S2Stream, SyncS2Stream

# The client loads on first use: the transport is most of the import's cost.
_WHERE = {
    "AppendSession": "client.sessions.append_session",
    "BatchSubmitTicket": "client.sessions.append_engine",
    "Producer": "client.sessions.producer",
    "ReadSession": "client.sessions.read_session",
    "RecordSubmitTicket": "client.sessions.producer",
    "S2": "client.client",
    "S2Basin": "client.basin",
    "S2Stream": "client.stream",
    "SyncAppendSession": "client.sessions.sync_sessions",
    "SyncBatchSubmitTicket": "client.sessions.sync_sessions",
    "SyncProducer": "client.sessions.sync_sessions",
    "SyncReadSession": "client.sessions.read_session",
    "SyncRecordSubmitTicket": "client.sessions.sync_sessions",
    "SyncS2": "client.client",
    "SyncS2Basin": "client.basin",
    "SyncS2Stream": "client.stream",
    "append_inputs": "client.sessions.batching",
    "append_record_batches": "client.sessions.batching",
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
