"""The WebSockets: topics, watched keys, a queue's messages, a room's events.

The service itself is expected to answer all of them with status 500; here they work. A subscriber that is too slow is
disconnected here, where the service stops sending.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from ...common.faults import Receive, Send
from ..data.topics import Published, Subscriber
from ..refusal import Refusal
from ..server_state import WATCH, ServerState
from . import inputs

_TICK = 0.1
"""Seconds between two checks of a queue or a room, as in the service."""
_EVENTS = 100


async def serve(state: ServerState, scope: Any, receive: Receive, send: Send, known: bool) -> None:
    """Serve one WebSocket, from its first request to its end."""
    first = await receive()
    if first["type"] != "websocket.connect":
        return
    if not known:
        return await _refuse(send, 401)
    rule = state.faults.take("synap", "GET", scope["path"])
    if rule is not None:
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
        else:
            return await _refuse(send, int(rule.kind) if rule.kind.isdigit() else 500)
    try:
        parts = inputs.parts_of(scope["raw_path"].decode("latin-1"))
    except Refusal as refusal:
        return await _refuse(send, refusal.status, refusal.text.encode())
    query = parse_qs(scope["query_string"].decode("latin-1"))
    socket = _Socket(send)
    serving: Callable[[], Awaitable[None]]
    match parts:
        case ["pubsub", "ws"] | ["kv", "ws"]:
            name = "topics" if parts[0] == "pubsub" else "keys"
            names = [one.strip() for one in ",".join(query.get(name, [])).split(",") if one.strip()]
            if not names:
                return await _refuse(send, 400, f"{name} query parameter is required".encode())
            serving = _Topics(state, socket, names, watch=parts[0] == "kv").run
        case ["queue", queue, "ws", consumer]:
            worker = _Queue(state, socket, queue, consumer)
            serving = worker.run
            socket.heard = worker.heard
        case ["stream", room, "ws", subscriber]:
            offset = query.get("from_offset", ["0"])[0]
            serving = _Room(state, socket, room, subscriber, int(offset) if offset.isdecimal() else 0).run
        case _:
            return await _refuse(send, 404)
    await send({"type": "websocket.accept"})
    number = str(id(socket))
    state.sockets[number] = {"id": number, "path": scope["path"], "connected_at": int(time.time())}
    running = asyncio.ensure_future(serving())
    listening = asyncio.ensure_future(_listen(receive, socket))
    try:
        await asyncio.wait([running, listening], return_when=asyncio.FIRST_COMPLETED)
    finally:
        state.sockets.pop(number, None)
        for task in (running, listening):
            task.cancel()
        await asyncio.gather(running, listening, return_exceptions=True)
    if not socket.gone:
        await send({"type": "websocket.close", "code": 1000})


async def _refuse(send: Send, status: int, body: bytes = b"") -> None:
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


class _Socket:
    """A WebSocket with frames of JSON."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.gone = False
        self.heard: Callable[[str], None] = lambda text: None

    async def tell(self, message: str) -> None:
        await self._send({"type": "websocket.send", "text": message})


async def _listen(receive: Receive, socket: _Socket) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            socket.gone = True
            return
        if message.get("text"):
            socket.heard(message["text"])


class _Topics:
    def __init__(self, state: ServerState, socket: _Socket, topics: list[str], *, watch: bool) -> None:
        self._state, self._socket, self._watch = state, socket, watch
        self._patterns = [WATCH["value"] + topic for topic in topics] if watch else topics
        self._news = asyncio.Event()
        self._slow = False

    async def run(self) -> None:
        try:
            subscriber = self._state.topics.subscribe(self._patterns, self._news.set, self._dropped)
        except Refusal as refusal:
            return await self._socket.tell(json.dumps({"error": refusal.text}))
        self._state.watchers["value"] += self._watch
        try:
            greeting = {
                "type": "connected",
                "subscriber_id": subscriber.id,
                "topics": subscriber.patterns,
                "subscription_count": len(subscriber.patterns),
            }
            await self._socket.tell(json.dumps(greeting))
            while not self._slow:
                await self._news.wait()
                self._news.clear()
                await self._drain(subscriber)
        finally:
            self._state.topics.unsubscribe(subscriber.id)
            self._state.watchers["value"] -= self._watch

    async def _drain(self, subscriber: Subscriber) -> None:
        while subscriber.waiting:
            await self._socket.tell(_message(subscriber.waiting.popleft()))

    def _dropped(self) -> None:
        self._slow = True
        self._news.set()


def _message(message: Published) -> str:
    return (
        f'{{"type":"message","message_id":"{message.id}","topic":{json.dumps(message.topic)},'
        f'"payload":{message.text},"metadata":{json.dumps(message.metadata)},"timestamp":{message.timestamp}}}'
    )


class _Queue:
    def __init__(self, state: ServerState, socket: _Socket, queue: str, consumer: str) -> None:
        self._state, self._socket, self._queue, self._consumer = state, socket, queue, consumer

    async def run(self) -> None:
        try:
            self._state.queues.get(self._queue)
        except Refusal as refusal:
            return await self._socket.tell(json.dumps({"type": "error", "error": refusal.text}))
        greeting = {"type": "connected", "queue": self._queue, "consumer_id": self._consumer}
        await self._socket.tell(json.dumps(greeting))
        while True:
            await asyncio.sleep(_TICK)
            taken = self._state.queues.consume(self._queue, self._consumer)
            if taken is None:
                continue
            if not await self._state.journal.stands():
                continue
            message = {
                "type": "message",
                "message_id": taken.id,
                "payload": list(taken.payload),
                "priority": taken.priority,
                "retry_count": taken.retries,
                "created_at": taken.created,
                "headers": {},
            }
            await self._socket.tell(json.dumps(message))

    def heard(self, text: str) -> None:
        """Handle an `ack` or a `nack`; like the service, ignore wrong ones."""
        try:
            fields = json.loads(text)
            identity = fields["message_id"]
            if fields["command"] == "ack":
                self._state.queues.ack(self._queue, identity)
            elif fields["command"] == "nack":
                self._state.queues.nack(self._queue, identity, fields.get("requeue") is not False)
        except (ValueError, KeyError, TypeError, RecursionError, Refusal):
            pass


class _Room:
    def __init__(self, state: ServerState, socket: _Socket, room: str, subscriber: str, offset: int) -> None:
        self._state, self._socket, self._room, self._subscriber, self._at = state, socket, room, subscriber, offset

    async def run(self) -> None:
        greeting = {
            "type": "connected",
            "room": self._room,
            "subscriber_id": self._subscriber,
            "from_offset": self._at,
        }
        await self._socket.tell(json.dumps(greeting))
        while True:
            try:
                room, begin, stop = self._state.rooms.read(self._room, self._subscriber, self._at, _EVENTS)
            except Refusal as refusal:
                return await self._socket.tell(json.dumps({"type": "error", "error": refusal.text}))
            events = room.events[begin:stop]
            if not await self._state.journal.stands():
                continue  # some of these may not have been published
            for _, event, data, stamp in events:
                try:
                    shown = inputs.as_stored(data)
                except (ValueError, RecursionError):
                    shown = None
                message = {"type": "event", "offset": self._at, "event": event, "data": shown, "timestamp": stamp}
                self._at += 1
                await self._socket.tell(json.dumps(message))
            if not events:
                await asyncio.sleep(_TICK)
