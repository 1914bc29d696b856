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

import pytest

from kit.kimberlite.wire.protocol.codec import FrameReader, Push, Response, decode, encode_request, requests, responses
from kit.lab.common.faults import FaultPlan, Rule
from kit.lab.kimberlite.server import KimberliteServer
from kit.lab.kimberlite.tuning import Tuning
from kit.lab.services import House

TOKEN = "0123456789abcdef" * 3
_names = iter(range(1, 1_000_000))
_CHILD = """
import asyncio, json, sys
from pathlib import Path
from kit.lab.common.faults import FaultPlan
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
        self._token = token or env["KIMBERLITE_API_KEY"]
        self.hello = None if token is None else self.become(tenant)

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

    def become(self, tenant: int) -> Any:
        """Say with another handshake for which tenant the connection is."""
        self.tenant = tenant
        return self.ask(requests.Handshake(5, self._token))

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


def fresh(prefix: str = "s") -> str:
    """A name that no other test has."""
    return f"{prefix}{next(_names)}x"


def stream_of(raw: Raw, *events: bytes, name: str | None = None) -> int:
    """A new stream with events."""
    id = raw.ask(requests.CreateStream(name or fresh())).stream_id
    if events:
        raw.ask(requests.AppendEvents(id, list(events), 0))
    return id


def read_all(raw: Raw, id: int, max_bytes: int = 1 << 20, start: int = 0) -> list[bytes]:
    """Return every event of a stream, page by page."""
    found: list[bytes] = []
    while True:
        page = raw.ask(requests.ReadEvents(id, start + len(found), max_bytes))
        if not len(page.events):
            assert page.next_offset is None
            return found
        found += page.events
        assert page.next_offset == start + len(found)


def refused(raw: Raw, payload: Any, **more: Any) -> Refused:
    """Return the error that a request is answered with."""
    with pytest.raises(Refused) as raised:
        raw.ask(payload, **more)
    return raised.value
