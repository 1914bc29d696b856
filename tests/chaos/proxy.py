"""A proxy between client and server that mistreats the bytes of one exchange in one way.

reset       both connections are reset behind `after` bytes
cut         both are closed there, in good order
half        the receiver is told that this side has ended; the other direction stays open
dribble     the next bytes come one by one
stall       nothing comes for `seconds`, then the rest
hang        nothing comes for `seconds`, then the connection closes
twice       what comes next is delivered two times
garbage     random bytes come instead, then the connection closes
type        the answer's content type is another one
late        each connection's bytes wait for a time of their own, so that answers overtake each other
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import ssl
import struct
import threading
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["up", "down"]
_DRIBBLED = 400


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens, in which direction, behind how many bytes of the exchange; `skip` exchanges pass first."""

    kind: str
    side: Side = "down"
    after: int = 0
    seconds: float = 0.0
    skip: int = 0


class Proxy:
    """Listens on a port of its own and passes on to another; runs in a thread of its own."""

    def __init__(
        self, target: int, seed: int = 0, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.target = target
        self.chance = random.Random(seed)
        self.plan: deque[Fault] = deque()
        self.fired: list[str] = []
        self.late = False
        self.record: list[bytes] = []
        """What the server sent while `recording`."""
        self.requests: list[bytes] = []
        """What clients sent then."""
        self.recording = False
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accept, host, 0, backlog=256, ssl=tls))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    def arm(self, *faults: Fault) -> None:
        """These befall the next exchanges, one each."""
        if any(fault.kind == "late" for fault in faults):
            self.late = True
        self.plan.extend(fault for fault in faults if fault.kind != "late")

    def calm(self) -> None:
        """Nothing happens any more."""
        self.plan.clear()
        self.late = False

        async def release() -> None:
            for link in self._links:
                link.fault = None

        self._do(release())

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, writer, up[1])
        self._links.add(link)
        try:
            await asyncio.gather(link.pump("up", reader, up[1]), link.pump("down", up[0], writer))
        except asyncio.CancelledError:
            pass  # the proxy is closed; a callback of asyncio's own would complain
        finally:
            self._links.discard(link)
            link.close()

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            for link in list(self._links):
                link.close()
            me = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not me]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.client, self.server = client, server
        self.fault: Fault | None = None
        self.passed = 0
        self.lag = proxy.chance.random() * 0.03
        for writer in (client, server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def pump(self, side: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not await self._pass(side, data, writer):
                    return
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            self.close()

    async def _pass(self, side: Side, data: bytes, writer: asyncio.StreamWriter) -> bool:
        proxy = self.proxy
        if self.fault is None and proxy.plan:
            self._bind(side)
        if proxy.late and side == "down":
            await asyncio.sleep(self.lag)
        if proxy.recording:
            (proxy.record if side == "down" else proxy.requests).append(data)
        fault = self.fault
        if fault is None or fault.side != side:
            writer.write(data)
            await writer.drain()
            return True
        left = fault.after - self.passed
        self.passed += len(data)
        if left > len(data):
            writer.write(data)
            await writer.drain()
            return True
        if left > 0:
            writer.write(data[:left])
            await writer.drain()
        self.fault = None
        proxy.fired.append(f"{fault.kind}-{side}")
        return await self._act(fault, data[max(left, 0) :], writer)

    def _bind(self, side: Side) -> None:
        """The exchange that begins here meets the next fault."""
        plan = self.proxy.plan
        if plan[0].side == "up" and side == "down":
            return
        if plan[0].skip > 0:
            if side == "up":
                first = plan[0]
                plan[0] = Fault(first.kind, first.side, first.after, first.seconds, first.skip - 1)
            return
        self.fault, self.passed = plan.popleft(), 0

    async def _act(self, fault: Fault, rest: bytes, writer: asyncio.StreamWriter) -> bool:
        kind = fault.kind
        if kind == "reset":
            await asyncio.sleep(0.001)
            self.reset()
            return False
        if kind == "cut":
            self.close()
            return False
        if kind == "half":
            writer.write_eof()
            # The other direction lives on for a moment, as with a peer that only stopped talking.
            self._later(fault.seconds or 0.2)
            return False
        if kind == "dribble":
            for at in range(min(len(rest), _DRIBBLED)):
                if writer.is_closing():
                    return False
                writer.write(rest[at : at + 1])
                await asyncio.sleep(0)
            rest = rest[_DRIBBLED:]
        elif kind == "stall":
            await asyncio.sleep(fault.seconds)
        elif kind == "hang":
            await asyncio.sleep(fault.seconds)
            self.close()
            return False
        elif kind == "twice":
            rest += rest
        elif kind == "garbage":
            rest = self.proxy.chance.randbytes(self.proxy.chance.choice((1, 7, 64, 3000)))
            self._later(0.05)
        elif kind == "type":
            rest = re.sub(rb"(?i)(content-type: *)[^\r]+", rb"\1text/html; charset=x", rest, count=1)
        writer.write(rest)
        await writer.drain()
        return True

    def _later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.close)

    def reset(self) -> None:
        for writer in (self.client, self.server):
            sock = writer.get_extra_info("socket")
            if sock is not None:
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    pass
            writer.transport.abort()

    def close(self) -> None:
        self.client.close()
        self.server.close()
