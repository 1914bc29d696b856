"""Reading: where a read starts, its limits, and single requests."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from ....s2.errors import ReadUnwrittenError
from ....s2.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_U32, MAX_U64, MAX_UNARY_WAIT
from ....s2.wire.fields import dumps
from ....s2.wire.frames import CONTENT_TYPE
from ....s2.wire.json_messages import batch_json, position_json
from ....s2.wire.messages import read_batch_of
from ..data_plane import DataPlane
from ..http.answers import JSON, answer_json, answer_packed, refusal
from ..http.call import Call, mime
from .appends import PROTOBUF
from .cursor import Cursor, Limits, first_at
from .sessions import Events, Frames, Session
from .stream import Stream

_DIGITS = re.compile(r"[0-9]{1,20}")


@dataclass(slots=True)
class Plan:
    """The parsed request of a read."""

    seq_num: int | None
    timestamp: int | None
    tail_offset: int
    clamp: bool
    limits: Limits
    bounded: bool
    """Whether the read ends at the tail, unless it waits there."""
    wait: int | None

    @property
    def follows(self) -> bool:
        return not self.bounded or bool(self.wait)


async def tail(data_plane: DataPlane, call: Call) -> None:
    """Serve `GET /v1/streams/{stream}/records/tail`."""
    call.permit("check-tail", basin=call.basin, stream=call.stream)
    stream = await data_plane.stream(call, call.basin, call.stream, "read")
    await answer_json(call.exchange, {"tail": position_json(stream.tail)})


async def read(data_plane: DataPlane, call: Call) -> None:
    """Serve `GET /v1/streams/{stream}/records`."""
    headers = call.exchange.headers
    as_base64 = data_plane.as_base64(call)
    plan = _plan(call)
    accept = mime(headers.get("accept", ""))
    session: Frames | Events | None = None
    if mime(headers.get("content-type", "")) == CONTENT_TYPE:
        session = Frames(headers.get("accept-encoding", ""))
    elif accept == "text/event-stream":
        session = Events(as_base64, *_resumed(plan, headers.get("last-event-id")))
    basin, name = call.basin, call.stream
    data_plane.key_header(call)
    call.permit("read", basin=basin, stream=name)
    stream = await data_plane.stream(call, basin, name, "read")
    key = data_plane.key(call, stream)
    if session is None:
        # A single answer is always bounded, in size and in waiting time.
        plan.bounded = True
        plan.limits.count = min(plan.limits.count, MAX_BATCH_RECORDS)
        plan.limits.size = min(plan.limits.size, MAX_BATCH_BYTES)
    cursor = _cursor(data_plane, stream, plan, key)
    if session is not None:
        await Session(data_plane, call.exchange, stream, cursor, session, plan.wait, not plan.bounded).run()
        return
    data = await _unary(data_plane, stream, cursor, min(plan.wait or 0, MAX_UNARY_WAIT))
    if accept in PROTOBUF:
        await answer_packed(call.exchange, 200, {"content-type": PROTOBUF[0]}, data)
    else:
        body = dumps(batch_json(read_batch_of(data), as_base64=as_base64))
        await answer_packed(call.exchange, 200, JSON, body)


async def _unary(data_plane: DataPlane, stream: Stream, cursor: Cursor, wait: int) -> bytes:
    """Return the records of one batch, after waiting for some if there are none."""
    news = asyncio.Event()
    stream.watchers[news] = None
    try:
        async with asyncio.timeout(wait) if wait else asyncio.timeout(None):
            while True:
                batch = cursor.next(whole=True)
                if batch is not None:
                    data_plane.usage.count("read", stream.basin, stream.name)
                    data_plane.usage.count("read-bytes", stream.basin, stream.name, batch.size)
                    return batch.data
                if cursor.done or not wait:
                    return b""
                if stream.deleted:
                    raise stream.gone()
                await news.wait()
                news.clear()
    except TimeoutError:
        return b""
    finally:
        stream.watchers.pop(news, None)


def _plan(call: Call) -> Plan:
    seq_num, timestamp, tail_offset = (call.number(name) for name in ("seq_num", "timestamp", "tail_offset"))
    count, size, until = (call.number(name) for name in ("count", "bytes", "until"))
    wait = call.number("wait", MAX_U32)
    clamp = call.query.get("clamp", "false")
    if clamp not in ("true", "false"):
        raise refusal(
            "bad_query", "Failed to deserialize query string: clamp: provided string was not `true` or `false`"
        )
    if sum(start is not None for start in (seq_num, timestamp, tail_offset)) > 1:
        raise refusal("invalid", "only one of seq_num, timestamp, or tail_offset can be provided")
    if timestamp is not None and until is not None and timestamp >= until:
        raise refusal("invalid", "start `timestamp` exceeds or equal to `until`")
    limits = Limits(
        MAX_U64 if count is None else count,
        MAX_U64 if size is None else size,
        MAX_U64 + 1 if until is None else until,
    )
    bounded = any(bound is not None for bound in (count, size, until))
    return Plan(seq_num, timestamp, tail_offset or 0, clamp == "true", limits, bounded, wait)


def _resumed(plan: Plan, header: str | None) -> tuple[int, int]:
    """Continue after the last event that a client has received, given the number and metered bytes of its records."""
    if header is None:
        return 0, 0
    parts = header.split(",")
    if len(parts) != 3 or not all(_DIGITS.fullmatch(part) and int(part) <= MAX_U64 for part in parts):
        raise refusal("bad_header", "Invalid header `last-event-id`: expected seq_num,count,bytes")
    last, count, size = map(int, parts)
    plan.seq_num, plan.timestamp, plan.tail_offset = last + 1, None, 0
    if plan.limits.count < MAX_U64:
        plan.limits.count = max(0, plan.limits.count - count)
    if plan.limits.size < MAX_U64:
        plan.limits.size = max(0, plan.limits.size - size)
    return count, size


def _cursor(data_plane: DataPlane, stream: Stream, plan: Plan, key: bytes | None) -> Cursor:
    """Return where the read starts; refuse a start beyond the tail."""
    tail = stream.tail
    beyond = False
    if plan.seq_num is not None:
        at = plan.seq_num
        beyond = at > tail.seq_num
    elif plan.timestamp is not None:
        at, beyond = _at_time(data_plane, stream, plan.timestamp)
    else:
        at = max(0, tail.seq_num - plan.tail_offset)
    if beyond and plan.clamp:
        at, beyond = tail.seq_num, False
    if not plan.limits.count or not plan.limits.size:
        # A limit of zero is answered at once, wherever the read would begin.
        cursor = Cursor(data_plane.chunk_cache, stream, at, plan.limits, key)
        cursor.done = True
        return cursor
    if beyond or (at >= tail.seq_num and not plan.follows):
        raise ReadUnwrittenError("unknown", "", 416, tail)
    return Cursor(data_plane.chunk_cache, stream, at, plan.limits, key)


def _at_time(data_plane: DataPlane, stream: Stream, timestamp: int) -> tuple[int, bool]:
    """Return the position of the first record of this time or later, and whether there is none."""
    if timestamp > stream.tail.timestamp:
        return stream.tail.seq_num, True
    chunk = data_plane.chunk_cache.since(stream.id, timestamp)
    if chunk is None:
        return stream.tail.seq_num, False
    return min(first_at(chunk.data, timestamp), stream.tail.seq_num), False
