"""A small Kimberlite in this process, which a test can have misbehave: streams, reads, subscriptions, scripted SQL."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from kit.kimberlite.wire.protocol import responses as told
from kit.kimberlite.wire.protocol.codec import FrameReader, Request, decode, encode, encode_response, requests
from kit.kimberlite.wire.protocol.messages import Push, SubscriptionClosed, SubscriptionEvents

KEY = "the-key"


class Cut(Exception):
    """The connection is to be closed here."""


class Silence(Exception):
    """No answer is to be given."""


class SmallServer:
    """Serves until closed. `hook(request)` is asked before each request; `after(request)` once it was carried out."""

    def __init__(self, *, key: str | None = None, capabilities: tuple[str, ...] = ("query",), batch: int = 7) -> None:
        self.key, self.capabilities, self.batch = key, list(capabilities), batch
        self.streams: dict[int, list[bytes]] = {}
        self.names: dict[tuple[int, str], int] = {}
        self.seen: list[Request] = []
        self.hook: Callable[[Request], Any] = lambda request: None
        self.after: Callable[[Request], Any] = lambda request: None
        self.sql: Callable[[Any], Any] = lambda query: told.Query(["one"], [(1,)])
        self.cut_after: list[int] = []
        """After so many bytes towards the client a subscription's connection breaks; one number for each."""
        self.connections: set[_Connection] = set()
        self.accepted = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self.on_loop(self._listen())
        self.port = self._server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    def on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(self, writer)
        self.connections.add(connection)
        frames = FrameReader()
        try:
            while piece := await reader.read(65536):
                for payload in frames.feed(piece):
                    connection.answer(decode(payload))
                await writer.drain()
        except (Cut, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.connections.discard(connection)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def ops(self) -> list[str]:
        return [type(request.payload).__name__ for request in self.seen]

    def cut(self) -> None:
        """Breaks every connection."""

        async def now() -> None:
            for connection in list(self.connections):
                connection.writer.transport.abort()

        self.on_loop(now())

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            for connection in list(self.connections):
                connection.writer.transport.abort()
            await asyncio.sleep(0.01)

        self.on_loop(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> SmallServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Connection:
    def __init__(self, server: SmallServer, writer: asyncio.StreamWriter) -> None:
        self.server, self.writer = server, writer
        self.subscriptions: dict[int, list[int]] = {}
        self._left: int | None = None

    def send(self, data: bytes) -> None:
        if self._left is not None:
            if self._left < len(data):
                self.writer.write(data[: self._left])
                self._left = 0
                self.writer.close()
                raise Cut
            self._left -= len(data)
        self.writer.write(data)

    def answer(self, request: Any) -> None:
        server = self.server
        server.seen.append(request)
        try:
            made = server.hook(request)
            if made is None:
                made = self.carry_out(request.tenant_id, request.payload)
                server.after(request)
        except Silence:
            return
        self.send(encode_response(request.id, made))
        for connection in list(server.connections):
            with contextlib.suppress(Cut):
                connection.pump()

    def carry_out(self, tenant: int, asked: Any) -> Any:
        server, streams = self.server, self.server.streams
        if isinstance(asked, requests.Handshake):
            if server.key is not None and asked.auth_token not in (None, server.key):
                return told.Error(3, "invalid token")
            known = server.key is None or asked.auth_token == server.key
            return told.Handshake(5, known, server.capabilities)
        if isinstance(asked, requests.CreateStream):
            if (tenant, asked.name) not in server.names:
                count = sum(packed >> 32 == tenant for packed in streams)
                server.names[tenant, asked.name] = tenant << 32 | count + 1
                streams[tenant << 32 | count + 1] = []
            return told.CreateStream(server.names[tenant, asked.name])
        if isinstance(asked, requests.GetServerInfo):
            return told.GetServerInfo("0", 5, server.capabilities, 7, told.ClusterMode.STANDALONE, 1)
        if isinstance(asked, requests.Query | requests.QueryAt):
            return server.sql(asked)
        if isinstance(asked, requests.ReadEvents):
            found, size = [], 0
            for event in streams.get(asked.stream_id, [])[asked.from_offset :]:
                if size >= asked.max_bytes:
                    break
                found.append(event)
                size += len(event)
            return told.ReadEvents(found, asked.from_offset + len(found) if found else None)
        if isinstance(asked, requests.SubscribeCredit | requests.Unsubscribe):
            if asked.subscription_id not in self.subscriptions:
                return told.Error(17, "subscription not found")
            if isinstance(asked, requests.Unsubscribe):
                del self.subscriptions[asked.subscription_id]
                return told.SubscriptionAck(asked.subscription_id, 0)
            state = self.subscriptions[asked.subscription_id]
            state[2] += asked.additional_credits
            return told.SubscriptionAck(asked.subscription_id, state[2])
        if isinstance(asked, requests.Subscribe):
            self._left = server.cut_after.pop(0) if server.cut_after else None
            number = len(server.seen)
            self.subscriptions[number] = [asked.stream_id, asked.from_offset, asked.initial_credits]
            return told.Subscribe(number, asked.from_offset, asked.initial_credits)
        if asked.stream_id not in streams:
            return told.Error(5, f"stream {asked.stream_id} not found")
        stream = streams[asked.stream_id]
        if isinstance(asked, requests.StreamInfo):
            return told.StreamInfo(len(stream))
        assert isinstance(asked, requests.AppendEvents)
        if asked.expected_offset != len(stream):
            return told.Error(
                16, f"offset mismatch for stream 1: expected {asked.expected_offset}, actual {len(stream)}"
            )
        assert len(asked.events)
        stream += list(asked.events)
        return told.AppendEvents(asked.expected_offset, len(asked.events))

    def pump(self) -> None:
        for number, state in self.subscriptions.items():
            stream, at, credits = state
            while credits and (
                events := self.server.streams.get(stream, [])[at : at + min(credits, self.server.batch)]
            ):
                state[1], state[2] = at + len(events), credits - len(events)
                self.send(encode(Push(SubscriptionEvents(number, at, events, state[2]))))
                _, at, credits = state


def closed_push(number: int, reason: Any) -> bytes:
    return encode(Push(SubscriptionClosed(number, reason)))
