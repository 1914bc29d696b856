"""The embedded Synap in this process, on a loop in a thread of its own, and what points at it."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

from kit.lab.common.faults import FaultPlan, Rule
from kit.lab.services import House
from kit.lab.synap.server import SynapServer
from kit.lab.synap.tuning import Tuning
from kit.synap.wire import frames as wire


class SynapLab:
    """A server, and its variables."""

    def __init__(self, folder: Path, demo: bool = False, **tuning: float) -> None:
        self.plan = FaultPlan()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = SynapServer(House(folder, "0123456789abcdef" * 3, self.plan, demo), Tuning(**tuning))
        self._on_loop(self.server.start())
        self.env: dict[str, str] = self.server.env()
        self.url = self.env["SYNAP_URL"]
        self.rpc_url = self.env["SYNAP_RPC_URL"]
        self.key = self.env["SYNAP_API_KEY"]

    def _on_loop(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def do(self, function: Any, *args: Any) -> Any:
        """What a function of the server's own loop gives."""

        async def run() -> Any:
            return function(*args)

        return self._on_loop(run())

    def faults(self, kind: str, path: str = "*", **details: Any) -> None:
        self.plan.add(Rule("synap", kind, path, **details))

    def close(self) -> None:
        self._on_loop(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Raw:
    """SynapRPC by hand."""

    def __init__(self, synap: SynapLab, key: str = "") -> None:
        host, _, port = synap.rpc_url.removeprefix("synap://").rpartition(":")
        self.sock = socket.create_connection((host, int(port)), 10)
        self.frames = wire.Frames()
        self.bodies: list[bytes] = []
        if key:
            assert self("AUTH", key) == "OK"

    def __call__(self, name: str, *args: Any, number: int = 1) -> Any:
        self.sock.sendall(wire.request(number, name, args))
        return self.answer()

    def answer(self) -> Any:
        while not self.bodies:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.bodies += self.frames.feed(data)
        _, good, value = wire.read_answer(self.bodies.pop(0))
        return value if good else f"! {value}"

    def close(self) -> None:
        self.sock.close()
