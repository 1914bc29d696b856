"""The embedded Kimberlite for tests that look at the wire: a server, in this process or one of its own, and a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.kimberlite.wire import FrameReader, Push, Response, decode, encode_request, requests, responses
from kit.lab.faults import FaultPlan, Rule
from kit.lab.kimberlite.server import KimberliteServer
from kit.lab.kimberlite.tuning import Tuning
from kit.lab.services import House

TOKEN = "0123456789abcdef" * 3
_CHILD = """
import asyncio, json, sys
from pathlib import Path
from kit.lab.faults import FaultPlan
from kit.lab.kimberlite import create
from kit.lab.services import House

async def main():
    server = create(House(Path(sys.argv[1]), sys.argv[2], FaultPlan(), demo=False))
    await server.start()
    print(json.dumps(server.env()), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Refused(Exception):
    """An error answer."""

    def __init__(self, error: responses.Error) -> None:
        super().__init__(f"[{error.code}] {error.message}")
        self.code, self.message = error.code, error.message


class Raw:
    """A connection on which one sees every message."""

    def __init__(self, env: dict[str, str], tenant: int = 1, token: str | None = "", timeout: float = 20) -> None:
        host, _, port = env["KIMBERLITE_ADDRESS"].partition(":")
        self.sock = socket.create_connection((host, int(port)), timeout=timeout)
        self.tenant = tenant
        self.pushed: list[Any] = []
        self._frames = FrameReader()
        self._waiting: list[bytes] = []
        self._number = 0
        self.hello = None
        if token is not None:
            self.hello = self.ask(requests.Handshake(5, token or env["KIMBERLITE_API_KEY"]))

    def send(self, payload: Any, audit: Any = None, tenant: int | None = None) -> int:
        """Sends a request; its number."""
        self._number += 1
        self.sock.sendall(encode_request(self._number, self.tenant if tenant is None else tenant, payload, audit))
        return self._number

    def payload(self) -> bytes:
        """The next frame's payload; EOFError at the end of the connection."""
        while not self._waiting:
            data = self.sock.recv(1 << 20)
            if not data:
                raise EOFError
            self._waiting += self._frames.feed(data)
        return self._waiting.pop(0)

    def next(self) -> Any:
        """The next message."""
        return decode(self.payload())

    def answer(self) -> Any:
        """The next response's payload; pushes before it are kept, errors raised."""
        while True:
            message = self.next()
            if isinstance(message, Push):
                self.pushed.append(message.payload)
                continue
            assert isinstance(message, Response)
            if isinstance(message.payload, responses.Error):
                raise Refused(message.payload)
            return message.payload

    def ask(self, payload: Any, audit: Any = None, tenant: int | None = None) -> Any:
        """The answer to a request."""
        self.send(payload, audit, tenant)
        return self.answer()

    def sql(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        return list(self.ask(requests.Query(text, list(params))).rows)

    def push(self) -> Any:
        """The next push's payload."""
        if self.pushed:
            return self.pushed.pop(0)
        message = self.next()
        assert isinstance(message, Push), message
        return message.payload

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Served:
    """A server in this process, on a loop in a thread of its own."""

    def __init__(self, folder: Path, *, demo: bool = False, **tuning: float) -> None:
        self.plan = FaultPlan()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.server = KimberliteServer(House(folder, TOKEN, self.plan, demo), Tuning(**tuning))
        self.run(self.server.start())
        self.env = self.server.env()

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def raw(self, tenant: int = 1, token: str | None = "", **more: Any) -> Raw:
        return Raw(self.env, tenant, token, **more)

    def faults(self, kind: str, path: str = "*", **details: Any) -> None:
        self.plan.add(Rule("kimberlite", kind, path, **details))

    def close(self) -> None:
        self.run(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextmanager
def in_child(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """A server in a process of its own, which may be killed."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(folder), TOKEN], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        yield child, json.loads(child.stdout.readline())
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
