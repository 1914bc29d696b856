"""An S2 stream behind HTTP/2 that does as a script says: append, stay silent, break off at any point.

    with H2Server() as server: ...                     a stream that works
    with H2Server(script) as server: ...               `async def script(exchange)` for each request
    with Cutter(server.port) as cutter: ...            a way to a server that is cut after so many bytes

It runs in a thread of its own, so clients of both colours can be tested against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hyperframe.frame

from kit.s2.errors import FencingTokenMismatchError, S2ServerError, SeqNumMismatchError
from kit.s2.positions import StreamPosition
from kit.s2.types import AppendAck, AppendInput, Record
from kit.s2.wire.frames import FrameReader, encode_frame, encode_terminal
from kit.s2.wire.json_messages import error_json
from kit.s2.wire.messages import encode_ack, input_of


class Log:
    """What a stream holds, and the rules by which it takes more."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.fencing_token = ""

    def append(self, inp: AppendInput) -> AppendAck:
        if inp.fencing_token is not None and inp.fencing_token != self.fencing_token:
            raise FencingTokenMismatchError("unknown", "fenced", 412, self.fencing_token)
        if inp.match_seq_num is not None and inp.match_seq_num != len(self.records):
            raise SeqNumMismatchError("unknown", "moved on", 412, len(self.records))
        start = len(self.records)
        self.records += inp.records
        return ack_of(start, len(self.records))

    @property
    def bodies(self) -> list[bytes]:
        return [record.body for record in self.records]


def ack_of(start: int, end: int) -> AppendAck:
    return AppendAck(StreamPosition(start, 1), StreamPosition(end, 1), StreamPosition(end, 1))


class Exchange:
    """One request, in the hands of a script."""

    def __init__(self, server: H2Server, connection: _Connection, stream: int, headers: dict[str, str]) -> None:
        self.server = server
        self.connection = connection
        self.stream = stream
        self.headers = headers
        self.number = connection.number
        """Of the connection, from 0."""
        self.log = server.log
        self._reader = FrameReader()
        self._inputs: asyncio.Queue[AppendInput | None] = asyncio.Queue()
        self.received = 0
        self.gone = asyncio.Event()

    # --- what came ---

    async def input(self) -> AppendInput | None:
        """The next append; None where the client has ended its side."""
        return await self._inputs.get()

    # --- what goes ---

    def head(self, status: int = 200, *, end: bool = False, **headers: str) -> None:
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self._do(lambda http: http.send_headers(self.stream, [(":status", str(status)), *fields], end_stream=end))

    def data(self, data: bytes, *, end: bool = False) -> None:
        self._do(lambda http: http.send_data(self.stream, data, end_stream=end))

    def ack(self, ack: AppendAck, *, reconnect: bool = False) -> None:
        self.data(encode_frame(encode_ack(ack), reconnect=reconnect))

    def terminal(self, error: S2ServerError) -> None:
        self.data(encode_terminal(error.status_code, error_json(error)), end=True)

    def end(self) -> None:
        self._do(lambda http: http.end_stream(self.stream))

    def refuse(self, status: int, body: bytes, **headers: str) -> None:
        self.head(status, **headers)
        self.data(body, end=True)

    def reset(self, code: int = h2.errors.ErrorCodes.INTERNAL_ERROR) -> None:
        self._do(lambda http: http.reset_stream(self.stream, code))

    def goaway(self, last: int = 2**31 - 1, code: int = 0, debug: bytes = b"") -> None:
        # Written by hand: after its own GOAWAY the h2 package sends nothing more.
        frame = hyperframe.frame.GoAwayFrame(0)
        frame.last_stream_id, frame.error_code, frame.additional_data = last, code, debug
        self.connection.write(frame.serialize())

    def ping(self) -> None:
        self._do(lambda http: http.ping(b"kitkitki"))

    def raw(self, data: bytes) -> None:
        self.connection.write(data)

    def cut(self) -> None:
        self.connection.transport.abort()

    def open_window(self, size: int) -> None:
        def widen(http: Any) -> None:
            http.increment_flow_control_window(size)
            http.increment_flow_control_window(size, self.stream)

        self._do(widen)

    async def serve(self) -> None:
        """Appends as a real one does, until the client ends its side or an append fails."""
        while (inp := await self.input()) is not None:
            try:
                ack = self.log.append(inp)
            except S2ServerError as error:
                self.terminal(error)
                return
            self.ack(ack)
        self.end()

    def _do(self, action: Callable[[Any], object]) -> None:
        try:
            action(self.connection.http)
        except h2.exceptions.ProtocolError:
            return  # the client has gone
        self.connection.flush()

    def _took(self, data: bytes) -> None:
        self.received += len(data)
        for frame in self._reader.feed(data):
            self._inputs.put_nowait(input_of(frame.payload))


Script = Callable[[Exchange], Awaitable[None]]


async def working(exchange: Exchange) -> None:
    exchange.head(200, content_type="s2s/proto")
    await exchange.serve()


class _Connection(asyncio.Protocol):
    def __init__(self, server: H2Server) -> None:
        self.server = server
        self.number = server.connections
        server.connections += 1
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.local_settings = h2.settings.Settings(client=False, initial_values=server.settings)
        self.exchanges: dict[int, Exchange] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server.open_connections.add(self)
        self.http.initiate_connection()
        if not self.server.mute:
            self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.open_connections.discard(self)
        for exchange in self.exchanges.values():
            exchange.gone.set()
        for task in self.tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        if self.server.mute:
            return
        try:
            events = self.http.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            self.server.faults.append(str(error))
            self.transport.abort()
            return
        for event in events:
            self._took(event)
        self.flush()

    def _took(self, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            exchange = self.exchanges[event.stream_id] = Exchange(
                self.server, self, event.stream_id, dict(event.headers)
            )
            self.server.requests.append(exchange.headers)
            task = asyncio.get_running_loop().create_task(self.server.script(exchange))
            self.tasks.add(task)
            task.add_done_callback(self._done)
        elif isinstance(event, h2.events.DataReceived):
            if self.server.window is None:
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.exchanges[event.stream_id]._took(event.data)
        elif isinstance(event, h2.events.StreamEnded):
            self.exchanges[event.stream_id]._inputs.put_nowait(None)
        elif isinstance(event, h2.events.StreamReset):
            self.server.resets += 1
            self.exchanges[event.stream_id].gone.set()
        elif isinstance(event, h2.events.PingAckReceived):
            self.server.pongs += 1

    def _done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.server.faults.append(repr(task.exception()))

    def flush(self) -> None:
        self.write(self.http.data_to_send())

    def write(self, data: bytes) -> None:
        if data and not self.transport.is_closing():
            self.transport.write(data)


class _Threaded:
    """Something that listens, on an event loop in a thread of its own."""

    def __enter__(self) -> Any:
        started = threading.Event()

        def run() -> None:
            with asyncio.Runner() as runner:
                self.loop = runner.get_loop()
                runner.run(self._run(started))

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert started.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        assert not self._thread.is_alive()

    async def _run(self, started: threading.Event) -> None:
        self._stop = asyncio.Event()
        server = await self._listen()
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        # One that is just being accepted must not meet a server that is closed already: asyncio forgets its socket.
        await asyncio.sleep(0.02)
        server.close()
        for _ in range(200):
            await asyncio.sleep(0.01)
            self._close_all()
            # Neither has a public name; from 3.13 on it is the second.
            if not (getattr(server, "_active_count", 0) or getattr(server, "_clients", ())):
                break

    async def _listen(self) -> asyncio.Server:
        raise NotImplementedError

    def _close_all(self) -> None:
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class H2Server(_Threaded):
    def __init__(
        self,
        script: Script = working,
        *,
        window: int | None = None,
        max_streams: int = 100,
        mute: bool = False,
        tls: Any = None,
    ) -> None:
        self.script = script
        self.log = Log()
        self.window = window
        """Where given, the windows are so wide, and opened by the script alone."""
        self.settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: max_streams}
        if window is not None:
            self.settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window
        self.mute = mute
        self.tls = tls
        self.connections = 0
        self.open_connections: set[_Connection] = set()
        self.requests: list[dict[str, str]] = []
        self.faults: list[str] = []
        """What went wrong on this side; none in a good test."""
        self.resets = 0
        self.pongs = 0

    async def _listen(self) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), "127.0.0.1", 0, ssl=self.tls, backlog=200
        )

    def _close_all(self) -> None:
        for connection in list(self.open_connections):
            connection.transport.abort()

    def wait_closed(self, seconds: float = 2.0) -> bool:
        """Whether all clients are gone within this time."""
        deadline = time.monotonic() + seconds
        while self.open_connections and time.monotonic() < deadline:
            time.sleep(0.005)
        return not self.open_connections


class Cutter(_Threaded):
    """A way to a server whose connections end after so many bytes up or down, with a reset or an end.

    `plan(n)` gives the two numbers for connection n, from 0; None is for ever.
    """

    def __init__(self, port: int, plan: Callable[[int], tuple[int | None, int | None]]) -> None:
        self.target = port
        self.plan = plan
        self.connections = 0
        self.cuts = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", 0)

    def _close_all(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        up, down = self.plan(self.connections)
        self.connections += 1
        ends = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(far_writer)
            pumps = [
                asyncio.create_task(self._pump(reader, far_writer, up)),
                asyncio.create_task(self._pump(far_reader, writer, down)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except asyncio.CancelledError:
            pass
        finally:
            for one in ends:
                if self.connections % 2:
                    with contextlib.suppress(OSError):  # it is closed already
                        one.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))
                one.transport.abort()
            self._tasks.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        left = limit
        try:
            while data := await reader.read(65536):
                if left is not None:
                    data, left = data[:left], left - len(data)
                writer.write(data)
                await writer.drain()
                if left is not None and left <= 0:
                    self.cuts += 1
                    return
        except OSError:
            return
