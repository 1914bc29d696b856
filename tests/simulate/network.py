"""A network in memory: connections that take time, split what they carry, and break where the plan says so."""

from __future__ import annotations

import asyncio
import random
import re
import zlib
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .faults import CONNECTIONS, PIECES, Fault

if TYPE_CHECKING:
    from .loop import Loop

HOST = "127.0.0.1"
_ABSORBED = 64 * 1024
"""Bytes on their way that no sender notices, as a system's own buffers would hold them."""
_LATENCIES = (0.0001, 0.001, 0.005, 0.03)


class Network:
    """What connects clients and servers."""

    def __init__(self, loop: Loop, chance: random.Random) -> None:
        self.loop = loop
        self._seed = chance.random()
        self._listening: dict[int, Callable[[], Any]] = {}
        self._pieces: dict[int, Fault] = {}
        self._connects: dict[int, Fault] = {}
        self.lines: list[str] = []
        self.met: Counter[str] = Counter()
        self.pieces = self.connects = 0
        self._back = 0.0
        """When somebody is there again."""
        self.quiet = True
        """Whether nothing goes wrong now: before the work, and after it."""
        self.ends: list[End] = []
        self.outside = re.compile(b"(?!)")
        """What is sent of the names and times of files: all that another run of the same seed may have otherwise."""
        self.framed: set[int] = set()
        """Ports on which answers are frames, one like the other."""

    def plan(self, faults: list[Fault]) -> None:
        """Let these go wrong, counted from now."""
        self._pieces = {self.pieces + one.at: one for one in faults if one.kind in PIECES}
        self._connects = {self.connects + one.at: one for one in faults if one.kind in CONNECTIONS}
        self.quiet = False

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.quiet = True
        self._back = 0.0
        self._pieces.clear()
        self._connects.clear()

    def outage(self, seconds: float) -> None:
        """Break all connections, and refuse others for so long."""
        self._back = self.loop.now + seconds
        for end in self.ends:
            if not end.closed:
                end.road.broken()

    def say(self, what: str) -> None:
        """Write a line of the trace."""
        self.lines.append(f"{self.loop.now:.6f} {what}")

    def hit(self, fault: Fault, where: str) -> None:
        """Note that a fault has met something."""
        self.met[fault.kind] += 1
        self.say(f"fault {fault.kind} {where} size={fault.size} seconds={fault.seconds}")

    def fault(self) -> Fault | None:
        """Count a piece; return what goes wrong with it."""
        self.pieces += 1
        return self._pieces.pop(self.pieces, None)

    def listen(self, factory: Callable[[], Any], sock: Listening) -> Server:
        """Take connections on a port."""
        sock.port = sock.port or 20000 + len(self._listening)
        self._listening[sock.port] = factory
        return Server(self, sock)

    def deaf(self, port: int) -> None:
        """Take no more connections on a port."""
        self._listening.pop(port, None)

    async def connect(self, factory: Callable[[], Any], port: int) -> tuple[End, Any]:
        """Return a new connection to a port, as asyncio gives it."""
        self.connects += 1
        number, fault = self.connects, self._connects.pop(self.connects, None)
        chance = random.Random(f"{self._seed}/{number}")
        base = 0.0001 if self.quiet else chance.choice(_LATENCIES)
        self.say(f"connect {number} to {port}")
        if fault is not None:
            self.hit(fault, f"connection {number}")
            if fault.kind == "hang":
                await asyncio.sleep(10**9)
        await asyncio.sleep(base * (1 + chance.random()))
        taken = self._listening.get(port)
        if taken is None or self.loop.now < self._back or (fault is not None and fault.kind == "refuse"):
            raise ConnectionRefusedError(111, "refused")
        client, server = End(self, f"{number}>", port), End(self, f"{number}<", port)
        client.peer, server.peer = server, client
        client.road, server.road = Road(client, server, base, chance), Road(server, client, base, chance)
        self.ends += [client, server]
        server.protocol = taken()
        server.protocol.connection_made(server)
        client.protocol = factory()
        client.protocol.connection_made(client)
        if fault is not None and fault.kind == "drop":
            client.road.broken()
        return client, client.protocol

    def open(self) -> list[str]:
        """Return the clients' ends that are not closed."""
        return [one.name for one in self.ends if not one.closed and one.name.endswith(">")]


class Road:
    """One direction of a connection: what is sent arrives later, in order, in other pieces."""

    def __init__(self, source: End, target: End, base: float, chance: random.Random) -> None:
        self.source, self.target = source, target
        self.network, self.loop = source.network, source.network.loop
        self._base, self._chance = base, chance
        self._coming: deque[tuple[float, bytes | None]] = deque()
        self._last = 0.0
        self.waiting = 0
        """Bytes that did not arrive yet."""
        self.dead = False

    def send(self, data: bytes) -> None:
        """Send a piece; something may go wrong with it."""
        fault = self.network.fault()
        told = self.network.outside.sub(b"", data)
        self.network.say(f"send {self.source.name} {len(data)} {zlib.crc32(told):08x}")
        if self.dead:
            return
        if fault is None:
            self._send(data)
            return
        self.network.hit(fault, f"{self.source.name} piece of {len(data)}")
        size = fault.size % (len(data) + 1)
        if fault.kind == "stall":
            self._send(data[:size])
            self._last = max(self._last, self.loop.now) + fault.seconds
            self._send(data[size:])
        elif fault.kind == "twice":
            # Only what is an answer by itself: no wire says half of something twice. Over HTTP both come at once, as one
            # that comes when something else has been asked is taken for the answer to that by any client.
            if not (self.source.name.endswith("<") and self._whole(data)):
                self._send(data)
            elif self.source.port in self.network.framed:
                self._send(data)
                self._send(data)
            else:
                self._put(data + data)
        elif fault.kind == "swallow":
            self._send(data[:size])
            self.dead = self.target.road.dead = True
        else:
            self._send(data[:size])
            if fault.kind == "end":
                self._put(None)
                self.dead = True
                self.loop.call_at(self._last, self.source.broken)
            else:
                self.dead = self.target.road.dead = True
                self.loop.call_at(self._last, self.source.broken)
                self.loop.call_at(self._last, self.target.broken)

    def _whole(self, data: bytes) -> bool:
        if self.source.port in self.network.framed:
            return True
        head, _, body = data.partition(b"\r\n\r\n")
        return head.startswith(b"HTTP/1.1 ") and b"content-length: %d" % len(body) in head.lower()

    def _send(self, data: bytes) -> None:
        while len(data) > 1 and not self.network.quiet and self._chance.random() < 0.15:
            cut = self._chance.randrange(1, min(len(data), 200) if self._chance.random() < 0.7 else len(data))
            self._put(data[:cut])
            data = data[cut:]
        if data:
            self._put(data)

    def _put(self, data: bytes | None) -> None:
        base = 0.0001 if self.network.quiet else self._base
        self._last = max(self._last, self.loop.now + base * (1 + self._chance.random()))
        self._coming.append((self._last, data))
        self.waiting += len(data or b"")
        self.loop.call_at(self._last, self.pump)

    def end(self) -> None:
        """Tell the other side that nothing more comes."""
        if not self.dead:
            self._put(None)

    def broken(self) -> None:
        """Break the connection off, both ways."""
        self.dead = self.target.road.dead = True
        self._coming.clear()
        self.loop.call_soon(self.source.broken)
        self.loop.call_soon(self.target.broken)

    def pump(self) -> None:
        """Hand on what has arrived."""
        while self._coming and self._coming[0][0] <= self.loop.now and not self.target.paused:
            _, data = self._coming.popleft()
            self.waiting -= len(data or b"")
            self.source.drained()
            self.target.arrived(data)


class End(asyncio.Transport):
    """One end of a connection, as asyncio shows it to a protocol."""

    peer: End
    road: Road

    def __init__(self, network: Network, name: str, port: int) -> None:
        super().__init__()
        self.network, self.name, self.port = network, name, port
        self.protocol: Any = None
        self.paused = self.closed = self._closing = self._full = self._heard_all = False
        self._high, self._low = 64 * 1024, 16 * 1024
        self.socket = _Socket(self)

    # --- what arrives -----------------------------------------------------------------------------------------------

    def arrived(self, data: bytes | None) -> None:
        """Take a piece, or the end."""
        if self.closed or self._closing:
            if data and not self.peer.closed:
                # Nobody listens: the system says so.
                self.road.dead = True
                self.network.loop.call_later(0.0001, self.peer.broken)
            return
        if data is not None:
            self.network.say(f"take {self.name} {len(data)}")
            self.protocol.data_received(data)
        elif not self._heard_all:
            self._heard_all = True
            self.network.say(f"end {self.name}")
            if not self.protocol.eof_received():
                self.close()

    def broken(self) -> None:
        """Lose the connection."""
        self._lost(ConnectionResetError(104, "reset"))

    def _lost(self, error: Exception | None) -> None:
        if not self.closed:
            self.closed = self._closing = True
            self.road.dead = True
            self.network.say(f"lost {self.name} {type(error).__name__}")
            self.protocol.connection_lost(error)

    def drained(self) -> None:
        """Note that something arrived."""
        if self._full and self.get_write_buffer_size() <= self._low and not self.closed:
            self._full = False
            self.protocol.resume_writing()

    # --- what asyncio's transports have -----------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self._closing or not data:
            return
        self.road.send(bytes(data))
        if not self._full and self.get_write_buffer_size() > self._high:
            self._full = True
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return max(0, self.road.waiting - _ABSORBED)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.road.end()

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self.network.loop.call_soon(self.peer.road.pump)

    def is_reading(self) -> bool:
        return not self.paused and not self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.road.end()
            self.network.loop.call_soon(self._lost, None)

    def abort(self) -> None:
        if not self.closed:
            self._closing = True
            self.network.loop.call_soon(self._lost, None)
            self.network.loop.call_later(0.0001, self.peer.broken)

    def is_closing(self) -> bool:
        return self._closing

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        mine, other = (HOST, self.port), (HOST, 50000)
        if self.name.endswith(">"):
            mine, other = other, mine
        return {"socket": self.socket, "sockname": mine, "peername": other}.get(name, default)


class _Socket:
    """What is asked of the socket below a transport."""

    family = 2

    def __init__(self, end: End) -> None:
        self._end = end

    def fileno(self) -> int:
        return -1 if self._end.closed else 10**6

    @property
    def readable(self) -> bool:
        """Whether it has ended: what comes is handed on at once."""
        return self._end.closed

    def setsockopt(self, *option: Any) -> None:
        pass

    def dup(self) -> Any:
        raise OSError("nothing has arrived behind the break")

    def getpeername(self) -> Any:
        return self._end.get_extra_info("peername")

    def getsockname(self) -> Any:
        return self._end.get_extra_info("sockname")


class Listening:
    """A port before somebody listens on it."""

    def __init__(self, port: int = 0) -> None:
        self.port = port

    def getsockname(self) -> tuple[str, int]:
        return HOST, self.port


class Server:
    """What asyncio gives to who listens."""

    def __init__(self, network: Network, sock: Listening) -> None:
        self._network, self.sockets = network, [sock]

    def close(self) -> None:
        self._network.deaf(self.sockets[0].port)

    async def wait_closed(self) -> None:
        pass

    def is_serving(self) -> bool:
        return True
