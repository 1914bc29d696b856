"""A connection of SynapRPC: answers are sent once their changes are on disk, with pushes in between."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from ....synap.errors import SynapError
from ....synap.wire.frames import MAX_FRAME, PUSH, Frames, answer, answer_packed, read_request, refusal
from ...common.faults import Rule, reset
from ..data.topics import Published, Subscriber
from ..refusal import Refusal
from ..server_state import WATCH, ServerState
from .calls import CALLS, Pieces, keys, text

BEFORE_AUTH = 64 * 1024
_OUTGOING = 1024 * 1024
_GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"


class Connection(asyncio.Protocol):
    """The connection of one client."""

    def __init__(self, state: ServerState, open_ones: set[Connection]) -> None:
        self._state = state
        self._open = open_ones
        self._frames = Frames(BEFORE_AUTH)
        self._transport: Any = None
        self._out: list[tuple[int | None, bytes]] = []
        """Answers, with the number of the request where that depends on what is on disk."""
        self._trusted = False
        self._heard = 0.0
        self._idle: asyncio.TimerHandle | None = None
        self._subscribers: dict[str, tuple[Subscriber, str]] = {}
        self._pushing = False
        self._full = self._waits = self._ending = self._cut = False
        self._bodies: deque[bytes] = deque()
        """Requests that wait for room for their answers."""
        self._due = 0
        """Bytes of the answers that wait to be sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_OUTGOING)
        self._open.add(self)
        self._state.connections += 1
        self._heard = time.monotonic()
        self._watch_idle()

    def data_received(self, data: bytes) -> None:
        self._heard = time.monotonic()
        if self._ending:
            return
        try:
            for body in self._frames.feed(data):
                self._bodies.append(body)
                # What may come behind a password depends on it.
                if not self._trusted and not self._work():
                    return
        except SynapError:
            self._ending = True
        self._work()

    def _work(self) -> bool:
        """Carry requests out, as long as their answers find room; the others wait, and the client with them.

        Return whether there may be more of them.
        """
        bodies = self._bodies
        try:
            while bodies and not self._full and self._due <= _OUTGOING:
                self._handle(bodies.popleft())
                if self._due > _OUTGOING:
                    self._answer()
        except SynapError:
            bodies.clear()
            self._ending = True
        self._answer()
        if self._ending and not bodies:
            # As in the service, a client is not told what was wrong with its frame.
            self._finish()
        waits = self._full or bool(bodies)
        if waits != self._waits and not self._transport.is_closing():
            self._waits = waits
            if waits:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()
        return not self._ending

    def _finish(self) -> None:
        """Close the connection behind the answers that are due."""
        close = self._transport.close
        asyncio.get_running_loop().call_soon(self._state.journal.when_kept, lambda error: close())

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        self._state.connections -= 1
        if self._idle is not None:
            self._idle.cancel()
        for subscriber, mode in self._subscribers.values():
            self._state.topics.unsubscribe(subscriber.id)
            if mode:
                self._state.watchers[mode] -= 1
        self._subscribers.clear()
        self._bodies.clear()

    def pause_writing(self) -> None:
        # A client that does not read answers is not read from.
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._work()
        self._push()

    def end(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _handle(self, body: bytes) -> None:
        number, command, args = read_request(body)
        if number == PUSH:
            self._owe(None, refusal(number, "ERR request id u32::MAX is reserved for server push frames"))
            return
        command = command.upper()
        rule = self._state.faults.take("synap", command, f"/rpc/{command}")
        if rule is None:
            reply = self._reply(number, command, args)
            self._out.append(reply)
            self._due += len(reply[1])
        elif rule.kind == "delay":
            asyncio.get_running_loop().call_later(rule.seconds, self._late, number, command, args)
        elif rule.kind == "drop":
            self._transport.close()
        elif rule.kind.isdigit():
            self._owe(None, refusal(number, f"Internal error: a fault was requested: status {rule.kind}"))
        else:
            self._answer()
            self._spoil(self._reply(number, command, args)[1], rule)

    def _reply(self, number: int, command: str, args: list[Any]) -> tuple[int | None, bytes]:
        state, started = self._state, time.perf_counter()
        status = "ok"
        try:
            if self._trusted and (call := CALLS.get(command)) is not None:
                value = call(state, args)
            else:
                value = self._own(command, args)
            frame = answer_packed(number, *value) if isinstance(value, Pieces) else answer(number, value)
        except Refusal as refused:
            status = "error"
            frame = refusal(number, refused.bare)
        state.calls[command if command in CALLS or command in _OWN else "unknown", status] += 1
        count, seconds = state.seconds.get(command, (0, 0.0))
        if count or command in CALLS:
            state.seconds[command] = (count + 1, seconds + time.perf_counter() - started)
        return (number if command in CALLS and command not in _LOOSE else None), frame

    def _own(self, command: str, args: list[Any]) -> Any:
        """Answer commands that concern the connection itself."""
        if command == "PING":
            return args[0] if args else "PONG"
        if command == "QUIT":
            self._bodies.clear()
            self._ending = True
            return "OK"
        if command == "AUTH":
            names = [text(args, n) for n in range(min(2, max(1, len(args))))]
            user, password = names if len(names) == 2 else ("default", names[0])
            if not self._state.access.allows_user(user, password):
                raise Refusal("WRONGPASS invalid username-password pair or user is disabled.", 401)
            self._trusted = True
            self._frames.limit = MAX_FRAME
            return "OK"
        if not self._trusted and command != "HELLO":
            raise Refusal("NOAUTH Authentication required.", 401)
        if command == "SUBSCRIBE":
            made = self._listen(keys(args), "")
            return {"subscriber_id": made.id, "subscription_count": len(made.patterns)}
        if command == "KV.WATCH":
            mode = text(args, 1) if len(args) > 1 else "value"
            if mode not in WATCH:
                raise Refusal(f"ERR unknown watch mode '{mode}'")
            made = self._listen([WATCH[mode] + text(args, 0)], mode)
            self._state.watchers[mode] += 1
            return {"subscriber_id": made.id, "channel": made.patterns[0], "mode": mode}
        raise Refusal(f"ERR unknown command '{command[:80]}'")

    def _late(self, number: int, command: str, args: list[Any]) -> None:
        if not self._transport.is_closing():
            self._owe(*self._reply(number, command, args))
            self._work()

    def _owe(self, number: int | None, frame: bytes) -> None:
        self._out.append((number, frame))
        self._due += len(frame)

    def _answer(self) -> None:
        """Send the collected answers when all changes are on disk."""
        out, self._out = self._out, []
        if not out or self._cut:
            return
        if self._state.journal.clean:
            self._due = 0
            self._transport.write(b"".join([frame for _, frame in out]))
        else:
            self._state.journal.when_kept(lambda error: self._kept(out, error))

    def _kept(self, out: list[tuple[int | None, bytes]], error: Exception | None) -> None:
        self._due -= sum([len(frame) for _, frame in out])
        if self._transport.is_closing() or self._cut:
            return
        frames = [frame if error is None or n is None else refusal(n, f"IO error: {error}") for n, frame in out]
        self._transport.write(b"".join(frames))
        if self._bodies:
            asyncio.get_running_loop().call_soon(self._work)

    def _spoil(self, frame: bytes, rule: Rule) -> None:
        """Send a part of an answer, or something else, and end the connection as the rule says."""
        loop = asyncio.get_running_loop()

        def cut(error: Exception | None) -> None:
            if error is not None:
                self._transport.abort()
                return
            self._transport.write(_GARBAGE if rule.kind == "garbage" else frame[: int(rule.after)])
            self._cut = True  # what came behind would be taken for the rest of this answer
            if rule.kind == "stall":
                loop.call_later(rule.seconds, self._transport.close)
            elif rule.kind == "reset":
                # Written bytes must be sent first, or the reset would drop them.
                loop.call_later(0.01, reset, self._transport)
            else:
                self._transport.close()

        self._state.journal.when_kept(cut)

    def _listen(self, patterns: list[str], mode: str) -> Subscriber:
        if not patterns:
            raise Refusal("ERR missing argument 0")
        made = self._state.topics.subscribe(patterns, self._notify, self._transport.abort)
        self._subscribers[made.id] = (made, mode)
        return made

    def _notify(self) -> None:
        if not self._pushing:
            self._pushing = True
            asyncio.get_running_loop().call_soon(self._push)

    def _push(self) -> None:
        self._pushing = False
        out = []
        for subscriber, _ in self._subscribers.values():
            while subscriber.waiting and not self._full:
                out.append(_pushed(subscriber.waiting.popleft()))
        if out and not self._transport.is_closing() and not self._cut:
            self._transport.write(b"".join(out))

    def _watch_idle(self) -> None:
        """Cut a client that has not sent a frame for long, whatever was pushed to it."""
        limit = self._state.tuning.idle
        left = self._heard + limit - time.monotonic()
        if left <= 0:
            self._transport.close()
            return
        self._idle = asyncio.get_running_loop().call_later(left + 0.01, self._watch_idle)


_LOOSE = {"PUBLISH", "UNSUBSCRIBE", "KV.UNWATCH", "TOPICS", "PSSTATS"}
"""Commands of topics, which store nothing on disk."""
_OWN = {"PING", "QUIT", "AUTH", "HELLO", "SUBSCRIBE", "KV.WATCH"}


def _pushed(message: Published) -> bytes:
    return answer(
        PUSH,
        {"topic": message.topic, "payload": message.text, "id": message.id, "timestamp": message.timestamp},
    )
