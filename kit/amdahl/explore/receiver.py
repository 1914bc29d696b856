"""A small receiver for webhook deliveries, on loopback only. It verifies each delivery over its raw bytes and lists it.

It runs on the background loop, so deliveries arrive while cells run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

import h11

from ...core import loop
from ...core.errors import SetupError
from ...core.html import table, text
from ...core.secrets import Secret
from ..client.webhooks import SIGNATURE_HEADERS, verify_webhook_signature
from ..errors import AmdahlInputError

if TYPE_CHECKING:
    import pandas as pd

    from ...live.view import LiveView
    from .feeding import DeliverySource

HOST = "127.0.0.1"
MAX_BODY = 4 * 1024 * 1024
KEPT = 10_000
KEPT_BYTES = 256 * 1024 * 1024
REFUSED_KEPT = 100
REFUSED_HEAD = 200
"""Bytes of the body of a refused delivery that are kept."""
_UNDER_WAY = 64 * 1024 * 1024
"""Bytes of bodies that are read at the same time, for all senders together."""
_LINGER = 256 * 1024
_IDLE = 60.0
_CONNECTIONS = 100


class Deliveries:
    """Webhook deliveries as they arrive: `df` lists them, `wait(n)` waits for some, `close()` ends the receiver.

    `register` is called with the address and the secret; it returns the secret that deliveries are signed with and a
    function that undoes the registration. Made by `lab.amdahl.deliveries()`. A delivery without a signature, or from a
    web page, gets 401 before its body is read; one with a wrong signature gets 401 after it. Both are counted in
    `refused`, and the newest 100 are listed with the beginning of their bodies. The newest 10 000 verified deliveries
    are kept, up to 256 MB; `total` counts all.
    """

    def __init__(
        self,
        secret: str | Secret,
        port: int = 0,
        register: Callable[[str, Secret], tuple[Secret, Callable[[], None]]] | None = None,
    ) -> None:
        self._secret = Secret(secret)
        self._verified: deque[dict[str, Any]] = deque()
        self._kept_bytes = 0
        # Separate, so that forged deliveries cannot push out verified ones.
        self._forged: deque[dict[str, Any]] = deque(maxlen=REFUSED_KEPT)
        self._under_way = 0
        self._arrived = threading.Condition()
        self._on_close: Callable[[], None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._watchers: list[Callable[[], Any]] = []
        self.total = 0
        self.refused = 0
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError as error:
            sock.close()
            raise SetupError(
                f"port {port} cannot be used: {error.strerror}", hint="give port=0 for any free port"
            ) from None
        self.port: int = sock.getsockname()[1]
        self._ended: asyncio.Event | None = None
        started: Future[None] = Future()
        self._task = loop.start(self._serve, sock, started)
        started.result(10)
        if register is not None:
            try:
                self._secret, self._on_close = register(self.url, self._secret)
            except BaseException:
                self.close()
                raise

    @property
    def url(self) -> str:
        """Where deliveries are to be sent."""
        return f"http://{HOST}:{self.port}/"

    @property
    def closed(self) -> bool:
        """Whether the receiver has stopped listening."""
        return self._ended is None

    def live(self, *, where: Any = None, rows: int = 20, max_rows: int | None = None, **columns: Any) -> LiveView:
        """Return the deliveries as they arrive: a live view. `where`, or `column=value`, says which; see `kit.Feed`."""
        from ...live.view import live

        return live(self._source(), rows, where, {"max_rows": max_rows}, columns)

    def _source(self) -> DeliverySource:
        from .feeding import DeliverySource

        return DeliverySource(self)

    @contextlib.contextmanager
    def watched(self, call: Callable[[], Any]) -> Iterator[None]:
        """Call a function whenever something came, and when the receiver closes."""
        self._watchers.append(call)
        try:
            yield
        finally:
            self._watchers.remove(call)

    def rows_after(self, number: int) -> list[dict[str, Any]]:
        """Return the kept deliveries with a number above this one, in order."""
        with self._arrived:
            rows = [row for deliveries in (self._verified, self._forged) for row in deliveries if row["n"] > number]
        return sorted(rows, key=lambda row: row["n"])

    @property
    def df(self) -> pd.DataFrame:
        """The deliveries, oldest first: when, which event, whether the signature was right, and the body's fields."""
        import pyarrow as pa

        from ...core.tables.frames import TIME, from_rows

        rows = self.rows_after(-1)
        schema = pa.schema(
            [("received_at", pa.string()), ("event", pa.string()), ("verified", pa.bool_()), ("body", pa.string())]
        )
        frame = from_rows([{name: row[name] for name in schema.names} for row in rows], schema, total=self.total)
        frame["received_at"] = pa.array([row["received_ms"] for row in rows], TIME).to_pandas()
        return frame

    def wait(self, n: int = 1, timeout: float | None = 30.0) -> pd.DataFrame:
        """Return the deliveries, once there are at least `n` that were verified; `TimeoutError` when they do not
        come."""
        if n < 1:
            raise AmdahlInputError(f"n={n}: wait for at least one")
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._arrived:
            while self.total - self.refused < n:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"{self.total - self.refused} of {n} deliveries arrived within {timeout} s")
                # In short steps, so that an interrupt is noticed on every system.
                self._arrived.wait(0.2 if left is None else min(left, 0.2))
        return self.df

    def close(self) -> None:
        """Stop listening, and takes the webhook back where it was registered for this. May be called twice."""
        on_close, self._on_close = self._on_close, None
        if self._ended is not None:
            ended, self._ended = self._ended, None
            with contextlib.suppress(RuntimeError):
                loop.portal().call(ended.set)
                self._task.result(5)
            for watcher in list(self._watchers):
                watcher()
        if on_close is not None:
            on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f"at {self.url}" if self._ended is not None else "closed"
        return f"<Deliveries {state}: {self.total} came, {self.refused} refused>"

    def _repr_html_(self) -> str:
        shown = [(row["event"], "yes" if row["verified"] else "no", row["body"]) for row in self.rows_after(-1)[-10:]]
        return text(repr(self)[1:-1]) + table(("event", "verified", "body"), shown)

    async def _serve(self, sock: socket.socket, started: Future[None]) -> None:
        self._ended = ended = asyncio.Event()
        server = await asyncio.start_server(self._connection, sock=sock)
        started.set_result(None)
        try:
            await ended.wait()
        finally:
            server.close()
            for task in list(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            # A slow or silent peer is disconnected.
            async with asyncio.timeout(_IDLE):
                await self._exchanges(reader, writer)
        except (TimeoutError, OSError, h11.ProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _exchanges(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
        while http.our_state is not h11.MUST_CLOSE:
            request: h11.Request | None = None
            body = bytearray()
            try:
                while True:
                    event = http.next_event()
                    if event is h11.NEED_DATA:
                        http.receive_data(await reader.read(64 * 1024))
                    elif isinstance(event, h11.Request):
                        request = event
                        if refusal := self._refused_early(request):
                            writer.write(_answer(http, *refusal))
                            await _linger(reader, writer)
                            return
                    elif isinstance(event, h11.Data):
                        body += event.data
                        self._under_way += len(event.data)
                        if len(body) > MAX_BODY:
                            writer.write(_answer(http, 413, {"error": "too_large"}))
                            return
                        if self._under_way > _UNDER_WAY:
                            writer.write(_answer(http, 503, {"error": "busy"}))
                            return
                    elif isinstance(event, h11.EndOfMessage):
                        break
                    else:
                        return
                assert request is not None
                status, reply = self._take(request, bytes(body))
            finally:
                self._under_way -= len(body)
            writer.write(_answer(http, status, reply))
            await writer.drain()
            if http.our_state is h11.DONE and http.their_state is h11.DONE:
                http.start_next_cycle()
            else:
                return

    def _refused_early(self, request: h11.Request) -> tuple[int, dict[str, Any]] | None:
        """Return the answer to a request that cannot be a delivery, whatever its body is."""
        if request.method != b"POST":
            return 405, {"error": "method_not_allowed"}
        headers = _headers_of(request)
        # Services send no Origin; a page in the user's browser cannot omit it.
        if "origin" not in headers and any(headers.get(name) for name in SIGNATURE_HEADERS):
            return None
        self._keep(headers.get("x-webhook-event"), b"", verified=False)
        return 401, {"error": "invalid_signature"}

    def _take(self, request: h11.Request, body: bytes) -> tuple[int, dict[str, Any]]:
        headers, secret = _headers_of(request), self._secret.reveal()
        verified = any(verify_webhook_signature(body, headers.get(name), secret) for name in SIGNATURE_HEADERS)
        self._keep(headers.get("x-webhook-event") or (_event_in(body) if verified else None), body, verified)
        return (202, {"received": True}) if verified else (401, {"error": "invalid_signature"})

    def _keep(self, event: str | None, body: bytes, verified: bool) -> None:
        body_text = (body if verified else body[:REFUSED_HEAD]).decode("utf-8", "backslashreplace")
        row: dict[str, Any] = {
            "received_ms": int(time.time() * 1000),
            "received_at": None,
            "event": event if verified or event is None else event[:REFUSED_HEAD],
            "verified": verified,
            "body": body_text,
        }
        with self._arrived:
            row["n"] = self.total
            self.total += 1
            if verified:
                self._verified.append(row)
                self._kept_bytes += len(body_text)
                while len(self._verified) > KEPT or (self._kept_bytes > KEPT_BYTES and len(self._verified) > 1):
                    self._kept_bytes -= len(self._verified.popleft()["body"])
            else:
                self._forged.append(row)
                self.refused += 1
            self._arrived.notify_all()
        for watcher in list(self._watchers):
            watcher()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the answer arrive: read and drop incoming bytes for a moment before the connection is closed."""
    await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            left = _LINGER
            while left > 0 and (piece := await reader.read(64 * 1024)):
                left -= len(piece)


def _headers_of(request: h11.Request) -> dict[str, str]:
    return {bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in request.headers}


def _event_in(body: bytes) -> str | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    event = value.get("event") if isinstance(value, dict) else None
    return event if isinstance(event, str) else None


def _answer(http: h11.Connection, status: int, reply: dict[str, Any]) -> bytes:
    """Return the head and body of an answer in one piece."""
    body = json.dumps(reply).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    parts = [
        http.send(h11.Response(status_code=status, headers=headers)),
        http.send(h11.Data(data=body)),
        http.send(h11.EndOfMessage()),
    ]
    return b"".join(part for part in parts if part)
