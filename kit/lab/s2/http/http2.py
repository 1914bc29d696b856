"""HTTP/2 in clear text, with prior knowledge, on one connection."""

from __future__ import annotations

import asyncio
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.frame_buffer
import h2.settings

from .exchange import App, Exchange, Gone, Headers

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAM_WINDOW = 16 * 1024 * 1024
CONNECTION_WINDOW = 64 * 1024 * 1024
"""Far above a stream's window: a session whose input is not read must not block the others."""
MAX_FRAME = 256 * 1024
MAX_STREAMS = 250
MAX_HEADERS = 64 * 1024
MAX_BACKLOG = 64 * 1024 * 1024
"""Bytes written and not read by the client; a client that sends pings or settings and never reads is stopped by it."""
_QUANTUM = 256 * 1024
"""Bytes that one stream sends before another gets its turn."""

_Codes = h2.settings.SettingCodes
_SETTINGS = {
    _Codes.ENABLE_PUSH: 0,
    _Codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    _Codes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
    _Codes.MAX_FRAME_SIZE: MAX_FRAME,
    _Codes.MAX_HEADER_LIST_SIZE: MAX_HEADERS,
}


class Http2:
    """The server's side of a connection."""

    def __init__(self, transport: Any, app: App) -> None:
        self.transport = transport
        self._app = app
        self._h2 = _connection()
        self._streams: dict[int, _Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.writable = asyncio.Event()
        self.writable.set()
        self.flush()

    def received(self, data: bytes) -> None:
        """Take bytes that arrived."""
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()  # it contains the GOAWAY with the reason
            self.transport.close()
            return
        for event in events:
            self._happened(event)
        self.flush()
        # The library checks a frame's length only once it is complete; a frame that is too long is refused early.
        buffered = self._h2.incoming_buffer._data  # noqa: SLF001 - told nowhere else before the frame is whole
        if len(buffered) >= 3 and int.from_bytes(buffered[:3], "big") > MAX_FRAME:
            self._h2.close_connection(h2.errors.ErrorCodes.FRAME_SIZE_ERROR)
            self.flush()
            self.transport.close()
        if self.transport.get_write_buffer_size() > MAX_BACKLOG:
            self.transport.abort()

    def lost(self) -> None:
        """Note that the connection is gone."""
        for stream in list(self._streams.values()):
            stream.lost()
        for task in list(self._tasks):
            task.cancel()
        self.writable.set()

    def shut(self) -> list[asyncio.Task[None]]:
        """Send GOAWAY and end all exchanges; return the tasks that are still running."""
        try:
            self._h2.close_connection()
        except h2.exceptions.ProtocolError:
            pass
        self.flush()
        for task in self._tasks:
            task.cancel()
        return list(self._tasks)

    def flush(self) -> None:
        """Send what the protocol has ready."""
        data = self._h2.data_to_send()
        if data:
            self.transport.write(data)

    def _happened(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            stream = self._streams.get(event.stream_id)
            if stream is None:
                self.credit(event.stream_id, event.flow_controlled_length)
            else:
                padding = event.flow_controlled_length - len(event.data)
                if padding:
                    self.credit(event.stream_id, padding)
                if event.data:
                    stream.fed(event.data)
        elif isinstance(event, h2.events.RequestReceived):
            self._requested(event)
        elif isinstance(event, h2.events.StreamEnded):
            if event.stream_id in self._streams:
                self._streams[event.stream_id].fed_all()
        elif isinstance(event, h2.events.StreamReset):
            stream = self._streams.pop(event.stream_id, None)
            if stream is not None:
                stream.lost()
                stream.discard()
                if stream.task is not None:
                    stream.task.cancel()
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            for stream in self._streams.values():
                stream.windows.set()

    def _requested(self, event: h2.events.RequestReceived) -> None:
        headers: dict[str, str] = {}
        for name, value in event.headers:
            key, text = _text(name), _text(value)
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        method, target = headers.pop(":method", ""), headers.pop(":path", "")
        if ":authority" in headers:
            headers["host"] = headers.pop(":authority")
        stream = _Stream(self, event.stream_id, method, target, headers)
        self._streams[event.stream_id] = stream
        stream.task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._tasks.add(stream.task)
        stream.task.add_done_callback(self._tasks.discard)

    async def _serve(self, stream: _Stream) -> None:
        try:
            await self._app(stream)
        except Gone:
            pass
        finally:
            stream.discard()
            if stream.finished or stream.gone:
                self._streams.pop(stream.id, None)
            elif not self.transport.is_closing():
                stream.abort()

    def credit(self, id: int, size: int) -> None:
        """Let the client send as much again."""
        try:
            self._h2.acknowledge_received_data(size, id)
        except h2.exceptions.ProtocolError:
            return
        self.flush()

    def head(self, id: int, fields: list[tuple[str, str]]) -> None:
        self._guarded(self._h2.send_headers, id, fields)

    def end(self, id: int) -> None:
        self._guarded(self._h2.end_stream, id)
        self.flush()

    def reset(self, id: int) -> None:
        self._streams.pop(id, None)
        try:
            self._h2.reset_stream(id, h2.errors.ErrorCodes.INTERNAL_ERROR)
        except h2.exceptions.ProtocolError:
            return
        self.flush()

    def room(self, id: int) -> int:
        """Return how much the client lets this stream send."""
        window: int = self._guarded(self._h2.local_flow_control_window, id)
        return window

    def data(self, id: int, view: memoryview) -> None:
        """Send what there is room for."""
        step = self._h2.max_outbound_frame_size
        for at in range(0, len(view), step):
            self._guarded(self._h2.send_data, id, view[at : at + step])

    def _guarded(self, call: Any, *args: Any) -> Any:
        try:
            return call(*args)
        except h2.exceptions.ProtocolError as error:
            raise Gone from error


class _Stream(Exchange):
    def __init__(self, connection: Http2, id: int, method: str, target: str, headers: Headers) -> None:
        super().__init__(method, target, headers, connection.transport)
        self._connection = connection
        self.id = id
        self.task: asyncio.Task[None] | None = None
        self.windows = asyncio.Event()
        self._read = 0

    async def send_uncut(self, data: bytes) -> None:
        view, at = memoryview(data), 0
        while at < len(view):
            await self._connection.writable.wait()
            if self.gone:
                raise Gone
            room = self._connection.room(self.id)
            if room <= 0:
                self._connection.flush()
                self.windows.clear()
                await self.windows.wait()
                continue
            step = min(room, _QUANTUM, len(view) - at)
            self._connection.data(self.id, view[at : at + step])
            at += step
            if step >= _QUANTUM // 4:
                self._connection.flush()
                await asyncio.sleep(0)
        if not self._connection.transport.is_closing():
            self._connection.flush()

    def push(self) -> None:
        self._connection.flush()
        self.transport.flush()

    def abort(self) -> None:
        self.finished = True
        self._connection.reset(self.id)

    def lost(self) -> None:
        super().lost()
        self.windows.set()

    def _taken(self, size: int) -> None:
        self._read += size
        # Credit is given in larger amounts, as each grant is a frame.
        if self._read >= STREAM_WINDOW // 16 or self._all_read or self.finished or self.gone:
            size, self._read = self._read, 0
            self._connection.credit(self.id, size)

    def _wants_more(self) -> None:
        """Do nothing: the client sends without being asked."""

    def _send_head(self, status: int, headers: Headers, length: int | None) -> None:
        fields = [(":status", str(status)), *headers.items()]
        if length is not None and status != 204:
            fields.append(("content-length", str(length)))
        self._connection.head(self.id, fields)
        if length is None:
            self._connection.flush()

    def _send_end(self) -> None:
        self._connection.end(self.id)


class _Buffer(h2.frame_buffer.FrameBuffer):
    """Frames without a description: the library formats each frame for its log, in hex, although nothing is logged."""

    def __next__(self) -> Any:
        frame = super().__next__()
        frame.__dict__["_body_repr"] = str
        return frame


def _connection() -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(client_side=False, header_encoding=None)
    connection = h2.connection.H2Connection(config)
    connection.incoming_buffer = _Buffer(server=True)
    connection.local_settings = h2.settings.Settings(client=False, initial_values=_SETTINGS)
    connection.max_inbound_frame_size = MAX_FRAME
    connection.decoder.max_header_list_size = MAX_HEADERS
    connection.initiate_connection()
    connection.increment_flow_control_window(CONNECTION_WINDOW - 65535)
    return connection


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
