"""Appending: single requests, and sessions in which acknowledgements come back while input still arrives."""

from __future__ import annotations

import asyncio
from collections import deque

from ....s2.errors import CutOff, S2ServerError, WireError
from ....s2.types import AppendAck
from ....s2.wire.fields import dumps, loads
from ....s2.wire.frames import CONTENT_TYPE, Frame, FrameReader, encode_frame, encode_terminal
from ....s2.wire.json_messages import ack_json, error_json, input_from_json
from ....s2.wire.messages import encode_ack
from ..data_plane import DataPlane
from ..http.answers import JSON, answer_packed, refusal
from ..http.call import Call, is_json, mime
from ..http.exchange import Gone
from .draft import FENCE, Draft
from .inputs import draft_of, draft_of_input
from .stream import Stream

PROTOBUF = ("application/protobuf", "application/x-protobuf")
SESSION = {"content-type": CONTENT_TYPE, "cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
MAX_UNACKED = 16 * 1024 * 1024
"""Bytes of one session that are being written to disk; beyond this its input is not read."""
_EACH = 1024
"""Bytes that an input takes beside its records, until its acknowledgement is sent."""


async def append(data_plane: DataPlane, call: Call) -> None:
    """Serve `POST /v1/streams/{stream}/records`."""
    kind = call.exchange.headers.get("content-type", "")
    if mime(kind) == CONTENT_TYPE:
        await _Session(data_plane, call).run()
    else:
        await _unary(data_plane, call, kind)


async def _unary(data_plane: DataPlane, call: Call, kind: str) -> None:
    as_base64 = data_plane.as_base64(call)
    basin, name = call.basin, call.stream
    data_plane.key_header(call)
    if mime(kind) in PROTOBUF:
        try:
            draft = draft_of(await call.raw())
        except WireError as error:
            raise refusal("bad_proto", str(error.args[0])) from None
    else:
        if not is_json(kind):
            raise WireError("Expected request with `Content-Type: application/json`")
        draft = _json_draft(await call.raw(), as_base64)
    _permit(call, draft)
    stream = await data_plane.stream(call, basin, name, "append")
    key = data_plane.key(call, stream)
    ack = await accepted(data_plane, stream, draft, key)
    if mime(call.exchange.headers.get("accept", "")) in PROTOBUF:
        await answer_packed(call.exchange, 200, {"content-type": PROTOBUF[0]}, encode_ack(ack))
    else:
        await answer_packed(call.exchange, 200, JSON, dumps(ack_json(ack)))


async def accepted(data_plane: DataPlane, stream: Stream, draft: Draft, key: bytes | None) -> AppendAck:
    """Return the acknowledgement; the state that a refusal depends on is durable before it is sent."""
    try:
        done = data_plane.log.append(stream, draft, key)
    except S2ServerError:
        await stream.settled()
        raise
    # The append continues if the client disconnects.
    return await asyncio.shield(done)


def _json_draft(body: bytes, as_base64: bool) -> Draft:
    value = loads(body)
    try:
        input = input_from_json(value, as_base64=as_base64)
    except WireError as error:
        if as_base64 and ("base64" in str(error) or "cannot be read" in str(error)):
            raise refusal("invalid", "invalid Base64 encoding") from None
        raise
    if input.fencing_token is not None and len(input.fencing_token.encode("utf-8", "replace")) > 36:
        raise WireError("fencing token must not exceed 36 bytes in length")
    return draft_of_input(input)


def _permit(call: Call, draft: Draft) -> None:
    """Check the permission; command records are operations of their own."""
    needed = {"fence" if command.kind == FENCE else "trim" for command in draft.commands}
    if len(draft.commands) < len(draft.parts):
        needed.add("append")
    for operation in sorted(needed):
        call.permit(operation, basin=call.basin, stream=call.stream)


class _Session:
    """One append session. Its acknowledgements leave in the order of its inputs."""

    def __init__(self, data_plane: DataPlane, call: Call) -> None:
        self._data_plane = data_plane
        self._call = call
        self._exchange = call.exchange
        self._unacked: deque[tuple[asyncio.Future[AppendAck], int]] = deque()
        self._size = 0
        self._news = asyncio.Event()
        """Something is to be acknowledged, or nothing will be any more."""
        self._room = asyncio.Event()
        self._ended = False
        self._failure: S2ServerError | None = None

    async def run(self) -> None:
        call = self._call
        if not call.principal.operations & {"append", "fence", "trim"}:
            call.permit("append")
        basin, name = call.basin, call.stream
        self._data_plane.key_header(call)
        for operation in sorted(call.principal.operations & {"append", "fence", "trim"}):
            call.permit(operation, basin=basin, stream=name)
        stream = await self._data_plane.stream(call, basin, name, "append")
        key = self._data_plane.key(call, stream)
        await self._exchange.start(200, SESSION)
        reading = asyncio.get_running_loop().create_task(self._read(stream, key))
        try:
            await self._answer()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, stream: Stream, key: bytes | None) -> None:
        reader = FrameReader()
        try:
            while True:
                piece = await self._exchange.piece()
                if not piece:
                    reader.finish()
                    return
                for frame in reader.feed(piece):
                    self._take(stream, key, frame)
                # Yield to other tasks and to the writing thread, as much input may have arrived already.
                await asyncio.sleep(0)
                while self._size > MAX_UNACKED:
                    self._room.clear()
                    await self._room.wait()
        except (WireError, CutOff) as error:
            self._failure = refusal("bad_frame", str(error.args[0]))
        except S2ServerError as error:
            # The state that a refusal depends on is durable before it is sent.
            await stream.settled()
            self._failure = error
        except Gone:
            pass
        except Exception as error:
            self._failure = refusal("other", f"the server failed ({type(error).__name__})")
        finally:
            self._ended = True
            self._news.set()

    def _take(self, stream: Stream, key: bytes | None, frame: Frame) -> None:
        if frame.terminal:
            raise refusal("bad_frame", "Unexpected terminal frame as input")
        draft = draft_of(frame.payload)
        _permit(self._call, draft)
        size = draft.size + _EACH
        self._unacked.append((self._data_plane.log.append(stream, draft, key), size))
        self._size += size
        self._news.set()

    async def _answer(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._unacked:
                    await self._exchange.send(await self._acks())
                if self._ended and not self._unacked:
                    break
        except S2ServerError as error:
            self._failure = error
        if self._failure is not None:
            await self._exchange.send(encode_terminal(self._failure.status_code, error_json(self._failure)))
        await self._exchange.end()

    async def _acks(self) -> bytes:
        """Return frames for the oldest input, once it is durable, and for those after it that are too."""
        frames: list[bytes] = []
        first, _ = self._unacked[0]
        if not first.done():
            await asyncio.wait([first])
        while self._unacked and self._unacked[0][0].done():
            done, size = self._unacked[0]
            if done.exception() is not None and frames:
                break
            self._unacked.popleft()
            self._size -= size
            frames.append(encode_frame(encode_ack(done.result())))
        self._room.set()
        return b"".join(frames)
